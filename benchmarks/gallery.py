"""How galleries of 10,000 to 1,000,000 faces are opened, searched and changed.

    python benchmarks/gallery.py                        (writes benchmarks/results/gallery.json)
    python benchmarks/gallery.py --sizes 10000,100000   (only these; sizes that are there stay, --again measures anew)

Drawn unit vectors: four faces a person, as alike as SFace finds photos of one person (0.62) and strangers (0.09).
Figures are of one core: processor time, so that other work on the machine is not counted, except for what waits for the
disk, which is wall time and says so. One new photo of each of 200 enrolled people, and 200 strangers, are asked about.
"""

from __future__ import annotations

import os

os.environ.update({"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"})

import argparse
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

from manyfaces.gallery.calibrate import calibrate
from manyfaces.gallery.many import EXACT_TO, Many
from manyfaces.gallery.roster import MappedRoster
from manyfaces.gallery.search import Search
from manyfaces.gallery.store import GalleryStore
from manyfaces.types import Embeddings, Floats, Qualities

RESULTS = Path(__file__).parent / "results" / "gallery.json"
SIZES = (10_000, 100_000, 1_000_000)
EACH, SIZE = 4, 128
SAME, STRANGERS = 0.62, 0.0876
"""The mean similarity of two photos of one person, and of two people (src/manyfaces/gallery/impostors.json)."""

ASKED = 200
MODEL = "drawn"
INSERT = """INSERT INTO face (person, model, vector, source, digest, added, size, sharpness, yaw, inside)
    VALUES (?, ?, ?, ?, '', '2026-01-01', 80, 150, 0.1, 1)"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--sizes", default=",".join(map(str, SIZES)), help="faces, with commas")
    parser.add_argument("--again", action="store_true", help="measure also what has been measured")
    chosen = parser.parse_args()
    figures: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {"sizes": {}}
    for count in map(int, chosen.sizes.split(",")):
        if str(count) in figures["sizes"] and not chosen.again:
            continue
        # A process of its own for each size, so that its memory is its own.
        done = subprocess.run([sys.executable, __file__, "--one", str(count)], stdout=subprocess.PIPE, check=True)
        figures["sizes"][str(count)] = json.loads(done.stdout)
        figures["made_by"] = made_by()
        figures["sizes"] = dict(sorted(figures["sizes"].items(), key=lambda item: int(item[0])))
        RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        print(count, json.dumps(figures["sizes"][str(count)], indent=2))


def measured(count: int) -> dict[str, Any]:
    with tempfile.TemporaryDirectory() as folder:
        store = GalleryStore(Path(folder) / "people.db")
        crowd = Crowd(count // EACH)
        fill(store, crowd)
        figures: dict[str, Any] = {"people": crowd.people, "seconds_to_map": wall(store.roster)}
        figures["file_mb"] = {
            path.name.removeprefix("people."): round(path.stat().st_blocks * 512 / 2**20, 1)
            for path in sorted(Path(folder).iterdir())
        }
        figures |= opened(store)
        figures |= asked(store, crowd)
        figures["seconds_to_calibrate"] = processor(lambda: calibrate(store.roster()), 1) / 1e3
        figures["seconds_to_list_people"] = processor(store.people, 1) / 1e3
        figures |= changed(store, crowd)
        return figures


class Crowd:
    """People, others with every seed, and photos of them: `photo` numbers draw different ones of everybody."""

    def __init__(self, people: int, seed: int = 1) -> None:
        self.people = people
        middles = unit(np.random.default_rng(seed).standard_normal((people, SIZE), dtype=np.float32))
        common = unit(np.random.default_rng(0).standard_normal((1, SIZE), dtype=np.float32))
        # Two people are alike by what the photos of both share, so their middles are more alike than the photos.
        share = STRANGERS / SAME
        self._middles = unit(np.sqrt(1 - share) * middles + np.sqrt(share) * common)

    def photos(self, photo: int, first: int, last: int) -> Floats:
        random = np.random.default_rng([photo, first])
        noise = random.standard_normal((last - first, SIZE), dtype=np.float32) / np.sqrt(SIZE)
        return unit(np.sqrt(SAME) * self._middles[first:last] + np.sqrt(1 - SAME) * noise)


def unit(vectors: Floats) -> Floats:
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return (vectors / lengths).astype(np.float32)


def fill(store: GalleryStore, crowd: Crowd) -> None:
    """As enrolling would leave it, in one transaction instead of one for each photo."""
    store.add("person 0", Embeddings(crowd.photos(EACH, 0, 1), MODEL), QUALITY)
    with store._database.writing() as connection:
        named = ((place + 1, f"person {place}") for place in range(1, crowd.people))
        connection.executemany("INSERT INTO person (id, name, added) VALUES (?, ?, '2026-01-01')", named)
        connection.executemany(INSERT, rows(crowd))
        connection.execute("UPDATE state SET revision = revision + 1")


def rows(crowd: Crowd) -> Iterator[tuple[int, str, bytes, str]]:
    for first in range(0, crowd.people, 10_000):
        last = min(first + 10_000, crowd.people)
        photos = np.stack([crowd.photos(photo, first, last) for photo in range(EACH)], axis=1)
        for place in range(first, last):
            for photo in range(EACH if place else EACH - 1):
                yield place + 1, MODEL, photos[place - first, photo].tobytes(), f"photos/{place}/{photo}.jpg"


QUALITY = Qualities(*(np.ones(1, np.float32) for _ in range(4)))


def opened(store: GalleryStore) -> dict[str, float]:
    before = resident_mb()
    figures = {
        "milliseconds_to_open": processor(store.roster, 5),
        "milliseconds_to_read_without_the_file": processor(store._read, 1),
    }
    search = Search(store.roster())
    return figures | {
        "resident_mb_before_opening": before,
        "resident_mb_opened": resident_mb(),
        "names": len(search.names),
    }


def asked(store: GalleryStore, crowd: Crowd) -> dict[str, Any]:
    """Each count of queries at once as it is searched, and all compared with everybody."""
    roster = store.roster()
    people = np.linspace(0, crowd.people - 1, ASKED).astype(int)
    enrolled = np.concatenate([crowd.photos(99, place, place + 1) for place in people])
    strangers = Crowd(ASKED, seed=2).photos(98, 0, ASKED)
    search, exact = Many(roster.columns), Many(roster.columns, exact_to=10**9)
    figures: dict[str, Any] = {"index": len(roster) > EXACT_TO}
    for way, answer in (("", search), ("_exact", exact)):
        for at_once in (1, 8, 64):
            timed = processor(lambda answer=answer, at_once=at_once: answer(enrolled[:at_once]), 15)  # type: ignore[misc]
            figures[f"milliseconds_for_{at_once}{way}"] = timed
    for kind, queries in (("enrolled", enrolled), ("strangers", strangers)):
        wanted, found = exact(queries), one_by_one(search, queries)
        figures[f"recall_{kind}"] = round(float((found[0] == wanted[0]).mean()), 4)
        figures[f"similarity_missed_{kind}"] = round(float((wanted[1] - found[1]).max()), 4)
    figures["right_person"] = round(float((one_by_one(search, enrolled)[0] == people).mean()), 4)
    return figures | {"resident_mb_after_searching": resident_mb()}


def one_by_one(search: Many, queries: Floats) -> list[Any]:
    return [np.concatenate(parts) for parts in zip(*(search(query[None]) for query in queries), strict=True)]


def changed(store: GalleryStore, crowd: Crowd) -> dict[str, float]:
    """Photos of people who are enrolled already and of new ones, each saved before the next; then people removed."""
    photos = crowd.photos(97, 0, 60)

    def add() -> None:
        for place, photo in enumerate(photos):
            name = f"person {place}" if place % 2 else f"new {place}"
            store.add(name, Embeddings(photo[None], MODEL), QUALITY)

    added = wall(add)
    removed = wall(lambda: store.remove("person 1"))
    # Each removal rewrites the gallery itself, so that nothing of the person can be found in it. What is left without:
    store._database.erase_traces = lambda: None  # type: ignore[method-assign]
    several = wall(lambda: [store.remove(f"person {place}") for place in range(3, 43, 2)])
    followed = store.roster()
    assert isinstance(followed, MappedRoster)
    assert len(followed) == EACH * crowd.people + len(photos) - 21 * (EACH + 1)
    return {
        "added_per_second": round(len(photos) / added, 1),
        "removed_per_second": round(1 / removed, 2),
        "removed_per_second_but_for_rewriting_the_gallery": round(20 / several, 1),
    }


def processor(work: Callable[[], object], times: int) -> float:
    """The median of the milliseconds of processor time."""
    taken = []
    for _ in range(times + (times > 1)):
        start = time.process_time()
        work()
        taken.append(1e3 * (time.process_time() - start))
    return round(float(np.median(taken[1:] or taken)), 2)


def wall(work: Callable[[], object]) -> float:
    start = time.perf_counter()
    work()
    return round(time.perf_counter() - start, 3)


def resident_mb() -> float:
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return round(pages * 4096 / 2**20, 1)


def made_by() -> dict[str, str]:
    commit = ["git", "-C", str(Path(__file__).parent), "rev-parse", "--short", "HEAD"]
    models = [line for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if "model name" in line]
    return {
        "processor": models[0].split(":", 1)[1].strip() if models else platform.processor(),
        "python": platform.python_version(),
        "numpy": np.__version__,
        "commit": subprocess.run(commit, capture_output=True, text=True, check=False).stdout.strip(),
    }


if __name__ == "__main__":
    if sys.argv[1:2] == ["--one"]:
        print(json.dumps(measured(int(sys.argv[2]))))
    else:
        main()
