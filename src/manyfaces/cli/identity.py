"""What `manyfaces evaluate identity` does between its options and its tables."""

from __future__ import annotations

from dataclasses import asdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console
from rich.table import Column, Table

from manyfaces.cli.figures import refuse_figures, write_figures
from manyfaces.cli.files import refuse_clashes
from manyfaces.errors import MissingExtra, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from manyfaces.evaluate.identity import IdentityScore
    from manyfaces.evaluate.open_set import OpenPoint
    from manyfaces.evaluate.shares import Interval

SHOWN = 0.01
"""The stated rate of the galleries in the table; the file and the plot have them all."""


def refuse(plot: Path | None, json_file: Path | None, data: Path) -> None:
    """What cannot be written is said before the photos are read."""
    if plot and find_spec("matplotlib") is None:
        raise MissingExtra("drawing curves", "train")
    refuse_clashes([file for file in (plot, json_file) if file], [data])
    if plot:
        _refuse_plot(plot, data)
    if json_file:
        refuse_figures(json_file, {"accuracy"})


def _refuse_plot(plot: Path, data: Path) -> None:
    """A picture is written over; one of the photos never."""
    from manyfaces.sinks.files import refuse_device, writing

    if plot.suffix.lower() != ".png":
        raise UsageError(f"{plot}: the curves are a PNG file; give a name that ends in .png")
    if data.resolve() in plot.resolve().parents:
        raise UsageError(f"{plot}: it would lie among the photos; write the curves outside {data}")
    with writing(plot):
        refuse_device(plot)


def show(score: IdentityScore) -> None:
    console = Console()
    console.print(_rules(score))
    if score.wrong:
        console.print(_wrong(score))
    console.print(_pairs(score))
    console.print(_galleries(score))


def write(score: IdentityScore, people: int, plot: Path | None, json_file: Path | None) -> None:
    if plot:
        from manyfaces.evaluate.identity_plot import plot_identity

        plot_identity(score, plot)
    if json_file:
        write_figures(json_file, {**asdict(score), "people": people})


def _rules(score: IdentityScore) -> Table:
    title = f"{score.pictures} photos, {score.splits} splits; {len(score.undetected)} without a face"
    if score.copies:
        title += f", {len(score.copies)} nearly the same as another"
    table = Table("compared with", "right", "95 of 100 times", title=title)
    for name, figures in score.rules.items():
        star = " *" if name == score.rule else ""
        table.add_row(name + star, f"{figures['accuracy']:.2%}", _between(figures["interval"]))
    return table


def _wrong(score: IdentityScore) -> Table:
    table = Table(Column("photo", overflow="fold"), "taken for", "similarity", "splits")
    for mistake in score.wrong:
        similarity = "" if mistake.similarity is None else f"{mistake.similarity:.3f}"
        table.add_row(mistake.picture, mistake.taken_for or "no face found", similarity, str(mistake.splits))
    return table


def _pairs(score: IdentityScore) -> Table:
    pairs = score.verification
    table = Table("pairs of photos", "accepted of one person", title="the same person or not")
    for far, accepted in pairs["tar_at_far"].items():
        table.add_row(f"{float(far):.1%} of different people accepted", f"{accepted:.2%}")
    table.add_row("as many missed as accepted wrongly", f"{1 - pairs['eer']:.2%}")
    return table


def _galleries(score: IdentityScore) -> Table:
    title = f"strangers before a gallery calibrated for {SHOWN:.0%} of them"
    table = Table("enrolled", "strangers named", "", "enrolled missed", "", title=title)
    single = score.open_set
    table.add_row(
        "all but one", f"{single['fpir']:.1%}", _between(single["fpir_interval"]),
        f"{single['fnir']:.1%}", _between(single["fnir_interval"]),
    )  # fmt: skip
    for point in _at(score.open_curve, SHOWN):
        table.add_row(
            str(point.enrolled), f"{point.fpir:.1%}", _between(point.fpir_interval),
            f"{point.fnir:.1%}", _between(point.fnir_interval),
        )  # fmt: skip
    return table


def _at(points: Sequence[OpenPoint], stated: float) -> list[OpenPoint]:
    return [point for point in points if point.stated == stated]


def _between(interval: Interval) -> str:
    return f"{interval[0]:.1%} to {interval[1]:.1%}"
