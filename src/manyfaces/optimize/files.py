"""Files that stay whole, in the folder of one optimisation."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from manyfaces.errors import OutputError


def write_whole(path: Path, content: bytes) -> None:
    """The old content or the new one, never a half: written beside it and renamed."""
    fresh = path.with_name(f".{path.name}.{os.getpid()}.new")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh.write_bytes(content)
        fresh.replace(path)
    except OSError as error:
        raise OutputError(f"{path}: cannot be written ({error.strerror}); make room or choose another folder") from None
    finally:
        fresh.unlink(missing_ok=True)


def file_hash(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while piece := file.read(2**20):
            digest.update(piece)
    return digest.hexdigest()
