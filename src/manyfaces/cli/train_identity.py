"""`manyfaces train identity`: networks that tell one's own people apart."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from manyfaces.cli.outcome import complain, counted
from manyfaces.cli.progress import Steps
from manyfaces.cli.train import Course, Epochs, Out, Resume, Seed, command_line, make_folder, require_training
from manyfaces.options import Options

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    from manyfaces.prepare import Album
    from manyfaces.train.identity.adapt import Base
    from manyfaces.train.identity.held_people import Comparison
    from manyfaces.train.identity.own import IdentityTraining
    from manyfaces.train.identity.people import PeopleData

MOST_NAMED = 20
"""Photos that are named one by one when they are left out; all are counted."""

Data = Annotated[Path, typer.Option(help="A folder that holds a folder of photos per person.")]
RecipeName = Annotated[
    str,
    typer.Option(
        "--recipe",
        help="adapt, adapt-triplet, adapt-arcface: a head on the pretrained network, kept if it is better; compact, "
        "tutorial, tutorial-plain: a network from nothing; or a recipe.json.",
    ),
]


def identity(
    data: Data,
    out: Out,
    recipe_name: RecipeName = "adapt",
    epochs: Epochs = None,
    seed: Seed = None,
    resume: Resume = False,
) -> None:
    """Learn to tell the people of a folder apart, and say how well on photos or people held out; writes a model, its
    card, its recipe, a log and curves."""
    require_training()
    from manyfaces.train.identity.own import IdentityTraining
    from manyfaces.train.identity.recipes import find_recipe
    from manyfaces.weights import find

    recipe = find_recipe(recipe_name).with_plan(epochs, seed)
    make_folder(out)
    album = _without_shared(_read(data))
    people = _as_data(album, data)
    made_by = command_line("train identity", recipe_name, epochs=epochs, seed=seed)
    training = IdentityTraining(recipe, find("sface")[0].input.template, made_by)
    if recipe.adapts:
        _adapt(people, out, training, resume)
    else:
        _train_own(people, album, out, training, resume)


# --- the photos ------------------------------------------------------------------------------------------------------


def _read(folder: Path) -> Album:
    from manyfaces.build import build_reader
    from manyfaces.enrol import photos_by_person
    from manyfaces.prepare import Album, Cache

    photos = photos_by_person(folder)
    cache = Cache()
    read = []
    with Steps("photos", len(photos)) as steps:
        for one in build_reader(Options(), cache).each(photos):
            read.append(one)
            steps.advance()
    album = Album.of(read)
    if cache.warning:
        complain(cache.warning)
    for left in album.left_out[:MOST_NAMED]:
        complain(f"{left.photo.path}: {left.refused.reason}")
    if len(album.left_out) > MOST_NAMED:
        complain(f"{len(album.left_out) - MOST_NAMED} more photos were left out for such reasons")
    return album


def _without_shared(album: Album) -> Album:
    """One picture under two names teaches that nobody is anybody: both are left out."""
    import numpy as np

    groups = album.groups.tolist()
    owners: dict[int, set[str]] = {}
    for group, name in zip(groups, album.people, strict=True):
        owners.setdefault(group, set()).add(name)
    shared = np.array([len(owners[group]) > 1 for group in groups], bool)
    for place in np.flatnonzero(shared).tolist():
        names = " and ".join(map(repr, sorted(owners[groups[place]])))
        complain(f"{album.paths[place]}: the same picture lies under {names}; keep it in one of them")
    return album[~shared]


def _as_data(album: Album, folder: Path) -> PeopleData:
    from manyfaces.train.identity.people import people_data

    people = people_data(album.crops, album.people, album.groups, str(folder))
    copies = len(people) - len(set(people.groups.tolist()))
    typer.echo(
        f"{len(people)} faces of {counted(len(people.names), 'person', 'people')}, {copies} of them copies, which stay "
        f"together; {len(album.left_out)} photos left out",
        err=True,
    )
    return people


# --- a network from nothing ------------------------------------------------------------------------------------------


def _train_own(people: PeopleData, album: Album, out: Path, training: IdentityTraining, resume: bool) -> None:
    from manyfaces.train.identity.own import train_own

    with Course("training") as course:
        card = train_own(people, out, training, resume, course.tell)
    figures, model, usual = card.metrics, out / "model.onnx", _pretrained(people, album.embeddings.vectors)
    typer.echo(
        f"{model}: the nearest face is the right one for {figures['held_out_accuracy']:.2%} of "
        f"{figures['held_out_photos']:.0f} held-out photos, with the pretrained network for {usual:.2%}; use it with "
        f"--identity-model {model}, and enrol everybody with it in a gallery of its own"
    )


def _pretrained(people: PeopleData, vectors: npt.NDArray[np.float32]) -> float:
    """The same question to the network that ships."""
    from manyfaces.train.identity.lesson import nearest

    enrolled, asked = ~people.held, people.held
    found = people.owners[enrolled][nearest(vectors[asked], vectors[enrolled])]
    return float((found == people.owners[asked]).mean())


# --- a head on the pretrained one ------------------------------------------------------------------------------------


def _adapt(people: PeopleData, out: Path, training: IdentityTraining, resume: bool) -> None:
    from manyfaces.train.identity.adapt import decide, learn_head

    base = _base()
    with Course("adapting") as course:
        candidate = learn_head(people, base, out, training, resume, course.tell)
    with Steps("folds tried on", None) as steps:
        _, comparison = decide(candidate, base, out, training, steps.advance)
    typer.echo(_told(comparison, out))


def _base() -> Base:
    import numpy as np

    from manyfaces.build import build_identity_head
    from manyfaces.train.identity.adapt import Base
    from manyfaces.types import Crops, Floats, Pixels
    from manyfaces.weights import load

    weights, head = load("sface"), build_identity_head(Options())

    def ask(crops: Pixels) -> Floats:
        return head(Crops(crops, np.arange(len(crops), dtype=np.int64))).vectors

    return Base(weights.content, weights.card, ask)


def _told(comparison: Comparison, out: Path) -> str:
    from manyfaces.train.identity.held_people import mean

    before, after = mean(comparison.pretrained), mean(comparison.adapted)
    gain, error = 100 * comparison.gain, 100 * comparison.error
    figures = (
        f"of {comparison.by} held out, one photo enrolled names {before.one_photo:.2%} with the pretrained network and "
        f"{after.one_photo:.2%} with the adapted one, {gain:+.2f} points with a standard error of {error:.2f}; "
        f"pairs with people it has not seen are judged wrongly in {comparison.unseen[0]:.2%} and "
        f"{comparison.unseen[1]:.2%}"
    )
    model = out / "model.onnx"
    if comparison.is_better:
        return (
            f"{model}: adapted. {figures}; use it with --identity-model {model}, and enrol everybody with it in a "
            "gallery of its own"
        )
    return (
        f"{model}: not adapted, since that is no better by more than chance, or worse for people it has not seen. "
        f"{figures}; the file is the pretrained network as it was, and galleries made with that stay good"
    )
