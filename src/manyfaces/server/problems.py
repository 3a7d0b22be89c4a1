"""What goes wrong, as RFC 9457 has it: `application/problem+json`, one sentence a client can act on, nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from starlette.responses import Response

from manyfaces.errors import (
    Busy,
    EnrolmentRefused,
    GalleryError,
    InputError,
    ManyfacesError,
    NotYet,
    Stopped,
    UsageError,
)

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """An answer that is no result. `retry_after`: seconds after which it may be worth asking again."""

    def __init__(self, status: int, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers: dict[str, str] = {} if retry_after is None else {"Retry-After": str(retry_after)}
        if status == HTTPStatus.UNAUTHORIZED:
            self.headers["WWW-Authenticate"] = 'Bearer realm="manyfaces"'


STATUSES: tuple[tuple[type[ManyfacesError], HTTPStatus], ...] = (
    (Busy, HTTPStatus.SERVICE_UNAVAILABLE),
    (NotYet, HTTPStatus.SERVICE_UNAVAILABLE),
    (Stopped, HTTPStatus.SERVICE_UNAVAILABLE),
    (EnrolmentRefused, HTTPStatus.UNPROCESSABLE_ENTITY),
    (InputError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (UsageError, HTTPStatus.UNPROCESSABLE_ENTITY),
    (GalleryError, HTTPStatus.SERVICE_UNAVAILABLE),
)


def of(error: ManyfacesError) -> Problem:
    """What an error that was raised on purpose means to a client."""
    status = next((status for kind, status in STATUSES if isinstance(error, kind)), HTTPStatus.INTERNAL_SERVER_ERROR)
    return Problem(status, sentence(error), retry_after=1 if status == HTTPStatus.SERVICE_UNAVAILABLE else None)


def sentence(error: Exception) -> str:
    """The error on one line, in the words of someone who has no command line at hand."""
    said = " ".join(str(error).split())
    return said.replace("(--force)", "(force=true)").replace("(--face N)", "(face=N)")


def document(status: int, detail: str) -> dict[str, Any]:
    return {"type": "about:blank", "title": HTTPStatus(status).phrase, "status": status, "detail": detail}


def response(status: int, detail: str, headers: Mapping[str, str] | None = None) -> Response:
    content = json.dumps(document(status, detail), ensure_ascii=False)
    return Response(content, status, dict(headers or {}), MEDIA_TYPE)


def answer(problem: Problem) -> Response:
    return response(problem.status, problem.detail, problem.headers)
