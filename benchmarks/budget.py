"""What the budget costs: the same clips with every face in every frame and with the default budget, side by side.

    python benchmarks/budget.py ../shared/data            (minutes; writes benchmarks/results/budget.json)

For each clip of `crowd/` with its truth: faces found, false ones, IDF1 and id switches; how many faces the heads read
in a frame and how often faces were searched; names as shares of the faces found (every second person of `lfw60/` who is
in the clip is enrolled from other photos than the clip's, the rest are strangers); and how often both ways show the
same expression.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from quality import made_by

import manyfaces as mf
from manyfaces.evaluate.detection import judge, read_video_truth, zip_frames
from manyfaces.evaluate.tracking import score_tracking
from manyfaces.geometry import iou

RESULTS = Path(__file__).parent / "results" / "budget.json"
CLIPS = ("grid-16", "grid-64", "grid-100", "walk-12", "walk-30")


@dataclass(frozen=True)
class Cast:
    """Who is in a clip: the person of every true track, and who of them is in the gallery."""

    people: dict[int, str]
    enrolled: frozenset[str]


def main(data: Path) -> None:
    clips = {}
    for clip in CLIPS:
        with tempfile.TemporaryDirectory() as folder:
            cast = enrol(data, clip, Path(folder) / "people.db")
            clips[clip] = compare(data / "crowd" / f"{clip}.mp4", cast, Path(folder) / "people.db")
        print(clip, json.dumps(clips[clip], indent=1), flush=True)
        RESULTS.write_text(json.dumps({"made_by": made_by(), "clips": clips}, indent=2) + "\n", encoding="utf-8")


def enrol(data: Path, clip: str, gallery: Path) -> Cast:
    tracks = json.loads((data / "crowd" / f"{clip}.truth.json").read_text(encoding="utf-8"))["tracks"]
    people = {int(track): who["person"] for track, who in tracks.items()}
    shown = {who["photo"] for who in tracks.values()}
    known = sorted({name for name in people.values() if (data / "lfw60" / name).is_dir()})[::2]
    for name in known:
        photos = [photo for photo in sorted((data / "lfw60" / name).glob("*.jpg")) if photo.name not in shown]
        add_each(mf.Gallery(gallery), name, photos)
    return Cast(people, frozenset(known))


def add_each(gallery: mf.Gallery, name: str, photos: list[Path]) -> None:
    for photo in photos:
        try:
            gallery.add(name, photo, face=None)
        except mf.ManyfacesError:
            continue  # another face in the photo, or not good enough: the others do


def compare(video: Path, cast: Cast, gallery: Path) -> dict[str, Any]:
    rows = {}
    for mode in ("every-face", "budget"):
        options = mf.Options(every_face=mode == "every-face", gallery=gallery)
        rows[mode] = list(mf.analyze(video, options))
    figures: dict[str, Any] = {mode: measured(video, results, cast) for mode, results in rows.items()}
    return {**figures, "enrolled": len(cast.enrolled), "same_expression": agreement(*rows.values())}


def measured(video: Path, results: list[mf.FrameResult], cast: Cast) -> dict[str, Any]:
    truth = read_video_truth(video.with_suffix(".truth.json"))
    score = score_tracking(truth, ((boxes(row), np.array([face.track for face in row.faces])) for row in results))
    return {
        **{name: getattr(score, name) for name in ("recall", "precision", "idf1", "id_switches")},
        "searched": mean([row.timing.detected for row in results]),
        "emotions_read": mean([row.timing.emotions for row in results]),
        "identities_read": mean([row.timing.identities for row in results]),
        "names": names(truth, results, cast),
    }


def mean(values: list[Any]) -> float:
    return round(float(np.mean(values)), 4)


def boxes(row: mf.FrameResult) -> np.ndarray:
    return np.array([face.box for face in row.faces], np.float32).reshape(-1, 4)


def names(truth: Any, results: list[mf.FrameResult], cast: Cast) -> dict[str, float]:
    """Of the enrolled people's faces: named rightly, wrongly, not; of strangers': named."""
    counts: Counter[str] = Counter()
    for faces, row in zip_frames(truth, results):
        verdict = judge(faces, iou(faces.boxes, boxes(row)))
        for true, found in zip(verdict.true, verdict.found, strict=True):
            counts[verdict_of(cast, cast.people[int(faces.ids[true])], row.faces[found].identity)] += 1
    enrolled = sum(counts[name] for name in ("right", "wrong", "unnamed"))
    shares = {name: counts[name] / max(enrolled, 1) for name in ("right", "wrong", "unnamed")}
    strangers = counts["stranger named"] / max(counts["stranger named"] + counts["stranger"], 1)
    return {**{name: round(share, 4) for name, share in shares.items()}, "stranger_named": round(strangers, 4)}


def verdict_of(cast: Cast, person: str, said: str | None) -> str:
    if person not in cast.enrolled:
        return "stranger named" if said else "stranger"
    return "unnamed" if said is None else "right" if said == person else "wrong"


def agreement(first: list[mf.FrameResult], second: list[mf.FrameResult]) -> float:
    """The share of faces found by both at one place for which both show the same expression."""
    same = list(expressions(first, second))
    return round(float(np.mean(same)), 4)


def expressions(first: list[mf.FrameResult], second: list[mf.FrameResult]) -> Iterator[bool]:
    for one, other in zip(first, second, strict=True):
        overlap = iou(boxes(one), boxes(other))
        for face in range(len(one.faces)):
            if overlap.shape[1] and overlap[face].max() > 0.5:
                yield one.faces[face].emotion == other.faces[int(overlap[face].argmax())].emotion


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
