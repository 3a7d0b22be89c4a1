"""Quality that may only rise: figures of the product's own parts on the development data, held to `floors.json`.

Each is a small part of what benchmarks/quality.py measures whole, so that it fits into a test run.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path

import cv2
import numpy as np
import pytest

from manyfaces.build import build_emotion_head, build_stages, calibrated_identifier, nobody
from manyfaces.evaluate.detection import TrueFaces, read_video_truth, score_detection
from manyfaces.evaluate.emotion import read_expressions
from manyfaces.evaluate.identity import identity_score, photos_by_folder
from manyfaces.evaluate.pairs import draw_pairs
from manyfaces.evaluate.tracking import score_tracking
from manyfaces.evaluate.verification import verification_score
from manyfaces.options import Options
from manyfaces.pipeline import Pipeline, Stages
from manyfaces.portraits import Portraits, read_portraits
from manyfaces.sources import open_source, read_picture
from manyfaces.train.data import read_emotion_data
from manyfaces.train.evaluate import figures
from manyfaces.types import Frame

pytestmark = pytest.mark.data
FLOORS = json.loads((Path(__file__).parent / "floors.json").read_text(encoding="utf-8"))


@pytest.fixture(scope="module")
def stages() -> Stages:
    return build_stages(Options(emotion=False), nobody)


def portraits(paths: list[Path], stages: Stages) -> Portraits:
    return read_portraits(((str(path), read_picture(path)) for path in paths), stages)


def frames(clip: Path) -> Iterator[Frame]:
    for frame in open_source(str(clip)):
        assert isinstance(frame, Frame)
        yield frame


def test_verification(data_folder: Path, stages: Stages) -> None:
    pairs = draw_pairs(data_folder / "lfw60", folds=5, per_kind=60, seed=7)
    paths = sorted({photo for pair in pairs for photo in (pair.first, pair.second)})
    read = portraits(paths, stages)
    place = {path: number for number, path in enumerate(paths)}
    first, second = (np.array([place[getattr(pair, side)] for pair in pairs]) for side in ("first", "second"))
    vectors, found = read.embeddings.vectors, read.found[first] & read.found[second]
    same, folds = np.array([pair.same for pair in pairs]), np.array([pair.fold for pair in pairs])
    score = verification_score((vectors[first] * vectors[second]).sum(axis=1), same, folds, found)
    assert score.accuracy >= FLOORS["verification accuracy, 600 pairs of lfw60"]


def test_identity(data_folder: Path, stages: Stages) -> None:
    photos = photos_by_folder(data_folder / "facenet5")
    people = [name for name, paths in photos.items() for _ in paths]
    read = portraits([path for paths in photos.values() for path in paths], stages)
    score = identity_score(read, people, 5, 0, calibrated_identifier)
    assert score.accuracy >= FLOORS["identity accuracy, facenet5, 5 splits"]
    assert 1 - score.open_set["fpir"] >= FLOORS["identity strangers refused, facenet5, 5 splits"]


@pytest.mark.parametrize(("shrink", "suffix"), [(1.0, ", every 25th frame"), (0.22, " shrunk to 12-pixel faces")])
def test_detection(data_folder: Path, stages: Stages, shrink: float, suffix: str) -> None:
    truth = read_video_truth(data_folder / "crowd" / "grid-100.truth.json")
    some = slice(0, 100, 25)
    smaller = [TrueFaces(faces.boxes * np.float32(shrink), faces.ids, faces.counts) for faces in truth.frames[some]]
    clip = islice(frames(data_folder / "crowd" / "grid-100.mp4"), 0, 100, 25)
    shown = (cv2.resize(f.image, None, fx=shrink, fy=shrink, interpolation=cv2.INTER_AREA) for f in clip)
    score = score_detection(replace(truth, frames=tuple(smaller)), (stages.detect([image])[0].boxes for image in shown))
    assert score.recall >= FLOORS[f"detection recall, grid-100{suffix}"]
    assert score.precision >= FLOORS["detection precision, grid-100, every 25th frame"] - (shrink < 1) * 0.01


def test_tracking(data_folder: Path) -> None:
    truth = read_video_truth(data_folder / "crowd" / "walk-12.truth.json")
    pipeline = Pipeline(build_stages(Options(emotion=False, identity=False)))
    results = (result for _, result in pipeline.run(islice(frames(data_folder / "crowd" / "walk-12.mp4"), 120)))
    found = (
        (
            np.array([face.box for face in result.faces], np.float32).reshape(-1, 4),
            np.array([face.track for face in result.faces], np.int64),
        )
        for result in results
    )
    score = score_tracking(replace(truth, frames=truth.frames[:120]), found)
    assert score.idf1 >= FLOORS["tracking idf1, walk-12, motion only, 120 frames"]


def test_emotion(data_folder: Path) -> None:
    faces = read_emotion_data(data_folder / "fer2013_train_public.npz").split("public")[:600]
    said = read_expressions(faces.images, build_emotion_head(Options()))
    assert figures(said, faces.labels)["accuracy"] >= FLOORS["emotion accuracy, 600 pictures of PublicTest"]
