"""What tests of threads share: a deadline instead of sleeping, and stages whose answers can be reckoned by hand."""

from __future__ import annotations

import functools
import threading
from collections.abc import Callable
from typing import Any

import numpy as np

from manyfaces.types import Detections, Embeddings, Tracks

DEADLINE = 30
"""Seconds until a test counts as hanging; nothing here takes more than a few."""


class Trouble(Exception):
    pass


def bounded(test: Callable[..., None]) -> Callable[..., None]:
    """Run a test in a thread that must be done by the deadline, and leave no thread behind."""

    @functools.wraps(test)
    def run(*arguments: Any, **named: Any) -> None:
        outcome: list[BaseException] = []

        def work() -> None:
            try:
                test(*arguments, **named)
            except BaseException as error:
                outcome.append(error)

        before = set(threading.enumerate())
        thread = threading.Thread(target=work, daemon=True)
        thread.start()
        thread.join(DEADLINE)
        assert not thread.is_alive(), "it hangs"
        if outcome:
            raise outcome[0]
        assert set(threading.enumerate()) <= before, "a thread survived"

    return run


class CountingTracker:
    """Ids that say how many faces the stream had before: any frame out of order or of another stream shows."""

    def __init__(self) -> None:
        self._seen = 0

    def update(self, detections: Detections, seconds: float, /) -> Tracks:
        assert seconds >= 0
        ids = np.arange(self._seen, self._seen + len(detections), dtype=np.int64)
        self._seen += len(detections)
        return Tracks(detections, ids, np.ones(len(detections), np.int64))


class SteadyTracker:
    """The face in each place of the row is always the same one. Where nobody looks, all are carried on to the right."""

    def __init__(self) -> None:
        self._last, self._seconds = Detections.empty(), 0.0

    def update(self, detections: Detections, seconds: float, /) -> Tracks:
        self._last, self._seconds = detections, seconds
        return self._numbered(detections)

    def predict(self, seconds: float, /) -> Tracks:
        right = np.float32(seconds - self._seconds)
        last = self._last
        return self._numbered(Detections(last.boxes + right, last.scores, last.landmarks + right))

    def _numbered(self, detections: Detections) -> Tracks:
        return Tracks(detections, np.arange(len(detections)), np.ones(len(detections), np.int64))


class KeepingLinker:
    def update(self, tracks: Tracks, embeddings: Embeddings, seconds: float, /) -> Tracks:
        assert len(tracks) == len(embeddings)
        assert seconds >= 0
        return tracks
