"""Eyes, nose, mouth and whiskers of the drawn animals."""

from __future__ import annotations

import numpy as np

from datamodules.drawn.breeds import Animal
from datamodules.drawn.looks import INK, WHITE
from datamodules.drawn.markings import mask_colour
from datamodules.drawn.shapes import (
    Colour,
    Point,
    Shape,
    blob,
    both,
    brightness,
    ellipse,
    mix,
    shade,
    stroke,
    symmetric,
)


def eyes(animal: Animal) -> list[Shape]:
    """Rim, iris, pupil and glint; the upper lid comes down on some."""
    breed = animal.breed
    high = breed.eye * animal.vary("eye", 0.14)
    wide, lid = high * 1.12, -high * (1.0 - 0.6 * animal.traits["lid"])
    gaze = 0.012 * (2.0 * animal.traits["gaze"] - 1.0)
    around = mix(shade(animal.coat.dark, 0.6), INK, 0.6)
    shapes = []
    for side in (-1.0, 1.0):
        slanted = np.array(((1.0, -breed.slant * side), (0.0, 1.0)))
        centre = np.array((side * breed.spacing * animal.vary("spacing", 0.07), -0.02))
        parts = [
            (ellipse(0.0, 0.0, wide, high), animal.iris),
            (ellipse(0.0, 0.25 * high, wide * 0.8, high * 0.7), mix(animal.iris, WHITE, 0.18)),
            (ellipse(gaze, 0.0, high * 0.72 * breed.slit, high * 0.76), INK),
            (ellipse(gaze + 0.25 * high, -0.3 * high, high * 0.24, high * 0.24, 12), WHITE),
        ]
        shapes.append(Shape(ellipse(0.0, 0.0, wide * 1.22, high * 1.22) @ slanted + centre, around))
        shapes += [Shape(np.maximum(points, (-1.0, lid)) @ slanted + centre, tone) for points, tone in parts]
    return shapes


def muzzle(animal: Animal) -> list[Shape]:
    """The bridge of the nose, the mouth below, two cheeks with whiskers, and a tongue of those that pant."""
    breed, coat = animal.breed, animal.coat
    wide, y = breed.muzzle * animal.vary("muzzle", 0.12), breed.mouth * animal.vary("mouth", 0.04)
    pale = {"points": coat.dark, "mask": mask_colour(animal)}.get(animal.marking, coat.light)
    bridge: list[Point] = [(0.0, -0.12), (wide * 0.36, -0.02), (wide * 0.44, y - 0.14), (wide * 0.7, y)]
    tone = mix(pale, coat.main, 0.05 if animal.marking in ("blaze", "eyepatch", "points", "mask") else 0.75)
    shapes = [Shape(blob(symmetric([*bridge, (0.0, y + 0.05)])), shade(tone, 0.94))]
    shapes += _tongue(animal, wide, y)
    shapes.append(Shape(ellipse(0.0, y + wide * 0.5, wide * 0.5, wide * 0.34), shade(pale, 0.86)))
    shapes += both(ellipse(wide * 0.46, y + wide * 0.14, wide * 0.56, wide * 0.5), shade(pale, 0.93))
    shapes += both(ellipse(wide * 0.44, y + wide * 0.08, wide * 0.5, wide * 0.4), pale)
    line = mix(shade(pale, 0.45), INK, 0.5)
    shapes.append(Shape(stroke((0.0, y - 0.02), (0.004, y + wide * 0.25), (0.0, y + wide * 0.5), 0.03), line))
    lip = stroke((0.0, y + wide * 0.44), (wide * 0.4, y + wide * 0.66), (wide * 0.86, y + wide * 0.4), 0.03)
    shapes += both(lip, line)
    return [*shapes, *_whiskers(animal, wide, y, line)]


def _tongue(animal: Animal, wide: float, y: float) -> list[Shape]:
    """An open mouth under the muzzle of one that pants."""
    gasp = animal.traits["pant"] - 0.55
    if gasp < 0 or not animal.breed.pants:
        return []
    drop = y + wide * (0.55 + 0.6 * gasp)
    return [
        Shape(ellipse(0.0, drop, wide * 0.5, wide * 0.5), (92, 34, 36)),
        Shape(ellipse(0.0, drop + wide * 0.2, wide * 0.32, wide * 0.5), (226, 112, 118)),
    ]


def _whiskers(animal: Animal, wide: float, y: float, line: Colour) -> list[Shape]:
    """Three on each side, and the dots that they grow from."""
    long = animal.breed.whiskers
    if not long:
        return []
    tone = (250, 248, 244) if brightness(animal.coat.main) < 190 else (120, 110, 104)
    shapes = []
    for row in (-1, 0, 1):
        root = (wide * 0.5, y + wide * 0.14 + 0.035 * row)
        end = (wide * 0.5 + long, root[1] + 0.075 * row - 0.02)
        middle = ((root[0] + end[0]) / 2, (root[1] + end[1]) / 2 - 0.03)
        shapes += both(stroke(root, middle, end, 0.016), tone)
        shapes += both(ellipse(root[0] - 0.02 * abs(row), root[1], 0.009, 0.009, 8), line)
    return shapes


def nose(animal: Animal) -> list[Shape]:
    """The tip of the nose, with its shine; pink on some cats."""
    breed = animal.breed
    wide, y = breed.nose * animal.vary("nose", 0.15), breed.mouth * animal.vary("mouth", 0.04) - 0.05
    light = brightness(animal.coat.dark) > 85 and breed.whiskers
    tone: Colour = (204, 118, 116) if light else (34, 27, 30)
    tip: list[Point] = [(0.0, y - wide * 0.55), (wide * 0.75, y - wide * 0.58), (wide, y - wide * 0.15)]
    tip += [(wide * 0.4, y + wide * 0.5), (0.0, y + wide * 0.66)]
    return [
        Shape(blob(symmetric(tip)), tone),
        Shape(ellipse(0.0, y - wide * 0.3, wide * 0.45, wide * 0.14, 16), mix(tone, WHITE, 0.4)),
    ]
