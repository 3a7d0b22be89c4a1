"""Patience with what comes from outside: cameras that come back after a while, recordings played at their own pace."""

from __future__ import annotations

import time
from collections.abc import Callable, Generator
from contextlib import closing
from dataclasses import dataclass
from typing import TypeAlias

from manyfaces.types import Frame, Unreadable

Items: TypeAlias = Generator[Frame | Unreadable, None, None]


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait: for an answer, and between attempts to get a lost stream back (150 seconds in all).

    `sleep` waits so many seconds; true from it, as from `threading.Event().wait`, says that nobody reads the source any
    more: it ends then.
    """

    answer_seconds: float = 10.0
    attempts: int = 10
    first_delay: float = 0.5
    longest_delay: float = 30.0
    sleep: Callable[[float], bool | None] = time.sleep
    clock: Callable[[], float] = time.monotonic

    def delay(self, failures: int) -> float:
        return min(self.first_delay * 2.0**failures, self.longest_delay)


PATIENCE = Patience()


class Pace:
    """Gives what was recorded when its time has come, as a camera would, the first item at once. What is late already
    is given without waiting: whether to drop it is for the reader to say."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._origin: float | None = None

    def keep(self, items: Items) -> Items:
        with closing(items):
            for item in items:
                if self._waits_in_vain(item.seconds):
                    return
                yield item

    def _waits_in_vain(self, seconds: float) -> bool:
        """Wait for that moment of the recording; true where nobody wants it any more."""
        now = self._patience.clock()
        if self._origin is None:
            self._origin = now - seconds
        left = self._origin + seconds - now
        return left > 0 and bool(self._patience.sleep(left))
