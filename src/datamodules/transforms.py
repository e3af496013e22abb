"""albumentations pipelines from a uint8 picture to a float tensor in [-1, 1], each draw keyed by an integer."""

from __future__ import annotations

import os

import numpy as np
from torch import Tensor

os.environ.setdefault("NO_ALBUMENTATIONS_UPDATE", "1")  # without it the import asks the network for a newer version

import albumentations as A
from albumentations.pytorch import ToTensorV2


class Augment:
    """A pipeline whose randomness is an argument.

    Left to itself an albumentations pipeline replays the same stream in every worker and every epoch, and ignores
    global seeds; here each call seeds it, so that a picture depends on its key alone, wherever it is computed.

    Args:
        *transforms: what happens to the uint8 picture before it becomes a tensor; nothing for evaluation.
    """

    def __init__(self, *transforms: A.BasicTransform) -> None:
        self.random = len(transforms) > 0
        self.pipeline = A.Compose([*transforms, A.Normalize(mean=0.5, std=0.5), ToTensorV2()])

    def __call__(self, image: np.ndarray, seed: int) -> Tensor:
        """Turn (H, W, 3) uint8 into (3, H, W) float32, ``value / 127.5 - 1``; same seed, same result."""
        if self.random:
            self.pipeline.set_random_seed(seed)
        return self.pipeline(image=image)["image"].contiguous()  # else its strides, and a network's rounding, vary


def training(flip: bool = True) -> Augment:
    """What training pictures go through: mirrored half of the time, if ``flip``."""
    return Augment(A.HorizontalFlip(p=0.5)) if flip else Augment()


def evaluation() -> Augment:
    """What held-out pictures go through: nothing but the change of range."""
    return Augment()
