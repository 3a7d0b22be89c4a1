"""What a classifier takes for what, and how far it may be believed: two pictures, drawn without a window."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from manyfaces.errors import MissingExtra, OutputError
from manyfaces.train.evaluate import Reliability
from manyfaces.types import Integers

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

INK, PAPER, RIGHT, GAP, FAINT = "#1b2733", "white", "#1d6fb5", "#b5651d", "#8a949e"
DARK = 0.55
"""The share from which a cell is so dark that its writing must be light."""


def draw_confusion(counts: Integers, names: Sequence[str], path: Path) -> None:
    """Rows are the true classes and shaded by their shares, since a rare class would else be white; cells also say how
    many pictures they are."""
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    side = 1.6 + 0.82 * len(names)
    figure = _figure(side, side * 0.86)
    axes = figure.subplots()
    shading = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for (true, said), count in np.ndenumerate(counts):
        _write_cell(axes, said, true, float(shares[true, said]), int(count))
    axes.set_xticks(range(len(names)), names, rotation=30, ha="right", rotation_mode="anchor")
    totals = [f"{name}\n{total:,}" for name, total in zip(names, counts.sum(axis=1), strict=True)]
    axes.set_yticks(range(len(names)), totals)
    axes.tick_params(length=0)
    axes.set_xlabel("what the network says")
    axes.set_ylabel("what the label says, and how many pictures")
    right = float(np.trace(counts) / max(counts.sum(), 1))
    axes.set_title(f"{right:.1%} of {counts.sum():,} pictures named as labelled", loc="left")
    bar = figure.colorbar(shading, ax=axes, fraction=0.04, pad=0.02, format=lambda share, _: f"{share:.0%}")
    bar.set_label("share of the row")
    _save(figure, path)


def _write_cell(axes: Axes, column: int, row: int, share: float, count: int) -> None:
    colour = PAPER if share > DARK else INK
    axes.text(column, row - 0.1, f"{share:.0%}", ha="center", va="center", color=colour, fontsize=10)
    axes.text(column, row + 0.24, f"{count:,}", ha="center", va="center", color=colour, fontsize=7, alpha=0.8)


def draw_calibration(found: Reliability, path: Path) -> None:
    """The share that is right over how sure the network was; beneath, how many pictures it was so sure of."""
    figure = _figure(5.6, 6.2)
    upper, lower = figure.subplots(2, sharex=True, height_ratios=(3, 1))
    filled = found.counts > 0
    edges = np.linspace(0, 1, len(found.counts) + 1)
    middles, width = (edges[:-1] + edges[1:]) / 2, 0.92 / len(found.counts)
    upper.bar(middles[filled], found.accuracy[filled], width, color=RIGHT, label="share that is right")
    upper.vlines(found.confidence[filled], *_ends(found, filled), color=GAP, linewidth=2.5, label="gap between the two")
    upper.plot([0, 1], [0, 1], color=INK, linewidth=1, linestyle="--", label="as sure as right")
    upper.set(xlim=(0, 1), ylim=(0, 1), ylabel="share that is right")
    upper.set_title(f"expected calibration error {found.error:.3f}, {found.counts.sum():,} pictures", loc="left")
    upper.legend(loc="upper left", frameon=False)
    lower.bar(middles, found.counts / max(found.counts.sum(), 1), width, color=FAINT)
    lower.set(ylabel="share of pictures", xlabel="how sure the network was")
    for axes in (upper, lower):
        axes.xaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.yaxis.set_major_formatter(lambda share, _: f"{share:.0%}")
        axes.spines[["top", "right"]].set_visible(False)
    _save(figure, path)


def _ends(found: Reliability, filled: np.ndarray[tuple[int], np.dtype[np.bool_]]) -> tuple[object, object]:
    return found.accuracy[filled], found.confidence[filled]


def _figure(width: float, height: float) -> Figure:
    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtra("drawing figures", "train") from None
    return Figure(figsize=(width, height), layout="constrained", facecolor=PAPER)


def _save(figure: Figure, path: Path) -> None:
    try:
        figure.savefig(path, dpi=150, format="png")
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); choose another place") from None
