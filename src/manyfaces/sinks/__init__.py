"""Where results leave the house: tables, annotated pictures and videos, reports. Each is a `stages.Sink`.

`open_table` and `open_annotated` choose by the file's ending. Choosing touches nothing; a file is made when its sink is
entered, so that a wrong ending or a missing folder is known before the first frame is read.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from manyfaces.draw import EMOTION_COLOURS
from manyfaces.errors import UsageError
from manyfaces.sinks.pictures import PICTURE_ENDINGS, AnnotatedFolder, AnnotatedPicture
from manyfaces.sinks.report import Report
from manyfaces.sinks.tables import Csv, JsonLines, JsonLinesStream, Parquet
from manyfaces.sinks.tee import Tee
from manyfaces.sinks.video import VIDEO_ENDINGS, AnnotatedVideo
from manyfaces.stages import Sink

__all__ = [
    "AnnotatedFolder",
    "AnnotatedPicture",
    "AnnotatedVideo",
    "Csv",
    "JsonLines",
    "JsonLinesStream",
    "Parquet",
    "Report",
    "Tee",
    "open_annotated",
    "open_table",
]

EMOTIONS = tuple(EMOTION_COLOURS)


def open_table(path: Path, labels: Sequence[str] = EMOTIONS) -> Sink:
    """The sink of a file of rows. `labels` are the emotion columns that CSV and Parquet get."""
    ending = path.suffix.lower()
    if ending in (".jsonl", ".ndjson"):
        return JsonLines(path)
    if ending == ".csv":
        return Csv(path, labels)
    if ending == ".parquet":
        return Parquet(path, labels)
    raise UsageError(f"{path}: results are written as .jsonl, .csv or .parquet; give the file one of these endings")


def open_annotated(path: Path) -> Sink:
    """The sink of annotated pictures and videos: a video, one picture, or, without an ending, a folder for all."""
    ending = path.suffix.lower()
    if path.is_dir() or not ending:
        return AnnotatedFolder(path)
    if ending in VIDEO_ENDINGS:
        return AnnotatedVideo(path)
    if ending in PICTURE_ENDINGS:
        return AnnotatedPicture(path)
    known = " ".join((*PICTURE_ENDINGS, *VIDEO_ENDINGS))
    raise UsageError(f"{path}: annotated copies are written as {known}, or into a folder; give one of these")
