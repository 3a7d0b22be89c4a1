"""The report's text: HTML with its style, charts and pictures inside. It loads nothing, and runs nothing.

Every word that comes from outside (names, files, options) goes through `_safe`; the content policy in the head
would stop what slipped through.
"""

from __future__ import annotations

import base64
import math
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from html import escape

from manyfaces.draw import EMOTION_COLOURS, emotion_colour
from manyfaces.sinks.story import Person, Segment, Story, StreamStory
from manyfaces.types import Face

_MOST_TIMELINES = 20
_MOST_ROWS = 30
_MOST_PEOPLE = 60
_MOST_FACES = 40
_FEW_PICTURES = 4

_STYLE = """
:root { color-scheme: light dark; --paper: #ffffff; --ink: #1b1f24; --soft: #5b6570; --line: #d9dee3; --tile: #f4f6f8;
  --bare: #e8ebee; }
@media (prefers-color-scheme: dark) { :root { --paper: #14171a; --ink: #e8ebee; --soft: #a2adb8; --line: #343b42;
  --tile: #1e2328; --bare: #2a3036; } }
* { box-sizing: border-box; }
body { margin: 0; background: var(--paper); color: var(--ink); font: 16px/1.5 system-ui, "Segoe UI", Roboto,
  "Noto Sans", sans-serif; }
main { max-width: 68rem; margin: 0 auto; padding: 1.5rem 1rem 3rem; }
h1 { font-size: 1.7rem; line-height: 1.2; margin: 0 0 .3rem; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 2.2rem 0 .7rem; overflow-wrap: anywhere; }
p { margin: .4rem 0; }
.soft, figcaption, .axis, th { color: var(--soft); font-size: .875rem; }
.tiles { display: grid; grid-template-columns: repeat(auto-fit, minmax(8.5rem, 1fr)); gap: .6rem; margin-top: 1.2rem; }
.tile { background: var(--tile); border-radius: .5rem; padding: .6rem .8rem; }
.tile b { display: block; font-size: 1.5rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.shots { display: grid; gap: 1rem; grid-template-columns: repeat(auto-fill, minmax(min(100%, 19rem), 1fr)); }
.shots.few { grid-template-columns: 1fr; }
figure { margin: 0; min-width: 0; }
figure img { display: block; max-width: 100%; height: auto; border-radius: .4rem; background: var(--bare); }
figcaption { overflow-wrap: anywhere; margin-top: .25rem; }
.legend { display: flex; flex-wrap: wrap; gap: .2rem 1rem; margin: .5rem 0; padding: 0; list-style: none;
  font-size: .9rem; }
.legend i { display: inline-block; width: .85em; height: .85em; border-radius: .2em; margin-right: .4em;
  border: 1px solid rgb(128 128 128 / .5); vertical-align: -.05em; }
svg.bar { display: block; width: 100%; height: 1.1rem; background: var(--bare); border-radius: .25rem; }
.row { display: grid; grid-template-columns: 9rem 1fr; gap: .1rem .8rem; align-items: center; margin: .3rem 0; }
.row > span { overflow: hidden; text-overflow: ellipsis; white-space: nowrap; font-size: .9rem; }
.axis { position: relative; height: 1.4rem; }
.axis span { position: absolute; transform: translateX(-50%); white-space: nowrap; font-variant-numeric: tabular-nums; }
.axis span:first-child { transform: none; } .axis span.last { transform: translateX(-100%); }
table { border-collapse: collapse; width: 100%; font-size: .95rem; }
th, td { text-align: left; padding: .35rem .6rem .35rem 0; border-bottom: 1px solid var(--line);
  overflow-wrap: anywhere; vertical-align: middle; }
th { font-weight: 500; overflow-wrap: normal; }
td.number, th.number { text-align: right; font-variant-numeric: tabular-nums; }
td.wide { width: 40%; min-width: 7rem; padding-right: 0; }
dl { display: grid; grid-template-columns: minmax(6rem, max-content) 1fr; gap: .25rem 1.2rem; margin: 0;
  font-size: .95rem; }
dt { color: var(--soft); } dd { margin: 0; overflow-wrap: anywhere; }
.note { border-left: 3px solid var(--line); padding-left: .8rem; color: var(--soft); font-size: .9rem;
  margin-top: 1rem; }
@media (max-width: 34rem) { .row { grid-template-columns: 1fr; } .row.time > span:empty { display: none; }
  td, th { font-size: .85rem; } .axis span.odd { display: none; } dl { grid-template-columns: 1fr; gap: 0; }
  dd { margin-bottom: .4rem; } }
@media print { figure, .row, tr { break-inside: avoid; } }
"""

_POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_MEANING = (
    "The emotions named here are categories of facial expression, as a network sorts them. They say what a face looks "
    "like at a moment, not what a person feels. A name is a likeness to enrolled photographs, with a chance of error."
)


@dataclass(frozen=True, slots=True)
class Shot:
    """A small annotated JPEG and what stands on it."""

    jpeg: bytes
    width: int
    height: int
    stream: str
    seconds: float
    faces: tuple[Face, ...]


def page(story: Story, pictures: Sequence[Shot], key_frames: Sequence[Shot], made: Mapping[str, str]) -> str:
    """The whole page."""
    alone = len(story.videos) == 1 and not story.pictures
    parts = [
        _heading(story, pictures),
        _tiles(story),
        _shares(story.emotions),
        _pictures(story, pictures),
        _faces(pictures, story) if story.pictures <= _FEW_PICTURES else "",
        *(_timeline(video, alone) for video in story.videos[:_MOST_TIMELINES]),
        _more(len(story.videos) - _MOST_TIMELINES, "more videos are counted above, without a timeline of their own"),
        _key_frames(key_frames),
        _people(story),
        _failures(story),
        _made(made),
    ]
    title = _safe(_title(story, pictures))
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{title}</title>\n<style>{_STYLE}</style>\n</head>\n<body>\n<main>\n"
        + "\n".join(part for part in parts if part)
        + "\n</main>\n</body>\n</html>\n"
    )


def _safe(text: str) -> str:
    """Escaped, and without marks that could reverse or hide the text around them."""
    shown = "".join(" " if unicodedata.category(character) == "Cc" else character for character in text)
    return escape("".join(character for character in shown if unicodedata.bidirectional(character) not in _TURNS))


_TURNS = frozenset({"LRE", "RLE", "LRO", "RLO", "PDF", "LRI", "RLI", "FSI", "PDI"})


def _title(story: Story, pictures: Sequence[Shot]) -> str:
    names = [video.name for video in story.videos] + [shot.stream for shot in pictures]
    return f"Faces in {_short(names[0])}" if len(story.videos) + story.pictures == 1 else "Faces"


def _short(stream: str) -> str:
    """The last part of a path; addresses and cameras stay as they are."""
    return stream if "://" in stream else stream.replace("\\", "/").rstrip("/").rpartition("/")[2] or stream


def _heading(story: Story, pictures: Sequence[Shot]) -> str:
    what = [_count(story.pictures, "picture")] if story.pictures else []
    length = sum(video.end - video.start for video in story.videos)
    what += [f"{_count(len(story.videos), 'video')} of {clock(length)}"] if story.videos else []
    looked_at = " and ".join(what) or "nothing could be read"
    return f"<header><h1>{_safe(_title(story, pictures))}</h1><p class=soft>{looked_at}</p></header>"


def _count(number: int, what: str) -> str:
    return f"{number:,} {_plural(what, number)}"


def _plural(what: str, number: int) -> str:
    return what if number == 1 else what + "s"


def _tiles(story: Story) -> str:
    tiles = [
        (story.frames, _plural("frame" if story.videos else "picture", story.frames)),
        (story.different, _plural("face", story.different)),
        (len(story.people), "named"),
        (story.strangers, "unknown" if story.compared else "without a name"),
    ]
    if story.failed:
        tiles.append((story.failed, "could not be read"))
    inner = "".join(f"<div class=tile><b>{number:,}</b><span class=soft>{what}</span></div>" for number, what in tiles)
    return f"<div class=tiles>{inner}</div>"


def _shares(emotions: Counter[str]) -> str:
    if not emotions:
        return ""
    return f"<section><h2>Expressions</h2>{_stacked(emotions)}{_legend(emotions)}</section>"


def _legend(emotions: Mapping[str, float]) -> str:
    """Colour, word and figure: nobody has to tell colours apart."""
    total = sum(emotions.values())
    items = "".join(
        f'<li><i style="background:{_css(name)}"></i>{_safe(f"{name} {_percent(emotions[name] / total)}")}</li>'
        for name in _in_order(emotions)
    )
    return f"<ul class=legend>{items}</ul>"


def _stacked(emotions: Mapping[str, float]) -> str:
    """One bar that shows shares."""
    total, left, parts = sum(emotions.values()), 0.0, []
    if total <= 0:
        return ""
    for name in _in_order(emotions):
        wide = 1000 * emotions[name] / total
        parts.append(_rectangle(left, wide, name, f"{name} {_percent(emotions[name] / total)}"))
        left += wide
    return _bar(parts)


def _bar(parts: Iterable[str]) -> str:
    return f'<svg class=bar viewBox="0 0 1000 10" preserveAspectRatio="none" role="img">{"".join(parts)}</svg>'


def _rectangle(left: float, wide: float, emotion: str | None, words: str) -> str:
    place = f'x="{left:.2f}" width="{wide:.2f}" height="10"'
    return f'<rect {place} fill="{_css(emotion)}"><title>{_safe(words)}</title></rect>'


def _in_order(emotions: Mapping[str, float]) -> list[str]:
    """Always the same order, so that bars can be compared; what only another model knows comes last."""
    known = [name for name in EMOTION_COLOURS if emotions.get(name)]
    return known + sorted(name for name in emotions if emotions[name] and name not in EMOTION_COLOURS)


def _css(emotion: str | None) -> str:
    return "#{:02x}{:02x}{:02x}".format(*emotion_colour(emotion))


def _percent(share: float) -> str:
    return f"{100 * share:.0f}\u202f%" if share >= 0.005 else "<\u202f1\u202f%"


def _pictures(story: Story, pictures: Sequence[Shot]) -> str:
    if not pictures:
        return ""
    few = " few" if story.pictures == 1 else ""
    missing = story.pictures - len(pictures)
    said = _more(missing, "more pictures are counted above but not shown, to keep this page small")
    return f"<section><h2>Pictures</h2><div class='shots{few}'>{''.join(map(_picture, pictures))}</div>{said}</section>"


def _more(number: int, what: str) -> str:
    return f"<p class=soft>{number:,} {what}.</p>" if number > 0 else ""


def _picture(shot: Shot) -> str:
    return _figure(shot, f"{_safe(_short(shot.stream))} · {_count(len(shot.faces), 'face')}")


def _figure(shot: Shot, caption: str) -> str:
    data = base64.b64encode(shot.jpeg).decode("ascii")
    image = f'<img src="data:image/jpeg;base64,{data}" width="{shot.width}" height="{shot.height}" alt="{caption}">'
    return f"<figure>{image}<figcaption>{caption}</figcaption></figure>"


def _faces(pictures: Sequence[Shot], story: Story) -> str:
    """For a few pictures, every face in words."""
    faces = [(shot, face) for shot in pictures for face in sorted(shot.faces, key=lambda face: face.box[0])]
    if not faces:
        return ""
    unnamed = "not compared" if story.compared else story.unnamed
    rows = "".join(_face_row(shot, face, unnamed, len(pictures) > 1) for shot, face in faces[:_MOST_FACES])
    said = _more(len(faces) - _MOST_FACES, "more faces are marked in the pictures")
    head = "<tr><th>Who<th>Expression<th>How the network divides it</tr>"
    return f"<section><h2>Faces, from left to right</h2><table>{head}{rows}</table>{said}</section>"


def _face_row(shot: Shot, face: Face, unnamed: str, several: bool) -> str:
    who = face.identity or ("unknown" if face.similarity is not None else unnamed)
    sure = "" if face.identity is None or face.identity_confidence is None else _percent(face.identity_confidence)
    where = f"<br><span class=soft>{_safe(_short(shot.stream))}</span>" if several else ""
    share = "" if face.emotion_confidence is None else _percent(face.emotion_confidence)
    what = _safe(f"{face.emotion} {share}") if face.emotion else "–"
    return f"<tr><td>{_safe(f'{who} {sure}')}{where}<td>{what}<td class=wide>{_stacked(face.emotions)}</tr>"


def _key_frames(shots: Sequence[Shot]) -> str:
    if not shots:
        return ""
    several = len({shot.stream for shot in shots}) > 1
    figures = "".join(_key_frame(shot, several) for shot in shots)
    return f"<section><h2>Key frames</h2><div class=shots>{figures}</div></section>"


def _key_frame(shot: Shot, several: bool) -> str:
    where = f"{_safe(_short(shot.stream))} · " if several else ""
    return _figure(shot, f"{where}{clock(shot.seconds)} · {_count(len(shot.faces), 'face')}")


def _timeline(video: StreamStory, alone: bool) -> str:
    """Who was in sight when, coloured by expression; one row a person or, without a name, a face. The legend of the
    only video stands just above already."""
    rows = _timeline_rows(video)
    if not rows:
        return f"<section><h2>Timeline: {_safe(_short(video.name))}</h2><p>No face was found.</p></section>"
    span = max(video.end - video.start, 1e-3)
    shown = "".join(_timeline_row(name, segments, video.start, span) for name, segments in rows[:_MOST_ROWS])
    hidden = len(rows) - _MOST_ROWS if len(rows) > _MOST_ROWS else 0
    said = _more(hidden + video.gone, "more faces were in sight for a shorter time")
    seen: Counter[str] = Counter()
    for track in video.tracks.values():
        seen.update(track.emotions)
    legend = _legend(seen) if seen and not alone else ""
    axis = _axis(video.start, span)
    return f"<section><h2>Timeline: {_safe(_short(video.name))}</h2>{legend}{shown}{axis}{said}</section>"


def _timeline_rows(video: StreamStory) -> list[tuple[str, list[Segment]]]:
    """Named people first, then by the time they were in sight."""
    rows: dict[tuple[bool, str], list[Segment]] = {}
    for track in video.tracks.values():
        if not (track.name or video.counts(track)):
            continue
        key = (not track.name, track.name or f"face {track.number}")
        rows.setdefault(key, []).extend(track.segments)
    ordered = sorted(rows.items(), key=lambda item: (item[0][0], -_in_sight(item[1]), item[0][1]))
    return [(name, segments) for (_, name), segments in ordered]


def _in_sight(segments: Sequence[Segment]) -> float:
    return sum(segment.end - segment.start for segment in segments)


def _timeline_row(name: str, segments: Sequence[Segment], start: float, span: float) -> str:
    parts = []
    for segment in sorted(segments, key=lambda segment: segment.start):
        left = 1000 * (segment.start - start) / span
        wide = max(1000 * (segment.end - segment.start) / span, 1.5)
        words = f"{name}: {segment.emotion or 'in sight'}, {clock(segment.start)} to {clock(segment.end)}"
        parts.append(_rectangle(min(left, 998.5), wide, segment.emotion, words))
    return f'<div class=row><span title="{_safe(name)}">{_safe(name)}</span>{_bar(parts)}</div>'


def _axis(start: float, span: float) -> str:
    """Five times along the bars; two of them go where the page is narrow."""
    ticks = []
    for position in range(5):
        kind = "last" if position == 4 else "odd" if position % 2 else ""
        words = clock(start + span * position / 4, fine=span < 8)
        ticks.append(f'<span class="{kind}" style="left:{25 * position}%">{words}</span>')
    return f"<div class='row time'><span></span><div class=axis>{''.join(ticks)}</div></div>"


def clock(seconds: float, fine: bool = False) -> str:
    """0:07, 12:03, 1:00:00; with tenths where a second is too coarse."""
    seconds = max(0.0, seconds)
    if fine:
        return f"{seconds:.1f}\u202fs"
    whole = math.floor(seconds + 0.5)
    minutes = f"{whole // 60 % 60:02d}" if whole >= 3600 else f"{whole // 60 % 60}"
    return (f"{whole // 3600}:" if whole >= 3600 else "") + f"{minutes}:{whole % 60:02d}"


def _people(story: Story) -> str:
    if not story.people:
        return ""
    people = sorted(story.people.values(), key=lambda person: (-person.sightings, person.name))
    rows = "".join(map(_person_row, people[:_MOST_PEOPLE]))
    said = _more(len(people) - _MOST_PEOPLE, "more people are counted above")
    head = "<tr><th>Name<th class=number>Inputs<th class=number>Sightings<th>Expressions</tr>"
    return f"<section><h2>People</h2><table>{head}{rows}</table>{said}</section>"


def _person_row(person: Person) -> str:
    figures = f"<td class=number>{person.streams:,}<td class=number>{person.sightings:,}"
    return f"<tr><td>{_safe(person.name)}{figures}<td class=wide>{_stacked(person.emotions)}</tr>"


def _failures(story: Story) -> str:
    if not story.failed:
        return ""
    rows = "".join(f"<tr><td>{_safe(place)}<td>{_safe(reason)}</tr>" for place, reason in story.failures)
    said = _more(story.failed - len(story.failures), "more are not listed")
    return f"<section><h2>Could not be read</h2><table><tr><th>Where<th>Why</tr>{rows}</table>{said}</section>"


def _made(made: Mapping[str, str]) -> str:
    rows = "".join(f"<dt>{_safe(name)}</dt><dd>{_safe(value)}</dd>" for name, value in made.items())
    return f"<section><h2>How this was made</h2><dl>{rows}</dl><p class=note>{_MEANING}</p></section>"
