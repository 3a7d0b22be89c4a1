"""Still and animated pictures, through Pillow: whatever is in the file comes out upright, opaque, RGB, 8 bits.

The file's first bytes say what it is, not its name. Only the formats of the table are ever handed to Pillow, which
knows many more than one wants to open from strangers, and the size is checked between reading the header and decoding.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt
from PIL import Image
from PIL.BmpImagePlugin import BmpImageFile
from PIL.GifImagePlugin import GifImageFile
from PIL.ImageFile import ImageFile
from PIL.JpegImagePlugin import jpeg_factory
from PIL.PngImagePlugin import PngImageFile
from PIL.TiffImagePlugin import TiffImageFile
from PIL.WebPImagePlugin import WebPImageFile

from manyfaces.errors import InputError
from manyfaces.sources.inputs import PIXEL_LIMIT, shown
from manyfaces.types import Frame, Pixels, Unreadable

Opener = Callable[[BinaryIO, str], ImageFile]

_OPENERS: tuple[tuple[bytes, Opener], ...] = (
    (b"\xff\xd8\xff", jpeg_factory),
    (b"\x89PNG\r\n\x1a\n", PngImageFile),
    (b"GIF8", GifImageFile),
    (b"BM", BmpImageFile),
    (b"II*\x00", TiffImageFile),
    (b"MM\x00*", TiffImageFile),
    (b"II+\x00", TiffImageFile),  # BigTIFF
    (b"MM\x00+", TiffImageFile),
)
_ANIMATED = (GifImageFile, PngImageFile, WebPImageFile)
"""Where several pictures mean a film. In TIFF they are pages and in a phone's JPEG (MPO) previews: the first counts."""

_ORIENTATION = 0x0112
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}

UNTIMED_MILLISECONDS = 100.0
"""How long a picture of an animation lasts whose file says 0: every browser shows it for a tenth of a second."""


def read_picture(path: str | Path) -> Pixels:
    """One picture (of an animation, the first) as RGB."""
    with _opened(Path(path)) as image:
        return _decoded(image, Path(path))


class HeldPicture:
    """A picture that came as bytes. Its header has been read and found small enough; nothing is decoded yet."""

    def __init__(self, content: bytes, name: str, limit: int = PIXEL_LIMIT) -> None:
        """`name` is only what sentences call it."""
        self._path = Path(name)
        self._image = _header_read(BytesIO(content), self._path)
        _check_size(self._image, self._path, limit)

    @property
    def pixels(self) -> int:
        return self._image.width * self._image.height

    def decode(self) -> Pixels:
        """As RGB; once, since what it came from is let go."""
        with self._image as image:
            return _decoded(image, self._path)


def read_pictures(name: str) -> Generator[Frame | Unreadable, None, None]:
    """A picture as a stream of one frame, an animation as the film it is."""
    with _opened(Path(name)) as image:
        milliseconds = 0.0
        for index, place in enumerate(_places(image, Path(name))):
            seconds = milliseconds / 1000
            try:
                pixels = _decoded(image, Path(name), place)
            except InputError as error:
                yield Unreadable(
                    name, index, seconds, str(error)
                )  # the next one is drawn upon this one: it is lost too
                return
            yield Frame(pixels, index, seconds, name)
            milliseconds += float(image.info.get("duration") or UNTIMED_MILLISECONDS)


def is_picture(path: Path) -> bool:
    """Whether the file's first bytes are those of a picture format that we read."""
    with _file(path) as file:
        return _opener(file) is not None


def picture_count(path: Path) -> int:
    """How many pictures there are: 1, or the length of an animation."""
    with _opened(path) as image:
        return len(_places(image, path))


def _places(image: ImageFile, path: Path) -> range:
    """The places of the pictures to show. An APNG's picture for old viewers is no part of the animation."""
    try:
        count = int(getattr(image, "n_frames", 1)) if isinstance(image, _ANIMATED) else 1
    except Exception as error:  # as in _parsed: GIF is walked through to be counted
        raise _damaged(path, error) from error
    return range(int(count > 1 and bool(getattr(image, "default_image", False))), count)


@contextmanager
def _file(path: Path) -> Iterator[BinaryIO]:
    try:
        file = path.open("rb")
    except FileNotFoundError:
        raise InputError(f"{shown(str(path))}: there is no such file; check the name") from None
    except OSError as error:
        why = (error.strerror or str(error)).lower()
        raise InputError(f"{shown(str(path))}: the file cannot be read ({why}); check its permissions") from None
    with file:
        yield file


@contextmanager
def _opened(path: Path) -> Iterator[ImageFile]:
    with _file(path) as file, _header_read(file, path) as image:
        _check_size(image, path)
        yield image


def _header_read(file: BinaryIO, path: Path) -> ImageFile:
    opener = _opener(file)
    if opener is None:
        what = "not a picture that can be read" if file.read(1) else "empty"
        raise InputError(f"{shown(str(path))}: the file is {what}; give a JPEG, PNG, WebP, BMP, TIFF or GIF")
    return _parsed(opener, file, path)


def _opener(file: BinaryIO) -> Opener | None:
    head = file.read(12)
    file.seek(0)
    if head[:4] == b"RIFF" and head[8:] == b"WEBP":
        return WebPImageFile
    return next((opener for magic, opener in _OPENERS if head.startswith(magic)), None)


def _parsed(opener: Opener, file: BinaryIO, path: Path) -> ImageFile:
    try:
        with _quiet():
            return opener(file, "")
    except (
        Exception
    ) as error:  # Pillow lets out whatever its parser stumbled over: SyntaxError, struct.error, KeyError...
        raise _damaged(path, error) from error


def _check_size(image: ImageFile, path: Path, limit: int = PIXEL_LIMIT) -> None:
    """Ours instead of Pillow's, which warns at half its limit and is a setting of the whole process."""
    if image.width * image.height > limit:
        size = f"{image.width} x {image.height} pixels"
        most = f"{limit / 1_000_000:g} megapixels"
        raise InputError(f"{shown(str(path))}: the picture has {size}, more than the limit of {most}; make it smaller")


def _decoded(image: ImageFile, path: Path, place: int = 0) -> Pixels:
    try:
        with _quiet():
            if place:
                image.seek(place)
            image.load()
            return _rgb(_upright(image))
    except Exception as error:  # as in _parsed
        raise _damaged(path, error) from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Pillow warns of odd metadata and big tiles; we either read the picture or raise. Never use it around a yield."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", module="PIL")
        yield


def _damaged(path: Path, error: Exception) -> InputError:
    return InputError(f"{shown(str(path))}: the picture is cut off or damaged ({error}); get a whole copy of it")


def _upright(image: Image.Image) -> Image.Image:
    """Turned as its EXIF data says. After loading: Pillow turns TIFF by itself then, and PNG may say it last."""
    try:
        turn = _TURNS.get(image.getexif().get(_ORIENTATION, 1))
    except Exception:  # EXIF data is often broken, and a picture without it is still a picture
        return image
    return image if turn is None else image.transpose(turn)


def _rgb(image: Image.Image) -> Pixels:
    if image.mode == "F" or image.mode.startswith("I"):
        return np.repeat(_eight_bits(np.asarray(image))[:, :, np.newaxis], 3, axis=2)
    if image.has_transparency_data:
        image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA"))
    return np.array(image.convert("RGB"), np.uint8)


def _eight_bits(deep: npt.NDArray[Any]) -> Pixels:
    """Grey with more than 8 bits: integers are taken as 16 bits, floats as 0..1 if none is greater, else as 0..255."""
    if deep.dtype.kind != "f":
        return np.asarray(np.clip(deep, 0, 65535) >> 8, np.uint8)
    known = np.nan_to_num(deep.astype(np.float32), nan=0.0)
    scale = 255 if known.max(initial=0.0) <= 1 else 1
    return np.asarray(np.clip(known * scale + 0.5, 0, 255), np.uint8)
