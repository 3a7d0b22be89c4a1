"""ONNX and OpenVINO files, ready to run on named columns; what a library lacks is told with the operator's name."""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import onnx

from manyfaces.errors import MissingExtra, WeightsError
from manyfaces.optimize.model import Columns, Opened, Port, Unsupported
from manyfaces.runtime import openvino_core, quiet_import, usable_cores, with_relu_for_prelu

EXTRA = "optimize"

_OPERATORS = (
    r"(?:No Op registered for|Op with name .*? and domain .*? and type) '?([\w.:]+)'?",
    r"Fatal error: ([\w.:]+)\(-?\d+\) is not a registered function/op",
    r"Could not find an implementation for ([\w.:]+)\(\d+\)",
    r"does not support the following ONNX operations: ([\w.:, ]+)",
    r"(?:No conversion rule found for operations|OpenVINO does not support).*?: ([\w.:, ]+)",
    r"[Uu]nsupported (?:operator|operation|op)[^\w]+([\w.:]+)",
)
"""How the libraries name an operator that they lack."""


def unsupported(library: str, error: Exception) -> Unsupported:
    """One sentence of a library's many, with the operator where it names one."""
    told = str(error).strip()
    for pattern in _OPERATORS:
        if found := re.search(pattern, told):
            return Unsupported(f"{library} lacks the operator {found[1].strip(' ,')}; another format may have it")
    lines = told.splitlines() or [type(error).__name__]
    return Unsupported(f"{library} cannot take this form ({lines[-1].strip()[:200]}); another one may do")


STUMBLES = (
    *(RuntimeError, ValueError, KeyError, TypeError, NotImplementedError),
    *(IndexError, AttributeError, AssertionError),
)


@contextmanager
def lacking(library: str) -> Iterator[None]:
    """What a library raises within is told as an `Unsupported`; libraries raise what their C++ happens to throw."""
    try:
        yield
    except STUMBLES as error:
        raise unsupported(library, error) from error
    except Exception as error:
        # ONNX Runtime has a class for every kind of failure, all directly below Exception.
        if type(error).__module__.startswith(("onnxruntime", "nncf")):
            raise unsupported(library, error) from error
        raise


def onnxruntime() -> Any:
    """The library, where it is installed."""
    if not find_spec("onnxruntime"):
        raise MissingExtra("ONNX files that are run and quantised", EXTRA)
    library = quiet_import("onnxruntime")
    library.disable_telemetry_events()
    return library


def open_onnx(content: bytes, threads: int = 0) -> Opened:
    """In ONNX Runtime."""
    library = onnxruntime()
    options = library.SessionOptions()
    options.log_severity_level = 4
    options.intra_op_num_threads = threads or usable_cores()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    with lacking("ONNX Runtime"):
        model = onnx.load_from_string(content)
        if any(node.op_type == "PRelu" for node in model.graph.node):  # as where it serves, and twice as fast
            content = with_relu_for_prelu(model).SerializeToString()
        session = library.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [value.name for value in session.get_outputs()]

    def run(columns: Columns) -> Columns:
        with lacking("ONNX Runtime"):
            return dict(zip(names, session.run(names, dict(columns)), strict=True))

    return run


def open_openvino(model: Path | bytes, outputs: Sequence[str], threads: int = 0, exact: bool = True) -> Opened:
    """In OpenVINO; `exact` forbids the processor's bf16. `outputs` are names in the order of the network's outputs."""
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if exact:
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    if threads:
        settings["INFERENCE_NUM_THREADS"] = threads
    with lacking("OpenVINO"):
        source = io.BytesIO(model) if isinstance(model, bytes) else str(model)
        compiled = openvino_core().compile_model(openvino_core().read_model(source), "CPU", settings)
        request = compiled.create_infer_request()

    def run(columns: Columns) -> Columns:
        with lacking("OpenVINO"):
            request.infer(dict(columns), share_inputs=True)
            return {name: request.get_output_tensor(place).data.copy() for place, name in enumerate(outputs)}

    return run


def computes_in(opened_from: Path) -> str:
    """In what precision OpenVINO would run this file by its own choice here, such as bf16."""
    compiled = openvino_core().compile_model(openvino_core().read_model(str(opened_from)), "CPU")
    return str(compiled.get_property("INFERENCE_PRECISION_HINT").get_type_name())


def open_reference(content: bytes, outputs: tuple[Port, ...]) -> Opened:
    """What an ONNX network is taken to say: ONNX Runtime where it is installed, which knows most operators, else
    OpenVINO in f32."""
    if find_spec("onnxruntime"):
        return open_onnx(content)
    return open_openvino(content, [port.name for port in outputs])


def refuse_lone_rows(run: Opened, columns: Columns, where: str) -> None:
    """A network whose batch only seems free fails with two rows, or answers with another number of rows."""
    try:
        answer = run(columns)
    except Unsupported as error:
        raise WeightsError(
            f"{where}: does not run with a batch of two ({error}); export it with a free batch"
        ) from None
    rows = len(next(iter(columns.values())))
    for name, column in answer.items():
        if column.ndim == 0 or len(column) != rows:
            raise WeightsError(
                f"{where}: its output {name!r} has shape {column.shape} for {rows} rows, so it has no batch dimension; "
                "export it so that every output has a row for every row that goes in"
            )
