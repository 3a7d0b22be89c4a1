"""`manyfaces serve`: the HTTP API and the live page."""

from __future__ import annotations

import os
import signal
import sys
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from manyfaces.cli.options import with_options
from manyfaces.cli.outcome import INTERRUPTED, complain
from manyfaces.errors import MissingExtra, UsageError
from manyfaces.options import Options

if TYPE_CHECKING:
    from manyfaces.server.guard import Rules
    from manyfaces.server.limits import Limits
    from manyfaces.server.tokens import Tokens

TOKENS = "MANYFACES_TOKENS"
LIMITS, SAFETY = "How much it takes in", "Who may use it"


@partial(with_options, without=())
def serve(
    options: Options,
    host: Annotated[
        str, typer.Option(help="The address to listen at; any but this machine's own needs tokens.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port; 0 for any that is free.")] = 8080,
    token_file: Annotated[
        Path | None,
        typer.Option(
            help=f"Lines of role:token, the role read, enrol or admin; else {TOKENS}.", rich_help_panel=SAFETY
        ),
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(help="Serve https with this certificate (PEM).", rich_help_panel=SAFETY)
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(help="The certificate's key.", rich_help_panel=SAFETY)] = None,
    max_upload: Annotated[float, typer.Option(min=0.1, help="Megabytes of a request.", rich_help_panel=LIMITS)] = 64,
    max_video: Annotated[float, typer.Option(min=0.1, help="Megabytes of a video.", rich_help_panel=LIMITS)] = 1024,
    max_video_seconds: Annotated[float, typer.Option(min=1, help="Length of a video.", rich_help_panel=LIMITS)] = 3600,
    max_megapixels: Annotated[float, typer.Option(min=0.1, help="Of one picture.", rich_help_panel=LIMITS)] = 50,
    max_waiting: Annotated[int, typer.Option(min=1, help="Pictures accepted at once.", rich_help_panel=LIMITS)] = 512,
    max_requests: Annotated[int, typer.Option(min=1, help="Requests of one client.", rich_help_panel=LIMITS)] = 64,
    max_live: Annotated[int, typer.Option(min=1, help="Live clients at once.", rich_help_panel=LIMITS)] = 32,
    drain: Annotated[float, typer.Option(min=0, help="Seconds to finish what was accepted when stopped.")] = 30,
) -> None:
    """Serve an HTTP API and a live page. It runs until Ctrl-C or SIGTERM, and then finishes what was accepted."""
    _require()
    from manyfaces.server.limits import Limits

    limits = Limits(
        upload_mb=max_upload, video_mb=max_video, video_seconds=max_video_seconds, megapixels=max_megapixels,
        waiting=max_waiting, requests=max_requests, live=max_live, drain=drain,
    )  # fmt: skip
    if bool(tls_certificate) != bool(tls_key):
        raise UsageError("a certificate and its key belong together; give --tls-certificate and --tls-key")
    _check_files(tls_certificate, tls_key)
    rules = _rules(limits, host, _tokens(token_file))
    _run(options, limits, rules, host, port, tls_certificate, tls_key)


def _require() -> None:
    try:
        import fastapi  # noqa: F401 - whether it is there
        import httptools  # noqa: F401
        import prometheus_client  # noqa: F401
        import python_multipart  # noqa: F401
        import uvicorn  # noqa: F401
        import websockets  # noqa: F401
    except ModuleNotFoundError:
        raise MissingExtra("the server", "serve") from None


def _check_files(*files: Path | None) -> None:
    for file in files:
        if file is not None and not file.is_file():
            raise UsageError(f"{file}: there is no such file; check the path")


def _tokens(file: Path | None) -> Tokens:
    from manyfaces.server.tokens import Tokens

    if file is not None:
        return Tokens.read(file)
    return Tokens.parse(os.environ.get(TOKENS, "").splitlines(), TOKENS)


def _rules(limits: Limits, host: str, tokens: Tokens) -> Rules:
    from manyfaces.server.guard import LOOPBACK, Rules

    if not tokens and host.lower() not in LOOPBACK and not host.startswith("127."):
        raise UsageError(
            f"{host}: others can reach this address, so it needs tokens; give --token-file or set {TOKENS}"
        )
    return Rules(limits, tokens, hosts=(*LOOPBACK, host.lower()))


def _run(
    options: Options, limits: Limits, rules: Rules, host: str, port: int, certificate: Path | None, key: Path | None
) -> None:
    from manyfaces.server.app import create
    from manyfaces.server.log import to_lines
    from manyfaces.server.run import Address, run

    address = Address(host, port, certificate, key)
    with address.bind() as bound:
        to_lines(sys.stderr)
        application = create(options, limits, rules)
        complain(f"serving at {address.shown(bound)}")
        stopped_by = run(application, address, bound, limits)
    raise typer.Exit(INTERRUPTED if stopped_by == signal.SIGINT else 0)
