"""How well people are known again when it is hard: few photos, small, blurred, dark and half hidden faces; strangers.

    python benchmarks/people.py ../shared/data              (minutes; writes benchmarks/results/people.json)
    python benchmarks/people.py ../shared/data --work DIR   (where what was read is kept; a second run goes on from it)

The folder holds `facenet5/` and `lfw60/`, a folder of photos per person. `hardships.py` says what is done to the photos
that are asked about; the enrolled ones are as they are. A hard photo goes through the whole product, its detector too,
and a face that this does not find is a wrong answer. "one look": without the second look at small faces; "face given":
with the landmarks of the good photo instead of a detector's.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Iterator
from dataclasses import asdict, dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from hardships import HARDSHIPS, Hardship
from quality import made_by

from manyfaces.build import build_stages, calibrated_identifier, nobody
from manyfaces.closer import as_seen
from manyfaces.evaluate.identity import copies, photos_by_folder, stratified_splits
from manyfaces.evaluate.open_set import open_curve
from manyfaces.evaluate.shares import Counts, by_person, paired_gain
from manyfaces.gallery.roster import Roster
from manyfaces.gallery.rules import DEFAULT, NEAREST, RULES, Rule
from manyfaces.gallery.search import Search
from manyfaces.options import Options
from manyfaces.pipeline import Stages
from manyfaces.portraits import Portraits, main_face, read_portraits
from manyfaces.sources import read_picture
from manyfaces.types import Detections, Embeddings, Integers, Pixels

RESULTS = Path(__file__).parent / "results" / "people.json"
SETS = ("lfw60", "facenet5")
EASY, GIVEN, ONE_LOOK = "as it is", ", face given", ", one look"
PHOTOS, DRAWS = (1, 3, 5, 10), 10
ENROLLED, HALVES = 30, 20
"""People of a gallery before strangers, and how many such galleries are drawn."""


def main() -> None:
    """Write after each part, so that a broken run keeps what it has."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path(tempfile.gettempdir()) / "manyfaces-people")
    arguments = parser.parse_args()
    cv2.setNumThreads(1)
    arguments.work.mkdir(parents=True, exist_ok=True)
    figures: dict[str, Any] = {"made_by": made_by()}
    for name in SETS:
        readings = Readings.of(arguments.data / name, arguments.work)
        figures[name] = hard_curve(readings)
        write(figures)
        if len(readings.names) > 2 * ENROLLED - 1:
            figures[f"{name}, open set"] = open_set(readings)
            figures[f"{name}, kept back"] = hard_curve(readings.kept_back())
            write(figures)


def write(figures: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(_rounded(figures), indent=1) + "\n", encoding="utf-8")


def _rounded(value: Any) -> Any:
    """Shares to a thousandth of a percent: the rest is noise, and a hundred kilobytes."""
    if isinstance(value, dict):
        return {name: _rounded(part) for name, part in value.items()}
    if isinstance(value, (list, tuple)):
        return [_rounded(part) for part in value]
    return round(value, 5) if isinstance(value, float) else value


def hard_curve(readings: Readings) -> dict[str, Any]:
    """Accuracy by hardship, photos per person and rule; of the other rules the gain over the nearest face, paired; of
    the second look the gain over one look, with the product's rule."""
    hardships = {
        kind: {
            "detected": float(portraits.found.mean()),
            "photos_per_person": {photos: by_rule(readings, kind, photos) for photos in PHOTOS},
        }
        for kind, portraits in readings.of_hardship.items()
    }
    return {"photos": len(readings.owners), "people": len(readings.names), "hardships": hardships}


def by_rule(readings: Readings, kind: str, photos: int) -> dict[str, Any]:
    right = {name: readings.right(kind, photos, rule) for name, rule in RULES.items()}
    _, asked = right[NEAREST.name]
    row: dict[str, Any] = {"asked": int(asked.sum())}
    for name, (happened, _) in right.items():
        accuracy = float(happened.sum() / asked.sum())
        row[name] = {"accuracy": accuracy, "interval": by_person(happened, asked, len(readings.owners))}
        if name != NEAREST.name and photos > 1:
            gain, interval = paired_gain(right[NEAREST.name][0], happened, asked)
            row[name] |= {"gain": gain, "gain_interval": interval}
    if kind + ONE_LOOK in readings.of_hardship:
        once, _ = readings.right(kind + ONE_LOOK, photos, DEFAULT)
        gain, interval = paired_gain(once, right[DEFAULT.name][0], asked)
        row["second_look"] = {"gain": gain, "gain_interval": interval}
    return row


def open_set(readings: Readings) -> dict[str, Any]:
    """Galleries of ENROLLED people drawn by lot, calibrated for a stated share of the others, who are strangers."""
    portraits = readings.of_hardship[EASY]
    people = [readings.names[owner] for owner in readings.owners]
    held = list(stratified_splits(people, HALVES, 0, groups=readings.groups))
    found: dict[str, Any] = {}
    for name, rule in RULES.items():
        points = open_curve(portraits, people, held, partial(calibrated_identifier, rule=rule), 0, (ENROLLED,))
        found[name] = [asdict(point) for point in points]
    return found


@dataclass(frozen=True, eq=False)
class Readings:
    """A folder's photos, whose they are, and what was read of them under each hardship."""

    names: tuple[str, ...]
    owners: Integers
    of_hardship: dict[str, Portraits]

    @classmethod
    def of(cls, folder: Path, work: Path) -> Readings:
        photos = photos_by_folder(folder)
        paths = [path for several in photos.values() for path in several]
        owners = np.repeat(np.arange(len(photos)), [len(several) for several in photos.values()])
        reader = Reader(paths, work, folder.name)
        small = [name for name in HARDSHIPS if name.endswith("pixels")]
        kinds = [*HARDSHIPS, *(name + way for way in (ONE_LOOK, GIVEN) for name in small)]
        return cls(tuple(photos), owners, {kind: reader.kept(kind) for kind in kinds})

    @cached_property
    def groups(self) -> Integers:
        """Equal numbers for copies of one photo."""
        return copies(self.of_hardship[EASY])

    def right(self, kind: str, photos: int, rule: Rule) -> tuple[Counts, Counts]:
        """How many photos made hard were named rightly and how many were asked about, person by person, over draws of
        the enrolled photos. Copies of an enrolled photo are not asked about."""
        easy, hard = self.of_hardship[EASY], self.of_hardship[kind]
        groups = self.groups
        happened, asked = np.zeros(len(self.names)), np.zeros(len(self.names))
        for draw in range(DRAWS):
            chosen = self._enrolled(photos, draw)
            rest = np.flatnonzero(~np.isin(groups, groups[chosen]))
            roster = Roster(self.names, self.owners[chosen], easy.embeddings[chosen])
            named = Search(rule(roster))(hard.embeddings[rest]).people
            np.add.at(happened, self.owners[rest], (named == self.owners[rest]) & hard.found[rest])
            np.add.at(asked, self.owners[rest], 1)
        return happened, asked

    def kept_back(self) -> Readings:
        """Half of the people, by lot: the rule was chosen on the others and on facenet5."""
        chosen = np.sort(np.random.default_rng(100).permutation(len(self.names))[len(self.names) // 2 :])
        photos = np.flatnonzero(np.isin(self.owners, chosen))
        return Readings(
            tuple(self.names[owner] for owner in chosen),
            np.searchsorted(chosen, self.owners[photos]),
            {kind: _some(portraits, photos) for kind, portraits in self.of_hardship.items()},
        )

    def _enrolled(self, photos: int, draw: int) -> Integers:
        """So many photos of each person, the same for every hardship and rule, in the order of the people."""
        rng = np.random.default_rng((draw, photos))
        usable = self.of_hardship[EASY].found
        theirs = [np.flatnonzero((self.owners == owner) & usable) for owner in range(len(self.names))]
        return np.concatenate([rng.permutation(several)[:photos] for several in theirs])


def _some(portraits: Portraits, photos: Integers) -> Portraits:
    names = tuple(portraits.names[photo] for photo in photos)
    crops = portraits.crops[photos] if len(portraits.crops) else portraits.crops
    return Portraits(names, portraits.embeddings[photos], portraits.found[photos], crops)


class Reader:
    """Reads photos made hard, or finds what an earlier run has read."""

    def __init__(self, paths: list[Path], work: Path, name: str) -> None:
        self._paths, self._work, self._name = paths, work, name
        self._known: Stages | None = None
        self._faces: list[Detections] = []

    def kept(self, kind: str) -> Portraits:
        file = self._work / f"{self._name}, {kind}.npz"
        if not file.exists():
            print("reading", file.stem, flush=True)
            read = self._read(kind)
            fresh = file.with_suffix(".new.npz")
            crops = read.crops if kind == EASY else read.crops[:0]
            np.savez(
                fresh, names=read.names, vectors=read.embeddings.vectors, model=read.embeddings.model,
                found=read.found, crops=crops,
            )  # fmt: skip
            fresh.replace(file)
        with np.load(file) as kept:
            embeddings = Embeddings(kept["vectors"], str(kept["model"]))
            return Portraits(tuple(kept["names"].tolist()), embeddings, kept["found"], kept["crops"])

    @property
    def _stages(self) -> Stages:
        self._known = self._known or build_stages(Options(emotion=False, threads=1), nobody)
        return self._known

    def _read(self, kind: str) -> Portraits:
        stages = self._stages
        self._faces = self._faces or [_main(stages, read_picture(path)) for path in self._paths]
        hard = self._hard(HARDSHIPS[kind.removesuffix(GIVEN).removesuffix(ONE_LOOK)])
        if not kind.endswith(GIVEN):
            stages = replace(stages, closer=as_seen) if kind.endswith(ONE_LOOK) else stages
            return read_portraits(((name, image) for name, image, _ in hard), stages)
        several = list(hard)
        told = iter([face for _, _, face in several])
        given = replace(stages, detect=lambda images: [next(told) for _ in images], closer=as_seen)
        return read_portraits(((name, image) for name, image, _ in several), given)

    def _hard(self, hardship: Hardship) -> Iterator[tuple[str, Pixels, Detections]]:
        """Every photo made hard, with its face; a photo in which none was found stays as it is."""
        assert self._stages.identity is not None
        spec = self._stages.identity.spec
        for path, face in zip(self._paths, self._faces, strict=True):
            name, image = f"{path.parent.name}/{path.name}", read_picture(path)
            if not len(face):
                yield name, image, face
                continue
            side = float((face.boxes[0, 2:] - face.boxes[0, :2]).min())
            harder, landmarks = hardship(image, face.landmarks[0], side, spec)
            yield name, harder, Detections(face.boxes, face.scores, landmarks[None])


def _main(stages: Stages, image: Pixels) -> Detections:
    found = stages.detect([image])[0]
    return found[main_face(found, image.shape[1], image.shape[0])]


if __name__ == "__main__":
    main()
