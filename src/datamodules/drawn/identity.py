"""Who a drawn face is, and what may be asked of it: the vocabulary of attributes and the numbers of a person."""

from __future__ import annotations

import difflib
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from functools import cache

import numpy as np

from datamodules import labels

# FACS numbers; L14 and R14 are 14 at the person's left or right alone. Labels are drawn by place: add at the end.
ACTION_UNITS = (
    *(f"AU{number}" for number in (1, 2, 4, 5, 6, 9, 12, 15, 17, 20, 25, 26, 43, 45, 7, 10, 14, 23)),
    "L14",
    "R14",
)
# What a person is like where nobody asks otherwise: on where the trait, uniform in [0, 1), lies in [low, high).
HABITS: dict[str, tuple[str, float, float]] = {
    "Smiling": ("mood", 0.0, 0.0),
    "Mouth_Slightly_Open": ("mood", 0.0, 0.0),
    "Arched_Eyebrows": ("arch", 0.0, 0.3),
    "Big_Nose": ("nose", 0.0, 0.2),
    "Pointy_Nose": ("nose", 0.2, 0.4),
    "Black_Hair": ("colour", 0.0, 0.27),
    "Blond_Hair": ("colour", 0.55, 0.78),
    "Brown_Hair": ("colour", 0.27, 0.55),
    "Gray_Hair": ("colour", 0.78, 0.9),
    "Bangs": ("fringe", 0.0, 0.25),
    "Eyeglasses": ("sight", 0.0, 0.2),
    "Mustache": ("shave", 0.6, 0.85),
    "Goatee": ("beard", 0.6, 0.8),
    "No_Beard": ("beard", 0.0, 0.6),
    "Male": ("sex", 0.0, 0.5),
    "Young": ("age", 0.0, 0.7),
    "Wearing_Lipstick": ("makeup", 0.0, 0.4),
    "Heavy_Makeup": ("makeup", 0.0, 0.25),
    "Receding_Hairline": ("fringe", 0.25, 0.4),
    "Sideburns": ("shave", 0.75, 1.0),
}
SHAVEN = {"No_Beard": 1.0, "Goatee": 0.0, "Mustache": 0.0, "Sideburns": 0.0}
UNPAINTED = {"Wearing_Lipstick": 0.0, "Heavy_Makeup": 0.0}
ATTRIBUTES = (*HABITS, *ACTION_UNITS)
UPPER_LIP = 0.3  # how far below the eyes it is, in the drawing's unit frame
# At most one of each can be drawn. None of them: red hair; the hairline of the haircut; a short full beard.
EXCLUSIVE = (*labels.EXCLUSIVE, *(pair for pair in labels.CONFLICTS if set(pair) <= set(HABITS)))


def _between(low: float, high: float) -> float:
    """A number drawn uniformly from a range; the average person has its middle."""
    return field(default=(low + high) / 2, metadata={"range": (low, high)})


def _one_of(count: int) -> int:
    """A choice among ``count``; the average person has the first."""
    return field(default=0, metadata={"range": (0, count)})


@dataclass(frozen=True)
class Identity:
    """A person, the place and the light, as plain numbers; ``Identity()`` is the average of all.

    Lengths are in the drawing's unit frame, in which the picture spans [-1, 1], or factors around 1.
    """

    skin: float = _between(0.0, 5.0)  # along the palette, light to dark
    head_width: float = _between(0.93, 1.06)
    head_height: float = _between(0.95, 1.05)
    jaw: float = _between(0.9, 1.06)
    ears: float = _between(0.85, 1.2)
    hair_style: int = _one_of(8)
    hair_volume: float = _between(0.06, 0.13)
    hair_shade: float = _between(0.92, 1.08)
    parting: int = _one_of(2)
    eye_size: float = _between(0.9, 1.12)
    eye_spacing: float = _between(0.195, 0.225)
    eye_slant: float = _between(-0.018, 0.012)
    iris: int = _one_of(5)
    gaze: float = _between(-0.02, 0.02)
    brow_height: float = _between(-0.175, -0.145)
    brow_width: float = _between(0.042, 0.058)
    brow_slant: float = _between(-0.005, 0.035)
    nose_width: float = _between(0.88, 1.12)
    nose_length: float = _between(0.92, 1.08)
    mouth_width: float = _between(0.9, 1.1)
    mouth_height: float = _between(0.355, 0.385)
    mouth_rest: float = _between(-0.05, 0.2)
    lips: float = _between(0.85, 1.25)
    lip_shade: float = _between(0.0, 1.0)
    freckles: float = _between(-2.0, 1.0)  # below 0: none
    lenses: float = _between(0.0, 1.0)  # round to square
    clothes: int = _one_of(4)
    clothes_colour: int = _one_of(9)
    second_colour: int = _one_of(9)
    background: int = _one_of(8)
    pattern: int = _one_of(4)
    texture: int = _one_of(2**31)
    light: float = _between(0.0, 2 * math.pi)  # radians, where it comes from
    contrast: float = _between(0.06, 0.22)
    brightness: float = _between(0.88, 1.06)
    warmth: float = _between(-0.06, 0.06)
    shift_x: float = _between(-0.14, 0.14)
    shift_y: float = _between(-0.05, 0.18)
    scale: float = _between(0.94, 1.2)
    tilt: float = _between(-0.16, 0.16)  # radians, in the plane of the picture
    yaw: float = _between(-0.07, 0.07)  # how far the features move sideways on the head
    mood: float = _between(0.0, 1.0)
    arch: float = _between(0.0, 1.0)
    nose: float = _between(0.0, 1.0)
    colour: float = _between(0.0, 1.0)
    fringe: float = _between(0.0, 1.0)
    sight: float = _between(0.0, 1.0)
    beard: float = _between(0.0, 1.0)
    shave: float = _between(0.0, 1.0)
    sex: float = _between(0.0, 1.0)
    age: float = _between(0.0, 1.0)
    makeup: float = _between(0.0, 1.0)

    @classmethod
    def sample(cls, seed: int, index: int) -> Identity:
        """The person with number ``index`` (0 or more) in the world of ``seed``; the same on every machine."""
        low, high, whole = _ranges()
        drawn = low + (high - low) * person_stream(seed, index, 0).random(len(low))
        return cls(*[int(value) if is_whole else value for value, is_whole in zip(drawn.tolist(), whole, strict=True)])

    def nearer(self, zoom: float) -> Identity:
        """The same person ``zoom`` times as large; what is between nose and mouth stays where it is."""
        away = (zoom - 1) * self.scale * UPPER_LIP
        return replace(
            self,
            shift_x=self.shift_x + away * math.sin(self.tilt),
            shift_y=self.shift_y - away * math.cos(self.tilt),
            scale=self.scale * zoom,
        )


@cache
def _ranges() -> tuple[np.ndarray, np.ndarray, tuple[bool, ...]]:
    """Lower and upper ends of the fields of an identity, and which are whole numbers."""
    described = fields(Identity)
    low, high = np.array([entry.metadata["range"] for entry in described], dtype=np.float64).T
    return low, high, tuple(entry.type == "int" for entry in described)


def person_stream(seed: int, index: int, stream: int) -> np.random.Generator:
    """A generator that depends on these three numbers alone.

    Raises:
        ValueError: if one of them is negative.
    """
    if min(seed, index, stream) < 0:
        raise ValueError(f"seed, index and stream must be 0 or more, got {seed}, {index}, {stream}")
    return np.random.Generator(np.random.Philox(key=[seed, index], counter=[0, 0, 0, stream]))


def check_names(names: Iterable[str]) -> None:
    """Refuse a name that no drawing knows.

    Raises:
        ValueError: naming the nearest known attribute and listing all.
    """
    for name in names:
        if name not in ATTRIBUTES:
            near = difflib.get_close_matches(name, ATTRIBUTES, n=1, cutoff=0.0)[0]
            raise ValueError(f"unknown attribute {name!r}; nearest is {near!r}. Known: {', '.join(ATTRIBUTES)}")


def complete(identity: Identity, attributes: Mapping[str, float]) -> dict[str, float]:
    """Give every attribute a value: the one asked for, else the person's own.

    Not asked for, expressions are neutral and all else follows the person's habits. Members of an exclusive group share
    what the members asked for leave of 1. Facial hair and makeup follow the habits only where Male does too, and facial
    hair only where beards are not asked about: what is under a beard, or could grow, is no secret of the person.

    Args:
        identity: the person.
        attributes: names to values in [0, 1]; values between 0 and 1 draw what lies between, for any attribute.
    Raises:
        ValueError: on an unknown name, a value outside [0, 1], or an exclusive group whose values sum to more than 1.
    """
    check_names(attributes)
    for name, value in attributes.items():
        if not 0.0 <= value <= 1.0:
            raise ValueError(f"attribute {name} must lie in [0, 1], got {value}")
    values = dict.fromkeys(ACTION_UNITS, 0.0)
    for name, (trait, low, high) in HABITS.items():
        values[name] = 1.0 if low <= getattr(identity, trait) < high else 0.0
    if not values["Male"] or not attributes.keys().isdisjoint(("Male", "No_Beard", "Goatee")):
        values.update(SHAVEN)
    if "Male" in attributes or values["Male"]:
        values.update(UNPAINTED)
    values.update(attributes)
    for group in EXCLUSIVE:
        asked = sum(attributes.get(name, 0.0) for name in group)
        if asked > 1.0 + 1e-6:
            chosen = {name: attributes[name] for name in group if name in attributes}
            raise ValueError(f"at most one of {', '.join(group)} can be on, got {chosen}; set the others to 0")
        for name in group:
            if name not in attributes:
                values[name] *= max(0.0, 1.0 - asked)
    return values
