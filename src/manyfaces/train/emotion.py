"""How a network learns expressions, and the function behind `manyfaces train emotion`."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from manyfaces.card import InputSpec, ModelCard
from manyfaces.train import evaluate
from manyfaces.train.augment import augment, mix
from manyfaces.train.data import EMOTIONS, DataError, EmotionData
from manyfaces.train.designs import Design, design_as_dict, design_from_dict
from manyfaces.train.device import device, has_bf16
from manyfaces.train.export import export_probabilities, fitted_temperature
from manyfaces.train.files import held, write_whole
from manyfaces.train.fit import Report, fit, read_checkpoint, silent
from manyfaces.train.journal import Journal
from manyfaces.train.nets import Answers, EmotionNet, build, shipped_parameters
from manyfaces.train.plan import Figures
from manyfaces.train.plots import plot_course
from manyfaces.train.recipe import Recipe, recipe_as_dict, write_recipe
from manyfaces.train.revive import revive
from manyfaces.types import Floats, Pixels

MEASURED = 1024
"""Pictures from which a network's norms learn their statistics anew: more changed them by under one percent."""

TEMPLATE = ((15.0, 17.7), (32.0, 17.7), (23.5, 28.3), (16.6, 36.4), (30.4, 36.4))
"""Where FER2013's faces have their five landmarks, so that serving cuts faces like those that were learnt from.
Measured by scripts/measure_emotion_template.py; see docs/decisions/0005-emotion-crop.md."""

SPEC = InputSpec(48, 48, "grey", mean=128.0, scale=64.0, template=TEMPLATE)


@dataclass(frozen=True, slots=True)
class Teacher:
    """A network or an ensemble to learn from. `ask` gives its probabilities (n, 7) for grey pictures (n, h, w)."""

    name: str
    ask: Callable[[Pixels], Floats]


@dataclass(frozen=True, slots=True)
class Training:
    """What to train and how. `start` is a network of the recipe's design to begin with; `made_by` is what to type to
    have it again, for the card."""

    recipe: Recipe
    made_by: str
    teacher: Teacher | None = None
    start: EmotionNet | None = None


def train_emotion(
    faces: EmotionData, out: Path, training: Training, resume: bool = False, report: Report = silent
) -> ModelCard:
    """Train on Training, select on PublicTest; leave the network, its card and recipe, a log and curves in `out`."""
    recipe = training.recipe
    torch.manual_seed(recipe.plan.seed)
    network = training.start or build(recipe.design)
    network.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
    lesson = EmotionLesson(faces, recipe, training.teacher)
    with held(out), Journal(out, report) as journal:
        if not (out / "last.pt").exists():  # also who breaks off before the end has the recipe
            write_recipe(recipe, out / "recipe.json")
        log = fit(network, lesson, recipe.plan, out, resume, journal)
        write_recipe(recipe, out / "recipe.json")
        plot_course(log, out / "curves.png")
        return ship(out, faces, training.made_by)


def begin_with(folder: Path, design: Design) -> EmotionNet:
    """The best network of another training, to go on from."""
    if not (folder / "best.pt").is_file():
        raise DataError(f"{folder}: holds no training to start from; name the folder that --out named")
    network, found = trained_network(folder)
    if found != design:
        raise DataError(f"{folder}: holds another network than the recipe asks for; start from one of its kind")
    return network


def begin_with_model(content: bytes, design: Design, faces: EmotionData) -> EmotionNet:
    """The network of an exported file, to go on from; some faces of Training tell what its norms see."""
    pictures = torch.from_numpy(faces.split("training").images[:MEASURED])
    return revive(content, design, resized(scaled(pictures), design.side))


@dataclass(frozen=True, slots=True)
class Asked:
    """One batch: scaled pictures (n, 1, side, side) and what should be said of them, as shares of every class."""

    pixels: Tensor
    emotions: Tensor
    votes: Tensor


class EmotionLesson:
    """A `Lesson`: FER2013's label for every picture, where there is a teacher what it says of the very picture that the
    network sees, and where FER+'s taggers voted, what they said."""

    def __init__(self, data: EmotionData, recipe: Recipe, teacher: Teacher | None = None) -> None:
        train, self._public = data.split("training"), data.split("public")
        self._recipe, self._teacher, self._device = recipe, teacher, device()
        self._data_hash = _fingerprint(train)
        self._pixels = torch.from_numpy(train.images).to(self._device)
        self._labels = functional.one_hot(torch.from_numpy(train.labels), len(EMOTIONS)).float().to(self._device)
        counts = torch.from_numpy(train.votes).to(self._device)
        self._votes = counts / counts.sum(dim=1, keepdim=True).clamp(min=1)

    @property
    def about(self) -> Mapping[str, str]:
        network = json.dumps(design_as_dict(self._recipe.design))
        return {
            "network": network,
            "data": self._data_hash,
            "teacher": self._teacher.name if self._teacher else "",
            # All of it but how long: a run may be made longer.
            "recipe": json.dumps(recipe_as_dict(self._recipe.with_epochs(1))),
        }

    def __len__(self) -> int:
        return len(self._labels)

    def batch(self, which: Tensor, done: float, /) -> Asked:
        which = which.to(self._device)
        pixels = augment(scaled(self._pixels[which]), self._recipe.augmentation)
        targets = torch.cat([self._labels[which], self._votes[which]], dim=1)
        if torch.rand(()).item() < self._recipe.targets.mixed:
            pixels, targets = mix(pixels, targets)
        emotions, votes = targets.tensor_split([self._labels.shape[1]], dim=1)
        asked = self._taught(pixels, _smooth(emotions, self._recipe))
        return Asked(resized(pixels, self._recipe.side(done)), asked, votes)

    def _taught(self, pixels: Tensor, labels: Tensor) -> Tensor:
        """The label and the teacher's answer, weighed: cross-entropy is linear in them, so one target serves both."""
        if self._teacher is None:
            return labels
        said = torch.from_numpy(self._teacher.ask(_as_served(pixels))).to(labels)
        return torch.lerp(labels, said, self._recipe.targets.teacher)

    def loss(self, network: nn.Module, batch: Asked, /) -> Tensor:
        answers = answered(network, batch.pixels)
        # Pictures without votes have all-zero targets and so add nothing.
        votes_loss = functional.cross_entropy(answers.votes, batch.votes)
        return functional.cross_entropy(answers.emotions, batch.emotions) + self._recipe.targets.votes * votes_loss

    def score(self, network: nn.Module, /) -> Figures:
        logits, labels = emotion_logits(network, self._public.images, self._recipe.design.side), self._public.labels
        likelihood = functional.cross_entropy(torch.from_numpy(logits), torch.from_numpy(labels))
        return {"accuracy": float((logits.argmax(axis=1) == labels).mean()), "public_loss": float(likelihood)}


def _smooth(labels: Tensor, recipe: Recipe) -> Tensor:
    smoothing = recipe.targets.smoothing
    return labels * (1 - smoothing) + smoothing / labels.shape[1]


def _as_served(pixels: Tensor) -> Pixels:
    """Scaled pictures (n, 1, h, w) as the bytes that a network is served."""
    grey: Pixels = (pixels[:, 0] * SPEC.scale + SPEC.mean).round().clamp(0, 255).to(torch.uint8).cpu().numpy()
    return grey


def scaled(images: Tensor) -> Tensor:
    """uint8 pictures (n, h, w) as the card says: (n, 1, h, w), (pixel - mean) / scale."""
    return (images[:, None].float() - SPEC.mean) / SPEC.scale


def resized(pixels: Tensor, side: int) -> Tensor:
    """Pictures as large as the network wants them; smaller ones by area, so that nothing flickers."""
    if pixels.shape[-1] == side:
        return pixels
    if side < pixels.shape[-1]:
        return functional.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False, antialias=True)
    return functional.interpolate(pixels, size=(side, side), mode="bilinear", align_corners=False)


def answered(network: nn.Module, pixels: Tensor) -> Answers:
    """What the network says, computed in bfloat16 where the processor multiplies that itself."""
    with torch.autocast(pixels.device.type, torch.bfloat16, enabled=has_bf16(pixels.device)):
        said = network(pixels.contiguous(memory_format=torch.channels_last))
    return Answers(*(one.float() for one in said))


@torch.no_grad()
def emotion_logits(network: nn.Module, images: Pixels, side: int = SPEC.width) -> Floats:
    """What the network says of each picture, before any softmax."""
    place = next(network.parameters()).device
    parts = [
        answered(network, resized(scaled(batch.to(place)), side)).emotions.cpu()
        for batch in torch.split(torch.from_numpy(images), 256)
    ]
    logits: Floats = torch.cat(parts).numpy()
    return logits


def _fingerprint(data: EmotionData) -> str:
    """Names the examples: pixels, labels and votes."""
    digest = hashlib.sha256()
    for column in (data.images, data.labels, data.votes):
        digest.update(np.ascontiguousarray(column).tobytes())
    return digest.hexdigest()[:16]


def spec_of(design: Design) -> InputSpec:
    """The contract of a network of this design: the same face, at its size."""
    factor = design.side / SPEC.width
    template = tuple((x * factor, y * factor) for x, y in TEMPLATE)
    return dataclasses.replace(SPEC, width=design.side, height=design.side, template=template)


def trained_network(out: Path) -> tuple[EmotionNet, Design]:
    """The best network of a training, ready to answer, and its design; a training may still be running there."""
    state = read_checkpoint(out / "best.pt")
    try:
        design = design_from_dict(json.loads(state["about"]["network"]))
        network = build(design).eval()
        network.load_state_dict(state["weights"])
    except (KeyError, TypeError, ValueError, RuntimeError):
        raise DataError(f"{out / 'best.pt'}: is no checkpoint of an emotion network; name another training") from None
    return network, design


def ship(out: Path, data: EmotionData, made_by: str) -> ModelCard:
    """Make `model.onnx` and `model.json` of the best checkpoint in `out`."""
    network, design = trained_network(out)
    public = data.split("public")
    logits = emotion_logits(network, public.images, design.side)
    temperature = fitted_temperature(logits, public.labels)
    digest = export_probabilities(network, temperature, spec_of(design), out / "model.onnx")
    probabilities = torch.from_numpy(logits / temperature).softmax(dim=1).numpy()
    metrics = metrics_of(probabilities, public) | {
        "parameters": float(shipped_parameters(network)),
        "temperature": temperature,
    }
    card = ModelCard(
        name=f"emotion-{design.kind}",
        task="emotion",
        input=spec_of(design),
        sha256=digest,
        licence="the trainer's to choose; mind the terms of the data",
        trained_by=made_by,
        labels=EMOTIONS,
        metrics=metrics,
        notes=NOTES,
    )
    write_whole(out / "model.json", card.write)
    return card


NOTES = (
    "The softmax and the temperature (fitted on PublicTest) are inside the network: its output is probabilities.",
    "PublicTest chose the epoch and the temperature, so its figures are a little kind.",
    "FER2013 is made of posed and web faces, few of them Asian; its labels agree with the majority of ten taggers on "
    "about 63 % of pictures. An expression is not a feeling, and this network reads expressions.",
)


def metrics_of(probabilities: Floats, public: EmotionData) -> dict[str, float]:
    whole = evaluate.report(probabilities, public)
    figures = {f"public_test_{name}": whole[name] for name in ("accuracy", "balanced_accuracy", "macro_f1", "ece")}
    figures["public_test_clean_accuracy"] = whole["clean"]["accuracy"]
    if "ferplus" in whole:
        figures["public_test_ferplus_accuracy"] = whole["ferplus"]["accuracy"]
    return {name: float(np.round(value, 4)) for name, value in figures.items()}
