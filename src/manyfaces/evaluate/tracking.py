"""Did every face keep its number? CLEAR MOTA, IDF1 and id switches against the truth of a video.

MOTA (Bernardin and Stiefelhagen, "Evaluating multiple object tracking performance: the CLEAR MOT metrics", 2008) adds
up what was missed, what was invented and where a number changed. IDF1 (Ristani and others, "Performance measures and a
data set for multi-target, multi-camera tracking", 2016) asks how long each person was known by one number, under the
best one-to-one assignment of numbers to people over the whole video.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field

import numpy as np
import numpy.typing as npt

from manyfaces.evaluate.detection import SAME, Judged, TrueFaces, VideoTruth, judge, share, zip_frames
from manyfaces.geometry import iou
from manyfaces.track.assign import best_pairs
from manyfaces.types import Floats, Integers


@dataclass(frozen=True, slots=True)
class TrackingScore:
    """`id_switches` counts the times a true track was found under another number than before."""

    mota: float
    idf1: float
    id_switches: int
    recall: float
    precision: float
    found: int
    missed: int
    false: int
    frames: int
    true_tracks: int
    ids: int

    def as_dict(self) -> dict[str, float]:
        return asdict(self)


@dataclass(slots=True)
class _Tally:
    """What has been counted so far. `last` is the number each true track was last found under; `together` counts the
    frames in which a true track and a number lay on each other."""

    frames: int = 0
    true: int = 0
    ours: int = 0
    hits: int = 0
    switches: int = 0
    last: dict[int, int] = field(default_factory=dict)
    together: Counter[tuple[int, int]] = field(default_factory=Counter)
    true_ids: set[int] = field(default_factory=set)
    our_ids: set[int] = field(default_factory=set)


def score_tracking(truth: VideoTruth, frames: Iterable[tuple[Floats, Integers]]) -> TrackingScore:
    """Compare the boxes and ids of every frame of a video with the truth."""
    tally = _Tally()
    for faces, (boxes, ids) in zip_frames(truth, frames):
        _count(tally, faces, boxes, ids)
    return _summary(tally)


def _count(tally: _Tally, faces: TrueFaces, boxes: Floats, ids: Integers) -> None:
    shares = iou(faces.boxes, boxes)
    verdict = judge(faces, shares, _kept(faces.ids, ids, tally.last))
    counted = faces.ids[faces.counts]
    tally.frames += 1
    tally.true += len(counted)
    tally.ours += int(verdict.counts.sum())
    tally.hits += len(verdict.true)
    tally.true_ids.update(counted.tolist())
    tally.our_ids.update(ids[verdict.counts].tolist())
    tally.together.update(_on_each_other(shares, faces, ids, verdict.counts))
    _count_switches(tally, faces, ids, verdict)


def _kept(true: Integers, ids: Integers, last: dict[int, int]) -> npt.NDArray[np.bool_]:
    """Which pairs are a true track and the number it was last found under: CLEAR keeps these while they fit."""
    before = np.array([last.get(track, -1) for track in true.tolist()], np.int64)
    return np.equal(before[:, None], ids[None, :])


def _on_each_other(
    shares: Floats, faces: TrueFaces, ids: Integers, counts: npt.NDArray[np.bool_]
) -> list[tuple[int, int]]:
    true, found = np.nonzero((shares >= SAME) & faces.counts[:, None] & counts[None, :])
    return list(zip(faces.ids[true].tolist(), ids[found].tolist(), strict=True))


def _count_switches(tally: _Tally, faces: TrueFaces, ids: Integers, verdict: Judged) -> None:
    for track, number in zip(faces.ids[verdict.true].tolist(), ids[verdict.found].tolist(), strict=True):
        tally.switches += tally.last.get(track, number) != number
        tally.last[track] = number


def _summary(tally: _Tally) -> TrackingScore:
    missed, false = tally.true - tally.hits, tally.ours - tally.hits
    errors = missed + false + tally.switches
    return TrackingScore(
        mota=1 - errors / tally.true if tally.true else float(errors == 0),
        idf1=share(2 * _known(tally.together), tally.true + tally.ours),
        id_switches=tally.switches,
        recall=share(tally.hits, tally.true),
        precision=share(tally.hits, tally.ours),
        found=tally.hits,
        missed=missed,
        false=false,
        frames=tally.frames,
        true_tracks=len(tally.true_ids),
        ids=len(tally.our_ids),
    )


def _known(together: Counter[tuple[int, int]]) -> int:
    """Frames in which people went by their one number, when numbers are given to people as well as possible."""
    if not together:
        return 0
    pairs = np.array(list(together), np.int64)
    frames = np.array(list(together.values()), np.float64)
    rows = np.unique(pairs[:, 0], return_inverse=True)[1]
    columns = np.unique(pairs[:, 1], return_inverse=True)[1]
    return int(frames[best_pairs(rows, columns, frames)].sum())
