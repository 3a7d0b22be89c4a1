"""One arena for all threads where the process is ours, and the user's choice where there is one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

COUNT = """
import ctypes, sys, tempfile, threading
from manyfaces.arenas import share_one_arena

share_one_arena()
libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
together = threading.Barrier(5)

def take():
    libc.malloc(5000)
    together.wait()  # all hold their block at once, so that no thread gets another's arena
    together.wait()

threads = [threading.Thread(target=take) for _ in range(4)]
for thread in threads:
    thread.start()
together.wait()
with tempfile.NamedTemporaryFile() as file:
    libc.fopen.restype = ctypes.c_void_p
    stream = ctypes.c_void_p(libc.fopen(file.name.encode(), b"w"))
    libc.malloc_info(0, stream)
    libc.fclose(stream)
    print(file.read().count(b"<heap nr="))
together.wait()
"""

glibc = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc keeps several arenas")


def arenas(**chosen: str) -> int:
    surroundings = {name: value for name, value in os.environ.items() if name != "MALLOC_ARENA_MAX"}
    done = subprocess.run(
        [sys.executable, "-c", COUNT], env={**surroundings, **chosen}, capture_output=True, text=True, check=True
    )
    return int(done.stdout)


@glibc
def test_all_threads_share_one_arena() -> None:
    assert arenas() == 1


@glibc
def test_what_the_user_chose_stays() -> None:
    assert arenas(MALLOC_ARENA_MAX="16") > 1
