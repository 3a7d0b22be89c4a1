"""The one thing that must be done below ASGI: a client that connects and says nothing, or says its headers a letter at
a time, is hung up on, and past the most connections the next one is refused before it costs anything."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from manyfaces.server.limits import Limits
from manyfaces.server.problems import MEDIA_TYPE, document

FULL = "there are too many connections; try again soon"


def patient(limits: Limits) -> type[asyncio.Protocol]:
    """uvicorn's protocol with a deadline for headers and a most of connections."""

    class Patient(HttpToolsProtocol):
        _deadline: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn has it
            super().connection_made(transport)
            if len(self.connections) > limits.connections:
                transport.write(refusal())
                transport.close()
                return
            self._wait_for_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._has_come()
            super().connection_lost(exc)

        def on_message_begin(self) -> None:
            super().on_message_begin()
            self._wait_for_headers()

        def on_headers_complete(self) -> None:
            self._has_come()
            super().on_headers_complete()

        def _wait_for_headers(self) -> None:
            self._has_come()
            self._deadline = self.loop.call_later(limits.headers, self._hang_up)

        def _has_come(self) -> None:
            if self._deadline is not None:
                self._deadline.cancel()
                self._deadline = None

        def _hang_up(self) -> None:
            if self.transport is not None and not self.transport.is_closing():
                self.transport.close()

    return Patient


def refusal() -> bytes:
    body = json.dumps(document(503, FULL)).encode()
    lines: dict[str, Any] = {
        "Content-Type": MEDIA_TYPE,
        "Content-Length": len(body),
        "Retry-After": 1,
        "Connection": "close",
    }
    head = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 503 Service Unavailable\r\n{head}\r\n".encode() + body
