"""All that crosses a package border: what a translator is given, and what it returns."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TypedDict

from torch import Tensor


class Batch(TypedDict):
    """What every datamodule yields; images in [-1, 1], channels first."""

    image: Tensor  # (B, 3, H, W)      the source
    label: Tensor  # (B, K)            its attributes: {0, 1}, or action units in [0, 1]
    index: Tensor  # (B,)              its row in its split
    reference: Tensor  # (B, 3, H, W)  an independent draw: exemplar, or the other domain
    reference_label: Tensor  # (B, K)
    reference_index: Tensor  # (B,)


@dataclass(frozen=True)
class Target:
    """What the source shall become; a model reads the fields its paper conditions on."""

    label: Tensor | None = None  # (B, K)
    reference: Tensor | None = None  # (B, 3, H, W)
    latent: Tensor | None = None  # (B, Z)    noise for a mapping network
    source_label: Tensor | None = None  # (B, K)  what the source shows, for a model that goes by the difference

    def __post_init__(self) -> None:
        for name, part in vars(self).items():
            if part is not None and not isinstance(part, Tensor):
                raise ValueError(f"the target's {name} must be a tensor, got a {type(part).__name__}: torch.tensor(…)")


@dataclass(frozen=True)
class Translation:
    """The result, and what is worth looking at on the way to it."""

    image: Tensor  # (B, 3, H, W) in [-1, 1]
    mask: Tensor | None = None  # (B, 1, H, W) in [0, 1]; 1 = rewritten pixel, whatever the paper's own orientation
    flow: Tensor | None = None  # (B, 2, H, W) motion field (x, y); 2.0 spans the image, at any resolution
    extras: Mapping[str, Tensor] = field(default_factory=dict)  # what else the paper shows: warped, residual, colour


@dataclass(frozen=True)
class Phase:
    """A stretch of training, as data.

    Args:
        steps: iterations; one iteration is one batch, that is one discriminator update.
        name: read as ``self.phase.name`` by a model whose forward changes with it.
        rate: factor on the learning rate, throughout; above 0.
        decay: over the last ``decay`` iterations the learning rate falls linearly.
        final: the share of the phase's learning rate that it falls to, in [0, 1].
        stairs: equal stretches of the decay, in each of which the rate stays what it is at their start: what authors'
            code does that lowers it once an epoch. 0 lets it fall with every iteration.
        learns: dotted module names that are trained; the rest is frozen (no gradient, eval mode).
    """

    steps: int
    name: str = ""
    rate: float = 1.0
    decay: int = 0
    final: float = 0.0
    stairs: int = 0
    learns: tuple[str, ...] = ("generator", "discriminator")

    def __post_init__(self) -> None:
        if isinstance(self.learns, str):
            raise ValueError(f"phase {self.name!r}: learns must be a list of names, got {self.learns!r}")
        object.__setattr__(self, "learns", tuple(self.learns))
        if self.steps < 1:
            raise ValueError(f"phase {self.name!r}: steps must be at least 1, got {self.steps}")
        if not 0 < self.rate < math.inf:
            raise ValueError(f"phase {self.name!r}: rate must be a finite factor on lr, above 0, got {self.rate}")
        if not 0 <= self.decay <= self.steps:
            raise ValueError(f"phase {self.name!r}: decay must lie in 0..{self.steps} (its steps), got {self.decay}")
        if not 0 <= self.final <= 1:
            raise ValueError(f"phase {self.name!r}: final must lie in 0..1 of the learning rate, got {self.final}")
        if self.stairs < 0 or (self.stairs and self.decay % self.stairs):
            raise ValueError(
                f"phase {self.name!r}: stairs must divide its decay, {self.decay}, into equal parts, got {self.stairs}"
            )
        if self.stairs and not self.decay:
            raise ValueError(f"phase {self.name!r}: stairs={self.stairs} needs a decay, over how many iterations")
        if self.final and not self.decay:
            raise ValueError(f"phase {self.name!r}: final={self.final} needs a decay, over how many iterations")
