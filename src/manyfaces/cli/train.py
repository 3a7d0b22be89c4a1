"""`manyfaces train`: networks of your own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from manyfaces.errors import MissingExtra

if TYPE_CHECKING:
    from manyfaces.train.fit import Progress

app = typer.Typer(no_args_is_help=True, help="Train networks of your own; needs the train extra.")


@app.callback()
def _group() -> None:
    """Without this, a group of one command would be taken for the command itself."""


@app.command()
def emotion(
    data: Annotated[Path, typer.Option(help="fer2013.csv, an .npz, or a folder split/class/*.png.")],
    out: Annotated[Path, typer.Option(help="The folder for checkpoints, log, model.onnx and model.json.")],
    recipe: Annotated[str, typer.Option(help="Which network and schedule: compact.")] = "compact",
    epochs: Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's own number.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on where the run in the folder stopped.")] = False,
) -> None:
    """Train on the Training part, select on PublicTest; writes model.onnx, model.json and a log."""
    if find_spec("torch") is None:
        raise MissingExtra("training", "train")
    from manyfaces.train.emotion import train_emotion

    card = train_emotion(data, out, recipe, epochs, resume, _tell)
    accuracy = card.metrics["public_test_accuracy"]
    typer.echo(f"{out / 'model.onnx'}: {accuracy:.2%} of PublicTest; use it with --emotion-model {out / 'model.onnx'}")


def _tell(progress: Progress) -> None:
    """A line per epoch, since an epoch takes seconds to minutes."""
    if progress.figures:
        figures = ", ".join(f"{name} {value:.4f}" for name, value in progress.figures.items())
        typer.echo(f"epoch {progress.epoch + 1} of {progress.epochs}: {figures}", err=True)
