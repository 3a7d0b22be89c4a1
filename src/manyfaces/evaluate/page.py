"""What the pages of mistakes are made of: one look, text that cannot break out, pictures inside the file.

Such a page loads nothing and runs nothing, and everything that colour says is also said in words.
"""

from __future__ import annotations

import base64
import unicodedata
from collections.abc import Iterable, Mapping
from html import escape

import cv2

from manyfaces.types import Pixels

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
.faces.three { grid-template-columns: repeat(3, 1fr); }
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


def generator(command: str) -> str:
    """By this a page of an earlier run is known: only that is written over."""
    return f'<meta name="generator" content="{command}">'


def document(title: str, mark: str, parts: Iterable[str]) -> str:
    """The whole page; `mark` is its generator, parts that are empty are left out."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'{mark}\n<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{safe(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def safe(text: str) -> str:
    """Escaped, and without marks that could reverse or hide the text around them."""
    shown = "".join(" " if unicodedata.category(character) == "Cc" else character for character in text)
    return escape("".join(character for character in shown if unicodedata.bidirectional(character) not in _TURNS))


def percent(share: float) -> str:
    return f"{100 * share:.0f}\u202f%" if share >= 0.005 or share == 0 else "<\u202f1\u202f%"


def heading(title: str, beneath: str) -> str:
    return f"<header><h1>{safe(title)}</h1><p class=soft>{safe(beneath)}</p></header>"


def tiles(figures: Iterable[tuple[str, str]]) -> str:
    """Large figures, each with what it counts; both as HTML."""
    inner = "".join(f"<div class=tile><b>{number}</b><span class=soft>{what}</span></div>" for number, what in figures)
    return f"<div class=tiles>{inner}</div>"


def figure(picture: Pixels, alt: str, caption: str) -> str:
    return f"<figure>{image(picture, alt)}<figcaption>{caption}</figcaption></figure>"


def image(picture: Pixels, alt: str) -> str:
    bgr = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR)
    _, encoded = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, _QUALITY])
    data = base64.b64encode(encoded.tobytes()).decode("ascii")
    high, wide = picture.shape[:2]
    return f'<img src="data:image/jpeg;base64,{data}" width="{wide}" height="{high}" alt="{alt}">'


def made(circumstances: Mapping[str, str], note: str) -> str:
    rows = "".join(f"<dt>{safe(name)}</dt><dd>{safe(value)}</dd>" for name, value in circumstances.items())
    return f"<section><h2>How this was made</h2><dl>{rows}</dl><p class=note>{note}</p></section>"
