"""CycleGAN: two domains, and a generator for each way between them (Zhu, Park, Isola, Efros, ICCV 2017, 1703.10593).

The paper's G is ``ab`` here, its F ``ba``; D_Y, which judges images of B, is ``b``, and D_X is ``a``.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal

import torch
from torch import Tensor, nn

from translators.base import Translator
from translators.checks import check_image, check_known, check_least
from translators.domains import check_two_domains, is_second, pair_of_domains
from translators.layers import Tanh
from translators.losses import ADVERSARIES
from translators.pool import ImagePool
from translators.residual import PatchDiscriminator, ResnetGenerator, initialise, norm_of
from translators.types import Batch, Phase, Target, Translation

# ------------------------------------------------------------------------------------------------ networks


class Level(nn.Module):
    """One level of a U-Net: down, through the levels below, up, and beside its own input."""

    def __init__(self, outer: int, inner: int, below: nn.Module | None, outermost: bool = False) -> None:
        super().__init__()
        down: list[nn.Module] = [nn.Conv2d(3 if outermost else outer, inner, 4, 2, 1)]
        if not outermost:
            down = [nn.LeakyReLU(0.2), *down]  # not in place: the input goes around, too
            if below is not None:
                down.append(norm_of(inner))
        into_up = inner if below is None else 2 * inner
        up: list[nn.Module] = [nn.ReLU(inplace=True), nn.ConvTranspose2d(into_up, 3 if outermost else outer, 4, 2, 1)]
        up.append(Tanh() if outermost else norm_of(outer))
        self.model = nn.Sequential(*down, *([] if below is None else [below]), *up)
        self.outermost = outermost

    def forward(self, x: Tensor) -> Tensor:
        """(B, outer, H, W) to (B, 2 * outer, H, W), the input first; of the outermost level, an image to an image."""
        inside: Tensor = self.model(x)
        return inside if self.outermost else torch.cat([x, inside], dim=1)


class UNetGenerator(nn.Module):
    """Down to a single pixel and up again, with each level's input beside its output (Isola et al., CVPR 2017).

    Args:
        width: channels of the outermost level; doubled three times on the way in.
        depth: levels, each halving the side: 8 for 256 px, 7 for 128.
    """

    def __init__(self, width: int = 64, depth: int = 8) -> None:
        super().__init__()
        if depth < 2:
            raise ValueError(f"a U-Net needs a depth of at least 2, got {depth}")
        channels = [width * min(2**level, 8) for level in range(depth)]
        below: nn.Module | None = None
        for outer, inner in reversed(list(pairwise(channels))):
            below = Level(outer, inner, below)
        self.model = Level(width, width, below, outermost=True)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to the same shape, in (-1, 1)."""
        output: Tensor = self.model(image)
        return output


# ------------------------------------------------------------------------------------------------ the translator


class CycleGAN(Translator):
    """Two domains; what was translated there and back again must be what it was.

    The label says the domain: one-hot over the names of A and B, as from a folder for each; or one attribute that B's
    pictures have (1) and A's have not (0). In training the reference must be of the other domain than the image
    (``reference: other`` of the datamodule); which of the two comes first does not matter.

    Args:
        attributes: the names of A and B, or of the one attribute.
        one_hot: the first of these.
        image_size: side of the images of training; `translate` takes all that the generator does.
        network: of the generators: "resnet" (sides of images are multiples of 4) or "unet" (of 2**unet_depth).
        generator_width: channels after a generator's first convolution.
        discriminator_width: likewise a discriminator's.
        blocks: residual blocks of "resnet": 9 for 256 px and above, 6 for 128.
        unet_depth: levels of "unet": 8 for 256 px, 7 for 128.
        antialias: resample through blur filters ("resnet" and the discriminators).
        gan_mode: least squares, or the paper's eq. 1 ("vanilla").
        pool_size: generated images that each discriminator's pool holds; 0 for none.
        lambda_adv: weight of the adversarial term; 0 leaves the cycles alone.
        lambda_cyc_a: weight of the forward cycle, |F(G(a)) - a|; 0 leaves it out.
        lambda_cyc_b: weight of the backward cycle, |G(F(b)) - b|.
        lambda_idt: weight of the identity term, relative to those of the cycles (sect. 5.2); 0, what the paper has for
            most tasks, leaves it out. 0.5 is what the released weights were trained with.
        lr: Adam's learning rate.
        training: what every `Translator` takes.

    Raises:
        ValueError: if there are more than two domains, or a size does not suit the networks.
    """

    generator: nn.ModuleDict
    discriminator: nn.ModuleDict

    # 100 epochs at the full rate, then 100 of linear decay, lowered once an epoch; an epoch is one pass over the larger
    # domain, of horse2zebra's 1,334 zebras, at batch 1. In the last epoch the rate is 1/101 of the first's.
    schedule = (Phase(steps=200 * 1334, decay=101 * 1334, stairs=101),)

    def __init__(
        self,
        attributes: Sequence[str],
        one_hot: bool = False,
        image_size: int = 256,
        network: Literal["resnet", "unet"] = "resnet",
        generator_width: int = 64,
        discriminator_width: int = 64,
        blocks: int = 9,
        unet_depth: int = 8,
        antialias: bool = False,
        gan_mode: Literal["lsgan", "vanilla"] = "lsgan",
        pool_size: int = 50,
        lambda_adv: float = 1.0,
        lambda_cyc_a: float = 10.0,
        lambda_cyc_b: float = 10.0,
        lambda_idt: float = 0.5,
        lr: float = 2e-4,
        **training: Any,
    ) -> None:
        super().__init__(attributes=attributes, one_hot=one_hot, lr=lr, **training)
        check_two_domains("CycleGAN", attributes, one_hot)
        check_known("gan_mode", gan_mode, ("lsgan", "vanilla"))
        check_known("network", network, ("resnet", "unet"))
        check_least(1, generator_width=generator_width, discriminator_width=discriminator_width)
        check_least(0, blocks=blocks)
        self.adversary = ADVERSARIES[gan_mode]

        def generator() -> nn.Module:
            if network == "unet":
                return UNetGenerator(generator_width, unet_depth)
            return ResnetGenerator(generator_width, blocks, antialias)

        self.generator = nn.ModuleDict({"ab": generator(), "ba": generator()})
        self.discriminator = nn.ModuleDict(
            {domain: PatchDiscriminator(discriminator_width, antialias) for domain in ("a", "b")}
        )
        self.pools = {"a": ImagePool(pool_size), "b": ImagePool(pool_size)}
        self._multiple = 2**unet_depth if network == "unet" else 4
        if image_size % self._multiple or image_size < 32:
            raise ValueError(
                f"image_size must be a multiple of {self._multiple} (for this network) and at least 32 (for the "
                f"discriminators), got {image_size}"
            )
        self.apply(initialise)

    def translate(self, image: Tensor, target: Target) -> Translation:
        """Bring images into the target's domain; those that are there already, too, which should not change them.

        Args:
            image: (B, 3, H, W) in [-1, 1]; H and W multiples of 4 (of 2**unet_depth for "unet").
            target: of which `label` is read: (B, 2), one-hot, or (B, 1), 1 for B.

        Raises:
            ValueError: if image or label is anything else.
        """
        check_image("CycleGAN", image, self._multiple)
        to_b = is_second(target.label, len(image), self.attributes)
        ways = [(rows, self.generator[way]) for rows, way in ((to_b, "ab"), (~to_b, "ba")) if rows.any()]
        translated = torch.cat([generator(image[rows]) for rows, generator in ways])
        order = torch.cat([rows.nonzero()[:, 0] for rows, _ in ways])
        return Translation(image=translated[order.argsort()])

    def _domains(self, batch: Batch) -> tuple[Tensor, Tensor]:
        return pair_of_domains("CycleGAN", batch, self.attributes)

    def discriminator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """The term adv: eq. 1 or its least squares (sect. 4) for both domains, halved to slow the discriminators down.

        The fakes are out of the pools (sect. 4, after Shrivastava et al.).
        """
        a, b = self._domains(batch)
        adv = torch.zeros((), device=a.device)
        for domain, real, fake in (("b", b, self.generator["ab"](a)), ("a", a, self.generator["ba"](b))):
            score, discriminator = self.adversary.discriminator, self.discriminator[domain]
            fake = self.pools[domain].exchange(fake)
            adv = adv + score(discriminator(self.shown(real)), discriminator(self.shown(fake))) / 2
        return {"adv": adv}

    def generator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Terms adv, cyc_a, cyc_b and, if it weighs anything, idt; their weighted sum is eq. 3.

        One sum: each cycle teaches both generators.
        """
        a, b = self._domains(batch)
        to_b, to_a = self.generator["ab"], self.generator["ba"]
        fake_b, fake_a = to_b(a), to_a(b)
        scores = [self.discriminator[domain](self.shown(fake)) for domain, fake in (("b", fake_b), ("a", fake_a))]
        terms = {
            "adv": self.adversary.generator(scores[0]) + self.adversary.generator(scores[1]),  # eq. 1
            "cyc_a": (to_a(fake_b) - a).abs().mean(),  # eq. 2, forward
            "cyc_b": (to_b(fake_a) - b).abs().mean(),  # eq. 2, backward
        }
        if self.hparams["lambda_idt"]:  # sect. 5.2
            same_a, same_b = (to_a(a) - a).abs().mean(), (to_b(b) - b).abs().mean()
            terms["idt"] = self.hparams["lambda_cyc_a"] * same_a + self.hparams["lambda_cyc_b"] * same_b
        return terms

    def process_state(self) -> dict[str, Tensor]:
        """What the pools hold: without it a resumed run's discriminators would see other images."""
        return {domain: pool.state() for domain, pool in self.pools.items()}

    def restore_process_state(self, state: dict[str, Tensor]) -> None:
        """Fill the pools again."""
        for domain, pool in self.pools.items():
            pool.restore(state[domain])
