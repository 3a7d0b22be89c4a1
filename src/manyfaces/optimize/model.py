"""What flows through the optimiser: a network as it came, what it is made into, and the doors for readers and writers.

Nothing here is about faces. A network takes named columns and gives named columns; the first dimension of every column
is the batch, and it is free. Readers make an `Original` of a file, writers make `Form`s of an `Original`:

    path --Reader--> Original --Writer.write--> Form --Writer.open--> Opened, asked what `Original.run` is asked

Where the parts stand, so that each can be built alone: `keras_reader.read_keras` is a `Reader`, `litert.LiteRtWriter`
a class without arguments that is a `Writer`; both are imported only when they are needed, and raise `MissingExtra`
where what they stand on is not installed. What a runtime cannot take is an `Unsupported`, which fails one form and not
the whole work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from manyfaces.card import ModelCard
from manyfaces.errors import ManyfacesError

Format: TypeAlias = Literal["onnx", "openvino", "litert"]
Quantisation: TypeAlias = Literal["none", "weights", "weights4", "dynamic", "static", "qat"]
"""weights: int8 in the file, float when it runs. weights4: the same with 4 bits. dynamic: int8 arithmetic with ranges
found at run time. static: int8 arithmetic with ranges from samples. qat: the same, trained to be said in int8."""

Columns: TypeAlias = Mapping[str, npt.NDArray[Any]]
Run: TypeAlias = Callable[[Columns], Columns]


class Unsupported(ManyfacesError):
    """This runtime cannot have this form of this network; the sentence names the operator or the layer."""


@dataclass(frozen=True, slots=True)
class Port:
    """An input or output: None stands for any length, and the first dimension, the batch, is always None. `dtype` is
    numpy's name, such as float32 or int32."""

    name: str
    shape: tuple[int | None, ...]
    dtype: str

    def array(self, content: npt.ArrayLike) -> npt.NDArray[Any]:
        return np.ascontiguousarray(content, dtype=np.dtype(self.dtype))


@dataclass(frozen=True, slots=True, eq=False)
class Original:
    """A network as it came in. `run` is the library it came from, and what every form is compared with; `onnx` is the
    same network as ONNX with a free batch dimension. The ports are those of `onnx`, and `run` takes and gives the same
    names; a reader whose library names them otherwise renames there. `origin` says in a few words what it was, for the
    report. `source` is what a writer may need beyond ONNX: the path of a Keras file, a torch module in eval mode.

    `fingerprint` is the SHA-256 of the bytes that it was read from, so that finished work is known again."""

    name: str
    origin: str
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]
    run: Run
    onnx: bytes
    fingerprint: str
    card: ModelCard | None = None
    source: Any = None

    @property
    def names(self) -> tuple[str, ...]:
        """Of the inputs."""
        return tuple(port.name for port in self.inputs)


class Samples(Protocol):
    """Batches of inputs that can be walked as often as one likes, each time from the beginning and in the same order;
    they stream, so nobody makes a list of them all."""

    def __iter__(self) -> Iterator[Columns]: ...


@dataclass(frozen=True, slots=True)
class Kept:
    """A layer that stayed in float, and why: a measured difference, or that the runtime has no such kernel."""

    layer: str
    why: str


@dataclass(frozen=True, slots=True)
class Form:
    """One form of a network, in files, and how it is run. The first of `paths` is the one that is opened; the others
    belong to it. `computes`: in what floats are multiplied, f32 unless a runtime prefers bf16 on this processor."""

    format: Format
    quantisation: Quantisation
    paths: tuple[Path, ...]
    kept: tuple[Kept, ...] = ()
    computes: str = "f32"

    @property
    def name(self) -> str:
        return f"{self.format} {self.quantisation}" + ("" if self.computes == "f32" else f" {self.computes}")

    @property
    def size(self) -> int:
        """Bytes of all its files."""
        return sum(path.stat().st_size for path in self.paths)


@dataclass(frozen=True, slots=True, eq=False)
class Order:
    """What a writer is to write: how quantised, which layers to leave in float and why, from which samples to take
    ranges, and where: `stem` is a path without a suffix, which the writer adds, such as `out/model.int8` + `.onnx`."""

    quantisation: Quantisation
    stem: Path
    samples: Samples
    keep: tuple[Kept, ...] = ()


class Opened(Protocol):
    """A form that is ready to run."""

    def __call__(self, columns: Columns, /) -> Columns: ...


class Reader(Protocol):
    """Makes an `Original` of a file; with `trust`, also of a file that runs code when it is read."""

    def __call__(self, path: Path, /, *, trust: bool = False) -> Original: ...


class Writer(Protocol):
    """Knows one format: how to write it, how to run it, and which layers of it could stay in float."""

    @property
    def format(self) -> Format: ...

    @property
    def quantisations(self) -> tuple[Quantisation, ...]:
        """All that it has. Whether it has it for this network shows when it is written."""
        ...

    def layers(self, original: Original, /) -> tuple[str, ...]:
        """Names that `Kept.layer` may have, in the order in which they run; none where layers cannot be chosen."""
        ...

    def write(self, original: Original, order: Order, /) -> Form:
        """Write the files whole. Raises `Unsupported` for what the runtime lacks."""
        ...

    def open(self, form: Form, threads: int, /) -> Opened:
        """Ready to run with so many threads, taking and giving columns under the names of the original's ports. Each
        call may have another batch size."""
        ...
