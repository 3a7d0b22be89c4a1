"""From a folder of photos to an album: what is kept, what is read again, which faces are copies, what looks wrong."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from manyfaces.api import Gallery
from manyfaces.build import build_reader
from manyfaces.enrol import Choice, Enroller, Limits, Spellings, folded, photos_by_person
from manyfaces.errors import EnrolmentRefused, InputError, OutputError
from manyfaces.gallery.store import GalleryStore
from manyfaces.options import Options
from manyfaces.prepare import Album, Cache, Making, Photo, Reader, Refused
from manyfaces.prepare.copies import near, registered
from manyfaces.prepare.doubts import SFACE, doubts, near_names
from manyfaces.prepare.reader import shown
from manyfaces.prepare.sheet import MARGIN, MOST_PEOPLE, MOST_PHOTOS, contact_sheet
from manyfaces.sources import HeldPicture
from manyfaces.types import Detections, Embeddings, Floats, Pixels, Qualities
from test_enrol import DrawnFaces, DrawnHead

MAKING = Making("drawn", "drawn")


class Counting(DrawnFaces):
    """Counts the pictures that it looks at; in black ones there is no face, in wide ones there are two."""

    def __init__(self) -> None:
        super().__init__((50, 50, 150, 150))
        self.looked = 0

    def __call__(self, images: Sequence[Pixels], /) -> list[Detections]:
        self.looked += len(images)
        if not images[0].any():
            return [Detections.empty()]
        found = super().__call__(images)[0]
        return [found[np.array([0, 0])]] if images[0].shape[1] > 300 else [found]


def reader(detector: Counting, cache: Cache | None, making: Making = MAKING) -> Reader:
    enroller = Enroller(detector, DrawnHead(), making.limits)
    return Reader(lambda: enroller, lambda content, name: HeldPicture(content, name).decode(), making, cache)


def read(folder: Path, detector: Counting, cache: Cache | None, making: Making = MAKING) -> Album:
    return Album.of(reader(detector, cache, making).each(photos_by_person(folder)))


def noise(seed: int, colour: int = 0, wide: int = 200) -> Pixels:
    picture = np.random.default_rng(seed).integers(0, 120, (200, wide, 3), np.uint8)
    picture[..., colour] += 130
    return picture


def save(path: Path, picture: Pixels) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture).save(path)
    return path


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two photos of Lan, two of Minh, and one of each kind that gives no face."""
    home = tmp_path / "album"
    for number in range(2):
        save(home / "Lan" / f"{number}.png", noise(number))
        save(home / "Minh" / f"{number}.png", noise(10 + number, 2))
    save(home / "Minh" / "black.png", np.zeros((90, 90, 3), np.uint8))
    save(home / "Minh" / "pair.png", noise(20, 2, wide=400))
    save(home / "Minh" / "soft.png", np.asarray(cv2.GaussianBlur(noise(21, 2), (0, 0), 9), np.uint8))
    (home / "Minh" / "empty.jpg").touch()
    return home


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return Cache(tmp_path / "cache")


# --- the album ---


def test_faces_are_columns_and_photos_without_one_have_a_reason(folder: Path, cache: Cache) -> None:
    album = read(folder, Counting(), cache)
    assert album.people == ("Lan", "Lan", "Minh", "Minh")
    assert [path.name for path in album.paths] == ["0.png", "1.png", "0.png", "1.png"]
    assert album.crops.shape == (4, 112, 112, 3)
    assert album.crops.dtype == np.uint8
    assert np.allclose(np.linalg.norm(album.embeddings.vectors, axis=1), 1, atol=1e-5)
    assert album.embeddings.model == "drawn"
    assert album.qualities.size.tolist() == [100] * 4
    assert album.detections.boxes.tolist() == [[50, 50, 150, 150]] * 4
    reasons = {out.photo.path.name: (out.refused.why, out.refused.reason) for out in album.left_out}
    assert {name: why for name, (why, _) in reasons.items()} == {
        "black.png": "no face",
        "pair.png": "several faces",
        "soft.png": "poor face",
        "empty.jpg": "unreadable",
    }
    assert reasons["black.png"][1].startswith("no face found; use a photo")
    assert "too blurred" in reasons["soft.png"][1]
    assert "empty" in reasons["empty.jpg"][1]
    assert all(out.refused.picture.shape == (112, 112, 3) for out in album.left_out)


def test_force_takes_poor_faces_too(folder: Path, cache: Cache) -> None:
    forced = read(folder, Counting(), cache, replace(MAKING, choice=Choice(main=True, force=True)))
    assert len(forced) == 5
    assert Counter(out.refused.why for out in forced.left_out)["poor face"] == 0


def test_some_of_an_album_is_an_album(folder: Path, cache: Cache) -> None:
    album = read(folder, Counting(), cache)
    some = album[np.array([False, True, True, False])]
    assert some.people == ("Lan", "Minh")
    assert some.digests == album.digests[1:3]
    assert np.array_equal(some.crops, album.crops[1:3])
    assert np.array_equal(some.groups, album.groups[1:3])


def test_an_album_of_nothing() -> None:
    album = Album.of([(Photo("Lan", Path("a.jpg"), ""), Refused("unreadable", "gone"))])
    assert (len(album), len(album.left_out)) == (0, 1)
    assert doubts(album).copies == ()
    assert contact_sheet(album, doubts(album), "nobody").ndim == 3


def test_columns_of_different_lengths_are_no_album(folder: Path, cache: Cache) -> None:
    album = read(folder, Counting(), cache)
    with pytest.raises(ValueError, match=r"expected columns of 4, got"):
        replace(album, groups=album.groups[:3])


# --- the cache ---


def test_a_second_run_looks_at_nothing_and_gives_the_same(folder: Path, cache: Cache) -> None:
    first = read(folder, Counting(), cache)
    detector = Counting()
    second = read(folder, detector, Cache(cache.folder))
    assert detector.looked == 0
    assert second.photos == first.photos
    assert np.array_equal(second.crops, first.crops)
    assert np.array_equal(second.embeddings.vectors, first.embeddings.vectors)
    assert np.array_equal(second.detections.landmarks, first.detections.landmarks)
    assert np.array_equal(second.qualities.sharpness, first.qualities.sharpness)
    assert [out.refused.reason for out in second.left_out] == [out.refused.reason for out in first.left_out]
    assert np.array_equal(second.left_out[1].refused.picture, first.left_out[1].refused.picture)


def test_networks_are_not_even_loaded_where_all_is_known(folder: Path, cache: Cache) -> None:
    read(folder, Counting(), cache)

    def load() -> Enroller:
        raise AssertionError("nothing is to be read")

    again = Reader(load, lambda content, name: HeldPicture(content, name).decode(), MAKING, cache)
    assert len(Album.of(again.each(photos_by_person(folder)))) == 4


def test_a_changed_photo_is_seen_and_a_moved_one_is_known(folder: Path, cache: Cache) -> None:
    read(folder, Counting(), cache)
    save(folder / "Lan" / "0.png", noise(99))
    (folder / "Lan" / "1.png").rename(folder / "Minh" / "moved.png")
    detector = Counting()
    album = read(folder, detector, cache)
    assert detector.looked == 1
    assert album.people == ("Lan", "Minh", "Minh", "Minh")


@pytest.mark.parametrize(
    "making",
    [replace(MAKING, detector="other"), replace(MAKING, head="other"), replace(MAKING, limits=Limits(size=30))],
)
def test_another_way_of_reading_has_a_cache_of_its_own(folder: Path, cache: Cache, making: Making) -> None:
    read(folder, Counting(), cache)
    detector = Counting()
    read(folder, detector, cache, making)
    assert detector.looked == 7


@pytest.mark.parametrize("content", [b"", b"nonsense", b"PK\x03\x04 half a file"])
def test_a_broken_file_is_passed_over_and_replaced(folder: Path, cache: Cache, content: bytes) -> None:
    read(folder, Counting(), cache)
    kept = sorted(cache.folder.rglob("*.npz"))
    whole = kept[0].read_bytes()
    kept[0].write_bytes(content or whole[: len(whole) // 2])
    detector = Counting()
    read(folder, detector, cache)
    assert detector.looked == 1
    assert kept[0].read_bytes() == whole


def test_a_file_of_another_version_or_photo_is_not_believed(
    folder: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch
) -> None:
    read(folder, Counting(), cache)
    kept = sorted(cache.folder.rglob("*.npz"))
    kept[0].write_bytes(kept[1].read_bytes())
    detector = Counting()
    read(folder, detector, cache)
    assert detector.looked == 1
    monkeypatch.setattr("manyfaces.prepare.cache.FORMAT", 999)
    read(folder, detector, cache)
    assert detector.looked == 8


def test_a_pipe_in_the_cache_does_not_hang_it(folder: Path, cache: Cache) -> None:
    read(folder, Counting(), cache)
    kept = sorted(cache.folder.rglob("*.npz"))[0]
    kept.unlink()
    os.mkfifo(kept)
    assert len(read(folder, Counting(), cache)) == 4


def test_what_is_kept_is_its_owners_alone(folder: Path, cache: Cache) -> None:
    read(folder, Counting(), cache)
    assert cache.folder.stat().st_mode & 0o777 == 0o700
    assert {path.stat().st_mode & 0o777 for path in cache.folder.rglob("*.npz")} == {0o600}


def test_what_another_user_left_is_not_believed(folder: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    read(folder, Counting(), cache)
    monkeypatch.setattr(os, "getuid", lambda: 12345)
    detector = Counting()
    stranger = Cache(cache.folder)
    read(folder, detector, stranger)
    assert detector.looked == 7
    assert "belongs to another user" in stranger.warning


def test_a_cache_that_cannot_be_written_is_said_once_and_work_goes_on(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    cache = Cache(tmp_path / "file" / "cache")
    assert len(read(folder, Counting(), cache)) == 4
    assert "cannot be kept" in cache.warning
    assert "--no-cache" in cache.warning


def test_a_full_disk_leaves_no_half_file(folder: Path, cache: Cache, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        path.write_bytes(content[:10])
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("manyfaces.prepare.cache._write", full)
    assert len(read(folder, Counting(), cache)) == 4
    assert "No space left" in cache.warning
    assert [path for path in cache.folder.rglob("*") if path.is_file()] == []


def test_nothing_is_kept_where_no_cache_is_wanted(folder: Path, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", use=False)
    read(folder, Counting(), cache)
    assert not cache.folder.exists()


def test_what_was_done_stays_done_when_it_is_interrupted(folder: Path, cache: Cache) -> None:
    class Interrupted(Counting):
        def __call__(self, images: Sequence[Pixels], /) -> list[Detections]:
            if self.looked == 3:
                raise KeyboardInterrupt
            return super().__call__(images)

    with pytest.raises(KeyboardInterrupt):
        read(folder, Interrupted(), cache)
    detector = Counting()
    read(folder, detector, cache)
    assert detector.looked == 4


def test_two_at_once_do_no_harm(folder: Path, cache: Cache) -> None:
    """Photo by photo in turns: each finds what the other has just kept, or writes the same beside it."""
    detectors = Counting(), Counting()
    runs = [reader(one, Cache(cache.folder)).each(photos_by_person(folder)) for one in detectors]
    first, second = zip(*zip(*runs, strict=True), strict=True)
    assert np.array_equal(Album.of(first).crops, Album.of(second).crops)
    assert sum(one.looked for one in detectors) == 7
    assert not list(cache.folder.rglob("*.partial"))


def test_old_readings_are_forgotten_and_asking_keeps_them(folder: Path, cache: Cache) -> None:
    read(folder, Counting(), cache)
    old, kept = sorted(cache.folder.rglob("*.npz"))[:2]
    for path in (old, kept):
        os.utime(path, (0, 0))
    cache.get(kept.stem)
    cache.forget_old()
    assert (old.exists(), kept.exists()) == (False, True)
    assert cache.forget() == 6
    assert not list(cache.folder.rglob("*.npz"))


def test_what_cannot_be_forgotten_keeps_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "00" / f"{0:064x}.npz").mkdir(parents=True)
    for folder, name in (("00", f"{1:064x}.npz"), ("ff", f"{'f' * 64}.npz")):
        (tmp_path / folder).mkdir(exist_ok=True)
        (tmp_path / folder / name).write_bytes(b"a face")
    with pytest.raises(OutputError, match="cannot be removed"):
        Cache(tmp_path).forget()
    assert [path for path in tmp_path.rglob("*.npz") if path.is_file()] == []


def test_who_is_removed_from_a_gallery_is_forgotten_here_too(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "home"))
    first, other = Counting(), Counting()
    album = read(folder, first, Cache())
    read(folder, other, Cache(), replace(MAKING, limits=Limits(size=30)))  # the same photos, read in another way
    gallery = Gallery(tmp_path / "people.db")
    for place, photo in enumerate(album.photos):
        GalleryStore(gallery.path).add(
            photo.person, album.embeddings[place : place + 1], album.qualities[place : place + 1], "", photo.digest
        )
    kept = len(list(Cache().folder.rglob("*.npz")))
    assert gallery.remove("Lan") == 2
    assert len(list(Cache().folder.rglob("*.npz"))) == kept - 2 * 2
    again = Counting()
    read(folder, again, Cache())
    assert again.looked == 2
    gallery.purge(everything=True)
    assert len(list(Cache().folder.rglob("*.npz"))) == kept - 2 * 4 + 2


def test_another_programs_files_are_not_forgotten(cache: Cache) -> None:
    for name in ("ab/notes.txt", "thesis.npz", "ab/thesis.npz"):
        (cache.folder / name).parent.mkdir(parents=True, exist_ok=True)
        (cache.folder / name).touch()
    assert cache.forget() == 0
    assert (cache.folder / "thesis.npz").exists()


# --- copies ---


@pytest.mark.parametrize(
    "change",
    [
        lambda photo: photo.resize((256, 256)),
        lambda photo: photo.crop((20, 12, 500, 492)),
        lambda photo: photo.point(lambda value: value * 0.7),
    ],
    ids=["smaller", "cut", "darker"],
)
def test_a_photo_that_was_saved_again_is_a_copy(
    tmp_path: Path, astronaut: Pixels, hopper: Pixels, change: object
) -> None:
    assert callable(change)
    save(tmp_path / "Eileen" / "1.png", astronaut)
    change(Image.fromarray(astronaut)).save(tmp_path / "Eileen" / "2.jpg", quality=60)
    save(tmp_path / "Grace" / "1.png", hopper)
    found = Album.of(build_reader(Options(precision="f32")).each(photos_by_person(tmp_path)))
    assert found.groups.tolist() == [0, 0, 1]
    assert [copy.sameness for copy in doubts(found).copies] == ["nearly the same picture"]
    assert found.without_copies().people == ("Eileen", "Grace")


def test_the_same_file_and_the_same_pixels(tmp_path: Path, cache: Cache) -> None:
    first = save(tmp_path / "album" / "Lan" / "1.png", noise(1))
    (tmp_path / "album" / "Lan" / "2.png").write_bytes(first.read_bytes())
    save(tmp_path / "album" / "Minh" / "1.bmp", noise(1))
    album = read(tmp_path / "album", Counting(), cache)
    found = doubts(album)
    assert album.groups.tolist() == [0, 0, 0]
    assert [(copy.first, copy.second, copy.sameness) for copy in found.copies] == [
        (0, 1, "the same file"),
        (0, 2, "the same pixels"),
    ]


def test_crops_are_brought_together_again(astronaut: Pixels) -> None:
    face = np.asarray(cv2.resize(cv2.cvtColor(astronaut[60:240, 150:330], cv2.COLOR_RGB2GRAY), (56, 56)), np.uint8)
    turn = cv2.getRotationMatrix2D((28, 28), 5, 1.06)
    moved = np.asarray(cv2.warpAffine(face, turn, (56, 56), borderMode=cv2.BORDER_REFLECT), np.uint8)
    assert registered(face, moved) > 0.985 > float(np.corrcoef(face.ravel(), moved.ravel())[0, 1])
    assert registered(face, np.asarray(face[:, ::-1], np.uint8)) < 0.985
    assert registered(face, np.full((56, 56), 9, np.uint8)) == 0


def test_like_vectors_alone_make_no_copies() -> None:
    crops = np.stack([noise(seed)[:112, :112] for seed in range(2)])
    assert near(crops, np.eye(1, 4, dtype=np.float32).repeat(2, axis=0)).shape == (0, 2)


# --- what looks wrong ---


def drawn_album(people: Sequence[str], vectors: Floats) -> Album:
    """An album of people with these vectors and unlike crops."""
    count = len(people)
    ones = np.ones(count, np.float32)
    vectors = np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), np.float32)
    return Album(
        tuple(Photo(name, Path(name) / f"{place:02}.jpg", str(place)) for place, name in enumerate(people)),
        tuple(map(str, range(count))),
        np.random.default_rng(0).integers(0, 255, (count, 112, 112, 3), np.uint8),
        Embeddings(vectors, "sface-drawn"),
        Qualities(ones, ones, ones, ones),
        Detections(np.zeros((count, 4), np.float32), ones, np.zeros((count, 5, 2), np.float32)),
        np.arange(count),
    )


def person(number: int, photos: int) -> Floats:
    """Vectors around one of 64 axes."""
    rng = np.random.default_rng(number)
    return np.asarray(np.eye(64)[number] + 0.08 * rng.standard_normal((photos, 64)), np.float32)


def test_a_photo_of_somebody_else_is_named_with_whom_it_shows() -> None:
    album = drawn_album(["Lan"] * 4 + ["Minh"] * 5, np.concatenate([person(1, 4), person(2, 4), person(1, 5)[4:]]))
    (stray,) = doubts(album).strays
    assert (stray.place, stray.other) == (8, "Lan")
    assert stray.own < SFACE.stranger < SFACE.other < stray.similarity


def test_a_face_like_nobody_is_named_without_another() -> None:
    album = drawn_album(["Lan"] * 5 + ["Minh"] * 4, np.concatenate([person(1, 4), person(9, 1), person(2, 4)]))
    assert [(stray.place, stray.other) for stray in doubts(album).strays] == [(4, "")]


def test_one_person_under_two_names() -> None:
    album = drawn_album(
        ["Lan"] * 3 + ["Minh"] * 3 + ["Nga"] * 3, np.concatenate([person(1, 3), person(2, 3), person(1, 6)[3:]])
    )
    found = doubts(album)
    assert [(twins.first, twins.second) for twins in found.twins] == [("Lan", "Nga")]
    assert found.strays == ()  # and not of each photo again


def test_one_photo_each_and_one_person_alone_look_right() -> None:
    alone = doubts(drawn_album(["Lan"] * 3, person(1, 3)))
    single = doubts(drawn_album(["Lan", "Minh"], np.concatenate([person(1, 1), person(2, 1)])))
    assert (alone.strays, alone.twins, single.strays, single.twins) == ((), (), (), ())


def test_copies_do_not_vouch_for_each_other() -> None:
    """Two copies of one misfiled photo are as strange as one."""
    vectors = np.concatenate([person(1, 4), person(9, 1), person(9, 1), person(2, 4)])
    album = drawn_album(["Lan"] * 6 + ["Minh"] * 4, vectors)
    album = replace(album, groups=np.array([0, 1, 2, 3, 4, 4, 6, 7, 8, 9]))
    assert [stray.place for stray in doubts(album).strays] == [4, 5]


def test_limits_of_other_networks_come_from_the_album() -> None:
    vectors = np.concatenate([*(person(number, 4) for number in range(6)), person(0, 5)[4:]])
    people = [name for name in "ABCDEF" for _ in range(4)] + ["B"]
    album = drawn_album(people, vectors)
    album = replace(album, embeddings=Embeddings(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), "own-1"))
    assert [(stray.place, stray.other) for stray in doubts(album).strays] == [(24, "A")]


# --- names ---


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Lan", "lan"),
        ("Lân", "La\u0302n"),
        ("Lan", "Ｌａｎ"),
        ("Lan", "Lan "),
        ("Lan Anh", "Lan  Anh"),
        ("Lan", "La\u200bn"),
    ],
)
def test_names_that_read_alike_fold_to_one(one: str, other: str) -> None:
    assert folded(one) == folded(other)
    assert list(near_names([one, "Minh", other])) == [(one, other)]
    if one != other:
        with pytest.raises(EnrolmentRefused, match="differs from"):
            Spellings([one]).refuse_near(other)


def test_names_that_differ_in_an_accent_are_two() -> None:
    assert list(near_names(["Lan", "Lân", "Lan 2"])) == []


@given(st.text(max_size=20))
def test_folding_twice_changes_nothing(name: str) -> None:
    assert folded(folded(name)) == folded(name)


def test_a_known_name_is_taken_as_often_as_one_likes() -> None:
    """Also where an older gallery holds two that read alike."""
    spellings = Spellings(["Lan", "lan"])
    for name in ("Lan", "lan", "Minh", "Minh"):
        spellings.refuse_near(name)


# --- folders as they are ---


def test_links_in_a_circle_and_links_to_nothing_are_named(tmp_path: Path) -> None:
    save(tmp_path / "album" / "Lan" / "1.png", noise(1))
    (tmp_path / "album" / "Lan" / "round.jpg").symlink_to("round.jpg")
    (tmp_path / "album" / "Lan" / "gone.jpg").symlink_to("nowhere.jpg")
    (tmp_path / "album" / "Lan" / "up.jpg").symlink_to("..")
    (tmp_path / "album" / "Nga").symlink_to("Nga")
    album = read(tmp_path / "album", Counting(), None)
    assert len(album) == 1
    assert {out.photo.path.name for out in album.left_out} == {"round.jpg", "gone.jpg", "up.jpg", "Nga"}
    assert {out.refused.why for out in album.left_out} == {"unreadable"}


def test_a_folder_that_cannot_be_opened_is_named_and_the_others_are_read(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    listing = Path.iterdir

    def closed(path: Path) -> object:
        if path.name == "Lan":
            raise PermissionError(13, "Permission denied")
        return listing(path)

    monkeypatch.setattr(Path, "iterdir", closed)
    album = read(folder, Counting(), None)
    assert album.people == ("Minh", "Minh")
    (lan,) = (out for out in album.left_out if out.photo.person == "Lan")
    assert "Permission denied" in lan.refused.reason


def test_a_pipe_named_like_a_photo_is_not_opened(folder: Path) -> None:
    os.mkfifo(folder / "Lan" / "pipe.jpg")
    album = read(folder, Counting(), None)
    (pipe,) = (out for out in album.left_out if out.photo.path.name == "pipe.jpg")
    assert "no plain file" in pipe.refused.reason


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such folder"):
        photos_by_person(tmp_path / "nowhere")


KILLED = """
import os, signal, sys
from pathlib import Path
from manyfaces.enrol import Enroller, import_folder
from manyfaces.gallery import store
from manyfaces.sources import read_picture
from test_prepare import Counting, DrawnHead

def die(connection):
    die.left -= 1
    if not die.left:
        os.kill(os.getpid(), signal.SIGKILL)

die.left = 3
store._touch = die
list(import_folder(Path(sys.argv[1]), Enroller(Counting(), DrawnHead()), read_picture, store.GalleryStore(sys.argv[2])))
"""


def test_a_killed_import_has_each_photo_whole_or_not_at_all(folder: Path, tmp_path: Path) -> None:
    """Killed inside the third photo's transaction, after its person and face were written and before the end."""
    from manyfaces.enrol import import_folder
    from manyfaces.sources import read_picture

    path = tmp_path / "people.db"
    tests = {**os.environ, "PYTHONPATH": str(Path(__file__).parent)}
    ended = subprocess.run([sys.executable, "-c", KILLED, folder, path], env=tests, capture_output=True, check=False)
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    store = GalleryStore(path)
    assert [(person.name, person.faces) for person in store.people()] == [("Lan", 2)]
    assert len(store.roster()) == 2
    again = list(import_folder(folder, Enroller(Counting(), DrawnHead()), read_picture, store))
    assert Counter(outcome.status for outcome in again) == {"duplicate": 2, "enrolled": 2, "refused": 4}
    assert [(person.name, person.faces) for person in store.people()] == [("Lan", 2), ("Minh", 2)]


def test_a_folder_named_nearly_like_somebody_is_refused(folder: Path, tmp_path: Path) -> None:
    from manyfaces.enrol import import_folder
    from manyfaces.sources import read_picture

    save(folder / "lan" / "9.png", noise(31))
    store, enroller = GalleryStore(tmp_path / "people.db"), Enroller(Counting(), DrawnHead())
    outcomes = list(import_folder(folder, enroller, read_picture, store, None, ["MINH"]))
    assert {outcome.name for outcome in outcomes if outcome.status == "enrolled"} == {"Lan"}
    refused = [outcome.reason for outcome in outcomes if outcome.name == "lan"]
    assert len(refused) == 1
    assert "9.png" in refused[0]
    assert "differs from 'Lan'" in refused[0]
    forced = import_folder(folder, enroller, read_picture, store, Choice(force=True), ["MINH"])
    assert {outcome.name for outcome in forced if outcome.status == "enrolled"} == {"Minh", "lan"}


# --- the sheet ---


def test_the_sheet_shows_every_face_and_frames_what_is_marked(folder: Path, cache: Cache) -> None:
    album = read(folder, Counting(), cache)
    sheet = contact_sheet(album, doubts(album), "Gia đình 家族")
    wide, high = sheet.shape[1], sheet.shape[0]
    assert 600 < wide < 1000
    assert 250 < high < 500
    frames = (sheet == (213, 94, 0)).all(axis=2).sum()
    assert frames > 4 * 3 * 88  # four photos left out, each with a frame
    assert (sheet[:, -MARGIN:] == (250, 250, 250)).all()


def test_a_large_album_stays_a_picture_one_can_open() -> None:
    names = [f"person {number:03}" for number in range(MOST_PEOPLE + 20) for _ in range(2)] + ["zed"] * (
        MOST_PHOTOS + 5
    )
    vectors = np.random.default_rng(1).standard_normal((len(names), 128)).astype(np.float32)
    album = drawn_album(names, vectors)
    sheet = contact_sheet(album, doubts(album, replace(SFACE, stranger=-1)), "many")
    fewer = contact_sheet(
        album[: 2 * MOST_PEOPLE], doubts(album[: 2 * MOST_PEOPLE], replace(SFACE, stranger=-1)), "few"
    )
    assert sheet.shape[0] < 1.1 * fewer.shape[0]


def test_a_picture_shown_keeps_its_proportions() -> None:
    square = shown(np.full((50, 200, 3), 255, np.uint8))
    assert square.shape == (112, 112, 3)
    assert (square.any(axis=2).sum(axis=0) == 28).all()
    assert shown(np.full((1, 5000, 3), 255, np.uint8)).any()


# --- measured ---


@pytest.mark.data
def test_the_known_copies_are_found_and_no_others(data_folder: Path, tmp_path: Path) -> None:
    """Six pairs are the same file; of the four others one sees that they are one photo. Besides these, some of each."""
    copied = {"baejun": (4, 11), "chipu": (2, 5, 7, 9, 12, 13, 14, 24), "khanh": (5, 9, 15, 16), "sontung": (10, 18),
              "thaotam": (5, 8, 14, 18)}  # fmt: skip
    wanted = {f"{name}/{number:03}" for name, numbers in copied.items() for number in (*numbers, 1, 3, 6)}
    everything = photos_by_person(data_folder / "facenet5")
    photos = [(name, path) for name, path in everything if f"{name}/{path.stem}" in wanted]
    album = Album.of(build_reader(Options(precision="f32"), Cache(tmp_path)).each(photos))
    found = doubts(album)
    counts = Counter(copy.sameness for copy in found.copies)
    assert counts == {"the same file": 6, "nearly the same picture": 4}
    assert (found.strays, found.twins) == ((), ())
    assert all(album.people[copy.first] == album.people[copy.second] for copy in found.copies)


@pytest.mark.data
def test_misfiled_photos_are_named_with_few_false_alarms(data_folder: Path, tmp_path: Path) -> None:
    """Six people of six photos each, of which two photos lie with somebody else."""
    folders = sorted((data_folder / "lfw60").iterdir())[40:46]
    photos = [(folder.name, path) for folder in folders for path in sorted(folder.glob("*.jpg"))[:6]]
    wrong = {photos[3][1], photos[15][1]}
    swapped = [(photos[-1][0] if path in wrong else name, path) for name, path in photos]
    album = Album.of(build_reader(Options(precision="f32"), Cache(tmp_path)).each(swapped))
    assert {album.paths[stray.place] for stray in doubts(album).strays} >= wrong - {
        out.photo.path for out in album.left_out
    }
    assert len(doubts(album).strays) <= 3
