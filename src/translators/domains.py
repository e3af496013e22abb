"""Two domains, A and B: one-hot over their names, or one attribute that B's pictures have (1) and A's have not (0)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from translators.checks import check_binary, check_label
from translators.types import Batch


def check_two_domains(model: str, attributes: Sequence[str], one_hot: bool) -> None:
    """Raise a ValueError unless the names are those of two domains, or the one of an attribute."""
    if len(attributes) != (2 if one_hot else 1):
        raise ValueError(
            f"{model} translates between two domains, got {'the domains' if one_hot else 'the attributes'} "
            f"{', '.join(attributes)}: name two domains or one attribute (--data.init_args.domains=[cat,dog], "
            "--data.init_args.attributes=[Smiling]), or take a model for many, such as StarGAN"
        )


def is_second(label: Tensor | None, count: int, attributes: Sequence[str]) -> Tensor:
    """(B,) booleans: whose label is that of domain B.

    Args:
        label: (B, 2), one-hot, or (B, 1).
        count: B.
        attributes: the domains' names, or the attribute's.

    Raises:
        ValueError: if the label is anything else.
    """
    label = check_label(label, count, attributes)
    check_binary(label, one_hot=len(attributes) == 2)
    return label[:, -1] == 1


def pair_of_domains(model: str, batch: Batch, attributes: Sequence[str]) -> tuple[Tensor, Tensor]:
    """The images of A and those of B, (B, 3, H, W) each: in every row of a batch one of both.

    Raises:
        ValueError: if a reference is of its image's own domain.
    """
    count = len(batch["image"])
    is_b, reference_is_b = (is_second(label, count, attributes) for label in (batch["label"], batch["reference_label"]))
    if (is_b == reference_is_b).any():
        raise ValueError(
            f"{model} needs a picture of each domain in each row of a batch, but some references are of their image's "
            "own: set --data.init_args.reference=other"
        )
    is_b = is_b[:, None, None, None]
    return (
        torch.where(is_b, batch["reference"], batch["image"]),
        torch.where(is_b, batch["image"], batch["reference"]),
    )
