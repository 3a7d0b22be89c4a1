"""What became of the inputs, and the exit status that says it."""

from __future__ import annotations

import typer

from manyfaces.types import FrameResult

DONE, SOME_FAILED, WRONG_USAGE, NOTHING_DONE, INTERRUPTED = 0, 1, 2, 3, 130


def on_one_line(name: str) -> str:
    """A name that others chose, as a screen may show it: an escape character in it would command the terminal."""
    return name if name.isprintable() else repr(name)[1:-1]


def counted(count: int, one: str, several: str) -> str:
    return f"{count} {one if count == 1 else several}"


def complain(sentence: str) -> None:
    """One sentence to standard error, on one line of its own; a path in it commands no terminal."""
    typer.echo(f"manyfaces: {on_one_line(' '.join(sentence.split()))}", err=True)


class Outcome:
    """Counts what was done and names every input that failed, once."""

    def __init__(self) -> None:
        self._done = 0
        self._failed: set[str] = set()

    def failed(self, name: str, reason: object) -> None:
        if name not in self._failed:
            complain(str(reason) if name in str(reason) else f"{name}: {reason}")
        self._failed.add(name)

    def done(self) -> None:
        self._done += 1

    def count(self, result: FrameResult) -> None:
        if result.error:
            self.failed(result.stream, result.error)
        else:
            self.done()

    @property
    def status(self) -> int:
        if not self._failed:
            return DONE
        return SOME_FAILED if self._done else NOTHING_DONE
