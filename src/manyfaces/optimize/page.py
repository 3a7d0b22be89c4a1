"""The page: HTML with its style and picture inside, like the other reports. It loads nothing and runs nothing."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from html import escape

from manyfaces.optimize.report import HEAD, Report, cells, failures, layers_said
from manyfaces.optimize.work import Row

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_STYLE = """
:root { color-scheme: light dark; --paper: #fff; --ink: #1b1f24; --soft: #5b6570; --line: #d9dee3; --tile: #f4f6f8;
  --mark: #0072b2; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e8ebee; --soft: #a2adb8; --line: #343b42;
  --tile: #1e2328; --mark: #5fb2e6; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", Roboto,
  "Noto Sans", sans-serif; }
main { max-width: 72rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .7rem; }
.soft { color: var(--soft); font-size: .875rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(9.5rem, 1fr)); gap: .6rem; margin-top: 1.2rem; }
.tile { background: var(--tile); border-radius: .5rem; padding: .6rem .8rem; }
.tile b { display: block; font-size: 1.4rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
th, td { text-align: right; padding: .35rem .6rem; border-bottom: 1px solid var(--line); white-space: nowrap;
  font-variant-numeric: tabular-nums; }
th { font-weight: 500; color: var(--soft); font-size: .875rem; }
th:first-child, td:first-child { text-align: left; padding-left: 0; }
tr.chosen td { background: var(--tile); }
tr.chosen td:first-child::before { content: "\\2713\\00a0"; color: var(--mark); }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: .5rem; }
dl { display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.2rem; margin: 0; font-size: .95rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
li { overflow-wrap: anywhere; }
@media print { tr { break-inside: avoid; } }
"""

_MEANING = (
    "ms: one call with 1, 8 and 32 items on one thread. items/s: batches of 32 on all cores. memory: the most that a "
    "fresh process held. right: accuracy, where labels are known. same: the same likeliest class as the original, or "
    "the cosine of both answers. differs: the largest difference of any number. All was measured on this very machine; "
    "another may turn the order round."
)


def page(report: Report, picture: bytes) -> str:
    title = f"Forms of {report.original.name}"
    parts = [
        f"<header><h1>{escape(title)}</h1><p class=soft>{escape(report.basis)}</p></header>",
        _tiles(report),
        f"<p><b>{escape(report.outcome.chosen.name)}</b>: {escape(report.outcome.why)}.</p>",
        _table(report),
        _picture(picture),
        _listed("Layers that hurt", layers_said(report)),
        _listed("What could not be made", failures(report)),
        _made(report),
    ]
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(title)}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _tiles(report: Report) -> str:
    chosen, by = report.outcome.chosen, report.wanted.by
    if not (chosen.form and chosen.cost and chosen.verdict):
        return ""
    plain = next((row.form.size for row in report.outcome.rows if row.form), chosen.form.size)
    tiles = [
        (chosen.name, "chosen"),
        (f"{chosen.form.size / plain:.0%}", f"of the size in float, {chosen.form.size / 1024:,.0f} KB"),
        (f"{chosen.cost.each(by):.3g} ms", f"an item, in batches of {by}"),
        (f"{chosen.verdict.drop:.2f}", f"points lost, of {report.wanted.max_drop} allowed"),
    ]
    inner = "".join(
        f"<div class=tile><b>{escape(number)}</b><span class=soft>{escape(what)}</span></div>" for number, what in tiles
    )
    return f"<div class=tiles>{inner}</div>"


def _table(report: Report) -> str:
    head = "".join(f"<th scope=col>{escape(one)}" for one in HEAD)
    rows = "".join(_row(row, row.name == report.outcome.chosen.name) for row in report.outcome.rows if not row.failed)
    shown = f"<div class=scroll><table><tr>{head}</tr>{rows}</table></div>"
    return f"<section><h2>All forms</h2>{shown}<p class=soft>{_MEANING}</p></section>"


def _row(row: Row, chosen: bool) -> str:
    inner = "".join(f"<td>{escape(cell)}" for cell in cells(row))
    return f"<tr{' class=chosen' if chosen else ''}>{inner}</tr>"


def _picture(content: bytes) -> str:
    data = base64.b64encode(content).decode("ascii")
    words = "Milliseconds an item and file size of every form; points lost stand beside the names"
    image = f'<img alt="{words}" src="data:image/png;base64,{data}">'
    return f"<section><h2>Time and size</h2>{image}<p class=soft>{words}.</p></section>"


def _listed(title: str, sentences: Sequence[str]) -> str:
    items = "".join(f"<li>{escape(sentence)}" for sentence in sentences)
    return f"<section><h2>{title}</h2><ul>{items}</ul></section>" if items else ""


def _made(report: Report) -> str:
    made = {"network": f"{report.original.name}, {report.original.origin}", **report.made}
    rows = "".join(f"<dt>{escape(name)}<dd>{escape(_told(value))}" for name, value in made.items())
    return f"<section><h2>How this was made</h2><dl>{rows}</dl></section>"


def _told(value: object) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{name} {one}" for name, one in value.items())
    return str(value)
