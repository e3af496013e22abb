"""What settings, images and labels a translator takes, asked where they enter."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from numbers import Real

from torch import Tensor


def check_known(name: str, value: object, known: Iterable[object]) -> None:
    """Raise a ValueError unless a setting's value is one of those known."""
    known = list(known)
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, got {value!r}")


def check_least(least: int, **settings: float) -> None:
    """Raise a ValueError unless each of these settings is at least so much, and a number at all."""
    for name, value in settings.items():
        if not value >= least:
            raise ValueError(f"{name} must be at least {least}, got {value:g}")


def check_finite(**settings: float) -> None:
    """Raise a ValueError unless each of these is a finite number."""
    for name, value in settings.items():
        if not isinstance(value, Real) or not math.isfinite(value):
            raise ValueError(f"{name} must be a finite number, such as 1, got {value}")


def check_image(model: str, image: Tensor, multiple: int = 4, least: int = 8) -> None:
    """Raise a ValueError unless the images are (B, 3, H, W) with sides that suit the networks.

    Args:
        model: what to call the model in the error.
        image: to be checked.
        multiple: of which both sides must be.
        least: smallest side.
    """
    if image.ndim != 4 or image.shape[1] != 3 or any(side % multiple or side < least for side in image.shape[2:]):
        raise ValueError(
            f"{model} takes images (B, 3, H, W), H and W multiples of {multiple} and at least {least}, got "
            f"{tuple(image.shape)}"
        )
    check_pixels(image)


def check_pixels(image: Tensor) -> None:
    """Raise a ValueError unless there is an image, and pixels are no bytes, or other whole numbers."""
    if len(image) == 0 or not image.is_floating_point():
        raise ValueError(
            f"images are (B, 3, H, W), one at least, numbers from -1 to 1, got {tuple(image.shape)} of {image.dtype} "
            "(bytes become image / 127.5 - 1)"
        )


def check_whole(name: str, images: object) -> None:
    """Raise a ValueError unless images, or what else is given with them, are a tensor in which all is finite."""
    if not isinstance(images, Tensor):
        raise ValueError(f"{name} must be a tensor, got a {type(images).__name__}: torch.from_numpy(…)")
    if not images.isfinite().all():
        count = int((~images.isfinite()).sum())
        raise ValueError(f"{name} must be finite, got {count:,} numbers that are not: look where it comes from")


def check_size(image: Tensor, side: int) -> None:
    """Raise a ValueError unless the images, (B, C, H, W), are square and of the side that a discriminator takes."""
    if image.shape[2:] != (side, side):
        raise ValueError(
            f"the discriminator takes images of {side}x{side}, got {tuple(image.shape)}: give model and data the same "
            "image_size"
        )


def check_label(label: Tensor | None, count: int, attributes: Sequence[str]) -> Tensor:
    """The label, if it is (count, K), a column for each attribute; a ValueError otherwise."""
    expected = (count, len(attributes))
    if label is None or label.shape != expected:
        got = "none" if label is None else tuple(label.shape)
        names = ", ".join(attributes)
        raise ValueError(f"the target's label must have shape {expected}, a column each for {names}; got {got}")
    return label


def check_binary(label: Tensor, one_hot: bool = False) -> None:
    """Raise a ValueError unless each entry of a label is 0 or 1, and of classes exactly one in each row is 1."""
    if not ((label == 0) | (label == 1)).all():
        wrong = label[(label != 0) & (label != 1)][0].item()
        raise ValueError(
            f"labels must be 0 or 1 each, got {wrong:g} (a -1 for an absent attribute must become 0; action "
            "units become 0 or 1 with --data.init_args.presence=0.2)"
        )
    if one_hot and (label.sum(1) != 1).any():
        row = label[label.sum(1) != 1][0].int().tolist()
        raise ValueError(f"of classes exactly one is 1, got {row}: give each label a single 1")


def check_units(label: Tensor) -> None:
    """Raise a ValueError unless each entry of a label lies in [0, 1], as intensities of action units do."""
    if not ((label >= 0) & (label <= 1)).all():
        wrong = label[~((label >= 0) & (label <= 1))][0].item()
        raise ValueError(
            f"action units are intensities from 0 to 1 (OpenFace's 0 to 5, divided by 5), got {wrong:g}: scale them, "
            "or clamp what was added to them"
        )
