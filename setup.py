"""The compiled half of the build; everything else stands in pyproject.toml.

The kernels are optional: where Cython or a C compiler is missing, the same files are installed and run interpreted.
"""

from __future__ import annotations

import os

from setuptools import Extension, setup

KERNELS = ("boxes", "crops", "tracks")

FLAGS = [] if os.name == "nt" else ["-O3", "-g0", "-ffp-contract=off"]
"""No fused multiply-add: compiled and interpreted must give the same numbers. No `-march`: wheels travel. No
debugging symbols: a fifth of the size."""


def extensions() -> list[Extension]:
    try:
        from Cython.Build import cythonize
    except ImportError:
        return []
    found = [
        Extension(
            f"manyfaces.kernels.{name}",
            [f"src/manyfaces/kernels/{name}.py"],
            extra_compile_args=FLAGS,
        )
        for name in KERNELS
    ]
    made: list[Extension] = cythonize(found, build_dir="build/cython", language_level=3, quiet=True)
    for extension in made:
        extension.optional = True  # cythonize makes new ones and forgets this where it is said above
    return made


setup(ext_modules=extensions())
