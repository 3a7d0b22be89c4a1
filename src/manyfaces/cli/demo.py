"""`manyfaces demo`: something to look at in a minute, with no file of the user's and no photograph of anybody."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from manyfaces.cli.analyze import how
from manyfaces.cli.progress import Steps
from manyfaces.cli.summary import Summary
from manyfaces.errors import OutputError
from manyfaces.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterable

    from manyfaces.types import Frame, Pixels

NAMES = ("Lan", "Minh Anh", "Amara", "Sơn Tùng", "小雨", "Zoë")
SECONDS, RATE, SIZE = 8, 25, (1280, 720)


def demo(
    folder: Annotated[Path, typer.Argument(help="Where the film, the rows and the report go.")] = Path(
        "manyfaces-demo"
    ),
) -> None:
    """Draw people, enrol all but one from a portrait each, and analyze a film of them."""
    from manyfaces.api import Gallery, look
    from manyfaces.sinks import Report, Tee, open_annotated, open_table

    _make(folder / "portraits")
    film, people = folder / "film.mp4", folder / "people.db"
    gallery = Gallery(people)
    gallery.purge(everything=True)
    for number, name in enumerate(NAMES[:-1]):
        portrait = folder / "portraits" / f"{name}.png"
        _write_picture(portrait, _portrait(number))
        gallery.add(name, [portrait], force=True)
    _draw_film(film, len(NAMES))
    summary, options = Summary(), Options(gallery=people)
    files = [folder / "film-annotated.mp4", folder / "rows.jsonl", folder / "report.html"]
    sinks = Tee([open_annotated(files[0]), open_table(files[1]), Report(files[2], how(options))])
    with sinks as sink, Steps("frames", SECONDS * RATE) as steps:
        for frame, result in look([str(film)], options):
            sink.write(frame, result)
            summary.count(result)
            steps.advance()
    summary.show()
    typer.echo(f"{len(NAMES)} drawn people, {len(NAMES) - 1} of them enrolled; look at:")
    for file in files:
        typer.echo(f"  {file}")


def _make(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot make the folder ({error.strerror}); name another one") from None


def _portrait(number: int) -> Pixels:
    """A drawn person before a plain wall."""
    import numpy as np

    from manyfaces.cartoon import CAST, draw_person

    painting, cover = draw_person(CAST[number], "neutral", 480)
    blended = painting * cover[..., None] + 205 * (1 - cover[..., None])
    return np.asarray(blended, np.uint8)


def _write_picture(path: Path, picture: Pixels) -> None:
    from manyfaces.sinks.pictures import write_picture

    write_picture(path, picture)


def _draw_film(path: Path, people: int) -> None:
    from manyfaces.cartoon import crowd_frames

    with Steps("drawing", SECONDS * RATE) as steps:
        _encode(path, crowd_frames(people, SECONDS, RATE, SIZE), steps)


def _encode(path: Path, frames: Iterable[Frame], steps: Steps) -> None:
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "20"})
        stream.width, stream.height = SIZE
        stream.pix_fmt, stream.time_base = "yuv420p", Fraction(1, RATE)
        for frame in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame.image, format="rgb24")))
            steps.advance()
        container.mux(stream.encode())
