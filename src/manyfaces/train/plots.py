"""Pictures of figures, for people: PNG files, drawn by matplotlib without a window or any global state."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from manyfaces.errors import MissingExtra
from manyfaces.train.files import write_whole

try:
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator
except ModuleNotFoundError:
    raise MissingExtra("drawing curves", "train") from None

LOSS, ACCURACY = "#b5651d", "#1d6fb5"


def plot_course(log: Sequence[Mapping[str, float]], path: Path) -> None:
    """The training loss and the accuracy on PublicTest over the epochs, each on its own scale, the best marked."""
    figure = Figure(figsize=(8, 4.5), layout="constrained")
    losses = figure.subplots()
    accuracies = losses.twinx()
    epochs = [row["epoch"] for row in log]
    best = max(log, key=lambda row: row["accuracy"])
    losses.plot(epochs, [row["loss"] for row in log], color=LOSS, marker="." if len(log) == 1 else "")
    accuracies.plot(epochs, [100 * row["accuracy"] for row in log], color=ACCURACY)
    accuracies.plot(best["epoch"], 100 * best["accuracy"], "o", color=ACCURACY)
    accuracies.set_title(
        f"best: {best['accuracy']:.1%} in epoch {best['epoch']:.0f}", color=ACCURACY, fontsize="medium"
    )
    losses.set_xlabel("epoch")
    losses.xaxis.set_major_locator(MaxNLocator(integer=True))
    losses.set_ylabel("loss in training", color=LOSS)
    accuracies.set_ylabel("accuracy on PublicTest, %", color=ACCURACY)
    write_whole(path, lambda fresh: figure.savefig(fresh, dpi=120, format="png"))
