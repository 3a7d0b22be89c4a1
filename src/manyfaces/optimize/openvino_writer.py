"""OpenVINO's own files, an .xml and a .bin, of the same quantised networks as the ONNX ones: what is between two
roundings it runs in whole numbers, whoever put the roundings there."""

from __future__ import annotations

import io
import tempfile
from pathlib import Path

from manyfaces.optimize.model import Form, Format, Opened, Order, Original, Quantisation
from manyfaces.optimize.onnx_writer import OnnxWriter
from manyfaces.optimize.runs import lacking, open_openvino
from manyfaces.runtime import openvino_core, quiet_import


class OpenVinoWriter:
    """Dynamic is left out: OpenVINO takes ranges at run time by its own choice, and only of fully connected layers."""

    format: Format = "openvino"
    quantisations: tuple[Quantisation, ...] = ("none", "weights", "weights4", "static")

    def __init__(self) -> None:
        self._onnx = OnnxWriter()

    def layers(self, original: Original) -> tuple[str, ...]:
        return self._onnx.layers(original)

    def write(self, original: Original, order: Order) -> Form:
        content = self._onnx.quantised(original, order).SerializeToString()
        openvino = quiet_import("openvino")
        xml, weights = (order.stem.with_name(f"{order.stem.name}{suffix}") for suffix in (".xml", ".bin"))
        with lacking("OpenVINO"), tempfile.TemporaryDirectory(dir=xml.parent, prefix=".ir-") as folder:
            model = openvino_core().read_model(io.BytesIO(content))
            openvino.save_model(model, str(Path(folder) / "network.xml"), compress_to_fp16=False)
            # The .xml names no .bin: it is the file of the same name, so both may be renamed, the .xml last.
            (Path(folder) / "network.bin").replace(weights)
            (Path(folder) / "network.xml").replace(xml)
        return Form(self.format, order.quantisation, (xml, weights), order.keep)

    def open(self, form: Form, threads: int) -> Opened:
        names = [str(output.get_any_name()) for output in openvino_core().read_model(str(form.paths[0])).outputs]
        return open_openvino(form.paths[0], names, threads, exact=form.computes == "f32")
