"""The benchmark: its arithmetic, what it refuses, and that its figures are there. No test says how fast anything is."""

from __future__ import annotations

import json
import os
import shutil
import sys
from collections.abc import Iterator
from dataclasses import replace
from importlib import import_module
from itertools import count, islice
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Run
from manyfaces.bench import alone, floor, machine
from manyfaces.bench.drawn import LARGE, SMALL, draw_clip, grid, usual_size
from manyfaces.bench.figures import Best, best, floor_seconds, percentile_ms, slope_per_hour
from manyfaces.bench.row import BUDGET, EVERY_FACE, ROUNDS, Task, measured
from manyfaces.bench.streams import PACE, Clip, Stopwatch, stretch
from manyfaces.cli.figures import refuse_figures, write_figures
from manyfaces.cli.progress import pace
from manyfaces.engine import Engine
from manyfaces.errors import InputError, UsageError
from manyfaces.options import Options
from manyfaces.types import Face, Frame, FrameResult, Unreadable

BENCHMARKS = Path(__file__).resolve().parent.parent / "benchmarks"
PROMISED = {"clip", "faces", "mode", "fps", "p50_ms", "p95_ms", "floor_ratio", "faces_found", "peak_rss_mb"}
times = st.floats(1e-6, 100)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten pictures of two drawn people."""
    path = tmp_path_factory.mktemp("drawn") / "two.mp4"
    draw_clip(path, 2, (320, 192), frames=10)
    return path


@pytest.fixture(scope="module")
def programs() -> Iterator[SimpleNamespace]:
    """The programs of benchmarks/ as modules; they lie beside the package, not in it."""
    pytest.importorskip("matplotlib")
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(BENCHMARKS)
        yield SimpleNamespace(**{name: import_module(name) for name in ("curve", "equality", "soak", "speed", "table")})


# --- arithmetic ------------------------------------------------------------------------------------------------------


@given(st.lists(times, min_size=1), st.floats(0, 1), st.floats(0, 1))
def test_percentiles_lie_among_the_times_and_rise(values: list[float], one: float, other: float) -> None:
    low, high = (percentile_ms(values, share) for share in sorted((one, other)))
    assert low is not None
    assert high is not None
    assert 1000 * min(values) - 0.01 <= low <= high <= 1000 * max(values) + 0.01


def test_a_percentile_of_nothing_is_nothing() -> None:
    assert percentile_ms([], 0.5) is None


def test_a_percentile_by_hand() -> None:
    assert percentile_ms([0.001 * value for value in range(101)], 0.95) == 95


@given(st.dictionaries(st.integers(1, 64), st.lists(times, min_size=1, max_size=9), min_size=1))
def test_the_best_batch_has_the_smallest_median(calls: dict[int, list[float]]) -> None:
    found = best(calls)
    assert found.seconds == np.median(calls[found.batch])
    assert all(found.seconds <= np.median(ones) for ones in calls.values())


def test_one_disturbed_call_does_not_choose_the_batch() -> None:
    assert best({1: [3, 3, 3], 8: [2, 2, 90]}) == Best(8, 2)


@given(st.lists(times, max_size=3), st.lists(times, max_size=3), st.floats(0, 100), st.integers(1, 64))
def test_the_floor_is_all_work_shared_by_the_cores(
    pictures: list[float], faces: list[float], number: float, cores: int
) -> None:
    found = floor_seconds([Best(1, one) for one in pictures], [Best(8, one) for one in faces], number, cores)
    assert found * cores == pytest.approx(sum(pictures) + number * sum(faces))


@given(
    st.lists(st.integers(0, 100_000), min_size=2, max_size=50, unique=True),
    st.floats(-1000, 1000),
    st.floats(-1000, 1000),
)
def test_a_straight_line_has_its_own_slope(seconds: list[int], start: float, slope: float) -> None:
    found = slope_per_hour(seconds, [start + slope * second / 3600 for second in seconds])
    assert found == pytest.approx(slope, abs=1e-4 + 1e-6 * 3600)


@pytest.mark.parametrize("seconds", [[], [5.0], [5.0, 5.0]])
def test_one_moment_has_no_slope(seconds: list[float]) -> None:
    assert slope_per_hour(seconds, [1.0] * len(seconds)) is None


# --- the stopwatch ---------------------------------------------------------------------------------------------------


def result(index: int, *faces: Face, **changed: Any) -> FrameResult:
    return replace(FrameResult("clip", index, index / 25, 8, 8, faces), **changed)


def test_ages_count_from_the_camera_and_from_decoding() -> None:
    now = iter([10.0, 11.0, 13.0])
    watch = Stopwatch(lambda: next(now))
    watch.handed(0, since=9.5)
    watch.handed(1)
    assert watch.ages(result(1)) == (2, 2)  # frame 0 was passed over


def test_a_camera_gives_age_since_the_picture_was_due() -> None:
    now = iter([10.0, 13.0])
    watch = Stopwatch(lambda: next(now))
    watch.handed(0, since=9.5)
    assert watch.ages(result(0)) == (3.5, 3)


def test_every_pass_has_the_same_indices(clip: Path) -> None:
    now = count()
    watch = Stopwatch(lambda: float(next(now)))
    played = Clip.of(clip)
    for _ in range(2):
        for frame in islice(watch.timed(played.play()), 3):
            assert watch.ages(result(frame.index))[1] == 1


class AnsweringEngine(Engine):
    """Gives a result for each frame at once."""

    def __init__(self) -> None:
        """It needs no stages."""

    def run_chains(self, chains: Any) -> Iterator[tuple[Frame | Unreadable, FrameResult]]:
        for source in chains[0].sources:
            yield from ((frame, result(frame.index, face(), face())) for frame in source)


def test_whole_passes_are_counted_after_the_warm_up(clip: Path) -> None:
    ticks = count()
    seen = stretch(AnsweringEngine(), Clip.of(clip), warm_up=10, seconds=35, clock=lambda: float(next(ticks)))
    # Three ticks a frame: it is handed over, its age is read, and the time that is over.
    assert (seen.frames, seen.faces, seen.seconds) == (20, 40, 60)
    assert seen.per_frame == 3
    assert seen.ages == [1] * 20


# --- clips -----------------------------------------------------------------------------------------------------------


def test_a_clip_is_read_through(clip: Path) -> None:
    assert Clip.of(clip) == Clip(str(clip), 10, 320, 192)


def test_an_endless_stream_counts_on(clip: Path) -> None:
    frames = list(islice(Clip.of(clip).endless(), 25))
    assert [frame.index for frame in frames] == list(range(25))
    assert frames[24].seconds == 24 / PACE
    assert np.array_equal(frames[3].image, frames[13].image)


@given(st.integers(1, 400))
def test_everybody_has_a_place(faces: int) -> None:
    for size in (SMALL, LARGE):
        columns, side = grid(faces, size)
        assert columns * side <= size[0]
        assert -(-faces // columns) * side <= size[1]


def test_crowds_are_drawn_larger() -> None:
    assert [usual_size(faces) for faces in (1, 16, 17, 100)] == [SMALL, SMALL, LARGE, LARGE]


def test_too_many_faces_are_refused() -> None:
    with pytest.raises(UsageError, match="too small to be found"):
        grid(2000, (320, 180))


# --- a row -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    """The larger ones only take time here."""
    monkeypatch.setattr(floor, "FACES", (1, 2))
    monkeypatch.setattr(floor, "PICTURES", (1, 2))


@pytest.mark.usefixtures("small_batches")
@pytest.mark.parametrize("mode", [BUDGET, EVERY_FACE])
def test_a_row_has_every_figure(clip: Path, mode: str) -> None:
    row = measured(Task(clip, mode, 0.2, Options(precision="f32"), faces=2))
    assert row.keys() >= PROMISED
    assert json.loads(json.dumps(row)) == row
    assert (row["clip"], row["faces"], row["mode"], row["heads"], row["size"]) == ("two", 2, mode, "both", "320x192")
    assert row["faces_found"] == 2
    assert row["frames"] % 10 == 0
    assert row["frames"] >= 10 * (ROUNDS if mode == EVERY_FACE else 1)
    assert row["live_frames"] + row["dropped"] >= 1
    assert all(row[name] > 0 for name in ("fps", "p50_ms", "p95_ms", "busy_p95_ms", "peak_rss_mb"))
    assert row["p50_ms"] <= row["p95_ms"]


@pytest.mark.usefixtures("small_batches")
def test_the_floor_is_of_the_heads_that_are_on(clip: Path) -> None:
    row = measured(Task(clip, EVERY_FACE, 0.1, Options(precision="f32", identity=False)))
    assert row["heads"] == "emotion"
    assert row["faces"] == 2  # as many as were found
    assert set(row["floor"]) == {"cores", "decode", "detect", "emotion"}
    parts = row["floor"]
    together = parts["decode"]["ms"] + parts["detect"]["ms"] + 2 * parts["emotion"]["ms"]
    assert row["floor_ms"] == pytest.approx(together / parts["cores"], rel=0.01)
    assert row["floor_ratio"] == pytest.approx(row["wall_ms"] / row["floor_ms"], rel=0.01)


def test_the_budget_has_no_floor(clip: Path) -> None:
    assert measured(Task(clip, BUDGET, 0.1, Options(precision="f32", identity=False)))["floor_ratio"] is None


@pytest.mark.parametrize("seconds", [0, -1, float("nan"), float("inf")])
def test_seconds_must_be_more_than_none(seconds: float) -> None:
    with pytest.raises(UsageError, match="more than 0"):
        Task(Path("clip.mp4"), BUDGET, seconds, Options())


def test_what_fails_in_the_fresh_process_is_said_here(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="there is no such clip"):
        alone.measured_alone(Task(tmp_path / "none.mp4", BUDGET, 1, Options()))


def test_a_start_that_gives_nothing_is_no_figure(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="gave no row"):
        alone.startup_seconds(tmp_path / "none.png", times=1)


def test_circumstances_name_all_that_figures_hang_on() -> None:
    said = machine.circumstances("manyfaces bench")
    assert said["machine"]["cores"] >= 1
    assert {"python", "openvino", "numpy", "opencv-python-headless", "av"} <= said["versions"].keys()
    assert said["kernels"].startswith(("compiled", "interpreted: "))
    assert said["command"] == "manyfaces bench"


def test_code_outside_a_checkout_has_no_commit(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "types.py").write_text("", encoding="utf-8")
    monkeypatch.setattr(machine, "HERE", tmp_path)
    assert machine.commit() is None


# --- the command -----------------------------------------------------------------------------------------------------


def test_the_command_writes_what_it_shows(
    run: Run, clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a clip whose name is no text, as files from old disks have."""
    named = tmp_path / os.fsdecode(b"two-\xff.mp4")
    shutil.copy(clip, named)
    monkeypatch.setattr(machine, "commit", lambda: None)
    monkeypatch.setattr(alone, "measured_alone", measured)  # in this process: another one takes seconds to begin
    monkeypatch.setattr(alone, "startup_seconds", lambda _: 0.5)
    ran = run(
        "bench", "--clip", named, "--modes", "budget", "--seconds", 0.1, "--json", "figures.json", "--no-identity"
    )
    assert ran.status == 0, ran.err
    figures = json.loads(Path("figures.json").read_text(encoding="utf-8"))
    assert {"machine", "commit", "rows", "versions", "date", "startup_s"} <= figures.keys()
    assert figures["command"].startswith("manyfaces bench --clip ")
    assert [row["mode"] for row in figures["rows"]] == ["budget"]
    assert os.fsencode(figures["rows"][0]["clip"]) == b"two-\xff"
    assert "two" in ran.out
    assert "None" not in ran.out
    assert all(heading in ran.out for heading in ("frames/s", "age p95, ms", "peak memory, MB"))
    assert "0.50 s" in ran.out


@pytest.mark.parametrize(
    ("arguments", "status", "said"),
    [
        (["--modes", "fast"], 2, "mode 'fast'"),
        (["--modes", ""], 2, "mode ''"),
        (["--faces", ""], 2, "--faces ''"),
        (["--faces", "0"], 2, "--faces '0'"),
        (["--faces", "4,-1"], 2, "--faces '4,-1'"),
        (["--faces", "many"], 2, "--faces 'many'"),
        (["--faces", "1980", "--size", "320x180"], 2, "too small"),
        (["--faces", "1981"], 2, "from 1 to 1980"),
        (["--faces", "9" * 5000], 2, "--faces '9999"),
        (["--faces", "\u0664\u00b2"], 2, "--faces"),
        (["--size", "large"], 2, "--size 'large'"),
        (["--size", "321x180"], 2, "even"),
        (["--seconds", "-1"], 2, "more than 0"),
        (["--seconds", "0"], 2, "more than 0"),
        (["--every-face"], 2, "--modes"),
        (["--gallery", "text.mp4"], 2, "--gallery"),
        (["--clip", "none.mp4"], 3, "there is no such clip"),
        (["--clip", "."], 3, "there is no such clip"),
        (["--clip", "text.mp4"], 3, "text.mp4"),
        (["--json", "nowhere/figures.json"], 3, "no folder"),
        (["--json", "text.mp4"], 3, "something else"),
        (["--json", "list.json"], 3, "something else"),
        (["--json", "."], 3, "folder"),
        (["--json", "pipe"], 3, "a device or a pipe"),
        (["--json", "/dev/full"], 3, "a device or a pipe"),
        (["--json", "shut/figures.json"], 3, "cannot be written"),
    ],
)
def test_what_cannot_be_measured_is_refused_in_a_sentence(
    run: Run, arguments: list[str], status: int, said: str
) -> None:
    Path("text.mp4").write_text("no video at all", encoding="utf-8")
    Path("list.json").write_text("[1]", encoding="utf-8")
    os.mkfifo("pipe")
    Path("shut", ".figures.json.partial").mkdir(parents=True)  # where the file would be made
    ran = run("bench", *arguments)
    assert ran.status == status
    assert said in ran.err
    assert ran.err.startswith("manyfaces: ")
    assert len(ran.err.splitlines()) == 1
    assert ran.out == ""


def test_a_still_picture_is_no_clip(run: Run, photo: Path) -> None:
    ran = run("bench", "--clip", photo)
    assert ran.status == 3
    assert "single picture" in ran.err


def test_figures_of_an_earlier_run_are_written_over_but_only_by_whole_ones(tmp_path: Path) -> None:
    place = tmp_path / "figures.json"
    for there in (None, "", '{"machine": {}, "rows": []}'):
        if there is not None:
            place.write_text(there, encoding="utf-8")
        refuse_figures(place, ("machine", "rows"))
        assert list(tmp_path.iterdir()) == ([place] if there is not None else [])
    before = place.read_bytes()
    with pytest.raises(TypeError):
        write_figures(place, {"rows": [object()]})
    assert place.read_bytes() == before
    write_figures(place, {"rows": ["T\u1ed1"]})
    assert "T\u1ed1" in place.read_text(encoding="utf-8")


def test_the_help_names_what_a_row_costs_and_no_flag_that_is_refused(run: Run) -> None:
    told = " ".join(run("bench", "--help").out.replace("│", " ").split())
    assert "about ten minutes" in told
    assert "seconds more" in told
    assert "--modes" in told
    assert "--every-face" not in told
    assert "--gallery" not in told
    assert "--every-face" in run("analyze", "--help").out


@given(st.floats(1e-9, 1e6))
def test_a_pace_is_never_nothing(rate: float) -> None:
    assert not pace(rate).startswith(("0.0/s", "0 s"))


def test_what_is_slow_is_told_by_the_seconds_each_takes() -> None:
    assert [pace(rate) for rate in (12.34, 0.1, 0.02)] == ["12.3/s", "0.1/s", "50 s each"]


@pytest.mark.parametrize(("load", "is_busy"), [(None, False), (0.0, False), (1e6, True)])
def test_a_busy_machine_is_named(monkeypatch: pytest.MonkeyPatch, load: float | None, is_busy: bool) -> None:
    monkeypatch.setattr(machine, "load", lambda: load)
    assert ("busy" in machine.busy()) is is_busy


# --- the programs ----------------------------------------------------------------------------------------------------


def face(**changed: Any) -> Face:
    known = Face(1, (0, 0, 8, 8), 0.9, ((1, 2), (3, 4)), "happy", {"happy": 0.9, "sad": 0.1}, 0.9, "Lan", 0.8, 0.7)
    return replace(known, **changed)


def test_equal_rows_do_not_differ(programs: SimpleNamespace) -> None:
    rows = [result(0, face()), result(1)]
    assert programs.equality.difference(rows, rows).passes


@pytest.mark.parametrize(
    "changed",
    [
        {"track": 2},
        {"emotion": "sad"},
        {"identity": None},
        {"similarity": None},
        {"box": (0, 0, 8, 8.5)},
        {"score": 0.8},
    ],
)
def test_whatever_differs_in_a_face_is_found(programs: SimpleNamespace, changed: dict[str, Any]) -> None:
    found = programs.equality.difference([result(0, face(**changed))], [result(0, face())])
    assert not found.passes


def test_the_largest_deviation_counts(programs: SimpleNamespace) -> None:
    said = [result(0, face(score=0.90001)), result(1, face(box=(0, 0, 8, 8.00005)))]
    found = programs.equality.difference(said, [result(0, face()), result(1, face())])
    assert found.deviation == pytest.approx(5e-5, rel=0.01)
    assert found.passes


def test_missing_frames_faces_and_errors_are_found(programs: SimpleNamespace) -> None:
    difference = programs.equality.difference
    assert not difference([result(0)], [result(0), result(1)]).passes
    assert not difference([result(0, face())], [result(0)]).passes
    assert not difference([result(0, error="broken")], [result(0)]).passes


def test_memory_is_sampled_and_its_slope_leaves_out_the_warm_up(programs: SimpleNamespace) -> None:
    clock = count()  # one second a result
    held = (500.0 if seconds < 180 else 100 + seconds / 3600 for seconds in count(10, 10))
    rows = (result(index, face()) for index in count())
    samples = list(programs.soak.sampled(rows, 600, 10, lambda: float(next(clock)), lambda: next(held)))
    assert [one.seconds for one in samples] == list(range(10, 601, 10))
    assert samples[-1].frames == samples[-1].faces == 600
    found = programs.soak.summary(samples)
    assert found["slope_mb_per_hour"] == pytest.approx(1, abs=0.05)
    assert found["most_mb"] == 500


def test_a_short_soak_has_no_slope(programs: SimpleNamespace) -> None:
    found = programs.soak.summary([programs.soak.Sample(10, 100, 5, 5)])
    assert found["slope_mb_per_hour"] is None


def speed_row(faces: int, mode: str, heads: str = "both", **changed: Any) -> dict[str, Any]:
    known = {"clip": f"grid-{faces}", "faces": faces, "mode": mode, "heads": heads, "fps": 100 / faces, "p50_ms": 5.0}
    floor = {"floor_ratio": 1.05, "wall_ms": 10.5, "floor_ms": 10.0} if mode == EVERY_FACE else {"floor_ratio": None}
    return {**known, "p95_ms": 7.0 * faces, "dropped": 0, "live_frames": 250, **floor, **changed}


def figures(*rows: dict[str, Any]) -> dict[str, Any]:
    return {**machine.circumstances("python benchmarks/speed.py DATA"), "startup_s": 1.2, "rows": list(rows)}


def test_only_what_is_missing_is_measured(programs: SimpleNamespace) -> None:
    tasks = programs.speed.tasks_of(Path("data"), [1, 4], 1.0)
    assert [(task.clip.stem, task.mode, task.heads) for task in tasks[:3]] == [
        ("grid-1", "budget", "both"),
        ("grid-1", "every-face", "both"),
        ("grid-1", "every-face", "emotion"),
    ]
    left = programs.speed.remaining(tasks, [speed_row(1, BUDGET), speed_row(4, EVERY_FACE, "emotion")])
    assert len(left) == len(tasks) - 2
    assert not programs.speed.remaining(tasks, [{"clip": t.clip.stem, "mode": t.mode, "heads": t.heads} for t in tasks])


def test_figures_of_other_code_are_not_mixed(
    programs: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    place = tmp_path / "speed.json"
    place.write_text(json.dumps({**figures(speed_row(1, BUDGET)), "commit": "another"}), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["speed.py", str(tmp_path), "--json", str(place), "--resume"])
    with pytest.raises(SystemExit) as end:
        programs.speed.main()
    assert end.value.code == 2
    assert "other code" in capsys.readouterr().err


def test_a_finished_run_is_only_drawn_again(
    programs: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "speed.json"
    rows = [speed_row(1, BUDGET), speed_row(1, EVERY_FACE), speed_row(1, EVERY_FACE, "emotion")]
    place.write_text(json.dumps(figures(*rows)), encoding="utf-8")
    monkeypatch.setattr(sys, "argv", ["speed.py", str(tmp_path), "--json", str(place), "--resume", "--faces", "1"])
    assert programs.speed.main() == 0
    assert json.loads(place.read_text(encoding="utf-8"))["rows"] == rows
    assert (tmp_path / "speed.png").stat().st_size > 10_000
    assert "</svg>" in (tmp_path / "speed.svg").read_text(encoding="utf-8")


def test_the_line_has_the_fewest_faces_first(programs: SimpleNamespace) -> None:
    rows = [speed_row(16, BUDGET), speed_row(1, BUDGET), speed_row(4, EVERY_FACE), speed_row(4, BUDGET, "emotion")]
    assert programs.curve.points(rows, BUDGET, "both", "fps") == ([1, 16], [100, 6.25])


def test_the_table_has_a_line_for_each_number_of_faces(programs: SimpleNamespace) -> None:
    rows = [speed_row(1, BUDGET), speed_row(1, EVERY_FACE), speed_row(1, EVERY_FACE, "emotion", fps=150.0)]
    late = speed_row(100, BUDGET, dropped=250)
    made = programs.table.speed(figures(*rows, late))
    assert "| 1 | 100.0 | 5, 7 ms | 100.0 | 10.5, 10.0 ms: 1.05 | 150.0 |" in made
    assert "| 100 | 1.0 | 5, 700 ms, 50% dropped | - | - | - |" in made
    assert "`python benchmarks/speed.py DATA`" in made


def test_what_was_measured_stands_in_the_readme(programs: SimpleNamespace) -> None:
    measured_there = (BENCHMARKS / "results" / "speed.json").exists()
    readme = programs.table.DOCUMENTS[0].read_text(encoding="utf-8")
    assert not measured_there or programs.table.speed_table() in readme
