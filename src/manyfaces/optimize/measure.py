"""What a form costs on this machine: time for one item and for batches, throughput, memory. In a fresh process each, so
that caches, threads and memory are its own."""

from __future__ import annotations

import json
import pickle
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from itertools import islice
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np

from manyfaces.errors import ManyfacesError
from manyfaces.optimize.model import Columns, Form, Opened, Original, Unsupported
from manyfaces.optimize.samples import Drawn, rows_of
from manyfaces.optimize.writers import writer_of
from manyfaces.runtime import usable_cores

BATCHES = (1, 8, 32)
ROUNDS = 5
LEAST_CALLS = 3
FAILED = 3


@dataclass(frozen=True, slots=True, eq=False)
class Task:
    """A form to measure, how long, and what to ask it: drawn inputs, since what is in them does not change the time."""

    form: Form
    samples: Drawn
    seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Cost:
    """milliseconds: of one call with so many items, on one thread. throughput: items a second in batches of 32, on all
    cores. memory_mb: the most that a process held which loaded the form and ran such a batch. loading_ms: until it was
    ready."""

    milliseconds: Mapping[int, float]
    throughput: float
    memory_mb: float
    loading_ms: float

    def each(self, batch: int) -> float:
        """Milliseconds of one item."""
        return self.milliseconds[batch] / batch

    def as_dict(self) -> dict[str, Any]:
        return asdict(self) | {"milliseconds": {str(batch): value for batch, value in self.milliseconds.items()}}

    @classmethod
    def parse(cls, fields: Mapping[str, Any]) -> Cost:
        known = {int(batch): float(value) for batch, value in fields["milliseconds"].items()}
        return cls(known, float(fields["throughput"]), float(fields["memory_mb"]), float(fields["loading_ms"]))


def task_for(form: Form, original: Original, limits: Mapping[str, int], seconds: float) -> Task:
    return Task(form, Drawn(original.inputs, limits, max(BATCHES)), seconds)


def measured_alone(task: Task) -> Cost:
    """What `measured` says of the task in a process of the same interpreter."""
    command = [sys.executable, "-m", "manyfaces.optimize.measure"]
    done = subprocess.run(command, input=pickle.dumps(task), capture_output=True, check=False)
    if done.returncode == 0:
        return Cost.parse(json.loads(done.stdout))
    said = done.stderr.decode(errors="replace").strip().splitlines()
    raise Unsupported(said[-1] if said else f"measuring {task.form.name} ended with status {done.returncode}")


def measured(task: Task) -> Cost:
    writer = writer_of(task.form.format)
    start = time.perf_counter()
    run = writer.open(task.form, 1)
    loading = time.perf_counter() - start
    whole = next(islice(task.samples, 1))
    times = {batch: _seconds(run, _cut(whole, batch), task.seconds) for batch in BATCHES}
    memory = _peak_mb()
    everywhere = writer.open(task.form, usable_cores())
    return Cost(
        {batch: round(1000 * value, 4) for batch, value in times.items()},
        round(rows_of(whole) / _seconds(everywhere, whole, task.seconds), 1),
        round(memory, 1),
        round(1000 * loading, 1),
    )


def _cut(columns: Columns, rows: int) -> Columns:
    return {name: np.ascontiguousarray(column[:rows]) for name, column in columns.items()}


def _seconds(run: Opened, columns: Columns, seconds: float) -> float:
    """The least median of some rounds: others on the machine only ever make it slower."""
    for _ in range(LEAST_CALLS):
        run(columns)
    return min(median(_round(run, columns, seconds / ROUNDS)) for _ in range(ROUNDS))


def _round(run: Opened, columns: Columns, seconds: float) -> list[float]:
    times: list[float] = []
    end = time.perf_counter() + seconds
    while len(times) < LEAST_CALLS or time.perf_counter() < end:
        start = time.perf_counter()
        run(columns)
        times.append(time.perf_counter() - start)
    return times


def _peak_mb() -> float:
    """Linux's own figure for this very process; NaN elsewhere."""
    try:
        lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    except OSError:
        return float("nan")
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")), float("nan"))


def main() -> int:
    """What runs in the fresh process: a task comes in, its cost goes out."""
    try:
        cost = measured(pickle.load(sys.stdin.buffer))
    except ManyfacesError as error:
        sys.stderr.write(f"{error}\n")
        return FAILED
    sys.stdout.write(json.dumps(cost.as_dict()))
    return 0


if __name__ == "__main__":
    sys.exit(main())
