"""How near a form's answers are to the original's, and how often they are right.

What is compared depends on what a network says. Where every row of an output is a distribution, it is the likeliest
class; anything else is taken as a vector, and the cosine of both vectors counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from manyfaces.errors import WeightsError
from manyfaces.optimize.model import Columns, Run, Samples
from manyfaces.types import Floats, Integers

SUM = 1e-3
"""How far the sum of a distribution may lie from one."""

Step = Callable[[], None]


def silent() -> None:
    """For who wants to hear of no step."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a form does. `largest`: the largest difference of any number of any output; `relative`: the root mean square
    of all differences over that of the original's numbers. `agreement`: the share of rows with the same likeliest class
    where the first output is a distribution (`classes`), else the mean cosine. accuracy: the share of labelled rows
    that are right, NaN without labels. `drop`: points of accuracy lost, or without labels of agreement."""

    largest: float
    relative: float
    agreement: float
    classes: bool
    accuracy: float = float("nan")
    drop: float = 0.0


@dataclass(frozen=True, slots=True, eq=False)
class Truth:
    """What the original says of the samples, asked once, and the labels where there are some. The answers are kept, for
    they are small beside the inputs; `places` names the outputs that are compared."""

    samples: Samples
    answers: tuple[Columns, ...]
    labels: Integers

    @property
    def classes(self) -> bool:
        """Whether the first output is a distribution over classes."""
        first = _first(self.answers[0])
        return first.ndim == 2 and first.shape[1] > 1 and all(_is_distribution(_first(one)) for one in self.answers)

    @property
    def accuracy(self) -> float:
        return _accuracy([_first(one) for one in self.answers], self.labels)


def ask(run: Run, samples: Samples, labels: Integers, step: Step = silent) -> Truth:
    answers = []
    for batch in samples:
        answers.append(dict(run(batch)))
        _refuse_no_numbers(batch, answers[-1])
        step()
    if not answers:
        raise WeightsError("there are no samples to compare forms on; give a set that has some")
    return Truth(samples, tuple(answers), labels)


def _refuse_no_numbers(batch: Columns, answer: Columns) -> None:
    """Nothing can be nearer to NaN than anything else, and no range can be taken of it."""
    for columns, said in ((batch, "the data hold NaN as {!r}"), (answer, "the network itself answers {!r} with NaN")):
        for name, column in columns.items():
            if np.isnan(column).any():
                raise WeightsError(f"{said.format(name)}, so no form can be judged by it; mend that first")


def judge(run: Run, truth: Truth, step: Step = silent) -> Verdict:
    """Ask a form what the original was asked."""
    tally = _Tally(truth.classes)
    firsts: list[npt.NDArray[Any]] = []
    for said, meant in _pairs(run, truth, step):
        tally.add(said, meant)
        firsts.append(_first({name: said[name] for name in meant}))
    accuracy = _accuracy(firsts, truth.labels)
    lost = truth.accuracy - accuracy if len(truth.labels) else 1 - tally.agreement
    return Verdict(tally.largest, tally.relative, tally.agreement, truth.classes, accuracy, 100 * lost)


def _pairs(run: Run, truth: Truth, step: Step) -> Iterator[tuple[Columns, Columns]]:
    for batch, meant in zip(truth.samples, truth.answers, strict=True):
        yield run(batch), meant
        step()


class _Tally:
    """Sums over batches, so that no answers have to be kept."""

    def __init__(self, classes: bool) -> None:
        self._classes = classes
        self._rows, self._same, self._squares, self._meant = 0, 0.0, 0.0, 0.0
        self.largest = 0.0

    def add(self, said: Columns, meant: Columns) -> None:
        for name, expected in meant.items():
            away = np.abs(said[name].astype(np.float64) - expected.astype(np.float64))
            # What is no number is infinitely far away, not near: max() would pass over it.
            self.largest = max(self.largest, float(np.nan_to_num(away, nan=np.inf).max(initial=0)))
            self._squares += float((away**2).sum())
            self._meant += float((expected.astype(np.float64) ** 2).sum())
        first = _first(meant)
        self._rows += len(first)
        self._same += _agreeing(said[next(iter(meant))], first, self._classes)

    @property
    def agreement(self) -> float:
        return self._same / max(self._rows, 1)

    @property
    def relative(self) -> float:
        return float(np.sqrt(self._squares / self._meant)) if self._meant else 0.0


def _agreeing(said: npt.NDArray[Any], meant: npt.NDArray[Any], classes: bool) -> float:
    if classes:
        return float((said.argmax(axis=1) == meant.argmax(axis=1)).sum())
    one, other = (array.reshape(len(array), -1).astype(np.float64) for array in (said, meant))
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    same = np.where(
        lengths > 0, (one * other).sum(axis=1) / np.where(lengths > 0, lengths, 1), (one == other).all(axis=1)
    )
    return float(np.nan_to_num(same).sum())


def _first(answer: Columns) -> npt.NDArray[Any]:
    return next(iter(answer.values()))


def _is_distribution(rows: npt.NDArray[Any]) -> bool:
    return bool((rows >= 0).all() and np.allclose(rows.sum(axis=1), 1, atol=SUM))


def _accuracy(firsts: list[Floats] | list[npt.NDArray[Any]], labels: Integers) -> float:
    if not len(labels):
        return float("nan")
    said = np.concatenate([first.argmax(axis=1) for first in firsts])
    return float((said == labels).mean())
