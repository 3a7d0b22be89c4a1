"""The doors for Python: analyze, gallery, identify, verify. The command line goes through them too."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from os import PathLike, fspath

from manyfaces.build import build_stages
from manyfaces.errors import InputError
from manyfaces.options import Options
from manyfaces.pipeline import Pipeline, Seen
from manyfaces.sources import expand, open_source
from manyfaces.stages import Source
from manyfaces.types import FrameResult, Unreadable

Name = str | PathLike[str]


def analyze(
    inputs: Name | Sequence[Name],
    options: Options | None = None,
    *,
    live: bool = False,
    max_frames: int | None = None,
) -> Iterator[FrameResult]:
    """Every face of pictures, folders, globs, videos, cameras or streams: one result per frame, in order.

    A generator: memory does not grow with the video, and closing it closes the input. An input that does not exist
    raises `InputError` at once; a frame that cannot be decoded, or an input that cannot be opened, gives a result with
    `error` set and no faces, and the rest goes on.

        for result in mf.analyze("party.mp4"):
            for face in result.faces:
                print(face.track, face.emotion, face.identity)
    """
    several = [inputs] if isinstance(inputs, (str, PathLike)) else inputs
    names = expand([fspath(name) for name in several])
    return (result for _, result in look(names, options or Options(), live=live, max_frames=max_frames))


def look(
    names: Sequence[str], options: Options, *, live: bool = False, max_frames: int | None = None
) -> Iterator[Seen]:
    """Like `analyze`, of inputs that are already expanded, with each frame beside its result."""
    pipeline = Pipeline(build_stages(options))
    for name in names:
        yield from pipeline.run(_readable(name, live, max_frames))


def _readable(name: str, live: bool, max_frames: int | None) -> Source:
    """The frames of one input; one that cannot be opened is an unreadable frame, so that the others go on."""
    try:
        yield from open_source(name, live=live, max_frames=max_frames)
    except InputError as error:
        yield Unreadable(name, 0, 0.0, str(error))
