"""The training loop: repeatable, stopped and resumed without a trace, and never without a usable checkpoint."""

from __future__ import annotations

import copy
import csv
import os
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="training needs the extra manyfaces[train]")

from torch import Tensor, nn  # noqa: E402  (only where torch is)

from manyfaces.train.data import DataError  # noqa: E402
from manyfaces.train.files import held, write_whole  # noqa: E402
from manyfaces.train.fit import Diverged, Progress, fit, read_checkpoint  # noqa: E402
from manyfaces.train.plan import Plan, epochs_without_gain, is_spent, rate_at  # noqa: E402

PLAN = Plan(epochs=4, batch=8, rate=0.05, warmup=0.5, cooling=0.25, average=0.9, seed=3)


class Line:
    """A lesson in miniature: learn a plane from noisy points, with dropout's kind of randomness in the loss."""

    data = "forty points"

    def __init__(self) -> None:
        generator = torch.Generator().manual_seed(1)
        self.points = torch.randn(40, 3, generator=generator)
        self.values = self.points @ torch.tensor([[1.0], [-2.0], [0.5]])

    def __len__(self) -> int:
        return len(self.points)

    @property
    def about(self) -> dict[str, str]:
        return {"network": "a plane", "data": self.data}

    def batch(self, which: Tensor, done: float, /) -> tuple[Tensor, Tensor]:
        assert 0 <= done < 1
        return self.points[which] + torch.randn(len(which), 3) * 0.01, self.values[which]

    def loss(self, network: nn.Module, batch: tuple[Tensor, Tensor], /) -> Tensor:
        points, values = batch
        loss: Tensor = ((network(points) - values) ** 2).mean()
        return loss

    def score(self, network: nn.Module, /) -> dict[str, float]:
        with torch.no_grad():
            return {"accuracy": -float(((network(self.points) - self.values) ** 2).mean())}


class Interrupted(Line):
    """Somebody presses Ctrl-C during the third epoch."""

    steps = 0

    def loss(self, network: nn.Module, batch: tuple[Tensor, Tensor], /) -> Tensor:
        self.steps += 1
        if self.steps == 2 * 5 + 3:
            raise KeyboardInterrupt
        return super().loss(network, batch)


def network() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4), nn.ReLU(), nn.Dropout(0.1), nn.Linear(4, 1))


def weights_in(folder: Path) -> dict[str, Tensor]:
    weights: dict[str, Tensor] = read_checkpoint(folder / "best.pt")["weights"]
    return weights


TIMES = {"seconds", "pictures_per_second", "preparing_share"}


def without_seconds(log: list[dict[str, float]]) -> list[dict[str, float]]:
    return [{name: value for name, value in row.items() if name not in TIMES} for row in log]


def assert_equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> None:
    assert one.keys() == other.keys()
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_it_learns(tmp_path: Path) -> None:
    before = Line().score(network().eval())["accuracy"]
    log = fit(network(), Line(), Plan(epochs=20, batch=8, rate=0.05, average=0.9), tmp_path)
    assert log[-1]["accuracy"] > before / 4


def test_equal_seeds_give_equal_weights_whatever_was_drawn_before(tmp_path: Path) -> None:
    one, other = network(), network()
    fit(one, Line(), PLAN, tmp_path / "one")
    torch.rand(7)
    fit(other, Line(), PLAN, tmp_path / "other")
    assert_equal(one.state_dict(), other.state_dict())


def test_it_leaves_the_callers_randomness_alone(tmp_path: Path) -> None:
    trained = network()
    torch.manual_seed(5)
    fit(trained, Line(), PLAN, tmp_path)
    after = torch.rand(1)
    torch.manual_seed(5)
    assert torch.equal(after, torch.rand(1))


def test_interrupted_and_resumed_is_the_same_as_never_interrupted(tmp_path: Path) -> None:
    whole, parts = network(), network()
    log = fit(whole, Line(), PLAN, tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        fit(parts, Interrupted(), PLAN, tmp_path / "parts")
    fresh = network()
    resumed_log = fit(fresh, Line(), PLAN, tmp_path / "parts", resume=True)
    assert_equal(whole.state_dict(), fresh.state_dict())
    assert_equal(weights_in(tmp_path / "whole"), weights_in(tmp_path / "parts"))
    assert without_seconds(log) == without_seconds(resumed_log)


def test_ctrl_c_in_the_first_epoch_still_leaves_checkpoints(tmp_path: Path) -> None:
    impatient = Interrupted()
    impatient.steps = 2 * 5
    with pytest.raises(KeyboardInterrupt):
        fit(network(), impatient, PLAN, tmp_path)
    assert weights_in(tmp_path).keys() == network().state_dict().keys()
    assert len(fit(network(), Line(), PLAN, tmp_path, resume=True)) == PLAN.epochs


def test_a_finished_training_has_nothing_to_resume(tmp_path: Path) -> None:
    log = fit(network(), Line(), PLAN, tmp_path)
    assert fit(network(), Line(), PLAN, tmp_path, resume=True) == log


def test_the_best_epoch_is_kept_not_the_last(tmp_path: Path) -> None:
    class Fading(Line):
        """A network that is best after its second epoch."""

        epochs = 0
        best: dict[str, Tensor]

        def score(self, network: nn.Module, /) -> dict[str, float]:
            self.epochs += 1
            if self.epochs == 2:
                self.best = copy.deepcopy(network.state_dict())
            return {"accuracy": 1.0 if self.epochs == 2 else 0.5}

    lesson = Fading()
    fit(network(), lesson, PLAN, tmp_path)
    assert_equal(weights_in(tmp_path), lesson.best)


def test_the_log_file_has_one_row_per_epoch(tmp_path: Path) -> None:
    log = fit(network(), Line(), PLAN, tmp_path)
    with (tmp_path / "log.csv").open(newline="") as file:
        rows = [{name: float(value) for name, value in row.items()} for row in csv.DictReader(file)]
    assert rows == log
    assert [row["epoch"] for row in rows] == [1, 2, 3, 4]


def test_progress_is_told_for_every_batch_and_every_epoch(tmp_path: Path) -> None:
    told: list[Progress] = []
    log = fit(network(), Line(), PLAN, tmp_path, report=told.append)
    assert [dict(progress.figures) for progress in told if progress.figures] == log
    batches = [(progress.epoch, progress.batch) for progress in told if not progress.figures]
    assert batches == [(epoch, batch) for epoch in range(4) for batch in range(1, 6)]


def test_fewer_examples_than_a_batch_are_one_batch(tmp_path: Path) -> None:
    told: list[Progress] = []
    fit(network(), Line(), Plan(epochs=1, batch=64), tmp_path, report=told.append)
    assert [(progress.batch, progress.batches) for progress in told[:-1]] == [(1, 1)]


def test_the_rate_rises_holds_and_falls_to_nothing() -> None:
    plan = Plan(epochs=10, rate=0.1, warmup=1, cooling=0.5)
    assert 0 < rate_at(0, plan) < rate_at(0.5, plan) < rate_at(1, plan) == 0.1
    assert rate_at(3, plan) == rate_at(5, plan) == 0.1
    assert rate_at(7.5, plan) == pytest.approx(0.05)
    assert rate_at(10, plan) == 0


def test_a_longer_plan_changes_nothing_before_the_cooling() -> None:
    short, long = Plan(epochs=10), Plan(epochs=20)
    assert all(rate_at(epoch, short) == rate_at(epoch, long) for epoch in (0, 0.1, 0.7, 3, 5))


def test_resuming_where_nothing_is_says_so(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"last\.pt: there is no checkpoint to go on from"):
        fit(network(), Line(), PLAN, tmp_path, resume=True)


@pytest.mark.parametrize("content", [b"", b"no checkpoint"])
def test_a_broken_checkpoint_is_one_sentence(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "last.pt").write_bytes(content)
    with pytest.raises(DataError, match="cannot be read as a checkpoint"):
        fit(network(), Line(), PLAN, tmp_path, resume=True)


def test_another_networks_checkpoint_is_refused(tmp_path: Path) -> None:
    fit(network(), Line(), PLAN, tmp_path)
    with pytest.raises(DataError, match="of another network or recipe"):
        fit(nn.Sequential(nn.Linear(3, 1)), Line(), PLAN, tmp_path, resume=True)


def test_a_checkpoint_of_other_examples_is_refused(tmp_path: Path) -> None:
    fit(network(), Line(), PLAN, tmp_path)
    changed = Line()
    changed.data = "other points"
    with pytest.raises(DataError, match=r"last\.pt: the data changed since this checkpoint was made"):
        fit(network(), changed, PLAN, tmp_path, resume=True)


def test_a_full_disk_leaves_the_last_checkpoint_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fit(network(), Line(), PLAN, tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    (tmp_path / f".last.pt.{os.getpid()}.new").symlink_to("/dev/full")  # every write to it fails as on a full disk
    with pytest.raises(DataError, match=r"last\.pt: cannot be written .*; make room and go on with --resume"):
        fit(network(), Line(), Plan(epochs=6, batch=8), tmp_path, resume=True)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_the_time_spent_on_preparing_is_a_share_of_the_epoch(tmp_path: Path) -> None:
    log = fit(network(), Line(), PLAN, tmp_path)
    assert all(0 < row["preparing_share"] < 1 and row["pictures_per_second"] > 0 for row in log)


def course(*accuracies: float) -> list[dict[str, float]]:
    return [{"accuracy": accuracy} for accuracy in accuracies]


def test_a_plateau_cuts_the_rate_to_a_tenth_and_waits_again() -> None:
    plan = Plan(epochs=100, rate=1.0, schedule="plateau", warmup=0, plateau=2)
    logs = [course(0.5), course(0.5, 0.4, 0.5), course(0.5, 0.4, 0.4, 0.4), course(0.5, 0.4, 0.4, 0.6, 0.5, 0.5)]
    assert [rate_at(len(log), plan, log) for log in logs] == pytest.approx([1.0, 0.1, 0.1, 0.01])


def test_patience_ends_a_training_that_brings_nothing(tmp_path: Path) -> None:
    class Level(Line):
        def score(self, _: nn.Module, /) -> dict[str, float]:
            return {"accuracy": 0.5}

    assert epochs_without_gain(course()) == 0
    assert epochs_without_gain(course(0.2, 0.5, 0.4)) == 1
    assert not is_spent(Plan(epochs=9, patience=0), course(0.5, 0.4, 0.4))
    assert len(fit(network(), Level(), Plan(epochs=50, batch=8, patience=3), tmp_path)) == 4


def test_adam_learns_too(tmp_path: Path) -> None:
    before = Line().score(network().eval())["accuracy"]
    log = fit(network(), Line(), Plan(epochs=20, batch=8, method="adam", rate=0.01, average=0.9), tmp_path)
    assert log[-1]["accuracy"] > before / 4


def test_a_training_that_is_there_is_not_written_over(tmp_path: Path) -> None:
    fit(network(), Line(), PLAN, tmp_path)
    before = (tmp_path / "last.pt").read_bytes()
    with pytest.raises(DataError, match="holds a training already; go on with it by --resume, or name another folder"):
        fit(network(), Line(), PLAN, tmp_path)
    assert (tmp_path / "last.pt").read_bytes() == before


def test_a_training_that_loses_itself_stops_and_leaves_what_was_good(tmp_path: Path) -> None:
    with pytest.raises(Diverged, match="the loss is no number any more in epoch 1; lower the recipe's rate"):
        fit(network(), Line(), Plan(epochs=3, batch=8, rate=1e30), tmp_path)
    assert all(weight.isfinite().all() for weight in weights_in(tmp_path).values())


def test_a_folder_is_for_one_training_at_a_time(tmp_path: Path) -> None:
    with held(tmp_path), pytest.raises(DataError, match="another training is at work here"), held(tmp_path):
        pass
    with held(tmp_path):  # and free again afterwards
        assert tmp_path.is_dir()


def test_what_cannot_be_written_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("before")

    def fail(path: Path) -> None:
        path.write_text("half")
        raise OSError(28, "No space left on device")

    with pytest.raises(DataError, match=r"notes: cannot be written \(No space left on device\)"):
        write_whole(tmp_path / "notes", fail)
    assert [path.name for path in tmp_path.iterdir()] == ["notes"]
    assert (tmp_path / "notes").read_text() == "before"


@pytest.mark.parametrize(
    "wrong",
    [
        {"batch": 0},
        {"batch": 3.5},
        {"epochs": -1},
        {"epochs": True},
        {"rate": float("nan")},
        {"method": "sgdx"},
        {"seed": 2**64},
        {"average": 1.0},
        {"cooling": -1},
        {"schedule": "x"},
        {"momentum": 2},
    ],
)
def test_a_plan_that_makes_no_sense_names_its_field(wrong: dict[str, object]) -> None:
    (name,) = wrong
    with pytest.raises(ValueError, match=rf"{name} is .*, but must be (a|one of) "):
        Plan(**({"epochs": 1} | wrong))  # type: ignore[arg-type]
