"""What a server can say of itself without looking: versions, networks, plan, options."""

from __future__ import annotations

import math
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from manyfaces.card import ModelCard
from manyfaces.engine import Plan
from manyfaces.options import Options
from manyfaces.weights import find


def about(options: Options, plan: Plan, has_tokens: bool) -> dict[str, Any]:
    cards = _cards(options)
    return {
        "version": version("manyfaces"),
        "labels": next((list(card.labels) for card in cards if card.task == "emotion"), []),
        "models": [_model(card) for card in cards],
        "plan": asdict(plan),
        "options": {name: _plain(value) for name, value in asdict(options).items() if name != "gallery"},
        "tokens": has_tokens,
    }


def _cards(options: Options) -> list[ModelCard]:
    names = ["yunet"] if options.detector == "yunet" else []
    if options.emotion:
        names.append(options.emotion_network)
    return [find(name)[0] for name in [*names, *([options.identity_network] if options.identity else [])]]


def _model(card: ModelCard) -> dict[str, str]:
    return {"task": card.task, "name": card.name, "licence": card.licence, "sha256": card.sha256}


def _plain(value: Any) -> Any:
    """JSON knows no paths, and no infinity: a limit that is none is null."""
    if isinstance(value, Path):
        return value.name
    return None if isinstance(value, float) and not math.isfinite(value) else value
