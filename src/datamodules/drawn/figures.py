"""Squares and circles on a flat ground, each pixel by the share of it that the figure covers."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from datamodules.drawn.identity import person_stream

REACH = (12 / 128, 30 / 128)  # half a square's side, or a circle's radius, as a share of the picture's side
CONTRAST = 120.0  # least distance of the two colours, in RGB levels


@dataclass(frozen=True)
class Figure:
    """Where a figure is and in which colours; lengths are shares of the picture's side.

    Attributes:
        x: of the centre, from the left.
        y: of the centre, from the top.
        reach: half of the square's side, or the circle's radius.
        colour: of the figure, (3,) in 0..255.
        ground: around it, (3,) in 0..255.
    """

    x: float
    y: float
    reach: float
    colour: np.ndarray
    ground: np.ndarray

    @classmethod
    def sample(cls, seed: int, index: int) -> Figure:
        """The figure with number ``index`` in the world of ``seed``, inside the picture as a whole."""
        generator = person_stream(seed, index, 0)
        reach = generator.uniform(*REACH)
        x, y = generator.uniform(reach, 1.0 - reach, size=2).tolist()
        colour, ground = generator.uniform(0.0, 255.0, size=(2, 3))
        while np.linalg.norm(colour - ground) < CONTRAST:
            colour = generator.uniform(0.0, 255.0, size=3)
        return cls(x, y, reach, colour, ground)


def cover(figure: Figure, circle: bool, size: int) -> np.ndarray:
    """The share of each pixel that the circle, or else the square, covers: (size, size) in [0, 1]."""
    centres = np.arange(size) + 0.5
    across, down = np.abs(centres - figure.x * size), np.abs(centres - figure.y * size)
    reach = figure.reach * size
    if circle:
        return np.clip(0.5 + reach - np.hypot(across, down[:, None]), 0.0, 1.0)
    return np.clip(0.5 + reach - across, 0.0, 1.0) * np.clip(0.5 + reach - down, 0.0, 1.0)[:, None]


def draw_figure(figure: Figure, circle: bool, size: int) -> np.ndarray:
    """(size, size, 3) uint8, RGB."""
    share = cover(figure, circle, size)[:, :, None]
    return np.rint(figure.ground + share * (figure.colour - figure.ground)).astype(np.uint8)
