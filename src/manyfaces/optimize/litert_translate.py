"""The work of writing one ONNX network as LiteRT: which value lies in which tensor, and in what order of dimensions.

ONNX puts channels before rows and columns, LiteRT after them. Every value therefore lies either as ONNX has it or with
its channels last, and is turned only where an operator needs the other order. A transpose that an exporter put there
for the same reason costs nothing: it only says anew in what order its input lies.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from manyfaces.optimize.litert_draft import Array, Draft, Operator
from manyfaces.optimize.litert_graph import Graph, Shape
from manyfaces.optimize.model import Unsupported

NONE, RELU, RELU6 = 0, 1, 3
"""What an operator may do to its own answer, in the schema's numbers."""

WEIGHTED = ("CONV_2D", "DEPTHWISE_CONV_2D", "FULLY_CONNECTED")
FUSING = (*WEIGHTED, "ADD", "SUB", "MUL", "DIV", "MAX_POOL_2D", "AVERAGE_POOL_2D")
ACTIVATION = "fusedActivationFunction"


@dataclass(frozen=True, slots=True)
class Value:
    """A tensor of the draft; `last`: with its channels last."""

    tensor: int
    last: bool = False


def to_last(rank: int) -> tuple[int, ...]:
    """Which of ONNX's dimensions lies at each place when channels are last."""
    return (0, *range(2, rank), 1)


def to_first(rank: int) -> tuple[int, ...]:
    return (0, rank - 1, *range(1, rank - 1))


class Translation:
    """Knows for every name of the graph where its value is. The operators' own rules are in litert_operators.py."""

    def __init__(self, graph: Graph) -> None:
        self.graph, self.draft = graph, Draft()
        self.values: dict[str, Value] = {}
        self._turned: dict[tuple[int, tuple[int, ...]], int] = {}
        self._shaped: dict[tuple[int, tuple[int, ...]], int] = {}
        self._names: dict[int, list[str]] = defaultdict(list)
        self._thin: set[int] = set()

    # --- what is known -----------------------------------------------------------------------------------------------

    def shape(self, name: str) -> Shape:
        if name in self.graph.constants:
            return Shape(self.graph.constants[name].shape, False)
        if name not in self.graph.shapes or 0 in self.graph.shapes[name].sizes:
            raise Unsupported(f"{name}: its size is not known before the network runs, which LiteRT needs")
        return self.graph.shapes[name]

    def constant(self, name: str) -> Array | None:
        return self.graph.constants.get(name)

    def fixed(self, node: onnx.NodeProto, place: int) -> Array | None:
        """An input that says how, not what: it has to be constant. None where it is left out."""
        if len(node.input) <= place or not node.input[place]:
            return None
        if node.input[place] not in self.graph.constants:
            raise Unsupported(f"{described(node)}: input {place} is found only when it runs, which LiteRT cannot have")
        return self.graph.constants[node.input[place]]

    def dtype(self, name: str) -> np.dtype[Any]:
        if name in self.graph.constants:
            return self.graph.constants[name].dtype
        return self.draft.tensors[self.values[name].tensor].dtype

    def is_last(self, name: str) -> bool:
        return name in self.values and self.values[name].last

    def axis(self, name: str, axis: int) -> int:
        """Where one of ONNX's dimensions lies in the tensor of this value."""
        rank = self.shape(name).rank
        return to_last(rank).index(axis % rank) if self.is_last(name) else axis % rank

    # --- tensors in the order that is wanted -------------------------------------------------------------------------

    def plain(self, name: str) -> int:
        """The tensor of this value with its dimensions as ONNX has them."""
        if name in self.graph.constants:
            return self.draft.constant(self.graph.constants[name], name)
        value = self.values[name]
        return self._turn(value.tensor, to_first(self.shape(name).rank)) if value.last else value.tensor

    def channels_last(self, name: str) -> int:
        if name in self.graph.constants:
            array = self.graph.constants[name]
            return self.draft.constant(array.transpose(to_last(array.ndim)), name)
        value = self.values[name]
        return value.tensor if value.last else self._turn(value.tensor, to_last(self.shape(name).rank))

    def _turn(self, tensor: int, order: tuple[int, ...]) -> int:
        key = (tensor, order)
        if key not in self._turned:
            old = self.draft.tensors[tensor]
            sizes = tuple(old.shape[place] for place in order)
            made = self.draft.tensor(f"{old.name}_turned", sizes, old.dtype, old.batched)
            if sum(size > 1 for size in sizes[1:]) <= 1:  # nothing moves where one dimension holds everything
                self._reshape_into(tensor, made)
            else:
                places = self.draft.constant(np.array(order, np.int32), f"{old.name}_order")
                self.draft.add(Operator("TRANSPOSE", [tensor, places], made, "TransposeOptions"))
            self._turned[key] = made
        return self._turned[key]

    def _reshape_into(self, tensor: int, made: int) -> None:
        new = self.draft.tensors[made]
        target = np.array(Shape(new.shape, new.batched).target, np.int32)
        sizes = self.draft.constant(target, f"{new.name}_sizes")
        options = {"newShape": target.tolist()}
        self.draft.add(Operator("RESHAPE", [tensor, sizes], made, "ReshapeOptions", options))

    def reshaped(self, tensor: int, shape: Shape, name: str, thin: bool = False) -> int:
        """The same numbers in another shape. `thin`: one dimension of one more or less, the last being as it was."""
        maker = self.draft.maker(tensor)
        if maker is not None and maker.code == "RESHAPE" and self.draft.tensors[maker.inputs[0]].shape == shape.sizes:
            return maker.inputs[0]
        key = (tensor, shape.sizes)
        if key not in self._shaped:
            self._shaped[key] = self._reshaped(tensor, shape, name, thin)
        return self._shaped[key]

    def _reshaped(self, tensor: int, shape: Shape, name: str, thin: bool) -> int:
        old = self.draft.tensors[tensor]
        made = self.draft.tensor(name, shape.sizes, old.dtype, shape.batched)
        self._reshape_into(tensor, made)
        if thin:
            self._thin.add(made)
        return made

    # --- new values --------------------------------------------------------------------------------------------------

    def emit(
        self, code: str, inputs: Sequence[int], name: str, kind: str = "", last: bool = False, **options: Any
    ) -> int:
        """An operator whose answer is the value of this name."""
        shape = self.shape(name)
        sizes = tuple(shape.sizes[place] for place in to_last(shape.rank)) if last else shape.sizes
        made = self.between(code, inputs, name, Shape(sizes, shape.batched), self.graph.dtypes[name], kind, **options)
        return self.settle(name, Value(made, last))

    def between(
        self, code: str, inputs: Sequence[int], name: str, shape: Shape, dtype: Any, kind: str = "", **options: Any
    ) -> int:
        """An operator whose answer has no name in the graph."""
        made = self.draft.tensor(name, shape.sizes, np.dtype(dtype), shape.batched)
        self.draft.add(Operator(code, list(inputs), made, kind, options))
        return made

    def settle(self, name: str, value: Value) -> int:
        """This value lies there from now on."""
        self.values[name] = value
        self._names[value.tensor].append(name)
        return value.tensor

    def alias(self, name: str, of: str) -> None:
        """Another name for the same value."""
        if of in self.graph.constants:
            raise Unsupported(f"{name}: is the same for every input, which no runtime needs to reckon")
        self.settle(name, self.values[of])

    # --- what the operator before can do as well ---------------------------------------------------------------------

    def _exclusive(self, name: str) -> Operator | None:
        """The operator that made this value, if nobody else reads what it gives."""
        value = self.values.get(name)
        if value is None:
            return None
        lone = all(self.graph.uses[one] == 1 and one not in self.graph.outputs for one in self._names[value.tensor])
        return self._maker(value.tensor) if lone else None

    def _maker(self, tensor: int) -> Operator | None:
        """Through reshapes that only add or take away a dimension of one."""
        maker = self.draft.maker(tensor)
        return self._maker(maker.inputs[0]) if maker is not None and tensor in self._thin else maker

    def fuse(self, node: onnx.NodeProto, activation: int) -> bool:
        """Let the operator before do this as well, if it can."""
        maker = self._exclusive(node.input[0])
        if maker is None or maker.code not in FUSING or maker.options.get(ACTIVATION, NONE) != NONE:
            return False
        maker.options[ACTIVATION] = activation
        self.settle(node.output[0], self.values[node.input[0]])
        return True

    def is_positive(self, name: str) -> bool:
        """Whether a value is known to have nothing below zero in it."""
        maker = self._maker(self.values[name].tensor)
        if maker is not None and maker.code == "MAX_POOL_2D":
            maker = self._maker(maker.inputs[0])
        return maker is not None and (maker.code == "RELU" or maker.options.get(ACTIVATION) in (RELU, RELU6))

    def absorb(self, name: str, result: str, scale: Array | None, shift: Array | None) -> bool:
        """Put `scale * value + shift` into the weights of the layer before, if both are one number per channel."""
        maker = self._exclusive(name)
        if maker is None or maker.code not in WEIGHTED or maker.options.get(ACTIVATION, NONE) != NONE:
            return False
        weights, bias = (self.draft.tensors[number] for number in maker.inputs[1:3])
        assert weights.content is not None
        assert bias.content is not None
        channels = len(bias.content)
        factors, added = (self._per_channel(name, array, channels) for array in (scale, shift))
        if (scale is not None and factors is None) or (shift is not None and added is None):
            return False
        if factors is not None:
            across = (
                factors if maker.code == "DEPTHWISE_CONV_2D" else factors.reshape(-1, *[1] * (weights.content.ndim - 1))
            )
            weights.content = (weights.content * across).astype(np.float32)
            bias.content = (bias.content * factors).astype(np.float32)
        if added is not None:
            bias.content = (bias.content + added).astype(np.float32)
        self.settle(result, self.values[name])
        return True

    def _per_channel(self, name: str, array: Array | None, channels: int) -> Array | None:
        """A constant as one number for each of a layer's channels; None where it is something else."""
        rank = self.shape(name).rank
        if array is None or array.ndim > rank:
            return None
        sizes = [1] * (rank - array.ndim) + list(array.shape)
        own = sizes.pop(1 if self.is_last(name) else rank - 1)
        if any(size != 1 for size in sizes) or own not in (1, channels):
            return None
        return np.broadcast_to(array.reshape(-1), channels).astype(np.float32)


def described(node: onnx.NodeProto) -> str:
    """An operator as a sentence names it."""
    return f"{node.op_type} ({node.name or node.output[0]})"
