"""What all peers share: the command line, the clock, the one line of JSON. Everything else is each peer's own.

A peer gives a function of `heads` that loads its networks and returns what looks at one picture (BGR, as OpenCV
decodes) and says how many faces went through the heads. Decoding is inside the time. The first two frames, and the
first second, in which libraries set themselves up, are not; the clip begins anew when it ends.
"""

from __future__ import annotations

import argparse
import json
import resource
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.metadata import distribution, version
from pathlib import Path
from typing import Any

from environments import default_folder

WARM_UP_FRAMES, WARM_UP_SECONDS = 2, 1.0
Look = Callable[[Any], int]


@dataclass(frozen=True, slots=True)
class Figures:
    """Frames and faces of the measured time, which is never without a frame."""

    frames: int
    faces: int
    seconds: float


def run(
    peer: str, load: Callable[[str], Look], heads: Sequence[str], packages: Sequence[str], remark: str = ""
) -> None:
    """The whole program of a peer."""
    chosen = parsed(command_line(peer, heads), peer, heads)
    look = load(chosen.heads)
    figures = timed((look(picture) for picture in pictures(chosen.clip)), chosen.seconds)
    write(chosen.json, row(peer, chosen, figures, packages, remark))


def command_line(peer: str, heads: Sequence[str]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=f"Frames a second of {peer}, decoding included.")
    parser.add_argument("clip", type=Path, help="a video")
    parser.add_argument("--heads", choices=("both", "emotion", "identity"), default=heads[0])
    parser.add_argument("--seconds", type=float, default=10.0, help="measure for about so long")
    parser.add_argument("--json", default="-", help="where the one line goes; - is stdout")
    return parser


def parsed(parser: argparse.ArgumentParser, peer: str, heads: Sequence[str]) -> argparse.Namespace:
    """A clip that is not there, or heads that a peer has not, end the program with a sentence and status 2."""
    chosen = parser.parse_args()
    if not chosen.clip.is_file():
        parser.error(f"{chosen.clip}: there is no such clip; give a video file")
    if chosen.heads not in heads:
        parser.error(f"{peer} does not do {chosen.heads}; it does {', '.join(heads)}")
    return chosen


def pictures(clip: Path) -> Iterator[Any]:
    """The frames of a clip as the usual user decodes them, over and over."""
    import cv2

    while True:
        capture = cv2.VideoCapture(str(clip))
        decoded, picture = capture.read()
        if not decoded:
            print(f"{clip}: OpenCV cannot decode this file; give a video", file=sys.stderr)
            sys.exit(2)
        while decoded:
            yield picture
            decoded, picture = capture.read()
        capture.release()


def timed(counts: Iterator[int], seconds: float, clock: Callable[[], float] = time.perf_counter) -> Figures:
    """Take face counts, one per frame, for so long after the warm-up, and at least one."""
    warm_up(counts, clock)
    frames = faces = 0
    start = clock()
    for count in counts:
        frames, faces, now = frames + 1, faces + count, clock()
        if now - start >= seconds:
            return Figures(frames, faces, now - start)
    raise RuntimeError("the clip ended, but it should begin anew")


def warm_up(counts: Iterator[int], clock: Callable[[], float]) -> None:
    """Slow peers would take long for more frames, and quick ones are not ready after two. Some load their networks when
    the first frame is asked for, so the second begins after it."""
    next(counts)
    start = clock()
    for frames, _ in enumerate(counts, 2):
        if frames >= WARM_UP_FRAMES and clock() - start >= WARM_UP_SECONDS:
            return


def row(
    peer: str, chosen: argparse.Namespace, figures: Figures, packages: Sequence[str], remark: str
) -> dict[str, Any]:
    return {
        "peer": peer,
        "heads": chosen.heads,
        "clip": chosen.clip.stem,
        "frames": figures.frames,
        "seconds": round(figures.seconds, 3),
        "fps": round(figures.frames / figures.seconds, 3),
        "faces_per_frame": round(figures.faces / figures.frames, 2),
        "peak_rss_mb": round(peak_rss_mb()),
        "versions": {name: version(name) for name in packages},
        "remark": remark,
    }


def peak_rss_mb() -> float:
    """The most memory that was resident. Linux's own figure for the running program, since `getrusage` also counts
    what the program that started this one held."""
    status = Path("/proc/self/status")
    if status.exists():
        found = next(line for line in status.read_text(encoding="utf-8").splitlines() if line.startswith("VmHWM"))
        return int(found.split()[1]) / 1024
    unit = 2**20 if sys.platform == "darwin" else 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / unit


def write(place: str, fields: dict[str, Any]) -> None:
    line = json.dumps(fields)
    if place == "-":
        print(line, flush=True)
    else:
        Path(place).write_text(line + "\n", encoding="utf-8")


def models() -> Path:
    """The folder of the files that make_models.py made; run.py says where by MANYFACES_PEERS."""
    return default_folder() / "models"


def installed_file(package: str, inside: str) -> Path:
    """A file that an installed package carries, without importing the package."""
    return Path(str(distribution(package).locate_file(inside)))
