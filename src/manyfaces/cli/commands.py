"""The names of the commands, and what becomes of errors.

The commands live in files beside this one and import what they need when they run, so that `manyfaces --help` stays
quick and `analyze` never loads what only `train` needs.
"""

from __future__ import annotations

import os
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from manyfaces.cli import (
    analyze,
    bench,
    compile,
    demo,
    distill,
    ensemble,
    evaluate,
    explain,
    models,
    optimize,
    people,
    search,
    serve,
    train,
    train_identity,
    tune,
)
from manyfaces.cli.outcome import DONE, NOTHING_DONE, WRONG_USAGE, complain
from manyfaces.errors import ManyfacesError, UsageError

app = typer.Typer(
    name="manyfaces",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.command("analyze")(analyze.analyze)
app.command("identify")(people.identify)
app.command("verify")(people.verify)
app.command("doctor")(models.doctor)
app.command("tune")(tune.tune)
app.command("demo")(demo.demo)
app.command("serve")(serve.serve)
app.command("explain")(explain.explain)
app.command("optimize")(optimize.optimize)
app.command("compile")(compile.compile_modules)
app.add_typer(people.app, name="people")
app.add_typer(evaluate.app, name="evaluate")
train.app.command("identity")(train_identity.identity)
app.add_typer(train.app, name="train")
app.add_typer(bench.app, name="bench")
app.add_typer(search.app, name="search")
app.add_typer(ensemble.app, name="ensemble")
app.add_typer(distill.app, name="distill")
app.add_typer(models.app, name="models")


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"manyfaces {version('manyfaces')}")
        raise typer.Exit


@app.callback()
def _describe(
    _version: Annotated[
        bool, typer.Option("--version", callback=_show_version, is_eager=True, help="Show the version.")
    ] = False,
    _debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    """Every face of a picture, a video or a live camera: found, followed, its expression and its name."""


def explained(error: Exception, debug: bool) -> int:
    """Say in one sentence what went wrong; the exit status for it. What is a fault of ours is raised again, and with
    `debug` everything."""
    if isinstance(error, ManyfacesError) and isinstance(error.__cause__, BrokenPipeError):
        # Whoever read our rows has seen enough, as `head` does; and Python must not try to flush to it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return DONE
    if debug:
        raise error
    if isinstance(error, ManyfacesError):
        complain(str(error))
        return WRONG_USAGE if isinstance(error, UsageError) else NOTHING_DONE
    if isinstance(error, OSError):
        complain(f"{error.filename or 'the system'}: {error.strerror}; see what is wrong there, and try again")
        return NOTHING_DONE
    raise error
