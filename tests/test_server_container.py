"""The container without an engine: its files are linted here, and its steps are run in a clean folder."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parent.parent
INSTALL, HEALTH = "scripts/container-install.sh", "scripts/container-health.py"

Instruction = tuple[str, str]


def instructions() -> list[Instruction]:
    """The Dockerfile's instructions, lines that go on joined, comments left out."""
    text = re.sub(r"^#.*\n", "", (ROOT / "Dockerfile").read_text(encoding="utf-8"), flags=re.MULTILINE)
    lines = re.sub(r"\\\n\s*", " ", text).splitlines()
    return [(line.split()[0], line.partition(" ")[2]) for line in lines if line.strip()]


def arguments(kind: str) -> list[str]:
    return [argument for name, argument in instructions() if name == kind]


def test_the_dockerfile_keeps_the_rules() -> None:
    """Those of hadolint and of Docker's own guide that matter here."""
    names = [name for name, _ in instructions()]
    assert set(names) <= {
        "FROM", "RUN", "COPY", "ENV", "USER", "VOLUME", "EXPOSE", "HEALTHCHECK", "STOPSIGNAL", "ENTRYPOINT"
    }  # fmt: skip
    assert "ADD" not in names
    for base in arguments("FROM"):
        image = base.split()[0]
        assert re.fullmatch(r"python:3\.\d+-slim-\w+", image), "a base has a version and is slim"
    for run in arguments("RUN"):
        assert "sudo" not in run
        assert "curl" not in run
        assert "|" not in run.replace("||", ""), "a pipe hides that its first part failed"
        if "apt-get install" in run:
            assert "--no-install-recommends" in run
            assert "rm -rf /var/lib/apt/lists/*" in run
    for form in ("ENTRYPOINT",):
        assert all(argument.startswith("[") for argument in arguments(form)), "signals reach the server itself"
    assert "CMD [" in arguments("HEALTHCHECK")[0]


def test_the_image_runs_as_nobody_and_holds_no_compiler() -> None:
    last = len(instructions()) - 1 - [name for name, _ in instructions()][::-1].index("FROM")
    final = instructions()[last:]
    user = next(argument for name, argument in final if name == "USER")
    assert re.fullmatch(r"[1-9]\d+:[1-9]\d+", user), "a number can be checked by whoever runs the container"
    assert not any("gcc" in argument for _, argument in final)
    names = [name for name, _ in final]
    assert names.index("USER") < names.index("ENTRYPOINT")
    assert "0.0.0.0" in dict(final)["ENTRYPOINT"]
    assert not [argument for name, argument in final if name == "ENV" and "TOKEN" in argument.upper()], "no secrets"


def test_everything_that_is_copied_is_there_and_not_ignored() -> None:
    kept = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    for argument in arguments("COPY"):
        if not argument.startswith("--from"):
            for source in argument.split()[:-1]:
                assert (ROOT / source).exists()
                assert source in kept


@pytest.fixture
def compose() -> dict[str, Any]:
    said: dict[str, Any] = yaml.safe_load((ROOT / "compose.yaml").read_text(encoding="utf-8"))
    return said


def test_the_composition_gives_away_nothing(compose: dict[str, Any]) -> None:
    service = compose["services"]["manyfaces"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert all(port.startswith("127.0.0.1:") for port in service["ports"])
    assert "privileged" not in service
    assert any(place.startswith("/tmp") for place in service["tmpfs"])
    assert int(service["stop_grace_period"].rstrip("s")) > 30, "longer than the server takes to finish"
    assert set(service["secrets"]) == set(compose["secrets"])
    assert {place.partition(":")[0] for place in service["volumes"]} == set(compose["volumes"])
    assert service["command"] == ["--token-file", f"/run/secrets/{service['secrets'][0]}"]


# --- the steps, run --------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """As the Dockerfile does it, from what it copies and nothing else. The libraries are those that are here already,
    because a test downloads nothing."""
    if sys.version_info < (3, 11):
        pytest.skip("the image has a newer Python, whose tomllib its script uses")
    folder = tmp_path_factory.mktemp("container")
    source, target = folder / "source", folder / "manyfaces"
    for argument in arguments("COPY"):
        if not argument.startswith("--from"):
            for name in argument.split()[:-1]:
                _copy(ROOT / name, source / name)
    here = {**os.environ, "PYTHONPATH": sysconfig.get_paths()["purelib"], "PYTHONDONTWRITEBYTECODE": "1"}
    offline = {"PIP_NO_INDEX": "1", "PIP_NO_DEPS": "1", "PIP_NO_BUILD_ISOLATION": "0"}  # pip's way to say: no isolation
    path = {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    for step in ("libraries", "manyfaces"):
        ran = subprocess.run(
            ["sh", str(source / INSTALL), step, str(target), str(source)],
            env={**here, **offline, **path}, cwd=folder, capture_output=True, text=True,
        )  # fmt: skip
        assert ran.returncode == 0, ran.stdout + ran.stderr
    yield target
    shutil.rmtree(folder)


def _copy(old: Path, new: Path) -> None:
    new.parent.mkdir(parents=True, exist_ok=True)
    if old.is_dir():
        shutil.copytree(old, new, ignore=shutil.ignore_patterns("__pycache__", "*.c", "*.so", "*.egg-info"))
    else:
        shutil.copy2(old, new)


def test_the_steps_install_a_server_that_is_healthy(installed: Path, tmp_path: Path) -> None:
    places = [str(next((installed / "lib").glob("python3*/site-packages"))), sysconfig.get_paths()["purelib"]]
    here = {
        **os.environ, "PYTHONPATH": os.pathsep.join(places), "MANYFACES_TOKENS": "read:" + "t" * 20,
        "MANYFACES_GALLERY": str(tmp_path / "people.db"), "HOME": "/nonexistent", "XDG_CACHE_HOME": str(tmp_path),
    }  # fmt: skip
    python = installed / "bin" / "python"
    command = [str(python), str(installed / "bin" / "manyfaces"), "serve", "--host", "0.0.0.0", "--port", "0"]
    with subprocess.Popen(command, env=here, cwd=tmp_path, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        try:
            address = next(line for line in process.stderr if "serving at" in line).split()[-1]
            asks = {**here, "MANYFACES_PORT": address.rstrip("/").rpartition(":")[2]}
            health = [str(python), str(ROOT / HEALTH)]
            assert subprocess.run(health, env=asks, capture_output=True).returncode == 0
            assert subprocess.run(health, env={**asks, "MANYFACES_PORT": "1"}, capture_output=True).returncode == 1
        finally:
            process.terminate()
        process.stderr.read()
        assert process.wait(60) == 0


def test_an_unknown_step_is_refused(tmp_path: Path) -> None:
    ran = subprocess.run(
        ["sh", str(ROOT / INSTALL), "everything", "a", "b"], capture_output=True, text=True, cwd=tmp_path
    )
    assert ran.returncode == 2
    assert "unknown step" in ran.stderr
