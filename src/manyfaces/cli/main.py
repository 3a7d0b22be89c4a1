"""The command line: `manyfaces COMMAND`, also `python -m manyfaces`.

Only the standard library is imported here, for signals can come from the first moment on: the commands, and all that
they import, are imported when somebody listens for them.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from types import FrameType, TracebackType
from typing import Any

SIGNALS = (signal.SIGINT, signal.SIGTERM)


def main() -> None:
    """The entry point: errors and signals become an exit status, errors also one sentence."""
    with _Signals() as signals:
        from manyfaces.arenas import share_one_arena
        from manyfaces.cli.commands import app, explained

        # --debug is taken wherever it stands, since it is typed when a command has just failed: at its end.
        words = [word for word in sys.argv[1:] if word != "--debug"]
        debug = len(words) < len(sys.argv) - 1 or bool(os.environ.get("MANYFACES_DEBUG"))
        _stand_any_script()
        share_one_arena()
        signals.begin()
        try:
            app(words)
        except KeyboardInterrupt:
            sys.exit(128 + signal.SIGINT)
        except Exception as error:
            if signals.came:
                sys.exit(128 + signals.came)
            sys.exit(explained(error, debug))


class _Signals:
    """Listens to Ctrl-C, and to being asked to end, as by `kill` or a container that stops.

    Until the commands are imported nothing has begun, and an exception from here would run through imports that print
    it, swallow it or make another of it: the process ends at once. From then on an exception ends the command, so that
    what is being written is finished. `came` tells which signal it was, for a library that is imported then may still
    make an ImportError of it.
    """

    def __init__(self) -> None:
        self.came = 0
        self._has_begun = False
        self._former: dict[signal.Signals, Any] = {}

    def __enter__(self) -> _Signals:
        """Signals that are switched off, as under `nohup`, stay so."""
        former = {one: signal.getsignal(one) for one in SIGNALS}
        self._former = {one: handler for one, handler in former.items() if handler not in (None, signal.SIG_IGN)}
        for one in self._former:
            signal.signal(one, self._arrived)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        for one, handler in self._former.items():
            signal.signal(one, handler)

    def begin(self) -> None:
        """There may be something to finish from now on."""
        self._has_begun = True

    def _arrived(self, number: int, _frame: FrameType | None) -> None:
        if not self._has_begun:
            os._exit(128 + number)
        self.came = number
        raise KeyboardInterrupt if number == signal.SIGINT else SystemExit(128 + number)


def _stand_any_script() -> None:
    """A terminal that knows no Vietnamese gets escapes instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
