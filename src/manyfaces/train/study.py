"""The study of a search: where it lies, what it holds, and in which order it draws.

Optuna keeps it, in a file or on a server that several machines search with. A trial's figures and its reason are user
attributes, since Optuna's own reports know one objective only.
"""

from __future__ import annotations

import dataclasses
import logging
import math
import sqlite3
import time
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import sqlalchemy
from optuna.trial import FrozenTrial, TrialState

from manyfaces.errors import InputError

NAME = "manyfaces search emotion"
STATES = {
    TrialState.COMPLETE: "complete",
    TrialState.PRUNED: "pruned",
    TrialState.FAIL: "failed",
    TrialState.RUNNING: "running",
    TrialState.WAITING: "waiting",
}
ALIVE_EVERY, DEAD_AFTER = 30, 150
"""Seconds: a searching machine says so often that it lives, and a trial whose machine was silent for so long is begun
again by another."""


@dataclass(frozen=True, slots=True)
class Record:
    """All that is known of one trial. With its recipe it can be trained again."""

    number: int
    state: str
    reason: str = ""
    design: Mapping[str, Any] = field(default_factory=dict)
    design_hash: str = ""
    recipe: Mapping[str, Any] = field(default_factory=dict)
    seed: int | None = None
    accuracies: tuple[float, ...] = ()
    milliseconds: float | None = None
    parameters: int | None = None
    versions: Mapping[str, str] = field(default_factory=dict)
    processor: str = ""

    @property
    def was_tried(self) -> bool:
        """Whether there is an answer, so that the same design need not be asked again."""
        return self.state in ("complete", "pruned", "failed")

    @property
    def accuracy(self) -> float:
        """Of the best epoch."""
        return max(self.accuracies, default=math.nan)

    def as_dict(self) -> dict[str, Any]:
        best = self.accuracy if self.accuracies else None
        return dataclasses.asdict(self) | {"epochs": len(self.accuracies), "accuracy": best}


def records(address: str) -> list[Record]:
    """Every trial of a study, of whichever machine."""
    with opened(address) as study:
        return [record(one) for one in study.get_trials(deepcopy=False)]


def record(trial: FrozenTrial) -> Record:
    known = trial.user_attrs
    was_interrupted = trial.state == TrialState.FAIL and "reason" not in known
    return Record(
        number=trial.number,
        state="interrupted" if was_interrupted else STATES[trial.state],
        reason=known.get("reason", ""),
        design=known.get("design", {}),
        design_hash=known.get("design_hash", ""),
        recipe=known.get("recipe", {}),
        seed=known.get("seed"),
        accuracies=tuple(known.get("accuracies", ())),
        milliseconds=known.get("milliseconds"),
        parameters=known.get("parameters"),
        versions=known.get("versions", {}),
        processor=known.get("processor", ""),
    )


def front(found: Iterable[Record]) -> list[Record]:
    """The completed trials that no other beats in both, the quickest first. Of equals the first stays."""
    best = -math.inf
    standing = []
    for one in sorted(completed(found), key=lambda one: (one.milliseconds, -one.accuracy, one.number)):
        if one.accuracy > best:
            standing.append(one)
            best = one.accuracy
    return standing


def completed(found: Iterable[Record]) -> list[Record]:
    return [one for one in found if one.state == "complete"]


# --- in which order it draws ------------------------------------------------------------------------------------------


class Numbered(optuna.samplers.BaseSampler):
    """Draws every trial with a seed of its own number: a search that goes on does not repeat what it drew, and neither
    do several machines."""

    def __init__(self, made: Callable[[int], optuna.samplers.BaseSampler], seed: int) -> None:
        self._made, self._seed = made, seed
        self._inner = made(seed)

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        self._inner = self._made(int(np.random.SeedSequence([self._seed, trial.number]).generate_state(1)[0]))
        self._inner.before_trial(study, trial)

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, Any]) -> dict[str, Any]:
        return self._inner.sample_relative(study, trial, search_space)

    def sample_independent(
        self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: Any
    ) -> Any:
        return self._inner.sample_independent(study, trial, param_name, param_distribution)


def sampler(is_random: bool, seed: int) -> optuna.samplers.BaseSampler:
    """`constant_liar`: what another machine is trying now counts as tried."""

    def learning(own: int) -> optuna.samplers.BaseSampler:
        with experiments():
            return optuna.samplers.TPESampler(seed=own, constant_liar=True)

    return Numbered((lambda own: optuna.samplers.RandomSampler(seed=own)) if is_random else learning, seed)


# --- where it lies ----------------------------------------------------------------------------------------------------


@contextmanager
def opened(address: str) -> Iterator[optuna.Study]:
    """The study in a file, or behind an address that SQLAlchemy knows; made where there is none."""
    url, where = _url(address), shown(address)
    with _explained(where, REFUSED):
        path = file_of(address)
        if path:
            _refuse_foreign(path)
        storage = _storage(url)
    try:
        with _silent():
            with _explained(where, REFUSED):
                study = optuna.create_study(
                    storage=storage, study_name=NAME, directions=["maximize", "minimize"], load_if_exists=True
                )
            with _explained(where, LOST):
                yield study
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _url(address: str) -> sqlalchemy.URL:
    if "://" not in address:
        return sqlalchemy.URL.create("sqlite", database=str(Path(address).resolve()))
    try:
        return sqlalchemy.make_url(address)
    except (sqlalchemy.exc.ArgumentError, ValueError):
        raise InputError(
            "--study: this address cannot be understood; give a file, or such as postgresql://user@host/database"
        ) from None


def shown(address: str) -> str:
    """The address as it may be shown: without its password."""
    return _url(address).render_as_string(hide_password=True) if "://" in address else address


def file_of(address: str) -> Path | None:
    """The file that holds the study, where it is one."""
    url = _url(address)
    if not (url.drivername.startswith("sqlite") and url.database and url.database != ":memory:"):
        return None
    path = Path(url.database)
    if path.is_dir():
        raise InputError(f"{address}: this is a folder; name a file in it, such as {Path(address) / 'search.db'}")
    return path


AT_ONCE = ("already exists", "UNIQUE constraint", "uplicate")
"""What a database says where two programs make its tables in the same moment; the second finds them made."""


def _storage(url: sqlalchemy.URL, attempts: int = 5) -> optuna.storages.RDBStorage:
    # Several programs may write to one file: they wait for each other.
    patience = {"connect_args": {"timeout": 60}} if url.drivername.startswith("sqlite") else {"pool_pre_ping": True}
    try:
        with _silent(), experiments():
            return optuna.storages.RDBStorage(
                url.render_as_string(hide_password=False),
                engine_kwargs=patience,
                heartbeat_interval=ALIVE_EVERY,
                grace_period=DEAD_AFTER,
            )
    except sqlalchemy.exc.DatabaseError as error:
        if not attempts or not any(sign in str(error) for sign in AT_ONCE):
            raise
    time.sleep(0.5)
    return _storage(url, attempts - 1)


def _refuse_foreign(path: Path) -> None:
    """Optuna would add its tables to whatever database it is given: to a gallery of people too."""
    if not path.exists():
        _make_folder(path)
        return
    with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as database:
        tables = {name for (name,) in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
    if tables and "studies" not in tables:
        raise InputError(f"{path}: is a database of something else; name another file for the study")


def _make_folder(path: Path) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(
            f"{path}: the folder {path.parent} cannot be made ({error.strerror}); name a place that can be written"
        ) from None


LOST = (sqlalchemy.exc.SQLAlchemyError, optuna.exceptions.StorageInternalError)
REFUSED = (*LOST, sqlite3.DatabaseError, optuna.exceptions.OptunaError, ImportError, RuntimeError, ValueError)


@contextmanager
def _explained(where: str, errors: tuple[type[Exception], ...]) -> Iterator[None]:
    """What Optuna and the database say of an address, as one sentence that holds no password."""
    try:
        yield
    except errors as error:
        raise InputError(f"{where}: {_why(error)}") from None


def _why(error: Exception) -> str:
    if isinstance(error, ImportError):
        missing = getattr(error.__cause__, "name", None) or error.name or "of this database"
        return f"needs the Python package {missing} to be reached; install it"
    if isinstance(error, sqlalchemy.exc.NoSuchModuleError):
        return "this kind of database is not known; use sqlite, postgresql or mysql"
    cause = getattr(error, "orig", None) or getattr(error.__cause__, "orig", None) or error
    said = (str(cause).strip().splitlines() or [type(cause).__name__])[0]
    return f"cannot be used as a study ({said[:200]}); give the file or the address of one that can be reached"


@contextmanager
def _silent() -> Iterator[None]:
    """Optuna reports every trial; so do we, in our own words."""
    level = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(logging.CRITICAL)
    try:
        yield
    finally:
        optuna.logging.set_verbosity(level)


@contextmanager
def experiments() -> Iterator[None]:
    """Optuna warns of parts whose names may change; those that are used here have stood since version 2.9."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        yield
