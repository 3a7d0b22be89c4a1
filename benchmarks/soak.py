"""Does memory grow with time? One engine, one stream that never ends, as fast as it goes.

    python benchmarks/soak.py ../shared/data/crowd/grid-16.mp4               (twenty minutes; writes results/soak.json)
    python benchmarks/soak.py ../shared/data/crowd/walk-30.mp4 --minutes 60

Resident memory is read every ten seconds. The slope is that of a straight line, by least squares, through what was read
after three minutes, in which buffers and caches find their sizes.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from manyfaces.arenas import share_one_arena
from manyfaces.bench.figures import slope_per_hour
from manyfaces.bench.machine import circumstances, resident_mb
from manyfaces.bench.streams import Clip
from manyfaces.build import build_engine, nobody
from manyfaces.engine import Engine
from manyfaces.errors import InputError
from manyfaces.options import Options
from manyfaces.types import FrameResult

RESULTS = Path(__file__).parent / "results" / "soak.json"
MINUTES, EVERY, WARM_UP = 20.0, 10.0, 180.0


@dataclass(frozen=True, slots=True)
class Sample:
    seconds: float
    rss_mb: float
    frames: int
    faces: int


def main() -> None:
    parser = argparse.ArgumentParser(description="Resident memory of an endless stream.")
    parser.add_argument("clip", type=Path, help="a video; it begins anew when it ends, and the stream goes on")
    parser.add_argument("--minutes", type=float, default=MINUTES)
    parser.add_argument("--every-face", action="store_true", help="without the budget")
    parser.add_argument("--json", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    if not chosen.minutes > 0:
        parser.error(f"{chosen.minutes:g} minutes: give more than 0")
    try:
        clip = Clip.of(chosen.clip)
    except InputError as error:
        parser.error(str(error))
    head = circumstances(shlex.join(["python", "benchmarks/soak.py", *sys.argv[1:]]))
    share_one_arena()
    stages, plan = build_engine(Options(every_face=chosen.every_face), nobody)
    results = (row for _, row in Engine(stages, plan).run(clip.endless()))
    samples: list[Sample] = []
    for sample in sampled(results, 60 * chosen.minutes, EVERY, time.monotonic, resident_mb):
        samples.append(sample)
        figures = {**head, "clip": clip.name, "mode": "every-face" if chosen.every_face else "budget"}
        chosen.json.write_text(json.dumps({**figures, **summary(samples)}, indent=2) + "\n", encoding="utf-8")
    print(json.dumps({name: value for name, value in summary(samples).items() if name != "samples"}, indent=2))


def sampled(
    results: Iterable[FrameResult],
    seconds: float,
    every: float,
    clock: Callable[[], float],
    memory: Callable[[], float],
) -> Iterator[Sample]:
    """A sample each time that `every` seconds are over, and one at the end."""
    start, frames, faces, due = clock(), 0, 0, every
    for result in results:
        frames, faces, now = frames + 1, faces + len(result.faces), clock() - start
        if now >= due or now >= seconds:
            yield Sample(round(now, 2), round(memory(), 2), frames, faces)
            due += every
        if now >= seconds:
            return


def summary(samples: list[Sample]) -> dict[str, Any]:
    """The slope counts what came after the warm-up; None while there is too little of it."""
    counted = [sample for sample in samples if sample.seconds >= WARM_UP]
    slope = slope_per_hour([one.seconds for one in counted], [one.rss_mb for one in counted])
    last = samples[-1]
    return {
        "minutes": round(last.seconds / 60, 2),
        "frames": last.frames,
        "faces": last.faces,
        "fps": round(last.frames / last.seconds, 2),
        "warm_up_s": WARM_UP,
        "slope_mb_per_hour": None if slope is None else round(slope, 3),
        "first_mb": counted[0].rss_mb if counted else None,
        "last_mb": last.rss_mb,
        "most_mb": max(one.rss_mb for one in samples),
        "samples": [asdict(one) for one in samples],
    }


if __name__ == "__main__":
    main()
