"""Drawn faces as a dataset: no download, any size, and for every edit the true picture and the true mask."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from itertools import accumulate
from typing import Any

import numpy as np

from datamodules import labels
from datamodules.base import chosen
from datamodules.drawn.dataset import LABELS, DrawnEdits, DrawnRecords
from datamodules.drawn.drawing import draw
from datamodules.drawn.identity import ACTION_UNITS, ATTRIBUTES, EXCLUSIVE, Identity, person_stream

# How often an attribute is on when it is part of the label. Hair colours leave 8 % for red.
FREQUENCIES = {
    "Smiling": 0.48,
    "Mouth_Slightly_Open": 0.45,
    "Arched_Eyebrows": 0.4,
    "Big_Nose": 0.35,
    "Pointy_Nose": 0.35,
    "Black_Hair": 0.28,
    "Blond_Hair": 0.26,
    "Brown_Hair": 0.28,
    "Gray_Hair": 0.1,
    "Bangs": 0.35,
    "Eyeglasses": 0.35,
    "Mustache": 0.3,
    "Goatee": 0.25,
    "No_Beard": 0.5,
    "Male": 0.5,
    "Young": 0.6,
    "Wearing_Lipstick": 0.4,
    "Heavy_Makeup": 0.35,
    "Receding_Hairline": 0.25,
    "Sideburns": 0.3,
}


def sample_labels(seed: int, numbers: Sequence[int], attributes: Sequence[str]) -> np.ndarray:
    """Labels of people by number: independent attributes, except that groups exclude; action units half the time 0.

    Args:
        seed: of the population.
        numbers: N of its people.
        attributes: K names. The value of one does not depend on which others are named.
    Returns:
        (N, K) float32 in [0, 1].
    """
    drawn = np.stack([person_stream(seed, number, LABELS).random(len(ATTRIBUTES)) for number in numbers])
    columns = [_column(name, drawn) for name in attributes]
    return np.stack(columns, axis=1).astype(np.float32)


def _column(name: str, drawn: np.ndarray) -> np.ndarray:
    """(N,) values of one attribute from (N, all) uniform numbers; a group shares the number of its first member."""
    if name in ACTION_UNITS:
        return np.clip(2 * drawn[:, ATTRIBUTES.index(name)] - 1, 0, 1)
    group = next((members for members in EXCLUSIVE if name in members), (name,))
    ends = dict(zip(group, accumulate(FREQUENCIES[member] for member in group), strict=True))
    shared = drawn[:, ATTRIBUTES.index(group[0])]
    return (shared >= ends[name] - FREQUENCIES[name]) & (shared < ends[name])


class FaceRecords(DrawnRecords):
    """A split of drawn faces, each of another person.

    Args:
        *drawn: of ``DrawnRecords``.
        presence: action units from this value up become 1, others 0; None leaves them.
        zoom: how many times nearer the faces are.
    """

    def __init__(self, *drawn: Any, presence: float | None = None, zoom: float = 1.0) -> None:
        self.presence, self.zoom = presence, zoom
        super().__init__(*drawn)

    def sample(self, count: int) -> np.ndarray:
        """The labels of the first people of the split."""
        values = sample_labels(self.population, range(self.first, self.first + count), self.attributes)
        return values if self.presence is None else (values >= self.presence).astype(np.float32)

    def identity(self, row: int) -> Identity:
        """Who is in a row."""
        return Identity.sample(self.population, self.subject(row)).nearer(self.zoom)

    def fingerprint(self) -> str:
        """Changes with the zoom, too."""
        return f"{super().fingerprint()}-{self.zoom}"

    def draw(self, row: int, label: np.ndarray | Sequence[float]) -> np.ndarray:
        """The person of a row with any (K,) label: (size, size, 3) uint8 RGB."""
        values = np.asarray(label, dtype=np.float64).tolist()
        return draw(self.identity(row), dict(zip(self.attributes, values, strict=True)), self.image_size)


class SyntheticFaces(DrawnEdits):
    """Faces drawn by this project; for every edit it is known what it should have looked like.

    Attributes that are not part of the label vary with the person; expressions that are not are neutral.

    Args:
        attributes: names for the label, from ``datamodules.drawn.ATTRIBUTES``: CelebA's, 0 or 1, and action units
            (``AU12``), in [0, 1]; ``intensities`` if it is these alone. None: three hair colours, Eyeglasses, Smiling.
        presence: for models of 0 or 1, action units from this value in (0, 1] up are drawn and labelled 1, others 0.
        zoom: how near, from 1, head and shoulders, to 2, eyes, nose and mouth; from about 1.4 on chins and ears may lie
            outside. What is seen is so many times as many pixels wide.
        **drawn: of ``DrawnData`` (sizes, ``population``) and ``ImageDataModule``.
    Raises:
        ValueError: on an unknown or repeated attribute, or a size out of range.
    """

    def __init__(
        self, attributes: list[str] | None = None, presence: float | None = None, zoom: float = 1.0, **drawn: Any
    ) -> None:
        super().__init__(**drawn)
        if not 1 <= zoom <= 2:
            raise ValueError(f"zoom must lie in 1..2, got {zoom}: any nearer, mouths and brows lie outside")
        self.record_type = partial(FaceRecords, presence=labels.checked_presence(presence), zoom=zoom)
        default = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Eyeglasses", "Smiling")
        self.attributes = chosen(default if attributes is None else attributes, ATTRIBUTES, "attribute")
        self.intensities = presence is None and all(name in ACTION_UNITS for name in self.attributes)
        self.exclusive = labels.groups_among(self.attributes, labels.EXCLUSIVE)
        self.conflicts = labels.groups_among(self.attributes, labels.CONFLICTS)
