"""Every figure of docs/emotion.md: how good emotion networks are, what a face costs them, and how they were trained.

    python benchmarks/emotion.py ../shared/data/fer2013_train_public.npz shipped=default runs/a runs/b/model.onnx

Each network is `NAME=MODEL`, a model file, or the folder of a training; figures of the same name are replaced, the
others stay. Writes benchmarks/results/emotion.json.
"""

from __future__ import annotations

import csv
import json
import statistics
import sys
from pathlib import Path
from typing import Any

from quality import evaluated, made_by

RESULTS = Path(__file__).parent / "results" / "emotion.json"


def main(data: Path, networks: list[str]) -> None:
    """Write after each network, so that a broken run keeps what it has."""
    figures: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    for name, model in map(named, networks):
        asked = ("emotion", model, "--data", data, "--split", "public")
        mirrored = evaluated(*asked, "--mirror")
        figures[name] = {
            "made_by": made_by(),
            **evaluated(*asked),
            "mirrored": {key: mirrored[key] for key in ("accuracy", "ece", "ms_per_face_mirror")},
            "card": card_of(model),
            "training": training_of(model),
        }
        RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def named(network: str) -> tuple[str, str]:
    """`NAME=MODEL`, or a model whose folder names it."""
    name, _, model = network.rpartition("=")
    path = Path(model)
    if path.is_dir():
        path = path / "model.onnx"
    return name or path.parent.name, model if model == "default" else str(path)


def card_of(model: str) -> dict[str, Any]:
    """What made the network and how large it is."""
    path = Path(model).with_suffix(".json")
    if not path.exists():
        return {}
    card = json.loads(path.read_text(encoding="utf-8"))
    megabytes = Path(model).stat().st_size / 1e6
    return {"trained_by": card["trained_by"], "parameters": card["metrics"].get("parameters"), "megabytes": megabytes}


def training_of(model: str) -> dict[str, float]:
    """The course of the training, where its log lies beside the model."""
    log = Path(model).with_name("log.csv")
    if not log.exists():
        return {}
    with log.open(newline="", encoding="utf-8") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    return {
        "epochs": len(rows),
        "best_epoch": max(rows, key=lambda row: row["accuracy"])["epoch"],
        "minutes": sum(row["seconds"] for row in rows) / 60,
        **{
            name: statistics.median(row[name] for row in rows)
            for name in ("pictures_per_second", "preparing_share")
            if name in rows[0]
        },
    }


if __name__ == "__main__":
    if len(sys.argv) < 3:
        sys.exit("usage: python benchmarks/emotion.py DATA [NAME=]MODEL...")
    main(Path(sys.argv[1]), sys.argv[2:])
