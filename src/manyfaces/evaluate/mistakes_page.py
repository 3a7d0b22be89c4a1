"""The page of mistakes: HTML with its style and pictures inside, in the look of `analyze --report`.

It loads nothing and runs nothing, and everything that colour says is also said in words.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from manyfaces.evaluate.heat import enlarged_face, heat_over_face, heat_scale, strongest
from manyfaces.evaluate.mistakes import (
    Answers,
    Confusion,
    Mistake,
    Neighbour,
    Side,
    confusion_counts,
    most_confused,
    sides_of_mistakes,
)
from manyfaces.evaluate.page import document, figure, generator, heading, image, made, percent, safe, tiles
from manyfaces.types import Floats, Integers, Pixels

GENERATOR = generator("manyfaces evaluate emotion --errors")

_SURE = 0.9
_FACE, _SMALL = 144, 64

_SIDES: Mapping[Side, str] = {
    "network": "with the network",
    "label": "with the label",
    "neither": "with neither",
    "nobody": "no majority",
}
_MEANING = (
    "The maps are Grad-CAM's: where the last features of the network raise a class above the others. They are as "
    "coarse as those features, each of which has seen most of the face: where they and covering disagree, believe the "
    "covering, which is measured. Neither says whether the network was right to look there. Labels name what a face "
    "looks like to those who labelled it, not what the person felt."
)


@dataclass(frozen=True, slots=True, eq=False)
class Case:
    """All that the page tells: what was asked, what was said, and the mistakes chosen from it.

    choices are what taggers could vote for. has_training: whether there was a Training part to find neighbours in.
    """

    choices: tuple[str, ...]
    answers: Answers
    mistakes: Sequence[Mistake]
    has_training: bool
    made: Mapping[str, str]


def mistakes_page(case: Case) -> str:
    """The whole page."""
    parts = [
        heading(f"Mistakes of {case.made['model']}", f"{case.made['data']}, {case.made['part']}"),
        _tiles(case),
        "<div class=two>" + _confusion(case) + "<div>" + _pairs(case) + _taggers(case) + "</div></div>",
        _cards(case),
        made(case.made, _MEANING),
    ]
    return document(f"Mistakes of {case.made['model']}", GENERATOR, parts)


# --- what all faces say ----------------------------------------------------------------------------------------------


def _tiles(case: Case) -> str:
    wrong = case.answers.wrong
    voted = case.answers.majority >= 0
    sure = wrong & (case.answers.probabilities.max(axis=1) >= _SURE)
    figures = [
        (f"{100 * (1 - wrong.mean()):.1f}\u202f%", "named as labelled"),
        (f"{len(wrong):,}", "faces"),
        (f"{wrong.sum():,}", "mistakes"),
        (f"{sure.sum():,}", f"of them {percent(_SURE)} sure or more"),
    ]
    if voted.any():
        met = (case.answers.said == case.answers.majority)[voted].mean()
        figures.insert(1, (f"{100 * met:.1f}\u202f%", f"named as most taggers did ({voted.sum():,} faces)"))
    return tiles(figures)


def _confusion(case: Case) -> str:
    counts = confusion_counts(case.answers)
    head = "".join(f"<th scope=col>{safe(label)}" for label in case.answers.names)
    rows = "".join(_confusion_row(label, number, counts[number]) for number, label in enumerate(case.answers.names))
    return (
        "<section><h2>Which class is taken for which</h2><div class=scroll><table class=confusion>"
        f"<tr><th scope=col>labelled \u2193 said \u2192</th>{head}</tr>{rows}</table></div><p class=soft>Faces; the "
        "stronger the colour, the larger the share of the row. Right answers are blue, and lie on the diagonal.</p>"
        "</section>"
    )


def _confusion_row(label: str, number: int, row: Integers) -> str:
    total = max(int(row.sum()), 1)
    cells = "".join(
        f"<td{' class=right' if said == number else ''} style='--share:{45 * count / total:.0f}%' "
        f"title='{percent(count / total)} of {safe(label)}'>{count:,}"
        for said, count in enumerate(row.tolist())
    )
    return f"<tr><th scope=row>{safe(label)}</th>{cells}</tr>"


def _pairs(case: Case) -> str:
    pairs = most_confused(confusion_counts(case.answers))
    if not pairs:
        return "<section><h2>Confused most often</h2><p>No face was taken for another class.</p></section>"
    head = "<tr><th scope=col>Labelled<th scope=col>Taken for<th scope=col class=number>Faces"
    head += "<th scope=col class=number>Share of the class</tr>"
    rows = "".join(_pair(pair, case.answers.names) for pair in pairs)
    return f"<section><h2>Confused most often</h2><table>{head}{rows}</table></section>"


def _pair(pair: Confusion, labels: Sequence[str]) -> str:
    figures = f"<td class=number>{pair.count:,}<td class=number>{percent(pair.share)}"
    return f"<tr><td>{safe(labels[pair.label])}<td>{safe(labels[pair.said])}{figures}</tr>"


def _taggers(case: Case) -> str:
    """How much of what is counted as wrong is in doubt."""
    sides = sides_of_mistakes(case.answers)
    if not case.answers.votes.any() or not sides:
        why = "There are no votes of taggers, so nobody can say which labels are in doubt." if sides else "Nobody's."
        return f"<section><h2>Whose mistake is it?</h2><p class=soft>{why}</p></section>"
    total = sum(sides.values())
    surest = [mistake.side for mistake in case.mistakes]
    parts = "".join(f"<i class={side} style='width:{100 * sides[side] / total:.2f}%'></i>" for side in _SIDES)
    items = "".join(
        f"<li><i class={side}></i>{words} {sides[side]:,} ({percent(sides[side] / total)})"
        for side, words in _SIDES.items()
    )
    said = ", ".join(f"{words} in {surest.count(side)}" for side, words in _SIDES.items() if side != "nobody")
    return (
        "<section><h2>Whose mistake is it?</h2><p>Ten people tagged every face anew for FER+. Over all mistakes their "
        f"majority is</p><div class=bar aria-hidden=true>{parts}</div><ul class=legend>{items}</ul>"
        f"<p>Of the {len(surest)} surest mistakes below it is {said}.</p></section>"
    )


# --- the mistakes one by one -----------------------------------------------------------------------------------------


def _cards(case: Case) -> str:
    if not case.mistakes:
        return "<section><h2>The surest mistakes</h2><p>There are none.</p></section>"
    cards = "".join(_card(mistake, case) for mistake in case.mistakes)
    missing = "" if case.has_training else " The data holds no Training part, so no neighbours are shown."
    scale = image(heat_scale(384, 16), "From grey over violet and orange to yellow: the more, the brighter.")
    return (
        f"<section><h2>The {len(case.mistakes)} surest mistakes</h2><p>Of each face, what the last features "
        "say for what was said and for the label (Grad-CAM, both on one scale), and what the class that was said loses "
        "when this part of the face is covered (on a scale of its own). The line is drawn where half of the most is "
        f"reached.{missing}</p>"
        f"<div class=scale>{scale}<p class=soft><span>nothing</span><span>half</span><span>the most</span></p></div>"
        f"<div class=cards style='margin-top:1rem'>{cards}</div></section>"
    )


def _card(mistake: Mistake, case: Case) -> str:
    said, label = case.answers.names[mistake.said], case.answers.names[mistake.label]
    views = mistake.views
    most = strongest(np.stack([views.for_said, views.for_label]))
    title = f"Labelled {safe(label)}, taken for {safe(said)}"
    return (
        f"<article><h3>{title}</h3><div class=faces>"
        + figure(enlarged_face(views.crop, _FACE), f"The face. {title}.", f"labelled <b>{safe(label)}</b>")
        + _map(views.crop, views.for_said, most, f"for <b>{safe(said)}</b> {percent(mistake.confidence)}")
        + _map(views.crop, views.for_label, most, f"for <b>{safe(label)}</b> {percent(mistake.label_confidence)}")
        + _map(views.crop, views.losses, strongest(views.losses), f"<b>{safe(said)}</b>, covered")
        + f"</div>{_votes(mistake, case)}{_near(mistake.neighbours, case.answers.names)}</article>"
    )


def _map(crop: Pixels, evidence: Floats, most: float, caption: str) -> str:
    words = re.sub("<[^>]*>", "", caption)
    return figure(heat_over_face(crop, evidence, most, _FACE), f"Map {words}: {place_in_words(evidence)}.", caption)


def place_in_words(evidence: Floats) -> str:
    """Where the most evidence is, for those who do not see the map; left and right are the viewer's."""
    if evidence.max() <= 0:
        return "nothing in the face"
    row, column = np.unravel_index(int(evidence.argmax()), evidence.shape)
    vertical = ("upper", "middle", "lower")[3 * int(row) // evidence.shape[0]]
    horizontal = ("left", "middle", "right")[3 * int(column) // evidence.shape[1]]
    if vertical == horizontal:
        return "most in the middle"
    return f"most in the {vertical} {'part' if horizontal == 'middle' else horizontal}"


def _votes(mistake: Mistake, case: Case) -> str:
    if not mistake.votes.any():
        return ""
    order = np.argsort(-mistake.votes, kind="stable")
    words = ", ".join(f"{mistake.votes[one]:.0f} {safe(case.choices[one])}" for one in order if mistake.votes[one])
    side = "taggers have no majority here" if mistake.side == "nobody" else f"taggers {_SIDES[mistake.side]}"
    return f"<p class=verdict><i class={mistake.side}></i><b>{side}</b></p><p class='votes soft'>Votes: {words}</p>"


def _near(neighbours: Sequence[Neighbour], labels: Sequence[str]) -> str:
    if not neighbours:
        return ""
    figures = "".join(_near_one(one, safe(labels[one.label])) for one in neighbours)
    return f"<p class=votes>Most alike to the network in Training</p><div class=near>{figures}</div>"


def _near_one(one: Neighbour, label: str) -> str:
    likeness = "the same picture" if one.is_same else f"{one.likeness:.2f}"
    face = enlarged_face(one.image[..., None], _SMALL)
    return figure(face, f"A Training face labelled {label}.", f"<b>{label}</b><br>{likeness}")
