"""The architecture search: designs are drawn, measured and trained for a few epochs; two figures count, both measured:
accuracy on PublicTest, and milliseconds a face on this machine.

An Optuna study is the truth. It may lie in a file or on a server that several machines search with; a ledger, from
which every trial can be rebuilt, is written from it after each trial. Optuna's own pruners know one objective only, so
what is stopped early, and why, is decided here.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import math
import statistics
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Protocol

import optuna
import torch
from optuna.trial import Trial, TrialState

from manyfaces.errors import InputError, UsageError, WeightsError
from manyfaces.train.data import DataError, EmotionData
from manyfaces.train.designs import Design, design_as_dict, design_hash
from manyfaces.train.device import device
from manyfaces.train.emotion import EmotionLesson
from manyfaces.train.fit import Progress, fit, read_checkpoint
from manyfaces.train.nets import EmotionNet, build, shipped_parameters
from manyfaces.train.recipe import Recipe, recipe_as_dict
from manyfaces.train.spaces import find_space
from manyfaces.train.study import Record, completed, experiments, opened, record, sampler, shown

PEERS = 4
"""Completed trials that a figure must lie below the middle of before a trial is stopped: of fewer, the middle says
little."""

BROKEN = (RuntimeError, ValueError, ArithmeticError, MemoryError, WeightsError)
"""What a drawn network may raise: shapes that do not fit, loss that is no number, not enough memory (torch says that by
a RuntimeError), layers that cannot be exported or run."""

CHECKPOINTS = ("last.pt", "best.pt", "log.csv")


@dataclass(frozen=True, slots=True)
class Machine:
    """Who measures: `milliseconds` says how many a network of a design takes for a face, as it is served."""

    processor: str
    milliseconds: Callable[[EmotionNet, Design], float]


@dataclass(frozen=True, slots=True)
class Terms:
    """What a study is about. Its trials can be compared only because all of them have this in common."""

    space: str
    data: str
    epochs: int
    seed: int


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is asked of a search. What is None is as the study has it, or usual where it is new."""

    trials: int
    space: str | None = None
    epochs: int | None = None
    seed: int | None = None
    max_ms: float = math.inf

    def __post_init__(self) -> None:
        if self.trials < 1:
            raise UsageError(f"trials {self.trials}: must be 1 or more")
        if not self.max_ms > 0:
            raise UsageError(f"{self.max_ms} milliseconds at most: must be more than 0")
        if self.epochs is not None and self.epochs < 1:
            raise UsageError(f"epochs {self.epochs}: must be 1 or more")
        if self.space is not None:
            find_space(self.space)


class Watch(Protocol):
    """Who wants to see a search."""

    def begun(self, number: int, design: Design, milliseconds: float, /) -> None:
        """A design was drawn and measured, and is trained now."""

    def told(self, progress: Progress, /) -> None:
        """Where its training is."""

    def ended(self, record: Record, /) -> None:
        """What became of a trial."""


def search(address: str, faces: EmotionData, out: Path, wanted: Wanted, machine: Machine, watch: Watch) -> Terms:
    """Make as many trials more in the study at `address`. Broken off, by Ctrl-C or worse, the next search goes on:
    with the trial that was under way, and in it, where its checkpoint lies in `out`, with the epoch that was."""
    with opened(address) as study:
        terms = _agreed(study, address, wanted, _fingerprint(faces))
        out.mkdir(parents=True, exist_ok=True)
        ledger = Ledger(study, out)
        study.sampler = sampler(find_space(terms.space).is_random, terms.seed)
        trials = Trials(terms, faces, out, wanted.max_ms, machine, watch)
        try:
            for _ in range(wanted.trials):
                _take_up_again(study)
                study.optimize(trials, n_trials=1, catch=(Broken,), callbacks=[lambda _, one: watch.ended(record(one))])
                ledger.write()
        finally:
            ledger.write()
    return terms


# --- one trial --------------------------------------------------------------------------------------------------------


class Broken(Exception):
    """A drawn network cannot be had. Recorded; the search goes on."""


@dataclass(frozen=True, slots=True)
class Trials:
    """Draws, measures and trains: what Optuna calls the objective."""

    terms: Terms
    faces: EmotionData
    out: Path
    max_ms: float
    machine: Machine
    watch: Watch

    def __call__(self, trial: Trial) -> tuple[float, float]:
        try:
            return self._tried(trial)
        except optuna.TrialPruned as stop:
            self._close(trial, str(stop))
            raise
        except BROKEN as error:
            self._close(trial, f"broken: {_first_line(error)}")
            raise Broken from error
        except SystemExit:  # Optuna sees to Ctrl-C, but not to being asked to end
            trial.study.tell(trial, state=TrialState.FAIL)
            raise

    def _close(self, trial: Trial, reason: str) -> None:
        trial.set_user_attr("reason", reason)
        _remove(folder_of(self.out, trial.number), CHECKPOINTS)

    def _tried(self, trial: Trial) -> tuple[float, float]:
        recipe = self._drawn(trial)
        _refuse_duplicate(trial)
        torch.manual_seed(recipe.plan.seed)
        network = build(recipe.design)
        trial.set_user_attr("parameters", shipped_parameters(network))
        milliseconds = self._measured(trial, network, recipe.design)
        self.watch.begun(trial.number, recipe.design, milliseconds)
        accuracies = self._trained(trial, network, recipe, milliseconds)
        return max(accuracies), milliseconds

    def _drawn(self, trial: Trial) -> Recipe:
        space = find_space(self.terms.space)
        design = space.draw(trial)
        recipe = space.recipe_of(design, self.terms.epochs, self.terms.seed)
        about = {
            "design": design_as_dict(design),
            "recipe": recipe_as_dict(recipe),
            "seed": recipe.plan.seed,
            "versions": {"manyfaces": version("manyfaces"), "torch": torch.__version__, "optuna": optuna.__version__},
            "processor": self.machine.processor,
            "design_hash": design_hash(design),
        }
        for name, value in about.items():
            trial.set_user_attr(name, value)
        return recipe

    def _measured(self, trial: Trial, network: EmotionNet, design: Design) -> float:
        """Before any training: what a network costs does not depend on what it has learnt."""
        milliseconds = self.machine.milliseconds(network, design)
        trial.set_user_attr("milliseconds", milliseconds)
        if milliseconds > self.max_ms:
            raise optuna.TrialPruned(f"too slow: {milliseconds:.3f} ms a face, at most {self.max_ms:g} are wanted")
        return milliseconds

    def _trained(self, trial: Trial, network: EmotionNet, recipe: Recipe, milliseconds: float) -> list[float]:
        folder = folder_of(self.out, trial.number)
        accuracies = _found_again(self.out, folder, trial)

        def after(progress: Progress) -> None:
            self.watch.told(progress)
            if progress.figures:
                accuracies.append(progress.figures["accuracy"])
                trial.set_user_attr("accuracies", accuracies)
                if progress.epoch < progress.epochs:
                    _refuse_hopeless(trial, accuracies, milliseconds)

        network.to(device(), memory_format=torch.channels_last)  # type: ignore[call-overload]
        resume = (folder / "last.pt").exists()
        fit(network, EmotionLesson(self.faces, recipe), recipe.plan, folder, resume, after)
        trial.set_user_attr("accuracies", accuracies)
        _remove(folder, ("last.pt",))
        return accuracies


def _first_line(error: Exception) -> str:
    """What kind of error, and what it says, short enough for a table."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0][:200]}" if lines[0] else type(error).__name__


def _refuse_duplicate(trial: Trial) -> None:
    """Of all machines. Where two draw the same at the same moment, the later number gives way."""
    mine = trial.user_attrs["design_hash"]
    for other in map(record, trial.study.get_trials(deepcopy=False)):
        is_first = other.was_tried or (other.state == "running" and other.number < trial.number)
        if other.number != trial.number and other.design_hash == mine and is_first:
            raise optuna.TrialPruned(f"duplicate: trial {other.number} has the same design")


def _refuse_hopeless(trial: Trial, accuracies: Sequence[float], milliseconds: float) -> None:
    others = completed(map(record, trial.study.get_trials(deepcopy=False)))
    middle, epoch = middle_of_peers(others, len(accuracies), milliseconds), len(accuracies)
    if accuracies[-1] < middle:
        raise optuna.TrialPruned(
            f"too weak: {accuracies[-1]:.1%} after epoch {epoch}; the middle of those no slower had {middle:.1%}"
        )


def middle_of_peers(others: Sequence[Record], epoch: int, milliseconds: float) -> float:
    """The median accuracy after an epoch of those that are no slower. A slow network that lies below it will hardly
    reach the front; a quick one may, however weak, so it is never compared with slower ones."""
    reached = [
        one.accuracies[epoch - 1]
        for one in others
        if one.milliseconds is not None and one.milliseconds <= milliseconds and len(one.accuracies) >= epoch
    ]
    return statistics.median(reached) if len(reached) >= PEERS else -math.inf


# --- what the study is about ------------------------------------------------------------------------------------------


def _agreed(study: optuna.Study, address: str, wanted: Wanted, data: str) -> Terms:
    """What the study is about; what was asked for must not contradict it."""
    known = study.user_attrs.get("terms")
    if known is None:
        return _settled(study, address, wanted, data)
    terms = Terms(**known)
    asked = {"space": wanted.space, "epochs": wanted.epochs, "seed": wanted.seed}
    for name, value in asked.items():
        if value is not None and value != getattr(terms, name):
            raise InputError(
                f"{shown(address)}: this study searches with {name} {getattr(terms, name)}, not {value}; "
                f"leave --{name} out, or begin another study"
            )
    if terms.data != data:
        raise DataError(f"{shown(address)}: this study searches with other data; give the same, or begin another study")
    return terms


def _settled(study: optuna.Study, address: str, wanted: Wanted, data: str) -> Terms:
    if study.get_trials(deepcopy=False):
        raise InputError(f"{shown(address)}: holds trials that are not ours; begin another study")
    space = find_space(wanted.space or "compact")
    terms = Terms(space.name, data, wanted.epochs or space.epochs, wanted.seed or 0)
    study.set_user_attr("name", uuid.uuid4().hex)
    study.set_user_attr("terms", dataclasses.asdict(terms))
    return _agreed(study, address, wanted, data)  # another machine may have begun it in the same moment


def _fingerprint(faces: EmotionData) -> str:
    """Names what trials learn from and are judged by."""
    digest = hashlib.sha256()
    for part in (faces.split("training"), faces.split("public")):
        for column in (part.images, part.labels, part.votes):
            digest.update(column.tobytes())
    return digest.hexdigest()[:16]


# --- goes on where it was ---------------------------------------------------------------------------------------------


def _take_up_again(study: optuna.Study) -> None:
    """What failed without a reason was broken off, as was what a machine was at that has been silent for long: it waits
    for the next machine that is free."""
    with experiments():
        optuna.storages.fail_stale_trials(study)
    trials = study.get_trials(deepcopy=False)
    taken_up = {one.user_attrs.get("again") for one in trials}
    for one in trials:
        is_broken_off = one.state == TrialState.FAIL and "reason" not in one.user_attrs
        if is_broken_off and one.params and one.number not in taken_up:
            study.enqueue_trial(one.params, user_attrs={"again": one.number})


def _found_again(out: Path, folder: Path, trial: Trial) -> list[float]:
    """Takes over the checkpoint of the trial that this one repeats; the accuracies of its epochs."""
    again = trial.user_attrs.get("again")
    former = folder if again is None else folder_of(out, again)
    if former != folder and former.exists() and not folder.exists():
        former.rename(folder)
    if not (folder / "last.pt").exists():
        return []
    try:
        return [row["accuracy"] for row in read_checkpoint(folder / "last.pt")["log"]]
    except (DataError, KeyError):
        _remove(folder, CHECKPOINTS)
        return []


def folder_of(out: Path, number: int) -> Path:
    return out / f"trial-{number:04d}"


def _remove(folder: Path, names: Sequence[str]) -> None:
    """These files, and the folder where it is empty then."""
    for name in names:
        (folder / name).unlink(missing_ok=True)
    if folder.is_dir() and not any(folder.iterdir()):
        folder.rmdir()


# --- the ledger -------------------------------------------------------------------------------------------------------


class Ledger:
    """`ledger.jsonl`, and for every completed trial `trial-0007/recipe.json`: written anew from the study each time, so
    that each machine has the whole."""

    def __init__(self, study: optuna.Study, out: Path) -> None:
        self._study, self._out = study, out
        self._path = out / "ledger.jsonl"
        self._refuse_other()

    def _refuse_other(self) -> None:
        """Two studies in one folder would write over each other's trials."""
        if not self._path.exists():
            return
        first = self._path.read_text(encoding="utf-8").partition("\n")[0]
        if first and not _is_of(first, self._study.user_attrs["name"]):
            raise InputError(f"{self._path}: is the ledger of another study; give another folder with --out")

    def write(self) -> None:
        found = [record(one) for one in self._study.get_trials(deepcopy=False)]
        name = {"study": self._study.user_attrs["name"]}
        _write(self._path, "".join(json.dumps(name | one.as_dict()) + "\n" for one in found))
        for one in completed(found):
            path = folder_of(self._out, one.number) / "recipe.json"
            if not path.exists():
                path.parent.mkdir(exist_ok=True)
                _write(path, json.dumps(one.recipe, indent=2) + "\n")


def _is_of(line: str, name: str) -> bool:
    try:
        return bool(json.loads(line).get("study") == name)
    except (ValueError, AttributeError):
        return False


def _write(path: Path, text: str) -> None:
    """Whole or not at all."""
    fresh = path.with_suffix(".new")
    try:
        fresh.write_text(text, encoding="utf-8")
        fresh.replace(path)
    except OSError as error:
        fresh.unlink(missing_ok=True)
        raise DataError(f"{path}: cannot be written ({error.strerror}); make room and search again") from None
