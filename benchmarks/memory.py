"""Does memory grow with a video? One hour of a drawn crowd through the whole pipeline.

    python benchmarks/memory.py            (about ten minutes; writes benchmarks/results/memory.json)

Resident memory is read after ten minutes of the video and at its end; both stages, detection to rows on disk, run.
"""

from __future__ import annotations

import json
import multiprocessing
import sys
import tempfile
from fractions import Fraction
from pathlib import Path

import av

from manyfaces.api import look
from manyfaces.cartoon import crowd_frames
from manyfaces.options import Options
from manyfaces.sinks import open_table

RESULTS = Path(__file__).parent / "results" / "memory.json"
MINUTES, RATE, SIZE = 60, 2, (320, 240)


def main(minutes: int) -> None:
    with tempfile.TemporaryDirectory() as folder:
        video = Path(folder) / "hour.mp4"
        # Drawn in a process of its own, so that what drawing took is not counted.
        drawing = multiprocessing.get_context("spawn").Process(target=draw_video, args=(video, minutes))
        drawing.start()
        drawing.join()
        figures = measured(video, Path(folder) / "rows.jsonl")
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(json.dumps(figures, indent=2))


def draw_video(path: Path, minutes: int) -> None:
    """Ten seconds of a drawn crowd, over and over."""
    frames = list(crowd_frames(3, 10, RATE, SIZE))
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.time_base = Fraction(1, RATE)
        for index in range(minutes * 60 * RATE):
            picture = av.VideoFrame.from_ndarray(frames[index % len(frames)].image, format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())


def measured(video: Path, rows: Path) -> dict[str, float]:
    figures: dict[str, float] = {"frames": 0, "faces": 0}
    with open_table(rows) as sink:
        for frame, result in look([str(video)], Options()):
            sink.write(frame, result)
            figures["frames"] += 1
            figures["faces"] += len(result.faces)
            if "rss_mb_after_10_minutes" not in figures and result.seconds >= 600:
                figures["rss_mb_after_10_minutes"] = resident_mb()
    figures["rss_mb_at_the_end"] = resident_mb()
    figures["growth_mb"] = round(figures["rss_mb_at_the_end"] - figures.get("rss_mb_after_10_minutes", 0), 1)
    return figures


def resident_mb() -> float:
    """Pages of this process that are in memory now, not the most there ever were."""
    pages = int(Path("/proc/self/statm").read_text(encoding="utf-8").split()[1])
    return round(pages * 4096 / 2**20, 1)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else MINUTES)
