"""What votes gain is counted against a truth that says who is who."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

import manyfaces as mf
from manyfaces.build import build_stages
from manyfaces.cartoon import crowd_frames
from manyfaces.cli.commands import app
from manyfaces.errors import InputError
from manyfaces.evaluate.detection import TrueFaces, VideoTruth, read_video_truth
from manyfaces.evaluate.voting import Said, VotingScore, named, read_cast, score_voting
from manyfaces.types import Frame
from showing import portrait_of, write

BOXES = np.array([[0, 0, 10, 10], [20, 0, 30, 10]], np.float32)
"""Lan, who is enrolled, and a stranger."""


def truth(frames: int) -> VideoTruth:
    faces = TrueFaces(BOXES, np.array([7, 8]), np.ones(2, bool))
    return VideoTruth(Path("clip.truth.json"), 25.0, (faces,) * frames)


def score(alone: list[tuple[str | None, str | None]], voted: list[tuple[str | None, str | None]]) -> VotingScore:
    said = [Said(BOXES, one, other) for one, other in zip(alone, voted, strict=True)]
    return score_voting(truth(len(said)), {7: "Lan", 8: "Mai"}, {"Lan", "Huy"}, said)


def test_of_enrolled_people_names_are_right_wrong_or_missing() -> None:
    found = score([("Lan", None), ("Huy", None), (None, "Lan"), ("Lan", None)], [("Lan", None)] * 4)
    assert found.alone.as_dict() == {
        "right": 0.5, "wrong": 0.25, "unnamed": 0.25, "stranger_named": 0.25, "changes": 5, "faces": 8
    }  # fmt: skip
    assert found.voted.as_dict() == {
        "right": 1.0, "wrong": 0.0, "unnamed": 0.0, "stranger_named": 0.0, "changes": 0, "faces": 8
    }  # fmt: skip
    assert found.gain == 50.0


def test_a_person_the_gallery_does_not_know_is_a_stranger_whatever_the_truth_calls_him() -> None:
    found = score([("Lan", "Mai")], [("Lan", None)])
    assert (found.alone.stranger_named, found.voted.stranger_named) == (1.0, 0.0)


def test_a_clip_in_which_nobody_is_enrolled_has_no_name_to_get_wrong() -> None:
    said = [Said(BOXES, (None, None), ("Lan", None))]
    found = score_voting(truth(1), {}, set(), said)
    assert (found.alone.right, found.voted.right, found.voted.stranger_named) == (1.0, 1.0, 0.5)


@pytest.mark.parametrize(
    "content", ['{"tracks": [1]}', '{"tracks": {"1": {}}}', '{"tracks": {"x": {"person": "L"}}}', "{}"]
)
def test_a_truth_that_does_not_say_who_is_who_is_refused(tmp_path: Path, content: str) -> None:
    path = tmp_path / "clip.truth.json"
    path.write_text(content)
    with pytest.raises(InputError, match="does not say who is who"):
        read_cast(path)


def test_the_truth_that_the_page_shows_is_one(tmp_path: Path) -> None:
    page = Path(__file__).resolve().parent.parent / "docs" / "people.md"
    shown = re.search(r"\n    (\{.*\n.*\}\n)", page.read_text(encoding="utf-8"))
    assert shown
    (tmp_path / "film.truth.json").write_text(shown[1])
    assert read_cast(tmp_path / "film.truth.json") == {3: "Lan"}
    truth = read_video_truth(tmp_path / "film.truth.json")
    assert [faces.ids.tolist() for faces in truth.frames] == [[3], [3], []]


# --- drawn people ----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("people")
    people = mf.Gallery(folder / "people.db")
    for number in range(2):
        write(folder / f"{number}.png", portrait_of(number))
        people.add(f"person {number}", [folder / f"{number}.png"], force=True)
    return people.path


def test_one_look_names_each_face_twice(gallery: Path) -> None:
    stages = build_stages(mf.Options(emotion=False, every_face=True, gallery=gallery))
    frames = [frame for frame in islice(crowd_frames(3, 4, 10, (640, 360)), 4) if isinstance(frame, Frame)]
    said = list(named(frames, stages))
    assert len(said) == len(frames)
    for one in said:
        assert len(one.alone) == len(one.voted) == len(one.boxes) == 3
        assert set(one.alone) == {"person 0", "person 1", None}
    with pytest.raises(ValueError, match="identity head"):
        next(named(frames, replace(stages, identity=None)))


def test_a_gallery_that_knows_nobody_of_the_clip_is_refused(gallery: Path, tmp_path: Path) -> None:
    path = tmp_path / "clip.truth.json"
    path.write_text(json.dumps({"fps": 10, "frames": [], "tracks": {"0": {"person": "somebody else"}}}))
    done = CliRunner().invoke(app, ["evaluate", "voting", "clip.mp4", "--truth", str(path), "--gallery", str(gallery)])
    assert "holds nobody of clip.truth.json" in str(done.exception)
