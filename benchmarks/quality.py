"""Every quality figure of the README, from the product's own commands.

    python benchmarks/quality.py ../shared/data           (minutes; writes benchmarks/results/quality.json)
    python benchmarks/quality.py ../shared/data emotion   (only the figures whose name begins so, the others stay)

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


def main(data: Path, beginning: str) -> None:
    """Measure what is asked for and write after each figure, so that a broken run keeps what it has."""
    figures: dict[str, Any] = json.loads(RESULTS.read_text(encoding="utf-8")) if RESULTS.exists() else {}
    with tempfile.TemporaryDirectory() as folder:
        pairs = Path(folder) / "pairs.txt"
        manyfaces("evaluate", "pairs", "--images", data / "lfw60", "-o", pairs)
        for name, arguments in commands(data, pairs).items():
            if name.startswith(beginning):
                figures = {**figures, "made_by": made_by(), name: evaluated(*arguments)}
                RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


def commands(data: Path, pairs: Path) -> dict[str, tuple[object, ...]]:
    """Each figure's name and the `evaluate` command that measures it."""
    faces = data / "fer2013_train_public.npz"
    found: dict[str, tuple[object, ...]] = {
        "verification lfw60": ("verification", "--pairs", pairs, "--images", data / "lfw60"),
        "identity facenet5": ("identity", "--data", data / "facenet5"),
        "emotion PublicTest": ("emotion", "default", "--data", faces, "--split", "public"),
    }
    for clip in CLIPS:
        video, truth = data / "crowd" / f"{clip}.mp4", data / "crowd" / f"{clip}.truth.json"
        found[f"detection {clip}"] = ("detection", "--truth", truth)
        found[f"tracking {clip}"] = ("tracking", video, "--truth", truth)
        found[f"tracking {clip}, motion only"] = ("tracking", video, "--truth", truth, "--no-identity")
    return found


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
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    main(Path(sys.argv[1]), sys.argv[2] if len(sys.argv) > 2 else "")
