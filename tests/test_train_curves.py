"""The picture of a training: well-formed, and every epoch inside it."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest

from manyfaces.train.curves import HEIGHT, MARGIN, WIDTH, curves

SVG = "{http://www.w3.org/2000/svg}"


def points(log: list[dict[str, float]]) -> list[list[tuple[float, float]]]:
    lines = ElementTree.fromstring(curves(log)).findall(f"{SVG}polyline")
    return [
        [(float(x), float(y)) for x, y in (pair.split(",") for pair in line.attrib["points"].split())] for line in lines
    ]


def test_a_rising_accuracy_rises_from_corner_to_corner() -> None:
    _, accuracy = points([{"loss": 2.0 - step, "accuracy": 0.3 + step / 10} for step in range(3)])
    assert accuracy[0] == (MARGIN, HEIGHT - MARGIN)
    assert accuracy[-1] == (WIDTH - MARGIN, MARGIN)


@pytest.mark.parametrize("epochs", [1, 2, 50])
def test_a_level_course_stays_inside_the_picture(epochs: int) -> None:
    for line in points([{"loss": 1.0, "accuracy": 0.5}] * epochs):
        assert len(line) == epochs
        assert all(MARGIN <= x <= WIDTH - MARGIN and MARGIN <= y <= HEIGHT - MARGIN for x, y in line)


def test_the_extremes_are_written_beside_the_lines() -> None:
    drawn = curves([{"loss": 2.0, "accuracy": 0.25}, {"loss": 1.5, "accuracy": 0.5}])
    assert all(figure in drawn for figure in ("loss 2.000", "1.500", "accuracy 0.500", "0.250", "epochs 1 to 2"))
