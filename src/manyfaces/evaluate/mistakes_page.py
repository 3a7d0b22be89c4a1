"""The page of mistakes: HTML with its style and pictures inside, in the look of `analyze --report`.

It loads nothing and runs nothing, and everything that colour says is also said in words.
"""

from __future__ import annotations

import base64
import re
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html import escape

import cv2
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
from manyfaces.types import Floats, Integers, Pixels

GENERATOR = '<meta name="generator" content="manyfaces evaluate emotion --errors">'
"""By this a page of an earlier run is known: only that is written over."""

_SURE = 0.9
_FACE, _SMALL = 144, 64
_QUALITY = 85

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --soft: #5b6570; --line: #d9dee3; --tile: #f4f6f8;
  --bare: #e8ebee; --right: #0072b2; --wrong: #d55e00; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e8ebee; --soft: #a2adb8; --line: #343b42;
  --tile: #1e2328; --bare: #2a3036; --right: #2a8fce; --wrong: #d0651b; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", Roboto,
  "Noto Sans", sans-serif; }
main { max-width: 76rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .7rem; overflow-wrap: anywhere; }
h3 { font-size: 1rem; font-weight: 500; margin: 0 0 .6rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; }
.soft, figcaption, th { color: var(--soft); font-size: .875rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .6rem; margin-top: 1.2rem; }
.tile { background: var(--tile); border-radius: .5rem; padding: .6rem .8rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.two { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 26rem), 1fr)); gap: 0 2.5rem; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
th, td { text-align: left; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line); }
th { font-weight: 500; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
table.confusion td, table.confusion th { border: 0; padding: .3rem .35rem; text-align: right;
  font-variant-numeric: tabular-nums; font-size: .875rem; }
table.confusion td { background: color-mix(in srgb, var(--wrong) var(--share), var(--tile)); border-radius: .2rem;
  border: 1px solid var(--paper); }
table.confusion td.right { background: color-mix(in srgb, var(--right) var(--share), var(--tile)); }
.bar { display: flex; height: 1.1rem; border-radius: .25rem; overflow: hidden; background: var(--bare); }
.bar i { display: block; border-right: 2px solid var(--paper); } .bar i:last-child { border: 0; }
.network { background: #e69f00; } .label { background: #0072b2; } .neither { background: #cc79a7; }
.nobody { background: var(--soft); }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1.2rem; margin: .5rem 0; padding: 0; list-style: none;
  font-size: .9rem; }
.legend i, .verdict i { display: inline-block; width: .85em; height: .85em; border-radius: .2em; margin-right: .4em;
  border: 1px solid rgb(128 128 128 / .5); vertical-align: -.05em; }
.cards { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 28rem), 1fr)); }
article { background: var(--tile); border-radius: .5rem; padding: .8rem; min-width: 0; }
.faces { display: grid; grid-template-columns: repeat(4, 1fr); gap: .4rem; }
figure { margin: 0; min-width: 0; }
figure img { display: block; width: 100%; height: auto; border-radius: .3rem; background: var(--bare); }
figcaption { margin-top: .2rem; line-height: 1.3; overflow-wrap: anywhere; }
.near { display: flex; gap: .5rem; align-items: flex-start; margin-top: .3rem; }
.near figure { width: 4.6rem; flex: none; }
.votes, .verdict { font-size: .9rem; margin: .5rem 0 0; }
.scale img { display: block; width: min(100%, 24rem); height: 1rem; border-radius: .2rem; }
.scale p { display: flex; justify-content: space-between; width: min(100%, 24rem); margin: 0; }
.note { border-left: 3px solid var(--line); padding-left: .8rem; color: var(--soft); font-size: .9rem;
  margin-top: 1rem; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .25rem 1.2rem; margin: 0;
  font-size: .95rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
@media print { article, tr { break-inside: avoid; } }
"""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})
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
        _heading(case),
        _tiles(case),
        "<div class=two>" + _confusion(case) + "<div>" + _pairs(case) + _taggers(case) + "</div></div>",
        _cards(case),
        _made(case.made),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'{GENERATOR}\n<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Mistakes of {_safe(case.made['model'])}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _safe(text: str) -> str:
    """Escaped, and without marks that could reverse or hide the text around them."""
    shown = "".join(" " if unicodedata.category(character) == "Cc" else character for character in text)
    return escape("".join(character for character in shown if unicodedata.bidirectional(character) not in _TURNS))


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\u202f%" if share >= 0.005 or share == 0 else "<\u202f1\u202f%"


# --- what all faces say ----------------------------------------------------------------------------------------------


def _heading(case: Case) -> str:
    where = f"{case.made['data']}, {case.made['part']}"
    return f"<header><h1>Mistakes of {_safe(case.made['model'])}</h1><p class=soft>{_safe(where)}</p></header>"


def _tiles(case: Case) -> str:
    wrong = case.answers.wrong
    voted = case.answers.majority >= 0
    sure = wrong & (case.answers.probabilities.max(axis=1) >= _SURE)
    tiles = [
        (f"{100 * (1 - wrong.mean()):.1f}\u202f%", "named as labelled"),
        (f"{len(wrong):,}", "faces"),
        (f"{wrong.sum():,}", "mistakes"),
        (f"{sure.sum():,}", f"of them {_percent(_SURE)} sure or more"),
    ]
    if voted.any():
        met = (case.answers.said == case.answers.majority)[voted].mean()
        tiles.insert(1, (f"{100 * met:.1f}\u202f%", f"named as most taggers did ({voted.sum():,} faces)"))
    inner = "".join(f"<div class=tile><b>{number}</b><span class=soft>{what}</span></div>" for number, what in tiles)
    return f"<div class=tiles>{inner}</div>"


def _confusion(case: Case) -> str:
    counts = confusion_counts(case.answers)
    head = "".join(f"<th scope=col>{_safe(label)}" for label in case.answers.names)
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
        f"title='{_percent(count / total)} of {_safe(label)}'>{count:,}"
        for said, count in enumerate(row.tolist())
    )
    return f"<tr><th scope=row>{_safe(label)}</th>{cells}</tr>"


def _pairs(case: Case) -> str:
    pairs = most_confused(confusion_counts(case.answers))
    if not pairs:
        return "<section><h2>Confused most often</h2><p>No face was taken for another class.</p></section>"
    head = "<tr><th scope=col>Labelled<th scope=col>Taken for<th scope=col class=number>Faces"
    head += "<th scope=col class=number>Share of the class</tr>"
    rows = "".join(_pair(pair, case.answers.names) for pair in pairs)
    return f"<section><h2>Confused most often</h2><table>{head}{rows}</table></section>"


def _pair(pair: Confusion, labels: Sequence[str]) -> str:
    figures = f"<td class=number>{pair.count:,}<td class=number>{_percent(pair.share)}"
    return f"<tr><td>{_safe(labels[pair.label])}<td>{_safe(labels[pair.said])}{figures}</tr>"


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
        f"<li><i class={side}></i>{words} {sides[side]:,} ({_percent(sides[side] / total)})"
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
    scale = _image(heat_scale(384, 16), "From grey over violet and orange to yellow: the more, the brighter.")
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
    title = f"Labelled {_safe(label)}, taken for {_safe(said)}"
    return (
        f"<article><h3>{title}</h3><div class=faces>"
        + _figure(enlarged_face(views.crop, _FACE), f"The face. {title}.", f"labelled <b>{_safe(label)}</b>")
        + _map(views.crop, views.for_said, most, f"for <b>{_safe(said)}</b> {_percent(mistake.confidence)}")
        + _map(views.crop, views.for_label, most, f"for <b>{_safe(label)}</b> {_percent(mistake.label_confidence)}")
        + _map(views.crop, views.losses, strongest(views.losses), f"<b>{_safe(said)}</b>, covered")
        + f"</div>{_votes(mistake, case)}{_near(mistake.neighbours, case.answers.names)}</article>"
    )


def _map(crop: Pixels, evidence: Floats, most: float, caption: str) -> str:
    words = re.sub("<[^>]*>", "", caption)
    return _figure(heat_over_face(crop, evidence, most, _FACE), f"Map {words}: {place_in_words(evidence)}.", caption)


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
    words = ", ".join(f"{mistake.votes[one]:.0f} {_safe(case.choices[one])}" for one in order if mistake.votes[one])
    side = "taggers have no majority here" if mistake.side == "nobody" else f"taggers {_SIDES[mistake.side]}"
    return f"<p class=verdict><i class={mistake.side}></i><b>{side}</b></p><p class='votes soft'>Votes: {words}</p>"


def _near(neighbours: Sequence[Neighbour], labels: Sequence[str]) -> str:
    if not neighbours:
        return ""
    figures = "".join(_near_one(one, _safe(labels[one.label])) for one in neighbours)
    return f"<p class=votes>Most alike to the network in Training</p><div class=near>{figures}</div>"


def _near_one(one: Neighbour, label: str) -> str:
    likeness = "the same picture" if one.is_same else f"{one.likeness:.2f}"
    face = enlarged_face(one.image[..., None], _SMALL)
    return _figure(face, f"A Training face labelled {label}.", f"<b>{label}</b><br>{likeness}")


def _figure(picture: Pixels, alt: str, caption: str) -> str:
    return f"<figure>{_image(picture, alt)}<figcaption>{caption}</figcaption></figure>"


def _image(picture: Pixels, alt: str) -> str:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    data = base64.b64encode(encoded.tobytes()).decode("ascii")
    high, wide = picture.shape[:2]
    return f'<img src="data:image/jpeg;base64,{data}" width="{wide}" height="{high}" alt="{alt}">'


def _made(made: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{_safe(name)}</dt><dd>{_safe(value)}</dd>" for name, value in made.items())
    return f"<section><h2>How this was made</h2><dl>{rows}</dl><p class=note>{_MEANING}</p></section>"
