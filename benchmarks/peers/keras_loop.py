"""The tutorials' loop: Haar cascade, and Keras `predict` for one face after the other."""

from __future__ import annotations

from typing import Any

import measuring


def load(_heads: str) -> measuring.Look:
    import cv2
    import keras
    import numpy as np

    cascade = cv2.CascadeClassifier(cv2.data.haarcascades + "haarcascade_frontalface_default.xml")
    network = keras.models.load_model(measuring.installed_file("fer", "fer/data/emotion_model.hdf5"), compile=False)

    def look(picture: Any) -> int:
        grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
        boxes = cascade.detectMultiScale(grey, 1.3, 5)
        for x, y, width, height in boxes:
            face = cv2.resize(grey[y : y + height, x : x + width], (64, 64))
            face = (face.astype("float32") / 255 - 0.5) * 2
            network.predict(np.expand_dims(face, (0, -1)), verbose=0)
        return len(boxes)

    return look


if __name__ == "__main__":
    measuring.run("keras-loop", load, ("emotion",), ("tensorflow-cpu", "keras", "opencv-python-headless"))
