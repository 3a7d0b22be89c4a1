"""Several emotion networks as one file: an ensemble is again a model, for whoever takes a model.

The members' graphs stand side by side behind one input. Each is given the pictures as its own card asks, and the
answers are joined as `Blend` says. Nothing here needs torch.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import compose, helper, numpy_helper, shape_inference, version_converter

from manyfaces.card import InputSpec, ModelCard
from manyfaces.errors import UsageError, WeightsError
from manyfaces.train.data import EMOTIONS

INPUT, OUTPUT = "pixels", "probabilities"
OPSET, IR_VERSION = 18, 10
LEAST_SAID = 1e-7
"""Below this a probability counts as this much, so that its logarithm stays finite."""

TEMPLATE_SLACK = 0.02
"""By how much of a picture's side two networks may disagree on where the eyes and the mouth lie."""

MOST_HALF = float(np.finfo(np.float16).max)


class Stored(Protocol):
    """A model file that was read, and its card."""

    @property
    def card(self) -> ModelCard: ...

    @property
    def path(self) -> Path: ...

    @property
    def content(self) -> bytes: ...


@dataclass(frozen=True, slots=True)
class Blend:
    """How the members' answers become one: the mean by `weights`, then p^(1 / temperature), which must be positive.

    `mirror` asks every member about the mirrored picture too. `half` stores weights in 16 bits: half the size, and
    computed with as before.
    """

    weights: tuple[float, ...]
    temperature: float = 1.0
    mirror: bool = False
    half: bool = False


def refuse_strangers(parts: Sequence[Stored]) -> None:
    """Only emotion networks that answer the same question about the same crop of a face can answer together."""
    known: dict[str, Path] = {}
    for part in parts:
        _refuse_other_question(part)
        if part.card.sha256 in known:
            first = known[part.card.sha256]
            what = "is named twice" if first == part.path else f"holds the very weights of {first}"
            raise UsageError(f"{part.path}: {what}; name it once")
        known[part.card.sha256] = part.path
        if not _is_same_crop(part.card.input, parts[0].card.input):
            raise WeightsError(
                f"{part.path}: its faces are cut otherwise than those of {parts[0].path} (the template in the card); "
                "leave one of them out"
            )


def shared_spec(parts: Sequence[Stored]) -> InputSpec:
    """What goes into the whole: what the smallest member takes, so that pictures are enlarged and never shrunk. That
    is how the larger ones learnt, from FER2013's 48 pixels."""
    return min((part.card.input for part in parts), key=lambda spec: spec.width * spec.height)


def merged(parts: Sequence[Stored], how: Blend) -> bytes:
    """The members as one ONNX file; those of no weight are left out."""
    spec, opset = shared_spec(parts), max(OPSET, *(_opset(_parsed(part)) for part in parts))
    build = _Builder()
    pictures = _both_sides(build) if how.mirror else INPUT
    answers = [
        build.add("Mul", _asked(build, number, part, opset, pictures, spec), build.constant(weight))
        for number, (part, weight) in enumerate(zip(parts, how.weights, strict=True))
        if weight > 0
    ]
    mean = build.add("Sum", *answers)
    if how.mirror:
        mean = _mean_of_sides(build, mean)
    if how.temperature != 1:
        mean = _tempered(build, mean, how.temperature)
    build.add("Identity", mean, output=OUTPUT)
    if how.half:
        build.halve()
    return build.written(spec, opset)


def merged_card(parts: Sequence[Stored], content: bytes, made_by: str) -> ModelCard:
    """The card of what `merged` made; its figures are for whoever measures it."""
    return ModelCard(
        name="emotion-ensemble",
        task="emotion",
        input=shared_spec(parts),
        sha256=hashlib.sha256(content).hexdigest(),
        licence="; ".join(dict.fromkeys(part.card.licence for part in parts)),
        trained_by=made_by,
        labels=EMOTIONS,
    )


def parameters(content: bytes) -> int:
    """How many numbers a model file holds to compute with."""
    floats = (onnx.TensorProto.FLOAT, onnx.TensorProto.FLOAT16)
    weights = onnx.load_from_string(content).graph.initializer
    return int(sum(np.prod(one.dims, dtype=np.int64) for one in weights if one.data_type in floats))


# --- who may take part -----------------------------------------------------------------------------------------------


def _refuse_other_question(part: Stored) -> None:
    card, where = part.card, part.path
    if card.task != "emotion":
        raise WeightsError(f"{where}: this network does {card.task}, not emotion; give an emotion network")
    if card.input.channels != "grey":
        raise WeightsError(f"{where}: this network reads {card.input.channels} pictures, not grey ones; leave it out")
    if card.labels != EMOTIONS:
        said = ", ".join(card.labels) or "none"
        raise WeightsError(f"{where}: its card's labels are {said}, not {', '.join(EMOTIONS)}; leave it out")
    if (found := _classes(part)) != len(EMOTIONS):
        raise WeightsError(f"{where}: it gives {found} numbers for a face, not {len(EMOTIONS)}; leave it out")


def _classes(part: Stored) -> int | str:
    """How many numbers the network gives for a face, as far as its file tells."""
    graph = shape_inference.infer_shapes(_parsed(part)).graph
    for output in graph.output:
        if output.name == OUTPUT:
            sizes = output.type.tensor_type.shape.dim
            return int(sizes[-1].dim_value) if sizes else "unknown"
    raise WeightsError(f"{part.path}: it has no output named {OUTPUT!r}; export it again")


def _is_same_crop(one: InputSpec, other: InputSpec) -> bool:
    """Whether the landmarks lie in the same places, at whatever size."""
    if len(one.template) != len(other.template):
        return False
    sides, other_sides = np.array([one.width, one.height]), np.array([other.width, other.height])
    apart = np.array(one.template).reshape(-1, 2) / sides - np.array(other.template).reshape(-1, 2) / other_sides
    return bool(np.abs(apart).max(initial=0) <= TEMPLATE_SLACK)


# --- the members' graphs ---------------------------------------------------------------------------------------------


def _parsed(part: Stored) -> onnx.ModelProto:
    try:
        return onnx.load_from_string(part.content)
    except DecodeError:
        raise WeightsError(f"{part.path}: this is no ONNX file; export it again") from None


def _opset(model: onnx.ModelProto) -> int:
    return max((int(one.version) for one in model.opset_import if one.domain in ("", "ai.onnx")), default=1)


def _plain(part: Stored, opset: int) -> onnx.ModelProto:
    """A member in the operators of the whole."""
    model = _parsed(part)
    if _opset(model) == opset:
        return model
    try:
        return version_converter.convert_version(model, opset)
    except (RuntimeError, version_converter.ConvertError) as error:
        first_line = str(error).strip().splitlines()[0]
        raise WeightsError(f"{part.path}: cannot be brought to opset {opset} ({first_line}); export it again") from None


class _Builder:
    """A graph that grows node by node."""

    def __init__(self) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._constants: list[onnx.TensorProto] = []
        self._imports: dict[str, int] = {}

    def constant(self, values: Any, kind: type[np.generic] = np.float32) -> str:
        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.asarray(values, kind), name))
        return name

    def add(self, operation: str, *inputs: str, output: str = "", **attributes: Any) -> str:
        """A node, and the name of what comes out of it."""
        output = output or f"{operation.lower()}_{len(self._nodes)}"
        self._nodes.append(helper.make_node(operation, inputs, [output], **attributes))
        return output

    def take_over(self, model: onnx.ModelProto) -> None:
        """All nodes and weights of a graph whose names nobody else has, without notes of where they come from."""
        for node in model.graph.node:
            node.ClearField("doc_string")
            node.ClearField("metadata_props")
            node.ClearField("name")
            self._nodes.append(node)
        for weight in model.graph.initializer:
            weight.ClearField("doc_string")
            self._constants.append(weight)
        self._imports |= {one.domain: one.version for one in model.opset_import}

    def halve(self) -> None:
        """Matrices and kernels in 16 bits; what is small, or too large for them, stays."""
        casts = []
        for number, weight in enumerate(self._constants):
            values = numpy_helper.to_array(weight)
            if values.dtype == np.float32 and values.ndim > 1 and np.abs(values).max(initial=0) <= MOST_HALF:
                half = f"{weight.name}/half"
                self._constants[number] = numpy_helper.from_array(values.astype(np.float16), half)
                casts.append(helper.make_node("Cast", [half], [weight.name], to=onnx.TensorProto.FLOAT))
        self._nodes = casts + self._nodes

    def written(self, spec: InputSpec, opset: int) -> bytes:
        element = onnx.TensorProto.FLOAT
        pictures = helper.make_tensor_value_info(INPUT, element, ["batch", spec.depth, spec.height, spec.width])
        answers = helper.make_tensor_value_info(OUTPUT, element, ["batch", len(EMOTIONS)])
        graph = helper.make_graph(self._nodes, "ensemble", [pictures], [answers], self._constants)
        imports = [helper.make_opsetid(*one) for one in (self._imports | {"": opset}).items() if one[0] != "ai.onnx"]
        content: bytes = helper.make_model(graph, opset_imports=imports, ir_version=IR_VERSION).SerializeToString()
        return content


def _asked(build: _Builder, number: int, part: Stored, opset: int, pictures: str, spec: InputSpec) -> str:
    """One member's answer to the pictures of the whole."""
    prefix = f"member{number}/"
    model = compose.add_prefix(_plain(part, opset), prefix)
    weights = {weight.name for weight in model.graph.initializer}
    entrance = next(value.name for value in model.graph.input if value.name not in weights)
    build.add("Identity", _as_asked(build, pictures, spec, part.card.input), output=entrance)
    build.take_over(model)
    return prefix + OUTPUT


def _as_asked(build: _Builder, pictures: str, given: InputSpec, wanted: InputSpec) -> str:
    """From (pixel - mean) / scale of one card to that of another, at the other's size."""
    factor, offset = given.scale / wanted.scale, (given.mean - wanted.mean) / wanted.scale
    if factor != 1:
        pictures = build.add("Mul", pictures, build.constant(factor))
    if offset != 0:
        pictures = build.add("Add", pictures, build.constant(offset))
    if (given.width, given.height) != (wanted.width, wanted.height):
        scales = [1, 1, _ratio(given.height, wanted.height), _ratio(given.width, wanted.width)]
        attributes = {"mode": "linear", "coordinate_transformation_mode": "half_pixel"}
        pictures = build.add("Resize", pictures, "", build.constant(scales), **attributes)
    return pictures


def _ratio(given: int, wanted: int) -> float:
    """The scale in 32 bits; the next one up where rounding would make the result one pixel too small."""
    ratio = np.float32(wanted / given)
    return float(ratio if given * float(ratio) >= wanted else np.nextafter(ratio, np.float32(np.inf)))


# --- what surrounds them ---------------------------------------------------------------------------------------------


def _both_sides(build: _Builder) -> str:
    """The pictures and then their mirror images, as one larger batch: no weight is needed twice."""
    last, before_first = [-1], [np.iinfo(np.int64).min]
    starts, ends, axes, steps = (build.constant(one, np.int64) for one in (last, before_first, [3], [-1]))
    return build.add("Concat", INPUT, build.add("Slice", INPUT, starts, ends, axes, steps), axis=0)


def _mean_of_sides(build: _Builder, answers: str) -> str:
    sides = build.add("Reshape", answers, build.constant([2, -1, len(EMOTIONS)], np.int64))
    return build.add("ReduceMean", sides, build.constant([0], np.int64), keepdims=0)


def _tempered(build: _Builder, mean: str, temperature: float) -> str:
    """p^(1 / T), made to sum to one again."""
    logarithm = build.add("Log", build.add("Max", mean, build.constant(LEAST_SAID)))
    return build.add("Softmax", build.add("Div", logarithm, build.constant(temperature)), axis=1)
