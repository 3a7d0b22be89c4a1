"""Where frames come in. The door: `expand` what the user wrote, then `open_source` each single input.

Everything is a generator and lazy: nothing is opened before the first frame is asked for, and an input that cannot be
opened at all raises InputError then. Closing the generator closes the file or the connection and ends the decoder's
threads.
"""

from __future__ import annotations

import sys
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Literal

from manyfaces.errors import InputError, UsageError
from manyfaces.sources import pictures, video
from manyfaces.sources.camera import read_camera, read_stream
from manyfaces.sources.inputs import PICTURE_SUFFIXES, camera_number, expand, is_stream, is_streaming, shown
from manyfaces.sources.pace import PATIENCE, Items, Pace, Patience
from manyfaces.sources.pictures import HeldPicture, read_picture

__all__ = [
    "PATIENCE",
    "HeldPicture",
    "Items",
    "Kind",
    "Patience",
    "camera_number",
    "expand",
    "frame_count",
    "is_stream",
    "is_streaming",
    "kind_of",
    "open_source",
    "read_picture",
    "shown",
]

Kind = Literal["picture", "video", "camera", "stream"]


def open_source(
    name: str, *, live: bool = False, max_frames: int | None = None, patience: Patience = PATIENCE
) -> Items:
    """The frames of one input, as `expand` gives them.

    `live` plays a recording at its own pace, as if it were a camera, and takes the end of a stream for a break. Nothing
    is dropped here: a reader that passes frames over leaves gaps in `index`.
    `max_frames` is how many items to give at most, those that could not be decoded included.
    """
    if max_frames is not None and max_frames < 1:
        raise UsageError(f"max_frames is {max_frames}, but at least one frame has to be read; give 1 or more")
    items = _items(name, live, patience)
    return items if max_frames is None else _first(items, max_frames)


def kind_of(name: str) -> Kind:
    """What an input is. An animated GIF, WebP or PNG is a video; a file that is neither is what its name says."""
    if camera_number(name) is not None:
        return "camera"
    if is_stream(name):
        return "stream"
    if not _is_for_pillow(name):
        return "video"
    try:
        return "video" if pictures.picture_count(Path(name)) > 1 else "picture"
    except InputError:
        return "picture"


def frame_count(name: str) -> int | None:
    """How many frames an input probably has, for progress bars; None where nobody knows."""
    if camera_number(name) is not None or is_stream(name):
        return None
    return pictures.picture_count(Path(name)) if _is_for_pillow(name) else video.frame_count(name)


def _items(name: str, live: bool, patience: Patience) -> Items:
    number = camera_number(name)
    if number is not None:
        yield from read_camera(name, number, patience=patience)
    elif is_stream(name):
        yield from read_stream(name, live=live, patience=patience)
    else:
        yield from Pace(patience).keep(_recorded(name)) if live else _recorded(name)


def _recorded(name: str) -> Items:
    return pictures.read_pictures(name) if _is_for_pillow(name) else video.read_video(name)


def _is_for_pillow(name: str) -> bool:
    """By content first, for files often have wrong names; the name decides where the content says nothing."""
    path = Path(name)
    if path.is_dir():
        raise InputError(f"{shown(name)}: this is a folder; name the pictures in it")
    if path.exists() and not path.is_file():
        return False  # a pipe: it cannot be looked into and still be read from its beginning
    return pictures.is_picture(path) or path.suffix.lower() in PICTURE_SUFFIXES


def _first(items: Items, count: int) -> Items:
    with closing(items):
        yield from islice(items, min(count, sys.maxsize))
