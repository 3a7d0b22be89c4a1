"""Two curves of an identity score, side by side: pairs of photos, and strangers before galleries."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from manyfaces.errors import MissingExtra
from manyfaces.evaluate.identity import IdentityScore
from manyfaces.evaluate.open_set import OpenPoint
from manyfaces.sinks.files import write_whole

if TYPE_CHECKING:
    from matplotlib.axes import Axes

LEAST = 1e-4
"""What is nothing is drawn here: the scales are logarithmic."""


def plot_identity(score: IdentityScore, path: Path) -> None:
    """Draw the curves into a PNG file, whole or not at all."""
    from io import BytesIO

    try:
        from matplotlib.figure import Figure
    except ModuleNotFoundError:
        raise MissingExtra("drawing curves", "train") from None
    figure = Figure(figsize=(11, 4.8), layout="constrained")
    left, right = figure.subplots(1, 2)
    _draw_pairs(left, score.verification)
    _draw_galleries(right, score.open_curve)
    drawn = BytesIO()
    figure.savefig(drawn, dpi=120, format="png")
    write_whole(path, drawn.getvalue())


def _draw_pairs(axes: Axes, verification: dict[str, object]) -> None:
    curve = np.array(verification["curve"], np.float64).reshape(-1, 2)
    axes.plot(np.maximum(curve[:, 0], LEAST), curve[:, 1], color="#1d6fb5")
    axes.set(xscale="log", xlim=(LEAST, 1), xlabel="different people accepted", ylabel="same people accepted")
    axes.set_ylim(max(float(curve[:, 1].min()) - 0.01, 0), 1.002)
    axes.set_title(f"every pair of photos ({verification['genuine']} of one person)", fontsize="medium")
    axes.grid(alpha=0.3)


def _draw_galleries(axes: Axes, points: Sequence[OpenPoint]) -> None:
    """A line per size of gallery through the rates it was calibrated for; the ring is the stated 1 %."""
    for size in sorted({point.enrolled for point in points}):
        line = [point for point in points if point.enrolled == size]
        shares = np.maximum([(point.fpir, point.fnir) for point in line], LEAST)
        (drawn,) = axes.plot(shares[:, 0], shares[:, 1], marker=".", label=f"{size} people")
        ring = np.array([stated == 0.01 for stated in (point.stated for point in line)])
        axes.plot(shares[ring, 0], shares[ring, 1], "o", markersize=9, fillstyle="none", color=drawn.get_color())
    axes.axvline(0.01, color="grey", linewidth=0.8, linestyle=":")
    axes.set(
        xscale="log",
        yscale="log",
        xlabel="strangers given a name (none: 0.0001)",
        ylabel="enrolled people missed (none: 0.0001)",
    )
    axes.set_title("galleries that must also know strangers (ring: stated 1 %)", fontsize="medium")
    axes.grid(alpha=0.3, which="both")
    if points:
        axes.legend(fontsize="small")
