"""Cameras and network streams: what may break off, and comes back.

A stream that cannot be reached at all is told at once: a wrong address is not worth waiting for. Once it has been seen,
a stream that breaks off is connected to again and again, each time after twice the wait. A recording (it has a length)
goes on after the last frame and nothing is lost; a camera goes on with what it sees now, and one Unreadable tells of
the gap.
"""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable, Generator
from pathlib import Path

import av
from av.container import InputContainer

from manyfaces.errors import InputError
from manyfaces.sources.inputs import shown
from manyfaces.sources.pace import PATIENCE, Pace, Patience
from manyfaces.sources.video import Playback, video_stream, why
from manyfaces.types import Frame, Unreadable

Connect = Callable[[], InputContainer]


class _Line:
    """Connects anew. Failures add up until a frame has come through."""

    def __init__(self, connect: Connect, patience: Patience) -> None:
        self._connect = connect
        self._patience = patience
        self._failures = 0

    def has_worked(self) -> None:
        self._failures = 0

    def again(self) -> InputContainer | None:
        while self._failures < self._patience.attempts:
            if self._patience.sleep(self._patience.delay(self._failures)):
                return None
            self._failures += 1
            try:
                return self._connect()
            except InputError:
                continue
        return None


def read_camera(name: str, number: int, *, patience: Patience = PATIENCE) -> Generator[Frame | Unreadable, None, None]:
    return read_live(name, lambda: open_camera(number, patience), endless=True, patience=patience)


def read_stream(
    name: str, *, live: bool = False, patience: Patience = PATIENCE
) -> Generator[Frame | Unreadable, None, None]:
    endless = live or name.lower().startswith("rtsp")
    pace = Pace(patience) if live else None
    # Rows and reports travel: they carry the address without its password.
    safe = shown(name)
    return read_live(safe, lambda: open_stream(name, patience), endless=endless, patience=patience, pace=pace)


def read_live(
    name: str, connect: Connect, *, endless: bool, patience: Patience, pace: Pace | None = None
) -> Generator[Frame | Unreadable, None, None]:
    """What `connect` opens, as often as it breaks off. `endless`: an end without an error is a break too. `pace` is for
    recordings; a camera has its own."""
    playback = Playback(name)
    line = _Line(connect, patience)
    container: InputContainer | None = connect()
    while container is not None:
        seen = playback.frames
        with container:
            recorded = bool(container.duration)
            items = playback.play(container, threads="AUTO" if recorded else "SLICE")  # FRAME would hold frames back
            yield from pace.keep(items) if pace and recorded else items
            over = _is_over(playback, container, endless)
        if over or not playback.frames:  # what never gave a frame is not worth waiting for
            break
        if playback.frames > seen:
            line.has_worked()
        container = _resumed(playback, line, recorded, patience)
    yield from playback.last_words()


def _is_over(playback: Playback, container: InputContainer, endless: bool) -> bool:
    if playback.whole is not None:
        return playback.whole
    if playback.fault:
        return False
    return bool(container.duration) or not (endless or container.format.name == "mpjpeg")


def _resumed(playback: Playback, line: _Line, recorded: bool, patience: Patience) -> InputContainer | None:
    if recorded:
        playback.resume()
    else:
        playback.break_off(playback.fault or "it ended", patience.clock())
    container = line.again()
    if container is None:
        playback.fault = f"the stream broke off and {patience.attempts} attempts did not bring it back"
    elif not recorded:
        playback.come_back(patience.clock())
    return container


def open_stream(name: str, patience: Patience = PATIENCE) -> InputContainer:
    options = (
        {"rtsp_transport": "tcp"} if name.lower().startswith("rtsp") else {}
    )  # UDP loses packets at the first load
    try:
        container = av.open(
            name, options=options, timeout=(patience.answer_seconds, patience.answer_seconds), metadata_errors="replace"
        )
    except av.FFmpegError as error:
        # All that FFmpeg says of a host that nobody knows is: input/output error.
        reason = "no such host or no answer" if error.errno == errno.EIO else why(error)
        hint = "check the address, the network and whether the sender is on"
        raise InputError(f"{shown(name)}: the stream cannot be opened ({reason}); {hint}") from error
    return _with_video(container, name)


def open_camera(number: int, patience: Patience = PATIENCE) -> InputContainer:
    """Cameras have numbers on Linux (Video4Linux) and macOS (AVFoundation)."""
    devices = {"linux": ("v4l2", f"/dev/video{number}"), "darwin": ("avfoundation", f"{number}:none")}
    if sys.platform not in devices:
        raise InputError(
            f"camera {number}: cameras cannot be opened by number on {sys.platform}; give its rtsp:// address"
        )
    kind, device = devices[sys.platform]
    options = {"framerate": "30"} if kind == "avfoundation" else {}
    try:
        timeout = (patience.answer_seconds, patience.answer_seconds)
        container = av.open(device, format=kind, options=options, timeout=timeout)
    except (av.FFmpegError, ValueError) as error:
        raise InputError(f"camera {number}: {_camera_fault(error, device)}") from error
    return _with_video(container, f"camera {number}")


def _camera_fault(error: Exception, device: str) -> str:
    if isinstance(error, FileNotFoundError):
        found = ", ".join(sorted(path.name.removeprefix("video") for path in Path("/dev").glob("video*")))
        return f"there is none at {device} (cameras found: {found or 'none'}); connect it, or give a file or an address"
    if isinstance(error, PermissionError):
        return f"{device} may not be read by this user; add the user to the group that may, often 'video'"
    reason = why(error) if isinstance(error, av.FFmpegError) else str(error)
    return f"{device} cannot be opened ({reason}); close other programs that use it"


def _with_video(container: InputContainer, name: str) -> InputContainer:
    try:
        video_stream(container, name)
    except InputError:
        container.close()
        raise
    return container
