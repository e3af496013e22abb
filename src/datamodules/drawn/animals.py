"""Animals' faces drawn from numbers, in the places and the light of the drawn people."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np

from datamodules.drawn import snouts
from datamodules.drawn.breeds import Animal
from datamodules.drawn.head import FABRICS
from datamodules.drawn.identity import Identity
from datamodules.drawn.kinds import BREEDS
from datamodules.drawn.markings import MARKINGS
from datamodules.drawn.scene import compose
from datamodules.drawn.shapes import (
    ARCH,
    STEPS,
    Colour,
    Point,
    Shape,
    band,
    blob,
    both,
    ellipse,
    mix,
    scalloped,
    shade,
    symmetric,
)

KINDS = tuple(BREEDS)
PINK: Colour = (222, 150, 146)
# Of a cheek: x in half widths of the head, y, and how far out in lengths of the ruff.
TUFT = np.array(
    (
        (0.7, -0.1, 0),
        (1, 0.1, 0.75),
        (0.92, 0.14, 0.1),
        (0.96, 0.26, 1),
        (0.84, 0.28, 0.1),
        (0.78, 0.4, 0.7),
        (0.4, 0.44, 0),
    )
)


def draw_animal(seed: int, index: int, kind: str, size: int = 128) -> np.ndarray:
    """Draw an animal's face.

    Args:
        seed: of the world, 0 or more.
        index: the animal's number in it, 0 or more.
        kind: cat, dog or wild.
        size: side of the picture in pixels, 16 to 512; the same picture at every size.
    Returns:
        (size, size, 3) uint8, RGB.
    Raises:
        ValueError: if the size is out of range.
    """
    place, animal = Identity.sample(seed, index), Animal.sample(seed, index, BREEDS[kind])
    layers = [
        (-0.6, _body(animal)),
        (-0.4, _mane(animal)),
        (-0.2, _ears(animal)),
        (0.0, _head(animal, place.light)),
        (0.5, MARKINGS[animal.marking](animal)),
        (0.3, _hanging_ears(animal)),
        (0.9, snouts.eyes(animal)),
        (1.2, snouts.muzzle(animal)),
        (1.3, snouts.nose(animal)),
    ]
    return compose(replace(place, scale=1.12 * place.scale), layers, size)  # their heads are smaller


def _width(animal: Animal) -> float:
    return animal.breed.width * animal.vary("width", 0.06)


def _body(animal: Animal) -> list[Shape]:
    """Neck and shoulders, a lighter chest, and a collar on some tame ones."""
    coat, low = animal.coat, animal.breed.chin
    half: list[Point] = [(0.0, 0.2), (0.34, 0.3), (0.42, low + 0.1), (0.62, 0.95), (0.8, 1.4), (0.8, 2.0), (0.0, 2.0)]
    chest = [(0.0, low - 0.1), (0.22, low + 0.1), (0.26, 1.0), (0.2, 1.6), (0.0, 1.7)]
    shapes = [Shape(blob(symmetric(half)), shade(coat.main, 0.82))]
    if animal.marking not in ("plain", "tabby", "points", "mask"):
        shapes.append(Shape(blob(symmetric(chest)), shade(coat.light, 0.93)))
    if animal.breed.tame and animal.traits["collar"] < 0.4:
        x = STEPS * 0.42
        drop = low + 0.06 + 0.16 * ARCH
        shapes.append(Shape(band(x, drop, drop + 0.09), FABRICS[animal.fabric]))
        shapes.append(Shape(ellipse(0.0, low + 0.33, 0.055, 0.06), (236, 200, 92)))
    return shapes


def _mane(animal: Animal) -> list[Shape]:
    """Two wreaths of tufts around a lion's head."""
    reach = animal.breed.mane * animal.vary("ear", 0.2)
    if not reach:
        return []
    wreaths = ((1.0, 26, shade(animal.coat.dark, 0.85)), (0.55, 22, mix(animal.coat.dark, animal.coat.main, 0.3)))
    width, low = animal.breed.width, animal.breed.chin
    return [
        Shape(scalloped(0.0, 0.08, width + share * reach, low - 0.02 + share * reach, bumps, 0.09), tone)
        for share, bumps, tone in wreaths
    ]


def _ears(animal: Animal) -> list[Shape]:
    """Upright ears, behind the head: pointed or round."""
    breed, width, length = animal.breed, _width(animal), animal.breed.ear * animal.vary("ear", 0.18)
    back = animal.coat.dark if animal.marking in ("points", "fox", "husky") else animal.coat.main
    inner = mix(PINK, animal.coat.dark, 0.75 if animal.marking == "fox" else 0.25)
    if animal.ears == "round":
        x, y = width * 0.78, breed.top + 0.08
        rim = animal.coat.dark if animal.marking == "tiger" else shade(back, 0.85)
        return [
            *both(ellipse(x, y, length * 0.85, length * 0.9), rim),
            *both(ellipse(x - 0.01, y + 0.03, length * 0.55, length * 0.6), mix(animal.coat.light, PINK, 0.25)),
        ]
    if animal.ears != "pointed":
        return []
    tip = (width * 0.86, breed.top + 0.08 - length)
    outer = np.array([(width * 0.1, breed.top + 0.1), (width * 0.5, tip[1] + length * 0.45), tip])
    outer = np.concatenate([outer, [(width * 1.04, tip[1] + length * 0.55), (width * 1.0, -0.1), (width * 0.4, 0.0)]])
    middle = np.array((width * 0.66, breed.top + 0.16))
    return [*both(outer, shade(back, 0.9)), *both((outer - middle) * 0.66 + middle, inner)]


def _hanging_ears(animal: Animal) -> list[Shape]:
    """Ears that hang or fold, in front of the head."""
    width, top, length = _width(animal), animal.breed.top, animal.breed.ear * animal.vary("ear", 0.2)
    tone = mix(animal.coat.main, animal.coat.dark, 0.7)
    if animal.ears == "floppy":
        outline = [(width * 0.62, top + 0.04), (width * 0.98, top + 0.06), (width + 0.14, -0.05)]
        outline += [(width + 0.17, top + length * 0.85), (width + 0.03, top + length * 1.12)]
        outline += [(width * 0.86, top + length * 0.8), (width * 0.8, -0.12)]
    elif animal.ears == "folded":
        outline = [(width * 0.36, top + 0.02), (width * 0.66, top - 0.1), (width * 1.05, top + 0.1)]
        outline += [(width * 1.06, top + length * 0.9), (width * 0.72, top + length * 0.5)]
    else:
        return []
    ear = blob(outline)
    return [*both(ear, shade(tone, 0.8)), *both((ear - ear.mean(0)) * 0.87 + ear.mean(0), tone)]


def _head(animal: Animal, light: float) -> list[Shape]:
    """The head, rounded by tones away from the light, and tufts at its cheeks."""
    breed, width, coat = animal.breed, _width(animal), animal.coat
    top, low = breed.top, breed.chin * animal.vary("height", 0.04)
    outline = blob(
        symmetric(
            [
                (0.0, top),
                (width * 0.44, top + 0.035),
                (width * 0.8, top * 0.7),
                (width * 0.97, top * 0.3),
                (width, 0.08),
                (width * (0.5 + 0.5 * breed.jaw), 0.3),
                (width * breed.jaw, low - 0.1),
                (width * breed.jaw * 0.45, low - 0.01),
                (0.0, low),
            ]
        )
    )
    shapes = []
    if breed.ruff:
        tuft = TUFT[:, :2] * (width, 1.0) + TUFT[:, 2:] * (breed.ruff, 0.0)
        white = animal.marking in ("fox", "tiger", "husky")
        shapes += both(tuft, shade(coat.light if white else coat.main, 0.86))
    shift = np.array((0.025 * math.cos(light), 0.012 * math.sin(light)))
    for share, factor in ((0.0, 0.8), (0.5, 0.9), (1.0, 1.0)):
        inside = outline * (1.0 - 0.06 * share, 1.0 - 0.03 * share) + shift * share
        shapes.append(Shape(inside, shade(coat.main, factor)))
    return shapes
