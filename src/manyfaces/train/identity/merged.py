"""A pretrained network and the head that was learnt for it as one file: whoever takes a model takes this one.

The head's nodes are put behind the network's own, which stay as they are, in the file's own form of weights. Nothing
here needs torch.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from google.protobuf.message import DecodeError
from onnx import NodeProto, helper, numpy_helper

from manyfaces.train.labels import DataError
from manyfaces.types import Floats

OUTPUT = "embedding"
PREFIX = "adapted/"
"""Before every name of ours, so that none is taken for one of the network's."""

TINY = 1e-9


def with_head(content: bytes, narrow: tuple[Floats, Floats] | None, wide: Floats) -> bytes:
    """The network's file with unit vectors v + wide . bent(v) as its one output, bent(v) being relu(narrow . v + bias)
    where there is a narrow layer and v itself where there is none."""
    try:
        model = onnx.load_from_string(content)
    except DecodeError:
        raise DataError("the pretrained network cannot be read as ONNX; install it again") from None
    if len(model.graph.output) != 1:
        raise DataError(
            f"the pretrained network has {len(model.graph.output)} outputs, and a head takes one; export it so"
        )
    weights = _weights(narrow, wide)
    model.graph.node.extend(_nodes(model.graph.output[0].name, narrow is not None))
    model.graph.initializer.extend(numpy_helper.from_array(value, PREFIX + name) for name, value in weights.items())
    del model.graph.output[:]
    vectors = helper.make_tensor_value_info(OUTPUT, onnx.TensorProto.FLOAT, None)
    model.graph.output.append(vectors)
    written: bytes = model.SerializeToString()
    return written


def _weights(narrow: tuple[Floats, Floats] | None, wide: Floats) -> dict[str, Floats]:
    """As the nodes multiply: a row of values times a matrix."""
    ones = np.ones((len(wide), 1), np.float32)
    found = {"ones": ones, "tiny": np.array(TINY, np.float32), "wide": wide.T.copy()}
    if narrow is not None:
        found |= {"narrow": narrow[0].T.copy(), "bias": narrow[1].copy()}
    return found


def _nodes(output: str, is_bent: bool) -> Iterator[NodeProto]:
    yield from _unit(output, "before")
    inner = "before"
    if is_bent:
        yield _node("MatMul", "before", "narrow", to="product")
        yield _node("Add", "product", "bias", to="shifted")
        yield _node("Relu", "shifted", to="bent")
        inner = "bent"
    yield _node("MatMul", inner, "wide", to="correction")
    yield _node("Add", "before", "correction", to="moved")
    yield from _unit(PREFIX + "moved", "after")
    yield helper.make_node("Identity", [PREFIX + "after"], [OUTPUT])


def _unit(name: str, to: str) -> Iterator[NodeProto]:
    """The vectors of this full name, of length 1; in words that every version of ONNX knows."""
    yield helper.make_node("Mul", [name, name], [PREFIX + to + "/squares"])
    yield _node("MatMul", to + "/squares", "ones", to=to + "/sum")
    yield _node("Sqrt", to + "/sum", to=to + "/length")
    yield _node("Max", to + "/length", "tiny", to=to + "/safe")
    yield helper.make_node("Div", [name, PREFIX + to + "/safe"], [PREFIX + to])


def _node(kind: str, *names: str, to: str) -> NodeProto:
    return helper.make_node(kind, [PREFIX + name for name in names], [PREFIX + to])
