"""The gallery file: what it keeps, what it refuses, what survives kills, other writers and full disks."""

from __future__ import annotations

import base64
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import unicodedata
from collections.abc import Iterator
from contextlib import closing
from datetime import datetime, timedelta, timezone
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfaces.errors import GalleryError, UsageError
from manyfaces.gallery.names import checked
from manyfaces.gallery.roster import Roster
from manyfaces.gallery.search import NOBODY, Search
from manyfaces.gallery.store import Consent, GalleryStore
from manyfaces.types import Embeddings, Floats, Qualities

MODEL = "test-0123456789ab"


def vectors(count: int, seed: int = 0, size: int = 128) -> Floats:
    drawn = np.random.default_rng(seed).normal(size=(count, size))
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


def embeddings(count: int = 1, seed: int = 0, model: str = MODEL) -> Embeddings:
    return Embeddings(vectors(count, seed), model)


def qualities(count: int = 1) -> Qualities:
    return Qualities(*(np.full(count, value, np.float32) for value in (80.0, 150.0, 0.25, 1.0)))


def add(store: GalleryStore, name: str, seed: int = 0, count: int = 1, **more: str) -> int:
    return store.add(name, embeddings(count, seed), qualities(count), **more)


@pytest.fixture
def store(tmp_path: Path) -> GalleryStore:
    return GalleryStore(tmp_path / "people.db")


# --- what it keeps ---


def test_nothing_is_made_before_the_first_person(store: GalleryStore) -> None:
    assert store.people() == []
    assert len(store.roster()) == 0
    assert store.model() == ""
    assert store.purge(everything=True).faces == 0
    with pytest.raises(GalleryError, match="the gallery is empty"):
        store.remove("Lan")
    assert not store.path.exists()


def test_what_goes_in_comes_out(store: GalleryStore) -> None:
    assert add(store, "Lan", seed=1, count=2, source="lan1.jpg", digest="d1") == 2
    add(store, "An", seed=2, source="an.jpg")
    assert [(person.name, person.faces, person.model) for person in store.people()] == [
        ("An", 1, MODEL),
        ("Lan", 2, MODEL),
    ]
    face = store.faces("Lan")[0]
    assert (face.source, face.digest, face.size, face.sharpness, face.yaw, face.inside) == (
        "lan1.jpg", "d1", 80, 150, 0.25, 1,
    )  # fmt: skip
    roster = store.roster()
    assert roster.names == ("Lan", "An")
    assert roster.owners.tolist() == [0, 0, 1]
    np.testing.assert_array_equal(roster.embeddings.vectors[:2], vectors(2, 1))
    assert roster.embeddings.model == MODEL


def test_faces_of_a_person_lie_together_whatever_the_order_they_came_in(store: GalleryStore) -> None:
    for seed, name in enumerate(["Lan", "An", "Lan", "Bo", "An"]):
        add(store, name, seed=seed)
    roster = store.roster()
    assert roster.owners.tolist() == [0, 0, 1, 1, 2]
    np.testing.assert_array_equal(roster.embeddings.vectors[1], vectors(1, 2)[0])


def test_the_same_file_is_enrolled_once_per_person(store: GalleryStore) -> None:
    assert add(store, "Lan", seed=1, digest="same") == 1
    assert add(store, "Lan", seed=1, digest="same") == 0
    assert add(store, "An", seed=2, digest="same") == 1
    assert store.holders("same") == ("An", "Lan")
    assert store.holders("other") == ()


@pytest.mark.parametrize(
    "name",
    [
        "Nguyễn Thị Lan",
        "a/b\\c",
        "two\nlines",
        "👩🏽‍🚀",
        "  spaces  ",
        "'; DROP TABLE person; --",
        "李四",
        "x" * 200,
        ".",
    ],
)
def test_names_are_stored_as_given(store: GalleryStore, name: str) -> None:
    add(store, name)
    assert [person.name for person in store.people()] == [name]
    assert store.person(name).faces == 1
    assert store.remove(name) == 1


def test_composed_and_decomposed_letters_are_one_name(store: GalleryStore) -> None:
    add(store, unicodedata.normalize("NFD", "Nguyễn"), seed=1)
    add(store, "Nguyễn", seed=2)
    assert [(person.name, person.faces) for person in store.people()] == [(unicodedata.normalize("NFC", "Nguyễn"), 2)]
    assert store.person(unicodedata.normalize("NFD", "Nguyễn")).faces == 2


@given(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1, max_size=60))
def test_any_name_that_is_not_blank_is_legal_and_composed(name: str) -> None:
    if not name.strip() or len(unicodedata.normalize("NFC", name)) > 200:
        return
    assert checked(name) == unicodedata.normalize("NFC", name) == checked(checked(name))


@pytest.mark.parametrize(
    ("name", "why"), [("", "blank"), (" \n\t", "blank"), ("x" * 201, "201"), ("a\udcff", "no text"), ("a\0", "no text")]
)
def test_names_that_are_refused(store: GalleryStore, name: str, why: str) -> None:
    with pytest.raises(GalleryError, match=why):
        add(store, name)
    assert not store.path.exists()


def test_an_unknown_person_is_answered_with_the_nearest_names(store: GalleryStore) -> None:
    for name in ("Lan Anh", "Minh", "Thảo"):
        add(store, name)
    with pytest.raises(GalleryError, match="no person 'lan ahn'; did you mean 'Lan Anh'"):
        store.person("lan ahn")
    with pytest.raises(GalleryError, match="among the 3"):
        store.remove("Zoë Quux")


def test_rename_keeps_the_faces_and_refuses_to_merge(store: GalleryStore) -> None:
    add(store, "Lan", seed=1, count=2)
    add(store, "An", seed=2)
    with pytest.raises(GalleryError, match="already is a person 'An', and two people are never merged"):
        store.rename("Lan", "An")
    store.rename("Lan", "Lan Anh")
    store.rename("Lan Anh", "Lan Anh")
    assert [(person.name, person.faces) for person in store.people()] == [("An", 1), ("Lan Anh", 2)]
    assert b"Lan Anh" in store.path.read_bytes()


def test_export_is_json_and_holds_vectors_only_when_asked(store: GalleryStore) -> None:
    store.add(
        "Lan", embeddings(1, 3), qualities(), "lan.jpg", "d", Consent("for the door", by="Minh", expires="2030-01-01")
    )
    add(store, "An", seed=4)
    plain = json.loads(json.dumps(store.export()))
    assert [person["name"] for person in plain["people"]] == ["An", "Lan"]
    assert plain["people"][1]["consent"]["text"] == "for the door"
    assert "vector" not in plain["people"][1]["faces"][0]
    (person,) = store.export(["Lan"], vectors=True)["people"]
    restored = np.frombuffer(base64.b64decode(person["faces"][0]["vector"]), "<f4")
    np.testing.assert_array_equal(restored, vectors(1, 3)[0])


def test_consent_is_kept_replaced_and_checked(store: GalleryStore) -> None:
    add(store, "Lan")
    store.consent("Lan", Consent("for the door", by="Minh", given="2026-11-21", expires="2027-11-21"))
    assert store.person("Lan").consent == Consent("for the door", "Minh", "2026-11-21", "2027-11-21")
    store.consent("Lan", Consent("for everything"))
    assert store.person("Lan").consent.expires == ""
    assert store.person("Lan").consent.given
    with pytest.raises(UsageError, match="'next year' is no date"):
        Consent("for the door", expires="next year")


def test_purge_takes_whose_consent_has_run_out(store: GalleryStore) -> None:
    store.add("Lan", embeddings(seed=1), qualities(), consent=Consent("yes", expires="2030-05-05"))
    store.add("An", embeddings(seed=2), qualities(), consent=Consent("yes", expires="2031-01-01"))
    add(store, "Minh", seed=3)
    assert store.purge(now=datetime(2030, 5, 5, 12, tzinfo=timezone.utc)).people == ()
    purged = store.purge(now=datetime(2030, 5, 6, 12, tzinfo=timezone.utc))
    assert (purged.faces, purged.people) == (1, ("Lan",))
    assert [person.name for person in store.people()] == ["An", "Minh"]


def test_purge_takes_what_is_old_and_people_of_whom_nothing_is_left(store: GalleryStore) -> None:
    add(store, "Lan", seed=1, count=2)
    add(store, "An", seed=2)
    later = datetime.now(timezone.utc) + timedelta(days=30)
    assert store.purge(older_than=timedelta(days=31), now=later).faces == 0
    purged = store.purge(older_than=timedelta(days=29), now=later)
    assert (purged.faces, purged.people) == (3, ("An", "Lan"))


def test_purge_everything_leaves_a_gallery_that_works(store: GalleryStore) -> None:
    add(store, "Lan", seed=1)
    assert store.purge(everything=True).people == ("Lan",)
    store.add("Lan", embeddings(model="another-model"), qualities())
    assert store.model() == "another-model"


def test_the_revision_tells_of_every_change_of_who_is_enrolled(store: GalleryStore) -> None:
    seen = [store.revision()]
    for change in (lambda: add(store, "Lan"), lambda: store.rename("Lan", "An"), lambda: store.remove("An")):
        change()
        seen.append(store.revision())
    assert seen == sorted(set(seen))
    add(store, "Lan", digest="d")
    before = store.revision()
    add(store, "Lan", digest="d")
    assert store.revision() == before == store.roster().revision


# --- what it refuses ---


def test_models_do_not_mix(store: GalleryStore) -> None:
    add(store, "Lan")
    with pytest.raises(GalleryError, match=rf"{MODEL}.*other-model"):
        store.add("An", embeddings(model="other-model"), qualities())
    assert [person.name for person in store.people()] == ["Lan"]


@pytest.mark.parametrize(
    ("given", "why"),
    [
        (Embeddings(np.empty((0, 128), np.float32), MODEL), "0 vectors"),
        (Embeddings(vectors(2), MODEL), "2 vectors"),
        (Embeddings(vectors(1), ""), "which model"),
        (Embeddings(np.full((1, 128), np.nan, np.float32), MODEL), "unit length"),
        (Embeddings(np.zeros((1, 128), np.float32), MODEL), "unit length"),
    ],
)
def test_broken_vectors_are_refused(store: GalleryStore, given: Embeddings, why: str) -> None:
    with pytest.raises(GalleryError, match=why):
        store.add("Lan", given, qualities())
    assert not store.path.exists()


def everything_fails(store: GalleryStore, why: str) -> None:
    for attempt in (store.people, store.roster, lambda: add(store, "Lan"), lambda: store.remove("Lan")):
        with pytest.raises(GalleryError, match=why) as caught:
            attempt()
        assert str(store.path) in str(caught.value)


def test_a_file_that_is_no_database(store: GalleryStore) -> None:
    store.path.write_text("Dear diary, " * 500)
    everything_fails(store, "not even a database")
    assert store.path.read_text().startswith("Dear diary")


def test_a_database_of_another_program(store: GalleryStore) -> None:
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("CREATE TABLE person (id INTEGER)")
    before = store.path.read_bytes()
    everything_fails(store, "belongs to another program")
    assert store.path.read_bytes() == before


def test_a_gallery_of_a_later_version(store: GalleryStore) -> None:
    add(store, "Lan")
    with closing(sqlite3.connect(store.path)) as connection:
        connection.execute("PRAGMA user_version = 9")
    everything_fails(store, "format 9")


@pytest.mark.parametrize("share", [0.3, 0.6, 0.95])
def test_a_truncated_gallery(store: GalleryStore, share: float) -> None:
    for seed in range(40):
        add(store, f"person {seed}", seed=seed)
    size = store.path.stat().st_size
    with store.path.open("r+b") as file:
        file.truncate(int(size * share))
    everything_fails(store, "damaged")


def test_an_empty_file_becomes_a_gallery(store: GalleryStore) -> None:
    store.path.touch()
    assert store.people() == []
    add(store, "Lan")
    assert len(store.roster()) == 1


def test_a_folder_and_a_place_that_does_not_exist(tmp_path: Path) -> None:
    everything_fails(GalleryStore(tmp_path), "this is a folder")
    with pytest.raises(GalleryError, match="there is no folder"):
        add(GalleryStore(tmp_path / "missing" / "people.db"), "Lan")


def test_those_who_only_read_can_insist_on_a_gallery(tmp_path: Path) -> None:
    with pytest.raises(GalleryError, match="there is no gallery here"):
        GalleryStore(tmp_path / "typo.db", must_exist=True)


@pytest.fixture
def locked_folder(monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder with a gallery in it which this process may read and not write; root gives up its rights for that."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        add(GalleryStore(folder / "people.db"), "Lan")
        (folder / "people.db").chmod(0o444)
        folder.chmod(0o555)
        was_root = os.geteuid() == 0
        if was_root:
            os.seteuid(65534)
        yield folder
        if was_root:
            os.seteuid(0)
        folder.chmod(0o755)


def test_a_read_only_gallery_is_read_and_says_why_it_is_not_written(locked_folder: Path) -> None:
    store = GalleryStore(locked_folder / "people.db", must_exist=True)
    assert [person.name for person in store.people()] == ["Lan"]
    assert len(store.roster()) == 1
    for attempt in (lambda: add(store, "An"), lambda: store.remove("Lan"), lambda: store.purge(everything=True)):
        with pytest.raises(GalleryError, match=r"may only be read|may write it"):
            attempt()
    assert len(store.roster()) == 1


def test_a_gallery_cannot_be_made_in_a_read_only_folder(locked_folder: Path) -> None:
    with pytest.raises(GalleryError, match="may write it and its folder"):
        add(GalleryStore(locked_folder / "new.db"), "Lan")


# --- every trace ---


def on_disk(store: GalleryStore) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(store.path.parent.glob(store.path.name + "*")))


def test_removing_leaves_no_trace_in_any_file(store: GalleryStore) -> None:
    for seed in range(60):
        add(store, f"person {seed % 6}", seed=seed)
    add(store, "Wanted Nobody", seed=1000, count=5, source="wanted.jpg")
    with closing(sqlite3.connect(store.path)) as another:  # keeps the log alive, as a server would
        another.execute("SELECT count(*) FROM face").fetchone()
        assert vectors(5, 1000)[3].tobytes() in on_disk(store)
        assert store.remove("Wanted Nobody") == 5
        left = on_disk(store)
    assert not any(vector.tobytes() in left for vector in vectors(5, 1000))
    assert b"Wanted" not in left
    assert b"wanted.jpg" not in left
    assert len(store.roster()) == 60


def test_purge_and_rename_leave_no_trace_either(store: GalleryStore) -> None:
    add(store, "Old Name", seed=1)
    add(store, "Gone", seed=2)
    store.consent("Gone", Consent("a secret reason", expires="2001-01-01"))
    store.rename("Old Name", "New")
    store.purge()
    left = on_disk(store)
    assert b"Old Name" not in left
    assert b"secret" not in left
    assert vectors(1, 2)[0].tobytes() not in left
    assert vectors(1, 1)[0].tobytes() in left


def test_traces_that_a_reader_holds_are_admitted_and_purged_later(store: GalleryStore) -> None:
    impatient = GalleryStore(store.path, patience=0.05)
    with closing(sqlite3.connect(store.path)) as reader:
        add(store, "Lan", seed=1)
        reader.isolation_level = None
        reader.execute("BEGIN")
        reader.execute("SELECT count(*) FROM face").fetchone()
        with pytest.raises(GalleryError, match=r"change is saved, but .* people purge"):
            impatient.remove("Lan")
        assert store.people() == []
    store.purge()
    assert vectors(1, 1)[0].tobytes() not in on_disk(store)


# --- kills, other writers, full disks ---

CHILD = """
import resource, sqlite3, sys
from pathlib import Path
from test_gallery import GalleryStore, add
from manyfaces.errors import GalleryError
store = GalleryStore(sys.argv[1])
def say(word):
    print(word, flush=True)
"""


def child(code: str, path: Path) -> subprocess.Popen[str]:
    folders = os.pathsep.join([str(Path(__file__).parent), *sys.path])
    return subprocess.Popen(
        [sys.executable, "-c", CHILD + code, str(path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": folders},
    )


def sound(path: Path) -> bool:
    with closing(sqlite3.connect(path)) as connection:
        return bool(connection.execute("PRAGMA integrity_check").fetchone()[0] == "ok")


def test_a_process_killed_inside_a_transaction_leaves_the_gallery_as_it_was(store: GalleryStore) -> None:
    add(store, "Lan", seed=1)
    code = """
with store._database.writing() as connection:
    connection.execute("PRAGMA cache_spill = 1")
    connection.execute("INSERT INTO person (name, added) VALUES ('half', '2026')")
    connection.executemany("INSERT INTO face (person, model, vector, source, digest, added, size, sharpness, yaw,"
        " inside) VALUES (2, 'm', zeroblob(4000), '', '', '', 1, 1, 1, 1)", [()] * 5000)
    say("inside")
    sys.stdin.read()
"""
    with child(code, store.path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "inside\n"
        process.send_signal(signal.SIGKILL)
    assert [(person.name, person.faces) for person in store.people()] == [("Lan", 1)]
    add(store, "An", seed=2)
    assert sound(store.path)


def test_a_process_killed_while_enrolling_keeps_all_it_reported(store: GalleryStore) -> None:
    code = """
for seed in range(100000):
    add(store, f"person {seed}", seed=seed, count=2)
    say(seed)
"""
    with child(code, store.path) as process:
        assert process.stdout is not None
        for _ in range(8):
            reported = int(process.stdout.readline())
        process.send_signal(signal.SIGKILL)
    people = store.people()
    assert len(people) > reported
    assert {person.faces for person in people} == {2}
    assert sound(store.path)


def test_two_processes_that_make_and_fill_one_gallery_lose_nothing(store: GalleryStore) -> None:
    code = """
say("ready")
mine = sys.stdin.readline().strip()
for seed in range(25):
    add(store, f"{mine} {seed}", seed=seed)
    add(store, "shared", seed=seed)
"""
    with child(code, store.path) as first, child(code, store.path) as second:
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for name, process in (("a", first), ("b", second)):
            assert process.stdin is not None
            process.stdin.write(f"{name}\n")
            process.stdin.flush()
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(store.people()) == 51
    assert store.person("shared").faces == 50
    assert sound(store.path)


def test_a_writer_that_never_ends_is_named(store: GalleryStore) -> None:
    add(store, "Lan")
    impatient = GalleryStore(store.path, patience=0.05)
    with closing(sqlite3.connect(store.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(GalleryError, match="another process"):
            add(impatient, "An")
        assert len(impatient.people()) == 1


def test_a_full_disk_costs_nothing_that_was_saved(store: GalleryStore) -> None:
    code = """
add(store, "Lan", count=10)
resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, 120_000))
try:
    for seed in range(1000):
        add(store, f"person {seed}", seed=seed, count=4)
        saved = seed
except GalleryError as error:
    say(saved)
    say(str(error))
"""
    with child(code, store.path) as process:
        output, _ = process.communicate()
    saved, sentence = output.splitlines()
    assert "disk" in sentence
    assert "nothing of this change was saved" in sentence
    assert len(store.people()) == 1 + int(saved) + 1
    assert sound(store.path)
    add(store, "room again", seed=5)


# --- search ---


def roster(owners: list[int], rows: Floats) -> Roster:
    names = tuple(f"person {place}" for place in range(max(owners, default=-1) + 1))
    return Roster(names, np.array(owners, np.int64), Embeddings(rows, MODEL))


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6), st.integers(0, 7), st.integers(0, 1000))
def test_search_is_what_plain_loops_find(faces_each: list[int], queries: int, seed: int) -> None:
    owners = [person for person, faces in enumerate(faces_each) for _ in range(faces)]
    enrolled, asked = vectors(len(owners), seed, 8), vectors(queries, seed + 1, 8)
    found = Search(roster(owners, enrolled))(Embeddings(asked, MODEL))
    for row, vector in enumerate(asked):
        best = dict.fromkeys(range(len(faces_each)), -1.0)
        for owner, other in zip(owners, enrolled, strict=True):
            best[owner] = max(best[owner], float(vector @ other))
        order = sorted(best, key=lambda person: -best[person])
        assert found.people[row] == order[0]
        assert found.similarities[row] == pytest.approx(best[order[0]], abs=1e-5)
        second = best[order[1]] if len(order) > 1 else -1
        assert found.runners_up[row] == pytest.approx(second, abs=1e-5)


def test_many_queries_go_in_parts_and_answer_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    search = Search(roster([0, 0, 1, 2], vectors(4)))
    whole = search(Embeddings(vectors(50, 9), MODEL))
    monkeypatch.setattr("manyfaces.gallery.search.AT_ONCE", 30)
    parts = search(Embeddings(vectors(50, 9), MODEL))
    np.testing.assert_array_equal(whole.people, parts.people)
    np.testing.assert_allclose(whole.runners_up, parts.runners_up, atol=1e-6)


def test_an_empty_gallery_finds_nobody() -> None:
    found = Search(Roster.empty())(Embeddings(vectors(2), "any"))
    assert found.people.tolist() == [NOBODY, NOBODY]
    assert np.isnan(found.similarities).all()


def test_searching_with_another_model_is_refused() -> None:
    with pytest.raises(GalleryError, match=rf"{MODEL}.*other"):
        Search(roster([0], vectors(1)))(Embeddings(vectors(1), "other"))


def test_a_roster_whose_people_are_scattered_is_refused() -> None:
    with pytest.raises(ValueError, match="must lie together"):
        roster([0, 1, 0], vectors(3))
