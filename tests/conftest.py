"""Pictures and data that several tests share. Nothing is downloaded: what is not installed or not there skips."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, files
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image

from manyfaces.cli.main import main
from manyfaces.types import Pixels

REPOSITORY = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="session", autouse=True)
def _empty_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Nobody's plan of this machine is read or written: not what was tuned here, not by a test that comes later."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The development data: beside the repository, or where MANYFACES_DATA says."""
    folder = Path(os.environ.get("MANYFACES_DATA") or REPOSITORY.parent / "shared" / "data")
    if not folder.is_dir():
        pytest.skip(f"{folder}: no development data there; set MANYFACES_DATA to the folder that holds it")
    return folder


@pytest.fixture
def astronaut() -> npt.NDArray[np.uint8]:
    """One smiling face, 512x512 RGB: a NASA portrait in the public domain."""
    return _installed_picture("scikit-image", "data/astronaut.png")


@pytest.fixture
def hopper() -> npt.NDArray[np.uint8]:
    """One earnest face, RGB: a portrait by the US Navy in the public domain."""
    return _installed_picture("matplotlib", "mpl-data/sample_data/grace_hopper.jpg")


def _installed_picture(distribution: str, ending: str) -> npt.NDArray[np.uint8]:
    """A picture that an installed package carries, found through its file list, without importing the package."""
    try:
        listed = files(distribution) or []
    except PackageNotFoundError:
        pytest.skip(f"{distribution} is not installed; it carries the picture {ending}")
    for entry in listed:
        if entry.as_posix().endswith(ending):
            encoded = np.fromfile(str(entry.locate()), np.uint8)
            picture = cv2.imdecode(encoded, cv2.IMREAD_COLOR)
            assert picture is not None, f"{entry} cannot be decoded"
            return np.asarray(picture[:, :, ::-1].copy(), np.uint8)
    pytest.skip(f"this version of {distribution} carries no {ending}")


@dataclass(frozen=True)
class Ran:
    """How a command ended."""

    status: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, object]]:
        return [json.loads(line) for line in self.out.splitlines()]


Run = Callable[..., Ran]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfdbinary: pytest.CaptureFixture[bytes]) -> Run:
    """Run `manyfaces` in this process, in an empty folder, with no gallery of the user's."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MANYFACES_GALLERY", str(tmp_path / "default.db"))
    monkeypatch.setenv("COLUMNS", "200")

    def command(*arguments: object) -> Ran:
        monkeypatch.setattr(sys, "argv", ["manyfaces", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        out, err = capfdbinary.readouterr()
        return Ran(int(end.value.code or 0), out.decode(), err.decode())

    return command


@pytest.fixture
def labelled_faces(tmp_path: Path) -> Path:
    """Noise whose brightness is its label; of 42 pictures 28 to learn, and one of the others is also among these."""
    random = np.random.default_rng(0)
    labels = np.tile(np.arange(7), 6)
    images = (random.integers(0, 40, (42, 48, 48)) + labels[:, None, None] * 30).astype(np.uint8)
    images[41] = images[13]
    np.savez(tmp_path / "faces.npz", images=images, labels=labels, usage=np.repeat([0, 1], [28, 14]))
    return tmp_path / "faces.npz"


@pytest.fixture
def tiny_recipe(tmp_path: Path) -> Path:
    """The smallest network there is, for one epoch."""
    design = {"kind": "residual", "stem": 4, "widths": [8, 8], "depths": [1, 1]}
    (tmp_path / "tiny.json").write_text(json.dumps({"design": design, "plan": {"epochs": 1, "batch": 7, "rate": 0.02}}))
    return tmp_path / "tiny.json"


@pytest.fixture
def photo(tmp_path: Path, astronaut: Pixels) -> Path:
    Image.fromarray(astronaut).save(tmp_path / "collins.png")
    return tmp_path / "collins.png"


@pytest.fixture
def other(tmp_path: Path, hopper: Pixels) -> Path:
    Image.fromarray(hopper).save(tmp_path / "hopper.png")
    return tmp_path / "hopper.png"
