"""Who is let in, how much of them, how slowly; what every answer carries; and how the server ends."""

from __future__ import annotations

import base64
import json
import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi.routing import APIRoute

from manyfaces.errors import UsageError
from manyfaces.server.guard import protection, role_for
from manyfaces.server.limits import Limits
from manyfaces.server.routes import routes
from manyfaces.server.streams import Streams
from manyfaces.server.tokens import ROLES, Tokens, bearer, carried
from serving import HeldDetector, Running, all_of, files, png, running
from threads import DEADLINE

READ, ENROL, ADMIN, OLD = ("r" * 20, "e" * 20, "a" * 20, "o" * 20)
LINES = (f"read:{READ}", f"enrol:{ENROL}:2999-12-31", "# a word", "", f"admin:{ADMIN}", f"admin:{OLD}:2020-01-01")
TOKENS = Tokens.parse(LINES, "tokens")


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("guarded"), tokens=TOKENS) as one:
        yield one


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    with running(tmp_path_factory.mktemp("open"), limits=Limits(silence=0.3, headers=0.3, drain=DEADLINE)) as one:
        yield one


# --- tokens and roles ------------------------------------------------------------------------------------------------

NEEDED: dict[tuple[str, str], str | None] = {
    ("GET", "/v1/health"): None,
    ("POST", "/v1/analyze"): "read",
    ("POST", "/v1/videos"): "read",
    ("POST", "/v1/verify"): "read",
    ("GET", "/v1/people"): "read",
    ("GET", "/v1/people/{name}"): "read",
    ("POST", "/v1/streams/{name}/feed"): "read",
    ("GET", "/v1/streams/{name}/pull"): "read",
    ("DELETE", "/v1/streams/{name}"): "read",
    ("GET", "/v1/system"): "read",
    ("GET", "/metrics"): "read",
    ("POST", "/v1/people/{name}"): "enrol",
    ("POST", "/v1/faces/quality"): "enrol",
    ("POST", "/v1/people/{name}/rename"): "admin",
    ("DELETE", "/v1/people/{name}"): "admin",
    ("POST", "/v1/people/calibrate"): "admin",
}


def test_every_route_says_which_role_it_needs(guarded: Running) -> None:
    """A route that is added is written down here, or nobody has thought about who may use it."""
    added = routes(guarded.service, Streams(guarded.service)).routes
    known = {
        (method, route.path.replace(":path", ""))
        for route in added
        if isinstance(route, APIRoute)
        for method in route.methods
    }
    assert known == set(NEEDED)


@pytest.mark.parametrize("given", [None, "wrong" * 5, OLD, READ, ENROL, ADMIN])
@pytest.mark.parametrize(("method", "path"), NEEDED)
def test_the_matrix_of_tokens_and_routes(guarded: Running, method: str, path: str, given: str | None) -> None:
    """Nobody has to be enrolled and nothing sent to see who is let in: what is refused, is refused before that."""
    headers = {"Authorization": f"Bearer {given}"} if given else {}
    answer = guarded.ask.request(method, path.replace("{name}", "Lan"), headers=headers)
    role = {READ: "read", ENROL: "enrol", ADMIN: "admin"}.get(given or "")
    need = NEEDED[method, path]
    if need is None or (role and ROLES.index(role) >= ROLES.index(need)):
        assert answer.status_code not in (401, 403)
    elif role is None:
        assert answer.status_code == 401
        assert answer.headers["www-authenticate"].startswith("Bearer")
        assert ("expired" in answer.text) == (given == OLD)
    else:
        assert answer.status_code == 403
        assert need in answer.json()["detail"]


@pytest.mark.parametrize("path", ["/", "/docs", "/docs/style.css", "/openapi.json", "/v1/health"])
def test_what_holds_nothing_of_anybody_is_open(guarded: Running, path: str) -> None:
    assert guarded.ask.get(path, follow_redirects=True).status_code == 200


@pytest.mark.parametrize("name", ["a/rename", "calibrate", "..", "a/../b", "%2e", "a\nb/rename", "x/y/z"])
def test_a_name_cannot_lead_around_a_role(name: str) -> None:
    assert role_for("DELETE", f"/v1/people/{name}") == "admin"
    assert role_for("POST", f"/v1/people/{name}/rename") == "admin"
    assert role_for("POST", f"/v1/people/{name}") in ("enrol", "admin")


def test_a_socket_needs_a_token_too(guarded: Running) -> None:
    for given, status in (("", 401), ("wrong" * 5, 401), (OLD, 401), (READ, 101)):
        offered = f"manyfaces, bearer.{base64.urlsafe_b64encode(given.encode()).decode().rstrip('=')}"
        said = _handshake(guarded, f"Sec-WebSocket-Protocol: {offered if given else 'manyfaces'}\r\n")
        assert said.startswith(f"HTTP/1.1 {status} ".encode())
        assert b"bearer." not in said
    assert _handshake(guarded, f"Authorization: Bearer {READ}\r\n").startswith(b"HTTP/1.1 101 ")


def _handshake(server: Running, headers: str, host: str = "localhost") -> bytes:
    """The head of what the server says to a client that wants a WebSocket."""
    key = (
        "Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
    )
    with server.connect() as connection:
        connection.sendall(f"GET /v1/live HTTP/1.1\r\nHost: {host}\r\n{key}{headers}\r\n".encode())
        said = b""
        while b"\r\n\r\n" not in said and (part := connection.recv(4096)):
            said += part
        return said


@pytest.mark.parametrize(
    ("lines", "said"),
    [
        (["root:" + "x" * 20], "line 1"), (["read:short"], "fewer than 16"), (["read"], "line 1"),
        ([f"read:{READ}:2026-13-45"], "no date"),
        (["# fine", "", f"read:{READ} and more"], "line 3"),
    ],
)  # fmt: skip
def test_a_token_that_makes_no_sense_is_refused_without_telling_it(lines: list[str], said: str) -> None:
    with pytest.raises(UsageError, match=said) as refusal:
        Tokens.parse(lines, "tokens")
    assert READ not in str(refusal.value)


def test_a_token_holds_to_the_end_of_its_last_day() -> None:
    (token,) = Tokens.parse([f"read:{READ}:2026-11-21"], "tokens").known
    day = date(2026, 11, 21)
    assert token.holds(day)
    assert not token.holds(day + timedelta(days=1))


def test_a_file_of_tokens(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read"):
        Tokens.read(tmp_path / "none")
    (tmp_path / "tokens").write_text("# nothing\n")
    with pytest.raises(UsageError, match="no token in it"):
        Tokens.read(tmp_path / "tokens")
    (tmp_path / "tokens").write_text("\n".join(LINES))
    found = Tokens.read(tmp_path / "tokens").find(ADMIN)
    assert found is not None
    assert found.role == "admin"
    assert ADMIN not in repr(found)


@pytest.mark.parametrize("header", ["", "Bearer", "Bearer ", "Basic abc", "Token abc"])
def test_what_is_no_bearer(header: str) -> None:
    assert bearer(header) is None


@pytest.mark.parametrize("offered", [[], ["manyfaces"], ["bearer.%%%"], ["bearer.////"], ["bearer.é"]])
def test_what_carries_no_token(offered: list[str]) -> None:
    assert not carried(offered)


# --- pages of other sites --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["evil.example", "evil.example:8080", "127.0.0.1.evil.example", "10.0.0.1"])
def test_a_name_that_leads_here_by_another_way_is_refused(server: Running, host: str) -> None:
    """DNS rebinding: without tokens only this machine's own names count."""
    assert server.ask.get("/v1/people", headers={"Host": host}).status_code == 421
    assert _handshake(server, "", host).startswith(b"HTTP/1.1 421 ")


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:1", "127.0.0.1:8080", "[::1]", "[::1]:8080"])
def test_this_machines_own_names(server: Running, host: str) -> None:
    assert server.ask.get("/v1/people", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize("host", ["", "a b", 'x"y', "a,b", "a;script-src *"])
def test_a_host_that_is_none(server: Running, host: str) -> None:
    with server.connect() as connection:
        connection.sendall(f"GET /v1/people HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n".encode())
        said = all_of(connection)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert b"script-src" not in said


@pytest.mark.parametrize(
    "headers",
    [
        {"Origin": "https://evil.example"}, {"Origin": "null"}, {"Origin": "http://localhost:1"},
        {"Sec-Fetch-Site": "cross-site"},
    ],
)  # fmt: skip
def test_another_sites_page_can_send_nothing(server: Running, headers: dict[str, str]) -> None:
    assert server.ask.post("/v1/analyze", files=files(png(1)), headers=headers).status_code == 403
    assert server.ask.delete("/v1/people/Lan", headers=headers).status_code == 403
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    assert _handshake(server, lines).startswith(b"HTTP/1.1 403 ")


def test_the_own_page_can(server: Running) -> None:
    headers = {"Origin": server.address, "Sec-Fetch-Site": "same-origin"}
    assert server.ask.post("/v1/analyze", files=files(png(1)), headers=headers).status_code == 200
    assert _handshake(server, "Origin: http://localhost\r\n").startswith(b"HTTP/1.1 101 ")


def test_no_other_origin_is_ever_invited(server: Running) -> None:
    asked = {"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}
    answers = [server.ask.options("/v1/analyze", headers=asked), server.ask.get("/v1/people", headers=asked)]
    for answer in answers:
        assert not [name for name in answer.headers if name.startswith("access-control")]


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/people", "/v1/nothing", "/metrics", "/page/nothing.js"])
def test_every_answer_is_protected(server: Running, path: str) -> None:
    headers = server.ask.get(path).headers
    policy = headers["content-security-policy"]
    for rule in ("default-src 'self'", "object-src 'none'", "frame-ancestors 'none'", "base-uri 'none'"):
        assert rule in policy
    assert "unsafe" not in policy
    assert (headers["x-content-type-options"], headers["x-frame-options"]) == ("nosniff", "DENY")
    assert "server" not in headers


def test_the_policy_names_the_socket_of_this_very_server() -> None:
    assert "connect-src 'self' ws://door:80 wss://door:80;" in protection("door:80")["Content-Security-Policy"]
    assert "connect-src 'self';" in protection("a; script-src *")["Content-Security-Policy"]


# --- slow and many ---------------------------------------------------------------------------------------------------


def test_a_client_that_says_nothing_is_hung_up_on(server: Running) -> None:
    with server.connect() as connection:
        assert all_of(connection) == b""


def test_a_client_that_spells_its_headers_is_hung_up_on(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHo")
        assert all_of(connection) == b""


def test_a_body_that_stops_coming_is_not_waited_for(server: Running) -> None:
    with server.connect() as connection:
        connection.sendall(b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n\r\nabc")
        said = all_of(connection)
    assert said.startswith(b"HTTP/1.1 408 ")
    assert b"application/problem+json" in said


def test_a_body_that_comes_by_drops_is_not_waited_for(tmp_path: Path) -> None:
    """Each drop comes in time, but all of it would take for ever: a hundred a second here, a million asked for."""
    with running(tmp_path, limits=Limits(silence=0.3, pace=1e6)) as one, one.connect() as connection:
        connection.sendall(b"POST /v1/videos HTTP/1.1\r\nHost: localhost\r\nContent-Length: 100000000\r\n\r\n")
        connection.settimeout(0.01)
        said = b""
        while not said:
            connection.sendall(b"x")
            try:
                said = connection.recv(65536)
            except TimeoutError:
                continue
        connection.settimeout(DEADLINE)
        said += all_of(connection)
        assert said.startswith(b"HTTP/1.1 408 ")
        assert b"too slowly" in said


def test_a_client_that_vanishes_in_the_middle_of_its_request(server: Running) -> None:
    for _ in range(5):
        with server.connect() as connection:
            connection.sendall(b"POST /v1/analyze HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1000\r\n"
                               b"Content-Type: multipart/form-data; boundary=x\r\n\r\n--x\r\n")  # fmt: skip
    assert server.ask.post("/v1/analyze", files=files(png(2))).status_code == 200
    assert not [line for line in server.log if line["event"] == "fault"]


@pytest.mark.parametrize(
    "garbage",
    [
        b"\x16\x03\x01\x02\x00\x01\x00",
        b"GET\r\n\r\n",
        b"\0" * 100,
        b"GET / HTTP/9.9\r\n\r\n",
        b"PRI * HTTP/2.0\r\n\r\n",
    ],
)
def test_what_is_no_http(server: Running, garbage: bytes) -> None:
    with server.connect() as connection:
        connection.sendall(garbage)
        said = all_of(connection)
    assert said == b"" or said.startswith(b"HTTP/1.1 4")
    assert b"Traceback" not in said


def test_past_the_most_connections_the_next_is_refused_and_those_that_are_there_go_on(tmp_path: Path) -> None:
    """Ten thousand would need more of this machine than a test may take; the bound is the same."""
    with running(tmp_path, limits=Limits(connections=50, headers=DEADLINE)) as one, ExitStack() as many:
        connections = [many.enter_context(one.connect()) for _ in range(200)]
        refused = [connection for connection in connections[49:] if _is_refused(connection)]
        assert len(refused) == len(connections[49:])
        assert one.ask.get("/v1/health").status_code == 200
        many.close()
        with httpx.Client(base_url=one.address, timeout=DEADLINE) as newcomer:
            while newcomer.get("/v1/health").status_code == 503:
                pass  # those that left have not been noticed yet
            assert newcomer.get("/v1/health").status_code == 200


def _is_refused(connection: socket.socket) -> bool:
    said = all_of(connection)
    head, _, body = said.partition(b"\r\n\r\n")
    return head.startswith(b"HTTP/1.1 503 ") and b"Retry-After" in head and json.loads(body)["status"] == 503


# --- what is written down --------------------------------------------------------------------------------------------


def test_the_log_tells_routes_and_figures_and_nothing_of_anybody(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        photos = [("photos", ("secret-file.png", png(1)))]
        one.ask.post("/v1/people/Lan Nguyễn", files=photos, data={"consent": "true"})
        one.ask.get("/v1/people/Lan Nguyễn")
        one.ask.get("/v1/people/Somebody")
        one.ask.post("/v1/analyze", files=[("pictures", ("secret-file.png", png(1)))])
        one.ask.get("/secret-path?secret=1")
        lines = [line for line in one.log if line["event"] == "request"]
    text = json.dumps(one.log, ensure_ascii=False)
    for secret in ("Lan", "Somebody", "secret", "127.0.0.1"):
        assert secret not in text
    assert [(line["route"], line["status"]) for line in lines[-5:]] == [
        ("/v1/people/{name:path}", 200), ("/v1/people/{name:path}", 200), ("/v1/people/{name:path}", 404),
        ("/v1/analyze", 200), ("other", 404),
    ]  # fmt: skip
    assert all(
        line["ms"] >= 0 and set(line) == {"time", "level", "event", "route", "method", "status", "ms", "bytes"}
        for line in lines
    )


def test_metrics_count_what_was_done(tmp_path: Path) -> None:
    with running(tmp_path) as one:
        one.ask.post("/v1/analyze", files=files(png(3), png(1), b"none"))
        text = one.ask.get("/metrics").text
    figures = dict(re.findall(r"^(manyfaces_[^ ]+) ([0-9.e+-]+)$", text, re.MULTILINE))
    assert figures['manyfaces_frames_total{source="picture"}'] == "3.0"
    assert figures["manyfaces_faces_total"] == "4.0"
    assert figures["manyfaces_unreadable_total"] == "1.0"
    assert figures['manyfaces_requests_total{method="POST",route="/v1/analyze",status="200"}'] == "1.0"
    for name in ("stage_seconds_count", "batch_size_count"):
        assert float(figures[f'manyfaces_{name}{{stage="emotion"}}']) >= 1
    for queue in ("accepted", "waiting", "inside", "under_way", "videos"):
        assert figures[f'manyfaces_queue_depth{{queue="{queue}"}}'] == "0.0"


# --- the end ---------------------------------------------------------------------------------------------------------


def test_stopping_finishes_what_was_accepted_and_takes_nothing_new(tmp_path: Path) -> None:
    held = HeldDetector()
    with running(tmp_path, held) as one, ThreadPoolExecutor(3) as pool:
        asked = [
            pool.submit(httpx.post, f"{one.address}/v1/analyze", files=files(png(2)), timeout=DEADLINE)
            for _ in range(3)
        ]
        assert held.called.wait(DEADLINE)
        while len(one.service.pictures) < 3:
            one.ask.get("/v1/health")
        one.ask.close()
        one.stop()
        _until_refused(one)
        held.may_answer.set()
        answers = [answer.result() for answer in asked]
        assert [len(answer.json()["results"][0]["faces"]) for answer in answers] == [2, 2, 2]
        one.join()


def _until_refused(server: Running) -> None:
    """Until nobody listens any more."""
    while True:
        try:
            server.connect().close()
        except ConnectionError:
            return


def test_a_server_that_may_not_wait_gives_up_what_it_cannot_finish(tmp_path: Path) -> None:
    held = HeldDetector()
    with running(tmp_path, held, Limits(drain=0)) as one, ThreadPoolExecutor(1) as pool:
        asked: Any = pool.submit(httpx.post, f"{one.address}/v1/analyze", files=files(png(2)), timeout=DEADLINE)
        assert held.called.wait(DEADLINE)
        one.stop()
        answer = asked.result()
        held.may_answer.set()
        one.join()
        assert answer.status_code == 503
        assert "stopping" in answer.json()["detail"]


def test_what_a_client_has_sent_is_forgotten_with_its_answer(tmp_path: Path) -> None:
    """While one request is under way, others come and go: their bytes do not add up."""
    held = HeldDetector()
    with running(tmp_path, held, Limits(client_mb=0.5, total_mb=0.7)) as one, ThreadPoolExecutor(1) as pool:
        first = pool.submit(httpx.post, f"{one.address}/v1/analyze", files=files(png(1)), timeout=DEADLINE)
        assert held.called.wait(DEADLINE)
        for _ in range(5):
            assert one.ask.post("/v1/videos", content=b"\0" * 200_000).status_code == 422
        assert one.ask.post("/v1/videos", content=b"\0" * 600_000).status_code == 429
        held.may_answer.set()
        assert first.result().status_code == 200


def test_all_clients_together_can_send_only_so_much(tmp_path: Path) -> None:
    with running(tmp_path, limits=Limits(total_mb=0.5)) as one:
        refused = one.ask.post("/v1/videos", content=b"\0" * 600_000)
        assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
        assert one.ask.post("/v1/videos", content=b"\0" * 400_000).status_code == 422
