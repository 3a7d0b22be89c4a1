"""The picture: what an item takes and how large the file is, form by form, with the points lost beside the names."""

from __future__ import annotations

import io
from collections.abc import Sequence

from manyfaces.errors import MissingExtra
from manyfaces.optimize.report import Report
from manyfaces.optimize.work import Row

try:
    from matplotlib.figure import Figure
except ModuleNotFoundError:
    raise MissingExtra("drawing the picture", "optimize") from None

COLOURS = {"onnx": "#0072b2", "openvino": "#d55e00", "litert": "#009e73"}
CHOSEN = "#1b1f24"


def plot(report: Report) -> bytes:
    """Bars of milliseconds and of file size, form by form: PNG."""
    rows = [row for row in report.outcome.rows if row.form and row.cost]
    figure = Figure(figsize=(9, 1.2 + 0.36 * len(rows)), layout="constrained")
    times, sizes = figure.subplots(1, 2, sharey=True)
    by = report.wanted.by
    _bars(times, rows, [row.cost.each(by) if row.cost else 0 for row in rows], "{:.3g}")
    _bars(sizes, rows, [row.form.size / 1024 if row.form else 0 for row in rows], "{:,.0f}")
    times.set_xlabel(f"ms an item, batches of {by}, one thread")
    sizes.set_xlabel("file, KB")
    times.set_yticks(range(len(rows)), [_label(row) for row in rows])
    for label, row in zip(times.get_yticklabels(), rows, strict=True):
        label.set_fontweight("bold" if row.name == report.outcome.chosen.name else "normal")
    times.invert_yaxis()
    figure.suptitle(f"{report.original.name}: {report.outcome.chosen.name} is chosen", fontsize="medium")
    content = io.BytesIO()
    figure.savefig(content, dpi=120, format="png")
    return content.getvalue()


def _label(row: Row) -> str:
    lost = "" if row.verdict is None else f"   {row.verdict.drop:+.2f}"
    return f"{row.name}{lost}"


def _bars(axes: object, rows: Sequence[Row], values: Sequence[float], shown: str) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axes, Axes)
    colours = [COLOURS[row.form.format] if row.form else CHOSEN for row in rows]
    bars = axes.barh(range(len(rows)), values, color=colours, height=0.7)
    axes.bar_label(bars, [shown.format(value) for value in values], padding=3, fontsize="small")
    axes.set_xlim(0, max(values, default=1) * 1.18)
    axes.spines[["top", "right"]].set_visible(False)
