"""Detection: decoding, suppression and views by arithmetic; the whole on photographs of every size."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyfaces.detect.decode import decode, suppress
from manyfaces.detect.haar import HaarCascade
from manyfaces.detect.views import Reach, plan_views
from manyfaces.detect.yunet import REACH, Wanted, YuNet
from manyfaces.errors import UsageError
from manyfaces.runtime import Runtime, load_network
from manyfaces.stages import Detector
from manyfaces.types import Detections, Pixels
from manyfaces.weights import load


def yunet(library: str = "openvino", wanted: Wanted | None = None) -> YuNet:
    weights = load("yunet")
    runtime = Runtime(library, "f32", 1)
    return YuNet(load_network(weights.content, weights.card.input, runtime), wanted)


@pytest.fixture(scope="module")
def detector() -> YuNet:
    return yunet()


def resized(image: Pixels, factor: float) -> Pixels:
    method = cv2.INTER_AREA if factor < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(image, None, fx=factor, fy=factor, interpolation=method), np.uint8)


def boxes_of(count: int, seed: int) -> Detections:
    rng = np.random.default_rng(seed)
    corners = rng.uniform(0, 100, (count, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(5, 60, (count, 2))], axis=1).astype(np.float32)
    return Detections(boxes, rng.random(count).astype(np.float32), np.zeros((count, 5, 2), np.float32))


def iou(a: np.ndarray, b: np.ndarray) -> float:
    width, height = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = max(width, 0) * max(height, 0)
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


@given(st.integers(0, 40), st.integers(0, 10**6), st.floats(0.1, 0.9))
def test_suppression_keeps_the_best_and_covers_the_rest(count: int, seed: int, overlap: float) -> None:
    everything = boxes_of(count, seed)
    kept = suppress(everything, overlap)
    assert list(kept.scores) == sorted(kept.scores, reverse=True)
    for i in range(len(kept)):
        assert all(iou(kept.boxes[i], kept.boxes[j]) <= overlap + 1e-5 for j in range(i))
    for box, score in zip(everything.boxes, everything.scores, strict=True):
        assert any(
            np.array_equal(box, other) or (iou(box, other) > overlap - 1e-5 and other_score >= score)
            for other, other_score in zip(kept.boxes, kept.scores, strict=True)
        )


def test_decoding_puts_a_cell_where_it_lies() -> None:
    """One face in column 2, row 1 of the grid of 16-pixel cells of a 64 x 32 picture."""
    outputs = {
        f"{name}_{stride}": np.zeros((1, (64 // stride) * (32 // stride), size), np.float32)
        for stride in (8, 16, 32)
        for name, size in (("cls", 1), ("obj", 1), ("bbox", 4), ("kps", 10))
    }
    cell = 1 * 4 + 2
    outputs["cls_16"][0, cell], outputs["obj_16"][0, cell] = 0.81, 1.0
    outputs["bbox_16"][0, cell] = 0.5, 0.25, np.log(2), np.log(3)
    outputs["kps_16"][0, cell] = np.arange(10) / 10
    found = decode(outputs, 0, 64, 0.6)
    assert found.scores == pytest.approx([0.9])
    assert found.boxes[0] == pytest.approx([40 - 16, 20 - 24, 40 + 16, 20 + 24])
    assert found.landmarks[0, 0] == pytest.approx([32, 17.6])
    assert len(decode(outputs, 0, 64, 0.95)) == 0


@settings(max_examples=60)
@given(st.integers(1, 9000), st.integers(1, 9000), st.floats(4, 60))
def test_views_answer_for_every_face_of_the_picture(width: int, height: int, min_face: float) -> None:
    """A face of any wanted size, anywhere, lies whole in a view that answers for it and shows it in its sure range."""
    views = plan_views(width, height, REACH, min_face, float("inf"))
    for size in np.geomspace(min_face, max(min(width, height), min_face), 6):
        for x, y in ((0, 0), (width - size, height - size), ((width - size) / 2, (height - size) / 3)):
            if size <= min(width, height):
                assert any(
                    view.left <= x + 1
                    and view.top <= y + 1
                    and x + size <= view.left + view.width + 1
                    and y + size <= view.top + view.height + 1
                    and view.smallest <= size + 1e-3
                    and size <= view.largest + 1e-3
                    for view in views
                ), (size, x, y, views)
    assert all(max(view.shown_size) <= REACH.side * 1.01 + 32 for view in views)


def test_full_hd_is_one_pass_and_one_coarse_look() -> None:
    assert [view.shown_size for view in plan_views(1920, 1080, REACH, 8, float("inf"))] == [(1920, 1080), (480, 270)]


def test_large_faces_only_need_no_fine_look() -> None:
    assert plan_views(4000, 3000, Reach(8, 300, 1920), 200, float("inf"))[0].scale < 0.1


@pytest.mark.parametrize("factor", [0.25, 0.5, 1, 3, 7])
def test_a_face_is_found_at_any_size(detector: YuNet, astronaut: Pixels, factor: float) -> None:
    found = detector([resized(astronaut, factor)])[0]
    best = found.boxes[np.argmax(found.scores)] / factor
    assert iou(best, np.array([178, 64, 270, 176])) > 0.7
    assert found.scores.max() > 0.8


def test_a_selfie_that_fills_the_frame(detector: YuNet, astronaut: Pixels) -> None:
    selfie = resized(astronaut[50:190, 150:300], 20)
    found = detector([selfie])[0]
    assert len(found) == 1
    assert found.boxes[0, 3] - found.boxes[0, 1] > 1800


def test_small_faces_of_a_group_photo_of_twelve_megapixels(detector: YuNet, astronaut: Pixels) -> None:
    """Faces of 14 to 180 pixels in a picture large enough for tiles, some across the seams between tiles."""
    photo = np.full((3000, 4000, 3), 90, np.uint8)
    truth = []
    for step, factor in enumerate(np.geomspace(0.15, 2, 16)):
        head = resized(astronaut[20:220, 120:330], float(factor))
        left, top = 60 + (step % 4) * 980 + step * 7, 40 + (step // 4) * 740
        photo[top : top + head.shape[0], left : left + head.shape[1]] = head
        truth.append(np.array([58, 44, 150, 156]) * factor + [left, top, left, top])
    found = detector([photo])[0]
    missed = [box for box in truth if all(iou(box, other) < 0.5 for other in found.boxes)]
    assert missed == []
    assert len(found) == len(truth)


def test_a_batch_of_different_pictures_says_what_each_says_alone(
    detector: YuNet, astronaut: Pixels, hopper: Pixels
) -> None:
    pictures = [astronaut, hopper, np.zeros((33, 97, 3), np.uint8), astronaut[:, ::-1]]
    together = detector(pictures)
    alone = [detector([picture])[0] for picture in pictures]
    assert [len(found) for found in together] == [len(found) for found in alone] == [1, 1, 0, 1]
    for one, other in zip(together, alone, strict=True):
        assert np.abs(one.boxes - other.boxes).max(initial=0) < 1e-2


def test_both_libraries_find_the_same(detector: YuNet, astronaut: Pixels, hopper: Pixels) -> None:
    """Boxes and landmarks within 0.05 pixels, scores within 1e-3."""
    pytest.importorskip("onnxruntime")
    pictures = [astronaut, hopper]
    for one, other in zip(detector(pictures), yunet("onnxruntime")(pictures), strict=True):
        assert len(one) == len(other) == 1
        assert np.abs(one.boxes - other.boxes).max() < 0.05
        assert np.abs(one.landmarks - other.landmarks).max() < 0.05
        assert np.abs(one.scores - other.scores).max() < 1e-3


def test_sizes_and_scores_are_filtered(astronaut: Pixels) -> None:
    assert len(yunet(wanted=Wanted(max_face=60))([astronaut])[0]) == 0
    assert len(yunet(wanted=Wanted(min_face=120))([astronaut])[0]) == 0
    assert len(yunet(wanted=Wanted(threshold=0.99))([astronaut])[0]) == 0


@pytest.mark.parametrize(
    "wrong",
    [
        {"threshold": float("nan")},
        {"threshold": -0.1},
        {"threshold": 1.0},
        {"min_face": 0},
        {"min_face": float("nan")},
        {"min_face": 90, "max_face": 20},
    ],
)
def test_options_that_make_no_sense_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(UsageError):
        Wanted(**wrong)


def test_the_haar_cascade_works_or_says_that_it_is_gone(astronaut: Pixels) -> None:
    if hasattr(cv2, "CascadeClassifier"):
        assert len(HaarCascade()([astronaut])[0]) >= 1
    else:
        with pytest.raises(UsageError, match="no longer carries the Haar cascade"):
            HaarCascade()


def detectors() -> list[Detector]:
    return [yunet(), *([HaarCascade()] if hasattr(cv2, "CascadeClassifier") else [])]


def test_every_detector_keeps_the_contract(astronaut: Pixels) -> None:
    """No pictures, an empty scene and a tiny picture are no trouble, and the input is left as it was."""
    before = astronaut.copy()
    for detect in detectors():
        assert detect([]) == []
        results = detect([astronaut, np.zeros((40, 60, 3), np.uint8), np.zeros((1, 1, 3), np.uint8)])
        assert [len(found) for found in results][1:] == [0, 0]
        assert results[0].boxes.dtype == results[0].landmarks.dtype == np.float32
    assert np.array_equal(before, astronaut)
