"""Sources: every kind of picture and video comes out the right way, and bad input is told in a sentence."""

from __future__ import annotations

import gc
import os
import random
import struct
import sys
import unicodedata
import weakref
import zlib
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import numpy.typing as npt
import pytest
from av.video.frame import VideoFrame
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from manyfaces import sources
from manyfaces.errors import InputError, UsageError
from manyfaces.sources import Patience, expand, frame_count, kind_of, open_source, read_picture
from manyfaces.sources.video import Timeline, turned
from manyfaces.types import Frame, Pixels, Unreadable

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)
LINUX = pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")


def quadrants(width: int = 64, height: int = 48) -> Pixels:
    """Red, green; blue, white: every turn and flip shows."""
    picture = np.empty((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2], picture[: height // 2, width // 2 :] = RED, GREEN
    picture[height // 2 :, : width // 2], picture[height // 2 :, width // 2 :] = BLUE, WHITE
    return picture


def noise(count: int, width: int = 64, height: int = 48) -> list[Pixels]:
    numbers = np.random.default_rng(0)
    return [numbers.integers(0, 255, (height, width, 3), dtype=np.uint8) for _ in range(count)]


def greys(count: int) -> list[Pixels]:
    """Each frame 4 brighter than the one before."""
    return [np.full((48, 64, 3), 16 + 4 * number, np.uint8) for number in range(count)]


def write_video(
    path: Path,
    pictures: Sequence[Pixels],
    milliseconds: Sequence[int] | None = None,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    muxer: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w", options=muxer or {}) as container:
        stream = container.add_stream(codec, rate=25, options=options or {})
        stream.pix_fmt = "yuvj420p" if codec == "mjpeg" else "yuv420p"
        tick = Fraction(1, 25) if milliseconds is None else Fraction(1, 1000)
        stream.codec_context.time_base = tick
        stream.height, stream.width = pictures[0].shape[:2]
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number if milliseconds is None else milliseconds[number]
            frame.time_base = tick
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_sound(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=16000)
        stream.layout = "mono"
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 16000, 0
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def cut(path: Path, share: float) -> Path:
    content = path.read_bytes()
    path.write_bytes(content[: int(len(content) * share)])
    return path


def frames_of(name: str | Path) -> list[Frame]:
    frames = list(open_source(str(name)))
    assert all(isinstance(frame, Frame) for frame in frames), frames
    return [frame for frame in frames if isinstance(frame, Frame)]


def split(name: str | Path) -> tuple[list[Frame], list[Unreadable]]:
    items = list(open_source(str(name)))
    assert [item.index for item in items] == list(range(len(items)))
    frames = [item for item in items if isinstance(item, Frame)]
    return frames, [item for item in items if isinstance(item, Unreadable)]


def corners(picture: Pixels) -> list[tuple[int, ...]]:
    """The colours of the four quadrants, row by row, rid of what compression does to them."""
    height, width = picture.shape[:2]
    places = [(y, x) for y in (height // 4, 3 * height // 4) for x in (width // 4, 3 * width // 4)]
    return [tuple(255 if value > 127 else 0 for value in picture[place]) for place in places]


def refusal(name: str | Path) -> str:
    """The one sentence with which an input is refused."""
    with pytest.raises(InputError) as caught:
        list(open_source(str(name)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


# Pictures


@pytest.mark.parametrize("suffix", ["png", "jpg", "webp", "bmp", "tiff", "gif"])
def test_a_picture_is_a_stream_of_one_rgb_frame(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"picture.{suffix}"
    Image.fromarray(quadrants()).save(path)
    (frame,) = frames_of(path)
    assert (frame.stream, frame.index, frame.seconds) == (str(path), 0, 0.0)
    assert (frame.image.shape, frame.image.dtype) == ((48, 64, 3), np.uint8)
    assert corners(frame.image) == [RED, GREEN, BLUE, WHITE]
    assert (kind_of(str(path)), frame_count(str(path))) == ("picture", 1)


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_turned(tmp_path: Path, suffix: str, orientation: int) -> None:
    undone = [
        lambda upright: upright,
        lambda upright: upright[:, ::-1],
        lambda upright: upright[::-1, ::-1],
        lambda upright: upright[::-1],
        lambda upright: upright.transpose(1, 0, 2),
        lambda upright: np.rot90(upright, 1),
        lambda upright: np.rot90(upright, 2).transpose(1, 0, 2),
        lambda upright: np.rot90(upright, -1),
    ]
    path, exif = tmp_path / f"phone.{suffix}", Image.Exif()
    exif[0x0112] = orientation
    Image.fromarray(np.ascontiguousarray(undone[orientation - 1](quadrants()))).save(path, exif=exif)
    picture = read_picture(path)
    assert picture.shape == (48, 64, 3)
    assert corners(picture) == [RED, GREEN, BLUE, WHITE]


def test_broken_exif_data_costs_the_turn_but_not_the_picture(tmp_path: Path) -> None:
    path = tmp_path / "odd.jpg"
    Image.fromarray(quadrants()).save(path, exif=b"Exif\0\0II*\0\xff\xff\xff\xff nonsense")
    assert corners(read_picture(path)) == [RED, GREEN, BLUE, WHITE]


@pytest.mark.parametrize("mode", ["RGBA", "LA", "P", "PA"])
def test_what_shows_through_is_white(tmp_path: Path, mode: str) -> None:
    see_through = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    see_through.paste((0, 0, 0, 255), (0, 0, 4, 8))
    path = tmp_path / ("picture.tiff" if mode == "PA" else "picture.png")
    see_through.convert(mode).save(path)
    picture = read_picture(path)
    assert (tuple(picture[4, 1]), tuple(picture[4, 6])) == ((0, 0, 0), WHITE)


def test_half_transparent_is_mixed_with_white(tmp_path: Path) -> None:
    Image.new("RGBA", (4, 4), (255, 0, 0, 128)).save(tmp_path / "half.png")
    assert np.allclose(read_picture(tmp_path / "half.png")[0, 0], (255, 127, 127), atol=1)


@pytest.mark.parametrize(
    ("mode", "colour"), [("1", 255), ("L", 200), ("CMYK", (0, 0, 0, 55)), ("YCbCr", (200, 128, 128))]
)
def test_other_colour_modes_become_rgb(tmp_path: Path, mode: str, colour: int | tuple[int, ...]) -> None:
    path = tmp_path / ("picture.png" if mode in "1L" else "picture.tiff")
    Image.new(mode, (8, 8), colour).save(path)
    try:
        Image.open(path).load()
    except OSError:
        pytest.skip("this version of Pillow cannot read the TIFF that it has just written")
    expected = 255 if mode == "1" else 200
    assert np.allclose(read_picture(path), expected, atol=1)


@pytest.mark.parametrize("suffix", ["png", "tiff"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_sixteen_bits_keep_their_brightness(tmp_path: Path, suffix: str, channels: int) -> None:
    deep = np.random.default_rng(1).integers(0, 65536, (16, 24, channels), dtype=np.uint16)
    deep[:, :, 3:] = 65535
    path = tmp_path / f"deep.{suffix}"
    assert cv2.imwrite(str(path), deep)
    wanted = np.broadcast_to(deep[:, :, 2::-1] if channels > 1 else deep, (16, 24, 3)) / 257
    assert np.abs(read_picture(path) - wanted).max() <= 1


def test_floats_are_stretched_from_nought_to_one_and_nan_is_black(tmp_path: Path) -> None:
    assert cv2.imwrite(str(tmp_path / "floats.tiff"), np.array([[0.0, 0.5, 1.0, np.nan]], np.float32))
    assert read_picture(tmp_path / "floats.tiff")[0, :, 0].tolist() == [0, 128, 255, 0]


def test_the_content_says_what_a_file_is_not_its_name(tmp_path: Path) -> None:
    Image.fromarray(quadrants()).save(tmp_path / "a.png")
    renamed = (tmp_path / "a.png").rename(tmp_path / "film.mp4")
    assert kind_of(str(renamed)) == "picture"
    assert corners(read_picture(renamed)) == [RED, GREEN, BLUE, WHITE]


def test_pages_and_previews_are_not_a_film(tmp_path: Path) -> None:
    pages = [Image.new("RGB", (8, 8), colour) for colour in (RED, BLUE)]
    pages[0].save(tmp_path / "pages.tiff", save_all=True, append_images=pages[1:])
    pages[0].save(tmp_path / "phone.jpg", format="MPO", save_all=True, append_images=pages[1:])
    for name in ("pages.tiff", "phone.jpg"):
        (frame,) = frames_of(tmp_path / name)
        assert corners(frame.image) == [RED] * 4


# Animations


@pytest.mark.parametrize("suffix", ["gif", "webp", "png"])
def test_an_animation_has_its_true_times(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"moving.{suffix}"
    first, *others = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE, WHITE)]
    first.save(path, save_all=True, append_images=others, duration=[100, 250, 40, 500])
    frames = frames_of(path)
    assert [frame.seconds for frame in frames] == [0.0, 0.1, 0.35, 0.39]
    assert [corners(frame.image)[0] for frame in frames] == [RED, GREEN, BLUE, WHITE]
    assert [frame.index for frame in frames] == [0, 1, 2, 3]
    assert (kind_of(str(path)), frame_count(str(path))) == ("video", 4)
    assert corners(read_picture(path))[0] == RED


def test_an_animation_without_times_runs_at_ten_a_second(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    pictures[0].save(tmp_path / "untimed.gif", save_all=True, append_images=pictures[1:], duration=0)
    assert [frame.seconds for frame in frames_of(tmp_path / "untimed.gif")] == [0.0, 0.1, 0.2]


def test_the_stand_in_of_an_apng_is_not_shown(tmp_path: Path) -> None:
    pictures = [Image.new("RGB", (16, 16), colour) for colour in (RED, GREEN, BLUE)]
    path = tmp_path / "stand-in.png"
    pictures[0].save(path, save_all=True, append_images=pictures[1:], duration=[200, 300], default_image=True)
    frames = frames_of(path)
    assert [(frame.seconds, corners(frame.image)[0]) for frame in frames] == [(0.0, GREEN), (0.2, BLUE)]
    assert frame_count(str(path)) == 2


def test_a_gif_cut_in_the_middle_gives_the_good_pictures_first(tmp_path: Path) -> None:
    pictures = [Image.fromarray(picture) for picture in noise(6)]
    pictures[0].save(tmp_path / "cut.gif", save_all=True, append_images=pictures[1:], duration=100)
    frames, lost = split(cut(tmp_path / "cut.gif", 0.7))
    assert 2 <= len(frames) < 6
    assert "damaged" in lost[0].reason
    assert lost[0].seconds == len(frames) / 10


# Videos


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi", "ts"])
def test_a_video_comes_in_order_with_its_frames_and_times(tmp_path: Path, suffix: str) -> None:
    path = write_video(tmp_path / f"film.{suffix}", greys(40), options={"bf": "3", "g": "20"})
    frames = frames_of(path)
    brightness = [int(frame.image.mean()) for frame in frames]
    assert np.abs(np.array(brightness) - [16 + 4 * number for number in range(40)]).max() <= 4
    assert brightness == sorted(brightness), "B-frames come in the order in which they are shown"
    assert [frame.seconds for frame in frames] == pytest.approx([number / 25 for number in range(40)], abs=0.001)
    assert {frame.stream for frame in frames} == {str(path)}
    assert all(frame.image.flags.c_contiguous for frame in frames)
    assert (kind_of(str(path)), frame_count(str(path))) == ("video", 40)


@pytest.mark.parametrize("suffix", ["mp4", "mkv"])
def test_a_variable_frame_rate_gives_true_seconds_from_nought(tmp_path: Path, suffix: str) -> None:
    times = [500, 540, 700, 705, 1500, 4000, 4033]
    path = write_video(tmp_path / f"phone.{suffix}", greys(7), times, options={"bf": "0"})
    assert [frame.seconds for frame in frames_of(path)] == pytest.approx(
        [(ms - 500) / 1000 for ms in times], abs=0.0005
    )


MATRICES = {
    "none": ((1, 0, 0, 1), lambda upright: upright),
    "quarter right": ((0, 1, -1, 0), lambda upright: np.rot90(upright, 1)),
    "upside down": ((-1, 0, 0, -1), lambda upright: np.rot90(upright, 2)),
    "quarter left": ((0, -1, 1, 0), lambda upright: np.rot90(upright, -1)),
    "mirrored": ((-1, 0, 0, 1), lambda upright: upright[:, ::-1]),
    "mirrored and turned": ((0, 1, 1, 0), lambda upright: upright.transpose(1, 0, 2)),
}


@pytest.mark.parametrize("turn", MATRICES)
def test_a_phone_s_turned_video_stands_upright(tmp_path: Path, turn: str) -> None:
    (a, b, c, d), undone = MATRICES[turn]
    path = write_video(tmp_path / "turned.mp4", [np.ascontiguousarray(undone(quadrants(64, 32)))] * 3)
    content = bytearray(path.read_bytes())
    matrix = content.index(b"tkhd") + 4 + 40  # the track header's display matrix, as phones write it
    content[matrix : matrix + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(content)
    for frame in frames_of(path):
        assert (frame.width, frame.height) == (64, 32)
        assert corners(frame.image) == [RED, GREEN, BLUE, WHITE]
        assert frame.image.flags.c_contiguous


def test_decoded_pictures_are_let_go_at_once_not_when_garbage_is_collected(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mp4", greys(30))  # x264 writes side data into it, as most encoders do
    gc.collect()
    gc.disable()
    try:
        before = sum(type(thing) is VideoFrame for thing in gc.get_objects())
        assert len(frames_of(path)) == 30
        assert sum(type(thing) is VideoFrame for thing in gc.get_objects()) <= before + 2
    finally:
        gc.enable()


@given(st.booleans(), st.booleans(), st.booleans())
def test_a_turn_loses_no_pixel(swap: bool, left_right: bool, top_bottom: bool) -> None:
    picture = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    result = turned(picture, (swap, left_right, top_bottom))
    assert result.shape == ((6, 4, 3) if swap else (4, 6, 3))
    assert sorted(result.ravel().tolist()) == sorted(picture.ravel().tolist())


def test_a_video_of_one_frame(tmp_path: Path) -> None:
    (frame,) = frames_of(write_video(tmp_path / "one.mp4", greys(1)))
    assert (frame.index, frame.seconds) == (0, 0.0)


def test_max_frames_ends_early_and_closes(tmp_path: Path) -> None:
    path = write_video(tmp_path / "film.mp4", greys(20))
    assert [item.index for item in open_source(str(path), max_frames=3)] == [0, 1, 2]
    assert len(list(open_source(str(path), max_frames=100))) == 20
    with pytest.raises(UsageError, match="at least one frame"):
        open_source(str(path), max_frames=0)


def test_broken_packets_are_skipped_and_counted(tmp_path: Path) -> None:
    path = write_video(tmp_path / "scratched.avi", noise(30), codec="mjpeg")
    content = bytearray(path.read_bytes())
    starts = [at for at in range(len(content)) if content[at : at + 4] == b"00dc"][5:7]
    for start in starts:
        content[start + 8 : start + 700] = bytes(692)
    path.write_bytes(content)
    frames, lost = split(path)
    assert len(frames) == 28
    assert [entry.reason for entry in lost] == [f"{path}: 2 broken packets skipped; the frames before this are good"]
    assert frames[5].seconds == pytest.approx(7 / 25), "the frames after the gap keep their times"


def test_a_damaged_frame_is_left_out_where_it_was(tmp_path: Path) -> None:
    options = {"g": "1000"}
    path = write_video(tmp_path / "bad.mp4", noise(40), codec="mpeg4", options=options, muxer={"movflags": "faststart"})
    content = bytearray(path.read_bytes())
    middle = len(content) // 2
    content[middle : middle + 300] = bytes(300)
    path.write_bytes(content)
    frames, lost = split(path)
    assert frames
    assert lost
    assert len(frames) + len(lost) == 40
    assert all("damaged" in entry.reason and entry.seconds == entry.index / 25 for entry in lost)


@pytest.mark.parametrize("suffix", ["mp4", "mkv", "avi"])
def test_a_video_cut_in_the_middle_gives_the_good_frames_then_says_so(tmp_path: Path, suffix: str) -> None:
    muxer = {"movflags": "faststart"} if suffix == "mp4" else {}
    path = write_video(tmp_path / f"cut.{suffix}", noise(75), options={"g": "10"}, muxer=muxer)
    frames, lost = split(cut(path, 0.6))
    assert 30 <= len(frames) <= 46
    # Some versions of FFmpeg hand out half a packet at the cut, which then counts as broken.
    assert lost[-1].reason.startswith(f"{path}: ")
    assert lost[-1].reason.endswith("the video ends before its time; get a whole copy of it")
    assert lost[-1].seconds == max(frame.seconds for frame in frames)


def test_whole_videos_are_not_accused_of_ending_early(tmp_path: Path) -> None:
    times = [*range(0, 4000, 40), 9000]
    for suffix in ("mp4", "mkv", "avi", "ts"):
        path = write_video(tmp_path / f"whole.{suffix}", greys(50) + greys(51), times)
        assert len(frames_of(path)) == 101


def test_a_video_that_lost_its_index_is_refused(tmp_path: Path) -> None:
    path = cut(write_video(tmp_path / "cut.mp4", noise(30)), 0.6)  # the index of an MP4 stands at its end
    assert "cannot be read as a picture or video" in refusal(path)


def test_a_video_without_frames_is_refused(tmp_path: Path) -> None:
    with av.open(str(tmp_path / "none.mp4"), "w", options={"movflags": "empty_moov"}) as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        container.start_encoding()
    assert "no frame could be read" in refusal(tmp_path / "none.mp4")
    assert frame_count(str(tmp_path / "none.mp4")) is None


def test_sound_without_a_video_is_refused(tmp_path: Path) -> None:
    assert "there is no video in it" in refusal(write_sound(tmp_path / "song.m4a"))


def test_the_cover_of_a_song_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    with av.open(str(path), "w") as container:
        sound = container.add_stream("libmp3lame", rate=44100)
        sound.layout = "mono"
        cover = container.add_stream("mjpeg", rate=1)
        cover.width, cover.height, cover.pix_fmt = 64, 48, "yuvj420p"
        cover.disposition = av.stream.Disposition.attached_pic
        container.mux(cover.encode(av.VideoFrame.from_ndarray(quadrants(), format="rgb24").reformat(format="yuvj420p")))
        container.mux(cover.encode(None))
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.float32), format="fltp", layout="mono")
        frame.sample_rate, frame.pts = 44100, 0
        container.mux(sound.encode(frame))
        container.mux(sound.encode(None))
    assert "there is no video in it" in refusal(path)


def test_two_recordings_in_one_file_follow_each_other(tmp_path: Path) -> None:
    first = write_video(tmp_path / "first.ts", greys(10), options={"bf": "0"})
    second = write_video(tmp_path / "second.ts", greys(10), options={"bf": "0"})
    (tmp_path / "both.ts").write_bytes(first.read_bytes() + second.read_bytes())
    seconds = [item.seconds for item in open_source(str(tmp_path / "both.ts"))]
    assert len(seconds) >= 20
    assert seconds == sorted(seconds)


@given(
    st.lists(st.none() | st.fractions(min_value=-10, max_value=10, max_denominator=1000), max_size=20), st.floats(0, 9)
)
def test_seconds_start_at_nought_and_never_run_backwards(own_times: list[Fraction | None], away: float) -> None:
    timeline = Timeline()
    seconds = [timeline.at(own, 0.04) for own in own_times]
    timeline.restart(away)
    again = [timeline.at(own, 0.04) for own in own_times]
    assert seconds[:1] in ([], [0.0])
    assert seconds + again == sorted(seconds + again)


# Laziness


@LINUX
def test_a_long_video_is_not_read_ahead(tmp_path: Path) -> None:
    path = write_video(tmp_path / "long.mp4", noise(50) * 40, codec="mpeg4", options={"g": "12"})
    size = path.stat().st_size
    alive: list[weakref.ref[npt.NDArray[np.uint8]]] = []
    with closing(open_source(str(path))) as items:
        for item in items:
            assert isinstance(item, Frame)
            alive = [*(ref for ref in alive if ref() is not None), weakref.ref(item.image)]
            assert len(alive) <= 3, "frames that were handed out are let go"
            assert _read_so_far(path) <= size * (item.index + 60) / 2000 + 200_000
    assert item.index == 1999


@LINUX
@pytest.mark.parametrize("name", ["film.mp4", "picture.png", "moving.gif"])
def test_closing_the_generator_closes_the_file_and_ends_the_threads(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    if name == "film.mp4":
        write_video(path, noise(30))
    else:
        pictures = [Image.fromarray(picture) for picture in noise(3)]
        pictures[0].save(path, save_all=name == "moving.gif", append_images=pictures[1:])
    threads = len(list(Path("/proc/self/task").iterdir()))
    items = open_source(str(path))
    assert not _is_open(path), "nothing is opened before the first frame is asked for"
    next(items)
    assert _is_open(path)
    items.close()
    assert not _is_open(path)
    assert len(list(Path("/proc/self/task").iterdir())) == threads


def _open_files(path: Path) -> list[str]:
    found = []
    for link in Path("/proc/self/fd").iterdir():
        try:
            found += [link.name] if link.readlink() == path else []
        except OSError:
            continue  # the listing's own descriptor is gone by now
    return found


def _is_open(path: Path) -> bool:
    return bool(_open_files(path))


def _read_so_far(path: Path) -> int:
    (number,) = _open_files(path)
    first_line = Path(f"/proc/self/fdinfo/{number}").read_text().splitlines()[0]
    return int(first_line.removeprefix("pos:"))


# Recordings at their own pace


@dataclass
class Clockwork:
    """A clock that only runs while somebody sleeps, or works for so long on each frame."""

    now: float = 100.0
    slept: list[float] = field(default_factory=list)
    sleeps_until: float = float("inf")

    def sleep(self, seconds: float) -> bool:
        self.slept.append(seconds)
        self.now += seconds
        return self.now > self.sleeps_until

    def patience(self) -> Patience:
        return Patience(sleep=self.sleep, clock=lambda: self.now)


def test_a_recording_played_live_comes_at_its_own_pace(tmp_path: Path) -> None:
    path, clock = write_video(tmp_path / "film.mp4", greys(10)), Clockwork()
    came = [(item.seconds, clock.now) for item in open_source(str(path), live=True, patience=clock.patience())]
    assert [now - 100 for _, now in came] == pytest.approx([seconds for seconds, _ in came])
    assert len(clock.slept) == 9


def test_a_recording_that_is_read_too_slowly_is_not_waited_for_and_loses_nothing(tmp_path: Path) -> None:
    path, clock = write_video(tmp_path / "film.mp4", greys(10)), Clockwork()
    indices = []
    for item in open_source(str(path), live=True, patience=clock.patience()):
        indices.append(item.index)
        clock.now += 0.3 if item.index == 2 else 0.0
    assert indices == list(range(10))
    assert sum(clock.slept) == pytest.approx(0.08), "three frames' time was slept, and the rest was late"


def test_a_reader_who_has_gone_is_not_played_to(tmp_path: Path) -> None:
    path, clock = write_video(tmp_path / "film.mp4", greys(10)), Clockwork(sleeps_until=100.15)
    items = list(open_source(str(path), live=True, patience=clock.patience()))
    assert [item.index for item in items] == [0, 1, 2, 3]


def test_nobody_waits_for_a_recording_that_is_only_read(tmp_path: Path) -> None:
    path, clock = write_video(tmp_path / "film.mp4", greys(10)), Clockwork()
    assert len(list(open_source(str(path), patience=clock.patience()))) == 10
    assert clock.slept == []


def test_a_picture_has_no_pace(tmp_path: Path) -> None:
    clock = Clockwork()
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    assert len(list(open_source(str(tmp_path / "a.png"), live=True, patience=clock.patience()))) == 1
    assert clock.slept == []


# Names


def test_a_folder_in_natural_order_without_hidden_and_other_files(tmp_path: Path) -> None:
    for name in (
        "img10.png",
        "img2.png",
        "IMG1.JPG",
        "notes.txt",
        ".hidden.png",
        "clip.mp4",
        "sub 10/a.png",
        "sub 9/b.webp",
    ):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    (tmp_path / ".thumbnails").mkdir()
    (tmp_path / ".thumbnails" / "small.png").touch()
    names = ["clip.mp4", "IMG1.JPG", "img2.png", "img10.png", "sub 9/b.webp", "sub 10/a.png"]
    assert expand([str(tmp_path)]) == [str(tmp_path / name) for name in names]


def test_globs_in_natural_order_and_names_that_only_look_like_globs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("img10.png", "img2.png", ".img3.png", "img4.txt", "photo[1].png"):
        Path(name).touch()
    Path("img5.png").mkdir()
    assert expand(["img*"]) == ["img2.png", "img10.png"]
    assert expand(["photo[1].png"]) == ["photo[1].png"]
    assert expand([str(tmp_path / "**" / "img?.png")]) == [str(tmp_path / "img2.png")]


def test_cameras_and_streams_pass_and_the_order_given_stays(tmp_path: Path) -> None:
    file = tmp_path / "z.png"
    file.touch()
    given_names = ["1", str(file), "rtsp://camera/door", "0", "https://example.org/a?b=[1]*"]
    assert expand(given_names) == given_names
    assert [kind_of(name) for name in ("0", "/dev/video3", "rtsp://camera/door", "HTTP://camera/door")] == [
        "camera",
        "camera",
        "stream",
        "stream",
    ]
    assert [frame_count(name) for name in ("0", "rtsp://camera/door")] == [None, None]


@given(st.lists(st.integers(0, 10**40), min_size=1, max_size=8), st.sampled_from(["img", "Ảnh ", "", "a-"]))
def test_numbers_in_names_count_as_numbers(numbers: list[int], prefix: str) -> None:
    names = [f"{prefix}{number}.png" for number in numbers]
    random.Random(0).shuffle(names)
    ordered = sources.inputs._in_natural_order(names)
    assert ordered == [f"{prefix}{number}.png" for number in sorted(numbers)]


@pytest.mark.parametrize(
    "name",
    ["Nguyễn Thị Ánh.png", unicodedata.normalize("NFD", "Ảnh.png"), "two\nlines.png", "a:b.png", "%03d.png", "😀.png"],
)
def test_unusual_names_are_taken_as_they_are(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    Image.fromarray(quadrants()).save(path)
    assert expand([str(tmp_path)]) == [str(path)]
    assert frames_of(path)[0].stream == str(path)
    film = write_video(tmp_path / "film.mp4", greys(3)).rename(path.with_suffix(".mp4"))
    assert frames_of(film)[0].stream == str(film)


@pytest.mark.parametrize("suffix", [".png", ".mp4"])
def test_a_newline_in_a_name_does_not_break_the_sentence(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"two\nlines{suffix}"
    assert "two\\nlines" in refusal(path)
    path.write_bytes(b"no picture")
    assert "two\\nlines" in refusal(path)


@LINUX
def test_a_name_that_is_no_unicode_still_opens(tmp_path: Path) -> None:
    path = Path(os.fsdecode(os.fsencode(tmp_path) + b"/\xff.mp4"))
    write_video(tmp_path / "film.mp4", greys(2)).rename(path)
    assert len(frames_of(path)) == 2


# Bad input


@pytest.mark.parametrize("name", ["gone.jpg", "gone.mp4", "gone"])
def test_a_missing_file(tmp_path: Path, name: str) -> None:
    path = str(tmp_path / name)
    assert refusal(path) == f"{path}: there is no such file; check the name"
    for ask in (kind_of, frame_count, read_picture):
        with pytest.raises(InputError, match="there is no such file"):
            ask(path)
    with pytest.raises(InputError, match="there is no such file or folder"):
        expand([path])


def test_a_folder_without_pictures(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("nothing to see")
    with pytest.raises(InputError, match="holds no pictures or videos"):
        expand([str(tmp_path)])
    assert "this is a folder" in refusal(tmp_path)


def test_a_glob_that_matches_nothing(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no picture or video matches this pattern"):
        expand([str(tmp_path / "*.jpg")])


@pytest.mark.parametrize("name", ["empty.jpg", "empty.mp4", "empty.gif"])
def test_an_empty_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert "the file is empty" in refusal(tmp_path / name)


def test_a_text_file_called_jpg(tmp_path: Path) -> None:
    path = tmp_path / "letter.jpg"
    path.write_text("Dear Lan,\nno picture today.")
    assert "not a picture that can be read" in refusal(path)
    assert kind_of(str(path)) == "picture"
    with pytest.raises(InputError, match="not a picture that can be read"):
        read_picture(path)


@pytest.mark.parametrize("name", ["letter.txt", "letter.mp4", "letter"])
def test_other_text_files(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text("Dear Lan,\nno film today.\n" * 20)
    assert refusal(tmp_path / name).startswith(f"{tmp_path / name}: ")


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp", "tiff", "bmp"])
def test_a_truncated_picture_is_one_unreadable(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"cut.{suffix}"
    Image.fromarray(noise(1, 200, 200)[0]).save(path)
    if suffix in ("webp", "tiff"):  # their directory or decoder wants the whole file: they cannot be opened at all
        with pytest.raises(InputError, match="cut off or damaged"):
            read_picture(cut(path, 0.5))
        return
    frames, lost = split(cut(path, 0.5))
    assert not frames
    assert [(entry.stream, entry.index, entry.seconds) for entry in lost] == [(str(path), 0, 0.0)]
    assert "cut off or damaged" in lost[0].reason
    with pytest.raises(InputError, match="cut off or damaged"):
        read_picture(path)


@pytest.mark.parametrize(
    "magic", [b"\xff\xd8\xff", b"\x89PNG\r\n\x1a\n", b"GIF89a", b"BM", b"II*\0", b"RIFF\0\0\0\0WEBP"]
)
def test_a_picture_of_garbage_is_refused(tmp_path: Path, magic: bytes) -> None:
    (tmp_path / "garbage").write_bytes(magic + random.Random(3).randbytes(500))
    with pytest.raises(InputError, match=r"cut off or damaged|more than the limit"):
        read_picture(tmp_path / "garbage")


def _png(width: int, height: int) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(99))) + chunk(b"IEND", b"")
    )


def test_a_picture_too_big_for_memory_is_refused_before_decoding(tmp_path: Path) -> None:
    path = tmp_path / "bomb.png"
    path.write_bytes(_png(60_000, 60_000))
    assert "60000 x 60000 pixels, more than the limit of 200 megapixels" in refusal(path)


def test_pillow_s_own_lower_limit_does_not_warn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 64 * 48 - 1)
    for name in ("big.png", "big.tiff", "big.gif", "big.jpg"):
        Image.fromarray(quadrants()).save(tmp_path / name)
        assert read_picture(tmp_path / name).shape == (48, 64, 3)


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="nothing is forbidden to root")
@pytest.mark.parametrize("name", ["locked.png", "locked.mp4"])
def test_a_file_that_may_not_be_read(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"secret")
    (tmp_path / name).chmod(0)
    assert "permission denied" in refusal(tmp_path / name)


def test_an_unknown_kind_of_address() -> None:
    with pytest.raises(InputError, match="addresses begin with"):
        expand(["ftp://example.org/film.mp4"])


def test_nothing_reaches_the_terminal(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for path in (
        cut(write_video(tmp_path / "cut.mp4", noise(30)), 0.5),
        cut(write_video(tmp_path / "cut.ts", noise(30)), 0.5),
        tmp_path / "7",
    ):
        with pytest.raises(InputError) if path.suffix != ".ts" else closing(open_source(str(path))):
            list(open_source(str(path)))
    assert capfd.readouterr() == ("", "")


@pytest.mark.data
def test_the_crowd_clip_is_read_whole(data_folder: Path) -> None:
    frames = frames_of(data_folder / "clips" / "audience_360p.mp4")
    assert len(frames) == frame_count(str(data_folder / "clips" / "audience_360p.mp4")) == 275
    assert (frames[0].width, frames[0].height) == (640, 360)
