"""What is shown to the page in its tests, in whichever browser: drawn people in pictures, a film and a camera's clip,
and a server of its own process that knows most of them."""

from __future__ import annotations

import re
import subprocess
import sys
import threading
from collections.abc import Generator, Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

import manyfaces as mf
from manyfaces.cartoon import CAST, crowd_frames, draw_person
from manyfaces.types import Pixels

TABS = ("live", "pictures", "video", "people", "system")
NAMES = ("Lan", "Minh Anh", "Amara", "Sơn Tùng", "小雨")
"""Of six drawn people five are enrolled."""

SIZE = (960, 540)
PATIENCE = 90_000  # milliseconds; a machine may have much else to do


@dataclass(frozen=True)
class Files:
    """Pictures, a film and a camera's clip of the same drawn people."""

    folder: Path

    @property
    def camera(self) -> Path:
        return self.folder / "camera.mjpeg"

    @property
    def crowd(self) -> Path:
        return self.folder / "crowd.png"

    @property
    def film(self) -> Path:
        return self.folder / "film.webm"

    @property
    def gallery(self) -> Path:
        return self.folder / "people.db"

    def portrait(self, name: str) -> Path:
        return self.folder / f"{name}.png"


def drawn_files(folder: Path) -> Files:
    made = Files(folder)
    frames = [frame.image for frame in islice(crowd_frames(6, 8, 10, SIZE), 16)]
    write(made.crowd, frames[0])
    made.camera.write_bytes(b"".join(as_jpeg(frame) for frame in frames))
    write_film(made.film, frames)
    for number, name in enumerate((*NAMES, "Zoë")):
        write(made.portrait(name), portrait_of(number))
    gallery = mf.Gallery(made.gallery)
    for name in NAMES:
        gallery.add(name, [made.portrait(name)], force=True)
    (made.folder / "broken.jpg").write_bytes(b"this is no picture")
    return made


def portrait_of(number: int) -> Pixels:
    painting, cover = draw_person(CAST[number], "neutral", 320)
    return np.asarray(painting * cover[..., None] + 205 * (1 - cover[..., None]), np.uint8)


def as_jpeg(image: Pixels) -> bytes:
    _, encoded = cv2.imencode(".jpg", image[:, :, ::-1], [cv2.IMWRITE_JPEG_QUALITY, 92])
    return encoded.tobytes()


def write(path: Path, image: Pixels) -> None:
    _, encoded = cv2.imencode(".png", image[:, :, ::-1])
    path.write_bytes(encoded.tobytes())


def write_film(path: Path, frames: Sequence[Pixels]) -> None:
    """VP8, which every Chromium can play, also one without patented codecs. Each frame stands for a quarter of a
    second, so that an expression lasts long enough to be a moment."""
    import av

    with av.open(str(path), "w") as container:
        stream = container.add_stream("libvpx", rate=4)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        for image in frames:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="rgb24")))
        container.mux(stream.encode())


def serving(gallery: Path, *more: str) -> Generator[str, None, None]:
    command = [sys.executable, "-m", "manyfaces", "serve", "--port", "0", "--gallery", str(gallery), *more]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr is not None
        try:
            address = said_address(running.stderr)
            # The log goes on; unread, it would fill the pipe and hold the server up.
            threading.Thread(target=running.stderr.read, daemon=True).start()
            yield address
        finally:
            running.terminate()
            running.wait()


def said_address(lines: Iterable[str]) -> str:
    said = []
    for line in lines:
        said.append(line)
        if match := re.search(r"http://\S+/", line):
            return match[0]
    raise AssertionError(f"the server has not begun: {''.join(said)}")
