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


def forms_table() -> str:
    """Every form of the shipped networks, what each costs and keeps, and which was chosen here."""
    figures = measured("optimize")
    if figures is None:
        return ""
    parts = [_forms_part(name, report) for name, report in figures["networks"].items()]
    machine, versions = figures["machine"], figures["versions"]
    return (
        "\n".join(parts) + f"\nBy `python benchmarks/optimize.py ../shared/data`, on {machine['processor']}, "
        f"{machine['cores']} cores, Python {versions['python']}, OpenVINO {versions['openvino']}, {figures['date']}, "
        f"commit {figures['commit']}.\n"
    )


def _forms_part(network: str, report: Row) -> str:
    rows = [row for row in report["rows"] if not row["failed"]]
    judged = "right" if report["accuracy"] is not None else "cosine to the float one"
    whole = next(row["form"]["size"] for row in rows if row["form"]["quantisation"] == "none")
    lines = "".join(_form_line(row, whole, row["name"] == report["chosen"]) for row in rows)
    return (
        f"| {network} | file | 1, 8, 32 items: ms each | items a second, all cores | memory | {judged} |\n"
        f"|---|--:|--:|--:|--:|--:|\n{lines}\nChosen here: {report['chosen']}; {report['why']}.\n"
    )


def _form_line(row: Row, whole: int, is_chosen: bool) -> str:
    cost, verdict = row["cost"], row["verdict"]
    name = f"**{row['name']}**" if is_chosen else row["name"]
    each = ", ".join(f"{value / int(count):.2f}" for count, value in cost["milliseconds"].items())
    kept = verdict["accuracy"] if verdict["accuracy"] is not None else verdict["agreement"]
    size = row["form"]["size"]
    return (
        f"| {name} | {size / 1e6:.2f} MB, {size / whole:.0%} | {each} | {cost['throughput']:,.0f} | "
        f"{cost['memory_mb']:.0f} MB | {kept:.2%} |\n"
    )


TABLES = {"predict": predict_table, "forms": forms_table}
