"""One module through Cython and the C compiler, in a process of its own; its order comes on standard input.

Both tools write where they stand, talk on standard error and end the process as they like; here they may.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

FLAGS = [] if os.name == "nt" else ["-O3", "-g0", "-ffp-contract=off"]
"""As for our own kernels: no fused multiply-add, which rounds otherwise than Python; no `-march`, wheels travel."""


def main(order: dict[str, Any]) -> None:
    from Cython.Build import cythonize
    from setuptools import Extension

    folder = Path(order["folder"])
    headers = _headers(Path(order["root"], order["source"]))
    extension = Extension(order["name"], [order["source"]], extra_compile_args=FLAGS, include_dirs=headers)
    os.chdir(order["root"])  # tracebacks then name the source from there, and .pxd files are found
    (made,) = cythonize(  # type: ignore[no-untyped-call]
        [extension],
        build_dir=str(folder / "c"),
        compiler_directives=order["directives"],
        include_path=["."],
        annotate=order["annotate"],
        language_level=3,
        force=True,
        quiet=True,
    )
    made.sources.append(str(_marked(folder, order["mark"])))
    _compile(made, folder)


def _headers(source: Path) -> list[str]:
    """NumPy's, for a module that asks for them with a cimport."""
    if b"numpy" not in source.read_bytes():
        return []
    import numpy

    return [numpy.get_include()]


def _marked(folder: Path, mark: str) -> Path:
    """A text that the linker keeps, by which the library is known as ours."""
    file = folder / "mark.c"
    export = "#ifdef _WIN32\n__declspec(dllexport)\n#endif\n"
    file.write_text(f"{export}const char manyfaces_compiled[] = {json.dumps(mark)};\n", encoding="ascii")
    return file


def _compile(extension: Any, folder: Path) -> None:
    from setuptools import Distribution
    from setuptools.command.build_ext import build_ext

    command = build_ext(Distribution({"ext_modules": [extension]}))
    command.build_lib, command.build_temp = str(folder / "library"), str(folder / "objects")
    command.ensure_finalized()
    command.run()


if __name__ == "__main__":
    main(json.load(sys.stdin))
