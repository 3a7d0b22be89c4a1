"""What can be asked: one short function a route. What is behind them is in the files beside this one."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator
from contextlib import suppress
from dataclasses import asdict
from typing import Annotated, Any

from fastapi import APIRouter, Body, Path, Query, Request
from starlette.datastructures import FormData
from starlette.responses import JSONResponse, Response
from starlette.types import Receive, Scope, Send
from starlette.websockets import WebSocket, WebSocketDisconnect

from manyfaces.errors import ManyfacesError
from manyfaces.gallery.store import Consent
from manyfaces.rows import as_json, failed
from manyfaces.server import live as live_clients
from manyfaces.server import shapes, videos
from manyfaces.server.people import Photo, quality, verified
from manyfaces.server.problems import MEDIA_TYPE, Problem, document, sentence
from manyfaces.server.service import Service
from manyfaces.server.streams import LONGEST_WAIT, Streams
from manyfaces.server.tokens import SUBPROTOCOL
from manyfaces.server.uploads import files_of, form_of, one_file, text_of, truth_of, video_of
from manyfaces.types import FrameResult, Unreadable

ROWS = "application/x-ndjson"
CONSENT = "agreed; asked for by the HTTP API"

PersonName = Annotated[str, Path(description="the person's name, in any script", min_length=1, max_length=200)]
StreamName = Annotated[str, Path(description="the stream's name, yours to choose", min_length=1, max_length=120)]


def refusals(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """The problems that a route may answer with, for the document; those that every route may are added."""
    problem = {MEDIA_TYPE: {"schema": {"$ref": shapes.PROBLEM}}}
    everywhere = (400, 401, 403, 408, 413, 421, 429, 500, 503)
    return {
        status: {"description": document(status, "")["title"], "content": problem}
        for status in (*everywhere, *statuses)
    }


def form(required: dict[str, str], **optional: dict[str, Any]) -> dict[str, Any]:
    """The multipart body of a route, for the document. `required`: files, one or `many`."""
    one: dict[str, Any] = {"type": "string", "format": "binary"}
    files = {
        name: {"type": "array", "items": one, "minItems": 1} if how == "many" else one for name, how in required.items()
    }
    must = [*required, *(name for name, shape in optional.items() if shape.get("const") is not None)]
    schema = {"type": "object", "properties": {**files, **optional}, "required": must}
    return {"requestBody": {"required": True, "content": {"multipart/form-data": {"schema": schema}}}}


def routes(service: Service, streams: Streams) -> APIRouter:
    """Everything under /v1, /metrics included."""
    router = APIRouter()
    for add in (_looking, _knowing, _enrolling, _streaming, _operating):
        add(router, service, streams)
    return router


# --- looking ---------------------------------------------------------------------------------------------------------


def _looking(router: APIRouter, service: Service, _streams: Streams) -> None:
    limits = service.limits

    @router.post(
        "/v1/analyze", tags=["look"], response_model=None, openapi_extra=form({"pictures": "many"}),
        responses={200: {"model": shapes.Results}, **refusals(415, 422)},
    )  # fmt: skip
    async def analyze(
        request: Request, annotate: Annotated[bool, Query(description="also draw each picture")] = False
    ) -> Response:
        """Every face of one or more pictures. One that cannot be read has a row with `error`."""
        async with form_of(request, limits) as fields:
            pictures = await files_of(fields, "pictures")
        with service.pictures.accept(len(pictures)):
            seen = await service.look_at_all(pictures, annotate)
        rows = [{**as_json(row), "annotated": drawn} if annotate else as_json(row) for row, drawn in seen]
        return JSONResponse({"results": rows})

    @router.post(
        "/v1/videos", tags=["look"], response_model=None,
        response_class=Response, responses={**_rows(), **refusals(415, 422)},
        openapi_extra={"requestBody": {"required": True, "content": {"application/octet-stream": {"schema": {
            "type": "string", "format": "binary"}}, **form({"video": "one"})["requestBody"]["content"]}}},
    )  # fmt: skip
    async def video(
        request: Request,
        stream: Annotated[str, Query(description="what to call a raw upload", max_length=120)] = "video",
    ) -> Response:
        """Every face of every frame of a video, a row a line, as they are found. The video is kept nowhere."""
        return _Rows(service, request, stream)

    @router.post(
        "/v1/verify", tags=["look"], response_model=None, openapi_extra=form({"first": "one", "second": "one"}),
        responses={200: {"model": shapes.Verified}, **refusals(409, 415, 422)},
    )  # fmt: skip
    async def verify(request: Request) -> Response:
        """Are the main faces of two pictures of the same person?"""
        async with form_of(request, limits) as fields:
            pair = [Photo(await one_file(fields, name), limits.picture_pixels) for name in ("first", "second")]
        with service.pictures.accept(2):
            found = await service.do_aside(verified, pair[0], pair[1], service.stages)
        return JSONResponse(asdict(found))

    @router.websocket("/v1/live")
    async def live(websocket: WebSocket) -> None:
        with service.live.accept():
            await _serve_live(service, websocket)


def _rows() -> dict[int | str, dict[str, Any]]:
    example = json.dumps(shapes.ROW) + "\n"
    content = {ROWS: {"schema": {"type": "string", "description": "a Row a line"}, "example": example}}
    return {200: {"description": "rows, a line each", "content": content}}


class _Rows(Response):
    """An answer that is written while the video is read. Starlette's own would cancel the clean-up with the work when
    the client has gone; this one stops the work and then lets it clean up."""

    def __init__(self, service: Service, request: Request, called: str) -> None:
        super().__init__(media_type=ROWS)
        self._service = service
        self._request = request
        self._called = called

    async def __call__(self, _scope: Scope, receive: Receive, send: Send) -> None:
        service = self._service
        with service.videos.accept():
            async with video_of(self._request, service.limits, self._called) as (name, file):
                container = await service.do(videos.opened, file, name, service.limits)
                rows = videos.rows_of(service, videos.Reader(container, name, service.limits))
                try:
                    await self._send(_lines(rows, name), receive, send)
                finally:
                    await rows.aclose()

    async def _send(self, lines: AsyncGenerator[bytes, None], receive: Receive, send: Send) -> None:
        headers = [(name, value) for name, value in self.raw_headers if name != b"content-length"]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        gone = asyncio.create_task(_until_gone(receive))
        try:
            async for line in _while(lines, gone):
                await send({"type": "http.response.body", "body": line, "more_body": True})
        finally:
            await lines.aclose()
            gone.cancel()
        if not gone.done():
            await send({"type": "http.response.body", "body": b""})


async def _until_gone(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _while(lines: AsyncGenerator[bytes, None], gone: asyncio.Task[None]) -> AsyncGenerator[bytes, None]:
    """The lines, as long as the client is there."""
    while not gone.done():
        line = asyncio.ensure_future(anext(lines, b""))
        await asyncio.wait({line, gone}, return_when=asyncio.FIRST_COMPLETED)
        if not line.done():
            line.cancel()
            await asyncio.gather(line, return_exceptions=True)
            return
        if not line.result():
            return
        yield line.result()


async def _lines(rows: AsyncGenerator[FrameResult, None], name: str) -> AsyncGenerator[bytes, None]:
    """What goes wrong when rows have been sent already can only be told by another row."""
    index = 0
    try:
        async for row in rows:
            index = row.index + 1
            yield _line(row)
    except ManyfacesError as error:
        yield _line(failed(Unreadable(name, index, 0.0, sentence(error))))


def _line(row: FrameResult) -> bytes:
    return (json.dumps(as_json(row), ensure_ascii=False) + "\n").encode()


async def _serve_live(service: Service, websocket: WebSocket) -> None:
    await websocket.accept(SUBPROTOCOL if SUBPROTOCOL in websocket.scope.get("subprotocols", ()) else None)
    client = live_clients.Client(service, websocket.send_text)
    working = asyncio.create_task(client.work())
    listening = asyncio.create_task(_listen(websocket, client, service.limits.frame_bytes))
    try:
        await asyncio.wait({working, listening}, return_when=asyncio.FIRST_COMPLETED)
        code = listening.result() if listening.done() else live_clients.STOPPED
    finally:
        for task in (working, listening):
            task.cancel()
        await asyncio.gather(working, listening, return_exceptions=True)
    if code:
        with suppress(RuntimeError, WebSocketDisconnect):  # it may have gone at the same moment
            await websocket.close(code, live_clients.REASONS.get(code))


async def _listen(websocket: WebSocket, client: live_clients.Client, most: int) -> int:
    """Take what the client sends, until it goes or sends what is no frame; the code to close with, 0 for none."""
    while (message := await websocket.receive())["type"] == "websocket.receive":
        content, text = message.get("bytes"), message.get("text")
        if content is not None and len(content) > most:
            return live_clients.TOO_BIG
        try:
            client.take(content) if content is not None else client.say(text or "")
        except live_clients.Garbage:
            return live_clients.GARBAGE
    return 0


# --- people ----------------------------------------------------------------------------------------------------------


def _knowing(router: APIRouter, service: Service, _streams: Streams) -> None:
    """The gallery as a whole. Before the people in it: `calibrate` would be taken for a name."""
    people, limits = service.people, service.limits

    @router.get(
        "/v1/people",
        tags=["people"],
        response_model=None,
        responses={200: {"model": shapes.Everybody}, **refusals(409)},
    )
    async def everybody() -> Response:
        """Who is enrolled, and how sure this gallery can be."""
        return JSONResponse({"people": await service.do_aside(people.everybody), "gallery": people.about()})

    @router.post(
        "/v1/people/calibrate", tags=["people"], response_model=None,
        responses={200: {"model": shapes.GalleryRow}, **refusals(409, 422)},
    )  # fmt: skip
    async def calibrate(rate: Annotated[shapes.Rate | None, Body()] = None) -> Response:
        """Compute from the gallery's own faces when a face gets a name."""
        await service.do_aside(people.calibrate, rate.false_accept_rate if rate else None)
        return JSONResponse(people.about())

    @router.post(
        "/v1/faces/quality", tags=["people"], response_model=None, openapi_extra=form({"picture": "one"}),
        responses={200: {"model": shapes.Quality}, **refusals(409, 415, 422)},
    )  # fmt: skip
    async def advise(request: Request) -> Response:
        """How good a picture is to enrol from, and what could be better. Nothing is kept."""
        async with form_of(request, limits) as fields:
            photo = Photo(await one_file(fields, "picture"), limits.picture_pixels)
        with service.pictures.accept():
            return JSONResponse(await service.do_aside(quality, photo, service.stages))


def _enrolling(router: APIRouter, service: Service, _streams: Streams) -> None:
    """One person of the gallery."""
    people, limits = service.people, service.limits

    @router.post(
        "/v1/people/{name:path}/rename", tags=["people"], response_model=None,
        responses={200: {"model": shapes.PersonInFull}, **refusals(404, 409, 422)},
    )  # fmt: skip
    async def rename(name: PersonName, new: Annotated[shapes.Rename, Body()]) -> Response:
        """Give a person another name."""
        await service.do_aside(people.rename, name, new.to)
        return JSONResponse(await service.do_aside(people.one, new.to))

    @router.get(
        "/v1/people/{name:path}", tags=["people"], response_model=None,
        responses={200: {"model": shapes.PersonInFull}, **refusals(404, 422)},
    )  # fmt: skip
    async def person(name: PersonName) -> Response:
        """What is known of one person."""
        return JSONResponse(await service.do_aside(people.one, name))

    @router.post(
        "/v1/people/{name:path}", tags=["people"], response_model=None,
        responses={200: {"model": shapes.Enrolled}, **refusals(404, 409, 415, 422)},
        openapi_extra=form(
            {"photos": "many"}, consent={"type": "string", "const": "true", "description": "the person has agreed"},
            consent_text={"type": "string"}, expires={"type": "string", "description": "such as 2027-12-31"},
            force={"type": "string", "enum": ["true", "false"]}, face={"type": "string", "pattern": "^[1-9][0-9]?$"},
        ),
    )  # fmt: skip
    async def enrol(name: PersonName, request: Request) -> Response:
        """Enrol a person from photos; each that is not good enough is refused with the reason."""
        async with form_of(request, limits) as fields:
            consent = _consent(fields)
            several = [Photo(upload, limits.picture_pixels) for upload in await files_of(fields, "photos")]
            face, force = _face(text_of(fields, "face")), truth_of(fields, "force")
        with service.pictures.accept(len(several)):
            became = await service.do_aside(people.add, name, several, service.stages, consent, face, force)
        became["refused"] = [{"photo": one["photo"], "reason": sentence(one["reason"])} for one in became["refused"]]
        return JSONResponse(became)

    @router.delete(
        "/v1/people/{name:path}", tags=["people"], response_model=None,
        responses={200: {"model": shapes.Removed}, **refusals(404, 422)},
    )  # fmt: skip
    async def remove(name: PersonName) -> Response:
        """Forget a person with every trace."""
        return JSONResponse({"removed": await service.do_aside(people.remove, name)})


def _consent(fields: FormData) -> Consent:
    if not truth_of(fields, "consent"):
        raise Problem(422, "nobody is enrolled without having agreed; ask, and send consent=true")
    return Consent(text_of(fields, "consent_text") or CONSENT, "HTTP API", "", text_of(fields, "expires"))


def _face(text: str) -> int | None:
    if not text:
        return None
    if not (text.isascii() and text.isdigit() and 0 < int(text[:3]) < 100):
        raise Problem(422, "face is the number of a face, counted from 1, left to right")
    return int(text)


# --- feed and pull ---------------------------------------------------------------------------------------------------


def _streaming(router: APIRouter, service: Service, streams: Streams) -> None:
    @router.post(
        "/v1/streams/{name}/feed", tags=["streams"], response_model=None, status_code=202,
        openapi_extra=form({"pictures": "many"}),
        responses={202: {"model": shapes.Fed}, **refusals(404, 409, 415, 422)},
    )  # fmt: skip
    async def feed(
        name: StreamName, request: Request, block: Annotated[bool, Query(description="wait while it is full")] = True
    ) -> Response:
        """Hand over a batch of pictures; recognition begins at once. While three batches have not been pulled this
        waits, or answers 503 with `block=false`."""
        async with form_of(request, service.limits) as fields:
            pictures = await files_of(fields, "pictures")
        return JSONResponse({"fed": await streams.feed(name, pictures, block)}, 202)

    @router.get(
        "/v1/streams/{name}/pull", tags=["streams"], response_model=None,
        responses={
            200: {"model": shapes.Results}, 204: {"description": "no batch was finished in the time given"},
            **refusals(404, 409, 422),
        },
    )  # fmt: skip
    async def pull(
        name: StreamName,
        timeout: Annotated[float, Query(ge=0, le=LONGEST_WAIT, description="seconds to wait")] = 30.0,
    ) -> Response:
        """The rows of the oldest batch that was not pulled yet. A stream begins when it is first fed: before that it
        is 404; one in which nothing is under way is 409."""
        rows = await streams.pull(name, timeout)
        if rows is None:
            return Response(status_code=204)
        return JSONResponse({"results": [as_json(row) for row in rows]})

    @router.delete(
        "/v1/streams/{name}", tags=["streams"], response_model=None,
        responses={200: {"model": shapes.Ended}, **refusals(404, 422)},
    )  # fmt: skip
    async def end(name: StreamName) -> Response:
        """Forget a stream and all that was not pulled."""
        await streams.end(name)
        return JSONResponse({"ended": name})


# --- operating -------------------------------------------------------------------------------------------------------


def _text(description: str) -> dict[str, Any]:
    return {"description": description, "content": {"text/plain": {"schema": {"type": "string"}}}}


def _operating(router: APIRouter, service: Service, streams: Streams) -> None:
    @router.get(
        "/v1/health", tags=["operate"], response_model=None,
        responses={200: {"model": shapes.Health}, **refusals(), 503: {"model": shapes.Health}},
    )  # fmt: skip
    async def health() -> Response:
        """Whether the server runs, whether it takes work, and whether its gallery could be read: a server whose gallery
        fails still takes work."""
        said = {"live": True, "ready": service.is_ready, "gallery": service.people.standing}
        return JSONResponse(said, 200 if service.is_ready else 503)

    @router.get(
        "/v1/system", tags=["operate"], response_model=None, responses={200: {"model": shapes.System}, **refusals()}
    )
    async def system(request: Request) -> Response:
        """How this server computes, and how busy it is."""
        queues = {
            "waiting": service.room.waiting, "inside": service.room.inside, "under_way": len(service.desk),
            "accepted": len(service.pictures), "live": len(service.live), "streams": len(streams),
            "videos": len(service.videos),
        }  # fmt: skip
        return JSONResponse({
            **service.about, "uptime": round(time.monotonic() - service.begun, 3), "role": request.state.role,
            "queues": queues, "limits": asdict(service.limits), "gallery": service.people.about(),
        })  # fmt: skip

    @router.get(
        "/metrics", tags=["operate"], response_model=None,
        response_class=Response,
        responses={200: _text("Prometheus' text format"), **refusals()},
    )  # fmt: skip
    async def metrics() -> Response:
        """Frames, faces, stages, queues, drops, batches, requests."""
        return Response(service.metrics.text(), media_type="text/plain; version=0.0.4")
