"""Pairs of photos in the format of LFW's `pairs.txt`: read them, and draw new ones from a folder per person.

The first line says how many folds and how many pairs of each kind a fold has. Then, fold by fold, pairs of one person
(name, number, number) and pairs of two (name, number, other name, number), separated by tabs. Photo 7 of Lan lies in
`Lan/Lan_0007.jpg`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from manyfaces.errors import InputError

NUMBERED = re.compile(r"_(\d{4,})\.\w+$")


@dataclass(frozen=True, slots=True)
class Pair:
    """Two photos, whether they show the same person, and the fold the pair belongs to."""

    first: Path
    second: Path
    same: bool
    fold: int


def read_pairs(listing: Path, images: Path) -> list[Pair]:
    """Every pair of the file, its photos looked up below `images`."""
    try:
        lines = listing.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{listing}: cannot read the pairs ({error}); a text file as of LFW is expected") from None
    header, rows = lines[0].split() if lines else [], [line for line in lines[1:] if line.strip()]
    if not rows or not header or not all(word.isdigit() for word in header):
        raise InputError(f"{listing}: the first line must count the pairs, such as '10 300', and pairs must follow")
    per_fold = 2 * int(header[1]) if len(header) > 1 else -(-len(rows) // 10)
    return [_pair(row, listing, number, images, number // max(per_fold, 1)) for number, row in enumerate(rows)]


def _pair(row: str, listing: Path, number: int, images: Path, fold: int) -> Pair:
    words = row.split("\t") if "\t" in row else row.split()
    if len(words) == 3:
        words = [words[0], words[1], words[0], words[2]]
        same = True
    elif len(words) == 4:
        same = False
    else:
        raise InputError(f"{listing}, line {number + 2}: expected 'name n n' or 'name n name n', got {row!r}")
    return Pair(_photo(images, words[0], words[1]), _photo(images, words[2], words[3]), same, fold)


def _photo(images: Path, name: str, number: str) -> Path:
    path = images / name / f"{name}_{int(number):04d}.jpg" if number.isdigit() else images / name
    if not path.is_file():
        raise InputError(f"{path}: the pairs name this photo, but it is not there; check --images")
    return path


def draw_pairs(images: Path, folds: int, per_kind: int, seed: int) -> list[Pair]:
    """Random pairs without repetition: in every fold as many of one person as of two."""
    people = photos_by_person(images)
    rng = np.random.default_rng(seed)
    same = _distinct(_same_pair(people, rng), folds * per_kind)
    different = _distinct(_different_pair(people, rng), folds * per_kind)
    return [
        Pair(*photos, is_same, fold)
        for fold in range(folds)
        for kind, is_same in ((same, True), (different, False))
        for photos in kind[fold * per_kind : (fold + 1) * per_kind]
    ]


def photos_by_person(images: Path) -> dict[str, list[Path]]:
    """The numbered photos of every person with at least one, in order."""
    found = {
        folder.name: sorted(path for path in folder.iterdir() if NUMBERED.search(path.name))
        for folder in sorted(images.iterdir() if images.is_dir() else [])
        if folder.is_dir()
    }
    people = {name: photos for name, photos in found.items() if photos}
    if len(people) < 2 or not any(len(photos) > 1 for photos in people.values()):
        raise InputError(
            f"{images}: expected a folder per person with photos NAME/NAME_0001.jpg, of two people at least"
        )
    return people


def _same_pair(people: dict[str, list[Path]], rng: np.random.Generator) -> Iterator[tuple[Path, Path]]:
    several = [photos for photos in people.values() if len(photos) > 1]
    while True:
        photos = several[rng.integers(len(several))]
        first, second = sorted(rng.choice(len(photos), 2, replace=False))
        yield photos[first], photos[second]


def _different_pair(people: dict[str, list[Path]], rng: np.random.Generator) -> Iterator[tuple[Path, Path]]:
    everybody = list(people.values())
    while True:
        first, second = sorted(rng.choice(len(everybody), 2, replace=False))
        yield tuple(photos[rng.integers(len(photos))] for photos in (everybody[first], everybody[second]))


def _distinct(drawn: Iterator[tuple[Path, Path]], count: int) -> list[tuple[Path, Path]]:
    """The first `count` different pairs; gives up where the photos do not hold so many."""
    seen: dict[tuple[Path, Path], None] = {}
    for _ in range(count * 50):
        if len(seen) == count:
            break
        seen[next(drawn)] = None
    if len(seen) < count:
        raise InputError(f"these photos hold fewer than {count} different pairs of each kind; ask for fewer")
    return list(seen)


def write_pairs(pairs: list[Pair], path: Path) -> None:
    folds = max(pair.fold for pair in pairs) + 1
    lines = [f"{folds}\t{len(pairs) // folds // 2}", *map(_line, pairs)]
    path.write_text("\n".join(lines) + "\n", encoding="utf-8")


def _line(pair: Pair) -> str:
    first, second = (str(int(_number(photo))) for photo in (pair.first, pair.second))
    if pair.same:
        return "\t".join([pair.first.parent.name, first, second])
    return "\t".join([pair.first.parent.name, first, pair.second.parent.name, second])


def _number(photo: Path) -> str:
    found = NUMBERED.search(photo.name)
    if not found:
        raise InputError(f"{photo}: the name must end in a number of four digits, as in Lan_0007.jpg")
    return found.group(1)
