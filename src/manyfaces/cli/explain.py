"""`manyfaces explain`: what in a face spoke for the expression that was read."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from manyfaces.cli.files import expanded, refuse_clashes
from manyfaces.cli.options import with_options
from manyfaces.cli.outcome import SOME_FAILED, Outcome
from manyfaces.cli.progress import Steps
from manyfaces.errors import InputError, OutputError, UsageError
from manyfaces.options import Options

if TYPE_CHECKING:
    from manyfaces.card import InputSpec
    from manyfaces.evaluate.attribution import Explainer
    from manyfaces.evaluate.covering import Coverer
    from manyfaces.evaluate.panel import Box, FaceShown
    from manyfaces.stages import Detector
    from manyfaces.types import Detections, Floats, Pixels

ONLY_FOUND = ("emotion", "identity", "every_face", "emotion_rate", "emotion_model", "identity_model", "gallery")
"""Options that mean nothing where the network is named by the command, and nobody is named."""

FOLDER = Path("explained")

LEAST_CUT = 16
"""Pixels a side: in less than that a network reads an expression as from noise."""

MOST_OBLONG = 0.1
"""By how much the sides of a cut face may differ from those that the network takes."""


@partial(with_options, without=ONLY_FOUND)
def explain(
    options: Options,
    model: Annotated[str, typer.Argument(help="An emotion network: default, or a .onnx file with its card beside it.")],
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURE...", help="Pictures, folders or globs.")],
    output: Annotated[
        Path, typer.Option("-o", "--output", help="A folder, or a .png where one picture is explained.")
    ] = FOLDER,
    label: Annotated[str, typer.Option("--class", help="Show what speaks for this class, not for the runner-up.")] = "",
    cut: Annotated[
        bool, typer.Option("--cut", help="The pictures are faces that are cut already, as FER2013's.")
    ] = False,
) -> None:
    """Draw where a network sees what it says of each face, beside how it divides its answer."""
    from manyfaces.evaluate.attribution import Explainer, emotion_weights
    from manyfaces.evaluate.covering import Coverer

    outcome = Outcome()
    names = list(dict.fromkeys(expanded(pictures, outcome)))
    if not names:
        raise typer.Exit(outcome.status)
    weights = emotion_weights(model)
    asked = _asked(label, weights.card.labels, model)
    places = _places(output, names, [weights.path, weights.path.with_suffix(".json")])
    reader = Reader(Explainer(weights), Coverer(weights), None if cut else _detector(options), asked)
    could_read = False
    with Steps("pictures", len(names)) as steps:
        for name, place in zip(names, places, strict=True):
            could_read |= _explain_one(reader, name, place, outcome)
            steps.advance()
    # A picture that shows no face was read all the same, and the answer is that there is nothing to explain.
    raise typer.Exit(SOME_FAILED if outcome.status and could_read else outcome.status)


def _explain_one(reader: Reader, name: str, place: Path, outcome: Outcome) -> bool:
    """Whether the picture could be read, with or without faces."""
    from manyfaces.sinks.files import write_whole
    from manyfaces.sources import read_picture

    could_read = False
    try:
        image = read_picture(name)
        could_read = True
        write_whole(place, reader.panel(name, image))
        outcome.done()
        typer.echo(place)
    except InputError as error:
        outcome.failed(name, error)
    return could_read


def _asked(label: str, labels: Sequence[str], model: str) -> int | None:
    if label and label not in labels:
        raise UsageError(f"--class {label!r}: the network {model} knows {', '.join(labels)}; choose one of these")
    return labels.index(label) if label else None


def _detector(options: Options) -> Detector:
    from manyfaces.build import build_detector

    return build_detector(options)


# --- where the panels go ---------------------------------------------------------------------------------------------


def _places(output: Path, names: Sequence[str], kept: Sequence[Path]) -> list[Path]:
    """A file for each picture. Whatever cannot be written, or would destroy something, is said before anything is
    read."""
    places = [output] if _is_file_name(output) else _in_folder(output, names)
    if len(names) > len(places):
        raise UsageError(f"{output}: one file cannot take the panels of {len(names)} pictures; give a folder")
    refuse_clashes(places, [*names, *kept])
    for place in places:
        _refuse_strange(place)
    return places


def _is_file_name(output: Path) -> bool:
    if output.is_dir():
        return False
    if output.suffix and output.suffix.lower() != ".png":
        raise UsageError(f"{output}: panels are PNG files; give a name that ends in .png, or a folder")
    return bool(output.suffix)


def _in_folder(folder: Path, names: Sequence[str]) -> list[Path]:
    from manyfaces.sinks.files import writing

    with writing(folder):
        if folder.exists() and not folder.is_dir():
            raise OutputError(f"{folder}: this is a file, and a folder is needed; choose another name")
        folder.mkdir(exist_ok=True)
    places: list[Path] = []
    for name in names:
        stem, number = Path(name).stem, 1
        while (place := folder / f"{stem}{'' if number == 1 else f'-{number}'}.explained.png") in places:
            number += 1
        places.append(place)
    return places


def _refuse_strange(place: Path) -> None:
    from manyfaces.evaluate.panel import is_panel
    from manyfaces.sinks.files import refuse_device, writing

    with writing(place):
        refuse_device(place)
        if place.exists() and place.stat().st_size and not is_panel(place.read_bytes()):
            raise OutputError(f"{place}: this file holds something else than such a panel; choose another name")


# --- from a picture to its panel -------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Reader:
    """Explains pictures. Without a detector they are faces themselves."""

    explain: Explainer
    cover: Coverer
    detect: Detector | None
    asked: int | None

    def panel(self, name: str, image: Pixels) -> bytes:
        from manyfaces.evaluate.panel import Explanation, draw_panel, panel_png

        card = self.explain.card
        found, faces = self._faces(name, image)
        told = Explanation(Path(name).name, card.name, card.labels, image, faces, found)
        return panel_png(draw_panel(told, self.asked))

    def _faces(self, name: str, image: Pixels) -> tuple[int, list[FaceShown]]:
        """How many there are, and those that are explained, the largest first."""
        from manyfaces.align import align
        from manyfaces.evaluate.panel import MOST_FACES

        if self.detect is None:
            whole = 0.0, 0.0, float(image.shape[1]), float(image.shape[0])
            return 1, self._explained(_cut_face(name, image, self.explain.spec), [whole])
        found = self.detect([image])[0]
        if not len(found):
            raise InputError(f"{name}: no face was found in it; give one that shows a face, or --cut if it is all face")
        shown = _largest_first(found)[:MOST_FACES]
        return len(found), self._explained(align(image, shown.landmarks, self.explain.spec), map(_box, shown.boxes))

    def _explained(self, crops: Pixels, boxes: Iterable[Box]) -> list[FaceShown]:
        from manyfaces.evaluate.panel import FaceShown

        said = self.explain(crops)
        losses = [
            self.cover(crop, int(shares.argmax())) for crop, shares in zip(crops, said.probabilities, strict=True)
        ]
        return [FaceShown(*one) for one in zip(crops, said.probabilities, said.evidence, losses, boxes, strict=True)]


def _largest_first(found: Detections) -> Detections:
    import numpy as np

    sides = found.boxes[:, 2:] - found.boxes[:, :2]
    return found[np.argsort(-sides.prod(axis=1), kind="stable")]


def _box(edges: Floats) -> Box:
    x1, y1, x2, y2 = map(float, edges)
    return x1, y1, x2, y2


def _cut_face(name: str, image: Pixels, spec: InputSpec) -> Pixels:
    """The whole picture as one crop."""
    import cv2
    import numpy as np

    high, wide = image.shape[:2]
    if min(high, wide) < LEAST_CUT:
        raise InputError(
            f"{name}: {wide} x {high} pixels show no expression; give a cut face of {LEAST_CUT} pixels a side or more"
        )
    if abs(wide / high - spec.width / spec.height) > MOST_OBLONG:
        size = f"{spec.width} x {spec.height}"
        raise InputError(f"{name}: {wide} x {high} pixels are no cut face for a network that takes {size}; drop --cut")
    colours = cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)[..., None] if spec.channels == "grey" else image
    way = cv2.INTER_AREA if high > spec.height else cv2.INTER_LINEAR
    scaled = cv2.resize(colours, (spec.width, spec.height), interpolation=way)
    return np.asarray(scaled, np.uint8).reshape(1, spec.height, spec.width, spec.depth)
