"""The figures of a training as TensorBoard reads them, beside `log.csv`: `tensorboard --logdir RUN`.

An epoch is a step. Whoever trains the same epochs again, in a resumed run or in one begun anew in the same folder,
declares what was written of them before to be void, so no step is ever shown twice.
"""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from manyfaces.train.data import DataError

if TYPE_CHECKING:
    from torch.utils.tensorboard import SummaryWriter

    from manyfaces.train.fit import Progress

FOLDER = "tensorboard"
MISSING = "tensorboard is not installed, so there is only log.csv; it comes with the train extra"


def can_journal() -> bool:
    """Whether TensorBoard's package is there; training goes on without it."""
    return find_spec("tensorboard") is not None


class Journal:
    """A `Report` that keeps the figures of every epoch in `out/tensorboard` and passes on what it hears.

    A context manager: what was told is on disk when the block is left, however it is left.
    """

    def __init__(self, out: Path, report: Callable[[Progress], None]) -> None:
        self._folder = out / FOLDER
        self._report = report
        self._writer: SummaryWriter | None = None

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        if self._writer:
            self._writer.close()

    def __call__(self, progress: Progress, /) -> None:
        if progress.figures and can_journal():
            self._keep(progress)
        self._report(progress)

    def _keep(self, progress: Progress) -> None:
        try:
            # Opened only now, since only now it is known which epoch is the first to be told.
            self._writer = self._writer or _opened(self._folder, progress.epoch)
            for name, value in progress.figures.items():
                if name != "epoch":
                    self._writer.add_scalar(name, value, progress.epoch)
            self._writer.flush()
        except OSError as error:
            raise DataError(f"{self._folder}: cannot be written ({error}); make room and go on with --resume") from None


def _opened(folder: Path, step: int) -> SummaryWriter:
    from torch.utils.tensorboard import SummaryWriter

    return SummaryWriter(str(folder), purge_step=step)
