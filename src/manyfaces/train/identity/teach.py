"""The function behind `manyfaces distill identity`: a small embedder that a large one teaches."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import numpy as np
import torch

from manyfaces.card import ModelCard
from manyfaces.train.data import DataError
from manyfaces.train.device import device
from manyfaces.train.export import onnx_bytes
from manyfaces.train.files import held, write_whole
from manyfaces.train.fit import Report, fit, read_checkpoint, silent
from manyfaces.train.identity.carve import carve
from manyfaces.train.identity.imitate import Embedder, ImitationLesson
from manyfaces.train.identity.merged import OUTPUT
from manyfaces.train.identity.student import Student, UnitVectors, parameters
from manyfaces.train.identity.student_recipe import StudentRecipe, design_of, write_student
from manyfaces.train.journal import Journal
from manyfaces.train.plan import Figures
from manyfaces.train.plots import plot_course
from manyfaces.types import Pixels

PORTRAITS = 2048
"""Faces that a student is carved by."""

NOTES = (
    "Vectors are of unit length; similarity is their cosine. The threshold must be calibrated for each gallery.",
    "Taught without labels to say what another network says; held_out_cosine is how near it comes on pictures kept out "
    "of training, which also chose the epoch, and may show people that were learnt from.",
)


@dataclass(frozen=True, slots=True, eq=False)
class Teaching:
    """What to learn, from whom, and how; `made_by` is what to type to have it again, for the card."""

    recipe: StudentRecipe
    teacher: Embedder
    made_by: str


def teach(
    pools: Sequence[Pixels], out: Path, teaching: Teaching, resume: bool = False, report: Report = silent
) -> ModelCard:
    """Learn from faces cut for the teacher, (n, h, w, 3) and grey ones (n, h, w, 1); leave the network, its card and
    recipe, a log and curves in `out`."""
    recipe = teaching.recipe
    with held(out), Journal(out, report) as journal:
        lesson = ImitationLesson(pools, recipe, teaching.teacher)
        student = _begun(recipe, lesson, teaching.teacher, carving=not resume)
        if not (out / "last.pt").exists():  # also who breaks off before the end has the recipe
            write_student(recipe, out / "recipe.json")
        log = fit(student, lesson, recipe.plan, out, resume, journal)
        write_student(recipe, out / "recipe.json")
        plot_course(log, out / "curves.png", "faces kept out: cosine to the teacher")
        return ship(out, teaching, log)


def _begun(recipe: StudentRecipe, lesson: ImitationLesson, teacher: Embedder, carving: bool) -> Student:
    """A resumed student gets its weights from its checkpoint, so it need not be carved again."""
    torch.manual_seed(recipe.plan.seed)
    if recipe.begin == "teacher" and carving:
        student = carve(teacher.content, recipe.design, *lesson.portraits(PORTRAITS))
    else:
        student = Student(recipe.design)
    return cast(Student, student.to(device(), memory_format=torch.channels_last))  # type: ignore[call-overload]


def taught(out: Path) -> Student:
    """The best student of a training, ready to answer."""
    state = read_checkpoint(out / "best.pt")
    try:
        student = Student(design_of(json.loads(state["about"]["network"]))).eval()
        student.load_state_dict(state["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise DataError(f"{out / 'best.pt'}: is no checkpoint of a student; name another folder") from None
    return student


def ship(out: Path, teaching: Teaching, log: Sequence[Figures]) -> ModelCard:
    """Make `model.onnx` and `model.json` of the best checkpoint in `out`."""
    student, teacher = taught(out), teaching.teacher.card
    design = teaching.recipe.design
    content = onnx_bytes(UnitVectors(student).eval(), torch.zeros(2, 3, design.side, design.side), OUTPUT)
    write_whole(out / "model.onnx", lambda fresh: fresh.write_bytes(content))
    card = ModelCard(
        name=f"{teacher.name}-student",
        task="identity",
        input=design.spec(teacher.input),
        sha256=hashlib.sha256(content).hexdigest(),
        licence=_licence(teaching),
        trained_by=teaching.made_by,
        metrics=_metrics(student, log),
        notes=NOTES,
    )
    write_whole(out / "model.json", card.write)
    return card


def _licence(teaching: Teaching) -> str:
    """Weights that began as somebody else's stay under their terms."""
    if teaching.recipe.begin == "teacher":
        card = teaching.teacher.card
        return f"made from the weights of {card.name} ({card.licence}); mind the terms of the pictures too"
    return "the trainer's to choose; mind the terms of the teacher and of the pictures"


def _metrics(student: Student, log: Sequence[Figures]) -> dict[str, float]:
    best = max(log, key=lambda row: row["accuracy"])
    return {
        "held_out_cosine": float(np.round(best["accuracy"], 4)),
        "held_out_cosine_worst_tenth": float(np.round(best["worst_tenth"], 4)),
        "epochs": best["epoch"],
        "parameters": float(parameters(student)),
    }
