"""A real server in this process: uvicorn on a free port in a thread, with stages that can be reckoned by hand."""

from __future__ import annotations

import io
import json
import logging
import socket
import struct
import threading
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import numpy as np
from PIL import Image

from manyfaces.card import InputSpec
from manyfaces.engine import Plan
from manyfaces.pipeline import Stages
from manyfaces.server.app import application
from manyfaces.server.guard import Rules
from manyfaces.server.limits import Limits
from manyfaces.server.log import LOGGER, JsonLines
from manyfaces.server.people import Naming, People
from manyfaces.server.run import Address, Server, server
from manyfaces.server.service import Service
from manyfaces.server.tokens import Tokens
from manyfaces.types import Crops, Detections, Embeddings, Emotions, Pixels
from threads import DEADLINE, CountingTracker, KeepingLinker

MODEL = "by-hand"
ABOUT = {
    "version": "0", "labels": ["bright", "dark"], "models": [], "plan": {}, "options": {}, "tokens": False
}  # fmt: skip


class Brightness:
    """An emotion head: how bright the middle of the face is."""

    spec = InputSpec(8, 8, "rgb", template=((2, 3), (6, 3), (4, 4), (3, 6), (5, 6)))

    def __call__(self, crops: Crops, /) -> Emotions:
        share = crops.pixels[:, 4, 4, 1].astype(np.float32) / 255
        return Emotions(np.stack([share, 1 - share], axis=1), ("bright", "dark"))


class Colour:
    """An identity head: the colour of the middle of the face, as a unit vector."""

    spec = Brightness.spec

    def __call__(self, crops: Crops, /) -> Embeddings:
        colours = crops.pixels[:, 4, 4, :].astype(np.float32) + 1e-3
        return Embeddings(colours / np.linalg.norm(colours, axis=1, keepdims=True), MODEL)


def detect(images: Sequence[Pixels]) -> list[Detections]:
    """As many faces as the first pixel says, one beside the other."""
    return [_faces(int(image[0, 0, 0])) for image in images]


def _faces(number: int) -> Detections:
    boxes = np.array([[32 * place, 0, 32 * place + 32, 32] for place in range(number)], np.float32).reshape(-1, 4)
    template = np.asarray(Brightness.spec.template, np.float32) * 4
    landmarks = np.array([np.add(template, (32 * place, 0)) for place in range(number)], np.float32).reshape(-1, 5, 2)
    return Detections(boxes, np.full(number, 0.9, np.float32), landmarks)


class HeldDetector:
    """A detector that tells when it is called, and answers when it may."""

    def __init__(self) -> None:
        self.called = threading.Event()
        self.may_answer = threading.Event()

    def __call__(self, images: Sequence[Pixels], /) -> list[Detections]:
        self.called.set()
        assert self.may_answer.wait(DEADLINE)
        return detect(images)


def png(faces: int, size: tuple[int, int] = (64, 128), colour: tuple[int, int, int] = (10, 200, 30)) -> bytes:
    image = np.full((*size, 3), colour, np.uint8)
    image[0, 0, 0] = faces
    return encoded(image)


def encoded(image: Pixels, kind: str = "PNG") -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, kind)
    return file.getvalue()


def bomb() -> bytes:
    """A valid PNG of 60,000 x 60,000 pixels in 60 bytes of header; its data would never be looked at."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", 60_000, 60_000, 8, 2, 0, 0, 0)
    data = zlib.compress(b"\0" * 1000)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def files(*pictures: bytes, field: str = "pictures") -> list[tuple[str, tuple[str, bytes]]]:
    return [(field, (f"p{number}.png", content)) for number, content in enumerate(pictures)]


@dataclass
class Running:
    """A server that runs; `ask` is a client of it."""

    ask: httpx.Client
    service: Service
    server: Server
    thread: threading.Thread
    address: str
    port: int
    log: list[dict[str, Any]] = field(default_factory=list)

    @property
    def socket_address(self) -> str:
        return self.address.replace("http", "ws", 1)

    def connect(self) -> socket.socket:
        """A client that can do what no proper client does."""
        return socket.create_connection(("127.0.0.1", self.port), timeout=DEADLINE)

    def stop(self) -> None:
        self.server.should_exit = True

    def join(self) -> None:
        self.thread.join(DEADLINE)
        assert not self.thread.is_alive(), "the server does not stop"


def all_of(connection: socket.socket) -> bytes:
    """What comes until the server hangs up."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


class _Kept(logging.Handler):
    def __init__(self, lines: list[dict[str, Any]]) -> None:
        super().__init__()
        self.setFormatter(JsonLines())
        self._lines = lines

    def emit(self, record: logging.LogRecord) -> None:
        self._lines.append(json.loads(self.format(record)))


def by_hand(detector: Callable[[Sequence[Pixels]], list[Detections]] = detect, naming: Naming | None = None) -> Stages:
    return Stages(detector, CountingTracker, KeepingLinker, Brightness(), Colour(), naming or Naming())


@contextmanager
def running(
    folder: Path,
    detector: Callable[[Sequence[Pixels]], list[Detections]] = detect,
    limits: Limits | None = None,
    tokens: Tokens | None = None,
    stages: Callable[[Naming], Stages] | None = None,
    model: str = MODEL,
) -> Iterator[Running]:
    """In `folder` its gallery is made, people.db, when somebody is enrolled."""
    limits, naming = limits or Limits(drain=DEADLINE), Naming()
    made = stages(naming) if stages else by_hand(detector, naming)
    service = Service(made, Plan(), People(folder / "people.db", model, naming, every=0.01), limits, ABOUT)
    with _serving(service, limits, tokens or Tokens()) as one:
        yield one


@contextmanager
def _serving(service: Service, limits: Limits, tokens: Tokens) -> Iterator[Running]:
    address = Address(port=0)
    bound = address.bind()
    shown = address.shown(bound).rstrip("/")
    runs = server(application(service, Rules(limits, tokens)), address, limits)
    thread = threading.Thread(target=runs.run, args=([bound],), daemon=True)
    lines: list[dict[str, Any]] = []
    handler, logger = _Kept(lines), logging.getLogger(LOGGER)
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    thread.start()
    try:
        with httpx.Client(base_url=shown, timeout=DEADLINE) as ask:
            ask.get("/v1/health")
            yield Running(ask, service, runs, thread, shown, int(shown.rpartition(":")[2]), lines)
    finally:
        runs.should_exit = True
        thread.join(DEADLINE)
        logger.removeHandler(handler)
        bound.close()
    assert not thread.is_alive(), "the server does not stop"
