"""Everything a request has to pass before a route sees it, and every answer before it leaves.

In order: where it comes from (Host, Origin), who it is (token, role), how much this client has under way already, how
large and how slow its body is. Pure ASGI, because a route's body is read before its dependencies are asked.
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import date

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.responses import Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from starlette.websockets import WebSocketDisconnect

from manyfaces.errors import ManyfacesError, Stopped
from manyfaces.server import problems
from manyfaces.server.desk import STOPPING
from manyfaces.server.limits import Limits
from manyfaces.server.log import Log
from manyfaces.server.metrics import Metrics
from manyfaces.server.problems import Problem
from manyfaces.server.tokens import Token, Tokens, bearer, carried

OPEN = re.compile(r"/|/page/.*|/docs(/style\.css)?|/openapi\.json|/v1/health|/favicon\.ico")
"""What everybody may see who reaches the server: the page and the documents, which hold nothing of anybody."""

ADMIN = re.compile(r"(DELETE /v1/people/.*)|(POST /v1/people/.*/rename)|(POST /v1/people/calibrate)", re.DOTALL)
ENROL = re.compile(r"POST /v1/(people/.*|faces/quality)", re.DOTALL)

LOOPBACK = ("localhost", "127.0.0.1", "::1")
SAFE = ("GET", "HEAD")
GONE = 499
"""What the log calls a client that went away before it had its answer; it is never sent."""

VIDEOS = "/v1/videos"
LINGER = 1.0
_HOST = re.compile(r"(\[[0-9a-fA-F:.]+\]|[A-Za-z0-9._-]+)(:\d{1,5})?")


def role_for(method: str, path: str) -> str | None:
    """The role that a request needs; None where nobody is asked."""
    if OPEN.fullmatch(path):
        return None
    said = f"{method} {path}"
    return "admin" if ADMIN.fullmatch(said) else "enrol" if ENROL.fullmatch(said) else "read"


@dataclass(slots=True)
class Account:
    """What one client, or everybody together, has under way."""

    requests: int = 0
    bytes: int = 0

    def enter(self, limits: Limits) -> None:
        """One more request, which leaves in any case."""
        self.requests += 1
        if self.requests > limits.requests:
            raise too_much()

    def leave(self, received: int) -> None:
        self.requests -= 1
        self.bytes -= received


@dataclass(frozen=True, slots=True)
class Rules:
    """Who is let in. `hosts`: the names by which this server may be called where it has no tokens; a page of another
    site could otherwise get at it under a name of its own (DNS rebinding)."""

    limits: Limits
    tokens: Tokens
    hosts: tuple[str, ...] = LOOPBACK
    today: Callable[[], date] = date.today


@dataclass(slots=True)
class _Visit:
    """One request on its way through, for the log and the figures."""

    scope: Scope
    begun: float = field(default_factory=time.perf_counter)
    status: int = 0
    received: int = 0
    has_more: bool = False
    """Whether some of the body has not come yet."""

    @property
    def route(self) -> str:
        """The pattern of the route, never the path, which may hold a name."""
        return str(getattr(self.scope.get("route"), "path", "other"))


class Guard:
    """Around the application."""

    def __init__(self, app: ASGIApp, rules: Rules, metrics: Metrics, log: Log) -> None:
        self._app = app
        self._rules = rules
        self._metrics = metrics
        self._log = log
        self._accounts: dict[str, Account] = {}
        self._everybody = Account()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        visit = _Visit(scope)
        sender = _Sender(visit, receive, send, self._rules.limits.reading)
        try:
            await self._let_in(visit, receive, sender)
        except (ClientDisconnect, WebSocketDisconnect):
            visit.status = GONE
        except Exception as error:
            await self._answer_for(error, visit, receive, sender)
        except asyncio.CancelledError:  # the time to finish is over
            await self._answer_for(Stopped(STOPPING), visit, receive, sender)
        finally:
            self._write_down(visit)

    async def _answer_for(self, error: Exception, visit: _Visit, receive: Receive, sender: _Sender) -> None:
        if not isinstance(error, Problem | ManyfacesError):
            self._log.fault(visit.route, error)
        if not sender.has_begun:
            await sender.refuse(as_problem(error), receive)

    async def _let_in(self, visit: _Visit, receive: Receive, sender: _Sender) -> None:
        scope, headers = visit.scope, Headers(scope=visit.scope)
        self._check_origin(scope, headers)
        token = self._check_token(scope, headers)
        scope.setdefault("state", {})
        scope["state"]["role"] = token.role if token else ("read" if self._rules.tokens else "admin")
        client = _client(scope, token)
        account = self._accounts.setdefault(client, Account())
        try:
            account.enter(self._rules.limits)
            if scope["type"] == "http":
                receive = self._intake(visit, headers, receive, account)
            await self._app(scope, receive, sender)
        finally:
            account.leave(visit.received)
            self._everybody.bytes -= visit.received
            if not account.requests:
                self._accounts.pop(client, None)

    def _check_origin(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        match = _HOST.fullmatch(host)
        if match is None:
            raise Problem(400, "the Host header is missing or is no host; send the name you reached the server by")
        if not self._rules.tokens and match[1].strip("[]").lower() not in self._rules.hosts:
            raise Problem(421, "this server does not go by that name; use localhost, or start it with tokens")
        if scope["type"] == "http" and scope["method"] in SAFE:
            return
        origin = headers.get("origin")
        is_foreign = origin is not None and origin.partition("://")[2].lower() != host.lower()
        if is_foreign or headers.get("sec-fetch-site") in ("cross-site", "same-site"):
            raise Problem(403, "this comes from a page of another site; open the server's own page")

    def _check_token(self, scope: Scope, headers: Headers) -> Token | None:
        need = role_for(scope.get("method", "GET"), scope["path"])
        if not self._rules.tokens or need is None:
            return None
        given = bearer(headers.get("authorization", ""))
        if given is None and scope["type"] == "websocket":
            given = carried(scope.get("subprotocols", ()))
        if given is None:
            raise Problem(401, "this needs a token; send it as  Authorization: Bearer TOKEN")
        token = self._rules.tokens.find(given)
        if token is None:
            raise Problem(401, "this token is not known here; ask whoever runs the server for one")
        if not token.holds(self._rules.today()):
            raise Problem(401, "this token has expired; ask whoever runs the server for a new one")
        if not token.may(need):
            raise Problem(403, f"this needs the role {need}, the token has {token.role}; use another token")
        return token

    def _intake(self, visit: _Visit, headers: Headers, receive: Receive, account: Account) -> Receive:
        limits = self._rules.limits
        most = limits.video_bytes if visit.scope["path"] == VIDEOS else limits.upload_bytes
        declared = headers.get("content-length", "")
        visit.has_more = declared not in ("", "0") or "transfer-encoding" in headers
        if declared.isascii() and declared.isdigit() and int(declared) > most:
            raise too_large(most)
        return _Intake(visit, receive, account, self._everybody, most, limits).next

    def _write_down(self, visit: _Visit) -> None:
        seconds = time.perf_counter() - visit.begun
        method = visit.scope.get("method", "WS")
        method = method if method in ("GET", "POST", "DELETE", "HEAD", "WS") else "other"
        self._metrics.requests.labels(visit.route, method, str(visit.status)).inc()
        if visit.scope["type"] == "http":
            self._metrics.request_seconds.labels(visit.route).observe(seconds)
        self._log.event(
            "request", route=visit.route, method=method, status=visit.status, ms=round(1000 * seconds, 1),
            bytes=visit.received,
        )  # fmt: skip


def as_problem(error: Exception) -> Problem:
    """What a client is told of any error; of a fault of ours, nothing but that it is one."""
    if isinstance(error, Problem):
        return error
    if isinstance(error, ManyfacesError):
        return problems.of(error)
    return Problem(500, "the server has made a mistake, which is written in its log; try again or tell whoever runs it")


def too_large(most: int) -> Problem:
    return Problem(413, f"the request is larger than {most / 1e6:g} MB, the most this takes; send less at a time")


def too_much() -> Problem:
    return Problem(429, "this client has too much under way already; wait for its answers first", retry_after=1)


def _client(scope: Scope, token: Token | None) -> str:
    """Whose account it is: the token's, else the address's."""
    return token.digest.hex() if token else str((scope.get("client") or ("unknown",))[0])


class _Intake:
    """A body that is measured while it comes: no longer than it may be, no slower than is worth waiting for."""

    def __init__(
        self, visit: _Visit, receive: Receive, account: Account, everybody: Account, most: int, limits: Limits
    ) -> None:
        self._visit = visit
        self._receive = receive
        self._account = account
        self._everybody = everybody
        self._most = most
        self._limits = limits
        self._begun: float | None = None

    async def next(self) -> Message:
        if not self._visit.has_more:
            return await self._receive()
        now = time.monotonic()
        self._begun = now if self._begun is None else self._begun
        try:
            message = await asyncio.wait_for(self._receive(), self._limits.silence)
        except (TimeoutError, asyncio.TimeoutError):
            raise Problem(408, "the rest of the request did not come in time; send it without pauses") from None
        if message["type"] == "http.request":
            self._count(len(message.get("body", b"")))
            self._visit.has_more = message.get("more_body", False)
        return message

    def _count(self, size: int) -> None:
        self._visit.received += size
        self._account.bytes += size
        self._everybody.bytes += size
        if self._visit.received > self._most:
            raise too_large(self._most)
        if self._account.bytes > self._limits.client_bytes:
            raise too_much()
        if self._everybody.bytes > self._limits.total_bytes:
            raise Problem(503, "as much is being sent here as the server can hold; try again soon", retry_after=1)
        spent = time.monotonic() - (self._begun or 0.0) - self._limits.silence
        if spent > 0 and self._visit.received < self._limits.pace * spent:
            raise Problem(408, "the request comes too slowly; send it over a faster line, or in smaller parts")


class _Sender:
    """An answer on its way out: with its headers, noted, and given up where nobody takes it."""

    def __init__(self, visit: _Visit, receive: Receive, send: Send, patience: float) -> None:
        self._visit = visit
        self._receive = receive
        self._send = send
        self._patience = patience
        self.has_begun = False

    async def __call__(self, message: Message) -> None:
        kind = message["type"]
        if kind in ("http.response.start", "websocket.http.response.start"):
            self._begin(message["status"])
            _protect(message, self._visit)
        elif kind in ("websocket.accept", "websocket.close") and not self.has_begun:
            self._begin(101 if kind == "websocket.accept" else 403)
        is_last = kind == "http.response.body" and not message.get("more_body", False)
        if is_last and self._visit.has_more:
            await self._pass_on({**message, "more_body": True})
            await self._linger()
            message = {"type": kind, "body": b""}
        await self._pass_on(message)

    async def _pass_on(self, message: Message) -> None:
        try:
            await asyncio.wait_for(self._send(message), self._patience)
        except (TimeoutError, asyncio.TimeoutError):
            raise ClientDisconnect from None

    async def _linger(self) -> None:
        """Take what still comes for a moment, and throw it away. Who hangs up on a client that is sending takes the
        answer away from it, too."""
        with suppress(TimeoutError, asyncio.TimeoutError):
            await asyncio.wait_for(self._throw_away(), LINGER)

    async def _throw_away(self) -> None:
        has_more = True
        while has_more:
            message = await self._receive()
            has_more = message["type"] == "http.request" and message.get("more_body", False)

    def _begin(self, status: int) -> None:
        self.has_begun = True
        self._visit.status = status

    async def refuse(self, problem: Problem, receive: Receive) -> None:
        answer = problems.answer(problem)
        if self._visit.scope["type"] == "http":
            await answer(self._visit.scope, receive, self)
        else:
            await deny(self._visit.scope, answer, self)


async def deny(scope: Scope, answer: Response, send: Callable[[Message], Awaitable[None]]) -> None:
    """A WebSocket that is not to be: with a proper answer where the server can, else with none."""
    if "websocket.http.response" not in scope.get("extensions", {}):
        await send({"type": "websocket.close", "code": 1008})
        return
    await send({"type": "websocket.http.response.start", "status": answer.status_code, "headers": answer.raw_headers})
    await send({"type": "websocket.http.response.body", "body": bytes(answer.body)})


def _protect(message: Message, visit: _Visit) -> None:
    headers = MutableHeaders(raw=message.setdefault("headers", []))
    for name, value in protection(Headers(scope=visit.scope).get("host", "")).items():
        headers.setdefault(name, value)
    if visit.has_more:  # what is still on its way is not read any more, so nothing can follow it
        headers["Connection"] = "close"


def protection(host: str) -> dict[str, str]:
    """What every answer carries. `connect-src` names the WebSockets too: not every browser takes them for 'self'."""
    sockets = f" ws://{host} wss://{host}" if _HOST.fullmatch(host) else ""
    policy = (
        "default-src 'self'; img-src 'self' blob: data:; media-src 'self' blob:; "
        f"connect-src 'self'{sockets}; object-src 'none'; frame-ancestors 'none'; base-uri 'none'; form-action 'self'"
    )
    return {
        "Content-Security-Policy": policy,
        "X-Content-Type-Options": "nosniff",
        "X-Frame-Options": "DENY",
        "Referrer-Policy": "no-referrer",
        "Permissions-Policy": "camera=(self), microphone=(), geolocation=()",
        "Cross-Origin-Opener-Policy": "same-origin",
        "Cross-Origin-Resource-Policy": "same-origin",
        "Cache-Control": "no-store",
    }
