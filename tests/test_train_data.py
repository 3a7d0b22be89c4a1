"""Reading emotion data: three forms, one result; every mistake in a file is named with its place."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from zipfile import ZipFile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from manyfaces.train.balance import ClassCount, balance, never_learnt, refuse_one_class
from manyfaces.train.copies import Shared, find_copies, without_copies
from manyfaces.train.data import EMOTIONS, SIDE, DataError, EmotionData, checked, read_emotion_data

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
    with pytest.raises(DataError, match=r"faces\.npz: holds no pictures of PrivateTest, to test on; give"):
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
        ("3,-1 2,Training\n", "line 3: a pixel is no number from 0 to 255"),
        ("3,1_0 2,Training\n", "line 3: a pixel is no number from 0 to 255"),
        ("3,nan 1e1,Training\n", "line 3: a pixel is no number from 0 to 255"),
        (f"3,{'9' * 400} 1,Training\n", "line 3: a pixel is no number from 0 to 255"),
        ("3,١ ٢,Training\n", "line 3: a pixel is no number from 0 to 255"),
        ("3,,Training\n", "line 3: has 0 pixels instead of 2304"),
        (csv_row(label="٣"), "line 3: emotion is '٣'"),
        (csv_row(label="3.0"), "line 3: emotion is '3.0'"),
        ("3\n", "line 3: Usage is ''"),
    ],
)
def test_a_wrong_csv_row_is_named_with_its_line(tmp_path: Path, row: str, sentence: str) -> None:
    with pytest.raises(DataError, match=sentence):
        read_emotion_data(write_csv(tmp_path / "fer2013.csv", csv_row(), row))


@pytest.mark.parametrize(
    ("head", "row"),
    [
        ("\ufeffemotion,pixels,Usage\r\n", csv_row().replace("\n", "\r\n")),
        ("emotion,pixels,Usage\n", csv_row().replace(",", ',"', 1).replace(",Training", '",Training')),
        ("emotion, Usage, pixels\n", "3, Training, " + csv_row().split(",")[1] + "\n"),
        ("emotion,pixels,Usage,note\n\n", csv_row().replace("\n", ",blurred\n\n")),
    ],
    ids=["of a spreadsheet", "quoted", "as Kaggle spreads it", "with more columns and empty lines"],
)
def test_a_csv_may_be_written_in_several_ways(tmp_path: Path, head: str, row: str) -> None:
    data = read_emotion_data(write_csv(tmp_path / "FER2013.CSV", row, head=head))
    assert rows_of(data) == [(IMAGES[0].tobytes(), 3, 0, False)]


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
        (
            {"labels": np.array([3, 0, 7, 4, 1, 3])},
            "label 7 of picture 2 must be 0 to 6; correct it or drop the picture",
        ),
        ({"labels": np.array([3, 0, -1, 4, 1, 3])}, "label -1 of picture 2 must be 0 to 6"),
        ({"labels": np.array([3, 0, 1.5, 4, 1, 3])}, "label 1.5 of picture 2"),
        ({"usage": np.array([0, 0, 0, 1, 2, 3])}, "usage 3 of picture 5 must be 0 to 2"),
        ({"labels": LABELS[:5]}, r"labels has shape \(5,\), but the images need \(6,\); give one row for each"),
        ({"images": IMAGES[:, :40]}, r"images must be uint8 of \(n, 48, 48\), got uint8 \(6, 40, 48\)"),
        ({"images": IMAGES / 255}, "images must be uint8 .* multiply them by 255"),
        ({"images": np.stack([IMAGES] * 3, -1)}, r"got uint8 \(6, 48, 48, 3\); make them grey"),
        ({"images": IMAGES[0, 0, 0]}, r"images must be uint8 of \(n, 48, 48\), got uint8 \(\)"),
        ({"images": IMAGES[:0], "labels": LABELS[:0], "usage": USAGE[:0]}, "images must be uint8"),
        ({"labels": np.eye(7)[LABELS]}, r"labels are given as a column per class; .* argmax\(axis=1\)"),
        ({"labels": LABELS * np.nan}, "label nan of picture 0 must be 0 to 6; correct it or drop"),
        ({"labels": LABELS * 1e300}, "label 3e[+]300 of picture 0"),
        ({"labels": LABELS.astype(str)}, "labels must be numbers"),
        ({"labels": LABELS > 2}, "labels must be numbers, got bool"),
        ({"labels": LABELS.astype(complex)}, "labels must be numbers, got complex128"),
        ({"usage": np.array(USAGE_NAMES)[USAGE]}, "usage must be numbers"),
        ({"ferplus_votes": np.full((6, 10), np.nan)}, "votes of picture 0 must be counts"),
        ({"ferplus_votes": np.diag([-1.0] * 10)[:6]}, "votes of picture 0 must be counts"),
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


def test_rows_of_several_lengths_are_said_to_be_that(tmp_path: Path) -> None:
    ragged = np.array([[1, 2], [3]], object)
    with pytest.raises(DataError, match=r"its rows may not be of one length.*; copy or make the file anew"):
        read_emotion_data(write_npz(tmp_path / "faces.npz", labels=ragged))


def test_an_npz_of_pickles_is_never_unpickled(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "faces.npz", labels=np.array([object()] * 6))
    with pytest.raises(DataError, match=r"cannot be read as \.npz"):
        read_emotion_data(path)


def npy_header(shape: str) -> bytes:
    text = f"{{'descr': '|u1', 'fortran_order': False, 'shape': {shape}, }}\n".encode()
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


@pytest.mark.parametrize("shape", ["(1302083, 48, 48)", f"({10**30}, 48, 48)", "(6, 48, 48"])
def test_what_an_npz_promises_is_doubted_before_room_is_made_for_it(tmp_path: Path, shape: str) -> None:
    path = tmp_path / "faces.npz"
    with ZipFile(path, "w") as archive:
        archive.writestr("images.npy", npy_header(shape) + bytes(100))
    with pytest.raises(DataError, match=r"faces\.npz: cannot be read as \.npz"):
        read_emotion_data(path)


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 10**6), st.integers(0, 255)), max_size=8), st.floats(0.2, 1))
def test_a_damaged_npz_is_read_or_refused(changes: list[tuple[int, int]], share: float) -> None:
    with TemporaryDirectory() as folder:
        path = write_npz(Path(folder) / "faces.npz")
        content = bytearray(path.read_bytes())
        for place, value in changes:
            content[place % len(content)] = value
        path.write_bytes(content[: round(share * len(content))])
        with suppress(DataError):
            assert len(read_emotion_data(path)) == 6


def test_an_encrypted_npz_is_one_sentence(tmp_path: Path) -> None:
    path = as_npz(tmp_path)
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 8] |= 1  # the flag of encryption, in the archive's list of contents
    content[6] |= 1
    path.write_bytes(content)
    with pytest.raises(DataError, match="encrypted"):
        read_emotion_data(path)


def test_names_that_lead_nowhere_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "loop.npz").symlink_to(tmp_path / "loop.npz")
    os.mkfifo(tmp_path / "pipe.csv")
    for path in (tmp_path / "loop.npz", tmp_path / "pipe.csv", tmp_path / ("n" * 300 + ".csv"), Path("/dev/zero")):
        with pytest.raises(DataError):
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
    with pytest.raises(DataError, match=r"empty\.csv: holds no pictures; check that it is whole, or give other data"):
        read_emotion_data(write_csv(tmp_path / "empty.csv"))


def test_folders_that_make_no_sense_are_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="holds no folder train, public or private"):
        read_emotion_data(tmp_path)
    (tmp_path / "train").mkdir()
    with pytest.raises(DataError, match="holds no pictures"):
        read_emotion_data(tmp_path)
    (tmp_path / "train" / "sad").mkdir()
    with pytest.raises(DataError, match="sad: holds no pictures of sad; put some there or remove the folder"):
        read_emotion_data(tmp_path)
    (tmp_path / "train" / "bored").mkdir()
    with pytest.raises(DataError, match="'bored' is no class; use angry, disgust"):
        read_emotion_data(tmp_path)


@pytest.mark.parametrize("content", [b"\x89PNG\r\n\x1a\n and no more", b"", b"this is no picture"])
def test_a_broken_picture_is_named(tmp_path: Path, content: bytes) -> None:
    place = tmp_path / "train" / "sad"
    place.mkdir(parents=True)
    (place / "broken.png").write_bytes(content)
    with pytest.raises(DataError, match=r"broken.png: cannot be read as a picture"):
        read_emotion_data(tmp_path)


def test_pictures_of_16_bits_and_links_in_circles_are_named(tmp_path: Path) -> None:
    place = tmp_path / "train" / "sad"
    place.mkdir(parents=True)
    Image.fromarray(IMAGES[0].astype(np.uint16) * 256).save(place / "deep.png")
    with pytest.raises(DataError, match=r"deep.png: .* more than 8 bits"):
        read_emotion_data(tmp_path)
    (place / "deep.png").unlink()
    (place / "loop.png").symlink_to(place / "loop.png")
    with pytest.raises(DataError, match=r"loop.png: is no file that can be read"):
        read_emotion_data(tmp_path)


def test_what_a_folder_also_holds_is_passed_over(tmp_path: Path) -> None:
    folder = as_folder(tmp_path)
    (folder / "train" / ".cache").mkdir()
    (folder / "train" / "readme.txt").write_text("three parts")
    (folder / "train" / EMOTIONS[LABELS[0]] / "._0.png").write_bytes(b"of another system")
    (folder / "train" / EMOTIONS[LABELS[0]] / "Thumbs.db").write_bytes(b"of another system")
    assert len(read_emotion_data(folder)) == 6


# --- copies and balance ----------------------------------------------------------------------------------------------


def of(images: list[int], labels: list[int], usage: list[int]) -> EmotionData:
    """Pictures that are all of one grey, so that equal numbers are equal pictures."""
    pixels = np.repeat(np.array(images, np.uint8), SIDE * SIDE).reshape(-1, SIDE, SIDE)
    return checked("here", pixels, np.array(labels), np.array(usage))


def test_pictures_in_several_parts_are_counted_by_pair() -> None:
    # 1 is learnt from and tested with twice, once with another label; 2 is in all parts; 3 only in the tests.
    data = of([1, 2, 9, 1, 1, 2, 3, 2, 3], [0, 4, 6, 0, 5, 4, 2, 4, 3], [0, 0, 0, 1, 1, 1, 1, 2, 2])
    assert find_copies(data).shared == (
        Shared("Training", "PublicTest", 3, 1),
        Shared("Training", "PrivateTest", 1, 0),
        Shared("PublicTest", "PrivateTest", 2, 1),
    )


def test_copies_within_training_are_counted_and_those_that_contradict() -> None:
    found = find_copies(of([1, 1, 1, 2, 2, 3], [0, 0, 0, 4, 5, 6], [0] * 6))
    assert (found.shared, found.repeated, found.contradicting) == ((), 3, 2)


def test_copies_leave_training_and_never_a_test() -> None:
    data = of([1, 2, 9, 1, 3, 2], [0, 4, 6, 0, 2, 4], [0, 0, 0, 1, 1, 2])
    clean = without_copies(data)
    assert clean.usage.tolist() == [0, 1, 1, 2]
    assert clean.images[:, 0, 0].tolist() == [9, 1, 3, 2]
    assert not clean.duplicate.any()
    assert data.duplicate.tolist() == [False, False, False, True, False, True]
    assert find_copies(clean).shared == ()


@settings(deadline=None)
@given(st.lists(st.tuples(st.integers(0, 5), st.integers(0, 6), st.integers(0, 2)), min_size=1, max_size=30))
def test_after_cleaning_nothing_is_shared_with_training_and_the_tests_are_whole(
    rows: list[tuple[int, int, int]],
) -> None:
    data = of(*(list(column) for column in zip(*rows, strict=True)))
    clean = without_copies(data)
    assert all(pair.earlier != "Training" for pair in find_copies(clean).shared)
    assert rows_of(clean[clean.usage > 0]) == sorted((*row[:3], False) for row in rows_of(data[data.usage > 0]))
    learnt = {row[0] for row in rows_of(data[data.usage == 0])} - {row[0] for row in rows_of(data[data.usage > 0])}
    assert {row[0] for row in rows_of(clean[clean.usage == 0])} == learnt


def test_the_balance_counts_every_class_also_those_without_pictures() -> None:
    rows = balance(of([1, 2, 3, 4, 5], [3, 3, 0, 3, 6], [0, 0, 0, 1, 2]))
    assert [row.name for row in rows] == list(EMOTIONS)
    assert rows[3] == ClassCount("happy", 2, 1, 0, pytest.approx(2 / 3))
    assert rows[6] == ClassCount("neutral", 0, 0, 1, 0.0)
    assert never_learnt(of([1, 2], [3, 0], [0, 0])) == ("disgust", "fear", "sad", "surprise", "neutral")


def test_one_class_is_nothing_to_learn_from() -> None:
    with pytest.raises(DataError, match="photos: all pictures to learn from are happy; give pictures of two classes"):
        refuse_one_class(of([1, 2, 3], [3, 3, 0], [0, 0, 1]), Path("photos"))
    with pytest.raises(DataError, match="photos: holds no pictures of Training, to learn from; give data that does"):
        refuse_one_class(of([1, 2], [3, 0], [1, 2]), Path("photos"))
    refuse_one_class(of([1, 2, 3], [3, 0, 0], [0, 0, 1]), Path("photos"))


@pytest.mark.data
def test_the_development_data_holds_the_known_duplicates(data_folder: Path) -> None:
    data = read_emotion_data(data_folder / "fer2013_train_public.npz")
    assert (len(data.split("training")), len(data.split("public"))) == (28_709, 3_589)
    assert int(data.duplicate.sum()) == 280
    assert find_copies(data).shared == (Shared("Training", "PublicTest", 280, 13),)
