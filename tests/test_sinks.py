"""Every sink holds a valid file at any time: after its last row, after an error, on a full disk, after a kill."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from types import TracebackType

import av
import cv2
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from manyfaces.errors import MissingExtra, OutputError, UsageError
from manyfaces.rows import as_json, from_json
from manyfaces.sinks import AnnotatedFolder, AnnotatedVideo, JsonLinesStream, Report, Tee, open_annotated, open_table
from manyfaces.sinks.pictures import MOST_FILMS, file_names
from manyfaces.sinks.tables import columns
from manyfaces.sinks.video import fit, video_size
from manyfaces.stages import Sink
from manyfaces.types import Face, Frame, FrameResult, Unreadable

LABELS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")
TABLES = (".jsonl", ".csv", ".parquet")
SHARES = dict(zip(LABELS, (0.0, 0.0, 0.0, 0.9, 0.05, 0.05, 0.0), strict=True))


def face(track: int = 3, name: str | None = "Lan") -> Face:
    points = ((10.0, 11.0), (20.0, 11.0), (15.0, 16.0), (11.0, 22.0), (19.0, 22.0))
    return Face(track, (5.0, 5.0, 25.0, 30.0), 0.93, points, "happy", SHARES, 0.9, name, 0.97, 0.61)


def seen(
    index: int = 0,
    faces: int = 1,
    stream: str = "clip.mp4",
    size: tuple[int, int] = (64, 48),
    seconds: float | None = None,
) -> tuple[Frame, FrameResult]:
    width, height = size
    at = index / 25 if seconds is None else seconds
    picture = np.full((height, width, 3), (index * 10) % 250, np.uint8)
    found = tuple(face(track) for track in range(faces))
    return Frame(picture, index, at, stream), FrameResult(stream, index, at, width, height, found)


def unreadable(index: int = 1, stream: str = "clip.mp4") -> tuple[Unreadable, FrameResult]:
    reason = "the packet is cut"
    return Unreadable(stream, index, 0.04, reason), FrameResult(stream, index, 0.04, 0, 0, (), reason)


def feed(
    sink: Sink, frames: Iterable[tuple[Frame | Unreadable, FrameResult]], then: type[BaseException] | None = None
) -> None:
    """Hand the frames to the sink, and break off with an error where one is named."""
    with sink as entered:
        for frame in frames:
            entered.write(*frame)
        if then is not None:
            raise then


def fill(sink: Sink, frames: int = 5) -> None:
    feed(sink, map(seen, range(frames)))


def parquet_rows(path: Path) -> list[dict[str, object]]:
    parquet = pytest.importorskip("pyarrow.parquet")
    rows: list[dict[str, object]] = parquet.read_table(path).to_pylist()
    return rows


def count_rows(path: Path) -> int:
    """How many faces, or for JSON frames, a file of any kind holds; raises where it is not whole."""
    if path.suffix == ".parquet":
        return len(parquet_rows(path))
    if path.suffix == ".csv":
        return len(list(csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))))
    return len([from_json(json.loads(line)) for line in path.read_text(encoding="utf-8").splitlines()])


# Tables


def test_json_lines_have_one_row_per_frame_and_are_there_at_once(tmp_path: Path) -> None:
    path = tmp_path / "out.jsonl"
    with open_table(path) as sink:
        for given_frame in (seen(0), seen(1, faces=0), unreadable(2)):
            sink.write(*given_frame)
            assert json.loads(path.read_text(encoding="utf-8").splitlines()[-1]) == as_json(given_frame[1])
    assert count_rows(path) == 3


@pytest.mark.parametrize("ending", [".csv", ".parquet"])
def test_tables_have_one_row_per_face_and_one_per_failure(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    with open_table(path) as sink:
        for given_frame in (seen(0, faces=2), seen(1, faces=0), unreadable(2)):
            sink.write(*given_frame)
    assert count_rows(path) == 3


def test_csv_says_what_json_says(tmp_path: Path) -> None:
    path = tmp_path / "out.csv"
    fill(open_table(path), frames=1)
    (row,) = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8")))
    assert tuple(row) == columns(LABELS)
    told = {
        name: row[name] for name in ("stream", "track", "x1", "emotion", "emotion_happy", "identity", "nose_y", "error")
    }
    assert told == {
        "stream": "clip.mp4",
        "track": "0",
        "x1": "5.0",
        "emotion": "happy",
        "emotion_happy": "0.9",
        "identity": "Lan",
        "nose_y": "16.0",
        "error": "",
    }


def test_parquet_has_numbers_text_and_nulls(tmp_path: Path) -> None:
    path = tmp_path / "out.parquet"
    with open_table(path) as sink:
        sink.write(*seen(0))
        sink.write(*unreadable(1))
    first, second = parquet_rows(path)
    assert (first["track"], first["x2"], first["identity"], first["error"]) == (0, 25.0, "Lan", None)
    assert (second["track"], second["x2"], second["error"]) == (None, None, "the packet is cut")


@pytest.mark.parametrize("ending", TABLES)
def test_a_table_of_nothing_is_a_valid_table(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    fill(open_table(path), frames=0)
    assert count_rows(path) == 0


def test_the_columns_belong_to_the_models_labels_and_not_to_what_is_found(tmp_path: Path) -> None:
    with open_table(tmp_path / "a.csv", ("calm", "loud")) as sink:
        sink.write(*seen(0))
    heading = (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
    assert [name for name in heading if name.startswith("emotion_")] == [
        "emotion_confidence",
        "emotion_calm",
        "emotion_loud",
    ]


@pytest.mark.parametrize("ending", TABLES)
@pytest.mark.parametrize("name", ["Nguyễn", 'a,"b"\n;c', "陈伟 😀", "bad \udcff bytes"])
def test_names_of_all_kinds_survive(tmp_path: Path, ending: str, name: str) -> None:
    path = tmp_path / f"out{ending}"
    with open_table(path) as sink:
        sink.write(seen(0, stream=name)[0], FrameResult(name, 0, 0.0, 64, 48, (face(1, name),)))
    assert count_rows(path) == 1
    shown = path.read_bytes()
    assert b"\xff" not in shown or ending == ".parquet"
    if ending == ".parquet":
        assert parquet_rows(path)[0]["identity"] == name.encode("utf-8", "backslashreplace").decode()
    elif ending == ".jsonl":
        assert json.loads(shown)["faces"][0]["identity"] == name


@pytest.mark.parametrize("ending", TABLES)
def test_what_was_written_before_an_error_stays(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    with pytest.raises(RuntimeError):
        feed(open_table(path), [seen(0)], RuntimeError)
    assert count_rows(path) == 1
    assert [entry.name for entry in tmp_path.iterdir()] == [path.name]


def test_parquet_is_written_in_groups(tmp_path: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    with open_table(tmp_path / "a.parquet") as sink:
        for index in range(3):
            sink.write(*seen(index, faces=4100))
    assert parquet.ParquetFile(tmp_path / "a.parquet").num_row_groups == 2
    assert len(parquet_rows(tmp_path / "a.parquet")) == 12300


def test_parquet_without_its_extra_names_the_extra(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(MissingExtra, match=r"\.\[parquet\]"):
        open_table(tmp_path / "a.parquet").__enter__()
    assert list(tmp_path.iterdir()) == []


def test_a_stream_gets_its_lines_and_stays_open() -> None:
    stream = io.BytesIO()
    fill(JsonLinesStream(stream), frames=2)
    assert [json.loads(line)["index"] for line in stream.getvalue().splitlines()] == [0, 1]


def test_a_reader_that_goes_away_is_an_output_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb", buffering=0) as pipe, pytest.raises(OutputError, match="gone away"):
        fill(JsonLinesStream(pipe))


# Where nothing can be written

FILES = (".jsonl", ".csv", ".parquet", ".png", ".mp4", ".html")


def open_any(path: Path) -> Sink:
    if path.suffix == ".html":
        return Report(path, {})
    return open_table(path) if path.suffix in TABLES else open_annotated(path)


@pytest.mark.parametrize("ending", FILES)
def test_a_missing_folder_is_named_before_the_first_frame(tmp_path: Path, ending: str) -> None:
    with pytest.raises(OutputError, match=r"there is no folder .*nowhere; create it first"):
        open_any(tmp_path / "nowhere" / f"out{ending}").__enter__()


@pytest.mark.parametrize("ending", FILES)
def test_a_folder_where_a_file_is_meant_is_refused(tmp_path: Path, ending: str) -> None:
    folder = tmp_path / f"out{ending}"
    folder.mkdir()
    sink = AnnotatedVideo(folder) if ending == ".mp4" else open_any(folder)
    if isinstance(sink, AnnotatedFolder):
        pytest.skip("a folder is what annotated pictures go into")
    with pytest.raises(OutputError, match="that is a folder"):
        sink.__enter__()
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("ending", FILES)
def test_a_file_where_a_folder_is_meant_is_refused(tmp_path: Path, ending: str) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(OutputError):
        fill(open_any(tmp_path / "file" / f"out{ending}"), frames=1)


@pytest.mark.parametrize("name", ["out.xlsx", "out", "out.json"])
def test_an_unknown_table_lists_the_known_ones(tmp_path: Path, name: str) -> None:
    with pytest.raises(UsageError, match=r"\.jsonl, \.csv or \.parquet"):
        open_table(tmp_path / name)


def test_an_unknown_picture_lists_the_known_ones(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"\.jpg .*\.mp4"):
        open_annotated(tmp_path / "out.txt")


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
def test_a_device_without_space_says_so(tmp_path: Path, ending: str) -> None:
    if not Path("/dev/full").exists():
        pytest.skip("this system has no /dev/full")
    path = tmp_path / f"out{ending}"
    path.symlink_to("/dev/full")
    with pytest.raises(OutputError, match="the disk is full"):
        fill(open_table(path))


def test_an_unwritable_folder_is_refused(tmp_path: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may write everywhere")
    tmp_path.chmod(0o500)
    with pytest.raises(OutputError, match="you may not write there"):
        open_table(tmp_path / "a.jsonl").__enter__()


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 12 MiB, all its own; only root may mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)]
    try:
        subprocess.run(mount, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small disk can only be mounted by root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


def leave_free(folder: Path, size: int) -> None:
    """Fill the disk but for so many bytes."""
    free = os.statvfs(folder)
    (folder / "ballast").write_bytes(bytes(free.f_bavail * free.f_frsize - size))


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
def test_a_full_disk_leaves_whole_rows(small_disk: Path, ending: str) -> None:
    path = small_disk / f"out{ending}"
    leave_free(small_disk, 64 << 10)
    with pytest.raises(OutputError, match="the disk is full"):
        fill(open_table(path), frames=5000)
    assert 10 < count_rows(path) < 5000


def test_a_full_disk_leaves_a_readable_parquet_file(small_disk: Path) -> None:
    path = small_disk / "out.parquet"
    noise = np.random.default_rng(0)
    written = []

    def crowd(index: int) -> tuple[Frame, FrameResult]:
        faces = tuple(face(int(noise.integers(2**60)), str(noise.bytes(60))) for _ in range(1000))
        written.extend(faces)
        return seen(index)[0], FrameResult("clip.mp4", index, 0.0, 64, 48, faces)

    with pytest.raises(OutputError, match="the disk is full"):
        feed(open_table(path), map(crowd, range(400)))
    assert 0.9 * len(written) < count_rows(path) <= len(written)
    assert [entry.name for entry in small_disk.iterdir()] == [path.name]


def test_a_disk_without_room_for_the_reserve_is_known_at_once(small_disk: Path) -> None:
    leave_free(small_disk, 4 << 20)
    with pytest.raises(OutputError, match="the disk is full"):
        open_table(small_disk / "out.parquet").__enter__()
    assert [entry.name for entry in small_disk.iterdir()] == ["ballast"]


def test_a_full_disk_keeps_the_old_picture(small_disk: Path) -> None:
    path = small_disk / "a.png"
    path.write_bytes(b"old")
    leave_free(small_disk, 4096)
    noise = np.random.default_rng(0).integers(0, 255, (300, 300, 3)).astype(np.uint8)
    with pytest.raises(OutputError, match="the disk is full"), open_annotated(path) as sink:
        sink.write(Frame(noise, 0, 0.0, "a.jpg"), FrameResult("a.jpg", 0, 0.0, 300, 300, ()))
    assert path.read_bytes() == b"old"
    assert not list(small_disk.glob(".*"))


def noisy(index: int, stream: str = "clip.mp4") -> tuple[Frame, FrameResult]:
    picture = np.random.default_rng(index).integers(0, 255, (96, 128, 3)).astype(np.uint8)
    return Frame(picture, index, index / 25, stream), FrameResult(stream, index, index / 25, 128, 96, ())


def test_a_full_disk_leaves_a_playable_video(small_disk: Path) -> None:
    path = small_disk / "out.mp4"
    leave_free(small_disk, 2 << 20)
    with pytest.raises(OutputError, match="the disk is full"):
        feed(open_annotated(path), map(noisy, range(2000)))
    assert len(times(path)) > 40


# Kills, in a process of their own

KILLED = """
import resource, sys
sys.path.insert(0, {tests!r})
from test_sinks import *
limit = {limit}
if limit:
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
sink = open_any(Path({path!r}))
try:
    with sink as entered:
        for index in range({frames}):
            entered.write(*noisy(index) if {noise} else seen(index))
        if not limit:
            os.kill(os.getpid(), signal.SIGKILL)
except OutputError as error:
    sys.exit("OutputError: " + str(error))
"""


def run_apart(path: Path, frames: int, limit: int = 0, noise: bool = False) -> subprocess.CompletedProcess[str]:
    script = KILLED.format(tests=str(Path(__file__).parent), path=str(path), frames=frames, limit=limit, noise=noise)
    return subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, env=_environment())


def _environment() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry)}


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
def test_a_killed_process_leaves_every_row_it_wrote(tmp_path: Path, ending: str) -> None:
    done = run_apart(tmp_path / f"out{ending}", 20)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert count_rows(tmp_path / f"out{ending}") == 20


def test_a_killed_process_leaves_a_video_up_to_the_last_fragments(tmp_path: Path) -> None:
    done = run_apart(tmp_path / "out.mp4", 200, noise=True)
    assert done.returncode == -signal.SIGKILL, done.stderr
    assert len(times(tmp_path / "out.mp4", broken=True)) >= 80


@pytest.mark.parametrize("ending", [".jsonl", ".csv"])
def test_a_limit_in_the_middle_of_a_row_leaves_whole_rows(tmp_path: Path, ending: str) -> None:
    done = run_apart(tmp_path / f"out{ending}", 100, limit=10_001)
    assert "OutputError" in done.stderr
    assert "may not grow further" in done.stderr
    assert 5 < count_rows(tmp_path / f"out{ending}") < 100


# Annotated pictures


def read(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path))
    assert picture is not None
    return np.asarray(picture)


@pytest.mark.parametrize("ending", [".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".JPG"])
def test_one_picture_in_every_format(tmp_path: Path, ending: str) -> None:
    with open_annotated(tmp_path / f"out{ending}") as sink:
        sink.write(*seen(0, size=(65, 47)))
    picture = read(tmp_path / f"out{ending}")
    assert picture.shape == (47, 65, 3)
    assert (picture[4] != 0).any(), "the box is there"
    assert len(list(tmp_path.iterdir())) == 1


def test_colours_are_not_swapped(tmp_path: Path) -> None:
    red = np.zeros((20, 20, 3), np.uint8)
    red[..., 0] = 255
    with open_annotated(tmp_path / "a.png") as sink:
        sink.write(Frame(red, 0, 0.0, "r"), FrameResult("r", 0, 0.0, 20, 20, ()))
    assert read(tmp_path / "a.png")[0, 0].tolist() == [0, 0, 255]


def test_a_second_picture_does_not_replace_the_first(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name a folder"):
        feed(open_annotated(tmp_path / "out.png"), [seen(0, stream="a.jpg"), seen(20, stream="b.jpg")])
    feed(open_annotated(tmp_path / "first.png"), [seen(0, stream="a.jpg")])
    assert (tmp_path / "out.png").read_bytes() == (tmp_path / "first.png").read_bytes()


@pytest.mark.parametrize("name", ["a.png", "a.mp4"])
def test_the_input_is_never_written_over(tmp_path: Path, name: str) -> None:
    original = tmp_path / name
    original.write_bytes(b"precious")
    with pytest.raises(OutputError, match="this is the input itself"), open_annotated(original) as sink:
        sink.write(*seen(0, stream=str(original)))
    assert original.read_bytes() == b"precious"


def test_a_folder_over_its_own_inputs_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"precious")
    with pytest.raises(OutputError, match="this is the input itself"), open_annotated(tmp_path) as sink:
        sink.write(*seen(0, stream=str(tmp_path / "a.png")))
    assert (tmp_path / "a.png").read_bytes() == b"precious"


def test_a_folder_gives_every_input_a_name_of_its_own(tmp_path: Path) -> None:
    streams = [
        "x/a.jpg",
        "x/a.png",
        "y/a.jpg",
        "z/y/a.jpg",
        "A.JPG",
        "clip.mp4",
        "clip.avi",
        "camera 0",
        "rtsp://h:5/s?q=1",
    ]
    folder = tmp_path / "out"
    with open_annotated(folder) as sink:
        for stream in streams:
            sink.write(*seen(0, stream=stream))
            sink.write(*unreadable(1, stream=stream))
    names = sorted(entry.name for entry in folder.iterdir())
    assert len(names) == len(streams)
    assert {"a.jpg", "a.png", "y-a.jpg", "y-a-2.jpg", "clip.mp4", "camera 0.mp4"} <= set(names)
    assert all(entry.stat().st_size > 100 for entry in folder.iterdir())


def test_a_video_in_a_folder_is_one_film(tmp_path: Path) -> None:
    with open_annotated(tmp_path / "out") as sink:
        for index in range(4):
            sink.write(*seen(index, stream="some/party.mkv"))
    assert len(times(tmp_path / "out" / "party.mp4")) == 4


@given(st.text(max_size=40))
def test_no_stream_name_leads_out_of_the_folder(stream: str) -> None:
    names = file_names(stream, ".jpg")
    first = [next(names) for _ in range(4)]
    assert len(set(first)) == 4 or len({name.casefold() for name in first}) >= 3
    for name in first:
        assert Path(name).name == name
        assert not name.startswith(".")
        assert len(name.encode("utf-8", "surrogatepass")) < 700


# Annotated videos


def times(path: Path, broken: bool = False) -> list[float]:
    """The times of all frames that can be decoded."""
    seconds: list[float] = []
    with av.open(str(path)) as container:
        try:
            for frame in container.decode(video=0):
                assert frame.time is not None
                seconds.append(frame.time)
        except av.error.InvalidDataError:
            assert broken, "the file is not whole"
    return seconds


def write_video(path: Path, frames: list[tuple[Frame, FrameResult]]) -> None:
    feed(open_annotated(path), frames)


def test_a_video_is_h264_for_every_player(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [seen(index) for index in range(10)])
    with av.open(str(tmp_path / "a.mp4")) as container:
        video = container.streams.video[0]
        assert (video.codec_context.name, video.codec_context.pix_fmt) == ("h264", "yuv420p")
        assert video.frames == 10
        assert container.duration is not None
        assert abs(container.duration / av.time_base - 0.4) < 0.05


def test_the_true_times_are_kept(tmp_path: Path) -> None:
    wanted = [0.0, 0.04, 0.5, 0.51, 3.0, 3.3333]
    write_video(tmp_path / "a.mp4", [seen(index, seconds=at) for index, at in enumerate(wanted)])
    assert times(tmp_path / "a.mp4") == pytest.approx(wanted, abs=1e-4)


def test_an_unreadable_frame_leaves_its_time_empty(tmp_path: Path) -> None:
    with open_annotated(tmp_path / "a.mp4") as sink:
        sink.write(*seen(0))
        sink.write(*unreadable(1))
        sink.write(*seen(2))
    assert times(tmp_path / "a.mp4") == pytest.approx([0.0, 0.08])


def test_time_that_stands_still_or_jumps_back_goes_on(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [seen(i, seconds=at) for i, at in enumerate([5.0, 5.1, 5.1, 0.0, 0.1])])
    found = times(tmp_path / "a.mp4")
    assert len(found) == 5
    assert all(later > earlier for earlier, later in pairwise(found))


def test_pictures_one_after_another_are_a_slide_show(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [seen(0, stream=name) for name in ("a.jpg", "b.jpg", "c.jpg")])
    assert times(tmp_path / "a.mp4") == pytest.approx([0.0, 2.0, 4.0])


@pytest.mark.parametrize("size", [(65, 47), (64, 47), (1, 1), (3, 90)])
def test_odd_sizes_become_even_and_lose_nothing(tmp_path: Path, size: tuple[int, int]) -> None:
    write_video(tmp_path / "a.mp4", [seen(0, size=size)])
    with av.open(str(tmp_path / "a.mp4")) as container:
        frame = next(container.decode(video=0))
    assert (frame.width, frame.height) == (size[0] + size[0] % 2, size[1] + size[1] % 2)


def test_another_size_in_mid_stream_is_fitted_between_bars(tmp_path: Path) -> None:
    tall = np.full((96, 48, 3), 200, np.uint8)
    with open_annotated(tmp_path / "a.mp4") as sink:
        sink.write(*seen(0, faces=0))
        sink.write(Frame(tall, 1, 0.04, "clip.mp4"), FrameResult("clip.mp4", 1, 0.04, 48, 96, ()))
    with av.open(str(tmp_path / "a.mp4")) as container:
        _, second = (frame.to_ndarray(format="rgb24") for frame in container.decode(video=0))
    assert second.shape == (48, 64, 3)
    assert second[24, 32].mean() > 180
    assert second[24, 2].mean() < 20


@given(st.integers(1, 9000), st.integers(1, 9000))
def test_the_size_of_a_video_is_one_that_players_take(width: int, height: int) -> None:
    wide, high = video_size(width, height)
    assert wide % 2 == high % 2 == 0
    assert 2 <= min(wide, high) <= max(wide, high) <= 4096


@given(st.integers(1, 70), st.integers(1, 70), st.integers(1, 20), st.integers(1, 20))
def test_every_picture_fits_every_video(width: int, height: int, half_wide: int, half_high: int) -> None:
    fitted = fit(np.full((height, width, 3), 9, np.uint8), 2 * half_wide, 2 * half_high)
    assert fitted.shape == (2 * half_high, 2 * half_wide, 3)
    assert (fitted == 9).any()


def test_a_video_broken_off_is_whole_up_to_there(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        feed(open_annotated(tmp_path / "a.mp4"), map(seen, range(7)), KeyboardInterrupt)
    assert len(times(tmp_path / "a.mp4")) == 7


def test_a_video_without_frames_leaves_no_file(tmp_path: Path) -> None:
    with open_annotated(tmp_path / "a.mp4") as sink:
        sink.write(*unreadable(0))
    assert list(tmp_path.iterdir()) == []


def test_the_film_shows_what_was_drawn(tmp_path: Path) -> None:
    write_video(tmp_path / "a.mp4", [seen(index, size=(320, 240)) for index in range(3)])
    with av.open(str(tmp_path / "a.mp4")) as container:
        picture = next(container.decode(video=0)).to_ndarray(format="rgb24").astype(int)
    yellow = (picture[..., 0] > 180) & (picture[..., 1] > 170) & (picture[..., 2] < 130)
    assert yellow.sum() > 100


# Several streams at once


def mixed(streams: Sequence[str], length: int) -> list[tuple[Frame, FrameResult]]:
    """The streams' frames as an engine gives them: by turns."""
    return [seen(index, stream=stream) for index in range(length) for stream in streams]


@pytest.mark.parametrize("ending", TABLES)
def test_a_table_takes_mixed_streams(tmp_path: Path, ending: str) -> None:
    path = tmp_path / f"out{ending}"
    feed(open_table(path), [*mixed(["0", "rtsp://door"], 4), unreadable(4, "0")])
    assert count_rows(path) == 9


def test_every_stream_has_a_film_of_its_own(tmp_path: Path) -> None:
    feed(open_annotated(tmp_path / "out"), [*mixed(["0", "1", "rtsp://h/door"], 5), *mixed(["1"], 3)])
    assert {entry.name: len(times(entry)) for entry in (tmp_path / "out").iterdir()} == {
        "0.mp4": 5,
        "1.mp4": 8,
        "door.mp4": 5,
    }


def test_the_films_of_streams_are_whole_when_one_breaks_off(tmp_path: Path) -> None:
    with pytest.raises(RuntimeError):
        feed(open_annotated(tmp_path / "out"), mixed(["0", "1"], 3), RuntimeError)
    assert [len(times(entry)) for entry in (tmp_path / "out").iterdir()] == [3, 3]


def test_the_film_of_a_file_is_finished_when_the_next_file_begins(tmp_path: Path) -> None:
    """Beside a camera; a folder of films does not keep an encoder open for each."""
    first, second = (str(tmp_path / name) for name in ("a.avi", "b.avi"))
    for name in (first, second):
        Path(name).write_bytes(b"film")
    with open_annotated(tmp_path / "out") as sink:
        for one in mixed([first, "0"], 4):
            sink.write(*one)
        sink.write(*seen(0, stream=second))
        assert len(times(tmp_path / "out" / "a.mp4")) == 4
        sink.write(*seen(4, stream="0"))
        sink.write(*seen(0, stream=first))
    lengths = {entry.name: len(times(entry)) for entry in (tmp_path / "out").iterdir()}
    assert {name: lengths[name] for name in ("0.mp4", "a.mp4", "b.mp4")} == {"0.mp4": 5, "a.mp4": 4, "b.mp4": 1}
    assert len(lengths) == 4, "a film that comes again is another film"


def test_of_very_many_streams_the_silent_ones_are_finished(tmp_path: Path) -> None:
    feed(open_annotated(tmp_path / "out"), [seen(0, stream=f"http://h/{number}") for number in range(MOST_FILMS + 5)])
    assert len(list((tmp_path / "out").iterdir())) == MOST_FILMS + 5


def test_too_many_streams_at_once_are_refused_and_what_was_drawn_is_whole(tmp_path: Path) -> None:
    streams = [f"http://h/{number}" for number in range(MOST_FILMS + 1)]
    with pytest.raises(UsageError, match="streams at once cannot be drawn"):
        feed(open_annotated(tmp_path / "out"), mixed(streams, 2))
    assert all(len(times(entry)) == 1 for entry in (tmp_path / "out").iterdir())


def test_one_film_of_several_streams_at_once_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="name a folder"):
        feed(open_annotated(tmp_path / "a.mp4"), mixed(["0", "1"], 2))
    assert len(times(tmp_path / "a.mp4")) == 2


def test_one_film_takes_a_stream_that_begins_anew(tmp_path: Path) -> None:
    frames = [seen(index, stream=stream) for stream in ("a.avi", "b.avi", "a.avi") for index in range(3)]
    feed(open_annotated(tmp_path / "a.mp4"), frames)
    assert len(times(tmp_path / "a.mp4")) == 9


# Several sinks at once


class Failing:
    """A sink that fails where it is told to."""

    def __init__(self, where: str) -> None:
        self.where = where
        self.calls: list[str] = []

    def _do(self, what: str) -> None:
        self.calls.append(what)
        if what == self.where:
            raise OutputError(f"{what} failed")

    def __enter__(self) -> Failing:
        self._do("enter")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None, /
    ) -> None:
        self._do("exit")

    def write(self, _frame: Frame | Unreadable, _result: FrameResult, /) -> None:
        self._do("write")


def test_a_tee_writes_to_all(tmp_path: Path) -> None:
    paths = [tmp_path / f"out{ending}" for ending in TABLES]
    fill(Tee([open_table(path) for path in paths]))
    assert [count_rows(path) for path in paths] == [5, 5, 5]


def test_one_failing_sink_costs_the_others_nothing(tmp_path: Path) -> None:
    bad, path = Failing("write"), tmp_path / "a.jsonl"
    with Tee([bad, open_table(path)]) as tee:
        with pytest.raises(OutputError, match="write failed"):
            tee.write(*seen(0))
        tee.write(*seen(1))
    assert count_rows(path) == 2
    assert bad.calls == ["enter", "write", "exit"]


def test_a_sink_that_cannot_be_entered_closes_those_before_it() -> None:
    first, second, third = Failing(""), Failing("enter"), Failing("")
    with pytest.raises(OutputError, match="enter failed"):
        Tee([first, second, third]).__enter__()
    assert (first.calls, third.calls) == (["enter", "exit"], [])


def test_all_are_closed_and_one_error_is_raised() -> None:
    sinks = [Failing("exit"), Failing(""), Failing("exit")]
    with pytest.raises(OutputError, match="exit failed"):
        fill(Tee(sinks), frames=1)
    assert all(sink.calls == ["enter", "write", "exit"] for sink in sinks)


def test_an_error_on_its_way_is_not_replaced_by_one_of_closing() -> None:
    with pytest.raises(KeyError), Tee([Failing("exit")]):
        raise KeyError
