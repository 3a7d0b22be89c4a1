"""`manyfaces ensemble`: several networks as one, with what each is worth and what the whole costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, TypeAlias

import numpy as np
import typer

from manyfaces.cli.evaluate import JsonFile
from manyfaces.cli.figures import refuse_figures, write_figures
from manyfaces.cli.files import refuse_clashes
from manyfaces.cli.progress import Steps
from manyfaces.cli.train import Data, make_folder, require_training
from manyfaces.errors import UsageError

if TYPE_CHECKING:
    from manyfaces.stages import Head
    from manyfaces.train.data import EmotionData
    from manyfaces.train.ensemble import Bools, Joined
    from manyfaces.train.merge import Blend
    from manyfaces.types import Emotions, Floats, Pixels
    from manyfaces.weights import Weights

    Heads: TypeAlias = Mapping[str, Head[Emotions]]

FILES = ("model.onnx", "model.json", "ensemble.json")
MARK = ("members", "ways")
"""What the figures of an earlier run hold."""

app = typer.Typer(no_args_is_help=True, help="Several networks as one model; needs the train extra.")


@app.callback()
def _group() -> None:
    """Without this, a group of one command would be taken for the command itself."""


@app.command()
def emotion(
    models: Annotated[
        list[str],
        typer.Argument(metavar="MODEL...", help="Emotion networks: .onnx files with their cards, or default."),
    ],
    data: Data,
    out: Annotated[Path, typer.Option(help="The folder for model.onnx, model.json and ensemble.json.")],
    mirror: Annotated[
        bool, typer.Option("--mirror", help="Ask every member about the mirrored face too, at twice the time.")
    ] = False,
    half: Annotated[bool, typer.Option("--half", help="Store weights in 16 bits: half the size.")] = False,
    json_file: JsonFile = None,
) -> None:
    """Ask every network about PublicTest, weigh them, and write them as one model that is used like any other."""
    require_training()
    from manyfaces.cli.emotion_data import read_faces
    from manyfaces.train.ensemble import blended, join, members
    from manyfaces.train.merge import Blend

    parts = emotion_networks(models)
    if len(parts) < 2:
        raise UsageError("an ensemble needs two networks or more; name another")
    written = [out / name for name in FILES] + [path for path in (json_file,) if path]
    prepare_folder(out, written, parts, "a member of the ensemble")
    if json_file:
        refuse_figures(json_file, MARK, [data])
    public = read_faces(data, out).split("public")
    group = members(ask(heads_of(parts), public.images, mirror))
    joined = join(group, public.labels)
    temperature = _temperature(blended(group, joined.weights), public)
    how = Blend(joined.weights, temperature, mirror, half)
    figures = _whole(out, parts, how, public) | _parts(parts, joined, public)
    for path in filter(None, (out / "ensemble.json", json_file)):
        write_figures(path, figures)
    _show(figures)
    typer.echo(f"{out / 'model.onnx'}: use it with --emotion-model {out / 'model.onnx'}")


# --- what `distill` does too -----------------------------------------------------------------------------------------


def emotion_networks(models: Sequence[str]) -> list[Weights]:
    """Networks by their names, checked to answer the same question."""
    from manyfaces.train.merge import refuse_strangers
    from manyfaces.weights import load

    parts = [load("emotion" if model == "default" else model) for model in models]
    refuse_strangers(parts)
    return parts


def prepare_folder(out: Path, outputs: Sequence[Path], parts: Sequence[Weights], role: str) -> None:
    """Make the folder; refuse one in which a network that is being read, as `role`, would be written over."""
    make_folder(out)
    refuse_clashes(outputs, [beside for part in parts for beside in _with_card(part.path)], f"{role}, or its card")


def _with_card(path: Path) -> tuple[Path, Path]:
    return path, path.with_suffix(".json")


def heads_of(parts: Sequence[Weights]) -> Heads:
    """The networks as `analyze` would run them, by the identifiers of their cards."""
    from manyfaces.build import build_emotion_head
    from manyfaces.options import Options

    return {part.card.identifier: build_emotion_head(Options(emotion_model=str(part.path))) for part in parts}


def ask(heads: Heads, images: Pixels, mirror: bool = False) -> dict[str, Floats]:
    """What each network says of the pictures; of their mirror images too where `mirror`, and then the mean."""
    from manyfaces.evaluate.emotion import batch_count, mirrored, read_expressions

    sides = [images, mirrored(images)] if mirror else [images]
    with Steps("asking", len(heads) * len(sides) * batch_count(len(images))) as steps:
        return {
            name: np.mean([read_expressions(side, head, steps.advance) for side in sides], axis=0, dtype=np.float32)
            for name, head in heads.items()
        }


# --- the whole -------------------------------------------------------------------------------------------------------


def _temperature(mean: Floats, public: EmotionData) -> float:
    from manyfaces.train.export import fitted_temperature
    from manyfaces.train.merge import LEAST_SAID

    return fitted_temperature(np.log(np.maximum(mean, LEAST_SAID)), public.labels)


def _whole(out: Path, parts: Sequence[Weights], how: Blend, public: EmotionData) -> dict[str, Any]:
    """Write the model and its card; the figures are of that very file, as it is served."""
    from manyfaces.sinks.files import write_whole
    from manyfaces.train.emotion import NOTES, metrics_of
    from manyfaces.train.evaluate import report
    from manyfaces.train.merge import merged, merged_card, parameters
    from manyfaces.weights import load

    content = merged(parts, how)
    card = merged_card(parts, content, _command(parts, how))
    path, beside = _with_card(out / FILES[0])
    write_whole(path, content)
    card.write(beside)
    whole = load(path)
    said = ask(heads_of([whole]), public.images)[card.identifier]
    metrics = metrics_of(said, public) | {"parameters": float(parameters(content)), "temperature": how.temperature}
    replace(card, metrics=metrics, notes=(*NOTES, _made_of(parts, how, public.selection))).write(beside)
    choices = {"mirror": how.mirror, "half": how.half, "temperature": how.temperature}
    return {"model": card.identifier, **report(said, public), **_costs(whole, public), **choices}


def _command(parts: Sequence[Weights], how: Blend) -> str:
    """What was typed, with the cards' names of the members: paths mean nothing where the card travels."""
    flags = [flag for flag, is_set in (("--mirror", how.mirror), ("--half", how.half)) if is_set]
    return " ".join(["manyfaces ensemble emotion", *(part.card.identifier for part in parts), *flags])


def _made_of(parts: Sequence[Weights], how: Blend, selection: str) -> str:
    shares = (f"{part.card.identifier} {weight:.1%}" for part, weight in zip(parts, how.weights, strict=True))
    return f"The mean of several networks, weighed on {selection}: {', '.join(shares)}."


def _costs(part: Weights, public: EmotionData) -> dict[str, float]:
    """Of one core, in the runtime's own choice of precision, as `evaluate emotion` measures it."""
    from manyfaces.build import build_emotion_head
    from manyfaces.evaluate.emotion import milliseconds_a_face
    from manyfaces.options import Options
    from manyfaces.plans import UNTUNED

    head = build_emotion_head(Options(emotion_model=str(part.path), threads=1), tuned=UNTUNED)
    return {"ms_per_face": milliseconds_a_face(public.images, head), "bytes": len(part.content)}


# --- what is told ----------------------------------------------------------------------------------------------------


def _parts(parts: Sequence[Weights], joined: Joined, public: EmotionData) -> dict[str, Any]:
    members = [
        {"model": part.card.identifier, "weight": weight, **_accuracies(right, public), **_costs(part, public)}
        for part, weight, right in zip(parts, joined.weights, joined.alone, strict=True)
    ]
    gain = {"gain": joined.gain, "gain_error": joined.gain_error}
    ways = {
        "hard": _accuracies(joined.hard, public),
        "equal": _accuracies(joined.equal, public),
        "cross_fitted": _accuracies(joined.cross_fitted, public) | gain,
    }
    return {"members": members, "ways": ways, "chosen": "fitted" if joined.is_fitted else "equal", "why": _why(joined)}


def _accuracies(right: Bools, public: EmotionData) -> dict[str, float]:
    fresh = right[~public.duplicate]
    return {"accuracy": float(right.mean()), "clean_accuracy": float(fresh.mean()) if len(fresh) else 0.0}


def _why(joined: Joined) -> str:
    by = f"by {joined.gain * 100:+.2f} points with a standard error of {joined.gain_error * 100:.2f}"
    if joined.is_fitted:
        return f"fitted weights are better than equal ones on pictures that they were not fitted to, {by}"
    return f"equal weights: on pictures that they were not fitted to, fitted ones change the accuracy {by}"


def _show(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Column, Table

    # Two networks of one kind differ at the end of their names only.
    table = Table(Column("network", no_wrap=True), "weight", "accuracy", "without duplicates", "ms a face")
    for member in figures["members"]:
        cost = f"{member['ms_per_face']:.3f}"
        table.add_row(member["model"], f"{member['weight']:.3f}", *_shares(member), cost)
    table.add_section()
    for way, name in (("hard", "hard voting"), ("equal", "equal weights"), ("cross_fitted", "fitted, cross-fitted")):
        table.add_row(name, "", *_shares(figures["ways"][way]), "")
    table.add_section()
    whole = {"accuracy": figures["accuracy"], "clean_accuracy": figures["clean"]["accuracy"]}
    table.add_row("the whole, as written", "", *_shares(whole), f"{figures['ms_per_face']:.3f}")
    Console().print(table)
    typer.echo(f"chosen: {figures['why']}")


def _shares(accuracies: dict[str, float]) -> tuple[str, str]:
    return f"{accuracies['accuracy']:.2%}", f"{accuracies['clean_accuracy']:.2%}"
