"""Feed and pull over HTTP: order, buffers, what is not there, what goes wrong."""

from __future__ import annotations

import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from manyfaces.server.limits import Limits
from serving import HeldDetector, Running, files, png, running
from threads import DEADLINE


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path, limits=Limits(streams=3, drain=DEADLINE)) as one:
        yield one


def feed(server: Running, *faces: int, stream: str = "door", query: str = "") -> httpx.Response:
    return server.ask.post(f"/v1/streams/{stream}/feed{query}", files=files(*map(png, faces)))


def pull(server: Running, stream: str = "door", timeout: float = DEADLINE) -> httpx.Response:
    return server.ask.get(f"/v1/streams/{stream}/pull?timeout={timeout}")


def counts(answer: httpx.Response) -> list[int]:
    return [len(row["faces"]) for row in answer.json()["results"]]


def test_batches_come_out_whole_and_in_order(server: Running) -> None:
    for batch in ((1, 2), (3,), (0, 4, 1)):
        answer = feed(server, *batch)
        assert (answer.status_code, answer.json()) == (202, {"fed": len(batch)})
    pulled = [pull(server) for _ in range(3)]
    assert [counts(answer) for answer in pulled] == [[1, 2], [3], [0, 4, 1]]
    rows = [row for answer in pulled for row in answer.json()["results"]]
    assert [row["index"] for row in rows] == list(range(6))
    assert [row["seconds"] for row in rows] == [round(number / 25, 4) for number in range(6)]
    assert {row["stream"] for row in rows} == {"door"}
    tracks = [face["track"] for row in rows for face in row["faces"]]
    assert tracks == list(range(11))


def test_streams_know_nothing_of_each_other(server: Running) -> None:
    feed(server, 1, 2, stream="door")
    feed(server, 4, stream="hall")
    assert counts(pull(server, "hall")) == [4]
    assert counts(pull(server, "door")) == [1, 2]


def test_a_picture_that_cannot_be_read_keeps_its_place(server: Running) -> None:
    server.ask.post("/v1/streams/door/feed", files=files(png(1), b"nothing", png(2)))
    rows = pull(server).json()["results"]
    assert [row["index"] for row in rows] == [0, 1, 2]
    assert ["error" in row for row in rows] == [False, True, False]


def test_what_was_never_fed(server: Running) -> None:
    assert pull(server).status_code == 404
    assert server.ask.delete("/v1/streams/door").status_code == 404
    feed(server, 1)
    assert pull(server).status_code == 200
    assert pull(server).status_code == 409


def test_a_pull_that_brings_nothing_in_time(tmp_path: Path) -> None:
    held = HeldDetector()
    with running(tmp_path, held) as one:
        feed(one, 1)
        assert held.called.wait(DEADLINE)
        answer = pull(one, timeout=0)
        assert (answer.status_code, answer.content) == (204, b"")
        held.may_answer.set()
        assert counts(pull(one)) == [1]


def test_a_full_stream_waits_or_says_so(tmp_path: Path) -> None:
    held = HeldDetector()
    with running(tmp_path, held) as one, ThreadPoolExecutor(1) as pool:
        for _ in range(3):
            assert feed(one, 1).status_code == 202
        refused = feed(one, 2, query="?block=false")
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        waiting = pool.submit(feed, one, 2)
        held.may_answer.set()
        assert counts(pull(one)) == [1]
        assert waiting.result().status_code == 202
        assert [counts(pull(one)) for _ in range(3)] == [[1], [1], [2]]


def test_a_full_stream_holds_up_no_other(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        for _ in range(3):
            feed(one, 1, stream="full")
        feed(one, 2, stream="other")
        assert counts(pull(one, "other")) == [2]


def test_ending_forgets_what_was_not_pulled(server: Running) -> None:
    feed(server, 1)
    assert server.ask.delete("/v1/streams/door").json() == {"ended": "door"}
    assert pull(server).status_code == 404
    feed(server, 2)
    assert counts(pull(server)) == [2]
    assert len(server.service.pictures) == 0


def test_only_so_many_streams(server: Running) -> None:
    assert [feed(server, 1, stream=name).status_code for name in "abcd"] == [202, 202, 202, 503]
    server.ask.delete("/v1/streams/a")
    assert feed(server, 1, stream="d").status_code == 202


def test_a_stream_that_nobody_touches_makes_room(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(streams=1, stream_idle=0)) as one:
        assert feed(one, 1, stream="a").status_code == 202
        before = time.monotonic()
        while feed(one, 1, stream="b").status_code == 503:
            assert time.monotonic() - before < DEADLINE
        assert pull(one, "a").status_code == 404


@pytest.mark.parametrize(
    "path", ["feed", "pull?timeout=soon", "pull?timeout=-1", "pull?timeout=1e9", "pull?timeout=nan"]
)
def test_what_makes_no_sense(server: Running, path: str) -> None:
    answer = server.ask.request("POST" if path == "feed" else "GET", f"/v1/streams/door/{path}")
    assert answer.status_code in (415, 422)
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("name", ["x" * 121, "%0a", "%00", "%e2%80%ae"])
def test_names_that_no_stream_can_have(server: Running, name: str) -> None:
    assert feed(server, 1, stream=name).status_code == 422
