"""Files that stay whole: what every sink needs to know of disks that fill up and folders that are not there."""

from __future__ import annotations

import errno
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from manyfaces.errors import OutputError

_ADVICE = {
    errno.ENOSPC: "the disk is full; free some space or write elsewhere",
    errno.EDQUOT: "your share of the disk is used up; free some space or write elsewhere",
    errno.EFBIG: "the file may not grow further here; raise the limit or write elsewhere",
    errno.EACCES: "you may not write there; choose another place or ask for the right",
    errno.EPERM: "you may not write there; choose another place or ask for the right",
    errno.EROFS: "that disk can only be read; choose another place",
    errno.EISDIR: "that is a folder; name a file in it",
    errno.ENOTDIR: "a part of that path is a file and not a folder; choose another place",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
    errno.EPIPE: "whoever was reading has gone away",
}


def cannot_write(path: object, error: OSError) -> OutputError:
    """The sentence for a failed write: what, where, what to do."""
    if error.errno == errno.ENOENT:
        advice = f"there is no folder {Path(str(path)).parent}; create it first"
    else:
        advice = _ADVICE.get(error.errno or 0, f"{error.strerror or error}; choose another place")
    return OutputError(f"{path}: cannot be written: {advice}")


@contextmanager
def writing(path: object) -> Iterator[None]:
    """Turns what the operating system says within the block into an OutputError about `path`."""
    try:
        yield
    except OSError as error:
        raise cannot_write(path, error) from error


def write_whole(path: Path, content: bytes) -> None:
    """The file has the old content or the new one, never a half: written beside it and renamed."""
    beside = partial(path)
    with writing(path):
        refuse_device(path)
        try:
            beside.write_bytes(content)
            beside.replace(path)
        finally:
            with suppress(OSError):
                beside.unlink()


def refuse_folder(path: Path) -> None:
    """A folder where a file is meant is said at once, and not by a failing rename at the end."""
    if path.is_dir():
        raise IsADirectoryError(errno.EISDIR, "is a folder")


def refuse_device(path: Path) -> None:
    """Renaming over a device or a pipe would put a file in its place: /dev/null must stay what it is."""
    refuse_folder(path)
    if path.exists() and not path.is_file():
        raise OutputError(f"{path}: this is a device or a pipe, and a file is needed; give the name of a file")


def refuse_input(path: Path, stream: str) -> None:
    """Never write over the picture or video that is being looked at."""
    with suppress(OSError, ValueError):
        if path.samefile(stream):
            raise OutputError(f"{path}: this is the input itself; write the annotated copy to another file or folder")


def takes_its_turn(stream: str) -> bool:
    """Whether a stream is a file: files follow one another, while cameras and addresses go on beside them."""
    with suppress(OSError, ValueError):
        return Path(stream).is_file()
    return False


def partial(path: Path) -> Path:
    """Where a file lies while it is being written; in the same folder, because only there renaming is one step."""
    return path.with_name(f".{path.name[:200]}.partial")


class WholeLines:
    """A file that only ever holds whole pieces: a piece that could not be written to its end is cut away again."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with writing(path):
            self._file = FileIO(str(path), "w")
        self._whole = 0

    def append(self, piece: bytes) -> None:
        """Hand the piece to the operating system, without a buffer of our own that a kill would lose."""
        rest = memoryview(piece)
        try:
            with writing(self.path):
                while rest:
                    rest = rest[self._file.write(rest) :]
        finally:
            if rest:
                self._cut()
        self._whole += len(piece)

    def _cut(self) -> None:
        """Devices and pipes cannot be cut; they have no rest that stays either."""
        with suppress(OSError):
            self._file.truncate(self._whole)
            self._file.seek(self._whole)

    def close(self) -> None:
        with writing(self.path):
            self._file.close()
