"""The peers' benchmark, as far as it goes without the peers: what is compared with what, and what is measured again."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from importlib import import_module
from itertools import count
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

PEERS = Path(__file__).resolve().parent.parent / "benchmarks" / "peers"
MODULES = ("environments", "measuring", "ours", "report", "run")
speeds = st.floats(0.01, 1000)


@pytest.fixture(scope="module")
def peers() -> Iterator[SimpleNamespace]:
    """The programs as modules; they lie beside the package, not in it."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(PEERS)
        yield SimpleNamespace(**{name: import_module(name) for name in MODULES})


def row(peer: str, fps: float, clip: str = "grid-16", heads: str = "both", **more: Any) -> dict[str, Any]:
    figures = {"fps": fps, "faces_per_frame": 16.0, "peak_rss_mb": 100, "remark": "", "commit": "abc"}
    return {"peer": peer, "clip": clip, "heads": heads, **figures, **more}


# --- ratios and the table --------------------------------------------------------------------------------------------


@given(ours=speeds, rivals=st.lists(speeds, min_size=1, max_size=5))
def test_a_ratio_is_ours_over_the_quickest_peer(peers: SimpleNamespace, ours: float, rivals: list[float]) -> None:
    rows = [row(f"peer {number}", fps) for number, fps in enumerate(rivals)] + [row("manyfaces, budget", ours)]
    (found,) = peers.report.ratios(rows)
    assert found["best_peer_fps"] == max(rivals)
    assert found["ratio"] == pytest.approx(ours / max(rivals), abs=0.005)


def test_only_the_same_work_is_compared(peers: SimpleNamespace) -> None:
    rows = [
        row("slow", 2),
        row("other clip", 50, clip="grid-64"),
        row("other heads", 60, heads="emotion"),
        {"peer": "failed", "clip": "grid-16", "heads": "both", "error": "it fell"},
        row("manyfaces, every-face", 10),
        row("manyfaces, budget", 100),
    ]
    found = peers.report.ratios(rows)
    assert [(one["ours"], one["best_peer"], one["ratio"]) for one in found] == [
        ("manyfaces, every-face", "slow", 5.0),
        ("manyfaces, budget", "slow", 50.0),
    ]


def test_without_a_peer_there_is_no_ratio(peers: SimpleNamespace) -> None:
    assert peers.report.ratios([row("manyfaces, budget", 10)]) == []
    assert peers.report.ratios([row("alone", 10)]) == []


def test_the_table_has_everybody_and_marks_what_is_speed_only(peers: SimpleNamespace) -> None:
    rows = [
        row("deepface", 3.456, remark="random weights, speed only"),
        row("deepface", 1.1, clip="grid-64", remark="random weights, speed only"),
        row("fer", 6, heads="emotion"),
        {"peer": "failed", "clip": "grid-16", "heads": "both", "error": "it fell"},
        row("manyfaces, budget", 98.76),
    ]
    machine = {"processor": "a processor", "cores": 2, "python": "3.11"}
    figures = {"machine": machine, "date": "2026-11-21", "commit": "abc", "seconds": 10.0, "rows": rows}
    table = peers.report.markdown({**figures, "ratios": peers.report.ratios(rows)})
    assert "| both | deepface (1) | 3.46 (16) | 1.10 (16) | 100 |" in table
    assert "| both | **manyfaces, budget** | **98.8 (16)** | - | 100 |" in table
    assert "| emotion | fer | 6.00 (16) | - | 100 |" in table
    assert "28.6 times deepface" in table
    assert "failed" not in table


# --- what is measured again ------------------------------------------------------------------------------------------


def test_a_resumed_run_does_what_is_missing_and_what_changed(peers: SimpleNamespace, tmp_path: Path) -> None:
    clips = [tmp_path / "grid-16.mp4"]
    wanted = peers.run.jobs(clips, tmp_path)
    rows = [row(*_who(job)) for job in wanted]
    assert peers.run.remaining(wanted, peers.run.kept(rows, "abc")) == []

    again = peers.run.remaining(wanted, peers.run.kept(rows, "def"))
    assert [job.peer.split(",")[0] for job in again] == ["manyfaces"] * len(peers.run.OURS)

    failed = {"peer": wanted[0].peer, "heads": wanted[0].heads, "clip": "grid-16", "error": "it fell"}
    assert peers.run.remaining(wanted, peers.run.kept([failed, *rows[1:]], "abc")) == [wanted[0]]


def _who(job: Any) -> tuple[str, float, str, str]:
    return job.peer, 1.0, job.clip.stem, job.heads


def test_every_job_has_its_own_name(peers: SimpleNamespace, tmp_path: Path) -> None:
    jobs = peers.run.jobs([tmp_path / "a.mp4", tmp_path / "b.mp4"], tmp_path)
    assert len({job.key for job in jobs}) == len(jobs) > 20


def test_figures_of_another_machine_are_not_mixed_in(
    peers: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "crowd").mkdir()
    (tmp_path / "crowd" / "grid-16.mp4").touch()
    results = tmp_path / "peers.json"
    results.write_text(json.dumps({"machine": {"processor": "another"}, "rows": []}), encoding="utf-8")
    arguments = ["run.py", str(tmp_path), "--clips", "grid-16", "--json", str(results), "--resume"]
    monkeypatch.setattr(sys, "argv", arguments)
    with pytest.raises(SystemExit) as stopped:
        peers.run.main()
    assert stopped.value.code == 2
    assert "another machine" in capsys.readouterr().err


def test_a_run_keeps_each_figure_as_it_comes(
    peers: SimpleNamespace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """No environment is there, so every peer fails at once and is named; the file holds them all."""
    (tmp_path / "clips").mkdir()
    (tmp_path / "clips" / "street.mkv").touch()
    results = tmp_path / "peers.json"
    monkeypatch.setattr(peers.run, "OURS", ())
    arguments = ["run.py", str(tmp_path), "--clips", "street", "--json", str(results)]
    monkeypatch.setattr(sys, "argv", [*arguments, "--environments", str(tmp_path / "none")])
    assert peers.run.main() == 1
    figures = json.loads(results.read_text(encoding="utf-8"))
    assert {found["peer"] for found in figures["rows"]} == {peer.name for peer in peers.environments.PEERS}
    assert all("environments.py" in found["error"] for found in figures["rows"])
    assert figures["ratios"] == []
    assert figures["machine"]["cores"] >= 1
    assert "has no environment" in capsys.readouterr().err


# --- one program -----------------------------------------------------------------------------------------------------


def measured(peers: SimpleNamespace, folder: Path, program: str) -> dict[str, Any]:
    script = folder / "peer.py"
    script.write_text(program, encoding="utf-8")
    job = peers.run.Job("peer", "both", folder / "clip.mp4", (sys.executable, str(script)))
    found: dict[str, Any] = peers.run.measure(job, 1.0, folder)
    return found


def test_the_last_line_is_the_result(peers: SimpleNamespace, tmp_path: Path) -> None:
    assert measured(peers, tmp_path, "print('chatter'); print('{\"fps\": 3}')") == {"fps": 3}


def test_a_peer_that_fails_is_a_row_that_says_why(peers: SimpleNamespace, tmp_path: Path) -> None:
    found = measured(peers, tmp_path, "raise RuntimeError('no weights')")
    assert found == {"peer": "peer", "heads": "both", "clip": "clip", "error": "RuntimeError: no weights"}


@given(frame=st.floats(0.05, 3), seconds=st.floats(0.5, 5))
def test_the_warm_up_is_not_counted(peers: SimpleNamespace, frame: float, seconds: float) -> None:
    """Each frame takes as long; its face count is its number, so that the sum says which frames were counted."""
    now = 0.0

    def counts() -> Iterator[int]:
        nonlocal now
        for number in count(1):
            now += frame
            yield number

    figures = peers.measuring.timed(counts(), seconds, lambda: now)
    last = round(now / frame)
    first = last - figures.frames + 1
    assert figures.faces == sum(range(first, last + 1))
    assert figures.seconds == pytest.approx(figures.frames * frame)
    assert figures.seconds >= seconds
    assert first > 2
    assert (first - 1) * frame >= 1.0 - 1e-9


@given(length=st.integers(1, 20), ticks=st.floats(0.01, 1))
def test_the_budget_is_measured_in_whole_passes(peers: SimpleNamespace, length: int, ticks: float) -> None:
    clock = count(0, ticks)
    frames = ((number % length, 2) for number in count())
    figures = peers.ours.whole_passes(frames, 1.0, lambda: next(clock))
    assert figures.frames % length == 0
    assert figures.faces == 2 * figures.frames
    assert figures.seconds == pytest.approx(figures.frames * ticks)
    assert figures.seconds >= 1.0


def refused(script: str, *arguments: str) -> str:
    """What a program says when it refuses, which is a sentence and status 2."""
    done = subprocess.run([sys.executable, PEERS / script, *arguments], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    return done.stderr


@pytest.mark.parametrize("script", ["keras_loop.py", "forty_lines_tuned.py", "ours.py"])
def test_a_clip_that_is_not_there_is_refused(script: str) -> None:
    assert "nowhere.mp4: there is no such clip" in refused(script, "nowhere.mp4")


def test_a_run_refuses_a_clip_that_is_not_there(tmp_path: Path) -> None:
    assert "holds no clip grid-1000" in refused("run.py", str(tmp_path), "--clips", "grid-1000")


def test_heads_that_a_peer_does_not_have_are_refused() -> None:
    assert "keras-loop does not do identity" in refused("keras_loop.py", __file__, "--heads", "identity")


def test_a_file_that_is_no_video_is_refused(
    peers: SimpleNamespace, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "clip.mp4").write_bytes(b"no video")
    with pytest.raises(SystemExit) as stopped:
        next(peers.measuring.pictures(tmp_path / "clip.mp4"))
    assert stopped.value.code == 2
    assert "cannot decode" in capsys.readouterr().err


# --- the environments ------------------------------------------------------------------------------------------------


def test_every_peer_has_a_script_and_pinned_packages(peers: SimpleNamespace) -> None:
    everybody = (*peers.environments.PEERS, peers.environments.WORKSHOP)
    assert len({peer.name for peer in everybody}) == len({peer.script for peer in everybody}) == len(everybody)
    for peer in everybody:
        assert (PEERS / peer.script).is_file()
        assert all("==" in package for package in (*peer.packages, *peer.bare))


def test_no_script_hides_the_package_it_measures(peers: SimpleNamespace) -> None:
    """A script's folder comes first on its path: one named fer.py would import itself."""
    packages = {
        package.partition("==")[0] for peer in peers.environments.PEERS for package in peer.packages + peer.bare
    }
    assert not packages & {peer.script.removesuffix(".py") for peer in peers.environments.PEERS}


def test_a_changed_pin_makes_an_environment_unfinished(peers: SimpleNamespace, tmp_path: Path) -> None:
    peer = peers.environments.PEERS[0]
    assert not peers.environments.is_ready(tmp_path, peer)
    (tmp_path / peer.name).mkdir()
    mark = tmp_path / peer.name / peers.environments.MARK
    mark.write_text(peer.wanted, encoding="utf-8")
    assert peers.environments.is_ready(tmp_path, peer)
    mark.write_text("fer==1.0\n", encoding="utf-8")
    assert not peers.environments.is_ready(tmp_path, peer)
