"""What a person wants to know after `analyze`: how many faces, who, and in what mood, input by input."""

from __future__ import annotations

import math
from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from manyfaces.types import Face, FrameResult

MOST_ROWS = 20
STEP = 1.02
"""Ages are counted in classes each so much wider than the last: exact to 2 %, in little memory however long it runs."""


LIVE_COLUMNS = ("dropped", "age p50 / p95")


class Ages:
    """How old results were when they came. Shares of them can be asked for at any time."""

    def __init__(self) -> None:
        self._classes: Counter[int] = Counter()

    def __len__(self) -> int:
        return self._classes.total()

    def add(self, age: float) -> None:
        self._classes[round(math.log(max(age, 1e-6), STEP))] += 1

    def within(self, share: float) -> float:
        """The age within which this share of the results came."""
        left = share * len(self)
        for number in sorted(self._classes):
            left -= self._classes[number]
            if left <= 1e-9:
                return STEP**number
        return 0.0


class _Input:
    """The counts of one input. Faces of a video are counted by track, so that one person is one face; a track that is
    hardly there is none: a false alarm, or the number that a face had until it was known again."""

    def __init__(self) -> None:
        self.frames = 0
        self.tracks: Counter[int] = Counter()
        self.names: Counter[str] = Counter()
        self.emotions: Counter[str] = Counter()
        self.ages = Ages()
        self.dropped = 0

    def count(self, result: FrameResult) -> None:
        self.frames += 1
        self.dropped += result.timing.dropped
        if result.timing.age is not None:
            self.ages.add(result.timing.age)
        for face in result.faces:
            self._count_face(face)

    @property
    def faces(self) -> int:
        from manyfaces.sinks.story import FEW_FRAMES, LEAST_SIGHTINGS

        least = 1 if self.frames <= FEW_FRAMES else LEAST_SIGHTINGS
        return sum(sightings >= least for sightings in self.tracks.values())

    def _count_face(self, face: Face) -> None:
        self.tracks[face.track] += 1
        if face.identity:
            self.names[face.identity] += 1
        if face.emotion:
            self.emotions[face.emotion] += 1


class Summary:
    """Counts results and shows a table to standard error, so that it never mixes with rows on standard output."""

    def __init__(self) -> None:
        self._inputs: dict[str, _Input] = {}
        self._others = _Input()
        self._left_out: set[str] = set()

    def count(self, result: FrameResult) -> None:
        if result.error:
            return
        if result.stream not in self._inputs and len(self._inputs) >= MOST_ROWS:
            self._left_out.add(result.stream)
            self._others.frames += 1
            return
        self._inputs.setdefault(result.stream, _Input()).count(result)

    def show(self) -> None:
        if not self._inputs:
            return
        live = any(len(seen.ages) for seen in self._inputs.values())
        table = Table()
        for column in ("input", "frames", "faces", "people", "expressions", *(LIVE_COLUMNS if live else ())):
            table.add_column(column, overflow="fold")
        for name, seen in self._inputs.items():
            cells = (name, f"{seen.frames:,}", f"{seen.faces:,}", _people(seen), _expressions(seen))
            table.add_row(*map(escape, cells), *(_lateness(seen) if live else ()))
        if self._left_out:
            table.add_row(f"and {len(self._left_out):,} more", f"{self._others.frames:,}")
        Console(stderr=True).print(table)


def _lateness(seen: _Input) -> tuple[str, ...]:
    """How many frames were passed over to keep up, and how old the results were; empty for what was recorded."""
    if not len(seen.ages):
        return ("",) * len(LIVE_COLUMNS)
    half, most = (f"{1000 * seen.ages.within(share):.0f}" for share in (0.5, 0.95))
    return f"{seen.dropped:,}", f"{half} / {most} ms"


def _people(seen: _Input) -> str:
    return ", ".join(seen.names) or "-"


def _expressions(seen: _Input) -> str:
    total = max(seen.emotions.total(), 1)
    return ", ".join(f"{emotion} {count / total:.0%}" for emotion, count in seen.emotions.most_common(3))
