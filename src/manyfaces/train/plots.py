"""Pictures of figures, for people: PNG files, drawn by matplotlib without a window or any global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeAlias

from manyfaces.errors import MissingExtra
from manyfaces.train.files import write_whole

try:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
except ModuleNotFoundError:
    raise MissingExtra("drawing curves", "train") from None

LOSS, ACCURACY = "#b5651d", "#1d6fb5"
Keep: TypeAlias = Literal["best", "last"]


def plot_course(
    log: Sequence[Mapping[str, float]], path: Path, judged: str = "PublicTest", keep: Keep = "best"
) -> None:
    """The training loss and the accuracy on what is `judged` on over the epochs, each on its own scale. Marked is what
    is kept: the best epoch or the last."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    losses = figure.subplots()
    accuracies = losses.twinx()
    epochs = [row["epoch"] for row in log]
    marked = log[-1] if keep == "last" else max(log, key=lambda row: row["accuracy"])
    losses.plot(epochs, [row["loss"] for row in log], color=LOSS, marker="." if len(log) == 1 else "")
    accuracies.plot(epochs, [100 * row["accuracy"] for row in log], color=ACCURACY)
    accuracies.plot(marked["epoch"], 100 * marked["accuracy"], "o", color=ACCURACY)
    accuracies.set_title(
        f"{keep}: {marked['accuracy']:.1%} in epoch {marked['epoch']:.0f}", color=ACCURACY, fontsize="medium"
    )
    losses.set_xlabel("epoch")
    losses.xaxis.set_major_locator(MaxNLocator(integer=True))
    losses.set_ylabel("loss in training", color=LOSS)
    accuracies.set_ylabel(f"accuracy on {judged}, %", color=ACCURACY)
    write_whole(path, lambda fresh: figure.savefig(fresh, dpi=120, format="png"))
