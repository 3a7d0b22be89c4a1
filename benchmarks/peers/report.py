"""What the figures of benchmarks/results/peers.json say: ratios, as text for people, and the README's table.

python benchmarks/peers/report.py            (prints the README's table; measures nothing)
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent.parent / "results" / "peers.json"
Row = dict[str, Any]


def is_ours(row: Row) -> bool:
    return str(row["peer"]).startswith("manyfaces")


def measured(rows: list[Row]) -> list[Row]:
    """Without those that failed."""
    return [row for row in rows if "fps" in row]


def ratios(rows: list[Row]) -> list[Row]:
    """Each of our rows against the quickest peer with the same clip and heads; none where no peer did them."""
    found = []
    for ours in filter(is_ours, measured(rows)):
        rivals = [row for row in measured(rows) if not is_ours(row) and _same_work(row, ours)]
        if rivals:
            found.append(_ratio(ours, max(rivals, key=lambda row: float(row["fps"]))))
    return found


def _same_work(row: Row, other: Row) -> bool:
    return (row["clip"], row["heads"]) == (other["clip"], other["heads"])


def _ratio(ours: Row, best: Row) -> Row:
    return {
        "clip": ours["clip"],
        "heads": ours["heads"],
        "ours": ours["peer"],
        "fps": ours["fps"],
        "best_peer": best["peer"],
        "best_peer_fps": best["fps"],
        "ratio": round(ours["fps"] / best["fps"], 2),
    }


def as_text(found: list[Row]) -> str:
    return "\n".join(
        f"{row['clip']:<12} {row['heads']:<9} {row['ours']:<38} {row['fps']:8.2f}   "
        f"{row['best_peer']:<18} {row['best_peer_fps']:8.2f}   {row['ratio']:6.2f} x"
        for row in found
    )


def markdown(figures: Row) -> str:
    """Frames a second of everybody, and in brackets the faces found per frame."""
    rows = measured(figures["rows"])
    clips = list(dict.fromkeys(row["clip"] for row in rows))
    named = list(dict.fromkeys((row["heads"], row["peer"]) for row in sorted(rows, key=_order)))
    lines = [_line([row for row in rows if (row["heads"], row["peer"]) == name], name, clips) for name in named]
    machine = figures["machine"]
    return "\n".join(
        [
            f"| heads | frames a second (faces found) | {' | '.join(clips)} | peak MB |",
            f"|---|---|{'--:|' * len(clips)}--:|",
            *lines,
            "",
            *_times(figures["ratios"]),
            "",
            f"By `python benchmarks/peers/run.py`, on {machine['processor']} ({machine['cores']} cores), Python "
            f"{machine['python']}, {figures['date']}, commit {figures['commit']}; about {figures['seconds']:g} "
            "seconds a cell. (1) right architecture, random weights: speed only.",
        ]
    )


def _order(row: Row) -> tuple[str, bool, float]:
    """By heads; ours last; the slowest first."""
    return row["heads"], is_ours(row), row["fps"]


def _line(rows: list[Row], name: tuple[str, str], clips: list[str]) -> str:
    heads, peer = name
    marked = f"{peer} (1)" if any("random weights" in row["remark"] for row in rows) else peer
    cells = {row["clip"]: f"{_short(row['fps'])} ({row['faces_per_frame']:.0f})" for row in rows}
    emphasis = "**" if is_ours(rows[0]) else ""
    figures = " | ".join(f"{emphasis}{cells[clip]}{emphasis}" if clip in cells else "-" for clip in clips)
    return f"| {heads} | {emphasis}{marked}{emphasis} | {figures} | {max(row['peak_rss_mb'] for row in rows)} |"


def _short(fps: float) -> str:
    return f"{fps:.2f}" if fps < 10 else f"{fps:.1f}"


def _times(found: list[Row]) -> list[str]:
    return [
        f"- {row['clip']}, {row['heads']}: {row['ours']} is {row['ratio']:.1f} times {row['best_peer']}"
        for row in found
    ]


if __name__ == "__main__":
    place = Path(sys.argv[1]) if len(sys.argv) > 1 else RESULTS
    print(markdown(json.loads(place.read_text(encoding="utf-8"))))
