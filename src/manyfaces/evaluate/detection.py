"""Were the faces found? Recall and precision against drawn or hand-marked boxes, and the files that hold them.

A true face counts where at least half of it can be seen. One that is more hidden need not be found, and finding it is
no error: detections that lie on such a face are set aside before anything is counted.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from manyfaces.errors import InputError
from manyfaces.geometry import iou
from manyfaces.track.assign import best_pairs
from manyfaces.types import Floats, Integers

SAME = 0.5
"""The IoU from which a box counts as the true one: the usual figure for faces."""

SEEN = 0.5
"""The share of a true face that must be visible for it to count."""


@dataclass(frozen=True, slots=True, eq=False)
class TrueFaces:
    """What is true of one frame: boxes (n, 4), the track of each (n,), and whether it counts (n,)."""

    boxes: Floats
    ids: Integers
    counts: npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True, eq=False)
class VideoTruth:
    """The true faces of every frame of a video."""

    path: Path
    fps: float
    frames: tuple[TrueFaces, ...]


@dataclass(frozen=True, slots=True, eq=False)
class PictureTruth:
    """The true boxes of every picture, by file name."""

    path: Path
    boxes: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class DetectionScore:
    """`recall` is the share of true faces found, `precision` the share of detections that are true faces."""

    recall: float
    precision: float
    found: int
    missed: int
    false: int
    frames: int

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """One frame's verdict: pairs of positions (true face, detection), and which detections count at all."""

    true: Integers
    found: Integers
    counts: npt.NDArray[np.bool_]


def judge(truth: TrueFaces, shares: Floats, kept: npt.NDArray[np.bool_] | None = None) -> Judged:
    """Pair true faces that count with detections, as many as possible and then as close as possible; then set aside
    the detections left over that lie on a hidden face.

    `shares` are the IoU of every true face with every detection. Pairs marked in `kept` come before all others: each
    stands in the way of two others at most, so a gain above theirs together is enough.
    """
    counted = np.flatnonzero(truth.counts)
    true, found = np.nonzero(shares[counted] >= SAME)
    gains = 1 + shares[counted][true, found].astype(np.float64) / max(shares.shape[1], 1)
    if kept is not None:
        gains += 5 * kept[counted][true, found]
    chosen = best_pairs(true, found, gains)
    left = np.ones(shares.shape[1], bool)
    left[found[chosen]] = False
    hidden = (shares[~truth.counts] >= SAME).any(axis=0)
    return Judged(counted[true[chosen]], found[chosen], ~(left & hidden))


def score_detection(truth: VideoTruth, frames: Iterable[Floats]) -> DetectionScore:
    """Compare the boxes found in every frame of a video with the truth."""
    return _score(zip_frames(truth, frames))


def score_pictures(truth: PictureTruth, found: Iterable[tuple[str, Floats]]) -> DetectionScore:
    """Compare the boxes found in every picture, given with its file name, with the truth."""
    return _score(_by_name(truth, found))


def _score(pairs: Iterable[tuple[TrueFaces, Floats]]) -> DetectionScore:
    hits = misses = false = frames = 0
    for faces, boxes in pairs:
        verdict = judge(faces, iou(faces.boxes, boxes))
        frames += 1
        hits += len(verdict.true)
        misses += int(faces.counts.sum()) - len(verdict.true)
        false += int(verdict.counts.sum()) - len(verdict.found)
    return DetectionScore(share(hits, hits + misses), share(hits, hits + false), hits, misses, false, frames)


def share(part: float, whole: float) -> float:
    """part / whole; nothing out of nothing is all of it."""
    return part / whole if whole else 1.0


def zip_frames(truth: VideoTruth, frames: Iterable[Any]) -> Iterable[tuple[TrueFaces, Any]]:
    """Truth and findings frame by frame; both must be equally long."""
    count = 0
    for found in frames:
        if count == len(truth.frames):
            raise InputError(
                f"{truth.path}: the truth ends after {count} frames but the video goes on; is it its truth?"
            )
        yield truth.frames[count], found
        count += 1
    if count < len(truth.frames):
        raise InputError(
            f"{truth.path}: the truth has {len(truth.frames)} frames but the video only {count}; is it its truth?"
        )


def _by_name(truth: PictureTruth, found: Iterable[tuple[str, Floats]]) -> Iterable[tuple[TrueFaces, Floats]]:
    left = dict(truth.boxes)
    for name, boxes in found:
        if name not in left:
            raise InputError(f"{truth.path}: says nothing of the picture {name}, or it was given twice")
        true = left.pop(name)
        yield TrueFaces(true, np.zeros(len(true), np.int64), np.ones(len(true), bool)), boxes
    if left:
        raise InputError(f"{truth.path}: {len(left)} of its pictures were not looked at, the first is {min(left)}")


def read_video_truth(path: Path) -> VideoTruth:
    """Read `{"fps": ..., "frames": [[[track, x1, y1, x2, y2, visible], ...], ...]}`."""
    content = read_object(path)
    frames, fps = content.get("frames"), content.get("fps")
    if not isinstance(frames, list) or not isinstance(fps, int | float) or isinstance(fps, bool) or not fps > 0:
        raise InputError(
            f'{path}: a video\'s truth needs "fps" (a number above 0) and "frames" (a list with one list per frame)'
        )
    return VideoTruth(path, float(fps), tuple(_true_faces(path, index, rows) for index, rows in enumerate(frames)))


def _true_faces(path: Path, index: int, rows: Any) -> TrueFaces:
    what = f"frame {index}: expected rows of [track, x1, y1, x2, y2, visible]"
    table = _table(path, what, rows, 6)
    ids = table[:, 0].astype(np.int64)
    if len(np.unique(ids)) != len(ids):
        raise InputError(f"{path}: frame {index} names a track twice; every track has one box per frame")
    return TrueFaces(table[:, 1:5].astype(np.float32), ids, table[:, 5] >= SEEN)


def read_picture_truth(path: Path) -> PictureTruth:
    """Read `{"file.jpg": [[x1, y1, x2, y2], ...], ...}`."""
    content = read_object(path)
    if "frames" in content:
        raise InputError(f"{path}: this is the truth of a video; give the video, or a file of picture names and boxes")
    what = "expected rows of [x1, y1, x2, y2]"
    return PictureTruth(
        path, {name: _table(path, f"{name}: {what}", rows, 4).astype(np.float32) for name, rows in content.items()}
    )


def read_object(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"{path}: cannot read the truth file ({error.strerror})") from None
    except ValueError as error:
        raise InputError(
            f"{path}: this is not JSON ({error}); a truth file is written by hand or by its clip"
        ) from None
    if not isinstance(content, dict):
        raise InputError(f"{path}: a truth file holds one JSON object, this holds a {type(content).__name__}")
    return content


def _table(path: Path, what: str, rows: Any, columns: int) -> npt.NDArray[np.float64]:
    """A list of equally long rows of numbers, as a table; boxes are its columns from the fourth last to the last."""
    try:
        table = np.array(rows, np.float64)
    except (TypeError, ValueError):
        raise InputError(f"{path}: {what}, got something else") from None
    if table.shape == (0,):
        return np.empty((0, columns))
    if table.ndim != 2 or table.shape[1] != columns or not np.isfinite(table).all():
        raise InputError(f"{path}: {what}, got shape {table.shape} or a number that is not finite")
    return table
