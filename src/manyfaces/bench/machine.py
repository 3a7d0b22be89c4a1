"""Where, when and with what something was measured."""

from __future__ import annotations

import os
import platform
import subprocess
import sys
from datetime import date
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from manyfaces.kernels import interpreted
from manyfaces.runtime import usable_cores

PACKAGES = ("manyfaces", "openvino", "numpy", "opencv-python-headless", "av")
HERE = Path(__file__).resolve().parent.parent


def circumstances(command: str) -> dict[str, Any]:
    """All that a figure needs beside it to be believed, and to be measured again."""
    return {
        "machine": machine(),
        "versions": versions(),
        "commit": commit(),
        "date": date.today().isoformat(),
        "command": command,
        "load_before": load(),
        "kernels": f"interpreted: {', '.join(interpreted())}" if interpreted() else "compiled",
    }


def machine() -> dict[str, Any]:
    return {
        "processor": _told("/proc/cpuinfo", "model name") or platform.processor() or platform.machine(),
        "cores": usable_cores(),
        "memory_gb": _memory_gb(),
        "system": platform.system(),
    }


def load() -> float | None:
    """How many programs wanted a core in the last minute. Figures of a busy machine say little."""
    return round(os.getloadavg()[0], 2) if hasattr(os, "getloadavg") else None


def busy() -> str:
    """A sentence where more programs want a core than there are cores; nothing otherwise."""
    wanted, cores = load(), usable_cores()
    if wanted is None or wanted <= cores:
        return ""
    return f"this machine is busy (load {wanted:.1f}, {cores} cores): stop other programs, or figures say little"


def versions() -> dict[str, str]:
    return {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}}


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"


def commit() -> str | None:
    """The commit of this very code, `-dirty` where it has been changed since; None where it is no checkout of ours. A
    package in a virtual environment may lie inside a repository of somebody else's."""
    if _git("ls-files", "--error-unmatch", str(HERE / "types.py")) is None:
        return None
    changed = _git("status", "--porcelain", "--untracked-files=no", "--", str(HERE))
    named = _git("rev-parse", "--short", "HEAD")
    return f"{named}-dirty" if changed else named


def _git(*arguments: str) -> str | None:
    try:
        done = subprocess.run(["git", "-C", str(HERE), *arguments], capture_output=True, text=True, check=True)
    except (OSError, subprocess.CalledProcessError):
        return None
    return done.stdout.strip()


def peak_rss_mb() -> float:
    """The most memory that was ever resident. Linux's own figure for the running program, since `getrusage` also counts
    what the program that started this one held."""
    peak = _told("/proc/self/status", "VmHWM")
    if peak:
        return int(peak.split()[0]) / 1024
    if sys.platform == "win32":
        return float("nan")
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 1024)


def _memory_gb() -> float | None:
    total = _told("/proc/meminfo", "MemTotal")
    return round(int(total.split()[0]) / 2**20, 1) if total else None


def _told(file: str, name: str) -> str:
    """What a file of `name: value` lines says; nothing on systems without it."""
    try:
        with Path(file).open(encoding="utf-8") as lines:
            return next((line.split(":", 1)[1].strip() for line in lines if line.startswith(name)), "")
    except OSError:
        return ""


def resident_mb() -> float:
    """What is in memory now, not the most there ever was."""
    return int(_told("/proc/self/status", "VmRSS").split()[0]) / 1024
