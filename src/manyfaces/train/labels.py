"""The words of labelled faces: classes, taggers' votes, parts of the data; and the error that names what is wrong."""

from __future__ import annotations

from collections.abc import Mapping

from manyfaces.errors import ManyfacesError

EMOTIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
"""FER2013's classes in its own order; a label is a place in this list."""

VOTES = ("neutral", "happy", "surprise", "sad", "angry", "disgust", "fear", "contempt", "unknown", "no face")
"""What FER+'s ten taggers could say, in the order of its columns (https://github.com/microsoft/FERPlus)."""

SIDE = 48
USAGES = ("Training", "PublicTest", "PrivateTest")
SPLITS: Mapping[str, int] = {
    **dict.fromkeys(("training", "train"), 0),
    **dict.fromkeys(("publictest", "public", "validation", "valid", "val"), 1),
    **dict.fromkeys(("privatetest", "private", "test"), 2),
}
"""The names that people give the three parts, in folders and on the command line."""


class DataError(ManyfacesError):
    """Training data cannot be read or is not what it should be; the message says where."""
