"""Error against the true picture: the same person with the requested attribute, which only drawn data has."""

from __future__ import annotations

from torch import Tensor

from metrics.averages import Averages
from metrics.functional import change_outside, l1, masked_l1, psnr, ssim


class CounterfactualError(Averages):
    """How far a translation is from what it should be, beside how far the copied input is.

    ``l1``, ``psnr`` (dB) and ``ssim`` of the whole picture against the truth; ``inside_l1``, over the pixels that
    truly change; each also as ``…_copied``, with the source in the translation's place: what doing nothing scores.
    ``inside_ratio`` is ``inside_l1`` over ``inside_l1_copied``: 1 for the copy, 0 for the truth. ``outside_change``
    is how far the translation departs from the source where nothing should change; 0 for the copy. Errors are on the
    scale [0, 1]. Where the true edit changes no pixel at all, or every one, the figure of the missing side leaves the
    picture out.

    Args:
        attributes: the K names.
    """

    figures = (
        "l1",
        "l1_copied",
        "psnr",
        "psnr_copied",
        "ssim",
        "ssim_copied",
        "inside_l1",
        "inside_l1_copied",
        "outside_change",
    )

    def update(self, image: Tensor, truth: Tensor, mask: Tensor, source: Tensor, edit: Tensor) -> None:
        """Take in translations that were asked to change something.

        Args:
            image: (N, 3, H, W) in [-1, 1], the translations.
            truth: likewise, what they should be.
            mask: (N, 1, H, W) in {0, 1}; 1 = a pixel where truth and source differ.
            source: (N, 3, H, W) in [-1, 1].
            edit: (N,), the attribute that the edit was about.
        """
        changes = (mask > 0.5).flatten(1)
        for suffix, picture in (("", image), ("_copied", source)):
            self.add(f"l1{suffix}", l1(picture, truth), edit)
            self.add(f"psnr{suffix}", psnr(picture, truth), edit)
            self.add(f"ssim{suffix}", ssim(picture, truth), edit)
            self.add(f"inside_l1{suffix}", masked_l1(picture, truth, mask), edit, measured=changes.any(dim=1))
        self.add("outside_change", change_outside(source, image, mask), edit, measured=~changes.all(dim=1))

    def compute(self) -> dict[str, float]:
        """The averages, and ``inside_ratio`` wherever the copy has an error to compare with."""
        found = super().compute()
        ratios = {
            name.replace("inside_l1_copied", "inside_ratio"): found[name.replace("_copied", "")] / copied
            for name, copied in found.items()
            if name.startswith("inside_l1_copied") and copied > 0
        }
        return {**found, **ratios}
