"""Progress of long work: a bar with rate and time left on a terminal, a plain line now and then elsewhere."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from types import TracebackType
from typing import TypeVar

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

Thing = TypeVar("Thing")

PLAIN_EVERY = 10.0
"""Seconds between two plain lines: enough to see life, few enough for a log."""

SLOW = 0.1
"""Steps a second below which a rate would be read as nothing."""


class Steps:
    """Counts steps of known or unknown number. A context manager; silent when `quiet`."""

    def __init__(self, what: str, total: int | None, quiet: bool = False) -> None:
        self._what, self._total, self._quiet = what, total, quiet
        self._count, self._start = 0, time.monotonic()
        self._last = self._start
        console = Console(stderr=True)
        self._bar = _bar(console) if console.is_terminal and not quiet else None

    def __enter__(self) -> Steps:
        if self._bar:
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self._total, rate="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._bar:
            self._bar.stop()

    def advance(self) -> None:
        self._count += 1
        if self._bar:
            self._bar.update(self._task, advance=1, rate=pace(self.rate))
        elif not self._quiet and time.monotonic() - self._last >= PLAIN_EVERY:
            self._last = time.monotonic()
            typer.echo(self._line(), err=True)

    def over(self, things: Iterable[Thing]) -> Iterator[Thing]:
        """The things one by one, each counted when it is there."""
        for thing in things:
            self.advance()
            yield thing

    def say(self, sentence: str) -> None:
        """A line that stays, above the bar where there is one."""
        if self._bar:
            self._bar.console.print(sentence, highlight=False, markup=False, soft_wrap=True)
        elif not self._quiet:
            typer.echo(sentence, err=True)

    @property
    def rate(self) -> float:
        return self._count / max(time.monotonic() - self._start, 1e-9)

    def _line(self) -> str:
        if not self._total:
            return f"{self._what}: {self._count} done, {pace(self.rate)}"
        left = (self._total - self._count) / max(self.rate, 1e-9)
        return f"{self._what}: {self._count} of {self._total}, {pace(self.rate)}, {left:.0f} s left"


def pace(rate: float) -> str:
    """How quick it goes, of what is slow by the seconds that each takes."""
    return f"{rate:.1f}/s" if rate >= SLOW else f"{1 / max(rate, 1e-9):.0f} s each"


def _bar(console: Console) -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TaskProgressColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
