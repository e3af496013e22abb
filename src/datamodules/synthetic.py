"""Drawn faces as a dataset: no download, any size, and for every edit the true picture and the true mask."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from itertools import accumulate
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from datamodules import drawn
from datamodules.base import SPLITS, ImageDataModule, Split, chosen
from datamodules.drawn.drawing import SIZES, draw
from datamodules.drawn.identity import ACTION_UNITS, ATTRIBUTES, EXCLUSIVE, Identity, person_stream
from datamodules.records import Records
from datamodules.transforms import to_tensor

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
SPLIT_STRIDE = 1 << 40  # people are numbered split by split, far enough apart for any size
LABELS = 2  # the random stream of the labels


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


class DrawnRecords(Records):
    """A split of drawn faces.

    Args:
        population: seed of people and labels.
        split: train, val or test.
        count: how many people.
        attributes: names of the label's columns.
        image_size: side in pixels.
    """

    def __init__(self, population: int, split: Split, count: int, attributes: tuple[str, ...], image_size: int) -> None:
        self.population, self.split, self.attributes, self.image_size = population, split, attributes, image_size
        self.first = SPLITS.index(split) * SPLIT_STRIDE
        self.labels = sample_labels(population, range(self.first, self.first + count), attributes)

    def identity(self, row: int) -> Identity:
        """Who is in a row."""
        if not 0 <= row < len(self):
            raise IndexError(f"the {self.split} split has rows 0 to {len(self) - 1}, got {row}")
        return Identity.sample(self.population, self.first + row)

    def draw(self, row: int, label: np.ndarray | Sequence[float]) -> np.ndarray:
        """The person of a row with any (K,) label: (size, size, 3) uint8 RGB."""
        values = np.asarray(label, dtype=np.float64).tolist()
        return draw(self.identity(row), dict(zip(self.attributes, values, strict=True)), self.image_size)

    def read(self, row: int) -> np.ndarray:
        """The picture of a row, with its own label; an IndexError beyond the last."""
        return self.draw(row, self.labels[row])

    def fingerprint(self) -> str:
        """Changes with the drawing's code, the settings and OpenCV's version."""
        settings = (self.population, self.split, len(self), self.attributes, self.image_size, cv2.__version__)
        digest = hashlib.sha256(repr(settings).encode())
        for source in sorted(Path(str(drawn.__file__)).parent.glob("*.py")):
            digest.update(source.read_bytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()


class SyntheticFaces(ImageDataModule):
    """Faces drawn by this project; the only dataset that knows what any edit should have looked like.

    The people of the splits are different. Attributes that are not part of the label vary with the person.

    Args:
        attributes: names for the label, from ``datamodules.drawn.ATTRIBUTES``: CelebA's, 0 or 1, and action units
            (``AU12``), in [0, 1]. None: three hair colours, Eyeglasses and Smiling.
        train_size: pictures to train on.
        val_size: pictures to validate on.
        test_size: pictures to test on.
        population: seed of the people and their labels; ``seed`` (of order and augmentation) leaves them alone.
        **loading: of ``ImageDataModule``; ``image_size`` from 16 to 512.
    Raises:
        ValueError: on an unknown or repeated attribute, or a size out of range.
    """

    one_hot = False

    def __init__(
        self,
        attributes: list[str] | None = None,
        train_size: int = 6000,
        val_size: int = 200,
        test_size: int = 1000,
        population: int = 0,
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        default = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Eyeglasses", "Smiling")
        self.attributes = chosen(default if attributes is None else attributes, ATTRIBUTES, "attribute")
        groups = (tuple(name for name in self.attributes if name in group) for group in EXCLUSIVE)
        self.exclusive = tuple(group for group in groups if len(group) > 1)
        self.population, self.sizes = population, dict(zip(SPLITS, (train_size, val_size, test_size), strict=True))
        for split, size in self.sizes.items():
            if size < 1:
                raise ValueError(f"{split}_size must be at least 1, got {size}")
        if population < 0:
            raise ValueError(f"population must be 0 or more, got {population}")
        if not SIZES[0] <= self.image_size <= SIZES[1]:
            raise ValueError(f"image_size must lie in {SIZES[0]}..{SIZES[1]}, got {self.image_size}")
        self._records: dict[str, DrawnRecords] = {}

    def records(self, split: Split) -> DrawnRecords:
        """The people of a split and their labels."""
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        if split not in self._records:
            size = self.sizes[split]
            self._records[split] = DrawnRecords(self.population, split, size, self.attributes, self.image_size)
        return self._records[split]

    def counterfactual(self, split: Split, index: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """The same people with other labels, and where that changes the picture.

        Args:
            split: train, val or test; pictures as they are stored, not mirrored or otherwise augmented.
            index: (B,) rows of the split.
            label: (B, K) in [0, 1], at most one of an exclusive group on.
        Returns:
            (B, 3, H, W) in [-1, 1], the truth, and (B, 1, H, W), 1 where it differs from the picture of the row in any
            channel, else 0; both on the label's device.
        Raises:
            ValueError: if a label cannot be drawn or the shapes do not belong together.
        """
        if index.ndim != 1 or label.shape != (len(index), self.num_attributes):
            raise ValueError(
                f"expected index (B,) and label (B, {self.num_attributes}), got {(*index.shape,)} and {(*label.shape,)}"
            )
        records = self.records(split)
        rows, labels = index.tolist(), label.detach().double().cpu().numpy()
        source = np.stack([records.read(row) for row in rows])
        truth = np.stack([records.draw(row, wanted) for row, wanted in zip(rows, labels, strict=True)])
        mask = torch.from_numpy((source != truth).any(axis=3, keepdims=True)).permute(0, 3, 1, 2)
        picture = to_tensor(truth)  # as the pictures of the batch, to the last bit
        return picture.to(label.device), mask.to(label.device, torch.float32).contiguous()
