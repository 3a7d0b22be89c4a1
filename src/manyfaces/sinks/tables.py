"""Results as rows of text or columns of a table.

JSON lines have one row per frame. CSV and Parquet have one row per face: a frame without faces has no row there, and a
frame that could not be read has one row with nothing but its place and the error, so that no failure goes unseen.
"""

from __future__ import annotations

import csv
import errno
import io
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO

from manyfaces.errors import MissingExtra
from manyfaces.rows import as_json
from manyfaces.sinks.files import WholeLines, partial, refuse_device, writing
from manyfaces.types import Frame, FrameResult, Unreadable

LANDMARK_NAMES = ("right_eye", "left_eye", "nose", "right_mouth", "left_mouth")
_PLACE = ("stream", "index", "seconds", "width", "height")
_FACE = ("track", "x1", "y1", "x2", "y2", "score", "emotion", "emotion_confidence")
_WHO = ("identity", "identity_confidence", "similarity")
_POINTS = tuple(f"{name}_{axis}" for name in LANDMARK_NAMES for axis in "xy")
_TEXTS = {"stream", "emotion", "identity", "error"}
_WHOLE_NUMBERS = {"index", "width", "height", "track"}


def columns(labels: Sequence[str]) -> tuple[str, ...]:
    """The columns of CSV and Parquet. They depend on the emotion model's labels and on nothing that is found."""
    return (*_PLACE, *_FACE, *(f"emotion_{label}" for label in labels), *_WHO, *_POINTS, "error")


def cells(result: FrameResult, labels: Sequence[str]) -> Iterator[tuple[Any, ...]]:
    """One tuple per face in the order of `columns`; one for a frame that could not be read; None where unknown."""
    row = as_json(result)
    place = tuple(row[name] for name in _PLACE)
    if result.error:
        yield (*place, *(None,) * (len(columns(labels)) - len(place) - 1), result.error)
    for face in row["faces"]:
        shares = tuple(face["emotions"].get(label) for label in labels)
        points = [value for point in face["landmarks"] for value in point]
        points += [None] * (len(_POINTS) - len(points))
        known = face["track"], *face["box"], face["score"], face["emotion"], face["emotion_confidence"]
        yield (*place, *known, *shares, *(face[name] for name in _WHO), *points, None)


def as_line(result: FrameResult) -> bytes:
    """The row as one line of UTF-8. A file name that is no valid text is written with JSON's own escapes."""
    text = json.dumps(as_json(result), ensure_ascii=False, allow_nan=False)
    return (text + "\n").encode("utf-8", "backslashreplace")


class _LineFile:
    """What JSON lines and CSV share: a file that holds whole rows at any moment, also after a kill."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lines: WholeLines | None = None

    def _open(self) -> WholeLines:
        self._lines = WholeLines(self._path)
        return self._lines

    def _append(self, piece: bytes) -> None:
        if self._lines is None:
            raise ValueError(f"{self._path}: not open; write within a with block")
        self._lines.append(piece)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        if self._lines is not None:
            self._lines.close()
            self._lines = None


class JsonLines(_LineFile):
    """One JSON row per frame."""

    def __enter__(self) -> JsonLines:
        self._open()
        return self

    def write(self, _frame: Frame | Unreadable, result: FrameResult, /) -> None:
        self._append(as_line(result))


class JsonLinesStream:
    """JSON lines to a stream that somebody else opened and will close, such as standard output."""

    def __init__(self, stream: BinaryIO, name: str = "standard output") -> None:
        self._stream = stream
        self._name = name

    def __enter__(self) -> JsonLinesStream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Every row is flushed when it is written; nothing is left to do."""

    def write(self, _frame: Frame | Unreadable, result: FrameResult, /) -> None:
        with writing(self._name):
            self._stream.write(as_line(result))
            self._stream.flush()


class Csv(_LineFile):
    """One line per face, with a heading; UTF-8, commas, quotes only where needed."""

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        super().__init__(path)
        self._labels = tuple(labels)

    def __enter__(self) -> Csv:
        lines = self._open()
        try:
            lines.append(_as_csv([columns(self._labels)]))
        except BaseException:
            lines.close()
            raise
        return self

    def write(self, _frame: Frame | Unreadable, result: FrameResult, /) -> None:
        rows = list(cells(result, self._labels))
        if rows:
            self._append(_as_csv(rows))


def _as_csv(rows: Sequence[Sequence[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


class Parquet:
    """One row per face in columns. The file appears under its name at the end, also when the end is an error.

    A Parquet file without its last bytes cannot be read at all. So a reserve on the same disk is given up when the disk
    is full: the rows that were to be written, and the end, go there.
    """

    _ROWS_PER_GROUP = 8192
    _RESERVE = 8 << 20

    def __init__(self, path: Path, labels: Sequence[str]) -> None:
        self._path = path
        self._labels = tuple(labels)
        self._rows: list[tuple[Any, ...]] = []
        self._schema: Any = None
        self._writer: Any = None
        self._file: _Reserved | None = None

    def __enter__(self) -> Parquet:
        parquet = _import_parquet()
        self._schema = _schema(self._labels)
        with writing(self._path):
            refuse_device(self._path)
            self._file = _Reserved(partial(self._path), self._RESERVE)
        self._writer = parquet.ParquetWriter(self._file, self._schema, compression="zstd")
        return self

    def write(self, _frame: Frame | Unreadable, result: FrameResult, /) -> None:
        self._rows.extend(cells(result, self._labels))
        if len(self._rows) >= self._ROWS_PER_GROUP:
            self._write_group()

    def _write_group(self) -> None:
        import pyarrow

        if self._file is None:
            raise ValueError(f"{self._path}: not open; write within a with block")
        turned = zip(*self._rows, strict=True) if self._rows else ((),) * len(self._schema)
        arrays = [
            pyarrow.array(map(_text, column), kind.type) for column, kind in zip(turned, self._schema, strict=True)
        ]
        self._rows = []
        with writing(self._path):
            self._writer.write_table(pyarrow.Table.from_arrays(arrays, schema=self._schema))
            self._file.complain()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        if self._file is None:
            return
        file, self._file = self._file, self._file
        try:
            if self._rows:
                self._write_group()
        finally:
            self._file = None
            self._finish(file)

    def _finish(self, file: _Reserved) -> None:
        """Write the end, and give the file its name; without its end it is worth nothing and goes."""
        with writing(self._path):
            try:
                self._writer.close()
                file.close()
                partial(self._path).replace(self._path)
            finally:
                file.close()
                file.give_up_reserve()
                with suppress(OSError):
                    partial(self._path).unlink()


class _Reserved(io.RawIOBase):
    """A file with a reserve of space beside it. When the disk fills, the reserve is used and the error kept for later,
    so that whoever is writing can come to an orderly end."""

    def __init__(self, path: Path, reserve: int) -> None:
        self._reserve = path.with_suffix(".reserve")
        self._error: OSError | None = None
        self._file = io.FileIO(str(path), "w")
        try:
            with self._reserve.open("wb", buffering=0) as file:
                _allocate(file, reserve)
        except OSError:
            self._file.close()
            path.unlink()
            self.give_up_reserve()
            raise

    def writable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._file.tell()

    def write(self, data: Any, /) -> int:
        rest = memoryview(data).cast("B")
        size = len(rest)
        while rest:
            rest = rest[self._write_some(rest) :]
        return size

    def _write_some(self, rest: memoryview) -> int:
        try:
            return self._file.write(rest)
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT) or self._error is not None:
                raise
            self._error = error
            self.give_up_reserve()
            return 0

    def complain(self) -> None:
        """Raise what went wrong, now that the piece in hand is written."""
        if self._error is not None:
            raise self._error

    def give_up_reserve(self) -> None:
        with suppress(OSError):
            self._reserve.unlink()

    def close(self) -> None:
        self._file.close()
        super().close()


def _allocate(file: BinaryIO, size: int) -> None:
    """Really take the space; a file system that cannot do so at once gets zeros."""
    try:
        os.posix_fallocate(file.fileno(), 0, size)
    except (AttributeError, OSError) as error:
        if isinstance(error, OSError) and error.errno not in (errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSYS):
            raise
        for _ in range(size >> 20):
            if file.write(bytes(1 << 20)) != 1 << 20:
                raise OSError(errno.ENOSPC, "no space for the reserve") from None


def _import_parquet() -> Any:
    try:
        import pyarrow.parquet
    except ImportError:
        raise MissingExtra("writing .parquet", "parquet") from None
    return pyarrow.parquet


def _schema(labels: Sequence[str]) -> Any:
    import pyarrow

    def kind(name: str) -> Any:
        return pyarrow.string() if name in _TEXTS else pyarrow.int64() if name in _WHOLE_NUMBERS else pyarrow.float64()

    return pyarrow.schema([(name, kind(name)) for name in columns(labels)])


def _text(value: Any) -> Any:
    """Parquet takes only valid Unicode; a file name that is none is escaped as in the other formats."""
    return value.encode("utf-8", "backslashreplace").decode("utf-8") if isinstance(value, str) else value
