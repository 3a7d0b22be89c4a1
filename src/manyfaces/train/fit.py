"""The training loop, to be read in one sitting. It knows steps, rates and checkpoints, and nothing of faces.

What is learnt comes as a `Lesson`. After every epoch the folder holds `last.pt` (everything needed to go on exactly as
if nothing had happened), `best.pt` (the averaged weights of the best epoch) and `log.csv`; so stopping with Ctrl-C, or
a power cut, costs at most the epoch that was running.
"""

from __future__ import annotations

import copy
import csv
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor, nn

from manyfaces.train.data import DataError

Figures = dict[str, float]


class Lesson(Protocol):
    """What a network is to learn, and how well it did."""

    def __len__(self) -> int:
        """How many examples there are."""

    def loss(self, network: nn.Module, which: Tensor, /) -> Tensor:
        """The loss over the examples numbered `which`; randomness comes from torch's own generator."""

    def score(self, network: nn.Module, /) -> Figures:
        """Figures on pictures kept out of training; `accuracy` decides which epoch is best."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How to go through the lesson.

    The rate rises over `warmup` epochs, holds, and falls to zero over the last `cooling` share. A rate that holds does
    not depend on the number of epochs, so a run may be made longer when it turns out that there is time.
    """

    epochs: int
    batch: int = 128
    rate: float = 0.1
    warmup: float = 0.5
    cooling: float = 0.5
    momentum: float = 0.9
    weight_decay: float = 5e-4
    average: float = 0.998
    seed: int = 0


@dataclass(frozen=True, slots=True)
class Progress:
    """Where training is. `figures` is filled once an epoch is complete."""

    epoch: int
    epochs: int
    batch: int
    batches: int
    figures: Mapping[str, float] = field(default_factory=dict)


Report = Callable[[Progress], None]


def silent(progress: Progress) -> None:
    """Nobody is watching."""


@dataclass(slots=True)
class _Run:
    """The state that a checkpoint holds."""

    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    log: list[Figures]

    @property
    def best(self) -> float:
        return max((row["accuracy"] for row in self.log), default=-math.inf)


def fit(
    network: nn.Module, lesson: Lesson, plan: Plan, out: Path, resume: bool = False, report: Report = silent
) -> list[Figures]:
    """Train in place and leave checkpoints in `out`; returns the log. Equal seeds on one thread give equal weights."""
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(network, copy.deepcopy(network).eval(), _optimiser(network, plan), [])
    if resume:
        _load(run, out / "last.pt")
    else:
        _save(run, out, is_best=True)
    for epoch in range(len(run.log), plan.epochs):
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(plan.seed + epoch)
            figures = _epoch(run, lesson, plan, epoch, report)
        is_best = figures["accuracy"] > run.best
        run.log.append(figures)
        _save(run, out, is_best)
        _write_log(run.log, out / "log.csv")
        report(Progress(epoch + 1, plan.epochs, 0, 0, figures))
    return run.log


def _epoch(run: _Run, lesson: Lesson, plan: Plan, epoch: int, report: Report) -> Figures:
    started = time.perf_counter()
    batches = _batches(len(lesson), plan.batch)
    total = torch.zeros(())
    run.network.train()
    for number, which in enumerate(_shuffled(len(lesson), plan.batch)):
        done = epoch + number / batches
        _set_rate(run.optimiser, rate_at(done, plan))
        loss = lesson.loss(run.network, which)
        run.optimiser.zero_grad()
        torch.autograd.backward(loss)
        run.optimiser.step()
        # Early weights are far from where they are going: the average starts short and grows to its full length.
        steps = epoch * batches + number + 1
        _blend(run.average, run.network, min(plan.average, steps / (steps + 10)))
        total += loss.detach()
        report(Progress(epoch, plan.epochs, number + 1, batches))
    seconds = time.perf_counter() - started
    figures = {
        "epoch": epoch + 1.0,
        "rate": rate_at(epoch + 1, plan),
        "loss": float(total / batches),
        "seconds": seconds,
    }
    return figures | lesson.score(run.average)


def rate_at(epochs: float, plan: Plan) -> float:
    """The learning rate after so many epochs."""
    rise = min(1.0, (epochs + 1e-3) / plan.warmup) if plan.warmup else 1.0
    fall = (plan.epochs - epochs) / (plan.epochs * plan.cooling) if plan.cooling else 1.0
    return plan.rate * max(0.0, min(rise, fall, 1.0))


def _batches(count: int, size: int) -> int:
    return max(count // size, 1)


def _shuffled(count: int, size: int) -> Iterator[Tensor]:
    """Full batches in a new order; the few left over are seen another time."""
    order = torch.randperm(count)
    for start in range(0, _batches(count, size) * size, size):
        yield order[start : start + size]


def _optimiser(network: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """Nesterov's momentum; weight decay only where it means something: not on biases and batch-norm scales."""
    parameters = list(network.parameters())
    groups = [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]
    return torch.optim.SGD(groups, lr=plan.rate, momentum=plan.momentum, nesterov=True)


def _set_rate(optimiser: torch.optim.Optimizer, rate: float) -> None:
    for group in optimiser.param_groups:
        group["lr"] = rate


@torch.no_grad()
def _blend(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Move the running average of weights and batch-norm statistics a little towards the network."""
    for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


def _save(run: _Run, out: Path, is_best: bool) -> None:
    if is_best:
        _write(run.average.state_dict(), out / "best.pt")
    state = {
        "network": run.network.state_dict(),
        "average": run.average.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "log": run.log,
    }
    _write(state, out / "last.pt")


def _write(state: Mapping[str, Any], path: Path) -> None:
    """Replace in one step, so that an interrupted write leaves the old checkpoint."""
    fresh = path.with_suffix(".new")
    torch.save(state, fresh)
    fresh.replace(path)


def _load(run: _Run, path: Path) -> None:
    state = read_checkpoint(path)
    try:
        run.network.load_state_dict(state["network"])
        run.average.load_state_dict(state["average"])
        run.optimiser.load_state_dict(state["optimiser"])
        run.log.extend(state["log"])
    except (KeyError, RuntimeError, ValueError):
        raise DataError(f"{path}: is of another network or recipe; resume with the recipe it was made with") from None


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds: tensors and plain values only, so a file from elsewhere cannot run code."""
    try:
        state: dict[str, Any] = torch.load(path, weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no checkpoint to go on from; start without --resume") from None
    except Exception as error:  # torch.load raises whatever the broken bytes lead it to
        raise DataError(f"{path}: cannot be read as a checkpoint ({type(error).__name__}); start anew") from None
    return state


def _write_log(log: list[Figures], path: Path) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fieldnames=list(log[0]))
        writer.writeheader()
        writer.writerows(log)
