"""The picture of a search: what accuracy costs."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from manyfaces.errors import MissingExtra
from manyfaces.train.study import Record, completed, front

try:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter
except ModuleNotFoundError:
    raise MissingExtra("drawing the front of a search", "train") from None

FRONT, OTHERS, STOPPED = "#1d6fb5", "#8a8f98", "#c9a27a"
MOST_LABELS = 5
LABEL = (0.19, 0.055)
"""How wide and high a label is, in shares of the picture."""


def plot_front(found: Sequence[Record], title: str, path: Path) -> None:
    """Accuracy against milliseconds a face, these on a scale of ratios: every trial, and those that none beats in both
    connected. What lies below and right of the line costs more than it gives."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    best = front(found)
    numbers = {one.number for one in best}
    stopped = [one for one in found if one.state == "pruned" and one.accuracies]
    _dots(axes, stopped, f"stopped early ({len(stopped)})", STOPPED, "x")
    others = [one for one in completed(found) if one.number not in numbers]
    _dots(axes, others, f"trained ({len(others)})", OTHERS, "o")
    _line(axes, best)
    _dress(axes, title)
    for one in _labelled(axes, best):
        _label(axes, one)
    figure.legend(loc="outside lower center", ncols=3, frameon=False)
    figure.savefig(path, dpi=120)


def _places(found: Iterable[Record]) -> tuple[list[float], list[float]]:
    rows = [(one.milliseconds, 100 * one.accuracy) for one in found if one.milliseconds is not None]
    return [across for across, _ in rows], [up for _, up in rows]


def _dots(axes: Axes, found: Sequence[Record], name: str, color: str, marker: str) -> None:
    if found:
        axes.scatter(*_places(found), s=28, c=color, marker=marker, linewidths=1.2, label=name)


def _line(axes: Axes, best: Sequence[Record]) -> None:
    """In steps: between two trials of the front, the quicker one is the best there is."""
    axes.plot(*_places(best), color=FRONT, drawstyle="steps-post", linewidth=1.4, zorder=3)
    axes.plot(*_places(best), "o", color=FRONT, markersize=7, zorder=4, label=f"the front ({len(best)})")


def _labelled(axes: Axes, best: Sequence[Record]) -> list[Record]:
    """The most accurate ones, but none whose label would run into another's."""
    chosen: list[Record] = []
    for one in reversed(best):
        if len(chosen) < MOST_LABELS and all(_apart(axes, one, other) for other in chosen):
            chosen.append(one)
    return chosen


def _apart(axes: Axes, one: Record, other: Record) -> bool:
    across, up = (abs(here - there) for here, there in zip(_corner(axes, one), _corner(axes, other), strict=True))
    return across > LABEL[0] or up > LABEL[1]


def _corner(axes: Axes, one: Record) -> tuple[float, float]:
    """Where a label begins: left of its dot, and at the left edge of the picture right of it."""
    across, up = _place(axes, one)
    return (across - LABEL[0] if across > LABEL[0] else across), up


def _place(axes: Axes, one: Record) -> tuple[float, float]:
    """In shares of the picture, from its lower left."""
    (across,), (up,) = _places([one])
    place = axes.transAxes.inverted().transform(axes.transData.transform((across, up)))
    return float(place[0]), float(place[1])


def _label(axes: Axes, one: Record) -> None:
    """Above the dot, on the side of `_corner`."""
    is_inside = _place(axes, one)[0] > LABEL[0]
    axes.annotate(
        f"{one.number}: {one.accuracy:.1%}, {one.milliseconds:.2g} ms",
        (one.milliseconds or 0, 100 * one.accuracy),
        xytext=(-7 if is_inside else 4, 6),
        textcoords="offset points",
        ha="right" if is_inside else "left",
        color=FRONT,
        fontsize=9,
    )


def _dress(axes: Axes, title: str) -> None:
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
    axes.xaxis.set_major_formatter(FormatStrFormatter("%g"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.18, y=0.12)
    axes.grid(alpha=0.25)
    axes.set_axisbelow(True)
    axes.set_xlabel("milliseconds a face, one core")
    axes.set_ylabel("accuracy on PublicTest, %")
    axes.set_title(title, fontsize=11)
