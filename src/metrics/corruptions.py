"""Damage to pictures that leaves their attributes recognisable: some to train a judge with, others to check it with.

A judge trained on clean pictures leans on textures, which a generator can paint. Grain, blotches, blur, tints and JPEG
blocks in training make that a poor guide; the corruptions that training never showed tell whether it has been given up.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from kornia.augmentation import RandomGaussianBlur, RandomJPEG
from kornia.filters import motion_blur as directed_blur
from torch import Tensor, nn
from torch.nn import functional as F

Corruption = Callable[[Tensor, Tensor], Tensor]


class TrainingCorruptions(nn.Module):
    """Each image gets its own mixture; some stay clean. The randomness is torch's global one.

    Args:
        image_size: side of the images; the blur is in proportion.
    """

    def __init__(self, image_size: int) -> None:
        super().__init__()
        self.stages = nn.Sequential(
            Tint(),
            RandomGaussianBlur((5, 5), (0.1, max(0.2, image_size / 48)), p=0.3),
            PaintedNoise(),
            RandomJPEG((15.0, 90.0), p=0.25),
        )

    @torch.no_grad()
    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1], twice."""
        with torch.autocast(images.device.type, enabled=False):
            return self.stages((images.float() + 1) / 2).clamp(0, 1) * 2 - 1


class Tint(nn.Module):
    """Other light: brightness, contrast, a colour cast and saturation, all so little that hair keeps its colour.

    Args:
        strength: standard deviation of brightness, contrast and each channel's gain; saturation has twice that.
    """

    def __init__(self, strength: float = 0.07) -> None:
        super().__init__()
        self.strength = strength

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], twice."""
        draws = torch.randn(6, len(images), 1, 1, 1, device=images.device) * self.strength
        brightness, contrast, saturation, *gains = draws
        grey = images.mean(dim=1, keepdim=True)
        images = grey + (images - grey) * (1 + 2 * saturation)
        images = images * (1 + torch.cat(gains, dim=1))
        return ((images - 0.5) * (1 + contrast) + 0.5 + brightness).clamp(0, 1)


class PaintedNoise(nn.Module):
    """Adds coloured noise at several scales at once, from grain to blotches.

    Args:
        amplitude: greatest standard deviation of one scale, of images in [0, 1].
        share: how likely an image gets each scale.
    """

    scales = (1, 2, 4, 8)  # pixels

    def __init__(self, amplitude: float = 0.15, share: float = 0.3) -> None:
        super().__init__()
        self.amplitude, self.share = amplitude, share

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [0, 1], twice."""
        batch, channels, height, width = images.shape
        for scale in self.scales:
            size = (max(height // scale, 1), max(width // scale, 1))
            noise = torch.randn(batch, channels, *size, device=images.device)
            strength = torch.rand(batch, 1, 1, 1, device=images.device) * self.amplitude
            chosen = torch.rand(batch, 1, 1, 1, device=images.device) < self.share
            images = images + strength * chosen * F.interpolate(noise, (height, width), mode="bilinear")
        return images.clamp(0, 1)


def salt_and_pepper(images: Tensor, index: Tensor) -> Tensor:
    """2 % of the pixels white or black; which ones is a function of the image's index."""
    dice = [torch.rand(1, *images.shape[2:], generator=torch.Generator().manual_seed(int(row))) for row in index]
    drawn = torch.stack(dice).to(images.device)
    return torch.where(drawn < 0.01, -1.0, torch.where(drawn > 0.99, 1.0, images))


def pixelation(images: Tensor, index: Tensor) -> Tensor:
    """Half the resolution, in blocks of two by two pixels."""
    small = F.avg_pool2d(images, 2)
    return F.interpolate(small, images.shape[2:], mode="nearest")


def gamma(images: Tensor, index: Tensor) -> Tensor:
    """Mid-tones darker (gamma 1.4), or brighter (0.7) for every other image."""
    exponent = torch.where(index % 2 == 0, 1.4, 0.7).to(images)[:, None, None, None]
    return ((images + 1) / 2).clamp(0, 1) ** exponent * 2 - 1


def motion_blur(images: Tensor, index: Tensor) -> Tensor:
    """Smeared sideways over about a fifteenth of the width."""
    length = max(3, images.shape[-1] // 30 * 2 + 1)
    return directed_blur(images, length, angle=0.0, direction=0.0, border_type="replicate")


HELD_OUT: Mapping[str, Corruption] = {
    "salt_and_pepper": salt_and_pepper,
    "pixelation": pixelation,
    "gamma": gamma,
    "motion_blur": motion_blur,
}
"""Corruptions that no training shows: (images (B, 3, H, W) in [-1, 1], index (B,)) -> the same shape. Deterministic."""
