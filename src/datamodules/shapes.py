"""Squares and circles: the simplest pictures in which something must move, and where it does is known."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import numpy as np
import torch
from torch import Tensor

from datamodules.base import Split
from datamodules.drawn.dataset import LABELS, DrawnEdits, DrawnRecords
from datamodules.drawn.figures import Figure, cover, draw_figure
from datamodules.drawn.identity import person_stream


class ShapeRecords(DrawnRecords):
    """A split of squares and circles, half of each on average."""

    def sample(self, count: int) -> np.ndarray:
        """(count, 1), 1 for a circle."""
        numbers = range(self.first, self.first + count)
        coins = [[person_stream(self.population, number, LABELS).random() < 0.5] for number in numbers]
        return np.array(coins, dtype=np.float32)

    def draw(self, row: int, label: np.ndarray | Sequence[float]) -> np.ndarray:
        """The shape of a row as a square, for the label 0, or a circle, for 1: (size, size, 3) uint8 RGB."""
        value = float(label[0])
        if value not in (0.0, 1.0):
            raise ValueError(f"circle must be 0 or 1, got {value}")
        return draw_figure(self.figure(row), value == 1.0, self.image_size)

    def figure(self, row: int) -> Figure:
        """What is in a row, be it a square or a circle."""
        return Figure.sample(self.population, self.subject(row))

    def inside(self, row: int) -> np.ndarray:
        """(size, size) bool, the pixels of which the shape of a row covers at least half."""
        return cover(self.figure(row), self.labels[row, 0] == 1.0, self.image_size) >= 0.5


class Shapes(DrawnEdits):
    """One filled square or circle in each picture, of any place, colour and size, on a flat ground (ADSPM, fig. 3).

    The label is the one attribute ``circle``. A circle of radius ``a`` is the counterpart of a square of half-side
    ``a``, which is 12 to 30 pixels of 128: a corner has to travel 0.41 of it.

    Args:
        **drawn: of ``DrawnData`` (sizes, ``population``) and ``ImageDataModule``.
    """

    attributes = ("circle",)
    record_type = ShapeRecords

    def mask(self, split: Split, index: Tensor) -> Tensor:
        """Where the shape is.

        Args:
            split: train, val or test.
            index: (B,) rows of the split.
        Returns:
            (B, 1, H, W), 1 in pixels of which the shape covers at least half, else 0.
        """
        records = cast(ShapeRecords, self.records(split))
        inside = np.stack([records.inside(row) for row in index.tolist()])
        return torch.from_numpy(inside)[:, None].to(index.device, torch.float32)
