"""What the words on the command line mean: cameras, streams, files; and folders and globs unfolded in natural order."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from manyfaces.errors import InputError

PIXEL_LIMIT = 200_000_000
"""The largest picture that is decoded: the best phone cameras make 200 megapixels, which are 600 MB as RGB. A header
that promises more is refused before anything is decoded: a few bytes can promise a picture that no memory holds."""

# fmt: off
PICTURE_SUFFIXES = frozenset({
    ".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".bmp", ".dib", ".tif", ".tiff", ".gif",
})
VIDEO_SUFFIXES = frozenset({
    ".mp4", ".m4v", ".mov", ".qt", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".mts", ".m2ts", ".vob", ".wmv",
    ".asf", ".flv", ".3gp", ".3g2", ".ogv", ".mjpeg", ".mjpg",
})
# fmt: on

_CAMERA = re.compile(r"(?:/dev/video)?([0-9]{1,3})")
_SCHEME = re.compile(r"([a-z][a-z0-9+.-]*)://", re.IGNORECASE)
_STREAM_SCHEMES = frozenset({"rtsp", "rtsps", "http", "https"})
_PASSWORD = re.compile(r"(://[^/@:]*):[^/]*@")
_NUMBER = re.compile(r"([0-9]+)")


def expand(inputs: Sequence[str]) -> list[str]:
    """Single inputs, in the order given; a folder's files (its subfolders' too) and a glob's matches in natural order.

    A name of digits is a camera; `./0` is the file. A name that exists is never taken for a glob.
    """
    return [single for name in inputs for single in _unfold(name)]


def camera_number(name: str) -> int | None:
    """0 for "0" and for "/dev/video0", None for what is no camera."""
    match = _CAMERA.fullmatch(name)
    return int(match[1]) if match else None


def is_stream(name: str) -> bool:
    match = _SCHEME.match(name)
    if match and match[1].lower() not in _STREAM_SCHEMES:
        raise InputError(
            f"{shown(name)}: addresses begin with rtsp://, rtsps://, http:// or https://; give one of those"
        )
    return match is not None


def is_streaming(name: str) -> bool:
    """Whether an input comes by itself, a camera or an address, beside all others. Recorded files take their turns."""
    return camera_number(name) is not None or is_stream(name)


def shown(name: str) -> str:
    """A name as sentences show it: on one line, and without the password of an address."""
    hidden = _PASSWORD.sub(r"\1:***@", name)
    return hidden if hidden.isprintable() else repr(hidden)[1:-1]


def _unfold(name: str) -> list[str]:
    if camera_number(name) is not None or is_stream(name):
        return [name]
    if os.path.isdir(name):  # noqa: PTH112 - Path() would drop the ./ of a name, which is shown as it was given
        return _folder(name)
    if os.path.lexists(name):
        return [name]
    if glob.has_magic(name):
        return _matches(name)
    raise InputError(f"{shown(name)}: there is no such file or folder; check the name")


def _folder(name: str) -> list[str]:
    found = _in_natural_order(_files_below(name))
    if not found:
        raise InputError(f"{shown(name)}: this folder holds no pictures or videos; name one that does")
    return found


def _files_below(folder: str) -> Iterator[str]:
    for parent, folders, files in os.walk(folder, onerror=_refuse_folder):
        folders[:] = [name for name in folders if not name.startswith(".")]  # how os.walk is told where not to go
        paths = (os.path.join(parent, name) for name in files if _is_media(name))  # noqa: PTH118 - see _unfold
        yield from (path for path in paths if os.path.isfile(path))  # noqa: PTH113 - a pipe would wait for ever


def _refuse_folder(error: OSError) -> None:
    raise InputError(
        f"{shown(str(error.filename))}: this folder cannot be read ({error.strerror}); check its permissions"
    )


def _matches(pattern: str) -> list[str]:
    names = glob.glob(pattern, recursive=True)  # noqa: PTH207 - Path.glob takes no absolute patterns
    found = _in_natural_order(name for name in names if _is_media(os.path.basename(name)) and os.path.isfile(name))  # noqa: PTH113, PTH119
    if not found:
        raise InputError(f"{shown(pattern)}: no picture or video matches this pattern; check it, or name a folder")
    return found


def _is_media(name: str) -> bool:
    return not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES | VIDEO_SUFFIXES


def _in_natural_order(names: Iterable[str]) -> list[str]:
    return sorted(names, key=lambda name: ([_natural(part) for part in Path(name).parts], name))


def _natural(part: str) -> list[tuple[int, str]]:
    """A key that puts img2 before img10: digits compare by length, then by value; no number is too long for that."""
    pieces = _NUMBER.split(part.casefold())
    numbers = (piece.lstrip("0") if place % 2 else piece for place, piece in enumerate(pieces))
    return [(len(piece) if place % 2 else 0, piece) for place, piece in enumerate(numbers)]
