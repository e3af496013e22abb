"""Faces drawn from numbers: the same person with any attributes, at any size, hundreds a second."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from datamodules.drawn import features, hair, head, mouth
from datamodules.drawn.identity import Identity, complete
from datamodules.drawn.looks import look
from datamodules.drawn.scene import compose

# From back to front, with the depth that turning the head moves them by.
LAYERS = (
    (-0.7, hair.back),
    (-0.4, head.neck),
    (-0.5, head.clothes),
    (-0.2, head.ears),
    (0.0, head.head),
    (0.8, head.makeup),
    (0.8, head.freckles),
    (0.8, head.age),
    (0.6, mouth.beard),
    (0.9, mouth.mouth),
    (1.0, features.eyes),
    (1.25, features.nose),
    (0.15, hair.front),
    (1.0, features.brows),  # over the bangs, as in comics: brows speak
    (1.1, head.glasses),
)


def draw(identity: Identity, attributes: Mapping[str, float], size: int = 128) -> np.ndarray:
    """Draw a person with the given attributes.

    Args:
        identity: who, where and in which light.
        attributes: names from ``ATTRIBUTES`` to values in [0, 1]. What is not named is neutral (expressions) or follows
            the person's habits, see ``complete``.
        size: side of the picture in pixels, 16 to 512; the same picture at every size.
    Returns:
        (size, size, 3) uint8, RGB.
    Raises:
        ValueError: on an unknown attribute, a value outside [0, 1], two attributes that exclude each other, or a size
            out of range.
    """
    person = look(identity, complete(identity, attributes))
    return compose(identity, [(depth, part(person)) for depth, part in LAYERS], size)
