"""The gallery over HTTP, and under the server: consent, refusals, advice, and what other programs do to the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import numpy as np
import pytest

from manyfaces.gallery.store import Consent, GalleryStore
from manyfaces.server import shapes
from manyfaces.server.people import Naming, People
from manyfaces.types import Embeddings, Pixels, Qualities
from serving import MODEL, Running, encoded, files, png, running

RED, GREEN, BLUE = (250, 10, 10), (10, 250, 10), (10, 10, 250)


def textured(faces: int, colour: tuple[int, int, int], seed: int = 0, size: tuple[int, int] = (64, 128)) -> bytes:
    """Sharp enough to be enrolled: stripes around the middle of each face, whose colour says whose it is."""
    noise = np.random.default_rng(seed).integers(0, 255, (*size, 1)).astype(np.uint8)
    image: Pixels = np.repeat(noise, 3, axis=2)
    image[12:22, :] = colour
    image[0, 0, 0] = faces
    return encoded(image)


FLAT = png(1, colour=(1, 1, 1))


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Running]:
    with running(tmp_path) as one:
        yield one


def add(server: Running, name: str, *photos: bytes, **fields: str) -> httpx.Response:
    given = {"consent": "true", **fields}
    return server.ask.post(f"/v1/people/{quote(name, safe='')}", files=files(*photos, field="photos"), data=given)


def named(server: Running, picture: bytes) -> list[str | None]:
    row = server.ask.post("/v1/analyze", files=files(picture)).json()["results"][0]
    return [face["identity"] for face in row["faces"]]


def until_named(server: Running, picture: bytes, names: list[str | None]) -> None:
    """Until the server has noticed what happened to the file."""
    while named(server, picture) != names:
        pass


def store(server: Running) -> GalleryStore:
    return server.service.people._store


def enrol_directly(path: Path, name: str, colour: tuple[int, int, int], model: str = MODEL) -> None:
    """As another program does, such as the command line."""
    vector = np.asarray(colour, np.float32)[None] / np.linalg.norm(colour)
    figures = np.ones(1, np.float32)
    embeddings = Embeddings(vector.astype(np.float32), model)
    GalleryStore(path).add(name, embeddings, Qualities(figures, figures, figures, figures), f"{name}.png", name)


# --- adding and looking ----------------------------------------------------------------------------------------------


def test_somebody_is_added_and_known_from_then_on(server: Running) -> None:
    assert named(server, textured(1, RED)) == [None]
    assert add(server, "Lan Nguyễn", textured(1, RED)).json() == {"added": 1, "refused": []}
    assert add(server, "Minh", textured(1, GREEN)).json()["added"] == 1
    assert named(server, textured(1, RED, seed=5)) == ["Lan Nguyễn"]
    everybody = server.ask.get("/v1/people").json()
    shapes.Everybody.model_validate(everybody)
    assert [(person["name"], person["photos"]) for person in everybody["people"]] == [("Lan Nguyễn", 1), ("Minh", 1)]
    assert everybody["gallery"]["calibrated"]
    assert everybody["gallery"]["people"] == 2
    one = server.ask.get(f"/v1/people/{quote('Lan Nguyễn')}").json()
    shapes.PersonInFull.model_validate(one)
    assert one["consent"]["by"] == "HTTP API"
    assert "vector" not in str(one)
    assert "digest" not in str(one)


@pytest.mark.parametrize("consent", ["false", "", "0", None])
def test_nobody_is_added_without_having_agreed(server: Running, consent: str | None) -> None:
    data = {} if consent is None else {"consent": consent}
    answer = server.ask.post("/v1/people/Lan", files=files(textured(1, RED), field="photos"), data=data)
    assert answer.status_code == 422
    assert "agreed" in answer.json()["detail"]
    assert server.ask.get("/v1/people").json()["people"] == []


def test_what_was_agreed_to_is_kept(server: Running) -> None:
    add(server, "Lan", textured(1, RED), consent_text="for the door", expires="2027-12-31")
    consent = server.ask.get("/v1/people/Lan").json()["consent"]
    assert (consent["text"], consent["expires"]) == ("for the door", "2027-12-31")


def test_photos_that_are_not_good_enough_are_refused_each_with_its_reason(server: Running) -> None:
    said = add(server, "Lan", textured(0, RED), textured(1, RED), FLAT, b"none", textured(2, RED)).json()
    assert said["added"] == 1
    reasons = {one["photo"]: one["reason"] for one in said["refused"]}
    assert set(reasons) == {"p0.png", "p2.png", "p3.png", "p4.png"}
    assert "no face" in reasons["p0.png"]
    assert "blurred" in reasons["p2.png"]
    assert "(face=N)" in reasons["p4.png"]
    assert "--" not in str(reasons)


def test_force_and_face_take_what_would_be_refused(server: Running) -> None:
    assert add(server, "Lan", png(1, colour=RED), force="true").json()["added"] == 1
    assert add(server, "Minh", textured(2, GREEN), face="2").json()["added"] == 1
    assert add(server, "Minh", textured(2, GREEN), face="9").json()["added"] == 0


@pytest.mark.parametrize(
    "fields",
    [{"face": "0"}, {"face": "-1"}, {"face": "first"}, {"face": "9" * 5000}, {"force": "perhaps"}, {"expires": "soon"},
     {"expires": "2027-02-31"}, {"consent_text": "x" * 1001}],
)  # fmt: skip
def test_fields_that_make_no_sense(server: Running, fields: dict[str, str]) -> None:
    assert add(server, "Lan", textured(1, RED), **fields).status_code == 422


@pytest.mark.parametrize("name", ["a/b", "../../etc/passwd", "🙂", "calibrated", " Lan ", "%2e%2e", "a%2Fb", "rename"])
def test_a_name_is_a_name_and_no_path(server: Running, tmp_path: Path, name: str) -> None:
    assert add(server, name, textured(1, RED)).json()["added"] == 1
    path = f"/v1/people/{quote(name, safe='')}"
    assert server.ask.get(path).json()["name"] == name
    assert server.ask.delete(path).json() == {"removed": 1}
    assert {file.name.partition("-")[0] for file in tmp_path.iterdir()} == {"people.db"}


@pytest.mark.parametrize("name", ["%20", "%00", "x" * 201, "a%0Ab"])
def test_names_that_nobody_has(server: Running, name: str) -> None:
    answers = [
        server.ask.post(f"/v1/people/{name}", files=files(textured(1, RED), field="photos"), data={"consent": "true"}),
        server.ask.get(f"/v1/people/{name}"),
        server.ask.delete(f"/v1/people/{name}"),
    ]
    assert all(answer.status_code in (404, 422) for answer in answers[1:])
    assert answers[0].status_code in (404, 422)


def test_renaming_removing_and_who_is_not_there(server: Running) -> None:
    add(server, "Lan", textured(1, RED))
    add(server, "Minh", textured(1, GREEN))
    assert server.ask.post("/v1/people/Lan/rename", json={"to": "Lan Anh"}).json()["name"] == "Lan Anh"
    assert named(server, textured(1, RED)) == ["Lan Anh"]
    assert server.ask.post("/v1/people/Minh/rename", json={"to": "Lan Anh"}).status_code == 409
    assert server.ask.post("/v1/people/Nobody/rename", json={"to": "Lan"}).status_code == 404
    assert server.ask.post("/v1/people/Minh/rename", json={}).status_code == 422
    assert server.ask.post("/v1/people/Minh/rename", content=b"{").status_code == 422
    assert server.ask.delete("/v1/people/Lan").status_code == 404
    assert "did you mean" in server.ask.get("/v1/people/Lan%20Ahn").json()["detail"]
    assert server.ask.delete("/v1/people/Lan%20Anh").json() == {"removed": 1}
    assert named(server, textured(1, RED)) == [None]


def test_calibrating(server: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("manyfaces.build.find", lambda _name: (type("Card", (), {"identifier": MODEL}), None))
    assert server.ask.post("/v1/people/calibrate").status_code == 409
    add(server, "Lan", textured(1, RED))
    add(server, "Minh", textured(1, GREEN))
    strict = server.ask.post("/v1/people/calibrate", json={"false_accept_rate": 0.0001}).json()
    shapes.GalleryRow.model_validate(strict)
    assert strict["false_accept_rate"] == 0.0001
    kept = server.ask.post("/v1/people/calibrate").json()
    assert kept == strict
    assert server.ask.post("/v1/people/calibrate", json={"false_accept_rate": 2}).status_code == 422


@pytest.mark.parametrize(
    ("picture", "codes"),
    [
        (textured(1, RED), []), (textured(0, RED), ["no_face"]), (textured(2, RED), ["several_faces"]),
        (FLAT, ["too_blurred"]), (textured(1, RED, size=(64, 24)), ["cut_off"]),
    ],
)  # fmt: skip
def test_advice_while_enrolling(server: Running, picture: bytes, codes: list[str]) -> None:
    said = server.ask.post("/v1/faces/quality", files={"picture": picture}).json()
    shapes.Quality.model_validate(said)
    assert said["codes"] == codes
    assert said["good"] == (not codes)
    assert len(said["advice"]) == len(codes)
    assert server.ask.get("/v1/people").json()["people"] == []


# --- what other programs do ------------------------------------------------------------------------------------------


def test_somebody_added_by_another_program_is_known_without_a_restart(server: Running, tmp_path: Path) -> None:
    assert named(server, textured(1, RED)) == [None]
    enrol_directly(tmp_path / "people.db", "Lan", RED)
    until_named(server, textured(1, RED), ["Lan"])
    GalleryStore(tmp_path / "people.db").remove("Lan")
    until_named(server, textured(1, RED), [None])


def test_another_file_in_its_place_is_another_gallery(server: Running, tmp_path: Path) -> None:
    enrol_directly(tmp_path / "people.db", "Lan", RED)
    until_named(server, textured(1, RED), ["Lan"])
    enrol_directly(tmp_path / "other.db", "Ly", RED)
    (tmp_path / "other.db").replace(tmp_path / "people.db")
    until_named(server, textured(1, RED), ["Ly"])
    (tmp_path / "people.db").unlink()
    until_named(server, textured(1, RED), [None])


def test_a_gallery_that_breaks_changes_nothing_but_what_is_said_of_it(server: Running, tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    enrol_directly(path, "Lan", RED)
    until_named(server, textured(1, RED), ["Lan"])
    whole = path.read_bytes()
    (tmp_path / "broken.db").write_bytes(b"this is no database, however long one looks at it" * 100)
    (tmp_path / "broken.db").replace(path)
    while not server.ask.get("/v1/system").json()["gallery"]["error"]:
        pass
    assert named(server, textured(1, RED)) == ["Lan"]
    for answer in (server.ask.get("/v1/people"), add(server, "Minh", textured(1, GREEN))):
        assert answer.status_code == 503
        assert "not even a database" in answer.json()["detail"]
    path.write_bytes(whole)
    while server.ask.get("/v1/system").json()["gallery"]["error"]:
        pass
    assert named(server, textured(1, RED)) == ["Lan"]


def told(server: Running) -> list[tuple[str, str]]:
    return [(line["level"], line["standing"]) for line in list(server.log) if line["event"] == "gallery"]


def test_a_replaced_gallery_is_told_to_clients_to_monitoring_and_to_the_log(server: Running, tmp_path: Path) -> None:
    path = tmp_path / "people.db"
    enrol_directly(path, "Lan", RED)
    until_named(server, textured(1, RED), ["Lan"])
    whole = path.read_bytes()
    enrol_directly(tmp_path / "foreign.db", "Ly", RED, model="another")
    for content, standing, status in (
        (b"this is no database, however long one looks at it" * 100, "unreadable", 503),
        (whole, "read", 200),
        ((tmp_path / "foreign.db").read_bytes(), "another network", 409),
    ):
        (tmp_path / "new.db").write_bytes(content)
        (tmp_path / "new.db").replace(path)
        while (health := server.ask.get("/v1/health")).json()["gallery"] != standing:
            pass
        assert (health.status_code, health.json()["ready"]) == (200, True)
        assert server.ask.get("/v1/people").status_code == status
        while not (lines := told(server)) or lines[-1][1] != standing:
            pass
    assert told(server) == [("warning", "unreadable"), ("info", "read"), ("warning", "another network")]
    assert "Lan" not in str(server.log)


def test_a_gallery_that_another_program_writes_is_still_read(
    server: Running, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "people.db"
    enrol_directly(path, "Lan", RED)
    until_named(server, textured(1, RED), ["Lan"])
    monkeypatch.setattr(store(server)._database, "_patience", 0.05)
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert named(server, textured(1, RED)) == ["Lan"]
        assert server.ask.get("/v1/people").status_code == 200
        locked = server.ask.delete("/v1/people/Lan")
        assert (locked.status_code, locked.headers["retry-after"]) == (503, "1")
        assert "another process" in locked.json()["detail"]
        other.execute("ROLLBACK")
    assert server.ask.delete("/v1/people/Lan").status_code == 200


def test_a_gallery_of_another_model_names_nobody_and_says_why(server: Running, tmp_path: Path) -> None:
    enrol_directly(tmp_path / "people.db", "Lan", RED, model="another")
    while not (said := server.ask.get("/v1/system").json()["gallery"]["error"]):
        pass
    assert "another" in said
    assert named(server, textured(1, RED)) == [None]


def test_the_gallery_is_looked_at_only_when_it_has_changed(tmp_path: Path) -> None:
    naming = Naming()
    people = People(tmp_path / "people.db", MODEL, naming)
    assert people.refresh()
    assert not people.refresh()
    enrol_directly(tmp_path / "people.db", "Lan", RED)
    assert people.refresh()
    before = naming.matcher
    assert not people.refresh()
    assert naming.matcher is before
    GalleryStore(tmp_path / "people.db").consent("Lan", Consent("yes"))
    assert not people.refresh()


def test_a_folder_in_its_place(tmp_path: Path) -> None:
    people: Any = People(tmp_path, MODEL, Naming())
    assert not people.refresh()
    assert "folder" in people.problem
