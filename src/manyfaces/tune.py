"""Measures this machine: which library, precision, batch and division of the cores is fastest without changing what is
said.

Drawn people are the samples, so that no file of the user's is needed. Everything that is compared is measured in turns,
round after round, and judged by its time against the default's in the same round: other programs on the machine slow
both. See docs/decisions/0011-tuning.md.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from datetime import datetime, timezone
from functools import partial
from statistics import median
from typing import Any

import numpy as np

from manyfaces.align import align
from manyfaces.build import build_stages, engine_plan, nobody, quantised, run_as
from manyfaces.cartoon import crowd_frames
from manyfaces.detect.yunet import Wanted, YuNet
from manyfaces.engine import Engine
from manyfaces.errors import InputError, MissingExtra, WeightsError
from manyfaces.geometry import iou
from manyfaces.heads.emotion import EmotionHead
from manyfaces.heads.identity import IdentityHead
from manyfaces.options import Options
from manyfaces.pipeline import Stages
from manyfaces.plans import MOST_WORKERS, UNTUNED, Row, Spending, TunedPlan, Way
from manyfaces.runtime import BATCH, OWN_AFTER, Network, Runtime, installed_libraries, usable_cores
from manyfaces.types import Crops, Detections, Floats, Frame, Pixels
from manyfaces.weights import Weights, load

WORTH = 0.05
"""The share of time that a choice must save to be taken instead of the default: less is the noise of a busy machine."""

LEAST_COSINE = 0.999
"""Of each face's vector with its f32 vector. A similarity of two faces then moves by about 0.006, since such errors
have no common direction (0.09 if they did), where thresholds stand near 0.4. bf16 keeps 0.9999."""

EMOTION_MEAN, EMOTION_MOST = 0.02, 0.1
"""How far probabilities may move, on average and for one face: the likeliest expression changes only where two were
about equally likely."""

SCORE = 0.03
"""How far a detection score may move. A face this close to the threshold may come or go."""

SAME_PLACE = 0.8
"""Intersection over union of one face's box in both: landmarks, and so crops, would wander with less."""

THRESHOLD = Wanted().threshold
DETECTION_SIZES = ((1280, 736), (1920, 1088))
BATCHES = (BATCH, 8, 32)
MOST_ROUNDS = 40

Step = Callable[[], None]
Work = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Scope:
    """How thoroughly to measure. `seconds`: what one comparison may take. It goes on for `rounds`, for fewer where that
    takes too long, but 3, and for up to `MOST_ROUNDS` where they take less than `least_seconds` together.
    clips: people and frames of the films that the whole engine is measured with, the first in 720p, the second in
    1080p; long enough that their beginning and end, when some cores have nothing to do, count little. warm_up: calls
    after which a network is in its stride. faces: that the heads are timed with; an engine hands them 32 at once.
    divisions: of the cores that are tried at most."""

    rounds: int = 5
    seconds: float = 14.0
    least_seconds: float = 3.0
    clips: tuple[tuple[int, int], tuple[int, int]] = ((16, 24), (36, 10))
    warm_up: int = OWN_AFTER + 2
    faces: int = 32
    divisions: int = 16


QUICK = Scope(rounds=1, seconds=5.0, least_seconds=0, clips=((2, 2), (4, 1)), warm_up=1, faces=4, divisions=2)
"""To try the command out. What it chooses is worth little."""


@dataclass(frozen=True, slots=True)
class Deviation:
    """How far answers lie from those of f32, and whether that is near enough."""

    within: bool = True
    figures: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """What is measured with: the films, all pictures with faces, and the faces of those as each head wants them."""

    clips: tuple[list[Frame], ...]
    pictures: list[Pixels]
    crops: Mapping[str, Pixels]


@dataclass(frozen=True, slots=True, eq=False)
class Subject:
    """A network to be measured: calls that are timed, with batches of a size where it is a head; what it says of the
    samples; and how that is compared."""

    weights: Weights
    works: Callable[[Network, int], Mapping[str, Work]]
    answer: Callable[[Network], Any]
    compare: Callable[[Any, Any], Deviation]
    warm_up: int = 2


def tune(scope: Scope, pictures: Sequence[Pixels] = (), step: Step = lambda: None) -> TunedPlan:
    """Measure everything and put together what is best. `pictures` are more to check the answers on."""
    weights = {name: load(name) for name in ("yunet", "sface", "emotion")}
    samples = make_samples(scope, weights, pictures)
    ways: dict[str, Way] = {}
    rows: list[Row] = []
    for subject in subjects(samples, weights, scope):
        way, measured = tune_network(subject, scope, step)
        ways[way_task(subject)] = way
        rows += measured
    usual_is_right = all(row.allowed for row in rows if row.choice == DEFAULT)
    plan, measured = tune_engine(ways, samples.clips, scope, step, usual_is_right)
    made = datetime.now(timezone.utc).isoformat(timespec="seconds")
    return replace(plan, made=made, measured=(*rows, *measured))


def way_task(subject: Subject) -> str:
    return subject.weights.card.task


# --- measuring and choosing ------------------------------------------------------------------------------------------


def interleaved(works: Sequence[Mapping[str, Work]], scope: Scope, step: Step) -> list[dict[str, list[float]]]:
    """Seconds of every work of every candidate, round by round. Each round runs all, every other one backwards."""
    took: list[dict[str, list[float]]] = [{name: [] for name in candidate} for candidate in works]
    begun = time.monotonic()
    for number in range(max(scope.rounds, MOST_ROUNDS)):
        if number >= min(scope.rounds, 3) and _is_enough(number, time.monotonic() - begun, scope):
            break
        order = range(len(works)) if number % 2 == 0 else reversed(range(len(works)))
        for which in order:
            for name, work in works[which].items():
                took[which][name].append(_seconds(work))
            if number < scope.rounds:
                step()
    return took


def _is_enough(rounds: int, seconds: float, scope: Scope) -> bool:
    return seconds > scope.seconds or (rounds >= scope.rounds and seconds >= scope.least_seconds)


def _seconds(work: Work) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def ratio(took: Mapping[str, list[float]], default: Mapping[str, list[float]]) -> float:
    """The median over the rounds of this candidate's time against the default's, all works together."""
    ours, theirs = (np.sum(list(times.values()), axis=0) for times in (took, default))
    return float(np.median(ours / theirs))


def best(rows: Sequence[Row]) -> int:
    """Which to choose; the first is the default. It stays unless it is not allowed or another saves more than `WORTH`.
    One that is not allowed is never chosen."""
    allowed = [number for number, row in enumerate(rows) if row.allowed]
    if not allowed:
        raise WeightsError(f"{rows[0].part}: no way of running it gives usable answers; run  manyfaces models check")
    fastest = min(allowed, key=lambda number: rows[number].ratio)
    worth_it = rows[fastest].ratio < 1 - WORTH
    return fastest if worth_it or not rows[0].allowed else 0


def rows_of(
    part: str,
    choices: Sequence[Mapping[str, str | int]],
    took: Sequence[Mapping[str, list[float]]],
    deviations: Sequence[Deviation],
    per: Mapping[str, int] | None = None,
) -> list[Row]:
    """What was measured of one part, the chosen one marked. `per`: how many items each work has handled."""
    rows = []
    for choice, times, deviation in zip(choices, took, deviations, strict=True):
        each = {name: 1000 * median(rounds) / (per or {}).get(name, 1) for name, rounds in times.items()}
        rows.append(Row(part, choice, each, ratio(times, took[0]), deviation.figures, deviation.within))
    chosen = best(rows)
    return [replace(row, chosen=number == chosen) for number, row in enumerate(rows)]


# --- one network -----------------------------------------------------------------------------------------------------


def tune_network(subject: Subject, scope: Scope, step: Step) -> tuple[Way, list[Row]]:
    """The library and precision, then, for a head, the batch."""
    networks = load_ways(subject.weights)
    way, rows = compare_ways(subject, networks, scope, step)
    if way_task(subject) == "detection":
        return way, rows
    batch, more = compare_batches(subject, networks[way], scope, step)
    return replace(way, batch=batch), [*rows, *more]


def load_ways(weights: Weights) -> dict[Way, Network]:
    """The network in every way this machine can run it, the default first. Each gets the share of the threads that it
    has in the engine."""
    twin, name = quantised(weights), weights.card.identifier
    ways = [Way(name), Way(name, precision="f32")]
    if "onnxruntime" in installed_libraries():
        ways.append(Way(name, "onnxruntime", "f32"))
    if twin:
        ways += [Way(name, library, "int8", quantised=twin.card.identifier) for library in installed_libraries()]
    loaded = {}
    for way in ways:
        try:
            loaded[way] = run_as(weights, twin, Runtime(way.backend, way.precision, 0, Spending().callers))
        except (WeightsError, MissingExtra):
            if way.precision != "int8":  # a library that cannot run a twin does without it
                raise
    return loaded


def compare_ways(subject: Subject, networks: Mapping[Way, Network], scope: Scope, step: Step) -> tuple[Way, list[Row]]:
    """The fastest way whose answers are those of f32. The first is the default; one must be OpenVINO's f32."""
    reference = subject.answer(next(net for way, net in networks.items() if way.precision == "f32"))
    deviations = [subject.compare(reference, subject.answer(network)) for network in networks.values()]
    works = [subject.works(network, way.batch) for way, network in networks.items()]
    _warm_up(works, subject.warm_up)
    took = interleaved(works, scope, step)
    choices = [_said(way) for way in networks]
    rows = rows_of(way_task(subject), choices, took, deviations)
    return next(way for way, row in zip(networks, rows, strict=True) if row.chosen), rows


def _said(way: Way) -> dict[str, str | int]:
    return {"runtime": way.backend, "precision": way.precision}


DEFAULT = _said(Way(""))


def compare_batches(subject: Subject, network: Network, scope: Scope, step: Step) -> tuple[int, list[Row]]:
    """How many faces one call of a head should hold."""
    works = [subject.works(network, batch) for batch in BATCHES]
    _warm_up(works, subject.warm_up)
    took = interleaved(works, scope, step)
    rows = rows_of(f"{way_task(subject)} batch", [{"batch": batch} for batch in BATCHES], took, [Deviation()] * 3)
    return next(batch for batch, row in zip(BATCHES, rows, strict=True) if row.chosen), rows


def _warm_up(works: Sequence[Mapping[str, Work]], times: int) -> None:
    for candidate in works:
        for work in candidate.values():
            for _ in range(times):
                work()


# --- what is measured ------------------------------------------------------------------------------------------------


def expected_steps(scope: Scope) -> int:
    """How often `tune` calls its `step` at most, twins aside."""
    ways = 3 * (1 + len(installed_libraries()))
    engines = 2 + min(len(divisions(usable_cores())), scope.divisions) + 4 + 2
    return scope.rounds * (ways + 2 * len(BATCHES) + engines)


def make_samples(scope: Scope, weights: Mapping[str, Weights], more: Sequence[Pixels]) -> Samples:
    """Films of drawn people, and the faces of their first frames and of `more` pictures."""
    sizes = ((1280, 720), (1920, 1080))
    clips = tuple(
        list(crowd_frames(people, frames / 25, 25, size))
        for (people, frames), size in zip(scope.clips, sizes, strict=True)
    )
    pictures = [*(clip[0].image for clip in clips), *more]
    detect = YuNet(run_as(weights["yunet"], None, Runtime(precision="f32")))
    landmarks = [found.landmarks for found in (detect([picture])[0] for picture in pictures)]
    if not any(map(len, landmarks)):
        raise InputError("tuning: not one face was found in the samples; run  manyfaces models check")
    crops: dict[str, Pixels] = {
        one.card.task: np.concatenate(
            [align(picture, where, one.card.input) for picture, where in zip(pictures, landmarks, strict=True)]
        )
        for one in (weights["sface"], weights["emotion"])
    }
    return Samples(clips, pictures, crops)


def subjects(samples: Samples, weights: Mapping[str, Weights], scope: Scope) -> list[Subject]:
    return [
        Subject(
            weights["yunet"],
            partial(_detection_works, samples),
            partial(_found, samples.pictures),
            compare_detections,
            scope.warm_up,
        ),
        _head(weights["sface"], samples, scope.faces, _identity_head, compare_vectors),
        _head(weights["emotion"], samples, scope.faces, _emotion_head, compare_probabilities),
    ]


def _detection_works(samples: Samples, network: Network, _batch: int) -> dict[str, Work]:
    """One call for a picture as it goes into the network: padded, at the two sizes that films have most."""
    works: dict[str, Work] = {}
    for clip, (width, height) in zip(samples.clips, DETECTION_SIZES, strict=True):
        picture = clip[0].image
        pixels = np.zeros((1, height, width, 3), np.uint8)
        pixels[0, : picture.shape[0], : picture.shape[1]] = picture
        works[f"{width}x{height}"] = partial(network, pixels)
    return works


def _found(pictures: Sequence[Pixels], network: Network) -> list[Detections]:
    """With a little more than what is reported, since a face near the threshold may fall on either side of it."""
    detect = YuNet(network, Wanted(threshold=THRESHOLD - SCORE))
    return [detect([picture])[0] for picture in pictures]


Read = Callable[[Crops], Floats]


def _head(
    weights: Weights,
    samples: Samples,
    faces: int,
    make: Callable[[Weights, Network, int], Read],
    compare: Callable[[Floats, Floats], Deviation],
) -> Subject:
    pixels = samples.crops[weights.card.task]
    timed = np.resize(pixels, (faces, *pixels.shape[1:]))  # repeats them where they are too few

    def works(network: Network, batch: int) -> dict[str, Work]:
        return {f"{faces} faces": partial(make(weights, network, batch), _crops(timed))}

    return Subject(weights, works, lambda network: make(weights, network, BATCH)(_crops(pixels)), compare)


def _crops(pixels: Pixels) -> Crops:
    return Crops(pixels, np.arange(len(pixels), dtype=np.int64))


def _identity_head(weights: Weights, network: Network, batch: int) -> Read:
    head = IdentityHead(network, weights.card.input, weights.card.identifier, batch)
    return lambda crops: head(crops).vectors


def _emotion_head(weights: Weights, network: Network, batch: int) -> Read:
    head = EmotionHead(network, weights.card, batch)
    return lambda crops: head(crops).probabilities


# --- is it the same answer? ------------------------------------------------------------------------------------------


def compare_vectors(reference: Floats, answer: Floats) -> Deviation:
    cosines = (reference * answer).sum(axis=1)
    least = float(cosines.min(initial=1.0))
    return Deviation(least >= LEAST_COSINE, {"least cosine": least})


def compare_probabilities(reference: Floats, answer: Floats) -> Deviation:
    away = np.abs(reference - answer)
    mean, most = float(away.mean()), float(away.max(initial=0.0))
    return Deviation(mean <= EMOTION_MEAN and most <= EMOTION_MOST, {"mean": mean, "most": most})


def compare_detections(reference: Sequence[Detections], answer: Sequence[Detections]) -> Deviation:
    """The same faces in the same places, with about the same scores. Both hold what scores a little less than is
    reported."""
    parts = [_compare_picture(one, other) for one, other in zip(reference, answer, strict=True)]
    unlike = sum(part[0] for part in parts)
    score = max((part[1] for part in parts), default=0.0)
    return Deviation(unlike == 0 and score <= SCORE, {"other faces": unlike, "score": score})


def _compare_picture(one: Detections, other: Detections) -> tuple[int, float]:
    """How many faces that are reported have no counterpart, and how far the scores of the others lie apart at most."""
    shared = iou(one.boxes, other.boxes)
    same = shared >= SAME_PLACE
    lost = int((~same.any(axis=1) & ~(one.scores < THRESHOLD)).sum())
    new = int((~same.any(axis=0) & ~(other.scores < THRESHOLD)).sum())
    pairs = same & (shared == shared.max(axis=1, initial=0, keepdims=True))
    return lost + new, float(np.abs(one.scores[:, None] - other.scores[None])[pairs].max(initial=0.0))


# --- the whole engine ------------------------------------------------------------------------------------------------


def tune_engine(
    ways: Mapping[str, Way], clips: Sequence[Sequence[Frame]], scope: Scope, step: Step, usual_is_right: bool = True
) -> tuple[TunedPlan, list[Row]]:
    """Whether the ways chosen for the networks help the whole; how to divide the cores; how much to do at once. In the
    end what was chosen against untuned, once more, for the best of many is partly luck. `usual_is_right`: whether the
    untuned networks answer well enough to be kept."""
    engines = _Engines(clips, scope, step)
    plan, rows = UNTUNED, list[Row]()
    if any(way != Way(way.weights) for way in ways.values()):
        plan, rows = engines.compare("networks", [plan, TunedPlan(ways)], usual_is_right)
    several = divisions(usable_cores())[: scope.divisions]
    plan, more = engines.compare("cores", [replace(plan, spending=spending) for spending in several])
    rows += more
    plan, more = engines.compare("at once", [plan, *at_once(plan)])
    rows += more
    if plan == UNTUNED:
        return plan, rows
    plan, more = engines.compare("tuned", [UNTUNED, plan], usual_is_right)
    return replace(plan, speedup=1.0 if plan == UNTUNED else 1 / more[1].ratio), [*rows, *more]


def divisions(cores: int) -> list[Spending]:
    """Ways of dividing the cores: few streams of many threads, or many of few."""
    usual, most = Spending(), min(cores, MOST_WORKERS)
    several = [
        usual,
        replace(usual, callers=1),
        replace(usual, threads=cores),
        replace(usual, workers=3),
        replace(usual, workers=most, callers=most, threads=cores),
        replace(usual, workers=-(-most // 2), callers=-(-most // 2), threads=cores),
    ]
    return list(dict.fromkeys(several))


def at_once(plan: TunedPlan) -> list[TunedPlan]:
    """The same with more or fewer faces or pictures of one call."""
    others = ({"faces": 16}, {"faces": 64}, {"pictures": 2})
    return [replace(plan, spending=replace(plan.spending, **other)) for other in others]


@dataclass(frozen=True, slots=True, eq=False)
class _Engines:
    """Runs the whole engine over the films, with every face of every frame: nothing that could be spared hides what the
    networks take."""

    clips: Sequence[Sequence[Frame]]
    scope: Scope
    step: Step
    built: dict[str, Stages] = field(default_factory=dict)

    def compare(self, part: str, plans: Sequence[TunedPlan], first_allowed: bool = True) -> tuple[TunedPlan, list[Row]]:
        works = [self._works(plan) for plan in plans]
        took = interleaved(works, self.scope, self.step)
        choices = [{"networks": "chosen" if plan.ways else "untuned", **asdict(plan.spending)} for plan in plans]
        deviations = [Deviation(number > 0 or first_allowed) for number in range(len(plans))]
        per = dict(zip(works[0], map(len, self.clips), strict=True))
        rows = rows_of(part, choices, took, deviations, per)
        return next(plan for plan, row in zip(plans, rows, strict=True) if row.chosen), rows

    def _works(self, plan: TunedPlan) -> dict[str, Work]:
        """Networks are the same, and warm, for all plans that differ only in what the engine does with them."""
        key = repr((plan.ways, plan.spending.callers, plan.spending.threads))
        is_new = key not in self.built
        if is_new:
            self.built[key] = build_stages(Options(every_face=True), nobody, plan.spending.callers, plan)
        engine = Engine(self.built[key], engine_plan(plan))
        works: dict[str, Work] = {f"{clip[0].height}p a frame": partial(_run, engine, clip) for clip in self.clips}
        if is_new:
            _warm_up([works], -(-self.scope.warm_up // min(map(len, self.clips))))
        return works


def _run(engine: Engine, clip: Sequence[Frame]) -> None:
    for _ in engine.run(clip):
        pass
