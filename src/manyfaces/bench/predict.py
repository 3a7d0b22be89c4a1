"""The table of predictions: the same network asked by every library, one item at a time and many at once.

Each library has a process of its own, which loads, asks once to warm up, and then times whole passes over the items.
All get as many threads as there are cores and reckon in f32. What answers otherwise than ONNX's own is not a figure
but an error, for a quick wrong answer is worth nothing.
"""

from __future__ import annotations

import json
import os
import pickle
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from manyfaces.bench.machine import peak_rss_mb
from manyfaces.bench.networks import Twin, with_channels_last
from manyfaces.errors import InputError
from manyfaces.runtime import usable_cores

BATCH = 32
"""What Keras's predict cuts its input into; all others that take many at once get the same."""

LEAST, MOST = 3, 10
"""Passes that a row has at least, unless they take so many times as long as rows are asked: then one has to do."""

NEAR = 1e-3
BACKEND = "KERAS_BACKEND"
Array = npt.NDArray[Any]
Ask: TypeAlias = Callable[[Array], Array]
Row: TypeAlias = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Library:
    """What is asked, in the table's words; which module must be there, and how pip brings it. `backend` is Keras's."""

    name: str
    module: str
    packages: tuple[str, ...]
    pip: str
    backend: str = ""

    @property
    def is_there(self) -> bool:
        return all(find_spec(name) is not None for name in (self.module, *filter(None, [self.backend])))


LIBRARIES = (
    Library(
        "Keras on TensorFlow", "keras", ("keras", "tensorflow-cpu"), "pip install keras tensorflow-cpu", "tensorflow"
    ),
    Library("Keras on PyTorch", "keras", ("keras", "torch"), "pip install '.[keras]'", "torch"),
    Library("LiteRT", "ai_edge_litert", ("ai-edge-litert",), "pip install '.[litert]'"),
    Library("ONNX Runtime", "onnxruntime", ("onnxruntime",), "pip install '.[onnxruntime]'"),
    Library("OpenVINO", "openvino", ("openvino",), "pip install openvino"),
)


@dataclass(frozen=True, slots=True)
class Task:
    """One library, one network as files, and for how long each row is asked."""

    library: Library
    network: str
    onnx: Path
    tflite: Path
    counts: tuple[int, ...]
    seconds: float


# --- in the parent ---------------------------------------------------------------------------------------------------


def measured_alone(task: Task) -> list[Row]:
    """The rows that a fresh process measures."""
    surroundings = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3", "TF_ENABLE_ONEDNN_OPTS": "1"}
    if task.library.backend:
        surroundings[BACKEND] = task.library.backend
    command = [sys.executable, "-m", "manyfaces.bench.predict"]
    done = subprocess.run(command, input=pickle.dumps(task), capture_output=True, check=False, env=surroundings)
    if done.returncode == 0:
        rows: list[Row] = json.loads(done.stdout.splitlines()[-1])
        return rows
    raise InputError(
        f"{task.library.name}, {task.network}: measuring it ended with status {done.returncode} "
        f"({_reason(done.stderr.decode(errors='replace'))}); install the library anew"
    )


def _reason(said: str) -> str:
    """The line of a traceback that names the error, for libraries go on after it."""
    lines = [line.strip() for line in said.splitlines() if line.strip()]
    named = [line for line in lines if re.match(r"[\w.]+(Error|Exception): ", line)]
    return (named or lines or ["it said nothing"])[-1][:200]


def versions() -> dict[str, str]:
    """Of what was asked, where it is installed."""
    return dict(_versions())


def _versions() -> Iterator[tuple[str, str]]:
    for name in dict.fromkeys(package for library in LIBRARIES for package in library.packages):
        try:
            yield name, version(name)
        except PackageNotFoundError:
            continue


def factors(rows: list[Row]) -> list[dict[str, Any]]:
    """How many times as long Keras's predict takes for one item as LiteRT, for every network and every Keras."""
    single = {(row["network"], row["library"], row["way"]): row["ms_per_item"] for row in rows if row["items"] == 1}
    return [
        {"network": network, "library": library, "factor": round(took / single[network, "LiteRT", "one by one"], 1)}
        for (network, library, way), took in single.items()
        if way == "predict" and (network, "LiteRT", "one by one") in single
    ]


# --- in the fresh process --------------------------------------------------------------------------------------------


def measured(task: Task) -> list[Row]:
    """One row for every way of asking and every number of items."""
    start = time.perf_counter()
    ways = WAYS[task.library.module](task)
    meant = {count: _reference(task, _items(task.network, count)) for count in task.counts}
    loading = time.perf_counter() - start
    return [
        {
            "network": task.network,
            "library": task.library.name,
            "way": way,
            "items": count,
            **_timed(task, ask, _items(task.network, count), meant[count]),
            "load_s": round(loading, 2),
            "peak_rss_mb": round(peak_rss_mb(), 1),
        }
        for way, ask in ways.items()
        for count in task.counts
        if count > 1 or way != MANY
    ]


ONE, MANY = "one by one", "in batches"


def _timed(task: Task, ask: Ask, items: Array, meant: Array) -> dict[str, Any]:
    start = time.perf_counter()
    away = float(np.abs(ask(items) - meant).max())
    first = time.perf_counter() - start
    if not away <= NEAR:
        raise InputError(f"{task.library.name}, {task.network}: its answers differ by {away:.2g}, so it is not timed")
    took: list[float] = []
    while sum(took) < task.seconds or (len(took) < LEAST and sum(took) < MOST * task.seconds):
        start = time.perf_counter()
        ask(items)
        took.append(time.perf_counter() - start)
    each = median(took) / len(items)
    return {
        "ms_per_item": round(1000 * each, 4),
        "items_per_s": round(1 / each, 1),
        "first_ms": round(1000 * first, 1),
        "passes": len(took),
        "difference": away,
    }


def _items(network: str, count: int) -> Array:
    random = np.random.default_rng(1)
    if network == "textcnn":
        return random.integers(0, 2000, (count, 50)).astype(np.int32)
    return random.standard_normal((count, 1, 48, 48)).astype(np.float32)


def _reference(task: Task, items: Array) -> Array:
    """What the file says, in OpenVINO, which everybody has."""
    return _openvino(task)[MANY](items)


def _batches(items: Array, size: int) -> Iterator[Array]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _two_ways(run: Ask) -> dict[str, Ask]:
    return {
        ONE: lambda items: np.concatenate([run(one) for one in _batches(items, 1)]),
        MANY: lambda items: np.concatenate([run(some) for some in _batches(items, BATCH)]),
    }


def _openvino(task: Task) -> dict[str, Ask]:
    from manyfaces.runtime import openvino_core

    settings = {"INFERENCE_PRECISION_HINT": "f32", "PERFORMANCE_HINT": "LATENCY"}
    compiled = openvino_core().compile_model(str(task.onnx), "CPU", settings)
    request = compiled.create_infer_request()
    return _two_ways(lambda items: np.array(request.infer([items], share_inputs=True)[compiled.output(0)]))


def _onnxruntime(task: Task) -> dict[str, Ask]:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = usable_cores()
    session = onnxruntime.InferenceSession(str(task.onnx), options, providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return _two_ways(lambda items: session.run(None, {name: items})[0])


def _litert(task: Task) -> dict[str, Ask]:
    from ai_edge_litert.interpreter import Interpreter

    def ready() -> Ask:
        interpreter = Interpreter(model_path=str(task.tflite), num_threads=usable_cores())
        given, answer = (
            ends[0]["index"] for ends in (interpreter.get_input_details(), interpreter.get_output_details())
        )
        sizes: list[tuple[int, ...]] = []

        def run(items: Array) -> Array:
            if sizes[-1:] != [items.shape]:
                interpreter.resize_tensor_input(given, items.shape)
                interpreter.allocate_tensors()
                sizes[:] = [items.shape]
            interpreter.set_tensor(given, items)
            interpreter.invoke()
            return np.asarray(interpreter.get_tensor(answer))

        return run

    # An interpreter for each way, so that none has to be laid out anew between two rows.
    return {ONE: _two_ways(ready())[ONE], MANY: _two_ways(ready())[MANY]}


def _keras(task: Task) -> dict[str, Ask]:
    """The ways of the tutorials."""
    network = Twin(task.onnx.read_bytes()).built()

    def called(items: Array) -> Array:
        return np.concatenate([_numbers(network(some, training=False)) for some in _batches(items, BATCH)])

    def generated(items: Array) -> Array:
        source = ((one,) for one in _batches(items, 1))
        return np.asarray(network.predict(source, steps=len(items), verbose=0))

    ways: dict[str, Ask] = {
        "predict": lambda items: np.asarray(network.predict(items, batch_size=BATCH, verbose=0)),
        "predict, generator": generated,
        "called": called,
    }
    return {name: _turning(ask) for name, ask in ways.items()}


def _turning(ask: Ask) -> Ask:
    return lambda items: ask(with_channels_last(items))


def _numbers(tensor: Any) -> Array:
    return np.asarray(tensor.detach().cpu().numpy() if hasattr(tensor, "detach") else tensor)


WAYS: dict[str, Callable[[Task], dict[str, Ask]]] = {
    "keras": _keras,
    "ai_edge_litert": _litert,
    "onnxruntime": _onnxruntime,
    "openvino": _openvino,
}


def main() -> int:
    """What runs in the fresh process: a task comes in, rows go out."""
    rows = measured(pickle.load(sys.stdin.buffer))
    sys.stdout.write(f"\n{json.dumps(rows)}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
