"""The markings of a fur: what is painted on an animal's head before its eyes and muzzle."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from datamodules.drawn.breeds import Animal
from datamodules.drawn.identity import person_stream
from datamodules.drawn.shapes import Colour, Point, Shape, blob, both, ellipse, mix, stroke, symmetric

# Where spots are, x in half widths of the head: two rows on the forehead, and the cheeks.
SPOTS = [(x, -0.34) for x in (-0.42, -0.14, 0.14, 0.42)] + [(x, -0.24) for x in (-0.62, -0.28, 0.0, 0.28, 0.62)]
SPOTS += [(s * x, y) for s in (-1, 1) for x, y in ((0.86, -0.1), (0.88, 0.06), (0.72, 0.2), (0.9, 0.2), (0.7, 0.34))]


def _all(lines: list[np.ndarray], colour: Colour) -> list[Shape]:
    return [shape for line in lines for shape in both(line, colour)]


def mask_colour(animal: Animal) -> Colour:
    """Of a dark muzzle, on which a black nose still shows."""
    return mix(mix(animal.coat.dark, (78, 62, 58), 0.6), animal.coat.main, 0.15)


def plain(animal: Animal) -> list[Shape]:
    """Nothing."""
    return []


def tabby(animal: Animal) -> list[Shape]:
    """The M on the forehead, and lines across the cheeks."""
    width, top = animal.breed.width, animal.breed.top
    lines = [
        stroke((0.0, top + 0.02), (0.0, top + 0.1), (0.0, top + 0.22), 0.05),
        stroke((0.09, top + 0.03), (0.12, top + 0.12), (0.07, top + 0.24), 0.045),
        stroke((0.22, top + 0.06), (0.24, top + 0.13), (0.19, top + 0.22), 0.045),
        stroke((width * 0.97, 0.1), (width * 0.8, 0.12), (width * 0.62, 0.1), 0.04),
        stroke((width * 0.93, 0.24), (width * 0.78, 0.23), (width * 0.6, 0.18), 0.04),
    ]
    return _all(lines, animal.coat.dark)


def tiger(animal: Animal) -> list[Shape]:
    """Stripes from all sides towards the middle, and white above the eyes and on the cheeks."""
    width, top = animal.breed.width, animal.breed.top
    white = [
        ellipse(animal.breed.spacing + 0.03, -0.2, 0.11, 0.075),
        blob([(width * 0.5, 0.2), (width * 0.95, 0.16), (width * 0.85, 0.36), (width * 0.4, 0.5)]),
    ]
    lines = [
        stroke((0.17, top + 0.06), (0.08, top + 0.08), (0.0, top + 0.05), 0.05),
        stroke((0.16, top + 0.14), (0.07, top + 0.17), (0.0, top + 0.13), 0.05),
        stroke((0.12, top + 0.22), (0.05, top + 0.24), (0.0, top + 0.21), 0.045),
        stroke((0.3, top + 0.05), (0.27, top + 0.13), (0.21, top + 0.17), 0.055, wedge=True),
        stroke((width * 0.86, -0.2), (width * 0.74, -0.17), (width * 0.62, -0.19), 0.055, wedge=True),
        stroke((width * 1.0, -0.02), (width * 0.85, 0.0), (width * 0.74, -0.03), 0.06, wedge=True),
        stroke((width * 1.02, 0.13), (width * 0.86, 0.14), (width * 0.7, 0.1), 0.06, wedge=True),
        stroke((width * 0.98, 0.26), (width * 0.8, 0.27), (width * 0.64, 0.22), 0.055, wedge=True),
        stroke((width * 0.84, 0.38), (width * 0.7, 0.37), (width * 0.58, 0.32), 0.045, wedge=True),
    ]
    return _all(white, animal.coat.light) + _all(lines, animal.coat.dark)


def blaze(animal: Animal) -> list[Shape]:
    """A light band from the crown to the muzzle."""
    wide = 0.04 + 0.05 * animal.traits["collar"]
    line: list[Point] = [(0.0, animal.breed.top + 0.01), (wide, -0.25), (wide * 0.9, 0.0)]
    line += [
        (wide + 0.1, 0.22),
        (animal.breed.muzzle * 1.2, animal.breed.mouth + 0.08),
        (0.0, animal.breed.chin - 0.01),
    ]
    return [Shape(blob(symmetric(line)), _pale(animal))]


def bib(animal: Animal) -> list[Shape]:
    """Light from the nose downwards."""
    line: list[Point] = [(0.0, 0.02), (0.1, 0.16), (animal.breed.width * 0.66, 0.34), (0.2, animal.breed.chin - 0.03)]
    return [Shape(blob(symmetric([*line, (0.0, animal.breed.chin - 0.005)])), _pale(animal))]


def patches(animal: Animal) -> list[Shape]:
    """Of the other colours of a tricoloured cat, on either side."""
    width, top = animal.breed.width, animal.breed.top
    left = blob([(-0.05, top + 0.03), (-0.02, -0.1), (-0.26, 0.14), (-width * 0.93, 0.0), (-width * 0.7, top + 0.1)])
    right = blob(
        [(0.1, top + 0.03), (0.12, -0.24), (width * 0.5, -0.12), (width * 0.8, -0.24), (width * 0.5, top + 0.03)]
    )
    return [*bib(animal), Shape(left, (52, 44, 46)), Shape(right, (220, 134, 62))]


def points(animal: Animal) -> list[Shape]:
    """A dark mask that fades into the face."""
    soft = mix(animal.coat.main, animal.coat.dark, 0.4)
    outer: list[Point] = [(0.0, -0.24), (0.12, -0.12), (0.3, 0.06), (0.27, 0.28), (0.17, 0.46), (0.0, 0.49)]
    inner: list[Point] = [(0.0, -0.1), (0.08, 0.02), (0.22, 0.17), (0.22, 0.32), (0.13, 0.43), (0.0, 0.46)]
    return [Shape(blob(symmetric(outer)), soft), Shape(blob(symmetric(inner)), animal.coat.dark)]


def mask(animal: Animal) -> list[Shape]:
    """A dark muzzle, up to the eyes."""
    low, width = animal.breed.chin, animal.breed.width
    line: list[Point] = [
        (0.0, -0.06),
        (0.1, 0.04),
        (0.3, 0.08),
        (width * 0.74, 0.3),
        (0.2, low - 0.04),
        (0.0, low - 0.01),
    ]
    return [Shape(blob(symmetric(line)), mask_colour(animal))]


def eyepatch(animal: Animal) -> list[Shape]:
    """One eye in a dark patch, and a light band beside it."""
    x, side = animal.breed.spacing, 1.0 if animal.pattern % 2 else -1.0
    patch = ellipse(x + 0.02, -0.02, 0.165, 0.19) * (side, 1.0)
    return [*blaze(animal), Shape(patch, animal.coat.dark)]


def tan(animal: Animal) -> list[Shape]:
    """Light spots above the eyes, and light cheeks."""
    spot = ellipse(animal.breed.spacing - 0.02, -0.17, 0.055, 0.04)
    cheek = blob([(0.14, 0.24), (0.34, 0.2), (animal.breed.width * 0.78, 0.36), (0.2, animal.breed.chin - 0.03)])
    return _all([spot, cheek], animal.coat.light)


def husky(animal: Animal) -> list[Shape]:
    """A light face in a dark hood that comes to a point between the eyes."""
    width, low = animal.breed.width, animal.breed.chin
    face: list[Point] = [(0.0, -0.13), (0.1, -0.2), (0.24, -0.23), (width * 0.72, -0.1), (width * 0.88, 0.16)]
    face += [(width * 0.62, 0.38), (0.16, low - 0.02), (0.0, low - 0.005)]
    return [Shape(blob(symmetric(face)), animal.coat.light)]


def fox(animal: Animal) -> list[Shape]:
    """Light cheeks below the eyes, and a light chin."""
    width, low = animal.breed.width, animal.breed.chin
    cheek = blob(
        [(0.1, 0.3), (0.2, 0.14), (width * 0.92, 0.1), (width * 0.78, 0.34), (0.14, low - 0.03), (0.0, low - 0.02)]
    )
    return _all([cheek], animal.coat.light)


def tears(animal: Animal) -> list[Shape]:
    """Light around the eyes, and a dark line from their inner corners to the mouth."""
    x = animal.breed.spacing
    line = stroke((x - 0.09, 0.04), (x - 0.11, 0.17), (x - 0.05, 0.3), 0.03)
    return _all([ellipse(x, -0.03, 0.13, 0.13)], mix(animal.coat.main, animal.coat.light, 0.6)) + _all(
        [line], animal.coat.dark
    )


def spots(animal: Animal) -> list[Shape]:
    """Dots, and the dark lines of the cheetah."""
    return [*tears(animal), *(Shape(ellipse(x, y, r, r, 12), animal.coat.dark) for x, y, r in _scattered(animal))]


def rosettes(animal: Animal) -> list[Shape]:
    """Dark rings, filled with a deeper shade."""
    middle, shapes = mix(animal.coat.main, animal.coat.dark, 0.25), []
    for x, y, radius in _scattered(animal):
        shapes.append(Shape(ellipse(x, y, radius * 1.3, radius * 1.2, 12), animal.coat.dark))
        shapes.append(Shape(ellipse(x + 0.3 * radius, y, radius * 0.6, radius * 0.55, 12), middle))
    return shapes


def freckled(animal: Animal) -> list[Shape]:
    """Dots of a spotted dog."""
    return [Shape(ellipse(x, y, r, r, 12), animal.coat.dark) for x, y, r in _scattered(animal)]


def _scattered(animal: Animal) -> list[tuple[float, float, float]]:
    """Places and radii of spots on forehead and cheeks, (x, y, radius), no two animals' alike."""
    jitter = person_stream(0, animal.pattern, 0).random((len(SPOTS), 3)).tolist()
    return [
        (animal.breed.width * x + 0.05 * a - 0.025, y + 0.05 * b - 0.025, 0.02 + 0.02 * c)
        for (x, y), (a, b, c) in zip(SPOTS, jitter, strict=True)
    ]


def _pale(animal: Animal) -> Colour:
    return mix(animal.coat.light, (250, 246, 240), 0.6)


_ALL = (plain, tabby, tiger, blaze, bib, patches, points, mask, eyepatch, tan, husky, fox, tears, spots, rosettes)
MARKINGS: dict[str, Callable[[Animal], list[Shape]]] = {part.__name__: part for part in (*_ALL, freckled)}
