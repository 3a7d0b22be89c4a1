"""How the C library keeps the memory of a process that is ours.

Left alone, glibc gives each thread an arena of its own and moves pictures into them: what one thread frees, another
does not find, and over hours the holes add up (docs/decisions/0008). One arena for all takes a tenth less and stays
flat; it costs nothing here, since Python's small objects do not go through it and pictures are few.
"""

from __future__ import annotations

import ctypes
import os

ARENA_MAX = -8
"""`M_ARENA_MAX` of glibc's malloc.h, which ctypes cannot read."""


def share_one_arena() -> None:
    """For commands, before they start threads; a library must not choose this for whoever imports it. Where the user
    has chosen, or the C library knows nothing of it (musl, macOS, Windows), all stays as it is."""
    if "MALLOC_ARENA_MAX" in os.environ or os.name != "posix":
        return
    choose = getattr(ctypes.CDLL(None), "mallopt", None)
    if choose is not None:
        choose(ARENA_MAX, 1)
