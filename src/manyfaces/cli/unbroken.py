"""Ctrl-C and SIGTERM wait until a result is written: a sink interrupted in the middle of one cannot finish its file."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType, TracebackType
from typing import Any

from manyfaces.stages import Sink
from manyfaces.types import Frame, FrameResult, Unreadable

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Unbroken:
    """A sink around a sink. While it writes or closes, signals are kept, and delivered right after."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._former: dict[signal.Signals, Any] = {}
        self._holding = False
        self._kept: tuple[int, FrameType | None] | None = None

    def __enter__(self) -> Unbroken:
        """Signals that are switched off, as under `nohup`, stay so."""
        self._sink.__enter__()
        self._former = {one: signal.getsignal(one) for one in SIGNALS if callable(signal.getsignal(one))}
        for one in self._former:
            signal.signal(one, self._arrived)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        try:
            with self._held():
                self._sink.__exit__(kind, error, traceback)
        finally:
            for one, handler in self._former.items():
                signal.signal(one, handler)

    def write(self, frame: Frame | Unreadable, result: FrameResult, /) -> None:
        with self._held():
            self._sink.write(frame, result)

    @contextmanager
    def _held(self) -> Iterator[None]:
        self._holding = True
        try:
            yield
        finally:
            self._holding = False
        if self._kept is not None:
            (number, where), self._kept = self._kept, None
            self._deliver(number, where)

    def _arrived(self, number: int, where: FrameType | None) -> None:
        if self._holding:
            self._kept = number, where
        else:
            self._deliver(number, where)

    def _deliver(self, number: int, where: FrameType | None) -> None:
        self._former[signal.Signals(number)](number, where)
