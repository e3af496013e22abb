"""What the discriminator may be shown in place of the pictures themselves."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

BRIGHTNESS = 0.25  # added, at most; black and white are 2 apart
CONTRAST = 0.5  # of the picture's own, more or less at most
SHIFT = 1 / 16  # of the side, at most, in each direction
SCALE = 0.15  # larger or smaller at most, in each direction by itself


def augment(images: Tensor) -> Tensor:
    """Another light, place and size for each image, differentiably (Zhao et al., NeurIPS 2020, "DiffAugment").

    Shown real and generated images alike in this way, and in the generator's loss too, a discriminator can neither
    learn its pictures by heart nor be pleased by a faint pattern in the right place; and the generator is not told to
    make such pictures, as augmented data would tell it.

    Args:
        images: (B, 3, H, W) in [-1, 1].

    Returns:
        (B, 3, H, W), float32 for halves, some beyond [-1, 1]; what lies outside the image is mirrored at its border.
        The randomness is torch's global one.
    """
    images = images.to(torch.promote_types(images.dtype, torch.float32))
    brightness, contrast, *place = _uniform(6, len(images), like=images)
    mean = images.mean(dim=(1, 2, 3), keepdim=True)
    images = (images - mean) * (1 + CONTRAST * contrast[:, None, None, None]) + mean
    images = images + BRIGHTNESS * brightness[:, None, None, None]
    across, down, wide, high = place
    zero = torch.zeros_like(across)
    rows = [1 + SCALE * wide, zero, 2 * SHIFT * across, zero, 1 + SCALE * high, 2 * SHIFT * down]  # a side spans 2
    grid = functional.affine_grid(torch.stack(rows, dim=1).view(-1, 2, 3), list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode="reflection", align_corners=False)


def _uniform(*shape: int, like: Tensor) -> Tensor:
    """From U[-1, 1)."""
    return torch.rand(*shape, device=like.device, dtype=like.dtype) * 2 - 1
