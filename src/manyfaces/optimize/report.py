"""What came of it, as plain figures: for the file, the table, the picture and the page."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from manyfaces.optimize.measure import BATCHES
from manyfaces.optimize.model import Original
from manyfaces.optimize.samples import Data
from manyfaces.optimize.work import Outcome, Row, Wanted, row_as_dict

HEAD = ("form", "file, KB", *(f"ms, {batch}" for batch in BATCHES), "items/s", "memory, MB", "right", "same", "differs")
"""right: accuracy; same: agreement with the original; differs: the largest difference of any number."""


@dataclass(frozen=True, slots=True, eq=False)
class Report:
    """A finished optimisation and how it was made; `made` is what is told of machine, versions and command."""

    original: Original
    data: Data
    wanted: Wanted
    outcome: Outcome
    made: Mapping[str, Any]

    @property
    def sentence(self) -> str:
        return f"{self.outcome.chosen.name}: {self.outcome.why}"

    @property
    def basis(self) -> str:
        """What the figures rest on."""
        if self.data.calibration is self.data.judged:
            return f"judged and calibrated on the only row of {self.data.origin}; more would say more"
        judged = f"judged on {self.outcome.judged:,} rows of {self.data.origin}"
        many = f"{judged}, calibrated on {self.outcome.calibrated:,} others"
        return f"{many}; drawn inputs say only whether forms agree" if self.data.drawn else many


def cells(row: Row) -> tuple[str, ...]:
    """A row of the table, under `HEAD`; empty where a form failed."""
    if not (row.form and row.verdict and row.cost):
        return (row.name, *("" for _ in HEAD[1:]))
    right = "" if math.isnan(row.verdict.accuracy) else f"{row.verdict.accuracy:.2%}"
    same = f"{row.verdict.agreement:.2%}" if row.verdict.classes else f"{row.verdict.agreement:.5f}"
    times = (f"{row.cost.milliseconds[batch]:.2f}" for batch in BATCHES)
    return (
        row.name,
        f"{row.form.size / 1024:,.0f}",
        *times,
        f"{row.cost.throughput:,.0f}",
        f"{row.cost.memory_mb:,.0f}",
        right,
        same,
        f"{row.verdict.largest:.1e}",
    )


def layers_said(report: Report) -> list[str]:
    """Which layers hurt, and which stayed in float."""
    said = []
    for row in report.outcome.rows:
        if row.form and row.form.kept:
            said += [f"{row.name}: {one.layer} stayed in float: {one.why}" for one in row.form.kept]
        elif row.form and row.hurt:
            worst = row.hurt[0]
            where = worst.layers[0] if len(worst.layers) == 1 else f"{worst.layers[0]} to {worst.layers[-1]}"
            said.append(f"{row.name}: no layer had to stay in float; of {where}, {worst.why}")
    return said


def failures(report: Report) -> list[str]:
    return [f"{row.name}: {row.failed}" for row in report.outcome.rows if row.failed]


def figures(report: Report) -> dict[str, Any]:
    """What `report.json` holds."""
    outcome = report.outcome
    return {
        **report.made,
        "network": {
            "name": report.original.name,
            "origin": report.original.origin,
            "fingerprint": report.original.fingerprint,
            "inputs": {port.name: [port.dtype, list(port.shape)] for port in report.original.inputs},
        },
        "data": {"origin": report.data.origin, "drawn": report.data.drawn, "judged": outcome.judged}
        | {"calibrated": outcome.calibrated},
        "accuracy": None if math.isnan(outcome.accuracy) else outcome.accuracy,
        "max_drop": report.wanted.max_drop,
        "chosen": outcome.chosen.name,
        "why": outcome.why,
        "rows": [row_as_dict(row) for row in outcome.rows],
    }
