"""`manyfaces bench`: how fast it is on this machine, and how near to what is possible."""

from __future__ import annotations

import re
import shlex
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from manyfaces.cli import predict
from manyfaces.cli.figures import refuse_figures, write_figures
from manyfaces.cli.options import with_options
from manyfaces.cli.outcome import complain
from manyfaces.cli.progress import Steps
from manyfaces.errors import UsageError
from manyfaces.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyfaces.bench.drawn import Size
    from manyfaces.bench.row import Task

REFUSED = {
    "every_face": "--every-face: bench measures it beside the budget; choose with --modes",
    "gallery": "--gallery: bench measures with nobody in it, so that figures can be compared; leave it out",
}
"""Options that make no sense here, and what is said of each."""

FIGURES = ("machine", "rows")
"""What a file of an earlier run holds."""


app = typer.Typer(invoke_without_command=True)
app.command("predict")(predict.predict)


@app.callback()
@partial(with_options, refused=REFUSED)
def bench(
    context: typer.Context,
    options: Options,
    faces: Annotated[str, typer.Option(help="How many faces each drawn clip shows.")] = "1,4,16,36,64,100",
    clip: Annotated[list[Path] | None, typer.Option(help="A video of yours in their place; may repeat.")] = None,
    size: Annotated[str, typer.Option(help="Of drawn clips: 1280x720, 1920x1080; auto: the larger above 16.")] = "auto",
    modes: Annotated[str, typer.Option(help="budget, every-face, or both.")] = "budget,every-face",
    seconds: Annotated[
        float,
        typer.Option(
            help="For so long each row, a clip in a mode, plays as fast as it goes, and again as a camera. It takes "
            "10 to 30 seconds more, and two minutes with 100 faces that are all read, since only whole passes count."
        ),
    ] = 10.0,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Write these figures and more of each row to this file.")
    ] = None,
) -> None:
    """Frames a second, and how old results are, for more and more faces; every-face also against its floor.

    The 12 rows of the default take about ten minutes on two cores; see --seconds.
    """
    if context.invoked_subcommand:
        return
    from manyfaces.bench.alone import measured_alone, startup_seconds
    from manyfaces.bench.drawn import SMALL, draw_clip
    from manyfaces.bench.machine import busy, circumstances

    counts, wanted = _numbers(faces), _sizes(size)
    clips = [(path, None) for path in clip or []]
    _refuse(options, json_file, clip or [])
    with tempfile.TemporaryDirectory() as folder:
        drawn = [] if clips else [(Path(folder) / f"drawn-{count}.mp4", count) for count in counts]
        tasks = list(_tasks([*clips, *drawn], modes, seconds, options))
        sizes = _sizes_of(drawn, wanted)
        if told := busy():
            complain(told)
        _draw(drawn, sizes)
        figures: dict[str, Any] = {**circumstances(shlex.join(["manyfaces", *sys.argv[1:]])), "rows": []}
        with Steps("measurements", len(tasks)) as steps:
            for task in tasks:
                figures["rows"].append(measured_alone(task))
                _write(json_file, figures)
                steps.advance()
        portrait = Path(folder) / "portrait.mp4"
        draw_clip(portrait, 1, SMALL, frames=1)
        figures["startup_s"] = startup_seconds(portrait)
    _write(json_file, figures)
    _show(figures)


def _write(json_file: Path | None, figures: dict[str, Any]) -> None:
    if json_file:
        write_figures(json_file, figures)


# --- what was asked for ----------------------------------------------------------------------------------------------


def _numbers(text: str) -> list[int]:
    from manyfaces.bench.drawn import MOST_FACES

    words = [word.strip() for word in text.split(",")]
    if not all(re.fullmatch(r"\d{1,6}", word) and 0 < int(word) <= MOST_FACES for word in words):
        short = text if len(text) <= 40 else f"{text[:40]}..."
        raise UsageError(
            f"--faces {short!r}: expected numbers from 1 to {MOST_FACES} with commas between, such as 1,16"
        )
    return list(dict.fromkeys(map(int, words)))


def _sizes(text: str) -> Size | None:
    """None where each clip has the size that is usual for its faces."""
    if text == "auto":
        return None
    match = re.fullmatch(r"([1-9]\d{1,3})x([1-9]\d{1,3})", text)
    if not match or int(match[1]) % 2 or int(match[2]) % 2:
        raise UsageError(f"--size {text!r}: expected auto, or even numbers such as 1280x720")
    return int(match[1]), int(match[2])


def _tasks(clips: list[tuple[Path, int | None]], modes: str, seconds: float, options: Options) -> Iterator[Task]:
    """A clip's modes one after the other, so that what is compared lies close together in time."""
    from manyfaces.bench.row import Task

    for path, faces in clips:
        for mode in modes.split(","):
            yield Task(path, mode.strip(), seconds, options, faces)


def _refuse(options: Options, json_file: Path | None, clips: list[Path]) -> None:
    """What cannot be measured or written is said before anything is, since all of it takes minutes."""
    from manyfaces.bench.streams import Clip

    for name, sentence in REFUSED.items():
        if getattr(options, name):
            raise UsageError(sentence)
    if json_file:
        refuse_figures(json_file, FIGURES, clips)
    for clip in clips:
        Clip.of(clip)


def _sizes_of(drawn: list[tuple[Path, int]], wanted: Size | None) -> list[Size]:
    """Everybody has a place in each of them, or it is refused."""
    from manyfaces.bench.drawn import grid, usual_size

    sizes = [wanted or usual_size(faces) for _, faces in drawn]
    for (_, faces), size in zip(drawn, sizes, strict=True):
        grid(faces, size)
    return sizes


def _draw(drawn: list[tuple[Path, int]], sizes: list[Size]) -> None:
    from manyfaces.bench.drawn import draw_clip

    with Steps("clips drawn", len(drawn)) as steps:
        for (path, faces), size in zip(drawn, sizes, strict=True):
            draw_clip(path, faces, size)
            steps.advance()


# --- what was found --------------------------------------------------------------------------------------------------

COLUMNS = {
    "clip": "clip",
    "faces": "faces",
    "mode": "mode",
    "frames/s": "fps",
    "age p95, ms": "p95_ms",
    "dropped frames": "dropped",
    "wall/floor": "floor_ratio",
    "peak memory, MB": "peak_rss_mb",
}
"""What most want to know; all else of a row is in the file of figures."""


def _show(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.markup import escape
    from rich.table import Table

    from manyfaces.sources import shown

    table = Table()
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("clip", "mode") else "right")
    for row in figures["rows"]:
        table.add_row(*(escape(shown(_text(row.get(key)))) for key in COLUMNS.values()))
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table)
    for line in _notes(figures):
        console.print(line, markup=False)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return (
        f"{value:.1f}" if isinstance(value, float) and value >= 10 else f"{value:g}" if value != str(value) else value
    )


def _notes(figures: dict[str, Any]) -> list[str]:
    machine, versions = figures["machine"], figures["versions"]
    commit = f"commit {figures['commit']}, " if figures["commit"] else ""
    return [
        "frames/s: as fast as it goes, decoding included.",
        "age, dropped: of the results of a camera of 25 frames a second; 95 in 100 are no older than p95.",
        "wall/floor: time against that of decoding, detection and heads alone on every core; 1 cannot be beaten.",
        f"start to the first result of one picture: {figures['startup_s']:.2f} s",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; Python {versions['python']}, "
        f"OpenVINO {versions['openvino']}; kernels {figures['kernels']}; {commit}{figures['date']}",
    ]
