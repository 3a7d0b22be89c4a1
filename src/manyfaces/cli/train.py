"""`manyfaces train`: networks of your own."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Annotated

import typer

from manyfaces.cli.outcome import complain
from manyfaces.cli.progress import Steps
from manyfaces.errors import MissingExtra, OutputError

if TYPE_CHECKING:
    from manyfaces.train.data import EmotionData
    from manyfaces.train.fit import Progress
    from manyfaces.train.nets import EmotionNet
    from manyfaces.train.recipe import Recipe

app = typer.Typer(no_args_is_help=True, help="Train networks of your own; needs the train extra.")

Data = Annotated[
    Path, typer.Option(help="fer2013.csv, an .npz, a folder split/class/*.png, or your own photos in class/*.")
]
Out = Annotated[Path, typer.Option(help="The folder for checkpoints, log, curves, model.onnx and model.json.")]
RecipeName = Annotated[
    str, typer.Option("--recipe", help="compact, polish, large, tutorial, tutorial-relu, or a recipe.json.")
]
Epochs = Annotated[int | None, typer.Option(min=1, help="Instead of the recipe's own number.")]
Seed = Annotated[
    int | None,
    typer.Option(min=0, max=2**31 - 1, help="Instead of the recipe's; another seed, another member of an ensemble."),
]
Start = Annotated[
    str | None, typer.Option(help="Begin with these weights: default, a model.onnx, or the folder of a training.")
]
Clean = Annotated[bool, typer.Option("--clean", help="Leave out of Training what lies in a test part too.")]
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
    seed: Seed = None,
    start: Start = None,
    clean: Clean = False,
    resume: Resume = False,
) -> None:
    """Train on the Training part, select on PublicTest; writes a model, its card, its recipe, a log and curves."""
    require_training()
    from manyfaces.cli.emotion_data import read_for_training
    from manyfaces.train.emotion import Training, train_emotion
    from manyfaces.train.recipes import find_recipe

    recipe = find_recipe(recipe_name).with_epochs(epochs).with_seed(seed)
    make_folder(out)
    faces = read_for_training(data, out, clean)
    made_by = command_line("train emotion", recipe_name, epochs=epochs, seed=seed, start=start, clean=clean)
    training = Training(recipe, made_by, start=begun(start, recipe, faces))
    with Course("training") as course:
        card = train_emotion(faces, out, training, resume, course.tell)
    say_trained(out, card.metrics["public_test_accuracy"], faces.selection)


def make_folder(out: Path) -> None:
    """Before hours are spent: a folder that can be written into."""
    from manyfaces.sinks.files import writing

    if out.exists() and not out.is_dir():
        raise OutputError(f"{out}: this is a file, and a folder is needed; name another")
    with writing(out):
        out.mkdir(parents=True, exist_ok=True)


def require_training() -> None:
    if find_spec("torch") is None:
        raise MissingExtra("training", "train")
    from manyfaces.train.journal import MISSING, can_journal

    if not can_journal():
        complain(MISSING)


def begun(start: str | None, recipe: Recipe, faces: EmotionData) -> EmotionNet | None:
    """The network that `--start` names."""
    from manyfaces.train.emotion import begin_with, begin_with_model
    from manyfaces.weights import load

    if start is None:
        return None
    if start != "default" and not start.endswith(".onnx"):
        return begin_with(Path(start), recipe.design)
    return begin_with_model(load("emotion" if start == "default" else start).content, recipe.design, faces)


def say_trained(out: Path, accuracy: float, selection: str) -> None:
    typer.echo(f"{out / 'model.onnx'}: {accuracy:.2%} of {selection}; use it with --emotion-model {out / 'model.onnx'}")


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
        if kind is KeyboardInterrupt:
            typer.echo("broken off; the same command with --resume goes on after the last whole epoch", err=True)

    def _say(self, sentence: str) -> None:
        if self._steps:
            self._steps.say(sentence)
        else:
            typer.echo(sentence, err=True)

    def tell(self, progress: Progress) -> None:
        if progress.figures:
            figures = ", ".join(f"{name} {value:.4g}" for name, value in progress.figures.items() if name != "epoch")
            self._say(f"epoch {progress.epoch} of {progress.epochs}: {figures}")
            if progress.epoch == progress.epochs:
                self._say("writing the model, its card and its curves")
            return
        if self._steps is None:
            # Known only now: how many batches an epoch has, and how many epochs are left.
            left = (progress.epochs - progress.epoch) * progress.batches
            self._steps = Steps(self._what, left).__enter__()
        self._steps.advance()


def command_line(command: str, recipe: str, **flags: object) -> str:
    """What to type to have this again; names without their folders, since the card travels."""
    given = [_flag(name, value) for name, value in flags.items() if value is not None and value is not False]
    return " ".join(["manyfaces", command, "--recipe", Path(recipe).name, *given])


def _flag(name: str, value: object) -> str:
    return f"--{name}" if value is True else f"--{name} {_without_folders(value)}"


def _without_folders(value: object) -> object:
    """The name of a file is its folder's where every training calls it the same."""
    path = Path(str(value))
    return path.parent.name if path.name == "model.onnx" and path.parent.name else path.name
