"""The hot loops, written once: Cython compiles these files as they stand, and without a compiler Python runs them.

Why and how: docs/decisions/0010-kernels.md. Each kernel releases the interpreter lock while it loops.
"""

from __future__ import annotations

from importlib import import_module

KERNELS = {
    "boxes": "sorting out detections",
    "crops": "cutting faces out of pictures",
    "tracks": "following faces",
}
"""Each module of kernels and the work that is slow where it is not compiled."""


def interpreted() -> dict[str, str]:
    """The kernels that Python interprets here because they were not compiled, and what that makes slow."""
    return {name: slow for name, slow in KERNELS.items() if not import_module(f"{__name__}.{name}").COMPILED}
