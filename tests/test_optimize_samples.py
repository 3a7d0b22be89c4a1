"""Where the optimiser's inputs come from: streamed, split, and refused in one sentence where they do not fit."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from manyfaces.card import InputSpec
from manyfaces.errors import InputError
from manyfaces.optimize.model import Original, Port
from manyfaces.optimize.samples import (
    Arrays,
    Drawn,
    Part,
    Spread,
    batches_of,
    channels_last,
    halves,
    picture_spec,
    planes,
    read_arrays,
    read_pictures,
    rows_of,
)

NUMBER = Port("x", (None, 1), "float32")
GREY = Port("pixels", (None, 1, 8, 6), "float32")


def network(*inputs: Port) -> Original:
    return Original("net", "drawn up here", inputs, (), lambda columns: columns, b"", "0")


def numbered(count: int) -> Arrays:
    return Arrays({"x": np.arange(count, dtype=np.float32)[:, None]}, (NUMBER,))


def numbers(samples: Part | Spread | Arrays) -> list[int]:
    return [int(value) for batch in samples for value in batch["x"][:, 0]]


@given(st.integers(1, 120), st.integers(1, 5), st.integers(0, 4), st.integers(1, 90))
def test_a_part_is_every_so_manieth_row(count: int, every: int, offset: int, most: int) -> None:
    part = Part(numbered(count), every, offset, most)
    assert numbers(part) == list(range(offset, count, every))[:most]
    assert len(part) == len(numbers(part))
    assert batches_of(part) == len(list(part)) or not len(part)


@given(st.integers(1, 200), st.integers(1, 50))
def test_a_spread_is_taken_from_all_over(count: int, most: int) -> None:
    spread = numbers(Spread(numbered(count), most))
    assert spread[0] == 0
    assert len(spread) == min(count, most) == len(set(spread))
    assert max(spread) == (count - 1 if most > 1 else 0)


@given(st.integers(2, 100))
def test_nothing_is_both_calibrated_with_and_judged_on(count: int) -> None:
    labels = np.arange(count)
    data = halves(numbered(count), "numbers", labels, fingerprint="n")
    judged = numbers(data.judged)  # type: ignore[arg-type]
    learnt = numbers(data.training)  # type: ignore[arg-type]
    assert not set(judged) & set(learnt)
    assert sorted(judged + learnt) == list(range(count))
    assert data.labels.tolist() == judged


def test_drawn_inputs_are_the_same_each_time_and_stay_below_their_limit() -> None:
    ports = (Port("tokens", (None, 50), "int32"), Port("x", (None, None, 3), "float32"))
    drawn = Drawn(ports, {"tokens": 7}, 40)
    first, again = list(drawn), list(drawn)
    assert [rows_of(batch) for batch in first] == [32, 8]
    assert all((one["x"] == other["x"]).all() for one, other in zip(first, again, strict=True))
    tokens = np.concatenate([batch["tokens"] for batch in first])
    assert tokens.dtype == np.int32
    assert 0 <= tokens.min() < tokens.max() <= 6


def test_pictures_are_scaled_as_the_card_says_in_the_order_of_the_port() -> None:
    images = np.full((2, 16, 12, 3), (10, 20, 30), np.uint8)
    spec = InputSpec(6, 8, "bgr", mean=10, scale=5)
    first = planes(images, spec, Port("pixels", (None, 3, 8, 6), "float32"))
    assert first.shape == (2, 3, 8, 6)
    assert first[0, :, 0, 0].tolist() == [4.0, 2.0, 0.0]
    last = Port("pixels", (None, 8, 6, 3), "float32")
    assert channels_last(last)
    assert (planes(images, spec, last) == first.transpose(0, 2, 3, 1)).all()


def test_a_folder_of_pictures_is_read_through(tmp_path: Path) -> None:
    for shade in (0, 100, 200):
        Image.new("L", (12, 16), shade).save(tmp_path / f"{shade}.png")
    original = network(GREY)
    data = read_pictures(tmp_path, original, picture_spec(original, 0, 255))
    shades = [round(255 * float(row[0, 0, 0])) for batch in data.judged for row in batch["pixels"]]
    assert shades == [0, 200]
    (tmp_path / "broken.png").write_bytes(b"no picture")
    with pytest.raises(InputError, match=r"broken\.png: cannot be read as a picture"):
        list(read_pictures(tmp_path, original, picture_spec(original, 0, 255)).calibration)


def test_an_npy_is_mapped_and_an_npz_has_labels(tmp_path: Path) -> None:
    values = np.random.default_rng(0).random((10, 1), np.float32)
    np.save(tmp_path / "x.npy", values)
    np.savez(tmp_path / "x.npz", x=values, labels=np.arange(10))
    mapped, unpacked = (read_arrays(tmp_path / name, network(NUMBER)) for name in ("x.npy", "x.npz"))
    assert [rows_of(batch) for batch in mapped.judged] == [5]
    assert unpacked.labels.tolist() == [0, 2, 4, 6, 8]
    assert mapped.fingerprint != unpacked.fingerprint


@pytest.mark.parametrize(
    ("arrays", "sentence"),
    [
        ({"x": np.zeros((4, 2))}, r"x has shape \(4, 2\), but the network takes \(n, 1\)"),
        ({"x": np.zeros((0, 1))}, "holds no samples"),
        ({"x": np.zeros((4, 1)), "labels": np.zeros(3)}, "different numbers of rows"),
        ({"x": np.full((4, 1), "a")}, "not of numbers"),
        ({"y": np.zeros((4, 1)), "z": np.zeros((4, 1))}, "has no array 'x'"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path: Path, arrays: dict[str, np.ndarray], sentence: str) -> None:
    np.savez(tmp_path / "given.npz", **arrays)
    with pytest.raises(InputError, match=sentence):
        read_arrays(tmp_path / "given.npz", network(NUMBER))


@pytest.mark.parametrize("name", ["x.npz", "x.npy"])
def test_a_file_that_is_cut_short_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"PK\x03\x04 and no more")
    with pytest.raises(InputError, match="cannot be read as"):
        read_arrays(tmp_path / name, network(NUMBER))


def test_pictures_are_no_inputs_of_a_network_of_texts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"takes \(n, 50\), not pictures"):
        picture_spec(network(Port("tokens", (None, 50), "int32")), 0, 255)
    with pytest.raises(InputError, match="holds no samples"):
        read_pictures(tmp_path, network(GREY), picture_spec(network(GREY), 0, 255))
