"""Every quality figure of the README, from the product's own commands.

    python benchmarks/quality.py ../shared/data          (minutes; writes benchmarks/results/quality.json)

The folder holds `facenet5/` and `lfw60/` (a folder of photos per person) and `crowd/*.mp4` with `*.truth.json`.
"""

from __future__ import annotations

import json
import platform
import subprocess
import sys
import tempfile
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results" / "quality.json"
CLIPS = ("grid-16", "grid-64", "grid-100", "walk-12", "walk-30")
LONG = ("undetected", "wrong", "confusion", "per_class")
"""Lists that stay in their own reports; here they are counted."""


def main(data: Path) -> None:
    figures: dict[str, Any] = {"made_by": made_by()}
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.txt"
        manyfaces("evaluate", "pairs", "--images", data / "lfw60", "-o", pairs)
        figures["verification lfw60"] = evaluated("verification", "--pairs", pairs, "--images", data / "lfw60")
    figures["identity facenet5"] = evaluated("identity", "--data", data / "facenet5")
    for clip in CLIPS:
        video, truth = data / "crowd" / f"{clip}.mp4", data / "crowd" / f"{clip}.truth.json"
        figures[f"detection {clip}"] = evaluated("detection", "--truth", truth)
        figures[f"tracking {clip}"] = evaluated("tracking", video, "--truth", truth)
        figures[f"tracking {clip}, motion only"] = evaluated("tracking", video, "--truth", truth, "--no-identity")
    faces = data / "fer2013_train_public.npz"
    figures["emotion PublicTest"] = evaluated("emotion", "default", "--data", faces, "--split", "public")
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def made_by() -> dict[str, str]:
    commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
    packages = {name: version(name) for name in ("manyfaces", "openvino", "opencv-python-headless", "numpy")}
    return {"commit": commit.stdout.strip(), "python": platform.python_version(), **packages, "processor": processor()}


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), "unknown")


def evaluated(*arguments: object) -> dict[str, Any]:
    """The figures of one `evaluate` command; long lists become their lengths."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "figures.json"
        manyfaces("evaluate", *arguments, "--json", file)
        figures: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
    return {name: len(value) if name in LONG else value for name, value in figures.items()}


def manyfaces(*arguments: object) -> None:
    print("manyfaces", *arguments, flush=True)
    subprocess.run([sys.executable, "-m", "manyfaces", *map(str, arguments)], check=True, stdout=subprocess.DEVNULL)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
