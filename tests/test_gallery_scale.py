"""Very many faces: search that stays exact, and the file of vectors that follows the gallery whatever happens."""

from __future__ import annotations

import os
import signal
import sqlite3
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from manyfaces.errors import GalleryError
from manyfaces.gallery import vectors as file_of_vectors
from manyfaces.gallery.calibrate import calibrate, measure
from manyfaces.gallery.index import WORDS, Sketcher, differing_bits, nearest_rows
from manyfaces.gallery.many import Many
from manyfaces.gallery.matcher import Matcher
from manyfaces.gallery.roster import GONE, Columns, MappedRoster, Roster
from manyfaces.gallery.search import Search
from manyfaces.gallery.store import Consent, GalleryStore
from manyfaces.gallery.vectors import MAPPED_FROM, Change, Faces, State
from manyfaces.types import Embeddings, Floats, Integers
from test_gallery import MODEL, add, child, embeddings, on_disk, qualities, sound, vectors

LARGE = 12
"""Faces from which a gallery counts as large in these tests."""

NO_SKETCHES = np.empty((0, 0), np.uint64)


def crowd(people: int, each: int, photos: int = 1, size: int = 128) -> Floats:
    """Faces of the same people whatever the `photos`, a person's together, each like the person's others."""
    random = np.random.default_rng([photos, 1])
    middles = np.repeat(vectors(people, 0, size), each, axis=0)
    drawn = 0.8 * middles + 0.6 / np.sqrt(size) * random.normal(size=middles.shape)
    return (drawn / np.linalg.norm(drawn, axis=1, keepdims=True)).astype(np.float32)


# --- search ---


def plain(people: Integers, enrolled: Floats, query: Floats) -> tuple[float, float, set[int]]:
    """The best similarity, the best of any other person, and who might be the best, by the plain product."""
    best = {int(person): -1.0 for person in people if person != GONE}
    for person, similarity in zip(people.tolist(), (enrolled @ query).tolist(), strict=True):
        if person != GONE:
            best[person] = max(best[person], similarity)
    first = max(best.values())
    winners = {person for person, similarity in best.items() if similarity > first - 1e-6}
    second = max((similarity for person, similarity in best.items() if person != min(winners)), default=-1.0)
    return first, second, winners


@settings(max_examples=60)
@given(
    rows=st.integers(1, 700),
    people=st.integers(1, 40),
    gone=st.floats(0, 0.9),
    queries=st.integers(0, 70),
    size=st.sampled_from([2, 8, 128]),
    seed=st.integers(0, 1000),
)
def test_many_faces_are_searched_as_by_the_plain_product(
    rows: int, people: int, gone: float, queries: int, size: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    owners = random.integers(0, people, rows)
    enrolled = vectors(rows, seed, size)
    wiped = random.random(rows) < gone
    wiped[0] = False
    owners[wiped], enrolled[wiped] = GONE, 0
    asked = vectors(queries, seed + 1, size)
    found, similarities, runners_up = Many(Columns(owners, enrolled, NO_SKETCHES))(asked)
    assert len(found) == len(similarities) == len(runners_up) == queries
    for row, query in enumerate(asked):
        first, second, winners = plain(owners, enrolled, query)
        assert int(found[row]) in winners
        assert similarities[row] == pytest.approx(first, abs=1e-5)
        assert runners_up[row] == pytest.approx(second if len(winners) == 1 else first, abs=1e-5)


def test_similarities_below_zero_are_not_beaten_by_faces_that_are_gone() -> None:
    enrolled = np.array([[1, 0], [0, 0], [0.6, 0.8]], np.float32)
    people = np.array([0, GONE, 1])
    found, similarities, runners_up = Many(Columns(people, enrolled, NO_SKETCHES))(np.array([[-1, 0]], np.float32))
    assert found.tolist() == [1]
    np.testing.assert_allclose([similarities[0], runners_up[0]], [-0.6, -1.0], atol=1e-6)


def test_search_answers_the_same_either_way() -> None:
    rows = crowd(40, 3)
    roster = Roster(tuple(map(str, range(40))), np.repeat(np.arange(40), 3), Embeddings(rows, MODEL))
    asked = Embeddings(crowd(40, 1, photos=2), MODEL)
    few, many = Search(roster)(asked), Search(roster, many=1)(asked)
    np.testing.assert_array_equal(few.people, many.people)
    np.testing.assert_allclose(few.similarities, many.similarities, atol=1e-6)
    np.testing.assert_allclose(few.runners_up, many.runners_up, atol=1e-6)
    with pytest.raises(GalleryError, match="do not compare"):
        Search(roster, many=1)(Embeddings(asked.vectors, "another"))


def sketched(rows: Floats, each: int) -> Columns:
    return Columns(np.arange(len(rows)) // each, rows, Sketcher(rows.shape[1])(rows))


def test_a_first_look_at_sketches_misses_next_to_nobody() -> None:
    rows = crowd(6000, 3)
    columns = sketched(rows, 3)
    asked = crowd(6000, 1, photos=2)[::30]
    exact, index = Many(columns), Many(columns, exact_to=0)
    wanted = exact(asked)
    found = [np.concatenate(answers) for answers in zip(*(index(query[None]) for query in asked), strict=True)]
    right = found[0] == wanted[0]
    assert right.mean() >= 0.99
    np.testing.assert_allclose(found[1][right], wanted[1][right], atol=1e-6)
    assert (found[2] <= wanted[2] + 1e-6).all()
    assert (found[2] < wanted[2] - 1e-6).any()  # most rows were not looked at, so some next best person is missed


def test_without_a_way_to_count_bits_everybody_is_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    columns = sketched(crowd(500, 3), 3)
    monkeypatch.delattr(np, "bitwise_count", raising=False)
    asked = vectors(2, seed=9)
    np.testing.assert_array_equal(Many(columns, exact_to=0)(asked)[2], Many(columns)(asked)[2])


def test_many_queries_at_once_are_compared_with_everybody() -> None:
    columns = sketched(crowd(500, 3), 3)
    strangers = vectors(20, seed=9)
    np.testing.assert_array_equal(Many(columns, exact_to=0)(strangers)[2], Many(columns)(strangers)[2])


@given(st.integers(1, 300), st.integers(1, 300), st.integers(0, 100))
def test_nearest_rows_are_those_whose_bits_differ_least(count: int, most: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    sketches = random.integers(0, 2**63, (WORDS, count), dtype=np.uint64)
    asked = random.integers(0, 2**63, WORDS, dtype=np.uint64)
    bits: npt.NDArray[np.int64] = np.array(
        [sum(bin(int(word) ^ int(own)).count("1") for word, own in zip(row, asked, strict=True)) for row in sketches.T]
    )
    np.testing.assert_array_equal(differing_bits(sketches, asked), bits)
    chosen = nearest_rows(sketches, asked, most)
    assert len(chosen) >= min(most, count)
    left = np.setdiff1d(np.arange(count), chosen)
    assert not len(left) or bits[chosen].max() < bits[left].min()


@pytest.mark.parametrize("size", [8, 100, 128, 512, 1000])
def test_sketches_are_the_same_on_every_machine_and_tell_angles(size: int) -> None:
    one, other = vectors(2, 1, size)
    sketcher = Sketcher(size)
    assert sketcher(one[None]).shape == (WORDS, 1)
    share = differing_bits(sketcher(one[None]), sketcher(other[None])[:, 0])[0] / (64 * WORDS)
    assert share == pytest.approx(np.arccos(one @ other) / np.pi, abs=0.12)
    assert differing_bits(sketcher(one[None]), sketcher(-one[None])[:, 0])[0] > 60 * WORDS


def test_the_planes_stay_what_they_are() -> None:
    """Files were written with them: another numpy must not draw others."""
    axes = Sketcher(4)(np.eye(4, dtype=np.float32))
    assert [int(word) % 1000 for word in axes[0]] == [880, 530, 460, 894]


# --- the file of vectors ---


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "people.db"


def large(path: Path) -> GalleryStore:
    return GalleryStore(path, mapped_from=LARGE)


def file(path: Path) -> Path:
    return path.with_name(path.name + ".vectors")


@pytest.fixture
def store(path: Path) -> GalleryStore:
    """A large gallery, mapped."""
    store = large(path)
    for seed in range(LARGE):
        add(store, f"person {seed % 5}", seed=seed)
    assert isinstance(store.roster(), MappedRoster)
    return store


def agrees(store: GalleryStore) -> bool:
    """Whether the mapped roster is what reading the gallery gives, in every respect."""
    mapped, read = store.roster(), GalleryStore(store.path, mapped_from=10**9).roster()
    assert (mapped.names, mapped.revision, mapped.model, len(mapped)) == (
        read.names, read.revision, read.model, len(read),
    )  # fmt: skip
    np.testing.assert_array_equal(mapped.owners, read.owners)
    np.testing.assert_array_equal(mapped.embeddings.vectors, read.embeddings.vectors)
    return isinstance(mapped, MappedRoster)


def test_small_galleries_stay_one_file(path: Path) -> None:
    store = GalleryStore(path)
    for seed in range(3):
        add(store, "Lan", seed=seed)
    assert not isinstance(store.roster(), MappedRoster)
    assert [found.name for found in path.parent.iterdir()] == ["people.db"]
    assert MAPPED_FROM >= 1000


def test_a_large_gallery_is_mapped_once_and_opened_from_then_on(store: GalleryStore, path: Path) -> None:
    made = file(path).stat().st_ino
    assert agrees(large(path))
    assert file(path).stat().st_ino == made
    np.testing.assert_array_equal(store.roster().columns.sketches[:, 0], Sketcher(128)(vectors(1, 0))[:, 0])


def test_opening_reads_no_vector_of_the_gallery(store: GalleryStore, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(connection: object) -> None:
        raise AssertionError("the gallery was read")

    monkeypatch.setattr("manyfaces.gallery.store._roster", refuse)
    monkeypatch.setattr("manyfaces.gallery.store._all_faces", refuse)
    assert len(store.roster()) == LARGE


def test_every_change_is_followed(store: GalleryStore, path: Path) -> None:
    add(store, "many", seed=40, count=20)
    made = file(path).stat().st_ino
    changes: tuple[Callable[[], object], ...] = (
        lambda: add(store, "person 1", seed=50, count=2),
        lambda: add(store, "new", seed=60),
        lambda: add(store, "new", seed=61, digest="d"),
        lambda: add(store, "new", seed=61, digest="d"),
        lambda: store.rename("person 2", "Lan"),
        lambda: store.consent("Lan", Consent("yes", expires="2001-01-01")),
        lambda: store.remove("person 4"),
        lambda: store.purge(),
        lambda: add(store, "person 4", seed=70),
    )
    for change in changes:
        change()
        assert agrees(store)
    assert file(path).stat().st_ino == made


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.sampled_from("aarwp"), st.integers(0, 6)), min_size=1, max_size=8))
def test_any_order_of_changes_is_followed(steps: list[tuple[str, int]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        store = large(Path(folder) / "people.db")
        for seed in range(6):
            add(store, f"{seed}", seed=seed, count=4)
        assert agrees(store)
        for number, (kind, person) in enumerate(steps):
            names = [known.name for known in store.people()]
            if kind == "a":
                add(store, f"{person}", seed=100 + number, count=1 + person % 3)
            elif kind == "r" and f"{person}" in names:
                store.remove(f"{person}")
            elif kind == "w" and f"{person}" in names:
                store.rename(f"{person}", f"renamed {number}")
            elif f"{person}" in names:
                store.consent(f"{person}", Consent("until then", expires="2001-01-01"))
                store.purge()
            agrees(store)


def test_a_file_full_or_half_empty_is_written_anew(
    store: GalleryStore, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = file(path).stat().st_ino
    with file(path).open("rb"):  # as long as somebody has the old one, no new file has its number
        for person in range(3):
            store.remove(f"person {person}")
            add(store, "others", seed=80 + person, count=2)
        assert agrees(store)
        assert file(path).stat().st_ino != made
        assert len(store.roster().columns) < LARGE + 6
    monkeypatch.setattr(file_of_vectors, "LEAST_ROOM", 4)
    add(store, "many", seed=89, count=LARGE)
    file(path).unlink()
    assert agrees(store)
    made = file(path).stat().st_ino
    with file(path).open("rb"):
        for seed in range(90, 110):
            add(store, "many", seed=seed)
            assert agrees(store)
        assert file(path).stat().st_ino != made


def test_what_is_removed_leaves_the_file(store: GalleryStore, path: Path) -> None:
    add(store, "Wanted", seed=1000, count=5)
    wanted = vectors(5, 1000)
    sketches = Sketcher(128)(wanted)
    assert wanted[3].tobytes() in file(path).read_bytes()
    held = store.roster()
    assert store.remove("Wanted") == 5
    left = on_disk(store)
    assert not any(vector.tobytes() in left for vector in wanted)
    assert not any(sketches[word, row].tobytes() in left for word in range(WORDS) for row in range(5))
    assert agrees(store)
    # Who has the old state open sees nothing of these faces any more, and everybody else's as before.
    assert not held.embeddings.vectors[-5:].any()
    assert held.embeddings.vectors[:-5].any(axis=1).all()


def test_purging_everything_leaves_no_file(store: GalleryStore, path: Path) -> None:
    with file(path).open("rb") as held:
        store.purge(everything=True)
        assert not any(vector.tobytes() in held.read() for vector in vectors(1, 3))
    assert not file(path).exists()
    store.add("Lan", Embeddings(crowd(1, LARGE, size=16), "another"), qualities(LARGE))
    assert agrees(store)


def test_a_gallery_that_becomes_small_is_one_file_again(store: GalleryStore, path: Path) -> None:
    for person in range(3):
        store.remove(f"person {person}")
    assert not file(path).exists()
    assert len(store.roster()) == 4


# --- what goes wrong ---


def cut(path: Path) -> None:
    with file(path).open("r+b") as content:
        content.truncate(file(path).stat().st_size - 100)


def another_version(path: Path) -> None:
    content = file(path).read_bytes()
    file(path).write_bytes(content.replace(b"mfVector", b"mfVectoX", 1))


def spoil_both_slots(path: Path) -> None:
    content = bytearray(file(path).read_bytes())
    for at in file_of_vectors.SLOTS:
        content[at + 9] ^= 255
    file(path).write_bytes(content)


def changed_by_a_program_that_knows_nothing_of_it(path: Path) -> None:
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("DELETE FROM face WHERE id = 3")
        connection.execute("UPDATE state SET revision = revision + 1")
        connection.commit()


@pytest.mark.parametrize(
    "harm",
    [
        cut,
        another_version,
        spoil_both_slots,
        changed_by_a_program_that_knows_nothing_of_it,
        lambda path: file(path).unlink(),
        lambda path: file(path).write_bytes(b""),
        lambda path: file(path).write_bytes(b"Dear diary, " * 1000),
        lambda path: file(path).write_bytes(file(path).read_bytes()[:5000]),
    ],
)
def test_a_file_that_does_not_fit_is_made_anew(store: GalleryStore, path: Path, harm: Callable[[Path], object]) -> None:
    harm(path)
    add(store, "written meanwhile", seed=70)
    assert agrees(store)
    harm(path)
    assert agrees(store)


def test_a_gallery_put_back_from_a_copy_is_not_searched_with_the_vectors_of_before(
    store: GalleryStore, path: Path
) -> None:
    copy = path.read_bytes()
    store.remove("person 0")
    add(store, "person 9", seed=40)
    after = store.revision()
    path.write_bytes(copy)
    while store.revision() < after:
        add(store, "person 8", seed=41)
    assert agrees(store)
    assert "person 0" in store.roster().names


def test_a_gallery_removed_under_a_running_process_is_empty_and_the_next_one_its_own(
    store: GalleryStore, path: Path
) -> None:
    matcher = Matcher.of(store)
    path.unlink()
    assert len(store.roster()) == 0
    assert matcher(embeddings(seed=3)).similarities[0] > 0.5  # it names by what it saw until it looks anew
    add(store, "Lan", seed=200)
    assert not file(path).exists()
    assert store.roster().names == ("Lan",)


def test_a_folder_in_its_place_costs_speed_and_is_said_when_something_must_be_wiped(path: Path) -> None:
    file(path).mkdir()
    store = large(path)
    for seed in range(LARGE):
        add(store, f"person {seed % 5}", seed=seed)
    assert not agrees(store)
    with pytest.raises(GalleryError, match=r"change is saved, but .*people\.db\.vectors"):
        store.remove("person 1")
    assert "person 1" not in store.roster().names


@pytest.fixture
def read_only(path: Path) -> Iterator[Callable[[], None]]:
    """Takes this process the right to write the gallery's folder; root gives up its rights for that."""
    was_root = os.geteuid() == 0
    folders = [folder for folder in (path.parent, *path.parent.parents) if folder.stat().st_uid == os.geteuid()]
    modes = [(folder, folder.stat().st_mode) for folder in folders if folder != Path("/")]

    def take() -> None:
        for folder, mode in modes:
            folder.chmod(stat.S_IMODE(mode) | 0o055)
        for found in path.parent.iterdir():
            found.chmod(0o444)
        path.parent.chmod(0o555)
        if was_root:
            os.seteuid(65534)

    yield take
    if was_root:
        os.seteuid(0)
    for folder, mode in modes:
        folder.chmod(stat.S_IMODE(mode))


def test_a_gallery_that_may_only_be_read_is_searched_with_the_file(
    store: GalleryStore, path: Path, read_only: Callable[[], None]
) -> None:
    read_only()
    assert agrees(large(path))


def test_and_without_it(path: Path, read_only: Callable[[], None]) -> None:
    store = large(path)
    for seed in range(LARGE):
        add(store, "Lan", seed=seed)
    read_only()
    assert not agrees(large(path))
    assert len(large(path).roster()) == LARGE


def test_who_may_read_the_gallery_may_read_its_vectors_and_nobody_else(path: Path) -> None:
    store = large(path)
    for seed in range(LARGE):
        add(store, "Lan", seed=seed)
    path.chmod(0o640)
    store.roster()
    assert stat.S_IMODE(file(path).stat().st_mode) == 0o640
    file(path).unlink()
    path.chmod(0o600)
    store.roster()
    assert stat.S_IMODE(file(path).stat().st_mode) == 0o600


FULL = """
from test_gallery_scale import large
store = large(sys.argv[1])
add(store, "Lan", count=200)
resource.setrlimit(resource.RLIMIT_FSIZE, (BYTES, BYTES))
say(type(store.roster()).__name__)
try:
    for seed in range(400):
        add(store, f"person {seed}", seed=seed)
        saved = seed
except GalleryError as error:
    say(str(error))
say(len(store.roster()) - 200 - saved)
"""


@pytest.mark.parametrize(("limit", "kind"), [("400_000", "Roster"), ("1_000_000", "MappedRoster")])
def test_a_full_disk_costs_the_file_and_not_the_gallery(path: Path, limit: str, kind: str) -> None:
    with child(FULL.replace("BYTES", limit), path) as process:
        output, _ = process.communicate()
    first, *_, left = output.splitlines()
    assert first == kind
    assert left == "1"
    assert sound(path)
    assert agrees(large(path))
    assert not path.with_name("people.db.vectors.new").exists()


KILLED = """
from manyfaces.gallery import vectors
from test_gallery_scale import large
store = large(sys.argv[1])
real = vectors.WHERE
def stop(*given):
    done = real(*given) if FIRST else None
    say("there")
    sys.stdin.read()
vectors.WHERE = stop
store.remove("person 2") if "REMOVE" else add(store, "person 2", seed=99)
"""


def killed(path: Path, where: str, first: bool, remove: bool) -> None:
    code = KILLED.replace("WHERE", where).replace("FIRST", str(first)).replace("REMOVE", "yes" if remove else "")
    with child(code, path) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "there\n"
        process.send_signal(signal.SIGKILL)


@pytest.mark.parametrize("remove", [True, False])
@pytest.mark.parametrize("first", [True, False])
def test_killed_before_the_commit_nothing_has_changed(
    store: GalleryStore, path: Path, first: bool, remove: bool
) -> None:
    made = file(path).stat().st_ino
    killed(path, "_begin", first, remove)
    assert agrees(large(path))
    assert len(store.roster()) == LARGE
    add(store, "person 3", seed=71)
    assert agrees(store)
    store.remove("person 1")
    assert agrees(store)
    assert file(path).stat().st_ino == made
    assert vectors(1, 2)[0].tobytes() in file(path).read_bytes()


def test_killed_after_the_commit_the_change_holds_and_the_next_one_wipes(store: GalleryStore, path: Path) -> None:
    gone = vectors(1, 2)[0].tobytes()
    killed(path, "_wipe", False, True)
    assert agrees(large(path))
    assert "person 2" not in store.roster().names
    assert gone in file(path).read_bytes()
    store.purge()
    assert gone not in on_disk(store)
    assert agrees(store)


def test_what_a_killed_making_left_goes_with_the_next_change(store: GalleryStore, path: Path) -> None:
    left = path.with_name("people.db.vectors.new")
    left.write_bytes(file(path).read_bytes())
    store.remove("person 2")
    assert not left.exists()


def test_a_change_that_was_never_made_is_not_followed(store: GalleryStore, path: Path) -> None:
    mapped = file_of_vectors.VectorFile(path)
    with closing(sqlite3.connect(path)) as connection:
        state = State(*connection.execute("SELECT revision, stamp FROM state, stamp").fetchone())
    faces = Faces(np.array([99]), np.array([1]), vectors(1, 99))
    for removed in ([], [1, 2]):
        with mapped.following(Change(state, State(state.revision + 1, 5), MODEL, faces, np.array(removed, np.int64))):
            assert agrees(store)
        assert agrees(store)


TWO = """
from test_gallery_scale import large
store = large(sys.argv[1])
say("ready")
mine = sys.stdin.readline().strip()
for seed in range(12):
    add(store, f"{mine} {seed}", seed=seed)
    len(store.roster())
    if seed % 4 == 3:
        store._database.erase_traces = lambda: None
        store.remove(f"{mine} {seed - 1}")
"""


def test_two_processes_that_change_one_large_gallery_lose_nothing(store: GalleryStore, path: Path) -> None:
    with child(TWO, path) as first, child(TWO, path) as second:
        for process in (first, second):
            assert process.stdout is not None
            assert process.stdout.readline() == "ready\n"
        for name, process in (("a", first), ("b", second)):
            assert process.stdin is not None
            process.stdin.write(f"{name}\n")
            process.stdin.flush()
        while first.poll() is None or second.poll() is None:
            assert len(store.roster()) >= LARGE
    assert (first.returncode, second.returncode) == (0, 0)
    assert len(store.people()) == 5 + 2 * 9
    assert agrees(store)


# --- what stands on it ---


def test_a_mapped_gallery_names_and_calibrates_as_one_that_was_read(store: GalleryStore, path: Path) -> None:
    add(store, "person 1", seed=50, count=3)
    mapped, read = store.roster(), GalleryStore(path).roster()
    assert calibrate(mapped) == calibrate(read)
    asked = Embeddings(np.concatenate([vectors(3, 50), vectors(3, 400)]), MODEL)
    found, wanted = Matcher(mapped, calibrate(read))(asked), Matcher(read, calibrate(read))(asked)
    assert found.names == wanted.names
    np.testing.assert_allclose(found.similarities, wanted.similarities, atol=1e-6)


def test_only_some_people_are_copied(store: GalleryStore, path: Path) -> None:
    chosen = np.array([1, 3])
    mapped, read = store.roster().only(chosen), GalleryStore(path).roster().only(chosen)
    np.testing.assert_array_equal(mapped.owners, read.owners)
    np.testing.assert_array_equal(mapped.embeddings.vectors, read.embeddings.vectors)
    assert set(mapped.owners.tolist()) == {1, 3}


def test_of_very_many_people_some_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    roster = Roster(tuple(map(str, range(300))), np.repeat(np.arange(300), 2), Embeddings(crowd(300, 2), MODEL))
    everybody = measure(roster)
    monkeypatch.setattr("manyfaces.gallery.calibrate.MOST_PEOPLE", 100)
    some = measure(roster)
    assert (everybody.people, some.people) == (300, 100)
    assert some.impostor.mean() == pytest.approx(float(everybody.impostor.mean()), abs=0.01)
    assert some.impostor.std() == pytest.approx(float(everybody.impostor.std()), abs=0.01)
