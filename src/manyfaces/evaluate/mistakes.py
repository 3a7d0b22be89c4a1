"""What a network gets wrong, and what that says of the network and of the labels.

The mistakes that tell most are those of which the network was surest. Each comes with what spoke for its answer and for
the label, what FER+'s ten taggers said of the same face, and with the faces of the Training part that look most alike
to the network: a mistake among neighbours that carry the network's answer is often a mistake of the label.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal

import cv2
import numpy as np
import numpy.typing as npt

from manyfaces.card import InputSpec
from manyfaces.evaluate.attribution import Describer, Explainer
from manyfaces.evaluate.covering import Coverer
from manyfaces.types import Floats, Integers, Pixels
from manyfaces.weights import Weights

MOST = 40
NEIGHBOURS = 3
BATCH = 256

Side = Literal["network", "label", "neither", "nobody"]
"""With whom the taggers' majority agrees; `nobody` where it has none, or nobody voted."""


@dataclass(frozen=True, slots=True, eq=False)
class Labelled:
    """Grey faces (n, h, w) with labels (n,)."""

    images: Pixels
    labels: Integers

    def __len__(self) -> int:
        return len(self.images)


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """What a network said of labelled faces: probabilities (n, names), and beside it what taggers said.

    votes (n, choices) are zero where nobody voted; majority (n,) is the class that most chose, -1 where there is none.
    """

    faces: Labelled
    names: tuple[str, ...]
    probabilities: Floats
    votes: Floats
    majority: Integers

    @property
    def said(self) -> Integers:
        return np.asarray(self.probabilities.argmax(axis=1), np.int64)

    @property
    def wrong(self) -> npt.NDArray[np.bool_]:
        return np.asarray(self.said != self.faces.labels, bool)


@dataclass(frozen=True, slots=True, eq=False)
class Neighbour:
    """A face of the Training part: its picture, its label, the cosine, and whether it is the very same picture."""

    image: Pixels
    label: int
    likeness: float
    is_same: bool


@dataclass(frozen=True, slots=True, eq=False)
class Views:
    """A face as the network was shown it (h, w, depth), and what is known of where it looked (h, w).

    for_said and for_label are the evidence for the class that was said and for the label's, on one scale; losses are
    what the class that was said loses where the face is covered.
    """

    crop: Pixels
    for_said: Floats
    for_label: Floats
    losses: Floats


@dataclass(frozen=True, slots=True, eq=False)
class Mistake:
    """One face that was taken for another class, with which probabilities, and what else is known of it."""

    label: int
    said: int
    confidence: float
    label_confidence: float
    votes: Floats
    side: Side
    views: Views
    neighbours: tuple[Neighbour, ...]


@dataclass(frozen=True, slots=True)
class Confusion:
    """How often one class was taken for another, and which share of that class this is."""

    label: int
    said: int
    count: int
    share: float


def find_mistakes(
    answers: Answers, training: Labelled | None, weights: Weights, tell: Callable[[], object], most: int = MOST
) -> list[Mistake]:
    """The mistakes the network was surest of, the surest first. `tell` is called for every batch of Training faces.

    Training is None where the data has no such part, and then there are no neighbours. Where the answers are about the
    Training part itself, no face is its own neighbour.
    """
    which = surest_mistakes(answers, most)
    images, sides = answers.faces.images[which], taggers_side(answers)
    own = which if training is answers.faces else np.full(len(which), -1)
    neighbours = _neighbours(images, own, training, Describer(weights), tell) if training else [()] * len(which)
    return [
        _mistake(answers, place, sides[place], views, near)
        for place, views, near in zip(which.tolist(), _views(answers, which, weights), neighbours, strict=True)
    ]


def _mistake(answers: Answers, place: int, side: Side, views: Views, neighbours: tuple[Neighbour, ...]) -> Mistake:
    label, said = int(answers.faces.labels[place]), int(answers.said[place])
    shares = answers.probabilities[place]
    votes = answers.votes[place]
    return Mistake(label, said, float(shares[said]), float(shares[label]), votes, side, views, neighbours)


def _views(answers: Answers, which: Integers, weights: Weights) -> Iterator[Views]:
    """The network may know the classes in another order."""
    explain, cover = Explainer(weights), Coverer(weights)
    columns = np.array([weights.card.labels.index(name) for name in answers.names])
    crops = as_crops(answers.faces.images[which], explain.spec)
    several = crops, explain(crops).evidence, columns[answers.said[which]], columns[answers.faces.labels[which]]
    for crop, evidence, said, label in zip(*several, strict=True):
        yield Views(crop, evidence[said], evidence[label], cover(crop, int(said)))


def surest_mistakes(answers: Answers, most: int = MOST) -> Integers:
    """Where the wrong answers with the highest probability are."""
    wrong = np.flatnonzero(answers.wrong)
    confidence = answers.probabilities[wrong].max(axis=1, initial=0.0)
    return wrong[np.argsort(-confidence, kind="stable")[:most]]


def taggers_side(answers: Answers) -> list[Side]:
    """Of every face, with whom the taggers' majority agrees."""

    def side(majority: int, said: int, label: int) -> Side:
        if majority < 0:
            return "nobody"
        return "label" if majority == label else "network" if majority == said else "neither"

    columns = answers.majority.tolist(), answers.said.tolist(), answers.faces.labels.tolist()
    return [side(*one) for one in zip(*columns, strict=True)]


def sides_of_mistakes(answers: Answers) -> Counter[Side]:
    """With whom the taggers agree, counted over all mistakes."""
    return Counter(side for side, wrong in zip(taggers_side(answers), answers.wrong, strict=True) if wrong)


def most_confused(counts: Integers, most: int = 6) -> list[Confusion]:
    """The pairs of classes that are taken for each other most often, from counts (true, said)."""
    pairs = [
        Confusion(label, said, int(row[said]), float(row[said] / row.sum()))
        for label, row in enumerate(counts)
        for said in range(len(row))
        if said != label and row[said]
    ]
    return sorted(pairs, key=lambda pair: -pair.count)[:most]


def confusion_counts(answers: Answers) -> Integers:
    """Counts (true class, said class)."""
    classes = answers.probabilities.shape[1]
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (answers.faces.labels, answers.said), 1)
    return counts


def as_crops(images: Pixels, spec: InputSpec) -> Pixels:
    """Grey faces (n, h, w) that are cut already, in the size and the channels of a network."""
    size = spec.width, spec.height
    scaled = [
        image if image.shape == size[::-1] else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
        for image in images
    ]
    grey = np.array(scaled, np.uint8).reshape(-1, spec.height, spec.width, 1)
    return np.repeat(grey, spec.depth, axis=3)


# --- neighbours ------------------------------------------------------------------------------------------------------


def _neighbours(
    images: Pixels, own: Integers, training: Labelled, describe: Describer, tell: Callable[[], object]
) -> list[tuple[Neighbour, ...]]:
    if not len(images):
        return []
    vectors = describe(as_crops(images, describe.spec))
    places, likeness = np.empty((len(images), 0), np.int64), np.empty((len(images), 0), np.float32)
    for start in range(0, len(training), BATCH):
        part = training.images[start : start + BATCH]
        cosines = vectors @ describe(as_crops(part, describe.spec)).T
        found = np.tile(np.arange(start, start + len(part)), (len(images), 1))
        cosines[found == own[:, None]] = -np.inf
        places, likeness = nearest(np.hstack([places, found]), np.hstack([likeness, cosines]))
        tell()
    return [
        tuple(
            _neighbour(image, training, place, cosine)
            for place, cosine in zip(row, cosines, strict=True)
            if cosine >= -1
        )
        for image, row, cosines in zip(images, places.tolist(), likeness.tolist(), strict=True)
    ]


def nearest(places: Integers, likeness: Floats, most: int = NEIGHBOURS) -> tuple[Integers, Floats]:
    """Of candidates (n, several) those most alike, the most alike first."""
    order = np.argsort(-likeness, axis=1, kind="stable")[:, :most]
    return np.take_along_axis(places, order, axis=1), np.take_along_axis(likeness, order, axis=1)


def _neighbour(image: Pixels, training: Labelled, place: int, likeness: float) -> Neighbour:
    other = training.images[place]
    return Neighbour(other, int(training.labels[place]), likeness, bool(np.array_equal(other, image)))
