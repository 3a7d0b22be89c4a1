"""Each kernel three ways: interpreted, with NumPy or OpenCV, and compiled; the crops also on two threads.

    python benchmarks/kernels.py            (about a minute; writes benchmarks/results/kernels.json)

Work as of one full-HD frame with 100 faces. Each figure is the least of several runs, in microseconds. Interpreted
kernels that would take seconds are given a part of the work, and their time is multiplied; `interpreted_share` says
which part.
"""

from __future__ import annotations

import importlib.util
import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.machinery import SourceFileLoader
from importlib.metadata import version
from pathlib import Path
from types import ModuleType
from typing import Any

import cv2
import numpy as np

from manyfaces.align import cut_by_opencv, similarity_transforms
from manyfaces.detect.decode import place_by_numpy
from manyfaces.kernels import boxes, crops, interpreted, tracks
from manyfaces.track.assign import _owners_large
from manyfaces.track.motion import Noises

RESULTS = Path(__file__).parent / "results" / "kernels.json"
SECONDS = 0.5
"""For how long each way is repeated."""

FACES = 100
TEMPLATE = np.array([(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)], np.float32)
Way = Callable[[], object]


@dataclass(frozen=True)
class Trial:
    """One kernel's work in three ways; `plain` does `share` of it."""

    name: str
    plain: Way
    packaged: Way
    compiled: Way
    share: float = 1.0


def main() -> None:
    if interpreted():
        sys.exit(
            f"these kernels are not compiled here: {', '.join(interpreted())}; install manyfaces with a C compiler"
        )
    cv2.setNumThreads(1)
    trials = [placing(), suppressing(), *cutting(), spreading(), *following(), *assigning()]
    figures = {trial.name: measured(trial) for trial in trials}
    report = {"made_by": made_by(), "microseconds": figures, "threads": on_threads()}
    RESULTS.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    for name, row in figures.items():
        print(f"{name:38}", *(f"{way} {value:,}" for way, value in row.items()), sep="  ")
    print(report["threads"])


def measured(trial: Trial) -> dict[str, float]:
    plain, library, compiled = (least(way) for way in (trial.plain, trial.packaged, trial.compiled))
    row = {
        "interpreted": round(plain / trial.share),
        "numpy_or_opencv": round(library, 1),
        "compiled": round(compiled, 1),
        "times_faster": round(library / compiled, 1),
    }
    return row if trial.share == 1 else {**row, "interpreted_share": trial.share}


def least(way: Way) -> float:
    """The shortest run, in microseconds."""
    way()
    best, end = float("inf"), time.perf_counter() + SECONDS
    while time.perf_counter() < end:
        start = time.perf_counter()
        way()
        best = min(best, time.perf_counter() - start)
    return best * 1e6


def plain(module: ModuleType) -> ModuleType:
    """The same source, interpreted."""
    name = module.__name__.rsplit(".", 1)[1]
    source = Path(str(importlib.util.find_spec("manyfaces.kernels").origin)).with_name(f"{name}.py")  # type: ignore[union-attr]
    loader = SourceFileLoader(f"interpreted_{name}", str(source))
    specification = importlib.util.spec_from_loader(loader.name, loader)
    made = importlib.util.module_from_spec(specification)  # type: ignore[arg-type]
    loader.exec_module(made)
    return made


# --- detection --------------------------------------------------------------------------------------------------------


def candidates() -> np.ndarray[Any, np.dtype[np.float32]]:
    """Ten boxes for each of 100 faces, in no order: about what a network offers for such a crowd."""
    rng = np.random.default_rng(1)
    places = np.stack(np.meshgrid(np.arange(14) * 135.0, np.arange(8) * 130.0), -1).reshape(-1, 2)[:FACES]
    corners = np.repeat(places, 10, axis=0) + rng.normal(0, 3, (10 * FACES, 2))
    made = np.concatenate([corners, corners + np.array([80, 105])], axis=1).astype(np.float32)
    return made[rng.permutation(len(made))]


def suppressing() -> Trial:
    offered = candidates()
    return Trial(
        f"suppression of {len(offered):,} boxes",
        lambda: plain_boxes.survivors(offered, 0.3),
        lambda: suppressed_by_numpy(offered, 0.3),
        lambda: boxes.survivors(offered, 0.3),
    )


def suppressed_by_numpy(offered: np.ndarray[Any, np.dtype[np.float32]], overlap: float) -> list[int]:
    areas = (offered[:, 2] - offered[:, 0]) * (offered[:, 3] - offered[:, 1])
    waiting = np.arange(len(offered))
    kept = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        corner = np.maximum(offered[best, :2], offered[waiting, :2])
        opposite = np.minimum(offered[best, 2:], offered[waiting, 2:])
        shared = np.prod(np.maximum(opposite - corner, 0), axis=1)
        waiting = waiting[shared <= overlap * (areas[best] + areas[waiting] - shared)]
    return kept


def placing() -> Trial:
    rng = np.random.default_rng(2)
    cells = np.sort(rng.choice(240 * 136, 10 * FACES, replace=False))
    faces = rng.random(240 * 136).astype(np.float32)
    shapes, points = (rng.normal(0, 1, (240 * 136, size)).astype(np.float32) for size in (4, 10))
    filled = [np.empty(shape, np.float32) for shape in ((len(cells), 4), len(cells), (len(cells), 10))]
    return Trial(
        f"decoding of {len(cells):,} cells",
        lambda: plain_boxes.place(cells, faces, shapes, points, 240, 8, *filled),
        lambda: place_by_numpy(cells, faces, shapes, points, 240, 8, *filled),
        lambda: boxes.place(cells, faces, shapes, points, 240, 8, *filled),
    )


# --- crops ------------------------------------------------------------------------------------------------------------


def crowd(count: int, size: float) -> Any:
    """Landmarks of faces all over a full-HD picture, a little turned, `size` times as large as a crop of 112."""
    rng = np.random.default_rng(3)
    angles = rng.normal(0, 0.15, count)
    turns = np.stack([np.cos(angles), -np.sin(angles), np.sin(angles), np.cos(angles)], 1).reshape(-1, 2, 2) * size
    places = rng.uniform((0, 0), (1920 - 112 * size, 1080 - 112 * size), (count, 2))
    return (TEMPLATE @ turns.transpose(0, 2, 1) + places[:, None]).astype(np.float32)


PICTURE = cv2.GaussianBlur(np.random.default_rng(4).integers(0, 256, (1080, 1920, 3), np.uint8), None, 2)


def cutting() -> list[Trial]:
    return [
        crop_trial(112, 3, 0.7, "100 RGB crops of 112, faces enlarged"),
        crop_trial(112, 3, 1.4, "100 RGB crops of 112, faces shrunk"),
        crop_trial(48, 1, 0.7, "100 grey crops of 48, faces shrunk"),
    ]


def crop_trial(side: int, depth: int, size: float, name: str) -> Trial:
    matrices = similarity_transforms(crowd(FACES, size), TEMPLATE * side / 112)
    which, batch = np.arange(FACES), np.empty((FACES, side, side, depth), np.uint8)
    return Trial(
        name,
        lambda: plain_crops.cut(PICTURE, matrices, which[:1], batch),
        lambda: cut_all_by_opencv(matrices, batch),
        lambda: crops.cut(PICTURE, matrices, which, batch),
        share=1 / FACES,
    )


def cut_all_by_opencv(matrices: Any, batch: Any) -> None:
    for matrix, crop in zip(matrices, batch, strict=True):
        cut_by_opencv(PICTURE, matrix, crop)


def spreading() -> Trial:
    batch = np.random.default_rng(5).integers(0, 256, (FACES, 112, 112, 3), np.uint8)
    return Trial(
        "100 crops of 112 to planes of floats",
        lambda: plain_crops.planes(batch[:1], 127.5, 128.0, True),
        lambda: spread_by_numpy(batch),
        lambda: crops.planes(batch, 127.5, 128.0, True),
        share=1 / FACES,
    )


def spread_by_numpy(batch: Any) -> Any:
    planes = np.ascontiguousarray(batch[..., ::-1].transpose(0, 3, 1, 2), np.float32)
    planes -= 127.5
    planes /= 128.0
    return planes


def on_threads() -> dict[str, float]:
    """Frames' worth of RGB crops a second, by one thread and by two, each on its own picture's faces."""
    matrices = similarity_transforms(crowd(FACES, 0.7), TEMPLATE)
    which = np.arange(FACES)

    def kernel(batch: Any) -> None:
        crops.cut(PICTURE, matrices, which, batch)

    def opencv(batch: Any) -> None:
        cut_all_by_opencv(matrices, batch)

    return {
        f"{name}, {threads} threads": round(rate(way, threads), 1)
        for name, way in (("opencv", opencv), ("compiled", kernel))
        for threads in (1, 2)
    }


def rate(way: Callable[[Any], None], threads: int, rounds: int = 40) -> float:
    """The best of three turns: rounds in all, divided by the time until the last thread is done."""
    batches = [np.empty((FACES, 112, 112, 3), np.uint8) for _ in range(threads)]

    def turn(batch: Any) -> None:
        for _ in range(rounds):
            way(batch)

    best = 0.0
    with ThreadPoolExecutor(threads) as pool:
        for _ in range(3):
            start = time.perf_counter()
            list(pool.map(turn, batches))
            best = max(best, threads * rounds / (time.perf_counter() - start))
    return best


# --- tracking ---------------------------------------------------------------------------------------------------------


def following() -> list[Trial]:
    rng = np.random.default_rng(6)
    values, speeds, spreads = rng.normal(3, 1, (FACES, 4)), rng.normal(0, 1, (FACES, 4)), rng.random((FACES, 2, 3)) + 1
    seen, seconds = values + rng.normal(0, 0.1, (FACES, 4)), np.full(FACES, 0.04)
    push, noise = np.asarray(Noises().push), np.square(Noises().measured)
    a, b, c, d = np.empty((FACES, 4)), np.empty((FACES, 4)), np.empty((FACES, 2, 3)), np.empty(FACES)
    return [
        Trial(
            "prediction of 100 faces",
            lambda: plain_tracks.move(values, speeds, spreads, seconds, push, a, c),
            lambda: moved_by_numpy(values, speeds, spreads, seconds, push),
            lambda: tracks.move(values, speeds, spreads, seconds, push, a, c),
        ),
        Trial(
            "cost of 100 pairs",
            lambda: plain_tracks.fit_all(values, spreads, seen, noise, d),
            lambda: fits_by_numpy(values, spreads, seen, noise),
            lambda: tracks.fit_all(values, spreads, seen, noise, d),
        ),
        Trial(
            "correction of 100 faces",
            lambda: plain_tracks.correct(values, speeds, spreads, seen, noise, a, b, c),
            lambda: corrected_by_numpy(values, speeds, spreads, seen, noise),
            lambda: tracks.correct(values, speeds, spreads, seen, noise, a, b, c),
        ),
    ]


def moved_by_numpy(values: Any, speeds: Any, spreads: Any, seconds: Any, push: Any) -> tuple[Any, Any]:
    time_ = seconds[:, None]
    value, both, speed = (spreads[:, :, k] for k in range(3))
    new = [
        value + 2 * both * time_ + speed * time_**2 + push * time_**3 / 3,
        both + speed * time_ + push * time_**2 / 2,
        speed + push * time_,
    ]
    return values + speeds * time_, np.stack(new, axis=2)


def fits_by_numpy(values: Any, spreads: Any, seen: Any, noise: Any) -> Any:
    total = spreads[:, :, 0] + noise
    scale = np.exp((values[:, 2] + values[:, 3]) / 2)[:, None]
    error = seen - values
    squares = np.stack([((error[:, :2] / scale) ** 2).sum(axis=1), (error[:, 2:] ** 2).sum(axis=1)], axis=1)
    return (squares / total + 2 * np.log(total / noise)).sum(axis=1)


def corrected_by_numpy(values: Any, speeds: Any, spreads: Any, seen: Any, noise: Any) -> tuple[Any, ...]:
    value, both, speed = (spreads[:, :, k] for k in range(3))
    total = value + noise
    gain, push = value / total, both / total
    error = seen - values
    new = np.stack([value * (1 - gain), both * (1 - gain), speed - push * both], axis=2)
    return values + np.repeat(gain, 2, axis=1) * error, speeds + np.repeat(push, 2, axis=1) * error, new


def assigning() -> list[Trial]:
    return [assignment(side) for side in (8, 100)]


def assignment(side: int) -> Trial:
    costs = np.random.default_rng(7).normal(0, 1, (side, side))
    return Trial(
        f"assignment of {side} to {side}",
        lambda: plain_tracks.owners(costs),
        lambda: _owners_large(costs),
        lambda: tracks.owners(costs),
    )


plain_boxes, plain_crops, plain_tracks = plain(boxes), plain(crops), plain(tracks)


def made_by() -> dict[str, str]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    packages = {name: version(name) for name in ("manyfaces", "numpy", "opencv-python-headless", "Cython")}
    return {"commit": commit.stdout.strip(), "python": platform.python_version(), **packages, "processor": processor()}


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


if __name__ == "__main__":
    main()
