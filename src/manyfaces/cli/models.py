"""`manyfaces models` and `manyfaces doctor`: what is installed, where it comes from, and what is wrong."""

from __future__ import annotations

import os
import platform
import shutil
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from manyfaces.cli.outcome import DONE, NOTHING_DONE
from manyfaces.errors import ManyfacesError, OutputError
from manyfaces.options import default_gallery

app = typer.Typer(no_args_is_help=True, help="The networks: where they come from, their hashes and terms.")

EXTRAS = {
    "parquet": "pyarrow",
    "onnxruntime": "onnxruntime",
    "train": "torch",
    "serve": "fastapi",
    "cluster": "ray",
    "litert": "ai_edge_litert",
    "keras": "keras",
}
"""Each extra and the module that shows whether it is installed."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was looked at: whether it is well, what was seen, how to mend it, and whether there is such a
    thing at all: where there need not be, that is well too."""

    name: str
    well: bool
    seen: str
    mend: str = ""
    there: bool = True

    @property
    def mark(self) -> str:
        if not self.well:
            return "[red]no[/]"
        return "[green]ok[/]" if self.there else "-"


@app.command("list")
def list_models() -> None:
    """Every network that is used unless told otherwise, with its terms."""
    from manyfaces.weights import PACKAGED, find

    table = Table("model", "", show_lines=True)
    for name in PACKAGED:
        card, path = find(name)
        figures = {"task": card.task, "terms": card.licence, "trained by": card.trained_by, "SHA-256": card.sha256}
        lines = [f"{what}: {said}" for what, said in {**figures, "file": path.name}.items()]
        table.add_row(card.name, escape("\n".join([*lines, *card.notes])))
    _print(table)


@app.command("check")
def check_models() -> None:
    """Compare every model file with its card and run it once."""
    _report([_looked_at(name, _check(name)) for name in _packaged()])


def doctor() -> None:
    """What is installed, what is missing or wrong, and how to mend it."""
    findings = [
        *_machine(),
        _kernels(),
        _tuning(),
        *(_looked_at(name, _check(name)) for name in _packaged()),
        *_extras(),
        _gallery(),
    ]
    _report(findings)


def _packaged() -> tuple[str, ...]:
    from manyfaces.weights import PACKAGED

    return PACKAGED


def _check(name: str) -> Callable[[], str]:
    def run() -> str:
        import numpy as np

        from manyfaces.runtime import Runtime, load_network
        from manyfaces.weights import load

        weights = load(name)
        spec = weights.card.input
        blank = np.zeros((1, spec.height or 64, spec.width or 64, spec.depth), np.uint8)
        load_network(weights.content, spec, Runtime(precision="f32"))(blank)
        return f"{weights.card.name}, {len(weights.content):,} bytes, {weights.card.licence}, hash right, runs"

    return run


def _looked_at(name: str, look: Callable[[], str]) -> Finding:
    try:
        return Finding(name, True, look())
    except ManyfacesError as error:
        return Finding(name, False, "cannot be used", str(error))


def _machine() -> Iterator[Finding]:
    import cv2

    from manyfaces.plans import this_machine
    from manyfaces.runtime import installed_libraries

    machine = this_machine()
    yield Finding("manyfaces", True, f"{metadata.version('manyfaces')} on Python {platform.python_version()}")
    yield Finding("processor", True, f"{machine.processor}, {machine.cores} cores for this process")
    for library, version in installed_libraries().items():
        yield Finding(library, True, version)
    text = "draws every script" if hasattr(cv2, "FontFace") else "draws names without accents; version 5 draws them all"
    haar = "carries the Haar cascade" if hasattr(cv2, "CascadeClassifier") else "no longer carries the Haar cascade"
    yield Finding("opencv", True, f"{cv2.__version__}: {text}, {haar}")
    free = shutil.disk_usage(Path.cwd()).free // 2**20
    mend = "" if free > 200 else "free some disk before long work"
    yield Finding("disk", free > 200, f"{free:,} MB free here", mend)


def _kernels() -> Finding:
    from manyfaces.kernels import KERNELS, interpreted

    slow = interpreted()
    if not slow:
        return Finding("kernels", True, f"compiled: {', '.join(KERNELS)}")
    mend = "install a C compiler, then manyfaces again from its source: pip install --force-reinstall --no-deps ."
    return Finding("kernels", True, f"not compiled, so slow in a crowd: {', '.join(slow.values())}; {mend}")


def _tuning() -> Finding:
    """A plan that cannot be used is passed over, so all is well; but it is said."""
    from manyfaces.plans import TAKES, kept

    found = kept()
    if found.warning:
        return Finding("tuning", True, found.warning, there=False)
    if not found.is_tuned:
        return Finding("tuning", True, f"not tuned: run  manyfaces tune, about {TAKES} seconds", there=False)
    plan, spending = found.plan, found.plan.spending
    ways = [f"{task} {way.backend} {way.precision}, {way.batch} at once" for task, way in plan.ways.items()]
    cores = f"workers {spending.workers}, callers {spending.callers}, threads {spending.threads or 'usual'}"
    told = "; ".join([*(ways or ["networks as untuned"]), cores])
    return Finding("tuning", True, f"{plan.made[:10]}: {told}; {plan.speedup:.2f} times as fast as untuned")


def _extras() -> Iterator[Finding]:
    for extra, module in EXTRAS.items():
        there = find_spec(module) is not None
        seen = "installed" if there else f"not installed; pip install '.[{extra}]' adds it"
        yield Finding(f"extra {extra}", True, seen, there=there)


def _gallery() -> Finding:
    path = default_gallery()
    there = path.exists()
    return Finding("gallery", True, str(path) if there else f"none yet; people add makes {path}", there=there)


def _console() -> Console:
    return Console(width=None if Console().is_terminal else 200)


def _report(findings: list[Finding]) -> None:
    table = Table("", "part", "seen")
    for finding in findings:
        table.add_row(finding.mark, finding.name, escape(finding.mend or finding.seen))
    _print(table)
    raise typer.Exit(DONE if all(finding.well for finding in findings) else NOTHING_DONE)


def _print(table: Table) -> None:
    """What could not be printed, as where the disk is full, must not be tried again when Python ends."""
    from manyfaces.sinks.files import writing

    try:
        with writing("standard output"):
            _console().print(table)
    except OutputError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise
