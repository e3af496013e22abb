"""What the discriminator may be shown in place of the pictures themselves."""

from __future__ import annotations

import torch
from torch import Tensor

BRIGHTNESS = 0.25  # added, at most; black and white are 2 apart
CONTRAST = 0.5  # of the picture's own, more or less at most
SHIFT = 1 / 16  # of the side, at most, in each direction
SCALE = 0.15  # larger or smaller at most, in each direction by itself


def augment(images: Tensor, blur: float = 0.0) -> Tensor:
    """Another light, place and size for each image, differentiably (Zhao et al., NeurIPS 2020, "DiffAugment").

    Shown real and generated images alike in this way, and in the generator's loss too, a discriminator can neither
    learn its pictures by heart nor be pleased by a faint pattern in the right place; and the generator is not told to
    make such pictures, as augmented data would tell it. Out of focus a pattern of fine stripes is gone, so that what is
    to please must have a shape; but so is fine detail.

    Args:
        images: (B, 3, H, W) in [-1, 1].
        blur: show them out of focus, too: in place of interpolating between two pixels average over a triangle, whose
            half-width is from one pixel, uniformly, to so large a share of the side more.

    Returns:
        (B, 3, H, W), float32 for halves, some beyond [-1, 1]; a pixel from outside the image is mirrored at its border,
        and what a blurred one would reach beyond it does not count.
        The randomness is torch's global one.
    """
    with torch.autocast(images.device.type, enabled=False):  # half a pixel matters
        images = images.to(torch.promote_types(images.dtype, torch.float32))
        brightness, contrast, across, down, wide, high = _uniform(6, len(images), like=images)
        width = blur * (_uniform(len(images), like=images).abs() if blur else torch.zeros_like(high))
        mean = images.mean(dim=(1, 2, 3), keepdim=True)
        images = (images - mean) * (1 + CONTRAST * contrast[:, None, None, None]) + mean
        images = images + BRIGHTNESS * brightness[:, None, None, None]
        rows = _resampling(images.shape[2], SHIFT * down, 1 + SCALE * high, width)
        columns = _resampling(images.shape[3], SHIFT * across, 1 + SCALE * wide, width)
        return rows @ images @ columns.mT


def _resampling(side: int, shift: Tensor, scale: Tensor, blur: Tensor) -> Tensor:
    """Linear interpolation along one axis as a matrix: unlike a sampling grid's, its gradient is the same on every run.

    Args:
        side: S, pixels.
        shift: (B,), in sides, of the place that a pixel is taken from.
        scale: (B,), of its distance from the centre.
        blur: (B,), in sides, how much farther than one pixel the triangle of weights reaches; 0 interpolates.

    Returns:
        (B, 1, S, S); a row holds the weights of the pixels that make up the new one.
    """
    pixels = torch.arange(side, device=shift.device, dtype=shift.dtype)
    centre = (side - 1) / 2
    source = (pixels - centre) * scale[:, None] + centre + side * shift[:, None]
    source = torch.where(source < -0.5, -1 - source, source)  # mirrored at the edge of the first pixel
    source = torch.where(source > side - 0.5, 2 * side - 1 - source, source).clamp(0, side - 1)  # and of the last
    weights = (1 - (source[:, :, None] - pixels).abs() / (1 + side * blur[:, None, None])).clamp(min=0)
    return (weights / weights.sum(dim=2, keepdim=True))[:, None]


def _uniform(*shape: int, like: Tensor) -> Tensor:
    """From U[-1, 1)."""
    return torch.rand(*shape, device=like.device, dtype=like.dtype) * 2 - 1
