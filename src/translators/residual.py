"""CycleGAN's residual generator and patch discriminator, which other models of two domains share.

Zhu, Park, Isola, Efros, ICCV 2017, sect. 7.2. The parameters bear the names they have in the authors' files.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from translators.layers import BatchNorm2d, Tanh

Norm = Literal["instance", "batch"]
NORMS = ("instance", "batch")


def norm_of(channels: int, kind: Norm = "instance") -> nn.Module:
    """Of each image's own statistics, with nothing learnt: biases before it do nothing, but are in authors' files. Or
    of the batch's, with a scale and a shift."""
    return nn.InstanceNorm2d(channels) if kind == "instance" else BatchNorm2d(channels)


class BlurDown(nn.Module):
    """Half the side, without aliasing: the binomial filter 1 2 1 over a mirrored border (Zhang, ICML 2019).

    Args:
        channels: C, each filtered alike.
    """

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 2.0, 1.0]) / 4
        self.register_buffer("filt", torch.outer(row, row).expand(channels, 1, 3, 3).clone())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, H / 2, W / 2), rounded up."""
        padded = functional.pad(x, (1, 1, 1, 1), mode="reflect")
        return functional.conv2d(padded, self.filt.to(x.dtype), stride=2, groups=x.shape[1])


class BlurUp(nn.Module):
    """Twice the side, without a checkerboard: the filter 1 3 3 1 over a repeated border, which is bilinear.

    Args:
        channels: C, each filtered alike.
    """

    filt: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        row = torch.tensor([1.0, 3.0, 3.0, 1.0]) / 4
        self.register_buffer("filt", torch.outer(row, row).expand(channels, 1, 4, 4).clone())

    def forward(self, x: Tensor) -> Tensor:
        """(B, C, H, W) to (B, C, 2H, 2W)."""
        padded = functional.pad(x, (1, 1, 1, 1), mode="replicate")
        return functional.conv_transpose2d(padded, self.filt.to(x.dtype), stride=2, padding=3, groups=x.shape[1])


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions over mirrored borders, added to their input, nothing after the sum.

    Args:
        width: channels.
        dilation: of both convolutions; 2 lets the block see 9 x 9 pixels in place of 5 x 5.
        norm: after each of them.
    """

    def __init__(self, width: int, dilation: int = 1, norm: Norm = "instance") -> None:
        super().__init__()
        self.conv_block = nn.Sequential(
            nn.ReflectionPad2d(dilation),
            nn.Conv2d(width, width, 3, dilation=dilation),
            norm_of(width, norm),
            nn.ReLU(inplace=True),
            nn.ReflectionPad2d(dilation),
            nn.Conv2d(width, width, 3, dilation=dilation),
            norm_of(width, norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        return x + self.conv_block(x)


class ResnetGenerator(nn.Module):
    """Residual blocks at a quarter of the side (sect. 7.2: c7s1-64, d128, d256, R256 x blocks, u128, u64, c7s1-3).

    Args:
        width: channels after the first convolution; four times as many in the residual blocks.
        blocks: residual blocks; 9 for 256 px and above, 6 for 128.
        antialias: resample through blur filters, as github.com/taesungp/contrastive-unpaired-translation does, in
            place of strided convolutions.
        dilation: of the residual blocks' convolutions.
        norm: of each image's statistics, or of the batch's.
    """

    def __init__(
        self, width: int = 64, blocks: int = 9, antialias: bool = False, dilation: int = 1, norm: Norm = "instance"
    ) -> None:
        super().__init__()

        def rectified(channels: int) -> list[nn.Module]:
            return [norm_of(channels, norm), nn.ReLU(inplace=True)]

        def down(narrow: int) -> list[nn.Module]:
            if antialias:
                return [nn.Conv2d(narrow, 2 * narrow, 3, 1, 1), *rectified(2 * narrow), BlurDown(2 * narrow)]
            return [nn.Conv2d(narrow, 2 * narrow, 3, 2, 1), *rectified(2 * narrow)]

        def up(wide: int) -> list[nn.Module]:
            if antialias:
                return [BlurUp(wide), nn.Conv2d(wide, wide // 2, 3, 1, 1), *rectified(wide // 2)]
            return [nn.ConvTranspose2d(wide, wide // 2, 3, 2, 1, output_padding=1), *rectified(wide // 2)]

        self.model = nn.Sequential(
            nn.ReflectionPad2d(3),
            nn.Conv2d(3, width, 7),
            *rectified(width),
            *down(width),
            *down(2 * width),
            *(ResidualBlock(4 * width, dilation, norm) for _ in range(blocks)),
            *up(4 * width),
            *up(2 * width),
            nn.ReflectionPad2d(3),
            nn.Conv2d(width, 3, 7),
            Tanh(),
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to the same shape, in (-1, 1)."""
        output: Tensor = self.model(image)
        return output


class PatchDiscriminator(nn.Module):
    """Scores each 70 x 70 patch of an image as real or fake (sect. 7.2: C64-C128-C256-C512).

    The paper has stride 2 throughout; only with the last two convolutions of stride 1, as in the released code, does a
    patch measure 70 px.

    Args:
        width: channels after the first convolution; doubled three times.
        antialias: resample through blur filters in place of strided convolutions.
        norm: of each image's statistics, or of the batch's.
        depth: convolutions that halve the side: 3, or fewer for small images (2: patches of 34 px).
    """

    def __init__(self, width: int = 64, antialias: bool = False, norm: Norm = "instance", depth: int = 3) -> None:
        super().__init__()

        def halved(narrow: int, wide: int, normed: bool = True) -> list[nn.Module]:
            convolution = nn.Conv2d(narrow, wide, 4, 1 if antialias else 2, 1)
            after = [*([norm_of(wide, norm)] if normed else []), nn.LeakyReLU(0.2, inplace=True)]
            return [convolution, *after, *([BlurDown(wide)] if antialias else [])]

        last = width << (depth - 1)
        self.model = nn.Sequential(
            *halved(3, width, normed=False),
            *(layer for level in range(1, depth) for layer in halved(width << (level - 1), width << level)),
            nn.Conv2d(last, 2 * last, 4, 1, 1),
            norm_of(2 * last, norm),
            nn.LeakyReLU(0.2, inplace=True),
            nn.Conv2d(2 * last, 1, 4, 1, 1),
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) to (B, 1, H / 8 - 2, W / 8 - 2), at depth 3, before any sigmoid."""
        scores: Tensor = self.model(image)
        return scores


def initialise(module: nn.Module) -> None:
    """Draw a convolution's weights from N(0, 0.02), a batch norm's scales from N(1, 0.02); no biases."""
    if isinstance(module, nn.BatchNorm2d):
        nn.init.normal_(module.weight, 1, 0.02)
        nn.init.zeros_(module.bias)
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)
