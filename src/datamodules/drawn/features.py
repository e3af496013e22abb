"""What speaks in a face: eyes, brows, nose, mouth, and the hair that grows around it."""

from __future__ import annotations

import math
from itertools import accumulate

import numpy as np

from datamodules.drawn.head import contour
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
    shade,
    stroke,
    symmetric,
)

IRISES: tuple[Colour, ...] = ((84, 52, 30), (58, 110, 160), (78, 128, 78), (120, 84, 40), (96, 112, 124))
SOCKET = ARCH**0.75
LINER = 0.45 + 0.55 * ARCH
BOW = ARCH**0.7 * (1.0 - 0.3 * np.exp(-((STEPS / 0.22) ** 2)))  # of the upper lip
LIP = ARCH**0.8


def eyes(face: Look) -> list[Shape]:
    """Lid, white, iris, lashes and the fold below; the lids close over what lies between them."""
    person, mood, made_up = face.identity, face.expression, face.values["Heavy_Makeup"]
    width, x = 0.098 * person.eye_size, STEPS * (0.098 * person.eye_size)
    lower = ARCH * ((0.042 - 0.022 * min(mood.cheek, 1.6)) * person.eye_size)
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
    """The fold that a raised cheek pushes up."""
    cheek = face.expression.cheek
    if not cheek:
        return []
    fold = stroke((-0.09, 0.075), (0.01, 0.118 - 0.012 * cheek), (0.11, 0.06), 0.026 * min(cheek, 1.4))
    return [Shape(fold, mix(face.skin, face.crease, 0.6))]


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
    wing = tip - 0.05 - 0.028 * wrinkle - 0.035 * pointy
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


class _Lips:
    """Curves of the mouth, left to right: outer and inner edges of both lips, (13,) each."""

    def __init__(self, face: Look) -> None:
        mood, person = face.expression, face.identity
        lift = 0.105 * mood.corner
        middle = person.mouth_height + 0.012 * mood.corner + lift * (0.3 - STEPS**2) - 0.035 * mood.chin * ARCH
        thin = person.lips * (1.0 - 0.14 * face.male) / (1.0 + 0.18 * max(0.0, mood.stretch))
        self.x = STEPS * 0.172 * person.mouth_width * (1.0 + 0.38 * mood.stretch)
        self.inner_top = middle - 0.2 * mood.gap * ARCH
        self.inner_bottom = middle + 0.8 * mood.gap * LIP
        self.top = self.inner_top - (0.036 * thin) * BOW
        self.bottom = self.inner_bottom + ((0.05 + 0.02 * mood.chin) * thin) * LIP
        self.middle = middle


def _lip_colour(face: Look) -> Colour:
    natural = mix(face.skin, (180, 58, 64), 0.66 - 0.2 * face.male)
    rouge = mix((206, 20, 50), (190, 22, 86), face.identity.lip_shade)
    return mix(shade(natural, 0.94), rouge, face.values["Wearing_Lipstick"])


def mouth(face: Look) -> list[Shape]:
    """Lips, teeth, tongue and the folds around them."""
    lips, gap = _Lips(face), face.expression.gap
    colour = _lip_colour(face)
    shapes = [Shape(band(lips.x, lips.top, lips.bottom), colour)]
    shapes.append(
        Shape(band(lips.x * 0.6, lips.bottom - 0.03 * ARCH, lips.bottom - 0.014 * ARCH), mix(colour, WHITE, 0.25))
    )
    x, slit = lips.x * 0.98, 0.007 * ARCH
    inside = mix(mix(colour, INK, 0.6), (92, 22, 30), min(1.0, gap / 0.05))
    shapes.append(Shape(band(x, lips.inner_top - slit, lips.inner_bottom + slit), inside))
    if gap:
        depth = ARCH * gap * (0.26 + 0.48 * face.values["Smiling"])
        tongue = band(x * 0.7, lips.inner_bottom - 0.3 * gap * ARCH**2, lips.inner_bottom)
        shapes.append(Shape(tongue, (206, 96, 100)))
        shapes.append(Shape(band(x * 0.9, lips.inner_top, lips.inner_top + depth), WHITE))
    return shapes + _folds(face, lips)


def _folds(face: Look, lips: _Lips) -> list[Shape]:
    """Where the skin gives way: beside a smile or a stretched mouth, under sunken corners, on a raised chin."""
    mood, tone = face.expression, mix(face.skin, face.crease, 0.62)
    x, y = float(lips.x[-1]), float(lips.middle[-1])
    marks = []
    pull = max(0.0, mood.corner - 0.15)
    if pull:
        marks.append(stroke((x + 0.015, y - 0.04), (x + 0.052, y + 0.0), (x + 0.03, y + 0.05), 0.026 * min(pull, 1.2)))
    if mood.corner < -0.15:
        sunk = min(1.0, -0.15 - mood.corner)
        marks.append(stroke((x - 0.005, y + 0.01), (x + 0.03, y + 0.035), (x + 0.03, y + 0.08), 0.024 * sunk))
    if face.values["AU20"]:
        marks.append(stroke((x + 0.03, y - 0.05), (x + 0.05, y), (x + 0.03, y + 0.05), 0.026 * face.values["AU20"]))
    shapes = [Shape(points, tone) for mark in marks for points in (mark, mirrored(mark))]
    if mood.chin:
        low = float(lips.bottom[6]) + 0.025
        dent = stroke((-0.09, low + 0.03), (0.0, low - 0.012), (0.09, low + 0.03), 0.03 * mood.chin)
        shapes.append(Shape(dent, tone))
        shapes += [
            Shape(ellipse(dx, low + 0.055, 0.011 * mood.chin, 0.009 * mood.chin, 8), tone)
            for dx in (-0.045, 0.0, 0.045)
        ]
    return shapes


def beard(face: Look) -> list[Shape]:
    """Sideburns, a full beard where neither No_Beard nor Goatee is on, a goatee, a mustache."""
    values = face.values
    full = max(0.0, 1.0 - values["No_Beard"] - values["Goatee"])
    grown = (
        (_sideburns, values["Sideburns"]),
        (_full_beard, full),
        (_goatee, values["Goatee"]),
        (_mustache, values["Mustache"]),
    )
    return [Shape(points, mix(face.skin, face.beard, share)) for part, share in grown if share for points in part(face)]


def _sideburns(face: Look) -> list[np.ndarray]:
    width = face.half_width
    strip = blob(
        [(width * 0.99, -0.16), (width * 1.0, 0.02), (width * 0.95, 0.2), (width * 0.78, 0.25), (width * 0.8, -0.08)]
    )
    return [strip, mirrored(strip)]


def _full_beard(face: Look) -> list[np.ndarray]:
    lips = _Lips(face)
    jaw = blob(contour(face))
    rim = jaw[jaw[:, 1] > 0.14] * (1.0, 1.025)
    rim = rim[np.argsort(np.arctan2(rim[:, 0], rim[:, 1]))]  # from the left ear over the chin to the right one
    corner, low = float(lips.x[-1]) + 0.05, float(lips.bottom[6]) + 0.022
    right = [
        (face.half_width * 0.99, 0.13),
        (face.half_width * 0.84, 0.24),
        (corner + 0.05, 0.32),
        (corner, 0.4),
        (0.09, low),
    ]
    edge = [(-x, y) for x, y in right] + [(0.0, low - 0.006)] + right[::-1]
    inner = blob([edge[0], *edge, edge[-1]])[6 : 6 * len(edge) + 1]  # ends doubled: they do not swing
    return [np.concatenate([rim, inner[::-1]])]


def _goatee(face: Look) -> list[np.ndarray]:
    lips = _Lips(face)
    low = float(lips.bottom[6]) + 0.018
    return [
        blob(
            symmetric(
                [
                    (0.0, low),
                    (0.05, low + 0.015),
                    (0.15, low + 0.03),
                    (0.14, face.chin - 0.02),
                    (0.0, face.chin + 0.035),
                ]
            )
        )
    ]


def _mustache(face: Look) -> list[np.ndarray]:
    lips = _Lips(face)
    y, end = float(lips.top[6]), float(lips.x[-1])
    wing = [
        (0.0, y - 0.05),
        (0.07, y - 0.062),
        (end * 0.9, float(lips.middle[-1]) - 0.05),
        (end + 0.035, float(lips.middle[-1]) - 0.005),
    ]
    return [blob(symmetric([*wing, (end * 0.6, float(lips.top[10]) - 0.001), (0.0, y + 0.006)]))]
