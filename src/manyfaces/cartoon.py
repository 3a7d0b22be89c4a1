"""Drawn people, so that the demo and the tests have faces to look at with no photograph of anybody.

A face is a relief of soft bumps (nose, cheeks, sockets, lips, chin) under a lamp, painted with eyes, brows, mouth and
hair. The relief is what makes detection networks take it for a face: they look at shading more than at lines. Each seed
is a person of its own; the same seed looks the same in every expression and size.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import numpy.typing as npt

from manyfaces.types import Floats, Frame, Pixels

EXPRESSIONS = ("angry", "disgust", "fear", "happy", "sad", "surprise", "neutral")

CAST = (149, 33, 16, 130, 12, 92, 131)
"""People whom SFace tells apart well, found by trying 150 seeds: one person's views are alike by 0.74 and more, two
people's by 0.57 and less. Drawn people are more alike than real ones, so the usual thresholds are too low."""

_SIDE = 320  # pixels of the drawing board; every wanted size is made from it
_UNIT = 82.0  # pixels of half a face's width
_CENTRE = (160.0, 153.0)

Layer = npt.NDArray[np.float32]
Point = tuple[float, float]
Colour = tuple[float, float, float]


@dataclass(frozen=True, slots=True)
class Person:
    """What stays the same in every expression. Lengths in half face widths."""

    skin: Colour
    hair: Colour
    iris: Colour
    lips: Colour
    shirt: Colour
    jaw: float
    height: float
    eye_gap: float
    eye_size: float
    eye_tilt: float
    brow_weight: float
    brow_height: float
    nose_width: float
    nose_length: float
    nose_height: float
    mouth_width: float
    lip_weight: float
    cheeks: float
    hairline: float
    hair_length: float
    parting: float
    beard: float
    moustache: float
    glasses: bool
    eye_height: float
    eye_opening: float
    bridge: float
    mouth_drop: float
    lean: float
    age: float
    freckles: float
    shade_of_lids: float


@dataclass(frozen=True, slots=True)
class Expression:
    """How a face is moved: corners and opening of the mouth, lids, brows (inner and outer end), teeth."""

    corners: float = 0.0
    opening: float = 0.0
    width: float = 1.0
    lids: float = 1.0
    inner_brow: float = 0.0
    outer_brow: float = 0.0
    teeth: bool = False
    upper_lip: float = 0.0


_MOVES = {
    "neutral": Expression(),
    "happy": Expression(corners=0.15, opening=0.15, width=1.22, lids=0.8, outer_brow=0.02, teeth=True),
    "sad": Expression(corners=-0.11, width=0.92, lids=0.78, inner_brow=0.11, outer_brow=-0.06),
    "angry": Expression(corners=-0.05, width=0.95, lids=0.85, inner_brow=-0.12, outer_brow=0.06),
    "surprise": Expression(opening=0.3, width=0.75, lids=1.35, inner_brow=0.13, outer_brow=0.13),
    "fear": Expression(corners=-0.04, opening=0.16, width=1.05, lids=1.3, inner_brow=0.15, outer_brow=0.03, teeth=True),
    "disgust": Expression(corners=-0.07, width=0.9, lids=0.65, inner_brow=-0.08, outer_brow=0.0, upper_lip=0.07),
}

_SKINS = (
    (250, 216, 192),
    (232, 186, 146),
    (208, 152, 108),
    (170, 114, 78),
    (108, 68, 48),
    (240, 200, 150),
    (82, 52, 40),
)
_HAIRS = ((38, 28, 24), (84, 54, 34), (146, 98, 52), (196, 160, 98), (120, 118, 118), (112, 46, 26), (22, 20, 24))
_DARK_HAIRS = ((38, 28, 24), (120, 118, 118), (22, 20, 24), (58, 36, 26))
_IRISES = ((70, 44, 28), (86, 112, 140), (92, 110, 66), (48, 32, 24))
_SHIRTS = ((52, 84, 130), (150, 54, 60), (70, 110, 80), (90, 80, 120), (190, 180, 160), (50, 54, 60))


def person(seed: int) -> Person:
    """The person of this number."""
    dice = np.random.default_rng(seed)
    skin = _pick(dice, _SKINS)
    lips = tuple(float(value) for value in np.multiply(skin, (0.82, 0.56, 0.56)))
    woman = bool(dice.random() < 0.5)

    def between(low: float, high: float) -> float:
        return float(dice.uniform(low, high))

    return Person(
        skin=skin,
        hair=_pick(dice, _HAIRS if sum(skin) > 480 else _DARK_HAIRS),
        iris=_pick(dice, _IRISES),
        lips=(lips[0], lips[1], lips[2]),
        shirt=_pick(dice, _SHIRTS),
        jaw=between(0.02, 0.48),
        height=between(1.14, 1.5),
        eye_gap=between(0.34, 0.5),
        eye_size=between(0.13, 0.23),
        eye_tilt=between(-0.05, 0.07),
        brow_weight=between(0.02, 0.055) if woman else between(0.05, 0.1),
        brow_height=between(0.17, 0.31),
        nose_width=between(0.11, 0.25),
        nose_length=between(0.36, 0.58),
        nose_height=between(0.16, 0.42),
        mouth_width=between(0.26, 0.46),
        lip_weight=between(0.06, 0.15) if woman else between(0.03, 0.1),
        cheeks=between(0.0, 0.17),
        hairline=between(-0.98, -0.72),
        hair_length=between(0.6, 1.7) if woman else between(-0.5, 0.0),
        parting=between(-0.6, 0.6),
        beard=0.0 if woman or dice.random() < 0.5 else between(0.3, 0.9),
        moustache=0.0 if woman or dice.random() < 0.6 else between(0.5, 0.95),
        glasses=bool(dice.random() < 0.25),
        eye_height=between(-0.2, -0.04),
        eye_opening=between(0.38, 0.68),
        bridge=between(0.3, 0.8),
        mouth_drop=between(-0.05, 0.07),
        lean=between(-0.03, 0.03),
        age=max(0.0, between(-0.6, 1.0)),
        freckles=max(0.0, between(-1.5, 1.0)),
        shade_of_lids=between(0.1, 0.9) if woman else between(0.1, 0.5),
    )


def _pick(dice: np.random.Generator, colours: Sequence[tuple[int, int, int]]) -> Colour:
    """One of the colours, a little varied."""
    varied = np.clip(np.array(colours[int(dice.integers(len(colours)))]) * dice.uniform(0.9, 1.06), 0, 255)
    return float(varied[0]), float(varied[1]), float(varied[2])


def draw_person(seed: int, expression: str, size: int) -> tuple[Pixels, Floats]:
    """Head and shoulders on a square of `size` pixels, RGB, and where the person is in it: 0 to 1, soft at the edge."""
    if expression not in _MOVES:
        raise ValueError(f"expression {expression!r}: known are {', '.join(EXPRESSIONS)}")
    painting, cover = _Board(person(seed), _MOVES[expression], seed).painted()
    how = cv2.INTER_AREA if size < _SIDE else cv2.INTER_CUBIC
    picture = np.clip(cv2.resize(painting, (size, size), interpolation=how), 0, 255).astype(np.uint8)
    return picture, np.clip(cv2.resize(cover, (size, size), interpolation=how), 0, 1).astype(np.float32)


class _Board:
    """The drawing board of one face: coordinates in half face widths from its centre, colours as floats."""

    def __init__(self, who: Person, move: Expression, seed: int) -> None:
        self._who = who
        self._move = move
        down, across = np.mgrid[0:_SIDE, 0:_SIDE].astype(np.float32)
        self._x: Layer = (across - _CENTRE[0]) / _UNIT
        self._y: Layer = (down - _CENTRE[1]) / _UNIT
        self._colour: Layer = np.empty((_SIDE, _SIDE, 3), np.float32)
        self._colour[:] = who.skin
        self._dice = np.random.default_rng([seed, 7])
        self._eye_line = who.eye_height

    def painted(self) -> tuple[Layer, Layer]:
        """From the back to the front."""
        head, light = self._head(), self._light()
        self._blush()
        self._freckles()
        self._wrinkles()
        self._beard()
        self._mouth()
        self._nostrils()
        self._eyes()
        self._brows()
        face = self._colour * light[..., None]
        canvas, cover = self._body_and_back_hair()
        canvas, cover = _lay(canvas, cover, face, head)
        canvas, cover = self._front_hair(canvas, cover)
        canvas = self._glasses(canvas)
        noise = cv2.GaussianBlur(self._dice.normal(0, 9, canvas.shape).astype(np.float32), (0, 0), 0.8)
        return canvas + noise, cover

    # The relief

    def _outline(self, grow: float = 0.0) -> Layer:
        """How far inside the head's outline each point is; the jaw is narrower than the temples."""
        tall = self._who.height + grow
        wide = (1 + grow) * (1 - self._who.jaw * np.clip(self._y / tall, 0, 1) ** 1.6)
        across: Layer = np.abs(self._x) / np.maximum(wide, 1e-3)
        return np.asarray(1 - across**2.3 - np.abs(self._y / tall) ** 2.3, np.float32)

    def _head(self) -> Layer:
        ears = np.maximum(self._bump(-1.02, 0.0, 0.1, 0.22), self._bump(1.02, 0.0, 0.1, 0.22))
        return np.maximum(_soft(self._outline() * 40), _soft((ears - 0.45) * 12))

    def _bump(self, x: float, y: float, wide: float, high: float) -> Layer:
        across = np.exp(-(((self._x[0] - x) / wide) ** 2))
        return np.asarray(np.outer(np.exp(-(((self._y[:, 0] - y) / high) ** 2)), across), np.float32)

    def _light(self) -> Layer:
        """A lamp from above and slightly left on the relief; shadows of the nose, the lips and the brows come by it."""
        height = self._relief()
        slope_y, slope_x = np.gradient(cv2.GaussianBlur(height, (0, 0), 2.0), 1 / _UNIT)
        length = np.sqrt(slope_x**2 + slope_y**2 + 1)
        lit = (0.22 * slope_x + 0.5 * slope_y + 0.84) / length
        shine = np.clip(lit, 0, 1) ** 24 * 0.12
        return np.asarray(np.clip(0.34 + 0.72 * np.clip(lit, 0, 1.2) + shine, 0.15, 1.25), np.float32)

    def _relief(self) -> Layer:
        who, tip = self._who, self._nose_tip()
        height = np.asarray(0.95 * np.sqrt(np.clip(self._outline(0.06), 0.0, 1)), np.float32)
        height += who.nose_height * self._bump(0, tip - 0.02, who.nose_width, 0.13)
        height += who.bridge * who.nose_height * self._bump(0, tip - 0.25, 0.55 * who.nose_width, 0.26)
        for side in (-1, 1):
            height += 0.1 * self._bump(side * who.nose_width * 0.9, tip + 0.02, 0.07, 0.07)
            height -= 0.13 * self._bump(side * who.eye_gap, self._eye_line - 0.02, 0.22, 0.13)
            height += 0.06 * self._bump(side * who.eye_gap, self._eye_line, 0.13, 0.09)
            height += 0.07 * self._bump(side * who.eye_gap, self._eye_line - who.brow_height, 0.26, 0.09)
            height += (0.04 + who.cheeks) * self._bump(side * 0.58, tip - 0.03, 0.28, 0.24)
            height -= 0.03 * self._bump(side * (who.nose_width + 0.16), tip + 0.2, 0.08, 0.16)
        mouth = self._mouth_line()
        height += 0.07 * self._bump(0, mouth, 0.36, 0.18)
        height -= 0.05 * self._bump(0, mouth + 0.2, 0.2, 0.06)
        height += 0.1 * self._bump(0, who.height - 0.28, 0.24, 0.16)
        return np.asarray(height, np.float32)

    def _nose_tip(self) -> float:
        return self._eye_line + self._who.nose_length

    def _mouth_line(self) -> float:
        return self._nose_tip() + 0.13 + 0.17 * self._who.height + self._who.mouth_drop

    # The paint

    def _paint(self, mask: Layer, colour: Colour | Layer) -> None:
        self._colour = _over(self._colour, np.asarray(colour, np.float32), mask)

    def _shape(self, points: Sequence[Point], blur: float = 0.8) -> Layer:
        """A filled outline, soft at its edge."""
        return np.asarray(cv2.GaussianBlur(_filled([points]), (0, 0), blur), np.float32)

    def _stroke(self, points: Sequence[Point], weight: float, blur: float = 0.7) -> Layer:
        mask = np.zeros((_SIDE, _SIDE), np.uint8)
        thickness = max(1, round(weight * _UNIT))
        cv2.polylines(mask, [_pixels(points)], False, 255, thickness, cv2.LINE_AA, _SHIFT)
        return np.asarray(cv2.GaussianBlur(mask.astype(np.float32) / 255, (0, 0), blur), np.float32)

    def _shade(self, factor: float) -> Colour:
        red, green, blue = self._who.skin
        return red * factor, green * factor * 0.94, blue * factor * 0.92

    def _blush(self) -> None:
        red, green, blue = self._who.skin
        for side in (-1, 1):
            self._paint(0.3 * self._bump(side * 0.58, self._nose_tip(), 0.28, 0.2), (red, green * 0.78, blue * 0.75))

    def _freckles(self) -> None:
        noise = cv2.GaussianBlur(self._dice.normal(0, 1, (_SIDE, _SIDE)).astype(np.float32), (0, 0), 1.3)
        spots = _soft((noise / noise.std() - 2.0) * 6) * self._bump(0, self._nose_tip() - 0.15, 0.75, 0.3)
        self._paint(np.asarray(0.8 * self._who.freckles * spots, np.float32), self._shade(0.5))

    def _wrinkles(self) -> None:
        """Lines of the forehead, and below and beside the eyes."""
        who, across = self._who, np.linspace(-1, 1, 15)
        for number in range(3):
            line = self._eye_line - who.brow_height - 0.22 - 0.11 * number - 0.03 * np.cos(2 * across)
            self._paint(
                0.5 * who.age * self._stroke([*zip(0.5 * across, line, strict=True)], 0.02, 1.6), self._shade(0.5)
            )
        for side in (-1, 1):
            x, low = side * who.eye_gap, self._eye_line + 0.14
            bag = [*zip(x + 0.2 * across, low + 0.08 * (1 - across**2), strict=True)]
            self._paint(0.6 * who.age * self._stroke(bag, 0.025, 1.8), self._shade(0.5))
            for tilt in (-0.07, 0.0, 0.07):
                crow = [(x + side * 0.26, self._eye_line + tilt * 0.6), (x + side * 0.38, self._eye_line + tilt * 1.6)]
                self._paint(0.4 * who.age * self._stroke(crow, 0.016, 1.2), self._shade(0.5))

    def _beard(self) -> None:
        mouth = self._mouth_line()
        lip = self._bump(0, mouth - 0.13, 0.34, 0.07) * _soft((self._y - self._nose_tip() - 0.1) * 30)
        self._paint(np.asarray(self._who.moustache * _soft((lip - 0.35) * 9), np.float32), self._who.hair)
        if not self._who.beard:
            return
        area = _soft((self._y - self._nose_tip() - 0.12 - 0.5 * (1 - np.abs(self._x)) * 0.2) * 14)
        area *= 1 - self._bump(0, mouth, 0.3, 0.08)
        self._paint(np.asarray(self._who.beard * area, np.float32), self._who.hair)

    def _mouth(self) -> None:
        who, move = self._who, self._move
        line, wide = self._mouth_line(), who.mouth_width * move.width
        across = np.linspace(-1, 1, 25)
        bend = line - move.corners * (across**2 - 0.35)
        arch = (1 - across**2) ** 0.7
        bow = who.lip_weight * (0.85 * arch - 0.3 * np.exp(-((across / 0.16) ** 2))) + move.upper_lip * arch
        inner_top, inner_low = bend - 0.35 * move.opening * arch, bend + 0.65 * move.opening * arch
        outer_top, outer_low = inner_top - bow, inner_low + 1.25 * who.lip_weight * arch

        def ring(top: npt.NDArray[np.float64], low: npt.NDArray[np.float64]) -> list[Point]:
            return [*zip(wide * across, top, strict=True), *zip((wide * across)[::-1], low[::-1], strict=True)]

        self._paint(0.9 * self._shape(ring(outer_top, outer_low), 1.2), who.lips)
        if move.opening:
            inside = self._shape(ring(inner_top, inner_low))
            self._paint(inside, (64, 22, 24))
            if move.teeth:
                self._paint(
                    0.95 * self._shape(ring(inner_top, inner_top + 0.62 * (inner_low - inner_top))), (236, 230, 222)
                )
        else:
            self._paint(0.85 * self._stroke([*zip(wide * across, bend, strict=True)], 0.025), self._shade(0.36))
        for side in (-1, 1):
            self._paint(0.5 * self._bump(side * wide, float(bend[0]), 0.045, 0.04), self._shade(0.4))
        self._folds(wide, float(bend[0]))

    def _folds(self, wide: float, corner: float) -> None:
        """Smiling and disgust deepen the fold from the nose to the corner of the mouth."""
        depth = 0.15 + 1.6 * max(self._move.corners, self._move.upper_lip)
        for side in (-1, 1):
            start = (side * (self._who.nose_width + 0.07), self._nose_tip())
            bow = (side * (wide + 0.12), corner - 0.14)
            self._paint(
                depth * self._stroke([start, bow, (side * (wide + 0.1), corner + 0.02)], 0.03, 2.2), self._shade(0.5)
            )

    def _nostrils(self) -> None:
        tip, wide = self._nose_tip(), self._who.nose_width
        self._paint(0.45 * self._bump(0, tip + 0.12, wide * 1.1, 0.035), self._shade(0.45))
        for side in (-1, 1):
            self._paint(
                0.9 * _soft((self._bump(side * wide * 0.5, tip + 0.085, 0.055, 0.03) - 0.4) * 8), self._shade(0.22)
            )
            self._paint(
                0.35 * self._stroke(_arc(side * wide, tip + 0.03, 0.06, 0.08, side), 0.02, 1.2), self._shade(0.4)
            )

    def _eyes(self) -> None:
        for side in (-1, 1):
            self._eye(side)

    def _eye(self, side: int) -> None:
        who = self._who
        x, size = side * who.eye_gap, who.eye_size
        along = np.linspace(-1, 1, 21)
        tilt = -who.eye_tilt * along * side + side * who.lean
        open_up = who.eye_opening * size * self._move.lids
        upper = self._eye_line + tilt - open_up * (1 - along**2) ** 0.75
        lower = (
            self._eye_line + tilt + 0.75 * who.eye_opening * size * min(self._move.lids, 1.1) * (1 - along**2) ** 0.9
        )
        across = x + size * along
        almond = self._shape([*zip(across, upper, strict=True), *zip(across[::-1], lower[::-1], strict=True)], 0.6)
        self._paint(who.shade_of_lids * self._bump(x, self._eye_line - 0.06, size * 1.15, 0.1), self._shade(0.5))
        self._paint(almond, (232, 228, 224))
        self._paint(almond * 0.4 * self._bump(x, self._eye_line - open_up, size, 0.06), (120, 110, 110))
        iris = 0.47 * size
        self._paint(almond * _soft((iris - self._distance(x, self._eye_line - 0.01)) * 70), who.iris)
        self._paint(almond * _soft((iris * 0.5 - self._distance(x, self._eye_line - 0.01)) * 80), (12, 10, 10))
        self._paint(0.9 * _soft((0.022 - self._distance(x - 0.025, self._eye_line - 0.035)) * 120), (250, 250, 250))
        self._paint(0.9 * self._stroke([*zip(across, upper, strict=True)], 0.032), (30, 22, 20))
        self._paint(0.4 * self._stroke([*zip(across, lower, strict=True)], 0.014), self._shade(0.4))
        self._paint(0.45 * self._stroke([*zip(across, upper - 0.05, strict=True)], 0.016, 1.2), self._shade(0.45))

    def _distance(self, x: float, y: float) -> Layer:
        return np.asarray(np.hypot(self._x - x, self._y - y), np.float32)

    def _brows(self) -> None:
        who, move = self._who, self._move
        along = np.linspace(0, 1, 13)
        for side in (-1, 1):
            across = side * (who.eye_gap - 0.24 + 0.5 * along)
            lift = move.inner_brow * (1 - along) + move.outer_brow * along
            line = self._eye_line - who.brow_height - lift - 0.07 * np.sin(np.pi * along**0.8) + 0.05 * along
            weight = who.brow_weight * np.sin(np.pi * np.clip(along * 0.86 + 0.14, 0, 1)) ** 0.5
            ring = [*zip(across, line - weight, strict=True), *zip(across[::-1], (line + weight)[::-1], strict=True)]
            dark = tuple(0.75 * value for value in who.hair)
            self._paint(0.88 * self._shape(ring, 1.4), (dark[0], dark[1], dark[2]))

    # What is not the face

    def _body_and_back_hair(self) -> tuple[Layer, Layer]:
        who = self._who
        canvas: Layer = np.empty((_SIDE, _SIDE, 3), np.float32)
        canvas[:] = who.shirt
        cover = np.zeros((_SIDE, _SIDE), np.float32)
        if who.hair_length > 0:
            back = _soft((1.2 - np.maximum(np.abs(self._x), np.abs(self._y + 0.15) * 0.6)) * 30)
            back *= _soft((who.hair_length - self._y) * 8) * _soft(
                self._outline(0.25) * 30 + 60 * np.clip(self._y + 0.3, 0, 1)
            )
            canvas, cover = self._hair(), back
        neck = _soft((0.52 - np.abs(self._x)) * 40) * _soft((self._y - 0.5) * 20)
        dark = 0.62 + 0.3 * _soft((self._y - who.height - 0.16) * 9)
        skin = np.asarray(np.array(who.skin) * dark[..., None], np.float32)
        canvas, cover = _lay(canvas, cover, skin, neck)
        slope = 0.35 * np.clip(np.abs(self._x) - 0.3, 0, None) ** 1.3
        shirt = _soft((self._y - who.height - 0.3 - slope + 0.35 * np.exp(-((self._x / 0.45) ** 2)) * -1) * 20)
        folds = 0.8 + 0.2 * np.cos(self._x * 2.1)
        cloth = np.asarray(np.array(who.shirt) * folds[..., None], np.float32)
        return _lay(canvas, cover, cloth, shirt)

    def _hair(self) -> Layer:
        """Strands: noise drawn out downwards, lit from above."""
        noise = self._dice.normal(0, 1, (_SIDE, _SIDE)).astype(np.float32)
        strands = cv2.GaussianBlur(noise, (0, 0), sigmaX=1.0, sigmaY=14)
        shine = 1 + 0.3 * np.exp(-(((self._y + 1.05) / 0.25) ** 2)) + 1.2 * strands
        return np.asarray(np.array(self._who.hair) * np.clip(shine, 0.5, 1.7)[..., None], np.float32)

    def _front_hair(self, canvas: Layer, cover: Layer) -> tuple[Layer, Layer]:
        who = self._who
        wave = 0.2 * (self._x - who.parting) ** 2 * np.tanh(-8 * self._y)
        fringe = _soft((who.hairline + 0.4 * np.abs(self._x) ** 3 - wave * 0.5 - self._y) * 12)
        cap = _soft(self._outline(0.16) * 30) * fringe
        temples = _soft((np.abs(self._x) - 0.86 - 0.1 * self._y) * 18) * _soft(
            (who.hair_length * 0.9 + 0.1 - self._y) * 10
        )
        locks = temples * _soft(self._outline(0.17) * 30) * _soft((0.4 + who.hair_length - self._y) * 9)
        return _lay(canvas, cover, self._hair(), np.maximum(cap, 0.95 * locks))

    def _glasses(self, canvas: Layer) -> Layer:
        if not self._who.glasses:
            return canvas
        radius = self._who.eye_size * 1.35
        frame = np.zeros((_SIDE, _SIDE), np.float32)
        for side in (-1, 1):
            ring = [
                (side * self._who.eye_gap + radius * np.cos(a), self._eye_line + 0.86 * radius * np.sin(a))
                for a in _TURN
            ]
            frame = np.maximum(frame, self._stroke(ring, 0.03))
        gap = self._who.eye_gap - radius
        frame = np.maximum(
            frame,
            self._stroke(
                [(-gap, self._eye_line - 0.03), (0.0, self._eye_line - 0.06), (gap, self._eye_line - 0.03)], 0.03
            ),
        )
        return _over(canvas, np.array((30, 28, 32), np.float32), 0.9 * frame)


_SHIFT = 4  # OpenCV's sixteenths of a pixel
_SECONDS_PER_EXPRESSION = 2.0
_PILLAR = (0.8, 0.97)  # from where to where, as shares of the width
_TURN = np.linspace(0, 2 * np.pi, 40)


def _soft(distance: npt.NDArray[np.floating]) -> Layer:
    """From inside (1) to outside (0) without a hard edge."""
    return np.asarray(1 / (1 + np.exp(-np.clip(distance, -30, 30))), np.float32)


def _over(below: Layer, colour: Layer, mask: Layer) -> Layer:
    return np.asarray(below + (colour - below) * mask[..., None], np.float32)


def _lay(below: Layer, cover: Layer, colour: Layer, mask: Layer) -> tuple[Layer, Layer]:
    """Lay a colour on what covers the board so far; at soft edges nothing shines through that is not there."""
    both = np.asarray(1 - (1 - cover) * (1 - mask), np.float32)
    return _over(below, colour, np.asarray(mask / np.maximum(both, 1e-3), np.float32)), both


def _pixels(points: Sequence[Point]) -> npt.NDArray[np.int32]:
    board = np.array(points, np.float64) * _UNIT + _CENTRE
    return np.round(board * (1 << _SHIFT)).astype(np.int32)


def _filled(outlines: Sequence[Sequence[Point]]) -> Layer:
    mask = np.zeros((_SIDE, _SIDE), np.uint8)
    cv2.fillPoly(mask, [_pixels(points) for points in outlines], 255, cv2.LINE_AA, _SHIFT)
    return np.asarray(mask / 255, np.float32)


def _arc(x: float, y: float, wide: float, high: float, side: int) -> list[Point]:
    angles = np.linspace(-0.4 * np.pi, 0.5 * np.pi, 9)
    return [(x + side * wide * float(np.cos(a)) * 0.5, y + high * float(np.sin(a))) for a in angles]


# The film


def crowd_frames(people: int, seconds: float, fps: float, size: tuple[int, int]) -> Iterator[Frame]:
    """A film of drawn people who sway and change their faces, in a frame of `size` (width, height). The last of them
    walks behind a pillar halfway through, and comes back."""
    stage = _Stage(people, size)
    for index in range(round(seconds * fps)):
        now = index / fps
        yield Frame(stage.picture(now, now / seconds), index, now, "drawn people")


class _Stage:
    """Where everybody stands. Faces are drawn when they are first shown and kept, for drawing one takes its time."""

    def __init__(self, people: int, size: tuple[int, int]) -> None:
        self._size = size
        self._people = people
        self._columns, self._side = _grid(people, int(size[0] * _PILLAR[0]), size[1])
        self._drawn: dict[tuple[int, str], tuple[Pixels, Floats]] = {}
        self._wall = _wall(*size)

    def picture(self, now: float, part: float) -> Pixels:
        """The stage at a time; `part` is how much of the film is over."""
        canvas = np.array(self._wall)
        for number in range(self._people):
            x, y = self._place(number, now, part)
            _put(canvas, *self._patch(number, expression_at(number, now)), x, y)
        left, right = (round(share * self._size[0]) for share in _PILLAR)
        canvas[:, left:right] = (112, 98, 86)
        return canvas

    def _place(self, number: int, now: float, part: float) -> tuple[int, int]:
        side, column, row = self._side, number % self._columns, number // self._columns
        x = side * column + 0.06 * side * np.sin(0.9 * now + 2.1 * number)
        y = side * row + 0.03 * side * np.sin(1.3 * now + 1.3 * number)
        if number == self._people - 1:
            hidden = np.clip(1.6 - abs(part - 0.5) * 6, 0, 1)
            x += hidden * (sum(_PILLAR) / 2 * self._size[0] - side / 2 - x)
        return round(float(x)), round(float(y))

    def _patch(self, number: int, expression: str) -> tuple[Pixels, Floats]:
        key = (number, expression)
        if key not in self._drawn:
            self._drawn[key] = draw_person(cast(number), expression, self._side)
        return self._drawn[key]


def cast(number: int) -> int:
    """The seed of the number-th actor: first those who look least alike, then anybody."""
    return CAST[number] if number < len(CAST) else 1000 + number


def expression_at(number: int, now: float) -> str:
    """What the number-th actor shows at a time."""
    turn = int(now / _SECONDS_PER_EXPRESSION + 0.37 * number)
    return EXPRESSIONS[(3 + 3 * number + 2 * turn) % len(EXPRESSIONS)]


def _grid(people: int, width: int, height: int) -> tuple[int, int]:
    """Columns and the side of a cell, as large as the people fit."""
    sides = {
        columns: min(width // columns, height // -(-max(people, 1) // columns))
        for columns in range(1, max(people, 1) + 1)
    }
    columns = max(sides, key=lambda count: sides[count])
    return columns, max(sides[columns], 1)


def _wall(width: int, height: int) -> Pixels:
    """A plain wall in a soft light."""
    light = np.linspace(1.0, 0.78, height)[:, None, None] * np.linspace(0.94, 1.06, width)[None, :, None]
    return np.asarray(np.clip(light * np.array((196, 200, 196)), 0, 255), np.uint8)


def _put(canvas: Pixels, patch: Pixels, cover: Floats, x: int, y: int) -> None:
    """Lay a person on the canvas, which is ours; what lies outside is cut."""
    high, wide = canvas.shape[:2]
    left, top, right, low = max(x, 0), max(y, 0), min(x + patch.shape[1], wide), min(y + patch.shape[0], high)
    if left >= right or top >= low:
        return
    inner = (slice(top - y, low - y), slice(left - x, right - x))
    below = canvas[top:low, left:right]
    canvas[top:low, left:right] = below + (patch[inner] - below.astype(np.float32)) * cover[inner][..., None]
