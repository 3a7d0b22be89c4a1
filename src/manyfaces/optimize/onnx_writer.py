"""ONNX files and all their quantised forms. ONNX Runtime takes the ranges and rounds; layers are taken back to float
here, in the finished graph, so that finding those that hurt needs no calibration each time."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import onnx

from manyfaces.card import ModelCard
from manyfaces.optimize import graph
from manyfaces.optimize.files import write_whole
from manyfaces.optimize.model import Columns, Form, Format, Opened, Order, Original, Quantisation, Samples
from manyfaces.optimize.runs import lacking, onnxruntime, open_onnx

FLOAT_COSTS_NOTHING = ("Softmax", "Sigmoid", "LayerNormalization", "InstanceNormalization")
"""Rounding what these say is felt at once, and they are a small part of the work."""

OPSET = 13
"""The first with a scale for every channel."""


class OnnxWriter:
    """`calibrated` keeps the last network with ranges, for the next order often only differs in what it keeps."""

    format: Format = "onnx"
    quantisations: tuple[Quantisation, ...] = ("none", "weights", "weights4", "dynamic", "static")

    def __init__(self) -> None:
        self._calibrated: tuple[str, onnx.ModelProto] | None = None

    def layers(self, original: Original) -> tuple[str, ...]:
        """Those that static quantisation rounded; they are known once it was."""
        known = self._calibrated is not None and self._calibrated[0] == original.fingerprint
        return graph.quantised_layers(self._calibrated[1]) if known and self._calibrated else ()

    def write(self, original: Original, order: Order) -> Form:
        path = order.stem.with_name(f"{order.stem.name}.onnx")
        content = self.quantised(original, order).SerializeToString()
        write_whole(path, content)
        return Form(self.format, order.quantisation, (path,), order.keep)

    def quantised(self, original: Original, order: Order) -> onnx.ModelProto:
        """The network of an order, for whoever writes it in another format."""
        keep = {one.layer for one in order.keep}
        model = onnx.load_from_string(original.onnx)
        if order.quantisation == "none":
            return model
        plain = plain_graph(model)
        if order.quantisation == "dynamic":
            return _dynamic(plain, keep)
        if order.quantisation in ("static", "qat"):
            return graph.with_float_layers(self._with_ranges(original, plain, order.samples), plain, keep)
        return graph.with_small_weights(plain, 4 if order.quantisation == "weights4" else 8, keep)

    def _with_ranges(self, original: Original, plain: onnx.ModelProto, samples: Samples) -> onnx.ModelProto:
        if self._calibrated is None or self._calibrated[0] != original.fingerprint:
            self._calibrated = (original.fingerprint, _static(plain, samples))
        return self._calibrated[1]

    def open(self, form: Form, threads: int) -> Opened:
        return open_onnx(form.paths[0].read_bytes(), threads)


def plain_graph(model: onnx.ModelProto) -> onnx.ModelProto:
    """As quantisers want it: named operators, names left to them, no stale shapes, their opset."""
    named = graph.with_free_names(graph.named(model))
    del named.graph.value_info[:]
    graph.raise_opset(named, OPSET)
    return named


# --- ONNX Runtime's quantisers ---------------------------------------------------------------------------------------


def _static(model: onnx.ModelProto, samples: Samples) -> onnx.ModelProto:
    onnxruntime()
    from onnxruntime.quantization import CalibrationDataReader, QuantType, quantize_static
    from onnxruntime.quantization.registry import QDQRegistry

    class Batches(CalibrationDataReader):  # type: ignore[misc]
        """Asks for one batch after the other, and never for all."""

        def __init__(self) -> None:
            self._left: Iterator[Columns] = iter(samples)

        def get_next(self) -> dict[str, Any] | None:
            batch = next(self._left, None)
            return dict(batch) if batch is not None else None

    kinds = sorted(set(QDQRegistry) - set(FLOAT_COSTS_NOTHING))
    return _made(
        model,
        partial(
            quantize_static,
            calibration_data_reader=Batches(),
            op_types_to_quantize=kinds,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            # Else it drops what a rounding does by itself, such as Relu, and a layer taken back to float would miss it.
            extra_options={"QDQKeepRemovableActivations": True},
        ),
    )


def _dynamic(model: onnx.ModelProto, keep: set[str]) -> onnx.ModelProto:
    """Weights without a sign: ONNX Runtime's convolutions on whole numbers are several times slower with one."""
    onnxruntime()
    from onnxruntime.quantization import QuantType, quantize_dynamic

    return _made(model, partial(quantize_dynamic, weight_type=QuantType.QUInt8, nodes_to_exclude=sorted(keep)))


def _made(model: onnx.ModelProto, quantise: Any) -> onnx.ModelProto:
    """The quantisers go from file to file."""
    with tempfile.TemporaryDirectory() as folder, lacking("ONNX Runtime's quantiser"), _silenced():
        source, target = Path(folder) / "float.onnx", Path(folder) / "small.onnx"
        onnx.save(model, str(source))
        quantise(str(source), str(target))
        made = onnx.load(str(target))
    del made.metadata_props[:]
    return made


@contextmanager
def _silenced() -> Iterator[None]:
    """The quantiser advises, through the root logger, to prepare a graph that is prepared already."""
    root = logging.getLogger()
    before = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(before)


# --- cards -----------------------------------------------------------------------------------------------------------


def card_for(
    card: ModelCard, form: Form, digest: str, metrics: Mapping[str, float], notes: tuple[str, ...]
) -> ModelCard:
    """The card of a form: what goes in stays, the bytes and the figures are its own."""
    return replace(
        card,
        name=card.name if form.quantisation == "none" else f"{card.name}-{form.quantisation}",
        sha256=digest,
        source="",
        address="",
        metrics={**_kept_metrics(card), **metrics},
        notes=(*card.notes, *notes),
    )


def _kept_metrics(card: ModelCard) -> dict[str, float]:
    """Figures that do not depend on how numbers are rounded."""
    return {name: value for name, value in card.metrics.items() if name in ("parameters", "temperature")}
