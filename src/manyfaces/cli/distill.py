"""`manyfaces distill`: a small network learns what larger ones, or an ensemble, say."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from manyfaces.cli import distill_identity
from manyfaces.cli.ensemble import ask, emotion_networks, heads_of, prepare_folder
from manyfaces.cli.train import (
    Clean,
    Course,
    Data,
    Epochs,
    Out,
    RecipeName,
    Resume,
    Seed,
    Start,
    begun,
    command_line,
    require_training,
    say_trained,
)

if TYPE_CHECKING:
    from manyfaces.cli.ensemble import Heads
    from manyfaces.train.data import EmotionData
    from manyfaces.train.emotion import Teacher
    from manyfaces.types import Floats, Pixels

FILES = ("model.onnx", "model.json", "recipe.json")

app = typer.Typer(no_args_is_help=True, help="Small networks taught by large ones; needs the train extra.")


@app.command()
def emotion(
    teachers: Annotated[
        list[str],
        typer.Argument(metavar="TEACHER...", help="Emotion networks, whose mean answer teaches; an ensemble is one."),
    ],
    data: Data,
    out: Out,
    recipe_name: RecipeName = "compact",
    epochs: Epochs = None,
    seed: Seed = None,
    start: Start = None,
    clean: Clean = False,
    resume: Resume = False,
) -> None:
    """Train as `train emotion` does, but towards what the teachers say of the very picture that the network sees."""
    require_training()
    from manyfaces.cli.emotion_data import read_for_training
    from manyfaces.train.emotion import Training, train_emotion
    from manyfaces.train.recipes import find_recipe

    recipe = find_recipe(recipe_name).with_epochs(epochs).with_seed(seed)
    parts = emotion_networks(teachers)
    prepare_folder(out, [out / name for name in FILES], parts, "a teacher")
    faces = read_for_training(data, out, clean)
    heads = heads_of(parts)
    typer.echo(f"the teacher: {_accuracy(heads, faces.split('public')):.2%} of {faces.selection}", err=True)
    teacher = _together(heads)
    made_by = command_line(
        f"distill emotion {teacher.name}", recipe_name, epochs=epochs, seed=seed, start=start, clean=clean
    )
    with Course("distilling") as course:
        card = train_emotion(
            faces, out, Training(recipe, made_by, teacher, begun(start, recipe, faces)), resume, course.tell
        )
    say_trained(out, card.metrics["public_test_accuracy"], faces.selection)


app.command("identity")(distill_identity.identity)


def _together(heads: Heads) -> Teacher:
    """The teachers' mean answer, under the names of all."""
    from manyfaces.evaluate.emotion import read_expressions
    from manyfaces.train.emotion import Teacher

    def said(images: Pixels) -> Floats:
        return _mean([read_expressions(images, head) for head in heads.values()])

    return Teacher(" ".join(heads), said)


def _mean(answers: Sequence[Floats]) -> Floats:
    mean: Floats = np.mean(answers, axis=0, dtype=np.float32)
    return mean


def _accuracy(heads: Heads, public: EmotionData) -> float:
    """Of what is taught, before hours are spent on learning it."""
    from manyfaces.train.evaluate import figures

    return float(figures(_mean([*ask(heads, public.images).values()]), public.labels)["accuracy"])
