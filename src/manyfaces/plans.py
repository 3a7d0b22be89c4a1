"""What `manyfaces tune` found out about this machine, kept in the user's cache and used from then on.

One file per processor and versions: another processor, or another version of a library, has a plan of its own or none.
A plan only says how to compute, never what: whoever chose a runtime or a precision gets that, and a file that cannot be
used is passed over. See docs/decisions/0011-tuning.md.
"""

from __future__ import annotations

import errno
import hashlib
import json
import os
import platform
import stat
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import datetime
from importlib import metadata
from pathlib import Path
from typing import Any, get_args

from manyfaces.card import ModelCard, Task
from manyfaces.errors import OutputError
from manyfaces.options import Options, cache_folder
from manyfaces.runtime import BACKENDS, BATCH, MOST_THREADS, PRECISIONS, usable_cores

FORMAT = 1

TAKES = 110
"""Seconds that tuning takes on two cores, to be told before it is begun."""

LIBRARIES = ("manyfaces", "openvino", "onnxruntime")
MOST, MOST_WORKERS = 1024, 64
"""Of faces, pictures or a batch, and of workers or callers; a file that asks for more is broken."""

MOST_NAME, MOST_BYTES = 200, 2**20
"""Letters of a name in it, and bytes of the file; a plan has some ten thousand."""


@dataclass(frozen=True, slots=True)
class Machine:
    """All that a plan depends on. `features` stands for the processor's instructions, for different rented machines go
    by one name."""

    processor: str
    features: str
    cores: int
    versions: Mapping[str, str]

    @property
    def key(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Way:
    """How one network is run. `weights` names those that were measured, `quantised` the int8 twin where that is run,
    `batch` the most faces of one call."""

    weights: str
    backend: str = "openvino"
    precision: str = "auto"
    batch: int = BATCH
    quantised: str = ""


@dataclass(frozen=True, slots=True)
class Spending:
    """How an engine spends the cores: `workers`, `faces` and `pictures` as in its `Plan`, `callers` and `threads` as in
    the networks' `Runtime`."""

    workers: int = 2
    callers: int = 2
    threads: int = 0
    faces: int = 32
    pictures: int = 1


@dataclass(frozen=True, slots=True)
class Row:
    """One thing that was measured: the choices that make it, medians, and time against that of the default."""

    part: str
    choice: Mapping[str, str | int]
    milliseconds: Mapping[str, float]
    ratio: float
    deviation: Mapping[str, float]
    allowed: bool
    chosen: bool = False


@dataclass(frozen=True, slots=True)
class TunedPlan:
    """What to do on this machine; empty, it is what everybody does untuned. `speedup`: untuned time over tuned time."""

    ways: Mapping[str, Way] = field(default_factory=dict)
    spending: Spending = Spending()
    made: str = ""
    speedup: float = 1.0
    measured: tuple[Row, ...] = ()


UNTUNED = TunedPlan()


@dataclass(frozen=True, slots=True)
class Kept:
    """What lies in the cache: the plan to use, where its file is or would be, and a sentence where it is of no use."""

    plan: TunedPlan
    path: Path
    warning: str = ""

    @property
    def is_tuned(self) -> bool:
        return self.plan is not UNTUNED


def way_for(options: Options, card: ModelCard, tuned: TunedPlan) -> Way:
    """What the user chose, else what was measured with these very weights, else the default. A chosen precision is not
    for a plan to touch: f32 means the same figures, so also the same library, on every machine."""
    measured = tuned.ways.get(card.task)
    free = options.precision == "auto" and measured and options.runtime in ("auto", measured.backend)
    if measured and free and measured.weights == card.identifier:
        return measured
    return Way(card.identifier, BACKENDS[0] if options.runtime == "auto" else options.runtime, options.precision)


# --- the machine -----------------------------------------------------------------------------------------------------


def this_machine() -> Machine:
    processor, features = _processor()
    return Machine(processor, features, usable_cores(), {name: _version(name) for name in LIBRARIES})


def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ""


def _processor() -> tuple[str, str]:
    """The first processor's name, and a short digest of the instructions it has."""
    said: dict[str, str] = {}
    try:
        with Path("/proc/cpuinfo").open(encoding="utf-8", errors="replace") as lines:
            for line in iter(lines.readline, "\n"):
                name, _, value = line.partition(":")
                said[name.strip()] = value.strip()
                if not line:
                    break
    except OSError:
        pass  # not Linux: the name alone must do
    name = said.get("model name") or platform.processor() or platform.machine()
    return name, hashlib.sha256(said.get("flags", said.get("Features", "")).encode()).hexdigest()[:8]


# --- the file --------------------------------------------------------------------------------------------------------


def plans_folder() -> Path:
    return cache_folder() / "plans"


def plan_path(machine: Machine) -> Path:
    return plans_folder() / f"{machine.key}.json"


def kept() -> Kept:
    """The plan of this machine. Never raises: without one that can be used, everything runs untuned."""
    machine = this_machine()
    path = plan_path(machine)
    try:
        return Kept(parse(json.loads(_content(path)), machine), path)
    except FileNotFoundError:
        return Kept(UNTUNED, path)
    except OSError as error:
        return Kept(UNTUNED, path, f"{path}: the plan cannot be read ({error.strerror}); run  manyfaces tune  again")
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = _printable(f"{type(error).__name__}: {error}")[:120]
        return Kept(UNTUNED, path, f"{path}: this is no plan of this machine ({reason}); run  manyfaces tune  again")


def _content(path: Path) -> bytes:
    """What else lies in the place of a plan, such as a pipe or a device that never ends, is not opened."""
    found = path.stat()
    if not stat.S_ISREG(found.st_mode):
        raise OSError(errno.EINVAL, "it is no plain file")
    if found.st_size > MOST_BYTES:
        raise OSError(errno.EFBIG, f"it has {found.st_size:,} bytes, far more than a plan")
    return path.read_bytes()


def _printable(text: str) -> str:
    return "".join(letter if letter.isprintable() else "?" for letter in text)


def refuse_unkeepable(machine: Machine) -> None:
    """Says before minutes of measuring what `keep` would say after them: a file is made there and taken away again."""
    with _keeping(plan_path(machine)) as unfinished:
        unfinished.touch()


def keep(plan: TunedPlan, machine: Machine) -> Path:
    """Written beside its place and moved there whole, so that nobody ever reads half a plan."""
    path = plan_path(machine)
    content = json.dumps(as_dict(plan, machine), indent=1, ensure_ascii=False) + "\n"
    with _keeping(path) as unfinished:
        unfinished.write_text(content, encoding="utf-8")
        unfinished.replace(path)
    return path


@contextmanager
def _keeping(path: Path) -> Iterator[Path]:
    """A file beside a plan's place, gone afterwards."""
    unfinished = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "a folder is in its place")
        try:
            yield unfinished
        finally:
            unfinished.unlink(missing_ok=True)
    except OSError as error:
        raise OutputError(f"{path}: the plan cannot be kept ({error.strerror}); set XDG_CACHE_HOME elsewhere") from None


def forget() -> bool:
    """Remove the plan of this machine; whether there was one."""
    path = plan_path(this_machine())
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    except OSError as error:
        raise OutputError(f"{path}: the plan cannot be removed ({error.strerror}); remove it by hand") from None
    return True


def as_dict(plan: TunedPlan, machine: Machine) -> dict[str, Any]:
    return {"format": FORMAT, "machine": asdict(machine), **asdict(plan)}


def parse(found: dict[str, Any], machine: Machine) -> TunedPlan:
    """A plan from its file. Raises ValueError, TypeError or KeyError for anything that is none for this machine."""
    if found["format"] != FORMAT:
        raise ValueError(f"format {found['format']!r}, not {FORMAT}")
    if found["machine"] != asdict(machine):
        raise ValueError("it was made on another machine or with other versions")
    if not found["ways"].keys() <= set(get_args(Task)):
        raise ValueError(f"unknown tasks among {', '.join(map(repr, found['ways']))}")
    datetime.fromisoformat(found["made"])
    return TunedPlan(
        ways={task: _way(fields) for task, fields in found["ways"].items()},
        spending=_spending(found["spending"]),
        made=found["made"],
        speedup=_positive("speedup", found["speedup"]),
        measured=tuple(_row(fields) for fields in found["measured"]),
    )


def _way(fields: dict[str, Any]) -> Way:
    way = Way(**fields)
    if way.backend not in BACKENDS or way.precision not in PRECISIONS:
        raise ValueError(f"unknown runtime {way.backend!r} or precision {way.precision!r}")
    _expect_names(way.weights, way.quantised)
    _expect("batch", way.batch, 1, MOST)
    return way


def _spending(fields: dict[str, Any]) -> Spending:
    spending = Spending(**fields)
    bounds = {"workers": (1, MOST_WORKERS), "callers": (1, MOST_WORKERS), "threads": (0, MOST_THREADS)}
    for name, value in asdict(spending).items():
        _expect(name, value, *bounds.get(name, (1, MOST)))
    return spending


def _row(fields: dict[str, Any]) -> Row:
    """A deviation may be not a number: that is how answers look that are far off."""
    row = Row(**fields)
    said = [value for value in row.choice.values() if type(value) is not int]
    _expect_names(row.part, *row.choice, *said, *row.milliseconds, *row.deviation)
    for name, value in {**row.milliseconds, "ratio": row.ratio}.items():
        _positive(name, value)
    if not all(type(value) in (int, float) for value in row.deviation.values()):
        raise ValueError(f"deviation {row.deviation!r}: expected numbers")
    if not (type(row.allowed) is bool and type(row.chosen) is bool):
        raise ValueError(f"allowed {row.allowed!r}, chosen {row.chosen!r}: expected true or false")
    return row


def _expect(name: str, value: Any, least: int, most: int) -> None:
    if type(value) is not int or not least <= value <= most:
        raise ValueError(f"{name} {value!r}: expected {least} to {most}")


def _positive(name: str, value: Any) -> float:
    if type(value) not in (int, float) or not 0 < value < sys.float_info.max:
        raise ValueError(f"{name} {value!r}: expected a number above 0")
    return float(value)


def _expect_names(*names: Any) -> None:
    """They are shown on terminals: no control characters, and none that mean colours there."""
    for name in names:
        if not (isinstance(name, str) and len(name) <= MOST_NAME and name.isprintable() and "[" not in name):
            raise ValueError(f"{name!r} is no name")
