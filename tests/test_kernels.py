"""The kernels: compiled and interpreted they answer alike, they do what NumPy would, and odd input is borne.

The interpreted form is the same file loaded under another name, with Cython's own module out of reach.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable
from importlib.machinery import SourceFileLoader
from itertools import permutations
from pathlib import Path
from types import ModuleType

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import manyfaces.kernels
from manyfaces.align import align, cut_by_opencv, similarity_transforms
from manyfaces.card import InputSpec
from manyfaces.detect.decode import decode, suppress
from manyfaces.kernels import KERNELS, interpreted
from manyfaces.kernels import boxes as boxes_kernel
from manyfaces.kernels import crops as crops_kernel
from manyfaces.kernels import tracks as tracks_kernel
from manyfaces.track.assign import _owners_large, assign
from manyfaces.track.motion import Motion, Noises, corrected, moved, surprises
from manyfaces.types import Detections, Floats, Pixels

FOLDER = Path(manyfaces.kernels.__file__).parent


def plain(name: str) -> ModuleType:
    """A kernel as Python runs it where neither a compiler nor Cython is."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, "cython", None)
        loader = SourceFileLoader(f"interpreted_{name}", str(FOLDER / f"{name}.py"))
        specification = importlib.util.spec_from_loader(loader.name, loader)
        assert specification is not None
        module = importlib.util.module_from_spec(specification)
        loader.exec_module(module)
    return module


def compiled(name: str) -> ModuleType:
    module = importlib.import_module(f"manyfaces.kernels.{name}")
    if not module.COMPILED:
        pytest.skip(f"the kernel {name} is not compiled here")
    return module


@pytest.mark.parametrize("name", KERNELS)
def test_the_source_runs_without_cython(name: str) -> None:
    assert plain(name).COMPILED is False


def test_what_is_not_compiled_is_named() -> None:
    for name in KERNELS:
        assert (name in interpreted()) is not importlib.import_module(f"manyfaces.kernels.{name}").COMPILED


def test_every_kernel_is_listed_for_the_doctor() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} - {"__init__", "shadow"} == set(KERNELS)


# --- boxes ------------------------------------------------------------------------------------------------------------

plain_boxes = plain("boxes")
plain_crops = plain("crops")
plain_tracks = plain("tracks")

odd = st.sampled_from([np.nan, np.inf, -np.inf, 0.0, -5.0, 1e30, 1e-30])
sides = st.one_of(st.floats(-300, 300, width=32), odd)


def covered(boxes: Floats, overlap: float) -> list[int]:
    """Non-maximum suppression in NumPy, one survivor after another: what the kernel stands for."""
    areas = (boxes[:, 2] - boxes[:, 0]) * (boxes[:, 3] - boxes[:, 1])
    waiting = np.arange(len(boxes))
    kept = []
    while len(waiting):
        best, waiting = waiting[0], waiting[1:]
        kept.append(int(best))
        corner = np.maximum(boxes[best, :2], boxes[waiting, :2])
        opposite = np.minimum(boxes[best, 2:], boxes[waiting, 2:])
        shared = np.prod(np.maximum(opposite - corner, 0), axis=1)
        waiting = waiting[shared <= overlap * (areas[best] + areas[waiting] - shared)]
    return kept


def crowd(count: int, seed: int, spread: float) -> Floats:
    """Boxes of many sizes, whole pixels, so that equal overlaps are exactly equal."""
    rng = np.random.default_rng(seed)
    corners = rng.integers(0, max(int(spread), 1), (count, 2))
    sizes = np.exp(rng.uniform(0, 5, (count, 2))).astype(int)
    return np.concatenate([corners, corners + sizes], axis=1).astype(np.float32)


@given(st.integers(0, 60), st.integers(0, 10**6), st.sampled_from([1, 60, 600]), st.sampled_from([0.0, 0.3, 0.5, 0.9]))
def test_suppression_is_that_of_numpy(count: int, seed: int, spread: float, overlap: float) -> None:
    boxes = crowd(count, seed, spread)
    expected = covered(boxes.astype(np.float64), overlap)
    assert boxes_kernel.survivors(boxes, overlap).tolist() == expected
    assert plain_boxes.survivors(boxes, overlap).tolist() == expected


@settings(deadline=None)
@given(st.lists(st.tuples(sides, sides, sides, sides), max_size=20), st.floats(0, 1))
def test_suppression_of_odd_boxes_is_the_same_compiled(rows: list[tuple[float, ...]], overlap: float) -> None:
    boxes = np.array(rows, np.float32).reshape(-1, 4)
    kept = compiled("boxes").survivors(boxes, overlap)
    assert kept.tolist() == plain_boxes.survivors(boxes, overlap).tolist()
    shapeless = ~np.isfinite(boxes).all(axis=1) | (boxes[:, 2] <= boxes[:, 0]) | (boxes[:, 3] <= boxes[:, 1])
    assert set(np.flatnonzero(shapeless)) <= set(kept.tolist())


def test_thousands_of_candidates_of_a_thousand_faces() -> None:
    rng = np.random.default_rng(1)
    faces = np.stack(np.meshgrid(np.arange(40), np.arange(25)), -1).reshape(-1, 2) * 45.0
    corners = np.repeat(faces, 10, axis=0) + rng.normal(0, 1, (10_000, 2))
    boxes = np.concatenate([corners, corners + 36], axis=1).astype(np.float32)
    scores = rng.random(10_000).astype(np.float32)
    kept = suppress(Detections(boxes, scores, np.zeros((10_000, 5, 2), np.float32)), 0.3)
    assert len(kept) == 1000
    assert kept.scores.min() > 0.3


def test_a_score_that_is_no_number_comes_last_and_costs_no_other_face() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 0, 11, 10], [50, 50, 60, 60]], np.float32)
    scores = np.array([np.nan, 0.5, 0.9], np.float32)
    kept = suppress(Detections(boxes, scores, np.zeros((3, 5, 2), np.float32)), 0.3)
    assert kept.scores.tolist() == pytest.approx([0.9, 0.5])


def outputs_of(seed: int, scale: float) -> dict[str, Floats]:
    """What a network might put out for two pictures of 96 x 64."""
    rng = np.random.default_rng(seed)
    outputs = {}
    for stride in (8, 16, 32):
        cells = (96 // stride) * (64 // stride)
        for name, size in (("cls", 1), ("obj", 1)):
            outputs[f"{name}_{stride}"] = rng.random((2, cells, size)).astype(np.float32)
        for name, size in (("bbox", 4), ("kps", 10)):
            outputs[f"{name}_{stride}"] = rng.normal(0, scale, (2, cells, size)).astype(np.float32)
    return outputs


@given(st.integers(0, 10**6), st.integers(0, 1), st.floats(0.05, 0.95))
def test_decoding_is_that_of_numpy(seed: int, item: int, threshold: float) -> None:
    outputs = outputs_of(seed, 1.0)
    ways = []
    for compiled in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(boxes_kernel, "COMPILED", compiled)
            ways.append(decode(outputs, item, 96, threshold))
    for name in ("boxes", "scores", "landmarks"):
        np.testing.assert_allclose(getattr(ways[0], name), getattr(ways[1], name), rtol=1e-5, atol=1e-4)


Place = Callable[..., None]


def placed(place: Place, outputs: dict[str, Floats], stride: int) -> tuple[npt.NDArray[np.float32], ...]:
    faces = outputs[f"cls_{stride}"][1, :, 0]
    cells = np.flatnonzero(faces >= 0.3)
    filled = tuple(np.empty(shape, np.float32) for shape in ((len(cells), 4), len(cells), (len(cells), 10)))
    place(cells, faces, outputs[f"bbox_{stride}"][1], outputs[f"kps_{stride}"][1], 96 // stride, stride, *filled)
    return filled


@settings(deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([8, 16, 32]), st.sampled_from([1.0, 1000.0]))
def test_decoding_is_the_same_compiled(seed: int, stride: int, scale: float) -> None:
    outputs = outputs_of(seed, scale)
    for one, other in zip(
        placed(compiled("boxes").place, outputs, stride), placed(plain_boxes.place, outputs, stride), strict=True
    ):
        assert np.array_equal(one, other)
        assert np.isfinite(one).all()


def test_scores_that_are_no_numbers_are_no_faces_and_too_large_ones_are_cut() -> None:
    outputs = outputs_of(0, 1.0)
    for stride in (8, 16, 32):
        outputs[f"cls_{stride}"][:] = np.nan
    outputs["cls_16"][0, :2, 0] = 1e20
    outputs["obj_16"][0, :2, 0] = 1e10
    assert decode(outputs, 0, 96, 0.5).scores.tolist() == [1, 1]


def test_a_picture_without_faces_has_empty_columns() -> None:
    outputs = {name: np.zeros_like(values) for name, values in outputs_of(0, 1.0).items()}
    assert len(decode(outputs, 0, 96, 0.5)) == 0


# --- crops ------------------------------------------------------------------------------------------------------------

TEMPLATE = np.array([(38.3, 51.7), (73.5, 51.5), (56.0, 71.7), (41.5, 92.4), (70.7, 92.2)], np.float32)
EYES = np.array([[207, 112], [243, 111], [228, 133], [212, 146], [243, 146]], np.float32)
"""Where the astronaut's landmarks are."""

numbers = st.one_of(st.floats(-3, 3, width=32), odd)


def cut_both(image: Pixels, matrices: Floats, shape: tuple[int, int, int]) -> tuple[Pixels, Pixels]:
    """The crops of the kernel as it is installed and of the plain one."""
    which = np.arange(len(matrices))
    ours, theirs = (np.full((len(matrices), *shape), 77, np.uint8) for _ in range(2))
    crops_kernel.cut(image, matrices, which, ours)
    plain_crops.cut(image, matrices, which, theirs)
    return ours, theirs


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 9),
    st.integers(1, 9),
    st.lists(st.tuples(*[numbers] * 6), max_size=4),
    st.sampled_from([(1, 1, 3), (3, 5, 1), (4, 4, 3)]),
)
def test_crops_are_the_same_compiled_whatever_the_matrix(
    width: int, height: int, rows: list[tuple[float, ...]], shape: tuple[int, int, int]
) -> None:
    compiled("crops")
    image = np.random.default_rng(width * height).integers(0, 256, (height, width, 3), np.uint8)
    ours, theirs = cut_both(image, np.array(rows, np.float32).reshape(-1, 2, 3), shape)
    assert np.array_equal(ours, theirs)


@pytest.mark.parametrize("depth", [3, 1])
@pytest.mark.parametrize("size", [0.3, 0.51, 0.9, 1.0, 1.7, 6.0])
@pytest.mark.parametrize("angle", [0.0, 0.4, 2.5])
def test_crops_are_those_of_opencv_within_one_grey_level(
    astronaut: Pixels, depth: int, size: float, angle: float
) -> None:
    """Faces of every size and turn, inside the picture and across its edges."""
    compiled("crops")
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]) * size
    landmarks = np.stack([TEMPLATE @ turn.T + at for at in ((200, 100), (0, 0), (480, 30), (-30, 490), (150, 500))])
    matrices = similarity_transforms(landmarks.astype(np.float32), TEMPLATE)
    ours, theirs = (np.zeros((5, 112, 112, depth), np.uint8) for _ in range(2))
    crops_kernel.cut(astronaut, matrices, np.arange(5), ours)
    for matrix, crop in zip(matrices, theirs, strict=True):
        cut_by_opencv(astronaut, matrix, crop)
    assert ours.any()
    assert np.abs(ours.astype(int) - theirs).max() <= 1


def test_aligned_crops_are_the_same_without_a_compiler(astronaut: Pixels, monkeypatch: pytest.MonkeyPatch) -> None:
    """Through the whole of `align`: small faces, faces that need a smaller picture, one that is lost."""
    compiled("crops")
    landmarks = np.stack([EYES, EYES * 2 - 200, EYES * 5 - 800, EYES * 0.3, EYES * np.nan, EYES * 0 + 50, EYES * 1e7])
    for spec in (
        InputSpec(112, 112, "rgb", template=tuple(map(tuple, TEMPLATE.tolist()))),
        InputSpec(48, 48, "grey", template=tuple(map(tuple, (TEMPLATE * 48 / 112).tolist()))),
    ):
        monkeypatch.setattr(crops_kernel, "COMPILED", True)
        ours = align(astronaut, landmarks, spec)
        monkeypatch.setattr(crops_kernel, "COMPILED", False)
        assert np.abs(ours.astype(int) - align(astronaut, landmarks, spec)).max() <= 1


def test_only_the_faces_asked_for_are_cut(astronaut: Pixels) -> None:
    matrices = similarity_transforms(np.stack([EYES, EYES, EYES]), TEMPLATE)
    crops = np.full((3, 8, 8, 3), 9, np.uint8)
    crops_kernel.cut(astronaut, matrices, np.array([1]), crops)
    assert (crops[[0, 2]] == 9).all()
    assert (crops[1] != 9).any()


@pytest.mark.parametrize("view", ["mirrored", "turned", "bgr", "every second", "read-only"])
def test_a_view_of_a_picture_is_cut_like_its_copy(astronaut: Pixels, view: str) -> None:
    views = {
        "mirrored": astronaut[:, ::-1],
        "turned": astronaut.transpose(1, 0, 2),
        "bgr": astronaut[..., ::-1],
        "every second": astronaut[::2, ::2],
        "read-only": astronaut.view(),
    }
    views["read-only"].flags.writeable = False
    image = views[view]
    matrices = similarity_transforms(EYES[None], TEMPLATE)
    one, other = (np.zeros((1, 16, 16, 3), np.uint8) for _ in range(2))
    crops_kernel.cut(image, matrices, np.arange(1), one)
    crops_kernel.cut(np.ascontiguousarray(image), matrices, np.arange(1), other)
    assert np.array_equal(one, other)
    assert one.any()


def test_a_thousand_faces_of_a_picture_of_one_pixel(astronaut: Pixels) -> None:
    spec = InputSpec(16, 16, "rgb", template=tuple(map(tuple, (TEMPLATE / 7).tolist())))
    assert align(astronaut, np.repeat(EYES[None], 1000, axis=0), spec).shape == (1000, 16, 16, 3)
    assert align(astronaut[:1, :1], np.repeat(EYES[None], 1000, axis=0), spec).max() <= astronaut[0, 0].max()


@given(st.integers(0, 3), st.integers(1, 5), st.integers(1, 5), st.sampled_from([1, 3]), st.booleans())
def test_planes_are_those_of_numpy(count: int, height: int, width: int, depth: int, backwards: bool) -> None:
    pixels = np.random.default_rng(count).integers(0, 256, (count, height, width, depth), np.uint8)
    ordered = pixels[..., ::-1] if backwards else pixels
    expected = (ordered.transpose(0, 3, 1, 2).astype(np.float32) - np.float32(127.5)) / np.float32(128)
    for module in (crops_kernel, plain_crops):
        spread = module.planes(pixels, 127.5, 128, backwards)
        assert spread.dtype == np.float32
        assert np.array_equal(spread, expected)


# --- tracks -----------------------------------------------------------------------------------------------------------

Doubles = npt.NDArray[np.float64]
NOISES = Noises()


def believed(count: int, seed: int) -> tuple[Motion, Doubles, Doubles]:
    """Faces in motion, where each is seen next, and after how many seconds."""
    rng = np.random.default_rng(seed)
    values = np.concatenate([rng.uniform(-100, 2000, (count, 2)), rng.uniform(-7, 8, (count, 2))], axis=1)
    spreads = rng.uniform(0.01, 5, (count, 2, 3))
    motion = Motion(values, rng.normal(0, 30, (count, 4)), spreads)
    return motion, values + rng.normal(0, 1, (count, 4)), rng.uniform(0, 3, count)


def moved_by_numpy(motion: Motion, seconds: Doubles) -> tuple[Doubles, ...]:
    time, push = seconds[:, None], np.asarray(NOISES.push)
    value, both, speed = (motion.spreads[:, :, k] for k in range(3))
    spreads = [
        value + 2 * both * time + speed * time**2 + push * time**3 / 3,
        both + speed * time + push * time**2 / 2,
        speed + push * time,
    ]
    return motion.values + motion.speeds * time, np.stack(spreads, axis=2)


def corrected_by_numpy(motion: Motion, seen: Doubles) -> tuple[Doubles, ...]:
    value, both, speed = (motion.spreads[:, :, k] for k in range(3))
    total = value + np.square(NOISES.measured)
    gain, push, error = value / total, both / total, seen - motion.values
    spreads = np.stack([value * (1 - gain), both * (1 - gain), speed - push * both], axis=2)
    values, speeds = (np.repeat(share, 2, axis=1) * error for share in (gain, push))
    return motion.values + values, motion.speeds + speeds, spreads


def surprises_by_numpy(motion: Motion, seen: Doubles) -> Doubles:
    noise = np.square(NOISES.measured)
    total = motion.spreads[:, :, 0] + noise
    scale = np.exp((motion.values[:, 2] + motion.values[:, 3]) / 2)[:, None]
    error = seen - motion.values
    squares = np.stack([((error[:, :2] / scale) ** 2).sum(axis=1), (error[:, 2:] ** 2).sum(axis=1)], axis=1)
    fit: Doubles = (squares / total + 2 * np.log(total / noise)).sum(axis=1)
    return fit


@given(st.integers(0, 30), st.integers(0, 10**6))
def test_prediction_cost_and_correction_are_those_of_numpy(count: int, seed: int) -> None:
    motion, seen, seconds = believed(count, seed)
    later = moved(motion, seconds, NOISES)
    for ours, theirs in zip((later.values, later.spreads), moved_by_numpy(motion, seconds), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-12)
    after = corrected(motion, seen, NOISES)
    for ours, theirs in zip((after.values, after.speeds, after.spreads), corrected_by_numpy(motion, seen), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-12, atol=1e-9)
    np.testing.assert_allclose(surprises(motion, seen, NOISES), surprises_by_numpy(motion, seen), rtol=1e-12)


def all_of(kernel: ModuleType, motion: Motion, seen: Doubles, seconds: Doubles) -> list[Doubles]:
    """Everything that the kernel computes about these faces."""
    count = len(motion)
    push, noise = np.asarray(NOISES.push), np.square(NOISES.measured)
    shapes = [(count, 4), (count, 2, 3), (count, 4), (count, 4), (count, 2, 3), (count,)]
    made = [np.full(shape, np.nan) for shape in shapes]
    before = (motion.values, motion.speeds, motion.spreads)
    kernel.move(*before, seconds, push, *made[:2])
    kernel.correct(*before, seen, noise, *made[2:5])
    kernel.fit_all(motion.values, motion.spreads, seen, noise, made[5])
    return made


@settings(deadline=None)
@given(st.integers(0, 9), st.integers(0, 10**6), st.booleans())
def test_tracking_is_the_same_compiled(count: int, seed: int, backwards: bool) -> None:
    motion, seen, seconds = believed(count, seed)
    if backwards:  # a view with strides of its own
        motion, seen, seconds = motion[np.s_[::-1]], seen[::-1], seconds[::-1]
    ours, theirs = (all_of(kernel, motion, seen, seconds) for kernel in (compiled("tracks"), plain_tracks))
    assert all(np.array_equal(one, other) for one, other in zip(ours, theirs, strict=True))
    assert all(np.isfinite(one).all() for one in ours)


def test_a_thousand_faces_and_a_face_of_any_size_are_borne() -> None:
    motion, seen, seconds = believed(1000, 1)
    motion.values[:3, 2:] = [[-1000, -1000], [1000, 1000], [88, -7]]
    assert len(moved(motion, seconds, NOISES)) == 1000
    assert np.isfinite(surprises(motion[np.s_[1:]], seen[1:], NOISES)).all()


def cheapest(costs: Doubles) -> float:
    rows, columns = costs.shape
    return min(sum(costs[range(rows), list(order)]) for order in permutations(range(columns), rows))


@settings(deadline=None)
@given(st.integers(0, 5), st.integers(0, 5), st.integers(0, 10**6), st.sampled_from([1.0, 1e-9, 1e9]))
def test_assignment_is_the_cheapest_and_the_same_compiled(rows: int, more: int, seed: int, scale: float) -> None:
    costs = np.random.default_rng(seed).normal(0, scale, (rows, min(rows + more, 7)))
    chosen = [owners(costs).tolist() for owners in (tracks_kernel.owners, plain_tracks.owners, _owners_large)]
    assert chosen[0] == chosen[1] == chosen[2]
    paid = sum(costs[row, column] for column, row in enumerate(chosen[0]) if row >= 0)
    assert sorted(row for row in chosen[0] if row >= 0) == list(range(rows))
    assert paid == pytest.approx(cheapest(costs))


@settings(deadline=None)
@given(st.integers(0, 6), st.integers(0, 6), st.integers(0, 10**6))
def test_endless_costs_end(rows: int, columns: int, seed: int) -> None:
    costs = np.random.default_rng(seed).choice([np.nan, np.inf, -np.inf, 1e308, -1e308, 0, 3], (rows, columns))
    partner = assign(costs)
    seated = partner[partner >= 0]
    assert len(seated) == len(set(seated.tolist())) == min(rows, columns)


def test_three_hundred_faces_that_could_all_be_each_other() -> None:
    costs = np.random.default_rng(5).normal(0, 1, (300, 320))
    ours, theirs = (np.asarray(owners(costs)) for owners in (tracks_kernel.owners, _owners_large))
    assert np.array_equal(ours, theirs)
