"""`manyfaces analyze`: every face of pictures, folders, videos, cameras and streams."""

from __future__ import annotations

import sys
from collections import Counter
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from manyfaces.cli.files import expanded, refuse_clashes
from manyfaces.cli.options import with_options
from manyfaces.cli.outcome import Outcome, complain
from manyfaces.cli.progress import Steps
from manyfaces.cli.summary import Summary
from manyfaces.cli.unbroken import Unbroken
from manyfaces.errors import InputError, UsageError
from manyfaces.options import Options

if TYPE_CHECKING:
    from collections.abc import Sequence

    from manyfaces.card import ModelCard
    from manyfaces.stages import Sink

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


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
    live: Annotated[
        bool,
        typer.Option(
            "--live", help="Play files at their own pace, as cameras; late frames of all are dropped and counted."
        ),
    ] = False,
    max_frames: Annotated[int | None, typer.Option(min=1, help="Stop each input after so many frames.")] = None,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Find, follow and read every face; write a row per frame. Files follow one another; cameras and streams run beside
    them, all at once."""
    from manyfaces.api import look

    outcome, summary = Outcome(), Summary()
    names = _each_once(expanded(inputs, outcome))
    if not names:
        raise typer.Exit(outcome.status)
    _refuse_outputs(names, output or [], annotate, report, options)
    seen = look(names, options, live=live, max_frames=max_frames)
    sinks = _sinks(output or [], annotate, report, options)
    with Unbroken(sinks) as sink, Steps("frames", _expected_frames(names, max_frames), quiet) as steps:
        for frame, result in seen:
            sink.write(frame, result)
            outcome.count(result)
            summary.count(result)
            steps.advance()
    if not quiet:
        summary.show()
    raise typer.Exit(outcome.status)


def _each_once(names: Sequence[str]) -> list[str]:
    """Rows tell inputs apart by their names alone, so that of two with one name nobody could say whose a row is."""
    from manyfaces.sources import shown

    several = Counter(map(shown, names))
    again = [name for name, count in several.items() if count > 1]
    if again:
        others = f", like {len(again) - 1} more" if len(again) > 1 else ""
        complain(f"{again[0]}: given {several[again[0]]} times, and read once{others}")
    first: dict[str, str] = {}
    for name in names:
        first.setdefault(shown(name), name)
    return list(first.values())


def _refuse_outputs(
    names: Sequence[str], output: Sequence[Path], annotate: Path | None, report: Path | None, options: Options
) -> None:
    """Everything about the outputs that can be known to go wrong, before a frame is read or a file is emptied."""
    if report and report.suffix.lower() not in (".html", ".htm"):
        raise UsageError(f"{report}: a report is a page; give it a name that ends in .html")
    files = [*output, *([report] if report else []), *([annotate] if annotate and annotate.suffix else [])]
    refuse_clashes(files, [*names, options.gallery_path])
    if annotate and annotate.suffix and not annotate.is_dir():
        _refuse_one_for_many(names, annotate)


def _refuse_one_for_many(names: Sequence[str], annotate: Path) -> None:
    from manyfaces.sources import is_streaming, kind_of

    if annotate.suffix.lower() not in PICTURE_ENDINGS:
        if len(names) > 1 and any(map(is_streaming, names)):
            raise UsageError(f"{annotate}: cameras and streams run at once, too much for one film; give a folder")
    elif len(names) > 1 or any(kind_of(name) != "picture" for name in names):
        raise UsageError(f"{annotate}: one picture cannot hold all of this; give a folder, or for a video a .mp4")


def _expected_frames(names: Sequence[str], max_frames: int | None) -> int | None:
    """How many frames all inputs have together; unknown as soon as one is a camera or a stream."""
    from manyfaces.sources import frame_count

    total = 0
    for name in names:
        try:
            count = frame_count(name)
        except InputError:
            count = 1  # its one row will say what is wrong
        if count is None and max_frames is None:
            return None
        total += min(count or sys.maxsize, max_frames or sys.maxsize)
    return total


def _sinks(output: Sequence[Path], annotate: Path | None, report: Path | None, options: Options) -> Sink:
    """Everything that was asked for; rows go to standard output where nothing was and nobody looks at a terminal."""
    from manyfaces.sinks import JsonLinesStream, Report, Tee, open_annotated, open_table

    labels = _emotion_card(options).labels
    sinks: list[Sink] = [open_table(path, labels) for path in output]
    if not output and sys.stdout is not None and not sys.stdout.isatty():
        sinks.append(JsonLinesStream(sys.stdout.buffer))
    if annotate:
        sinks.append(open_annotated(annotate))
    if report:
        sinks.append(Report(report, how(options), "no gallery" if options.identity else "not compared"))
    return Tee(sinks)


def how(options: Options) -> dict[str, str]:
    """How the results come about, for the report."""
    from manyfaces.weights import find

    models = [find("yunet")[0], find(options.identity_network)[0], _emotion_card(options)]
    changed = {name: value for name, value in asdict(options).items() if value != getattr(Options(), name)}
    return {
        "made by": f"manyfaces {version('manyfaces')}",
        "models": ", ".join(f"{card.name} ({card.licence})" for card in models),
        "options": ", ".join(f"{name} {value}" for name, value in changed.items()) or "defaults",
    }


def _emotion_card(options: Options) -> ModelCard:
    from manyfaces.weights import find

    return find(options.emotion_network)[0]
