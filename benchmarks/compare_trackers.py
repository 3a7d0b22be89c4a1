"""Our tracker, with and without the linker, against supervision's ByteTrack and norfair, on the same detections.

    pip install "supervision<0.28" norfair opencv-python-headless
    python benchmarks/compare_trackers.py ../shared/data/crowd/walk-30.mp4 [MORE.mp4 ...] [--json FILE]

Every clip needs its `.truth.json` beside it. Later versions of supervision (0.31 for one) have no ByteTrack; norfair
asks for numpy 1 but runs with 2, so let pip complain. Faces are found and embedded once per clip by the product's own
parts. Each peer runs as it comes, and with the settings that suited these clips better. A peer that reports only some
of the detections is judged by what it reports.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from manyfaces.align import align
from manyfaces.build import build_detector, build_identity_head
from manyfaces.evaluate.detection import VideoTruth, read_video_truth
from manyfaces.evaluate.tracking import score_tracking
from manyfaces.options import Options
from manyfaces.sources import open_source
from manyfaces.track.linker import AppearanceLinker
from manyfaces.track.tracker import MotionTracker
from manyfaces.types import Crops, Detections, Embeddings, Floats, Frame, Integers


@dataclass(frozen=True, slots=True, eq=False)
class Seen:
    """One frame as every tracker gets it."""

    detections: Detections
    embeddings: Embeddings
    seconds: float


Named = tuple[Floats, Integers]
Follow = Callable[[Seen], Named]


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("clips", nargs="+", type=Path)
    arguments.add_argument("--json", type=Path)
    chosen = arguments.parse_args()
    rows = [row for clip in chosen.clips for row in compare(clip)]
    if chosen.json:
        chosen.json.write_text(json.dumps({"rows": rows}, indent=2) + "\n", encoding="utf-8")


def compare(clip: Path) -> Iterator[dict[str, Any]]:
    truth = read_video_truth(clip.with_suffix(".truth.json"))
    seen = list(look(clip))
    for name, start in TRACKERS.items():
        row = {"clip": clip.stem, "tracker": name, **judged(truth, seen, start())}
        print("  ".join(f"{key} {value}" for key, value in row.items()), flush=True)
        yield row


def look(clip: Path) -> Iterator[Seen]:
    """Find and embed the faces of a clip, as equal on every machine as can be."""
    options = Options(precision="f32")
    detect, head = build_detector(options), build_identity_head(options)
    for frame in open_source(str(clip)):
        if not isinstance(frame, Frame):
            raise SystemExit(f"{clip}: frame {frame.index} cannot be decoded ({frame.reason})")
        detections = detect([frame.image])[0]
        crops = Crops(align(frame.image, detections.landmarks, head.spec), np.arange(len(detections)))
        yield Seen(detections, head(crops), frame.seconds)


def judged(truth: VideoTruth, seen: Iterable[Seen], follow: Follow) -> dict[str, float]:
    spent: list[float] = []

    def timed(frame: Seen) -> Named:
        start = time.perf_counter()
        named = follow(frame)
        spent.append(1000 * (time.perf_counter() - start))
        return named

    score = score_tracking(truth, map(timed, seen))
    kept = ("mota", "idf1", "id_switches", "recall", "precision", "true_tracks", "ids")
    figures = {name: round(value, 4) for name, value in score.as_dict().items() if name in kept}
    return {**figures, "ms": round(float(np.median(spent)), 2)}


def motion_only() -> Follow:
    tracker = MotionTracker()

    def follow(seen: Seen) -> Named:
        tracks = tracker.update(seen.detections, seen.seconds)
        return tracks.detections.boxes, tracks.ids

    return follow


def with_linker() -> Follow:
    tracker, linker = MotionTracker(), AppearanceLinker()

    def follow(seen: Seen) -> Named:
        tracks = linker.update(tracker.update(seen.detections, seen.seconds), seen.embeddings, seen.seconds)
        return tracks.detections.boxes, tracks.ids

    return follow


def bytetrack(**settings: Any) -> Follow:
    import supervision

    tracker = supervision.ByteTrack(frame_rate=25, **settings)

    def follow(seen: Seen) -> Named:
        faces = seen.detections
        given = supervision.Detections(
            xyxy=faces.boxes.copy(), confidence=faces.scores.copy(), class_id=np.zeros(len(faces), int)
        )
        tracked = tracker.update_with_detections(given)
        return np.asarray(tracked.xyxy, np.float32).reshape(-1, 4), np.asarray(tracked.tracker_id, np.int64).reshape(-1)

    return follow


def norfair(**settings: Any) -> Follow:
    import norfair as library

    tracker = library.Tracker(distance_function="iou", **settings)

    def follow(seen: Seen) -> Named:
        faces = seen.detections
        given = [
            library.Detection(points=box.reshape(2, 2), scores=np.full(2, score))
            for box, score in zip(faces.boxes, faces.scores, strict=True)
        ]
        now = {id(detection) for detection in given}
        here = [tracked for tracked in tracker.update(given) if id(tracked.last_detection) in now]
        boxes = [tracked.last_detection.points.reshape(-1) for tracked in here]
        ids = np.array([tracked.id for tracked in here], np.int64)
        return np.array(boxes, np.float32).reshape(-1, 4), ids

    return follow


TRACKERS: dict[str, Callable[[], Follow]] = {
    "manyfaces, motion only": motion_only,
    "manyfaces, with linker": with_linker,
    "ByteTrack": bytetrack,
    "ByteTrack, 0.6 and 1.8 s": lambda: bytetrack(track_activation_threshold=0.6, lost_track_buffer=45),
    "norfair": lambda: norfair(distance_threshold=0.7),
    "norfair, no delay, 1.5 s": lambda: norfair(distance_threshold=0.8, hit_counter_max=38, initialization_delay=0),
}

if __name__ == "__main__":
    main()
