"""LOMIT: what an exemplar shows, painted where it belongs (anonymous authors, submitted to ICLR 2019).

"Local mask-based image-to-image translation via pixel-wise highway adaptive instance normalization". The paper says x1
for the image, x2 for the exemplar, c for content, m for a mask of what is rewritten (the foreground), s^f and s^b for
the styles of foreground and background, A for the network that draws masks, h for HAdaIN, x12 for x1 in the style of
x2. Training makes x21, too: here the images of both orders are the rows of one batch, x1 before x2 and x12 before x21.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from functools import partial
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from translators.base import Translator
from translators.checks import (
    check_binary,
    check_image,
    check_known,
    check_label,
    check_least,
    check_pixels,
    check_size,
)
from translators.layers import BatchNorm2d, Sigmoid, Tanh, initialise_he, precise
from translators.losses import ADVERSARIES, attribute_loss, distance, gradient_penalty, total_variation
from translators.types import Batch, Phase, Target, Translation

MaskEdit = Tensor | Callable[[Tensor], Tensor]
"""A map that a mask is multiplied by, or a function of the mask that gives another."""

ORDERS = 2  # losses are sums over x1 -> x2 and x2 -> x1: twice the mean over the rows of both
PAIRED = 4096  # places of a mask, at most, that R1 compares each with each: 64 x 64, some 0.8 GB for an image
DRAWN = 1024  # of a larger mask so many, drawn anew each time


class Parts(NamedTuple):
    """What images are taken apart into (eqs. 1 and 2); those of the one half are the exemplars of the other."""

    content: Tensor  # (2B, C, H / 4, W / 4), c
    mask: Tensor  # (2B, 1, H / 4, W / 4) in (0, 1), m
    foreground: Tensor  # (2B, S), s^f
    background: Tensor  # (2B, S), s^b


def swapped(rows: Tensor) -> Tensor:
    """Each row's partner in its place: (2B, ...), x1's before x2's, to x2's before x1's."""
    return rows.roll(len(rows) // 2, 0)


# ------------------------------------------------------------------------------------------------ networks


instance_norm = partial(nn.InstanceNorm2d, affine=True)
layer_norm = partial(nn.GroupNorm, 1)  # over all channels and places; a scale and a shift for each channel


class Convolution(nn.Module):
    """A convolution over mirrored borders, a norm, an activation; the parameters' names are the authors'."""

    def __init__(
        self,
        channels: int,
        width: int,
        kernel: int,
        stride: int = 1,
        norm: Callable[[int], nn.Module] | None = None,
        activation: nn.Module | None = None,
    ) -> None:
        super().__init__()
        if norm is not None:
            self.norm = norm(width)
        self.conv = nn.Conv2d(channels, width, kernel, stride, (kernel - 1) // 2, padding_mode="reflect")
        self.activation = nn.Identity() if activation is None else activation

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels, H, W) to (B, width, H / stride, W / stride), rounded down."""
        h = self.conv(x)
        output: Tensor = self.activation(self.norm(h) if hasattr(self, "norm") else h)
        return output


class Perceptron(nn.Module):
    """Linear layers, an activation behind each."""

    def __init__(self, channels: int, *layers: tuple[int, nn.Module]) -> None:
        super().__init__()
        self.main = nn.Sequential()
        for width, activation in layers:
            self.main.append(nn.Sequential(OrderedDict(fc=nn.Linear(channels, width), activation=activation)))
            channels = width

    def forward(self, x: Tensor) -> Tensor:
        """(B, channels) to (B, width of the last layer)."""
        output: Tensor = self.main(x)
        return output


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions added to their input, nothing after the sum."""

    def __init__(self, width: int, norm: Callable[[int], nn.Module]) -> None:
        super().__init__()
        self.main = nn.Sequential(
            Convolution(width, width, 3, norm=norm, activation=nn.ReLU(inplace=True)),
            Convolution(width, width, 3, norm=norm),
        )

    def forward(self, x: Tensor) -> Tensor:
        """(B, width, H, W) to the same shape."""
        return x + self.main(x)


class ContentEncoder(nn.Module):
    """E_c: an image's structure, at a quarter of its side (sect. 7.1).

    Args:
        width: channels after the first convolution; four times as many come out.
        blocks: residual blocks.
    """

    def __init__(self, width: int = 64, blocks: int = 4) -> None:
        super().__init__()
        self.main = nn.Sequential(
            Convolution(3, width, 7, 1, instance_norm, nn.ReLU(inplace=True)),
            Convolution(width, 2 * width, 4, 2, instance_norm, nn.ReLU(inplace=True)),
            Convolution(2 * width, 4 * width, 4, 2, instance_norm, nn.ReLU(inplace=True)),
            *(ResidualBlock(4 * width, instance_norm) for _ in range(blocks)),
        )

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to c, (B, 4 * width, H / 4, W / 4), unbounded."""
        output: Tensor = self.main(image)
        return output


class StyleEncoder(nn.Module):
    """E_s^f and E_s^b, which share their first layers (sect. 7.1); without norms, which would take the style away.

    Args:
        width: channels after the first convolution.
        style_dim: S, length of a style code.
        share_branches: let the other layers be the same, too, as they are in the authors' code.
    """

    def __init__(self, width: int = 64, style_dim: int = 8, share_branches: bool = False) -> None:
        super().__init__()

        def down(narrow: int, wide: int) -> Convolution:
            return Convolution(narrow, wide, 4, 2, activation=nn.LeakyReLU(0.01, inplace=True))

        def branch() -> nn.Sequential:
            return nn.Sequential(
                down(4 * width, 4 * width),
                down(4 * width, 4 * width),
                nn.AdaptiveAvgPool2d(1),
                nn.Conv2d(4 * width, style_dim, 1),
            )

        first = Convolution(3, width, 7, activation=nn.LeakyReLU(0.01, inplace=True))
        self.shared = nn.Sequential(first, down(width, 2 * width), down(2 * width, 4 * width))
        self.foreground = branch()
        self.background = self.foreground if share_branches else branch()

    def forward(self, foreground: Tensor, background: Tensor) -> tuple[Tensor, Tensor]:
        """x^f and x^b, (B, 3, H, W) each, to s^f and s^b, (B, S) each."""
        h_foreground, h_background = self.shared(torch.cat([foreground, background])).chunk(2)
        return self.foreground(h_foreground).flatten(1), self.background(h_background).flatten(1)


class CoSegmentation(nn.Module):
    """What of an image is to change, seeing what another shows: a gate for the channels, and A (sect. 3.1, fig. 3).

    Args:
        channels: C, of the contents.
        gate_pool: what the gate sees of the other's content: its average over all places, or halfway from there to its
            maximum. All norms of E_c make averages that hardly differ from image to image; maxima do, which are an
            addition of this project.
    """

    def __init__(self, channels: int = 256, gate_pool: str = "avg") -> None:
        super().__init__()
        self.gate_pool = gate_pool
        self.main = nn.Sequential(
            *(Convolution(channels, channels, 3, 1, BatchNorm2d, nn.ReLU(inplace=True)) for _ in range(6)),
            Convolution(channels, 1, 1, activation=Sigmoid()),
        )
        self.co_attn = Perceptron(channels, (2 * channels, nn.Tanh()), (channels, nn.Sigmoid()))

    def gate(self, content: Tensor) -> Tensor:
        """c_attn, a factor in (0, 1) for each channel of an image's partner: (B, C, h, w) to (B, C, 1, 1)."""
        with torch.autocast(content.device.type, enabled=False):  # averages of two exemplars differ by some thousandths
            content = precise(content)
            pooled = content.mean((2, 3))
            if self.gate_pool == "avgmax":
                pooled = (pooled + content.amax((2, 3))) / 2
            factors: Tensor = self.co_attn(pooled)
        return factors[:, :, None, None]

    def forward(self, content: Tensor, other: Tensor) -> Tensor:
        """Content of the images and of their partners, (B, C, h, w) each, to m of the images, (B, 1, h, w)."""
        mask: Tensor = self.main(self.gate(other) * content)
        return mask


def normalised(content: Tensor, std_mode: str = "spatial") -> Tensor:
    """Each channel of each image with mean 0 and deviation 1 (in eq. 3): (B, C, H, W) to the same shape.

    The authors' code takes for the deviation that of the rows' deviations ("nested"): far less, so that its result is
    some times too large, which their weights have learnt to live with.
    """
    content = precise(content)
    if std_mode == "nested":
        deviation = content.std(3, keepdim=True).std(2, keepdim=True)
    else:  # of a flat channel 0, at which the root has no slope
        deviation = content.var((2, 3), keepdim=True).clamp(min=1e-20).sqrt()
    return (content - content.mean((2, 3), keepdim=True)) / (deviation + 1e-5)


def adain(content: Tensor, parameters: Tensor) -> Tensor:
    """Eq. 3: a normalised content (B, C, H, W) under a shift and a scale for each channel, (B, 2C).

    The scale is given by its logarithm, twice that, so that it is positive; the paper has it as it is.
    """
    shift, log_variance = precise(parameters)[:, :, None, None].chunk(2, dim=1)
    return (log_variance / 2).exp() * content + shift


class Decoder(nn.Module):
    """G and, before it, HAdaIN: content and styles to an image (sects. 3.2 and 7.1).

    Args:
        width: channels before the last convolution; four times as many come in.
        blocks: residual blocks.
        style_dim: S, length of a style code.
        mlp_dim: width of the layers that make shifts and scales of a style.
        std_mode: of `normalised`.
    """

    def __init__(
        self, width: int = 64, blocks: int = 4, style_dim: int = 8, mlp_dim: int = 256, std_mode: str = "spatial"
    ) -> None:
        super().__init__()
        self.std_mode = std_mode

        def perceptron() -> Perceptron:
            hidden = (mlp_dim, nn.LeakyReLU(0.01, inplace=True))
            return Perceptron(style_dim, hidden, hidden, (8 * width, nn.Identity()))

        self.main = nn.Sequential(
            *(ResidualBlock(4 * width, layer_norm) for _ in range(blocks)),
            nn.Upsample(scale_factor=2),
            Convolution(4 * width, 2 * width, 5, 1, layer_norm, nn.ReLU(inplace=True)),
            nn.Upsample(scale_factor=2),
            Convolution(2 * width, width, 5, 1, layer_norm, nn.ReLU(inplace=True)),
            Convolution(width, 3, 7, activation=Tanh()),
        )
        self.f_mlp = perceptron()
        self.b_mlp = perceptron()

    def hadain(self, content: Tensor, mask: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
        """Eq. 4: the style of the foreground where the mask is 1, that of the background where it is 0."""
        content = normalised(content, self.std_mode)
        return mask * adain(content, self.f_mlp(foreground)) + (1 - mask) * adain(content, self.b_mlp(background))

    def forward(self, content: Tensor, mask: Tensor, foreground: Tensor, background: Tensor) -> Tensor:
        """(B, C, h, w), (B, 1, h, w) in [0, 1] and styles (B, S) to (B, 3, 4h, 4w) in (-1, 1)."""
        image: Tensor = self.main(self.hadain(content, mask, foreground, background))
        return image


class Discriminator(nn.Module):
    """D: scores patches, and tells the attributes of the whole image (sect. 7.1), over mirrored borders.

    Args:
        num_attributes: K, how many numbers it tells.
        image_size: side of the only images it takes; a multiple of 2**depth, and twice that or more.
        width: channels after the first convolution; each further one doubles them, up to 32 times as many.
        depth: convolutions, each halving the side.

    Raises:
        ValueError: if the image size does not suit the depth.
    """

    def __init__(self, num_attributes: int, image_size: int = 128, width: int = 64, depth: int = 6) -> None:
        super().__init__()
        check_least(1, depth=depth)
        side, rest = divmod(image_size, 2**depth)
        if side < 2 or rest:  # of a single place no border can be mirrored
            raise ValueError(
                f"image_size {image_size} does not suit a discriminator of depth {depth}: use a multiple of "
                f"{2**depth} from {2 ** (depth + 1)} on, or a smaller depth"
            )
        self.image_size = image_size
        channels = [3, *(width * min(2**level, 32) for level in range(depth))]
        self.main = nn.Sequential(
            *(
                Convolution(narrow, wide, 4, 2, activation=nn.LeakyReLU(0.01, inplace=True))
                for narrow, wide in pairwise(channels)
            )
        )
        self.conv1 = Convolution(channels[-1], 1, 3)  # the scores, D_src
        self.conv2 = nn.Conv2d(channels[-1], num_attributes, side)  # the attributes, D_cls

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, image_size, image_size) to scores (B, 1, side, side) and attributes (B, K), both unbounded.

        Raises:
            ValueError: if the images have another size.
        """
        check_size(image, self.image_size)
        h = self.main(image)
        return self.conv1(h), self.conv2(h).flatten(1)


def _initialise(player: nn.Module, draw: Callable[[Tensor], Any]) -> None:
    """Draw the weights of all convolutions and linear layers; their biases become 0."""
    for module in player.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            draw(module.weight)
            nn.init.zeros_(module.get_parameter("bias"))


# ------------------------------------------------------------------------------------------------ losses and masks


def pairwise_difference(masks: Tensor, content: Tensor) -> Tensor:
    """R1, how different masks are at places of like content (eq. 13), as a mean over all pairs of places.

    The paper's sum would be some million times that at 32 x 32, and its weight is one for the mean. A pair of contents
    that point apart (the cosine is negative) counts for different masks. In float32 at least: it holds N x N numbers
    for each mask.

    Args:
        masks: (B, M, N), M masks of each image at N places.
        content: (B, C, N), of which no gradient is taken.

    Returns:
        Scalar: the mean over images and pairs, the sum over the M.
    """
    with torch.autocast(masks.device.type, enabled=False):
        masks, content = precise(masks), functional.normalize(precise(content.detach()), dim=1, eps=1e-8)
        cosine = content.mT @ content
        return ((masks[:, :, :, None] - masks[:, :, None]).abs() * cosine[:, None]).mean((0, 2, 3)).sum()


def _distance(ours: Tensor, theirs: Tensor) -> Tensor:
    """The L1 norm of the losses, of both orders."""
    return ORDERS * distance(ours, theirs)


def _upsampled(mask: Tensor, like: Tensor) -> Tensor:
    """A mask (B, 1, h, w) at the size of images (B, 3, H, W)."""
    return functional.interpolate(mask, like.shape[2:], mode="bilinear")


def _edited(name: str, mask: Tensor, edit: MaskEdit | None, like: Tensor) -> Tensor:
    """A mask (B, 1, h, w) of the images ``like`` (B, 3, H, W) after a user's edit, checked."""
    if edit is None:
        return mask
    given = edit(mask) if callable(edit) else edit
    sizes = [tuple(mask.shape), (*mask.shape[:2], *like.shape[2:])]
    if not isinstance(given, Tensor) or tuple(given.shape) not in sizes:
        got = tuple(given.shape) if isinstance(given, Tensor) else type(given).__name__
        raise ValueError(f"{name} must be a map, or give one, of shape {sizes[0]} or {sizes[1]}, got {got}")
    if not ((given >= 0) & (given <= 1)).all():
        span = f"{given.min().item():g} to {given.max().item():g}"
        raise ValueError(f"{name} must lie in [0, 1], 0 where nothing is to be rewritten, got {span}: clamp it")
    given = functional.interpolate(given.to(mask), mask.shape[2:], mode="area")
    return given if callable(edit) else mask * given


# ------------------------------------------------------------------------------------------------ the translator


class LOMIT(Translator):
    """Paints an image anew in the foreground's style of an exemplar, where a mask says, and else in its own.

    The exemplar alone decides what is to change: the generator sees no label. Labels teach the discriminator what the
    attributes look like, which then asks of a translation those of its exemplar. Training translates both ways at once.

    Args:
        attributes: names of the label's K entries, in order. The paper trains a model for each group of attributes
            that belong together, such as hair colours and smiles.
        one_hot: exactly one attribute is 1 (expressions of RaFD), or any number of them (CelebA).
        image_size: side of the images of training, at least 16; a multiple of 2**depth, and twice that or more.
            `translate` takes other multiples of 4 too.
        generator_width: channels after the encoders' first convolutions.
        discriminator_width: likewise the discriminator's.
        blocks: residual blocks of the content encoder, and of the decoder.
        depth: strided convolutions of the discriminator.
        style_dim: length of a style code.
        mlp_dim: width of the layers that make HAdaIN's shifts and scales of a style.
        gan_mode: the adversarial term: WGAN-GP (eq. 10), the logistic one, or least squares. Only the first has the
            penalty "gp".
        gate_pool: what of the exemplar's content opens and shuts the channels that the mask is drawn from: averages, or
            maxima too ("avgmax"), an addition of this project (`CoSegmentation`).
        std_mode: "nested" for weights trained with the authors' code (`normalised`).
        share_style_branches: let both style encoders be the same network: likewise.
        r1_stop_content: draw the masks of R1 from contents that take no gradient, so that it really does not affect
            E_c (sect. 4.5); in the authors' code it still does, along the masks.
        he_init: draw the discriminator's weights after He et al. in place of N(0, 0.02): an addition of this project
            for short trainings, in which those smaller ones learn attributes late or never.
        lambda_cls: weight of the attribute terms. On labels that are not one-hot these are sums over the attributes.
        lambda_gp: weight of the gradient penalty.
        lambda_cyc: weight of the cycle.
        lambda_rec: weight of an image's reconstruction from its own content and styles.
        lambda_foreground: weight of the foreground style's reconstruction.
        lambda_background: weight of the background style's.
        lambda_content: weight of the content's.
        lambda_pairwise: weight of R1; at 0 it is not computed.
        lambda_difference: weight of R2.
        lambda_mask: weight of R3.
        lambda_tv: weight of the masks' total variation, in the authors' code but 0 there; at 0 it is not computed.
        n_critic: discriminator updates per generator update.
        training: what every `Translator` takes. `accumulate` changes an update a little here: the batch norms of the
            masks see each part by itself. (They see both orders at once, where the authors' code draws the masks of
            one after the other's.) A picture of one colour costs its batch the generator's update: norms divide by
            next to nothing, and gradients as good as infinite are skipped.

    Raises:
        ValueError: if a size or a name is none of these.
    """

    generator: nn.ModuleDict

    schedule = (Phase(steps=200_000, decay=100_000, stairs=10),)
    guide = "reference"
    bound_to_weights = ("gate_pool", "std_mode", "share_style_branches")

    def __init__(
        self,
        attributes: Sequence[str],
        one_hot: bool = False,
        image_size: int = 128,
        generator_width: int = 64,
        discriminator_width: int = 64,
        blocks: int = 4,
        depth: int = 6,
        style_dim: int = 8,
        mlp_dim: int = 256,
        gan_mode: Literal["wgan-gp", "vanilla", "lsgan"] = "wgan-gp",
        gate_pool: Literal["avg", "avgmax"] = "avg",
        std_mode: Literal["spatial", "nested"] = "spatial",
        share_style_branches: bool = False,
        r1_stop_content: bool = False,
        he_init: bool = False,
        lambda_cls: float = 1.0,
        lambda_gp: float = 10.0,
        lambda_cyc: float = 10.0,
        lambda_rec: float = 10.0,
        lambda_foreground: float = 1.0,
        lambda_background: float = 1.0,
        lambda_content: float = 1.0,
        lambda_pairwise: float = 0.1,
        lambda_difference: float = 0.01,
        lambda_mask: float = 1e-4,
        lambda_tv: float = 0.0,
        n_critic: int = 5,
        **training: Any,
    ) -> None:
        super().__init__(attributes=attributes, one_hot=one_hot, n_critic=n_critic, **training)
        check_known("gan_mode", gan_mode, ADVERSARIES)
        check_known("gate_pool", gate_pool, ("avg", "avgmax"))
        check_known("std_mode", std_mode, ("spatial", "nested"))
        check_least(1, generator_width=generator_width, discriminator_width=discriminator_width)
        check_least(1, style_dim=style_dim, mlp_dim=mlp_dim)
        check_least(0, blocks=blocks)
        check_least(16, image_size=image_size)
        self.adversary = ADVERSARIES[gan_mode]
        self.penalised = gan_mode == "wgan-gp"
        self.generator = nn.ModuleDict(
            {
                "c_encoder": ContentEncoder(generator_width, blocks),
                "s_encoder": StyleEncoder(generator_width, style_dim, share_style_branches),
                "mask": CoSegmentation(4 * generator_width, gate_pool),
                "decoder": Decoder(generator_width, blocks, style_dim, mlp_dim, std_mode),
            }
        )
        self.discriminator = Discriminator(len(attributes), image_size, discriminator_width, depth)
        if image_size % 4:
            raise ValueError(f"image_size must be a multiple of 4, got {image_size}")
        _initialise(self.generator, nn.init.kaiming_normal_)  # sect. 7.2, He et al.
        _initialise(self.discriminator, partial(nn.init.normal_, std=0.02))
        if he_init:
            initialise_he(self.discriminator)

    def lr_scale(self, step: int) -> float:
        """A decay in stairs halves the phase's rate with each (sect. 7.2), though not to below ``final``."""
        phase, start = self._phase_at(step)
        if not phase.stairs:
            return super().lr_scale(step)
        fallen = max(0, step - (start + phase.steps - phase.decay))  # iterations into the decay
        return phase.rate * max(phase.final, 0.5 ** (fallen // (phase.decay // phase.stairs)))

    # ------------------------------------------------------------------------------------------ translating

    def translate(
        self,
        image: Tensor,
        target: Target,
        mask_edit: MaskEdit | None = None,
        exemplar_mask_edit: MaskEdit | None = None,
    ) -> Translation:
        """Give the images the foreground's style of their exemplars.

        A model of several attributes makes an edit of one of them when the region of the others is erased from both
        masks (sect. 5.3, fig. 4). An edit is a map from 0 to 1, (B, 1, H / 4, W / 4) or (B, 1, H, W), that the mask is
        multiplied by; or a function that is given the mask, (B, 1, H / 4, W / 4), and gives the one to be used, of
        either size, which may well be painted by hand: ``lambda mask: painted``.

        Args:
            image: (B, 3, H, W) in [-1, 1]; H and W multiples of 4, at least 16.
            target: of which `reference` is read, as many exemplars of the same size.
            mask_edit: of m1, what is rewritten.
            exemplar_mask_edit: of m2, where the exemplar's style is taken from.

        Returns:
            `mask` is m1; extras, pictures in [-1, 1] all of them: ``exemplar_mask``, m2; and what the style encoders
            see, grey where it is masked: ``foreground``, ``background``, ``exemplar_foreground`` and
            ``exemplar_background``.

        Raises:
            ValueError: if images, exemplars or edits are anything else.
        """
        images = self._paired(image, target)
        parts = self._parts(images, mask_edit, exemplar_mask_edit)
        content, mask, background = (rows[: len(image)] for rows in (parts.content, parts.mask, parts.background))
        (whole, theirs), (seen, unseen) = _upsampled(parts.mask, images).chunk(2), _split(images, parts.mask)
        (foreground, their_foreground), (rest, their_rest) = seen.chunk(2), unseen.chunk(2)
        return Translation(
            image=self.generator["decoder"](content, mask, parts.foreground[len(image) :], background),
            mask=whole,
            extras={
                "exemplar_mask": 2 * theirs - 1,
                "foreground": foreground,
                "background": rest,
                "exemplar_foreground": their_foreground,
                "exemplar_background": their_rest,
            },
        )

    def _paired(self, image: Tensor, target: Target) -> Tensor:
        """(2B, 3, H, W): the images, then their exemplars."""
        check_image("LOMIT", image, least=16)
        if target.reference is None or target.reference.shape != image.shape:
            got = "none" if target.reference is None else tuple(target.reference.shape)
            raise ValueError(
                f"LOMIT needs an exemplar for each image, of the same size: give the target a reference of shape "
                f"{tuple(image.shape)}, got {got}"
            )
        check_pixels(target.reference)
        return torch.cat([image, target.reference.to(image)])

    def _parts(
        self, images: Tensor, mask_edit: MaskEdit | None = None, exemplar_mask_edit: MaskEdit | None = None
    ) -> Parts:
        """Take images (2B, 3, H, W) apart, the two halves each other's exemplars; edits come before styles."""
        content = self.generator["c_encoder"](images)
        mask = self.generator["mask"](content, swapped(content))  # sect. 3.1
        edits = {"mask_edit": mask_edit, "exemplar_mask_edit": exemplar_mask_edit}
        halves = zip(edits.items(), mask.chunk(2), images.chunk(2), strict=True)
        mask = torch.cat([_edited(name, half, edit, like) for (name, edit), half, like in halves])
        return Parts(content, mask, *self.generator["s_encoder"](*_split(images, mask)))

    def _crossed(self, parts: Parts) -> Tensor:
        """x12, then x21: each image in the foreground's style of its partner, (2B, 3, H, W)."""
        image: Tensor = self.generator["decoder"](
            parts.content, parts.mask, swapped(parts.foreground), parts.background
        )
        return image

    # ------------------------------------------------------------------------------------------ losses

    def discriminator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Terms adv, cls and, for WGAN-GP, gp; their weighted sum is L_D of eq. 16."""
        real, label = self._paired(batch["image"], target), self._labels(batch, target)
        images = self.shown(torch.cat([real, self._crossed(self._parts(real))]))
        scores, logits = self.discriminator(images)  # no norms: the same as one after the other
        (real, fake), (real_score, fake_score) = images.chunk(2), scores.chunk(2)
        terms = {
            "adv": self.adversary.discriminator(real_score, fake_score),  # eq. 10
            "cls": attribute_loss(logits[: len(real)], label, self.hparams["one_hot"]),  # eq. 11
        }
        if self.penalised:
            terms["gp"] = gradient_penalty(lambda x: self.discriminator.forward(x)[0], real, fake)  # eq. 10
        return {name: ORDERS * term for name, term in terms.items()}

    def generator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Terms adv, cls, cyc, rec, foreground, background, content, difference, mask and, if they weigh anything,
        pairwise and tv; their weighted sum is L_G of eq. 16.

        Terms pairwise, mask and tv are of three masks an image: its own beside its exemplar, its translation's, and its
        own beside itself, from which it is reconstructed. R1 compares a translation's mask, too, with the content of
        the image.
        """
        images, label = self._paired(batch["image"], target), self._labels(batch, target)
        parts = self._parts(images)
        fake = self._crossed(parts)
        again = self._parts(fake)
        own_mask = self.generator["mask"](parts.content, parts.content)
        own = self.generator["decoder"](parts.content, own_mask, parts.foreground, parts.background)
        score, logits = self.discriminator(self.shown(fake))
        masks = torch.cat([parts.mask, again.mask, own_mask], dim=1)
        self.note(m_mean=parts.mask.mean(), m_min=parts.mask.amin(), m_max=parts.mask.amax())  # at 0 nothing changes
        terms = {
            "adv": ORDERS * self.adversary.generator(score),  # eq. 10
            "cls": ORDERS * attribute_loss(logits, swapped(label), self.hparams["one_hot"]),  # eq. 12
            "cyc": _distance(self._crossed(again), images),  # eq. 8
            "rec": _distance(own, images),  # eq. 9
            "foreground": _distance(again.foreground, swapped(parts.foreground)),  # eq. 5
            "background": _distance(again.background, parts.background),  # eq. 6
            "content": _distance(again.content, parts.content),  # eq. 7
            "difference": -_distance(parts.foreground, swapped(parts.foreground)) / ORDERS,  # eq. 14, R2: of one pair
            "mask": ORDERS * masks.mean((0, 2, 3)).sum(),  # eq. 15, R3, as a mean
        }
        if self.hparams["lambda_pairwise"]:
            compared = self._masks_of(parts, again) if self.hparams["r1_stop_content"] else masks
            terms["pairwise"] = ORDERS * self._pairwise(compared, parts.content)  # eq. 13, R1
        if self.hparams["lambda_tv"]:
            terms["tv"] = ORDERS * total_variation(masks)
        return terms

    def _masks_of(self, parts: Parts, again: Parts) -> Tensor:
        """The three masks of each image anew, (2B, 3, h, w), from contents that take no gradient."""
        content, fake = parts.content.detach(), again.content.detach()
        pairs = ((content, swapped(content)), (fake, swapped(fake)), (content, content))
        return torch.cat([self.generator["mask"](*pair) for pair in pairs], dim=1)

    def _pairwise(self, masks: Tensor, content: Tensor) -> Tensor:
        """`pairwise_difference` of masks (2B, M, h, w) at all places, or if those are too many at some."""
        masks, content = masks.flatten(2), content.flatten(2)
        if masks.shape[2] > PAIRED:
            places = self.draw_places(len(masks), masks.shape[2])[:, None]
            masks, content = (maps.gather(2, places.expand(-1, maps.shape[1], -1)) for maps in (masks, content))
        return pairwise_difference(masks, content)

    def draw_places(self, count: int, places: int) -> Tensor:
        """For each of so many masks 1024 of their places, (count, 1024); the randomness is torch's global one."""
        return torch.rand(count, places, device=self.device).argsort(dim=1)[:, :DRAWN]

    def _labels(self, batch: Batch, target: Target) -> Tensor:
        """(2B, K): what the images show, then what their exemplars do."""
        given = (batch["label"], target.label)
        label = torch.cat([check_label(rows, len(batch["image"]), self.attributes) for rows in given])
        check_binary(label, self.hparams["one_hot"])
        return label


def _split(images: Tensor, mask: Tensor) -> tuple[Tensor, Tensor]:
    """x^f and x^b (eq. 1) of images (B, 3, H, W) under a mask (B, 1, h, w)."""
    whole = _upsampled(mask, images)
    return whole * images, (1 - whole) * images
