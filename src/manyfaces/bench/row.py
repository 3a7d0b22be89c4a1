"""One row of the benchmark: one clip, in one mode."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from manyfaces.bench.figures import percentile_ms
from manyfaces.bench.floor import Floor
from manyfaces.bench.machine import peak_rss_mb
from manyfaces.bench.streams import Clip, Shown, Stretch, live, stretch
from manyfaces.build import build_engine, nobody
from manyfaces.engine import Engine
from manyfaces.errors import UsageError
from manyfaces.options import Options
from manyfaces.plans import kept
from manyfaces.runtime import usable_cores

BUDGET, EVERY_FACE = "budget", "every-face"
MODES = (BUDGET, EVERY_FACE)
ROUNDS = 3
"""In how many stretches the engine is measured where it takes turns with its floor."""

REFILL = 16
"""Frames after which the engine is as full again as it was before it stopped for the floor."""

Row = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Task:
    """What to measure. `faces`: how many are in the clip, where that is known; `seconds`: of each of the two ways."""

    clip: Path
    mode: str
    seconds: float
    options: Options
    faces: int | None = None

    def __post_init__(self) -> None:
        if self.mode not in MODES:
            raise UsageError(f"mode {self.mode!r}: known are {' and '.join(MODES)}")
        if not 0 < self.seconds < float("inf"):
            raise UsageError(f"{self.seconds:g} seconds: measure for more than 0")

    @property
    def heads(self) -> str:
        on = [name for name in ("emotion", "identity") if getattr(self.options, name)]
        return "both" if len(on) == 2 else "".join(on) or "none"


def measured(task: Task) -> Row:
    """As fast as it goes first, then as a camera; the floor last, since its networks take memory too."""
    clip = Clip.of(task.clip)
    options = replace(task.options, every_face=task.mode == EVERY_FACE)
    stages, plan = build_engine(options, nobody)
    engine = Engine(stages, plan)
    rounds = ROUNDS if options.every_face else 1
    stretches = [stretch(engine, clip, clip.frames, task.seconds / rounds)]
    shown = live(engine, clip, task.seconds)
    peak = peak_rss_mb()
    floor: Row = {"floor_ratio": None}
    if options.every_face:
        floor = _beside_the_floor(engine, clip, options, task.seconds / rounds, stretches)
    return {
        "clip": clip.name,
        "faces": round(_faces(stretches)) if task.faces is None else task.faces,
        "mode": task.mode,
        "heads": task.heads,
        "size": f"{clip.width}x{clip.height}",
        **_as_fast_as_it_goes(stretches),
        **_as_a_camera(shown, task.seconds),
        **floor,
        "peak_rss_mb": round(peak, 1),
        "plan": {**asdict(plan), "tuned": kept().is_tuned},
    }


def _beside_the_floor(engine: Engine, clip: Clip, options: Options, seconds: float, stretches: list[Stretch]) -> Row:
    """The engine and the parts in turn; the engine's stretches are added to those there are."""
    floor, cores = Floor(clip, options), usable_cores()
    for _ in range(ROUNDS - 1):
        floor.round()
        stretches.append(stretch(engine, clip, REFILL, seconds))
    floor.round()
    least = floor.seconds(_faces(stretches), cores)
    wall = median(one.per_frame for one in stretches)
    return {
        "floor_ratio": round(wall / least, 3),
        "wall_ms": round(1000 * wall, 2),
        "floor_ms": round(1000 * least, 2),
        "floor": {"cores": cores, **floor.described()},
    }


def _faces(stretches: Iterable[Stretch]) -> float:
    counted = list(stretches)
    return sum(one.faces for one in counted) / sum(one.frames for one in counted)


def _as_fast_as_it_goes(stretches: list[Stretch]) -> Row:
    frames, seconds = sum(one.frames for one in stretches), sum(one.seconds for one in stretches)
    ages = [age for one in stretches for age in one.ages]
    return {
        "fps": round(frames / seconds, 2),
        "frames": frames,
        "seconds": round(seconds, 2),
        "cpu_ms": round(1000 * sum(one.busy for one in stretches) / frames, 2),
        "faces_found": round(_faces(stretches), 2),
        "busy_p50_ms": percentile_ms(ages, 0.5),
        "busy_p95_ms": percentile_ms(ages, 0.95),
    }


def _as_a_camera(shown: list[Shown], seconds: float) -> Row:
    faces, readings = (sum(getattr(one, name) for one in shown) for name in ("faces", "readings"))
    return {
        "p50_ms": percentile_ms([one.age for one in shown], 0.5),
        "p95_ms": percentile_ms([one.age for one in shown], 0.95),
        "handed_p95_ms": percentile_ms([one.handed for one in shown], 0.95),
        "live_frames": len(shown),
        "dropped": sum(one.dropped for one in shown),
        "live_faces_found": round(faces / len(shown), 2),
        "live_readings_per_face_s": round(readings * len(shown) / (faces * seconds), 2) if faces else None,
    }
