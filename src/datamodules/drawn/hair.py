"""Haircuts: what falls behind the head, and the cap in front of it whose edge is the hairline."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from datamodules.drawn.looks import Look
from datamodules.drawn.shapes import Point, Shape, blob, ellipse, mirrored, scalloped, stroke, symmetric


class Haircut(NamedTuple):
    """A style: the fall behind the head, locks at its sides, and where the hair parts."""

    fall: float  # y where the hair behind the head ends; 0: none
    spread: float  # how much wider than the head it is
    locks: float  # y where the locks before the ears end; 0: none
    curls: int  # bumps of the outline; 0: smooth
    bun: float  # radius
    hairline: str


HAIRCUTS = (
    Haircut(0.0, 0.0, 0.0, 0, 0.0, "round"),  # crop
    Haircut(0.0, 0.0, 0.0, 0, 0.0, "side"),  # side parting
    Haircut(0.24, 0.17, 0.0, 18, 0.0, "round"),  # curls
    Haircut(1.15, 0.13, 0.62, 0, 0.0, "middle"),  # long
    Haircut(0.5, 0.15, 0.42, 0, 0.0, "side"),  # bob
    Haircut(0.0, 0.0, 0.0, 0, 0.17, "round"),  # bun
    Haircut(0.95, 0.17, 0.0, 22, 0.0, "side"),  # long curls
    Haircut(0.0, 0.0, 0.0, 16, 0.0, "middle"),  # waves, short
)
# From the right temple to the left; x in half widths of the head.
HAIRLINES = {
    "round": (
        (0.93, -0.1),
        (0.87, -0.27),
        (0.6, -0.405),
        (0.25, -0.44),
        (-0.25, -0.44),
        (-0.6, -0.405),
        (-0.87, -0.27),
    ),
    "side": ((0.93, -0.1), (0.88, -0.3), (0.66, -0.43), (0.38, -0.5), (-0.1, -0.42), (-0.52, -0.35), (-0.84, -0.25)),
    "middle": ((0.93, -0.1), (0.86, -0.27), (0.62, -0.38), (0.16, -0.5), (-0.16, -0.5), (-0.62, -0.38), (-0.86, -0.27)),
    "bangs": ((0.95, -0.1), (0.9, -0.24), (0.58, -0.225), (0.2, -0.25), (-0.2, -0.25), (-0.58, -0.225), (-0.9, -0.24)),
    "receding": (
        (0.97, -0.15),
        (0.94, -0.37),
        (0.66, -0.55),
        (0.2, -0.535),
        (-0.2, -0.535),
        (-0.66, -0.55),
        (-0.94, -0.37),
    ),
}
_LINES = {name: np.array([*points, (-points[0][0], points[0][1])]) for name, points in HAIRLINES.items()}


def back(look: Look) -> list[Shape]:
    """What is seen behind head, neck and shoulders."""
    cut = HAIRCUTS[look.identity.hair_style]
    shapes = []
    if cut.bun:
        shapes += _bun(look, cut.bun)
    if cut.fall:
        shapes.append(Shape(_fall(look, cut), look.hair_dark))
    return shapes


def _bun(look: Look, radius: float) -> list[Shape]:
    y = look.top - look.identity.hair_volume - 0.06
    return [
        Shape(ellipse(0.0, y, radius * 1.15, radius), look.hair_dark),
        Shape(ellipse(-0.02, y - 0.015, radius * 0.9, radius * 0.75), look.hair),
        Shape(stroke((-0.11, y + 0.02), (0.0, y - 0.05), (0.11, y + 0.02), 0.03), look.hair_light),
    ]


def _fall(look: Look, cut: Haircut) -> np.ndarray:
    width, top = look.half_width + cut.spread, look.top - look.identity.hair_volume * 0.6
    if cut.curls:
        middle = (top + cut.fall) / 2
        return scalloped(0.0, middle, width * 1.02, cut.fall - middle, cut.curls, 0.1)
    half = [(0.0, top), (width * 0.72, top + 0.16), (width, -0.1), (width * 1.03, cut.fall * 0.6)]
    return blob(symmetric([*half, (width * 0.96, cut.fall), (width * 0.5, cut.fall + 0.03)]))


def front(look: Look) -> list[Shape]:
    """The cap on the skull, its strands and shine, locks and fringe."""
    cut = HAIRCUTS[look.identity.hair_style]
    side = 1.0 if look.identity.parting else -1.0
    hairline = _hairline(look, cut) * (side, 1.0)
    if side < 0:
        hairline = hairline[::-1]
    shapes = [Shape(points, look.hair) for points in _locks(look, cut)]
    shapes.append(Shape(_cap(look, cut, hairline), look.hair))
    return shapes + _strands(look, hairline, side) + _fringe(look)


def _hairline(look: Look, cut: Haircut) -> np.ndarray:
    """(8, 2) from the right temple to the left, unit frame."""
    style, bangs, receding = _LINES[cut.hairline], look.values["Bangs"], look.values["Receding_Hairline"]
    line = style + bangs * (_LINES["bangs"] - style) + receding * (_LINES["receding"] - style)
    return line * (look.half_width, look.identity.head_height)


def _cap(look: Look, cut: Haircut, hairline: np.ndarray) -> np.ndarray:
    width, top, volume = look.half_width, look.top, look.identity.hair_volume
    if cut.curls:
        rim = scalloped(0.0, -0.12, width + 0.05 + volume * 0.5, -0.12 - top + volume * 1.25, min(cut.curls, 22), 0.1)
        upper = rim[len(rim) // 2 :]  # left to right
        return np.concatenate([upper, _spread(hairline)])
    half = [(0.0, top - volume), (0.28, top - volume * 0.85), (width * 0.86, top * 0.76 - volume * 0.4)]
    half += [(width + 0.035 + volume * 0.25, -0.26), (width + 0.03, -0.02)]
    outline = [*((-x, y) for x, y in reversed(half)), *half[1:]]
    return blob([*outline, *hairline.tolist()])


def _spread(hairline: np.ndarray) -> np.ndarray:
    """The hairline alone as a smooth curve."""
    return blob(hairline)[: 6 * len(hairline) - 5]


def _locks(look: Look, cut: Haircut) -> list[np.ndarray]:
    if not cut.locks:
        return []
    inner, outer = look.half_width * 0.93, look.half_width + 0.1
    control: list[Point] = [(inner * 0.95, -0.35), (outer, -0.2), (outer + 0.03, cut.locks * 0.6)]
    control += [(outer - 0.02, cut.locks), (inner + 0.03, cut.locks * 0.8), (inner + 0.015, 0.1)]
    right = blob(control)
    return [right, mirrored(right)]


def _strands(look: Look, hairline: np.ndarray, side: float) -> list[Shape]:
    """A light sweep near the top, and darker lines from the parting to the hairline."""
    width, crown = look.half_width, look.top - look.identity.hair_volume
    shapes = []
    start = side * 0.14
    for x, wide in ((-0.86, 0.022), (-0.52, 0.02), (0.62, 0.02), (0.9, 0.022)):
        end = (x * width * side, float(np.interp(x * side, hairline[::-1, 0] / width, hairline[::-1, 1])) - 0.02)
        middle = (0.55 * end[0] + 0.45 * start, crown * 0.72 + 0.28 * end[1] - 0.02)
        shapes.append(Shape(stroke((start, crown + 0.05), middle, end, wide), look.hair_dark))
    arc = stroke((-0.3 * side, crown + 0.13), (-0.2 * side, crown + 0.075), (0.02, crown + 0.055), 0.045)
    return [*shapes, Shape(arc, look.hair_light)]


def _fringe(look: Look) -> list[Shape]:
    """Lines between the strands of the bangs."""
    bangs = look.values["Bangs"]
    if not bangs:
        return []
    root, tip, height = -0.54, -0.24 - 0.2 * (1 - bangs), look.identity.head_height
    lines = ((-0.34, -0.35), (-0.17, -0.19), (0.0, 0.01), (0.17, 0.2), (0.33, 0.35))
    return [
        Shape(
            stroke((x * 0.8, root * height), (x, (root + tip) / 2), (end, tip * height), 0.022 * bangs), look.hair_dark
        )
        for x, end in lines
    ]
