"""The command line: `manyfaces COMMAND`, also `python -m manyfaces`.

Here are the names of the commands and what becomes of errors. The commands live in files beside this one and import
what they need when they run, so that `manyfaces --help` stays quick and `analyze` never loads what only `train` needs.
"""

from __future__ import annotations

import io
import os
import signal
import sys
from importlib.metadata import version
from typing import Annotated

import typer

from manyfaces.cli import analyze, bench, demo, evaluate, models, people, train, tune
from manyfaces.cli.outcome import DONE, INTERRUPTED, NOTHING_DONE, WRONG_USAGE, complain
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
app.command("bench")(bench.bench)
app.command("doctor")(models.doctor)
app.command("tune")(tune.tune)
app.command("demo")(demo.demo)
app.add_typer(people.app, name="people")
app.add_typer(evaluate.app, name="evaluate")
app.add_typer(train.app, name="train")
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


def main() -> None:
    """The entry point: errors become one sentence and an exit status."""
    # --debug is taken wherever it stands, since it is typed when a command has just failed: at its end.
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    debug = len(arguments) < len(sys.argv) - 1 or bool(os.environ.get("MANYFACES_DEBUG"))
    _stand_any_script()
    signal.signal(signal.SIGTERM, _end)
    try:
        app(arguments)
    except ManyfacesError as error:
        if isinstance(error.__cause__, BrokenPipeError):
            # Whoever read our rows has seen enough, as `head` does; and Python must not try to flush to it at its end.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            sys.exit(DONE)
        if debug:
            raise
        complain(str(error))
        sys.exit(WRONG_USAGE if isinstance(error, UsageError) else NOTHING_DONE)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except OSError as error:
        if debug:
            raise
        complain(f"{error.filename or 'the system'}: {error.strerror}; see what is wrong there, and try again")
        sys.exit(NOTHING_DONE)


def _end(number: int, _frame: object) -> None:
    """Asked to end, as by `kill` or a container that stops: what is being written is finished, as with Ctrl-C."""
    raise SystemExit(128 + number)


def _stand_any_script() -> None:
    """A terminal that knows no Vietnamese gets escapes instead of an error."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
