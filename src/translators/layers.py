"""Blocks that two or more translators are built from, laid out so that their authors' weights fit by name.

Instance norms use each image's own statistics, in training and evaluation alike, so that an output depends on nothing
else in its batch; the authors' files do carry running statistics, from training, which give broken images.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from translators import strategy
from translators.checks import check_size


def precise(x: Tensor) -> Tensor:
    """In float32, if it is in less: for what a half's steps would spoil."""
    return x.to(torch.promote_types(x.dtype, torch.float32))


class Tanh(nn.Tanh):
    """In float32 whatever the autocast: bfloat16 is exactly 1 from 3.5 on, without a gradient to come back by."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, to float32 (or float64) in [-1, 1]."""
        return super().forward(precise(x))


class Sigmoid(nn.Sigmoid):
    """Likewise: bfloat16 is exactly 1 from 6.3 on."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape, to float32 (or float64) in [0, 1]."""
        return super().forward(precise(x))


class BatchNorm2d(nn.BatchNorm2d):
    """A batch norm whose batch is that of all processes together, so that several train as one would.

    `torch.nn.SyncBatchNorm` is that on GPUs alone. With ``by_image`` set, evaluation goes by each image's own
    statistics, in place of the running ones. What is not finite is not remembered: a bad batch costs its own update.
    """

    by_image = False
    running_mean: Tensor
    running_var: Tensor

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to the same shape."""
        if self.by_image and not self.training:
            return functional.instance_norm(x, weight=self.weight, bias=self.bias, eps=self.eps)
        if not self.training:
            return super().forward(x)
        mean, variance = self.running_mean.clone(), self.running_var.clone()
        if strategy.processes() == 1:
            normed = functional.batch_norm(
                x, mean, variance, self.weight, self.bias, True, self.momentum or 0.0, self.eps
            )
        else:
            normed = self._of_all_processes(x, mean, variance)
        for running, new in ((self.running_mean, mean), (self.running_var, variance)):
            running.copy_(torch.where(new.isfinite(), new, running))
        return normed

    def _of_all_processes(self, x: Tensor, running_mean: Tensor, running_variance: Tensor) -> Tensor:
        values = precise(x)
        mean = strategy.differentiable_average(values.mean((0, 2, 3)))
        centred = values - mean[:, None, None]
        variance = strategy.differentiable_average(centred.square().mean((0, 2, 3)))
        count = x.numel() // x.shape[1] * strategy.processes()
        with torch.no_grad():
            running_mean.lerp_(mean.to(running_mean), self.momentum or 0.0)
            running_variance.lerp_((variance * count / max(count - 1, 1)).to(running_variance), self.momentum or 0.0)
        scale = (variance + self.eps).rsqrt() * self.weight
        return (centred * scale[:, None, None] + self.bias[:, None, None]).to(x.dtype)


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to their input, nothing after the sum."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.InstanceNorm2d(width, affine=True),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, 3, 1, 1, bias=False),
            nn.InstanceNorm2d(width, affine=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        return x + self.main(x)


def normed(convolution: nn.Module, channels: int) -> list[nn.Module]:
    """A convolution, the instance norm of its channels, and ReLU."""
    return [convolution, nn.InstanceNorm2d(channels, affine=True), nn.ReLU(inplace=True)]


def encoding(channels: int, width: int, blocks: int) -> list[nn.Module]:
    """The first part of StarGAN's generator, which GANimation and ADSPM share: (B, channels, H, W) to a quarter.

    Padding is with zeros throughout: beside a mirrored border, instance normalisation would erase constant label
    planes.

    Args:
        channels: of the input, label planes included.
        width: channels after the first convolution; four times as many come out.
        blocks: residual blocks at the end.
    """
    return [
        *normed(nn.Conv2d(channels, width, 7, 1, 3, bias=False), width),
        *normed(nn.Conv2d(width, 2 * width, 4, 2, 1, bias=False), 2 * width),
        *normed(nn.Conv2d(2 * width, 4 * width, 4, 2, 1, bias=False), 4 * width),
        *(ResidualBlock(4 * width) for _ in range(blocks)),
    ]


def decoding(width: int) -> list[nn.Module]:
    """The way back from `encoding`: (B, 4 * width, H / 4, W / 4) to (B, width, H, W)."""
    return [
        *normed(nn.ConvTranspose2d(4 * width, 2 * width, 4, 2, 1, bias=False), 2 * width),
        *normed(nn.ConvTranspose2d(2 * width, width, 4, 2, 1, bias=False), width),
    ]


def with_planes(image: Tensor, label: Tensor) -> Tensor:
    """(B, C, H, W) and (B, K), which becomes K constant planes behind the image: (B, C + K, H, W)."""
    planes = label.to(image)[:, :, None, None].expand(-1, -1, *image.shape[2:])
    return torch.cat([image, planes], dim=1)


def initialise_he(network: nn.Module) -> None:
    """Draw a network's convolutions anew so that signals keep their size through leaky ReLUs (He et al., ICCV 2015).

    The framework's own are smaller: after four layers some hundredths are left, and a discriminator's attributes, which
    depend on the image in ways that no single layer shows, are learnt late or never in a short training.
    """
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, a=0.01)
            if module.bias is not None:
                nn.init.zeros_(module.bias)


class AttributeDiscriminator(nn.Module):
    """Scores patches as real or fake, and tells the attributes of the whole image (StarGAN, table 5).

    No normalisation, as the gradient penalty demands. At 128 px and depth 6 a "patch" of 318 px sees the whole image.

    Args:
        num_attributes: K, how many numbers it tells.
        image_size: side of the only images it takes; a multiple of 2**depth.
        width: channels after the first convolution; each further one doubles them, up to 32 times as many.
        depth: convolutions, each halving the side.

    Raises:
        ValueError: if the image size does not suit the depth.
    """

    def __init__(self, num_attributes: int, image_size: int = 128, width: int = 64, depth: int = 6) -> None:
        super().__init__()
        side, rest = divmod(image_size, 2**depth)
        if depth < 1 or side < 1 or rest:
            nearest = " or ".join(str(2**depth * n) for n in (side, side + 1) if n)
            raise ValueError(
                f"image_size {image_size} does not suit a discriminator of depth {depth}: "
                + (
                    f"use a multiple of {2**depth}, such as {nearest}, or a smaller depth"
                    if depth > 0
                    else "use 1 to 6"
                )
            )
        self.image_size = image_size
        channels = [3, *(width * min(2**level, 32) for level in range(depth))]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(channels):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), nn.LeakyReLU(0.01, inplace=True)]
        self.main = nn.Sequential(*layers)
        self.conv1 = nn.Conv2d(channels[-1], 1, 3, 1, 1, bias=False)  # the scores
        self.conv2 = nn.Conv2d(channels[-1], num_attributes, side, bias=False)  # the attributes

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, image_size, image_size) to scores (B, 1, side, side) and attributes (B, K), both unbounded.

        Raises:
            ValueError: if the images have another size.
        """
        check_size(image, self.image_size)
        h = self.main(image)
        return self.conv1(h), self.conv2(h).flatten(1)
