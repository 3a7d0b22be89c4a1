"""The tutorials' loop with TFLite in place of Keras: the quantised mini-XCEPTION that comes with `fer`."""

from __future__ import annotations

from typing import Any

import measuring


def load(_heads: str) -> measuring.Look:
    import cv2
    import numpy as np
    from ai_edge_litert.interpreter import Interpreter

    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    file = measuring.installed_file("fer", "fer/data/emotion_model_quantized.tflite")
    interpreter = Interpreter(model_path=str(file))
    interpreter.allocate_tensors()
    pictures_in = interpreter.get_input_details()[0]["index"]
    scores_out = interpreter.get_output_details()[0]["index"]

    def look(picture: Any) -> int:
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        boxes = cascade.detectMultiScale(grey, 1.3, 5)
        for x, y, width, height in boxes:
            face = cv2.resize(grey[y : y + height, x : x + width], (64, 64))
            face = (face.astype("float32") / 255 - 0.5) * 2
            interpreter.set_tensor(pictures_in, np.expand_dims(face, (0, -1)))
            interpreter.invoke()
            interpreter.get_tensor(scores_out)
        return len(boxes)

    return look


if __name__ == "__main__":
    measuring.run("tflite-loop", load, ("emotion",), ("ai-edge-litert", "opencv-python-headless"))
