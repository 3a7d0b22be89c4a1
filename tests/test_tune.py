"""Tuning: a plan is found, kept, used where nobody chose otherwise, and never in the way."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Run
from manyfaces import build, plans, tune
from manyfaces.bench import machine
from manyfaces.build import build_emotion_head, build_engine, nobody, quantised
from manyfaces.card import InputSpec
from manyfaces.cli import models
from manyfaces.engine import Plan
from manyfaces.errors import OutputError, UsageError, WeightsError
from manyfaces.options import Options
from manyfaces.plans import (
    UNTUNED,
    Machine,
    Row,
    Spending,
    TunedPlan,
    Way,
    keep,
    kept,
    plan_path,
    this_machine,
    way_for,
)
from manyfaces.runtime import Network, Outputs, Runtime, load_network, prepared
from manyfaces.types import Crops, Detections, Frame, Pixels
from manyfaces.weights import Weights, find, load

CARD = find("emotion")[0]
MEASURED = Way(CARD.identifier, "onnxruntime", "f32", 8)
PLAN = TunedPlan(
    {"emotion": MEASURED, "detection": Way("yunet-x", precision="f32")},
    Spending(workers=3, callers=1, threads=2, faces=64, pictures=2),
    "2026-01-02T03:04:05+00:00",
    1.25,
    (Row("emotion", {"runtime": "onnxruntime"}, {"32 faces": 3.5}, 0.5, {"mean": 0.001}, True, True),),
)

ANY = Machine("a processor", "features", 2, {})


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache for each test alone."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache"


# --- the file --------------------------------------------------------------------------------------------------------


def test_a_plan_is_kept_and_found_again(cache: Path) -> None:
    path = keep(PLAN, this_machine())
    assert path.parent == cache / "manyfaces" / "plans"
    assert list(path.parent.iterdir()) == [path]
    assert kept() == plans.Kept(PLAN, path)
    assert kept().is_tuned


def test_without_a_file_nothing_is_tuned_and_nothing_is_wrong() -> None:
    found = kept()
    assert found.plan is UNTUNED
    assert (found.warning, found.is_tuned, found.path.exists()) == ("", False, False)


def test_a_plan_belongs_to_one_processor_and_one_set_of_versions() -> None:
    here = this_machine()
    others = [
        replace(here, processor="another"),
        replace(here, features="another"),
        replace(here, cores=here.cores + 1),
        replace(here, versions={**here.versions, "openvino": "1.0"}),
    ]
    assert this_machine().key == here.key
    assert len({here.key, *(other.key for other in others)}) == 5
    assert here.processor
    assert here.versions["manyfaces"]


def test_a_plan_of_another_machine_in_our_place_is_passed_over() -> None:
    foreign = replace(this_machine(), cores=999)
    keep(PLAN, foreign).rename(plan_path(this_machine()))
    found = kept()
    assert found.plan is UNTUNED
    assert "another machine" in found.warning


def broken_plans() -> Iterator[Any]:
    whole = plans.as_dict(PLAN, this_machine())
    yield from ([], 3, None, "plan", {}, {**whole, "format": 99}, {**whole, "machine": "this"})
    yield from ({**whole, "ways": wrong} for wrong in (None, [], {"emotion": {}}, {"emotion": {"nonsense": 1}}))
    for wrong in (
        {"backend": "abacus"},
        {"precision": "f8"},
        {"batch": 0},
        {"batch": 10**9},
        {"batch": "8"},
        {"weights": 1},
        {"weights": "[red]x[/red]"},
        {"quantised": "\x1b[2J"},
        {"weights": "x" * 1000},
    ):
        yield {**whole, "ways": {"emotion": {**asdict(MEASURED), **wrong}}}
    yield {**whole, "ways": {"cooking": asdict(MEASURED)}}
    for wrong in ({"workers": 65}, {"callers": 65}):
        yield {**whole, "spending": {**asdict(PLAN.spending), **wrong}}
    for wrong in ({"workers": 0}, {"workers": True}, {"callers": -1}, {"threads": 10**6}, {"faces": 1.5}, {"spin": 1}):
        yield {**whole, "spending": {**asdict(PLAN.spending), **wrong}}
    yield from ({**whole, "measured": wrong} for wrong in (1, [1], [{"part": "x"}]))
    speedups = (None, "fast", [], "1.2", True, 0, -1, float("nan"), float("inf"), 10**400)
    yield from ({**whole, "speedup": wrong} for wrong in speedups)
    yield from ({**whole, "made": wrong} for wrong in (None, "", "yesterday", "[red]2026-01-02[/red]"))
    for wrong in (
        {"part": "[red]x"},
        {"part": 3},
        {"choice": {"runtime": "\x1b[2J"}},
        {"choice": {"runtime": 0.5}},
        {"choice": {"[b]": 1}},
        {"choice": "fast"},
        {"milliseconds": {"a": float("inf")}},
        {"milliseconds": {"a": "3"}},
        {"ratio": 0},
        {"ratio": float("nan")},
        {"deviation": {"mean": "none"}},
        {"allowed": "yes"},
        {"chosen": 1},
    ):
        yield {**whole, "measured": [{**asdict(PLAN.measured[0]), **wrong}]}
    yield {**whole, "ways": {"emotion": {**asdict(MEASURED), "\x1b[2J": 1}}}


def test_a_plan_that_is_none_is_a_warning_and_never_an_error() -> None:
    path = keep(PLAN, this_machine())
    for wrong in broken_plans():
        path.write_text(json.dumps(wrong), encoding="utf-8")
        found = kept()
        assert found.plan is UNTUNED, wrong
        assert found.warning.startswith(str(path)), wrong
        assert len(found.warning.splitlines()) == 1
        assert found.warning.isprintable(), wrong
        assert "manyfaces tune" in found.warning


def test_half_a_file_and_no_text_at_all() -> None:
    path = keep(PLAN, this_machine())
    whole = path.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"\xff\xfe\x00", b"[" * 100_000):
        path.write_bytes(content)
        assert kept().plan is UNTUNED
        assert "no plan of this machine" in kept().warning


def test_a_deviation_may_be_not_a_number() -> None:
    """Answers of a network that fails; its row is not allowed, and the plan is good."""
    failed = replace(PLAN.measured[0], deviation={"mean": float("nan")}, allowed=False, chosen=False)
    keep(replace(PLAN, measured=(failed,)), this_machine())
    assert kept().is_tuned


@pytest.mark.parametrize("what", ["pipe", "endless", "large"])
def test_what_is_no_file_of_sane_size_is_not_read(what: str) -> None:
    """It would never come to an end."""
    path = plan_path(this_machine())
    path.parent.mkdir(parents=True)
    if what == "pipe":
        os.mkfifo(path)
    elif what == "endless":
        path.symlink_to("/dev/zero")
    else:
        with path.open("wb") as file:
            file.truncate(2**31)
    assert kept().plan is UNTUNED
    assert "cannot be read" in kept().warning
    keep(PLAN, this_machine())
    assert kept().plan == PLAN


def test_what_keeping_would_fail_with_is_known_before(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    here = this_machine()
    plans.refuse_unkeepable(here)
    assert list(plans.plans_folder().iterdir()) == []
    plan_path(here).mkdir()
    with pytest.raises(OutputError, match="cannot be kept"):
        plans.refuse_unkeepable(here)
    (cache / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache / "file"))
    with pytest.raises(OutputError, match="cannot be kept"):
        plans.refuse_unkeepable(here)


def test_a_folder_in_the_place_of_the_plan() -> None:
    plan_path(this_machine()).mkdir(parents=True)
    assert kept().plan is UNTUNED
    assert "cannot be read" in kept().warning
    with pytest.raises(OutputError, match="cannot be kept"):
        keep(PLAN, this_machine())
    with pytest.raises(OutputError, match="cannot be removed"):
        plans.forget()


def test_a_cache_that_cannot_be_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    assert kept().plan is UNTUNED
    with pytest.raises(OutputError, match="cannot be kept"):
        keep(PLAN, this_machine())


def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere() -> Path:
        raise RuntimeError("no home directory")

    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", nowhere)
    assert "manyfaces" in plan_path(this_machine()).parts


def test_forgetting() -> None:
    path = keep(PLAN, this_machine())
    assert plans.forget()
    assert not path.exists()
    assert not plans.forget()


# --- who decides -----------------------------------------------------------------------------------------------------


def test_what_was_measured_is_used_where_nothing_was_chosen() -> None:
    assert way_for(Options(), CARD, PLAN) == MEASURED
    assert way_for(Options(runtime="onnxruntime"), CARD, PLAN) == MEASURED
    assert way_for(Options(), CARD, UNTUNED) == Way(CARD.identifier, "openvino", "auto")


def test_a_choice_of_the_users_comes_before_the_plan() -> None:
    assert way_for(Options(runtime="openvino"), CARD, PLAN) == Way(CARD.identifier)
    assert way_for(Options(precision="f32"), CARD, PLAN) == Way(CARD.identifier, "openvino", "f32")
    chosen = Options(runtime="onnxruntime", precision="int8")
    assert way_for(chosen, CARD, PLAN) == Way(CARD.identifier, "onnxruntime", "int8")


def test_a_plan_says_nothing_about_weights_that_it_did_not_measure() -> None:
    assert way_for(Options(), replace(CARD, sha256="0" * 64), PLAN) == Way(f"{CARD.name}-{'0' * 12}")
    assert way_for(Options(), find("sface")[0], PLAN) == Way(find("sface")[0].identifier)


def built(monkeypatch: pytest.MonkeyPatch, options: Options) -> tuple[list[Runtime], Plan]:
    """The runtimes with which an engine's networks are loaded, and how it spends the processor."""
    used: list[Runtime] = []

    def loaded(_content: bytes, _spec: InputSpec, runtime: Runtime) -> Network:
        used.append(runtime)
        return lambda pixels: {"vector": np.zeros((len(pixels), 4), np.float32)}

    monkeypatch.setattr(build, "load_network", loaded)
    _, plan = build_engine(options, nobody)
    return used, plan


def test_an_engine_is_made_as_tuned(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(PLAN, this_machine())
    used, plan = built(monkeypatch, Options())
    assert plan == Plan(workers=3, faces=64, pictures=2)
    tuned, usual = Runtime("onnxruntime", "f32", 2, 1), Runtime("openvino", "auto", 2, 1)
    assert used == [usual, tuned, usual]  # detection was measured with other weights, identity not at all


def test_threads_and_f32_are_the_users(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(PLAN, this_machine())
    used, _ = built(monkeypatch, Options(threads=7, precision="f32"))
    assert used == [Runtime("openvino", "f32", 7, 1)] * 3


def test_untuned_and_with_a_broken_plan_the_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    for broken in (False, True):
        if broken:
            keep(PLAN, this_machine()).write_text("{")
        used, plan = built(monkeypatch, Options())
        assert plan == Plan()
        assert used == [Runtime(callers=2)] * 3


def test_the_defaults_of_a_plan_are_those_of_the_engine_and_the_runtime() -> None:
    assert build.engine_plan(UNTUNED) == Plan()
    assert (Way("").backend, Way("").precision) == (Runtime().backend, Runtime().precision)


def test_the_measured_batch_reaches_the_head(monkeypatch: pytest.MonkeyPatch) -> None:
    keep(PLAN, this_machine())
    sizes: list[int] = []

    def network(pixels: Pixels) -> Outputs:
        sizes.append(len(pixels))
        return {"probabilities": np.zeros((len(pixels), 7), np.float32)}

    monkeypatch.setattr(build, "load_network", lambda *_: network)
    build_emotion_head(Options())(Crops(np.zeros((20, 48, 48, 1), np.uint8), np.arange(20)))
    assert sizes == [8, 8, 4]


def test_an_unknown_runtime_is_refused_before_anything_runs() -> None:
    for wrong in ({"runtime": "abacus"}, {"precision": "f8"}):
        with pytest.raises(UsageError, match="known are"):
            build_engine(Options(**wrong), nobody)


# --- quantised twins -------------------------------------------------------------------------------------------------


def with_twin(folder: Path) -> Path:
    """The emotion network in a folder, with a twin beside it that holds the same figures and another name."""
    weights = load("emotion")
    (folder / "mine.onnx").write_bytes(weights.content)
    weights.card.write(folder / "mine.json")
    model = prepared(onnx.load_from_string(weights.content), weights.card.input)
    content = model.SerializeToString()
    (folder / "mine.int8.onnx").write_bytes(content)
    twin = replace(weights.card, name="mine-int8", sha256=hashlib.sha256(content).hexdigest())
    twin.write(folder / "mine.int8.json")
    return folder / "mine.onnx"


def test_a_twin_lies_beside_its_network_and_is_checked_like_it(tmp_path: Path) -> None:
    weights = load(with_twin(tmp_path))
    twin = quantised(weights)
    assert twin is not None
    assert twin.card.name == "mine-int8"
    (tmp_path / "mine.int8.onnx").write_bytes(twin.content + b"x")
    with pytest.raises(WeightsError, match="these are not the weights"):
        quantised(weights)
    assert quantised(load("emotion")) is None


def test_int8_runs_the_twin_and_says_when_there_is_none(tmp_path: Path) -> None:
    path, crops = with_twin(tmp_path), Crops(np.zeros((1, 48, 48, 1), np.uint8), np.arange(1))
    ours = build_emotion_head(Options(emotion_model=str(path), precision="int8"))(crops)
    theirs = build_emotion_head(Options(emotion_model=str(path), precision="f32"))(crops)
    np.testing.assert_allclose(ours.probabilities, theirs.probabilities, atol=0.02)
    with pytest.raises(WeightsError, match=r"emotion\.int8\.onnx: there is no such quantised network"):
        build_emotion_head(Options(precision="int8"))


def test_a_measured_twin_that_is_gone_or_another_is_not_missed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = with_twin(tmp_path)
    weights = load(path)
    twin = quantised(weights)
    assert twin is not None
    used: list[Runtime] = []
    monkeypatch.setattr(build, "load_network", lambda _content, _spec, runtime: used.append(runtime))
    for name in (twin.card.identifier, "mine-int8-of-yesterday"):
        way = Way(weights.card.identifier, "onnxruntime", "int8", quantised=name)
        build_emotion_head(Options(emotion_model=str(path)), 1, TunedPlan({"emotion": way}))
    (tmp_path / "mine.int8.onnx").unlink()
    build_emotion_head(Options(emotion_model=str(path)), 1, TunedPlan({"emotion": way}))
    assert used == [Runtime("onnxruntime", "int8"), Runtime(), Runtime()]


# --- choosing --------------------------------------------------------------------------------------------------------

ratios = st.floats(0.01, 100)
others = st.lists(st.tuples(ratios, st.booleans()), max_size=6)


def row(ratio: float, allowed: bool) -> Row:
    return Row("part", {}, {}, ratio, {}, allowed)


@given(default=st.booleans(), others=others)
def test_choosing(default: bool, others: list[tuple[float, bool]]) -> None:
    """What deviates is never chosen; the default stays unless it deviates or enough is gained; then it is the best."""
    rows = [row(1.0, default), *(row(*other) for other in others)]
    allowed = [one.ratio for one in rows if one.allowed]
    if not allowed:
        with pytest.raises(WeightsError, match="part: no way"):
            tune.best(rows)
        return
    chosen = tune.best(rows)
    assert rows[chosen].allowed
    if chosen == 0:
        assert min(allowed) >= 1 - tune.WORTH
    else:
        assert rows[chosen].ratio == min(allowed)
        assert not default or rows[chosen].ratio < 1 - tune.WORTH


@given(st.lists(st.tuples(st.floats(0.001, 1), st.floats(0.5, 20)), min_size=3, max_size=9), st.floats(0.1, 10))
def test_a_ratio_does_not_care_how_busy_the_machine_was(rounds: list[tuple[float, float]], true: float) -> None:
    """Each round may be slower by any factor; both were slowed alike."""
    default = {"a": [time * slow for time, slow in rounds], "b": [2 * time * slow for time, slow in rounds]}
    ours = {name: [true * time for time in times] for name, times in default.items()}
    assert tune.ratio(ours, default) == pytest.approx(true)
    assert tune.ratio(default, default) == 1


def test_every_round_runs_everything_and_every_other_one_backwards() -> None:
    ran: list[str] = []
    steps: list[None] = []
    works = [{name: lambda name=name: ran.append(name)} for name in "abc"]
    took = tune.interleaved(works, replace(tune.QUICK, rounds=3), lambda: steps.append(None))
    assert "".join(ran) == "abccbaabc"
    assert [[len(times) for times in one.values()] for one in took] == [[3]] * 3
    assert len(steps) == 9


@pytest.mark.parametrize(
    ("scope", "rounds"),
    [
        (tune.Scope(rounds=50, seconds=0), 3),  # a slow machine
        (tune.Scope(rounds=5, seconds=1e9, least_seconds=0), 5),
        (tune.Scope(rounds=5, seconds=1e9, least_seconds=1e9), tune.MOST_ROUNDS),  # so quick that more costs nothing
        (tune.QUICK, 1),
    ],
)
def test_how_many_rounds(scope: tune.Scope, rounds: int) -> None:
    steps: list[None] = []
    took = tune.interleaved([{"a": lambda: None}], scope, lambda: steps.append(None))
    assert len(took[0]["a"]) == rounds
    assert len(steps) == min(rounds, scope.rounds)


@given(st.integers(1, 256))
def test_divisions_of_the_cores(cores: int) -> None:
    several = tune.divisions(cores)
    assert several[0] == Spending()
    assert len(set(several)) == len(several)
    assert all(one.threads in (0, cores) and 1 <= one.callers <= max(one.workers, 2) for one in several)
    for one in several:  # a plan is never refused for what tuning has chosen itself
        found = json.loads(json.dumps(plans.as_dict(replace(PLAN, spending=one), ANY)))
        assert plans.parse(found, ANY).spending == one


@pytest.mark.parametrize(
    ("last", "usual_is_right", "tuned", "speedup"),
    [
        (0.8, True, True, 1.25),
        (1.0, True, False, 1.0),  # its lead was luck
        (1.25, False, True, 0.8),  # slower, but the untuned networks say something else
    ],
)
def test_what_was_chosen_meets_untuned_once_more(
    monkeypatch: pytest.MonkeyPatch, last: float, usual_is_right: bool, tuned: bool, speedup: float
) -> None:
    """Figures as if they had been measured: the networks' ways help, the third division of the cores wins, nothing more
    does, and the last figure decides."""
    figures = iter([[1.0, 0.9], [1.0, 0.9, 0.5, 0.8, 0.9], [1.0] * 4, [1.0, last]])

    def measured(works: list[dict[str, Any]], *_: object) -> list[dict[str, list[float]]]:
        return [{name: [time] for name in one} for one, time in zip(works, next(figures), strict=True)]

    monkeypatch.setattr(tune, "interleaved", measured)
    monkeypatch.setattr(tune, "build_stages", lambda *_: None)
    monkeypatch.setattr(tune, "usable_cores", lambda: 2)
    ways = {"emotion": Way("x", precision="f32")}
    clips = [[Frame(np.zeros((size, 8, 3), np.uint8), 0, 0.0, "x")] for size in (720, 1080)]
    plan, rows = tune.tune_engine(
        ways, clips, replace(tune.QUICK, warm_up=0, divisions=9), lambda: None, usual_is_right
    )
    assert (plan.spending == tune.divisions(2)[2]) is tuned
    assert plan.ways == (ways if tuned else {})
    assert plan.speedup == pytest.approx(speedup)
    assert [one.part for one in rows if one.chosen] == ["networks", "cores", "at once", "tuned"]


# --- is it the same answer? ------------------------------------------------------------------------------------------


def faces(boxes: list[list[float]], scores: list[float]) -> list[Detections]:
    count = len(boxes)
    return [
        Detections(
            np.array(boxes, np.float32).reshape(count, 4),
            np.array(scores, np.float32),
            np.zeros((count, 5, 2), np.float32),
        )
    ]


LEFT, RIGHT = [0.0, 0.0, 40.0, 50.0], [100.0, 0.0, 140.0, 50.0]


@pytest.mark.parametrize(
    ("boxes", "scores", "within"),
    [
        ([RIGHT, LEFT], [0.72, 0.88], True),  # in another order
        ([LEFT, RIGHT], [0.85, 0.7], False),  # a score moves too far
        ([LEFT], [0.9], False),  # one is lost
        ([LEFT, RIGHT, [200.0, 0.0, 240.0, 50.0]], [0.9, 0.7, 0.65], False),  # one is new
        ([LEFT, RIGHT, [200.0, 0.0, 240.0, 50.0]], [0.9, 0.7, 0.59], True),  # new, but not reported
        ([LEFT, [110.0, 0.0, 150.0, 50.0]], [0.9, 0.7], False),  # one has moved
        ([], [], False),
        ([LEFT, RIGHT], [float("nan"), 0.7], False),
    ],
)
def test_the_same_faces(boxes: list[list[float]], scores: list[float], within: bool) -> None:
    reference = faces([LEFT, RIGHT], [0.9, 0.7])
    assert tune.compare_detections(reference, faces(boxes, scores)).within is within
    assert tune.compare_detections(reference, reference).within


def test_a_face_at_the_threshold_may_fall_on_either_side() -> None:
    assert tune.compare_detections(faces([LEFT], [0.61]), faces([LEFT], [0.59])).within
    assert not tune.compare_detections(faces([LEFT], [0.61]), faces([], [])).within


def test_the_same_vectors_and_probabilities() -> None:
    vectors = np.eye(3, 128, dtype=np.float32)
    assert tune.compare_vectors(vectors, vectors).within
    assert not tune.compare_vectors(vectors, np.roll(vectors, 1, axis=0)).within
    assert not tune.compare_vectors(vectors, np.full_like(vectors, np.nan)).within
    sure = np.eye(4, 7, dtype=np.float32)
    assert tune.compare_probabilities(sure, sure).within
    for wrong in (0.9 * sure, sure + np.float32(0.03), np.full_like(sure, np.nan)):
        assert not tune.compare_probabilities(sure, wrong - 0.02 * (wrong > 0.8)).within


@pytest.fixture(scope="module")
def emotion() -> tune.Subject:
    """The emotion network as it is measured, in the smallest scope."""
    weights = {name: load(name) for name in ("yunet", "sface", "emotion")}
    samples = tune.make_samples(tune.QUICK, weights, [])
    assert [len(clip) for clip in samples.clips] == [2, 1]
    assert {len(crops) for crops in samples.crops.values()} == {6}
    subject = tune.subjects(samples, weights, tune.QUICK)[2]
    assert tune.way_task(subject) == "emotion"
    return subject


def loaded(weights: Weights) -> Network:
    return load_network(weights.content, weights.card.input, Runtime(precision="f32"))


def test_a_network_that_answers_otherwise_is_refused_however_fast_it_is(emotion: tune.Subject) -> None:
    right = loaded(emotion.weights)

    def instant(pixels: Pixels) -> Outputs:
        return {"probabilities": np.full((len(pixels), 7), 1 / 7, np.float32)}

    networks: Mapping[Way, Network] = {Way("x"): right, Way("x", precision="f32"): right, Way("x", "wrong"): instant}
    way, rows = tune.compare_ways(emotion, networks, tune.QUICK, lambda: None)
    assert way.backend != "wrong"
    assert [one.allowed for one in rows] == [True, True, False]
    assert rows[2].ratio < 0.9
    assert not rows[2].chosen
    assert sum(one.chosen for one in rows) == 1


def test_a_default_that_answers_otherwise_is_left(emotion: tune.Subject) -> None:
    right = loaded(emotion.weights)

    def mad(pixels: Pixels) -> Outputs:
        return {"probabilities": right(pixels)["probabilities"][:, ::-1]}

    way, rows = tune.compare_ways(emotion, {Way("x"): mad, Way("x", precision="f32"): right}, tune.QUICK, lambda: None)
    assert way.precision == "f32"
    assert not rows[0].allowed


# --- the command -----------------------------------------------------------------------------------------------------


def test_tuning_in_the_smallest_scope(run: Run, tmp_path: Path) -> None:
    ran = run("tune", "--quick", "--json", "figures.json")
    assert ran.status == 0, ran.err
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["kept"], kept().is_tuned) == (None, False)  # what it finds is worth little
    assert "a quick try is worth little" in ran.out
    keep(plans.parse(figures, this_machine()), this_machine())
    found = kept()
    assert (found.is_tuned, found.warning) == (True, "")
    parts = {one.part for one in found.plan.measured}
    assert parts >= {"detection", "identity", "emotion", "identity batch", "emotion batch", "cores", "at once"}
    assert all(one.chosen <= one.allowed for one in found.plan.measured)
    assert "times as fast as untuned" in ran.out
    assert "not tuned" not in run("doctor").out
    assert "removed" in run("tune", "--forget").out
    assert "There was no plan" in run("tune", "--forget").out
    assert "not tuned: run  manyfaces tune, about" in run("doctor").out


def test_a_dry_run_keeps_nothing(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "tune", lambda *_: PLAN)
    ran = run("tune", "--dry-run")
    assert (ran.status, kept().is_tuned) == (0, False)
    assert "Nothing was kept" in ran.out
    assert run("tune", "--quiet").out == ""
    assert kept().plan == PLAN


@pytest.fixture
def never_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    def measure(*_: object) -> TunedPlan:
        raise AssertionError("this takes minutes, and what is wrong was known before")

    monkeypatch.setattr(tune, "tune", measure)


@pytest.mark.usefixtures("never_measured")
@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--json", "mine.json"], 3, "something else"),
        (["--json", "mine.txt"], 3, "something else"),
        (["--json", "nowhere/figures.json"], 3, "no folder"),
        (["--json", "pipe"], 3, "a device or a pipe"),
        (["--json", "/dev/full"], 3, "a device or a pipe"),
        (["--forget", "--quick"], 2, "--forget"),
        (["--forget", "--json", "figures.json"], 2, "--forget"),
        (["--forget", "--pictures", "."], 2, "--forget"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_measured(
    run: Run, tmp_path: Path, arguments: list[str], status: int, said: str
) -> None:
    for name, content in {"mine.json": '{"machine": 1, "rows": []}', "mine.txt": "a letter"}.items():
        (tmp_path / name).write_text(content)
    os.mkfifo(tmp_path / "pipe")
    before = keep(PLAN, this_machine()).read_bytes()
    ran = run("tune", *arguments)
    assert (ran.status, ran.out, len(ran.err.splitlines())) == (status, "", 1)
    assert said in ran.err
    assert (tmp_path / "mine.txt").read_text() == "a letter"
    assert kept().path.read_bytes() == before


@pytest.mark.usefixtures("never_measured")
def test_a_cache_that_cannot_be_written_is_known_before_anything_is_measured(run: Run, cache: Path) -> None:
    cache.write_text("")
    ran = run("tune")
    assert (ran.status, "cannot be kept" in ran.err) == (3, True)


def test_figures_are_written_even_if_the_plan_cannot_be_kept(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def measure(*_: object) -> TunedPlan:
        plan_path(this_machine()).mkdir()  # somebody was quicker
        return PLAN

    monkeypatch.setattr(tune, "tune", measure)
    ran = run("tune", "--json", "figures.json")
    assert (ran.status, "cannot be kept" in ran.err) == (3, True)
    figures = json.loads((tmp_path / "figures.json").read_text())
    assert (figures["kept"], plans.parse(figures, this_machine())) == (None, PLAN)
    assert "Nothing was kept" in ran.out


def test_a_busy_machine_is_named_unless_all_is_to_be_quiet(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tune, "tune", lambda *_: PLAN)
    monkeypatch.setattr(machine, "load", lambda: 1e6)
    assert "this machine is busy" in run("tune", "--dry-run").err
    assert run("tune", "--dry-run", "-q").err == ""


def test_own_pictures_are_checked_too(run: Run, photo: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[tuple[int, ...]] = []
    monkeypatch.setattr(tune, "tune", lambda _scope, pictures, _step: given.extend(p.shape for p in pictures) or PLAN)
    assert run("tune", "--dry-run", "--pictures", photo.parent).status == 0
    assert given == [(512, 512, 3)]
    (photo.parent / "empty").mkdir()
    ran = run("tune", "--pictures", "empty")
    assert (ran.status, "empty" in ran.err) == (3, True)


def test_the_doctor_names_a_plan_that_is_passed_over_and_what_is_not_there(
    run: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(PLAN, this_machine()).write_text("{}")
    monkeypatch.setattr(models, "EXTRAS", {"parrot": "no_such_parrot", "numbers": "numpy"})
    ran = run("doctor")
    assert (ran.status, "no plan of this machine" in ran.out) == (0, True)
    marks = {
        cells[2]: cells[1] for cells in (re.split(r"\s*[│|]\s*", line) for line in ran.out.splitlines()) if cells[2:]
    }
    assert (marks["extra parrot"], marks["extra numbers"], marks["gallery"]) == ("-", "ok", "-")


def test_analysis_goes_on_with_a_broken_plan(run: Run, photo: Path) -> None:
    keep(PLAN, this_machine()).write_text("{}")
    ran = run("analyze", "collins.png", "-q")
    assert (ran.status, ran.err) == (0, "")
    assert len(ran.rows) == 1
