"""Pictures, videos and comparisons over HTTP: what comes out, and every way in which they can be wrong."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import av
import httpx
import numpy as np
import pytest
from PIL import Image

from manyfaces.engine import Engine, Plan
from manyfaces.rows import as_json
from manyfaces.server import shapes
from manyfaces.server.limits import Limits
from manyfaces.server.service import Service
from manyfaces.server.uploads import harmless
from manyfaces.types import Detections, Frame, Pixels
from serving import HeldDetector, Running, all_of, bomb, by_hand, detect, encoded, files, png, running
from threads import DEADLINE

PROBLEM = "application/problem+json"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    limits = Limits(upload_mb=2, video_mb=4, megapixels=1, video_seconds=20, pictures=20)
    with running(tmp_path_factory.mktemp("server"), limits=limits) as one:
        yield one


def is_problem(answer: httpx.Response, status: int) -> str:
    """That this is a problem document of one sentence; the sentence."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == PROBLEM
    said = answer.json()
    assert set(said) == {"type", "title", "status", "detail"}
    assert said["status"] == status
    assert "\n" not in said["detail"]
    assert "Traceback" not in answer.text
    return str(said["detail"])


def video(frames: int = 12, size: tuple[int, int] = (64, 128), rate: int = 10) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height = size[1], size[0]
        for _ in range(frames):
            image = np.full((*size, 3), 2, np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, "rgb24")))
        container.mux(stream.encode(None))
    return file.getvalue()


# --- pictures --------------------------------------------------------------------------------------------------------


def test_rows_are_what_the_engine_says_of_each_picture_alone(server: Running) -> None:
    pictures = [png(number, colour=(9, 40 * number, 7)) for number in range(5)]
    answer = server.ask.post("/v1/analyze", files=files(*pictures))
    assert answer.status_code == 200
    frames = [[Frame(_decoded(one), 0, 0.0, f"p{number}.png")] for number, one in enumerate(pictures)]
    alone = [as_json(row) for frame in frames for _, row in Engine(by_hand(), Plan()).run(frame)]
    assert answer.json()["results"] == alone
    assert [len(row["faces"]) for row in alone] == [0, 1, 2, 3, 4]
    shapes.Results.model_validate(answer.json())


def _decoded(content: bytes) -> Pixels:
    return np.array(Image.open(io.BytesIO(content)).convert("RGB"), np.uint8)


def test_a_picture_that_cannot_be_read_has_a_row_that_says_so_and_the_others_are_read(server: Running) -> None:
    rows = server.ask.post("/v1/analyze", files=files(png(1), b"", b"no picture", png(2)[:60], png(3))).json()[
        "results"
    ]
    assert [len(row["faces"]) for row in rows] == [1, 0, 0, 0, 3]
    assert ["error" in row for row in rows] == [False, True, True, True, False]
    assert "empty" in rows[1]["error"]
    assert all("p" in row["stream"] and "/" not in row["error"] for row in rows if "error" in row)


def test_a_small_file_that_promises_a_huge_picture_is_refused_by_its_header(server: Running) -> None:
    rows = server.ask.post("/v1/analyze", files=files(bomb())).json()["results"]
    assert "more than the limit of 1 megapixels" in rows[0]["error"]


def test_annotated_copies_come_only_when_asked_for(server: Running) -> None:
    plain = server.ask.post("/v1/analyze", files=files(png(1))).json()["results"][0]
    drawn = server.ask.post("/v1/analyze?annotate=true", files=files(png(1))).json()["results"][0]
    assert "annotated" not in plain
    kind, _, content = drawn["annotated"].partition(",")
    assert kind == "data:image/jpeg;base64"
    assert _decoded(base64.b64decode(content)).shape == (64, 128, 3)


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("../../etc/passwd", "passwd"), ("C:\\users\\lan.jpg", "lan.jpg"), ("<script>.png", "script.png"),
        ("..", "pictures-1"), ("a\u202eb.png", "ab.png"), ("Lan Nguyễn.jpg", "Lan Nguyễn.jpg"), ("x" * 500, "x" * 120),
        ("", "pictures-1"), ("line\nbreak.png", "linebreak.png"),
    ],
)  # fmt: skip
def test_names_of_files_are_made_harmless(name: str, shown: str) -> None:
    assert harmless(name, "pictures-1") == shown


@pytest.mark.parametrize(
    ("headers", "body", "status"),
    [
        ({}, b"", 415),
        ({"Content-Type": "application/json"}, b"{}", 415),
        ({"Content-Type": "image/jpeg"}, png(1), 415),
        ({"Content-Type": "multipart/form-data"}, b"--x", 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"no boundary at all", 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x\r\nContent-Disposition: no\r\n\r\nx\r\n--x--", 400),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"--x--\r\n", 422),
        ({"Content-Type": "multipart/form-data; boundary=x"}, b"", 422),
    ],
)  # fmt: skip
def test_a_body_that_is_no_form_with_pictures(
    server: Running, headers: dict[str, str], body: bytes, status: int
) -> None:
    is_problem(server.ask.post("/v1/analyze", content=body, headers=headers), status)


def test_a_form_without_the_field_or_with_text_in_it(server: Running) -> None:
    assert "pictures" in is_problem(server.ask.post("/v1/analyze", files=files(png(1), field="photo")), 422)
    text = {"pictures": (None, "text", "text/plain")}
    is_problem(server.ask.post("/v1/analyze", files=text), 422)


def test_too_many_pictures_at_once(server: Running) -> None:
    is_problem(server.ask.post("/v1/analyze", files=files(*[png(0)] * 21)), 400)


@pytest.mark.parametrize(
    ("header", "body"),
    [
        (f"Content-Length: {10**9}", b""),
        (f"Content-Length: {10**9}", b"\0" * 300_000),
        ("Transfer-Encoding: chunked", (b"100000\r\n" + b"\0" * 2**20 + b"\r\n") * 5),
    ],
)  # fmt: skip
def test_a_gigabyte_is_refused_before_it_is_sent(server: Running, header: str, body: bytes) -> None:
    """By what the header says; and where it says nothing, as soon as it is too much. The answer can be read."""
    head = f"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\n{header}\r\n\r\n"
    with server.connect() as connection:
        connection.sendall(head.encode() + body)
        said = all_of(connection)
    assert said.startswith(b"HTTP/1.1 413 ")
    assert said.endswith(b"}")
    assert b"4 MB" in said
    assert b"connection: close" in said.lower()


@pytest.mark.parametrize("query", ["annotate=perhaps", "annotate=2"])
def test_a_parameter_that_makes_no_sense(server: Running, query: str) -> None:
    assert "annotate" in is_problem(server.ask.post(f"/v1/analyze?{query}", files=files(png(1))), 422)


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", "/v1/analyze", 405), ("PUT", "/v1/analyze", 405), ("OPTIONS", "/v1/analyze", 405),
        ("GET", "/v1/nothing", 404),
        ("GET", "/page/../app.py", 404), ("GET", "/page/..%2f..%2fapp.py", 404), ("GET", "/page/%2e%2e/app.py", 404),
        ("GET", "/v1/../../../etc/passwd", 404), ("TRACE", "/", 405),
    ],
)  # fmt: skip
def test_what_is_not_there(server: Running, method: str, path: str, status: int) -> None:
    is_problem(server.ask.request(method, path), status)


# --- batches over many requests --------------------------------------------------------------------------------------


def test_many_clients_get_their_own_rows(tmp_path: Path) -> None:
    with running(tmp_path) as one, ThreadPoolExecutor(16) as pool:
        asked = [pool.submit(one.ask.post, "/v1/analyze", files=files(png(number % 5))) for number in range(48)]
        counts = [len(answer.result().json()["results"][0]["faces"]) for answer in asked]
        assert counts == [number % 5 for number in range(48)]
        assert len(one.service.pictures) == 0
        assert one.service.room.inside == 0


def test_past_the_queue_the_answer_is_to_come_back_later(tmp_path: Path) -> None:
    held = HeldDetector()
    with running(tmp_path, held, Limits(waiting=2)) as one, ThreadPoolExecutor(2) as pool:
        first = pool.submit(one.ask.post, "/v1/analyze", files=files(png(1), png(2)))
        assert held.called.wait(DEADLINE)
        refused = one.ask.post("/v1/analyze", files=files(png(1)))
        assert refused.headers["retry-after"] == "1"
        is_problem(refused, 503)
        assert one.ask.get("/v1/health").json() == {"live": True, "ready": True, "gallery": "read"}
        held.may_answer.set()
        assert len(first.result().json()["results"]) == 2
        assert one.ask.post("/v1/analyze", files=files(png(1))).status_code == 200


def test_one_client_cannot_take_every_place(tmp_path: Path) -> None:
    held = HeldDetector()
    with running(tmp_path, held, Limits(requests=2)) as one, ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.ask.post, "/v1/analyze", files=files(png(1)))
        assert held.called.wait(DEADLINE)
        with one.ask.stream("POST", "/v1/videos", content=video(3)) as second:
            refused = one.ask.get("/v1/system")
            assert refused.headers["retry-after"] == "1"
            is_problem(refused, 429)
            held.may_answer.set()
            second.read()
        first.result()
        assert one.ask.get("/v1/system").status_code == 200


def test_an_error_in_a_stage_is_told_to_those_it_met_and_the_engine_goes_on(tmp_path: Path) -> None:
    def failing(images: list[Pixels]) -> list[Detections]:
        if any(image[0, 0, 0] == 99 for image in images):
            raise RuntimeError("Lan was here")
        return detect(images)

    with running(tmp_path, failing) as one:
        said = is_problem(one.ask.post("/v1/analyze", files=files(png(99))), 500)
        assert "Lan" not in said
        assert one.ask.post("/v1/analyze", files=files(png(2))).status_code == 200
        is_problem(one.ask.post("/v1/analyze", files=files(png(99))), 500)
        assert len(one.ask.post("/v1/analyze", files=files(png(2))).json()["results"][0]["faces"]) == 2
        assert "manyfaces_engine_restarts_total 2.0" in one.ask.get("/metrics").text
        assert "Lan" not in json.dumps(one.log)


# --- videos ----------------------------------------------------------------------------------------------------------


def rows_of(answer: httpx.Response) -> list[dict[str, object]]:
    assert answer.headers["content-type"] == "application/x-ndjson"
    return [json.loads(line) for line in answer.text.splitlines()]


@pytest.mark.parametrize("how", ["raw", "form"])
def test_a_video_gives_a_row_per_frame(server: Running, how: str) -> None:
    content = video(12)
    if how == "raw":
        answer = server.ask.post("/v1/videos?stream=../party.mp4", content=content)
    else:
        answer = server.ask.post("/v1/videos", files={"video": ("/tmp/party.mp4", content)})
    rows = rows_of(answer)
    assert [row["index"] for row in rows] == list(range(12))
    assert {row["stream"] for row in rows} == {"party.mp4"}
    assert [row["seconds"] for row in rows] == pytest.approx([number / 10 for number in range(12)])
    assert "error" not in rows[-1]
    for row in rows:
        shapes.Row.model_validate(row)


def test_rows_of_a_video_come_while_it_is_read(tmp_path: Path) -> None:
    """The first row is there while the detector holds a later frame."""
    held = HeldDetector()
    first_call = iter([True])

    def detector(images: list[Pixels]) -> list[Detections]:
        return detect(images) if next(first_call, False) else held(images)

    with running(tmp_path, detector) as one, one.ask.stream("POST", "/v1/videos", content=video(12)) as answer:
        lines = answer.iter_lines()
        assert json.loads(next(lines))["index"] == 0
        held.may_answer.set()
        assert [json.loads(line)["index"] for line in lines] == list(range(1, 12))


def test_a_client_that_goes_in_the_middle_of_a_video_leaves_nothing_behind(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(videos=1, drain=DEADLINE)) as one:
        for _ in range(3):
            with one.ask.stream("POST", "/v1/videos", content=video(400)) as answer:
                next(answer.iter_lines())
            while (last := one.ask.post("/v1/videos", content=video(2))).status_code == 503:
                pass
            assert len(rows_of(last)) == 2


PLAYLIST = b"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile:///etc/passwd\n#EXT-X-ENDLIST\n"


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"), (b"no video", "cannot be read"), (PLAYLIST, "cannot be read"),
        (b"ffconcat version 1.0\nfile /etc/passwd\n", "cannot be read"), (png(1), "cannot be read"),
        (video(5, size=(1024, 1024)), "megapixels"), (video(300, rate=10), "lasts 30 seconds"),
    ],
)  # fmt: skip
def test_what_is_no_video_or_too_much_of_one(server: Running, content: bytes, said: str) -> None:
    assert said in is_problem(server.ask.post("/v1/videos", content=content), 422)


def test_a_video_that_is_cut_off_gives_what_there_is_and_says_so(server: Running) -> None:
    content = video(60)
    moved = _with_its_index_first(content)
    rows = rows_of(server.ask.post("/v1/videos", content=moved[: len(moved) * 3 // 4]))
    assert len(rows) > 3
    assert "error" in rows[-1]


def _with_its_index_first(content: bytes) -> bytes:
    file = io.BytesIO()
    with av.open(io.BytesIO(content)) as old, av.open(file, "w", format="matroska") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                new.mux(packet)
    return file.getvalue()


def test_only_so_many_videos_at_once(tmp_path: Path) -> None:
    held = HeldDetector()
    with running(tmp_path, held, Limits(videos=1)) as one, ThreadPoolExecutor(1) as pool:
        first = pool.submit(one.ask.post, "/v1/videos", content=video(3))
        assert held.called.wait(DEADLINE)
        is_problem(one.ask.post("/v1/videos", content=video(3)), 503)
        held.may_answer.set()
        assert len(rows_of(first.result())) == 3


# --- comparing -------------------------------------------------------------------------------------------------------


def test_two_pictures_are_compared(server: Running) -> None:
    same = server.ask.post("/v1/verify", files={"first": png(1), "second": png(1)}).json()
    other = server.ask.post("/v1/verify", files={"first": png(1), "second": png(1, colour=(250, 0, 0))}).json()
    assert (same["same"], other["same"]) == (True, False)
    assert same["similarity"] > other["similarity"]
    shapes.Verified.model_validate(same)


@pytest.mark.parametrize(
    "sent",
    [{"first": png(1)}, {"first": png(1), "second": b""}, {"first": png(1), "second": png(0)}, {"second": png(1)}],
)
def test_a_comparison_that_cannot_be_made(server: Running, sent: dict[str, bytes]) -> None:
    is_problem(server.ask.post("/v1/verify", files=sent), 422)


def test_two_files_where_one_is_meant(server: Running) -> None:
    twice = [("first", png(1)), ("first", png(1)), ("second", png(1))]
    is_problem(server.ask.post("/v1/verify", files=twice), 422)


def test_the_service_forgets_what_it_has_answered(server: Running) -> None:
    service: Service = server.service
    assert len(service.desk) == 0
    assert threading.active_count() < 40
    assert encoded(np.zeros((4, 4, 3), np.uint8)).startswith(b"\x89PNG")
