"""The tables of docs/people.md: the hard curve, strangers, methods side by side, votes, and large galleries."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

PHOTOS = ("1", "3", "5", "10")
SETS = ("lfw60", "facenet5")
ALONE = ("one look", "face given")
"""What is measured to explain the rest; it stands in the file."""


def measured(name: str) -> Any:
    place = RESULTS / f"{name}.json"
    return json.loads(place.read_text(encoding="utf-8")) if place.exists() else None


def made(figures: dict[str, Any], program: str) -> str:
    by = figures["made_by"]
    return f"By `python benchmarks/{program}.py`, on {by['processor']}, Python {by['python']}, commit {by['commit']}.\n"


# --- the hard curve --------------------------------------------------------------------------------------------------


def hard_table() -> str:
    """Named rightly by what ships; in brackets the points over the nearest face with one look."""
    figures = measured("people")
    if figures is None:
        return ""
    head = "| photos a person | " + " | ".join(f"{data}: {count}" for data in SETS for count in PHOTOS) + " |\n"
    head += "|---|" + "--:|" * (len(SETS) * len(PHOTOS)) + "\n"
    names = [name for name in figures[SETS[0]]["hardships"] if not name.endswith(ALONE)]
    rows = "".join(f"| {name} | {' | '.join(_hard_cells(figures, name))} |\n" for name in names)
    return f"{head}{rows}\n{made(figures, 'people')}"


def _hard_cells(figures: dict[str, Any], name: str) -> list[str]:
    return [_hard_cell(figures[data]["hardships"], name, count) for data in SETS for count in PHOTOS]


def _hard_cell(hardships: dict[str, Any], name: str, count: str) -> str:
    found = hardships[name]["photos_per_person"][count]["leaning"]["accuracy"]
    plainly = hardships.get(f"{name}, one look", hardships[name])["photos_per_person"][count]["nearest"]["accuracy"]
    gain = 100 * (found - plainly)
    return f"{found:.1%}" + (f" ({gain:+.1f})" if abs(gain) >= 0.05 else "")


def strangers_table() -> str:
    """30 enrolled, 30 strangers, by the rate the galleries were calibrated for."""
    figures = measured("people")
    if figures is None:
        return ""
    rows = "".join(
        f"| {one['stated']:.1%} | {one['fpir']:.2%} | {_between(one['fpir_interval'])} | {one['fnir']:.2%} | "
        f"{_between(one['fnir_interval'])} |\n"
        for one in figures["lfw60, open set"]["leaning"]
    )
    return (
        "| calibrated for | strangers named | in 95 of 100 samples | enrolled missed | in 95 of 100 samples |\n"
        f"|--:|--:|--:|--:|--:|\n{rows}\n{made(figures, 'people')}"
    )


def _between(interval: list[float] | None) -> str:
    """Nothing of a single split."""
    if interval is None:
        return "-"
    return f"{interval[0]:.1%} to {interval[1]:.1%}"


# --- methods ---------------------------------------------------------------------------------------------------------


def methods_table() -> str:
    figures = measured("identity_methods")
    if figures is None:
        return ""
    rows = "".join(
        f"| {name} | {one['accuracy']:.2%} | {one['accuracy_std']:.2%} | {_between(one['accuracy_interval'])} | "
        f"{one['splits']} |\n"
        for name, one in figures.items()
    )
    some = next(iter(figures.values()))
    return (
        "| method | right | standard deviation | in 95 of 100 samples | splits |\n|---|--:|--:|--:|--:|\n"
        f"{rows}\n{made(some, 'identity_methods')}"
    )


# --- votes -----------------------------------------------------------------------------------------------------------


def votes_table() -> str:
    figures = measured("voting")
    if figures is None:
        return ""
    rows = "".join(_votes_row(row) for row in figures["rows"])
    return (
        "| clip | photos a person | size | named rightly: single frames | votes | strangers named: single frames | "
        f"votes | changes of name: single frames | votes |\n|---|--:|--:|--:|--:|--:|--:|--:|--:|\n{rows}\n"
        f"{made(figures, 'voting')}"
    )


def _votes_row(row: dict[str, Any]) -> str:
    alone, voted = row["alone"], row["voted"]
    cells = [row["clip"], row["photos"], f"{row['size']:g}"]
    cells += [f"{one[what]:.1%}" for what in ("right", "stranger_named") for one in (alone, voted)]
    cells += [one["changes"] for one in (alone, voted)]
    return f"| {' | '.join(map(str, cells))} |\n"


# --- large galleries -------------------------------------------------------------------------------------------------


def gallery_table() -> str:
    figures = measured("gallery")
    if figures is None:
        return ""
    rows = "".join(_gallery_row(int(size), one) for size, one in figures["sizes"].items())
    return (
        "| faces | open | 1, 8, 64 questions on one core | found that exact search finds | added a second | "
        f"removed a second | memory |\n|--:|--:|--:|--:|--:|--:|--:|\n{rows}\n{made(figures, 'gallery')}"
    )


def _gallery_row(size: int, one: dict[str, Any]) -> str:
    asked = ", ".join(f"{one[f'milliseconds_for_{count}']:.1f}" for count in (1, 8, 64))
    return (
        f"| {size:,} | {one['milliseconds_to_open']:.0f} ms | {asked} ms | {one['recall_enrolled']:.1%} | "
        f"{one['added_per_second']:.0f} | {one['removed_per_second']:.1f} | "
        f"{one['resident_mb_after_searching']:.0f} MB |\n"
    )


TABLES = {
    "hard": hard_table,
    "strangers": strangers_table,
    "methods": methods_table,
    "votes": votes_table,
    "large": gallery_table,
}
