"""The tables of docs/optimize.md: the same networks asked in every library, and every form of ours."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"

Row = dict[str, Any]


def measured(name: str) -> Any:
    place = RESULTS / f"{name}.json"
    return json.loads(place.read_text(encoding="utf-8")) if place.exists() else None


# --- one item or many ------------------------------------------------------------------------------------------------


def predict_table() -> str:
    """Milliseconds an item, one at a time and many at once, and how often faster than the slowest way of one item."""
    figures = measured("predict")
    if figures is None:
        return ""
    rows: list[Row] = figures["rows"]
    networks = list(dict.fromkeys(row["network"] for row in rows))
    parts = [_predict_part(network, [row for row in rows if row["network"] == network]) for network in networks]
    machine, versions = figures["machine"], figures["versions"]
    return (
        "\n".join(parts) + f"\nBy `{figures['command']}`, on {machine['processor']}, {machine['cores']} cores, Python "
        f"{versions['python']}, {figures['date']}, commit {figures['commit']}; load before {figures['load_before']}.\n"
    )


def _predict_part(network: str, rows: list[Row]) -> str:
    counts = sorted({row["items"] for row in rows})
    ways = list(dict.fromkeys((row["library"], row["way"]) for row in rows))
    found = {(row["library"], row["way"], row["items"]): row["ms_per_item"] for row in rows}
    head = "".join(f" {count:,} item{'s' if count > 1 else ''}: ms each |" for count in counts)
    lines = "".join(
        f"| {library}, {way} |"
        + "".join(f" {_milliseconds(found.get((library, way, count)))} |" for count in counts)
        + "\n"
        for library, way in ways
    )
    factor = _factor(found)
    return f"| {network} |{head}\n|---|{'--:|' * len(counts)}\n{lines}{factor}"


def _milliseconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.3g}"


def _factor(found: dict[tuple[str, str, int], float]) -> str:
    """What the tutorials say of one item: LiteRT over Keras `predict`."""
    lite = [value for (library, _, items), value in found.items() if library == "LiteRT" and items == 1]
    slow = {library: value for (library, way, items), value in found.items() if way == "predict" and items == 1}
    if not lite or not slow:
        return ""
    said = ", ".join(f"{value / min(lite):,.0f} times {library} `predict`" for library, value in slow.items())
    return f"\nOne item in LiteRT: {said}.\n"


# --- forms -----------------------------------------------------------------------------------------------------------


TABLES = {"predict": predict_table}
