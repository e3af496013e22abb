"""What a dataset must say of one split."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np


class Records(ABC):
    """One split of a dataset: where its pictures are and what their labels say.

    Attributes:
        labels: (N, K) float32, in the order of the datamodule's ``attributes``.
    """

    labels: np.ndarray

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def read(self, row: int) -> np.ndarray:
        """The (size, size, 3) uint8 RGB picture of a row, cropped and resized, not augmented. Called from threads."""

    @abstractmethod
    def fingerprint(self) -> str:
        """A hex digest that changes whenever what ``read`` gives would change: files, their times, settings."""
