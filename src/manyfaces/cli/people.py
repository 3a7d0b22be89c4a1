"""`manyfaces people`, `identify` and `verify`: who is who."""

from __future__ import annotations

import json
import math
import shlex
from collections import Counter
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from manyfaces.cli import prepare
from manyfaces.cli.files import expanded, refuse_clashes
from manyfaces.cli.options import with_options
from manyfaces.cli.outcome import Outcome, complain, counted, on_one_line
from manyfaces.cli.progress import Steps
from manyfaces.errors import GalleryError, ManyfacesError, OutputError
from manyfaces.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from manyfaces.api import Gallery
    from manyfaces.enrol import Outcome as Enrolled
    from manyfaces.gallery.falls import Fall
    from manyfaces.gallery.store import Consent

app = typer.Typer(no_args_is_help=True, help="The people you have enrolled.")
app.command("prepare")(prepare.prepare)

GalleryFile = Annotated[Path | None, typer.Option("--gallery", help="The gallery file, if not the default one.")]
Network = Annotated[
    str, typer.Option("--identity-model", help="A face network of your own: its .onnx file, the card beside it.")
]
Name = Annotated[str, typer.Argument(metavar="NAME", help="The person's name, in any script.")]
Force = Annotated[bool, typer.Option("--force", help="Enrol faces that are too small, blurred, cut or turned.")]
Agreed = Annotated[str, typer.Option("--consent", help="What the person agreed to, in words; kept with the person.")]
Expires = Annotated[str, typer.Option(help="The day on which the consent runs out, such as 2027-12-31.")]

ONE_PICTURE = ("emotion", "identity", "every_face", "emotion_rate", "emotion_model")
"""Options that mean nothing where names are asked for, of pictures."""

NOBODY = "nobody is enrolled here"

MOST_PAIRS = 3
"""Of people that look like one, named in one line."""

MOST_IN_TABLE = 2000
"""People that are put in a table, which takes nearly a second for a thousand; more are plain lines, one a person."""


@app.command()
def add(
    name: Name,
    photos: Annotated[list[str], typer.Argument(metavar="PATH...", help="Photos, folders or globs.")],
    gallery: GalleryFile = None,
    face: Annotated[
        int | None, typer.Option(min=1, help="Which face, counted from the left, where a photo shows several.")
    ] = None,
    force: Annotated[
        bool,
        typer.Option(
            "--force", help="Enrol faces that are too small, blurred, cut, turned, or unlike the person's others."
        ),
    ] = False,
    consent: Agreed = "",
    expires: Expires = "",
    identity_model: Network = "default",
) -> None:
    """Enrol a person from photos; those that are not good enough, or show somebody else than the photos this person is
    enrolled from already, are refused with the reason."""
    agreed = _consent(consent, expires)
    outcome, people = Outcome(), _open(gallery, identity_model)
    several = expanded(photos, outcome)
    for photo, became in people.add_each(name, several, face=face, force=force, consent=agreed):
        if isinstance(became, ManyfacesError):
            outcome.failed(str(photo), became)
            continue
        outcome.done()
        typer.echo(f"{photo}: {'enrolled' if became else 'already enrolled'}")
    raise typer.Exit(outcome.status)


def _consent(text: str, expires: str) -> Consent | None:
    from manyfaces.gallery.store import Consent

    return Consent(text, expires=expires) if text or expires else None


@app.command("import")
def import_folder(
    folder: Annotated[Path, typer.Argument(metavar="FOLDER", help="A folder of photos per person, named after them.")],
    gallery: GalleryFile = None,
    force: Force = False,
    consent: Agreed = "",
    expires: Expires = "",
    identity_model: Network = "default",
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no summary.")] = False,
) -> None:
    """Enrol everybody of a folder that holds a folder of photos per person. A consent is everybody's."""
    agreed = _consent(consent, expires)
    people, outcome = _open(gallery, identity_model), Outcome()
    became: Counter[str] = Counter()
    names: set[str] = set()
    for photo in _with_progress(people.import_folder(folder, force=force, consent=agreed), quiet):
        became[photo.status] += 1
        if photo.status == "refused":
            outcome.failed(str(photo.path), photo.reason)
        else:
            outcome.done()
            names.add(photo.name)
    prepare.name_passed_over(folder)
    if not quiet:
        counts = ", ".join(f"{count} {status}" for status, count in became.items())
        typer.echo(f"{counts}; {counted(len(people.people()), 'person', 'people')} in the gallery")
        if doubt := _doubt(people, names):
            typer.echo(f"{doubt}; to see which, type  {on_one_line(_look_again(folder, identity_model))}")
    raise typer.Exit(outcome.status)


def _doubt(people: Gallery, names: set[str]) -> str:
    """What is enrolled now and may be somebody else's; empty where nothing is."""
    strays, twins = people.doubtful(names) if names else ((), ())
    said = []
    if strays:
        said.append(f"{counted(len(strays), 'photo looks', 'photos look')} like somebody else's")
    if twins:
        pairs = ", ".join(f"{pair.first!r} and {pair.second!r}" for pair in twins[:MOST_PAIRS])
        more = f" and {counted(len(twins) - MOST_PAIRS, 'pair', 'pairs')} more" if len(twins) > MOST_PAIRS else ""
        said.append(f"{pairs}{more} look like one person")
    return "; ".join(said)


def _look_again(folder: Path, identity_model: str) -> str:
    network = [] if identity_model == "default" else ["--identity-model", identity_model]
    return shlex.join(["manyfaces", "people", "prepare", str(folder), *network])


def _with_progress(photos: Iterator[Enrolled], quiet: bool) -> Iterator[Enrolled]:
    """The number of photos is known with the first of them."""
    first = next(photos, None)
    if first is None:
        return
    with Steps("photos", first.total, quiet) as steps:
        for photo in chain([first], photos):
            steps.advance()
            yield photo


@app.command("list")
def list_people(gallery: GalleryFile = None) -> None:
    """Everybody in the gallery."""
    people = _existing(gallery)
    everybody = people.people()
    if not everybody:
        complain(f"{people.path}: {NOBODY}; see  manyfaces people add")
    rows = (
        (on_one_line(person.name), str(person.faces), person.added[:10], on_one_line(person.consent.text))
        for person in everybody
    )
    if len(everybody) > MOST_IN_TABLE:
        typer.echo("\n".join("  ".join(row).rstrip() for row in rows))
        return
    table = _table("name", "faces", "added", "consent")
    for row in rows:
        table.add_row(*map(escape, row))
    Console().print(table)


@app.command()
def show(name: Name, gallery: GalleryFile = None) -> None:
    """What is known of one person."""
    people = _existing(gallery)
    person = people.person(name)
    faces = counted(person.faces, "face", "faces")
    typer.echo(f"{on_one_line(person.name)}: {faces}, added {person.added[:10]}, model {person.model}")
    if person.consent.text or person.consent.expires:
        until = f", until {person.consent.expires}" if person.consent.expires else ""
        typer.echo(f"consent: {on_one_line(person.consent.text or 'given')}{until}")
    table = _table("photo", "size", "sharpness", "turned", "added")
    for face in people.faces(name):
        figures = (f"{face.size:.0f} px", f"{face.sharpness:.0f}", f"{face.yaw:.0%}", face.added[:10])
        table.add_row(escape(on_one_line(face.source)), *figures)
    Console().print(table)


@app.command()
def rename(
    name: Name, new: Annotated[str, typer.Argument(metavar="NEW", help="The new name.")], gallery: GalleryFile = None
) -> None:
    """Give a person another name."""
    _open(gallery).rename(name, new)
    typer.echo(f"{name} is now {new}")


@app.command()
def remove(name: Name, gallery: GalleryFile = None) -> None:
    """Forget a person, with every trace in the gallery's files."""
    typer.echo(f"{name}: {counted(_open(gallery).remove(name), 'face', 'faces')} removed")


@app.command()
def export(
    names: Annotated[list[str] | None, typer.Argument(metavar="NAME...", help="Only these people.")] = None,
    gallery: GalleryFile = None,
    vectors: Annotated[bool, typer.Option("--vectors", help="With the vectors, which are personal data.")] = False,
    output: Annotated[Path | None, typer.Option("-o", "--output", help="To this file instead of the screen.")] = None,
) -> None:
    """Everything that is known of people, as JSON."""
    people = _existing(gallery)
    text = json.dumps(people.export(names or [], vectors=vectors), indent=2, ensure_ascii=False)
    if output is None:
        typer.echo(text)
        return
    refuse_clashes([output], [people.path])
    try:
        output.write_text(text + "\n", encoding="utf-8")
    except OSError as error:
        raise OutputError(f"{output}: cannot write ({error.strerror}); choose another place") from None


@app.command()
def purge(
    gallery: GalleryFile = None,
    older_than: Annotated[int | None, typer.Option(min=0, help="Faces enrolled more than so many days ago.")] = None,
    everything: Annotated[bool, typer.Option("--everything", help="Everybody.")] = False,
) -> None:
    """Forget whose consent has run out, what is older than so many days, or everybody."""
    purged = _open(gallery).purge(older_than_days=older_than, everything=everything)
    names = f": {', '.join(map(on_one_line, purged.people))}" if purged.people else ""
    faces, gone = counted(purged.faces, "face", "faces"), counted(len(purged.people), "person", "people")
    typer.echo(f"{faces} and {gone} forgotten{names}")


@app.command()
def calibrate(
    gallery: GalleryFile = None,
    false_accepts: Annotated[float, typer.Option(help="The share of strangers that may be given a name.")] = 0.01,
    identity_model: Network = "default",
) -> None:
    """Compute from the gallery's own faces when a face gets a name; repeated by itself as the gallery grows."""
    people = _existing(gallery, identity_model)
    found = people.calibrate(false_accepts)
    sources = {
        "shipped": "shipped figures, since this gallery is too small to tell",
        "gallery": "this gallery's own faces",
        "both": "this gallery's own faces and, where these tell too little, shipped figures",
    }
    typer.echo(
        f"similarity {found.threshold:.3f} and a lead of {found.margin:.3f} for {found.false_accept_rate:.1%} false "
        f"accepts among {counted(found.people, 'person', 'people')} with {counted(found.faces, 'face', 'faces')}; "
        f"measured on {sources[found.basis]}"
    )
    typer.echo(f"a face is compared with people by the rule: {found.rule}")
    Console().print(_falls(people.falls(found), found.threshold))
    if found.suspects:
        pairs = counted(found.suspects, "pair", "pairs")
        typer.echo(
            f"{pairs} of people may be one person, or a photo is in the wrong place; who and which, says  "
            "manyfaces people prepare FOLDER"
        )


def _falls(rows: Sequence[Fall], threshold: float) -> Table:
    """The bars are of the strangers and the people that a threshold at this similarity would get wrong. It fits a
    screen of 80 characters, since strangers fill half a bar at most."""
    table = Table()
    for column in ("similarity", "strangers\nunder it", "let in", "own photos\nabove it", "missed"):
        table.add_column(column, no_wrap=True)
    for row in rows:
        here = " *" if abs(row.similarity - threshold) < 1e-9 else ""
        table.add_row(
            f"{row.similarity:.3f}{here}", f"{row.strangers_under:.1%}", _bar(1 - row.strangers_under),
            f"{row.own_above:.1%}", _bar(1 - row.own_above),
        )  # fmt: skip
    return table


def _bar(share: float) -> str:
    """One mark for each 5 %, begun ones too."""
    return "#" * math.ceil(share * 20 - 1e-9)


@partial(with_options, without=ONE_PICTURE)
def identify(
    pictures: Annotated[list[str], typer.Argument(metavar="PICTURE...", help="Pictures, folders or globs.")],
    options: Options,
) -> None:
    """Name every face of pictures; strangers stay unknown."""
    from dataclasses import replace

    from manyfaces.api import look

    outcome = Outcome()
    people = _existing(options.gallery)
    if not people.people():
        complain(f"{people.path}: {NOBODY}, so everybody is unknown; see  manyfaces people add")
    table = _table("picture", "face", "name", "sure of it", "similarity")
    for _, result in look(expanded(pictures, outcome), replace(options, emotion=False)):
        outcome.count(result)
        for face in sorted(result.faces, key=lambda face: face.box):
            place = f"{face.box[0]:.0f}, {face.box[1]:.0f}"
            table.add_row(
                escape(on_one_line(result.stream)), place, escape(on_one_line(face.identity or "unknown")),
                _figure(face.identity_confidence), _figure(face.similarity),
            )  # fmt: skip
    Console().print(table)
    raise typer.Exit(outcome.status)


def _table(first: str, *others: str) -> Table:
    """A table whose first column, a name or a path, is never cut."""
    table = Table()
    table.add_column(first, overflow="fold")
    for column in others:
        table.add_column(column, no_wrap=True)
    return table


def _figure(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"


@partial(with_options, without=(*ONE_PICTURE, "gallery"))
def verify(
    first: Annotated[str, typer.Argument(metavar="A", help="A picture.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    options: Options,
    false_accepts: Annotated[float, typer.Option(help="The share of different people that may pass as one.")] = 0.001,
) -> None:
    """Are these two pictures of the same person?"""
    from manyfaces.api import verify as compare

    found = compare(first, second, options, false_accepts=false_accepts)
    answer = "the same person" if found.same else "different people"
    typer.echo(
        f"{answer}: similarity {found.similarity:.3f}, threshold {found.threshold:.3f}, "
        f"probability of being the same {found.probability:.1%}"
    )


def _existing(gallery: Path | None, identity_model: str = "default") -> Gallery:
    """To look at; where a path was given and nothing is there, it was more likely mistyped than meant to be empty."""
    if gallery and not gallery.exists():
        raise GalleryError(f"{gallery}: there is no gallery here; check the path, or make one with people add")
    return _open(gallery, identity_model)


def _open(gallery: Path | None, identity_model: str = "default") -> Gallery:
    from manyfaces.api import Gallery

    return Gallery(gallery, Options(identity_model=identity_model))
