"""CycleGAN's folders: two domains, each with a folder for each split, and those of them whose pictures match."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePath
from typing import Any, Literal

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from datamodules.base import SPLITS, ImageDataModule, Split
from datamodules.catalogue import missing
from datamodules.files import FileRecords, dealt, listed, near_miss
from datamodules.images import SUFFIXES
from datamodules.transforms import to_tensor

DOMAINS = ("A", "B")
LAYOUT = "expected ROOT/trainA/*.jpg, trainB, testA and testB, and perhaps valA and valB"


class UnpairedFolders(ImageDataModule):
    """Pictures in ``root/{train,val,test}{A,B}/*.jpg`` (or png, webp, bmp, tif, ppm, pgm), as CycleGAN has them.

    The label is the domain. Where val or test is missing the other stands in for it, and a line says so. What is no
    picture is ignored, and a line says that too; a picture that cannot be decoded is an error.

    Args:
        root: the folder that holds ``trainA``.
        names: what A and B are called, in this order; None is A and B.
        reference: see ``ImageDataModule``; here a picture of the other domain, unless said otherwise.
        **loading: see ``ImageDataModule``.

    Raises:
        ValueError: if names are not two different ones.
        FileNotFoundError: if root is missing or not laid out like this.
    """

    entry = "unpaired"
    one_hot = True

    def __init__(
        self,
        root: str,
        names: list[str] | None = None,
        reference: Literal["any", "other"] = "other",
        **loading: Any,
    ) -> None:
        super().__init__(reference=reference, **loading)
        self.root = Path(root).expanduser()
        self.attributes = DOMAINS if names is None else tuple(names)
        self.exclusive = (self.attributes,)
        if len(self.attributes) != 2 or len(set(self.attributes)) != 2:
            raise ValueError(f"names must be two different ones, of A and of B; got {list(self.attributes)}")
        _check_layout(self.root)

    def records(self, split: Split) -> FileRecords:
        """List the pictures of a split, or of the one that stands in for it."""
        present = [name for name in SPLITS if _halves(self.root, name)]
        found = self.standing_in(split, present, str(self.root))
        return FileRecords(self.root, *dealt(self.root, [found + domain for domain in DOMAINS]), self.image_size)


class AlignedFolders(UnpairedFolders):
    """`UnpairedFolders` in which each picture of A shows what one of B shows, as an aerial photo and its map do.

    Those belong together whose names are equal up to the suffix, once ``_A`` is taken off A's and ``_B`` off B's:
    ``1_A.jpg`` and ``1_B.jpg``, or ``1.jpg`` and ``1.png``. References are drawn without regard to that, as those of
    other pictures are; ``counterfactual`` makes use of it, and a batch says it: ``match`` is the matching row.
    """

    def records(self, split: Split) -> FileRecords:
        """List the pictures of a split, or of the one that stands in for it.

        Raises:
            ValueError: naming pictures without a match, or with two.
        """
        records = super().records(split)
        records.extras = {"match": _matches(self.root, records.names, records.labels.argmax(axis=1))}
        return records

    def counterfactual(self, split: Split, index: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        """What the same things look like in the domain that is asked for.

        Args:
            split: train, val or test; pictures as they are stored, not mirrored or otherwise augmented.
            index: (B,) rows of the split.
            label: (B, 2), one-hot.
        Returns:
            (B, 3, H, W) in [-1, 1], the matching pictures, or those of the rows where a label is their own; and
            (B, 1, H, W) ones, as everything may change; both on the label's device.
        Raises:
            ValueError: if the shapes do not belong together.
        """
        if index.ndim != 1 or label.shape != (len(index), len(DOMAINS)):
            raise ValueError(f"expected index (B,) and label (B, 2), got {(*index.shape,)} and {(*label.shape,)}")
        samples, rows = self.samples(split), index.cpu()
        is_own = samples.labels[rows].argmax(dim=1) == label.cpu().argmax(dim=1)
        wanted = torch.where(is_own, rows, samples.extras["match"][rows])
        picture = to_tensor(samples.read_all(wanted.tolist())).to(label.device)
        return picture, torch.ones_like(picture[:, :1])


def _matches(root: Path, names: np.ndarray, domains: np.ndarray) -> np.ndarray:
    """(N,) rows: of each picture the one that belongs to it."""
    own: list[tuple[int, str]] = []
    rows: dict[tuple[int, str], int] = {}
    for row, (name, domain) in enumerate(zip(names, domains.tolist(), strict=True)):
        key = (domain, PurePath(os.fsdecode(name)).stem.removesuffix(f"_{DOMAINS[domain]}"))
        if key in rows:
            raise ValueError(f"{listed(names[[rows[key], row]])} in {root} have the same match: remove one of them")
        own.append(key)
        rows[key] = row
    found = np.array([rows.get((1 - domain, stem), -1) for domain, stem in own])
    if len(alone := names[found < 0]):
        raise ValueError(
            f"{len(alone):,} of {len(names):,} pictures in {root} have no match in the other domain (1_A.jpg and "
            f"1_B.jpg, or equal names): {listed(alone)}. Complete or remove them, or read the folder with "
            "data.class_path datamodules.UnpairedFolders, which needs no matches"
        )
    return found


def _check_layout(root: Path) -> None:
    """Raise unless root holds both domains of a split; where a folder nearby does, name it."""
    halves = {split: _halves(root, split) for split in SPLITS}
    for split, found in halves.items():
        if len(found) == 1:
            gone = next(split + domain for domain in DOMAINS if split + domain not in found)
            raise FileNotFoundError(f"{root} has {found[0]}, but no {gone}: a split needs both; {LAYOUT}")
    if not any(halves.values()):
        for split in SPLITS:
            _check_other_layouts(root / split)
        reason = near_miss(root, lambda folder: len(_halves(folder, "train")) == 2, "has no trainA and trainB")
        raise missing("unpaired", root, reason)


def _check_other_layouts(folder: Path) -> None:
    """Raise if a split's one folder is laid out as other datasets are."""
    if domains := sorted(path.name for path in _inside(folder) if path.is_dir()):
        raise FileNotFoundError(
            f"{folder} has a folder for each domain inside ({', '.join(domains[:8])}): DATA=folders reads this layout"
        )
    for path in _inside(folder):
        if path.suffix.lower() in SUFFIXES and _is_pair(path):
            raise FileNotFoundError(
                f"{path} is twice as wide as high: these are side-by-side pairs, which must be split into their left "
                f"and right halves; {LAYOUT}"
            )


def _is_pair(path: Path) -> bool:
    with Image.open(path) as image:
        return image.width == 2 * image.height


def _inside(folder: Path) -> Iterator[Path]:
    if folder.is_dir():
        yield from (path for path in folder.iterdir() if not path.name.startswith((".", "__MACOSX")))


def _halves(root: Path, split: str) -> list[str]:
    """Which of a split's two folders there are."""
    return [split + domain for domain in DOMAINS if (root / (split + domain)).is_dir()]
