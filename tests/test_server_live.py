"""Live clients: the newest frame wins, nobody holds up anybody else, and garbage ends only its own stream."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from socket import SHUT_RDWR
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from manyfaces.engine import Plan
from manyfaces.server import shapes
from manyfaces.server.limits import Limits
from manyfaces.server.live import AHEAD, Client
from manyfaces.server.people import Naming, People
from manyfaces.server.service import Service
from manyfaces.types import Detections, Pixels
from serving import ABOUT, MODEL, HeldDetector, Running, bomb, by_hand, detect, png, running
from threads import DEADLINE


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, limits=Limits(frame_mb=1, megapixels=1, drain=DEADLINE)) as one:
        yield one


def live(server: Running, **named: Any) -> ClientConnection:
    address = f"{server.socket_address}/v1/live"
    return connect(address, proxy=None, compression=None, open_timeout=DEADLINE, **named)


def row_of(socket: ClientConnection) -> dict[str, Any]:
    row: dict[str, Any] = json.loads(socket.recv(DEADLINE))
    told = {"sent", "dropped"}
    shapes.Row.model_validate({key: value for key, value in row.items() if key not in told})
    assert told < set(row)
    return row


def test_each_frame_has_its_row_with_the_clients_own_time(server: Running) -> None:
    with live(server) as socket:
        for number in range(4):
            socket.send(json.dumps({"sent": number + 0.5}))
            socket.send(png(number))
            row = row_of(socket)
            told = row["index"], row["sent"], row["dropped"], len(row["faces"])
            assert told == (number, number + 0.5, 0, number)
            assert row["timing"]["age"] >= 0
        socket.send(png(1))
        assert row_of(socket)["sent"] is None


def test_faces_are_followed_through_one_clients_frames_and_not_into_anothers(server: Running) -> None:
    """The tracker made for tests counts the faces that its stream had before."""
    with live(server) as one, live(server) as other:
        for expected in (0, 1, 2):
            one.send(png(1))
            assert row_of(one)["faces"][0]["track"] == expected
        other.send(png(1))
        assert row_of(other)["faces"][0]["track"] == 0


def test_the_newest_frame_takes_the_place_of_those_that_wait(tmp_path: Path) -> None:
    """Two frames are under way while the detector holds the first; of those that come meanwhile the last is read."""
    held = HeldDetector()
    with running(tmp_path, held) as one, live(one) as socket:
        socket.send(png(1))
        assert held.called.wait(DEADLINE)
        while one.service.room.inside < 2:
            socket.send(png(2))
            one.ask.get("/v1/health")
        for number in range(8):
            socket.send(json.dumps({"sent": number}))
            socket.send(png(3))
        _until(one, "manyfaces_dropped_total", 7)
        held.may_answer.set()
        rows = [row_of(socket)]
        while rows[-1]["sent"] != 7:
            rows.append(row_of(socket))
        assert [len(row["faces"]) for row in (rows[0], rows[-1])] == [1, 3]
        assert all(row["sent"] is None for row in rows[:-1])
        assert rows[-1]["index"] == sum(1 + row["dropped"] for row in rows) - 1
        assert rows[-1]["dropped"] >= 7


def _until(server: Running, name: str, least: float) -> None:
    """Until the server has counted so many."""
    while True:
        lines = server.ask.get("/metrics").text.splitlines()
        if float(next(line.split()[1] for line in lines if line.startswith(name + " "))) >= least:
            return


def test_a_client_that_never_reads_holds_up_nobody(tmp_path: Path) -> None:
    """Two of its rows wait to be sent; then its frames are passed over, and the others go on."""
    naming = Naming()
    service = Service(by_hand(), Plan(), People(tmp_path / "none.db", MODEL, naming), Limits(), ABOUT)

    async def never(_text: str) -> None:
        await asyncio.Event().wait()

    async def both() -> None:
        async with service.running():
            rows: asyncio.Queue[str] = asyncio.Queue()
            deaf, other = Client(service, never), Client(service, rows.put)
            working = [asyncio.create_task(client.work()) for client in (deaf, other)]
            for number in range(20):
                deaf.take(png(1))
                other.take(png(number % 4))
                assert len(json.loads(await rows.get())["faces"]) == number % 4
            assert deaf.dropped >= 20 - AHEAD - 1
            assert other.dropped == 0
            for task in working:
                task.cancel()
            await asyncio.gather(*working, return_exceptions=True)

    asyncio.run(asyncio.wait_for(both(), DEADLINE))
    assert service.room.inside == 0


def test_clients_get_even_shares(tmp_path: Path) -> None:
    """Each sends the next frame when it has a row; a stage that reads one after the other serves them in turn."""
    turns: list[int] = []

    def detector(images: Sequence[Pixels]) -> list[Detections]:
        turns.extend(int(image[0, 0, 0]) for image in images)
        return detect(images)

    def ask_on(one: Running, number: int) -> None:
        with live(one) as socket:
            for _ in range(2):
                socket.send(png(number))
            for _ in range(20):
                row_of(socket)
                socket.send(png(number))

    with running(tmp_path, detector) as one, ThreadPoolExecutor(4) as pool:
        list(pool.map(lambda number: ask_on(one, number), range(1, 5)))
    shares = [turns.count(number) for number in range(1, 5)]
    assert min(shares) >= 10
    assert max(shares) <= 24


@pytest.mark.parametrize("content", [b"", b"no picture", png(1)[:50]])
def test_a_frame_that_cannot_be_read_has_a_row_that_says_so(server: Running, content: bytes) -> None:
    with live(server) as socket:
        socket.send(content)
        assert row_of(socket)["error"]
        socket.send(png(1))
        assert len(row_of(socket)["faces"]) == 1


def test_a_frame_that_promises_a_huge_picture(server: Running) -> None:
    with live(server) as socket:
        socket.send(bomb())
        assert "megapixels" in row_of(socket)["error"]


@pytest.mark.parametrize(
    "garbage", ["", "no json", "[]", "{}", '{"sent": "soon"}', '{"sent": true}', '{"sent": NaN}', "[" * 100_000, "null"]
)
def test_garbage_ends_the_stream_with_a_reason(server: Running, garbage: str) -> None:
    with live(server) as socket:
        socket.send(garbage)
        with pytest.raises(ConnectionClosed) as end:
            socket.recv(DEADLINE)
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == 1003
        assert "binary" in end.value.rcvd.reason
    assert server.ask.get("/v1/health").status_code == 200


def test_a_huge_frame_ends_the_stream(server: Running) -> None:
    with live(server) as socket:
        with suppress(ConnectionClosed):
            socket.send(b"\0" * 1_500_000)
        with pytest.raises(ConnectionClosed) as end:
            socket.recv(DEADLINE)
    assert end.value.rcvd is not None
    assert end.value.rcvd.code == 1009


def test_only_so_many_live_clients(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(live=1)) as one:
        with live(one) as first:
            first.send(png(1))
            row_of(first)
            with pytest.raises(Exception, match="503"):
                live(one)
        while True:
            try:
                with live(one) as next_one:
                    next_one.send(png(1))
                    assert row_of(next_one)
                    return
            except Exception as error:
                assert "503" in str(error)  # noqa: PT017 - asked until the first is noticed to have gone


def test_clients_that_vanish_leave_nothing_behind(server: Running) -> None:
    for _ in range(5):
        with live(server) as socket:
            socket.send(png(3))
            socket.socket.shutdown(SHUT_RDWR)
    while len(server.service.live):
        server.ask.get("/v1/health")
    assert server.service.room.inside == 0
    assert not [line for line in server.log if line["event"] == "fault"]


def test_an_error_in_a_stage_is_a_row_and_the_stream_goes_on(tmp_path: Path) -> None:
    def failing(images: Sequence[Pixels]) -> list[Detections]:
        if images[0][0, 0, 0] == 99:
            raise RuntimeError("Lan was here")
        return detect(images)

    with running(tmp_path, failing) as one, live(one) as socket:
        socket.send(png(99))
        row = row_of(socket)
        assert "begun anew" in row["error"]
        socket.send(png(2))
        assert len(row_of(socket)["faces"]) == 2


def test_stopping_tells_live_clients(server: Running) -> None:
    with live(server) as socket:
        socket.send(png(1))
        row_of(socket)
        server.stop()
        with pytest.raises(ConnectionClosed) as end:
            socket.recv(DEADLINE)
        assert end.value.rcvd is not None
        assert end.value.rcvd.code == 1012
    server.join()


def test_the_subprotocol_is_chosen_where_it_is_offered(server: Running) -> None:
    with live(server, subprotocols=["manyfaces", "bearer.abc"]) as socket:  # type: ignore[list-item]
        assert socket.subprotocol == "manyfaces"
    with live(server) as socket:
        assert socket.subprotocol is None
