"""Faces of nobody in particular: every face that pictures, videos and FER2013's files show, cut as a network wants it.

What was cut is kept in a file, input by input, so that whoever goes on with a training, or was broken off while faces
were cut, cuts nothing twice; an input that changed is cut anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import typer

from manyfaces.cli.outcome import complain
from manyfaces.cli.progress import Steps
from manyfaces.errors import InputError
from manyfaces.options import Options

if TYPE_CHECKING:
    from manyfaces.card import InputSpec
    from manyfaces.stages import Detector
    from manyfaces.types import Pixels

LEAST_FACE = 24.0
"""Pixels: of smaller faces a recogniser knows little itself."""

EVERY = 1.0
"""Seconds between two frames of a video that are looked at: nearer ones show the same."""

EDGE = 8
"""Pixels by which FER2013's pictures go on beyond their edge, since a recogniser's crop shows more of the head."""

TABLES = (".npz", ".csv")
MOST_NAMED = 20
"""Inputs that are named one by one when they are left out; all are counted."""


def read_any_faces(data: Sequence[str], kept: Path, spec: InputSpec) -> list[Pixels]:
    """Coloured faces (n, h, w, 3) and grey ones (n, h, w, 1), of which there are any."""
    from manyfaces.sources import expand

    tables = [name for name in data if Path(name).suffix.lower() in TABLES]
    grey = _of_tables(tables, spec)
    coloured = _of_inputs(expand([name for name in data if name not in tables]), kept, spec)
    pools = [pool for pool in (coloured, grey) if len(pool)]
    if not pools:
        raise InputError(
            f"{', '.join(data)}: no face of {LEAST_FACE:.0f} pixels or more was found; give other pictures"
        )
    typer.echo(f"{len(coloured) + len(grey):,} faces, {len(grey):,} of them grey", err=True)
    return pools


# --- FER2013's files -------------------------------------------------------------------------------------------------


def _of_tables(tables: Sequence[str], spec: InputSpec) -> Pixels:
    """Faces that lie as FER2013's do, moved to where the network wants the eyes."""
    from manyfaces.align import align
    from manyfaces.train.data import SIDE, read_emotion_data
    from manyfaces.train.emotion import TEMPLATE

    pictures = np.concatenate(
        [np.empty((0, SIDE, SIDE), np.uint8), *(read_emotion_data(Path(name)).images for name in tables)]
    )
    landmarks = np.asarray(TEMPLATE, np.float32)[None] + EDGE
    cut = np.empty((len(pictures), spec.height, spec.width, 1), np.uint8)
    for picture, place in zip(pictures, cut, strict=True):
        wide = np.pad(picture, EDGE, mode="edge")[..., None]
        place[:] = align(np.repeat(wide, 3, axis=2), landmarks, spec)[0, ..., :1]
    return cut


# --- pictures and videos ---------------------------------------------------------------------------------------------


def _of_inputs(inputs: Sequence[str], kept: Path, spec: InputSpec) -> Pixels:
    from manyfaces.build import build_detector

    detect = build_detector(Options(min_face=LEAST_FACE))
    known = _known(kept)
    used: dict[str, Pixels] = {}
    left_out: list[str] = []
    try:
        with Steps("pictures", len(inputs), quiet=not inputs) as steps:
            for name in inputs:
                stamp = _stamp(name, spec)
                used[stamp] = known[stamp] if stamp in known else _cut(name, detect, spec, left_out)
                steps.advance()
    except BaseException:
        _keep(known | used, kept, spec)  # what was cut before Ctrl-C need not be cut again
        raise
    _keep(used, kept, spec)
    _tell_left_out(left_out)
    return _joined(used, spec)


def _stamp(name: str, spec: InputSpec) -> str:
    """Names a file as it is now, and the way of cutting."""
    try:
        found = Path(name).stat()
    except OSError as error:
        raise InputError(f"{name}: cannot be read ({error.strerror}); faces are learnt from files") from None
    said = [str(Path(name).resolve()), found.st_size, found.st_mtime_ns, LEAST_FACE, EVERY, asdict(spec)]
    return hashlib.sha256(json.dumps(said).encode()).hexdigest()


def _cut(name: str, detect: Detector, spec: InputSpec, left_out: list[str]) -> Pixels:
    """All faces of one input. One that cannot be read, or in which there is no face, is said."""
    from manyfaces.align import align

    parts = []
    try:
        for image in _looked_at(name):
            parts.append(align(image, detect([image])[0].landmarks, spec))
    except InputError as error:
        left_out.append(str(error))
    else:
        if not sum(map(len, parts)):
            left_out.append(f"{name}: shows no face of {LEAST_FACE:.0f} pixels or more")
    return np.concatenate([_nothing(spec), *parts])


def _looked_at(name: str) -> Iterator[Pixels]:
    """The picture, or a frame of every second of a video."""
    from manyfaces.sources import open_source
    from manyfaces.types import Frame

    due = 0.0
    with closing(open_source(name)) as frames:
        for frame in frames:
            if not isinstance(frame, Frame):
                raise InputError(f"{name}: {frame.reason}")
            if frame.seconds >= due:
                due = frame.seconds + EVERY
                yield frame.image


def _tell_left_out(left_out: Sequence[str]) -> None:
    for sentence in left_out[:MOST_NAMED]:
        complain(sentence)
    if len(left_out) > MOST_NAMED:
        complain(f"{len(left_out) - MOST_NAMED} more were left out for such reasons")


# --- what is kept ----------------------------------------------------------------------------------------------------


def _known(kept: Path) -> dict[str, Pixels]:
    """The faces of every input that was cut before; a file that is broken knows nothing."""
    from manyfaces.train.formats import BROKEN_ZIP

    try:
        with kept.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            stamps, counts, faces = (archive[name] for name in ("stamps", "counts", "faces"))
    except (OSError, KeyError, *BROKEN_ZIP):
        return {}
    return dict(zip(stamps.tolist(), np.split(faces, np.cumsum(counts)[:-1]), strict=True)) if len(stamps) else {}


def _keep(cuts: Mapping[str, Pixels], kept: Path, spec: InputSpec) -> None:
    from manyfaces.train.files import write_whole

    columns = {
        "stamps": np.array(list(cuts), dtype=np.str_),
        "counts": np.array([len(faces) for faces in cuts.values()], np.int64),
        "faces": _joined(cuts, spec),
    }

    def write(fresh: Path) -> None:
        fresh.touch(mode=0o600)  # faces are personal data, and their owner's alone
        with fresh.open("wb") as file:
            np.savez(file, **columns)  # type: ignore[arg-type]  # numpy's keyword of its own is no array

    if cuts:
        write_whole(kept, write)


def _joined(cuts: Mapping[str, Pixels], spec: InputSpec) -> Pixels:
    return np.concatenate([_nothing(spec), *cuts.values()])


def _nothing(spec: InputSpec) -> Pixels:
    return np.empty((0, spec.height, spec.width, 3), np.uint8)
