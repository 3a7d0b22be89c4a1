"""Runs the application until it is told to stop, and then finishes what was accepted."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import uvicorn

from manyfaces.errors import UsageError
from manyfaces.server.connection import patient
from manyfaces.server.guard import Guard
from manyfaces.server.limits import Limits

BACKLOG = 2048


@dataclass(frozen=True, slots=True)
class Address:
    """Where to listen; with a certificate, by TLS. Port 0 is any that is free."""

    host: str = "127.0.0.1"
    port: int = 8080
    certificate: Path | None = None
    key: Path | None = None

    @property
    def scheme(self) -> str:
        return "https" if self.certificate else "http"

    def bind(self) -> socket.socket:
        """Listening begins here, so that whoever asks is kept waiting and not turned away while networks are loaded."""
        family = socket.AF_INET6 if ":" in self.host else socket.AF_INET
        try:
            return socket.create_server((self.host, self.port), family=family, backlog=BACKLOG)
        except OSError as error:
            raise UsageError(
                f"{self.host}:{self.port}: cannot listen there ({error.strerror or error}); choose another --port or "
                "--host"
            ) from None

    def shown(self, bound: socket.socket) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{self.scheme}://{host}:{bound.getsockname()[1]}/"


def open_files_for(connections: int) -> None:
    """Each connection is an open file, and so is an upload on its way: ask for as many as the system grants."""
    try:
        import resource
    except ModuleNotFoundError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = 3 * connections + 256
    granted = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft != resource.RLIM_INFINITY and granted > soft:
        resource.setrlimit(resource.RLIMIT_NOFILE, (granted, hard))


class Server(uvicorn.Server):
    """Tells by itself how it was asked to stop. uvicorn raises the signal again when all is done, which would make an
    orderly end look like a violent one."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopped_by = 0

    @contextmanager
    def capture_signals(self) -> Generator[None, None, None]:
        if threading.current_thread() is not threading.main_thread():
            yield
            return
        signals = (signal.SIGINT, signal.SIGTERM)
        former = {one: signal.getsignal(one) for one in signals}
        for one in signals:
            if former[one] != signal.SIG_IGN:  # switched off, as under `nohup`
                signal.signal(one, self.handle_exit)
        try:
            yield
        finally:
            for one, handler in former.items():
                signal.signal(one, handler)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal asks; a second Ctrl-C does not wait."""
        super().handle_exit(sig, frame)
        self.stopped_by = self.stopped_by or sig


def server(application: Guard, address: Address, limits: Limits) -> Server:
    config = uvicorn.Config(
        application,
        http=patient(limits),
        ws="websockets-sansio",
        ws_max_size=limits.frame_bytes,
        ws_per_message_deflate=False,  # pictures are compressed already
        loop="asyncio",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # whoever the server is told to stand behind, it believes no header about who asks
        server_header=False,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=int(limits.drain),
        ssl_certfile=address.certificate,
        ssl_keyfile=address.key,
    )
    return Server(config)


def run(application: Guard, address: Address, bound: socket.socket, limits: Limits) -> int:
    """Until a signal comes; which one."""
    open_files_for(limits.connections)
    running = server(application, address, limits)
    running.run([bound])
    return running.stopped_by
