"""`manyfaces serve` as a command: what it refuses, and a real process with the real networks from start to end."""

from __future__ import annotations

import io
import json
import os
import shutil
import signal
import socket
import ssl
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from conftest import Run
from manyfaces.client import Client, Refused
from manyfaces.types import Pixels
from threads import DEADLINE

TOKEN = "t" * 20


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--host", "0.0.0.0"], "needs tokens"),
        (["--host", "192.168.1.5"], "needs tokens"),
        (["--token-file", "none"], "cannot be read"),
        (["--tls-certificate", "none.pem"], "belong together"),
        (["--tls-certificate", "none.pem", "--tls-key", "none.pem"], "no such file"),
        (["--port", "70000"], "port"),
        (["--max-upload", "0"], "max-upload"),
        (["--emotion-rate", "0"], "emotion rate"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_is_loaded(run: Run, arguments: list[str], said: str) -> None:
    ran = run("serve", *arguments)
    assert ran.status == 2
    assert said in ran.err
    assert "Traceback" not in ran.err


def test_a_port_that_is_taken(run: Run) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        ran = run("serve", "--port", taken.getsockname()[1])
    assert ran.status == 2
    assert "cannot listen there" in ran.err


def test_without_the_extra_it_says_which(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "fastapi", None)
    ran = run("serve")
    assert ran.status == 3
    assert "[serve]" in ran.err


# A shell that starts tests in the background switches Ctrl-C off, and its children inherit that.
SERVE = (
    "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler); "
    "from manyfaces.cli.main import main; sys.argv[0] = 'manyfaces'; main()"
)


@contextmanager
def process(folder: Path, *arguments: object, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    command = [sys.executable, "-c", SERVE, "serve", "--port", "0", "--precision", "f32", *map(str, arguments)]
    here = {**os.environ, "MANYFACES_GALLERY": str(folder / "people.db"), **environment}
    with subprocess.Popen(command, env=here, cwd=folder, stderr=subprocess.PIPE, text=True) as one:
        assert one.stderr is not None
        try:
            yield one, next(line for line in one.stderr if "serving at" in line).split()[-1]
        finally:
            if one.poll() is None:
                one.kill()


def jpeg(image: Pixels) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "JPEG", quality=95)
    return file.getvalue()


@pytest.mark.parametrize(("by", "status"), [(signal.SIGTERM, 0), (signal.SIGINT, 130)])
def test_a_server_with_the_real_networks_until_a_signal_comes(
    tmp_path: Path, astronaut: Pixels, run: Run, by: signal.Signals, status: int
) -> None:
    (tmp_path / "collins.jpg").write_bytes(jpeg(astronaut))
    (plain,) = run("analyze", tmp_path / "collins.jpg", "--precision", "f32").rows
    with process(tmp_path) as (one, address):
        client = Client(address, timeout=DEADLINE)
        assert client.is_ready()
        (result,) = client.analyze(tmp_path / "collins.jpg")
        (face,) = result.faces
        assert json.loads(json.dumps(plain))["faces"][0]["box"] == pytest.approx(list(face.box), abs=0.2)
        assert face.emotion == plain["faces"][0]["emotion"]  # type: ignore[index]
        assert client.add("Collins", tmp_path / "collins.jpg", consent=True).added == 1
        assert client.analyze(jpeg(np.ascontiguousarray(astronaut[:, ::-1])))[0].faces[0].identity == "Collins"
        assert {model["task"] for model in client.system()["models"]} == {"detection", "emotion", "identity"}
        one.send_signal(by)
        assert one.stderr is not None
        rest = one.stderr.read()
        assert one.wait(DEADLINE) == status
    assert "Traceback" not in rest
    assert "Collins" not in rest
    assert all(json.loads(line)["event"] for line in rest.splitlines())


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_with_a_certificate_and_tokens(tmp_path: Path) -> None:
    subprocess.run(
        "openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=IP:127.0.0.1 "
        "-keyout key.pem -out certificate.pem", shell=True, check=True, cwd=tmp_path, capture_output=True,
    )  # fmt: skip
    certificate = tmp_path / "certificate.pem"
    context = ssl.create_default_context(cafile=str(certificate))
    files = ("--tls-certificate", certificate, "--tls-key", tmp_path / "key.pem", "--no-identity")
    with process(tmp_path, *files, MANYFACES_TOKENS=f"admin:{TOKEN}") as (one, address):
        assert address.startswith("https://")
        assert Client(address, TOKEN, context=context).system()["role"] == "admin"
        with pytest.raises(Refused, match="token"):
            Client(address, context=context).system()
        with pytest.raises(Refused, match="without identity"):
            Client(address, TOKEN, context=context).add("Lan", jpeg(np.zeros((64, 64, 3), np.uint8)), consent=True)
        one.terminate()
        assert one.stderr is not None
        one.stderr.read()
        assert one.wait(DEADLINE) == 0
