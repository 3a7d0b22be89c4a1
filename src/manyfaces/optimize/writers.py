"""Which writer knows which format."""

from __future__ import annotations

from collections.abc import Collection
from typing import get_args

from manyfaces.errors import UsageError
from manyfaces.optimize.model import Format, Quantisation, Writer


def writer_of(name: Format) -> Writer:
    """A writer of one's own: it keeps what it calibrated last."""
    if name == "onnx":
        from manyfaces.optimize.onnx_writer import OnnxWriter

        return OnnxWriter()
    if name == "openvino":
        from manyfaces.optimize.openvino_writer import OpenVinoWriter

        return OpenVinoWriter()
    from manyfaces.optimize.litert import LiteRtWriter

    return LiteRtWriter()


def formats(named: str) -> tuple[Format, ...]:
    """From `onnx,openvino`, in the order in which they are named."""
    known: dict[str, Format] = {name: name for name in get_args(Format)}
    return tuple(known[name] for name in _parts(named, known, "--to"))


def quantisations(named: str) -> tuple[Quantisation, ...]:
    """From `none,static`; floats are always among them, for they are what the others must beat."""
    known: dict[str, Quantisation] = {name: name for name in get_args(Quantisation)}
    return tuple(dict.fromkeys((known["none"], *(known[name] for name in _parts(named, known, "--quantize")))))


def _parts(named: str, known: Collection[str], flag: str) -> list[str]:
    parts = list(dict.fromkeys(part.strip() for part in named.split(",") if part.strip()))
    if not parts:
        raise UsageError(f"{flag}: names nothing; leave it out, or name some with commas between them")
    for part in parts:
        if part not in known:
            raise UsageError(f"{flag} {part}: there is no such one; known are {', '.join(known)}")
    return parts
