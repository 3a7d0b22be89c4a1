"""People as a user handles them: enrolled, named, renamed, forgotten; from the command line and from Python."""

from __future__ import annotations

import json
import math
import re
import sqlite3
import unicodedata
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageFilter

import manyfaces as mf
from conftest import Run
from manyfaces.api import _refuse_unlike
from manyfaces.gallery.roster import Roster
from manyfaces.options import NO_HOME
from manyfaces.types import Embeddings, Pixels


@pytest.fixture
def gallery(tmp_path: Path, photo: Path, other: Path) -> Path:
    path = tmp_path / "people.db"
    people = mf.Gallery(path)
    people.add("Eileen Collins", [photo])
    people.add("Grace Hopper", [other])
    return path


def smaller(picture: Pixels, factor: float) -> Image.Image:
    image = Image.fromarray(picture)
    return image.resize((round(image.width * factor), round(image.height * factor)))


def test_enrolled_people_are_named_and_a_turned_picture_too(gallery: Path, tmp_path: Path, astronaut: Pixels) -> None:
    Image.fromarray(astronaut[:, ::-1]).save(tmp_path / "mirrored.jpg")
    (face,) = mf.identify(tmp_path / "mirrored.jpg", mf.Options(gallery=gallery)).faces
    assert face.identity == "Eileen Collins"
    assert face.identity_confidence is not None
    assert face.similarity is not None
    assert face.identity_confidence > 0.95
    assert 0.5 < face.similarity <= 1


def test_a_stranger_is_unknown(tmp_path: Path, photo: Path, other: Path) -> None:
    mf.Gallery(tmp_path / "one.db").add("Grace Hopper", [other])
    (face,) = mf.identify(photo, mf.Options(gallery=tmp_path / "one.db")).faces
    assert face.identity is None
    assert face.similarity is not None
    assert face.similarity < 0.3
    assert face.identity_confidence is not None
    assert face.identity_confidence > 0.9


def test_verify_says_who_is_the_same(tmp_path: Path, photo: Path, other: Path, astronaut: Pixels) -> None:
    Image.fromarray(astronaut[30:, :400]).save(tmp_path / "again.png")
    same, different = mf.verify(photo, tmp_path / "again.png"), mf.verify(photo, other)
    assert (same.same, different.same) == (True, False)
    assert same.similarity > same.threshold > different.similarity
    assert same.probability > 0.99 > 0.01 > different.probability


def test_verify_needs_faces(tmp_path: Path, photo: Path) -> None:
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save(tmp_path / "black.png")
    with pytest.raises(mf.InputError, match=r"black\.png: no face found"):
        mf.verify(photo, tmp_path / "black.png")


def test_people_from_the_command_line(run: Run, photo: Path, other: Path) -> None:
    assert "enrolled" in run("people", "add", "Eileen", "collins.png").out
    assert "already enrolled" in run("people", "add", "Eileen", "collins.png").out
    assert run("people", "add", "Grace", "hopper.png", "--consent", "by letter", "--expires", "2031-01-01").status == 0
    listed = run("people", "list").out
    assert "Eileen" in listed
    assert "by letter" in listed
    shown = run("people", "show", "Grace").out
    assert "hopper.png" in shown
    assert "until 2031-01-01" in shown
    calibrated = run("people", "calibrate", "--false-accepts", "0.005").out
    assert "0.5% false accepts" in calibrated
    assert re.search(r"^│ 0\.\d{3} \* +│ 99\.5% ", calibrated, re.MULTILINE)  # folded nowhere
    assert "Eileen" in run("identify", "collins.png").out
    assert "the same person" in run("verify", "collins.png", "collins.png").out
    assert run("people", "rename", "Eileen", "Eileen Collins").status == 0
    exported = json.loads(run("people", "export").out)
    assert [person["name"] for person in exported["people"]] == ["Eileen Collins", "Grace"]
    assert "1 face removed" in run("people", "remove", "Grace").out
    assert "forgotten: Eileen Collins" in run("people", "purge", "--everything").out
    assert json.loads(run("people", "export").out)["people"] == []


def test_a_video_carries_the_names(run: Run, gallery: Path, tmp_path: Path, astronaut: Pixels) -> None:
    frames = [Image.fromarray(np.roll(astronaut, 3 * step, axis=1)) for step in range(6)]
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:], duration=100)
    rows = run("analyze", "film.gif", "--gallery", gallery, "-q").rows
    assert [[face["identity"] for face in row["faces"]] for row in rows] == [["Eileen Collins"]] * 6  # type: ignore[attr-defined]
    assert len({face["track"] for row in rows for face in row["faces"]}) == 1  # type: ignore[attr-defined]
    assert [row["seconds"] for row in rows] == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.5])


@pytest.mark.parametrize("name", ["a/b", "two\nlines", "🙂", "Nguyễn Thị Ánh", "-dash"])
def test_odd_names_are_kept_as_given_in_nfc(run: Run, photo: Path, name: str) -> None:
    decomposed = unicodedata.normalize("NFD", name)
    assert run("people", "add", "--", decomposed, "collins.png").status == 0
    assert [person.name for person in mf.Gallery().people()] == [unicodedata.normalize("NFC", name)]
    assert mf.Gallery().remove(decomposed) == 1


def test_photos_that_would_do_harm_are_refused_with_the_figure(
    run: Run,
    tmp_path: Path,
    astronaut: Pixels,
    hopper: Pixels,
) -> None:
    smaller(astronaut, 0.15).save(tmp_path / "small.png")
    Image.fromarray(astronaut).filter(ImageFilter.GaussianBlur(8)).save(tmp_path / "blurred.png")
    Image.fromarray(astronaut[:, 225:]).save(tmp_path / "cut.png")
    Image.fromarray(np.zeros((90, 90, 3), np.uint8)).save(tmp_path / "nobody.png")
    both = np.zeros((600, 1100, 3), np.uint8)
    both[:512, :512] = astronaut
    both[:600, 512:1024] = hopper[:600, :512]
    Image.fromarray(both).save(tmp_path / "both.png")
    for picture, reason in {
        "small.png": "too small (",
        "blurred.png": "too blurred (sharpness",
        "nobody.png": "no face found",
        "both.png": "which face? the photo shows 2 faces",
    }.items():
        ran = run("people", "add", "Lan", picture)
        assert (ran.status, reason in ran.err) == (3, True), ran.err
        assert len(ran.err.splitlines()) == 1
    assert run("people", "list").out.count("Lan") == 0
    assert run("people", "add", "Lan", "small.png", "--force").status == 0
    assert run("people", "add", "Grace", "both.png", "--face", "2").status == 0


def test_importing_a_folder_names_what_was_refused(run: Run, tmp_path: Path, astronaut: Pixels) -> None:
    for person in ("Lan", "Minh"):
        (tmp_path / "family" / person).mkdir(parents=True)
    Image.fromarray(astronaut).save(tmp_path / "family" / "Lan" / "1.png")
    (tmp_path / "family" / "Minh" / "2.jpg").write_text("not a picture")
    ran = run("people", "import", "family")
    assert ran.status == 1
    assert "2.jpg" in ran.err
    assert "1 enrolled" in ran.out
    again = run("people", "import", "family")
    assert "1 duplicate" in again.out
    assert run("people", "import", "gone").status == 3


def test_a_consent_is_everybodys_in_a_folder(run: Run, tmp_path: Path, astronaut: Pixels, hopper: Pixels) -> None:
    for person, picture in (("Lan", astronaut), ("Grace", hopper)):
        (tmp_path / "family" / person).mkdir(parents=True)
        Image.fromarray(picture).save(tmp_path / "family" / person / "1.png")
    assert run("people", "import", "family", "--consent", "at the door", "--expires", "2031-01-01").status == 0
    for name in ("Lan", "Grace"):
        assert "consent: at the door, until 2031-01-01" in run("people", "show", name).out
    again = run("people", "import", "family", "--consent", "by letter")
    assert "2 duplicate" in again.out
    for name in ("Lan", "Grace"):
        assert "consent: by letter\n" in run("people", "show", name).out
    assert run("people", "import", "family", "--expires", "soon").status == 2


def test_an_import_says_what_looks_like_somebody_else(
    run: Run, tmp_path: Path, astronaut: Pixels, hopper: Pixels
) -> None:
    lan = tmp_path / "the family" / "Lan"
    lan.mkdir(parents=True)
    for number in range(3):
        Image.fromarray(astronaut[10 * number :]).save(lan / f"{number}.png")
    assert "manyfaces people prepare" not in run("people", "import", "the family").out
    Image.fromarray(hopper).save(lan / "3.png")
    said = run("people", "import", "the family")
    assert said.status == 0
    assert "1 photo looks like somebody else's; to see which, type  manyfaces people prepare 'the family'" in said.out
    (lan.parent / "Minh").mkdir()
    Image.fromarray(astronaut[40:]).save(lan.parent / "Minh" / "1.png")
    (lan / "3.png").unlink()
    assert run("people", "remove", "Lan").status == 0
    said = run("people", "import", "the family")
    assert "'Lan' and 'Minh' look like one person; to see which" in said.out
    assert "somebody else's" not in said.out
    assert "look" not in run("people", "import", "the family", "--quiet").out


def test_a_photo_of_somebody_else_is_refused_with_the_figure(run: Run, photo: Path, other: Path) -> None:
    assert run("people", "add", "Lan", "collins.png").status == 0
    refused = run("people", "add", "Lan", "hopper.png")
    assert refused.status == 3
    assert re.search(
        r"hopper\.png: the face does not look like 'Lan' as enrolled \(similarity -?0\.\d+, at least 0\.\d+ needed\)",
        refused.err,
    )
    assert mf.Gallery().person("Lan").faces == 1
    with pytest.raises(mf.EnrolmentRefused, match="does not look like"):
        mf.Gallery().add("Lan", [other])
    assert run("people", "add", "Lan", "hopper.png", "--force").status == 0


def test_the_first_photos_of_a_person_are_compared_with_nobody(run: Run, photo: Path, other: Path) -> None:
    assert run("people", "add", "Lan", "collins.png", "hopper.png").status == 0
    assert mf.Gallery().person("Lan").faces == 2


def test_another_photo_of_the_same_person_is_taken(run: Run, photo: Path, tmp_path: Path, astronaut: Pixels) -> None:
    Image.fromarray(astronaut[30:, 399::-1]).save(tmp_path / "again.png")
    assert run("people", "add", "Lan", "collins.png").status == 0
    assert run("people", "add", "Lan", "again.png").status == 0


@pytest.mark.parametrize(("nearest", "refused"), [(0.55, False), (0.9, True)])
def test_a_face_that_is_clearly_more_like_somebody_else_is_refused(nearest: float, refused: bool) -> None:
    def like(*similarities: float) -> Embeddings:
        vectors = [[one, math.sqrt(1 - one * one), 0] for one in similarities]
        return Embeddings(np.array(vectors, np.float32), "drawn")

    enrolled = Roster(("Grace", "gone", "Lan"), np.array([0, 2, 2]), like(nearest, 0.1, 0.5))
    if not refused:
        _refuse_unlike("Lan", like(1), enrolled, "new.jpg")
        return
    sentence = r"looks more like 'Grace' \(similarity 0\.900\) than like 'Lan' \(0\.500\)"
    with pytest.raises(mf.EnrolmentRefused, match=sentence):
        _refuse_unlike("Lan", like(1), enrolled, "new.jpg")
    for unknown in ("Minh", "gone"):
        _refuse_unlike(unknown, like(1), enrolled, "new.jpg")


def test_nobody_is_enrolled_and_that_is_said(run: Run, photo: Path) -> None:
    named = run("identify", "collins.png")
    assert named.status == 0
    assert "unknown" in named.out
    assert "nobody is enrolled here, so everybody is unknown; see manyfaces people add" in named.err
    assert "nobody is enrolled here; see manyfaces people add" in run("people", "list").err
    assert run("identify", "collins.png", "--gallery", "mistyped.db").status == 3


@pytest.fixture
def homeless(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user who is but a number, as in a container."""
    pwd = pytest.importorskip("pwd")

    def unknown(number: int) -> None:
        raise KeyError(number)

    monkeypatch.setattr(pwd, "getpwuid", unknown)
    for name in ("HOME", "XDG_DATA_HOME", "MANYFACES_GALLERY"):
        monkeypatch.delenv(name, raising=False)


def test_a_user_without_a_home_has_a_gallery_where_he_says(run: Run, photo: Path, homeless: None) -> None:
    (row,) = run("analyze", "collins.png", "-q").rows
    assert row["faces"]
    assert run("identify", "collins.png").status == 0
    assert run("people", "list").status == 0
    refused = run("people", "add", "Lan", "collins.png")
    assert refused.status == 3
    assert "no home to keep people in; name a file with --gallery or MANYFACES_GALLERY" in refused.err
    (photo.parent / "family" / "Lan").mkdir(parents=True)
    photo.rename(photo.parent / "family" / "Lan" / "1.png")
    assert "no home to keep people in" in run("people", "import", "family").err
    assert not NO_HOME.exists()
    assert run("people", "import", "family", "--gallery", "own.db").status == 0


def test_galleries_that_are_none(run: Run, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "text.db").write_text("not a database at all, but long enough to be read as one" * 20)
    ran = run("analyze", "collins.png", "--gallery", "text.db")
    assert ran.status == 3
    assert "this is no gallery" in ran.err
    missing = run("analyze", "collins.png", "--gallery", "gone.db")
    assert missing.status == 3
    assert "there is no gallery here" in missing.err


def test_a_person_who_does_not_exist(run: Run, gallery: Path) -> None:
    ran = run("people", "remove", "Grace Hoper", "--gallery", gallery)
    assert ran.status == 3
    assert "Grace Hopper" in ran.err


def test_the_door_is_small_and_all_of_it_is_there() -> None:
    assert [name for name in mf.__all__ if not hasattr(mf, name)] == []
    assert sorted(mf.__all__) == mf.__all__
    doors = "Busy EnrolmentRefused Face FrameResult Gallery GalleryError InputError ManyfacesError MissingExtra NotYet"
    doors += " Options OutputError Recognizer Stopped UsageError WeightsError analyze identify verify"
    assert mf.__all__ == doors.split()
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = mf.nonsense


def test_closing_the_generator_early_closes_the_input(tmp_path: Path, astronaut: Pixels) -> None:
    frames = [Image.fromarray(astronaut)] * 3
    frames[0].save(tmp_path / "film.gif", save_all=True, append_images=frames[1:], duration=100)
    results = mf.analyze(tmp_path / "film.gif", mf.Options(emotion=False, identity=False))
    assert next(results).faces
    results.close()  # type: ignore[attr-defined]
    (tmp_path / "film.gif").unlink()
    with pytest.raises(mf.InputError, match="no such file"):
        mf.analyze(tmp_path / "film.gif")


def test_a_photo_of_one_person_is_not_enrolled_as_another(run: Run, photo: Path, other: Path) -> None:
    assert run("people", "add", "Lan", "collins.png").status == 0
    refused = run("people", "add", "Minh", "collins.png", "hopper.png")
    assert refused.status == 1
    assert "the same file is enrolled as 'Lan'" in refused.err
    assert run("people", "add", "Vy", "gone.png", "hopper.png", "--force").status == 1
    assert [person.name for person in mf.Gallery().people()] == ["Lan", "Minh", "Vy"]


def test_an_export_never_replaces_the_gallery(run: Run, gallery: Path) -> None:
    assert run("people", "export", "--gallery", gallery, "-o", gallery).status == 2
    assert len(mf.Gallery(gallery).people()) == 2


def test_a_mistyped_gallery_is_not_an_empty_one(run: Run, gallery: Path) -> None:
    for command in ("list", "export", "calibrate"):
        assert run("people", command, "--gallery", "mistyped.db").status == 3
    assert run("people", "calibrate").status == 3


def test_photos_that_are_enrolled_by_another_network_are_not_called_done(
    run: Run, gallery: Path, tmp_path: Path, photo: Path
) -> None:
    (tmp_path / "family" / "Eileen Collins").mkdir(parents=True)
    (tmp_path / "family" / "Eileen Collins" / "1.png").write_bytes(photo.read_bytes())
    assert "1 duplicate" in run("people", "import", "family", "--gallery", gallery).out
    with closing(sqlite3.connect(gallery)) as connection, connection:
        connection.execute("UPDATE face SET model = 'mine-1'")
    said = run("people", "import", "family", "--gallery", gallery)
    assert said.status == 3
    assert "was made with mine-1, not sface" in said.err
    said = run("identify", photo, "--gallery", gallery)
    assert said.status == 3
    assert f"{gallery}: was made with mine-1, not sface" in said.err
    assert said.err.count("\n") == 1


def test_a_name_commands_no_terminal(run: Run, gallery: Path) -> None:
    assert run("people", "rename", "Eileen Collins", "a\nb\x1b[31m", "--gallery", gallery).status == 0
    listed = run("people", "list", "--gallery", gallery).out
    assert "\x1b" not in listed
    assert r"a\nb\x1b[31m" in listed
    assert r"a\nb\x1b[31m" in run("identify", "collins.png", "--gallery", gallery).out
    assert run("people", "show", "a\nb\x1b[31m", "--gallery", gallery).out.startswith(r"a\nb\x1b[31m: 1 face,")


def test_a_refused_rename_offers_nothing_that_it_has_not(run: Run, gallery: Path) -> None:
    said = run("people", "rename", "Eileen Collins", "grace hopper", "--gallery", gallery)
    assert "a name that can be told apart" in said.err
    assert "--force" not in said.err


@pytest.mark.parametrize("day", ["tomorrow", "20300101", "2030-W01-1", "2030-01-01T10:00:00+0200", "2030-13-01"])
def test_a_day_is_written_in_one_way(run: Run, photo: Path, day: str) -> None:
    ran = run("people", "add", "Lan", "collins.png", "--expires", day)
    assert ran.status == 2
    assert "2027-12-31" in ran.err


def test_a_gallery_is_its_owners_alone(gallery: Path) -> None:
    assert gallery.stat().st_mode & 0o077 == 0
