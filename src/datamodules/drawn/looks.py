"""From a person and a set of attributes to the colours and measures that the parts of a face are drawn with."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from datamodules.drawn.identity import Identity
from datamodules.drawn.shapes import Colour, brightness, mix, shade

SKINS: tuple[Colour, ...] = (
    (255, 226, 203),
    (247, 208, 176),
    (231, 181, 141),
    (208, 150, 108),
    (172, 117, 82),
    (138, 90, 64),
)
HAIR: dict[str, Colour] = {
    "Black_Hair": (36, 32, 38),
    "Blond_Hair": (232, 190, 96),
    "Brown_Hair": (104, 62, 36),
    "Gray_Hair": (172, 174, 180),
}
RED_HAIR: Colour = (190, 78, 36)
INK: Colour = (44, 28, 26)
WHITE: Colour = (250, 248, 244)


@dataclass(frozen=True)
class Expression:
    """What the muscles do; 0 is at rest, 1 is about as far as one action unit goes."""

    corner: float  # of the mouth: up; negative down
    stretch: float  # of the mouth, sideways
    gap: float  # between the lips, unit frame
    jaw: float  # downwards
    chin: float  # pushes the lower lip up
    brow_inner: float  # up
    brow_outer: float  # up
    frown: float  # brows down and together
    opening: float  # of the eyes: 1 at rest, 0 closed
    cheek: float  # up, under the lower lid
    wrinkle: float  # of the nose
    squint: float  # lids tightened: the lower one up and straight
    sneer: float  # upper lip up, and the fold beside it
    dimples: tuple[float, float]  # corners of the mouth drawn in, at the picture's left and right
    tight: float  # lips narrowed


def expression(values: Mapping[str, float], rest: float) -> Expression:
    """Add up what attributes and action units ask of each muscle."""
    smile = values["Smiling"]
    pull = values["AU12"] + 1.2 * smile
    pull *= 1.3 / (1.0 + 0.3 * pull)  # two causes of one movement add, but less and less
    # Both close the eyes; a photo tells them apart only by how long.
    closing = (1.0 - values["AU43"]) * (1.0 - values["AU45"])
    cheek = values["AU6"] + 0.6 * smile
    return Expression(
        corner=rest + pull - 1.15 * values["AU15"],
        stretch=1.15 * values["AU20"]
        + 0.75 * pull
        - 0.25 * values["AU26"]
        - 0.1 * values["AU17"]
        - 0.3 * values["AU23"],
        gap=0.07 * smile + 0.07 * values["Mouth_Slightly_Open"] + 0.05 * values["AU25"] + 0.085 * values["AU26"],
        jaw=values["AU26"] + 0.15 * values["Mouth_Slightly_Open"],
        chin=values["AU17"],
        brow_inner=values["AU1"],
        brow_outer=values["AU2"],
        frown=values["AU4"] + 0.2 * values["AU9"],
        opening=(1.0 + 0.42 * values["AU5"]) * closing / (1.0 + 0.22 * cheek) * (1.0 - 0.42 * values["AU7"]),
        cheek=cheek,
        wrinkle=values["AU9"],
        squint=values["AU7"],
        sneer=values["AU10"],
        dimples=(max(values["AU14"], values["R14"]), max(values["AU14"], values["L14"])),
        tight=values["AU23"],
    )


@dataclass(frozen=True)
class Look:
    """All that the parts need: the person, the values of every attribute, and what follows from both."""

    identity: Identity
    values: Mapping[str, float]
    expression: Expression
    skin: Colour
    shadow: Colour  # skin away from the light
    crease: Colour  # lines in the skin
    glow: Colour  # skin towards the light
    hair: Colour
    hair_dark: Colour
    hair_light: Colour
    beard: Colour
    half_width: float  # of the head, at the ears
    top: float  # of the skull
    chin: float
    male: float


def look(identity: Identity, values: Mapping[str, float]) -> Look:
    """Work out the measures and colours; ``values`` holds every attribute."""
    skin = _along(SKINS, identity.skin)
    hair = shade(_hair(values), identity.hair_shade)
    feeling = expression(values, identity.mouth_rest)
    return Look(
        identity=identity,
        values=values,
        expression=feeling,
        skin=skin,
        shadow=(skin[0] * 0.86, skin[1] * 0.79, skin[2] * 0.76),
        crease=(skin[0] * 0.66, skin[1] * 0.54, skin[2] * 0.50),
        glow=mix(skin, (255, 246, 232), 0.35),
        hair=hair,
        hair_dark=shade(hair, 0.7),
        hair_light=mix(hair, (255, 244, 228), 0.22),
        beard=_distinct(mix(hair, (96, 46, 22), 0.35), skin),
        half_width=0.49 * identity.head_width,
        top=-0.64 * identity.head_height,
        chin=0.625 * identity.head_height + 0.05 * feeling.jaw,
        male=values["Male"],
    )


def _along(palette: tuple[Colour, ...], place: float) -> Colour:
    """A colour between two neighbours of a palette."""
    lower = min(int(place), len(palette) - 2)
    return mix(palette[lower], palette[lower + 1], place - lower)


def _hair(values: Mapping[str, float]) -> Colour:
    asked = {name: values[name] for name in HAIR}
    rest = max(0.0, 1.0 - sum(asked.values()))
    parts = [(RED_HAIR, rest), *((HAIR[name], share) for name, share in asked.items())]
    red, green, blue = (sum(colour[channel] * share for colour, share in parts) for channel in range(3))
    return red, green, blue


def _distinct(colour: Colour, skin: Colour) -> Colour:
    """Hair that grows on skin: at least 60 levels darker than it, as far as ink allows."""
    excess = brightness(colour) - (brightness(skin) - 60.0)
    return mix(colour, INK, min(1.0, excess / (brightness(colour) - brightness(INK)))) if excess > 0 else colour
