"""The forty lines that a good engineer writes: OpenCV's YuNet, and ONNX Runtime for one face after the other."""

from __future__ import annotations

from typing import Any

import measuring


def load(heads: str) -> measuring.Look:
    import cv2
    import numpy as np
    import onnxruntime

    folder = measuring.models()
    detector = cv2.FaceDetectorYN.create(str(folder / "yunet.onnx"), "", (0, 0), score_threshold=0.6)
    emotion = onnxruntime.InferenceSession(folder / "mini_xception.onnx")
    identity = onnxruntime.InferenceSession(folder / "sface.onnx")
    eyes_nose_mouth = np.array(
        [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
    )

    def read_emotion(picture: Any, face: Any) -> None:
        x, y, width, height = (max(int(value), 0) for value in face[:4])
        grey = cv2.cvtColor(picture[y : y + max(height, 1), x : x + max(width, 1)], cv2.COLOR_BGR2GRAY)
        crop = (cv2.resize(grey, (64, 64)).astype(np.float32) - 127.5) / 127.5
        emotion.run(None, {"pictures": crop[None, None]})

    def read_identity(picture: Any, face: Any) -> None:
        turn, _ = cv2.estimateAffinePartial2D(face[4:14].reshape(5, 2), eyes_nose_mouth, method=cv2.LMEDS)
        crop = cv2.cvtColor(cv2.warpAffine(picture, turn, (112, 112)), cv2.COLOR_BGR2RGB)
        identity.run(None, {"data": crop.transpose(2, 0, 1)[None].astype(np.float32)})

    def look(picture: Any) -> int:
        detector.setInputSize(picture.shape[1::-1])
        faces = detector.detect(picture)[1]
        for face in () if faces is None else faces:
            if heads != "identity":
                read_emotion(picture, face)
            if heads != "emotion":
                read_identity(picture, face)
        return 0 if faces is None else len(faces)

    return look


if __name__ == "__main__":
    packages = ("onnxruntime", "opencv-python-headless")
    measuring.run("forty-lines", load, ("both", "emotion", "identity"), packages)
