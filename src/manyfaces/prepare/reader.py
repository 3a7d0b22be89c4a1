"""Photo by photo: the file's bytes, and from them or from the cache the face, or the reason why there is none."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import TypeAlias

import cv2
import numpy as np

from manyfaces.enrol import Enroller, poor, read_photo
from manyfaces.errors import InputError, NoFace, SeveralFaces
from manyfaces.prepare.album import SIDE, Found, Photo, Reading, Refused
from manyfaces.prepare.cache import Cache, Making
from manyfaces.types import Pixels

Decode: TypeAlias = Callable[[bytes, str], Pixels]
"""A picture from the bytes of its file; the name is what sentences call it."""

HERE = "photo"
"""What a photo is called in reasons that are kept: they hold wherever it lies."""


class Reader:
    """Reads photos with networks that `make_enroller` loads when a photo is met that the cache does not know."""

    def __init__(
        self, make_enroller: Callable[[], Enroller], decode: Decode, making: Making, cache: Cache | None = None
    ) -> None:
        self.cache = cache or Cache(use=False)
        self._make_enroller = make_enroller
        self._enroller: Enroller | None = None
        self._decode = decode
        self._making = making

    def each(self, photos: Iterable[tuple[str, Path]]) -> Iterator[tuple[Photo, Reading]]:
        """What each photo, given with its person, gives; what is done is kept at once."""
        for person, path in photos:
            try:
                content = read_photo(path)
            except InputError as error:
                yield Photo(person, path, ""), _unreadable(error, path)
                continue
            digest = hashlib.sha256(content).hexdigest()
            yield Photo(person, path, digest), self._known_or_read(content, digest)
        self.cache.forget_old()

    def _known_or_read(self, content: bytes, digest: str) -> Reading:
        key = self._making.key(digest)
        known = self.cache.get(key)
        if known is not None:
            return known
        try:
            reading = self._read(self._decode(content, HERE))
        except InputError as error:
            return _unreadable(error, HERE)  # quickly found again, and another version may read it
        self.cache.put(key, reading)
        return reading

    def _read(self, image: Pixels) -> Reading:
        enroller = self._enroller = self._enroller or self._make_enroller()
        try:
            seen = enroller.look(image, HERE, self._making.choice)
        except NoFace as error:
            return Refused("no face", _without(HERE, error), shown(image))
        except SeveralFaces as error:
            return Refused("several faces", _without(HERE, error), shown(image))
        if seen.faults and not self._making.choice.force:
            return Refused("poor face", poor(seen.faults), seen.crops[0])
        decoded = hashlib.sha256(repr(image.shape).encode() + image.tobytes()).hexdigest()
        return Found(decoded, enroller.enrol(seen))


def shown(image: Pixels) -> Pixels:
    """The whole picture in a square of `SIDE`, its proportions kept."""
    high, wide = image.shape[:2]
    scale = SIDE / max(high, wide, 1)
    size = max(round(wide * scale), 1), max(round(high * scale), 1)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    square = np.zeros((SIDE, SIDE, 3), np.uint8)
    top, left = (SIDE - size[1]) // 2, (SIDE - size[0]) // 2
    square[top : top + size[1], left : left + size[0]] = small
    return square


def _unreadable(error: InputError, where: object) -> Refused:
    return Refused("unreadable", _without(where, error))


def _without(where: object, error: Exception) -> str:
    return str(error).removeprefix(f"{where}: ")
