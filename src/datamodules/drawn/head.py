"""The head and what a person wears: clothes, neck, ears, skull, cheeks, lines of age, makeup, glasses."""

from __future__ import annotations

import math

import numpy as np

from datamodules.drawn.looks import WHITE, Look
from datamodules.drawn.shapes import Colour, Shape, blob, ellipse, mirrored, mix, shade, stroke, symmetric, towards

FABRICS: tuple[Colour, ...] = (
    (214, 84, 72),
    (58, 96, 150),
    (240, 196, 92),
    (76, 140, 116),
    (236, 230, 218),
    (64, 64, 78),
    (150, 106, 168),
    (226, 138, 96),
    (120, 170, 204),
)
RIM = np.concatenate([ellipse(0.0, 0.0, 1.0, 1.0, 32), [(1.0, 0.0)]])  # closed, so that a hole can follow it


def clothes(face: Look) -> list[Shape]:
    """Shoulders, folds and a collar."""
    person = face.identity
    cloth, second = FABRICS[person.clothes_colour], FABRICS[person.second_colour]
    half = [(0.0, 0.84), (0.2, 0.8), (0.3, 0.77), (0.62, 0.86), (0.95, 1.05), (1.3, 2.0)]
    body = Shape(np.array(symmetric(half)), cloth)
    dark = shade(cloth, 0.8)
    folds = stroke((0.52, 1.3), (0.5, 1.08), (0.56, 0.95), 0.025)
    return [body, Shape(folds, dark), Shape(mirrored(folds), dark), *_collar(face, cloth, second)]


def _collar(face: Look, cloth: Colour, second: Colour) -> list[Shape]:
    style = face.identity.clothes
    if style == 0:  # round neck
        return [
            Shape(blob(symmetric([(0.0, 0.9), (0.24, 0.82), (0.29, 0.74)])), shade(cloth, 0.78)),
            Shape(blob(symmetric([(0.0, 0.86), (0.2, 0.79), (0.24, 0.72)])), face.shadow),
        ]
    if style == 1:  # shirt with a collar
        wing = np.array([(0.0, 0.86), (0.25, 0.7), (0.36, 0.8), (0.17, 0.99)])
        collar = mix(cloth, WHITE, 0.55)
        return [Shape(wing, collar), Shape(mirrored(wing), collar)]
    if style == 2:  # turtleneck
        tube = [(0.0, 0.71), (0.2, 0.685), (0.27, 0.72), (0.28, 0.86), (0.0, 0.92)]
        return [Shape(blob(symmetric(tube)), shade(cloth, 0.85))]
    neckline = np.array(symmetric([(0.0, 1.06), (0.25, 0.74)]))  # open jacket over a shirt
    lapel = np.array([(0.0, 1.14), (0.26, 0.73), (0.4, 0.79), (0.1, 1.4), (0.0, 1.4)])
    inner = Shape(neckline, second)
    return [inner, Shape(lapel, shade(cloth, 0.82)), Shape(mirrored(lapel), shade(cloth, 0.82))]


def neck(face: Look) -> list[Shape]:
    """In the shadow of the chin."""
    width = 0.2 + 0.045 * face.male
    neck = np.array(symmetric([(width, 0.3), (width, 0.74), (width + 0.06, 0.8), (0.0, 0.9)]))
    return [Shape(neck, face.shadow)]


def ears(face: Look) -> list[Shape]:
    """Both ears, partly behind the head."""
    size = face.identity.ears
    outer = ellipse(face.half_width, 0.07, 0.085 * size, 0.125 * size)
    inner = ellipse(face.half_width + 0.012, 0.07, 0.045 * size, 0.075 * size)
    return [
        Shape(outer, face.skin),
        Shape(mirrored(outer), face.skin),
        Shape(inner, face.shadow),
        Shape(mirrored(inner), face.shadow),
    ]


def contour(face: Look) -> np.ndarray:
    """(16, 2) control points of the head, from the crown clockwise."""
    width, top, chin = face.half_width, face.top, face.chin
    jaw = face.identity.jaw * (1.0 + 0.15 * face.male)
    drop = 0.03 * face.expression.jaw
    half = [
        (0.0, top),
        (width * 0.62, top * 0.9),
        (width * 0.95, top * 0.52),
        (width, 0.02),
        (width * (0.93 + 0.02 * face.male), 0.24 + drop * 0.3),
        (width * 0.74 * jaw, 0.44 + drop),
        (width * 0.4 * jaw, chin - 0.055 + 0.012 * face.male),
        (width * 0.17 * (1.0 + 0.5 * face.male), chin - 0.006),
        (0.0, chin),
    ]
    return np.array(symmetric(half))


def head(face: Look) -> list[Shape]:
    """The head, rounded by three tones away from the light, and its cheeks."""
    outline = blob(contour(face))
    light = np.array((0.025 * math.cos(face.identity.light), 0.01 * math.sin(face.identity.light)))
    shapes = [Shape(outline, face.shadow)]
    for share, tone in ((0.5, mix(face.shadow, face.skin, 0.55)), (1.0, face.skin)):
        inside = outline * (1.0 - 0.055 * share, 1.0 - 0.02 * share)
        shapes.append(Shape(inside + light * share, tone))
    blush = towards(face.skin, (232, 96, 88), 0.18)
    shapes += [Shape(np.array([(x, 0.2)]), blush, radius=0.17) for x in (-0.29, 0.29)]
    stubble = towards(face.skin, (100, 92, 96), 0.16 * face.male)
    shapes += [Shape(np.array([spot]), stubble, radius=0.24) for spot in ((-0.19, 0.36), (0.0, 0.47), (0.19, 0.36))]
    return [*shapes, Shape(np.array([(0.0, -0.3)]), towards(face.skin, face.glow, 0.5), radius=0.32)]


def makeup(face: Look) -> list[Shape]:
    """Rouge; what makeup does to the eyes is drawn with them."""
    amount = face.values["Heavy_Makeup"]
    if not amount:
        return []
    rouge = towards(face.skin, (214, 52, 84), 0.45 * amount)
    return [Shape(np.array([(x, 0.2)]), rouge, radius=0.21) for x in (-0.31, 0.31)]


def freckles(face: Look) -> list[Shape]:
    """On the cheeks of those who have them."""
    if face.identity.freckles < 0:
        return []
    spot = mix(face.skin, face.crease, 0.25 + 0.3 * face.identity.freckles)
    places = ((0.24, 0.14), (0.31, 0.17), (0.27, 0.21), (0.36, 0.13), (0.19, 0.19))
    return [Shape(ellipse(side * x, y, 0.011, 0.009, 8), spot) for x, y in places for side in (-1, 1)]


def age(face: Look) -> list[Shape]:
    """Lines of the forehead, around the eyes and beside the mouth."""
    amount = 1.0 - face.values["Young"]
    if not amount:
        return []
    eye, width = face.identity.eye_spacing, 0.026 * amount
    line = mix(face.skin, face.crease, 0.4 + 0.4 * amount)
    forehead = [stroke((-0.2, y), (0.0, y - 0.015), (0.2, y), width * 0.8) for y in (-0.27, -0.335)]
    side = [
        stroke((0.11, 0.24), (0.19, 0.31), (0.225, 0.43), width),
        stroke((eye - 0.07, 0.1), (eye, 0.128), (eye + 0.08, 0.1), width),
        stroke((eye + 0.12, -0.005), (eye + 0.16, -0.02), (eye + 0.19, -0.045), width * 0.8),
        stroke((eye + 0.12, 0.03), (eye + 0.16, 0.04), (eye + 0.19, 0.06), width * 0.8),
    ]
    return [Shape(points, line) for points in (*forehead, *side, *map(mirrored, side))]


def glasses(face: Look) -> list[Shape]:
    """Dark rims around clear lenses, a bridge and two arms."""
    worn, square = face.values["Eyeglasses"], face.identity.lenses
    if not worn:
        return []
    x, ink = face.identity.eye_spacing + 0.008, mix((24, 22, 30), (70, 30, 26), square)
    outline = np.sign(RIM) * np.abs(RIM) ** (0.85 - 0.35 * square)
    hole = outline[::-1] * (0.168 - 0.034 * worn, 0.148 - 0.034 * worn)
    ring = np.concatenate([outline * (0.168, 0.148), hole])
    ring += (x, 0.012)
    glint = stroke((x - 0.06, 0.07), (x - 0.02, 0.01), (x + 0.02, -0.05), 0.014 * worn)
    edge = face.half_width + 0.02
    arm = np.array([(x + 0.155, -0.04), (edge, -0.045), (edge, -0.01), (x + 0.155, 0.0)])
    bridge = stroke((0.16 - x, 0.0), (0.0, -0.035), (x - 0.16, 0.0), 0.05 * worn)
    pieces = ((ring, ink), (glint, WHITE), (arm, ink))
    both = [Shape(points, tone) for right, tone in pieces for points in (right, mirrored(right))]
    return [*both, Shape(bridge, ink)]
