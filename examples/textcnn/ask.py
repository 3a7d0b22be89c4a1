"""Asks a TextCNN in any of its forms (.onnx, OpenVINO's .xml, .tflite): sentences, or the tutorials' [[1] * 50].

python ask.py runs/repair/forms/model.onnx
python ask.py runs/repair/forms/model.int8.tflite "máy bơm bị rò nước" "水泵漏水" --words runs/repair
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
from tokens import encoded, read


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=Path)
    parser.add_argument("sentences", nargs="*")
    parser.add_argument("--words", type=Path, help="the folder of the training, with vocabulary.json and labels.json")
    asked = parser.parse_args()
    if asked.sentences and asked.words is None:
        parser.error("sentences need --words, the folder of the training")
    if not asked.sentences:
        print(invoke(asked.model, np.array([[1] * 50], np.int32)))
        return
    known = read(asked.words / "vocabulary.json")
    classes = json.loads((asked.words / "labels.json").read_text(encoding="utf-8"))
    for text, said in zip(asked.sentences, invoke(asked.model, encoded(asked.sentences, known)), strict=True):
        print(f"{text}: {classes[said.argmax()]} {said.max():.0%}")


def invoke(model: Path, ids: np.ndarray[Any, np.dtype[np.int32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    """Probabilities (n, classes) for ids (n, 50)."""
    if model.suffix == ".tflite":
        return _by_litert(model, ids)
    import openvino

    compiled = openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    return np.asarray(compiled(ids)[0])


def _by_litert(model: Path, ids: np.ndarray[Any, np.dtype[np.int32]]) -> np.ndarray[Any, np.dtype[np.float32]]:
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=str(model))
    (given,), (answer,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], ids.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], ids)
    interpreter.invoke()
    return np.asarray(interpreter.get_tensor(answer["index"]))


if __name__ == "__main__":
    main()
