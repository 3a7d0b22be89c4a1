"""The curve: frames a second and the age of results against the number of faces.

    python benchmarks/speed.py ../shared/data             (twenty minutes; writes results/speed.json and the picture)
    python benchmarks/speed.py ../shared/data --resume    (only what was not measured with this commit on this machine)

DATA holds `crowd/grid-N.mp4`. Both heads in both modes, and expressions alone with every face. Each row is measured in
a process of its own, as `manyfaces bench` does, and written as it comes. Nothing else should run on the machine then.
"""

from __future__ import annotations

import argparse
import json
import shlex
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import curve

from manyfaces.bench.alone import measured_alone, startup_seconds
from manyfaces.bench.drawn import SMALL, draw_clip
from manyfaces.bench.machine import circumstances
from manyfaces.bench.row import BUDGET, EVERY_FACE, Task
from manyfaces.errors import ManyfacesError
from manyfaces.options import Options

RESULTS = Path(__file__).parent / "results" / "speed.json"
FACES = (1, 4, 16, 36, 64, 100)
SAME = ("machine", "versions", "commit", "kernels")
"""What must be equal for figures of two runs to stand in one file."""

Row = dict[str, Any]
Key = tuple[str, str, str]


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the curve of speed against faces.")
    parser.add_argument("data", type=Path, help="the folder with crowd/grid-N.mp4")
    parser.add_argument("--faces", default=",".join(map(str, FACES)), help="which grids, with commas between them")
    parser.add_argument("--seconds", type=float, default=10.0, help="measure each way for about so long")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--resume", action="store_true", help="measure only what the file does not have yet")
    chosen = parser.parse_args()
    head = circumstances(shlex.join(["python", "benchmarks/speed.py", *sys.argv[1:]]))
    earlier = _earlier(chosen.json) if chosen.resume else {}
    if earlier and any(earlier[name] != head[name] for name in SAME):
        parser.error(
            f"{chosen.json}: was measured with other code or elsewhere; measure all of it anew, without --resume"
        )
    try:
        tasks = tasks_of(chosen.data, [int(faces) for faces in chosen.faces.split(",")], chosen.seconds)
        measure(
            {**head, **({"startup_s": earlier["startup_s"]} if earlier else {})}, earlier.get("rows", []), tasks, chosen
        )
    except (ManyfacesError, ValueError) as error:
        parser.error(str(error))
    curve.draw(json.loads(chosen.json.read_text(encoding="utf-8")), chosen.json)
    return 0


def _earlier(place: Path) -> dict[str, Any]:
    return dict(json.loads(place.read_text(encoding="utf-8"))) if place.exists() else {}


def tasks_of(data: Path, faces: list[int], seconds: float) -> list[Task]:
    """A clip's rows one after the other, so that what is compared lies close together in time."""
    return [
        task
        for count in faces
        for clip in [data / "crowd" / f"grid-{count}.mp4"]
        for task in (
            Task(clip, BUDGET, seconds, Options(), count),
            Task(clip, EVERY_FACE, seconds, Options(), count),
            Task(clip, EVERY_FACE, seconds, replace(Options(), identity=False), count),
        )
    ]


def key_of(row: Row) -> Key:
    return row["clip"], row["mode"], row["heads"]


def remaining(tasks: list[Task], rows: list[Row]) -> list[Task]:
    done = {key_of(row) for row in rows}
    return [task for task in tasks if (task.clip.stem, task.mode, task.heads) not in done]


def measure(head: dict[str, Any], rows: list[Row], tasks: list[Task], chosen: argparse.Namespace) -> None:
    figures = {**head, "seconds": chosen.seconds, "rows": list(rows)}
    if "startup_s" not in figures:
        figures["startup_s"] = startup()
        print(f"start to the first result: {figures['startup_s']:.2f} s", flush=True)
    for task in remaining(tasks, rows):
        row = measured_alone(task)
        figures["rows"].append(row)
        chosen.json.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        print(line(row), flush=True)


def startup() -> float:
    with tempfile.TemporaryDirectory() as folder:
        portrait = Path(folder) / "portrait.mp4"
        draw_clip(portrait, 1, SMALL, frames=1)
        return startup_seconds(portrait)


def line(row: Row) -> str:
    ratio = (
        "" if row["floor_ratio"] is None else f"   {row['wall_ms']} ms, {row['floor_ratio']} x floor {row['floor_ms']}"
    )
    return (
        f"{row['clip']:<9} {row['mode']:<11} {row['heads']:<8} {row['fps']:8.2f} frames/s   age p50 {row['p50_ms']} "
        f"p95 {row['p95_ms']} ms, {row['dropped']} dropped{ratio}   {row['peak_rss_mb']} MB"
    )


if __name__ == "__main__":
    sys.exit(main())
