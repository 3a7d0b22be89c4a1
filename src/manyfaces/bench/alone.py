"""Each row in a fresh process, so that memory and caches are its own; and how long a fresh process takes to begin."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

from manyfaces.arenas import share_one_arena
from manyfaces.bench.row import Row, Task, measured
from manyfaces.errors import InputError, ManyfacesError, UsageError

WRONG_USAGE, NOTHING_DONE = 2, 3


def measured_alone(task: Task) -> Row:
    """The row that `measured` makes of the task, in a process of the same interpreter."""
    command = [sys.executable, "-m", "manyfaces.bench.alone"]
    done = subprocess.run(command, input=pickle.dumps(task), capture_output=True, check=False)
    if done.returncode == 0:
        row: Row = json.loads(done.stdout)
        return row
    said = done.stderr.decode(errors="replace").strip().splitlines()
    if done.returncode in (WRONG_USAGE, NOTHING_DONE) and said:
        raise (UsageError if done.returncode == WRONG_USAGE else InputError)(said[-1])
    last = said[-1] if said else "it said nothing"
    raise InputError(f"{task.clip}: measuring it ended with status {done.returncode} ({last}); measure another clip")


def startup_seconds(picture: Path, times: int = 5) -> float:
    """From the start of `manyfaces analyze PICTURE` to its first row: the median of some fresh processes."""
    return round(median(_first_row(picture) for _ in range(times)), 3)


def _first_row(picture: Path) -> float:
    """With an empty gallery, for what a user keeps in his is not ours to measure."""
    with tempfile.TemporaryDirectory() as folder:
        surroundings = {**os.environ, "MANYFACES_GALLERY": str(Path(folder) / "people.db")}
        command = [sys.executable, "-m", "manyfaces", "analyze", str(picture), "--quiet"]
        start = time.monotonic()
        with subprocess.Popen(command, stdout=subprocess.PIPE, env=surroundings) as running:
            assert running.stdout is not None
            row = running.stdout.readline()
            seconds = time.monotonic() - start
    if not row:
        raise InputError(f"{picture}: analyze gave no row, so its start cannot be timed; run  manyfaces doctor")
    return seconds


def main() -> int:
    """What runs in the fresh process: a task comes in, a row goes out."""
    share_one_arena()
    try:
        row = measured(pickle.load(sys.stdin.buffer))
    except ManyfacesError as error:
        sys.stderr.write(f"{error}\n")
        return WRONG_USAGE if isinstance(error, UsageError) else NOTHING_DONE
    sys.stdout.write(json.dumps(row))
    return 0


if __name__ == "__main__":
    sys.exit(main())
