"""The interpreted and the compiled run of one expression: how long each takes, and whether they answer the same."""

from __future__ import annotations

import pickle
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from manyfaces.optimize.compiling import Built, CompilingError, Module, ask

NUMBERS = (bool, int, float, complex)
TURNS = 2


@dataclass(frozen=True, slots=True)
class Comparison:
    """`difference`: the largest between two numbers, as a share of the larger. `mismatch`: where the answers part."""

    expression: str
    interpreted_seconds: float
    compiled_seconds: float
    difference: float
    mismatch: str

    @property
    def ratio(self) -> float:
        return self.interpreted_seconds / self.compiled_seconds

    def as_dict(self) -> dict[str, Any]:
        return {
            "expression": self.expression,
            "interpreted_seconds": self.interpreted_seconds,
            "compiled_seconds": self.compiled_seconds,
            "ratio": self.ratio,
            "equal": not self.mismatch,
            "largest_difference": self.difference,
            "mismatch": self.mismatch,
        }


def refuse_expression(expression: str, modules: Sequence[Module]) -> None:
    """What cannot be compared is said before anything is compiled."""
    try:
        compile(expression, "--bench", "eval")
    except (SyntaxError, ValueError) as error:
        raise CompilingError(f"--bench {expression!r}: this is no expression ({error}); give a call") from None
    if only := [module.source.name for module in modules if module.source.suffix == ".pyx"]:
        raise CompilingError(f"{only[0]}: a .pyx runs compiled only, there is nothing to compare with; drop --bench")
    if len({module.root for module in modules}) > 1:
        raise CompilingError("--bench: these modules lie on different search paths; compare one package at a time")


def compare(built: Sequence[Built], expression: str, workplace: Path) -> Comparison:
    """Both runs in fresh processes, by turns, so that a busy moment does not count for one of them only; every named
    module is interpreted, or every one compiled."""
    modules = [one.module for one in built]
    sources = {module.name: str(module.source) for module in modules}
    libraries = {one.module.name: str(one.library) for one in built}
    places = {module.name: str(module.library) for module in modules}
    order = {"root": str(modules[0].root), "expression": expression, "answer": str(workplace / "answer")}
    slow, fast = float("inf"), float("inf")
    for _ in range(TURNS):
        seconds, theirs = _answer("interpreted", order | {"files": sources, "places": sources}, workplace)
        slow = min(slow, seconds)
        seconds, ours = _answer("compiled", order | {"files": libraries, "places": places}, workplace)
        fast = min(fast, seconds)
    differences: list[float] = []
    parted = mismatch(theirs, ours, "", differences)
    return Comparison(expression, slow, fast, max(differences, default=0.0), parted)


def _answer(how: str, order: Mapping[str, Any], workplace: Path) -> tuple[float, Any]:
    done = ask("manyfaces.optimize.compile_trial", order, workplace)
    answer = Path(order["answer"])
    if done.returncode or not answer.is_file():
        said = (done.stderr.strip().splitlines() or [f"it ended with status {done.returncode}"])[-1]
        raise CompilingError(f"--bench {order['expression']!r}: {how}, it fails: {said}; give one that returns")
    seconds, result = pickle.loads(answer.read_bytes())  # written a moment ago, of plain values
    answer.unlink()
    return seconds, result


# --- equal? ----------------------------------------------------------------------------------------------------------


def mismatch(theirs: Any, ours: Any, where: str, differences: list[float]) -> str:
    """Where two results part, as a text; the differences of numbers that are as good as equal are collected."""
    if isinstance(theirs, np.ndarray) and isinstance(ours, np.ndarray):
        return _array_mismatch(theirs, ours, where, differences)
    if isinstance(theirs, NUMBERS) and isinstance(ours, NUMBERS):
        return _number_mismatch(theirs, ours, where, differences)
    if not (isinstance(theirs, list) and isinstance(ours, list)):
        return "" if type(theirs) is type(ours) and theirs == ours else _parted(theirs, ours, where)
    if theirs[0] != ours[0] or len(theirs) != len(ours):
        return _parted(f"{theirs[0]} of {len(theirs) - 1}", f"{ours[0]} of {len(ours) - 1}", where)
    parts = enumerate(zip(theirs[1:], ours[1:], strict=True))
    return next(filter(None, (mismatch(*pair, f"{where}[{place}]", differences) for place, pair in parts)), "")


def _number_mismatch(theirs: Any, ours: Any, where: str, differences: list[float]) -> str:
    """A 3 that became 3.0 is another answer: it prints otherwise, and large ones lose digits."""
    if type(theirs) is not type(ours):
        return _parted(f"{theirs} ({type(theirs).__name__})", f"{ours} ({type(ours).__name__})", where)
    if not isinstance(theirs, (float, complex)):
        return "" if theirs == ours else _parted(theirs, ours, where)
    return _array_mismatch(np.asarray(theirs), np.asarray(ours), where, differences)


def _array_mismatch(theirs: Any, ours: Any, where: str, differences: list[float]) -> str:
    if theirs.shape != ours.shape or theirs.dtype != ours.dtype:
        kinds = [f"{array.dtype} array of shape {array.shape}" for array in (theirs, ours)]
        return _parted(kinds[0], kinds[1], where)
    if theirs.dtype.kind not in "fc":
        unequal = np.asarray(theirs != ours)
    else:
        apart = _relative(theirs, ours)
        differences.append(float(apart.max(initial=0)))
        unequal = apart > tolerance(theirs.dtype)
    if not unequal.any():
        return ""
    place = tuple(int(number) for number in np.argwhere(unequal)[0])
    return _parted(theirs[place], ours[place], where + (str(list(place)) if place else ""))


def tolerance(kind: Any) -> float:
    """A thousand roundings of numbers of this kind: what another order of the same sums may cost."""
    return float(1000 * np.finfo(kind).eps)


def _relative(theirs: Any, ours: Any) -> Any:
    """Differences as shares of the larger; none between two that are no numbers, or the same infinity."""
    same = (theirs == ours) | (np.isnan(theirs) & np.isnan(ours))
    with np.errstate(all="ignore"):
        apart = np.abs(theirs - ours) / np.maximum(np.abs(theirs), np.abs(ours))
    return np.where(same, 0.0, np.where(np.isnan(apart), np.inf, apart))


def _parted(theirs: object, ours: object, where: str) -> str:
    return f"{_short(theirs)} interpreted, {_short(ours)} compiled{' at ' + where if where else ''}"


def _short(value: object) -> str:
    told = value if isinstance(value, str) else str(value)
    return told if len(told) <= 60 else told[:57] + "..."
