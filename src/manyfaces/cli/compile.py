"""`manyfaces compile`: Cython on somebody's own modules, in place or to a wheel, and what that gains."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Annotated, Any

import typer

from manyfaces.cli.outcome import NOTHING_DONE, Outcome, complain
from manyfaces.cli.progress import Steps
from manyfaces.errors import OutputError, UsageError

if TYPE_CHECKING:
    from manyfaces.optimize.compile_compare import Comparison
    from manyfaces.optimize.compiling import Built, Module

PREFIX = "manyfaces-compile-"
NOTHING = "nothing was put in place: what was asked for needs all of these modules"


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be made of compiled modules, beside the modules."""

    wheel: Path | None
    annotate: bool
    bench: str | None
    json_file: Path | None

    @property
    def needs_all(self) -> bool:
        """A wheel, or a comparison, of half the modules would be another than was asked for."""
        return self.wheel is not None or self.bench is not None


def compile_modules(
    modules: Annotated[list[Path], typer.Argument(metavar="MODULE.py...", help="Your modules, .py or .pyx.")],
    wheel: Annotated[
        Path | None, typer.Option(help="A folder: pack a wheel there and leave the sources alone.")
    ] = None,
    annotate: Annotated[
        bool, typer.Option("--annotate", help="Also a page that shows which lines still speak to Python (.html).")
    ] = False,
    bench: Annotated[
        str | None,
        typer.Option(metavar="EXPRESSION", help="Run this interpreted and compiled; equal results are required."),
    ] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the figures to this file too.")] = None,
    remove: Annotated[
        bool, typer.Option("--remove", help="Take away what an earlier run has put beside these modules.")
    ] = False,
) -> None:
    """Compile Python modules to C with Cython; Python then imports the compiled file that lies beside the source."""
    wish = Wish(wheel, annotate, bench, json_file)
    if remove and wish != Wish(None, False, None, None):
        raise UsageError("--remove: it goes with no other option; run it alone")
    outcome = Outcome()
    found = _found(modules, outcome)
    if remove:
        _remove(found, outcome)
    elif outcome.status and wish.needs_all:
        complain(NOTHING)
        raise typer.Exit(NOTHING_DONE)
    elif found:
        _refuse(found, wish)
        with TemporaryDirectory(prefix=PREFIX, ignore_cleanup_errors=True) as workplace:
            _make(found, wish, Path(workplace), outcome)
    raise typer.Exit(outcome.status)


def _found(paths: Sequence[Path], outcome: Outcome) -> list[Module]:
    from manyfaces.optimize.compiling import CompilingError, find_modules

    found: list[Module] = []
    for one in find_modules(paths):
        if isinstance(one, CompilingError):
            outcome.failed(str(one), one)
        else:
            found.append(one)
    return found


def _remove(modules: Sequence[Module], outcome: Outcome) -> None:
    from manyfaces.optimize.compiling import built_in_place
    from manyfaces.sinks.files import writing

    for module in modules:
        left = built_in_place(module)
        for path in left:
            with writing(path):
                path.unlink()
            typer.echo(f"{_near(path)}: removed")
        if not left:
            typer.echo(f"{_near(module.source)}: nothing that manyfaces compiled lies beside it")
        outcome.done()


# --- what is said before anything is compiled ------------------------------------------------------------------------


def _refuse(modules: Sequence[Module], wish: Wish) -> None:
    from manyfaces.cli.figures import refuse_figures
    from manyfaces.optimize.compile_compare import refuse_expression
    from manyfaces.optimize.compile_wheel import refuse_mixture
    from manyfaces.optimize.compiling import refuse_strange_page, refuse_strangers, require_compiler

    require_compiler()
    if wish.bench is not None:
        refuse_expression(wish.bench, modules)
    if wish.json_file:
        refuse_figures(wish.json_file, {"built"}, [module.source for module in modules])
    if wish.wheel:
        refuse_mixture(modules)
        _make_folder(wish.wheel)
        return
    for module in modules:
        refuse_strangers(module)
        if wish.annotate:
            refuse_strange_page(module)
        if not os.access(module.source.parent, os.W_OK):
            raise OutputError(
                f"{_near(module.source.parent)}: you may not write there; ask for the right, or pack a --wheel"
            )


def _make_folder(folder: Path) -> None:
    from manyfaces.sinks.files import writing

    with writing(folder):
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder}: this is a file, and a folder is needed for the wheel; name another")
        folder.mkdir(parents=True, exist_ok=True)


# --- making ----------------------------------------------------------------------------------------------------------


def _make(modules: Sequence[Module], wish: Wish, workplace: Path, outcome: Outcome) -> None:
    """Compile all; where a comparison is asked for, only what answers the same is put anywhere."""
    built = _build_all(modules, wish.annotate, workplace, outcome)
    if not built or (wish.needs_all and len(built) < len(modules)):
        complain(NOTHING)
        raise typer.Exit(NOTHING_DONE)
    _say_remarks(modules)  # before the comparison, since they may say why results differ
    comparison = _compare(built, wish, workplace)
    places = [_pack(built, wish.wheel, workplace)] if wish.wheel else [_put_in_place(one) for one in built]
    if wish.json_file:
        _write(wish.json_file, _figures(built, places, comparison))
    if not wish.wheel:
        _say_the_way_back(built)


def _build_all(modules: Sequence[Module], annotate: bool, workplace: Path, outcome: Outcome) -> list[Built]:
    from manyfaces.optimize.compiling import CompilingError, build

    built: list[Built] = []
    with Steps("modules", len(modules)) as steps:
        for module in modules:
            try:
                built.append(build(module, workplace, annotate))
                outcome.done()
            except CompilingError as error:
                outcome.failed(str(module.source), error)
            steps.advance()
    return built


def _compare(built: Sequence[Built], wish: Wish, workplace: Path) -> Comparison | None:
    from manyfaces.optimize.compile_compare import compare
    from manyfaces.optimize.compiling import CompilingError

    if wish.bench is None:
        return None
    comparison = compare(built, wish.bench, workplace)
    if comparison.mismatch:
        if wish.json_file:
            _write(wish.json_file, _figures(built, [], comparison))
        raise CompilingError(
            f"--bench {wish.bench!r}: the results differ: {comparison.mismatch}; nothing was put in place. Mend the "
            "types in the module; if the expression draws random numbers, seed them"
        )
    typer.echo(_told(comparison))
    return comparison


def _told(comparison: Comparison) -> str:
    slow, fast = comparison.interpreted_seconds, comparison.compiled_seconds
    apart = f" to within {comparison.difference:.0e}" if comparison.difference else ""
    return (
        f"{comparison.expression}: {_duration(slow)} interpreted, {_duration(fast)} compiled, "
        f"{comparison.ratio:.1f} times as fast; equal results{apart}"
    )


def _duration(seconds: float) -> str:
    unit, factor = next((one for one in (("s", 1.0), ("ms", 1e3), ("us", 1e6)) if seconds * one[1] >= 1), ("ns", 1e9))
    return f"{seconds * factor:.3g} {unit}"


def _put_in_place(built: Built) -> Path:
    from manyfaces.sinks.files import write_whole

    write_whole(built.module.library, built.library.read_bytes())
    typer.echo(f"{_near(built.module.source)} -> {_near(built.module.library)}")
    if built.page:
        write_whole(built.module.page, built.page.read_bytes())
        typer.echo(f"{_near(built.module.page)}: the yellower a line, the more it speaks to Python")
    return built.module.library


def _pack(built: Sequence[Built], folder: Path, workplace: Path) -> Path:
    from manyfaces.optimize.compile_wheel import pack
    from manyfaces.sinks.files import write_whole

    made = pack(built, workplace)
    write_whole(folder / made.name, made.read_bytes())
    typer.echo(f"{folder / made.name}: install it with  pip install {folder / made.name}")
    for one in built:
        if one.page:
            write_whole(folder / f"{one.module.name}.html", one.page.read_bytes())
            typer.echo(f"{folder / one.module.name}.html: the yellower a line, the more it speaks to Python")
    return folder / made.name


def _write(path: Path, figures: Mapping[str, Any]) -> None:
    from manyfaces.cli.figures import write_figures

    write_figures(path, figures)


def _figures(built: Sequence[Built], places: Sequence[Path], comparison: Comparison | None) -> dict[str, Any]:
    from manyfaces.bench.machine import circumstances
    from manyfaces.optimize.compiling import require_compiler

    return {
        **circumstances("manyfaces compile " + " ".join(one.module.source.name for one in built)),
        "built": [{"module": one.module.name, "source": one.module.source.name} for one in built],
        "files": [place.name for place in places],
        **(comparison.as_dict() if comparison else {}),
        "cython": version("Cython"),
        "compiler": require_compiler(),
    }


def _say_remarks(modules: Sequence[Module]) -> None:
    from manyfaces.optimize.compiling import remarks

    for module in modules:
        for remark in remarks(module):
            typer.echo(f"{_near(module.source)}: {remark}", err=True)


def _say_the_way_back(built: Sequence[Built]) -> None:
    names = " ".join(str(_near(one.module.source)) for one in built)
    typer.echo(
        "Python imports the compiled files from now on, not the sources: run this again after a change. "
        f"Back:  manyfaces compile --remove {names}",
        err=True,
    )


def _near(path: Path) -> Path:
    """As it would be typed from here."""
    try:
        return path.relative_to(Path.cwd())
    except ValueError:
        return path
