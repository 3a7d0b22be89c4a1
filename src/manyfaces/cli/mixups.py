"""The page of mix-ups that `manyfaces evaluate identity --errors` writes."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import typer

from manyfaces.cli.mistakes import refuse_page
from manyfaces.options import Options


def refuse(path: Path, data: Path, others: list[Path | None]) -> None:
    from manyfaces.evaluate.mixups_page import GENERATOR

    refuse_page(path, [data, *others], GENERATOR)


def write_page(path: Path, data: Path, splits: int, seed: int, options: Options) -> None:
    """Every face that calibrated galleries of most of the photos get wrong; photos are read through the cache."""
    from manyfaces.api import prepare
    from manyfaces.build import calibrated_identifier
    from manyfaces.evaluate.mixups import review
    from manyfaces.evaluate.mixups_page import Case, mixups_page
    from manyfaces.prepare.doubts import doubts
    from manyfaces.sinks.files import write_whole

    album = prepare(data, options)
    doubted = doubts(album)
    strays = {stray.place: stray for stray in doubted.strays}
    found = review(album, splits, seed, calibrated_identifier, strays, doubted.twins)
    made = {
        "data": data.name,
        "network": album.embeddings.model,
        "photos": f"{len(album)}, and {len(album.left_out)} without a face that can be used",
        "made by": f"manyfaces {version('manyfaces')}, evaluate identity --errors",
    }
    write_whole(path, mixups_page(Case(found, strays, made)).encode("utf-8", "backslashreplace"))
    typer.echo(f"{path}: {len(found.mixups)} faces that went wrong", err=True)
