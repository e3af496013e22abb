"""What a dataset must say of one split."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from types import MappingProxyType

import numpy as np


class Records(ABC):
    """One split of a dataset: where its pictures are and what their labels say.

    Attributes:
        labels: (N, K) float32, in the order of the datamodule's ``attributes``.
        extras: what else a batch shall carry of each picture, (N, ...) each: a digit, a person's number.
    """

    labels: np.ndarray
    extras: Mapping[str, np.ndarray] = MappingProxyType({})

    def __len__(self) -> int:
        return len(self.labels)

    @abstractmethod
    def read(self, row: int) -> np.ndarray:
        """The (size, size, 3) uint8 RGB picture of a row, cropped and resized, not augmented. Called from threads."""

    def read_all(self, rows: Sequence[int]) -> np.ndarray:
        """The (B, size, size, 3) pictures of some rows; a dataset may have a faster way than one after the other."""
        return np.stack([self.read(row) for row in rows])

    @abstractmethod
    def fingerprint(self) -> str:
        """A hex digest that changes whenever what ``read`` gives would change: files, their times, settings."""
