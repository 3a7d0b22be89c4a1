"""The forty lines, tuned: one call for all faces of a frame, no spinning threads, the detector at a width of 960."""

from __future__ import annotations

from typing import Any

import measuring

WIDTH = 960


def load(heads: str) -> measuring.Look:
    import cv2
    import numpy as np
    import onnxruntime

    folder = measuring.models()
    options = onnxruntime.SessionOptions()
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    detector = cv2.FaceDetectorYN.create(str(folder / "yunet.onnx"), "", (0, 0), score_threshold=0.6)
    emotion = onnxruntime.InferenceSession(folder / "mini_xception.onnx", options)
    identity = onnxruntime.InferenceSession(folder / "sface.onnx", options)
    eyes_nose_mouth = np.array(
        [[38.2946, 51.6963], [73.5318, 51.5014], [56.0252, 71.7366], [41.5493, 92.3655], [70.7299, 92.2041]], np.float32
    )

    def emotion_crop(picture: Any, face: Any) -> Any:
        x, y, width, height = (max(int(value), 0) for value in face[:4])
        small = cv2.resize(picture[y : y + max(height, 1), x : x + max(width, 1)], (64, 64))
        return cv2.cvtColor(small, cv2.COLOR_BGR2GRAY)

    def identity_crop(picture: Any, face: Any) -> Any:
        turn, _ = cv2.estimateAffinePartial2D(face[4:14].reshape(5, 2), eyes_nose_mouth, method=cv2.LMEDS)
        return cv2.warpAffine(picture, turn, (112, 112))[..., ::-1]

    def find(picture: Any) -> Any:
        scale = min(WIDTH / picture.shape[1], 1)
        small = cv2.resize(picture, None, fx=scale, fy=scale) if scale < 1 else picture
        detector.setInputSize(small.shape[1::-1])
        faces = detector.detect(small)[1]
        return np.empty((0, 14)) if faces is None else faces[:, :14] / scale

    def look(picture: Any) -> int:
        faces = find(picture)
        if len(faces) and heads != "identity":
            crops = np.stack([emotion_crop(picture, face) for face in faces])[:, None]
            emotion.run(None, {"pictures": (crops.astype(np.float32) - 127.5) / 127.5})
        if len(faces) and heads != "emotion":
            crops = np.stack([identity_crop(picture, face) for face in faces])
            identity.run(None, {"data": crops.transpose(0, 3, 1, 2).astype(np.float32)})
        return len(faces)

    return look


if __name__ == "__main__":
    packages = ("onnxruntime", "opencv-python-headless")
    measuring.run("forty-lines-tuned", load, ("both", "emotion", "identity"), packages)
