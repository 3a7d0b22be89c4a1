"""The page of mistakes that `manyfaces evaluate emotion --errors` writes."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

import typer

from manyfaces.cli.files import refuse_clashes
from manyfaces.cli.progress import Steps
from manyfaces.errors import OutputError, UsageError

if TYPE_CHECKING:
    from manyfaces.cli.expressions import Answers as Read
    from manyfaces.evaluate.mistakes import Answers, Labelled


def refuse_page(path: Path, others: Sequence[Path | None], mark: str) -> None:
    """What cannot be written, or would destroy something, is said before anything is read. `mark`: by which an earlier
    page of the kind is known."""
    from manyfaces.sinks.files import refuse_device, writing

    if path.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{path}: the mistakes are shown on a page; give it a name that ends in .html")
    refuse_clashes([path], [other for other in others if other])
    with writing(path):
        refuse_device(path)
        if path.exists():
            begins = path.read_bytes()[:4096]
            if begins and mark.encode() not in begins:
                raise OutputError(f"{path}: this file holds something else than such a page; choose another name")


def write_page(path: Path, model: str, data: Path, split: str, read: Read) -> None:
    """The mistakes with their maps and their neighbours in the Training part, as one page."""
    from manyfaces.evaluate.attribution import emotion_weights
    from manyfaces.evaluate.mistakes import BATCH, find_mistakes
    from manyfaces.evaluate.mistakes_page import Case, mistakes_page
    from manyfaces.sinks.files import write_whole
    from manyfaces.train.data import VOTES

    weights, answers = emotion_weights(model), _answers(read)
    training = answers.faces if (read.faces.usage == 0).all() else _training(data)
    with Steps("batches of Training faces", -(-len(training or ()) // BATCH)) as steps:
        mistakes = find_mistakes(answers, training, weights, steps.advance)
    made = {
        "model": weights.card.name,
        "data": data.name,
        "part": f"split {split}",
        "trained by": weights.card.trained_by,
        "made by": f"manyfaces {version('manyfaces')}, evaluate emotion --errors",
    }
    text = mistakes_page(Case(VOTES, answers, mistakes, training is not None, made))
    write_whole(path, text.encode("utf-8", "backslashreplace"))
    typer.echo(f"{path}: the {len(mistakes)} surest mistakes", err=True)


def _answers(read: Read) -> Answers:
    import numpy as np

    from manyfaces.evaluate.mistakes import Answers, Labelled
    from manyfaces.train.data import EMOTIONS
    from manyfaces.train.evaluate import ferplus_majority

    voted, majority = ferplus_majority(read.faces.votes)
    faces = Labelled(read.faces.images, read.faces.labels)
    return Answers(faces, EMOTIONS, read.probabilities, read.faces.votes, np.where(voted, majority, -1))


def _training(data: Path) -> Labelled | None:
    """The Training part, where the data has one."""
    from manyfaces.evaluate.mistakes import Labelled
    from manyfaces.train.data import read_emotion_data

    faces = read_emotion_data(data)
    part = faces[faces.usage == 0]
    return Labelled(part.images, part.labels) if len(part) else None
