"""How each ONNX operator is said in LiteRT. What is not in `RULES` LiteRT lacks, or nobody has written yet."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import onnx

from manyfaces.optimize.litert_draft import Array
from manyfaces.optimize.litert_graph import Shape, attribute
from manyfaces.optimize.litert_translate import (
    ACTIVATION,
    RELU,
    RELU6,
    Translation,
    Value,
    described,
    to_first,
    to_last,
)
from manyfaces.optimize.model import Unsupported

SAME, VALID = 0, 1
"""How the schema counts ways of padding."""

WHOLE = ("int32", "int64")
Node = onnx.NodeProto
Rule = Callable[[Translation, Node], None]


def _refuse(node: Node, why: str) -> Unsupported:
    return Unsupported(f"LiteRT cannot have {described(node)}: {why}")


# --- convolutions and pools ------------------------------------------------------------------------------------------


def _conv(work: Translation, node: Node) -> None:
    kernel = work.fixed(node, 1)
    if kernel is None or kernel.ndim not in (3, 4):
        raise _refuse(node, "only convolutions along one or two dimensions exist there")
    flat = kernel.ndim == 3
    spread = kernel[:, :, None, :] if flat else kernel
    groups, channels = int(attribute(node, "group", 1)), work.shape(node.input[0]).sizes[1]
    bias = work.fixed(node, 2)
    strides, dilations = _pair(node, "strides", flat), _pair(node, "dilations", flat)
    reach = [(size - 1) * step + 1 for size, step in zip(spread.shape[2:], dilations, strict=True)]
    source, padding = _windowed(work, node, reach, strides, np.float32(0))
    options = {
        "padding": padding,
        "strideH": strides[0],
        "strideW": strides[1],
        "dilationHFactor": dilations[0],
        "dilationWFactor": dilations[1],
        ACTIVATION: 0,
    }
    if groups == channels and groups > 1:
        code, kind, weights = "DEPTHWISE_CONV_2D", "DepthwiseConv2DOptions", _depthwise(spread)
        options["depthMultiplier"] = spread.shape[0] // groups
    else:
        code, kind, weights = "CONV_2D", "Conv2DOptions", spread.transpose(0, 2, 3, 1)
    inputs = [source, work.draft.constant(weights, node.input[1]), _bias(work, node, bias, spread.shape[0])]
    _place(work, node, code, inputs, kind, options)


def _depthwise(kernel: Array) -> Array:
    """(channels out, 1, height, width) to (1, height, width, channels out)."""
    return np.transpose(kernel, (1, 2, 3, 0))


def _bias(work: Translation, node: Node, bias: Array | None, channels: int) -> int:
    """There is always one, so that what follows can be put into it."""
    content = np.zeros(channels, np.float32) if bias is None else bias.astype(np.float32).reshape(-1)
    return work.draft.constant(content, f"{node.output[0]}_bias")


def _place(work: Translation, node: Node, code: str, inputs: Sequence[int], kind: str, options: dict[str, Any]) -> None:
    """The answer with channels last; along one dimension it has a height of one in between."""
    name = node.output[0]
    if work.shape(name).rank == 4:
        work.emit(code, inputs, name, kind, last=True, **options)
        return
    count, channels, length = work.shape(name).sizes
    batched = work.shape(name).batched
    high = Shape((count, 1, length, channels), batched)
    made = work.between(code, inputs, f"{name}_high", high, np.float32, kind, **options)
    thin = work.reshaped(made, Shape((count, length, channels), batched), name, thin=True)
    work.settle(name, Value(thin, last=True))


def _pair(node: Node, name: str, flat: bool, otherwise: int = 1) -> list[int]:
    values = [int(value) for value in attribute(node, name, [otherwise] * (1 if flat else 2))]
    return [1, *values] if flat else values


def _windowed(
    work: Translation, node: Node, reach: Sequence[int], strides: Sequence[int], filler: Any
) -> tuple[int, int]:
    """What windows slide over, and how its edges are padded: by the operator where it can, else beforehand."""
    name = node.input[0]
    source, shape = work.channels_last(name), work.shape(name)
    flat = shape.rank == 3
    if flat:
        count, channels, length = shape.sizes
        source = work.reshaped(source, Shape((count, 1, length, channels), shape.batched), f"{name}_high")
    sizes = (1, shape.sizes[2]) if flat else shape.sizes[2:]
    before, after = _pads(node, sizes, reach, strides, flat)
    if not any(before) and not any(after):
        return source, VALID
    same = [_same(*one) for one in zip(sizes, reach, strides, strict=True)]
    if list(zip(before, after, strict=True)) == same:
        return source, SAME
    return _padded(work, source, [(0, 0), *zip(before, after, strict=True), (0, 0)], filler), VALID


def _same(size: int, reach: int, stride: int) -> tuple[int, int]:
    """Padding with which one window starts at every stride; what is odd comes at the end."""
    total = max((-(-size // stride) - 1) * stride + reach - size, 0)
    return total // 2, total - total // 2


def _pads(
    node: Node, sizes: Sequence[int], reach: Sequence[int], strides: Sequence[int], flat: bool
) -> tuple[list[int], list[int]]:
    kind = attribute(node, "auto_pad", "NOTSET")
    if kind in ("SAME_UPPER", "SAME_LOWER"):
        both = [_same(*one) for one in zip(sizes, reach, strides, strict=True)]
        before, after = [one[0] for one in both], [one[1] for one in both]
        return (before, after) if kind == "SAME_UPPER" else (after, before)
    pads = list(attribute(node, "pads", [])) or [0] * (2 if flat else 4)
    half = len(pads) // 2
    return ([0, *pads[:half]], [0, *pads[half:]]) if flat else (pads[:half], pads[half:])


def _padded(work: Translation, source: int, pads: Sequence[tuple[int, int]], filler: Any) -> int:
    old = work.draft.tensors[source]
    sizes = tuple(size + sum(pad) for size, pad in zip(old.shape, pads, strict=True))
    amounts = work.draft.constant(np.array(pads, np.int32), f"{old.name}_pads")
    shape = Shape(sizes, old.batched)
    if filler == 0:
        return work.between("PAD", [source, amounts], f"{old.name}_padded", shape, old.dtype, "PadOptions")
    value = work.draft.constant(np.array([filler], old.dtype), f"{old.name}_filler")
    return work.between("PADV2", [source, amounts, value], f"{old.name}_padded", shape, old.dtype, "PadV2Options")


def _pool(work: Translation, node: Node, code: str) -> None:
    flat = work.shape(node.input[0]).rank == 3
    if work.shape(node.input[0]).rank not in (3, 4):
        raise _refuse(node, "only pools along one or two dimensions exist there")
    window, strides = _pair(node, "kernel_shape", flat), _pair(node, "strides", flat)
    filler: Any = np.float32(0)
    if code == "MAX_POOL_2D" and not work.is_positive(node.input[0]):
        filler = np.finfo(np.float32).min
    source, padding = _windowed(work, node, window, strides, filler)
    _refuse_odd_pool(work, node, code, source, padding, window, strides)
    options = {
        "padding": padding,
        "strideH": strides[0],
        "strideW": strides[1],
        "filterHeight": window[0],
        "filterWidth": window[1],
        ACTIVATION: 0,
    }
    _place(work, node, code, [source], "Pool2DOptions", options)


def _refuse_odd_pool(
    work: Translation, node: Node, code: str, source: int, padding: int, window: Sequence[int], strides: Sequence[int]
) -> None:
    if any(step != 1 for step in attribute(node, "dilations", [1])):
        raise _refuse(node, "its windows have holes")
    sizes = work.draft.tensors[source].shape[1:3]
    given = [
        -(-size // step) if padding == SAME else (size - reach) // step + 1
        for size, reach, step in zip(sizes, window, strides, strict=True)
    ]
    if given[-len(work.shape(node.output[0]).sizes[2:]) :] != list(work.shape(node.output[0]).sizes[2:]):
        raise _refuse(node, "its last window reaches over the edge (ceil_mode)")
    counts_edges = bool(attribute(node, "count_include_pad", 0))
    padded = padding == SAME or source != work.channels_last(node.input[0])
    flat = work.shape(node.input[0]).rank == 3
    if code == "AVERAGE_POOL_2D" and padded and not flat and counts_edges == (padding == SAME):
        raise _refuse(node, "LiteRT counts padded edges otherwise")


# --- sums of products ------------------------------------------------------------------------------------------------


def _gemm(work: Translation, node: Node) -> None:
    weights = work.fixed(node, 1)
    if weights is None or attribute(node, "transA", 0):
        raise _refuse(node, "its weights are not constant, or what they meet is turned")
    turned = weights if attribute(node, "transB", 0) else weights.T
    bias = work.fixed(node, 2)
    scaled = None if bias is None else np.broadcast_to(bias * attribute(node, "beta", 1.0), turned.shape[:1])
    _fully_connected(work, node, turned * np.float32(attribute(node, "alpha", 1.0)), scaled)


def _matmul(work: Translation, node: Node) -> None:
    weights = work.constant(node.input[1])
    if weights is not None and weights.ndim == 2:
        _fully_connected(work, node, weights.T, None)
        return
    inputs = [work.plain(node.input[0]), work.plain(node.input[1])]
    work.emit("BATCH_MATMUL", inputs, node.output[0], "BatchMatMulOptions", adjX=False, adjY=False)


def _fully_connected(work: Translation, node: Node, weights: Array, bias: Array | None) -> None:
    inputs = [
        work.plain(node.input[0]),
        work.draft.constant(weights.astype(np.float32), node.input[1]),
        _bias(work, node, bias, len(weights)),
    ]
    keep = work.shape(node.input[0]).rank > 2
    options: dict[str, Any] = {ACTIVATION: 0, "keepNumDims": keep}
    work.emit("FULLY_CONNECTED", inputs, node.output[0], "FullyConnectedOptions", **options)


def _normalise(work: Translation, node: Node) -> None:
    scale, shift, mean, variance = (work.fixed(node, place) for place in range(1, 5))
    if scale is None or shift is None or mean is None or variance is None:
        raise _refuse(node, "its figures are not constant")
    factors = scale / np.sqrt(variance + attribute(node, "epsilon", 1e-5))
    _scale_and_shift(work, node, factors, shift - mean * factors)


def _scale_and_shift(work: Translation, node: Node, factors: Array, added: Array) -> None:
    name, result = node.input[0], node.output[0]
    sizes = (-1, *[1] * (work.shape(name).rank - 2))
    if work.absorb(name, result, factors.reshape(sizes), added.reshape(sizes)):
        return
    last = work.shape(name).rank > 2
    source = work.channels_last(name) if last else work.plain(name)
    old = work.draft.tensors[source]
    first, second = (
        work.draft.constant(array.astype(np.float32), f"{result}_{what}")
        for array, what in ((factors, "factors"), (added, "added"))
    )
    shape = Shape(old.shape, old.batched)
    scaled = work.between("MUL", [source, first], f"{result}_scaled", shape, old.dtype, "MulOptions")
    work.emit("ADD", [scaled, second], result, "AddOptions", last=last)


# --- number by number ------------------------------------------------------------------------------------------------


def _simple(work: Translation, node: Node, code: str, kind: str = "", **options: Any) -> None:
    """In whatever order the numbers lie."""
    value = work.values[node.input[0]]
    work.emit(code, [value.tensor], node.output[0], kind, last=value.last, **options)


def _binary(work: Translation, node: Node, code: str, kind: str, **options: Any) -> None:
    if _absorbed(work, node, code):
        return
    rank = work.shape(node.output[0]).rank
    moving = [name for name in node.input if work.constant(name) is None]
    last = any(map(work.is_last, moving)) and all(work.shape(name).rank == rank for name in moving)
    inputs = [_operand(work, node, name, rank, last) for name in node.input]
    work.emit(code, inputs, node.output[0], kind, last=last, **options)


def _absorbed(work: Translation, node: Node, code: str) -> bool:
    """Whether the layer before does this with its own weights, where one side is constant."""
    first, second = node.input
    left, right = work.constant(first), work.constant(second)
    fixed = left if right is None else right
    if fixed is None or fixed.dtype != np.float32 or (left is not None and right is not None):
        return False
    ways = _line(code, fixed, on_the_left=right is None)
    return ways is not None and work.absorb(second if right is None else first, node.output[0], *ways)


def _line(code: str, fixed: Array, on_the_left: bool) -> tuple[Array | None, Array | None] | None:
    """Arithmetic with a constant as a factor and what is added."""
    if code == "ADD":
        return None, fixed
    if code == "MUL":
        return fixed, None
    if code == "SUB":
        return (np.array([-1], np.float32), fixed) if on_the_left else (None, -fixed)
    if code == "DIV" and not on_the_left and fixed.all():
        return 1 / fixed, None
    return None


def _operand(work: Translation, node: Node, name: str, rank: int, last: bool) -> int:
    array = work.constant(name)
    if array is None:
        return work.channels_last(name) if last else work.plain(name)
    other = next(one for one in node.input if one != name)
    typed = array.astype(work.dtype(other)) if work.constant(other) is None else array
    if last and array.size > 1:
        typed = typed.reshape([1] * (rank - typed.ndim) + list(typed.shape)).transpose(to_last(rank))
    return work.draft.constant(typed, name)


def _relu(work: Translation, node: Node) -> None:
    if not work.fuse(node, RELU):
        _simple(work, node, "RELU")


def _clip(work: Translation, node: Node) -> None:
    low, high = (_limit(work, node, place, name) for place, name in ((1, "min"), (2, "max")))
    if (low, high) == (0, 6):
        if not work.fuse(node, RELU6):
            _simple(work, node, "RELU6")
    elif low == 0 and high is None:
        _relu(work, node)
    else:
        _between(work, node, node.input[0], low, high)


def _limit(work: Translation, node: Node, place: int, name: str) -> float | None:
    given = work.fixed(node, place)
    value = attribute(node, name, None) if given is None else float(given)
    return None if value is None or abs(value) > 1e38 else value


def _between(work: Translation, node: Node, name: str, low: float | None, high: float | None) -> None:
    value = work.values[name]
    old = work.draft.tensors[value.tensor]
    tensor, shape = value.tensor, Shape(old.shape, old.batched)
    steps = [(code, limit) for code, limit in (("MAXIMUM", low), ("MINIMUM", high)) if limit is not None]
    for code, limit in steps:
        bound = work.draft.constant(np.array([limit], old.dtype), f"{node.output[0]}_{code.lower()}")
        tensor = work.between(code, [tensor, bound], node.output[0], shape, old.dtype, "MaximumMinimumOptions")
    work.settle(node.output[0], Value(tensor, value.last))


def _hard_sigmoid(work: Translation, node: Node) -> None:
    value = work.values[node.input[0]]
    old = work.draft.tensors[value.tensor]
    tensor, shape = value.tensor, Shape(old.shape, old.batched)
    for code, figure in (("MUL", attribute(node, "alpha", 0.2)), ("ADD", attribute(node, "beta", 0.5))):
        number = work.draft.constant(np.array([figure], np.float32), f"{node.output[0]}_{code.lower()}")
        tensor = work.between(
            code, [tensor, number], f"{node.output[0]}_line", shape, old.dtype, f"{code.title()}Options"
        )
    line = f"{node.output[0]}_line"
    work.values[line] = Value(tensor, value.last)
    _between(work, node, line, 0.0, 1.0)


def _prelu(work: Translation, node: Node) -> None:
    slope = work.fixed(node, 1)
    assert slope is not None
    name, rank = node.input[0], work.shape(node.input[0]).rank
    last = rank > 2
    full = slope.reshape([1] * (rank - slope.ndim) + list(slope.shape))
    turned = full.transpose(to_last(rank)) if last else full
    source = work.channels_last(name) if last else work.plain(name)
    slopes = np.broadcast_to(turned[0], (*turned.shape[1:-1], work.draft.tensors[source].shape[-1]))
    work.emit("PRELU", [source, work.draft.constant(slopes, node.input[1])], node.output[0], last=last)


def _reciprocal(work: Translation, node: Node) -> None:
    value = work.values[node.input[0]]
    one = work.draft.constant(np.ones(1, np.float32), f"{node.output[0]}_one")
    work.emit("DIV", [one, value.tensor], node.output[0], "DivOptions", last=value.last)


def _softmax(work: Translation, node: Node, code: str, kind: str, **options: Any) -> None:
    name = node.input[0]
    rank = work.shape(name).rank
    axis = attribute(node, "axis", -1) % rank
    if work.axis(name, axis) == rank - 1:
        value = work.values[name]
        work.emit(code, [value.tensor], node.output[0], kind, last=value.last, **options)
    elif axis == 1 or axis == rank - 1:
        last = axis == 1
        source = work.channels_last(name) if last else work.plain(name)
        work.emit(code, [source], node.output[0], kind, last=last, **options)
    else:
        raise _refuse(node, f"it runs along dimension {axis}, and only the last or the channels can be had")


def _cast(work: Translation, node: Node) -> None:
    """Whole numbers of either length serve where the other is asked for: LiteRT looks up with both."""
    name, result = node.input[0], node.output[0]
    old, new = work.dtype(name), work.graph.dtypes[result]
    whole = old.name in WHOLE and new.name in WHOLE and result not in work.graph.outputs
    if old == new or whole:
        work.alias(result, name)
    else:
        _simple(work, node, "CAST", "CastOptions", inDataType=_type(old), outDataType=_type(new))


def _type(dtype: np.dtype[Any]) -> int:
    from manyfaces.optimize.litert_draft import schema

    return int(getattr(schema().TensorType, dtype.name.upper()))


# --- shapes ----------------------------------------------------------------------------------------------------------


def _transpose(work: Translation, node: Node) -> None:
    name, result = node.input[0], node.output[0]
    rank = work.shape(name).rank
    order = tuple(attribute(node, "perm", tuple(reversed(range(rank)))))
    value = work.values[name]
    if order == tuple(range(rank)):
        work.alias(result, name)
    elif rank > 2 and order == to_first(rank) and not value.last:
        work.settle(result, Value(value.tensor, last=True))
    elif rank > 2 and order == to_last(rank) and value.last:
        work.settle(result, Value(value.tensor))
    else:
        places = work.draft.constant(np.array(order, np.int32), f"{result}_order")
        work.emit("TRANSPOSE", [work.plain(name), places], result, "TransposeOptions")


def _reshape(work: Translation, node: Node) -> None:
    shape = work.shape(node.output[0])
    if shape.sizes == work.shape(node.input[0]).sizes:
        work.alias(node.output[0], node.input[0])
    else:
        work.settle(node.output[0], Value(work.reshaped(work.plain(node.input[0]), shape, node.output[0])))


def _concat(work: Translation, node: Node) -> None:
    rank, axis = work.shape(node.output[0]).rank, attribute(node, "axis", 0)
    last = any(map(work.is_last, node.input)) and rank > 2
    inputs = [work.channels_last(name) if last else work.plain(name) for name in node.input]
    place = to_last(rank).index(axis % rank) if last else axis % rank
    work.emit("CONCATENATION", inputs, node.output[0], "ConcatenationOptions", last=last, axis=place)


def _pad(work: Translation, node: Node) -> None:
    name, rank = node.input[0], work.shape(node.input[0]).rank
    amounts = work.fixed(node, 1)
    pads = [int(one) for one in (attribute(node, "pads", []) if amounts is None else amounts)]
    axes = work.fixed(node, 3)
    if attribute(node, "mode", "constant") != "constant" or axes is not None or min(pads) < 0:
        raise _refuse(node, "it pads with more than a constant")
    filler = work.fixed(node, 2)
    value = work.values[name]
    both = list(zip(pads[:rank], pads[rank:], strict=True))
    ordered = [both[place] for place in to_last(rank)] if value.last else both
    number = float(attribute(node, "value", 0.0) if filler is None else filler)
    work.settle(node.output[0], Value(_padded(work, value.tensor, ordered, number), value.last))


def _slice(work: Translation, node: Node) -> None:
    name, result = node.input[0], node.output[0]
    rank, sizes = work.shape(name).rank, work.shape(name).sizes
    starts, ends = (_numbers(work, node, place, other) for place, other in ((1, "starts"), (2, "ends")))
    axes = _numbers(work, node, 3, "axes") or list(range(len(starts)))
    steps = _numbers(work, node, 4, "steps") or [1] * len(starts)
    if any(axis % rank == 0 and work.shape(name).batched for axis in axes) or min(steps) < 1:
        raise _refuse(node, "it cuts through the batch, or runs backwards")
    begin, end, step = [0] * rank, list(sizes), [1] * rank
    for axis, start, stop, stride in zip(axes, starts, ends, steps, strict=True):
        place = axis % rank
        begin[place], end[place], step[place] = *slice(start, stop).indices(sizes[place])[:2], stride
    _cut(work, name, result, begin, end, step)


def _cut(work: Translation, name: str, result: str, begin: list[int], end: list[int], step: list[int]) -> None:
    value, rank = work.values[name], work.shape(name).rank
    order = to_last(rank) if value.last else tuple(range(rank))
    figures = [
        work.draft.constant(np.array([one[place] for place in order], np.int32), f"{result}_{what}")
        for one, what in ((begin, "begin"), (end, "end"), (step, "step"))
    ]
    whole = 1 if work.shape(name).batched else 0  # the first bit: however many items there are
    options = {"beginMask": whole, "endMask": whole}
    work.emit("STRIDED_SLICE", [value.tensor, *figures], result, "StridedSliceOptions", last=value.last, **options)


def _numbers(work: Translation, node: Node, place: int, name: str) -> list[int]:
    given = work.fixed(node, place)
    return [int(one) for one in (attribute(node, name, []) if given is None else given.reshape(-1))]


def _split(work: Translation, node: Node) -> None:
    """As slices, one for each part."""
    name = node.input[0]
    rank, sizes = work.shape(name).rank, work.shape(name).sizes
    axis = attribute(node, "axis", 0) % rank
    if axis == 0 and work.shape(name).batched:
        raise _refuse(node, "it cuts through the batch")
    start = 0
    for result in node.output:
        begin, end = [0] * rank, list(sizes)
        begin[axis], end[axis] = start, start + work.shape(result).sizes[axis]
        _cut(work, name, result, begin, end, [1] * rank)
        start = end[axis]


def _expand(work: Translation, node: Node) -> None:
    """By a product with ones, for that works for any batch."""
    name, shape = node.input[0], work.shape(node.output[0])
    if shape.sizes == work.shape(name).sizes:
        work.alias(node.output[0], name)
        return
    if shape.batched and not work.shape(name).batched:
        raise _refuse(node, "it makes a batch of something that has none")
    ones = work.draft.constant(np.ones(shape.sizes, work.dtype(name)), f"{node.output[0]}_ones")
    work.emit("MUL", [work.plain(name), ones], node.output[0], "MulOptions")


def _gather(work: Translation, node: Node) -> None:
    table, chosen = node.input[0], node.input[1]
    axis = attribute(node, "axis", 0) % work.shape(table).rank
    content = work.constant(table)
    if content is not None and content.ndim == 2 and axis == 0 and content.dtype == np.float32:
        _look_up(work, node, content)
        return
    indices = work.constant(chosen)
    number = work.plain(chosen) if indices is None else work.draft.constant(indices.astype(np.int32), chosen)
    work.emit("GATHER", [work.plain(table), number], node.output[0], "GatherOptions", axis=axis, batchDims=0)


def _look_up(work: Translation, node: Node, content: Array) -> None:
    """An embedding: the operator for it takes a row of numbers, and its table can be quantised."""
    chosen, result = node.input[1], node.output[0]
    shape = work.shape(chosen)
    count = int(np.prod(shape.sizes))
    ids = work.plain(chosen)
    if work.dtype(chosen) != np.int32:
        options = {"inDataType": _type(work.dtype(chosen)), "outDataType": _type(np.dtype(np.int32))}
        ids = work.between("CAST", [ids], f"{result}_ids", shape, np.int32, "CastOptions", **options)
    row = work.reshaped(ids, Shape((count,), shape.batched), f"{result}_row")
    found = Shape((count, content.shape[1]), shape.batched)
    table = work.draft.constant(content, node.input[0])
    rows = work.between("EMBEDDING_LOOKUP", [row, table], f"{result}_rows", found, np.float32)
    work.settle(result, Value(work.reshaped(rows, work.shape(result), result)))


def _reduce(work: Translation, node: Node, code: str) -> None:
    name, result = node.input[0], node.output[0]
    rank = work.shape(name).rank
    axes = [axis % rank for axis in _numbers(work, node, 1, "axes")] or list(range(rank))
    if 0 in axes and work.shape(name).batched:
        raise _refuse(node, "it runs across the batch")
    keep = bool(attribute(node, "keepdims", 1))
    last = work.is_last(name) and (keep or set(axes) >= set(range(2, rank)))
    source = work.values[name].tensor if last else work.plain(name)
    places = [to_last(rank).index(axis) for axis in axes] if last else axes
    numbers = work.draft.constant(np.array(sorted(places), np.int32), f"{result}_axes")
    work.emit(code, [source, numbers], result, "ReducerOptions", last=last and keep, keepDims=keep)


def _pool_all(work: Translation, node: Node, code: str) -> None:
    name, rank = node.input[0], work.shape(node.input[0]).rank
    places = work.draft.constant(np.arange(1, rank - 1, dtype=np.int32), f"{node.output[0]}_axes")
    inputs = [work.channels_last(name), places]
    work.emit(code, inputs, node.output[0], "ReducerOptions", last=True, keepDims=True)


def _resize(work: Translation, node: Node) -> None:
    name, mode = node.input[0], attribute(node, "mode", "nearest")
    way = attribute(node, "coordinate_transformation_mode", "half_pixel")
    old, new = work.shape(name).sizes, work.shape(node.output[0]).sizes
    if mode not in ("nearest", "linear") or len(old) != 4 or old[:2] != new[:2] or way == "tf_crop_and_resize":
        raise _refuse(node, f"resizing by {mode} does not exist there")
    kind = "ResizeNearestNeighbor" if mode == "nearest" else "ResizeBilinear"
    code = "RESIZE_NEAREST_NEIGHBOR" if mode == "nearest" else "RESIZE_BILINEAR"
    sizes = work.draft.constant(np.array(new[2:], np.int32), f"{node.output[0]}_sizes")
    options = {"alignCorners": way == "align_corners", "halfPixelCenters": "half_pixel" in way and mode == "linear"}
    work.emit(code, [work.channels_last(name), sizes], node.output[0], f"{kind}Options", last=True, **options)


def _same_value(work: Translation, node: Node) -> None:
    work.alias(node.output[0], node.input[0])


RULES: dict[str, Rule] = {
    "Conv": _conv,
    "MaxPool": partial(_pool, code="MAX_POOL_2D"),
    "AveragePool": partial(_pool, code="AVERAGE_POOL_2D"),
    "GlobalAveragePool": partial(_pool_all, code="MEAN"),
    "GlobalMaxPool": partial(_pool_all, code="REDUCE_MAX"),
    "ReduceMean": partial(_reduce, code="MEAN"),
    "ReduceSum": partial(_reduce, code="SUM"),
    "ReduceMax": partial(_reduce, code="REDUCE_MAX"),
    "ReduceMin": partial(_reduce, code="REDUCE_MIN"),
    "Gemm": _gemm,
    "MatMul": _matmul,
    "BatchNormalization": _normalise,
    "Add": partial(_binary, code="ADD", kind="AddOptions"),
    "Sub": partial(_binary, code="SUB", kind="SubOptions"),
    "Mul": partial(_binary, code="MUL", kind="MulOptions"),
    "Div": partial(_binary, code="DIV", kind="DivOptions"),
    "Pow": partial(_binary, code="POW", kind="PowOptions"),
    "Max": partial(_binary, code="MAXIMUM", kind="MaximumMinimumOptions"),
    "Min": partial(_binary, code="MINIMUM", kind="MaximumMinimumOptions"),
    "Relu": _relu,
    "Clip": _clip,
    "LeakyRelu": lambda work, node: _simple(
        work, node, "LEAKY_RELU", "LeakyReluOptions", alpha=attribute(node, "alpha", 0.01)
    ),
    "PRelu": _prelu,
    "Elu": partial(_simple, code="ELU"),
    "Sigmoid": partial(_simple, code="LOGISTIC"),
    "Tanh": partial(_simple, code="TANH"),
    "HardSwish": partial(_simple, code="HARD_SWISH", kind="HardSwishOptions"),
    "HardSigmoid": _hard_sigmoid,
    "Gelu": lambda work, node: _simple(
        work, node, "GELU", "GeluOptions", approximate=attribute(node, "approximate", "none") == "tanh"
    ),
    "Exp": partial(_simple, code="EXP", kind="ExpOptions"),
    "Log": partial(_simple, code="LOG"),
    "Sqrt": partial(_simple, code="SQRT"),
    "Abs": partial(_simple, code="ABS", kind="AbsOptions"),
    "Neg": partial(_simple, code="NEG", kind="NegOptions"),
    "Floor": partial(_simple, code="FLOOR"),
    "Ceil": partial(_simple, code="CEIL"),
    "Round": partial(_simple, code="ROUND"),
    "Sin": partial(_simple, code="SIN"),
    "Cos": partial(_simple, code="COS", kind="CosOptions"),
    "Reciprocal": _reciprocal,
    "Softmax": partial(_softmax, code="SOFTMAX", kind="SoftmaxOptions", beta=1.0),
    "LogSoftmax": partial(_softmax, code="LOG_SOFTMAX", kind="LogSoftmaxOptions"),
    "Cast": _cast,
    "Identity": _same_value,
    "Dropout": _same_value,
    "Transpose": _transpose,
    "Reshape": _reshape,
    "Flatten": _reshape,
    "Squeeze": _reshape,
    "Unsqueeze": _reshape,
    "Concat": _concat,
    "Pad": _pad,
    "Slice": _slice,
    "Split": _split,
    "Expand": _expand,
    "Gather": _gather,
    "Resize": _resize,
}
