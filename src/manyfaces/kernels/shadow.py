"""What the kernels ask of the module `cython`, for running them as plain Python where Cython is not installed.

Only the compiler makes anything of these names: interpreted, each decorator gives back the function it is given.
Cython's own `cython` module would do as well, but then it would have to be installed wherever manyfaces runs.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any, TypeVar

Function = TypeVar("Function", bound=Callable[..., Any])

compiled = False


class _Unlocked(nullcontext[None]):
    """Compiled, `with nogil:` releases the interpreter lock, and `@nogil` marks functions that do without it."""

    def __call__(self, function: Function) -> Function:
        return function


nogil = _Unlocked()


def locals(**types: str) -> Callable[[Function], Function]:
    """Names the types of arguments and variables."""
    return _unchanged


def returns(of: str) -> Callable[[Function], Function]:
    return _unchanged


def exceptval(*, check: bool) -> Callable[[Function], Function]:
    return _unchanged


def cfunc(function: Function) -> Function:
    return function


def inline(function: Function) -> Function:
    return function


def _unchanged(function: Function) -> Function:
    return function
