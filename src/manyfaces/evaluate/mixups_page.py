"""The page of mix-ups: every face that went wrong beside the one it was taken for and the one it should have met."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from manyfaces.evaluate.mixups import WORST, Advice, Kind, Mixup, Review, Weight
from manyfaces.evaluate.page import document, figure, generator, heading, made, percent, safe, tiles
from manyfaces.prepare.doubts import Stray
from manyfaces.types import Pixels

GENERATOR = generator("manyfaces evaluate identity --errors")

MOST_CARDS = 120
"""More cards than these nobody reads, and the page would not open on a phone."""

_SIDE = 144

_TITLES: Mapping[Kind, str] = {
    "another": "taken for somebody else",
    "missed": "not recognised",
    "stranger": "a stranger given a name",
}
_SECTIONS: Mapping[Kind, tuple[str, str]] = {
    "another": ("Taken for somebody else", "Enrolled people who were given another's name."),
    "stranger": (
        "Strangers given a name",
        "Each person in turn was left out of the gallery, which then had to say: unknown.",
    ),
    "missed": (
        "Not recognised",
        "Enrolled people who were called unknown: too unlike their photos, or too much like somebody else's as well.",
    ),
}
_MEANING = (
    "A similarity is the cosine between two faces as the network sees them. A gallery decides by its calibrated "
    "threshold, and by the lead of the first person over the second. Causes are measured, not certain: each is a "
    "figure by which the face is worse than nine in ten of those that were recognised. This page holds pictures of "
    "people: keep it as you keep their photos."
)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """All that the page tells. `strays`: photos that seem to lie in the wrong folder, by their places."""

    review: Review
    strays: Mapping[int, Stray]
    made: Mapping[str, str]


def mixups_page(case: Case) -> str:
    """The whole page."""
    parts = [
        heading("Who is taken for whom", case.made["data"]),
        _tiles(case.review),
        "<div class=two>" + _advice(case.review.advice) + _weights(case.review.weights) + "</div>",
        *(_section(kind, case) for kind in _SECTIONS),
        made(case.made, _MEANING),
    ]
    return document(f"Mix-ups of {case.made['data']}", GENERATOR, parts)


def _tiles(review: Review) -> str:
    people = len(set(review.album.people))
    shares = review.shares
    return tiles(
        [
            (f"{len(review.album):,}", f"photos of {people:,} {'person' if people == 1 else 'people'}"),
            (f"{review.splits}", "splits, of 80 to 20"),
            (_share(shares["another"]), "of questions about enrolled people: another's name"),
            (_share(shares["missed"]), "of them: called unknown"),
            (_share(shares["stranger"]), "of questions about strangers: given a name"),
        ]
    )


def _share(share: float) -> str:
    return f"{100 * share:.1f}\u202f%"


def _advice(advice: Sequence[Advice]) -> str:
    if not advice:
        return "<section><h2>Photos to add</h2><p>None: everybody was recognised every time.</p></section>"
    head = "<tr><th scope=col>Person<th scope=col class=number>Wrong<th scope=col class=number>Photos<th scope=col>Add"
    rows = "".join(
        f"<tr><td>{safe(one.person)}<td class=number>{one.wrong} of {one.asked}<td class=number>{one.photos}"
        f"<td>{_to_do(one)}</tr>"
        for one in advice
    )
    return f"<section><h2>Photos to add</h2><div class=scroll><table>{head}</tr>{rows}</table></div></section>"


def _to_do(one: Advice) -> str:
    """Of one person under two names either takes the other's faces, however many photos there are."""
    if one.twins:
        names = " and ".join(f"<b>{safe(name)}</b>" for name in (one.person, *one.twins))
        return f"{names} look like one person: put their photos together"
    return f"photos {' and '.join(safe(kind) for kind in one.add)}"


def _weights(weights: Sequence[Weight]) -> str:
    if not weights:
        return ""
    head = "<tr><th scope=col>The face is<th scope=col class=number>of mistakes"
    head += "<th scope=col class=number>of faces always recognised</tr>"
    rows = "".join(
        f"<tr><td>{safe(one.cause.words)}<td class=number>{percent(one.mistakes)}"
        f"<td class=number>{percent(one.recognised)}</tr>"
        for one in weights
    )
    return (
        "<section><h2>What the mistakes have in common</h2><p class=soft>A face counts as one of these where it is "
        f"worse than {percent(1 - WORST)} of the faces that were recognised.</p>"
        f"<div class=scroll><table>{head}{rows}</table></div></section>"
    )


# --- one by one ------------------------------------------------------------------------------------------------------


def _section(kind: Kind, case: Case) -> str:
    mixups = [one for one in case.review.mixups if one.kind == kind]
    title, meaning = _SECTIONS[kind]
    if not mixups:
        return f"<section><h2>{title}</h2><p>None.</p></section>"
    cards = "".join(_card(one, case) for one in mixups[:MOST_CARDS])
    more = f" The {MOST_CARDS} surest are shown." if len(mixups) > MOST_CARDS else ""
    return (
        f"<section><h2>{title}: {len(mixups):,} {'face' if len(mixups) == 1 else 'faces'}</h2><p>{meaning}{more}</p>"
        f"<div class=cards>{cards}</div></section>"
    )


def _card(one: Mixup, case: Case) -> str:
    album = case.review.album
    person, other = album.people[one.face], album.people[one.other] if one.other >= 0 else ""
    title = f"<b>{safe(person)}</b>, {_TITLES[one.kind]}"
    taken = "looks most like" if one.kind == "missed" else "taken for"
    figures = [figure(_enlarged(album.crops[one.face]), f"A face of {safe(person)}.", _photo(one.face, case))]
    if one.other >= 0:
        caption = f"{taken} <b>{safe(other)}</b> {one.similarity:.2f}<br>{_photo(one.other, case)}"
        figures.append(figure(_enlarged(album.crops[one.other]), f"A face of {safe(other)}.", caption))
    if one.right >= 0:
        caption = f"the nearest own {one.right_similarity:.2f}<br>{_photo(one.right, case)}"
        figures.append(figure(_enlarged(album.crops[one.right]), f"Another face of {safe(person)}.", caption))
    when = f"in {one.times} of {one.asked} split{'s' * (one.asked > 1)}"
    return (
        f"<article><h3>{title}</h3><div class='faces three'>{''.join(figures)}</div>"
        f"<p class=votes>{when}{_causes(one)}</p>{_stray(one, case) or _twins(one, case.review)}</article>"
    )


def _photo(face: int, case: Case) -> str:
    return f"<span class=soft>{safe(case.review.album.photos[face].path.name)}</span>"


def _causes(one: Mixup) -> str:
    return "".join(f"; {safe(found.cause.words)} ({safe(found.figure)})" for found in one.causes)


def _stray(one: Mixup, case: Case) -> str:
    """A photo in the wrong folder is no mistake of the gallery's."""
    stray = case.strays.get(one.face) or case.strays.get(one.other)
    if stray is None:
        return ""
    photo = case.review.album.photos[stray.place]
    like = f", and looks like {safe(stray.other)}" if stray.other else ""
    return (
        f"<p class='votes verdict'><b>Is {safe(photo.path.name)} in the right folder?</b> It is unlike the other "
        f"photos of {safe(photo.person)} ({stray.own:.2f}){like}.</p>"
    )


def _twins(one: Mixup, review: Review) -> str:
    people = review.album.people
    between = {people[one.face], people[one.other]} if one.other >= 0 else set()
    pair = next((pair for pair in review.twins if {pair.first, pair.second} == between), None)
    if pair is None:
        return ""
    return (
        f"<p class='votes verdict'><b>Are {safe(pair.first)} and {safe(pair.second)} one person?</b> Their folders "
        f"look like it ({pair.similarity:.2f}).</p>"
    )


def _enlarged(crop: Pixels) -> Pixels:
    return np.asarray(cv2.resize(crop, (_SIDE, _SIDE), interpolation=cv2.INTER_CUBIC), np.uint8)
