"""`manyfaces analyze`: every face of pictures, folders, videos, cameras and streams."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from manyfaces.cli.options import with_options
from manyfaces.cli.outcome import Outcome
from manyfaces.cli.progress import Steps
from manyfaces.errors import InputError, UsageError
from manyfaces.options import Options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from manyfaces.stages import Sink


@with_options
def analyze(
    inputs: Annotated[
        list[str],
        typer.Argument(help="Pictures, folders, globs, videos, camera numbers, rtsp:// or http(s):// streams."),
    ],
    options: Options,
    output: Annotated[
        list[Path] | None, typer.Option("-o", "--output", help="Rows to .jsonl, .csv or .parquet; may repeat.")
    ] = None,
    annotate: Annotated[
        Path | None, typer.Option(help="A copy with boxes and names: a picture, a video (.mp4) or a folder.")
    ] = None,
    report: Annotated[Path | None, typer.Option(help="One self-contained page with key frames and timelines.")] = None,
    every_face: Annotated[
        bool, typer.Option("--every-face", help="Every face through both heads in every frame, at any cost.")
    ] = False,
    live: Annotated[
        bool, typer.Option("--live", help="Keep up with a live source: late frames are dropped and counted.")
    ] = False,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop each input after so many frames.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Find, follow and read every face; write a row per frame."""
