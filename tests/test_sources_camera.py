"""Cameras and network streams, against a server of our own on this machine that breaks off when it is told to."""

from __future__ import annotations

import io
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np
import pytest
from av.container import InputContainer
from PIL import Image

from manyfaces.errors import InputError
from manyfaces.sources import Patience, open_source
from manyfaces.sources.camera import read_live
from manyfaces.types import Frame, Unreadable


@dataclass
class Waits:
    """A clock that only runs while somebody sleeps."""

    now: float = 0.0
    slept: list[float] = field(default_factory=list)

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds

    def patience(self, attempts: int = 4) -> Patience:
        return Patience(5.0, attempts, first_delay=0.5, longest_delay=3.0, sleep=self.sleep, clock=lambda: self.now)


def film(count: int, container_format: str, codec: str = "libx264") -> bytes:
    """Each frame 4 brighter than the one before."""
    options = {"movflags": "faststart"} if container_format == "mp4" else {}
    with TemporaryDirectory() as folder:
        path = Path(folder) / "film"
        _write_film(path, count, container_format, codec, options)
        return path.read_bytes()


def _write_film(path: Path, count: int, container_format: str, codec: str, options: dict[str, str]) -> None:
    with av.open(str(path), "w", format=container_format, options=options) as container:
        stream = container.add_stream(codec, rate=25, options={"g": "5", "crf": "10"})
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        noise = np.random.default_rng(0)
        for number in range(count):
            picture = np.full((48, 64, 3), 16 + 4 * number % 240, np.uint8)
            picture[24:] = noise.integers(0, 255, (24, 64, 3), dtype=np.uint8)  # so that a frame fills some packets
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))


@dataclass
class Plan:
    """How to answer, connection after connection: None refuses, a number is where in the content to break off."""

    content: bytes
    limits: list[int | None]
    ranges: bool = True
    lengths: bool = True
    asked: int = 0

    def next_limit(self) -> int | None:
        limit = self.limits[min(self.asked, len(self.limits) - 1)]
        self.asked += 1
        return limit


@contextmanager
def served(plan: Plan) -> Iterator[str]:
    class Answer(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            limit = plan.next_limit()
            if limit is None:
                self.send_error(404)
                return
            start = self._start() if plan.ranges else 0
            self.send_response(206 if start else 200)
            if plan.lengths:
                self.send_header("Content-Length", str(len(plan.content) - start))
            else:
                self.send_header("Transfer-Encoding", "chunked")
            if plan.ranges:
                self.send_header("Accept-Ranges", "bytes")
                self.send_header("Content-Range", f"bytes {start}-{len(plan.content) - 1}/{len(plan.content)}")
            self.end_headers()
            self._send(plan.content[start:limit], whole=limit >= len(plan.content))
            self.close_connection = True

        def _start(self) -> int:
            return int((self.headers["Range"] or "bytes=0-").removeprefix("bytes=").partition("-")[0])

        def _send(self, content: bytes, whole: bool) -> None:
            head, tail = (b"", b"") if plan.lengths else (b"%x\r\n" % len(content), b"\r\n0\r\n\r\n" if whole else b"")
            with suppress(ConnectionError):  # the reader may have seen enough
                self.wfile.write(head + content + tail)

        def log_message(self, *_: object) -> None:
            """Tests print nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/film"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


def brightness(item: Frame | Unreadable) -> int:
    """The number of the frame in its film."""
    assert isinstance(item, Frame), item
    return round((float(item.image[:20].mean()) - 16) / 4)


WHOLE = 10**9


@pytest.mark.parametrize("container_format", ["mp4", "matroska", "mpegts"])
def test_a_film_over_http_is_read_like_a_file(container_format: str) -> None:
    waits = Waits()
    with served(Plan(film(30, container_format), [WHOLE])) as address:
        items = list(open_source(address, patience=waits.patience()))
    assert [brightness(item) for item in items] == list(range(30))
    assert {item.stream for item in items} == {address}
    assert [item.seconds for item in items] == pytest.approx([number / 25 for number in range(30)], abs=0.001)
    assert waits.slept == []


@pytest.mark.parametrize("container_format", ["mp4", "matroska"])
@pytest.mark.parametrize("ranges", [True, False])
def test_a_film_that_breaks_off_goes_on_where_it_was(container_format: str, ranges: bool) -> None:
    content, waits = film(50, container_format), Waits()
    limits: list[int | None] = [len(content) // 2, None, WHOLE]
    with served(Plan(content, limits, ranges)) as address:
        items = list(open_source(address, patience=waits.patience()))
    assert [brightness(item) for item in items] == list(range(50)), "nothing twice, nothing lost"
    assert [item.index for item in items] == list(range(50))
    assert [item.seconds for item in items] == pytest.approx([number / 25 for number in range(50)], abs=0.001)
    assert waits.slept == [0.5, 1.0]


def test_a_film_that_never_comes_back_ends_with_the_reason() -> None:
    content, waits = film(50, "mp4"), Waits()
    with served(Plan(content, [len(content) // 2, None], ranges=False)) as address:
        *items, last = open_source(address, patience=waits.patience(attempts=5))
    assert [brightness(item) for item in items] == list(range(len(items)))
    assert len(items) >= 15
    assert isinstance(last, Unreadable)
    assert "the stream broke off and 5 attempts did not bring it back" in last.reason
    assert waits.slept == [0.5, 1.0, 2.0, 3.0, 3.0], "each wait twice the last, up to the longest"


def test_a_camera_that_breaks_off_goes_on_with_what_it_sees_then() -> None:
    content, waits = film(20, "mpegts"), Waits()
    plan = Plan(content, [WHOLE, None, None, WHOLE, None], ranges=False, lengths=False)
    with served(plan) as address:
        items = list(open_source(address, live=True, patience=waits.patience()))
    gaps = [item for item in items if isinstance(item, Unreadable)]
    frames = [item for item in items if isinstance(item, Frame)]
    assert "3.5 seconds are missing because the stream broke off" in gaps[0].reason
    assert "4 attempts did not bring it back" in gaps[1].reason
    assert len(gaps) == 2
    assert waits.slept == [0.5, 1.0, 2.0, 0.5, 1.0, 2.0, 3.0], "what has come back has all attempts again"
    seconds = [frame.seconds for frame in frames]
    assert seconds == sorted(seconds)
    assert max(np.diff(seconds)) == pytest.approx(3.5, abs=0.001)
    assert [item.index for item in items] == sorted({item.index for item in items})


def test_a_stream_that_ends_is_over_where_nobody_said_live() -> None:
    waits = Waits()
    with served(Plan(film(20, "mpegts"), [WHOLE], ranges=False, lengths=False)) as address:
        items = list(open_source(address, patience=waits.patience()))
    assert [brightness(item) for item in items] == list(range(20))
    assert waits.slept == []


def test_a_film_that_never_gives_a_frame_is_not_waited_for() -> None:
    """Its index lies at the end, and the server cannot begin in the middle."""
    content, waits = film(30, "mp4"), Waits()
    start = content.index(b"moov") - 4
    size = int.from_bytes(content[start : start + 4], "big")
    content = content[:start] + content[start + size :] + content[start : start + size]
    with served(Plan(content, [WHOLE], ranges=False)) as address, pytest.raises(InputError, match="no frame"):
        list(open_source(address, patience=waits.patience()))
    assert waits.slept == []


def test_closing_hangs_up_and_ends_the_threads() -> None:
    with served(Plan(film(200, "mp4"), [WHOLE])) as address:
        with closing(open_source(address, patience=Waits().patience())) as items:
            assert brightness(next(items)) == 0
        assert threading.active_count() <= 3, "no thread but the test's and the server's"


def test_a_picture_over_http() -> None:
    encoded = io.BytesIO()
    Image.new("RGB", (64, 48), (255, 0, 0)).save(encoded, "JPEG")
    with served(Plan(encoded.getvalue(), [WHOLE])) as address:
        (item,) = open_source(address, patience=Waits().patience())
    assert isinstance(item, Frame)
    assert np.abs(item.image[24, 32].astype(int) - (255, 0, 0)).max() <= 3


# Addresses and devices where nothing is


def refusal(name: str, patience: Patience | None = None) -> str:
    with pytest.raises(InputError) as caught:
        list(open_source(name, patience=patience or Waits().patience()))
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("scheme", ["http", "rtsp"])
def test_no_network(scheme: str) -> None:
    with socket.socket() as reserved:  # bound but not listening: nothing else answers there
        reserved.bind(("127.0.0.1", 0))
        waits = Waits()
        sentence = refusal(f"{scheme}://lan:secret@127.0.0.1:{reserved.getsockname()[1]}/door", waits.patience())
    assert "the stream cannot be opened (connection refused); check the address" in sentence
    assert "secret" not in sentence
    assert waits.slept == [], "an address that never worked is not waited for"


def test_an_address_with_nothing_behind_it() -> None:
    with served(Plan(b"", [None])) as address:
        assert "not found" in refusal(address)


def test_an_address_with_something_else_behind_it() -> None:
    with served(Plan(b"<html>Hello</html>" * 50, [WHOLE])) as address:
        assert refusal(address).startswith(f"{address}: the stream cannot be opened")


def test_nobody_answers() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        patience = replace(Waits().patience(), answer_seconds=0.2)
        assert "no answer in time" in refusal(f"http://127.0.0.1:{silent.getsockname()[1]}/door", patience)


def test_a_host_that_nobody_knows() -> None:
    name = "x" * 64  # longer than a part of a host's name can be, so that no server is asked for it
    sentence = refusal(f"rtsp://{name}.invalid/door")
    assert "the stream cannot be opened (no such host or no answer); check the address" in sentence


def test_an_absent_camera() -> None:
    sentence = refusal("97")
    assert sentence.startswith("camera 97: ")
    if sys.platform == "linux":
        assert "there is none at /dev/video97 (cameras found: " in sentence


# A camera for tests: FFmpeg's test picture, as a device


def test_picture(seconds: float) -> Callable[[], InputContainer]:
    return lambda: av.open(f"testsrc=duration={seconds}:size=64x48:rate=10", format="lavfi")


test_picture.__test__ = False  # type: ignore[attr-defined]


def test_a_device_that_never_ends_is_read_as_it_comes() -> None:
    items = read_live("0", test_picture(1e6), endless=True, patience=Waits().patience())
    with closing(items):
        seen = [next(items) for _ in range(50)]
    assert [(item.stream, item.index) for item in seen] == [("0", number) for number in range(50)]
    assert [item.seconds for item in seen] == pytest.approx([number / 10 for number in range(50)])


def test_a_camera_that_is_unplugged_and_plugged_in_again() -> None:
    waits, connections = Waits(), iter([0.5, None, 0.5, None, None, None, None])

    def connect() -> InputContainer:
        seconds = next(connections)
        if seconds is None:
            raise InputError("camera 0: there is none")
        return test_picture(seconds)()

    items = list(read_live("0", connect, endless=True, patience=waits.patience()))
    assert [isinstance(item, Frame) for item in items] == [True] * 5 + [False] + [True] * 5 + [False]
    assert isinstance(items[5], Unreadable)
    assert "1.5 seconds are missing" in items[5].reason
    assert items[6].seconds == pytest.approx(0.4 + 1.5)
    assert next(connections, "none left") == "none left"


def test_a_slow_reader_gets_every_frame_of_a_camera() -> None:
    """Who is to be passed over is for the reader to say, at one place only."""
    waits = Waits()
    indices = []
    for item in read_live("0", test_picture(3), endless=False, patience=waits.patience()):
        indices.append(item.index)
        waits.now += 0.4  # four times as long as a frame
    assert indices == list(range(30))


def test_a_recording_over_http_that_is_played_live_has_its_own_pace_across_breaks() -> None:
    content, waits = film(50, "mp4"), Waits()
    with served(Plan(content, [len(content) // 2, WHOLE])) as address:
        came = [(item, waits.now) for item in open_source(address, live=True, patience=waits.patience())]
    assert [brightness(item) for item, _ in came] == list(range(50))
    assert all(now >= item.seconds - 0.001 for item, now in came)
    assert came[-1][1] == pytest.approx(came[-1][0].seconds, abs=0.001), "it has caught up after the break"


def test_a_stream_that_is_away_is_given_up_when_nobody_reads_it_any_more() -> None:
    told: list[float] = []

    def told_to_stop(seconds: float) -> bool:
        told.append(seconds)
        return True

    patience = replace(Waits().patience(), sleep=told_to_stop)
    with served(Plan(film(10, "mpegts"), [WHOLE], ranges=False, lengths=False)) as address:
        *items, last = open_source(address, live=True, patience=patience)
    assert len(items) == 10
    assert isinstance(last, Unreadable)
    assert told == [0.5]


@pytest.mark.parametrize("frames_to_read", [0, 3])
def test_nothing_of_a_broken_stream_stays_open(tmp_path: Path, frames_to_read: int) -> None:
    (tmp_path / "cut.ts").write_bytes(film(20, "mpegts")[:-300])
    opened: list[InputContainer] = []

    def connect() -> InputContainer:
        opened.append(av.open(str(tmp_path / "cut.ts")))
        return opened[-1]

    items = read_live("0", connect, endless=True, patience=Waits().patience())
    for _ in range(frames_to_read):
        next(items)
    items.close()
    assert [container.input_was_opened for container in opened] == [False] * bool(frames_to_read)
