"""What a small embedder taught by the shipped one loses, on people whom it has never seen, and what it costs.

    python benchmarks/embedder.py ../shared/data runs/embedder            (hours; --resume by itself)
    python benchmarks/embedder.py ../shared/data runs/embedder carved 14  (that recipe, so many epochs)

It learns from FER2013's Training faces and from the photos of 45 of `lfw60`'s people, without their names; the other 15
people and `facenet5` are for measuring alone. No crowd clip is learnt from, since those are made of the same people.
Every figure comes from the product's own commands. Writes benchmarks/results/embedder.json.
"""

from __future__ import annotations

import csv
import hashlib
import json
import os
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from quality import evaluated, made_by, manyfaces

from manyfaces.build import build_identity_head
from manyfaces.options import Options
from manyfaces.plans import UNTUNED
from manyfaces.types import Crops

RESULTS = Path(__file__).parent / "results" / "embedder.json"
HELD_BACK = 15
"""People of `lfw60` who are for measuring alone: those whose names' digests come first."""

FOLDS, PAIRS = 10, 100
"""Of one kind in a fold: the photos of 15 people hold as many."""

TOLD = (
    "accuracy",
    "accuracy_std",
    "accuracy_interval",
    "eer",
    "tar_at_far",
    "pairs",
    "pictures",
    "undetected",
    "open_set",
)
BATCH, ROUNDS = 16, 60
ALLOWED = 0.005
"""What a student may lose of the accuracy to be shipped; and it must be so many times cheaper."""
CHEAPER = 3.0


def main(data: Path, out: Path, recipe: str = "carved", epochs: str = "") -> None:
    """Write after each part, so that a broken run keeps what it has."""
    figures: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    learnt, kept_back = divided(data / "lfw60", out)
    model = out / recipe / "model.onnx"
    student = {"made_by": made_by(), **taught(data, learnt, out / recipe, recipe, epochs)}
    networks = {"shipped": "default", recipe: str(model)}
    figures |= {"people held back": len(list(kept_back.iterdir())), recipe: student}
    for name, network in networks.items():
        figures[name] = figures.get(name, {}) | judged(network, data, kept_back, out)
        write(figures)
    for precision in ("auto", "f32"):
        for name, cost in milliseconds(networks, precision).items():
            figures[name][f"ms_per_face_{precision}"] = cost
    figures[recipe] |= verdict(figures["shipped"], figures[recipe])
    write(figures)


def write(figures: dict[str, Any]) -> None:
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


# --- data and training -----------------------------------------------------------------------------------------------


def divided(people: Path, out: Path) -> tuple[Path, Path]:
    """Two folders of links: people to learn from, people to measure with."""
    names = sorted((path.name for path in people.iterdir() if path.is_dir()), key=digest)
    parts = {"kept-back": names[:HELD_BACK], "learnt": names[HELD_BACK:]}
    for part, chosen in parts.items():
        (out / part).mkdir(parents=True, exist_ok=True)
        for name in chosen:
            if not (out / part / name).is_symlink():
                (out / part / name).symlink_to((people / name).resolve())
    return out / "learnt", out / "kept-back"


def digest(name: str) -> str:
    return hashlib.sha256(name.encode()).hexdigest()


def taught(data: Path, learnt: Path, out: Path, recipe: str, epochs: str) -> dict[str, Any]:
    """The training of this recipe, begun or gone on with, and its course."""
    photos = [part for person in sorted(learnt.iterdir()) for part in ("--data", person.resolve())]
    asked = ["distill", "identity", *photos, "--data", training_faces(data, learnt.parent), "--recipe", recipe]
    more = (["--epochs", epochs] if epochs else []) + (["--resume"] if (out / "last.pt").exists() else [])
    manyfaces(*asked, "--out", out, *more)
    with (out / "log.csv").open(newline="", encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    card = json.loads((out / "model.json").read_text(encoding="utf-8"))
    return {
        "trained_by": card["trained_by"],
        **card["metrics"],
        "megabytes": (out / "model.onnx").stat().st_size / 1e6,
        "hours": sum(row["seconds"] for row in rows) / 3600,
        "course": [round(row["accuracy"], 4) for row in rows],
    }


def training_faces(data: Path, out: Path) -> Path:
    """FER2013's Training part alone, as a file."""
    path = out / "fer2013_training.npz"
    if not path.exists():
        with np.load(data / "fer2013_train_public.npz") as arrays:
            chosen = arrays["usage"] == 0
            np.savez(path, **{name: arrays[name][chosen] for name in ("images", "labels", "usage")})
    return path


# --- measuring -------------------------------------------------------------------------------------------------------


def judged(network: str, data: Path, kept_back: Path, out: Path) -> dict[str, Any]:
    """On people nobody learnt from."""
    pairs = out / "pairs.txt"
    manyfaces("evaluate", "pairs", "--images", kept_back, "-o", pairs, "--folds", FOLDS, "--per-fold", PAIRS)
    asked = ("--identity-model", network)
    found = {
        "verification": evaluated("verification", "--pairs", pairs, "--images", kept_back, *asked),
        "identity facenet5": evaluated("identity", "--data", data / "facenet5", *asked),
    }
    return {name: {key: figures[key] for key in TOLD if key in figures} for name, figures in found.items()}


def milliseconds(networks: dict[str, str], precision: str) -> dict[str, float]:
    """A face's time on one thread in batches of 16, the networks taking turns, so that a busy machine is busy for all;
    the quickest of many batches."""
    chosen = {"precision": precision, "runtime": "openvino", "threads": 1}
    heads = {
        name: build_identity_head(Options(identity_model=model, **chosen), tuned=UNTUNED)  # type: ignore[arg-type]
        for name, model in networks.items()
    }
    best = dict.fromkeys(networks, float("inf"))
    random = np.random.default_rng(0)
    for _ in range(ROUNDS):
        for name, head in heads.items():
            shape = (BATCH, head.spec.height, head.spec.width, 3)
            crops = Crops(random.integers(0, 256, shape, dtype=np.uint8), np.arange(BATCH, dtype=np.int64))
            started = time.perf_counter()
            head(crops)
            best[name] = min(best[name], (time.perf_counter() - started) / BATCH * 1e3)
    return best


def verdict(shipped: dict[str, Any], student: dict[str, Any]) -> dict[str, Any]:
    """Whether it may ship."""
    lost = shipped["verification"]["accuracy"] - student["verification"]["accuracy"]
    cheaper = {name: shipped[name] / student[name] for name in ("ms_per_face_auto", "ms_per_face_f32")}
    may_ship = lost <= ALLOWED and min(cheaper.values()) >= CHEAPER
    return {"accuracy_lost": lost, "times_cheaper": cheaper, "may_ship": may_ship, "load": os.getloadavg()[0]}


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), *sys.argv[3:5])
