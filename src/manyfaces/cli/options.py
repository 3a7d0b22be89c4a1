"""Flags from the fields of `Options`, so that a flag exists in one place."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection
from dataclasses import fields
from typing import Annotated, Any, get_type_hints

import typer

from manyfaces.options import Options


def with_options(
    command: Callable[..., Any], refused: Collection[str] = (), without: Collection[str] = ()
) -> Callable[..., Any]:
    """Replace a command's `options` parameter by one flag for each field of `Options`. Those that the command refuses
    stay out of its help: they are known so that it can say why. `without` are those that mean nothing to it."""
    signature = inspect.signature(command, eval_str=True)
    own = [parameter for parameter in signature.parameters.values() if parameter.name != "options"]
    flags = [flag for flag in _flags(refused) if flag.name not in without]

    @functools.wraps(command)
    def called(**arguments: Any) -> Any:
        chosen = {flag.name: arguments.pop(flag.name) for flag in flags}
        return command(options=Options(**chosen), **arguments)

    parameters = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in own] + flags
    called.__signature__ = signature.replace(parameters=parameters)  # type: ignore[attr-defined]  # inspect's own hook
    called.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return called


def _flags(refused: Collection[str]) -> list[inspect.Parameter]:
    kinds = get_type_hints(Options)
    return [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=Annotated[kinds[field.name], _flag(field.metadata, field.name in refused)],
        )
        for field in fields(Options)
    ]


def _flag(metadata: Any, hidden: bool) -> Any:
    names = [metadata["flag"]] if metadata["flag"] else []
    return typer.Option(
        *names, help=metadata["explanation"], rich_help_panel="How faces are found and read", hidden=hidden
    )
