"""The Python client against a real server."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from manyfaces.client import Client, Refused, Unreachable
from manyfaces.errors import Busy, InputError, NotYet, UsageError
from manyfaces.server.tokens import Tokens
from manyfaces.types import FrameResult
from serving import HeldDetector, Running, png, running
from test_server_look import video
from test_server_people import GREEN, RED, textured
from threads import DEADLINE

TOKEN = "t" * 20


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, tokens=Tokens.parse([f"admin:{TOKEN}"], "test")) as one:
        yield one


@pytest.fixture
def client(server: Running) -> Client:
    return Client(server.address, TOKEN, timeout=DEADLINE)


def counts(results: list[FrameResult]) -> list[int]:
    return [len(result.faces) for result in results]


def test_pictures_as_bytes_and_as_files(client: Client, tmp_path: Path) -> None:
    (tmp_path / 'a "party".png').write_bytes(png(3))
    results = client.analyze([png(1), tmp_path / 'a "party".png', str(tmp_path / 'a "party".png'), b"none"])
    assert counts(results) == [1, 3, 3, 0]
    assert results[3].error
    assert results[1].stream.startswith("a ")
    assert counts(client.analyze(png(2))) == [2]
    with pytest.raises(InputError, match="No such file"):
        client.analyze(tmp_path / "none.png")


def test_a_video_frame_by_frame(client: Client, tmp_path: Path) -> None:
    (tmp_path / "party.mp4").write_bytes(video(12))
    results = list(client.video(tmp_path / "party.mp4"))
    assert [result.index for result in results] == list(range(12))
    assert {result.stream for result in results} == {"party.mp4"}
    some = client.video(video(300))
    assert next(some).index == 0
    some.close()


def test_people(client: Client) -> None:
    added = client.add("Lan/Anh", [textured(1, RED), textured(0, RED)], consent=True, expires="2030-01-01")
    assert added.added == 1
    assert "no face" in added.refused["photos-2"]
    assert client.add("Minh", textured(1, GREEN), consent=True).added == 1
    with pytest.raises(Refused, match="agreed") as refusal:
        client.add("Ly", textured(1, RED), consent=False)
    assert refusal.value.status == 422
    assert [person["name"] for person in client.people()] == ["Lan/Anh", "Minh"]
    assert client.analyze(textured(1, RED))[0].faces[0].identity == "Lan/Anh"
    client.rename("Lan/Anh", "Lan")
    assert client.person("Lan")["consent"]["expires"] == "2030-01-01"
    assert client.remove("Lan") == 1
    with pytest.raises(Refused, match="no person"):
        client.remove("Lan")
    assert client.quality(textured(1, RED))["good"]


def test_comparing(client: Client) -> None:
    assert client.verify(textured(1, RED), textured(1, RED, seed=1)).same
    assert not client.verify(textured(1, RED), textured(1, GREEN)).same


def test_feeding_and_pulling(client: Client) -> None:
    assert client.feed([png(1), png(2)], stream="the door") == 2
    assert counts(client.pull(stream="the door")) == [1, 2]
    with pytest.raises(Refused, match="nothing is under way"):
        client.pull(stream="the door")
    client.end("the door")
    with pytest.raises(Refused, match="no stream"):
        client.end("the door")


def test_a_full_stream_and_one_that_is_not_done(tmp_path: Path) -> None:
    held = HeldDetector()
    with running(tmp_path, held) as one:
        client = Client(one.address)
        for _ in range(3):
            client.feed(png(1), stream="door")
        with pytest.raises(Busy, match="buffers"):
            client.feed(png(1), stream="door", block=False)
        with pytest.raises(NotYet):
            client.pull(stream="door", timeout=0)
        held.may_answer.set()
        assert counts(client.pull(stream="door")) == [1]


def test_live(client: Client) -> None:
    with client.live() as live:
        live.send(png(2), sent=5.5)
        answer = live.receive(DEADLINE)
        assert (len(answer.result.faces), answer.sent, answer.dropped) == (2, 5.5, 0)
        with pytest.raises(NotYet):
            live.receive(0)
        live.send(b"none")
        assert live.receive(DEADLINE).result.error
    with pytest.raises(UsageError):
        client.live().send(b"")


def test_a_live_stream_that_is_refused_or_ends(server: Running, client: Client) -> None:
    with pytest.raises(Refused, match="token"), Client(server.address, "wrong").live():
        pass
    with client.live() as live:
        live.send(png(1))
        live.receive(DEADLINE)
        server.stop()
        with pytest.raises(Unreachable, match="ended"):
            live.receive(DEADLINE)


def test_tokens(server: Running, client: Client) -> None:
    assert client.system()["role"] == "admin"
    for wrong in (None, "w" * 20):
        with pytest.raises(Refused, match="token") as refusal:
            Client(server.address, wrong).system()
        assert refusal.value.status == 401


def test_readiness_and_where_there_is_no_server(client: Client) -> None:
    assert client.is_ready()
    with socket.create_server(("127.0.0.1", 0)) as nobody:
        address = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    assert not Client(address).is_ready()
    with pytest.raises(Unreachable, match="check that a server runs"):
        Client(address).people()
    with pytest.raises(Unreachable), Client(address).live():
        pass


@pytest.mark.parametrize("address", ["", "localhost:8080", "ftp://a", "http://"])
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(UsageError, match="no address"):
        Client(address)
