"""Inputs to measure with: arrays of files, pictures of a folder, or drawn ones. All of them stream, batch by batch.

What a network is calibrated with is never what it is judged on: of one set every other row goes to either side.
"""

from __future__ import annotations

import hashlib
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
import numpy.typing as npt

from manyfaces.card import InputSpec
from manyfaces.errors import InputError
from manyfaces.optimize.files import file_hash
from manyfaces.optimize.model import Columns, Original, Port, Samples
from manyfaces.types import Floats, Integers, Pixels

BATCH = 32
CALIBRATION = 300
"""Samples that ranges are taken from: figures hardly move beyond a few hundred."""

JUDGED = 4096
DRAWN = 512
FREE = 128
"""How long a dimension is drawn that a network leaves open, other than the batch: a multiple of every usual stride."""

PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp", ".tif", ".tiff")
LABELS = "labels"
NOTHING: Integers = np.empty(0, np.int64)
BROKEN = (OSError, ValueError, EOFError, KeyError, zipfile.BadZipFile, SyntaxError)
"""What numpy and zipfile raise of files that are cut short, damaged, or something else."""


class Counted(Samples, Protocol):
    """Samples that know how many rows they have."""

    def __len__(self) -> int: ...


@dataclass(frozen=True, slots=True, eq=False)
class Data:
    """What a network is optimised with: rows to calibrate and train with, and others, perhaps labelled, to be judged
    on. `fingerprint` names them all; `drawn` says that they are nobody's real inputs."""

    origin: str
    calibration: Samples
    judged: Counted
    training: Samples
    fingerprint: str
    labels: Integers = field(default_factory=lambda: NOTHING)
    drawn: bool = False


@dataclass(frozen=True, slots=True, eq=False)
class Part:
    """Every so-manieth row of samples, from an offset on, and no more than `most`."""

    whole: Counted
    every: int = 1
    offset: int = 0
    most: int = JUDGED

    def __len__(self) -> int:
        return min(len(range(self.offset, len(self.whole), self.every)), self.most)

    def __iter__(self) -> Iterator[Columns]:
        start, left = 0, self.most
        for batch in self.whole:
            rows = rows_of(batch)
            numbers = np.arange(start, start + rows)
            ours = (numbers >= self.offset) & ((numbers - self.offset) % self.every == 0)
            chosen = np.flatnonzero(ours)[:left]
            start, left = start + rows, left - len(chosen)
            if len(chosen):
                yield {name: column[chosen] for name, column in batch.items()}
            if not left:
                return


@dataclass(frozen=True, slots=True, eq=False)
class Spread:
    """Some of many arrays' rows, spread evenly over them."""

    whole: Counted
    most: int = CALIBRATION

    def __len__(self) -> int:
        return min(len(self.whole), self.most)

    def __iter__(self) -> Iterator[Columns]:
        wanted = np.unique(np.linspace(0, len(self.whole) - 1, len(self)).astype(int))
        start = 0
        for batch in self.whole:
            rows = wanted[(wanted >= start) & (wanted < start + rows_of(batch))] - start
            start += rows_of(batch)
            if len(rows):
                yield {name: column[rows] for name, column in batch.items()}


def batches_of(samples: Counted) -> int:
    """How many batches come; of a part they are as many as those it picks from."""
    if isinstance(samples, Part):
        last = samples.offset + samples.every * (len(samples) - 1)
        return last // BATCH - samples.offset // BATCH + 1
    return -(-len(samples) // BATCH)


def rows_of(batch: Columns) -> int:
    return len(next(iter(batch.values())))


def halves(whole: Counted, origin: str, labels: Integers = NOTHING, *, fingerprint: str, drawn: bool = False) -> Data:
    """Odd rows to calibrate and learn from, even ones to be judged on; a single row has to do for both."""
    if not len(whole):
        raise InputError(f"{origin}: holds no samples, and some are needed to calibrate with; give a set that has some")
    lone = len(whole) == 1
    judged = Part(whole) if lone else Part(whole, 2, 0)
    learnt = judged if lone else Part(whole, 2, 1, len(whole))
    calibration = judged if lone else Part(whole, 2, 1, CALIBRATION)
    mine = labels[::2][: len(judged)] if len(labels) > 1 else labels
    return Data(origin, calibration, judged, learnt, fingerprint, mine, drawn)


# --- arrays ----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Arrays:
    """Arrays that are in memory, or mapped from a file."""

    columns: Mapping[str, npt.NDArray[Any]]
    ports: tuple[Port, ...]

    def __len__(self) -> int:
        return rows_of(self.columns)

    def __iter__(self) -> Iterator[Columns]:
        for start in range(0, len(self), BATCH):
            yield {port.name: port.array(self.columns[port.name][start : start + BATCH]) for port in self.ports}


@dataclass(frozen=True, slots=True, eq=False)
class Images:
    """Pictures (n, height, width) or (n, height, width, channels) as a card's network wants them."""

    images: Pixels
    port: Port
    spec: InputSpec

    def __len__(self) -> int:
        return len(self.images)

    def __iter__(self) -> Iterator[Columns]:
        for start in range(0, len(self), BATCH):
            yield {self.port.name: planes(self.images[start : start + BATCH], self.spec, self.port)}


def planes(images: Pixels, spec: InputSpec, port: Port) -> Floats:
    """Scaled and at the card's size: (n, channels, height, width), or with the channels last where the port has them
    there."""
    batch = images[..., None] if images.ndim == 3 else images
    if spec.height and batch.shape[1:3] != (spec.height, spec.width):
        batch = np.stack([_resized(one, spec.height, spec.width) for one in batch])
    ordered = batch[..., ::-1] if spec.channels == "bgr" else batch
    scaled = (ordered.astype(np.float32) - spec.mean) / spec.scale
    return np.ascontiguousarray(scaled if channels_last(port) else scaled.transpose(0, 3, 1, 2), np.float32)


def channels_last(port: Port) -> bool:
    """As Keras has them."""
    return len(port.shape) == 4 and port.shape[1] not in (1, 3) and port.shape[3] in (1, 3)


def _resized(image: Pixels, height: int, width: int) -> Pixels:
    """Smaller by area, so that nothing flickers; larger smoothly."""
    way = cv2.INTER_AREA if image.shape[0] >= height and image.shape[1] >= width else cv2.INTER_LINEAR
    made = cv2.resize(image, (width, height), interpolation=way)
    return np.asarray(made, np.uint8).reshape(height, width, -1)


def read_arrays(path: Path, original: Original) -> Data:
    """An .npz with an array for every input by its name, and perhaps `labels`; or an .npy for a network of one input.

    An .npy is mapped and never read as a whole; of an .npz each array is.
    """
    columns = _mapped(path, original) if path.suffix.lower() == ".npy" else _unpacked(path)
    labels = columns.pop(LABELS, NOTHING)
    if len(original.inputs) == 1 and len(columns) == 1:
        columns = {original.inputs[0].name: next(iter(columns.values()))}
    for port in original.inputs:
        _refuse_other_shape(path, port, columns)
    counts = {name: len(columns[name]) for name in original.names}
    if len(set(counts.values())) > 1 or (labels.size and len(labels) != max(counts.values())):
        told = ", ".join(f"{name} {count}" for name, count in {**counts, LABELS: len(labels)}.items() if count)
        raise InputError(f"{path}: its arrays have different numbers of rows ({told}); give one row for each sample")
    return halves(
        Arrays(columns, original.inputs), path.name, labels.astype(np.int64).ravel(), fingerprint=file_hash(path)
    )


def _mapped(path: Path, original: Original) -> dict[str, npt.NDArray[Any]]:
    if len(original.inputs) != 1:
        wanted = ", ".join(original.names)
        raise InputError(f"{path}: the network has {len(original.inputs)} inputs ({wanted}); give an .npz with each")
    try:
        return {original.inputs[0].name: np.lib.format.open_memmap(path, mode="r")}
    except BROKEN as error:
        raise InputError(f"{path}: cannot be read as .npy ({error}); write it with numpy.save") from None


def _unpacked(path: Path) -> dict[str, npt.NDArray[Any]]:
    try:
        with path.open("rb") as file, np.lib.npyio.NpzFile(file, allow_pickle=False) as archive:
            return {name: archive[name] for name in archive.files}
    except BROKEN as error:
        raise InputError(f"{path}: cannot be read as .npz ({error}); write it with numpy.savez") from None


def _refuse_other_shape(path: Path, port: Port, columns: Mapping[str, npt.NDArray[Any]]) -> None:
    if port.name not in columns:
        has = ", ".join(sorted(columns)) or "nothing"
        raise InputError(f"{path}: has no array {port.name!r} for that input (it has {has}); name it so")
    column = columns[port.name]
    fits = column.ndim == len(port.shape) and all(
        want in (None, has) for want, has in zip(port.shape, column.shape, strict=True)
    )
    if not fits:
        raise InputError(
            f"{path}: {port.name} has shape {column.shape}, but the network takes {shown(port)}; reshape it"
        )
    if column.dtype.kind not in "iufb":
        raise InputError(f"{path}: {port.name} is of {column.dtype}, not of numbers; convert it")


def shown(port: Port) -> str:
    return "(" + ", ".join("n" if length is None else str(length) for length in port.shape) + ")"


# --- pictures --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Folder:
    """Pictures of a folder and the folders in it, read one by one."""

    paths: Sequence[Path]
    port: Port
    spec: InputSpec

    def __len__(self) -> int:
        return len(self.paths)

    def __iter__(self) -> Iterator[Columns]:
        for start in range(0, len(self), BATCH):
            images = [self._read(path) for path in self.paths[start : start + BATCH]]
            yield {self.port.name: planes(np.stack(images), self.spec, self.port)}

    def _read(self, path: Path) -> Pixels:
        grey = self.spec.depth == 1
        encoded = np.fromfile(path, np.uint8)
        read = cv2.imdecode(encoded, cv2.IMREAD_GRAYSCALE if grey else cv2.IMREAD_COLOR) if encoded.size else None
        if read is None:
            raise InputError(f"{path}: cannot be read as a picture; replace or remove it")
        image = np.asarray(read, np.uint8)
        return _resized(image if grey else image[:, :, ::-1], self.spec.height, self.spec.width)


def read_pictures(folder: Path, original: Original, spec: InputSpec) -> Data:
    """`spec` says what becomes of pixels: the card's, or what the user says of a network without one."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PICTURES and path.is_file())
    names = "\n".join(f"{path.relative_to(folder)} {path.stat().st_size}" for path in paths)
    digest = hashlib.sha256(f"{names}\n{spec}".encode("utf-8", "surrogateescape")).hexdigest()
    return halves(Folder(paths, original.inputs[0], spec), str(folder), fingerprint=digest)


def picture_spec(original: Original, mean: float, scale: float) -> InputSpec:
    """The card's, else what an input of planes (n, 1 or 3, height, width) tells; anything else takes no pictures."""
    if original.card is not None and original.card.input.height:
        return original.card.input
    port = original.inputs[0]
    if len(original.inputs) != 1 or len(port.shape) != 4 or not {port.shape[1], port.shape[3]} & {1, 3}:
        raise InputError(
            f"{original.name}: takes {', '.join(map(shown, original.inputs))}, not pictures (n, 1 or 3, height, width);"
            " give an .npz of arrays named like its inputs"
        )
    height, width, depth = port.shape[1:] if channels_last(port) else (*port.shape[2:], port.shape[1])
    return InputSpec(width or FREE, height or FREE, "grey" if depth == 1 else "rgb", mean, scale)


# --- drawn -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True, eq=False)
class Drawn:
    """Random inputs, the same ones every time. `limits`: below what numbers whole inputs stay, such as token ids."""

    ports: tuple[Port, ...]
    limits: Mapping[str, int]
    count: int = DRAWN
    seed: int = 0

    def __len__(self) -> int:
        return self.count

    def __iter__(self) -> Iterator[Columns]:
        random = np.random.default_rng(self.seed)
        for start in range(0, self.count, BATCH):
            rows = min(BATCH, self.count - start)
            yield {port.name: _drawn(port, rows, self.limits.get(port.name, 2), random) for port in self.ports}


def _drawn(port: Port, rows: int, limit: int, random: np.random.Generator) -> npt.NDArray[Any]:
    shape = (rows, *(length or FREE for length in port.shape[1:]))
    kind = np.dtype(port.dtype).kind
    if kind in "iub":
        return port.array(random.integers(0, limit, shape))
    return port.array(random.standard_normal(shape))


def draw(original: Original, limits: Mapping[str, int]) -> Data:
    """Accuracy on these says only whether the forms agree with one another."""
    whole = Drawn(original.inputs, limits)
    return halves(whole, "drawn inputs", fingerprint=f"drawn {len(whole)} {whole.seed}", drawn=True)
