"""`manyfaces people prepare`, and the lines of docs/people.md, as somebody types them."""

from __future__ import annotations

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Ran, Run
from manyfaces.prepare import Album
from manyfaces.types import Pixels

PAGE = Path(__file__).resolve().parent.parent / "docs" / "people.md"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


@pytest.fixture
def photos(tmp_path: Path, astronaut: Pixels, hopper: Pixels) -> Path:
    """Eileen twice, once smaller, and a photo that shows nobody; Grace once, and once more under nearly her name."""
    folder = tmp_path / "photos"
    for name in ("Eileen", "Grace", "grace"):
        (folder / name).mkdir(parents=True)
    Image.fromarray(astronaut).save(folder / "Eileen" / "1.png")
    Image.fromarray(astronaut).resize((300, 300)).save(folder / "Eileen" / "2.jpg")
    Image.fromarray(np.zeros((80, 80, 3), np.uint8)).save(folder / "Eileen" / "3.png")
    Image.fromarray(hopper).save(folder / "Grace" / "1.png")
    Image.fromarray(hopper[:, ::-1]).save(folder / "grace" / "1.png")
    return folder


def test_everything_that_is_wrong_is_said_and_written(run: Run, photos: Path, tmp_path: Path) -> None:
    ran = run("people", "prepare", "photos", "--sheet", "sheet.png", "--json", "album.json", "--precision", "f32")
    assert ran.status == 0, ran.err
    for said in (
        "'Grace' and 'grace' are nearly one name",
        "'Grace' and 'grace' look like one person",
        "Eileen/2.jpg: nearly the same picture as photos/Eileen/1.png",
        "Eileen/3.png: left out, no face found",
        "3 people have one photo only",
        "3 people, 4 faces of 5 photos",
    ):
        assert said in ran.out, said
    figures = json.loads((tmp_path / "album.json").read_text())
    assert figures["people"]["Eileen"] == {"photos": 3, "left_out": 1, "copies": 1, "to_look_at": 0}
    assert [face["group"] for face in figures["faces"]] == [0, 0, 1, 2]
    assert figures["copies"] == [
        {"photo": "photos/Eileen/2.jpg", "of": "photos/Eileen/1.png", "as": "nearly the same picture"}
    ]
    assert [out["why"] for out in figures["left_out"]] == ["no face"]
    assert figures["names"] == [["Grace", "grace"]]
    with Image.open(tmp_path / "sheet.png") as sheet:
        assert sheet.width > 600


def test_a_second_run_reads_nothing(run: Run, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    first = run("people", "prepare", photos)

    def load(*_: object) -> object:
        raise AssertionError("no network is needed")

    monkeypatch.setattr("manyfaces.build.build_detector", load)
    assert run("people", "prepare", photos).out == first.out


def test_no_cache_leaves_nothing(run: Run, photos: Path, tmp_path: Path) -> None:
    assert run("people", "prepare", photos, "--no-cache").status == 0
    assert not list((tmp_path / "cache").rglob("*.npz"))


def test_what_was_kept_is_forgotten_when_asked(run: Run, photos: Path, tmp_path: Path) -> None:
    run("people", "prepare", photos, "--quiet")
    kept = len(list((tmp_path / "cache").rglob("*.npz")))
    assert kept == 5
    assert f"{kept} photos' faces forgotten" in run("people", "prepare", "--forget").out
    assert not list((tmp_path / "cache").rglob("*.npz"))


def test_a_cache_that_cannot_be_kept_is_said_and_the_work_is_done(run: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "cache").touch()
    ran = run("people", "prepare", photos)
    assert ran.status == 0
    assert ran.err.count("cannot be kept") == 1
    assert "4 faces of 5 photos" in ran.out


def test_unreadable_photos_are_failures_and_all_else_is_done(run: Run, photos: Path) -> None:
    (photos / "Grace" / "empty.jpg").touch()
    ran = run("people", "prepare", photos)
    assert ran.status == 1
    assert ran.err.count("empty.jpg: the file is empty") == 1
    assert "4 faces of 6 photos" in ran.out


def test_nothing_that_can_be_read_is_nothing_done(run: Run, tmp_path: Path) -> None:
    (tmp_path / "photos" / "Lan").mkdir(parents=True)
    (tmp_path / "photos" / "Lan" / "1.jpg").touch()
    assert run("people", "prepare", "photos").status == 3


def test_what_is_passed_over_is_named_once(run: Run, photos: Path, tmp_path: Path) -> None:
    said = run("people", "prepare", photos).err
    assert "passed over" not in said
    (photos / "Lan" / "2024" / ".thumbs").mkdir(parents=True)
    (photos / "Minh").mkdir()
    (photos / "Minh" / "notes.txt").touch()
    for name in ("loose.jpg", "loose2.PNG", "notes.txt", "Lan/2024/1.jpg", "Lan/2024/.thumbs/1.jpg"):
        (photos / name).touch()
    for command in (("prepare", "photos", "--json", "album.json"), ("import", "photos")):
        ran = run("people", *command)
        assert ran.status == (0 if command[0] == "prepare" else 1)
        (line,) = (line for line in ran.err.splitlines() if "passed over" in line)
        assert "2 photos beside the folders (loose.jpg and others)" in line
        assert "1 photo in folders below a person's (Lan/2024/1.jpg)" in line
        assert "1 folder without a photo (Minh)" in line
    assert json.loads((tmp_path / "album.json").read_text())["passed_over"] == {
        "beside": ["photos/loose.jpg", "photos/loose2.PNG"],
        "below": ["photos/Lan/2024/1.jpg"],
        "empty": ["photos/Minh"],
    }


def refused(ran: Ran, sentence: str) -> None:
    assert ran.status in (2, 3)
    assert sentence in ran.err
    assert ran.err.count("\n") == 1


def test_what_makes_no_sense_is_refused_before_any_work(run: Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "notes.json").write_text("[1]")
    refused(run("people", "prepare"), "name the FOLDER")
    refused(run("people", "prepare", "nowhere"), "there is no such folder")
    refused(run("people", "prepare", photos, "--sheet", "sheet.txt"), "end its name in .png")
    refused(run("people", "prepare", photos, "--sheet", photos / "Grace" / "1.png"), "among the photos")
    refused(run("people", "prepare", photos, "--sheet", "no/sheet.png"), "there is no folder")
    refused(run("people", "prepare", photos, "--json", "notes.json"), "holds something else than figures")
    assert not list((tmp_path / "cache").rglob("*.npz"))


def test_a_photos_name_commands_no_terminal(run: Run, photos: Path) -> None:
    (photos / "Eileen" / "3.png").rename(photos / "Eileen" / "a\x1b[31m.png")
    (photos / "Grace" / "b\x1b[31m.jpg").touch()
    ran = run("people", "prepare", photos)
    assert "\x1b" not in ran.out + ran.err
    assert r"Eileen/a\x1b[31m.png: left out" in ran.out
    assert r"Grace/b\x1b[31m.jpg: the file is empty" in ran.err


def test_one_person_alone_is_said(run: Run, photos: Path) -> None:
    for name in ("Grace", "grace"):
        (photos / name / "1.png").unlink()
    alone = run("people", "prepare", photos).out
    assert "'Eileen' is alone" in alone
    assert "1 person has one photo only" in alone
    assert "1 person, 2 faces of 3 photos" in alone


def test_a_name_that_reads_like_another_is_refused_and_may_be_forced(run: Run, photo: Path, other: Path) -> None:
    assert run("people", "add", "Grace", other).status == 0
    refused(run("people", "add", "GRACE ", photo), "'GRACE ' differs from 'Grace' only in case")
    assert run("people", "add", "Eileen", photo).status == 0
    refused(run("people", "rename", "Eileen", "grace"), "differs from 'Grace'")
    assert run("people", "rename", "Grace", "GRACE").status == 0
    assert run("people", "add", "grace", photo, "--force").status == 0


def test_an_import_names_the_folder_whose_name_is_nearly_another(run: Run, photos: Path) -> None:
    ran = run("people", "import", photos)
    assert ran.status == 1
    assert "the name 'grace' differs from 'Grace'" in ran.err
    assert "2 people in the gallery" in ran.out


def test_many_people_are_listed_in_lines(run: Run, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manyfaces.cli.people.MOST_IN_TABLE", 0)
    run("people", "add", "Eileen", photo, "--consent", "by letter")
    assert re.fullmatch(r"Eileen  1  \d{4}-\d\d-\d\d  by letter\n", run("people", "list").out)


SECTION = re.search(r"## Look through the photos first\n(.*?)(?=\n## |\Z)", PAGE.read_text(encoding="utf-8"), re.DOTALL)
LINES = [line for block in re.findall(r"```bash\n(.*?)```", SECTION[1] if SECTION else "", re.DOTALL)
         for line in block.splitlines()]  # fmt: skip


def test_the_page_has_lines_to_run() -> None:
    assert len(LINES) >= 4


def test_the_lines_of_the_page_run_in_their_order(run: Run, photos: Path) -> None:
    (photos / "grace").rename(photos.parent / "elsewhere")
    (photos / "Eileen" / "3.png").unlink()
    for line in LINES:
        ran = run(*shlex.split(line)[1:])
        assert ran.status == 0, f"{line}\n{ran.out}{ran.err}"


def test_the_python_of_the_page_runs(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(photos.parent)
    blocks = re.findall(r"```python\n(.*?)```", SECTION[1] if SECTION else "", re.DOTALL)
    names: dict[str, object] = {}
    for block in blocks:
        exec(compile(block, str(PAGE), "exec"), names)
    album = names["album"]
    assert isinstance(album, Album)
    assert album.people == ("Eileen", "Eileen", "Grace", "grace")
