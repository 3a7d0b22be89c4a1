"""What naming a track by 1 to 2 seconds of evidence gains over naming each frame's faces alone.

    python benchmarks/voting.py ../shared/data            (a quarter of an hour; writes benchmarks/results/voting.json)

Every second person of `lfw60/` who is in a clip of `crowd/` is enrolled, from one or three photos that the clip does
not show; the others are strangers. Each clip is played as it is and at smaller sizes, where single frames begin to
fail: faces of 30 to 60 pixels become faces of 12 to 24.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
from budget import Cast, add_each
from quality import made_by

import manyfaces as mf
from manyfaces.build import build_stages
from manyfaces.evaluate.detection import VideoTruth, read_video_truth
from manyfaces.evaluate.voting import named, read_cast, score_voting
from manyfaces.sources import open_source
from manyfaces.types import Frame

RESULTS = Path(__file__).parent / "results" / "voting.json"
CLIPS = ("walk-12", "walk-30")
PHOTOS, SIZES = (1, 3), (1.0, 0.5, 0.4)

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description="Names by votes against names by single frames.")
    parser.add_argument("data", type=Path, help="the folder with crowd/ and lfw60/")
    parser.add_argument("--json", type=Path, default=RESULTS)
    chosen = parser.parse_args()
    rows: list[Row] = []
    for clip in CLIPS:
        for photos in PHOTOS:
            for size in SIZES:
                rows.append(measured(chosen.data, clip, photos, size))
                print(json.dumps(rows[-1]), flush=True)
                text = json.dumps({"made_by": made_by(), "rows": rows}, indent=2) + "\n"
                chosen.json.write_text(text, encoding="utf-8")


def measured(data: Path, clip: str, photos: int, size: float) -> Row:
    truth = data / "crowd" / f"{clip}.truth.json"
    with tempfile.TemporaryDirectory() as folder:
        gallery = Path(folder) / "people.db"
        cast = enrol(data, truth, photos, gallery)
        stages = build_stages(mf.Options(emotion=False, every_face=True, gallery=gallery))
        said = named(shrunk(data / "crowd" / f"{clip}.mp4", size), stages)
        score = score_voting(scaled(read_video_truth(truth), size), cast.people, cast.enrolled, said)
    return {"clip": clip, "photos": photos, "size": size, "enrolled": len(cast.enrolled), **score.as_dict()}


def enrol(data: Path, truth: Path, photos: int, gallery: Path) -> Cast:
    people = read_cast(truth)
    shown = {who["photo"] for who in json.loads(truth.read_text(encoding="utf-8"))["tracks"].values()}
    known = sorted({name for name in people.values() if (data / "lfw60" / name).is_dir()})[::2]
    for name in known:
        others = [photo for photo in sorted((data / "lfw60" / name).glob("*.jpg")) if photo.name not in shown]
        add_each(mf.Gallery(gallery), name, others[:photos])
    return Cast(people, frozenset(known))


def shrunk(clip: Path, size: float) -> Iterator[Frame]:
    for frame in open_source(str(clip)):
        assert isinstance(frame, Frame)
        if size == 1:
            yield frame
        else:
            yield replace(frame, image=cv2.resize(frame.image, None, fx=size, fy=size, interpolation=cv2.INTER_AREA))


def scaled(truth: VideoTruth, size: float) -> VideoTruth:
    return replace(truth, frames=tuple(replace(faces, boxes=faces.boxes * size) for faces in truth.frames))


if __name__ == "__main__":
    main()
