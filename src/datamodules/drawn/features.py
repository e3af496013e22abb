"""Eyes, brows and nose."""

from __future__ import annotations

import math
from itertools import accumulate

import numpy as np

from datamodules.drawn.looks import INK, WHITE, Look
from datamodules.drawn.shapes import (
    ARCH,
    LENS,
    STEPS,
    Colour,
    Shape,
    band,
    blob,
    ellipse,
    mirrored,
    mix,
    stroke,
    symmetric,
)

IRISES: tuple[Colour, ...] = ((84, 52, 30), (58, 110, 160), (78, 128, 78), (120, 84, 40), (96, 112, 124))
SOCKET = ARCH**0.75
LINER = 0.45 + 0.55 * ARCH


def eyes(face: Look) -> list[Shape]:
    """Lid, white, iris, lashes and the fold below; the lids close over what lies between them."""
    person, mood, made_up = face.identity, face.expression, face.values["Heavy_Makeup"]
    width, x = 0.098 * person.eye_size, STEPS * (0.098 * person.eye_size)
    lower = ARCH * ((0.042 - 0.022 * min(mood.cheek, 1.6) - 0.02 * mood.squint) * person.eye_size)
    upper = lower - SOCKET * (0.1 * person.eye_size * mood.opening)
    lid = np.minimum(upper - 0.022, LENS * (-0.085 * person.eye_size)) - ARCH * (0.035 * made_up)
    lash = 0.017 + 0.009 * (1.0 - face.male) + 0.012 * made_up
    skin = mix(mix(face.skin, face.shadow, 0.55), (104, 52, 140), 0.8 * made_up)
    below = [
        Shape(band(x * 1.12, lid, upper), skin),
        Shape(band(x, upper, lower), WHITE),
    ]
    above = [
        Shape(band(x * 1.06, upper - LINER * lash, upper + 0.004), INK),
        *_wing(face, width, float(upper[11])),
        Shape(band(x, lower, lower + (0.007 + 0.01 * made_up)), mix(face.crease, INK, 0.6 * made_up)),
        *_bag(face),
    ]
    right = [*below, *_iris(face, 1.0, x, upper, lower), *above]
    left = [*below, *_iris(face, -1.0, x, upper, lower), *above]
    return [*_placed(right, face, width, 1.0), *_placed(left, face, width, -1.0)]


def _placed(shapes: list[Shape], face: Look, width: float, side: float) -> list[Shape]:
    """Slant an eye drawn around the origin, and put it on its side of the face."""
    slant = face.identity.eye_slant / width
    linear, centre = np.array(((side, slant), (0.0, 1.0))), (side * face.identity.eye_spacing, 0.0)
    points = np.concatenate([shape.points for shape in shapes]) @ linear
    points += centre
    ends = accumulate(len(shape.points) for shape in shapes)
    return [Shape(points[end - len(shape.points) : end], shape.colour) for shape, end in zip(shapes, ends, strict=True)]


def _iris(face: Look, side: float, x: np.ndarray, upper: np.ndarray, lower: np.ndarray) -> list[Shape]:
    """Iris, pupil and glint, cut off by the lids; both eyes look the same way."""
    size, gaze = face.identity.eye_size, face.identity.gaze * side
    iris = ellipse(gaze, -0.015, 0.054 * size, 0.056 * size)
    pupil = ellipse(gaze, -0.015, 0.028 * size, 0.029 * size)
    glint = ellipse(gaze + 0.02 * side, -0.036, 0.015, 0.015, 12)
    points = np.concatenate([iris, pupil, glint])
    across, down = points[:, 0], points[:, 1]
    np.minimum(np.maximum(down, np.interp(across, x, upper)), np.interp(across, x, lower), out=down)
    return [Shape(points[:24], IRISES[face.identity.iris]), Shape(points[24:48], INK), Shape(points[48:], WHITE)]


def _wing(face: Look, width: float, drop: float) -> list[Shape]:
    """Lashes that rise beyond the outer corner, which men without makeup lack."""
    length = 0.05 * (1.0 - face.male) + 0.03 * face.values["Heavy_Makeup"]
    if not length:
        return []
    corner = width * 0.8
    tip, root = (corner + length, drop - length * 0.75), (corner + 0.012, drop + 0.012)
    return [Shape(np.array(((corner - 0.035, drop - 0.016), tip, root)), INK)]


def _bag(face: Look) -> list[Shape]:
    """The fold that a raised cheek pushes up, and the one close under a tightened lid."""
    cheek, squint, tone = face.expression.cheek, face.expression.squint, mix(face.skin, face.crease, 0.6)
    folds = []
    if squint:
        folds.append(stroke((-0.095, 0.042), (0.0, 0.058), (0.1, 0.03), 0.022 * squint))
    if cheek:
        folds.append(stroke((-0.09, 0.075), (0.01, 0.118 - 0.012 * cheek), (0.11, 0.06), 0.026 * min(cheek, 1.4)))
    return [Shape(fold, tone) for fold in folds]


def brows(face: Look) -> list[Shape]:
    """Brows, and the furrow between them."""
    person, mood, arch = face.identity, face.expression, face.values["Arched_Eyebrows"]
    x, y = person.eye_spacing, person.brow_height + 0.04 * mood.frown + 0.012 * face.male
    inner = (x - 0.105 - 0.022 * mood.frown, y - 0.085 * mood.brow_inner + 0.028 * mood.frown - 0.005 * arch)
    middle = (x + 0.015 + 0.012 * arch, y - 0.03 - 0.03 * (mood.brow_inner + mood.brow_outer) - 0.07 * arch)
    outer = (x + 0.13, y + 0.005 + person.brow_slant - 0.08 * mood.brow_outer + 0.03 * arch)
    width = person.brow_width * (1.0 + 0.42 * face.male - 0.18 * arch)
    brow = stroke(inner, middle, outer, width, wedge=True)
    colour = mix(face.beard, INK, 0.3)
    shapes = [Shape(brow, colour), Shape(mirrored(brow), colour)]
    if mood.frown > 0:
        crease = stroke((0.035, y + 0.07), (0.042, y + 0.01), (0.03, y - 0.06), 0.022 * min(mood.frown, 1.0))
        tone = mix(face.skin, face.crease, 0.7)
        shapes += [Shape(crease, tone), Shape(mirrored(crease), tone)]
    return shapes


def nose(face: Look) -> list[Shape]:
    """The nose with its shaded side, nostrils and wrinkles."""
    big, pointy, wrinkle = face.values["Big_Nose"], face.values["Pointy_Nose"], face.expression.wrinkle
    width = 0.082 * face.identity.nose_width * (1.0 + 0.75 * big - 0.42 * pointy)
    tip = (0.225 + 0.04 * big + 0.06 * pointy) * face.identity.nose_length
    wing = tip - 0.05 - 0.028 * wrinkle - 0.035 * pointy - 0.012 * face.expression.sneer
    sharp = 0.5 - 0.42 * pointy
    body = [(0.0, -0.04), (0.028, 0.02), (0.04, wing - 0.07), (width, wing - 0.01), (width * 0.86, wing + 0.035)]
    tone = mix(face.skin, face.shadow, 0.72)
    nostril = ellipse(width * 0.52, wing + 0.034, 0.02 + 0.009 * big, 0.012 + 0.004 * big, 12)
    side = 1.0 if math.cos(face.identity.light) < 0 else -1.0
    dark = np.array([(0.0, 0.0), (0.036, 0.03), (width * 0.55, wing - 0.02), (width * 0.9, wing + 0.03), (0.012, wing)])
    shapes = [
        Shape(blob(symmetric([*body, (width * sharp, tip), (0.0, tip + 0.006)])), tone),
        Shape(dark * (side, 1.0), face.shadow),
        Shape(nostril, face.crease),
        Shape(mirrored(nostril), face.crease),
        Shape(ellipse(-0.012 * side, wing - 0.03, width * 0.3, 0.03, 16), face.glow),
        Shape(stroke((-width * 0.4, tip), (0.0, tip + 0.012), (width * 0.4, tip), 0.016), face.crease),
    ]
    if pointy:
        edge = stroke((width, wing - 0.02), (width * 0.62, wing + 0.05), (0.0, tip + 0.012), 0.03 * pointy)
        shapes += [Shape(edge, face.crease), Shape(mirrored(edge), face.crease)]
    return shapes + _wrinkles(face, width, wing)


def _wrinkles(face: Look, width: float, wing: float) -> list[Shape]:
    """Lines across the bridge of a wrinkled nose and beside its wings."""
    wrinkle = face.expression.wrinkle
    if not wrinkle:
        return []
    lines = [stroke((0.012, y + 0.022), (0.05, y - 0.012), (0.085, y + 0.012), 0.022 * wrinkle) for y in (0.0, 0.045)]
    lines.append(
        stroke((width + 0.012, wing - 0.03), (width + 0.06, wing), (width + 0.075, wing + 0.06), 0.022 * wrinkle)
    )
    tone = mix(face.skin, face.crease, 0.75)
    return [Shape(points, tone) for points in (*lines, *map(mirrored, lines))]
