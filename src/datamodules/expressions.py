"""Drawn faces with the eight expressions of the Radboud Faces Database, everybody with each of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from datamodules.drawn.dataset import DrawnEdits, DrawnRecords, chosen_domains, in_turn, one_hot_name
from datamodules.drawn.drawing import draw
from datamodules.drawn.emotions import action_units
from datamodules.drawn.identity import Identity
from datamodules.labels import EXPRESSIONS


class ExpressionRecords(DrawnRecords):
    """A split in which each person shows one expression after the other."""

    @property
    def shots(self) -> int:
        """Pictures of each person: one for each expression."""
        return len(self.attributes)

    def sample(self, count: int) -> np.ndarray:
        """One-hot, in turn."""
        return in_turn(count, len(self.attributes))

    def draw(self, row: int, label: np.ndarray | Sequence[float]) -> np.ndarray:
        """The person of a row with the expression of any one-hot label: (size, size, 3) uint8 RGB."""
        number = self.subject(row)
        units = action_units(self.population, number, one_hot_name(label, self.attributes))
        return draw(Identity.sample(self.population, number), units, self.image_size)


class SyntheticExpressions(DrawnEdits):
    """Drawn people with the eight expressions of the Radboud Faces Database; the label is the expression.

    Row ``r`` is person ``r // K`` with expression ``r % K``: the splits share nobody, and everybody shows every
    expression (but for the last person of a split whose size K does not divide). Expressions are made of action units,
    as EMFACS combines them, each as strong as the person shows it; contempt is one-sided.

    Args:
        domains: expressions to use, from ``datamodules.labels.EXPRESSIONS``, in label order; None uses all eight.
        **drawn: of ``DrawnData`` (sizes, ``population``) and ``ImageDataModule``.
    Raises:
        ValueError: on an unknown or repeated expression, fewer than two, or a size out of range.
    """

    one_hot = True
    record_type = ExpressionRecords

    def __init__(self, domains: list[str] | None = None, **drawn: Any) -> None:
        super().__init__(**drawn)
        self.attributes = chosen_domains(domains, EXPRESSIONS)
        self.exclusive = (self.attributes,)
