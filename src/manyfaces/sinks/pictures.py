"""Annotated copies of pictures: one into a file, or every input into a folder."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from types import TracebackType

import cv2

from manyfaces.draw import annotate
from manyfaces.errors import OutputError, UsageError
from manyfaces.sinks.files import refuse_folder, refuse_input, takes_its_turn, write_whole, writing
from manyfaces.sinks.video import AnnotatedVideo
from manyfaces.types import Frame, FrameResult, Pixels, Unreadable

PICTURE_ENDINGS = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")
_QUALITY = 92
MOST_FILMS = 16
"""Films of one folder that are open at once; each has an encoder with some dozen frames in it."""


class AnnotatedPicture:
    """One annotated picture. A second one is refused: it would replace the first without a word."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._written = False

    def __enter__(self) -> AnnotatedPicture:
        with writing(self._path):
            refuse_folder(self._path)
            if not self._path.parent.is_dir():
                raise FileNotFoundError(2, "no such folder")
        return self

    def write(self, frame: Frame | Unreadable, result: FrameResult, /) -> None:
        if isinstance(frame, Unreadable):
            return
        if self._written:
            raise UsageError(
                f"{self._path}: one picture file cannot take several pictures; name a folder or an .mp4 file"
            )
        refuse_input(self._path, frame.stream)
        write_picture(self._path, annotate(frame.image, result))
        self._written = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """The picture was whole when it got its name."""


class AnnotatedFolder:
    """A folder with an annotated copy of every input: pictures in their own format, all else as .mp4.

    Files follow one another, so a film is finished when the next file begins; one that comes back goes on in a film of
    its own. Cameras and addresses come mixed, and each has its film until the end.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._taken: set[str] = set()
        self._films: dict[str, AnnotatedVideo] = {}
        self._silent: set[str] = set()
        self._turn = ""

    def __enter__(self) -> AnnotatedFolder:
        with writing(self._folder):
            self._folder.mkdir(exist_ok=True)
        return self

    def write(self, frame: Frame | Unreadable, result: FrameResult, /) -> None:
        if frame.stream != self._turn and frame.stream not in self._films and takes_its_turn(frame.stream):
            self._finish(self._turn)
            self._turn = frame.stream
        if isinstance(frame, Unreadable):
            return
        if _is_picture(frame.stream):
            path = self._free_path(frame.stream, _ending(frame.stream))
            write_picture(path, annotate(frame.image, result))
        else:
            self._film(frame.stream).write(frame, result)

    def _film(self, stream: str) -> AnnotatedVideo:
        """The stream's film. They are kept in the order in which they were last written."""
        film = self._films.pop(stream, None) or self._begun(stream)
        self._films[stream] = film
        return film

    def _begun(self, stream: str) -> AnnotatedVideo:
        """A new film. When there are very many, the one that has been silent for longest has probably ended."""
        if stream in self._silent:
            raise UsageError(
                f"{self._folder}: more than {MOST_FILMS} streams at once cannot be drawn; annotate fewer of them"
            )
        if len(self._films) >= MOST_FILMS:
            silent = next(iter(self._films))
            self._silent.add(silent)
            self._finish(silent)
        return AnnotatedVideo(self._free_path(stream, ".mp4")).__enter__()

    def _finish(self, stream: str, error: BaseException | None = None) -> None:
        film = self._films.pop(stream, None)
        if film is not None:
            film.__exit__(type(error) if error else None, error, None)

    def _free_path(self, stream: str, ending: str) -> Path:
        """A name no other input of this run has got, and never the input itself."""
        for name in file_names(stream, ending):
            if name.casefold() not in self._taken:
                self._taken.add(name.casefold())
                refuse_input(self._folder / name, stream)
                return self._folder / name
        raise AssertionError("file_names never ends")

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        """Finish all; what goes wrong in finishing is raised only where nothing else is on its way."""
        failures: list[OutputError] = []
        for stream in list(self._films):
            try:
                self._finish(stream, error)
            except OutputError as failure:
                failures.append(failure)
        if failures and error is None:
            raise failures[0]


def file_names(stream: str, ending: str) -> Iterator[str]:
    """Names for a stream's copy, the plainest first: a.jpg, then with its folder holiday-a.jpg, then counted."""
    parts = [part for part in PureWindowsPath(stream).parts if part not in ("/", "\\", "..")]
    plain = _safe(PurePosixPath(parts[-1]).stem if parts else "") or "stream"
    yield plain + ending
    if len(parts) > 1:
        plain = f"{_safe(parts[-2])}-{plain}"
        yield plain + ending
    number = 2
    while True:
        yield f"{plain}-{number}{ending}"
        number += 1


def write_picture(path: Path, picture: Pixels) -> None:
    """Encode by the file's ending and write it whole or not at all."""
    quality = {".jpg": cv2.IMWRITE_JPEG_QUALITY, ".jpeg": cv2.IMWRITE_JPEG_QUALITY, ".webp": cv2.IMWRITE_WEBP_QUALITY}
    ending = path.suffix.lower()
    options = [quality[ending], _QUALITY] if ending in quality else []
    try:
        fine, encoded = cv2.imencode(ending, cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    except cv2.error:
        fine = False
    if not fine:
        high, wide = picture.shape[:2]
        raise OutputError(f"{path}: a picture of {wide}x{high} does not go into this format; write .png")
    write_whole(path, encoded.tobytes())


def _ending(stream: str) -> str:
    return PurePosixPath(stream).suffix.lower()


def _is_picture(stream: str) -> bool:
    """By its name; animated GIFs, videos, cameras and addresses become videos."""
    return _ending(stream) in PICTURE_ENDINGS and "://" not in stream


def _safe(name: str) -> str:
    """Letters of every script stay; what file systems or shells trip over becomes a dash."""
    kept = "".join(character if character.isalnum() or character in " ._-()" else "-" for character in name)
    return kept.strip(" .-")[:120]
