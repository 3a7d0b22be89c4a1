"""What the work itself takes: decoding, detection and both heads, each alone on one core, at its best batch size."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import cycle, islice
from pathlib import Path
from typing import Any

import numpy as np

from manyfaces.align import align
from manyfaces.bench.figures import Best, best, floor_seconds
from manyfaces.bench.streams import Clip
from manyfaces.build import build_detector, quantised, run_as
from manyfaces.options import Options
from manyfaces.plans import kept, way_for
from manyfaces.runtime import OWN_AFTER, Network, Runtime
from manyfaces.sources.pictures import is_picture
from manyfaces.sources.video import Playback, open_video
from manyfaces.stages import Detector
from manyfaces.types import Pixels
from manyfaces.weights import Weights, load

PICTURES = (1, 2, 4)
FACES = (1, 8, 16, 32, 64)
"""Batch sizes that are tried."""


@dataclass(frozen=True, slots=True)
class Part:
    """Some work that can be done alone. `work` does it once for a batch and says for how many units."""

    work: Callable[[int], int]
    batches: Sequence[int]
    calls_to_warm_up: int = 1
    times: dict[int, list[float]] = field(default_factory=dict)

    def warm_up(self) -> None:
        for batch in self.batches:
            for _ in range(self.calls_to_warm_up):
                self.work(batch)

    def measure(self) -> None:
        for batch in self.batches:
            for _ in range(max(self.batches) // batch):
                start = time.monotonic()
                units = self.work(batch)
                self.times.setdefault(batch, []).append((time.monotonic() - start) / units)

    @property
    def best(self) -> Best:
        return best(self.times)


class Floor:
    """The parts of one clip. `round` measures each of them once more, so that they take turns with each other and with
    the engine, and a machine that slows down meanwhile slows down all."""

    def __init__(self, clip: Clip, options: Options) -> None:
        alone = replace(options, threads=1)
        detect = build_detector(alone)
        pictures = [frame.image for frame in islice(clip.play(), 0, None, max(clip.frames // max(PICTURES), 1))]
        self._per_picture = {"decode": _decoding(clip), "detect": _detection(detect, pictures)}
        self._per_face = {name: _reading(weights, alone, detect, pictures) for name, weights in _heads(options)}
        for part in self._parts.values():
            part.warm_up()

    @property
    def _parts(self) -> dict[str, Part]:
        return {**self._per_picture, **self._per_face}

    def round(self) -> None:
        for part in self._parts.values():
            part.measure()

    def seconds(self, faces: float, cores: int) -> float:
        picture, face = ([part.best for part in parts.values()] for parts in (self._per_picture, self._per_face))
        return floor_seconds(picture, face, faces, cores)

    def described(self) -> dict[str, Any]:
        """Each part's milliseconds, of a picture or of a face, and at which batch size."""
        found = {name: asdict(part.best) for name, part in self._parts.items()}
        return {name: {"batch": one["batch"], "ms": round(1000 * one["seconds"], 3)} for name, one in found.items()}


def _decoding(clip: Clip) -> Part:
    """A file to RGB pictures, as the engine gets them, without the decoder's threads."""

    def work(_batch: int) -> int:
        if is_picture(Path(clip.path)):  # an animated GIF, say; Pillow has no threads
            return sum(1 for _ in clip.play())
        with open_video(clip.path) as container:
            return sum(1 for _ in islice(Playback(clip.path).play(container, threads="NONE"), clip.frames))

    return Part(work, (1,))


def _detection(detect: Detector, pictures: list[Pixels]) -> Part:
    """Pictures of a size that comes often get a network of their own, which is faster."""
    endless = cycle(pictures)
    return Part(lambda batch: len(detect(list(islice(endless, batch)))), PICTURES, OWN_AFTER + 2)


def _heads(options: Options) -> list[tuple[str, Weights]]:
    wanted = [
        ("emotion", options.emotion_network, options.emotion),
        ("identity", options.identity_network, options.identity),
    ]
    return [(name, load(model)) for name, model, is_on in wanted if is_on]


def _reading(weights: Weights, options: Options, detect: Detector, pictures: list[Pixels]) -> Part:
    """The network alone, on faces of the clip; what a head does before and after it is not the floor's."""
    spec = weights.card.input
    way = way_for(options, weights.card, kept().plan)
    twin = quantised(weights) if way.precision == "int8" else None
    network = run_as(weights, twin, Runtime(way.backend, way.precision, options.threads))
    found = [align(picture, detect([picture])[0].landmarks, spec) for picture in pictures]
    return Part(_calls(network, _enough(np.concatenate(found))), FACES)


def _calls(network: Network, crops: Pixels) -> Callable[[int], int]:
    def work(batch: int) -> int:
        network(crops[:batch])
        return batch

    return work


def _enough(crops: Pixels) -> Pixels:
    """As many as the largest batch wants; a clip without faces has the network look at black."""
    some = crops if len(crops) else np.zeros((1, *crops.shape[1:]), np.uint8)
    return np.asarray(np.resize(some, (max(FACES), *some.shape[1:])), np.uint8)
