"""The library `deepface` with its ONNX engine, YuNet at 0.6 (at its own 0.9 it finds next to nothing in a crowd).

Its weights for emotion and Facenet cannot be had without a network: files of the right architecture with random weights
stand in, so only the speed means something. Faces are found once per frame, then go through the heads, which is the
quickest of the ways its functions allow.
"""

from __future__ import annotations

import os
from typing import Any

import measuring


def load(heads: str) -> measuring.Look:
    os.environ |= {
        "DEEPFACE_HOME": str(measuring.models() / "deepface"),
        "DEEPFACE_BACKEND_ENGINE": "onnx",
        "DEEPFACE_LOG_LEVEL": "40",
        "yunet_score_threshold": "0.6",
    }
    from deepface import DeepFace

    def emotion(picture: Any) -> int:
        found = DeepFace.analyze(
            picture, actions=("emotion",), detector_backend="yunet", enforce_detection=False, silent=True
        )
        return sum(face["face_confidence"] > 0 for face in found)

    def identity(picture: Any) -> int:
        found = DeepFace.represent(picture, model_name="Facenet", detector_backend="yunet", enforce_detection=False)
        return sum(face["face_confidence"] > 0 for face in found)

    def both(picture: Any) -> int:
        found = DeepFace.extract_faces(
            picture, detector_backend="yunet", enforce_detection=False, color_face="bgr", normalize_face=False
        )
        faces = [face["face"] for face in found if face["confidence"] > 0]
        for face in faces:
            DeepFace.analyze(face, actions=("emotion",), detector_backend="skip", silent=True)
        if faces:
            DeepFace.represent(faces, model_name="Facenet", detector_backend="skip")
        return len(faces)

    return {"emotion": emotion, "identity": identity, "both": both}[heads]


if __name__ == "__main__":
    packages = ("deepface", "onnxruntime", "opencv-contrib-python-headless")
    measuring.run("deepface", load, ("both", "emotion", "identity"), packages, "random weights, speed only")
