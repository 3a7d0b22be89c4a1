"""An expression in a module that is interpreted, or compiled, timed in a process of its own.

Its order comes on standard input, and its answer, with the result in plain values, goes to a file.

Which of the two is loaded is not left to the search path: the order names the file.
"""

from __future__ import annotations

import json
import pickle
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import fields, is_dataclass
from importlib import import_module
from importlib.abc import MetaPathFinder
from importlib.machinery import ExtensionFileLoader, ModuleSpec, SourceFileLoader
from importlib.util import spec_from_file_location
from pathlib import Path
from types import CodeType, ModuleType
from typing import Any

SECONDS = 0.3
"""For how long an expression is repeated; one that takes longer runs once."""


def main(order: dict[str, Any]) -> None:
    sys.dont_write_bytecode = True  # the user's folder stays as it is
    sys.path[0] = order["root"]
    sys.meta_path.insert(0, _Chosen(order["files"], order["places"]))
    names = _names(list(order["files"]))
    # After the import, for what an expression finds in it may be what the module itself imports.
    code = compile(order["expression"], "--bench", "eval")
    seconds, result = timed(lambda: _run(code, names))
    Path(order["answer"]).write_bytes(pickle.dumps((seconds, plain(result))))


class _Chosen(MetaPathFinder):
    """Loads the named modules from the named files, and leaves all others to Python."""

    def __init__(self, files: Mapping[str, str], places: Mapping[str, str]) -> None:
        self._files, self._places = files, places

    def find_spec(
        self,
        fullname: str,
        path: Sequence[str] | None,  # noqa: ARG002  # Python's own hook
        target: ModuleType | None = None,  # noqa: ARG002
    ) -> ModuleSpec | None:
        if fullname not in self._files:
            return None
        file, place = self._files[fullname], self._places[fullname]
        loader = SourceFileLoader(fullname, file) if file == place else _InPlace(fullname, file, place)
        package = [str(Path(place).parent)] if Path(place).name.startswith("__init__.") else None
        return spec_from_file_location(fullname, file, loader=loader, submodule_search_locations=package)


class _InPlace(ExtensionFileLoader):
    """A library that is still in the temporary folder, and believes to be where it will be put: it may read files that
    lie beside it."""

    def __init__(self, name: str, file: str, place: str) -> None:
        super().__init__(name, file)
        self._place = place

    def exec_module(self, module: ModuleType) -> None:
        module.__file__ = self._place
        super().exec_module(module)


def _names(modules: Sequence[str]) -> dict[str, Any]:
    """What an expression may speak of: the names in the first module, and each module by its own name and its
    package's. Where a module is called as a function in it, the function is meant."""
    names: dict[str, Any] = {}
    for name in modules:
        names[name.split(".")[-1]] = import_module(name)
        names[name.split(".")[0]] = sys.modules[name.split(".")[0]]
    return names | vars(sys.modules[modules[0]])


def _run(code: CodeType, names: dict[str, Any]) -> Any:
    """A generator has done nothing until somebody asks it: it is run to its end."""
    result = eval(code, names)
    return list(result) if isinstance(result, Iterator) else result


def timed(run: Callable[[], Any]) -> tuple[float, Any]:
    """The shortest run, and the result of the first."""
    start = time.perf_counter()
    result = run()
    best = time.perf_counter() - start
    at_once = max(1, int(0.01 / max(best, 1e-9)))  # so many that the clock itself does not count
    end = start + SECONDS
    while time.perf_counter() < end:
        begun = time.perf_counter()
        for _ in range(at_once):
            run()
        best = min(best, (time.perf_counter() - begun) / at_once)
    return best, result


# --- results without the classes of the module that made them --------------------------------------------------------


def plain(value: Any, above: tuple[int, ...] = ()) -> Any:
    """Numbers, texts, arrays, and lists that begin with the name of what they were: what can be read and compared where
    the module itself must not be loaded."""
    if value is None or type(value) in (bool, int, float, complex, str, bytes):
        return value
    if id(value) in above:
        return ["seen above"]
    inner = (*above, id(value))
    array = _as_array(value)
    if array is not None and array.ndim == 0 and array.dtype != object:
        return array.item()  # interpreted, a loop over an array ends in NumPy's numbers; compiled, in Python's
    if array is not None:
        return array if array.dtype != object else ["array", *(plain(one, inner) for one in array.tolist())]
    return [_kind(value), *(plain(part, inner) for part in _parts(value))]


def _as_array(value: Any) -> Any:
    """Arrays, their views by Cython, and whatever else NumPy reads without copying its parts one by one."""
    if isinstance(value, (bytearray, memoryview)) or hasattr(value, "__array__") or hasattr(value, "memview"):
        import numpy

        return numpy.asarray(value)
    return None


def _kind(value: Any) -> str:
    kind = type(value)
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"


def _parts(value: Any) -> list[Any]:
    if isinstance(value, dict):
        return [part for pair in value.items() for part in pair]
    if isinstance(value, (set, frozenset)):
        return sorted(value, key=repr)
    if isinstance(value, (list, tuple)) or hasattr(value, "popleft"):
        return list(value)
    if is_dataclass(value) and not isinstance(value, type):
        return [getattr(value, field.name) for field in fields(value)]
    if getattr(value, "__dict__", None) and not isinstance(value, (type, ModuleType)) and not callable(value):
        return [part for pair in vars(value).items() for part in pair]
    told = repr(value)
    return [] if " at 0x" in told else [told]


if __name__ == "__main__":
    main(json.load(sys.stdin))
