"""From uint8 pictures to float tensors in [-1, 1], and albumentations pipelines whose draws are keyed by an integer."""

from __future__ import annotations

import os
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # without it the import asks the network for a newer version

import albumentations as A
from albumentations import BasicTransform as BasicTransform


class Augment:
    """An albumentations pipeline whose randomness is an argument.

    Left to itself it replays the same stream in every worker and every epoch, and ignores global seeds; here each call
    seeds it, so that a picture depends on its key alone, wherever it is computed.

    Args:
        transforms: what happens to a picture, in this order; the size must stay.
    """

    def __init__(self, transforms: Sequence[BasicTransform]) -> None:
        self.pipeline = A.Compose(list(transforms))

    def __call__(self, image: np.ndarray, seed: int) -> np.ndarray:
        """Another (size, size, 3) uint8 picture; same seed, same result.

        Raises:
            ValueError: if what comes out has another shape or type.
        """
        self.pipeline.set_random_seed(seed)
        result = self.pipeline(image=image)["image"]
        if result.shape != image.shape or result.dtype != np.uint8:
            raise ValueError(
                f"augment must give pictures as it gets them, {image.shape} uint8, but made {result.shape} "
                f"{result.dtype}: end with A.Resize or a crop to the size of the data, and leave A.Normalize out"
            )
        return result


def to_tensor(images: np.ndarray | Tensor) -> Tensor:
    """(B, H, W, 3) uint8 to (B, 3, H, W) float32, ``value / 127.5 - 1``; in page-locked memory where there is a GPU."""
    planes = torch.as_tensor(images).permute(0, 3, 1, 2)
    result = torch.empty(planes.shape, pin_memory=torch.cuda.is_available())
    return result.copy_(planes).div_(127.5).sub_(1)


def to_picture(images: Tensor) -> np.ndarray:
    """(B, 3, H, W) in [-1, 1] to (B, H, W, 3) uint8: the nearest values, the way back from ``to_tensor``."""
    return ((images.detach().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
