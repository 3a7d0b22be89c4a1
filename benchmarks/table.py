"""The README's table of figures, from benchmarks/results/.

python benchmarks/table.py            (prints it; with --write puts it into the README)
"""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
README = HERE.parent / "README.md"
MARKS = re.compile(r"(<!-- figures: begin[^\n]*-->\n).*?(<!-- figures: end -->)", re.DOTALL)


def table() -> str:
    figures = json.loads((HERE / "results" / "quality.json").read_text(encoding="utf-8"))
    rows = "\n".join(f"| {what} | {said} | {command} |" for what, said, command in lines(figures))
    made = figures["made_by"]
    return (
        f"| measured | figure | command |\n|---|---|---|\n{rows}\n\n"
        f"By `python benchmarks/quality.py`, on {made['processor']} (two cores), Python {made['python']}, OpenVINO "
        f"{made['openvino']}, commit {made['commit']}.\n"
    )


def lines(figures: dict[str, Any]) -> list[tuple[str, str, str]]:
    verification, identity = figures["verification lfw60"], figures["identity facenet5"]
    open_set, emotion = identity["open_set"], figures["emotion PublicTest"]
    clips = [name.removeprefix("detection ") for name in figures if name.startswith("detection ")]
    memory = json.loads((HERE / "results" / "memory.json").read_text(encoding="utf-8"))
    return [
        (
            "same person or not, 6,000 pairs of LFW photos of 60 people, raw pictures in",
            f"{verification['accuracy']:.2%} right, {verification['tar_at_far']['0.001']:.2%} accepted at 0.1 % false",
            "`evaluate verification`",
        ),
        (
            "five people, 30 web photos each, 20 splits of 80:20",
            f"{identity['accuracy']:.2%} right; strangers named {open_set['fpir']:.2%}, "
            f"people not recognised {open_set['fnir']:.2%}",
            "`evaluate identity`",
        ),
        *((_described(clip), _clip(figures, clip), "`evaluate detection`, `tracking`") for clip in clips),
        (
            "expression, FER2013 PublicTest (it chose the network, so it is a little kind)",
            f"{emotion['accuracy']:.2%}, without duplicates {emotion['clean']['accuracy']:.2%}, "
            f"against the majority of ten taggers {emotion['ferplus']['accuracy']:.2%}",
            "`evaluate emotion`",
        ),
        (
            "a film of one hour through everything: resident memory",
            f"{memory['rss_mb_after_10_minutes']:.0f} MB after ten minutes, "
            f"{memory['rss_mb_at_the_end']:.0f} MB at the end",
            "`benchmarks/memory.py`",
        ),
    ]


def _described(clip: str) -> str:
    kind, faces = clip.split("-")
    doing = "each moving in its place" if kind == "grid" else "crossing, hiding, leaving, coming back"
    return f"clip {clip}: {faces} faces {doing}"


def _clip(figures: dict[str, Any], clip: str) -> str:
    found, followed = figures[f"detection {clip}"], figures[f"tracking {clip}"]
    return (
        f"{found['recall']:.2%} of faces found, {1 - found['precision']:.2%} false; IDF1 {followed['idf1']:.4f}, "
        f"{followed['id_switches']} id switches"
    )


def written() -> str:
    """The README with the table of now."""
    text = README.read_text(encoding="utf-8")
    return MARKS.sub(lambda marks: f"{marks[1]}{table()}{marks[2]}", text)


if __name__ == "__main__":
    if "--write" in sys.argv:
        README.write_text(written(), encoding="utf-8")
    print(table())
