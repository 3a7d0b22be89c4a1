"""Methods of telling one's own people apart, side by side: the pretrained network, networks learnt from nothing, a head
on the pretrained one.

    python benchmarks/identity_methods.py ../shared/data/facenet5 [METHOD[=SPLITS]...]

The splits are those of `manyfaces evaluate identity`: of each person a fifth is asked about by the
nearest face of the rest, which is enrolled; duplicates are left out. What learns, learns from the enrolled photos
alone. Writes benchmarks/results/identity_methods.json after every split, and goes on where it stopped.
"""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, TypeAlias

import numpy as np
import torch
from quality import made_by

from manyfaces.build import build_identity_head, build_stages, nobody
from manyfaces.evaluate.identity import photos_by_folder, stratified_splits
from manyfaces.options import Options
from manyfaces.portraits import Portraits, read_portraits
from manyfaces.sources import read_picture
from manyfaces.train.fit import Progress, fit
from manyfaces.train.identity.adapt import Base, bent, compare, head_without, seen_by
from manyfaces.train.identity.lesson import FaceLesson, nearest, vectors_of
from manyfaces.train.identity.own import learner, learnt
from manyfaces.train.identity.people import PeopleData, people_data
from manyfaces.train.identity.recipes import RECIPES
from manyfaces.types import Crops, Floats, Pixels
from manyfaces.weights import load

RESULTS = Path(__file__).parent / "results" / "identity_methods.json"
SPLITS, SEED = 20, 0
Method: TypeAlias = Callable[[PeopleData], tuple[Floats, dict[str, Any]]]
"""From the crops, of which those held are asked about, to a vector of each, and what else there is to tell."""

METHODS: Mapping[str, int] = {
    "pretrained": SPLITS,
    "adapt": SPLITS,
    "adapt-triplet": SPLITS,
    "compact": SPLITS,
    "tutorial": 5,
    "tutorial-plain": 5,
}
"""On how many of the splits each is tried: the tutorials' network takes minutes for each. All but the first are recipes
of `train identity`."""


def main(folder: Path, methods: list[str]) -> None:
    """Write after each split, so that a broken run keeps what it has."""
    portraits = read(folder)
    done: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    people = [Path(name).parent.name for name in portraits.names]
    held = list(stratified_splits(people, SPLITS, SEED))
    data = people_data(portraits.crops, people)
    for asked in methods or list(METHODS):
        name, _, count = asked.partition("=")
        method = method_of(name, portraits, data)
        rows = done.get(name, {}).get("rows", [])
        for number in range(len(rows), int(count or METHODS[name])):
            started = time.perf_counter()
            split = replace(data, held=held[number])
            row = judged(*method(split), split, portraits)
            rows.append(row | {"seconds": round(time.perf_counter() - started, 1)})
            done[name] = {**summary(rows, portraits), "made_by": made_by(), "rows": rows}
            RESULTS.write_text(json.dumps(done, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
            print(name, number + 1, row["accuracy"], done[name]["accuracy"], flush=True)


def read(folder: Path) -> Portraits:
    """Every photo's main face, as `evaluate identity` reads it; named within the folder."""
    photos = [path for paths in photos_by_folder(folder).values() for path in paths]
    pictures = ((str(path.relative_to(folder)), read_picture(path)) for path in photos)
    return read_portraits(pictures, build_stages(Options(emotion=False), nobody))


def method_of(name: str, portraits: Portraits, data: PeopleData) -> Method:
    if name == "pretrained":
        return lambda _: (portraits.embeddings.vectors, {})
    return adapted(name, data) if RECIPES[name].adapts else own(name)


def own(name: str) -> Method:
    """A network learnt from what is enrolled."""

    def vectors(data: PeopleData) -> tuple[Floats, dict[str, Any]]:
        recipe = RECIPES[name]
        fresh = learner(recipe, len(data.names))
        with TemporaryDirectory() as folder:
            fit(fresh, FaceLesson(data, recipe), recipe.plan, Path(folder), report=told)
            network = learnt(Path(folder), fresh)
        return vectors_of(network, data.pixels, recipe.design.side), {}  # type: ignore[union-attr]

    return vectors


def adapted(name: str, data: PeopleData) -> Method:
    """A head learnt from what is enrolled; whether the command would have kept it, by what is enrolled alone."""
    weights, head = load("sface"), build_identity_head(Options())

    def ask(crops: Pixels) -> Floats:
        return head(Crops(crops, np.arange(len(crops)))).vectors

    recipe = RECIPES[name]
    seen = seen_by(Base(weights.content, weights.card, ask), data, recipe)

    def vectors(split: PeopleData) -> tuple[Floats, dict[str, Any]]:
        comparison = compare(seen[~split.held], recipe, lambda: None)
        network = head_without(split.held, seen, recipe)
        return bent(network, seen.vectors[0]), {"kept": comparison.is_better, "gain": comparison.gain}

    return vectors


def told(progress: Progress) -> None:
    if progress.figures and progress.epoch % 5 == 0:
        print(
            "  epoch", progress.epoch, {name: round(value, 4) for name, value in progress.figures.items()}, flush=True
        )


def judged(vectors: Floats, more: dict[str, Any], data: PeopleData, portraits: Portraits) -> dict[str, Any]:
    """One split: how many were right, and which were not. A face that is not found is not right."""
    names = portraits.names
    enrolled, asked = np.flatnonzero(~data.held & portraits.found), np.flatnonzero(data.held)
    found = enrolled[nearest(vectors[asked], vectors[enrolled])]
    wrong = [
        {"picture": names[photo], "nearest": names[taken]}
        for photo, taken in zip(asked.tolist(), found.tolist(), strict=True)
        if data.owners[photo] != data.owners[taken] or not portraits.found[photo]
    ]
    return {"accuracy": round(1 - len(wrong) / len(asked), 4), "asked": len(asked), "wrong": wrong, **more}


def summary(rows: list[dict[str, Any]], portraits: Portraits) -> dict[str, Any]:
    """Means over the splits, with an interval over them: splits share photos, so it is a little too narrow."""
    accuracies = np.array([row["accuracy"] for row in rows])
    error = 1.96 * accuracies.std(ddof=1) / np.sqrt(len(rows)) if len(rows) > 1 else float("nan")
    often = Counter(wrong["picture"] for row in rows for wrong in row["wrong"])
    return {
        "accuracy": round(float(accuracies.mean()), 4),
        "accuracy_std": round(float(accuracies.std()), 4),
        "accuracy_interval": None
        if len(rows) < 2
        else [round(float(accuracies.mean() + side * error), 4) for side in (-1, 1)],
        "splits": len(rows),
        "photos": len(portraits.names),
        "undetected": portraits.undetected,
        **({"kept": sum(row["kept"] for row in rows)} if "kept" in rows[0] else {}),
        "wrong": dict(often.most_common()),
    }


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: python benchmarks/identity_methods.py FOLDER [METHOD...]")
    torch.set_num_threads(1)
    main(Path(sys.argv[1]), sys.argv[2:])
