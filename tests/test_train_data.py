"""Reading emotion data: three forms, one result; every mistake in a file is named with its place."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from manyfaces.train.data import EMOTIONS, SIDE, DataError, EmotionData, read_emotion_data

IMAGES = np.random.default_rng(0).integers(0, 256, (6, SIDE, SIDE), dtype=np.uint8)
IMAGES[5] = IMAGES[0]  # the last test picture was also learnt from
LABELS = np.array([3, 0, 6, 4, 1, 3])
USAGE = np.array([0, 0, 0, 1, 2, 1])
USAGE_NAMES = ("Training", "PublicTest", "PrivateTest")


def csv_row(label: object = 3, image: np.ndarray = IMAGES[0], usage: str = "Training") -> str:
    return f"{label},{' '.join(map(str, image.ravel()))},{usage}\n"


def write_csv(path: Path, *rows: str, head: str = "emotion,pixels,Usage\n") -> Path:
    path.write_text(head + "".join(rows), encoding="utf-8")
    return path


def write_npz(path: Path, **changes: Any) -> Path:
    arrays = {"images": IMAGES, "labels": LABELS, "usage": USAGE} | changes
    np.savez(path, **{name: array for name, array in arrays.items() if array is not None})
    return path


def as_npz(folder: Path) -> Path:
    return write_npz(folder / "faces.npz")


def as_csv(folder: Path) -> Path:
    rows = [csv_row(*row) for row in zip(LABELS, IMAGES, [USAGE_NAMES[usage] for usage in USAGE], strict=True)]
    return write_csv(folder / "fer2013.csv", *rows)


def as_folder(folder: Path) -> Path:
    for number, (image, label, usage) in enumerate(zip(IMAGES, LABELS, USAGE, strict=True)):
        place = folder / "faces" / ("train", "public", "private")[usage] / EMOTIONS[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(place / f"{number}.png")
    return folder / "faces"


def rows_of(data: EmotionData) -> list[tuple[bytes, int, int, bool]]:
    columns = zip(data.images, data.labels, data.usage, data.duplicate, strict=True)
    return sorted((image.tobytes(), int(label), int(usage), bool(same)) for image, label, usage, same in columns)


@pytest.mark.parametrize("write", [as_npz, as_csv, as_folder])
def test_every_form_gives_the_same_faces(tmp_path: Path, write: Callable[[Path], Path]) -> None:
    data = read_emotion_data(write(tmp_path))
    duplicate = [False] * 5 + [True]
    wanted = zip(IMAGES, LABELS, USAGE, duplicate, strict=True)
    assert rows_of(data) == sorted((image.tobytes(), *map(int, rest[:2]), bool(rest[2])) for image, *rest in wanted)
    assert data.votes.shape == (6, 10)
    assert not data.votes.any()


def test_votes_are_read_where_the_file_has_them(tmp_path: Path) -> None:
    votes = np.arange(60).reshape(6, 10)
    data = read_emotion_data(write_npz(tmp_path / "faces.npz", ferplus_votes=votes))
    np.testing.assert_array_equal(data.votes, votes)


def test_a_split_answers_to_its_usual_names(tmp_path: Path) -> None:
    data = read_emotion_data(as_npz(tmp_path))
    assert len(data.split("Training")) == len(data.split("train")) == 3
    assert data.split("PublicTest").labels.tolist() == data.split("public").labels.tolist() == [4, 3]
    assert data.split("private").labels.tolist() == [1]


def test_a_split_that_is_not_there_is_named(tmp_path: Path) -> None:
    data = read_emotion_data(as_npz(tmp_path))
    with pytest.raises(DataError, match="split 'last': there is no such part"):
        data.split("last")
    with pytest.raises(DataError, match="holds no pictures of PrivateTest"):
        data[data.usage < 2].split("private")


def test_pictures_in_folders_become_48_pixels_wide_and_grey(tmp_path: Path) -> None:
    place = tmp_path / "train" / "happy"
    place.mkdir(parents=True)
    Image.new("RGB", (96, 120), (200, 200, 200)).save(place / "large.png")
    data = read_emotion_data(tmp_path)
    assert data.images.shape == (1, SIDE, SIDE)
    assert set(data.images.ravel().tolist()) == {200}


@pytest.mark.parametrize(
    ("row", "sentence"),
    [
        (csv_row(image=IMAGES[0, :40]), "line 3: has 1920 pixels instead of 2304"),
        (csv_row(label=7), "line 3: emotion is '7'; it must be 0 to 6"),
        (csv_row(label="happy"), "line 3: emotion is 'happy'"),
        (csv_row(usage="Test"), "line 3: Usage is 'Test'; it must be one of Training"),
        ("3,1 2 x,Training\n", "line 3: a pixel is no number from 0 to 255"),
        ("3,1 2 256,Training\n", "line 3: a pixel is no number from 0 to 255"),
        ("3\n", "line 3: Usage is ''"),
    ],
)
def test_a_wrong_csv_row_is_named_with_its_line(tmp_path: Path, row: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_emotion_data(write_csv(tmp_path / "fer2013.csv", csv_row(), row))


@pytest.mark.parametrize("column", ["emotion", "pixels", "Usage"])
def test_a_missing_csv_column_is_named(tmp_path: Path, column: str) -> None:
    head = "emotion,pixels,Usage\n".replace(column, "other")
    with pytest.raises(DataError, match=f"the column '{column}' is missing"):
        read_emotion_data(write_csv(tmp_path / "fer2013.csv", csv_row(), head=head))


@pytest.mark.parametrize("name", ["images", "labels", "usage"])
def test_a_missing_npz_array_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(DataError, match=f"the array '{name}' is missing"):
        read_emotion_data(write_npz(tmp_path / "faces.npz", **{name: None}))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"labels": np.array([3, 0, 7, 4, 1, 3])}, "label 7 of picture 2 must be 0 to 6"),
        ({"labels": np.array([3, 0, -1, 4, 1, 3])}, "label -1 of picture 2 must be 0 to 6"),
        ({"labels": np.array([3, 0, 1.5, 4, 1, 3])}, "label 1.5 of picture 2"),
        ({"usage": np.array([0, 0, 0, 1, 2, 3])}, "usage 3 of picture 5 must be 0 to 2"),
        ({"labels": LABELS[:5]}, r"labels has shape \(5,\), but the images need \(6,\)"),
        ({"images": IMAGES[:, :40]}, r"images must be uint8 of \(n, 48, 48\), got uint8 \(6, 40, 48\)"),
        ({"images": IMAGES / 255}, "images must be uint8"),
        ({"ferplus_votes": np.zeros((6, 8))}, "ferplus_votes has shape"),
    ],
)
def test_npz_arrays_that_make_no_sense_are_refused(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_emotion_data(write_npz(tmp_path / "faces.npz", **changes))


@pytest.mark.parametrize("content", [b"", b"this is no archive", b"PK\x03\x04 cut short", b"\x93NUMPY\x01\x00"])
def test_an_unreadable_npz_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "faces.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=r"faces\.npz: cannot be read as \.npz"):
        read_emotion_data(path)


def test_an_npz_of_pickles_is_never_unpickled(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "faces.npz", labels=np.array([object()] * 6))
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        read_emotion_data(path)


def test_other_unreadable_inputs_are_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no such file or folder"):
        read_emotion_data(tmp_path / "nothing.csv")
    (tmp_path / "faces.txt").write_text("faces")
    with pytest.raises(DataError, match="cannot read data of this kind"):
        read_emotion_data(tmp_path / "faces.txt")
    (tmp_path / "binary.csv").write_bytes(b"\xff\xfe\x00\x81")
    with pytest.raises(DataError, match="cannot be read as CSV"):
        read_emotion_data(tmp_path / "binary.csv")
    with pytest.raises(DataError, match="holds no pictures"):
        read_emotion_data(write_csv(tmp_path / "empty.csv"))


def test_folders_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no folder train, public or private"):
        read_emotion_data(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        read_emotion_data(tmp_path)
    (tmp_path / "train" / "bored").mkdir()
    with pytest.raises(DataError, match="'bored' is no class; use angry, disgust"):
        read_emotion_data(tmp_path)


def test_a_broken_picture_is_named(tmp_path: Path) -> None:
    place = tmp_path / "train" / "sad"
    place.mkdir(parents=True)
    (place / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\n and no more")
    with pytest.raises(DataError, match=r"broken.png: cannot be read as a picture"):
        read_emotion_data(tmp_path)


@pytest.mark.data
def test_the_development_data_holds_the_known_duplicates(data_folder: Path) -> None:
    data = read_emotion_data(data_folder / "fer2013_train_public.npz")
    assert (len(data.split("training")), len(data.split("public"))) == (28_709, 3_589)
    assert int(data.duplicate.sum()) == 280
