"""`manyfaces bench predict`: the same networks asked by Keras, LiteRT, ONNX Runtime and OpenVINO."""

from __future__ import annotations

import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from manyfaces.cli.figures import refuse_figures, write_figures
from manyfaces.cli.outcome import complain
from manyfaces.cli.progress import Steps
from manyfaces.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from manyfaces.bench.predict import Library, Row, Task

NETWORKS = ("emotion", "textcnn")
MOST = 65536
FIGURES = ("machine", "rows", "factors")
"""What a file of an earlier run holds."""


def predict(
    items: Annotated[str, typer.Option(help="How many items are asked about in one go.")] = "1,512",
    seconds: Annotated[
        float, typer.Option(help="For so long each row is asked, and three times unless it is far slower.")
    ] = 3.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write these figures and more of each row to this file.")
    ] = None,
) -> None:
    """One item or many: Keras's predict, LiteRT, ONNX Runtime and OpenVINO, as far as they are installed.

    The packaged emotion network and a TextCNN with drawn weights, the same weights everywhere.
    """
    from manyfaces.bench.machine import busy, circumstances
    from manyfaces.bench.predict import LIBRARIES, factors, measured_alone, versions

    counts = _counts(items)
    if seconds <= 0:
        raise UsageError(f"--seconds {seconds:g}: expected more than 0")
    if json_file:
        refuse_figures(json_file, FIGURES)
    if told := busy():
        complain(told)
    figures: dict[str, Any] = {**circumstances(shlex.join(["manyfaces", *sys.argv[1:]])), "rows": [], "factors": []}
    figures["versions"] |= versions()
    figures["missing"] = {one.name: one.pip for one in LIBRARIES if not one.is_there}
    with tempfile.TemporaryDirectory() as folder:
        _make_files(Path(folder), figures["missing"])
        tasks = _tasks(Path(folder), [one for one in LIBRARIES if one.name not in figures["missing"]], counts, seconds)
        with Steps("libraries asked", len(tasks)) as steps:
            for task in tasks:
                figures["rows"] += measured_alone(task)
                figures["factors"] = factors(figures["rows"])
                if json_file:
                    write_figures(json_file, figures)
                steps.advance()
    _show(figures)


def _counts(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isascii() and word.isdigit() and 0 < int(word) <= MOST for word in words):
        raise UsageError(f"--items {text[:40]!r}: expected numbers from 1 to {MOST} with commas between, such as 1,512")
    return tuple(dict.fromkeys(map(int, words)))


def _make_files(folder: Path, missing: dict[str, str]) -> None:
    """Each network as the libraries load it. Without what writes LiteRT's form, LiteRT is left out and named."""
    from manyfaces.bench.networks import textcnn
    from manyfaces.weights import load

    for name, content in (("emotion", load("emotion").content), ("textcnn", textcnn())):
        (folder / f"{name}.onnx").write_bytes(content)
        try:
            from manyfaces.optimize.litert import converted

            (folder / f"{name}.tflite").write_bytes(converted(content)[0])
        except MissingExtra:
            missing.setdefault("LiteRT", "pip install '.[litert]'")


def _tasks(folder: Path, libraries: list[Library], counts: tuple[int, ...], seconds: float) -> list[Task]:
    """A network's libraries one after the other, so that what is compared lies close together in time."""
    from manyfaces.bench.predict import Task

    return [
        Task(library, name, folder / f"{name}.onnx", folder / f"{name}.tflite", counts, seconds)
        for name in NETWORKS
        for library in libraries
    ]


# --- what was found --------------------------------------------------------------------------------------------------


def _show(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    rows: list[Row] = figures["rows"]
    counts = list(dict.fromkeys(row["items"] for row in rows))
    table = Table()
    for name in ("network", "library", "asked"):
        table.add_column(name)
    for count in counts:
        table.add_column(f"{count} item{'s' * (count > 1)}, ms each", justify="right")
    for line in _lines(rows, counts):
        table.add_row(*line)
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table)
    for note in _notes(figures):
        console.print(note, markup=False)


def _lines(rows: list[Row], counts: list[int]) -> list[list[str]]:
    """One for every way of asking; a dash where a way makes no sense for so many."""
    took = {(row["network"], row["library"], row["way"], row["items"]): row["ms_per_item"] for row in rows}
    ways = dict.fromkeys(key[:3] for key in took)
    return [[*way, *(_figure(took.get((*way, count))) for count in counts)] for way in ways]


def _figure(milliseconds: float | None) -> str:
    return "-" if milliseconds is None else f"{milliseconds:.3g}"


def _notes(figures: dict[str, Any]) -> list[str]:
    from manyfaces.bench.predict import BATCH

    machine = figures["machine"]
    told = [f"Many items: whole, as predict is given them; one by one; or in batches of {BATCH}, as predict cuts them."]
    told += [
        f"{one['network']}, one item: predict of {one['library']} takes {one['factor']:g} times as long as LiteRT."
        for one in figures["factors"]
    ]
    told += [f"not installed: {name}; to see it too, run  {pip}" for name, pip in figures["missing"].items()]
    return [
        *told,
        f"{machine['processor']}, {machine['cores']} cores; load before {figures['load_before']}; {figures['date']}",
    ]
