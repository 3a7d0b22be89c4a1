"""The shipped emotion network and SFace in all forms on this machine.

    python benchmarks/optimize.py ../shared/data    (half an hour; writes results/optimize.json)

DATA holds `fer2013_train_public.npz` and `lfw60/`, a folder of photos per person. What the command `manyfaces optimize`
makes is kept in the folder of --work, so that a run which was broken off goes on; of its reports the figures are taken.
The emotion network is judged on PublicTest, SFace by the cosine of its vectors with those in float, on aligned faces.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np

from manyfaces.align import align
from manyfaces.build import build_detector
from manyfaces.options import Options
from manyfaces.sources import read_picture
from manyfaces.weights import load

RESULTS = Path(__file__).parent / "results" / "optimize.json"
PHOTOS = 5
"""Of each person: enough to calibrate with half of them and judge on the others."""

TOP = ("machine", "versions", "commit", "date", "load_before")


def main() -> int:
    parser = argparse.ArgumentParser(description="Optimise the shipped networks, and keep the figures.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/optimize"), help="where the forms go")
    parser.add_argument("--formats", default="onnx,openvino,litert")
    parser.add_argument("--seconds", default="1.0", help="for each time that is taken")
    parser.add_argument("--steps", default="300", help="batches of quantisation-aware training")
    parser.add_argument("--time-again", action="store_true", help="measure forms that are done anew")
    chosen = parser.parse_args()
    chosen.work.mkdir(parents=True, exist_ok=True)
    shared = ("--to", chosen.formats, "--seconds", chosen.seconds, "--steps", chosen.steps)
    shared += ("--time-again",) if chosen.time_again else ()
    networks = {}
    faces = chosen.data / "fer2013_train_public.npz"
    all_forms = ("--quantize", "weights,weights4,dynamic,static,qat", "--max-drop", "0.3")
    networks["emotion"] = optimised("default", faces, chosen.work / "emotion", (*shared, *all_forms))
    write(networks)
    forms = ("--quantize", "weights,weights4,dynamic,static")
    networks["sface"] = optimised("sface", aligned(chosen.data, chosen.work), chosen.work / "sface", (*shared, *forms))
    write(networks)
    return 0


def optimised(model: str, data: Path, out: Path, options: tuple[str, ...]) -> dict[str, Any]:
    command = ["optimize", model, "--data", str(data), "--out", str(out), *options]
    subprocess.run([sys.executable, "-m", "manyfaces", *command], check=True)
    report: dict[str, Any] = json.loads((out / "report.json").read_text(encoding="utf-8"))
    report["command"] = f"manyfaces optimize {model} --data {data.name} {' '.join(options)}"
    return report


def aligned(data: Path, work: Path) -> Path:
    """The largest face of some photos of each person, as SFace takes it."""
    path = work / "faces.npz"
    if path.exists():
        return path
    detect, spec = build_detector(Options()), load("sface").card.input
    crops = []
    for person in sorted(folder for folder in (data / "lfw60").iterdir() if folder.is_dir()):
        for photo in sorted(person.glob("*.jpg"))[:PHOTOS]:
            image = read_picture(photo)
            found = detect([image])[0]
            sizes = (found.boxes[:, 2:] - found.boxes[:, :2]).prod(axis=1)
            crops += [align(image, found.landmarks[sizes.argmax()][None], spec)] if len(found) else []
    pixels = np.concatenate(crops).transpose(0, 3, 1, 2).astype(np.float32)
    np.savez(path, data=(pixels - spec.mean) / spec.scale)
    return path


def write(networks: dict[str, dict[str, Any]]) -> None:
    """What is the same for all stands once, at the top."""
    first = next(iter(networks.values()))
    inner = {name: {key: value for key, value in report.items() if key not in TOP} for name, report in networks.items()}
    figures = {key: first[key] for key in TOP} | {"networks": inner}
    RESULTS.write_text(json.dumps(figures, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
