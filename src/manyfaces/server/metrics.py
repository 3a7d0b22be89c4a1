"""What the server counts and times, in Prometheus' words. Nothing here knows a name, a face or a file."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Generic, TypeVar

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from manyfaces.card import InputSpec
from manyfaces.pipeline import Stages
from manyfaces.stages import Detector, Head
from manyfaces.types import Crops, Detections, FrameResult, Pixels

Read = TypeVar("Read")

SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128)


class Metrics:
    """One server's figures, in a registry of their own."""

    def __init__(self) -> None:
        self.registry = registry = CollectorRegistry()
        self.requests = Counter(
            "manyfaces_requests",
            "Requests by route, method and status.",
            ("route", "method", "status"),
            registry=registry,
        )
        self.request_seconds = Histogram(
            "manyfaces_request_seconds", "From a request's first byte to its answer's last.", ("route",),
            buckets=SECONDS, registry=registry,
        )  # fmt: skip
        self.frames = Counter(
            "manyfaces_frames", "Frames answered, by where they came from.", ("source",), registry=registry
        )
        self.faces = Counter("manyfaces_faces", "Faces in the frames that were answered.", registry=registry)
        self.unreadable = Counter("manyfaces_unreadable", "Frames that could not be decoded.", registry=registry)
        self.dropped = Counter(
            "manyfaces_dropped", "Live frames passed over because a newer one came.", registry=registry
        )
        self.stage_seconds = Histogram(
            "manyfaces_stage_seconds", "Seconds of one call of a stage.", ("stage",), buckets=SECONDS, registry=registry
        )
        self.batch = Histogram(
            "manyfaces_batch_size", "Pictures or faces of one network call.", ("stage",), buckets=COUNTS,
            registry=registry,
        )  # fmt: skip
        self.queue = Gauge("manyfaces_queue_depth", "Pictures in each queue.", ("queue",), registry=registry)
        self.clients = Gauge("manyfaces_clients", "Who is connected, by what for.", ("kind",), registry=registry)
        self.restarts = Counter(
            "manyfaces_engine_restarts", "Times the engine began anew after an error.", registry=registry
        )

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        begun = time.perf_counter()
        try:
            yield
        finally:
            self.stage_seconds.labels(stage).observe(time.perf_counter() - begun)

    def answered(self, source: str, result: FrameResult) -> None:
        self.frames.labels(source).inc()
        self.faces.inc(len(result.faces))
        if result.error:
            self.unreadable.inc()

    def watch(self, queue: str, depth: Callable[[], float]) -> None:
        """Ask for a queue's depth whenever somebody asks for the figures."""
        self.queue.labels(queue).set_function(depth)

    def text(self) -> bytes:
        return generate_latest(self.registry)


def timed(stages: Stages, metrics: Metrics) -> Stages:
    """The same stages, each call of a network timed and its batch counted."""
    return replace(
        stages,
        detect=_TimedDetector(stages.detect, metrics),
        emotion=None if stages.emotion is None else _TimedHead(stages.emotion, metrics, "emotion"),
        identity=None if stages.identity is None else _TimedHead(stages.identity, metrics, "identity"),
    )


@dataclass(frozen=True, slots=True)
class _TimedDetector:
    detector: Detector
    metrics: Metrics

    def __call__(self, images: Sequence[Pixels], /) -> list[Detections]:
        self.metrics.batch.labels("detect").observe(len(images))
        with self.metrics.timing("detect"):
            return self.detector(images)


@dataclass(frozen=True, slots=True)
class _TimedHead(Generic[Read]):
    head: Head[Read]
    metrics: Metrics
    stage: str

    @property
    def spec(self) -> InputSpec:
        return self.head.spec

    def __call__(self, crops: Crops, /) -> Read:
        if not len(crops):
            return self.head(crops)
        self.metrics.batch.labels(self.stage).observe(len(crops))
        with self.metrics.timing(self.stage):
            return self.head(crops)
