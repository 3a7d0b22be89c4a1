"""What `manyfaces evaluate emotion` does between its options and its table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from manyfaces.cli.figures import refuse_figures, write_figures
from manyfaces.cli.files import refuse_clashes
from manyfaces.cli.progress import Steps
from manyfaces.errors import MissingExtra, UsageError
from manyfaces.options import Options

if TYPE_CHECKING:
    from rich.table import Table

    from manyfaces.stages import Head
    from manyfaces.train.data import EmotionData
    from manyfaces.types import Emotions, Floats, Pixels

AVERAGES = ("accuracy", "balanced_accuracy", "macro_f1")


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Labelled faces, what the network said of them in FER2013's order, and the figures that follow."""

    faces: EmotionData
    probabilities: Floats
    figures: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """Which faces are to be read by which network, and how."""

    model: str
    data: Path
    split: str
    mirror: bool
    options: Options

    def answers(self) -> Answers:
        from manyfaces.evaluate.emotion import mirrored
        from manyfaces.train.data import read_emotion_data
        from manyfaces.train.evaluate import report
        from manyfaces.train.photos import is_photo_folder

        if is_photo_folder(self.data):
            raise UsageError(
                f"{self.data}: the faces of these photos are not cut yet; give the faces.npz that training left in its "
                "folder, where they are, and where it is said which were held out"
            )
        faces = read_emotion_data(self.data).split(self.split)
        head = self._head(self.options)
        plain = _said(faces.images, head)
        said = _mean(plain, _said(mirrored(faces.images), head)) if self.mirror else plain
        gain = {"accuracy_without_mirror": report(plain, faces)["accuracy"]} if self.mirror else {}
        return Answers(faces, said, {**report(said, faces), **gain, **self._cost(faces.images)})

    def _cost(self, images: Pixels) -> dict[str, float]:
        """On one core, and in the runtime's own choice of precision unless the user made one: what this machine was
        tuned to would say nothing of another."""
        from manyfaces.evaluate.emotion import milliseconds_a_face

        head = self._head(replace(self.options, threads=1), tuned=False)
        figures = {"ms_per_face": milliseconds_a_face(images, head)}
        return figures | ({"ms_per_face_mirror": milliseconds_a_face(images, head, True)} if self.mirror else {})

    def _head(self, options: Options, tuned: bool = True) -> Head[Emotions]:
        from manyfaces.build import build_emotion_head
        from manyfaces.plans import UNTUNED

        chosen = replace(options, emotion=True, emotion_model=self.model)
        return build_emotion_head(chosen, tuned=None if tuned else UNTUNED)


def _said(images: Pixels, head: Head[Emotions]) -> Floats:
    from manyfaces.evaluate.emotion import batch_count, columns_of, read_expressions
    from manyfaces.train.data import EMOTIONS

    columns = columns_of(head, EMOTIONS)
    with Steps("batches of faces", batch_count(len(images))) as steps:
        return read_expressions(images, head, steps.advance)[:, columns]


def _mean(first: Floats, second: Floats) -> Floats:
    import numpy as np

    mean: Floats = np.mean([first, second], axis=0, dtype=np.float32)
    return mean


def show(figures: dict[str, Any]) -> None:
    """All pictures, those that are not also in Training, and the taggers' majority side by side; then every class."""
    from rich.console import Console

    console = Console()
    console.print(_side_by_side({name: part for name, part in _parts(figures).items() if part}))
    console.print(_by_class(figures["per_class"]))
    console.print(*_costs(figures), sep="\n")


def _parts(figures: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {
        "all": figures,
        "without duplicates": figures["clean"],
        "majority of taggers": figures.get("ferplus", {}),
    }


def _side_by_side(parts: dict[str, dict[str, Any]]) -> Table:
    from rich.table import Table

    # Under a figure and not beside it, for three parts side by side must fit 80 columns.
    table = Table("figure", caption="below a figure: where 95 of 100 sets of such pictures would lie")
    for name in parts:
        table.add_column(name, justify="right")
    table.add_row("pictures", *(f"{part['count']:,}" for part in parts.values()))
    for name in AVERAGES:
        table.add_row(name.replace("_", " "), *(_with_interval(part, name) for part in parts.values()))
    table.add_row("calibration error", *(f"{part['ece']:.3f}" for part in parts.values()))
    return table


def _with_interval(part: dict[str, Any], name: str) -> str:
    low, high = part[f"{name}_interval"]
    return f"{part[name]:.2%}\n{low:.1%} to {high:.1%}"


def _by_class(classes: dict[str, dict[str, float]]) -> Table:
    from rich.table import Table

    table = Table("class", "pictures", "precision", "recall", "f1")
    for name, one in classes.items():
        table.add_row(name, f"{one['count']:,}", *(f"{one[key]:.2%}" for key in ("precision", "recall", "f1")))
    return table


def _costs(figures: dict[str, Any]) -> Iterator[str]:
    yield f"{figures['ms_per_face']:.3f} ms a face on one core, 8 at a time"
    if "ms_per_face_mirror" in figures:
        without = figures["accuracy_without_mirror"]
        yield (
            f"with the mirrored face, as above, {figures['ms_per_face_mirror']:.3f} ms; without it {without:.2%} are "
            "named as labelled"
        )


@dataclass(frozen=True, slots=True)
class Wanted:
    """The files that were asked for. What cannot be made is refused before anything is read."""

    figures: Path | None
    confusion: Path | None
    calibration: Path | None

    @property
    def drawn(self) -> list[Path]:
        return [path for path in (self.confusion, self.calibration) if path]

    def refuse(self, inputs: Sequence[Path]) -> None:
        if self.drawn and find_spec("matplotlib") is None:
            raise MissingExtra("drawing figures", "train")
        for path in self.drawn:
            if path.suffix.lower() != ".png":
                raise UsageError(f"{path}: pictures of figures are PNG files; give a name that ends in .png")
        refuse_clashes([*self.drawn, *([self.figures] if self.figures else [])], inputs)
        if self.figures:
            refuse_figures(self.figures, ("accuracy",), inputs)

    def write(self, answers: Answers) -> None:
        import numpy as np

        if self.figures:
            write_figures(self.figures, answers.figures)
        if self.drawn:
            from manyfaces.train.data import EMOTIONS
            from manyfaces.train.evaluate import reliability
            from manyfaces.train.pictures import draw_calibration, draw_confusion

            if self.confusion:
                draw_confusion(np.array(answers.figures["confusion"]), EMOTIONS, self.confusion)
            if self.calibration:
                draw_calibration(reliability(answers.probabilities, answers.faces.labels), self.calibration)
