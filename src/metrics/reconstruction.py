"""Error of the way there and back."""

from __future__ import annotations

from torch import Tensor

from metrics.averages import Averages
from metrics.functional import l1


class ReconstructionError(Averages):
    """``reconstruction_l1``: mean absolute difference, on the scale [0, 1], of the source and what comes back.

    Pixels against pixels: no face recogniser has a say. A translator that does nothing scores 0.

    Args:
        attributes: the K names.
    """

    figures = ("reconstruction_l1",)

    def update(self, reconstruction: Tensor, source: Tensor, edit: Tensor) -> None:
        """(N, 3, H, W) in [-1, 1] twice, and (N,), the attribute that was changed and changed back."""
        self.add("reconstruction_l1", l1(reconstruction, source), edit)
