"""Runs networks. The only file that knows an inference library.

A `Network` takes a batch of pictures as they are (uint8, n x height x width x channels, RGB or grey) and gives the
named outputs as float32 arrays. Channel order, mean and scale come from the model's card and are done here, inside the
graph where the library can.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections import Counter, deque
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper

from manyfaces.card import InputSpec
from manyfaces.errors import MissingExtra, UsageError, WeightsError
from manyfaces.types import Floats, Pixels

if TYPE_CHECKING:
    import openvino

BACKENDS = ("openvino", "onnxruntime")
PRECISIONS = ("auto", "f32", "int8")
MOST_THREADS = 1024

BATCH = 16
"""Crops of one call: beyond this a call gains no speed and only takes memory, unless tuning says otherwise."""

OWN_AFTER, MOST_OWN = 8, 6
"""Calls with pictures of one shape after which it gets a network of its own, and how many are kept: compiling takes as
long as ten calls, and each takes memory for its pictures."""

_IMPORTING = threading.Lock()
"""What an import is shielded from is changed for the whole process, so two threads must not do it at once."""

Outputs = Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class Runtime:
    """How networks are run. `auto` precision lets OpenVINO use bf16 where the processor has it; `f32` gives the same
    numbers on every machine; `int8` runs a file that was quantised, as it is. Zero threads means: as many as the
    library finds useful. `callers` threads may call one network at the same time without waiting for each other, each
    with its share of the threads."""

    backend: str = "openvino"
    precision: str = "auto"
    threads: int = 0
    callers: int = 1

    def __post_init__(self) -> None:
        if self.backend not in BACKENDS:
            raise UsageError(f"runtime {self.backend!r}: known are {', '.join(BACKENDS)}")
        if self.precision not in PRECISIONS:
            raise UsageError(f"precision {self.precision!r}: known are {', '.join(PRECISIONS)}")
        if not (0 <= self.threads <= MOST_THREADS and self.callers >= 1):
            raise UsageError(
                f"{self.threads} threads for {self.callers} callers: expected 0 to {MOST_THREADS}, and 1 or more"
            )


class Network(Protocol):
    """A model that is ready to run."""

    def __call__(self, pixels: Pixels, /) -> Outputs: ...


def load_network(content: bytes, spec: InputSpec, runtime: Runtime) -> Network:
    """Make an ONNX model ready to run; the batch size, and where `spec` leaves it open the picture size, may vary."""
    try:
        model = onnx.load_from_string(content)
        # Making the weights plain floats would undo what quantising did, so such a file has to come clean.
        graph = model if runtime.precision == "int8" or _rounds(model) else prepared(model, spec)
        network: Network
        if runtime.backend == "onnxruntime":
            network = _OnnxRuntimeNetwork(with_relu_for_prelu(graph), spec, runtime)
        else:
            network = _OpenVinoNetwork(graph, spec, runtime)
        # OpenVINO's Python binding sets itself up in its first call. Two first calls at once lock each other out for
        # ever: one holds the interpreter and waits for the set-up, the other sets up and waits for the interpreter.
        network(np.zeros((1, spec.height or 32, spec.width or 32, spec.depth), np.uint8))
        return network
    except (RuntimeError, ValueError, KeyError, DecodeError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise WeightsError(f"{runtime.backend} cannot run this model ({first_line}); export it again") from error


def installed_libraries() -> dict[str, str]:
    """The inference libraries at hand and their versions."""
    found = {"openvino": _openvino().get_version().split("-")[0]}
    if find_spec("onnxruntime"):
        found["onnxruntime"] = _onnxruntime().__version__
    return found


# --- the graph, cleaned so that every library takes it ---------------------------------------------------------------


def prepared(model: onnx.ModelProto, spec: InputSpec) -> onnx.ModelProto:
    """The same network with plain float weights and a free batch size.

    The zoo's block-quantised files store weights as blocks of int8 that OpenVINO refuses, list weights as inputs, and
    fix the batch at one, also inside reshapes.
    """
    constants = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    nodes: list[onnx.NodeProto] = []
    for node in model.graph.node:
        if node.op_type == "DequantizeLinear" and all(name in constants for name in node.input):
            constants[node.output[0]] = _dequantized(node, constants)
        elif node.op_type == "Reshape" and all(name in constants for name in node.input):
            constants[node.output[0]] = constants[node.input[0]].reshape(constants[node.input[1]])
        elif node.op_type == "Reshape" and node.input[1] in constants:
            nodes.append(_reshape_any_batch(node, constants))
        else:
            nodes.append(node)
    return _assembled(model, nodes, constants, spec)


def _rounds(model: onnx.ModelProto) -> bool:
    """Whether a network computes with whole numbers, as one that was statically quantised."""
    return any(node.op_type in ("QuantizeLinear", "DynamicQuantizeLinear") for node in model.graph.node)


def _dequantized(node: onnx.NodeProto, constants: dict[str, Any]) -> Floats:
    """(value - zero point) * scale, where each scale covers a block of neighbours along one axis."""
    value, scale = (constants[name] for name in node.input[:2])
    zero = constants[node.input[2]] if len(node.input) > 2 else np.zeros_like(scale)
    attributes = {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
    axis, block = attributes.get("axis", 1), attributes.get("block_size", 0)

    def spread(blocks: Any) -> Any:
        if not block:
            one_for_each_slice = [-1 if place == axis % value.ndim else 1 for place in range(value.ndim)]
            return blocks.reshape(one_for_each_slice) if blocks.ndim == 1 else blocks
        return np.take(np.repeat(blocks, block, axis=axis), range(value.shape[axis]), axis=axis)

    plain: Floats = ((value.astype(np.float32) - spread(zero).astype(np.float32)) * spread(scale)).astype(np.float32)
    return plain


def _reshape_any_batch(node: onnx.NodeProto, constants: dict[str, Any]) -> onnx.NodeProto:
    """A reshape to one item becomes a reshape of each item: 0 copies the batch size from the input."""
    shape = constants[node.input[1]].copy()
    if len(shape) and shape[0] == 1:
        shape[0] = 0
    constants[f"{node.output[0]}_shape"] = shape
    return helper.make_node("Reshape", [node.input[0], f"{node.output[0]}_shape"], [node.output[0]])


def with_relu_for_prelu(model: onnx.ModelProto) -> onnx.ModelProto:
    """The same network with x * slope + Relu(x) * (1 - slope) for every PRelu: twice as fast in ONNX Runtime. OpenVINO
    joins a PRelu to the convolution before it and is twice as fast with it left alone."""
    slopes = {tensor.name: numpy_helper.to_array(tensor) for tensor in model.graph.initializer}
    changed = onnx.ModelProto()
    changed.CopyFrom(model)
    del changed.graph.node[:]
    for node in model.graph.node:
        if node.op_type == "PRelu" and node.input[1] in slopes:
            rest = numpy_helper.from_array(1 - slopes[node.input[1]], f"{node.output[0]}_rest")
            changed.graph.initializer.append(rest)
            changed.graph.node.extend(_relu_for_prelu(node, rest.name))
        else:
            changed.graph.node.append(node)
    return changed


def _relu_for_prelu(node: onnx.NodeProto, rest: str) -> list[onnx.NodeProto]:
    source, slope, result = node.input[0], node.input[1], node.output[0]
    return [
        helper.make_node("Relu", [source], [f"{result}_positive"]),
        helper.make_node("Mul", [source, slope], [f"{result}_sloped"]),
        helper.make_node("Mul", [f"{result}_positive", rest], [f"{result}_lifted"]),
        helper.make_node("Add", [f"{result}_sloped", f"{result}_lifted"], [result]),
    ]


def _assembled(
    model: onnx.ModelProto, nodes: list[onnx.NodeProto], constants: dict[str, Any], spec: InputSpec
) -> onnx.ModelProto:
    """A fresh model of these nodes, with only the weights they use and one free-sized picture input."""
    used = {name for node in nodes for name in node.input}
    pictures = next(value.name for value in model.graph.input if value.name not in constants)
    size = [spec.height or "height", spec.width or "width"]
    element = onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        nodes,
        model.graph.name,
        [helper.make_tensor_value_info(pictures, element, ["batch", spec.depth, *size])],
        [helper.make_tensor_value_info(value.name, element, None) for value in model.graph.output],
        [
            numpy_helper.from_array(np.ascontiguousarray(value), name)
            for name, value in constants.items()
            if name in used
        ],
    )
    return helper.make_model(graph, opset_imports=model.opset_import, ir_version=min(model.ir_version, 10))


# --- the libraries ---------------------------------------------------------------------------------------------------


class _OpenVinoNetwork:
    """Takes pictures of any size and number; a shape that comes again and again gets a network compiled for it alone,
    which is a fifth faster for a video's pictures: nothing is prepared anew when views of two sizes take turns."""

    def __init__(self, graph: onnx.ModelProto, spec: InputSpec, runtime: Runtime) -> None:
        self._names = [value.name for value in graph.graph.output]
        self._settings = _openvino_settings(runtime)
        self._model = _with_preprocessing(_core().read_model(io.BytesIO(graph.SerializeToString())), spec)
        self._for_any = _Requests(self._model, self._names, self._settings)
        # The choice hangs on what came before, so it is not taken where figures must be the same in every run.
        self._adapts = not spec.height and runtime.precision != "f32"
        self._for_shape: dict[tuple[int, ...], _Requests] = {}
        self._met: Counter[tuple[int, ...]] = Counter()
        self._choosing = threading.Lock()

    def __call__(self, pixels: Pixels, /) -> Outputs:
        chosen = self._chosen(pixels.shape) if self._adapts else self._for_any
        return chosen(pixels)

    def _chosen(self, shape: tuple[int, ...]) -> _Requests:
        with self._choosing:
            if shape not in self._for_shape:
                self._met[shape] += 1
                if self._met[shape] <= OWN_AFTER:
                    return self._for_any
                self._for_shape[shape] = self._compiled_for(shape)
                self._met = Counter()
            return self._for_shape[shape]

    def _compiled_for(self, shape: tuple[int, ...]) -> _Requests:
        while len(self._for_shape) >= MOST_OWN:
            del self._for_shape[next(iter(self._for_shape))]
        model = self._model.clone()
        model.reshape(list(shape))
        return _Requests(model, self._names, self._settings)


class _Requests:
    """A compiled network. A request holds the buffers of its results, so calls from two threads must not share one; a
    call takes one that lies idle, since making them is dear."""

    def __init__(self, model: openvino.Model, names: list[str], settings: dict[str, Any]) -> None:
        self._compiled = _core().compile_model(model, "CPU", settings)
        self._names = names
        self._idle: deque[Any] = deque()

    def __call__(self, pixels: Pixels, /) -> Outputs:
        try:
            request = self._idle.pop()
        except IndexError:
            request = self._compiled.create_infer_request()
        request.infer([pixels], share_inputs=True)
        outputs = {name: request.get_tensor(name).data.copy() for name in self._names}
        self._idle.append(request)
        return outputs


@cache
def _openvino() -> Any:
    """The library, imported without telling anybody.

    Its import sends an event to a statistics server and keeps a number for this user in ~/intel, unless the package
    that does so is missing. Here it is missing while OpenVINO is imported: nothing leaves this machine.
    """
    with _IMPORTING, _missing("openvino_telemetry"):
        import openvino
        import openvino.preprocess
    return openvino


@cache
def _onnxruntime() -> Any:
    """The library, imported without telling anybody.

    From 1.31 on its import reports to Microsoft and keeps a number for this user in the cache folder, unless this
    variable is set by then. It is put back at once: programs that this process starts are not ours to tell.
    https://github.com/microsoft/onnxruntime/blob/main/docs/Privacy.md
    """
    with _IMPORTING, _variable("ORT_DISABLE_TELEMETRY", "1"):
        import onnxruntime

        onnxruntime.disable_telemetry_events()  # Windows has another way of reporting, which the variable leaves on
    return onnxruntime


def quiet_import(name: str) -> Any:
    """An inference library, or one that stands on it, for who makes networks of others: imported without telling
    anybody, as above."""
    _openvino()
    with _IMPORTING, _missing("openvino_telemetry"), _variable("ORT_DISABLE_TELEMETRY", "1"):
        return import_module(name)


@contextmanager
def _missing(package: str) -> Iterator[None]:
    """As if a package were not installed."""
    known = sys.modules.get(package)
    sys.modules[package] = None  # type: ignore[assignment]  # how Python is told that a module cannot be had
    try:
        yield
    finally:
        del sys.modules[package]
        if known is not None:
            sys.modules[package] = known


@contextmanager
def _variable(name: str, value: str) -> Iterator[None]:
    """An environment variable that is put back as it was."""
    known = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        del os.environ[name]
        if known is not None:
            os.environ[name] = known


def openvino_core() -> openvino.Core:
    """OpenVINO itself, for who has no pictures: any network, any inputs."""
    return _core()


@cache
def _core() -> openvino.Core:
    """One for the whole life of the process.

    OpenVINO's processor plugin gives the thread that loads it a signal stack (AMX needs a large one) and frees it when
    it is destroyed. Where that happens on another thread, the first keeps the freed stack, and the next signal, such as
    Ctrl-C, ends the process with a segmentation fault. A core that is never destroyed never does this.
    """
    return _openvino().Core()


def _with_preprocessing(model: openvino.Model, spec: InputSpec) -> openvino.Model:
    openvino = _openvino()
    steps = openvino.preprocess.PrePostProcessor(model)
    steps.input().tensor().set_element_type(openvino.Type.u8).set_layout(openvino.Layout("NHWC"))
    steps.input().model().set_layout(openvino.Layout("NCHW"))
    steps.input().preprocess().convert_element_type(openvino.Type.f32)
    if spec.channels == "bgr":
        steps.input().preprocess().reverse_channels()
    if spec.mean:
        steps.input().preprocess().mean(spec.mean)
    if spec.scale != 1:
        steps.input().preprocess().scale(spec.scale)
    return steps.build()


def _openvino_settings(runtime: Runtime) -> dict[str, Any]:
    settings: dict[str, Any] = {"PERFORMANCE_HINT": "LATENCY"}
    if runtime.callers > 1:
        settings["NUM_STREAMS"] = runtime.callers
    if runtime.precision == "f32":
        settings["INFERENCE_PRECISION_HINT"] = "f32"
    if runtime.threads:
        settings["INFERENCE_NUM_THREADS"] = runtime.threads
    return settings


def usable_cores() -> int:
    """The cores that this process may use, which in a container are fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


class _OnnxRuntimeNetwork:
    def __init__(self, graph: onnx.ModelProto, spec: InputSpec, runtime: Runtime) -> None:
        if not find_spec("onnxruntime"):
            raise MissingExtra("the runtime onnxruntime", "onnxruntime")
        onnxruntime = _onnxruntime()
        self._spec = spec
        self._input = graph.graph.input[0].name
        self._names = [value.name for value in graph.graph.output]
        options = onnxruntime.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = -(-(runtime.threads or usable_cores()) // runtime.callers)
        # Threads that spin while they wait take the other stages' processor time: off is 1.6 times faster.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        self._session = onnxruntime.InferenceSession(
            graph.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )

    def __call__(self, pixels: Pixels, /) -> Outputs:
        ordered = pixels[..., ::-1] if self._spec.channels == "bgr" else pixels
        planes = np.ascontiguousarray(ordered.transpose(0, 3, 1, 2), np.float32)
        planes -= self._spec.mean
        planes /= self._spec.scale
        return dict(zip(self._names, self._session.run(self._names, {self._input: planes}), strict=True))
