"""The library `face_recognition` as its webcam example uses it, at full size: dlib's HOG detector and 128-d network."""

from __future__ import annotations

from typing import Any

import measuring


def load(_heads: str) -> measuring.Look:
    import face_recognition

    def look(picture: Any) -> int:
        rgb = picture[:, :, ::-1].copy()
        places = face_recognition.face_locations(rgb)
        face_recognition.face_encodings(rgb, places)
        return len(places)

    return look


if __name__ == "__main__":
    packages = ("face_recognition", "dlib-bin", "opencv-python-headless")
    measuring.run("face_recognition", load, ("identity",), packages)
