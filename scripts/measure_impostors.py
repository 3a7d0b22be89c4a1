"""Measures how alike strangers and photos of one person are, for galleries too small to tell by themselves.

Run:  python scripts/measure_impostors.py FOLDER src/manyfaces/gallery/impostors.json
FOLDER holds a folder of photos per person, as LFW does. Only averages and quantiles are written, no vector and no name.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from manyfaces import runtime, weights
from manyfaces.align import align
from manyfaces.detect.yunet import YuNet
from manyfaces.gallery.rules import RULES, Rule
from manyfaces.heads.identity import IdentityHead
from manyfaces.types import Crops, Detections, Floats

FACES = (1, 2, 3, 5, 9, 14)
TAIL = (0, 0.001, 0.0025, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5)
PROBABILITIES = (*TAIL, *(1 - probability for probability in reversed(TAIL[:-1])))
DRAWS = 20

Doubles = npt.NDArray[np.float64]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("output", type=Path)
    arguments = parser.parse_args()
    vectors, people, model = embed(arguments.folder)
    content = {"model": model, "data": arguments.folder.name, **statistics(vectors, people)}
    arguments.output.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def embed(folder: Path) -> tuple[Floats, npt.NDArray[np.int64], str]:
    """The face nearest the middle of every photo: in LFW that is the person whom the folder is named after."""
    detector, head = _stages()
    vectors, people = [], []
    for person, inside in enumerate(sorted(path for path in folder.iterdir() if path.is_dir())):
        for photo in sorted(inside.glob("*.jpg")):
            image = np.asarray(cv2.imread(str(photo), cv2.IMREAD_COLOR), np.uint8)[:, :, ::-1].copy()
            found = detector([image])[0]
            if len(found):
                crops = align(image, found.landmarks[_central(found, image.shape)], head.spec)
                vectors.append(head(Crops(crops, np.zeros(1, np.int64))).vectors[0])
                people.append(person)
        print(f"{person + 1} people, {len(people)} photos", file=sys.stderr)
    return np.stack(vectors), np.array(people), weights.load("sface").card.identifier


def statistics(vectors: Floats, people: npt.NDArray[np.int64]) -> dict[str, Any]:
    """Spreads for several numbers of enrolled faces per person, over random choices of which faces are enrolled."""
    similarities = vectors @ vectors.T
    sane = _plausible(similarities, people)
    generator = np.random.default_rng(0)
    by_rule: dict[str, list[dict[str, Any]]] = {name: [] for name in RULES}
    for faces in FACES:
        enrolments = [_enrolment(people, faces, sane, generator) for _ in range(DRAWS)]
        for name, rule in RULES.items():
            draws = [_compared(vectors, sane, people, enrolled, rule) for enrolled in enrolments]
            impostor = np.concatenate([draw[0] for draw in draws])
            genuine = np.concatenate([draw[1] for draw in draws])
            by_rule[name].append({"faces": faces, "impostor": _summary(impostor), "genuine": _summary(genuine)})
    counts = {"people": len(np.unique(people)), "photos": len(people), "left_out": int((~sane).sum())}
    return {**counts, "by_rule": by_rule}


def _plausible(similarities: Floats, people: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
    """False for photos in the wrong folder: nearer to another person than to their own and than most pairs."""
    same = people[:, None] == people[None, :]
    itself = np.eye(len(people), dtype=bool)
    typical = np.median(similarities[same & ~itself])
    own = np.where(same & ~itself, similarities, -1).max(axis=1)
    other = np.where(same, -1, similarities).max(axis=1)
    return np.asarray((other < typical) | (other < own))


def _enrolment(
    people: npt.NDArray[np.int64], faces: int, sane: npt.NDArray[np.bool_], generator: np.random.Generator
) -> npt.NDArray[np.int64]:
    """`faces` random photos of everybody."""
    return np.concatenate([_some(people, person, faces, sane, generator) for person in np.unique(people)])


def _compared(
    vectors: Floats,
    sane: npt.NDArray[np.bool_],
    people: npt.NDArray[np.int64],
    enrolled: npt.NDArray[np.int64],
    rule: Rule,
) -> tuple[Doubles, Doubles]:
    """All photos that are not enrolled against everybody, as the rule has it: other people, and their own."""
    rest = np.setdiff1d(np.flatnonzero(sane), enrolled)
    columns = np.unique(people)
    standing = [rule.of_person(vectors[enrolled[people[enrolled] == person]]) for person in columns]
    best = np.stack([(vectors[rest] @ faces.T).max(axis=1) for faces in standing], axis=1)
    own = people[rest][:, None] == columns[None, :]
    return best[~own].astype(np.float64), best[own].astype(np.float64)


def _some(
    people: npt.NDArray[np.int64],
    person: int,
    faces: int,
    sane: npt.NDArray[np.bool_],
    generator: np.random.Generator,
) -> npt.NDArray[np.int64]:
    return generator.permutation(np.flatnonzero((people == person) & sane))[:faces]


def _summary(values: Doubles) -> dict[str, Any]:
    quantiles = np.quantile(values, PROBABILITIES)
    return {
        "mean": round(float(values.mean()), 5),
        "std": round(float(values.std()), 5),
        "count": len(values),
        "quantiles": {
            f"{probability:g}": round(float(value), 4)
            for probability, value in zip(PROBABILITIES, quantiles, strict=True)
        },
    }


def _central(found: Detections, shape: tuple[int, ...]) -> npt.NDArray[np.int64]:
    middles = (found.boxes[:, :2] + found.boxes[:, 2:]) / 2
    away = np.hypot(middles[:, 0] - shape[1] / 2, middles[:, 1] - shape[0] / 2)
    return np.array([int(away.argmin())])


def _stages() -> tuple[YuNet, IdentityHead]:
    same_everywhere = runtime.Runtime(precision="f32")
    yunet, sface = weights.load("yunet"), weights.load("sface")
    detector = YuNet(runtime.load_network(yunet.content, yunet.card.input, same_everywhere))
    network = runtime.load_network(sface.content, sface.card.input, same_everywhere)
    return detector, IdentityHead(network, sface.card.input, sface.card.identifier)


if __name__ == "__main__":
    main()
