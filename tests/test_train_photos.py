"""A folder of photos as labelled faces: told from a split, cut once, held out by content, left out with a reason."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from manyfaces.errors import InputError, OutputError
from manyfaces.train.data import EMOTIONS, SIDE, DataError, read_emotion_data
from manyfaces.train.photos import FaceCutter, Photo, PhotoFaces, is_photo_folder, photos_in, read_photos
from manyfaces.types import Pixels

HAPPY, SAD = EMOTIONS.index("happy"), EMOTIONS.index("sad")


def bytes_as_face(path: Path) -> Pixels:
    """A "face" that is all of the grey of the file's first byte; the letter N means that there is no face."""
    first = path.read_bytes()[:1]
    if first == b"N":
        raise InputError(f"{path}: no face was found; use another")
    return np.full((SIDE, SIDE), first[0], np.uint8)


class Counting:
    """Remembers which photos it was asked to cut, and may break off."""

    def __init__(self, cutter: FaceCutter = bytes_as_face, breaks_at: str = "") -> None:
        self._cutter = cutter
        self._breaks_at = breaks_at
        self.asked: list[str] = []

    def __call__(self, path: Path) -> Pixels:
        if path.name == self._breaks_at:
            raise KeyboardInterrupt
        self.asked.append(path.name)
        return self._cutter(path)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    """Ten happy and six sad photos, all different."""
    for place, names in (("happy", "abcdefghij"), ("Sad", "klmopq")):
        (tmp_path / "photos" / place).mkdir(parents=True)
        for name in names:
            (tmp_path / "photos" / place / f"{name}.jpg").write_bytes(name.encode())
    return tmp_path / "photos"


def read(folder: Path, cutter: FaceCutter = bytes_as_face, way: str = "one way") -> PhotoFaces:
    return read_photos(photos_in(folder), cutter, way, folder.parent / "out" / "faces.npz")


def sides(found: PhotoFaces) -> dict[str, int]:
    """The part of each face, by its letter."""
    letters = map(chr, found.data.images[:, 0, 0])
    return dict(zip(letters, found.data.usage.tolist(), strict=True))


@pytest.mark.parametrize(
    ("folders", "is_photos"),
    [
        (["happy", "Sad", ".cache"], True),
        (["angry"], True),
        (["train", "public"], False),
        (["train", "happy"], False),
        (["Test"], False),
        ([], False),
    ],
)
def test_photos_are_told_from_a_split_by_the_names_of_the_folders(
    tmp_path: Path, folders: list[str], is_photos: bool
) -> None:
    for folder in folders:
        (tmp_path / folder).mkdir()
    (tmp_path / "notes.txt").write_text("a file is no class")
    assert is_photo_folder(tmp_path) is is_photos


def test_a_file_is_no_folder_of_photos(tmp_path: Path) -> None:
    assert not is_photo_folder(tmp_path / "fer2013.csv")


def test_classes_that_are_not_ours_are_named(tmp_path: Path) -> None:
    for folder in ("happy", "bored", "amused"):
        (tmp_path / folder).mkdir()
    with pytest.raises(DataError, match="'amused', 'bored' are no classes; name the folders of your photos angry, dis"):
        is_photo_folder(tmp_path)


def test_a_class_without_photos_is_named(photos: Path) -> None:
    (photos / "fear").mkdir()
    with pytest.raises(DataError, match="fear: holds no photos of fear; put some there or remove the folder"):
        photos_in(photos)


def test_every_face_has_its_class_and_a_fifth_of_each_is_held_out(photos: Path) -> None:
    found = read(photos)
    classes = dict(zip(map(chr, found.data.images[:, 0, 0]), found.data.labels.tolist(), strict=True))
    assert classes == dict.fromkeys("abcdefghij", HAPPY) | dict.fromkeys("klmopq", SAD)
    held = [letter for letter, usage in sides(found).items() if usage == 1]
    assert (len(set(held) & set("abcdefghij")), len(set(held) & set("klmopq"))) == (2, 1)
    assert found.left_out == ()


def test_the_sides_depend_on_the_faces_alone(photos: Path) -> None:
    before = sides(read(photos))
    moved = photos.parent / "elsewhere" / "photos"
    shutil.copytree(photos, moved)
    for number, path in enumerate(sorted((moved / "happy").iterdir(), reverse=True)):
        path.rename(path.with_name(f"{number}.png"))
    assert sides(read(moved)) == before


@settings(deadline=None, max_examples=20)
@given(st.lists(st.tuples(st.integers(0, 12), st.sampled_from([HAPPY, SAD])), min_size=1, max_size=30))
def test_equal_faces_are_never_on_both_sides(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[int, int]]
) -> None:
    folder = tmp_path_factory.mktemp("many")
    listed = [Photo(folder / f"{number}.jpg", label) for number, (_, label) in enumerate(rows)]
    for photo, (grey, _) in zip(listed, rows, strict=True):
        photo.path.write_bytes(bytes([grey, listed.index(photo)]))  # other files, equal faces
    labels = {grey: {label for other, label in rows if other == grey} for grey, _ in rows}
    if all(len(several) > 1 for several in labels.values()):
        with pytest.raises(DataError, match="the same face lies in"):
            read_photos(listed, bytes_as_face, "", folder / "faces.npz")
        return
    found = read_photos(listed, bytes_as_face, "", folder / "faces.npz")
    for grey, several in labels.items():
        mine = found.data.images[:, 0, 0] == grey
        assert len(set(found.data.usage[mine].tolist())) == (1 if len(several) == 1 else 0)
    assert len(found.left_out) + len(found.data) == len(rows)


def test_a_face_in_two_classes_is_left_out_of_both(photos: Path) -> None:
    shutil.copy(photos / "happy" / "a.jpg", photos / "Sad" / "again.png")
    found = read(photos)
    assert [one.path.name for one in found.left_out] == ["again.png", "a.jpg"]
    assert all("the same face lies in happy and sad" in one.reason for one in found.left_out)
    assert "a" not in sides(found)


def test_photos_without_a_face_and_what_is_no_photo_are_left_out_with_the_reason(photos: Path) -> None:
    (photos / "happy" / "empty-room.jpg").write_bytes(b"N")
    (photos / "happy" / "holiday").mkdir()
    (photos / "happy" / "loop.jpg").symlink_to(photos / "happy" / "loop.jpg")
    for _ in ("first", "from what was kept"):
        found = read(photos)
        assert [one.reason.removeprefix(f"{photos}/happy/") for one in found.left_out] == [
            "empty-room.jpg: no face was found; use another",
            "holiday: is no file; photos lie in the folder of their class itself",
            "loop.jpg: is no file; photos lie in the folder of their class itself",
        ]
        assert len(found.data) == 16


def test_photos_of_which_none_shows_a_face_are_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "photos" / "happy").mkdir(parents=True)
    (tmp_path / "photos" / "happy" / "room.jpg").write_bytes(b"N")
    with pytest.raises(DataError, match=r"none of 1 photos shows a face .*room.jpg: no face was found"):
        read(tmp_path / "photos")


def test_nothing_is_cut_twice_and_what_changed_is_noticed(photos: Path) -> None:
    (photos / "happy" / "room.jpg").write_bytes(b"N")
    first, again = Counting(), Counting()
    before, after = read(photos, first), read(photos, again)
    assert (len(first.asked), before.cut, again.asked, after.cut) == (17, 17, [], 0)
    np.testing.assert_array_equal(before.data.images, after.data.images)
    assert before.data.usage.tolist() == after.data.usage.tolist()

    (photos / "happy" / "a.jpg").write_bytes(b"x")
    (photos / "happy" / "b.jpg").rename(photos / "happy" / "called-otherwise.jpg")
    (photos / "Sad" / "new.jpg").write_bytes(b"y")
    changed = Counting()
    found = read(photos, changed)
    assert sorted(changed.asked) == ["a.jpg", "new.jpg"]
    assert set(sides(found)) == set("bcdefghijklmopqxy")


def test_another_way_of_cutting_uses_nothing_that_was_kept(photos: Path) -> None:
    read(photos)
    other = Counting()
    read(photos, other, "another way")
    assert len(other.asked) == 16


@pytest.mark.parametrize("content", [b"", b"this is no archive", b"PK\x03\x04 cut short"])
def test_a_broken_file_of_what_was_kept_is_made_anew(photos: Path, content: bytes) -> None:
    read(photos)
    (photos.parent / "out" / "faces.npz").write_bytes(content)
    counting = Counting()
    assert len(read(photos, counting).data) == len(counting.asked) == 16


def test_what_was_cut_before_a_break_is_kept(photos: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        read(photos, Counting(breaks_at="d.jpg"))
    again = Counting()
    read(photos, again)
    assert len(again.asked) == 16 - len("klmopqabc")


def test_a_break_loses_nothing_of_an_earlier_run(photos: Path) -> None:
    read(photos)
    (photos / "Sad" / "a-new-one.jpg").write_bytes(b"z")
    with pytest.raises(KeyboardInterrupt):
        read(photos, Counting(breaks_at="a-new-one.jpg"))
    again = Counting()
    read(photos, again)
    assert again.asked == ["a-new-one.jpg"]


def test_what_is_kept_can_be_read_as_faces(photos: Path) -> None:
    found = read(photos).data
    kept = read_emotion_data(photos.parent / "out" / "faces.npz")
    np.testing.assert_array_equal(kept.images, found.images)
    assert (kept.labels.tolist(), kept.usage.tolist()) == (found.labels.tolist(), found.usage.tolist())
    assert len(kept.split("public")) == 3
    assert found.split("public").selection == "the held-out photos"


def test_a_place_that_cannot_be_written_is_one_sentence(photos: Path) -> None:
    (photos.parent / "out").write_text("a file stands here")
    counting = Counting()
    with pytest.raises(OutputError, match=r"faces.npz: cannot be written"):
        read(photos, counting)
    assert counting.asked == []


# --- with the detector of serving ------------------------------------------------------------------------------------


@pytest.fixture
def real_photos(tmp_path: Path, astronaut: Pixels, hopper: Pixels) -> Iterator[Path]:
    folder = tmp_path / "people"
    for place in ("happy", "neutral"):
        (folder / place).mkdir(parents=True)
    for number in range(3):
        Image.fromarray(astronaut[number:, number:]).save(folder / "happy" / f"{number}.png")
        Image.fromarray(hopper[number:, number:]).save(folder / "neutral" / f"{number}.webp", lossless=True)
    Image.fromarray(np.concatenate([astronaut, astronaut], axis=1)).save(folder / "happy" / "twins.png")
    Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(folder / "neutral" / "dark.bmp")
    return folder


def test_training_sees_what_serving_sees(
    real_photos: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], astronaut: Pixels
) -> None:
    pytest.importorskip("torch", reason="training needs the extra manyfaces[train]")
    from manyfaces.align import align
    from manyfaces.build import build_stages
    from manyfaces.cli.emotion_data import read_for_training
    from manyfaces.options import Options

    faces = read_for_training(real_photos, tmp_path / "out", clean=False)
    said = capsys.readouterr().err
    assert "twins.png: shows several faces, and none is clearly the largest" in said
    assert "dark.bmp: no face of 20 pixels or more was found" in said
    assert "8 photos, 6 faces (8 photos searched now" in said
    assert "2 of the faces, about a fifth of every class, are held out to select on" in said
    assert "no pictures of angry, disgust, fear, sad, surprise to learn from" in said
    assert faces.labels.tolist() == [3, 3, 3, 6, 6, 6]

    stages = build_stages(Options(identity=False))
    assert stages.emotion is not None
    served = align(astronaut, stages.detect([astronaut])[0].landmarks[:1], stages.emotion.spec)[0, ..., 0]
    np.testing.assert_array_equal(faces.images[0], served)
    read_for_training(real_photos, tmp_path / "out", clean=False)
    assert "(0 photos searched now" in capsys.readouterr().err


def test_one_class_of_photos_is_refused(real_photos: Path, tmp_path: Path) -> None:
    pytest.importorskip("torch", reason="training needs the extra manyfaces[train]")
    from manyfaces.cli.emotion_data import read_for_training

    shutil.rmtree(real_photos / "neutral")
    with pytest.raises(DataError, match="people: all pictures to learn from are happy; give pictures of two classes"):
        read_for_training(real_photos, tmp_path / "out", clean=False)


def test_nothing_to_learn_from_is_one_sentence(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from manyfaces.cli.emotion_data import read_for_training

    images = np.arange(2 * SIDE * SIDE).reshape(2, SIDE, SIDE).astype(np.uint8)
    np.savez(tmp_path / "tests.npz", images=images, labels=[0, 1], usage=[1, 2])
    with pytest.raises(DataError, match=r"tests\.npz: holds no pictures of Training, to learn from; give data that"):
        read_for_training(tmp_path / "tests.npz", tmp_path / "out")
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("clean", [False, True])
def test_copies_are_told_and_left_out_when_asked(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], clean: bool
) -> None:
    from manyfaces.cli.emotion_data import read_for_training

    images = np.repeat(np.array([1, 2, 3, 1, 4], np.uint8), SIDE * SIDE).reshape(5, SIDE, SIDE)
    np.savez(tmp_path / "faces.npz", images=images, labels=[0, 1, 2, 3, 4], usage=[0, 0, 0, 1, 1])
    faces = read_for_training(tmp_path / "faces.npz", tmp_path / "out", clean)
    said = capsys.readouterr().err
    assert "1 picture of PublicTest is also in Training, 1 of them with another label" in said
    assert (faces.usage.tolist(), "--clean leaves" in said) == (
        ([0, 0, 1, 1], False) if clean else ([0, 0, 0, 1, 1], True)
    )
    (angry,) = [line for line in said.splitlines() if "angry" in line and "│" in line]
    assert [cell.strip() for cell in angry.split("│")[1:6]] == (
        ["angry", "0", "0", "0", "0.0%"] if clean else ["angry", "1", "0", "0", "33.3%"]
    )
