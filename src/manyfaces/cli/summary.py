"""What a person wants to know after `analyze`: how many faces, who, and in what mood, input by input."""

from __future__ import annotations

from collections import Counter

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from manyfaces.types import Face, FrameResult

MOST_ROWS = 20


class _Input:
    """The counts of one input. Faces of a video are counted by track, so that one person is one face."""

    def __init__(self) -> None:
        self.frames = 0
        self.tracks: set[int] = set()
        self.names: Counter[str] = Counter()
        self.emotions: Counter[str] = Counter()

    def count(self, result: FrameResult) -> None:
        self.frames += 1
        for face in result.faces:
            self._count_face(face)

    def _count_face(self, face: Face) -> None:
        self.tracks.add(face.track)
        if face.identity:
            self.names[face.identity] += 1
        if face.emotion:
            self.emotions[face.emotion] += 1


class Summary:
    """Counts results and shows a table to standard error, so that it never mixes with rows on standard output."""

    def __init__(self) -> None:
        self._inputs: dict[str, _Input] = {}
        self._others = _Input()
        self._left_out = 0

    def count(self, result: FrameResult) -> None:
        if result.error:
            return
        if result.stream not in self._inputs and len(self._inputs) >= MOST_ROWS:
            self._left_out += result.index == 0
            self._others.frames += 1
            return
        self._inputs.setdefault(result.stream, _Input()).count(result)

    def show(self) -> None:
        if not self._inputs:
            return
        table = Table()
        for column in ("input", "frames", "faces", "people", "expressions"):
            table.add_column(column, overflow="fold")
        for name, seen in self._inputs.items():
            cells = (name, f"{seen.frames:,}", f"{len(seen.tracks):,}", _people(seen), _expressions(seen))
            table.add_row(*map(escape, cells))
        if self._left_out:
            table.add_row(f"and {self._left_out:,} more", f"{self._others.frames:,}", "", "", "")
        Console(stderr=True).print(table)


def _people(seen: _Input) -> str:
    return ", ".join(seen.names) or "-"


def _expressions(seen: _Input) -> str:
    total = max(seen.emotions.total(), 1)
    return ", ".join(f"{emotion} {count / total:.0%}" for emotion, count in seen.emotions.most_common(3))
