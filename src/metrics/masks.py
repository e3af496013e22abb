"""Agreement of the mask that a model draws, 1 where it rewrites a pixel, with where the picture truly changes."""

from __future__ import annotations

from torch import Tensor

from metrics.averages import Averages
from metrics.functional import share_inside, soft_iou


class MaskAgreement(Averages):
    """``area``, the mean of the mask, and where the truth is known how well it lies there.

    ``iou`` is the soft intersection over union. ``iou_constant`` is the best that a mask of one value c everywhere can
    have: where a share p of the picture truly changes, its intersection is c p and its union p + c (1 - p); their ratio
    grows with c, and at c = 1 it is p. ``inside`` is the share of the mask's mass on pixels that truly change; of any
    constant mask that is p, too. Edits that truly change no pixel count in ``area`` alone, and masks of 0 everywhere
    not in ``inside``.

    Args:
        attributes: the K names.
    """

    figures = ("iou", "iou_constant", "inside", "area")

    def update(self, mask: Tensor | None, truth: Tensor | None, edit: Tensor) -> None:
        """Take in the masks of translations that were asked to change something.

        Args:
            mask: (N, 1, H, W) in [0, 1]; None, of a model that draws none, adds nothing.
            truth: (N, 1, H, W) in {0, 1}; None where it is not known.
            edit: (N,), the attribute that the edit was about.
        """
        if mask is None:
            return
        self.add("area", mask.float().mean(dim=(1, 2, 3)), edit)
        if truth is None:
            return
        changes = (truth > 0.5).flatten(1).any(dim=1)
        self.add("iou", soft_iou(mask, truth), edit, measured=changes)
        self.add("iou_constant", truth.float().mean(dim=(1, 2, 3)), edit, measured=changes)
        drawn = (mask != 0).flatten(1).any(dim=1)
        self.add("inside", share_inside(mask, truth), edit, measured=changes & drawn)
