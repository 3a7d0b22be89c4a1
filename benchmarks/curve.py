"""The picture of benchmarks/results/speed.json: how speed and age change with the number of faces.

python benchmarks/curve.py            (writes results/speed.png and speed.svg; measures nothing)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import FixedLocator, FuncFormatter, NullLocator

RESULTS = Path(__file__).parent / "results" / "speed.json"
REAL_TIME = 25
INK, FAINT = "#222222", "#767676"
LINES = {
    ("budget", "both"): ("default\nbudget", "#0072B2", "o"),
    ("every-face", "both"): ("every face,\nevery frame", "#D55E00", "s"),
}
"""Colours that people with any colour vision tell apart (Okabe and Ito), and marks that differ without colour."""

Row = dict[str, Any]
Points = tuple[list[int], list[float]]


def draw(figures: dict[str, Any], beside: Path) -> list[Path]:
    """A PNG and an SVG beside the JSON file."""
    with plt.rc_context({"font.size": 12, "svg.hashsalt": "manyfaces", "svg.fonttype": "path"}):
        figure, (speed, age) = plt.subplots(1, 2, figsize=(10.4, 4.6), facecolor="white")
        panel(speed, figures["rows"], "fps", "Frames a second, decoding included")
        limit(speed, REAL_TIME, "a camera: 25")
        panel(age, figures["rows"], "p95_ms", "Live: 95 % of results are younger than (ms)")
        figure.text(0.01, 0.012, source(figures), fontsize=9, color=FAINT, ha="left")
        figure.tight_layout(rect=(0, 0.045, 1, 1), w_pad=1.5)
        files = [beside.with_suffix(ending) for ending in (".png", ".svg")]
        figure.savefig(files[0], dpi=160, metadata={"Software": None})
        figure.savefig(files[1], metadata={"Date": None})
        plt.close(figure)
    return files


def points(rows: list[Row], mode: str, heads: str, value: str) -> Points:
    """Faces and figures, the fewest faces first; what was not measured is left out."""
    chosen = sorted(
        (row["faces"], row[value]) for row in rows if (row["mode"], row["heads"]) == (mode, heads) and row[value]
    )
    return [faces for faces, _ in chosen], [figure for _, figure in chosen]


def panel(axes: Axes, rows: list[Row], value: str, title: str) -> None:
    axes.set(xscale="log", yscale="log")
    axes.set_title(title, loc="left", fontsize=12, color=INK)
    axes.set_xlabel("faces in the picture", color=INK)
    every: list[float] = []
    for (mode, heads), (name, colour, mark) in LINES.items():
        faces, values = points(rows, mode, heads, value)
        if faces:
            axes.plot(faces, values, color=colour, marker=mark, linewidth=2.2, markersize=6.5, zorder=3)
            every += values
            label(axes, faces, values, name, colour, is_upper=upper(rows, mode, value))
    ticks(axes, sorted({row["faces"] for row in rows}), every)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)


def upper(rows: list[Row], mode: str, value: str) -> bool:
    """Whether this mode's line lies above the other's, so that its labels go above it."""
    means = {one: sum(points(rows, one, "both", value)[1]) for one in ("budget", "every-face")}
    return means[mode] == max(means.values())


def label(axes: Axes, faces: list[int], values: list[float], name: str, colour: str, *, is_upper: bool) -> None:
    """The line's name at its end, and the figure at each point, on the side where the other line is not."""
    rise, anchor = (8, "bottom") if is_upper else (-9, "top")
    for count, value in zip(faces, values, strict=True):
        said = f"{value:.1f}" if value < 10 else f"{value:.0f}"
        axes.annotate(
            said,
            (count, value),
            (0, rise),
            textcoords="offset points",
            ha="center",
            va=anchor,
            fontsize=10,
            color=colour,
        )
    axes.annotate(
        name, (faces[-1], values[-1]), (11, 0), textcoords="offset points", ha="left", va="center", fontsize=11.5,
        color=colour, fontweight="bold", linespacing=1.05, annotation_clip=False,
    )  # fmt: skip


def ticks(axes: Axes, faces: list[int], values: list[float]) -> None:
    axes.xaxis.set_major_locator(FixedLocator(faces))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_minor_locator(NullLocator())
    low, high = min(values, default=1) / 2.2, max(values, default=10) * 2.2
    steps = [mantissa * 10**power for power in range(-1, 5) for mantissa in (1, 2, 5)]
    axes.set_ylim(low, high)
    axes.yaxis.set_major_locator(FixedLocator([step for step in steps if low <= step <= high]))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.tick_params(colors=INK, labelsize=11)
    axes.grid(axis="y", color="#e4e4e4", linewidth=0.8)
    axes.set_axisbelow(True)


def limit(axes: Axes, value: float, name: str) -> None:
    axes.axhline(value, color=FAINT, linewidth=1.2, linestyle=(0, (4, 3)), zorder=2)
    axes.annotate(name, (1, value), (-6, -4), textcoords="offset points", fontsize=10.5, color=FAINT, va="top")


def source(figures: dict[str, Any]) -> str:
    machine = figures["machine"]
    return (
        f"both heads on, 1280x720 up to 16 faces, 1920x1080 above; {machine['processor']}, {machine['cores']} cores, "
        f"no GPU; commit {figures['commit']}, {figures['date']}"
    )


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    for file in draw(json.loads(place.read_text(encoding="utf-8")), place):
        print(file)
