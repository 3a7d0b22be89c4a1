"""`manyfaces optimize`: any network, as small and fast as it can be made on this machine without losing its answers."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from manyfaces.cli.outcome import complain
from manyfaces.cli.progress import Steps

if TYPE_CHECKING:
    from manyfaces.optimize.judge import Step
    from manyfaces.optimize.model import Original
    from manyfaces.optimize.report import Report
    from manyfaces.optimize.samples import Data


def optimize(
    model: Annotated[
        str,
        typer.Argument(
            help="default, sface, yunet; a file .onnx, .keras, .h5, .pt2; module:factory; or a training's folder."
        ),
    ],
    out: Annotated[Path, typer.Option(help="The folder for all forms and the report.")],
    to: Annotated[
        str, typer.Option(help="Formats, with commas between them: onnx, openvino, litert.")
    ] = "onnx,openvino",
    quantize: Annotated[
        str, typer.Option(help="Of none, weights, weights4, dynamic, static, qat; none is always made.")
    ] = "weights,dynamic,static",
    data: Annotated[
        Path | None,
        typer.Option(
            help="Emotion data, a folder of pictures, or an .npz or .npy of inputs; without it they are drawn."
        ),
    ] = None,
    max_drop: Annotated[float, typer.Option(min=0.0, help="Points of accuracy, or agreement, that may be lost.")] = 0.5,
    by: Annotated[int, typer.Option(help="Items of the call whose time decides: 1, 8 or 32.")] = 8,
    weights: Annotated[Path | None, typer.Option(help="With module:factory, .safetensors or a state dict.")] = None,
    inputs: Annotated[
        list[str] | None, typer.Option("--input", help="With module:factory, 1x48x48 or 50:int32; may repeat.")
    ] = None,
    trust: Annotated[bool, typer.Option("--trust", help="Read files that can run code; only your own.")] = False,
    custom: Annotated[
        list[str] | None, typer.Option(help="A Keras layer of yours, as module:class; may repeat, and needs --trust.")
    ] = None,
    mean: Annotated[
        float, typer.Option(help="Of pictures, where the network has no card: (pixel - mean) / scale.")
    ] = 0.0,
    scale: Annotated[float, typer.Option(help="See --mean.")] = 255.0,
    seconds: Annotated[float, typer.Option(min=0.0, help="For each time that is taken.")] = 1.0,
    steps: Annotated[int, typer.Option(min=1, help="Batches of quantisation-aware training.")] = 600,
    time_again: Annotated[
        bool, typer.Option("--time-again", help="Measure forms that are done anew, as after the machine was busy.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:
    """Make small and fast forms of a network, judge them against the original, measure them here, say which to use."""
    from manyfaces.bench.machine import busy, circumstances
    from manyfaces.cli.train import make_folder
    from manyfaces.errors import UsageError
    from manyfaces.optimize.measure import BATCHES
    from manyfaces.optimize.plot import plot  # now, so that what is not installed is said before the work
    from manyfaces.optimize.readers import Asked, read
    from manyfaces.optimize.report import Report
    from manyfaces.optimize.work import Wanted, optimise, versions
    from manyfaces.optimize.writers import formats, quantisations

    if by not in BATCHES:
        raise UsageError(f"--by {by}: expected {', '.join(map(str, BATCHES))}")
    wanted = Wanted(formats(to), quantisations(quantize), max_drop, by, seconds, steps, time_again)
    make_folder(out)
    original = read(Asked(model, weights, tuple(inputs or ()), trust, tuple(custom or ())))
    if told := busy():
        complain(told)
    samples = _samples(original, data, out, (mean, scale), quiet)
    made = circumstances(shlex.join(["manyfaces", *sys.argv[1:]]))
    made["versions"] |= versions()
    try:
        outcome = optimise(original, samples, wanted, out, _Shown(quiet))
    except KeyboardInterrupt:
        complain("broken off; the same command goes on after the last form that was done")
        raise
    report = Report(original, samples, wanted, outcome, made)
    _leave(report, plot(report), out)
    if not quiet:
        _show(report, out)


def _samples(original: Original, data: Path | None, out: Path, scaling: tuple[float, float], quiet: bool) -> Data:
    from manyfaces.errors import InputError
    from manyfaces.optimize import graph
    from manyfaces.optimize.samples import draw, picture_spec, read_arrays, read_pictures

    if data is None:
        complain("no --data: inputs are drawn, so accuracy is only agreement with the original on noise")
        return draw(original, graph.limits(graph.parse(original.onnx, original.name)))
    if not data.exists():
        raise InputError(f"{data}: there is no such file or folder; give emotion data, pictures, or arrays")
    if _is_emotion_data(data):
        return _faces(original, data, out, picture_spec(original, *scaling), quiet)
    if data.is_dir():
        return read_pictures(data, original, picture_spec(original, *scaling))
    if data.suffix.lower() in (".npz", ".npy"):
        return read_arrays(data, original)
    raise InputError(
        f"{data}: data of this kind is unknown; give an .npz or .npy, fer2013.csv, or a folder of pictures"
    )


def _is_emotion_data(data: Path) -> bool:
    """fer2013.csv, the same as .npz, or a folder of its splits."""
    import zipfile

    if data.suffix.lower() == ".csv":
        return True
    if data.is_dir():
        return any((data / part).is_dir() for part in ("train", "training", "public", "private"))
    if data.suffix.lower() != ".npz" or not zipfile.is_zipfile(data):
        return False
    with zipfile.ZipFile(data) as archive:
        return {"images.npy", "labels.npy", "usage.npy"} <= set(archive.namelist())


def _faces(original: Original, data: Path, out: Path, spec: object, quiet: bool) -> Data:
    """Calibrated and taught on Training, judged on PublicTest."""
    from manyfaces.card import InputSpec
    from manyfaces.cli.emotion_data import read_faces
    from manyfaces.optimize.files import file_hash
    from manyfaces.optimize.samples import Data, Images, Spread

    assert isinstance(spec, InputSpec)
    faces = read_faces(data, out, quiet)
    training, public = faces.split("training"), faces.split("public")
    port = original.inputs[0]
    learnt, judged = (Images(part.images, port, spec) for part in (training, public))
    digest = f"{file_hash(data) if data.is_file() else f'{data} {len(faces)}'} {spec}"
    origin = f"PublicTest of {data.name}"
    return Data(origin, Spread(learnt), judged, learnt, digest, public.labels)


def _leave(report: Report, picture: bytes, out: Path) -> None:
    from manyfaces.optimize.files import write_whole
    from manyfaces.optimize.page import page
    from manyfaces.optimize.report import figures

    write_whole(out / "report.json", (json.dumps(figures(report), indent=1, ensure_ascii=False) + "\n").encode())
    write_whole(out / "report.png", picture)
    write_whole(out / "report.html", page(report, picture).encode("utf-8", "backslashreplace"))


def _show(report: Report, out: Path) -> None:
    from manyfaces.optimize.report import HEAD, cells, failures, layers_said

    console = Console(width=None if Console().is_terminal else 200, emoji=False)  # a layer may be called a:key:0
    table = Table("", *HEAD)
    for row in report.outcome.rows:
        if not row.failed:
            mark = "[green]chosen[/]" if row.name == report.outcome.chosen.name else ""
            table.add_row(mark, *map(escape, cells(row)))
    console.print(table)
    for sentence in (*layers_said(report), report.basis, report.sentence, f"All of it: {out / 'report.html'}"):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)
    for sentence in failures(report):
        complain(sentence)


class _Shown:
    """A bar, or a plain line now and then, for every stage."""

    def __init__(self, quiet: bool) -> None:
        self._quiet = quiet

    @contextmanager
    def stage(self, what: str, total: int | None) -> Iterator[Step]:
        with Steps(what, total, self._quiet) as steps:
            yield steps.advance

    def say(self, sentence: str) -> None:
        if not self._quiet:
            typer.echo(sentence, err=True)
