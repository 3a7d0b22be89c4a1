"""Model cards: the contract that travels as `NAME.json` beside every weight file.

A card says what goes in (size, channels, where the eyes must lie), what comes out, who trained it on what, under which
terms, and the SHA-256 of the one file it speaks of. No preprocessing lives anywhere else.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from manyfaces.errors import WeightsError

Channels = Literal["rgb", "bgr", "grey"]
Task = Literal["detection", "identity", "emotion"]
Point = tuple[float, float]


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How a network wants its pictures: size in pixels, channel order, and value = (pixel - mean) / scale.

    `template` is where the five landmarks lie in an aligned crop; detectors have none. `width` and `height` of 0 mean
    that any size goes in.
    """

    width: int
    height: int
    channels: Channels
    mean: float = 0.0
    scale: float = 1.0
    template: tuple[Point, ...] = ()

    @property
    def depth(self) -> int:
        return 1 if self.channels == "grey" else 3


@dataclass(frozen=True, slots=True)
class ModelCard:
    """Everything one must know to run a weight file, and to decide whether one may.

    `source` says where the file comes from: `package:FILE` for ours, `wheel:DISTRIBUTION:PATH` for one that another
    wheel installs, empty for a file that lies beside its card.
    """

    name: str
    task: Task
    input: InputSpec
    sha256: str
    licence: str
    trained_by: str
    labels: tuple[str, ...] = ()
    source: str = ""
    address: str = ""
    temperature: float = 1.0
    metrics: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()

    @property
    def identifier(self) -> str:
        """Names these very weights, so that vectors of two models are never compared."""
        return f"{self.name}-{self.sha256[:12]}"

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self), indent=2, ensure_ascii=False) + "\n", encoding="utf-8")

    @classmethod
    def read(cls, path: Path) -> ModelCard:
        try:
            return cls.parse(json.loads(path.read_text(encoding="utf-8")))
        except FileNotFoundError:
            raise WeightsError(f"{path}: there is no model card; every model file needs its .json beside it") from None
        except (ValueError, TypeError, KeyError) as error:
            raise WeightsError(f"{path}: this is not a model card ({error}); make it anew with the model") from None

    @classmethod
    def parse(cls, fields: dict[str, Any]) -> ModelCard:
        known = dict(fields)
        spec = dict(known.pop("input"))
        spec["template"] = tuple((float(x), float(y)) for x, y in spec.get("template", ()))
        card = cls(
            input=InputSpec(**spec),
            labels=tuple(known.pop("labels", ())),
            notes=tuple(known.pop("notes", ())),
            **known,
        )
        if card.task not in get_args(Task) or card.input.channels not in get_args(Channels):
            raise ValueError(f"unknown task {card.task!r} or channels {card.input.channels!r}")
        return card
