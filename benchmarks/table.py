"""The tables of figures in README.md and docs/, from benchmarks/results/.

python benchmarks/table.py            (prints them; with --write puts them into the documents)
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
DOCUMENTS = (
    HERE.parent / "README.md",
    *(HERE.parent / "docs" / f"{page}.md" for page in ("emotion", "people", "optimize")),
)
sys.path[:0] = [str(HERE), str(HERE / "peers")]


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


# --- speed -----------------------------------------------------------------------------------------------------------


def speed_table() -> str:
    """What the picture shows as figures; nothing while nobody has measured it."""
    place = HERE / "results" / "speed.json"
    return speed(json.loads(place.read_text(encoding="utf-8"))) if place.exists() else ""


def speed(figures: dict[str, Any]) -> str:
    machine, versions = figures["machine"], figures["versions"]
    faces = sorted({row["faces"] for row in figures["rows"]})
    lines = "\n".join(_speed_line(figures["rows"], count) for count in faces)
    return (
        "![Frames a second and age of results against the number of faces](benchmarks/results/speed.png)\n\n"
        "| faces | default budget: frames/s | live: age p50, p95 | every face: frames/s | wall, floor: ratio | "
        "expressions only, every face: frames/s |\n|--:|--:|--:|--:|--:|--:|\n"
        f"{lines}\n\n"
        "Decoding is in all of it. *live*: milliseconds from the moment a camera of 25 pictures a second gives one to "
        "its result. *floor*: decoding, detection and both heads, each alone at its best, shared by all cores. From "
        f"the start of the program to the first result: {figures['startup_s']:.1f} s.\n\n"
        f"By `{figures['command']}`, on {machine['processor']}, {machine['cores']} cores, "
        f"{machine['memory_gb']:.0f} GB, Python {versions['python']}, OpenVINO {versions['openvino']}, "
        f"{figures['date']}, commit {figures['commit']}.\n"
    )


def _speed_line(rows: list[dict[str, Any]], faces: int) -> str:
    found = {(row["mode"], row["heads"]): row for row in rows if row["faces"] == faces}
    budget, every = found.get(("budget", "both")), found.get(("every-face", "both"))
    cells = [_fps(budget), _age(budget), _fps(every), _ratio(every), _fps(found.get(("every-face", "emotion")))]
    return f"| {faces} | {' | '.join(cells)} |"


def _fps(row: dict[str, Any] | None) -> str:
    return "-" if row is None else f"{row['fps']:.1f}"


def _age(row: dict[str, Any] | None) -> str:
    """Dropped frames are told where there were any: an age says little without them."""
    if row is None:
        return "-"
    dropped = f", {row['dropped'] / (row['dropped'] + row['live_frames']):.0%} dropped" if row["dropped"] else ""
    return f"{row['p50_ms']:.0f}, {row['p95_ms']:.0f} ms{dropped}"


def _ratio(row: dict[str, Any] | None) -> str:
    return "-" if row is None else f"{row['wall_ms']:.1f}, {row['floor_ms']:.1f} ms: {row['floor_ratio']:.2f}"


# --- what the budget costs -------------------------------------------------------------------------------------------


def budget_table() -> str:
    """Both ways side by side; nothing while nobody has measured it."""
    place = HERE / "results" / "budget.json"
    return budget(json.loads(place.read_text(encoding="utf-8"))) if place.exists() else ""


def budget(figures: dict[str, Any]) -> str:
    lines = "\n".join(
        f"| {clip} | {' | '.join(_budget_cells(measured, mode))} |"
        for clip, measured in figures["clips"].items()
        for mode in ("every-face", "budget")
    )
    made = figures["made_by"]
    return (
        "| clip | mode | searches, expressions, identities read a frame | found | IDF1 | named rightly, wrongly | "
        "strangers named | same expression |\n|---|---|--:|--:|--:|--:|--:|--:|\n"
        f"{lines}\n\n"
        f"By `python benchmarks/budget.py`, on {made['processor']}, Python {made['python']}, OpenVINO "
        f"{made['openvino']}, commit {made['commit']}.\n"
    )


def _budget_cells(measured: dict[str, Any], mode: str) -> list[str]:
    one, names = measured[mode], measured[mode]["names"]
    return [
        mode.replace("-", " "),
        f"{one['searched']:.2g}, {one['emotions_read']:.3g}, {one['identities_read']:.3g}",
        f"{one['recall']:.1%}",
        f"{one['idf1']:.3f}",
        f"{names['right']:.1%}, {names['wrong']:.1%}",
        f"{names['stranger_named']:.1%}",
        "-" if mode == "every-face" else f"{measured['same_expression']:.1%}",
    ]


# --- peers -----------------------------------------------------------------------------------------------------------


def peers_table() -> str:
    from report import markdown

    place = HERE / "results" / "peers.json"
    return markdown(json.loads(place.read_text(encoding="utf-8"))) + "\n" if place.exists() else ""


# --- emotion ---------------------------------------------------------------------------------------------------------


def emotion_table() -> str:
    """Each network that benchmarks/emotion.py measured, the best first."""
    place = HERE / "results" / "emotion.json"
    if not place.exists():
        return ""
    figures = json.loads(place.read_text(encoding="utf-8"))
    ordered = sorted(figures.items(), key=lambda one: -one[1]["accuracy"])
    lines = "\n".join(_emotion_line(name, one) for name, one in ordered)
    made = ordered[0][1]["made_by"]
    return (
        "| network | PublicTest, 95 % interval | without duplicates | FER+ majority | with its mirror image | ECE | "
        "parameters | ms a face | training |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n"
        f"{lines}\n\n"
        "PublicTest chose the epoch of each network, so all are a little kind. *ECE*: expected calibration error. "
        "Milliseconds: one core, batch 8, as served.\n\n"
        f"By `python benchmarks/emotion.py`, on {made['processor']}, Python {made['python']}, OpenVINO "
        f"{made['openvino']}, commit {made['commit']}.\n"
    )


def _emotion_line(name: str, one: dict[str, Any]) -> str:
    low, high = one["accuracy_interval"]
    parameters, training = one["card"].get("parameters"), one["training"]
    cells = [
        name,
        f"{one['accuracy']:.1%} ({low:.1%} to {high:.1%})",
        f"{one['clean']['accuracy']:.1%}",
        f"{one['ferplus']['accuracy']:.1%}",
        f"{one['mirrored']['accuracy']:.1%}",
        f"{one['ece']:.3f}",
        "" if parameters is None else f"{parameters:,.0f}",
        f"{one['ms_per_face']:.2f}",
        f"{training['epochs']:.0f} epochs, {training['minutes']:.0f} min" if training else "",
    ]
    return f"| {' | '.join(cells)} |"


def other_tables() -> dict[str, Callable[[], str]]:
    from network_tables import TABLES as networks
    from people_tables import TABLES as people

    return {**people, **networks}


TABLES = {
    "figures": table,
    "speed": speed_table,
    "budget": budget_table,
    "peers": peers_table,
    "emotion": emotion_table,
    **other_tables(),
}


def written(document: Path) -> str:
    """A document with the tables of now. A table whose marks are not in it is left out."""
    text = document.read_text(encoding="utf-8")
    for name, make in TABLES.items():
        marks = re.compile(rf"(<!-- {name}: begin[^\n]*-->\n).*?(<!-- {name}: end -->)", re.DOTALL)
        made = make()
        text = marks.sub(lambda found, made=made: f"{found[1]}{made}{found[2]}", text)  # type: ignore[misc]
    return text


if __name__ == "__main__":
    if "--write" in sys.argv:
        for document in DOCUMENTS:
            document.write_text(written(document), encoding="utf-8")
    print(*(make() for make in TABLES.values()), sep="\n")
