"""`manyfaces train`: networks of your own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from manyfaces.cli.progress import Steps
from manyfaces.errors import MissingExtra

if TYPE_CHECKING:
    from manyfaces.train.fit import Progress

app = typer.Typer(no_args_is_help=True, help="Train networks of your own; needs the train extra.")

Data = Annotated[Path, typer.Option(help="fer2013.csv, an .npz, or a folder split/class/*.png.")]
Out = Annotated[Path, typer.Option(help="The folder for checkpoints, log, curves, model.onnx and model.json.")]
RecipeName = Annotated[str, typer.Option("--recipe", help="compact, large, tutorial, tutorial-relu, or a recipe.json.")]
Epochs = Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's own number.")]
Seed = Annotated[int, typer.Option(help="Another seed gives another member for an ensemble.")]
Resume = Annotated[bool, typer.Option("--resume", help="Go on where the run in the folder stopped.")]


@app.callback()
def _group() -> None:
    """Without this, a group of one command would be taken for the command itself."""


@app.command()
def emotion(
    data: Data,
    out: Out,
    recipe_name: RecipeName = "compact",
    epochs: Epochs = None,
    seed: Seed = 0,
    resume: Resume = False,
) -> None:
    """Train on the Training part, select on PublicTest; writes a model, its card, its recipe, a log and curves."""
    require_training()
    from manyfaces.train.data import read_emotion_data
    from manyfaces.train.emotion import train_emotion
    from manyfaces.train.recipes import find_recipe

    recipe = find_recipe(recipe_name).with_epochs(epochs).with_seed(seed)
    faces = read_emotion_data(data)
    with Course("training") as course:
        card = train_emotion(faces, out, recipe, None, resume, course.tell, _command(recipe_name, epochs, seed))
    say_trained(out, card.metrics["public_test_accuracy"])


def require_training() -> None:
    if find_spec("torch") is None:
        raise MissingExtra("training", "train")


def say_trained(out: Path, accuracy: float) -> None:
    typer.echo(f"{out / 'model.onnx'}: {accuracy:.2%} of PublicTest; use it with --emotion-model {out / 'model.onnx'}")


class Course:
    """Shows a training: a bar or a plain line now and then for its batches, and a line for every epoch."""

    def __init__(self, what: str) -> None:
        self._what = what
        self._steps: Steps | None = None

    def __enter__(self) -> Course:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._steps:
            self._steps.__exit__(kind, error, traceback)

    def tell(self, progress: Progress) -> None:
        if progress.figures:
            figures = ", ".join(f"{name} {value:.4g}" for name, value in progress.figures.items() if name != "epoch")
            typer.echo(f"epoch {progress.epoch} of {progress.epochs}: {figures}", err=True)
            return
        if self._steps is None:
            # Known only now: how many batches an epoch has, and how many epochs are left.
            left = (progress.epochs - progress.epoch) * progress.batches
            self._steps = Steps(self._what, left).__enter__()
        self._steps.advance()


def _command(recipe: str, epochs: int | None, seed: int) -> str:
    """What to type to train this again; no paths, since the card travels."""
    asked = "" if epochs is None else f" --epochs {epochs}"
    return f"manyfaces train emotion --recipe {Path(recipe).name}{asked} --seed {seed}"
