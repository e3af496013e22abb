"""StarGAN: one generator for many domains (Choi, Choi, Kim, Ha, Kim, Choo, CVPR 2018, arXiv 1711.09020)."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Literal

import torch
from torch import Tensor, nn

from translators.base import Translator
from translators.checks import check_binary, check_image, check_known, check_label, check_least
from translators.layers import AttributeDiscriminator, Tanh, decoding, encoding, with_planes
from translators.losses import ADVERSARIES, attribute_loss, gradient_penalty
from translators.types import Batch, Phase, Target, Translation


class Generator(nn.Module):
    """Paints an image anew under a label (table 4).

    Args:
        num_attributes: K, length of the label.
        width: channels after the first convolution; four times as many between the residual blocks.
        blocks: residual blocks.
    """

    def __init__(self, num_attributes: int, width: int = 64, blocks: int = 6) -> None:
        super().__init__()
        self.main = nn.Sequential(
            *encoding(3 + num_attributes, width, blocks),
            *decoding(width),
            nn.Conv2d(width, 3, 7, 1, 3, bias=False),
            Tanh(),
        )

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] and (B, K) to (B, 3, H, W) in (-1, 1)."""
        output: Tensor = self.main(with_planes(image, label))
        return output


class StarGAN(Translator):
    """One generator for all attributes, told which by a label.

    The label is the whole wanted state, kept attributes included, and not a difference; 0 or 1 each, never -1. Targets
    of training are labels that occur in the data: by default those of the batch's references.

    Args:
        attributes: names of the label's K entries, in order.
        one_hot: exactly one attribute is 1 (expressions of RaFD), or any number of them (CelebA).
        parts: for joint training on several datasets (sect. 3.2, eq. 7), how many consecutive attributes each of them
            labels, and whether one-hot; for CelebA and RaFD ((5, False), (8, True)). The last attributes are then the
            mask, one for each dataset: 1 for the one that the label is of, whose part alone may hold any other 1. Such
            labels, references out of the same dataset, and edits that leave the mask alone are the datamodule's task.
        image_size: side of the images of training; a multiple of 2**depth. `translate` takes other multiples of 4 too.
        generator_width: channels after the generator's first convolution.
        discriminator_width: likewise the discriminator's.
        blocks: residual blocks of the generator.
        depth: strided convolutions of the discriminator.
        gan_mode: the adversarial term: WGAN-GP (eq. 8, what the paper trains), the logistic one (eq. 1, which it starts
            from) or least squares. Only the first has the penalty "gp".
        lambda_cls: weight of the attribute terms. On labels that are not one-hot these are sums over the attributes.
        lambda_rec: weight of the reconstruction.
        lambda_gp: weight of the gradient penalty.
        lambda_idt: weight of |G(x, own label) - x|, an addition of this project for short trainings on a CPU; at 0, the
            paper's, the term is not computed.
        n_critic: discriminator updates per generator update.
        training: what every `Translator` takes.
    """

    # The authors' code counts 200,000 iterations, the paper 20 epochs of CelebA (some 250,750) or 200 of RaFD (54,200
    # to 54,400). The learning rate falls to 0 over the second half; in their code it hardly moves (a slip: to 9.99e-5
    # of 1e-4), for which Phase(200_000, decay=100_000, final=0.999).
    schedule = (Phase(steps=200_000, decay=100_000),)

    def __init__(
        self,
        attributes: Sequence[str],
        one_hot: bool = False,
        parts: Sequence[tuple[int, bool]] = (),
        image_size: int = 128,
        generator_width: int = 64,
        discriminator_width: int = 64,
        blocks: int = 6,
        depth: int = 6,
        gan_mode: Literal["wgan-gp", "vanilla", "lsgan"] = "wgan-gp",
        lambda_cls: float = 1.0,
        lambda_rec: float = 10.0,
        lambda_gp: float = 10.0,
        lambda_idt: float = 0.0,
        n_critic: int = 5,
        **training: Any,
    ) -> None:
        super().__init__(attributes=attributes, one_hot=one_hot, n_critic=n_critic, **training)
        check_known("gan_mode", gan_mode, ADVERSARIES)
        check_least(1, generator_width=generator_width, discriminator_width=discriminator_width)
        check_least(0, blocks=blocks)
        wanted = sum(size for size, _ in parts)
        if parts and (one_hot or min(parts)[0] < 1 or wanted + len(parts) != len(attributes)):
            raise ValueError(
                f"parts {list(parts)} want {wanted} attributes and {len(parts)} more for the mask, with one_hot said "
                f"of each part alone; got {len(attributes)} attributes and one_hot={one_hot}"
            )
        self.adversary = ADVERSARIES[gan_mode]
        self.penalised = gan_mode == "wgan-gp"
        self.generator = Generator(len(attributes), generator_width, blocks)
        self.discriminator = AttributeDiscriminator(
            len(attributes) - len(parts), image_size, discriminator_width, depth
        )

    def translate(self, image: Tensor, target: Target) -> Translation:
        """Give the images the attributes of the target's label.

        Args:
            image: (B, 3, H, W) in [-1, 1]; H and W multiples of 4, at least 8.
            target: of which `label` is read, (B, K), each entry 0 or 1.

        Raises:
            ValueError: if image or label is anything else.
        """
        return Translation(image=self.generator(image, self._checked(image, target)))

    def _checked(self, image: Tensor, target: Target) -> Tensor:
        check_image("StarGAN", image)
        label = check_label(target.label, len(image), self.attributes)
        check_binary(label)
        classes = [label] if self.hparams["one_hot"] else []
        if self.hparams["parts"]:
            datasets = self._datasets(label)
            mask = label[:, -len(datasets) :]
            if (mask.sum(1) != 1).any() or any(label[~images, columns].any() for columns, images, _ in datasets):
                raise ValueError("a joint label has one 1 in its mask, and outside that dataset's part only zeros")
            classes = [label[images, columns] for columns, images, one_hot in datasets if one_hot]
        for rows in classes:
            check_binary(rows, one_hot=True)
        return label

    def _datasets(self, label: Tensor) -> list[tuple[slice, Tensor, bool]]:
        """In joint training, of each dataset: its columns of the label, its images (B,) by the mask, and its kind."""
        parts = self.hparams["parts"]
        ends, masks = accumulate(size for size, _ in parts), label[:, -len(parts) :].bool().unbind(1)
        return [
            (slice(end - size, end), images, one_hot)
            for (size, one_hot), end, images in zip(parts, ends, masks, strict=True)
        ]

    def _attribute_loss(self, logits: Tensor, label: Tensor) -> Tensor:
        """Eq. 2 and 3; in joint training each image counts with the logits of its own dataset alone."""
        if not self.hparams["parts"]:
            return attribute_loss(logits, label, self.hparams["one_hot"])
        losses = [
            attribute_loss(logits[images, columns], label[images, columns], one_hot) * images.float().mean()
            for columns, images, one_hot in self._datasets(label)
            if images.any()
        ]
        return torch.stack(losses).sum()

    def discriminator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Terms adv, cls and, for WGAN-GP, gp; their weighted sum is eq. 5."""
        fake = self.translate(batch["image"], target).image
        images = self.shown(torch.cat([batch["image"], fake]))
        scores, logits = self.discriminator(images)  # no norms: the same as one after the other
        (real, fake), (real_score, fake_score) = images.chunk(2), scores.chunk(2)
        terms = {
            "adv": self.adversary.discriminator(real_score, fake_score),  # eq. 8
            "cls": self._attribute_loss(logits[: len(real)], batch["label"]),  # eq. 2
        }
        if self.penalised:
            terms["gp"] = gradient_penalty(lambda x: self.discriminator.forward(x)[0], real, fake)  # eq. 8
        return terms

    def generator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Terms adv, cls, rec and, if it weighs anything, idt; their weighted sum is eq. 6."""
        image, own = batch["image"], Target(label=batch["label"])
        translation = self.translate(image, target)
        assert target.label is not None  # or translate had refused it
        score, logits = self.discriminator(self.shown(translation.image))
        back = self.translate(translation.image, own).image
        terms = {
            "adv": self.adversary.generator(score),  # eq. 8
            "cls": self._attribute_loss(logits, target.label),  # eq. 3
            "rec": (back - image).abs().mean(),  # eq. 4
        }
        if self.hparams["lambda_idt"]:
            terms["idt"] = (self.translate(image, own).image - image).abs().mean()
        return terms
