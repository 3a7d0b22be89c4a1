"""`manyfaces search`: the computer designs the network."""

from __future__ import annotations

import math
import shlex
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from manyfaces.cli.evaluate import JsonFile
from manyfaces.cli.figures import refuse_figures, write_figures
from manyfaces.cli.outcome import NOTHING_DONE, complain
from manyfaces.cli.progress import Steps
from manyfaces.cli.train import Data
from manyfaces.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from manyfaces.card import InputSpec
    from manyfaces.train.designs import Design
    from manyfaces.train.fit import Progress
    from manyfaces.train.nets import EmotionNet
    from manyfaces.train.search import Machine, Terms
    from manyfaces.train.study import Record

app = typer.Typer(no_args_is_help=True, help="Search for a network of your own; needs the train extra.")

FACES = 8
"""In a batch whose time is measured."""

ROUNDS, ROUND_SECONDS = 7, 0.08
FIGURES = ("terms", "front", "best")
"""What a file of an earlier run holds."""


@app.callback()
def _group() -> None:
    """Without this, a group of one command would be taken for the command itself."""


@app.command()
def emotion(
    data: Data,
    study: Annotated[
        str, typer.Option(metavar="URL_OR_FILE", help="A file, or a database that machines share; goes on where it is.")
    ],
    trials: Annotated[int, typer.Option(min=1, help="How many designs more to try.")],
    space: Annotated[str | None, typer.Option(help="compact (where nothing else is said) or tutorial.")] = None,
    max_ms: Annotated[
        float | None, typer.Option(help="Milliseconds a face on one core; slower designs are not trained.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Of each trial: a few tell enough. Usual: compact 6, tutorial 10.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Of the draws and the trainings.")] = None,
    out: Annotated[
        Path | None, typer.Option(help="The folder for ledger, front and recipes; usually where the study's file is.")
    ] = None,
    json_file: JsonFile = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:
    """Draw designs, measure each on this machine, train it for a few epochs, and keep what none beats in both accuracy
    on PublicTest and milliseconds a face.

    Every trial is in the study at once: after Ctrl-C the same command goes on. Several machines may search at the same
    address.
    """
    _require_search()
    from manyfaces.cli.emotion_data import cut_already, read_for_training
    from manyfaces.train.search import Wanted, search
    from manyfaces.train.study import records, shown

    wanted = Wanted(trials, space, epochs, seed, math.inf if max_ms is None else max_ms)
    folder = out or _beside(study)
    if json_file:
        refuse_figures(json_file, FIGURES, [data])
    faces = read_for_training(data, folder, quiet=quiet)
    try:
        with _Watch(trials, quiet, faces.selection) as watch:
            terms = search(study, faces, folder, wanted, this_machine(), watch)
    except (KeyboardInterrupt, SystemExit):
        _draw(records(study), folder)
        complain(f"{shown(study)}: broken off; all that was found is kept, and the same command goes on")
        raise
    found = records(study)
    _draw(found, folder)
    figures = _figures(found, terms, study, folder, cut_already(data, folder))
    if json_file:
        write_figures(json_file, figures)
    if not figures["front"]:
        complain(f"{shown(study)}: no trial was trained to its end ({_counted(found)}); see {folder / 'ledger.jsonl'}")
        raise typer.Exit(NOTHING_DONE)
    if not quiet:
        _show(figures, found, folder, faces.selection)


def _require_search() -> None:
    if not (find_spec("torch") and find_spec("optuna")):
        raise MissingExtra("searching", "train")


def _beside(study: str) -> Path:
    """The study's folder; a study on a server has none."""
    from manyfaces.train.study import file_of

    path = file_of(study)
    if path is None:
        raise UsageError("--out: a study that is no file has no folder of its own; say where the ledger goes")
    return path.parent


# --- this machine ----------------------------------------------------------------------------------------------------


def this_machine() -> Machine:
    from manyfaces.bench.machine import machine
    from manyfaces.train.search import Machine

    return Machine(machine()["processor"], milliseconds)


def milliseconds(network: EmotionNet, design: Design) -> float:
    """A face, in batches of eight, on one core, through OpenVINO as it is served.

    Of several rounds the quickest counts: whatever else runs on the machine only ever makes one slower.
    """
    import numpy as np

    from manyfaces.runtime import OWN_AFTER, Runtime, load_network
    from manyfaces.train.emotion import spec_of

    spec = spec_of(design)
    served = load_network(_exported(network, spec), spec, Runtime(threads=1))
    shape = (FACES, spec.height, spec.width, spec.depth)
    pixels = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    for _ in range(OWN_AFTER + 2):
        served(pixels)
    return min(_round(lambda: served(pixels)) for _ in range(ROUNDS)) / FACES


def _exported(network: EmotionNet, spec: InputSpec) -> bytes:
    from manyfaces.train.export import export_probabilities

    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "model.onnx"
        export_probabilities(network, 1.0, spec, path)
        return path.read_bytes()


def _round(call: Callable[[], object]) -> float:
    """Milliseconds of one call, over as many as fill a round."""
    start, calls = time.perf_counter(), 0
    while time.perf_counter() - start < ROUND_SECONDS:
        call()
        calls += 1
    return 1000 * (time.perf_counter() - start) / calls


# --- while it searches -----------------------------------------------------------------------------------------------


class _Watch:
    """A line for every trial and epoch, and a bar for the batches of the trial that is trained."""

    def __init__(self, trials: int, quiet: bool, selection: str) -> None:
        self._trials, self._quiet, self._selection = trials, quiet, selection
        self._count = 0
        self._steps: Steps | None = None

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self._stop()

    def begun(self, number: int, design: Design, milliseconds: float) -> None:
        from manyfaces.train.spaces import described

        self._say(f"trial {number}: {described(design)}; {milliseconds:.3f} ms a face")

    def told(self, progress: Progress) -> None:
        if progress.figures:
            accuracy, seconds = progress.figures["accuracy"], progress.figures["seconds"]
            self._say(f"  epoch {progress.epoch} of {progress.epochs}: {accuracy:.1%}, {seconds:.0f} s")
            return
        if self._steps is None:
            left = (progress.epochs - progress.epoch) * progress.batches
            self._steps = Steps(f"trial {self._count + 1} of {self._trials}", left, self._quiet).__enter__()
        self._steps.advance()

    def ended(self, record: Record) -> None:
        self._stop()
        self._count += 1
        is_whole = record.state == "complete"
        what = f"{record.accuracy:.2%} of {self._selection}" if is_whole else f"{record.state}, {record.reason}"
        self._say(f"trial {record.number}: {what} ({self._count} of {self._trials})")

    def _stop(self) -> None:
        if self._steps:
            self._steps.__exit__(None, None, None)
            self._steps = None

    def _say(self, line: str) -> None:
        if not self._quiet:
            typer.echo(line, err=True)


# --- what was found --------------------------------------------------------------------------------------------------


def _draw(found: Sequence[Record], folder: Path) -> None:
    from manyfaces.sinks.files import writing
    from manyfaces.train.front import plot_front
    from manyfaces.train.study import completed

    if completed(found):
        with writing(folder / "front.png"):
            plot_front(found, f"{_many(len(found), 'design')}: {_counted(found)}", folder / "front.png")


def _counted(found: Sequence[Record]) -> str:
    """How many trials ended how; of those that were stopped, why."""
    counts = Counter(one.reason.partition(":")[0] if one.state == "pruned" else one.state for one in found)
    return ", ".join(f"{count} {what}" for what, count in counts.most_common())


def _figures(found: Sequence[Record], terms: Terms, study: str, folder: Path, data: Path) -> dict[str, Any]:
    from dataclasses import asdict

    from manyfaces.train.study import front, shown

    best = front(found)
    return {
        "study": shown(study),
        "terms": asdict(terms),
        "trials": dict(Counter(one.state for one in found)),
        "processors": sorted({one.processor for one in found if one.milliseconds is not None}),
        "front": [_row(one, folder) for one in best],
        "best": _row(best[-1], folder) | {"command": _command(best[-1], terms, folder, data)} if best else None,
    }


def _row(one: Record, folder: Path) -> dict[str, Any]:
    from manyfaces.train.search import folder_of

    kept = ("number", "accuracy", "milliseconds", "parameters", "design_hash", "design", "seed", "epochs", "processor")
    whole = one.as_dict()
    return {name: whole[name] for name in kept} | {"recipe": str(folder_of(folder, one.number) / "recipe.json")}


def _command(best: Record, terms: Terms, folder: Path, data: Path) -> str:
    from manyfaces.train.search import folder_of
    from manyfaces.train.spaces import find_space

    place = folder_of(folder, best.number)
    epochs = find_space(terms.space).recipe.plan.epochs
    words = ["manyfaces", "train", "emotion", "--data", data, "--recipe", place / "recipe.json"]
    return shlex.join(map(str, [*words, "--epochs", epochs, "--out", place / "whole"]))


def _show(figures: dict[str, Any], found: Sequence[Record], folder: Path, selection: str) -> None:
    from rich.console import Console
    from rich.table import Table

    from manyfaces.train.designs import design_from_dict
    from manyfaces.train.spaces import described

    console = Console(width=None if Console().is_terminal else 160)
    designs = [design_from_dict(row["design"]) for row in figures["front"]]
    table = Table("trial", "design", title="What none beats in both", caption=_legend(designs))
    table.title_justify = table.caption_justify = "left"
    for name in (selection, "ms a face", "parameters"):
        table.add_column(name, justify="right", no_wrap=True)
    for row, design in zip(figures["front"], designs, strict=True):
        cells = (f"{row['accuracy']:.2%}", f"{row['milliseconds']:.3f}", f"{row['parameters']:,}")
        table.add_row(str(row["number"]), described(design), *cells)
    console.print(table)
    for line in _notes(figures, found, folder):
        console.print(line, markup=False, highlight=False, soft_wrap=True)


def _many(count: int, what: str) -> str:
    return f"{count} {what}{'' if count == 1 else 's'}"


def _legend(designs: Sequence[Design]) -> str:
    """What the designs' codes mean, of the kinds that are there."""
    meanings = {
        "genotype": "40/2-24, max: a module of 40 filters that halves the picture, one of 24, then each map's maximum",
        "residual": "stem 32, 2x64: 32 channels to begin with, then 2 blocks of 64; squeeze: channels are weighed",
    }
    kinds = {design.kind for design in designs}
    return "\n".join(meaning for kind, meaning in meanings.items() if kind in kinds)


def _notes(figures: dict[str, Any], found: Sequence[Record], folder: Path) -> list[str]:
    terms, processors = figures["terms"], figures["processors"]
    several = [f"Milliseconds are of {len(processors)} kinds of processor: {', '.join(processors)}."]
    return [
        f"{_many(len(found), 'trial')} of the space {terms['space']}, {_many(terms['epochs'], 'epoch')} each: "
        f"{_counted(found)}.",
        *(several if len(processors) > 1 else []),
        f"The picture: {folder / 'front.png'}; every trial: {folder / 'ledger.jsonl'}",
        f"To train the most accurate of them fully: {figures['best']['command']}",
    ]
