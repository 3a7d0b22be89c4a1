"""`manyfaces people prepare`: what a folder of photos per person is worth, before anybody is enrolled from it."""

from __future__ import annotations

from collections import Counter
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from manyfaces.cli.figures import refuse_figures, write_figures
from manyfaces.cli.files import refuse_clashes
from manyfaces.cli.options import with_options
from manyfaces.cli.outcome import Outcome, complain, counted, on_one_line
from manyfaces.cli.progress import Steps
from manyfaces.errors import UsageError
from manyfaces.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyfaces.enrol import PassedOver
    from manyfaces.prepare import Album, Cache
    from manyfaces.prepare.doubts import Doubts

NOT_ASKED = ("emotion", "identity", "every_face", "emotion_rate", "emotion_model", "gallery")
MARK = ("people", "faces", "left_out", "copies")
MOST_ROWS = 60
"""People of the table; of more, only those of whom there is something to say, and the rest in the file."""

MOST_LINES = 200


@partial(with_options, without=NOT_ASKED)
def prepare(
    options: Options,
    folder: Annotated[
        Path | None, typer.Argument(metavar="FOLDER", help="A folder of photos per person, named after them.")
    ] = None,
    sheet: Annotated[Path | None, typer.Option(help="Everybody's faces on one picture, with what is wrong.")] = None,
    json_file: Annotated[Path | None, typer.Option("--json", help="Everything that was found, in this file.")] = None,
    use_cache: Annotated[
        bool, typer.Option("--cache/--no-cache", help="Keep what was read in your cache, so that it is read once.")
    ] = True,
    forget: Annotated[
        bool, typer.Option("--forget", help="Forget all faces kept in the cache, of any folder.")
    ] = False,
    quiet: Annotated[bool, typer.Option("--quiet", "-q", help="No progress, no table.")] = False,
) -> None:
    """Find the faces of a folder of photos per person, and say what is wrong with it: photos without a face, with
    several, or with a poor one; copies; photos that seem to show somebody else; names that are nearly one."""
    from manyfaces.prepare import Cache

    cache = Cache(use=use_cache)
    if forget:
        typer.echo(f"{cache.folder}: {cache.forget()} photos' faces forgotten")
    if folder is None:
        if forget:
            return
        raise UsageError("name the FOLDER that holds a folder of photos per person")
    _refuse(folder, sheet, json_file)
    album = _read(folder, options, cache, quiet)
    name_passed_over(folder)
    _report(album, folder, sheet, json_file, quiet)


def _refuse(folder: Path, sheet: Path | None, json_file: Path | None) -> None:
    from manyfaces.sinks.files import refuse_device, writing
    from manyfaces.sinks.pictures import PICTURE_ENDINGS

    refuse_clashes([path for path in (sheet, json_file) if path], [])
    if json_file:
        refuse_figures(json_file, MARK)
    if sheet:
        if sheet.suffix.lower() not in PICTURE_ENDINGS:
            raise UsageError(f"{sheet}: a sheet is a picture; end its name in .png or .jpg")
        if folder.resolve() in sheet.resolve().parents:
            raise UsageError(f"{sheet}: it would lie among the photos; write the sheet outside {folder}")
        with writing(sheet):
            refuse_device(sheet)


def _read(folder: Path, options: Options, cache: Cache, quiet: bool) -> Album:
    from manyfaces.build import build_reader
    from manyfaces.enrol import photos_by_person
    from manyfaces.prepare import Album

    photos = photos_by_person(folder)
    with Steps("photos", len(photos), quiet) as steps:
        album = Album.of(steps.over(build_reader(options, cache).each(photos)))
    if cache.warning:
        complain(cache.warning)
    return album


def _report(album: Album, folder: Path, sheet: Path | None, json_file: Path | None, quiet: bool) -> None:
    from manyfaces.prepare.doubts import doubts

    outcome = Outcome()
    found = doubts(album)
    for left in album.left_out:
        if left.refused.why == "unreadable":
            outcome.failed(str(left.photo.path), left.refused.reason)
        else:
            outcome.done()
    for _ in album.photos:
        outcome.done()
    if json_file:
        write_figures(json_file, {**figures(album, found), "passed_over": _listed(folder)})
    if sheet:
        _draw(album, found, folder, sheet)
    if not quiet:
        _show(album, found)
    raise typer.Exit(outcome.status)


def name_passed_over(folder: Path) -> None:
    """Once, and no failure: nobody has said that these are to be read."""
    from manyfaces.enrol import passed_over

    if kinds := list(_kinds_passed_over(passed_over(folder), folder)):
        complain(
            f"{folder}: passed over {', '.join(kinds)}; only photos right in the folder of a person are read, so put "
            "them there"
        )


def _kinds_passed_over(passed: PassedOver, folder: Path) -> Iterator[str]:
    kinds = (
        (passed.beside, "photo", "photos", "beside the folders"),
        (passed.below, "photo", "photos", "in folders below a person's"),
        (passed.empty, "folder", "folders", "without a photo"),
    )
    for paths, one, several, where in kinds:
        if paths:
            others = " and others" if len(paths) > 1 else ""
            yield f"{counted(len(paths), one, several)} {where} ({paths[0].relative_to(folder)}{others})"


def _listed(folder: Path) -> dict[str, list[str]]:
    from manyfaces.enrol import passed_over

    passed = passed_over(folder)
    return {name: [str(path) for path in getattr(passed, name)] for name in ("beside", "below", "empty")}


def _draw(album: Album, found: Doubts, folder: Path, sheet: Path) -> None:
    from manyfaces.prepare.sheet import contact_sheet
    from manyfaces.sinks.pictures import write_picture

    write_picture(sheet, contact_sheet(album, found, folder.resolve().name))


# --- in words --------------------------------------------------------------------------------------------------------


def _show(album: Album, found: Doubts) -> None:
    photos, out, copies, doubted = _counts(album, found)
    notable = set(out) | set(copies) | set(doubted)
    rows = sorted(photos) if len(photos) <= MOST_ROWS else sorted(notable)[:MOST_ROWS]
    table = Table()
    table.add_column("name", overflow="fold")
    for column in ("photos", "left out", "copies", "to look at"):
        table.add_column(column, justify="right")
    for name in rows:
        table.add_row(
            escape(on_one_line(name)), str(photos[name]), *(str(count[name] or "") for count in (out, copies, doubted))
        )
    Console().print(table)
    lines = list(_lines(album, found))
    for line in lines[:MOST_LINES]:
        typer.echo(on_one_line(line))
    if len(lines) > MOST_LINES:
        typer.echo(f"and {counted(len(lines) - MOST_LINES, 'line', 'lines')} more, which --json FILE has")
    everybody, faces = counted(len(photos), "person", "people"), counted(len(album), "face", "faces")
    typer.echo(f"{everybody}, {faces} of {counted(sum(photos.values()), 'photo', 'photos')}")


def _counts(album: Album, found: Doubts) -> tuple[Counter[str], Counter[str], Counter[str], Counter[str]]:
    """Of each person: photos, photos left out, copies, and what else is to be looked at."""
    out = Counter(left.photo.person for left in album.left_out)
    doubted = Counter(album.people[stray.place] for stray in found.strays)
    doubted.update(name for twins in found.twins for name in (twins.first, twins.second))
    doubted.update(name for pair in found.names for name in pair)
    copies = Counter(album.people[copy.second] for copy in found.copies)
    return Counter(album.people) + out, out, copies, doubted


def _lines(album: Album, found: Doubts) -> Iterator[str]:
    """The weightiest first."""
    for first, second in found.names:
        yield f"{first!r} and {second!r} are nearly one name; rename one, or put the photos together"
    for twins in found.twins:
        yield (
            f"{twins.first!r} and {twins.second!r} look like one person (similarity {twins.similarity:.2f}); "
            "put the photos together, or look for photos in the wrong folder"
        )
    for stray in found.strays:
        like = f", like {stray.other!r} ({stray.similarity:.2f})" if stray.other else ""
        yield f"{album.paths[stray.place]}: unlike the others of this person ({stray.own:.2f}){like}"
    for copy in found.copies:
        yield f"{album.paths[copy.second]}: {copy.sameness} as {album.paths[copy.first]}"
    for left in album.left_out:
        if left.refused.why != "unreadable":
            yield f"{left.photo.path}: left out, {left.refused.reason}"
    yield from _too_little(album)


def _too_little(album: Album) -> Iterator[str]:
    """What can be enrolled and yet neither measured nor trained."""
    own = Counter(album.without_copies().people)
    if len(own) == 1:
        yield f"{next(iter(own))!r} is alone: without other people nothing can be measured or trained"
    single = sorted(name for name, count in own.items() if count == 1)
    if single:
        some = ", ".join(map(repr, single[:5])) + (" and others" if len(single) > 5 else "")
        have = counted(len(single), "person has", "people have")
        yield f"{have} one photo only, so nothing of theirs can be held back to measure by: {some}"


# --- in figures ------------------------------------------------------------------------------------------------------


def figures(album: Album, found: Doubts) -> dict[str, Any]:
    """Everything, for the file."""
    photos, out, copies, doubted = _counts(album, found)
    people = {
        name: {"photos": photos[name], "left_out": out[name], "copies": copies[name], "to_look_at": doubted[name]}
        for name in sorted(photos)
    }
    paths = [str(path) for path in album.paths]
    return {
        "people": people,
        "faces": [_face(album, place) for place in range(len(album))],
        "left_out": [
            {"photo": str(left.photo.path), "person": left.photo.person, "why": left.refused.why,
             "reason": left.refused.reason}
            for left in album.left_out
        ],
        "copies": [{"photo": paths[one.second], "of": paths[one.first], "as": one.sameness} for one in found.copies],
        "strays": [
            {"photo": paths[stray.place], "person": album.people[stray.place], "own": round(stray.own, 4),
             "like": stray.other or None, "similarity": round(stray.similarity, 4)}
            for stray in found.strays
        ],
        "twins": [{"people": [one.first, one.second], "similarity": round(one.similarity, 4)} for one in found.twins],
        "names": [list(pair) for pair in found.names],
    }  # fmt: skip


def _face(album: Album, place: int) -> dict[str, Any]:
    qualities = album.qualities
    return {
        "photo": str(album.paths[place]),
        "person": album.people[place],
        "digest": album.digests[place],
        "group": int(album.groups[place]),
        "box": [round(float(edge), 1) for edge in album.detections.boxes[place]],
        **{name: round(float(getattr(qualities, name)[place]), 3) for name in type(qualities).__slots__},
    }
