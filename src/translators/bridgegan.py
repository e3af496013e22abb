"""BridgeGAN: attributes from a label or a reference, by one space of codes (Huang, Zheng, Hu, Sun, Li, ICCV 2021).

arXiv 2110.05055. The paper writes Ys and Yt for what the source shows and what is wanted, R for noise, S for a code, M,
E and G for mapping network, encoder and generator, and att_diff for Yt - Ys, here d, each entry -1, 0 or 1. E is told
what an image has and another has not: a source goes with -d, a reference with d. The figures are the supplement's; of
the equations (10) and (11) are known by number.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import pairwise
from typing import Any, Literal, NamedTuple, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn import functional

from translators import strategy
from translators.base import Translator
from translators.checks import (
    check_binary,
    check_finite,
    check_known,
    check_label,
    check_least,
    check_pixels,
)
from translators.layers import Tanh, precise, with_planes
from translators.losses import ADVERSARIES, distance, gradient_penalty
from translators.types import Batch, Phase, Target, Translation

LATENT = 16  # numbers in a noise R


class SpatialNorm(nn.Module):
    """SPADE: an instance norm whose scale and shift come from a code, pixel by pixel (Park et al., CVPR 2019).

    Args:
        channels: of what is normalised.
        code_channels: of the code.
        width: channels between the code and the two.
    """

    def __init__(self, channels: int, code_channels: int, width: int) -> None:
        super().__init__()
        self.norm = nn.InstanceNorm2d(channels, eps=1e-6)
        self.shared = nn.Conv2d(code_channels, width, 3, 1, 1)
        self.gamma = nn.Conv2d(width, channels, 3, 1, 1)
        self.beta = nn.Conv2d(width, channels, 3, 1, 1)

    def forward(self, x: Tensor, code: Tensor) -> Tensor:
        """(B, channels, H, W) and a code (B, code_channels, any, any) to the shape of x."""
        h = self.shared(functional.interpolate(code, size=x.shape[2:])).relu()
        modulated: Tensor = self.norm(x) * (1 + self.gamma(h)) + self.beta(h)
        return modulated


class ResidualBlock(nn.Module):
    """Twice norm, activation and 3x3 convolution, added to the input; nothing after the sum.

    The shortcut has a 1x1 convolution where the block resamples or changes the channels.

    Args:
        channels: that come in.
        width: channels that go out.
        norm: makes the norm of so many channels.
        resample: doubles the side before the first convolution, or halves it after the second.
        slope: of the activation below 0.
    """

    def __init__(
        self,
        channels: int,
        width: int,
        norm: Callable[[int], nn.Module],
        resample: Literal["up", "down"] | None = None,
        slope: float = 0.0,
    ) -> None:
        super().__init__()
        self.norm1, self.conv1 = norm(channels), nn.Conv2d(channels, width, 3, 1, 1)
        self.norm2, self.conv2 = norm(width), nn.Conv2d(width, width, 3, 1, 1)
        self.shortcut = nn.Conv2d(channels, width, 1) if resample or channels != width else nn.Identity()
        self.activation = nn.LeakyReLU(slope) if slope else nn.ReLU()  # not in place: the input goes around, too
        self.up = nn.Upsample(scale_factor=2) if resample == "up" else nn.Identity()
        self.down = nn.AvgPool2d(2) if resample == "down" else nn.Identity()

    def forward(self, x: Tensor, *code: Tensor) -> Tensor:
        """(B, channels, H, W), and the code if the norms take one, to (B, width, H', W')."""
        h = self.conv1(self.up(self.activation(self.norm1(x, *code))))
        h = self.conv2(self.activation(self.norm2(h, *code)))
        summed: Tensor = self.down(self.up(self.shortcut(x)) + h)  # 1x1 convolutions and resampling commute
        return summed


def chain(
    widths: Sequence[int],
    norm: Callable[[int], nn.Module],
    resample: Literal["up", "down"] | None = None,
    slope: float = 0.0,
) -> list[ResidualBlock]:
    """Residual blocks from each of these channels to the next."""
    return [ResidualBlock(narrow, wide, norm, resample, slope) for narrow, wide in pairwise(widths)]


def instance_norm(channels: int) -> nn.Module:
    """With a scale and a shift of each channel."""
    return nn.InstanceNorm2d(channels, eps=1e-6, affine=True)


def code_side(image_size: int) -> int:
    """The side of a code: 64, at images of 128 px and more."""
    return min(64, image_size // 2)


def halvings(side: int, goal: int) -> int:
    """How often a power of two is halved until it is the other."""
    return (side // goal).bit_length() - 1


def _code_head(width: int) -> nn.Sequential:
    """The end of M and of E: codes are at least 0."""
    return nn.Sequential(nn.ReLU(), nn.Conv2d(width, width, 1), instance_norm(width), nn.ReLU())


class Generator(nn.Module):
    """G: down to 16 px with instance norms, up again with the code in every norm (fig. 2).

    Args:
        image_size: side of the images; it alone decides how many blocks there are.
        width: channels after the first convolution; each halving doubles them, up to eight times as many.
        code_channels: of the codes.
        spade_width: channels between a code and the scale and shift of a norm.
    """

    def __init__(self, image_size: int = 128, width: int = 32, code_channels: int = 32, spade_width: int = 128) -> None:
        super().__init__()

        def spade(channels: int) -> nn.Module:
            return SpatialNorm(channels, code_channels, spade_width)

        levels = max(1, halvings(image_size, 16))
        widths = [width * min(2**level, 8) for level in range(levels + 1)]
        self.stem = nn.Conv2d(3, width, 1)
        middle = [widths[-1], widths[-1]]
        self.encoding = nn.Sequential(*chain(widths, instance_norm, "down"), *chain(middle, instance_norm))
        self.decoding = nn.ModuleList([*chain(middle, spade), *chain(widths[::-1], spade, "up")])
        self.head = nn.Sequential(nn.ReLU(), nn.Conv2d(width, 3, 1), Tanh())

    def forward(self, image: Tensor, code: Tensor) -> Tensor:
        """(B, 3, H, W) and n codes for each image, (n B, C, h, w), one set behind the other, to (n B, 3, H, W)."""
        h = self.encoding(self.stem(image)).repeat(len(code) // len(image), 1, 1, 1)
        for block in self.decoding:
            h = block(h, code)
        painted: Tensor = self.head(h)
        return painted


class MappingNetwork(nn.Module):
    """M: a code from noise and a difference of labels (fig. 4).

    Args:
        num_attributes: K, length of the difference.
        image_size: side of the images, which decides on the code's.
        width: channels of the code.
    """

    def __init__(self, num_attributes: int, image_size: int = 128, width: int = 32) -> None:
        super().__init__()
        self.linear = nn.Linear(LATENT + num_attributes, 2 * width * 4 * 4)
        widths = [2 * width] + halvings(code_side(image_size), 4) * [width]
        self.blocks = nn.Sequential(*chain(widths, instance_norm, "up"))
        self.head = _code_head(width)

    def forward(self, noise: Tensor, difference: Tensor) -> Tensor:
        """(B, 16) from N(0, 1) and (B, K) to (B, width, side, side), at least 0."""
        h = self.linear(torch.cat([noise, difference.to(noise)], dim=1))
        h = h.unflatten(1, (4, 4, -1)).permute(0, 3, 1, 2)  # in the authors' order of rows, columns, channels
        code: Tensor = self.head(self.blocks(h.contiguous()))
        return code


class Encoder(nn.Module):
    """E: a code from an image and what it has that another has not (fig. 5).

    Args:
        num_attributes: K, length of the difference.
        image_size: side of the images.
        width: channels of the code; after the first convolution half as many.
    """

    def __init__(self, num_attributes: int, image_size: int = 128, width: int = 32) -> None:
        super().__init__()
        levels = halvings(image_size, code_side(image_size))
        widths = [width // 2] + levels * [width]
        self.stem = nn.Conv2d(3 + num_attributes, width // 2, 1)
        self.blocks = nn.Sequential(*chain(widths, instance_norm, "down"), *chain([width] * 4, instance_norm))
        self.head = _code_head(width)

    def forward(self, image: Tensor, difference: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] and (B, K) to (B, width, side, side), at least 0."""
        code: Tensor = self.head(self.blocks(self.stem(with_planes(image, difference))))
        return code


class Discriminator(nn.Module):
    """D and C, critic and classifier, which share all but their last two layers; no norms (fig. 3).

    Args:
        num_attributes: K, how many attributes C tells.
        image_size: side of the only images it takes.
        width: channels after the first convolution; each halving, down to 8 px, doubles them, up to 16 times as many.
    """

    def __init__(self, num_attributes: int, image_size: int = 128, width: int = 16) -> None:
        super().__init__()
        widths = [width * min(2**level, 16) for level in range(halvings(image_size, 8) + 1)]
        self.stem = nn.Conv2d(3, width, 1)
        self.blocks = nn.Sequential(*chain(widths, nn.Identity, "down", slope=0.2), nn.LeakyReLU(0.2))
        self.critic, self.classifier = (
            nn.Sequential(
                nn.Conv2d(widths[-1], widths[-1], 8), nn.LeakyReLU(0.2), nn.Flatten(), nn.Linear(widths[-1], outputs)
            )
            for outputs in (1, num_attributes)
        )

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, image_size, image_size) to scores (B, 1) and logits of the attributes (B, K)."""
        h = self.blocks(self.stem(image))
        return self.critic(h), self.classifier(h)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.Linear):
        nn.init.xavier_uniform_(module.weight)
        assert module.bias is not None  # here all have one
        nn.init.zeros_(module.bias)


def keeping_difference(label: Tensor, difference: Tensor) -> Tensor:
    """att_ak (eq. 11), (B, K): of what stays, 1 where the source has it not and -1 where it has; 0 of what changes."""
    return (1 - difference.abs()) * (1 - 2 * label)


def harder_noise(noise: Tensor, slope: Tensor) -> Tensor:
    """Noise of the bank, (B, 16), moved up its slope by a little more than 0.9, a root of mean squares, to [-1, 1]."""
    size = slope.square().mean(dim=1, keepdim=True).sqrt().clamp(min=1e-12)  # where it is flat, stay
    return (noise + (0.9 / size + 5) * slope).clamp(-1, 1)


def row_noise(index: Tensor) -> Tensor:
    """(B, 16) from N(0, 1), on the CPU; of each row of a split its own, the same at all times."""
    rows = [int(row) for row in index.tolist()]
    return torch.stack([torch.randn(LATENT, generator=torch.Generator().manual_seed(row)) for row in rows])


def _energy(code: Tensor, side: int) -> Tensor:
    """Where a code is strong, (B, 1, side, side): its mean over the channels, from -1 to 1 in each image."""
    mean = precise(code).mean(dim=1, keepdim=True)
    low, high = mean.amin((2, 3), keepdim=True), mean.amax((2, 3), keepdim=True)
    return functional.interpolate(2 * (mean - low) / (high - low).clamp(min=1e-6) - 1, size=side)


def _of_all_processes(rows: Tensor) -> Tensor:
    """(n B, ...) from the (B, ...) of each of n processes, in the order of their common batch, dealt like cards."""
    if strategy.processes() == 1:
        return rows
    parts = [torch.empty_like(rows) for _ in range(strategy.processes())]
    dist.all_gather(parts, rows.contiguous())
    return torch.stack(parts, dim=1).flatten(0, 1)


class Draw(NamedTuple):
    """All that training draws for a batch."""

    latent: Tensor  # (B, 16) from N(0, 1): R
    other: Tensor  # (B, 16) from N(0, 1): R1, which shall give another image
    mix: Tensor  # (B, 1, 1, 1) from U[0, 1): u, 1 for the label's code and 0 for the reference's


class BridgeGAN(Translator):
    """Any of the attributes changed, either to a label, with noise that says how, or as a reference has them.

    A target holds the whole wanted label, kept attributes included, 0 or 1 each, and a latent, noise R (B, 16) from
    N(0, 1), or a reference, of which the label is then said to be, or both, for results between the two. Attributes
    that exclude each other, such as hair colours, are taken as they are asked for: it is a datamodule's ``edits`` that
    clear the one where they propose the other. In training the references' labels are the targets; each batch is
    translated in all three ways.

    The defaults are the released code's, but for its noise bank and batches of 60; that code also draws a fresh batch
    for each update of the generator, and its targets from the batch itself. The supplement has batches of 48,
    lambda_cyc=100 and lambda_ak=100, and does not speak of the penalty.

    Args:
        attributes: names of the label's K entries, in order.
        one_hot: exactly one attribute is 1 (AFHQ), or any number of them (CelebA); C asks for each by itself all the
            same.
        image_size: side of the images, a power of two from 16 on. 128 is the paper's for CelebA; its networks for 256
            are not published, ours have one more block at each of G, E and D.
        generator_width: channels after G's first convolution.
        code_width: channels of a code, at least 2.
        spade_width: channels between a code and the scale and shift of G's norms.
        discriminator_width: channels after D's first convolution.
        gan_mode: the adversarial term: the paper's WGAN-GP, the logistic one, or least squares.
        ak_sign: of the difference that E is told in the term "ak": 1 as in eq. 11; -1 is what E's other uses suggest,
            an image's own label minus another's.
        cyc_detach: let the term "cyc" train M and E alone, as in the released code, and not G.
        noise_bank: keep a noise for every training picture and take that of the reference, moved away from what E sees
            in it, in place of a new draw, as in the released code. It needs a datamodule and is part of checkpoints,
            for a run that is resumed; one that starts from another's weights has a bank of its own.
        lambda_cls: weight of the attributes of generated images; a mean over the attributes, as in "cls_real".
        lambda_cls_real: weight of the attributes of real images, which C learns by.
        lambda_rec: weight of the reconstruction under d = 0.
        lambda_cyc: weight of each of the codes' two cycles.
        lambda_ak: weight of what is to be kept.
        lambda_sty: weight of the distance between the two codes.
        lambda_ms: weight of mode seeking: noise that differs shall give images that differ. It is a ratio of the
            batch's means; with `accumulate` or several processes of each part's.
        lambda_gp: weight of the gradient penalty.
        n_critic: discriminator updates per generator update.
        lr: Adam's learning rate.
        training: what every `Translator` takes.

    Raises:
        ValueError: if a size or a name is none of these.
    """

    # 50,500 updates of the generator. The released code divides the rate by 10 after each 100 of its epochs, and ends
    # with the 100th.
    schedule = (Phase(steps=252_500),)

    generator: nn.ModuleDict
    bank: Tensor | None  # (N, 16), of each picture of the training split

    def __init__(
        self,
        attributes: Sequence[str],
        one_hot: bool = False,
        image_size: int = 128,
        generator_width: int = 32,
        code_width: int = 32,
        spade_width: int = 128,
        discriminator_width: int = 16,
        gan_mode: Literal["wgan-gp", "vanilla", "lsgan"] = "wgan-gp",
        ak_sign: Literal[1, -1] = 1,
        cyc_detach: bool = True,
        noise_bank: bool = False,
        lambda_cls: float = 10.0,
        lambda_cls_real: float = 1.0,
        lambda_rec: float = 100.0,
        lambda_cyc: float = 50 / 3,
        lambda_ak: float = 50 / 3,
        lambda_sty: float = 50.0,
        lambda_ms: float = 0.005,
        lambda_gp: float = 10.0,
        n_critic: int = 5,
        lr: float = 2e-4,
        **training: Any,
    ) -> None:
        super().__init__(attributes=attributes, one_hot=one_hot, n_critic=n_critic, lr=lr, **training)
        check_known("gan_mode", gan_mode, ADVERSARIES)
        check_known("ak_sign", ak_sign, (1, -1))
        check_least(1, generator_width=generator_width, spade_width=spade_width)
        check_least(1, discriminator_width=discriminator_width)
        check_least(2, code_width=code_width)
        if image_size < 16 or image_size & (image_size - 1):
            raise ValueError(f"image_size must be a power of two, at least 16, such as 64 or 128, got {image_size}")
        count = len(attributes)
        self.adversary = ADVERSARIES[gan_mode]
        self.penalised = gan_mode == "wgan-gp"
        self.generator = nn.ModuleDict(
            {
                "synthesis": Generator(image_size, generator_width, code_width, spade_width),
                "mapping": MappingNetwork(count, image_size, code_width),
                "encoder": Encoder(count, image_size, code_width),
            }
        )
        self.discriminator = Discriminator(count, image_size, discriminator_width)
        self.apply(_initialise)
        self.register_buffer("bank", None, persistent=False)
        self._harder: tuple[Tensor, Tensor] | None = None  # rows and noise that the generator's update will write back

    # ------------------------------------------------------------------------------------------------ translation

    def translate(self, image: Tensor, target: Target, strength: float = 1.0, mix: float = 0.5) -> Translation:
        """Give the images the attributes of the target's label, in a way that its latent or its reference says.

        Args:
            image: (B, 3, image_size, image_size) in [-1, 1].
            target: `label` (B, K), each entry 0 or 1; `latent` (B, 16) or `reference`, as many images of the same size
                with that label, or both; `source_label`, what the images show, which C tells where it is not given.
            strength: factor on the difference of the labels; the released code shows results of 1.5.
            mix: u, where both latent and reference are given: 1 goes by the latent alone, 0 by the reference.

        Returns:
            extras: ``label_code`` and ``reference_code``, where S_rand and S_ref are strong, (B, 1, H, W) in [-1, 1].

        Raises:
            ValueError: if image or target is anything else.
        """
        check_finite(mix=mix)
        if not 0 <= mix <= 1:
            raise ValueError(f"mix must lie in 0..1, from the reference alone to the latent alone, got {mix}")
        codes = self.codes(image, target, strength)
        ways = [codes[name] for name in ("label", "reference") if name in codes]
        code = ways[0] if len(ways) == 1 else mix * ways[0] + (1 - mix) * ways[1]  # S_interp
        extras = {f"{name}_code": _energy(codes[name], image.shape[2]) for name in codes if name != "source"}
        return Translation(image=self.generator["synthesis"](image, code), extras=extras)

    def codes(self, image: Tensor, target: Target, strength: float = 1.0) -> dict[str, Tensor]:
        """What G is told, (B, code_width, side, side) each, by name; `translate` says of what, and what it refuses.

        Returns:
            ``source``: E(x_s, -d), which is part of the others; ``label``: S_rand, if there is a latent;
            ``reference``: S_ref, if there is a reference.
        """
        check_finite(strength=strength)
        self._check_pictures(image, target)
        parts = {name: None if part is None else part.to(image) for name, part in vars(target).items()}
        target = Target(**parts)
        difference = strength * self._difference(image, target)
        mapping, encoder = self.generator["mapping"], self.generator["encoder"]
        source = encoder(image, -difference)
        codes = {"source": source}
        if target.latent is not None:  # S_rand = M(R, d) + E(x_s, -d)
            codes["label"] = mapping(target.latent, difference) + source
        if target.reference is not None:  # S_ref = E(x_r, d) + E(x_s, -d)
            codes["reference"] = encoder(target.reference, difference) + source
        return codes

    def _difference(self, image: Tensor, target: Target) -> Tensor:
        """d = Yt - Ys, (B, K), of labels that suit the images; a ValueError otherwise."""
        label = check_label(target.label, len(image), self.attributes)
        shown = self._told(image) if target.source_label is None else target.source_label
        if shown.shape != label.shape:
            raise ValueError(
                f"source_label must have the label's shape, {tuple(label.shape)}, got {tuple(shown.shape)}: give what "
                "each image shows, or leave it to the classifier"
            )
        for row in (label, shown):
            check_binary(row, self.hparams["one_hot"])
        return label - shown

    def _check_pictures(self, image: Tensor, target: Target) -> None:
        """Raise a ValueError unless the images are of the model's size, and latent or reference is there, as many."""
        side = self.hparams["image_size"]
        if image.ndim != 4 or image.shape[1:] != (3, side, side):
            raise ValueError(
                f"BridgeGAN takes images (B, 3, {side}, {side}), got {tuple(image.shape)}: give model and data "
                "the same image_size"
            )
        check_pixels(image)
        latent, reference = target.latent, target.reference
        if latent is None and reference is None:
            raise ValueError(
                f"say how the images shall get their label: give the target a latent, noise ({len(image)}, {LATENT}) "
                "from N(0, 1), a reference, or both"
            )
        if latent is not None and latent.shape != (len(image), LATENT):
            raise ValueError(
                f"the target's latent must be noise ({len(image)}, {LATENT}) from N(0, 1), a row for each image, got "
                f"{tuple(latent.shape)}"
            )
        if reference is not None and reference.shape != image.shape:
            raise ValueError(
                f"the target's reference must have the images' shape, {tuple(image.shape)}, got "
                f"{tuple(reference.shape)}: give one picture of their size for each image"
            )
        if reference is None:
            return
        check_pixels(reference)
        if target.label is None:
            raise ValueError(
                f"a reference comes with its label, which says what to take from it: give the target a label "
                f"({len(image)}, {len(self.attributes)}), a column each for {', '.join(self.attributes)}"
            )

    def _told(self, image: Tensor) -> Tensor:
        """What C sees in the images, (B, K) of 0 and 1."""
        _, logits = self.discriminator(image)
        if self.hparams["one_hot"]:
            return functional.one_hot(logits.argmax(1), logits.shape[1]).to(image)
        return (logits > 0).to(image)  # a probability above 0.5

    def edit(self, batch: Batch, label: Tensor) -> Target:
        """The label, with noise that depends on the row of the split alone: the same in every validation."""
        noise = row_noise(batch["index"]).to(batch["image"])
        return Target(label=label, latent=noise, source_label=batch["label"])

    def wish(self, label: Tensor, own: Tensor | None = None) -> Target:
        """The label, with the noise of a split's first row; C tells what the pictures show, if nobody does."""
        noise = row_noise(torch.zeros(len(label))).to(self.device)
        return Target(label=label, latent=noise, source_label=own)

    # ------------------------------------------------------------------------------------------------ training

    def drawn(self, images: Tensor) -> Draw:
        """For each of (B, 3, H, W) images what is random about its training, other than the penalty's place."""
        latent, other = torch.randn(2, len(images), LATENT, device=images.device, dtype=images.dtype)
        return Draw(latent, other, torch.rand(len(images), 1, 1, 1, device=images.device, dtype=images.dtype))

    def sample_target(self, batch: Batch) -> Target:
        """The references with their labels, x_t and Yt, and noise R: a new draw, or from the bank and made harder."""
        target = super().sample_target(batch)
        self._check_pictures(batch["image"], target)
        latent = self._harder_noise(batch) if self.hparams["noise_bank"] else self.drawn(batch["image"]).latent
        return replace(target, latent=latent)

    def discriminator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Terms adv, cls_real and, for WGAN-GP, gp; each is a mean over X_l, X_r and X_i where it is about these."""
        x_s, count = batch["image"], len(batch["image"])
        edited = self._painted(x_s, *self._three(self.codes(x_s, target), self.drawn(x_s)))
        images = self.shown(torch.cat([x_s, *edited]))
        scores, logits = self.discriminator(images)  # no norms: the same as one after the other
        terms = {
            "adv": self.adversary.discriminator(scores[:count], scores[count:]),  # mean D(X_k) - mean D(x_s)
            "cls_real": functional.binary_cross_entropy_with_logits(logits[:count], batch["label"]),  # CE(C(x_s), Ys)
        }
        if self.penalised:
            real, fake = images[:count].repeat(3, 1, 1, 1), images[count:]
            terms["gp"] = gradient_penalty(lambda x: self.discriminator.forward(x)[0], real, fake)
        return terms

    def generator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Terms adv, cls, rec and ms of the images, cyc, ak and sty of the codes."""
        x_s, x_t, noise = batch["image"], target.reference, target.latent
        assert x_t is not None and noise is not None and target.label is not None  # `sample_target` gives them
        mapping, encoder = self.generator["mapping"], self.generator["encoder"]
        draw, codes = self.drawn(x_s), self.codes(x_s, target)
        d = target.label - batch["label"]
        same, own = torch.zeros_like(d), encoder(x_s, torch.zeros_like(d))
        unedited = mapping(noise, same) + own, encoder(x_t, same) + own
        *edited, back_l, back_r = self._painted(x_s, *self._three(codes, draw), *unedited)
        (another,) = self._painted(x_s, mapping(draw.other, d) + codes["source"])  # X(R1)
        scores, logits = self.discriminator(self.shown(torch.cat(edited)))
        spread = distance(another.detach(), edited[0])
        self.note(spread=spread)  # at 0 the noise says nothing
        return {
            "adv": self.adversary.generator(scores),  # -mean D(X_k)
            "cls": functional.binary_cross_entropy_with_logits(logits, target.label.repeat(3, 1)),  # CE(C(X_k), Yt)
            "rec": (distance(x_s, back_l) + distance(x_s, back_r)) / 2,
            "ms": distance(draw.other, noise) / (spread + 1e-5),
            **self._code_terms(batch, d, codes, edited[0], edited[1]),
        }

    def _code_terms(
        self, batch: Batch, d: Tensor, codes: Mapping[str, Tensor], x_l: Tensor, x_r: Tensor
    ) -> dict[str, Tensor]:
        x_s, encoder = batch["image"], self.generator["encoder"]
        seen_l, seen_r = (x.detach() if self.hparams["cyc_detach"] else x for x in (x_l, x_r))
        kept = self.hparams["ak_sign"] * keeping_difference(batch["label"], d)
        return {
            "cyc": distance(codes["label"], encoder(seen_l, d) + codes["source"])  # S_rand, E(X_l, d) + E(x_s, -d)
            + distance(codes["reference"], encoder(seen_r, d) + codes["source"]),  # S_ref, E(X_r, d) + E(x_s, -d)
            "ak": distance(encoder(x_l, kept), encoder(x_s, kept)),  # eq. 10
            "sty": distance(codes["label"], codes["reference"]),
        }

    def _three(self, codes: Mapping[str, Tensor], draw: Draw) -> tuple[Tensor, Tensor, Tensor]:
        """S_rand, S_ref and S_interp."""
        by_label, by_reference = codes["label"], codes["reference"]
        return by_label, by_reference, draw.mix * by_label + (1 - draw.mix) * by_reference

    def _painted(self, image: Tensor, *codes: Tensor) -> tuple[Tensor, ...]:
        """G(x_s, S) for each code, (B, 3, H, W) each."""
        return self.generator["synthesis"](image, torch.cat(codes)).chunk(len(codes))

    # ------------------------------------------------------------------------------------------------ the noise bank

    def setup(self, stage: str) -> None:
        """Also make the noise bank: of each training picture noise from N(0, 1), the same in all processes."""
        super().setup(stage)
        if stage != "fit" or not self.hparams["noise_bank"]:
            return
        data = cast(Any, self.trainer).datamodule
        if data is None:
            raise ValueError("the noise bank has a row for each training picture: give the trainer a datamodule")
        generator = torch.Generator().manual_seed(self.hparams["seed"])
        self.bank = torch.randn(len(data.samples("train")), LATENT, generator=generator)

    def _harder_noise(self, batch: Batch) -> Tensor:
        """The references' noise, (B, 16), moved to where M(R, d) is farther from E(x_t, d)."""
        assert self.bank is not None  # since `setup`
        rows, d = batch["reference_index"], batch["reference_label"] - batch["label"]
        with torch.autocast(d.device.type, enabled=False):
            noise = self.bank[rows].requires_grad_()
            seen = self.generator["encoder"](batch["reference"], d).detach()
            error = functional.mse_loss(self.generator["mapping"](noise, d), seen) / strategy.processes()
            (slope,) = torch.autograd.grad(error, noise)
        harder = harder_noise(noise.detach(), slope)
        self._harder = rows, harder
        return harder

    def observe(self, player: str, terms: Mapping[str, Tensor]) -> None:
        """Write the harder noise back, of all processes into the bank of each, once the generator has learnt by it."""
        if player == "generator" and self.bank is not None and self._harder is not None:
            rows, noise = (_of_all_processes(part) for part in self._harder)
            last = {row: place for place, row in enumerate(rows.tolist())}  # a picture may be the reference of several
            self.bank[list(last)] = noise[list(last.values())]

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also the noise bank, once for all processes."""
        super().on_save_checkpoint(checkpoint)
        if self.bank is not None:
            checkpoint["translator"]["noise_bank"] = self.bank.cpu()

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Also the noise bank.

        Raises:
            ValueError: if a run that is resumed has another number of training pictures than the checkpoint's bank.
        """
        super().on_load_checkpoint(checkpoint)
        bank = checkpoint["translator"].get("noise_bank")
        theirs, ours = (0 if rows is None else len(rows) for rows in (bank, self.bank))
        if self._trainer is not None and self.trainer.training and theirs != ours:
            raise ValueError(
                f"this checkpoint's noise bank is of {theirs:,} pictures, this run's of {ours:,}: resume with the data "
                "and the noise_bank of before, or begin a new run from its weights (--model.init_args.start=runs/…)"
            )
        self.bank = bank
