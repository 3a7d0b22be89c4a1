"""The course of a training as one picture: SVG, so it needs no plotting library and opens in any browser."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, MARGIN = 640, 320, 48
COLOURS = {"loss": "#b5651d", "accuracy": "#1d6fb5"}


def curves(log: Sequence[Mapping[str, float]]) -> str:
    """The training loss and the accuracy on PublicTest over the epochs, each on its own scale."""
    lines = [_curve(name, [row[name] for row in log]) for name in COLOURS]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
            'font-size="12">',
            f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
            *lines,
            f'<text x="{WIDTH / 2}" y="{HEIGHT - 10}" text-anchor="middle">epochs 1 to {len(log)}</text>',
            "</svg>\n",
        ]
    )


def _curve(name: str, values: Sequence[float]) -> str:
    """One line, with its lowest and highest value written at its own side of the picture."""
    low, high = min(values), max(values)
    points = " ".join(f"{_x(place, len(values)):.1f},{_y(value, low, high):.1f}" for place, value in enumerate(values))
    side = ('x="4"', "start") if name == "loss" else (f'x="{WIDTH - 4}"', "end")
    label = f'<text {side[0]} y="{{}}" text-anchor="{side[1]}" fill="{COLOURS[name]}">{{}}</text>'
    return "\n".join(
        [
            f'<polyline points="{points}" fill="none" stroke="{COLOURS[name]}" stroke-width="2"/>',
            label.format(MARGIN - 16, f"{name} {high:.3f}"),
            label.format(HEIGHT - MARGIN + 16, f"{low:.3f}"),
        ]
    )


def _x(place: int, count: int) -> float:
    return MARGIN + place / max(count - 1, 1) * (WIDTH - 2 * MARGIN)


def _y(value: float, low: float, high: float) -> float:
    return HEIGHT - MARGIN - (value - low) / ((high - low) or 1.0) * (HEIGHT - 2 * MARGIN)
