"""Where a network looks when it names an expression: Grad-CAM, from the file that is shipped and without torch.

Grad-CAM (Selvaraju et al. 2017, https://arxiv.org/abs/1610.02391) weighs every channel of the last feature maps by how
much a class's logit rises when the whole channel is raised, and adds the channels up. One directional derivative for
each channel is little enough to ask the network itself: its last layers are written into the graph once more, and
answer there for maps with each channel a little higher and a little lower, all in one batch.

Logits are the logarithms of the answer less their mean, so that a class's maps show what speaks for it rather than for
the others. A temperature only scales them. An ensemble answers with a mean of probabilities; its maps are the sum of
its members', each weighed by what it does to the common answer.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import TensorProto, helper, numpy_helper

from manyfaces.card import InputSpec
from manyfaces.errors import WeightsError
from manyfaces.heads.emotion import OUTPUT
from manyfaces.runtime import Outputs, Runtime, load_network, prepared
from manyfaces.types import Floats, Pixels
from manyfaces.weights import Weights, load

LEAST_SIDE = 3
"""Maps of two by two cells only say which quarter of the face; then those before them are taken, if they are larger."""

STEP = 0.02
"""How far a channel is raised, as a share of what the maps hold on average: little enough that few of the kinks of
later layers are passed, enough that the answer's rounding does not show."""

MOST_BYTES = 2**26
"""Of raised maps that are asked about at once."""

BATCH = 64


@dataclass(frozen=True, slots=True)
class Maps:
    """A tensor that holds features by place: its name in the graph, its channels, height and width."""

    name: str
    channels: int
    height: int
    width: int


@dataclass(frozen=True, slots=True, eq=False)
class Explained:
    """What was said of crops, and what spoke for each class where.

    probabilities (n, labels). evidence (n, labels, height, width), in the crops' size: what is above zero speaks for
    the class. Its mean is what the maps give to the class's logit, so the classes of one face have one scale.
    """

    probabilities: Floats
    evidence: Floats


def emotion_weights(model: str) -> Weights:
    """An emotion network by its path, or `default` for the packaged one."""
    weights = load("emotion" if model == "default" else model)
    if weights.card.task != "emotion":
        raise WeightsError(f"{model}: this network does {weights.card.task}, not emotion; give an emotion network")
    if not weights.card.labels:
        raise WeightsError(f"{model}: the model's card names no classes; make the card anew with the model")
    return weights


class Explainer:
    """Probabilities and evidence for crops that are cut as the card's `spec` says."""

    def __init__(self, weights: Weights) -> None:
        self.card = weights.card
        model = _readable(weights)
        self._maps = last_maps(model, OUTPUT, len(self.card.labels))
        self._questions = [question for number in range(len(self._maps)) for question in _asked(self._maps, number)]
        graph = _with_questions(model, self._maps, self._questions)
        # The same figures on every machine, and small steps that are not rounded away.
        self._network = load_network(graph.SerializeToString(), self.card.input, Runtime(precision="f32"))

    @property
    def spec(self) -> InputSpec:
        return self.card.input

    def __call__(self, crops: Pixels) -> Explained:
        one_by_one = [self._explained(crops[place : place + 1]) for place in range(len(crops))]
        labels, size = len(self.card.labels), (self.spec.height, self.spec.width)
        return Explained(
            np.array([probabilities for probabilities, _ in one_by_one], np.float32).reshape(-1, labels),
            np.array([evidence for _, evidence in one_by_one], np.float32).reshape(-1, labels, *size),
        )

    def _explained(self, crop: Pixels) -> tuple[Floats, Floats]:
        said = self._network(crop)
        evidence = np.zeros((self.spec.height, self.spec.width, len(self.card.labels)), np.float32)
        for number, maps in enumerate(self._maps):
            slopes = np.concatenate([one.slopes(said) for one in self._questions if one.number == number])
            evidence += _enlarged(np.einsum("ck,chw->hwk", slopes, _upright(said[maps.name])), self.spec)
        return said[OUTPUT][0], evidence.transpose(2, 0, 1)


class Describer:
    """Faces as vectors of what the network sees in them: every channel's mean, members of an ensemble side by side.

    Two faces with a cosine near one look alike to the network, whatever their labels say.
    """

    def __init__(self, weights: Weights) -> None:
        self._card = weights.card
        model = _readable(weights)
        maps = last_maps(model, OUTPUT, len(self._card.labels))
        self._outputs = [f"{one.name}_pooled" for one in maps]
        graph = _with_means(model, maps, self._outputs)
        self._network = load_network(graph.SerializeToString(), self._card.input, Runtime())

    @property
    def spec(self) -> InputSpec:
        return self._card.input

    def __call__(self, crops: Pixels) -> Floats:
        """Unit vectors (n, channels)."""
        parts = [self._vectors(crops[start : start + BATCH]) for start in range(0, len(crops), BATCH)]
        return np.concatenate(parts)

    def _vectors(self, crops: Pixels) -> Floats:
        said = self._network(crops)
        members = [_unit(_one_each(said[output], len(crops))) for output in self._outputs]
        return _unit(np.concatenate(members, axis=1))


def _one_each(pooled: Floats, count: int) -> Floats:
    """One vector for each picture: where mirror images were asked about too they come second, and are joined in."""
    mean: Floats = pooled.reshape(-1, count, pooled.shape[1]).mean(axis=0)
    return mean


def _unit(vectors: Floats) -> Floats:
    """No member of an ensemble counts for more because its channels hold larger numbers."""
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-12)
    return unit


def _readable(weights: Weights) -> onnx.ModelProto:
    try:
        model = prepared(onnx.load_from_string(weights.content), weights.card.input)
        return onnx.shape_inference.infer_shapes(model)
    except (DecodeError, RuntimeError, ValueError, KeyError, StopIteration) as error:
        raise WeightsError(f"{weights.path}: this is no ONNX network ({error}); export it again") from None


# --- which maps ------------------------------------------------------------------------------------------------------


def last_maps(model: onnx.ModelProto, answer: str, classes: int) -> tuple[Maps, ...]:
    """The last feature maps before the answer; of an ensemble those of every member.

    From the answer back, the first tensors with a height and a width are the last maps. There are two reasons to go
    further back, always to maps that everything passes through. Maps with one channel for each class, as of networks
    that end in a convolution and a pooling, are answers already: their biases would tint the picture, and a member of
    an ensemble that ends so would be shown by other means than the rest. And two by two cells show hardly anything.
    """
    places, makers = _places(model), _makers(model)
    if answer not in makers:
        raise WeightsError(f"this network has no output named {answer!r}; export it again with manyfaces train")
    passed = _passed_through(model)
    chosen = {
        found.name: found
        for last in _nearest(answer, places, makers)
        if (found := _best([places[one] for one in passed[last] if one in places], classes))
    }
    first = [one for one in chosen.values() if not any(name in chosen for name in _before(one.name, makers))]
    if not first:
        raise WeightsError(
            "this network has no feature maps with a height and a width to lay over a face; explain a convolutional one"
        )
    return tuple(first)


def _places(model: onnx.ModelProto) -> dict[str, Maps]:
    """Every tensor that a node makes and that has a height and a width above one."""
    made = {name for node in model.graph.node for name in node.output}
    found = {}
    for value in model.graph.value_info:
        sides = [dimension.dim_value for dimension in value.type.tensor_type.shape.dim]
        if value.name in made and len(sides) == 4 and min(sides[2:]) > 1 and sides[1] > 0:
            found[value.name] = Maps(value.name, *sides[1:])
    return found


def _makers(model: onnx.ModelProto) -> dict[str, onnx.NodeProto]:
    return {name: node for node in model.graph.node for name in node.output}


def _nearest(answer: str, places: dict[str, Maps], makers: dict[str, onnx.NodeProto]) -> list[str]:
    """The first tensors with places on every way back from the answer."""
    found: dict[str, None] = {}
    waiting, met = [answer], set()
    while waiting:
        name = waiting.pop()
        if name in places:
            found[name] = None
        elif name in makers and name not in met:
            waiting += reversed(makers[name].input)
        met.add(name)
    return list(found)


def _passed_through(model: onnx.ModelProto) -> dict[str, tuple[str, ...]]:
    """For every tensor that depends on the pixels, those that all ways to it lead through, from the pixels on.

    Nodes come in an order in which inputs are made before they are used: one pass is enough.
    """
    through: dict[str, tuple[str, ...]] = {value.name: (value.name,) for value in model.graph.input}
    for node in model.graph.node:
        ways = [through[name] for name in node.input if name in through]
        if ways:
            common = set(ways[0]).intersection(*ways[1:])
            shared = tuple(name for name in ways[0] if name in common)
            through.update({name: (*shared, name) for name in node.output})
    return through


def _best(candidates: Sequence[Maps], classes: int) -> Maps | None:
    """The last that serves; where none does, the last."""
    features = [one for one in candidates if one.channels != classes]
    large = [one for one in features if min(one.height, one.width) >= LEAST_SIDE]
    return next((several[-1] for several in (large, features, candidates) if several), None)


def _before(name: str, makers: dict[str, onnx.NodeProto]) -> set[str]:
    """Everything that a tensor depends on."""
    found: set[str] = set()
    waiting = list(makers[name].input)
    while waiting:
        other = waiting.pop()
        if other not in found:
            found.add(other)
            waiting += makers[other].input if other in makers else ()
    return found


# --- the same network, asked more ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Question:
    """What the network would say if each of these channels of its maps `number` were a step higher, and lower."""

    number: int
    channels: range

    @property
    def output(self) -> str:
        return f"raised_{self.number}_{self.channels.start}"

    @property
    def step(self) -> str:
        return f"step_{self.number}"

    def changes(self, number: int, channels: int) -> Floats:
        """What is added to maps `number`, (2 x asked, channels, 1, 1): one channel up in each row of the first half and
        down in each of the second. Other maps stay, as often as is asked."""
        if number != self.number:
            return np.zeros((2 * len(self.channels), 1, 1, 1), np.float32)
        up = np.eye(channels, dtype=np.float32)[self.channels.start : self.channels.stop]
        return np.concatenate([up, -up])[..., None, None]

    def slopes(self, said: Outputs) -> Floats:
        """The directional derivatives (asked, classes) of the logits."""
        up, down = np.split(centred_logits(said[self.output]), 2)
        slopes: Floats = (up - down) / (2 * float(said[self.step].item()))
        return slopes


def centred_logits(probabilities: Floats) -> Floats:
    """The logits behind a softmax, as far as it lets one know them: up to what is added to all."""
    logits = np.log(np.maximum(probabilities.astype(np.float64), 1e-30))
    centred: Floats = (logits - logits.mean(axis=1, keepdims=True)).astype(np.float32)
    return centred


def _asked(maps: Sequence[Maps], number: int) -> Iterator[_Question]:
    """Few channels at a time where maps are large."""
    bytes_each = 2 * 4 * max(one.channels * one.height * one.width for one in maps)
    channels, at_once = maps[number].channels, max(1, MOST_BYTES // bytes_each)
    for start in range(0, channels, at_once):
        yield _Question(number, range(start, min(start + at_once, channels)))


def _with_questions(model: onnx.ModelProto, maps: Sequence[Maps], questions: Sequence[_Question]) -> onnx.ModelProto:
    """The network with its last layers once more for every question. It takes one picture at a time."""
    nodes: list[onnx.NodeProto] = []
    constants = {"step_share": np.float32(STEP), "step_least": np.float32(1e-6)}
    for number, one in enumerate(maps):
        nodes += _step(one.name, f"step_{number}")
    behind = _behind(model, {one.name for one in maps})
    for question in questions:
        for number, one in enumerate(maps):
            changes = f"{question.output}_changes_{number}"
            constants[changes] = question.changes(number, one.channels)
            constants[f"{changes}_apart"] = np.array([-1, 1, one.channels, one.height, one.width], np.int64)
            constants[f"{changes}_joined"] = np.array([-1, one.channels, one.height, one.width], np.int64)
            nodes += _changed(one.name, changes, f"step_{number}", _again(one.name, question))
        nodes += _copied(behind, {one.name for one in maps}, question)
    outputs = [one.name for one in maps] + [f"step_{number}" for number in range(len(maps))]
    return _extended(model, nodes, constants, [*outputs, *(_again(OUTPUT, one) for one in questions)])


def _again(name: str, question: _Question) -> str:
    """What a tensor is called where it is made once more."""
    return question.output if name == OUTPUT else f"{question.output}_{name}"


def _step(maps: str, step: str) -> list[onnx.NodeProto]:
    """A share of the root of the mean square of all values."""
    return [
        helper.make_node("Mul", [maps, maps], [f"{step}_squares"]),
        helper.make_node("ReduceMean", [f"{step}_squares"], [f"{step}_mean"]),
        helper.make_node("Sqrt", [f"{step}_mean"], [f"{step}_root"]),
        helper.make_node("Mul", [f"{step}_root", "step_share"], [f"{step}_scaled"]),
        helper.make_node("Add", [f"{step}_scaled", "step_least"], [step]),
    ]


def _changed(maps: str, changes: str, step: str, result: str) -> list[onnx.NodeProto]:
    """Every change of every map, the changes of one beside each other: an ensemble that also asks about the mirrored
    picture makes maps of both, and expects what belongs to the mirrored one in the second half."""
    return [
        helper.make_node("Mul", [changes, step], [f"{changes}_scaled"]),
        helper.make_node("Reshape", [maps, f"{changes}_apart"], [f"{changes}_alone"]),
        helper.make_node("Add", [f"{changes}_alone", f"{changes}_scaled"], [f"{changes}_added"]),
        helper.make_node("Reshape", [f"{changes}_added", f"{changes}_joined"], [result]),
    ]


def _behind(model: onnx.ModelProto, maps: set[str]) -> list[onnx.NodeProto]:
    """The nodes that depend on the maps: the network's last layers."""
    known, nodes = set(maps), []
    for node in model.graph.node:
        if known.intersection(node.input):
            nodes.append(node)
            known.update(node.output)
    return nodes


def _copied(nodes: Sequence[onnx.NodeProto], maps: set[str], question: _Question) -> Iterator[onnx.NodeProto]:
    """The same layers with the same weights, on changed maps."""
    renamed = maps.union(*(node.output for node in nodes))
    for node in nodes:
        copy = onnx.NodeProto()
        copy.CopyFrom(node)
        copy.name = ""
        copy.input[:] = [_again(name, question) if name in renamed else name for name in node.input]
        copy.output[:] = [_again(name, question) for name in node.output]
        yield copy


def _with_means(model: onnx.ModelProto, maps: Sequence[Maps], outputs: Sequence[str]) -> onnx.ModelProto:
    nodes = [
        helper.make_node("GlobalAveragePool", [one.name], [output]) for one, output in zip(maps, outputs, strict=True)
    ]
    return _extended(model, nodes, {}, outputs)


def _extended(
    model: onnx.ModelProto, nodes: Iterable[onnx.NodeProto], constants: Mapping[str, Any], outputs: Iterable[str]
) -> onnx.ModelProto:
    """A copy of the model that also does and gives this."""
    extended = onnx.ModelProto()
    extended.CopyFrom(model)
    extended.graph.node.extend(nodes)
    extended.graph.initializer.extend(
        numpy_helper.from_array(np.asarray(value), name) for name, value in constants.items()
    )
    extended.graph.output.extend(helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in outputs)
    return extended


def _upright(maps: Floats) -> Floats:
    """The maps of one picture (channels, h, w). Where its mirror image was asked about too, the mean of both."""
    return np.asarray(maps[0] if len(maps) == 1 else (maps[0] + maps[1, :, :, ::-1]) / 2, np.float32)


def _enlarged(maps: Floats, spec: InputSpec) -> Floats:
    """Cells (h, w, classes) spread smoothly over the crop."""
    large = cv2.resize(maps, (spec.width, spec.height), interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.float32).reshape(spec.height, spec.width, -1)
