"""The same work over a list and over a generator: how much memory each takes at its peak, and how long.

    python benchmarks/generators.py            (half a minute; writes benchmarks/results/generators.json, and its table
                                                into docs/generators.md)

Two works: the frames of a drawn film, each looked at once, and samples from which a network's ranges are taken, as a
calibration does. Each run is a process of its own; what that process held before it began is subtracted.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np

from manyfaces.bench.machine import circumstances, peak_rss_mb, resident_mb

RESULTS = Path(__file__).parent / "results" / "generators.json"
DOCUMENT = Path(__file__).parent.parent / "docs" / "generators.md"
BEGIN, END = "<!-- figures: begin, made by python benchmarks/generators.py -->\n", "<!-- figures: end -->"
COUNTS = (100, 200, 400)
SIZE = (640, 480)
SAMPLE = (3, 224, 224)


def main() -> None:
    asked = _asked()
    with tempfile.TemporaryDirectory() as folder:
        film = Path(folder) / "film.mp4"
        alone(draw, film, max(asked.counts))
        rows = [
            {"work": work, "count": count, "way": way, **alone(measured, work, way, film, count)}
            for work in WORKS
            for count in asked.counts
            for way in WAYS
        ]
    report = {
        **circumstances("python benchmarks/generators.py"),
        "frame": [*SIZE, 3],
        "sample": [*SAMPLE, 4],
        "rows": rows,
    }
    asked.json.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    print(table(report))
    if asked.json == RESULTS:
        DOCUMENT.write_text(written(DOCUMENT.read_text(encoding="utf-8"), report), encoding="utf-8")


def _asked() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--counts", type=int, nargs="+", default=COUNTS)
    parser.add_argument("--json", type=Path, default=RESULTS)
    return parser.parse_args()


def alone(work: Any, *arguments: Any) -> Any:
    """The answer of a fresh process, in which nothing else has ever held memory."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(work, arguments)


def draw(film: Path, count: int) -> None:
    import av

    from manyfaces.cartoon import crowd_frames

    pictures = [frame.image for frame in crowd_frames(3, 2, 10, SIZE)]
    with av.open(str(film), "w") as container:
        stream = container.add_stream("libx264", rate=10, options={"preset": "ultrafast"})
        stream.width, stream.height, stream.pix_fmt = *SIZE, "yuv420p"
        stream.time_base = Fraction(1, 10)
        for number in range(count):
            frame = av.VideoFrame.from_ndarray(pictures[number % len(pictures)], format="rgb24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())


def table(report: dict[str, Any]) -> str:
    """One line for each work and count: both ways beside each other."""
    found = {(row["work"], row["count"], row["way"]): row for row in report["rows"]}
    lines = [
        f"| {work} | {count} | " + " | ".join(_cell(found[work, count, way]) for way in WAYS) + " |"
        for work, count in dict.fromkeys((row["work"], row["count"]) for row in report["rows"])
    ]
    machine, versions = report["machine"], report["versions"]
    where = (
        f"On {machine['processor']}, Python {versions['python']}, NumPy {versions['numpy']}, commit {report['commit']}."
    )
    return "\n".join(["| work | how many | as a list | as a generator |", "|---|--:|--:|--:|", *lines, "", where, ""])


def _cell(row: dict[str, Any]) -> str:
    return f"{row['peak_mb']:.0f} MB, {row['seconds']:.2f} s"


def written(text: str, report: dict[str, Any]) -> str:
    """The document with these figures between its marks."""
    before, rest = text.split(BEGIN)
    return before + BEGIN + table(report) + END + rest.split(END)[1]


# --- the two works, which take any iterable --------------------------------------------------------------------------


def frames(film: Path, count: int) -> Iterator[Any]:
    from manyfaces.sources import open_source

    for frame, _ in zip(open_source(str(film)), range(count), strict=False):
        yield frame.image


def brightness(pictures: Iterable[Any]) -> float:
    """Something of every picture: the mean over all of them."""
    means = [float(picture.mean()) for picture in pictures]
    return sum(means) / len(means)


def samples(_film: Path, count: int) -> Iterator[Any]:
    """What a network would be given: floats, four bytes where the picture had one."""
    random = np.random.default_rng(1)
    for _ in range(count):
        yield random.random(SAMPLE, np.float32)


def ranges(given: Iterable[Any]) -> float:
    """The least and the greatest value ever seen, as a calibration keeps them of each layer."""
    low, high = np.inf, -np.inf
    for sample in given:
        low, high = min(low, float(sample.min())), max(high, float(sample.max()))
    return high - low


WORKS = {"frames of a film": (frames, brightness), "calibration samples": (samples, ranges)}
WAYS = {"list": list, "generator": iter}


def measured(work: str, way: str, film: Path, count: int) -> dict[str, float]:
    source, task = WORKS[work]
    task(source(film, 2))  # imports, decoders and pools are there before it counts
    before, start = resident_mb(), time.perf_counter()
    answer = task(WAYS[way](source(film, count)))
    seconds = time.perf_counter() - start
    return {"peak_mb": round(max(0.0, peak_rss_mb() - before), 1), "seconds": round(seconds, 2), "answer": answer}


if __name__ == "__main__":
    main()
