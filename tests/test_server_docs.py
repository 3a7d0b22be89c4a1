"""docs/serve.md cannot lie: its curl lines and its Python run against a real server."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from manyfaces.server.guard import role_for
from manyfaces.server.limits import Limits
from serving import Running, running
from test_server_look import video
from test_server_people import RED, textured

PAGE = Path(__file__).resolve().parent.parent / "docs" / "serve.md"
ADDRESS = "http://127.0.0.1:8080"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)


LINES = [line for block in blocks("bash") for line in block.splitlines()]


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Running]:
    monkeypatch.setattr("manyfaces.build.find", lambda _name: (type("Card", (), {"identifier": "by-hand"}), None))
    (tmp_path / "lan.jpg").write_bytes(textured(1, RED))
    (tmp_path / "party.jpg").write_bytes(textured(3, RED))
    (tmp_path / "party.mp4").write_bytes(video(6))
    monkeypatch.chdir(tmp_path)
    with running(tmp_path) as one:
        yield one


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_curl_lines_run_in_their_order(server: Running, tmp_path: Path) -> None:
    assert len(LINES) > 15
    for line in LINES:
        asked = line.replace(ADDRESS, server.address)
        ran = subprocess.run(f"{asked} -sS", shell=True, cwd=tmp_path, capture_output=True, text=True)
        assert ran.returncode == 0, f"{line}\n{ran.stdout}{ran.stderr}"
        assert ran.stdout, line
    assert server.ask.get("/v1/people").json()["people"] == []


def test_the_python_runs(server: Running) -> None:
    (block,) = blocks("python")
    exec(compile(block.replace(ADDRESS, server.address), str(PAGE), "exec"), {})
    assert [person["name"] for person in server.ask.get("/v1/people").json()["people"]] == ["Lan"]


def test_the_limits_that_are_told_are_those_that_are_kept() -> None:
    told, limits = PAGE.read_text(encoding="utf-8"), Limits()
    for said in (
        f"{limits.upload_mb:g} MB; {limits.video_mb / 1024:g} GB",
        f"| {limits.megapixels:g} megapixels, by",
        f"of a request | {limits.pictures} |",
        f"not answered | {limits.waiting} |",
        f"| {limits.pixels:g} megapixels |",
        f"under way | {limits.requests} |",
        f"| {limits.live}, {limits.streams}, {limits.videos} |",
        f"connections | {limits.connections} |",
        f"| {limits.headers:g} s; {limits.silence:g} s;",
        f"an answer | {limits.reading:g} s",
        f"stopped | {limits.drain:g} s",
    ):
        assert said in told, said


@pytest.mark.parametrize(
    ("method", "path", "role"),
    [("GET", "/v1/people", "read"), ("POST", "/v1/people/Lan", "enrol"), ("DELETE", "/v1/people/Lan", "admin")],
)
def test_the_roles_that_are_told_are_those_that_are_asked_for(method: str, path: str, role: str) -> None:
    assert role_for(method, path) == role
