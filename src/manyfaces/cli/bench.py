"""`manyfaces bench`: how fast it is on this machine, and how near to what is possible."""

from __future__ import annotations

import json
import re
import shlex
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from manyfaces.cli.files import refuse_clashes
from manyfaces.cli.options import with_options
from manyfaces.cli.progress import Steps
from manyfaces.errors import OutputError, UsageError
from manyfaces.options import Options

if TYPE_CHECKING:
    from collections.abc import Iterator

    from manyfaces.bench.row import Task

MOST_FACES = 2000


@with_options
def bench(
    options: Options,
    faces: Annotated[str, typer.Option(help="How many faces each drawn clip shows.")] = "1,4,16,36,64,100",
    clip: Annotated[list[Path] | None, typer.Option(help="A video of yours in their place; may repeat.")] = None,
    size: Annotated[str, typer.Option(help="Of drawn clips: 1280x720, 1920x1080; auto: the larger above 16.")] = "auto",
    modes: Annotated[str, typer.Option(help="budget, every-face, or both.")] = "budget,every-face",
    seconds: Annotated[float, typer.Option(help="Measure each clip for so long, in whole passes.")] = 10.0,
    json_file: Annotated[Path | None, typer.Option("--json", help="Write the same figures to this file.")] = None,
) -> None:
    """Frames a second, and how old results are, for more and more faces; every-face also against its floor."""
    from manyfaces.bench.alone import measured_alone, startup_seconds
    from manyfaces.bench.drawn import SMALL, draw_clip
    from manyfaces.bench.machine import circumstances

    if options.every_face:
        raise UsageError("--every-face: bench measures it beside the budget; choose with --modes")
    counts, wanted = _numbers(faces), _sizes(size)
    clips = [(path, None) for path in clip] if clip else []
    _refuse(json_file, [path for path, _ in clips])
    with tempfile.TemporaryDirectory() as folder:
        drawn = [] if clips else [(Path(folder) / f"drawn-{count}.mp4", count) for count in counts]
        tasks = list(_tasks([*clips, *drawn], modes, seconds, options))
        _draw(drawn, wanted)
        figures: dict[str, Any] = {**circumstances(shlex.join(["manyfaces", *sys.argv[1:]])), "rows": []}
        with Steps("measurements", len(tasks)) as steps:
            for task in tasks:
                figures["rows"].append(measured_alone(task))
                _write(json_file, figures)
                steps.advance()
        portrait = Path(folder) / "portrait.mp4"
        draw_clip(portrait, 1, SMALL, frames=1)
        figures["startup_s"] = startup_seconds(portrait)
    _write(json_file, figures)
    _show(figures)


# --- what was asked for ----------------------------------------------------------------------------------------------


def _numbers(text: str) -> list[int]:
    words = [word.strip() for word in text.split(",")]
    if not all(word.isdecimal() and 0 < int(word) <= MOST_FACES for word in words):
        raise UsageError(f"--faces {text!r}: expected numbers from 1 to {MOST_FACES} with commas between, such as 1,16")
    return [int(word) for word in words]


def _sizes(text: str) -> tuple[int, int] | None:
    """None where each clip has the size that is usual for its faces."""
    if text == "auto":
        return None
    match = re.fullmatch(r"([1-9]\d{1,3})x([1-9]\d{1,3})", text)
    if not match or int(match[1]) % 2 or int(match[2]) % 2:
        raise UsageError(f"--size {text!r}: expected auto, or even numbers such as 1280x720")
    return int(match[1]), int(match[2])


def _tasks(clips: list[tuple[Path, int | None]], modes: str, seconds: float, options: Options) -> Iterator[Task]:
    """A clip's modes one after the other, so that what is compared lies close together in time."""
    from manyfaces.bench.row import Task

    for path, faces in clips:
        for mode in modes.split(","):
            yield Task(path, mode.strip(), seconds, options, faces)


def _refuse(json_file: Path | None, clips: list[Path]) -> None:
    """What cannot be measured or written is said before anything is, since all of it takes minutes."""
    from manyfaces.bench.streams import Clip

    if json_file:
        refuse_clashes([json_file], clips)
        if json_file.exists() and not _is_ours(json_file):
            raise OutputError(f"{json_file}: this file holds something else than figures; choose another name")
    for clip in clips:
        Clip.of(clip)


def _is_ours(path: Path) -> bool:
    """Whether an earlier run wrote this file: only that is written over."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return path.is_file() and path.stat().st_size == 0
    return isinstance(content, dict) and {"machine", "rows"} <= content.keys()


def _draw(drawn: list[tuple[Path, int]], wanted: tuple[int, int] | None) -> None:
    from manyfaces.bench.drawn import draw_clip, grid, usual_size

    sizes = [wanted or usual_size(faces) for _, faces in drawn]
    for (_, faces), size in zip(drawn, sizes, strict=True):
        grid(faces, size)
    with Steps("clips drawn", len(drawn)) as steps:
        for (path, faces), size in zip(drawn, sizes, strict=True):
            draw_clip(path, faces, size)
            steps.advance()


# --- what was found --------------------------------------------------------------------------------------------------

COLUMNS = {
    "clip": "clip",
    "faces": "faces",
    "mode": "mode",
    "frames/s": "fps",
    "age p50": "p50_ms",
    "age p95": "p95_ms",
    "dropped": "dropped",
    "busy p95": "busy_p95_ms",
    "found": "faces_found",
    "wall ms": "wall_ms",
    "floor ms": "floor_ms",
    "wall/floor": "floor_ratio",
    "peak MB": "peak_rss_mb",
}


def _show(figures: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for name in COLUMNS:
        table.add_column(name, justify="left" if name in ("clip", "mode") else "right")
    for row in figures["rows"]:
        table.add_row(*(_text(row.get(key)) for key in COLUMNS.values()))
    console = Console(width=None if Console().is_terminal else 160)
    console.print(table)
    for line in _notes(figures):
        console.print(line, markup=False)


def _text(value: Any) -> str:
    if value is None:
        return "-"
    return (
        f"{value:.1f}" if isinstance(value, float) and value >= 10 else f"{value:g}" if value != str(value) else value
    )


def _notes(figures: dict[str, Any]) -> list[str]:
    machine, versions = figures["machine"], figures["versions"]
    return [
        "frames/s, wall: as fast as it goes, decoding included, in whole passes after a first that is not counted.",
        "age: milliseconds from a camera of 25 frames a second to the result, decoding included; dropped: its frames.",
        "busy: the same from decoding on, as fast as it goes. floor: decoding, detection and heads alone, by cores.",
        f"start to the first result of one picture: {figures['startup_s']:.2f} s",
        f"{machine['processor']}, {machine['cores']} cores, {machine['memory_gb']} GB; Python {versions['python']}, "
        f"OpenVINO {versions['openvino']}; kernels {figures['kernels']}; commit {figures['commit']}, {figures['date']}",
    ]


def _write(json_file: Path | None, figures: dict[str, Any]) -> None:
    if json_file:
        try:
            json_file.write_text(json.dumps(figures, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        except OSError as error:
            raise OutputError(f"{json_file}: cannot write ({error.strerror}); choose another place") from None
