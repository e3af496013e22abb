"""Losses two or more translators use: pure functions of tensors.

An adversarial pair is what the two players minimise, given the discriminator's scores: real numbers of any shape,
before any sigmoid, averaged over the batch and over the patches alike. Sums of two means carry no factor 1/2; a paper
that halves its discriminator's loss does so where it calls the pair.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional


class AdversarialPair(NamedTuple):
    """What the discriminator and the generator minimise, each a scalar."""

    discriminator: Callable[[Tensor, Tensor], Tensor]  # (scores of real images, scores of fakes)
    generator: Callable[[Tensor], Tensor]  # (scores of fakes)


def _wgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def _wgan_generator(fake: Tensor) -> Tensor:
    return -fake.mean()


def _lsgan_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return (real - 1).square().mean() + fake.square().mean()


def _lsgan_generator(fake: Tensor) -> Tensor:
    return (fake - 1).square().mean()


def _logistic_discriminator(real: Tensor, fake: Tensor) -> Tensor:
    return functional.softplus(-real).mean() + functional.softplus(fake).mean()


def _logistic_generator(fake: Tensor) -> Tensor:
    return functional.softplus(-fake).mean()


wgan = AdversarialPair(_wgan_discriminator, _wgan_generator)
"""The critic's estimate of the Wasserstein distance (Arjovsky et al., ICML 2017); wants a `gradient_penalty`."""

lsgan = AdversarialPair(_lsgan_discriminator, _lsgan_generator)
"""Least squares towards 1 for real and 0 for fake (Mao et al., ICCV 2017)."""

logistic = AdversarialPair(_logistic_discriminator, _logistic_generator)
"""-log D and -log(1 - D) of the sigmoid D; the generator's does not saturate (Goodfellow et al., NIPS 2014)."""

ADVERSARIES = {"wgan-gp": wgan, "vanilla": logistic, "lsgan": lsgan}
"""By what a constructor's ``gan_mode`` calls them; only the first has a penalty."""


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], real: Tensor, fake: Tensor, alpha: Tensor | None = None
) -> Tensor:
    """How far the critic's slope is from 1 between real and fake images (Gulrajani et al., NIPS 2017, eq. 3).

    Computed in float32 (float64 for float64 images) whatever the autocast: a half's range is too short for it.

    Args:
        critic: images to scores of any shape, which are summed per image. It is differentiated twice, which a compiled
            module cannot be: hand over the `forward` of one.
        real: (B, C, H, W), any range.
        fake: (B, C, H, W), as many.
        alpha: (B,), the share of the real image in each mixture; drawn from U[0, 1] if not given.

    Returns:
        Scalar: mean over the batch of (norm over C, H, W of the gradient, minus 1) squared.

    Raises:
        ValueError: if real and fake differ in shape.
    """
    if real.shape != fake.shape:
        raise ValueError(f"real and fake images must agree in shape, got {tuple(real.shape)} and {tuple(fake.shape)}")
    with torch.autocast(real.device.type, enabled=False):
        dtype = torch.promote_types(real.dtype, torch.float32)
        real, fake = real.to(dtype), fake.to(dtype)
        alpha = real.new_empty(len(real)).uniform_() if alpha is None else alpha.to(real)
        mixed = torch.lerp(fake, real, alpha.view(-1, 1, 1, 1)).detach().requires_grad_()
        (slope,) = torch.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
        norm = (slope.square().flatten(1).sum(1) + 1e-12).sqrt()  # the second derivative of sqrt at 0 is NaN
        return (norm - 1).square().mean()


def distance(one: Tensor, other: Tensor) -> Tensor:
    """L1 as a mean: the mean absolute difference over all entries, of any shape, a scalar; in float32 at least."""
    one, other = (side.to(torch.promote_types(side.dtype, torch.float32)) for side in (one, other))
    return (one - other).abs().mean()


def total_variation(image: Tensor) -> Tensor:
    """How rough images are: the sum of the differences of neighbouring pixels, their absolute values (L1).

    Args:
        image: (B, C, H, W).

    Returns:
        Scalar, the mean over the batch of the sum over an image; it grows with the image's side.
    """
    along_y, along_x = (image.diff(dim=axis).abs().sum() for axis in (2, 3))
    return (along_y + along_x) / len(image)


def attribute_loss(logits: Tensor, label: Tensor, one_hot: bool) -> Tensor:
    """How badly an image's attributes are told (StarGAN, Choi et al., CVPR 2018, eqs. 2 and 3).

    Args:
        logits: (B, K), before sigmoid or softmax.
        label: (B, K), each 0 or 1.
        one_hot: the K classes exclude each other: softmax cross-entropy. Otherwise each attribute is a question of its
            own: binary cross-entropy, summed over the attributes, so that its weight grows with K.

    Returns:
        Scalar, the mean over the batch.
    """
    if one_hot:
        return functional.cross_entropy(logits, label.argmax(1))
    return functional.binary_cross_entropy_with_logits(logits, label, reduction="sum") / len(logits)
