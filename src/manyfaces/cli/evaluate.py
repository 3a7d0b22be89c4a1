"""`manyfaces evaluate`: honest figures, as a table and with --json as a file."""

from __future__ import annotations

import json
from contextlib import contextmanager
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

from manyfaces.cli.options import with_options
from manyfaces.cli.outcome import complain
from manyfaces.cli.progress import Steps
from manyfaces.cli.voting import voting
from manyfaces.errors import InputError, OutputError
from manyfaces.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from manyfaces.evaluate.pairs import Pair
    from manyfaces.portraits import Portraits
    from manyfaces.types import Floats, Frame, FrameResult, Integers, Pixels

Thing = TypeVar("Thing")
CLIP_TRUTH = ".truth.json"

DETECTING = ("emotion", "identity", "every_face", "emotion_rate", "emotion_model", "gallery")
"""Options that mean nothing where faces are compared without a gallery."""

FINDING = (*DETECTING, "identity_model")
"""Those that mean nothing where faces are only found."""

FOLLOWING = ("emotion", "emotion_rate", "emotion_model", "gallery")
"""Those that mean nothing to who is which over time."""

CUT_ALREADY = ("detector", "threshold", "min_face", "max_face", *FINDING)
"""Those that mean nothing where faces come cut and the network is named by the command itself."""

app = typer.Typer(no_args_is_help=True, help="Honest figures for every part, as a table and as JSON.")

JsonFile = Annotated[Path | None, typer.Option("--json", help="Write the same figures to this file.")]
Truth = Annotated[
    Path, typer.Option(help="The truth: a .truth.json of a clip, or for pictures {file: [[x1, y1, x2, y2]]}.")
]


@app.command()
@partial(with_options, without=DETECTING)
def verification(
    options: Options,
    pairs: Annotated[Path, typer.Option(help="Pairs in the format of LFW's pairs.txt.")],
    images: Annotated[Path, typer.Option(help="The folder with a folder of photos per person.")],
    json_file: JsonFile = None,
) -> None:
    """Same person or not, from the raw pictures; an undetected face counts as wrong."""
    import numpy as np

    from manyfaces.evaluate.pairs import read_pairs
    from manyfaces.evaluate.verification import verification_score

    listed = read_pairs(pairs, images)
    portraits = _portraits(sorted({photo for pair in listed for photo in (pair.first, pair.second)}), options)
    similarities, found = _compared(listed, portraits)
    score = verification_score(
        similarities, np.array([pair.same for pair in listed]), np.array([pair.fold for pair in listed]), found
    )
    _show({**asdict(score), "undetected": portraits.undetected}, json_file)


@app.command("pairs")
def draw_pairs(
    images: Annotated[Path, typer.Option(help="The folder with a folder of photos per person, NAME/NAME_0001.jpg.")],
    output: Annotated[Path, typer.Option("-o", "--output", help="Where the pairs go.")],
    folds: Annotated[int, typer.Option(min=1)] = 10,
    per_fold: Annotated[int, typer.Option(min=1, help="Pairs of each kind in a fold.")] = 300,
    seed: int = 0,
) -> None:
    """Draw pairs of photos for `evaluate verification`: as many of one person as of two."""
    from manyfaces.evaluate.pairs import draw_pairs, write_pairs

    pairs = draw_pairs(images, folds, per_fold, seed)
    with _writing(output):
        write_pairs(pairs, output)
    typer.echo(f"{output}: {len(pairs)} pairs in {folds} folds")


@app.command()
@partial(with_options, without=DETECTING)
def identity(
    options: Options,
    data: Annotated[Path, typer.Option(help="A folder of photos per person; exact duplicates are left out.")],
    splits: Annotated[int, typer.Option(min=1, help="Random stratified 80:20 splits.")] = 20,
    seed: int = 0,
    plot: Annotated[Path | None, typer.Option(help="Draw the curves of pairs and of strangers into this .png.")] = None,
    errors: Annotated[
        Path | None, typer.Option(help="Every face that went wrong, with causes and advice, on this page (.html).")
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Who is who over random splits, by every way to compare; pairs; and strangers against calibrated galleries."""
    from manyfaces.build import calibrated_identifier
    from manyfaces.cli import mixups
    from manyfaces.cli.identity import refuse, show, write
    from manyfaces.evaluate.identity import identity_score, photos_by_folder

    refuse(plot, json_file, data)
    if errors:
        mixups.refuse(errors, data, [plot, json_file])
    photos = photos_by_folder(data)
    people = [name for name, paths in photos.items() for _ in paths]
    portraits = _portraits([path for paths in photos.values() for path in paths], options)
    score = identity_score(portraits, people, splits, seed, calibrated_identifier)
    show(score)
    write(score, len(photos), plot, json_file)
    if errors:
        mixups.write_page(errors, data, splits, seed, options)


@app.command()
@partial(with_options, without=FINDING)
def detection(
    options: Options,
    truth: Truth,
    data: Annotated[
        Path | None,
        typer.Argument(help="The clip, or the folder of the pictures; by default what lies beside the truth."),
    ] = None,
    json_file: JsonFile = None,
) -> None:
    """Recall and precision of the detector at an intersection over union of 0.5."""
    from dataclasses import replace

    from manyfaces.build import build_stages
    from manyfaces.evaluate import detection as judged
    from manyfaces.sources import read_picture

    detect = build_stages(replace(options, emotion=False, identity=False)).detect
    if truth.name.endswith(CLIP_TRUTH):
        frames = frames_of(data or _clip_beside(truth))
        score = judged.score_detection(judged.read_video_truth(truth), (detect([f.image])[0].boxes for f in frames))
    else:
        pictures = judged.read_picture_truth(truth)
        folder = data or truth.parent
        with Steps("pictures", len(pictures.boxes)) as steps:
            found = _each(steps, ((name, detect([read_picture(folder / name)])[0].boxes) for name in pictures.boxes))
            score = judged.score_pictures(pictures, found)
    _show(score.as_dict(), json_file)


@app.command()
@partial(with_options, without=FOLLOWING)
def tracking(
    options: Options,
    clip: Annotated[Path, typer.Argument(metavar="INPUT", help="The video.")],
    truth: Truth,
    json_file: JsonFile = None,
) -> None:
    """MOTA, IDF1 and id switches of the whole pipeline on a clip with truth."""
    from manyfaces.build import build_engine
    from manyfaces.engine import Engine
    from manyfaces.evaluate.detection import read_video_truth
    from manyfaces.evaluate.tracking import score_tracking

    expected = read_video_truth(truth)
    results = (result for _, result in Engine(*build_engine(options)).run(frames_of(clip)))
    score = score_tracking(expected, map(_boxes_and_tracks, results))
    _show(score.as_dict(), json_file)


@app.command()
@partial(with_options, without=CUT_ALREADY)
def emotion(
    options: Options,
    model: Annotated[str, typer.Argument(help="An emotion network: default, or a .onnx file with its card beside it.")],
    data: Annotated[Path, typer.Option(help="fer2013.csv, an .npz, or a folder split/class/*.png.")],
    split: Annotated[str, typer.Option(help="training, public or private.")] = "public",
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Read each face and its mirror image; says what that costs.")
    ] = False,
    confusion: Annotated[Path | None, typer.Option(help="Draw what is taken for what into this .png.")] = None,
    calibration: Annotated[Path | None, typer.Option(help="Draw how far it may be believed into this .png.")] = None,
    errors: Annotated[Path | None, typer.Option(help="The surest mistakes, explained, on this page (.html).")] = None,
    json_file: JsonFile = None,
) -> None:
    """Accuracy with its uncertainty, balance, calibration and cost of an emotion network on labelled faces."""
    from manyfaces.cli.expressions import Question, Wanted, show
    from manyfaces.cli.mistakes import refuse_page, write_page

    wanted = Wanted(json_file, confusion, calibration)
    wanted.refuse([data, Path(model)])
    if errors:
        from manyfaces.evaluate.mistakes_page import GENERATOR

        refuse_page(errors, [data, Path(model), json_file, confusion, calibration], GENERATOR)
    answers = Question(model, data, split, mirror, options).answers()
    show(answers.figures)
    wanted.write(answers)
    if errors:
        write_page(errors, model, data, split, answers)


app.command()(voting)


def _clip_beside(truth: Path) -> Path:
    return truth.with_name(truth.name.removesuffix(CLIP_TRUTH) + ".mp4")


def frames_of(clip: Path) -> Iterator[Frame]:
    """The frames of a clip that has a truth; one that cannot be decoded would shift all others, so it ends the run."""
    from manyfaces.sources import frame_count, open_source
    from manyfaces.types import Unreadable

    with Steps("frames", frame_count(str(clip))) as steps:
        for frame in open_source(str(clip)):
            if isinstance(frame, Unreadable):
                raise InputError(f"{clip}, frame {frame.index}: {frame.reason}; a clip with truth must be whole")
            steps.advance()
            yield frame


def _boxes_and_tracks(result: FrameResult) -> tuple[Floats, Integers]:
    import numpy as np

    boxes = np.array([face.box for face in result.faces], np.float32).reshape(-1, 4)
    return boxes, np.array([face.track for face in result.faces], np.int64)


def _each(steps: Steps, things: Iterable[Thing]) -> Iterator[Thing]:
    for thing in things:
        steps.advance()
        yield thing


def _portraits(paths: list[Path], options: Options) -> Portraits:
    from dataclasses import replace

    from manyfaces.build import build_stages
    from manyfaces.portraits import read_portraits

    stages = build_stages(replace(options, emotion=False, identity=True))
    with Steps("photos", len(paths)) as steps:
        return read_portraits(_each(steps, ((str(path), _picture(path)) for path in paths)), stages)


def _picture(path: Path) -> Pixels:
    """A photo that cannot be decoded is named and counts as one without a face; a pipe would be waited for."""
    import numpy as np

    from manyfaces.enrol import read_photo
    from manyfaces.sources import HeldPicture

    try:
        return HeldPicture(read_photo(path), str(path)).decode()
    except InputError as error:
        complain(str(error))
        return np.zeros((1, 1, 3), np.uint8)


def _compared(listed: list[Pair], portraits: Portraits) -> tuple[Floats, Any]:
    """Cosine similarity of every pair, and whether both faces were found."""
    import numpy as np

    place = {Path(name): number for number, name in enumerate(portraits.names)}
    first = np.array([place[pair.first] for pair in listed])
    second = np.array([place[pair.second] for pair in listed])
    vectors = portraits.embeddings.vectors
    return (vectors[first] * vectors[second]).sum(axis=1), portraits.found[first] & portraits.found[second]


def _show(figures: dict[str, Any], json_file: Path | None) -> None:
    """A table of the figures; lists are counted there and whole in the file."""
    from rich.console import Console
    from rich.table import Table

    table = Table("figure", "value")
    for name, value in _flattened(figures):
        table.add_row(name, value)
    Console().print(table)
    if json_file:
        if json_file.exists() and not _is_figures(json_file):
            raise OutputError(f"{json_file}: this file holds something else than figures; choose another name")
        with _writing(json_file):
            json_file.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")


def _is_figures(path: Path) -> bool:
    """Whether an earlier run wrote this file: only that is written over, never a truth or a data file."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return path.is_file() and path.stat().st_size == 0
    return isinstance(content, dict) and bool(content.keys() & {"accuracy", "recall"})


def _flattened(figures: dict[str, Any], depth: int = 0) -> Iterator[tuple[str, str]]:
    """What fits a screen: two levels of figures, lists by their length; matrices only in the file."""
    for name, value in figures.items():
        if isinstance(value, dict):
            if depth < 2:
                yield from ((f"{name} {key}", text) for key, text in _flattened(value, depth + 1))
        elif isinstance(value, list):
            if not value or not isinstance(value[0], list):
                yield name, str(len(value))
        else:
            yield name.replace("_", " "), f"{value:.4f}" if isinstance(value, float) else str(value)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise OutputError(f"{path}: cannot write ({error.strerror}); choose another place") from None
