"""manyfaces in the same shape as the peers: `mf.analyze` on the clip, over and over.

`--mode every-face` is what the peers do, every face through the heads in every frame. `--mode budget` is the default of
the product; with `--emotion-rate 1000` it reads every expression in every frame, but searches for faces as often as the
budget says and follows them in between. `--same-size` swaps our emotion network for the mini-XCEPTION that the peers
have. `--min-face 16` looks for faces in half the picture's width and height, as closely as the quickest peers do.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import closing
from pathlib import Path

import measuring

import manyfaces as mf
from manyfaces.bench.streams import Clip
from manyfaces.build import build_engine
from manyfaces.engine import Engine

HEADS = ("both", "emotion", "identity")
PACKAGES = ("manyfaces", "openvino", "numpy", "av")
PASSES = 100_000


def main() -> None:
    parser = measuring.command_line("manyfaces", HEADS)
    parser.add_argument("--mode", choices=("every-face", "budget"), default="every-face")
    parser.add_argument("--endless", action="store_true", help="one stream that never ends, as from a camera")
    parser.add_argument("--emotion-rate", type=float, default=mf.Options().emotion_rate, help="readings a second")
    parser.add_argument("--same-size", action="store_true", help="read emotions with the mini-XCEPTION")
    parser.add_argument("--min-face", type=float, default=mf.Options().min_face, help="smallest face to look for")
    chosen = measuring.parsed(parser, "manyfaces", HEADS)
    options = mf.Options(
        emotion=chosen.heads != "identity",
        identity=chosen.heads != "emotion",
        emotion_model=str(measuring.models() / "mini_xception.onnx") if chosen.same_size else "default",
        every_face=chosen.mode == "every-face",
        emotion_rate=chosen.emotion_rate,
        min_face=chosen.min_face,
    )
    source = endless(chosen.clip, options) if chosen.endless else seen([str(chosen.clip)] * PASSES, options)
    with closing(source) as results:
        if chosen.mode == "budget" and not chosen.endless:
            figures = whole_passes(results, chosen.seconds)
        else:
            figures = measuring.timed((faces for _, faces in results), chosen.seconds)
    name = f"manyfaces, {chosen.mode}" + (", mini-XCEPTION" if chosen.same_size else "")
    name += ", one stream" if chosen.endless else ""
    name += ", every expression" if chosen.emotion_rate != mf.Options().emotion_rate else ""
    name += "" if chosen.min_face == mf.Options().min_face else f", from {chosen.min_face:g} pixels"
    measuring.write(chosen.json, measuring.row(name, chosen, figures, PACKAGES, ""))


def seen(clips: list[str], options: mf.Options) -> Generator[tuple[int, int], None, None]:
    """The number of each frame in its clip, and how many faces it has."""
    for result in mf.analyze(clips, options):
        if result.error:
            print(f"{result.stream}: {result.error}", file=sys.stderr)
            sys.exit(2)
        yield result.index, len(result.faces)


def endless(clip: Path, options: mf.Options) -> Generator[tuple[int, int], None, None]:
    """The clip over and over, but its people do not come anew: as long as a film is, not as long as the clip."""
    for _, row in Engine(*build_engine(options)).run(Clip.of(clip).endless()):
        yield row.index, len(row.faces)


def whole_passes(
    results: Iterator[tuple[int, int]], seconds: float, clock: Callable[[], float] = time.perf_counter
) -> measuring.Figures:
    """A clip that begins anew has only new faces, all of which must be named at once. So that this dear moment has
    its share, and no more, time runs from the beginning of the second pass to the beginning of a later one."""
    passes = frames = faces = 0
    start = clock()
    for index, count in results:
        passes += index == 0
        if index == 0 and passes == 2:
            frames, faces, start = 0, 0, clock()
            continue
        frames, faces = frames + 1, faces + count
        now = clock()
        if index == 0 and passes > 2 and now - start >= seconds:
            return measuring.Figures(frames, faces, now - start)
    raise RuntimeError("the clip ended, but it should begin anew")


if __name__ == "__main__":
    main()
