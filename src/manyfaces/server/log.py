"""What the server writes down: one JSON object a line, of routes, states and figures.

Never a name, a vector, a file's name, an address typed by a client or the text of an exception, which may hold any of
them.
"""

from __future__ import annotations

import json
import logging
import traceback
from datetime import datetime, timezone
from typing import Any

LOGGER = "manyfaces.server"


class Log:
    """Goes through Python's logging, so a program that runs the server decides where it ends."""

    def __init__(self, logger: logging.Logger | None = None) -> None:
        self._logger = logger or logging.getLogger(LOGGER)

    def event(self, event: str, **figures: Any) -> None:
        self._logger.info(event, extra={"figures": figures})

    def warning(self, event: str, **figures: Any) -> None:
        """Somebody should look after this, and it is no fault of ours."""
        self._logger.warning(event, extra={"figures": figures})

    def fault(self, where: str, error: BaseException) -> None:
        """A fault of ours: what kind, and the place in our code, which is all that is safe to tell."""
        self._logger.error("fault", extra={"figures": {"where": where, "kind": type(error).__name__, "at": _at(error)}})


def _at(error: BaseException) -> list[str]:
    frames = traceback.extract_tb(error.__traceback__)[-4:]
    return [f"{frame.filename.rpartition('site-packages/')[2]}:{frame.lineno}" for frame in frames]


class JsonLines(logging.Formatter):
    """What others log through the same handler, uvicorn say, is said without its traceback."""

    def format(self, record: logging.LogRecord) -> str:
        line = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "event": record.getMessage() if record.name == LOGGER else _foreign(record),
            **getattr(record, "figures", {}),
        }
        return json.dumps(line, ensure_ascii=False, default=str)


def _foreign(record: logging.LogRecord) -> str:
    """The pattern of a message, without what was filled in, which may come from a client."""
    return f"{record.name}: {record.msg if isinstance(record.msg, str) else type(record.msg).__name__}"


def to_lines(stream: Any, level: int = logging.INFO) -> logging.Handler:
    """Send the server's log, and uvicorn's, to a stream. Remove the handler from both loggers to stop."""
    handler = logging.StreamHandler(stream)
    handler.setFormatter(JsonLines())
    for name, least in ((LOGGER, level), ("uvicorn.error", logging.WARNING)):
        logger = logging.getLogger(name)
        logger.addHandler(handler)
        logger.setLevel(least)
        logger.propagate = False
    return handler
