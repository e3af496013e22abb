"""GANimation: any expression, by action units (Pumarola, Agudo, Martinez, Sanfeliu, Moreno-Noguer, ECCV 2018).

arXiv 1807.09251. The paper writes y for action units, C for the colour image and A for its attention mask, which is 1
where the input shows through: I = A * I + (1 - A) * C, as in its second version and in the released code; the first
version has the two exchanged. A `Translation` holds 1 - A, 1 where a pixel is rewritten.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from translators.base import Loss, Translator
from translators.checks import check_image, check_known, check_label, check_least, check_units
from translators.layers import AttributeDiscriminator, Sigmoid, Tanh, decoding, encoding, initialise_he, with_planes
from translators.losses import ADVERSARIES, gradient_penalty, total_variation
from translators.types import Batch, Phase, Target, Translation


class Generator(nn.Module):
    """StarGAN's generator with two heads: a colour image, and a mask of what to keep (sect. 3, fig. 3).

    The parameters bear the names they have in the authors' code, misspelt ones included.

    Args:
        num_units: K, how many action units.
        width: channels after the first convolution.
        blocks: residual blocks.
    """

    def __init__(self, num_units: int, width: int = 64, blocks: int = 6) -> None:
        super().__init__()
        self.main = nn.Sequential(*encoding(3 + num_units, width, blocks), *decoding(width))
        self.img_reg = nn.Sequential(nn.Conv2d(width, 3, 7, 1, 3, bias=False), Tanh())
        self.attetion_reg = nn.Sequential(nn.Conv2d(width, 1, 7, 1, 3, bias=False), Sigmoid())

    def forward(self, image: Tensor, units: Tensor) -> tuple[Tensor, Tensor]:
        """(B, 3, H, W) in [-1, 1] and (B, K) to C, (B, 3, H, W) in (-1, 1), and A, (B, 1, H, W) in (0, 1)."""
        h = self.main(with_planes(image, units))
        return self.img_reg(h), self.attetion_reg(h)


def _initialise(module: nn.Module) -> None:
    if isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
        nn.init.normal_(module.weight, 0, 0.02)
        if module.bias is not None:
            nn.init.zeros_(module.bias)


class GANimation(Translator):
    """A face and the action units it shall show; what they do not concern is copied from the input, by a mask.

    The label is the intensity of every action unit, from 0 to 1 (OpenFace's 0 to 5, divided by 5). Targets of training
    are those of other pictures, with some noise; edits and animations may name any.

    Args:
        attributes: names of the K action units, in order.
        one_hot: must be false: action units do not exclude each other.
        image_size: side of the images of training; a multiple of 2**depth. `translate` takes other multiples of 4 too.
        generator_width: channels after the generator's first convolution.
        discriminator_width: likewise the discriminator's.
        blocks: residual blocks of the generator.
        depth: strided convolutions of the discriminator.
        gan_mode: the adversarial term: the paper's WGAN-GP, the logistic one, or least squares.
        noise: of training's targets: up to so much is added to each unit or taken away.
        clip_targets: clamp the noisy targets to [0, 1]; the released code does not.
        mask_norm: the mask's magnitude: its mean, as in the released code, or the paper's L2 norm of each image's.
        separate_gp_step: let the gradient penalty have an update of its own, with the same Adam, as in the released
            code, in place of being a term of one sum.
        he_init: draw the discriminator's weights after He et al. in place of N(0, 0.02): an addition of this project
            for short trainings, in which those smaller ones learn action units late or never.
        lambda_cond: weight of the action units' mean square error: the 4000 of the paper is on a sum that its code
            divides by the batch, of 25.
        lambda_cyc: weight of the cycle, which the paper calls identity loss.
        lambda_mask: weight of the masks' magnitude. It pushes A down from 1, where nothing would be edited.
        lambda_tv: weight of the masks' total variation: the code's 1e-5 is on the sum over a batch of 25.
        lambda_gp: weight of the gradient penalty.
        n_critic: discriminator updates per generator update; their count runs on from epoch to epoch.
        training: what every `Translator` takes.

    Raises:
        ValueError: if a size or a name is none of these.
    """

    # 30 epochs of EmotioNet's 200,000 faces in batches of 25; the rate falls by a tenth after each of the last ten.
    schedule = (Phase(steps=240_000, decay=80_000, stairs=10),)

    def __init__(
        self,
        attributes: Sequence[str],
        one_hot: bool = False,
        image_size: int = 128,
        generator_width: int = 64,
        discriminator_width: int = 64,
        blocks: int = 6,
        depth: int = 6,
        gan_mode: Literal["wgan-gp", "vanilla", "lsgan"] = "wgan-gp",
        noise: float = 0.1,
        clip_targets: bool = False,
        mask_norm: Literal["l1_mean", "l2"] = "l1_mean",
        separate_gp_step: bool = False,
        he_init: bool = False,
        lambda_cond: float = 160.0,
        lambda_cyc: float = 10.0,
        lambda_mask: float = 0.1,
        lambda_tv: float = 2.5e-4,
        lambda_gp: float = 10.0,
        n_critic: int = 5,
        **training: Any,
    ) -> None:
        super().__init__(attributes=attributes, one_hot=one_hot, n_critic=n_critic, **training)
        if one_hot:
            raise ValueError(
                "GANimation's labels are intensities of action units, any number of which may be on; for classes, of "
                "which one is on, take a model such as StarGAN"
            )
        check_known("gan_mode", gan_mode, ADVERSARIES)
        check_known("mask_norm", mask_norm, ("l1_mean", "l2"))
        check_least(1, generator_width=generator_width, discriminator_width=discriminator_width)
        check_least(0, blocks=blocks, noise=noise)
        if separate_gp_step and gan_mode != "wgan-gp":
            raise ValueError(f"separate_gp_step is about the penalty of wgan-gp, which {gan_mode} has not")
        self.adversary = ADVERSARIES[gan_mode]
        self.penalised = gan_mode == "wgan-gp"
        self.generator = Generator(len(attributes), generator_width, blocks)
        self.discriminator = AttributeDiscriminator(len(attributes), image_size, discriminator_width, depth)
        self.apply(_initialise)
        if he_init:
            initialise_he(self.discriminator)

    def translate(self, image: Tensor, target: Target) -> Translation:
        """Give the faces the action units of the target's label.

        Args:
            image: (B, 3, H, W) in [-1, 1]; H and W multiples of 4, at least 8.
            target: of which `label` is read, (B, K), each from 0 to 1.

        Returns:
            `mask` is 1 - A; extras: ``color``, C.

        Raises:
            ValueError: if image or label is anything else.
        """
        check_image("GANimation", image)
        label = check_label(target.label, len(image), self.attributes)
        check_units(label)
        return self._edit(image, label)

    def _edit(self, image: Tensor, units: Tensor) -> Translation:
        """`translate` for units of any value, such as training's noisy targets."""
        color, keep = self.generator(image, units)
        edited = keep * image + (1 - keep) * color  # eq. 1, as in the second version
        return Translation(image=edited, mask=1 - keep, extras={"color": color})

    def sample_target(self, batch: Batch) -> Target:
        """The references' action units, and noise."""
        units = batch["reference_label"]
        noisy = units + self.hparams["noise"] * (2 * torch.rand_like(units) - 1)
        return Target(label=noisy.clamp(0, 1) if self.hparams["clip_targets"] else noisy)

    def discriminator_losses(self) -> Sequence[Loss]:
        """One update, or with `separate_gp_step` two: the penalty's comes second."""
        if not self.hparams["separate_gp_step"]:
            return super().discriminator_losses()
        return (
            lambda batch, target: self._judgement(self._real_and_fake(batch, target), batch["label"]),
            self._penalty_alone,
        )

    def discriminator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Terms adv, cond and, for WGAN-GP, gp (eqs. 2 and 4, the discriminator's part)."""
        images = self._real_and_fake(batch, target)
        terms = self._judgement(images, batch["label"])
        return {**terms, **self._penalty(images)} if self.penalised else terms

    def _real_and_fake(self, batch: Batch, target: Target) -> Tensor:
        """(2B, 3, H, W), one behind the other, as the discriminator sees them."""
        check_image("GANimation", batch["image"])
        check_units(batch["label"])
        label = check_label(target.label, len(batch["image"]), self.attributes)
        return self.shown(torch.cat([batch["image"], self._edit(batch["image"], label).image]))

    def _judgement(self, images: Tensor, label: Tensor) -> dict[str, Tensor]:
        scores, units = self.discriminator(images)  # no norms: the same as one after the other
        real_score, fake_score = scores.chunk(2)
        return {
            "adv": self.adversary.discriminator(real_score, fake_score),  # eq. 2
            "cond": (units[: len(label)] - label).square().mean(),  # eq. 4, second part
        }

    def _penalty(self, images: Tensor) -> dict[str, Tensor]:
        real, fake = images.chunk(2)
        return {"gp": gradient_penalty(lambda x: self.discriminator.forward(x)[0], real, fake)}  # eq. 2

    def _penalty_alone(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """For an update of its own. Adam moves what that does not concern, too, by its momentum, as theirs does."""
        unconcerned = 0 * self.discriminator.get_parameter("conv2.weight").sum()
        return {"gp": self._penalty(self._real_and_fake(batch, target))["gp"] + unconcerned}

    def generator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Terms adv, cond, cyc, mask and tv; their weighted sum is eq. 6."""
        image = batch["image"]
        label = check_label(target.label, len(image), self.attributes)
        edited = self._edit(image, label)
        back = self._edit(edited.image, batch["label"])
        score, units = self.discriminator(self.shown(edited.image))
        assert edited.mask is not None and back.mask is not None
        kept = [1 - edited.mask, 1 - back.mask]
        self.note(A_mean=kept[0].mean(), A_min=kept[0].amin(), A_max=kept[0].amax())  # at 1 nothing is edited
        return {
            "adv": self.adversary.generator(score),  # eq. 2
            "cond": (units - label).square().mean(),  # eq. 4, first part
            "cyc": (back.image - image).abs().mean(),  # eq. 5
            "mask": self._magnitude(kept[0]) + self._magnitude(kept[1]),  # eq. 3
            "tv": total_variation(kept[0]) + total_variation(kept[1]),  # eq. 3
        }

    def _magnitude(self, mask: Tensor) -> Tensor:
        if self.hparams["mask_norm"] == "l2":
            return mask.flatten(1).norm(dim=1).mean()
        return mask.mean()
