"""What two pictures differ by, one number an image.

Images are (N, C, H, W) in [-1, 1], the scale of the networks; errors are reported on the scale [0, 1], on which 0.1
is a tenth of the way from black to white.
"""

from __future__ import annotations

import torch
from kornia.metrics import ssim as ssim_map
from torch import Tensor

MOST_DECIBELS = 100.0


def l1(image: Tensor, reference: Tensor) -> Tensor:
    """Mean absolute difference over all pixels and channels: (N,), on the scale [0, 1]."""
    return (image.float() - reference.float()).abs().mean(dim=(1, 2, 3)) / 2


def masked_l1(image: Tensor, reference: Tensor, mask: Tensor) -> Tensor:
    """Mean absolute difference over the pixels of a mask.

    Args:
        image: (N, C, H, W) in [-1, 1].
        reference: likewise.
        mask: (N, 1, H, W) in {0, 1}; 1 = a pixel that counts.
    Returns:
        (N,), on the scale [0, 1]; NaN where the mask is empty, for there is nothing to average. `Averages` leaves
        these out.
    """
    difference = (image.float() - reference.float()).abs().mean(dim=1, keepdim=True) / 2
    inside = torch.where(mask > 0.5, difference, 0.0)  # a product would let a NaN outside the mask in
    return inside.sum(dim=(1, 2, 3)) / (mask > 0.5).sum(dim=(1, 2, 3))


def change_outside(source: Tensor, translated: Tensor, mask: Tensor) -> Tensor:
    """How much a translation touches where nothing should change.

    Args:
        source: (N, C, H, W) in [-1, 1].
        translated: likewise.
        mask: (N, 1, H, W) in {0, 1}; 1 = a pixel that has to change.
    Returns:
        (N,), the mean absolute difference over the other pixels, on the scale [0, 1]; NaN where the mask covers
        everything.
    """
    return masked_l1(translated, source, 1 - mask)


def psnr(image: Tensor, reference: Tensor) -> Tensor:
    """Peak signal-to-noise ratio: (N,), in decibels; at most 100, so that equal images have a finite one."""
    error = ((image.float() - reference.float()) / 2).square().mean(dim=(1, 2, 3))
    return (-10 * torch.log10(error)).clamp(max=MOST_DECIBELS)


def ssim(image: Tensor, reference: Tensor) -> Tensor:
    """Structural similarity (Wang et al., TIP 2004), Gaussian window of 11 pixels: (N,), 1 for equal images."""
    return ssim_map((image.float() + 1) / 2, (reference.float() + 1) / 2, window_size=11).mean(dim=(1, 2, 3))
