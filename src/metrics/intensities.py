"""Errors of intensities by a judge: how strongly it sees each action unit, set against how strong it should be."""

from __future__ import annotations

import torch
from torch import Tensor

from metrics.averages import Averages

LEAST_SPREAD = 1e-6  # product of two standard deviations; below it there is nothing to correlate


class IntensityAgreement(Averages):
    """How well the judge reads pictures whose intensities are known.

    ``error``: mean absolute difference. ``correlation``: Pearson's, over the pictures; absent for an attribute of
    which label or judge says the same of every picture. A judge that always says the same may have a small error, but
    it has no correlation.

    Args:
        attributes: the K names.
    """

    figures = ("error", "seen", "label", "seen_squared", "label_squared", "product")

    def update(self, seen: Tensor, label: Tensor) -> None:
        """Both (N, K), in [0, 1]."""
        seen, label = seen.to(self.device).double(), label.to(self.device).double()
        attribute = torch.arange(label.shape[1], device=self.device).expand_as(label).flatten()
        values = ((seen - label).abs(), seen, label, seen.square(), label.square(), seen * label)
        for figure, value in zip(self.figures, values, strict=True):
            self.add(figure, value.flatten(), attribute)

    def compute(self) -> dict[str, float]:
        """The two figures, over the attributes and for each."""
        found = {name: value for name, value in super().compute().items() if name.split("/")[0] == "error"}
        _, seen, label, seen_squared, label_squared, product = self.total / self.count
        variances = (seen_squared - seen.square()).clamp(min=0), (label_squared - label.square()).clamp(min=0)
        spread = (variances[0] * variances[1]).sqrt()
        correlations = {
            f"correlation/{name}": value
            for name, value, by in zip(
                self.attributes, ((product - seen * label) / spread).tolist(), spread.tolist(), strict=True
            )
            if not by < LEAST_SPREAD and f"error/{name}" in found
        }
        if correlations:
            found["correlation"] = sum(correlations.values()) / len(correlations)
        return {**found, **correlations}


class IntensityError(Averages):
    """How strongly a judge sees action units in translated pictures, against how strong they were to become.

    ``unit_error``: mean absolute difference of the unit that the edit was about. ``all_units_error``: of all K. Each
    also as ``…_copied``, with the untouched input in the translation's place: what doing nothing scores. As with
    `EditAccuracy`, neither says that the picture is any good.

    Args:
        attributes: the K names.
    """

    figures = ("unit_error", "unit_error_copied", "all_units_error", "all_units_error_copied")

    def update(self, seen: Tensor, copied: Tensor, target: Tensor, edit: Tensor) -> None:
        """Take in translations that were asked to change something.

        Args:
            seen: (N, K), what the judge sees in the translation.
            copied: (N, K), what it sees in the source.
            target: (N, K), what the units were to become.
            edit: (N,), the unit that the edit was about.
        """
        for suffix, values in (("", seen), ("_copied", copied)):
            error = (values - target).abs()
            self.add(f"unit_error{suffix}", error.gather(1, edit[:, None])[:, 0], edit)
            self.add(f"all_units_error{suffix}", error.mean(dim=1), edit)
