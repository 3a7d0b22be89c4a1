"""The files a command is given: inputs unfolded, and outputs that would destroy something refused before any work."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from manyfaces.cli.outcome import Outcome
from manyfaces.errors import InputError, OutputError, UsageError


def expanded(inputs: Sequence[str], outcome: Outcome) -> list[str]:
    """Each input unfolded by itself, so that one that does not exist does not stop the others."""
    from manyfaces.sources import expand

    names: list[str] = []
    for name in inputs:
        try:
            names += expand([name])
        except InputError as error:
            outcome.failed(name, error)
    return names


def refuse_clashes(
    outputs: Sequence[Path], kept: Iterable[str | Path], role: str = "also an input or the gallery"
) -> None:
    """No two outputs in one file, none in a folder that does not exist, and none over what is being read: an output
    begins with an empty file, and what was there would be lost. `role`: what is being read is for the user."""
    places = [path.resolve() for path in outputs]
    for place, output in zip(places, outputs, strict=True):
        if places.count(place) > 1:
            raise UsageError(f"{output}: this file is given for two outputs; give each a file of its own")
        if not place.parent.is_dir():
            raise OutputError(f"{output}: cannot be written, there is no folder {output.parent}; make it first")
        for other in kept:
            if place == Path(other).resolve() and not place.is_dir():
                raise UsageError(f"{output}: this is {role}; write to another file")
