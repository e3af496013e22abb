"""What the drawn datasets share: numbered subjects, who is in which split, and the true picture of an edit."""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from datamodules.base import SPLITS, ImageDataModule, Split, chosen
from datamodules.drawn.scene import SIZES
from datamodules.records import Records
from datamodules.transforms import to_tensor

SPLIT_STRIDE = 1 << 40  # subjects are numbered split by split, far enough apart for any size
LABELS = 2  # the random stream of the labels


class DrawnRecords(Records):
    """A split of pictures of numbered subjects: people, animals or shapes. A dataset adds ``sample`` and ``draw``.

    Args:
        population: seed of the subjects and their labels.
        split: train, val or test.
        count: how many pictures.
        attributes: names of the label's columns.
        image_size: side in pixels.
    """

    def __init__(self, population: int, split: Split, count: int, attributes: tuple[str, ...], image_size: int) -> None:
        self.population, self.split, self.attributes, self.image_size = population, split, attributes, image_size
        self.first = SPLITS.index(split) * SPLIT_STRIDE
        self.labels = self.sample(count)

    @abstractmethod
    def sample(self, count: int) -> np.ndarray:
        """(count, K) float32, the labels of the split."""

    @property
    def shots(self) -> int:
        """How many pictures there are of each subject; they follow each other."""
        return 1

    @abstractmethod
    def draw(self, row: int, label: np.ndarray | Sequence[float]) -> np.ndarray:
        """The subject of a row with any (K,) label that can be drawn: (size, size, 3) uint8 RGB."""

    def subject(self, row: int) -> int:
        """The number of who is in a row; an IndexError beyond the last."""
        if not 0 <= row < len(self):
            raise IndexError(f"the {self.split} split has rows 0 to {len(self) - 1}, got {row}")
        return self.first + row // self.shots

    def read(self, row: int) -> np.ndarray:
        """The picture of a row, with its own label; an IndexError beyond the last."""
        return self.draw(row, self.labels[row])

    def fingerprint(self) -> str:
        """Changes with the drawing's code, the settings and OpenCV's version."""
        settings = (self.population, self.split, len(self), self.attributes, self.image_size, cv2.__version__)
        digest = hashlib.sha256(repr((type(self).__name__, *settings)).encode())
        for source in sorted(Path(__file__).parent.glob("*.py")):
            digest.update(source.read_bytes())
        digest.update(self.labels.tobytes())
        return digest.hexdigest()


class DrawnData(ImageDataModule):
    """Pictures drawn by this project, of other subjects in each split. A dataset adds ``record_type`` and its names.

    Args:
        train_size: pictures to train on.
        val_size: pictures to validate on.
        test_size: pictures to test on.
        population: seed of what is drawn and its labels; ``seed`` (of order and augmentation) leaves them alone.
        **loading: of ``ImageDataModule``; ``image_size`` from 16 to 512.
    Raises:
        ValueError: on a number out of range.
    """

    record_type: Callable[..., DrawnRecords]

    def __init__(
        self, train_size: int = 6000, val_size: int = 200, test_size: int = 1000, population: int = 0, **loading: Any
    ) -> None:
        super().__init__(**loading)
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
        """The subjects of a split and their labels."""
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        if split not in self._records:
            size = self.sizes[split]
            self._records[split] = self.record_type(self.population, split, size, self.attributes, self.image_size)
        return self._records[split]


class DrawnEdits(DrawnData):
    """Drawn pictures whose every edit has a true result: the same subject, drawn with another label."""

    def counterfactual(self, split: Split, index: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """The same subjects with other labels, and where that changes the picture.

        Args:
            split: train, val or test; pictures as they are stored, not mirrored or otherwise augmented.
            index: (B,) rows of the split.
            label: (B, K) in [0, 1]; of an exclusive group at most one is on, of a pair in conflict, too.
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


def chosen_domains(domains: Sequence[str] | None, known: Sequence[str]) -> tuple[str, ...]:
    """The domains asked for, in their order, or all known ones for None.

    Raises:
        ValueError: if one is unknown or given twice, or if there are fewer than two.
    """
    names = chosen(domains, known, "domain")
    if len(names) < 2:
        raise ValueError(f"translation needs at least two domains, got {list(names)}; known: {', '.join(known)}")
    return names


def in_turn(count: int, num_attributes: int) -> np.ndarray:
    """(count, K) float32 one-hot labels, one domain after the other."""
    return np.eye(num_attributes, dtype=np.float32)[np.arange(count) % num_attributes]


def one_hot_name(label: np.ndarray | Sequence[float], attributes: Sequence[str]) -> str:
    """The domain that a (K,) label names.

    Raises:
        ValueError: unless exactly one value is 1 and all others are 0.
    """
    values = np.asarray(label, dtype=np.float64)
    if sorted(values.tolist()) != [0.0] * (len(attributes) - 1) + [1.0]:
        named = dict(zip(attributes, values.tolist(), strict=True))
        raise ValueError(f"exactly one of {', '.join(attributes)} must be 1 and the others 0, got {named}")
    return attributes[int(values.argmax())]
