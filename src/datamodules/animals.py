"""Drawn faces of cats, dogs and wild animals: the domains of Animal Faces-HQ."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from datamodules.drawn.animals import KINDS, draw_animal
from datamodules.drawn.dataset import DrawnData, DrawnRecords, chosen_domains, in_turn, one_hot_name


class AnimalRecords(DrawnRecords):
    """A split of drawn animals, one kind after the other."""

    def sample(self, count: int) -> np.ndarray:
        """One-hot, in turn."""
        return in_turn(count, len(self.attributes))

    def draw(self, row: int, label: np.ndarray | Sequence[float]) -> np.ndarray:
        """The animal with the number of a row, of the kind of any one-hot label: (size, size, 3) uint8 RGB."""
        kind = one_hot_name(label, self.attributes)
        return draw_animal(self.population, self.subject(row), kind, self.image_size)


class SyntheticAnimals(DrawnData):
    """Drawn animals, each in another place; the label is the kind: cat, dog or wild.

    Nobody knows which dog a cat would be: there is no true result of an edit.

    Args:
        domains: kinds to use, in label order; None uses all three.
        **drawn: of ``DrawnData`` (sizes, ``population``) and ``ImageDataModule``.
    Raises:
        ValueError: on an unknown or repeated kind, fewer than two, or a size out of range.
    """

    one_hot = True
    record_type = AnimalRecords

    def __init__(self, domains: list[str] | None = None, **drawn: Any) -> None:
        super().__init__(**drawn)
        self.attributes = chosen_domains(domains, KINDS)
        self.exclusive = (self.attributes,)
