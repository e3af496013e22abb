"""The mouth, the folds around it, and the beard that moves with it."""

from __future__ import annotations

import numpy as np

from datamodules.drawn.head import contour
from datamodules.drawn.looks import INK, WHITE, Look
from datamodules.drawn.shapes import (
    ARCH,
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

BOW = ARCH**0.7 * (1.0 - 0.3 * np.exp(-((STEPS / 0.22) ** 2)))  # of the upper lip
LIP = ARCH**0.8
CORNERS = (np.maximum(0.0, -STEPS) ** 3, np.maximum(0.0, STEPS) ** 3)  # how much of each end of the mouth a point is


class _Lips:
    """Curves of the mouth, left to right: outer and inner edges of both lips, (13,) each."""

    def __init__(self, face: Look) -> None:
        mood, person = face.expression, face.identity
        lift = 0.105 * mood.corner
        middle = person.mouth_height + 0.012 * mood.corner + lift * (0.3 - STEPS**2) - 0.035 * mood.chin * ARCH
        tucked = mood.dimples[0] * CORNERS[0] + mood.dimples[1] * CORNERS[1]
        middle -= (0.075 - 0.055 * min(mood.dimples)) * tucked  # a single corner rises more than two
        thin = person.lips * (1.0 - 0.14 * face.male) / (1.0 + 0.18 * max(0.0, mood.stretch)) * (1.0 - 0.6 * mood.tight)
        self.x = STEPS * 0.172 * person.mouth_width * (1.0 + 0.38 * mood.stretch) * (1.0 + 0.1 * tucked)
        self.inner_top = middle - (0.2 * mood.gap + 0.03 * mood.sneer) * ARCH
        self.inner_bottom = middle + 0.8 * mood.gap * LIP
        self.top = self.inner_top - (0.036 * thin) * BOW - 0.012 * mood.sneer * LIP
        self.bottom = self.inner_bottom + ((0.05 + 0.02 * mood.chin) * thin) * LIP
        self.middle = middle


def _lip_colour(face: Look) -> Colour:
    natural = mix(face.skin, (180, 58, 64), 0.66 - 0.2 * face.male)
    rouge = mix((206, 20, 50), (190, 22, 86), face.identity.lip_shade)
    return mix(shade(natural, 0.94), rouge, face.values["Wearing_Lipstick"])


def mouth(face: Look) -> list[Shape]:
    """Lips, teeth, tongue and the folds around them."""
    lips, gap, sneer = _Lips(face), face.expression.gap, face.expression.sneer
    colour = _lip_colour(face)
    shapes = [Shape(band(lips.x, lips.top, lips.bottom), colour)]
    shapes.append(
        Shape(band(lips.x * 0.6, lips.bottom - 0.03 * ARCH, lips.bottom - 0.014 * ARCH), mix(colour, WHITE, 0.25))
    )
    x, slit = lips.x * 0.98, 0.007 * ARCH
    inside = mix(mix(colour, INK, 0.6), (92, 22, 30), min(1.0, gap / 0.05 + 0.5 * sneer))
    shapes.append(Shape(band(x, lips.inner_top - slit, lips.inner_bottom + slit), inside))
    if gap:
        tongue = band(x * 0.7, lips.inner_bottom - 0.3 * gap * ARCH**2, lips.inner_bottom)
        shapes.append(Shape(tongue, (206, 96, 100)))
    if gap or sneer:
        depth = ARCH * gap * (0.26 + 0.48 * face.values["Smiling"]) + 0.022 * sneer * ARCH
        shapes.append(Shape(band(x * 0.9, lips.inner_top, lips.inner_top + depth), WHITE))
    return shapes + _folds(face, lips)


def _folds(face: Look, lips: _Lips) -> list[Shape]:
    """Where the skin gives way: beside a smile, a stretched or raised mouth, under sunken corners, on a raised chin."""
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
    if mood.sneer:
        marks.append(stroke((0.1, 0.215), (0.175, 0.27), (0.215, y - 0.005), 0.034 * mood.sneer))
    shapes = [Shape(points, tone) for mark in marks for points in (mark, mirrored(mark))]
    shapes += _dimples(face, lips)
    if mood.chin:
        low = float(lips.bottom[6]) + 0.025
        dent = stroke((-0.09, low + 0.03), (0.0, low - 0.012), (0.09, low + 0.03), 0.03 * mood.chin)
        shapes.append(Shape(dent, tone))
        shapes += [
            Shape(ellipse(dx, low + 0.055, 0.011 * mood.chin, 0.009 * mood.chin, 8), tone)
            for dx in (-0.045, 0.0, 0.045)
        ]
    return shapes


def _dimples(face: Look, lips: _Lips) -> list[Shape]:
    """The pit and the bracket beside a corner that is drawn in."""
    shapes = []
    for side, end in ((0, 0), (1, -1)):
        if depth := face.expression.dimples[side]:
            x, y, out = float(lips.x[end]), float(lips.middle[end]), 2.0 * side - 1.0
            bracket = stroke(
                (x + 0.03 * out, y - 0.065), (x + 0.058 * out, y), (x + 0.03 * out, y + 0.06), 0.034 * depth
            )
            shapes.append(Shape(bracket, face.crease))
            shapes.append(Shape(ellipse(x + 0.008 * out, y, 0.016 * depth, 0.014 * depth, 12), face.crease))
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
