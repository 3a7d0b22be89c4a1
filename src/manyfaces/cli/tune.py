"""`manyfaces tune`: measures this machine and keeps what is fastest."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from manyfaces.cli.evaluate import JsonFile
from manyfaces.cli.figures import refuse_figures, write_figures
from manyfaces.cli.outcome import complain
from manyfaces.cli.progress import Steps
from manyfaces.errors import InputError, UsageError

if TYPE_CHECKING:
    from manyfaces.plans import Row, TunedPlan
    from manyfaces.types import Pixels

MOST_PICTURES = 60
"""Of the user's own that answers are checked on; more would only take longer."""

FIGURES = ("machine", "ways", "measured")
"""What a file of an earlier run holds, and a plan too."""


def tune(
    pictures: Annotated[Path | None, typer.Option(help="Check the answers on the faces of this folder too.")] = None,
    json_file: JsonFile = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Measure, but keep nothing.")] = False,
    forget: Annotated[bool, typer.Option("--forget", help="Remove the plan of this machine; measure nothing.")] = False,
    quick: Annotated[
        bool, typer.Option("--quick", help="A short try; what it finds is worth little, so nothing is kept.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:
    """Measure how this machine runs the networks fastest, without changing what is said, and keep it as its plan."""
    if forget:
        _forget(alone=not (pictures or json_file or dry_run or quick))
        return
    from manyfaces.plans import as_dict, keep, refuse_unkeepable, this_machine
    from manyfaces.tune import QUICK, Scope, expected_steps
    from manyfaces.tune import tune as measure

    machine, keeps = this_machine(), not (dry_run or quick)
    if keeps:
        refuse_unkeepable(machine)
    if json_file:
        refuse_figures(json_file, FIGURES)
    own = _own(pictures) if pictures else []
    if not quiet:
        _warn()
    scope, start = QUICK if quick else Scope(), time.monotonic()
    with Steps("measuring", expected_steps(scope), quiet) as steps:
        plan = measure(scope, own, steps.advance)
    seconds = round(time.monotonic() - start, 1)
    path: Path | None = None
    try:
        path = keep(plan, machine) if keeps else None
    finally:  # what took minutes to measure is told even if it cannot be kept
        if json_file:
            kept = str(path) if path else None
            write_figures(json_file, {**as_dict(plan, machine), "seconds": seconds, "kept": kept})
        if not quiet:
            _show(plan, path, quick)


def _forget(alone: bool) -> None:
    from manyfaces.plans import forget

    if not alone:
        raise UsageError("--forget: this removes the plan and measures nothing; leave the other options out")
    typer.echo("The plan of this machine is removed." if forget() else "There was no plan of this machine.")


def _warn() -> None:
    from manyfaces.bench.machine import busy

    if told := busy():
        complain(told)


def _own(folder: Path) -> list[Pixels]:
    from manyfaces.sources import expand, kind_of, read_picture

    names = [name for name in expand([str(folder)]) if kind_of(name) == "picture"]
    if not names:
        raise InputError(f"{folder}: there is no picture to check the answers on; name a folder that holds some")
    return [read_picture(Path(name)) for name in names[:MOST_PICTURES]]


def _show(plan: TunedPlan, path: Path | None, quick: bool) -> None:
    console = Console(width=None if Console().is_terminal else 200)
    table = Table("", "part", "choice", "ms", "time against default", "deviation from f32")
    for number, row in enumerate(plan.measured):
        starts_a_part = number and row.part != plan.measured[number - 1].part
        if starts_a_part:
            table.add_section()
        table.add_row("[green]chosen[/]" if row.chosen else "", *map(escape, _cells(row)))
    console.print(table)
    console.print(f"Tuned is {plan.speedup:.2f} times as fast as untuned{_why(plan)}.")
    kept = "Nothing was kept: a quick try is worth little." if quick else "Nothing was kept."
    console.print(f"Kept in {path}" if path else kept, soft_wrap=True, markup=False)


def _why(plan: TunedPlan) -> str:
    from manyfaces.tune import WORTH

    if plan.ways or plan.speedup != 1:
        return ""
    return f": nothing was faster than the defaults by more than {WORTH:.0%}"


def _cells(row: Row) -> list[str]:
    times = ", ".join(f"{what} {value:.1f}" for what, value in row.milliseconds.items())
    deviation = ", ".join(f"{what} {value:.3g}" for what, value in row.deviation.items() if what != "least cosine")
    if "least cosine" in row.deviation:
        deviation = f"least cosine {row.deviation['least cosine']:.5f}"
    return [row.part, _choice(row), times, f"{row.ratio:.2f}", deviation if row.allowed else f"too far: {deviation}"]


def _choice(row: Row) -> str:
    said = dict(row.choice)
    if "workers" not in said:
        return ", ".join(map(str, said.values()))
    said["threads"] = said["threads"] or "usual"
    return f"{said.pop('networks')} networks; {', '.join(f'{name} {value}' for name, value in said.items())}"
