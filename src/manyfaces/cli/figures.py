"""The file of figures that `--json` names: what cannot be written is refused before anything is measured, which takes
minutes; and then the file is written whole or not at all."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from manyfaces.cli.files import refuse_clashes
from manyfaces.errors import OutputError

MOST_BYTES = 2**26
"""Of a file that is looked into; figures are far smaller."""


def refuse_figures(path: Path, mark: Collection[str], inputs: Collection[Path] = ()) -> None:
    """`mark`: what an earlier run's figures hold; only those, and an empty file, are written over."""
    from manyfaces.sinks.files import refuse_device, writing

    refuse_clashes([path], inputs)
    with writing(path):
        refuse_device(path)
        if path.exists() and not _is_ours(path, mark):
            raise OutputError(f"{path}: this file holds something else than figures; choose another name")
        _try(path)


def _is_ours(path: Path, mark: Collection[str]) -> bool:
    size = path.stat().st_size
    if not 0 < size <= MOST_BYTES:
        return size == 0
    try:
        content = json.loads(path.read_bytes())
    except (ValueError, RecursionError):
        return False
    return isinstance(content, dict) and set(mark) <= content.keys()


def _try(path: Path) -> None:
    """A file is made where `write_whole` will make one, and is taken away again."""
    from manyfaces.sinks.files import partial

    beside = partial(path)
    beside.touch()
    beside.unlink()


def write_figures(path: Path, figures: Mapping[str, Any]) -> None:
    """A file name that is no text has bytes in it that UTF-8 cannot take; JSON has an escape for them."""
    from manyfaces.sinks.files import write_whole

    text = json.dumps(figures, indent=2, ensure_ascii=False) + "\n"
    write_whole(path, text.encode("utf-8", "backslashreplace"))
