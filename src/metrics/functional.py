"""What two pictures differ by, one number an image.

Images are (N, C, H, W) in [-1, 1], the scale of the networks; errors are reported on the scale [0, 1], on which 0.1
is a tenth of the way from black to white.
"""

from __future__ import annotations

import math

import torch
from kornia.filters import gaussian_blur2d
from kornia.metrics import ssim as ssim_map
from torch import Tensor
from torch.nn import functional as F

MOST_DECIBELS = 100.0
BLURS = (0.9, 1.8, 2.7)  # pixels, one, two and three times the same: circularity extrapolates to none
FINER = 4  # times, for the outline's sake
LEVELS = (0.1, 0.9)  # of coverage; what varies beyond them is noise, not an outline


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


def pixel_accuracy(image: Tensor, reference: Tensor, threshold: int = 12) -> Tensor:
    """The share of pixels that are right, as photos translated into maps are scored (SRAGAN, table 2).

    A pixel is right if its three channels, as bytes, are off by no more than the threshold in sum.

    Args:
        image: (N, 3, H, W) in [-1, 1]; rounded to what 8 bits hold.
        reference: likewise.
        threshold: greatest sum of absolute differences, of 765.

    Returns:
        (N,) in [0, 1].
    """
    one, other = (((picture.float() + 1) * 127.5).round().clamp(0, 255) for picture in (image, reference))
    return ((one - other).abs().sum(dim=1) <= threshold).float().mean(dim=(1, 2))


def soft_iou(mask: Tensor, truth: Tensor) -> Tensor:
    """Intersection over union of maps that may be soft: the sum of the minima over the sum of the maxima (Ruzicka).

    Args:
        mask: (N, 1, H, W) in [0, 1].
        truth: likewise.
    Returns:
        (N,) in [0, 1], for maps of 0 and 1 the Jaccard index; NaN where both are 0 everywhere.
    """
    mask, truth = mask.float(), truth.float()
    return torch.minimum(mask, truth).sum(dim=(1, 2, 3)) / torch.maximum(mask, truth).sum(dim=(1, 2, 3))


def share_inside(mask: Tensor, truth: Tensor) -> Tensor:
    """The share of a map's mass that lies inside the truth.

    Args:
        mask: (N, 1, H, W) in [0, 1].
        truth: (N, 1, H, W) in {0, 1}.
    Returns:
        (N,) in [0, 1]; NaN where the mask is 0 everywhere.
    """
    mask = mask.float()
    return (mask * truth.float()).sum(dim=(1, 2, 3)) / mask.sum(dim=(1, 2, 3))


def coverage(image: Tensor, background: Tensor, foreground: Tensor) -> Tensor:
    """How far each pixel lies on the way from one colour to another, as by the share of it that a flat figure covers.

    Args:
        image: (B, 3, H, W), any range.
        background: (B, 3), the colour that becomes 0, in the same range.
        foreground: (B, 3), the colour that becomes 1.
    Returns:
        (B, 1, H, W) in [0, 1], the projection onto the line between the two, clamped; NaN where they are the same.
    """
    start, way = background.float()[:, :, None, None], (foreground.float() - background.float())[:, :, None, None]
    along = ((image.float() - start) * way).sum(dim=1, keepdim=True)
    return (along / way.square().sum(dim=1, keepdim=True)).clamp(0, 1)


def circularity(cover: Tensor) -> Tensor:
    """How round a shape is, 4 pi A / P^2: 1 for a circle, pi / 4 = 0.785 for a square, less for anything ragged.

    The perimeter P is the outlines' mean length over the levels of coverage, by the coarea formula the sum of the
    gradient's length; the area A is the mean area within them. A blur makes the pixels' grid vanish, but shortens P, at
    corners in proportion to its width, and along curves to its square: P is extrapolated from three widths to none.
    Measured on anti-aliased shapes: within 0.02 from a radius or half-side of 8 pixels up.

    Args:
        cover: (B, 1, H, W) in [0, 1], soft coverage (see `coverage`); outside the picture it is 0.
    Returns:
        (B,); NaN where nothing is covered.
    """
    areas, lengths = zip(*(_outline(cover.float(), blur) for blur in BLURS), strict=True)
    perimeter = 3 * lengths[0] - 3 * lengths[1] + lengths[2]
    return 4 * math.pi * areas[0] / perimeter.square()


def _outline(cover: Tensor, blur: float) -> tuple[Tensor, Tensor]:
    """(B,) areas and (B,) lengths, in pixels, of a coverage blurred by ``blur`` pixels; means over its levels."""
    reach, (low, high) = math.ceil(4 * blur), LEVELS
    padded = F.pad(cover, [reach + 1] * 4)
    blurred = gaussian_blur2d(padded, 2 * reach + 1, (blur, blur), border_type="constant")
    fine = F.interpolate(blurred, scale_factor=FINER, mode="bicubic")
    share = ((fine - low) / (high - low)).clamp(0, 1)
    share = share.square() * (3 - 2 * share)  # the middle levels count most
    across = share[..., 1:-1, 2:] - share[..., 1:-1, :-2]  # twice the gradient
    down = share[..., 2:, 1:-1] - share[..., :-2, 1:-1]
    return share.sum(dim=(1, 2, 3)) / FINER**2, torch.hypot(across, down).sum(dim=(1, 2, 3)) / 2 / FINER
