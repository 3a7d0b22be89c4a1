"""The command line as a user meets it: exit status, sentences, files; also with everything wrong."""

from __future__ import annotations

import json
import math
import os
import signal
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from conftest import Run
from manyfaces.cli.main import main
from manyfaces.cli.summary import Ages, Summary
from manyfaces.cli.unbroken import Unbroken
from manyfaces.errors import UsageError
from manyfaces.options import Options
from manyfaces.types import Face, FrameResult, Timing, Unreadable


def test_rows_go_to_standard_output_when_nobody_looks_at_a_terminal(run: Run, photo: Path) -> None:
    ran = run("analyze", "collins.png", "--quiet")
    assert (ran.status, ran.err) == (0, "")
    (row,) = ran.rows
    (face,) = row["faces"]  # type: ignore[misc]
    assert (row["stream"], row["index"], row["width"]) == ("collins.png", 0, 512)
    assert face["emotion"] == "happy"
    assert len(face["landmarks"]) == 5
    assert face["identity"] is None


def test_all_outputs_at_once(run: Run, photo: Path, tmp_path: Path) -> None:
    pytest.importorskip("pyarrow")
    ran = run(
        *("analyze", "collins.png", "-o", "a.jsonl", "-o", "a.csv", "-o", "a.parquet"),
        *("--annotate", "out/", "--report", "a.html"),
    )
    assert ran.status == 0
    assert ran.out == ""
    assert "happy 100%" in ran.err
    for name in ("a.jsonl", "a.csv", "a.parquet", "a.html", "out/collins.png"):
        assert (tmp_path / name).stat().st_size > 100, name


def test_heads_that_are_switched_off_say_nothing(run: Run, photo: Path) -> None:
    (row,) = run("analyze", "collins.png", "--no-emotion", "--no-identity").rows
    (face,) = row["faces"]  # type: ignore[misc]
    assert (face["emotion"], face["emotions"], face["identity"], face["similarity"]) == (None, {}, None, None)


def test_one_input_that_fails_does_not_stop_the_others(run: Run, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "text.jpg").write_text("not a picture")
    ran = run("analyze", "gone.jpg", "text.jpg", "collins.png", "--quiet")
    assert ran.status == 1
    assert [row["stream"] for row in ran.rows] == ["text.jpg", "collins.png"]
    assert ran.rows[0]["error"]
    assert ran.err.count("manyfaces: ") == 2
    assert "gone.jpg" in ran.err


def test_nothing_could_be_done(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    for wrong in ("gone.mp4", "empty", "nothing-*.jpg"):
        ran = run("analyze", wrong)
        assert ran.status == 3, wrong
        assert len(ran.err.strip().splitlines()) == 1, ran.err
        assert "Traceback" not in ran.err


@pytest.mark.parametrize(
    "wrong",
    [
        ["--threshold", "nan"],
        ["--threshold", "-1"],
        ["--min-face", "-3"],
        ["--min-face", "nan"],
        ["--detector", "psychic"],
        ["--runtime", "abacus"],
        ["--precision", "f8"],
        ["--threads", "-2"],
        ["-o", "rows.xls"],
        ["--annotate", "film.doc"],
        ["--max-frames", "0"],
        ["--no-such-flag"],
        ["--emotion-rate", "inf"],
        ["--emotion-rate", "nan"],
        ["--every-face", "--emotion-rate", "3"],
    ],
)
def test_wrong_usage(run: Run, photo: Path, wrong: list[str]) -> None:
    ran = run("analyze", "collins.png", *wrong)
    assert ran.status == 2
    assert "Traceback" not in ran.err
    assert ran.err.strip()


def test_an_output_that_cannot_be_written(run: Run, photo: Path) -> None:
    for place in ("no/such/folder/rows.jsonl", "/proc/rows.jsonl"):
        ran = run("analyze", "collins.png", "-o", place)
        assert ran.status == 3
        assert place in ran.err
        assert len(ran.err.strip().splitlines()) == 1


def test_a_full_disk_is_said_before_any_work_is_done(run: Run, photo: Path, tmp_path: Path) -> None:
    if not Path("/dev/full").is_char_device():
        pytest.skip("this system has no /dev/full")
    (tmp_path / "full.csv").symlink_to("/dev/full")
    ran = run("analyze", "collins.png", "-o", "rows.jsonl", "-o", "full.csv")
    assert ran.status == 3
    assert "full.csv" in ran.err
    assert (tmp_path / "rows.jsonl").read_text() == ""


def test_a_device_is_never_replaced_by_a_file(run: Run, photo: Path, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.html")
    ran = run("analyze", "collins.png", "--report", "pipe.html")
    assert ran.status == 3
    assert "is a device or a pipe" in ran.err
    assert (tmp_path / "pipe.html").is_fifo()


def test_wrong_weights_are_never_run(run: Run, photo: Path, tmp_path: Path) -> None:
    from manyfaces.weights import find

    card, path = find("emotion")
    card.write(tmp_path / "mine.json")
    (tmp_path / "mine.onnx").write_bytes(path.read_bytes() + b"x")
    ran = run("analyze", "collins.png", "--emotion-model", "mine.onnx")
    assert ran.status == 3
    assert "these are not the weights of" in ran.err
    ran = run("analyze", "collins.png", "--emotion-model", "yunet")
    assert "does detection, not emotion" in ran.err


def test_a_camera_that_is_absent(run: Run) -> None:
    if Path("/dev/video63").exists():
        pytest.skip("this machine has 64 cameras")
    ran = run("analyze", "63")
    assert ran.status == 3
    assert "63" in ran.err


def test_no_network(run: Run) -> None:
    ran = run("analyze", "http://127.0.0.1:9/stream.mp4", "--quiet")
    assert ran.status == 3
    assert "127.0.0.1" in ran.err


def test_debug_shows_where(run: Run, monkeypatch: pytest.MonkeyPatch, photo: Path) -> None:
    monkeypatch.setattr(sys, "argv", ["manyfaces", "analyze", "collins.png", "--threshold", "7", "--debug"])
    with pytest.raises(UsageError, match="must lie between 0 and 1"):
        main()


def test_every_option_is_a_flag_with_the_same_default(run: Run) -> None:
    shown = run("analyze", "--help").out
    for field in fields(Options):
        assert f"--{field.name.replace('_', '-')}" in shown


def test_every_face_and_a_rate_exclude_each_other() -> None:
    assert Options(every_face=True, emotion_rate=8).every_face
    with pytest.raises(UsageError, match="drop one of the two"):
        Options(every_face=True, emotion_rate=3)
    with pytest.raises(UsageError, match="emotion rate inf: expected a number"):
        Options(emotion_rate=math.inf)


def test_commands_list_only_options_that_mean_something_to_them(run: Run) -> None:
    verify, identify = run("verify", "--help").out, run("identify", "--help").out
    for flag in ("--every-face", "--emotion-rate", "--emotion-model", "--no-emotion", "--no-identity"):
        assert flag not in verify, flag
        assert flag not in identify, flag
    assert "--detector" in verify
    assert "--detector" in identify
    assert "--gallery" in identify
    assert "--gallery" not in verify


@pytest.mark.parametrize("live", [[], ["--live"]])
def test_an_input_given_twice_is_read_once(run: Run, photo: Path, other: Path, live: list[str]) -> None:
    ran = run("analyze", "hopper.png", "collins.png", "hopper.png", "collins.png", "collins.png", "-q", *live)
    assert ran.status == 0
    assert [row["stream"] for row in ran.rows] == ["hopper.png", "collins.png"]
    assert ran.err == "manyfaces: hopper.png: given 2 times, and read once, like 1 more\n"


def test_head_may_close_the_pipe(photo: Path, other: Path) -> None:
    (photo.parent / "again.png").write_bytes(photo.read_bytes())
    code = f"'{sys.executable}' -m manyfaces analyze collins.png hopper.png again.png -q | head -c 10"
    done = subprocess.run(code, shell=True, cwd=photo.parent, capture_output=True, env={**os.environ}, check=False)
    assert done.stdout == b'{"stream":'
    assert done.stderr == b""


def test_the_models_are_listed_checked_and_healthy(run: Run) -> None:
    listed = run("models", "list")
    assert listed.status == 0
    assert all(name in listed.out for name in ("yunet-2023mar", "sface-2021dec", "emotion-", "MIT", "Apache-2.0"))
    checked = run("models", "check")
    assert checked.status == 0
    assert checked.out.count("hash right, runs") == 3
    doctor = run("doctor")
    assert doctor.status == 0
    assert "openvino" in doctor.out


def test_version_and_help(run: Run) -> None:
    assert run("--version").out.startswith("manyfaces 0.")
    assert "analyze" in run("--help").out
    assert run().status == 2


def test_an_output_never_destroys_what_is_being_read(run: Run, photo: Path, tmp_path: Path) -> None:
    before = photo.read_bytes()
    (tmp_path / "clip.html").write_bytes(before)
    for outputs in (["--annotate", "collins.png"], ["-o", "default.db"], ["--report", "collins.png"]):
        ran = run("analyze", "collins.png", *outputs)
        assert ran.status in (2, 3), outputs
    assert run("analyze", "clip.html", "--report", "clip.html").status == 2
    assert photo.read_bytes() == (tmp_path / "clip.html").read_bytes() == before
    assert "two outputs" in run("analyze", "collins.png", "-o", "a.jsonl", "-o", "./a.jsonl").err


def test_a_file_of_before_is_kept_when_nothing_can_be_done(run: Run, photo: Path, tmp_path: Path) -> None:
    (tmp_path / "old.jsonl").write_text("precious")
    assert run("analyze", "gone.jpg", "-o", "old.jsonl").status == 3
    assert run("analyze", "collins.png", "-o", "old.jsonl", "--threshold", "nan").status == 2
    assert run("analyze", "collins.png", "-o", "old.jsonl", "--gallery", "gone.db").status == 3
    assert run("analyze", "collins.png", "-o", "old.jsonl", "-o", "no/folder.csv").status == 3
    assert (tmp_path / "old.jsonl").read_text() == "precious"


def test_one_picture_cannot_hold_a_film(run: Run, photo: Path, other: Path, tmp_path: Path) -> None:
    ran = run("analyze", "collins.png", "hopper.png", "--annotate", "both.png")
    assert ran.status == 2
    assert ran.out == ""
    assert not (tmp_path / "both.png").exists()


def test_being_asked_to_end_finishes_the_files(photo: Path, tmp_path: Path) -> None:
    """SIGTERM in the middle of endless work: whole rows, a whole page, nothing left over."""
    (tmp_path / "album").mkdir()
    for number in range(400):
        (tmp_path / "album" / f"{number}.png").symlink_to(photo)
    words = ["analyze", "album", "-o", "rows.jsonl", "--report", "page.html", "-q"]
    running = subprocess.Popen([sys.executable, "-m", "manyfaces", *words], cwd=tmp_path, stderr=subprocess.PIPE)
    rows = tmp_path / "rows.jsonl"
    while running.poll() is None and not (rows.exists() and rows.stat().st_size):
        pass
    running.terminate()
    _, said = running.communicate(timeout=60)
    assert (running.returncode, said) == (143, b"")
    lines = rows.read_text().splitlines()
    assert lines
    assert all(json.loads(line)["faces"] for line in lines)
    assert (tmp_path / "page.html").read_text().rstrip().endswith("</html>")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["album", "collins.png", "page.html", "rows.jsonl"]


STARTING = """
import signal, sys

signal.signal({number}, signal.{handler})

class Meddler:
    def find_spec(self, name, *_):
        if name == {module!r}:
            try:
                signal.raise_signal({number})
            except BaseException:
                raise ImportError("initialization failed")

sys.meta_path.insert(0, Meddler())
sys.argv = ["manyfaces", "analyze", "collins.png", "-q"]
from manyfaces.cli.main import main
main()
"""
"""A signal that comes while a module is imported; what a library written in C makes of an exception there."""


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("module", ["typer", "manyfaces.cli.people", "openvino"])
def test_a_signal_while_all_starts_is_no_error(photo: Path, module: str, number: signal.Signals) -> None:
    code = STARTING.format(module=module, number=int(number), handler="default_int_handler")
    done = subprocess.run([sys.executable, "-c", code], cwd=photo.parent, capture_output=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (128 + number, b"", b"")


def test_a_signal_that_is_switched_off_stays_so(photo: Path) -> None:
    code = STARTING.format(module="typer", number=int(signal.SIGTERM), handler="SIG_IGN")
    done = subprocess.run([sys.executable, "-c", code], cwd=photo.parent, capture_output=True, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["faces"]


@pytest.mark.parametrize("moment", ["write", "close"])
def test_a_signal_waits_until_a_result_is_written(moment: str) -> None:
    """The signal comes in the middle of the sink's work, and takes effect right after it."""
    done: list[str] = []

    class Slow:
        def __enter__(self) -> Slow:
            return self

        def __exit__(self, *_: object) -> None:
            self._work("close")

        def write(self, *_: object) -> None:
            self._work("write")

        def _work(self, what: str) -> None:
            if what == moment:
                signal.raise_signal(signal.SIGINT)
            done.append(what)

    former = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), Unbroken(Slow()) as sink:
            sink.write(Unreadable("a", 0, 0.0, ""), FrameResult("a", 0, 0.0, 0, 0, ()))
        assert done == ["write", "close"]
        assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    finally:
        signal.signal(signal.SIGINT, former)


def test_the_demo_finds_everybody_and_says_how(run: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("manyfaces.cli.demo.SECONDS", 1)
    monkeypatch.setattr("manyfaces.cli.demo.RATE", 12)
    ran = run("demo")
    assert ran.status == 0
    (line,) = [line for line in ran.err.splitlines() if "film.mp4" in line]
    assert [cell.strip() for cell in line.split("│")][2:4] == ["12", "6"]
    page = (tmp_path / "manyfaces-demo" / "report.html").read_text()
    assert "yunet-2023mar" in page
    assert "people.db" in page


def test_figures_never_replace_another_file(run: Run, tmp_path: Path, photo: Path) -> None:
    (tmp_path / "truth.json").write_text('{"collins.png": [[178, 62, 268, 176]]}')
    assert run("evaluate", "detection", "--truth", "truth.json", "--json", "truth.json").status == 3
    assert "collins.png" in (tmp_path / "truth.json").read_text()
    ran = run("evaluate", "detection", "--truth", "truth.json", "--json", "figures.json")
    assert ran.status == 0
    assert json.loads((tmp_path / "figures.json").read_text())["recall"] == 1.0
    assert run("evaluate", "detection", "--truth", "truth.json", "--json", "figures.json").status == 0


def test_live_says_what_was_dropped_and_how_old_results_were(run: Run, photo: Path) -> None:
    ran = run("analyze", "collins.png", "--live")
    assert ran.status == 0
    assert "dropped" in ran.err
    assert "age p50 / p95" in ran.err
    (row,) = ran.rows
    assert row["timing"]["dropped"] == 0  # type: ignore[index]
    assert row["timing"]["age"] >= 0  # type: ignore[index]


def test_a_recording_has_nothing_to_say_of_age(run: Run, photo: Path) -> None:
    ran = run("analyze", "collins.png")
    assert "collins.png" in ran.err
    assert "dropped" not in ran.err
    assert "age" not in ran.rows[0]["timing"]  # type: ignore[operator]


def test_one_film_of_cameras_is_refused_before_anything_is_opened(run: Run, photo: Path, tmp_path: Path) -> None:
    for names in (["0", "1"], ["collins.png", "http://127.0.0.1:9/a"]):
        ran = run("analyze", *names, "--annotate", "all.mp4")
        assert ran.status == 2
        assert "give a folder" in ran.err
    assert not (tmp_path / "all.mp4").exists()


def test_a_stream_that_is_not_there_does_not_stop_the_files(run: Run, photo: Path, other: Path) -> None:
    ran = run("analyze", "http://127.0.0.1:9/a.mp4", "collins.png", "97", "hopper.png", "-q")
    assert ran.status == 1
    assert sorted(row["stream"] for row in ran.rows if row["faces"]) == ["collins.png", "hopper.png"]  # type: ignore[type-var]
    assert ran.err.count("manyfaces: ") == 2


@given(st.lists(st.floats(0.001, 20), min_size=1, max_size=200), st.sampled_from([0.5, 0.95]))
def test_ages_are_exact_to_two_percent(ages: list[float], share: float) -> None:
    counted = Ages()
    for age in ages:
        counted.add(age)
    exact = sorted(ages)[math.ceil(share * len(ages)) - 1]
    assert counted.within(share) == pytest.approx(exact, rel=0.011)


def test_the_summary_counts_streams_that_come_mixed(capsys: pytest.CaptureFixture[str]) -> None:
    summary = Summary()
    for index in range(3):
        for number in range(25):
            timing = Timing(dropped=7, age=0.05) if number == 0 else Timing()
            summary.count(FrameResult(f"clip {number}", index + 1, 0.0, 9, 9, (), timing=timing))
    summary.show()
    said = capsys.readouterr().err
    assert "and 5 more" in said
    assert " 21 " in said, "three times seven frames were dropped"
    assert "50 / 50 ms" in said or "51 / 51 ms" in said or "49 / 49 ms" in said


@pytest.mark.parametrize(("frames", "counted"), [(10, 7), (11, 6), (200, 6)])
def test_a_number_that_was_corrected_at_once_is_no_face_more(
    capsys: pytest.CaptureFixture[str], frames: int, counted: int
) -> None:
    summary = Summary()
    for index in range(frames):
        numbers = (*range(5), 99 if index in (4, 5) else 5)
        faces = tuple(Face(n, (0.0, 0.0, 9.0, 9.0), 0.9, (), None, {}, None, None, None, None) for n in numbers)
        summary.count(FrameResult("film.mp4", index, index / 25, 99, 99, faces))
    summary.show()
    (line,) = [line for line in capsys.readouterr().err.splitlines() if "film.mp4" in line]
    assert [cell.strip() for cell in line.split("│")][1:4] == ["film.mp4", str(frames), str(counted)]


def test_ages_of_a_long_run_take_little_memory() -> None:
    ages = Ages()
    for number in range(100_000):
        ages.add(number / 1000)
    assert len(ages) == 100_000
    assert len(ages._classes) < 1000
