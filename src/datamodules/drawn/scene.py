"""What surrounds what is drawn: a background, the pose in the picture and the light that falls on both."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache

import cv2
import numpy as np

from datamodules.drawn.identity import Identity, person_stream
from datamodules.drawn.shapes import Colour, Pose, Shape, ellipse, mix, paint, supersampling

SIZES = (16, 512)
BACKGROUNDS: tuple[tuple[Colour, Colour], ...] = (
    ((168, 206, 214), (116, 164, 186)),
    ((244, 214, 178), (226, 172, 138)),
    ((186, 208, 168), (132, 170, 130)),
    ((214, 196, 226), (166, 146, 192)),
    ((236, 200, 202), (208, 150, 160)),
    ((206, 208, 214), (150, 156, 168)),
    ((126, 150, 172), (82, 102, 130)),
    ((240, 228, 190), (206, 190, 146)),
)


def compose(identity: Identity, layers: Sequence[tuple[float, Sequence[Shape]]], size: int) -> np.ndarray:
    """Paint layers over the background that belongs to an identity, in its pose and its light.

    Args:
        identity: where, and in which light.
        layers: (depth, shapes) from back to front, see ``paint``.
        size: side of the picture in pixels, 16 to 512; the same picture at every size.
    Returns:
        (size, size, 3) uint8, RGB.
    Raises:
        ValueError: if the size is out of range.
    """
    if not SIZES[0] <= size <= SIZES[1]:
        raise ValueError(f"size must lie in {SIZES[0]}..{SIZES[1]} pixels, got {size}")
    canvas = _background(identity, size * supersampling(size))
    pose = Pose(identity.shift_x, identity.shift_y, identity.scale, identity.tilt, identity.yaw)
    paint(canvas, [(depth, shapes) for depth, shapes in layers if shapes], pose)
    return _light(cv2.resize(canvas, (size, size), interpolation=cv2.INTER_AREA), identity)


def _background(identity: Identity, side: int) -> np.ndarray:
    """Clouds of two colours, with stripes, discs or a horizon, all from the identity alone: (side, side, 3)."""
    generator = person_stream(0, identity.texture, 1)
    near, far = BACKGROUNDS[identity.background]
    clouds = cv2.resize(generator.random((4, 4), dtype=np.float32), (32, 32), interpolation=cv2.INTER_CUBIC)
    share = 0.85 * clouds + 0.3 * generator.random((32, 32), dtype=np.float32) - 0.1
    first, last = np.array(near, dtype=np.float32), np.array(far, dtype=np.float32)
    texture = first + share[:, :, None] * (last - first)
    canvas = cv2.resize(np.clip(texture, 0, 255).astype(np.uint8), (side, side), interpolation=cv2.INTER_LINEAR)
    shapes = _pattern(identity.pattern, generator, mix(near, far, 1.35), mix(near, (255, 255, 250), 0.35))
    if shapes:
        paint(canvas, [(0.0, shapes)], Pose(0.0, 0.0, 1.0, 0.0, 0.0))
    return canvas


def _pattern(kind: int, generator: np.random.Generator, dark: Colour, bright: Colour) -> list[Shape]:
    if kind == 0:
        return []
    numbers = generator.random((5, 3)).tolist()
    if kind == 1:
        return [
            Shape(ellipse(2.2 * x - 1.1, 1.6 * y - 1.1, 0.1 + 0.16 * r, 0.1 + 0.16 * r), bright) for x, y, r in numbers
        ]
    if kind == 2:
        slope = numbers[0][0] - 0.5
        stripe = np.array(((-1.1, -slope), (1.1, slope), (1.1, slope + 0.12), (-1.1, 0.12 - slope)))
        return [Shape(stripe + np.array((0.0, 0.5 * row - 1.2)), dark) for row in range(5)]
    edges = [(0.5 * column - 1.1, 0.9 * row[0] - 0.9) for column, row in enumerate(numbers)]
    return [Shape(np.array([(-1.1, 1.1), *edges, (1.1, edges[0][1]), (1.1, 1.1)]), dark)]


@cache
def _axis(size: int) -> np.ndarray:
    return ((np.arange(size, dtype=np.float32) + 0.5) * (2 / size) - 1.0).astype(np.float32)


def _light(picture: np.ndarray, identity: Identity) -> np.ndarray:
    """Brighter towards the light, and of its colour."""
    axis = _axis(len(picture))
    towards_x, towards_y = math.cos(identity.light) * identity.contrast, math.sin(identity.light) * identity.contrast
    field = (axis * np.float32(towards_x))[None, :] + (axis * np.float32(towards_y) + np.float32(1.0))[:, None]
    warmth, level = identity.warmth, identity.brightness
    lit = cv2.transform(picture, np.diag([level * (1 + warmth), level, level * (1 - warmth)]).astype(np.float32))
    return cv2.multiply(lit, cv2.merge([field] * 3), dtype=cv2.CV_8U)
