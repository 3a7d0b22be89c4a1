"""Does the engine say what the plain pipeline says? Every clip, every plan, every row.

    python benchmarks/equality.py ../shared/data                     (twenty minutes; writes results/equality.json)
    python benchmarks/equality.py ../shared/data --clips grid-16     (only this one; what was there of others stays)

With every face in every frame, and with the default budget, where the pipeline hears of what it read as late as an
engine would. In f32, for 1, 2 and 4 workers and batches of 1, 8 and 32. Names come from a gallery of every second face
of the first frame that shows any, so that there are people to know and strangers to refuse.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import islice, zip_longest
from pathlib import Path
from typing import Any

import numpy as np

from manyfaces.align import align
from manyfaces.bench.machine import circumstances
from manyfaces.build import build_stages, calibrated_identifier, nobody
from manyfaces.engine import Engine, Plan
from manyfaces.options import Options
from manyfaces.pipeline import Pipeline, Seen, Stages
from manyfaces.sources import open_source
from manyfaces.stages import Identifier
from manyfaces.types import Crops, Face, Frame, FrameResult, Unreadable

RESULTS = Path(__file__).parent / "results" / "equality.json"
WORKERS, BATCHES, FRAMES = (1, 2, 4), (1, 8, 32), 40
ALLOWED = 1e-4
"""A batch of another size may add up in another order; more than this would be another answer."""

Item = Frame | Unreadable


@dataclass(frozen=True, slots=True)
class Difference:
    """`deviation`: the largest of any figure. `same`: whether tracks, labels, names, order and errors are equal."""

    deviation: float
    same: bool

    def __or__(self, other: Difference) -> Difference:
        return Difference(max(self.deviation, other.deviation), self.same and other.same)

    @property
    def passes(self) -> bool:
        return self.same and self.deviation <= ALLOWED


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare the engine's rows with the pipeline's.")
    parser.add_argument("data", type=Path, help="the folder with crowd/ and clips/")
    parser.add_argument("--frames", type=int, default=FRAMES, help="of each clip, from its beginning")
    parser.add_argument("--clips", default="", help="names, with commas between them; all if none is given")
    parser.add_argument("--json", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    clips = [path for path in found_clips(chosen.data) if not chosen.clips or path.stem in chosen.clips.split(",")]
    if not clips or chosen.frames < 1:
        parser.error(f"{chosen.data}: holds no such clip in crowd/ or clips/, or no frame of it was asked for")
    figures = _earlier(chosen.json) if chosen.clips else {}
    head = circumstances(shlex.join(["python", "benchmarks/equality.py", *sys.argv[1:]]))
    rows = [row for row in figures.get("rows", []) if row["clip"] not in {path.name for path in clips}]
    for path in clips:
        for row in compared(path, chosen.frames):
            rows.append(row)
            verdict = "equal" if row["passes"] else "NOT EQUAL"
            print(f"{row['clip']:<48} {row['mode']:<11} {row['deviation']:.2e}  {verdict}", flush=True)
            chosen.json.write_text(json.dumps({**head, "allowed": ALLOWED, "rows": rows}, indent=2) + "\n")
    return 0 if all(row["passes"] for row in rows) else 1


def found_clips(data: Path) -> list[Path]:
    return [
        path
        for folder in ("crowd", "clips")
        for path in sorted((data / folder).glob("*"))
        if path.suffix in (".mp4", ".mkv", ".gif")
    ]


def _earlier(place: Path) -> dict[str, Any]:
    return dict(json.loads(place.read_text(encoding="utf-8"))) if place.exists() else {}


def compared(path: Path, count: int) -> Iterator[dict[str, Any]]:
    """A row for each mode of a clip: how far each plan's figures lie from the pipeline's."""
    items = list(islice(open_source(str(path)), count))
    identify = gallery_of(items)
    for mode in ("every-face", "budget"):
        options = Options(precision="f32", every_face=mode == "every-face")
        stages = build_stages(options, identify, callers=max(WORKERS))
        expected = list(Pipeline(stages, lag=0 if options.every_face else Plan().ahead).run(items))
        by_plan = {
            f"{workers} workers, batches of {batch}": _difference_of(
                stages, Plan(workers, batch, batch), items, expected
            )
            for workers in WORKERS
            for batch in BATCHES
        }
        yield {
            "clip": path.name,
            "mode": mode,
            "frames": len(items),
            "faces": sum(len(row.faces) for _, row in expected),
            "named": sum(face.identity is not None for _, row in expected for face in row.faces),
            "deviation": max(one.deviation for one in by_plan.values()),
            "identical_names_labels_tracks": all(one.same for one in by_plan.values()),
            "passes": all(one.passes for one in by_plan.values()),
            "plans": {name: {"deviation": one.deviation, "same": one.same} for name, one in by_plan.items()},
        }


def gallery_of(items: Sequence[Item]) -> Identifier:
    """Every second face of the first frame that shows any, as person 0, person 1 and so on; nobody otherwise."""
    stages = build_stages(Options(precision="f32", emotion=False), nobody)
    assert stages.identity is not None
    for item in items:
        if isinstance(item, Frame):
            landmarks = stages.detect([item.image])[0].landmarks[::2]
            if len(landmarks):
                crops = align(item.image, landmarks, stages.identity.spec)
                embeddings = stages.identity(Crops(crops, np.arange(len(crops))))
                return calibrated_identifier(embeddings, [f"person {number}" for number in range(len(crops))])
    return nobody


def _difference_of(stages: Stages, plan: Plan, items: Sequence[Item], expected: Sequence[Seen]) -> Difference:
    said = Engine(stages, plan).run(items)
    return difference((row for _, row in said), (row for _, row in expected))


def difference(said: Iterable[FrameResult], expected: Iterable[FrameResult]) -> Difference:
    found = Difference(0.0, True)
    for one, other in zip_longest(said, expected):
        found |= _of_rows(one, other)
    return found


def _of_rows(one: FrameResult | None, other: FrameResult | None) -> Difference:
    if one is None or other is None or len(one.faces) != len(other.faces):
        return Difference(float("inf"), False)
    found = Difference(0.0, replace(one, faces=()) == replace(other, faces=()))
    for mine, theirs in zip(one.faces, other.faces, strict=True):
        found |= Difference(_furthest(_figures(mine), _figures(theirs)), _labels(mine) == _labels(theirs))
    return found


def _labels(face: Face) -> tuple[object, ...]:
    unknown = (face.emotion_confidence is None, face.identity_confidence is None, face.similarity is None)
    return face.track, face.emotion, face.identity, tuple(face.emotions), *unknown


def _figures(face: Face) -> list[float]:
    marks = [value for point in face.landmarks for value in point]
    known = [
        value for value in (face.emotion_confidence, face.identity_confidence, face.similarity) if value is not None
    ]
    return [*face.box, face.score, *marks, *face.emotions.values(), *known]


def _furthest(one: list[float], other: list[float]) -> float:
    if len(one) != len(other):
        return float("inf")
    return float(np.abs(np.subtract(one, other)).max(initial=0.0))


if __name__ == "__main__":
    sys.exit(main())
