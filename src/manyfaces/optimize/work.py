"""The whole of it: every form that was asked for, written, judged and measured; what is done is not done again.

`work.json` in the folder says of each form what it was made of. A form is done when that has not changed and its files
are still the same, so a run that was broken off goes on where it was.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import asdict, dataclass, field, replace
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from manyfaces.errors import InputError, MissingExtra, UsageError, WeightsError
from manyfaces.optimize import graph
from manyfaces.optimize.files import file_hash, write_whole
from manyfaces.optimize.hurt import MOST_TRIALS, Hurt, hurting, spared
from manyfaces.optimize.judge import Step, Truth, Verdict, ask, judge
from manyfaces.optimize.measure import Cost, measured_alone, task_for
from manyfaces.optimize.model import (
    Columns,
    Form,
    Format,
    Kept,
    Order,
    Original,
    Quantisation,
    Samples,
    Unsupported,
    Writer,
)
from manyfaces.optimize.onnx_writer import card_for
from manyfaces.optimize.runs import computes_in, onnxruntime, open_reference
from manyfaces.optimize.samples import Data, Part, Spread, batches_of
from manyfaces.optimize.writers import writer_of
from manyfaces.runtime import usable_cores

VERSION = 2
STATE = "work.json"
STEMS: Mapping[Quantisation, str] = {
    "none": "model",
    "weights": "model.weights",
    "weights4": "model.weights4",
    "dynamic": "model.dynamic",
    "static": "model.int8",
    "qat": "model.qat",
}
"""model.int8 is the name by which `tune` and `--precision int8` find the twin of a network."""

WORTH = 0.05
"""The share of time that a form must save to be taken instead of a float one: less is the noise of a machine."""

TRIED_ON = 256
"""Rows that single layers are judged on; every trial asks for all of them."""

LIBRARIES = ("onnxruntime", "openvino", "ai-edge-litert", "torch")


class Watch(Protocol):
    """Who is told what goes on: each stage with its number of steps, and sentences that stay."""

    def stage(self, what: str, total: int | None) -> AbstractContextManager[Step]: ...

    def say(self, sentence: str) -> None: ...


@dataclass(frozen=True, slots=True)
class Wanted:
    """What to make, and what may be lost: points of accuracy, or of agreement. `by`: items of the call whose time
    decides. seconds: how long each time is taken. steps: batches of quantisation-aware training. time_again: of forms
    that are done, too, since another program may have slowed the machine when they were measured."""

    formats: tuple[Format, ...] = ("onnx", "openvino")
    quantisations: tuple[Quantisation, ...] = ("none", "weights", "dynamic", "static")
    max_drop: float = 0.5
    by: int = 8
    seconds: float = 1.0
    steps: int = 600
    time_again: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A form that was made, how it does and what it costs, and what single layers do to it; or why there is none."""

    name: str
    form: Form | None = None
    verdict: Verdict | None = None
    cost: Cost | None = None
    hurt: tuple[Hurt, ...] = ()
    failed: str = ""


@dataclass(frozen=True, slots=True)
class Outcome:
    """All rows, the one to use and why; accuracy is the original's, NaN without labels."""

    rows: tuple[Row, ...]
    chosen: Row
    why: str
    accuracy: float
    judged: int
    calibrated: int


def optimise(original: Original, data: Data, wanted: Wanted, out: Path, watch: Watch) -> Outcome:
    """Make all forms in `out`. What a runtime cannot have is a row that says so."""
    writers = writers_for(wanted)
    _refuse_own_folder(original, out)
    if not (out / STATE).exists():  # says from now on whose the folder is
        write_whole(out / STATE, b"{}")
    desk = _Desk(original, data, wanted, out, watch)
    rows = tuple(row for writer in writers for row in desk.rows(writer))
    chosen, why = choose(rows, wanted)
    return Outcome(rows, chosen, why, desk.truth.accuracy, len(data.judged), _count(data.calibration))


def choose(rows: Sequence[Row], wanted: Wanted) -> tuple[Row, str]:
    """The fastest form within what may be lost; a float one where nothing saves enough time here."""
    within = [row for row in rows if row.cost and row.verdict and row.verdict.drop <= wanted.max_drop]
    floats = [row for row in within if row.form and row.form.quantisation == "none"]
    if not within:
        lost = "; ".join(f"{row.name} {row.verdict.drop:.2f}" for row in rows if row.verdict) or "none could be made"
        raise WeightsError(f"no form loses {wanted.max_drop} points or less ({lost}); allow more with --max-drop")

    def each(row: Row) -> float:
        return row.cost.each(wanted.by) if row.cost else math.inf

    fastest = min(within, key=each)
    if not floats or (fastest not in floats and each(fastest) < (1 - WORTH) * min(map(each, floats))):
        gain = f", {min(map(each, floats)) / each(fastest):.1f} times as fast as the fastest float" if floats else ""
        return fastest, f"the fastest that loses {wanted.max_drop} points or less{gain}"
    plain = min(floats, key=each)
    return plain, f"nothing quantised within {wanted.max_drop} points is faster than floats by {WORTH:.0%} here"


def writers_for(wanted: Wanted) -> tuple[Writer, ...]:
    """One for each format; what is not installed is said here, and not after half of the work."""
    if "onnx" in wanted.formats or {"static", "dynamic", "qat"} & set(wanted.quantisations):
        onnxruntime()
    if "qat" in wanted.quantisations and not find_spec("torch"):
        raise MissingExtra("quantisation-aware training", "train")
    return tuple(writer_of(format_) for format_ in wanted.formats)


def _count(samples: Samples) -> int:
    return len(samples) if isinstance(samples, Part | Spread) else 0


def _refuse_own_folder(original: Original, out: Path) -> None:
    """A network is not written over itself, nor over what somebody else has there."""
    if (out / STATE).exists():
        return
    others = sorted(path.name for kind in ("model.*", "report.*") for path in out.glob(kind))
    if others:
        raise UsageError(f"{out}: holds a {others[0]} that was not made here ({original.name}?); name another folder")


@dataclass(slots=True)
class _Desk:
    """What is known while one network is worked on."""

    original: Original
    data: Data
    wanted: Wanted
    out: Path
    watch: Watch
    _truth: Truth | None = None
    _learnt: Original | None = None
    _done: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._done = _read_state(self.out / STATE)

    @property
    def truth(self) -> Truth:
        if self._truth is None:
            with self.watch.stage("asking the original", batches_of(self.data.judged)) as step:
                self._truth = ask(self.original.run, self.data.judged, self.data.labels, step)
        return self._truth

    def rows(self, writer: Writer) -> Iterator[Row]:
        for quantisation in self.wanted.quantisations:
            if quantisation != "qat" and quantisation not in writer.quantisations:
                yield Row(f"{writer.format} {quantisation}", failed=f"{writer.format} has no {quantisation} form")
                continue
            yield from self._kept_or_made(writer, quantisation)

    def _kept_or_made(self, writer: Writer, quantisation: Quantisation) -> Iterator[Row]:
        key, name = self._key(writer.format, quantisation), f"{writer.format} {quantisation}"
        if known := _still_done(self._done.get(name), key, self.out):
            self.watch.say(f"{name}: done before")
            rows = [self._timed_again(row) for row in known] if self.wanted.time_again else known
            self._keep(name, key, rows)
            yield from rows
            return
        try:
            made = list(self._made(writer, quantisation))
        except Unsupported as error:
            yield Row(name, failed=str(error))
            return
        self._keep(name, key, made)
        yield from made

    def _made(self, writer: Writer, quantisation: Quantisation) -> Iterator[Row]:
        form, verdict, hurt = self._written(writer, quantisation)
        with self.watch.stage(f"measuring {form.name}", None):
            yield self._measured(form, verdict, hurt)
        if form.format == "openvino" and (other := computes_in(form.paths[0])) != "f32":
            quick = replace(form, computes=other)
            with self.watch.stage(f"measuring {quick.name}", None):
                yield self._measured(quick, judge(writer.open(quick, usable_cores()), self.truth), ())

    def _measured(self, form: Form, verdict: Verdict, hurt: tuple[Hurt, ...]) -> Row:
        limits = graph.limits(graph.parse(self.original.onnx, self.original.name))
        cost = measured_alone(task_for(form, self.original, limits, self.wanted.seconds))
        self._write_card(form, verdict, cost)
        return Row(form.name, form, verdict, cost, hurt)

    def _timed_again(self, row: Row) -> Row:
        if not (row.form and row.verdict):
            return row
        with self.watch.stage(f"measuring {row.name}", None):
            return self._measured(row.form, row.verdict, row.hurt)

    def _written(self, writer: Writer, quantisation: Quantisation) -> tuple[Form, Verdict, tuple[Hurt, ...]]:
        learns = quantisation == "qat"
        original = self._taught() if learns else self.original
        with self.watch.stage(f"{writer.format} {quantisation}", None) as step:
            samples = _Counting(self.data.calibration, step)
            order = Order("static" if learns else quantisation, self.out / STEMS[quantisation], samples)
            form = writer.write(original, order)
        with self.watch.stage(f"comparing {writer.format} {quantisation}", batches_of(self.data.judged)) as step:
            verdict = judge(writer.open(form, usable_cores()), self.truth, step)
        hurt: tuple[Hurt, ...] = ()
        if order.quantisation == "static" and writer.layers(original):
            hurt = self._hurting(writer, original, order)
            if verdict.drop > self.wanted.max_drop:
                form, verdict = spared(writer, original, order, self.truth, hurt, self.wanted.max_drop)
        return replace(form, quantisation=quantisation), verdict, hurt

    def _hurting(self, writer: Writer, original: Original, order: Order) -> tuple[Hurt, ...]:
        few = Part(self.data.judged, most=TRIED_ON)
        truth = ask(self.original.run, few, self.data.labels[: len(few)])
        total = min(len(writer.layers(original)), MOST_TRIALS)
        with self.watch.stage("finding layers that hurt", total) as step:
            return hurting(writer, original, order, truth, step)

    def _taught(self) -> Original:
        """Once for all formats, and kept for the next run, since it takes longer than all else."""
        if self._learnt is None:
            path = self.out / f"learnt-{self._key('onnx', 'qat')}.onnx"
            made = self._learnt_before(path) or self._learn(path)
            # Its answers are others than before, and a writer compares its file with them.
            self._learnt = replace(made, run=open_reference(made.onnx, made.outputs))
        return self._learnt

    def _learnt_before(self, path: Path) -> Original | None:
        if not path.is_file():
            return None
        return replace(self.original, onnx=path.read_bytes(), fingerprint=f"{self.original.fingerprint}-learnt")

    def _learn(self, path: Path) -> Original:
        from manyfaces.optimize.learn import Lessons, learnt

        lessons = Lessons(self.wanted.steps)
        with self.watch.stage("learning to be rounded", lessons.steps) as step:
            made = learnt(self.original, self.data.calibration, self.data.training, lessons, step)
        write_whole(path, made.onnx)
        return made

    def _write_card(self, form: Form, verdict: Verdict, cost: Cost) -> None:
        if self.original.card is None or form.format != "onnx":
            return
        path = form.paths[0]
        figures = {
            "agreement_with_float": round(verdict.agreement, 5),
            "largest_difference": round(verdict.largest, 5),
            f"ms_per_item_batch_{self.wanted.by}_onnxruntime": round(cost.each(self.wanted.by), 4),
        }
        if not math.isnan(verdict.accuracy):
            figures["accuracy"] = round(verdict.accuracy, 4)
        judged = f"judged on {len(self.data.judged)} rows of {self.data.origin}"
        said = f"Made by manyfaces optimize ({form.quantisation}), {judged}."
        kept = tuple(f"In float: {one.layer}, for {one.why}." for one in form.kept)
        write_card = card_for(self.original.card, form, file_hash(path), figures, (said, *kept))
        write_whole(path.with_suffix(".json"), _card_bytes(write_card))

    def _key(self, format_: Format, quantisation: Quantisation) -> str:
        wanted = self.wanted
        made_of = [VERSION, self.original.fingerprint, self.data.fingerprint, format_, quantisation]
        made_of += [wanted.max_drop, wanted.steps if quantisation == "qat" else 0]
        made_of += [_version(name) for name in LIBRARIES]
        return hashlib.sha256(json.dumps(made_of).encode()).hexdigest()[:24]

    def _keep(self, name: str, key: str, rows: Sequence[Row]) -> None:
        self._done[name] = {"key": key, "rows": [row_as_dict(row) for row in rows], "files": _hashes(rows)}
        write_whole(self.out / STATE, json.dumps(self._done, indent=1).encode())


@dataclass(frozen=True, slots=True, eq=False)
class _Counting:
    """Samples that tell of every batch that is taken from them."""

    samples: Samples
    step: Callable[[], None]

    def __iter__(self) -> Iterator[Columns]:
        for batch in self.samples:
            for name, column in batch.items():
                if not np.isfinite(column).all():
                    raise InputError(f"the data to calibrate with hold NaN or infinity as {name!r}; mend them first")
            yield batch
            self.step()


def versions() -> dict[str, str]:
    """Of the libraries that make and run forms, as far as they are installed."""
    return {name: version for name in LIBRARIES if (version := _version(name))}


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return ""


def _card_bytes(card: Any) -> bytes:
    return (json.dumps(asdict(card), indent=2, ensure_ascii=False) + "\n").encode()


# --- what is done ----------------------------------------------------------------------------------------------------


def _read_state(path: Path) -> dict[str, Any]:
    """A state that cannot be read only means that all is done again."""
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _still_done(known: Any, key: str, out: Path) -> list[Row]:
    try:
        if known["key"] != key or any(file_hash(out / name) != digest for name, digest in known["files"].items()):
            return []
        return [row_of(fields, out) for fields in known["rows"]]
    except (OSError, KeyError, TypeError, ValueError, AttributeError):
        return []


def _hashes(rows: Sequence[Row]) -> dict[str, str]:
    paths = {path for row in rows if row.form for path in row.form.paths}
    return {path.name: file_hash(path) for path in sorted(paths)}


def row_as_dict(row: Row) -> dict[str, Any]:
    """Plain values; the form's files by their names."""
    fields: dict[str, Any] = {"name": row.name, "failed": row.failed}
    if row.form and row.verdict and row.cost:
        fields["form"] = asdict(row.form) | {"paths": [path.name for path in row.form.paths], "size": row.form.size}
        fields["verdict"] = {name: None if value != value else value for name, value in asdict(row.verdict).items()}
        fields["cost"] = row.cost.as_dict()
        fields["hurt"] = [asdict(one) for one in row.hurt]
    return fields


def row_of(fields: Mapping[str, Any], out: Path) -> Row:
    if "form" not in fields:
        return Row(fields["name"], failed=fields["failed"])
    form = {name: value for name, value in fields["form"].items() if name != "size"}
    form["paths"] = tuple(out / name for name in form["paths"])
    form["kept"] = tuple(Kept(**one) for one in form["kept"])
    verdict: dict[str, Any] = {name: math.nan if value is None else value for name, value in fields["verdict"].items()}
    hurt = tuple(Hurt(tuple(one["layers"]), one["relative"], one["drop"]) for one in fields["hurt"])
    return Row(fields["name"], Form(**form), Verdict(**verdict), Cost.parse(fields["cost"]), hurt)
