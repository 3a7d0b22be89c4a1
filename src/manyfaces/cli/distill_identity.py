"""`manyfaces distill identity`: a small embedder learns what a large one says, from pictures without names."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import numpy as np
import typer

from manyfaces.cli.any_faces import read_any_faces
from manyfaces.cli.files import refuse_clashes
from manyfaces.cli.train import Course, Epochs, Out, Resume, Seed, command_line, make_folder, require_training
from manyfaces.errors import WeightsError
from manyfaces.options import Options

if TYPE_CHECKING:
    from manyfaces.heads.identity import IdentityHead
    from manyfaces.train.identity.imitate import Embedder
    from manyfaces.types import Floats, Pixels
    from manyfaces.weights import Weights

FILES = ("model.onnx", "model.json", "recipe.json")
KEPT = "faces.npz"
"""Where the faces of pictures are kept, in the folder of what learns from them."""

TIMED, ROUNDS = 16, 9
"""Faces in a batch, and batches of each network, of which the quickest counts: the others were disturbed."""

Data = Annotated[
    list[str],
    typer.Option(help="Pictures, videos, folders of them, fer2013.csv or an .npz of such faces; may repeat."),
]
Teacher = Annotated[str, typer.Option(help="Whom to learn from: default, or a face network's .onnx file.")]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe", help="carved: begins as the teacher made narrower; compact: begins from nothing; or a recipe.json."
    ),
]


def identity(
    data: Data,
    out: Out,
    teacher: Teacher = "default",
    recipe_name: RecipeName = "carved",
    epochs: Epochs = None,
    seed: Seed = None,
    resume: Resume = False,
) -> None:
    """Learn to say of any face what the teacher says, at a third of its time; nobody needs to be named."""
    require_training()
    from manyfaces.train.identity.student_recipe import find_student
    from manyfaces.train.identity.teach import Teaching, teach
    from manyfaces.weights import load

    recipe = find_student(recipe_name).with_plan(epochs, seed)
    make_folder(out)
    head, weights = _head(teacher, threads=0), load(Options(identity_model=teacher).identity_network)
    _refuse_teacher(weights, out)
    pools = read_any_faces(data, out / KEPT, weights.card.input)
    command = f"distill identity --teacher {weights.card.identifier}"
    made_by = command_line(command, recipe_name, epochs=epochs, seed=seed)
    with Course("distilling") as course:
        card = teach(pools, out, Teaching(recipe, _embedder(head, weights), made_by), resume, course.tell)
    _tell(out / FILES[0], teacher, card.metrics["held_out_cosine"])


def _refuse_teacher(weights: Weights, out: Path) -> None:
    """One that does not see what the student will see, or would be written over."""
    if weights.card.input.depth != 3:
        raise WeightsError(f"{weights.path}: this network sees grey faces; give one that sees colours")
    refuse_clashes([out / name for name in FILES], [weights.path, weights.path.with_suffix(".json")], "the teacher")


def _head(model: str, threads: int) -> IdentityHead:
    from manyfaces.build import build_identity_head
    from manyfaces.plans import UNTUNED

    return build_identity_head(Options(identity_model=model, threads=threads), tuned=UNTUNED)


def _embedder(head: IdentityHead, weights: Weights) -> Embedder:
    import onnx

    from manyfaces.runtime import prepared
    from manyfaces.train.identity.imitate import Embedder

    plain = prepared(onnx.load_from_string(weights.content), weights.card.input).SerializeToString()
    return Embedder(weights.card, lambda faces: _vectors(head, faces), plain)


def _vectors(head: IdentityHead, faces: Pixels) -> Floats:
    from manyfaces.types import Crops

    return head(Crops(faces, np.arange(len(faces), dtype=np.int64))).vectors


# --- what is told ----------------------------------------------------------------------------------------------------


def _tell(model: Path, teacher: str, cosine: float) -> None:
    """What came out, what it costs beside the teacher, and how to find out what it is worth."""
    own, theirs = _milliseconds([_head(str(model), threads=1), _head(teacher, threads=1)])
    typer.echo(
        f"{model}: a cosine of {cosine:.3f} to its teacher on faces kept out; {own:.2f} ms a face on one thread for "
        f"the teacher's {theirs:.2f} ({theirs / own:.1f} times cheaper). Whether it tells people apart as well, say  "
        f"manyfaces evaluate verification  and  identity  with --identity-model {model}; enrol everybody anew with it"
    )


def _milliseconds(heads: list[IdentityHead]) -> list[float]:
    """A face's time in each network, the networks taking turns, so that a busy machine is busy for all."""
    faces = [np.zeros((TIMED, head.spec.height, head.spec.width, 3), np.uint8) for head in heads]
    best = [float("inf")] * len(heads)
    for _ in range(ROUNDS):
        for place, (head, batch) in enumerate(zip(heads, faces, strict=True)):
            started = time.perf_counter()
            _vectors(head, batch)
            best[place] = min(best[place], (time.perf_counter() - started) / TIMED * 1e3)
    return best
