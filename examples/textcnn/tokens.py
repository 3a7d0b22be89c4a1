"""Text to ids without a download: Chinese by characters, Vietnamese by syllables.

Where a Chinese word ends is not written, and Vietnamese puts its spaces between syllables and not between words; to
find words takes a dictionary or a network of its own. Characters and syllables are there in the text, carry meaning
alone, and a convolution over three or five of them sees the word.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt

LENGTH = 50
PADDING, UNKNOWN = 0, 1
PIECE = re.compile(r"[\u3400-\u9fff]|\d+|[^\W\d_\u3400-\u9fff]+")
"""One Chinese character, a number, or letters in a row."""


def pieces(text: str) -> list[str]:
    """Without case, and with each letter and its marks as one sign, however they were typed."""
    return PIECE.findall(unicodedata.normalize("NFC", text).lower())


def vocabulary(texts: Iterable[str], most: int, least: int = 2) -> list[str]:
    """What is met at least so often, the most frequent first; a piece's place is its id, after padding and unknown."""
    counts = Counter(piece for text in texts for piece in pieces(text))
    known = sorted((piece for piece, count in counts.items() if count >= least), key=lambda one: (-counts[one], one))
    return ["<padding>", "<unknown>", *known][:most]


def encoded(texts: Sequence[str], known: Sequence[str]) -> npt.NDArray[np.int32]:
    """(n, 50) ids: cut at 50, filled up with zeros."""
    ids = {piece: number for number, piece in enumerate(known)}
    rows = np.full((len(texts), LENGTH), PADDING, np.int32)
    for row, text in zip(rows, texts, strict=True):
        found = [ids.get(piece, UNKNOWN) for piece in pieces(text)[:LENGTH]]
        row[: len(found)] = found
    return rows


def read(path: Path) -> list[str]:
    known: list[str] = json.loads(path.read_text(encoding="utf-8"))
    return known
