"""Figures for TensorBoard: every epoch once, whatever was resumed or begun anew; training goes on without them."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

pytest.importorskip("tensorboard", reason="the journal needs the extra manyfaces[train]")

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.summary.writer import event_file_writer

from manyfaces.train.data import DataError
from manyfaces.train.fit import Progress, silent
from manyfaces.train.journal import FOLDER, Journal, can_journal


@pytest.fixture(autouse=True)
def first_writer_of_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """TensorBoard reads the files of one second in the order of their names, in which its tenth writer comes before its
    ninth. Trainings are longer than a second, these tests are not."""
    monkeypatch.setattr(event_file_writer, "_global_uid", event_file_writer.AtomicCounter(0))


def told(epoch: int, **figures: float) -> Progress:
    return Progress(epoch, 9, 0, 0, {"epoch": float(epoch), **figures})


def keep(out: Path, epochs: Sequence[int], accuracy: float = 0.5) -> None:
    with Journal(out, silent) as journal:
        for epoch in epochs:
            journal(told(epoch, accuracy=accuracy, loss=1 / epoch))


def shown(out: Path, name: str = "accuracy") -> list[tuple[int, float]]:
    """What TensorBoard shows of a run."""
    events = EventAccumulator(str(out / FOLDER))
    events.Reload()
    return [(event.step, pytest.approx(event.value)) for event in events.Scalars(name)]


def test_every_epoch_is_shown_with_all_its_figures(tmp_path: Path) -> None:
    keep(tmp_path, [1, 2, 4])
    assert shown(tmp_path) == [(1, 0.5), (2, 0.5), (4, 0.5)]
    assert shown(tmp_path, "loss") == [(1, 1.0), (2, 0.5), (4, 0.25)]


def test_a_resumed_run_goes_on(tmp_path: Path) -> None:
    keep(tmp_path, [1, 2])
    keep(tmp_path, [3, 4], 0.75)
    assert shown(tmp_path) == [(1, 0.5), (2, 0.5), (3, 0.75), (4, 0.75)]


@pytest.mark.parametrize("again", [1, 2, 3])
def test_epochs_that_are_trained_again_are_shown_once(tmp_path: Path, again: int) -> None:
    keep(tmp_path, [1, 2, 3])
    keep(tmp_path, range(again, 4), 0.75)
    assert shown(tmp_path) == [(epoch, 0.5 if epoch < again else 0.75) for epoch in (1, 2, 3)]


def test_everything_is_passed_on_and_batches_leave_no_file(tmp_path: Path) -> None:
    heard: list[Progress] = []
    batch = Progress(0, 9, 1, 20)
    with Journal(tmp_path, heard.append) as journal:
        journal(batch)
        assert not (tmp_path / FOLDER).exists()
        journal(told(1, accuracy=0.5))
    assert heard == [batch, told(1, accuracy=0.5)]


def test_what_was_told_is_kept_when_training_is_stopped(tmp_path: Path) -> None:
    def stop(progress: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt), Journal(tmp_path, stop) as journal:
        journal(told(1, accuracy=0.5))
    assert shown(tmp_path) == [(1, 0.5)]


def test_without_tensorboard_training_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboard", None)
    heard: list[Progress] = []
    with Journal(tmp_path, heard.append) as journal:
        journal(told(1, accuracy=0.5))
    assert not can_journal()
    assert (heard, list(tmp_path.iterdir())) == ([told(1, accuracy=0.5)], [])


def test_a_folder_that_cannot_be_written_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / FOLDER).write_text("a file stands here")
    with pytest.raises(DataError, match="tensorboard: cannot be written"), Journal(tmp_path, print) as journal:
        journal(told(1, accuracy=0.5))
