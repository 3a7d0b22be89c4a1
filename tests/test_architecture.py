"""The house's floors, held to the imports: a room may import what lies below it, and nothing else.

`FLOORS` is the table of docs/decisions/0001-the-house.md as data. A new file that stands on no floor fails here.
"""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import manyfaces

ROOT = Path(manyfaces.__file__).parent

FLOORS: tuple[tuple[str, ...], ...] = (
    ("types", "errors"),
    ("arenas", "geometry", "stages", "card", "rows", "options", "kernels"),
    ("align", "draw", "smooth", "quality", "attention", "flow", "weights", "runtime", "cartoon", "closer"),
    ("sources", "sinks", "detect", "track", "heads", "gallery", "plans"),
    ("pipeline", "engine", "recognizer", "enrol", "portraits", "prepare"),
    ("build",),
    ("api", "client", "evaluate", "bench", "tune", "cli", "server", "cluster"),
)
SIDE = {
    "train": {"types", "errors", "geometry", "card", "align", "train"},
    "optimize": {"types", "errors", "geometry", "card", "align", "weights", "runtime", "train", "optimize"},
}
"""Beside the house: they meet it in a file, not in an import."""

SAME_FLOOR = {
    ("stages", "card"),
    ("smooth", "quality"),
    ("attention", "quality"),
    ("prepare", "enrol"),
    ("cli", "api"),
    ("cli", "evaluate"),
    ("cli", "bench"),
    ("cli", "tune"),
    ("evaluate", "api"),
    ("server", "api"),
}
"""The few imports between rooms of one floor: the protocols speak of the card, the commands open the doors."""

ONLY_FROM_COMMANDS = {"train", "optimize", "server", "cluster"}


def modules() -> list[Path]:
    return sorted(
        path for path in ROOT.rglob("*.py") if path.name not in ("__main__.py",) and path != ROOT / "__init__.py"
    )


def room(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


def floor(name: str) -> int:
    return next(number for number, rooms in enumerate(FLOORS) if name in rooms)


def imported_rooms(path: Path) -> set[str]:
    """The rooms of the house that a file imports, at its top or inside a function."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] == "manyfaces":
            inside = node.module.split(".")[1:]
            assert inside, f"{path}: imports from the package's door; import the module itself"
            assert node.level == 0
            found |= {inside[0]} if len(inside) > 1 or inside[0] not in ("manyfaces",) else set()
        elif isinstance(node, ast.Import):
            found |= {alias.name.split(".")[1] for alias in node.names if alias.name.startswith("manyfaces.")}
    return found


def test_every_module_stands_on_a_floor() -> None:
    known = {name for rooms in FLOORS for name in rooms} | set(SIDE)
    assert {room(path) for path in modules()} <= known
    assert len(modules()) > 20


def test_imports_only_go_down() -> None:
    wrong = [
        f"{path.relative_to(ROOT)} imports {other}"
        for path in modules()
        if room(path) not in SIDE
        for other in imported_rooms(path) - {room(path)}
        if not allowed(room(path), other)
    ]
    assert wrong == []


def allowed(name: str, other: str) -> bool:
    if other in ONLY_FROM_COMMANDS:
        return name == "cli"
    if name in FLOORS[4] and floor(other) == 3:
        return False  # they know the protocols, not the parts
    return (
        floor(other) < floor(name)
        or (name, other) in SAME_FLOOR
        or (floor(name) == 4 and other in ("pipeline", "engine"))
    )


def test_the_side_rooms_meet_the_house_in_files() -> None:
    for path in modules():
        if room(path) in SIDE:
            assert imported_rooms(path) <= SIDE[room(path)], path


def test_sibling_folders_of_a_floor_do_not_know_each_other() -> None:
    for path in modules():
        if room(path) in FLOORS[3]:
            assert not imported_rooms(path) & (set(FLOORS[3]) - {room(path)}), path


def test_importing_the_package_loads_the_standard_library_only() -> None:
    code = (
        "import sys, manyfaces; "
        "print([name for name in sys.modules if name.split('.')[0] in "
        "('numpy', 'cv2', 'openvino', 'onnx', 'onnxruntime', 'av', 'PIL', 'torch', 'typer', 'rich', 'pyarrow')])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
    assert done.stderr == ""
