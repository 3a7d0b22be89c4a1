"""Modules compiled by Cython: which module a file is, what stands beside it afterwards, whether answers are equal."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfaces.optimize.compile_compare import Comparison, compare, mismatch, refuse_expression, tolerance
from manyfaces.optimize.compile_trial import plain
from manyfaces.optimize.compile_wheel import pack, refuse_mixture
from manyfaces.optimize.compiling import (
    SUFFIX,
    Built,
    CompilingError,
    Module,
    build,
    built_in_place,
    find_module,
    find_modules,
    mark,
    refuse_strange_page,
    refuse_strangers,
    remarks,
    require_compiler,
)

pytest.importorskip("Cython", reason="compiling needs the extra manyfaces[compile]")
needs_compiler = pytest.mark.skipif(shutil.which("cc") is None, reason="there is no C compiler on this machine")

PRICES = '''
"""Prices, by a rate that lies in a file beside this one."""
from pathlib import Path

from .inner.tax import taxed

RATE = float((Path(__file__).parent / "rate.txt").read_text())


def total(count: float):
    return taxed(sum(number * RATE for number in range(count)))


def prices():
    return RATE


def steps(count):
    yield from ((number, {"half": number / 2}) for number in range(count))


def interpreted():
    return not __file__.endswith(("so", "pyd"))
'''
TAX = """
from ..names import CURRENCY


def taxed(price):
    return (price * 1.1, CURRENCY)
"""


@dataclass(frozen=True)
class Shop:
    """A package with a package in it, and two of its modules compiled, not yet in place."""

    root: Path
    workplace: Path
    prices: Built
    tax: Built


def write_shop(root: Path) -> None:
    (root / "shop" / "inner").mkdir(parents=True)
    for name, text in (
        ("__init__.py", '__version__ = "1.2"'),
        ("names.py", 'CURRENCY = "₫"'),
        ("rate.txt", "0.25"),
        ("prices.py", PRICES),
        ("inner/__init__.py", ""),
        ("inner/tax.py", TAX),
    ):
        (root / "shop" / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    root, workplace = tmp_path_factory.mktemp("project"), tmp_path_factory.mktemp("workplace")
    write_shop(root)
    files = (root / "shop" / "prices.py", root / "shop" / "inner" / "tax.py")
    return Shop(root, workplace, *(build(find_module(file), workplace) for file in files))


# --- which module a file is ------------------------------------------------------------------------------------------


def test_a_module_is_named_by_the_packages_around_it_wherever_one_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_shop(tmp_path)
    (tmp_path / "alone.pyx").touch()
    monkeypatch.chdir(tmp_path / "shop" / "inner")
    for path, name in (
        ("tax.py", "shop.inner.tax"),
        ("../prices.py", "shop.prices"),
        ("../__init__.py", "shop"),
        ("../../alone.pyx", "alone"),
    ):
        found = find_module(Path(path))
        assert (found.name, found.root.resolve()) == (name, tmp_path)
    assert find_module(tmp_path / "shop" / "prices.py").library == tmp_path / "shop" / f"prices{SUFFIX}"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("gone.py", "no such file"),
        ("shop", "folder"),
        ("shop/rate.txt", "no module"),
        ("shop/__main__.py", "never imported"),
        ("my-module.py", "'my-module'"),
        ("class.py", "'class'"),
        ("random.py", "Python's own"),
        ("shop.py", "the folder shop"),
    ],
)
def test_what_is_no_module_is_said(tmp_path: Path, name: str, said: str) -> None:
    write_shop(tmp_path)
    for made in ("shop/__main__.py", "my-module.py", "class.py", "random.py", "shop.py"):
        (tmp_path / made).touch()
    with pytest.raises(CompilingError, match=said) as told:
        find_module(tmp_path / name)
    assert Path(name).name in str(told.value)


def test_a_module_inside_a_package_may_be_called_as_one_of_pythons(tmp_path: Path) -> None:
    write_shop(tmp_path)
    (tmp_path / "shop" / "random.py").touch()
    assert find_module(tmp_path / "shop" / "random.py").name == "shop.random"


def test_a_file_given_twice_is_one_and_two_sources_of_one_module_are_refused(tmp_path: Path) -> None:
    for name in ("twin.py", "twin.pyx"):
        (tmp_path / name).touch()
    twice, other = find_modules([tmp_path / "twin.py", tmp_path / "twin.py", tmp_path / "twin.pyx"])
    assert isinstance(twice, Module)
    assert isinstance(other, CompilingError)
    assert "the same file" in str(other)


# --- what it does otherwise ------------------------------------------------------------------------------------------


def remarks_on(folder: Path, name: str, text: str) -> list[str]:
    (folder / name).write_text(text, encoding="utf-8")
    return remarks(find_module(folder / name))


def test_what_a_compiled_module_does_otherwise_is_remarked(tmp_path: Path) -> None:
    (file,) = remarks_on(tmp_path, "one.py", "# __file__\nplace = __file__\n")
    assert "line 2 uses __file__" in file
    assert f"one{SUFFIX}" in file
    (run,) = remarks_on(tmp_path, "two.py", 'def go(): ...\n\nif __name__ == "__main__":\n    go()\n')
    assert "line 3" in run
    (hides,) = remarks_on(tmp_path, "numpy.py", "x = 1\n")
    assert "the same name" in hides
    assert remarks_on(tmp_path, "three.py", "x = 1\n") == []


# --- a package, compiled ---------------------------------------------------------------------------------------------


def told_by_python(code: str, root: Path, elsewhere: Path) -> str:
    done = subprocess.run(
        [sys.executable, "-B", "-c", code],
        cwd=elsewhere,
        env=os.environ | {"PYTHONPATH": str(root), "PYTHONIOENCODING": "utf-8"},
        capture_output=True,
        encoding="utf-8",
        check=True,
    )
    return done.stdout.strip()


SAY = "from shop import prices; print(prices.interpreted(), prices.__file__.rsplit('.', 1)[0], prices.total(4))"


@needs_compiler
def test_two_modules_of_a_package_find_each_other_and_their_files(shop: Shop, tmp_path: Path) -> None:
    root = tmp_path / "copy"
    shutil.copytree(shop.root, root)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    before = told_by_python(SAY, root, elsewhere)
    for one in (shop.prices, shop.tax):
        shutil.copy(one.library, root / one.module.source.relative_to(shop.root).parent)
    after = told_by_python(SAY, root, elsewhere)
    assert before.startswith("True ")
    assert after.startswith("False ")
    assert before.split("(")[-1] == after.split("(")[-1] == "1.6500000000000001, '₫')"


@needs_compiler
def test_the_source_is_left_alone_and_nothing_lies_beside_it(shop: Shop) -> None:
    files = {path.name for path in shop.root.rglob("*") if path.is_file()}
    assert files == {"__init__.py", "names.py", "rate.txt", "prices.py", "tax.py"}
    assert (shop.root / "shop" / "prices.py").read_text(encoding="utf-8") == PRICES


@needs_compiler
def test_both_runs_are_compared_in_processes_of_their_own(shop: Shop) -> None:
    found = compare(
        [shop.prices, shop.tax],
        "total(4), prices(), shop.prices.total(5), tax.taxed(1), shop.names.CURRENCY",
        shop.workplace,
    )
    assert (found.mismatch, found.difference) == ("", 0.0)
    assert found.ratio == found.interpreted_seconds / found.compiled_seconds > 0
    assert compare([shop.prices], "steps(2)", shop.workplace).mismatch == ""
    told = compare([shop.prices, shop.tax], "interpreted()", shop.workplace)
    assert told.mismatch == "True interpreted, False compiled"
    assert told.as_dict()["equal"] is False
    assert not {name for name in sys.modules if name.startswith("shop")}


@needs_compiler
def test_an_expression_that_fails_is_told_with_its_error(shop: Shop) -> None:
    with pytest.raises(CompilingError, match=r"interpreted, it fails: ZeroDivisionError.*give one that returns"):
        compare([shop.prices, shop.tax], "total(1 // 0)", shop.workplace)
    with pytest.raises(CompilingError, match="no expression"):
        refuse_expression("total(", [shop.prices.module])


@needs_compiler
def test_a_wheel_holds_the_whole_package_and_installs(shop: Shop, tmp_path: Path) -> None:
    (shop.root / "shop" / "__pycache__").mkdir()
    wheel = pack([shop.prices, shop.tax], shop.workplace)
    (shop.root / "shop" / "__pycache__").rmdir()
    assert wheel.name.startswith("shop-1.2-cp")
    with zipfile.ZipFile(wheel) as packed:
        assert {name for name in packed.namelist() if name.startswith("shop/")} == {
            *(f"shop/{name}" for name in ("__init__.py", "names.py", "rate.txt", "prices.py", f"prices{SUFFIX}")),
            *(f"shop/inner/{name}" for name in ("__init__.py", "tax.py", f"tax{SUFFIX}")),
        }
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps", "--target", "there", wheel]
    subprocess.run(pip, cwd=tmp_path, check=True)
    assert told_by_python(SAY, tmp_path / "there", tmp_path).startswith("False ")


def test_a_wheel_takes_one_package(tmp_path: Path) -> None:
    for name in ("one.py", "two.py"):
        (tmp_path / name).touch()
    with pytest.raises(CompilingError, match="one, two do not belong together"):
        refuse_mixture([find_module(tmp_path / "one.py"), find_module(tmp_path / "two.py")])


# --- meanings --------------------------------------------------------------------------------------------------------

KINDS = """
def kept(number: float, many: list = ()):
    return number


def over(value):
    return value.missing
"""


@needs_compiler
def test_annotations_stay_what_they_are_to_python_and_a_package_itself_is_compiled(tmp_path: Path) -> None:
    """To Cython alone a float is a double, in which 1 becomes 1.0 and None is refused."""
    (tmp_path / "kinds").mkdir()
    (tmp_path / "kinds" / "__init__.py").write_text(KINDS)
    built = build(find_module(tmp_path / "kinds" / "__init__.py"), tmp_path, annotate=True)
    assert built.page is not None
    assert "Generated by Cython" in built.page.read_text(encoding="utf-8")
    found = compare([built], "kept(1), kept(None), kinds.kept('x', (1, 2))", tmp_path)
    assert found.mismatch == ""


@needs_compiler
@pytest.mark.parametrize(
    ("name", "text", "said"),
    [
        ("wrong.py", "x = 1\ndef f(:\n    pass\n", "wrong.py, line 2: invalid syntax: def f(:; mend this line"),
        ("odd.pyx", "cdef int f():\n    return 1\n\ncdef nonsense g()\n", "odd.pyx, line 4: 'nonsense' is not a type"),
        (
            "odd.pyx",
            'cdef extern from "gone.h":\n    int gone()\n',
            "odd.pyx: it could not be compiled: gone.h: No such",
        ),
        ("null.py", "x = 1\0", "null.py"),
    ],
)
def test_what_does_not_compile_shows_its_line(tmp_path: Path, name: str, text: str, said: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(CompilingError) as told:
        build(find_module(tmp_path / name), tmp_path)
    assert said in str(told.value)


def test_no_compiler_is_said_with_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "")
    monkeypatch.delenv("CC", raising=False)
    with pytest.raises(CompilingError, match="apt install gcc"):
        require_compiler()
    monkeypatch.setenv("CC", "/nowhere/my-cc -pipe")
    with pytest.raises(CompilingError, match="/nowhere/my-cc: there is no such C compiler"):
        require_compiler()


def test_missing_headers_are_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CC", sys.executable)
    monkeypatch.setattr("sysconfig.get_path", lambda _name: str(tmp_path))
    with pytest.raises(CompilingError, match=r"Python\.h is not there; install Python's headers"):
        require_compiler()


# --- others' files ---------------------------------------------------------------------------------------------------


def test_what_others_built_is_neither_written_over_nor_removed(tmp_path: Path) -> None:
    (tmp_path / "mine.py").write_text("x = 1\n")
    module = find_module(tmp_path / "mine.py")
    refuse_strangers(module)
    module.library.write_bytes(b"another's")
    module.page.write_text("<p>my page")
    with pytest.raises(CompilingError, match=r"was not compiled by manyfaces from mine\.py; move it away"):
        refuse_strangers(module)
    with pytest.raises(CompilingError, match="no page of Cython's"):
        refuse_strange_page(module)
    assert built_in_place(module) == []
    module.library.write_bytes(b"...\0" + mark(module).encode() + b"\0...")
    refuse_strangers(module)
    assert built_in_place(module) == [module.library]
    (tmp_path / "mine.py").rename(tmp_path / "mine.pyx")
    with pytest.raises(CompilingError, match=r"from mine\.pyx"):
        refuse_strangers(find_module(tmp_path / "mine.pyx"))


def test_a_library_that_python_would_find_under_a_shorter_name_counts_too(tmp_path: Path) -> None:
    (tmp_path / "mine.py").touch()
    (tmp_path / "mine.abi3.so").write_bytes(b"another's")
    if sys.platform == "win32":
        pytest.skip("Windows has no such endings")
    with pytest.raises(CompilingError, match=r"mine\.abi3\.so"):
        refuse_strangers(find_module(tmp_path / "mine.py"))


# --- equal? ----------------------------------------------------------------------------------------------------------


def parted(theirs: object, ours: object, differences: list[float] | None = None) -> str:
    return mismatch(plain(theirs), plain(ours), "", [] if differences is None else differences)


numbers = st.one_of(st.integers(), st.floats(), st.booleans(), st.none(), st.text(), st.binary())
values = st.recursive(
    numbers,
    lambda inner: st.one_of(st.lists(inner), st.dictionaries(st.text(), inner), st.tuples(inner, inner)),
    max_leaves=10,
)


@given(values)
def test_everything_equals_itself(value: Any) -> None:
    differences: list[float] = []
    assert parted(value, value, differences) == ""
    assert max(differences, default=0.0) == 0.0


@given(st.lists(values, min_size=1, max_size=4), st.data())
def test_one_thing_that_is_otherwise_is_found_and_its_place_told(value: list[Any], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(value) - 1))
    changed = [*value[:place], ["something else"], *value[place + 1 :]]
    assert f"compiled at [{place}]" in parted(value, changed)


@given(st.floats(1e-100, 1e100), st.floats(-1, 1))
def test_numbers_are_as_good_as_equal_up_to_a_thousand_roundings(number: float, share: float) -> None:
    differences: list[float] = []
    near = number * (1 + share * 0.9 * tolerance(np.float64))
    assert parted(number, near, differences) == ""
    assert differences == [pytest.approx(abs(number - near) / max(number, near))]
    assert parted(number, number * (1 + 3 * tolerance(np.float64))) != ""


@dataclass
class Point:
    x: Any


class Plain:
    def __init__(self, x: object) -> None:
        self.x, self.me = x, self


@pytest.mark.parametrize(
    ("theirs", "ours"),
    [
        (3, 3.0),
        (1, True),
        ([1], (1,)),
        ([1, 2], [1]),
        ({"a": 1}, {"b": 1}),
        ({1, 2}, {1, 3}),
        ("a", b"a"),
        (float("nan"), 0.0),
        (float("inf"), -float("inf")),
        (float("inf"), 1e308),
        (Point(1), Point(2)),
        (Plain(1), Plain(2)),
        (np.zeros(3), np.zeros(4)),
        (np.zeros(3), np.zeros(3, np.float32)),
        (np.array([1, 2]), np.array([1, 3])),
        (np.array(["a", None], object), np.array(["b", None], object)),
        (None, 0),
    ],
)
def test_different_answers_are_different(theirs: object, ours: object) -> None:
    assert "interpreted, " in parted(theirs, ours)
    assert parted(theirs, theirs) == ""


def test_numbers_of_numpy_and_views_count_as_what_they_hold() -> None:
    assert parted(np.float64(0.5), 0.5) == ""
    assert parted(np.arange(3, dtype=np.uint8), memoryview(bytes([0, 1, 2]))) == ""
    assert parted(deque([1]), deque([1])) == ""
    assert parted(np.array([0.5, np.nan]), np.array([0.5, np.nan])) == ""
    assert parted(np.ones((2, 2)), np.array([[1, 1], [1, 2.0]])) == "1.0 interpreted, 2.0 compiled at [1, 1]"


@given(st.sampled_from([1e-9, 1e-4, 1.0, 60.0]), st.sampled_from([1e-9, 1e-4, 1.0, 60.0]))
def test_the_ratio_is_what_the_times_say(slow: float, fast: float) -> None:
    assert Comparison("f()", slow, fast, 0.0, "").as_dict()["ratio"] == slow / fast


def test_a_pyx_has_nothing_to_be_compared_with(tmp_path: Path) -> None:
    modules: Sequence[Module] = [Module(tmp_path / "x.pyx", "x", tmp_path)]
    with pytest.raises(CompilingError, match=r"x\.pyx: a \.pyx runs compiled only"):
        refuse_expression("f()", modules)
    with pytest.raises(CompilingError, match="different search paths"):
        refuse_expression(
            "f()", [Module(tmp_path / "x.py", "x", tmp_path), Module(tmp_path / "y.py", "y", tmp_path / "a")]
        )
