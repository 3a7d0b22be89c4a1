"""Everybody on the same clips, one after the other, each in its own environment, and then ours.

    python benchmarks/peers/environments.py                 (once)
    python benchmarks/peers/run.py ../shared/data           (about ten minutes; writes benchmarks/results/peers.json)
    python benchmarks/peers/run.py ../shared/data --resume  (only what is not measured yet)

DATA holds `crowd/NAME.mp4` and `clips/NAME.*`. Nothing else should run on the machine meanwhile. Every figure is
written as it comes. `--resume` keeps what the peers reached, and what we reached if it was with this commit.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
from dataclasses import dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any

from environments import PEERS, default_folder, is_ready, python_of
from report import Row, as_text, is_ours, ratios

HERE = Path(__file__).parent
RESULTS = HERE.parent / "results" / "peers.json"
PATIENCE = 300.0
"""Seconds beyond the measured ones after which a peer is given up: the Keras loop needs half a minute to warm up."""


@dataclass(frozen=True, slots=True)
class Job:
    """One program on one clip."""

    peer: str
    heads: str
    clip: Path
    program: tuple[str, ...]

    @property
    def key(self) -> tuple[str, str, str]:
        return self.peer, self.heads, self.clip.stem


OURS = (
    ("manyfaces, every-face", "both", ("--mode", "every-face")),
    ("manyfaces, budget", "both", ("--mode", "budget")),
    ("manyfaces, budget, one stream", "both", ("--mode", "budget", "--endless")),
    ("manyfaces, every-face", "emotion", ("--mode", "every-face")),
    ("manyfaces, every-face, mini-XCEPTION", "emotion", ("--mode", "every-face", "--same-size")),
    ("manyfaces, budget, every expression", "emotion", ("--mode", "budget", "--emotion-rate", "1000")),
    (
        "manyfaces, budget, mini-XCEPTION, every expression",
        "emotion",
        ("--mode", "budget", "--emotion-rate", "1000", "--same-size"),
    ),
    ("manyfaces, every-face, from 16 pixels", "emotion", ("--mode", "every-face", "--min-face", "16")),
    (
        "manyfaces, every-face, mini-XCEPTION, from 16 pixels",
        "emotion",
        ("--mode", "every-face", "--same-size", "--min-face", "16"),
    ),
)


def jobs(clips: list[Path], folder: Path) -> list[Job]:
    """For each clip all peers, then ours, so that what is compared lies close together in time."""
    return [job for clip in clips for job in (*_peers_on(clip, folder), *_ours_on(clip))]


def _peers_on(clip: Path, folder: Path) -> list[Job]:
    return [
        Job(peer.name, heads, clip, (str(python_of(folder, peer)), str(HERE / peer.script)))
        for peer in PEERS
        for heads in peer.heads
    ]


def _ours_on(clip: Path) -> list[Job]:
    program = (sys.executable, str(HERE / "ours.py"))
    return [Job(name, heads, clip, (*program, *arguments)) for name, heads, arguments in OURS]


def kept(rows: list[Row], commit: str) -> list[Row]:
    """What need not be measured again: neither failures, nor our own figures with another commit."""
    return [row for row in rows if "fps" in row and (not is_ours(row) or row["commit"] == commit)]


def remaining(wanted: list[Job], rows: list[Row]) -> list[Job]:
    done = {(row["peer"], row["heads"], row["clip"]) for row in rows}
    return [job for job in wanted if job.key not in done]


def measure(job: Job, seconds: float, folder: Path) -> Row:
    """What the program says of itself, or why it says nothing."""
    command = [*job.program, str(job.clip), "--heads", job.heads, "--seconds", str(seconds), "--json", "-"]
    surroundings = {**os.environ, "MANYFACES_PEERS": str(folder), "TF_CPP_MIN_LOG_LEVEL": "3"}
    failed: Row = {"peer": job.peer, "heads": job.heads, "clip": job.clip.stem}
    try:
        done = subprocess.run(
            command, env=surroundings, capture_output=True, text=True, timeout=seconds * 3 + PATIENCE, check=True
        )
        row: Row = json.loads(done.stdout.splitlines()[-1])
        return row
    except subprocess.CalledProcessError as error:
        return {**failed, "error": (error.stderr.strip().splitlines() or ["it said nothing"])[-1]}
    except subprocess.TimeoutExpired:
        return {**failed, "error": "it did not come to an end"}
    except OSError as error:
        return {**failed, "error": f"{error}; run environments.py"}


# --- who, where, when ------------------------------------------------------------------------------------------------


def machine() -> dict[str, Any]:
    return {
        "processor": processor(),
        "cores": cores(),
        "system": platform.system(),
        "python": platform.python_version(),
    }


def cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def processor() -> str:
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines() if Path("/proc/cpuinfo").exists() else []
    named = (line.split(":", 1)[1].strip() for line in lines if line.startswith("model name"))
    return next(named, platform.processor() or "unknown")


def current_commit() -> str:
    described = ["git", "-C", str(HERE), "describe", "--always", "--dirty", "--exclude", "*"]
    return subprocess.run(described, capture_output=True, text=True, check=True).stdout.strip()


def today() -> str:
    return date.today().isoformat()


def find_clip(data: Path, name: str) -> Path:
    for path in (data / "crowd" / f"{name}.mp4", *sorted((data / "clips").glob(f"{name}.*"))):
        if path.is_file():
            return path
    raise FileNotFoundError(f"{data}: holds no clip {name} in crowd/ or clips/; name those that are there in --clips")


# --- the program -----------------------------------------------------------------------------------------------------


def command_line() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure every peer and manyfaces on the same clips.")
    parser.add_argument("data", type=Path, help="the folder with crowd/ and clips/")
    parser.add_argument("--clips", default="grid-16,grid-64", help="names, with commas between them")
    parser.add_argument("--seconds", type=float, default=10.0, help="measure each for about so long")
    parser.add_argument("--json", type=Path, default=RESULTS)
    parser.add_argument("--resume", action="store_true", help="measure only what the file does not have yet")
    parser.add_argument("--environments", type=Path, default=default_folder(), help="where environments.py put them")
    return parser


def main() -> int:
    parser = command_line()
    chosen = parser.parse_args()
    try:
        clips = [find_clip(chosen.data, name) for name in chosen.clips.split(",")]
    except FileNotFoundError as error:
        parser.error(str(error))
    commit, there = current_commit(), _earlier(chosen)
    if there and there["machine"] != machine():
        parser.error(f"{chosen.json}: was measured on another machine; ratios need one; run without --resume")
    rows = kept(there.get("rows", []), commit)
    for absent in (peer.name for peer in PEERS if not is_ready(chosen.environments, peer)):
        print(f"{absent}: has no environment in {chosen.environments}; run environments.py", file=sys.stderr)
    for job in remaining(jobs(clips, chosen.environments), rows):
        print(*job.key, flush=True)
        rows = [*rows, {**measure(job, chosen.seconds, chosen.environments), "commit": commit, "date": today()}]
        print(f"    {rows[-1].get('fps', rows[-1].get('error'))}", flush=True)
        _write(chosen.json, rows, commit, chosen.seconds)
    print(as_text(ratios(rows)))
    return 1 if any("error" in row for row in rows) else 0


def _earlier(chosen: argparse.Namespace) -> Row:
    found: Row = json.loads(chosen.json.read_text(encoding="utf-8")) if chosen.resume and chosen.json.exists() else {}
    return found


def _write(place: Path, rows: list[Row], commit: str, seconds: float) -> None:
    """In one piece, so that a run that is broken off leaves a file that can be resumed."""
    figures = {
        "machine": machine(),
        "versions": {name: version(name) for name in ("manyfaces", "openvino", "numpy")},
        "commit": commit,
        "date": today(),
        "seconds": seconds,
        "rows": rows,
        "ratios": ratios(rows),
    }
    unfinished = place.with_name(f"{place.name}.unfinished")
    unfinished.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    unfinished.replace(place)


if __name__ == "__main__":
    sys.exit(main())
