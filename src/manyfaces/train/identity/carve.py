"""A student that begins as its teacher made narrower, instead of knowing nothing.

Made for embedders of one chain: convolution, norm and activation again and again, at the end one matrix. Of every
layer those channels are kept from which the others can best be guessed (after Chee et al. 2022, who prune by the
interpolative decomposition), and the weights that read them are fitted anew by least squares, layer after layer, so
that each says of some pictures what the teacher's layer says there. Nothing of this needs a label or a gradient.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import onnx
import torch
from google.protobuf.message import DecodeError
from onnx import helper, numpy_helper
from torch import Tensor, nn

from manyfaces.train.data import DataError
from manyfaces.train.identity.student import MEAN, SCALE, Student, StudentDesign, Unit

PLACES = 16_000
"""Places of maps that a layer is fitted to: some fifty for each of the weights that one output has."""

RIDGE = 1e-4
"""Of the mean square of the inputs: keeps apart what the pictures do not tell apart."""


MEASURED = 192
"""Pictures that the layers are fitted to; all of them would take gigabytes of maps."""

HOLD = 2.0
"""How strongly the last matrix is held to what it was, in units of its inputs' mean square: of 0.01 to 1, on people
whom the student was not carved by, more was better each time (a cosine of 0.67 to 0.72, and 0.66 without any of it)."""


def carve(content: bytes, design: StudentDesign, pictures: Tensor, said: Tensor) -> Student:
    """A student of this design from the teacher's ONNX file, some pictures, scaled as the student sees them, and the
    unit vectors that the teacher has for them."""
    teacher = read_teacher(content)
    _refuse_other_shape(teacher, design)
    student = Student(design).eval()
    with torch.no_grad():
        some = torch.linspace(0, len(pictures) - 1, min(len(pictures), MEASURED)).round().long()
        offset = _Carver(teacher, student, pictures[some]).carve()
        _correct(student, offset, pictures, said)
    return student


# --- the teacher, read from its file ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """A convolution with the norm after it melted in, and the slopes of its PReLU."""

    weight: Tensor
    bias: Tensor
    slope: Tensor
    stride: int

    @property
    def groups(self) -> int:
        return self.weight.shape[0] if self.weight.shape[1] == 1 else 1

    def before(self, maps: Tensor) -> Tensor:
        """What comes out before the activation."""
        padding = self.weight.shape[-1] // 2
        return nn.functional.conv2d(maps, self.weight, self.bias, self.stride, padding, groups=self.groups)

    def after(self, maps: Tensor) -> Tensor:
        return nn.functional.prelu(self.before(maps), self.slope)


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """Layers, then a matrix over all places of the last maps. `mean` and `scale` are what its own first nodes do to a
    picture's bytes."""

    layers: tuple[Layer, ...]
    matrix: Tensor
    offset: Tensor
    mean: float
    scale: float


def read_teacher(content: bytes) -> Teacher:
    """The chain of an ONNX file with plain weights."""
    try:
        graph = onnx.load_from_string(content).graph
        return _Reader(graph).read()
    except (DecodeError, KeyError, IndexError, ValueError, RuntimeError) as error:
        raise DataError(
            f"the teacher is no chain of convolutions that a student could be carved from ({error}); "
            "take a recipe that begins from nothing"
        ) from None


class _Reader:
    """Goes through the nodes in order; what is not of the chain is refused."""

    def __init__(self, graph: onnx.GraphProto) -> None:
        self._weights: Mapping[str, Tensor] = {
            one.name: torch.from_numpy(numpy_helper.to_array(one).copy()) for one in graph.initializer
        }
        self._nodes = list(graph.node)
        self._layers: list[Layer] = []
        self._mean, self._scale = 0.0, 1.0
        self._affine: tuple[Tensor, Tensor] | None = None
        self._matrix: tuple[Tensor, Tensor] | None = None

    def read(self) -> Teacher:
        for node in self._nodes:
            self._take(node, {one.name: helper.get_attribute_value(one) for one in node.attribute})
        if self._matrix is None or not self._layers:
            raise ValueError("it does not end in a matrix")
        return Teacher(tuple(self._layers), *self._matrix, self._mean, self._scale)

    def _take(self, node: onnx.NodeProto, said: Mapping[str, Any]) -> None:
        if node.op_type == "Conv":
            self._convolution(node, said)
        elif node.op_type == "BatchNormalization":
            self._norm(node, said)
        elif node.op_type == "PRelu":
            self._layers[-1] = _with_slope(self._layers[-1], self._weights[node.input[1]].flatten())
        elif node.op_type == "Gemm":
            self._matrix = self._whole(node)
        elif node.op_type == "Sub" and not self._layers:
            self._mean = float(self._weights[node.input[1]])
        elif node.op_type == "Mul" and not self._layers:
            self._scale = 1 / float(self._weights[node.input[1]])
        elif node.op_type not in ("Dropout", "Flatten", "Constant", "Identity"):
            raise ValueError(f"it holds {node.op_type}")

    def _convolution(self, node: onnx.NodeProto, said: Mapping[str, Any]) -> None:
        weight = self._weights[node.input[0 if node.input[0] in self._weights else 1]]
        bias = self._weights[node.input[2]] if len(node.input) > 2 else torch.zeros(len(weight))
        self._layers.append(Layer(weight, bias, torch.ones(len(weight)), said.get("strides", [1])[0]))

    def _norm(self, node: onnx.NodeProto, said: Mapping[str, Any]) -> None:
        gain, shift, mean, variance = (self._weights[name] for name in node.input[1:5])
        factor = gain / torch.sqrt(variance + said.get("epsilon", 1e-5))
        offset = shift - mean * factor
        if self._matrix is not None:
            matrix, bias = self._matrix
            self._matrix = matrix * factor[:, None], bias * factor + offset
        elif bool((self._layers[-1].slope == 1).all()):
            last = self._layers[-1]
            weight = last.weight * factor.view(-1, 1, 1, 1)
            self._layers[-1] = Layer(weight, last.bias * factor + offset, last.slope, last.stride)
        else:
            self._affine = factor, offset

    def _whole(self, node: onnx.NodeProto) -> tuple[Tensor, Tensor]:
        """The matrix, with a norm of the last maps melted in."""
        matrix = self._weights[node.input[1]]
        bias = self._weights[node.input[2]] if len(node.input) > 2 else torch.zeros(len(matrix))
        if self._affine is None:
            return matrix, bias
        factor, offset = (one.repeat_interleave(matrix.shape[1] // len(one)) for one in self._affine)
        return matrix * factor, bias + matrix @ offset


def _with_slope(layer: Layer, slope: Tensor) -> Layer:
    return Layer(layer.weight, layer.bias, slope.expand(len(layer.bias)).clone(), layer.stride)


def _refuse_other_shape(teacher: Teacher, design: StudentDesign) -> None:
    """The student must be the teacher made narrower, layer by layer; it may halve its maps earlier."""
    kernels = [3] + [3, 1] * len(design.widths)
    found = [layer.weight.shape[-1] for layer in teacher.layers]
    strides = [layer.stride for layer in teacher.layers]
    if found != kernels or design.residual or strides.count(2) != len(design.halving) + design.stem_stride - 1:
        raise DataError(
            "the recipe's network is not the teacher's made narrower; take a recipe that begins from nothing"
        )


# --- the carving -----------------------------------------------------------------------------------------------------


class _Carver:
    """Walks through both networks side by side, over the same pictures."""

    def __init__(self, teacher: Teacher, student: Student, pictures: Tensor) -> None:
        self._teacher, self._student = teacher, student
        # One sees (pixel - mean) / scale of its own, the other of the student's.
        self._theirs = (pictures * SCALE + MEAN - teacher.mean) / teacher.scale
        self._ours = pictures

    def carve(self) -> Tensor:
        """Fill the student but for its last norm, and return what that has to add."""
        kept = torch.arange(3)
        for number, (layer, unit) in enumerate(zip(self._teacher.layers, self._student.units(), strict=True)):
            theirs = layer.before(self._theirs)
            self._theirs = nn.functional.prelu(theirs, layer.slope)
            if layer.groups == 1:
                kept = self._chosen(number, unit.outputs)
                _fit(unit, self._ours, theirs[:, kept])
            else:
                _fit_apart(unit, self._ours, theirs[:, kept], layer.weight[kept])
            unit.activation.weight.copy_(layer.slope[kept])
            self._ours = unit(self._ours)
        return self._read_out()

    def _chosen(self, number: int, count: int) -> Tensor:
        """The channels to keep, judged by what the layer after the next sees of them and makes of it."""
        layers, seen = self._teacher.layers, self._theirs
        if number + 2 < len(layers):
            seen = layers[number + 1].after(seen)
            used = layers[number + 2].weight.flatten(1).norm(dim=0)
        else:
            used = self._teacher.matrix.view(len(self._teacher.matrix), seen.shape[1], -1).norm(dim=(0, 2))
        samples = sampled(seen) * used
        centred = samples - samples.mean(0)
        return pivots(centred.T @ centred, count)

    def _read_out(self) -> Tensor:
        """Maps that are gone are guessed from those that are kept, at every place alike; the matrix reads the guess."""
        weights, bias = solved(sampled(self._ours), sampled(self._theirs))
        matrix = self._teacher.matrix.view(len(self._teacher.matrix), self._theirs.shape[1], -1)
        self._student.read_out.weight.copy_(torch.einsum("lcp,kc->lkp", matrix, weights).flatten(1))
        return self._teacher.offset + torch.einsum("lcp,c->l", matrix, bias)


def _correct(student: Student, offset: Tensor, pictures: Tensor, said: Tensor) -> None:
    """Change the last matrix as little as brings the vectors nearer to the teacher's: ridge regression of what is
    missing, solved over pictures, which are fewer than the matrix has columns."""
    seen = torch.cat([student.maps(part) for part in torch.split(pictures, 64)])
    matrix = student.read_out.weight
    vectors = seen @ matrix.T + offset
    missing = said * vectors.norm(dim=1).mean() - vectors
    centred = seen - seen.mean(0)
    gram = (centred @ centred.T).double()
    gram += torch.eye(len(gram)) * gram.diagonal().mean() * HOLD
    change = torch.linalg.solve(gram, (missing - missing.mean(0)).double()).T.float() @ centred
    matrix += change
    _neutral(student.norm, seen @ matrix.T, offset + missing.mean(0) - change @ seen.mean(0))


def pivots(gram: Tensor, count: int) -> Tensor:
    """The columns from which the others can best be guessed: each time the one least guessed so far (pivoted Cholesky).
    In ascending order."""
    left = gram.double().clone()
    chosen: list[int] = []
    for _ in range(count):
        best = int(left.diagonal().masked_fill(_mask(chosen, len(left)), -torch.inf).argmax())
        chosen.append(best)
        column = left[:, best] / left[best, best].clamp(min=1e-30).sqrt()
        left -= torch.outer(column, column)
    return torch.tensor(sorted(chosen))


def _mask(chosen: Sequence[int], count: int) -> Tensor:
    mask = torch.zeros(count, dtype=torch.bool)
    mask[list(chosen)] = True
    return mask


def solved(inputs: Tensor, outputs: Tensor) -> tuple[Tensor, Tensor]:
    """Weights (inputs, outputs) and a bias, by least squares with a little ridge."""
    middle, target = inputs.double().mean(0), outputs.double().mean(0)
    centred, wanted = inputs.double() - middle, outputs.double() - target
    gram = centred.T @ centred
    gram += torch.eye(len(gram), dtype=gram.dtype) * gram.diagonal().mean().clamp(min=1e-12) * RIDGE
    weights = torch.linalg.solve(gram, centred.T @ wanted)
    return weights.float(), (target - middle @ weights).float()


def sampled(maps: Tensor) -> Tensor:
    """Maps (n, channels, h, w) as rows of channels, at places spread evenly; the same ones for maps of one shape."""
    rows = maps.flatten(2).permute(0, 2, 1)
    count = rows.shape[0] * rows.shape[1]
    places = torch.linspace(0, count - 1, min(count, PLACES)).round().long()
    return rows[places // rows.shape[1], places % rows.shape[1]]


def _fit(unit: Unit, ours: Tensor, theirs: Tensor) -> None:
    """The weights with which our maps say what the teacher's layer says."""
    around, wanted = _around(unit, ours, theirs)
    weights, bias = solved(around.flatten(1), wanted)
    _settle(unit, ours, weights.T.reshape(unit.convolution.weight.shape), bias)


def _fit_apart(unit: Unit, ours: Tensor, theirs: Tensor, known: Tensor) -> None:
    """The same where each map is by itself; what our maps do not tell stays as the teacher has it."""
    around, wanted = _around(unit, ours, theirs)
    known = known.flatten(1).T[None]
    middle, target = around.mean(0, keepdim=True), wanted.mean(0)
    centred = (around - middle).permute(1, 0, 2).double()
    missing = (wanted - target).T[..., None].double() - centred @ known[0].T[..., None].double()
    gram = centred.transpose(1, 2) @ centred
    gram += torch.eye(gram.shape[-1]) * gram.diagonal(dim1=1, dim2=2).mean(1).clamp(min=1e-9)[:, None, None] * RIDGE
    weights = known[0].T + torch.linalg.solve(gram, centred.transpose(1, 2) @ missing)[..., 0].float()
    bias = target - (middle[0] * weights).sum(1)
    _settle(unit, ours, weights.reshape(unit.convolution.weight.shape), bias)


def _around(unit: Unit, ours: Tensor, theirs: Tensor) -> tuple[Tensor, Tensor]:
    """What a convolution sees at some places, (places, channels, kernel), and what is wanted there. Where our maps were
    halved earlier, the teacher is asked at every other place."""
    convolution = unit.convolution
    kernel, stride = convolution.kernel_size[0], convolution.stride[0]
    seen = nn.functional.unfold(ours, kernel, padding=kernel // 2, stride=stride)
    step = round((theirs.shape[-2] * theirs.shape[-1] / seen.shape[-1]) ** 0.5)
    rows = sampled(seen[..., None])
    return rows.view(len(rows), ours.shape[1], -1), sampled(theirs[..., ::step, ::step])


def _settle(unit: Unit, maps: Tensor, weight: Tensor, bias: Tensor) -> None:
    """Set the weights, and give the norm the statistics of what it sees, so that it adds the bias alone."""
    unit.convolution.weight.copy_(weight)
    _neutral(unit.norm, unit.convolution(maps).transpose(0, 1).flatten(1).T, bias)


def _neutral(norm: nn.BatchNorm1d | nn.BatchNorm2d, seen: Tensor, offset: Tensor) -> None:
    assert norm.running_mean is not None
    assert norm.running_var is not None
    norm.running_mean.copy_(seen.mean(0))
    norm.running_var.copy_(seen.var(0))
    norm.weight.copy_(torch.sqrt(norm.running_var + norm.eps))
    norm.bias.copy_(norm.running_mean + offset)
