"""Rectangles: what holds for any two, and what holds at the edges."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from manyfaces.geometry import areas, clipped, inside, iou, overlaps
from manyfaces.types import Floats


@st.composite
def boxes(draw: st.DrawFn, most: int = 6) -> Floats:
    count = draw(st.integers(0, most))
    first = draw(arrays.arrays(np.float32, (count, 2), elements=st.integers(-200, 200).map(float)))
    size = draw(arrays.arrays(np.float32, (count, 2), elements=st.integers(0, 150).map(float)))
    return np.concatenate([first, first + size], axis=1)


@given(boxes(), boxes())
def test_iou_is_symmetric_and_a_share(some: Floats, others: Floats) -> None:
    shares = iou(some, others)
    assert shares.shape == (len(some), len(others))
    assert np.array_equal(shares, iou(others, some).T)
    assert ((shares >= 0) & (shares <= 1)).all()


@given(boxes(), boxes(), st.integers(-500, 500), st.integers(-500, 500))
def test_iou_does_not_care_where_the_picture_begins(some: Floats, others: Floats, right: int, down: int) -> None:
    shift = np.array([right, down, right, down], np.float32)
    assert np.array_equal(iou(some + shift, others + shift), iou(some, others))


@given(boxes())
def test_a_box_is_itself_unless_it_is_empty(some: Floats) -> None:
    own = np.diag(iou(some, some))
    assert np.array_equal(own, (areas(some) > 0).astype(np.float32))


@given(boxes(), st.integers(1, 300), st.integers(1, 300))
def test_what_is_cut_off_lies_in_the_picture_and_is_no_larger(some: Floats, width: int, height: int) -> None:
    cut = clipped(some, width, height)
    assert (cut >= 0).all()
    assert (cut <= [width, height, width, height]).all()
    assert (areas(cut) <= areas(some)).all()
    assert np.array_equal(clipped(cut, width, height), cut)
    assert ((inside(some, width, height) >= 0) & (inside(some, width, height) <= 1)).all()


def test_figures_worked_out_by_hand() -> None:
    one = np.array([[0, 0, 10, 10]], np.float32)
    other = np.array([[5, 0, 15, 10], [10, 0, 20, 10], [100, 100, 110, 110]], np.float32)
    assert overlaps(one, other).tolist() == [[50, 0, 0]]
    assert iou(one, other)[0] == pytest.approx([1 / 3, 0, 0])
    assert inside(np.array([[-5, 0, 5, 10]], np.float32), 100, 100) == pytest.approx([0.5])


def test_a_box_turned_inside_out_has_no_area_and_shares_nothing() -> None:
    turned = np.array([[10, 10, 0, 0]], np.float32)
    assert areas(turned).tolist() == [0]
    assert iou(turned, np.array([[0, 0, 10, 10]], np.float32)).tolist() == [[0]]


def test_the_argument_of_clipping_stays_as_it_was() -> None:
    some = np.array([[-5, -5, 500, 500]], np.float32)
    clipped(some, 100, 100)
    assert some.tolist() == [[-5, -5, 500, 500]]
