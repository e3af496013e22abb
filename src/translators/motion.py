"""Motion fields: sampling an image along one, and drawing one.

A field (B, 2, H, W) holds, for each pixel of the result, where it comes from: the displacement (x, y) of what is
sampled there. 2.0 spans the image, from the centres of the first pixels to those of the last, at any resolution.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional
from torchvision.utils import flow_to_image


def warp(image: Tensor, flow: Tensor) -> Tensor:
    """Sample an image along a motion field (ADSPM, Wu et al., ICCV 2019, sect. 3.1).

    Computed in float32 (float64 for float64 images) whatever the autocast: a half's steps would be visible. Places are
    told from edge to edge, so that where a side is a power of two they are not rounded, and no motion is exactly none.

    Args:
        image: (B, C, H, W), any range.
        flow: (B, 2, H, W), 2.0 spans the image.

    Returns:
        (B, C, H, W), bilinear; 0, the mid-grey of [-1, 1], where the source lies outside the image.

    Raises:
        ValueError: if the two differ in batch size or resolution.
    """
    if flow.shape != (len(image), 2, *image.shape[2:]):
        raise ValueError(f"an image {tuple(image.shape)} cannot be warped by a motion field {tuple(flow.shape)}")
    with torch.autocast(image.device.type, enabled=False):
        dtype = torch.promote_types(image.dtype, torch.float32)
        height, width = image.shape[2:]
        y, x = ((2 * torch.arange(side, device=image.device) + 1).to(dtype) / side - 1 for side in (height, width))
        across, down = flow.to(dtype).unbind(1)  # of 2.0 from first to last centre; the image's edges are at -1 and 1
        places = torch.stack([x + across * (1 - 1 / width), y[:, None] + down * (1 - 1 / height)], dim=-1)
        return functional.grid_sample(image.to(dtype), places, "bilinear", "zeros", align_corners=False)


def colour_wheel(flow: Tensor) -> Tensor:
    """A field in colours: the hue is the direction, the saturation the length, in units of the batch's longest.

    Args:
        flow: (B, 2, H, W).

    Returns:
        (B, 3, H, W) in [-1, 1]; white where nothing moves.
    """
    return flow_to_image(flow.float()) / 127.5 - 1


def warped_grid(flow: Tensor, lines: int = 12) -> Tensor:
    """Dark lines on white paper, sampled along a field: what moved is bent.

    Args:
        flow: (B, 2, H, W), 2.0 spans the image.
        lines: in each direction.

    Returns:
        (B, 3, H, W) in [-1, 1].
    """
    count, _, height, width = flow.shape
    paper = flow.new_ones(height, width)
    for side, axis in ((height, 0), (width, 1)):
        at = ((torch.arange(lines, device=flow.device) + 0.5) * side / lines).long()
        paper.index_fill_(axis, at, -1.0)
    return warp(paper.expand(count, 3, -1, -1), flow)
