"""`manyfaces evaluate voting`: what naming a track by 1 to 2 seconds of evidence gains over single frames."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from manyfaces.cli.figures import refuse_figures, write_figures
from manyfaces.cli.options import with_options
from manyfaces.errors import GalleryError
from manyfaces.options import Options

if TYPE_CHECKING:
    from manyfaces.evaluate.voting import NamingScore, VotingScore

WITHOUT = ("emotion", "identity", "every_face", "emotion_rate", "emotion_model")
"""Options that mean nothing where every face is only named."""


@partial(with_options, without=WITHOUT)
def voting(
    options: Options,
    clip: Annotated[Path, typer.Argument(metavar="INPUT", help="The video.")],
    truth: Annotated[Path, typer.Option(help="A .truth.json whose tracks say which person they are.")],
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the same figures to this file.")] = None,
) -> None:
    """Names from single frames against names from the votes of each track, on a clip that says who is who."""
    from dataclasses import replace

    from rich.console import Console

    from manyfaces.api import Gallery
    from manyfaces.build import build_stages
    from manyfaces.cli.evaluate import frames_of
    from manyfaces.evaluate.detection import read_video_truth
    from manyfaces.evaluate.voting import named, read_cast, score_voting

    if json_file:
        refuse_figures(json_file, ("alone", "voted"), [clip, truth])
    expected, cast = read_video_truth(truth), read_cast(truth)
    gallery = Gallery(options.gallery)
    enrolled = {person.name for person in gallery.people()}
    if not enrolled & set(cast.values()):
        raise GalleryError(
            f"{gallery.path}: holds nobody of {truth.name}, so no name can be right; enrol some of its people, under "
            "the names that it has"
        )
    stages = build_stages(replace(options, emotion=False, every_face=True))
    score = score_voting(expected, cast, enrolled, named(frames_of(clip), stages))
    Console().print(_table(score))
    typer.echo(f"votes name {score.gain:+.2f} of a hundred faces of enrolled people rightly")
    if json_file:
        write_figures(json_file, score.as_dict())


def _table(score: VotingScore) -> object:
    from rich.table import Table

    table = Table("names from", "right", "wrong", "none", "strangers named", "changes")
    for title, one in (("single frames", score.alone), ("votes of a track", score.voted)):
        table.add_row(title, *_cells(one))
    return table


def _cells(one: NamingScore) -> tuple[str, ...]:
    shares = (one.right, one.wrong, one.unnamed, one.stranger_named)
    return (*(f"{share:.2%}" for share in shares), str(one.changes))
