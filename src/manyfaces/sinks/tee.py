"""Several sinks as one. One that fails takes none of the others with it."""

from __future__ import annotations

from collections.abc import Sequence
from types import TracebackType

from manyfaces.errors import ManyfacesError
from manyfaces.stages import Sink
from manyfaces.types import Frame, FrameResult, Unreadable


class Tee:
    """Hands every result to all sinks. The first error is raised once, after the others have got their frame; the
    failed sink gets nothing more, and all are closed at the end."""

    def __init__(self, sinks: Sequence[Sink]) -> None:
        self._sinks = tuple(sinks)
        self._entered: list[Sink] = []
        self._failed: set[int] = set()

    def __enter__(self) -> Tee:
        for sink in self._sinks:
            try:
                self._entered.append(sink.__enter__())
            except BaseException as error:
                self.__exit__(type(error), error, error.__traceback__)
                raise
        return self

    def write(self, frame: Frame | Unreadable, result: FrameResult, /) -> None:
        errors: list[ManyfacesError] = []
        for position, sink in enumerate(self._entered):
            if position in self._failed:
                continue
            try:
                sink.write(frame, result)
            except ManyfacesError as error:
                self._failed.add(position)
                errors.append(error)
        if errors:
            raise errors[0]

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Close all; what goes wrong in closing is raised only where nothing else is on its way."""
        errors: list[Exception] = []
        while self._entered:
            try:
                self._entered.pop().__exit__(kind, error, traceback)
            except Exception as failure:
                errors.append(failure)
        if errors and error is None:
            raise errors[-1]
