"""Who a drawn animal is: what a breed is made of, and the choices and numbers of one animal."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple, TypeVar

from datamodules.drawn.identity import person_stream
from datamodules.drawn.shapes import Colour, shade

Choice = TypeVar("Choice")
ANIMALS = 4  # the random stream of what an animal looks like
# How an animal differs from its like, besides what it has by choice.
TRAITS = (
    "width",
    "height",
    "ear",
    "eye",
    "spacing",
    "muzzle",
    "nose",
    "mouth",
    "shade",
    "lid",
    "gaze",
    "pant",
    "collar",
)


class Coat(NamedTuple):
    """The colours of a fur."""

    main: Colour
    dark: Colour  # of markings
    light: Colour  # of muzzle and chest


@dataclass(frozen=True)
class Breed:
    """Proportions in the unit frame, in which the picture spans [-1, 1], and what there is to choose from."""

    coats: tuple[Coat, ...]
    markings: tuple[str, ...]
    ears: tuple[str, ...]
    irises: tuple[Colour, ...]
    slit: float = 1.0  # width of the pupil by its height
    width: float = 0.52  # of the head, half
    top: float = -0.42
    chin: float = 0.52
    jaw: float = 0.62  # how broad the head stays towards the chin
    ruff: float = 0.0  # length of the tufts at the cheeks
    ear: float = 0.4  # length
    eye: float = 0.105  # half its height
    spacing: float = 0.24  # of the eyes from the middle
    slant: float = 0.12
    muzzle: float = 0.2  # half its width
    mouth: float = 0.3  # y of the middle of the muzzle
    nose: float = 0.062  # half its width
    mane: float = 0.0  # how far it stands out
    whiskers: float = 0.0  # length
    tame: bool = False  # may wear a collar
    pants: bool = False  # may show its tongue


@dataclass(frozen=True)
class Animal:
    """One animal: its breed, what was chosen of it, and how it differs from its like, each trait in [0, 1]."""

    breed: Breed
    coat: Coat
    marking: str
    ears: str
    iris: Colour
    fabric: int
    pattern: int  # seed of spots and patches
    traits: dict[str, float]

    @classmethod
    def sample(cls, seed: int, index: int, breeds: tuple[Breed, ...]) -> Animal:
        """The animal with number ``index`` in the world of ``seed``, of one of the breeds."""
        generator = person_stream(seed, index, ANIMALS)
        choices, numbers = generator.random(7).tolist(), generator.random(len(TRAITS)).tolist()
        breed = _pick(breeds, choices[0])
        traits = dict(zip(TRAITS, numbers, strict=True))
        factor = 0.88 + 0.22 * traits["shade"]
        return cls(
            breed=breed,
            coat=Coat(*(shade(colour, min(factor, 254 / max(colour))) for colour in _pick(breed.coats, choices[1]))),
            marking=_pick(breed.markings, choices[2]),
            ears=_pick(breed.ears, choices[3]),
            iris=_pick(breed.irises, choices[4]),
            fabric=int(9 * choices[5]),
            pattern=int(choices[6] * 2**31),
            traits=traits,
        )

    def vary(self, trait: str, share: float = 0.1) -> float:
        """A factor around 1: from 1 - share to 1 + share."""
        return 1.0 + share * (2.0 * self.traits[trait] - 1.0)


def _pick(choices: tuple[Choice, ...], share: float) -> Choice:
    return choices[int(share * len(choices))]
