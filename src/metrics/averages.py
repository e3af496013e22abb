"""Averages for each attribute and over the attributes: the state that the metrics of edits share."""

from __future__ import annotations

from abc import ABC
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class Averages(Metric, ABC):
    """Sums and counts of named figures by attribute, in float64; several processes' states add up.

    A subclass names its ``figures`` and calls `add` from its ``update``.

    Args:
        attributes: the K names.
    """

    figures: tuple[str, ...] = ()
    full_state_update = False
    total: Tensor  # (figures, K)
    count: Tensor

    def __init__(self, attributes: Sequence[str], **settings: Any) -> None:
        super().__init__(**settings)
        self.attributes = tuple(attributes)
        for state in ("total", "count"):
            zeros = torch.zeros(len(self.figures), len(self.attributes), dtype=torch.float64)
            self.add_state(state, zeros, dist_reduce_fx="sum")

    def add(self, figure: str, values: Tensor, attribute: Tensor, measured: Tensor | None = None) -> None:
        """Take in one number an image.

        Args:
            figure: one of ``figures``.
            values: (N,).
            attribute: (N,), which attribute's average each belongs to, in 0..K-1.
            measured: (N,) booleans; False leaves a value out, whatever it is.
        """
        row = self.figures.index(figure)
        values, attribute = values.to(self.device).double(), attribute.to(self.device)  # not every device has doubles
        if measured is not None:
            measured = measured.to(self.device)
            values, attribute = values[measured], attribute[measured]
        self.total[row] += torch.zeros_like(self.total[row]).index_add_(0, attribute, values)
        self.count[row] += torch.bincount(attribute, minlength=len(self.attributes))

    def compute(self) -> dict[str, float]:
        """``{figure: mean of the attributes' means, "figure/attribute": mean}``; what was never measured is absent."""
        found: dict[str, float] = {}
        for figure, totals, counts in zip(self.figures, self.total.tolist(), self.count.tolist(), strict=True):
            means = {
                f"{figure}/{name}": total / count
                for name, total, count in zip(self.attributes, totals, counts, strict=True)
                if count
            }
            if means:
                found[figure] = sum(means.values()) / len(means)
                found.update(means)
        return found
