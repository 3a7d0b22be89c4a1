"""What clients send, taken apart: multipart fields and files, all of it in memory or in files without a name.

Names that clients give are only ever shown, and made harmless for that.
"""

from __future__ import annotations

import unicodedata
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import PureWindowsPath
from tempfile import SpooledTemporaryFile
from typing import IO, cast

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request

from manyfaces.server.limits import MEGA, Limits
from manyfaces.server.problems import Problem

MOST_FIELDS = 32
LONGEST_NAME = 120
TRUE, FALSE = ("true", "1", "yes", "on"), ("false", "0", "no", "off", "")


@dataclass(frozen=True, slots=True)
class Upload:
    """One file of a request: what to call it, and its bytes."""

    name: str
    content: bytes


def harmless(name: str | None, otherwise: str) -> str:
    """The last part of a name, without what could end a line, hide something or lead anywhere."""
    last = PureWindowsPath(unicodedata.normalize("NFC", name or "")).name
    kept = "".join(letter for letter in last if letter.isprintable() and letter not in '<>:"|?*/\\')
    return kept.strip(" .")[:LONGEST_NAME] or otherwise


@asynccontextmanager
async def form_of(request: Request, limits: Limits) -> AsyncIterator[FormData]:
    """The fields of a multipart request; its files are gone when the block ends."""
    kind = request.headers.get("content-type", "")
    if not kind.lower().startswith("multipart/form-data"):
        raise Problem(415, f"expected multipart/form-data, got {shown_kind(kind)}; send the files as form fields")
    try:
        form = await request.form(max_files=limits.pictures, max_fields=MOST_FIELDS)
    except HTTPException as error:
        raise Problem(400, f"the multipart body cannot be read ({error.detail}); check what the client sends") from None
    except (KeyError, ValueError, LookupError) as error:  # what the parser stumbles over in headers that are no headers
        raise Problem(400, f"the multipart body cannot be read ({type(error).__name__}); check the client") from None
    try:
        yield form
    finally:
        await form.close()


def shown_kind(kind: str) -> str:
    return repr(kind[:80]) if kind else "no content type"


async def files_of(form: FormData, field: str) -> list[Upload]:
    """All files of a field, in their order; a request without any is told so."""
    given = form.getlist(field)
    files = [item for item in given if isinstance(item, UploadFile)]
    if not files or len(files) < len(given):
        raise Problem(422, f"the field {field!r} is missing or holds no file; send a file under this name")
    return [
        Upload(harmless(file.filename, f"{field}-{number}"), await file.read()) for number, file in enumerate(files, 1)
    ]


async def one_file(form: FormData, field: str) -> Upload:
    files = await files_of(form, field)
    if len(files) > 1:
        raise Problem(422, f"the field {field!r} holds {len(files)} files; send one")
    return files[0]


def text_of(form: FormData, field: str) -> str:
    value = form.get(field, "")
    if not isinstance(value, str):
        raise Problem(422, f"the field {field!r} is a file; send text")
    if len(value) > 1000 or "\0" in value:
        raise Problem(422, f"the field {field!r} is too long or holds bytes that are no text; send a short text")
    return value


def truth_of(form: FormData, field: str) -> bool:
    return truth(text_of(form, field), field)


def truth(value: str, name: str) -> bool:
    if value.lower() in TRUE:
        return True
    if value.lower() in FALSE:
        return False
    raise Problem(422, f"{name} is neither true nor false; send one of the two")


@asynccontextmanager
async def video_of(request: Request, limits: Limits, called: str) -> AsyncIterator[tuple[str, IO[bytes]]]:
    """An uploaded video as a file without a name, at its beginning: a form field `video`, or the whole body."""
    if request.headers.get("content-type", "").lower().startswith("multipart/form-data"):
        async with form_of(request, limits) as form:
            video = form.get("video")
            if not isinstance(video, UploadFile):
                raise Problem(422, "the field 'video' is missing or holds no file; send a video under this name")
            yield harmless(video.filename, "video"), cast(IO[bytes], video.file)
    else:
        with SpooledTemporaryFile(max_size=MEGA) as file:
            async for chunk in request.stream():
                if file.tell() + len(chunk) > MEGA:
                    await run_in_threadpool(file.write, chunk)
                else:
                    file.write(chunk)
            if not file.tell():
                raise Problem(422, "the body is empty; send a video")
            file.seek(0)
            yield harmless(called, "video"), cast(IO[bytes], file)
