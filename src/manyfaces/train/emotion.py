"""Recipes that teach a network expressions, and the function behind `manyfaces train emotion`."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from manyfaces.card import InputSpec, ModelCard
from manyfaces.errors import UsageError
from manyfaces.train import evaluate
from manyfaces.train.augment import Augmentation, augment
from manyfaces.train.curves import curves
from manyfaces.train.data import EMOTIONS, EmotionData, read_emotion_data
from manyfaces.train.export import export_probabilities, fitted_temperature
from manyfaces.train.fit import Figures, Plan, Report, fit, read_checkpoint, silent
from manyfaces.train.nets import CompactNet, Shape, parameter_count
from manyfaces.types import Floats, Pixels

TEMPLATE = ((15.0, 17.7), (32.0, 17.7), (23.5, 28.3), (16.6, 36.4), (30.4, 36.4))
"""Where FER2013's faces have their five landmarks, so that serving cuts faces like those that were learnt from.
Measured by scripts/measure_emotion_template.py; see docs/decisions/0005-emotion-crop.md."""

SPEC = InputSpec(48, 48, "grey", mean=128.0, scale=64.0, template=TEMPLATE)


@dataclass(frozen=True, slots=True)
class Recipe:
    """Everything that decides what comes out, apart from the data and the epochs."""

    shape: Shape = field(default_factory=Shape)
    plan: Plan = field(default_factory=lambda: Plan(epochs=60))
    augmentation: Augmentation = field(default_factory=Augmentation)
    smoothing: float = 0.1
    votes_weight: float = 0.5


RECIPES: Mapping[str, Recipe] = {
    # A stem of stride 2 learnt more per hour on one core than a full-size one, at half the milliseconds per face.
    # Smoothing: FER2013's own labels agree with the majority of ten taggers on 63 % of pictures, so nobody should be
    # pushed towards certainty. Votes: what the taggers saw teaches the shared features without changing the question.
    "compact": Recipe(),
}


def train_emotion(
    data: Path,
    out: Path,
    recipe: str = "compact",
    epochs: int | None = None,
    resume: bool = False,
    report: Report = silent,
) -> ModelCard:
    """Train on Training, select on PublicTest, and write model.onnx, model.json, log.csv and curves.svg into `out`."""
    chosen = with_epochs(find_recipe(recipe), epochs)
    faces = read_emotion_data(data)
    torch.manual_seed(chosen.plan.seed)
    network = CompactNet(chosen.shape)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stubs leave it out
    log = fit(network, EmotionLesson(faces, chosen), chosen.plan, out, resume, report)
    (out / "curves.svg").write_text(curves(log), encoding="utf-8")
    return ship(out, faces, recipe)


def find_recipe(name: str) -> Recipe:
    if name not in RECIPES:
        raise UsageError(f"recipe {name!r}: there is no such recipe; known are {', '.join(RECIPES)}")
    return RECIPES[name]


def with_epochs(recipe: Recipe, epochs: int | None) -> Recipe:
    if epochs is None:
        return recipe
    if epochs < 1:
        raise UsageError(f"epochs {epochs}: must be 1 or more")
    return dataclasses.replace(recipe, plan=dataclasses.replace(recipe.plan, epochs=epochs))


class EmotionLesson:
    """A `Lesson`: FER2013's label for every picture, and where FER+'s taggers voted, what they said."""

    def __init__(self, data: EmotionData, recipe: Recipe) -> None:
        train, self._public = data.split("training"), data.split("public")
        self._recipe = recipe
        self._pixels = torch.from_numpy(train.images)
        self._labels = torch.from_numpy(train.labels)
        counts = torch.from_numpy(train.votes)
        self._votes = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)

    def __len__(self) -> int:
        return len(self._labels)

    def loss(self, network: nn.Module, which: Tensor, /) -> Tensor:
        pixels = augment(scaled(self._pixels[which]), self._recipe.augmentation)
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
            emotions, votes = network(pixels.contiguous(memory_format=torch.channels_last))
        label_loss = functional.cross_entropy(
            emotions.float(), self._labels[which], label_smoothing=self._recipe.smoothing
        )
        # Pictures without votes have all-zero targets and so add nothing.
        return label_loss + self._recipe.votes_weight * functional.cross_entropy(votes.float(), self._votes[which])

    def score(self, network: nn.Module, /) -> Figures:
        with torch.autocast("cpu", torch.bfloat16, enabled=has_bf16()):
            logits, labels = emotion_logits(network, self._public.images), self._public.labels
        likelihood = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
        return {"accuracy": float((logits.argmax(axis=1) == labels).mean()), "public_loss": float(likelihood)}


def scaled(images: Tensor) -> Tensor:
    """uint8 pictures (n, h, w) as the card says: (n, 1, h, w), (pixel - mean) / scale."""
    return (images[:, None].float() - SPEC.mean) / SPEC.scale


@torch.no_grad()
def emotion_logits(network: nn.Module, images: Pixels) -> Floats:
    """What the network says of each picture, before any softmax."""
    batches = torch.split(torch.from_numpy(images), 256)
    logits: Floats = torch.cat([network(scaled(batch))[0] for batch in batches]).float().numpy()
    return logits


def has_bf16() -> bool:
    """Whether this processor multiplies bfloat16 itself: three times faster here, and slower where it is emulated."""
    able: Mapping[str, Any] = torch.cpu.get_capabilities()
    return bool(able.get("amx_bf16") or able.get("avx512_bf16"))


def ship(out: Path, data: EmotionData, recipe: str = "compact") -> ModelCard:
    """Make `model.onnx` and `model.json` of the best checkpoint in `out`; a training may still be running there."""
    network = CompactNet(find_recipe(recipe).shape).eval()
    network.load_state_dict(read_checkpoint(out / "best.pt"))
    public = data.split("public")
    logits = emotion_logits(network, public.images)
    temperature = fitted_temperature(logits, public.labels)
    digest = export_probabilities(network, temperature, SPEC, out / "model.onnx")
    probabilities = torch.from_numpy(logits / temperature).softmax(dim=1).numpy()
    metrics = _metrics(probabilities, public) | {
        "parameters": float(parameter_count(network.features) + parameter_count(network.emotions)),
        "temperature": temperature,
    }
    card = ModelCard(
        name=f"emotion-{recipe}",
        task="emotion",
        input=SPEC,
        sha256=digest,
        licence="the trainer's to choose; mind the terms of the data",
        trained_by=f"manyfaces train emotion --recipe {recipe}",
        labels=EMOTIONS,
        metrics=metrics,
        notes=NOTES,
    )
    card.write(out / "model.json")
    return card


NOTES = (
    "The softmax and the temperature (fitted on PublicTest) are inside the network: its output is probabilities.",
    "PublicTest chose the epoch and the temperature, so its figures are a little kind.",
    "FER2013 is made of posed and web faces, few of them Asian; its labels agree with the majority of ten taggers on "
    "about 63 % of pictures. An expression is not a feeling, and this network reads expressions.",
)


def _metrics(probabilities: Floats, public: EmotionData) -> dict[str, float]:
    whole = evaluate.report(probabilities, public)
    figures = {f"public_test_{name}": whole[name] for name in ("accuracy", "balanced_accuracy", "macro_f1", "ece")}
    figures["public_test_clean_accuracy"] = whole["clean"]["accuracy"]
    if "ferplus" in whole:
        figures["public_test_ferplus_accuracy"] = whole["ferplus"]["accuracy"]
    return {name: float(np.round(value, 4)) for name, value in figures.items()}
