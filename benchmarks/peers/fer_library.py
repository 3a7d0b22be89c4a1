"""The library `fer` as its README uses it: Haar cascade and its quantised TFLite network, its defaults."""

from __future__ import annotations

import measuring


def load(_heads: str) -> measuring.Look:
    from fer.fer import FER

    detector = FER()
    return lambda picture: len(detector.detect_emotions(picture))


if __name__ == "__main__":
    packages = ("fer", "tensorflow-cpu", "opencv-contrib-python-headless")
    measuring.run("fer", load, ("emotion",), packages, "does not report faces under 50 pixels")
