"""The report holds what was seen, needs nothing but itself, and stays small however long the video is."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfaces.errors import OutputError
from manyfaces.sinks import Report
from manyfaces.sinks.page import clock
from manyfaces.sinks.report import KeyFrames
from manyfaces.sinks.story import LONGEST_GAP, Segment, Story, StreamStory, add_to_segments, coarser
from manyfaces.types import Face, Frame, FrameResult, Unreadable

MADE = {"version": "manyfaces 0.1.0", "models": "yunet, sface"}
Seen = tuple[Frame | Unreadable, FrameResult]


def face(track: int = 1, name: str | None = None, emotion: str | None = "happy") -> Face:
    share = None if emotion is None else 0.9
    shares = {} if emotion is None else {emotion: 0.9, "neutral": 0.1}
    return Face(track, (5.0, 5.0, 25.0, 30.0), 0.9, (), emotion, shares, share, name, 0.9, 0.6)


def seen(stream: str, index: int, *faces: Face, rate: float = 10.0) -> Seen:
    picture = np.full((48, 64, 3), 90, np.uint8)
    return Frame(picture, index, index / rate, stream), FrameResult(stream, index, index / rate, 64, 48, faces)


def unreadable(stream: str, index: int = 0) -> Seen:
    reason = f"{stream}: the file is cut off; copy it again"
    return Unreadable(stream, index, 0.0, reason), FrameResult(stream, index, 0.0, 0, 0, (), reason)


def report(path: Path, frames: Iterable[Seen], then: type[BaseException] | None = None) -> str:
    with Report(path, MADE) as sink:
        for frame, result in frames:
            sink.write(frame, result)
        if then is not None:
            raise then
    return path.read_text(encoding="utf-8")


class Outline(HTMLParser):
    """What a browser would make of the page: its tags, the text that is shown, and everything that tags refer to."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.text = ""
        self.references: list[str] = []
        self._hidden = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self._hidden = tag == "style"
        self.references += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]
        assert not any(name.startswith("on") for name, _ in attrs), "no scripts in attributes"

    def handle_data(self, data: str) -> None:
        self.text += "" if self._hidden else data + " "


def test_one_picture_shows_itself_and_its_faces(tmp_path: Path) -> None:
    page = Outline(report(tmp_path / "r.html", [seen("a/me.jpg", 0, face(1, "Lan"), face(2, None, "sad"))]))
    assert "Faces in me.jpg" in page.text
    for words in ("Lan", "unknown", "happy", "sad", "manyfaces 0.1.0", "yunet, sface", "not what a person feels"):
        assert words in page.text
    assert page.tags.count("img") == 1
    assert "Timeline" not in page.text


def test_the_page_needs_nothing_but_itself(tmp_path: Path) -> None:
    text = report(tmp_path / "r.html", [seen("clip.mp4", index, face(1, "Lan")) for index in range(30)])
    page = Outline(text)
    assert "script" not in page.tags
    assert all(reference.startswith("data:image/jpeg;base64,") for reference in page.references)
    assert "default-src 'none'" in text
    assert "http://" not in text
    assert "https://" not in text
    assert "url(" not in text


@pytest.mark.parametrize(
    "name", ["<script>alert(1)</script>", '"><img src=x onerror=y>', "a & b", "</style>", "Nguyễn 陈"]
)
def test_names_and_files_are_text_and_never_tags(tmp_path: Path, name: str) -> None:
    plain = Outline(report(tmp_path / "p.html", [seen("clip", index, face(1, "x")) for index in range(3)]))
    page = Outline(report(tmp_path / "r.html", [seen(name, index, face(1, name)) for index in range(3)]))
    assert page.tags == plain.tags
    assert name in page.text


def test_letters_that_turn_text_around_are_left_out(tmp_path: Path) -> None:
    assert "\u202e" not in report(tmp_path / "r.html", [seen("a\u202egpj.exe", 0, face(1, "La\u202en"))])


def test_a_file_name_that_is_no_text_does_not_stop_the_report(tmp_path: Path) -> None:
    assert "\\udcff" in report(tmp_path / "r.html", [seen("bad\udcff.jpg", 0)])


def test_a_video_has_a_timeline_per_person(tmp_path: Path) -> None:
    frames = [seen("party.mp4", index, face(1, "Lan"), face(7, None, "sad")) for index in range(20)]
    page = Outline(report(tmp_path / "r.html", frames))
    assert "Timeline: party.mp4" in page.text
    assert "Lan: happy, 0:00 to 0:02" in page.text
    assert "face 7: sad" in page.text
    assert "Key frames" in page.text


def test_a_folder_of_200_pictures_shows_a_capped_grid_and_says_so(tmp_path: Path) -> None:
    frames = [seen(f"x/{number:03}.jpg", 0, face(1, "Lan")) for number in range(200)]
    page = Outline(report(tmp_path / "r.html", frames))
    assert page.tags.count("img") == 60
    assert "140 more pictures are counted above but not shown" in page.text
    assert "200 pictures" in page.text


def test_who_is_compared_with_nobody_is_not_unknown(tmp_path: Path) -> None:
    alone = replace(face(1), similarity=None)
    page = Outline(report(tmp_path / "r.html", [seen("me.jpg", 0, alone)]))
    assert "no gallery" in page.text
    assert "without a name" in page.text
    with Report(tmp_path / "r.html", MADE, "not compared") as sink:
        sink.write(*seen("me.jpg", 0, alone))
    text = Outline((tmp_path / "r.html").read_text(encoding="utf-8")).text
    assert "not compared" in text
    assert "no gallery" not in text


def test_failures_are_listed_and_counted(tmp_path: Path) -> None:
    page = Outline(report(tmp_path / "r.html", [unreadable(f"{number}.jpg") for number in range(70)]))
    assert "3.jpg: the file is cut off; copy it again" in page.text
    assert "20 more are not listed" in page.text
    assert "nothing could be read" in page.text


def test_nothing_at_all_is_still_a_page(tmp_path: Path) -> None:
    assert "nothing could be read" in Outline(report(tmp_path / "r.html", [])).text


def test_a_run_that_was_broken_off_has_its_report_and_says_so(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        report(tmp_path / "r.html", [seen("a.jpg", 0, face(1, "Lan"))], KeyboardInterrupt)
    page = Outline((tmp_path / "r.html").read_text(encoding="utf-8"))
    assert "Lan" in page.text
    assert "broken off" in page.text
    assert [entry.name for entry in tmp_path.iterdir()] == ["r.html"]


def test_a_report_that_cannot_be_written_is_known_before_the_first_frame(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="there is no folder"):
        Report(tmp_path / "nowhere" / "r.html", {}).__enter__()


def test_an_hour_of_video_stays_a_small_page(tmp_path: Path) -> None:
    emotions = ("happy", "sad", "neutral")

    def hour() -> Iterable[Seen]:
        for index in range(7200):
            brief = face(100 + index // 6, None, emotions[index % 3])
            yield seen("long.mp4", index, face(1, "Lan", emotions[index // 5 % 3]), brief, rate=2.0)

    page = report(tmp_path / "r.html", hour())
    assert len(page) < 600_000
    outline = Outline(page)
    assert outline.tags.count("img") <= 12
    assert "1 video of 1:00:00" in outline.text
    assert re.search(r"\d[\d,]* more faces were in sight for a shorter time", outline.text)
    assert "1,201" in outline.text, "faces that were forgotten are still counted"


# What is gathered


def test_memory_of_a_stream_does_not_grow_with_its_faces() -> None:
    story = StreamStory("long.mp4")
    for index in range(20_000):
        story.see(seen("long.mp4", index, face(index // 3), face(-1, "Lan"))[1])
    assert len(story.tracks) < 1000
    assert story.tracks[-1].sightings == 20_000
    assert len(story.tracks) + story.forgotten == 20_000 // 3 + 2


def test_equal_neighbours_are_one_segment_and_a_gap_is_a_gap() -> None:
    segments: list[Segment] = []
    for seconds, emotion in [(0.0, "sad"), (0.1, "sad"), (0.2, "happy"), (0.3, "happy"), (9.0, "happy")]:
        add_to_segments(segments, seconds, emotion)
    assert segments == [Segment(0.0, 0.2, "sad"), Segment(0.2, 0.3, "happy"), Segment(9.0, 9.0, "happy")]


steps = st.lists(st.tuples(st.floats(0.01, 3.0), st.sampled_from(["sad", "happy", None])), min_size=1, max_size=700)


@given(steps)
def test_segments_are_few_in_order_and_never_overlap(steps: list[tuple[float, str | None]]) -> None:
    segments: list[Segment] = []
    now = 0.0
    for step, emotion in steps:
        now += step
        add_to_segments(segments, now, emotion)
    assert 1 <= len(segments) <= 300
    assert all(segment.start <= segment.end for segment in segments)
    assert all(one.end <= other.start for one, other in itertools.pairwise(segments))
    assert segments[-1].end == now


@given(st.lists(st.tuples(st.floats(0, 2), st.floats(0, 2)), min_size=2, max_size=60))
def test_coarser_segments_are_fewer_and_cover_the_same_end(gaps: list[tuple[float, float]]) -> None:
    segments, now = [], 0.0
    for number, (gap, length) in enumerate(gaps):
        now += gap
        segments.append(Segment(now, now + length, ("sad", "happy")[number % 2]))
        now += length
    fewer = coarser(segments)
    assert len(fewer) < len(segments)
    assert fewer[-1].end == segments[-1].end
    touching = all(gap <= LONGEST_GAP for gap, _ in gaps[1:])
    assert not touching or fewer[0].start == segments[0].start


def test_a_person_in_several_inputs_is_one_person() -> None:
    story = Story()
    for stream in ("a.jpg", "b.jpg"):
        story.see(seen(stream, 0, face(1, "Lan"), face(2))[1])
    story.finish()
    assert (story.pictures, story.different, story.strangers) == (2, 4, 2)
    assert (story.people["Lan"].streams, story.people["Lan"].sightings) == (2, 2)


@pytest.mark.parametrize(("frames", "counted"), [(10, 2), (11, 1)])
def test_a_number_that_was_corrected_at_once_is_no_face_more(tmp_path: Path, frames: int, counted: int) -> None:
    story = Story()
    shown = [seen("v.mp4", index, face(99 if index in (4, 5) else 1)) for index in range(frames)]
    for _, result in shown:
        story.see(result)
    story.finish()
    assert (story.different, story.strangers, story.sightings) == (counted, counted, frames)
    text = Outline(report(tmp_path / "r.html", shown)).text
    assert ("face 99" in text) == (counted == 2)


def test_a_name_is_told_however_short_it_was_seen() -> None:
    story = Story()
    for index in range(20):
        story.see(seen("v.mp4", index, face(1), *([face(2, "Lan")] if index == 7 else []))[1])
    story.finish()
    assert story.people["Lan"].sightings == 1
    assert story.different == 1


def test_forgotten_faces_that_were_hardly_there_are_not_counted() -> None:
    story = Story()
    for index in range(3000):
        story.see(seen("v.mp4", index, face(index))[1])
    story.finish()
    assert story.videos[0].forgotten > 1000
    assert (story.different, story.strangers) == (0, 0)


def test_a_face_that_got_its_name_late_has_it_from_the_start() -> None:
    story = Story()
    for index in range(20):
        story.see(seen("v.mp4", index, face(1, "Lan" if index > 12 else None))[1])
    story.finish()
    assert list(story.people) == ["Lan"]
    assert story.strangers == 0


def test_key_frames_are_spread_and_the_best_of_their_stretch() -> None:
    chosen = KeyFrames(12)
    for index in range(5000):
        faces = [face(number, "Lan") for number in range(3 if index == 2500 else 1)]
        frame, result = seen("v.mp4", index, *faces)
        assert isinstance(frame, Frame)
        chosen.offer(frame, result)
    shots = chosen.best()
    assert 6 <= len(shots) <= 12
    assert 250.0 in [shot.seconds for shot in shots]
    assert [shot.seconds for shot in shots] == sorted(shot.seconds for shot in shots)


@pytest.mark.parametrize(
    ("seconds", "words"),
    [(0, "0:00"), (7.4, "0:07"), (59.6, "1:00"), (723, "12:03"), (3600, "1:00:00"), (36061, "10:01:01")],
)
def test_times_read_like_a_players(seconds: float, words: str) -> None:
    assert clock(seconds) == words


def test_streams_that_come_mixed_are_one_story_each(tmp_path: Path) -> None:
    frames = [seen(name, index, face(1, name)) for index in range(30) for name in ("0", "rtsp://door")]
    story = Story()
    for _, result in frames:
        story.see(result)
    story.finish()
    assert [(video.name, video.frames) for video in story.videos] == [("0", 30), ("rtsp://door", 30)]
    assert story.pictures == 0
    assert {name: person.streams for name, person in story.people.items()} == {"0": 1, "rtsp://door": 1}
    text = report(tmp_path / "a.html", frames)
    assert text.count("data:image/jpeg") <= 24, "no frame of a film is taken for a picture"


def test_a_stream_that_begins_anew_is_another_story() -> None:
    story = Story()
    for name in ("a.mp4", "b.mp4", "a.mp4"):
        for index in range(3):
            story.see(seen(name, index, face(1))[1])
    story.finish()
    assert [video.frames for video in story.videos] == [3, 3, 3]


def test_very_many_streams_at_once_stay_few_in_memory() -> None:
    story = Story()
    for number in range(500):
        story.see(seen(f"http://h/{number}", 0, face(1))[1])
    assert len(story._open) <= 64
    story.finish()
    assert story.pictures == 500


def test_pictures_beside_a_camera_are_pictures(tmp_path: Path) -> None:
    names = [str(tmp_path / f"{number}.jpg") for number in range(5)]
    for name in names:
        Path(name).write_bytes(b"picture")
    frames = [seen("0", 0, face(1))]
    for index, name in enumerate(names):
        frames += [seen(name, 0, face(1)), seen("0", index + 1, face(1))]
    sink = Report(tmp_path / "a.html", MADE)
    with sink:
        for one in frames:
            sink.write(*one)
    assert [shot.stream for shot in sink._pictures] == names
