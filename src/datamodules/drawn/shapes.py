"""Smooth shapes in a unit frame, and the canvas that paints them antialiased at any size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import cv2
import numpy as np

Point = tuple[float, float]
Colour = tuple[float, float, float]

STEPS = np.linspace(-1.0, 1.0, 13)
ARCH = 1.0 - STEPS**2  # 0 at both ends of a curve, 1 in its middle
LENS = ARCH**0.6  # how wide a stroke is along its way
WEDGE = np.clip(1.15 - 1.0 * (STEPS + 1) / 2, 0, 1) * np.minimum(1.0, (STEPS + 1) * 5 + 0.55)  # broad at the start
SHIFT = 4  # fractional bits of OpenCV's coordinates


class Shape(NamedTuple):
    """A filled polygon, or, with a radius, a soft spot at a point, whose colour is added to what is there."""

    points: np.ndarray  # (N, 2), unit frame: x to the right and y down, the picture spans [-1, 1]
    colour: Colour
    radius: float = 0.0


def mix(first: Colour, second: Colour, share: float) -> Colour:
    """The colour ``share`` of the way from the first to the second."""
    rest = 1.0 - share
    return (
        first[0] * rest + second[0] * share,
        first[1] * rest + second[1] * share,
        first[2] * rest + second[2] * share,
    )


def shade(colour: Colour, factor: float) -> Colour:
    """A darker (below 1) or lighter (above 1) colour."""
    return colour[0] * factor, colour[1] * factor, colour[2] * factor


def towards(first: Colour, second: Colour, share: float) -> Colour:
    """What to add to the first colour to come ``share`` of the way to the second: the colour of a soft spot."""
    return (second[0] - first[0]) * share, (second[1] - first[1]) * share, (second[2] - first[2]) * share


def brightness(colour: Colour) -> float:
    """Luma, 0 to 255."""
    return 0.299 * colour[0] + 0.587 * colour[1] + 0.114 * colour[2]


@cache
def _circle(count: int) -> np.ndarray:
    angles = np.arange(count) * (2 * math.pi / count)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def ellipse(x: float, y: float, width: float, height: float, count: int = 24) -> np.ndarray:
    """(count, 2) points around (x, y); width and height are half axes."""
    points = _circle(count) * (width, height)
    points += (x, y)
    return points


def scalloped(x: float, y: float, width: float, height: float, bumps: int, depth: float) -> np.ndarray:
    """An ellipse whose outline swings ``bumps`` times by the share ``depth``: curls."""
    return _circle(160) * _ripple(bumps, depth) * (width, height) + (x, y)


@cache
def _ripple(bumps: int, depth: float) -> np.ndarray:
    angles = np.arange(160)[:, None] * (2 * math.pi / 160)
    return 1.0 + depth * np.abs(np.sin(angles * bumps / 2)) - depth / 2


@cache
def _spline(count: int) -> np.ndarray:
    """(6 count, count) weights of a closed uniform Catmull-Rom curve through ``count`` control points."""
    t = np.arange(6)[:, None] / 6
    weights = 0.5 * np.hstack([-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2])
    basis = np.zeros((count, 6, count))
    for start in range(count):
        for offset in range(4):
            basis[start, :, (start + offset - 1) % count] += weights[:, offset]
    return basis.reshape(6 * count, count)


def blob(control: Sequence[Point] | np.ndarray) -> np.ndarray:
    """A smooth closed outline through the control points."""
    return _spline(len(control)) @ np.asarray(control)


def symmetric(half: Sequence[Point]) -> list[Point]:
    """Both halves of an outline, given its right half from top to bottom; points on the axis count once."""
    return [*half, *((-x, y) for x, y in reversed(half) if x != 0.0)]


def mirrored(points: np.ndarray) -> np.ndarray:
    """The same on the other side of the face."""
    return points * (-1.0, 1.0)


def both(points: np.ndarray, colour: Colour) -> list[Shape]:
    """A shape and its mirror image."""
    return [Shape(points, colour), Shape(mirrored(points), colour)]


_THROUGH = np.stack([(STEPS**2 - STEPS) / 2, ARCH, (STEPS**2 + STEPS) / 2], axis=1)
_THERE_AND_BACK = np.concatenate([_THROUGH, _THROUGH[::-1]])


def _sides(profile: np.ndarray) -> np.ndarray:
    return np.concatenate([profile, -profile[::-1]])[:, None] / 2


_LENS, _WEDGE = _sides(LENS), _sides(WEDGE)


def stroke(start: Point, middle: Point, end: Point, width: float, wedge: bool = False) -> np.ndarray:
    """A brush stroke through three points, thin at both ends, or with ``wedge`` at the last only."""
    across_x, across_y = start[1] - end[1], end[0] - start[0]
    scale = width / math.hypot(across_x, across_y)
    points = _THERE_AND_BACK @ np.array((start, middle, end))
    points += (_WEDGE if wedge else _LENS) * (across_x * scale, across_y * scale)
    return points


def band(x: np.ndarray, top: np.ndarray, bottom: np.ndarray) -> np.ndarray:
    """The area between two curves over the same x, (n,) each: (2n, 2)."""
    count = len(x)
    points = np.empty((2 * count, 2))
    points[:count, 0], points[count:, 0] = x, x[::-1]
    points[:count, 1], points[count:, 1] = top, bottom[::-1]
    return points


def supersampling(size: int) -> int:
    """How many canvas pixels make one side of a picture's pixel: a canvas of 192 or more, so that thin lines keep."""
    return max(2, math.ceil(192 / size))


class Pose(NamedTuple):
    """Where the head is: a similarity of the plane, and a turn that moves what lies in front of the head sideways."""

    shift_x: float
    shift_y: float
    scale: float
    tilt: float
    yaw: float

    def matrix(self) -> np.ndarray:
        """(2, 2) rotation and scale, applied to row vectors."""
        cosine, sine = math.cos(self.tilt) * self.scale, math.sin(self.tilt) * self.scale
        return np.array([[cosine, sine], [-sine, cosine]])


def paint(canvas: np.ndarray, layers: Sequence[tuple[float, Sequence[Shape]]], pose: Pose) -> None:
    """Paint shapes onto a square canvas, first to last.

    Args:
        canvas: (N, N, 3) uint8, changed in place.
        layers: (depth, shapes) pairs; 0 lies on the axis of the head, 1 on the face, beyond it in front.
        pose: of the head, common to all layers.
    """
    shapes = [shape for _, layer in layers for shape in layer]
    counts = [len(shape.points) for shape in shapes]
    points = np.concatenate([shape.points for shape in shapes])
    depths = [depth for depth, layer in layers for _ in layer]
    points[:, 0] += np.repeat(np.array(depths) * pose.yaw, counts)
    points = points @ pose.matrix()
    unit = len(canvas) / 2
    points += (pose.shift_x + 1.0, pose.shift_y + 1.0)
    points *= unit
    points -= 0.5  # OpenCV's whole coordinates are the centres of pixels
    fixed = np.rint(points * (1 << SHIFT)).astype(np.int32)
    start = 0
    for shape, count in zip(shapes, counts, strict=True):
        if shape.radius:
            _soften(canvas, points[start], shape, shape.radius * pose.scale * unit)
        else:
            cv2.fillPoly(canvas, [fixed[start : start + count]], shape.colour, cv2.LINE_8, SHIFT)
        start += count


@cache
def _bump(reach: int) -> np.ndarray:
    """(2 reach + 1, 2 reach + 1): 1 in the middle, falling smoothly to 0 at the rim."""
    axis = np.arange(-reach, reach + 1, dtype=np.float32) / np.float32(reach + 0.5)
    inside = np.clip(1 - axis[:, None] ** 2 - axis[None, :] ** 2, 0, 1)
    return inside * inside


def _soften(canvas: np.ndarray, centre: np.ndarray, shape: Shape, radius: float) -> None:
    reach = max(1, round(radius))
    column, row = round(float(centre[0])), round(float(centre[1]))
    left, top = max(0, column - reach), max(0, row - reach)
    region = canvas[top : max(0, row + reach + 1), left : max(0, column + reach + 1)]
    if region.size == 0:
        return
    height, width = region.shape[:2]
    y, x = top - row + reach, left - column + reach
    weights = np.array(shape.colour, dtype=np.float32)[:, None]
    added = cv2.transform(_bump(reach)[y : y + height, x : x + width], weights)
    region[:] = cv2.add(region, added, dtype=cv2.CV_8U)
