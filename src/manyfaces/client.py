"""A client of `manyfaces serve`, for Python programs. It needs nothing but the standard library; live streams need the
package websockets, which the extra `serve` brings.

    from manyfaces.client import Client

    client = Client("http://127.0.0.1:8080")
    for result in client.analyze(["party.jpg", "door.jpg"]): print(len(result.faces))
    for result in client.video("party.mp4"): ...
    client.add("Lan", ["lan1.jpg"], consent=True)
"""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
import uuid
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO
from urllib.parse import quote, urlencode, urlsplit

from manyfaces.errors import Busy, InputError, ManyfacesError, MissingExtra, NotYet, UsageError
from manyfaces.rows import from_json
from manyfaces.types import FrameResult

if TYPE_CHECKING:
    from websockets.sync.client import ClientConnection

Picture = bytes | str | os.PathLike[str]
"""Encoded bytes (JPEG, PNG, WebP, ...), or the path of a file that holds them."""

CHUNK = 1 << 20


class Refused(ManyfacesError):
    """The server did not do what it was asked. `status` is HTTP's; the text is the server's own sentence."""

    def __init__(self, status: int, detail: str) -> None:
        super().__init__(detail)
        self.status = status


class Unreachable(ManyfacesError):
    """There is no answer: nobody listens there, or the line broke."""


@dataclass(frozen=True, slots=True)
class Verified:
    """Whether two pictures show one person, how alike the faces are, and how probable it is."""

    same: bool
    similarity: float
    threshold: float
    probability: float


@dataclass(frozen=True, slots=True)
class Enrolled:
    """How many faces were added, and of each photo that was refused the reason."""

    added: int
    refused: dict[str, str]


@dataclass(frozen=True, slots=True)
class LiveResult:
    """One frame's row; `sent` is what the client gave with it; `dropped` were passed over just before it."""

    result: FrameResult
    sent: float | None
    dropped: int


class Client:
    """One server. Each call opens a connection of its own, so a client may be used by many threads."""

    def __init__(
        self, address: str = "http://127.0.0.1:8080", token: str | None = None, *, timeout: float = 60.0,
        context: ssl.SSLContext | None = None,
    ) -> None:  # fmt: skip
        """`context` is for a server whose certificate this machine does not know."""
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise UsageError(f"{address}: no address of a server; give one like http://127.0.0.1:8080")
        self._parts = parts
        self._timeout = timeout
        self._context = context
        self._headers = {"Authorization": f"Bearer {token}"} if token else {}

    # --- looking ---

    def analyze(self, pictures: Picture | Iterable[Picture]) -> list[FrameResult]:
        """One result per picture, in order; one that cannot be read has `error`."""
        return self._results("/v1/analyze", "pictures", pictures)

    def video(self, video: Picture) -> Iterator[FrameResult]:
        """One result per frame, as they are found. Closing the iterator ends the work there too."""
        name = "video" if isinstance(video, bytes) else Path(video).name
        path = f"/v1/videos?{urlencode({'stream': name[-120:]})}"
        with _opened(video) as body, self._answer("POST", path, body, {"Content-Type": "video/*"}) as answer:
            for line in answer:
                yield from_json(json.loads(line))

    def verify(self, first: Picture, second: Picture) -> Verified:
        body, kind = _form([("first", first), ("second", second)])
        return Verified(**self._json("POST", "/v1/verify", body, kind))

    # --- people ---

    def people(self) -> list[dict[str, Any]]:
        """Everybody who is enrolled: name, photos, added, model, consent."""
        found: list[dict[str, Any]] = self._json("GET", "/v1/people")["people"]
        return found

    def person(self, name: str) -> dict[str, Any]:
        return self._json("GET", _person(name))

    def add(
        self, name: str, photos: Picture | Iterable[Picture], *, consent: bool, consent_text: str = "",
        expires: str = "", face: int | None = None, force: bool = False,
    ) -> Enrolled:  # fmt: skip
        """Enrol somebody who has agreed; each photo that is not good enough is refused with the reason."""
        fields = {"consent": _word(consent), "consent_text": consent_text, "expires": expires, "force": _word(force)}
        given = {**fields, "face": str(face)} if face is not None else fields
        body, kind = _form([("photos", photo) for photo in _several(photos)], given)
        said = self._json("POST", _person(name), body, kind)
        return Enrolled(said["added"], {one["photo"]: one["reason"] for one in said["refused"]})

    def rename(self, name: str, to: str) -> None:
        self._json("POST", f"{_person(name)}/rename", *_as_json({"to": to}))

    def remove(self, name: str) -> int:
        """Forget a person with every trace; how many faces went."""
        return int(self._json("DELETE", _person(name))["removed"])

    def calibrate(self, false_accept_rate: float | None = None) -> dict[str, Any]:
        """Compute when a face gets a name; what the gallery is like then."""
        return self._json("POST", "/v1/people/calibrate", *_as_json({"false_accept_rate": false_accept_rate}))

    def quality(self, picture: Picture) -> dict[str, Any]:
        """How good a picture is to enrol from, and what could be better."""
        return self._json("POST", "/v1/faces/quality", *_form([("picture", picture)]))

    # --- feed and pull ---

    def feed(self, pictures: Picture | Iterable[Picture], *, stream: str, block: bool = True) -> int:
        """Hand over a batch; while the stream is full it waits, or with `block=False` raises `Busy`."""
        body, kind = _form([("pictures", picture) for picture in _several(pictures)])
        try:
            return int(self._json("POST", f"{_stream(stream)}/feed?block={_word(block)}", body, kind)["fed"])
        except Refused as error:
            raise Busy(str(error)) if error.status == 503 else error from None

    def pull(self, *, stream: str, timeout: float = 30.0) -> list[FrameResult]:
        """The results of the oldest batch that was not pulled yet; `NotYet` where the time brought nothing."""
        said = self._json("GET", f"{_stream(stream)}/pull?timeout={timeout:g}")
        if not said:
            raise NotYet(f"stream {stream!r}: no batch was finished within {timeout:g} s; pull again")
        return [from_json(row) for row in said["results"]]

    def end(self, stream: str) -> None:
        """Forget a stream and all that was not pulled."""
        self._json("DELETE", _stream(stream))

    def live(self) -> Live:
        """A live stream: `with client.live() as live: live.send(jpeg); print(live.receive())`."""
        address = self._parts._replace(scheme=self._parts.scheme.replace("http", "ws"), path="/v1/live").geturl()
        return Live(address, self._headers, self._timeout, self._context)

    # --- the server itself ---

    def system(self) -> dict[str, Any]:
        return self._json("GET", "/v1/system")

    def is_ready(self) -> bool:
        """Whether the server runs and takes work; False also where there is none."""
        try:
            return bool(self._json("GET", "/v1/health")["ready"])
        except (Refused, Unreachable):
            return False

    # --- inside ---

    def _results(self, path: str, field: str, pictures: Picture | Iterable[Picture]) -> list[FrameResult]:
        body, kind = _form([(field, picture) for picture in _several(pictures)])
        return [from_json(row) for row in self._json("POST", path, body, kind)["results"]]

    def _json(
        self, method: str, path: str, body: bytes | None = None, headers: Mapping[str, str] = {}
    ) -> dict[str, Any]:
        with self._answer(method, path, body, headers) as answer:
            content = answer.read()
        said: dict[str, Any] = json.loads(content) if content else {}
        return said

    @contextmanager
    def _answer(
        self, method: str, path: str, body: bytes | BinaryIO | None, headers: Mapping[str, str]
    ) -> Iterator[http.client.HTTPResponse]:
        connection = self._connection()
        try:
            connection.request(method, self._parts.path.rstrip("/") + path, body, {**self._headers, **headers})
            answer = connection.getresponse()
            if answer.status >= 400:
                raise Refused(answer.status, _detail(answer))
            yield answer
        except (OSError, http.client.HTTPException) as error:
            where = f"{self._parts.scheme}://{self._parts.netloc}"
            raise Unreachable(
                f"{where}: no answer ({error or type(error).__name__}); check that a server runs there"
            ) from None
        finally:
            connection.close()

    def _connection(self) -> http.client.HTTPConnection:
        host, port = str(self._parts.hostname), self._parts.port
        if self._parts.scheme == "https":
            return http.client.HTTPSConnection(host, port, timeout=self._timeout, context=self._context)
        return http.client.HTTPConnection(host, port, timeout=self._timeout)


class Live:
    """Frames in, rows out. Send as many as you like: the newest wins, and those passed over are counted."""

    def __init__(
        self, address: str, headers: Mapping[str, str], timeout: float, context: ssl.SSLContext | None
    ) -> None:
        self._address = address
        self._headers = headers
        self._timeout = timeout
        self._context = context
        self._socket: ClientConnection | None = None
        self._closing = ExitStack()

    def __enter__(self) -> Live:
        try:
            from websockets.exceptions import InvalidStatus
            from websockets.sync.client import connect
        except ModuleNotFoundError:
            raise MissingExtra("a live stream", "serve") from None
        context = self._context if self._address.startswith("wss") else None
        try:
            connection = connect(
                self._address, ssl=context, additional_headers=dict(self._headers), open_timeout=self._timeout,
                compression=None, max_size=None, proxy=None,
            )  # fmt: skip
            self._socket = self._closing.enter_context(connection)
        except InvalidStatus as error:
            raise Refused(error.response.status_code, _sentence(bytes(error.response.body or b""))) from None
        except OSError as error:
            raise Unreachable(f"{self._address}: no answer ({error}); check that a server runs there") from None
        return self

    def __exit__(self, *_: object) -> None:
        self._closing.close()

    def send(self, frame: bytes, sent: float | None = None) -> None:
        """An encoded frame. `sent`, milliseconds of whatever clock, comes back with its row; by default a monotonic."""
        self._open.send(json.dumps({"sent": 1000 * time.monotonic() if sent is None else sent}))
        self._open.send(frame)

    def receive(self, timeout: float | None = None) -> LiveResult:
        """The next row; `NotYet` where the time brought none."""
        from websockets.exceptions import ConnectionClosed

        try:
            row = json.loads(self._open.recv(timeout))
        except TimeoutError:
            raise NotYet(f"no row came within {timeout} s; receive again") from None
        except ConnectionClosed as error:
            said = error.rcvd.reason if error.rcvd else ""
            raise Unreachable(f"the live stream has ended ({said or 'the line broke'}); begin another") from None
        return LiveResult(from_json(row), row["sent"], int(row["dropped"]))

    @property
    def _open(self) -> ClientConnection:
        if self._socket is None:
            raise UsageError("a live stream is used in a with block: with client.live() as live: ...")
        return self._socket


# --- what is sent ----------------------------------------------------------------------------------------------------


def _several(pictures: Picture | Iterable[Picture]) -> list[Picture]:
    return [pictures] if isinstance(pictures, (bytes, str, os.PathLike)) else list(pictures)


@contextmanager
def _opened(picture: Picture) -> Iterator[bytes | BinaryIO]:
    if isinstance(picture, bytes):
        yield picture
        return
    try:
        file = Path(picture).open("rb")  # noqa: SIM115 - closed below; what fails in the block is not ours
    except OSError as error:
        raise InputError(f"{picture}: cannot be read ({error.strerror}); check the path") from None
    with file:
        yield file


def _content(picture: Picture) -> bytes:
    with _opened(picture) as given:
        return given if isinstance(given, bytes) else given.read()


def _form(files: Sequence[tuple[str, Picture]], fields: Mapping[str, str] = {}) -> tuple[bytes, dict[str, str]]:
    """A multipart body and the header that says so."""
    boundary = uuid.uuid4().hex
    parts = [_part(boundary, f'name="{name}"', value.encode()) for name, value in fields.items()]
    for number, (field, picture) in enumerate(files, 1):
        name = f"{field}-{number}" if isinstance(picture, bytes) else Path(picture).name
        parts.append(_part(boundary, f'name="{field}"; filename="{_quoted(name)}"', _content(picture)))
    body = b"".join([*parts, f"--{boundary}--\r\n".encode()])
    return body, {"Content-Type": f"multipart/form-data; boundary={boundary}"}


def _part(boundary: str, disposition: str, content: bytes) -> bytes:
    return f"--{boundary}\r\nContent-Disposition: form-data; {disposition}\r\n\r\n".encode() + content + b"\r\n"


def _quoted(name: str) -> str:
    """As browsers write a file's name into a form."""
    return name.replace('"', "%22").replace("\r", "%0D").replace("\n", "%0A")


def _as_json(value: Mapping[str, Any]) -> tuple[bytes, dict[str, str]]:
    return json.dumps(value).encode(), {"Content-Type": "application/json"}


def _person(name: str) -> str:
    return f"/v1/people/{quote(name, safe='')}"


def _stream(name: str) -> str:
    return f"/v1/streams/{quote(name, safe='')}"


def _word(value: bool) -> str:
    return "true" if value else "false"


def _detail(answer: http.client.HTTPResponse) -> str:
    return _sentence(answer.read()) or f"the server answered {answer.status} {answer.reason}"


def _sentence(content: bytes) -> str:
    """What a problem document says; nothing where the answer is something else."""
    try:
        said = json.loads(content)
    except ValueError:
        return ""
    return str(said.get("detail", "")) if isinstance(said, dict) else ""
