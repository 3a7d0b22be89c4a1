"""Compiled modules in a wheel, with everything of their package; for machines of this kind with this Python.

As a program it packs one, in a process of its own: setuptools reads and writes where it stands.
"""

from __future__ import annotations

import ast
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from manyfaces.optimize.compiling import Built, CompilingError, Module, ask, built_in_place

LEFT_OUT = ("__pycache__", "*.pyc", "*.pyo")


def refuse_mixture(modules: Sequence[Module]) -> None:
    """One wheel holds what has one search path and one name."""
    tops = sorted({_top(module) for module in modules})
    if len({module.root for module in modules}) > 1 or len(tops) > 1:
        raise CompilingError(f"--wheel: {', '.join(tops)} do not belong together; pack a wheel for each")


def pack(built: Sequence[Built], workplace: Path) -> Path:
    """The wheel, still in `workplace`. Sources go with it, so that a traceback shows their lines."""
    stage = workplace / "wheel"
    stage.mkdir()
    first = built[0].module
    _stage(first, stage)
    order = {
        "name": _top(first),
        "version": _version(first),
        "is_package": "." in first.name or first.is_package,
        "libraries": {_extension_name(one.module): str(one.library) for one in built},
    }
    done = ask("manyfaces.optimize.compile_wheel", order, stage)
    made = next(stage.glob("dist/*.whl"), None)
    if made is None:
        last = (done.stderr.strip().splitlines() or ["it ended without a word"])[-1]
        raise CompilingError(
            f"--wheel: it could not be packed: {last}; see that the package can be packed by setuptools"
        )
    return made


def _top(module: Module) -> str:
    return module.name.split(".")[0]


def _extension_name(module: Module) -> str:
    return f"{module.name}.__init__" if module.is_package else module.name


def _stage(module: Module, stage: Path) -> None:
    """A copy of the whole package, or of the one module, without what earlier runs have left in it."""
    if module.name == _top(module) and not module.is_package:
        shutil.copy(module.source, stage)
        return
    package = stage / _top(module)
    shutil.copytree(module.root / _top(module), package, ignore=shutil.ignore_patterns(*LEFT_OUT))
    for source in [*package.rglob("*.py"), *package.rglob("*.pyx")]:
        for left in built_in_place(Module(source, source.stem, stage)):
            left.unlink()


def _version(module: Module) -> str:
    """The text that `__version__` is set to, in the package or the module; 0 where there is none."""
    package = module.root / _top(module) / "__init__.py"
    source = package if package.is_file() else module.source
    if source.suffix != ".py":
        return "0"
    for node in ast.parse(source.read_bytes()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Constant):
            names = [target.id for target in node.targets if isinstance(target, ast.Name)]
            if "__version__" in names:
                return str(node.value.value)
    return "0"


# --- the program -----------------------------------------------------------------------------------------------------


def main(order: dict[str, Any]) -> None:
    from setuptools import Extension, find_packages, setup
    from setuptools.command.build_ext import build_ext

    class Ready(build_ext):  # type: ignore[misc]  # setuptools ships no types
        """The libraries are there; setuptools only has to put them where they belong."""

        def build_extension(self, extension: Any) -> None:
            place = Path(self.get_ext_fullpath(extension.name))
            place.parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(order["libraries"][extension.name], place)

    top = order["name"]
    setup(
        script_args=["--quiet", "bdist_wheel"],
        name=top,
        version=order["version"],
        packages=find_packages(include=[top, f"{top}.*"]) if order["is_package"] else [],
        py_modules=[] if order["is_package"] else [top],
        package_data={"": ["**/*"]},
        ext_modules=[Extension(name, []) for name in order["libraries"]],
        cmdclass={"build_ext": Ready},
    )


if __name__ == "__main__":
    main(json.load(sys.stdin))
