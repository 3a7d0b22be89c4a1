"""The training loop, to be read in one sitting. It knows steps and checkpoints, and nothing of faces.

What is learnt comes as a `Lesson`. After every epoch the folder holds `last.pt` (everything needed to go on exactly as
if nothing had happened), `best.pt` (the averaged weights of the best epoch) and `log.csv`; so stopping with Ctrl-C, or
a power cut, costs at most the epoch that was running.
"""

from __future__ import annotations

import copy
import csv
import io
import math
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn

from manyfaces.train.data import DataError
from manyfaces.train.files import write_whole
from manyfaces.train.plan import Figures, Plan, is_spent, rate_at

Batch = TypeVar("Batch")


class Diverged(DataError, ArithmeticError):
    """The loss is no number any more, and no later step finds back."""


class Lesson(Protocol[Batch]):
    """What a network is to learn, and how well it did."""

    @property
    def about(self) -> Mapping[str, str]:
        """What a checkpoint must agree with to be gone on from: the network, the examples."""

    def __len__(self) -> int:
        """How many examples there are."""

    def batch(self, which: Tensor, done: float, /) -> Batch:
        """The examples numbered `which`, spoilt at random by torch's generator, after a share `done` of the epochs."""

    def loss(self, network: nn.Module, batch: Batch, /) -> Tensor:
        """How far the network is from what it should say."""

    def score(self, network: nn.Module, /) -> Figures:
        """Figures on pictures kept out of training; `accuracy` decides which epoch is best."""


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

    about: Mapping[str, str]
    network: nn.Module
    average: nn.Module
    optimiser: torch.optim.Optimizer
    log: list[Figures]

    @property
    def best(self) -> float:
        return max((row["accuracy"] for row in self.log), default=-math.inf)


def fit(
    network: nn.Module, lesson: Lesson[Batch], plan: Plan, out: Path, resume: bool = False, report: Report = silent
) -> list[Figures]:
    """Train in place and leave checkpoints in `out`; returns the log. Equal seeds on one thread give equal weights."""
    out.mkdir(parents=True, exist_ok=True)
    run = _Run(lesson.about, network, copy.deepcopy(network).eval(), _optimiser(network, plan), [])
    if resume:
        _load(run, out / "last.pt")
    else:
        _refuse_trained(out)
        _save(run, out, is_best=True)
    while len(run.log) < plan.epochs and not is_spent(plan, run.log):
        epoch = len(run.log)
        with torch.random.fork_rng(devices=range(torch.cuda.device_count())):
            torch.manual_seed(plan.seed * 1_000_003 + epoch)
            figures = _epoch(run, lesson, plan, epoch, report)
        is_best = figures["accuracy"] > run.best
        run.log.append(figures)
        _save(run, out, is_best)
        _write_log(run.log, out / "log.csv")
        report(Progress(epoch + 1, plan.epochs, 0, 0, figures))
    return run.log


def _epoch(run: _Run, lesson: Lesson[Batch], plan: Plan, epoch: int, report: Report) -> Figures:
    started, preparing = time.perf_counter(), 0.0
    batches = _batches(len(lesson), plan.batch)
    losses, seen = [], 0
    run.network.train()
    for number, which in enumerate(_shuffled(len(lesson), plan.batch)):
        done = epoch + number / batches
        asked = time.perf_counter()
        batch = lesson.batch(which, done / plan.epochs)
        preparing += time.perf_counter() - asked
        losses.append(_step(run, lesson.loss(run.network, batch), rate_at(done, plan, run.log)))
        seen += len(which)
        # Early weights are far from where they are going: the average starts short and grows to its full length.
        steps = epoch * batches + number + 1
        _blend(run.average, run.network, min(plan.average, steps / (steps + 10)))
        report(Progress(epoch, plan.epochs, number + 1, batches))
    loss = float(torch.stack(losses).mean())
    if not math.isfinite(loss):
        raise Diverged(f"the loss is no number any more in epoch {epoch + 1}; lower the recipe's rate and start anew")
    seconds = time.perf_counter() - started
    figures = {
        "epoch": epoch + 1.0,
        "rate": rate_at(epoch + 0.5, plan, run.log),
        "loss": loss,
        "seconds": seconds,
        "pictures_per_second": seen / seconds,
        "preparing_share": preparing / seconds,
    }
    return figures | lesson.score(run.average)


def _step(run: _Run, loss: Tensor, rate: float) -> Tensor:
    for group in run.optimiser.param_groups:
        group["lr"] = rate
    run.optimiser.zero_grad()
    torch.autograd.backward(loss)
    run.optimiser.step()
    return loss.detach()


def _batches(count: int, size: int) -> int:
    return max(count // size, 1)


def _shuffled(count: int, size: int) -> Iterator[Tensor]:
    """Full batches in a new order; the few left over are seen another time."""
    order = torch.randperm(count)
    for start in range(0, _batches(count, size) * size, size):
        yield order[start : start + size]


def _optimiser(network: nn.Module, plan: Plan) -> torch.optim.Optimizer:
    """Weight decay only where it means something: not on biases and batch-norm scales."""
    parameters = list(network.parameters())
    groups = [
        {"params": [one for one in parameters if one.ndim > 1], "weight_decay": plan.weight_decay},
        {"params": [one for one in parameters if one.ndim <= 1], "weight_decay": 0.0},
    ]
    if plan.method == "adam":
        return torch.optim.Adam(groups, lr=plan.rate)
    return torch.optim.SGD(groups, lr=plan.rate, momentum=plan.momentum, nesterov=plan.momentum > 0)


@torch.no_grad()
def _blend(average: nn.Module, network: nn.Module, keep: float) -> None:
    """Move the running average of weights and batch-norm statistics a little towards the network."""
    for old, new in zip(average.state_dict().values(), network.state_dict().values(), strict=True):
        if old.is_floating_point():
            old.lerp_(new, 1 - keep)
        else:
            old.copy_(new)


# --- checkpoints -----------------------------------------------------------------------------------------------------


def _save(run: _Run, out: Path, is_best: bool) -> None:
    about = dict(run.about)
    if is_best:
        best = {"about": about, "weights": run.average.state_dict()}
        write_whole(out / "best.pt", partial(torch.save, best))
    state = {
        "about": about,
        "network": run.network.state_dict(),
        "average": run.average.state_dict(),
        "optimiser": run.optimiser.state_dict(),
        "log": run.log,
    }
    write_whole(out / "last.pt", partial(torch.save, state))


def _refuse_trained(out: Path) -> None:
    """What may have taken a night is not written over because somebody forgot a word."""
    if (out / "last.pt").exists():
        raise DataError(f"{out}: holds a training already; go on with it by --resume, or name another folder")


def _load(run: _Run, path: Path) -> None:
    state = read_checkpoint(path)
    _same(run.about, state.get("about", {}), path)
    try:
        run.network.load_state_dict(state["network"])
        run.average.load_state_dict(state["average"])
        run.optimiser.load_state_dict(state["optimiser"])
        run.log.extend(state["log"])
    except (KeyError, RuntimeError, ValueError):
        raise DataError(f"{path}: is of another network or recipe; resume with the recipe it was made with") from None


def _same(wanted: Mapping[str, str], found: Mapping[str, str], path: Path) -> None:
    for name, value in wanted.items():
        if found.get(name) != value:
            raise DataError(
                f"{path}: the {name} changed since this checkpoint was made; resume with the same, or start anew"
            )


def read_checkpoint(path: Path) -> dict[str, Any]:
    """What a checkpoint holds: tensors and plain values only, so a file from elsewhere cannot run code."""
    try:
        state: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise DataError(f"{path}: there is no checkpoint to go on from; start without --resume") from None
    except Exception as error:  # torch.load raises whatever the broken bytes lead it to
        raise DataError(f"{path}: cannot be read as a checkpoint ({type(error).__name__}); start anew") from None
    return state


def _write_log(log: list[Figures], path: Path) -> None:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(log[0]))
    writer.writeheader()
    writer.writerows(log)
    write_whole(path, lambda fresh: fresh.write_bytes(text.getvalue().encode()))
