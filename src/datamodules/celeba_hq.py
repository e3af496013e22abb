"""CelebA-HQ: 30,000 of CelebA's faces at 1024 pixels (Karras, Aila, Laine, Lehtinen, ICLR 2018)."""

from __future__ import annotations

import os
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.attribute_lists import AttributeList, check_distinct, file_numbers, rows_of
from datamodules.base import SPLITS, ImageDataModule, Split, chosen
from datamodules.catalogue import missing
from datamodules.celeba import ATTRIBUTES, by_number, first_file
from datamodules.files import FileRecords, listed, matched, pictures
from datamodules.images import SUFFIXES
from datamodules.labels import CONFLICTS, EXCLUSIVE, groups_among

LAST_TRAIN = 162_770  # the number of the last picture of CelebA's official training split


class CelebAHQ(ImageDataModule):
    """CelebA-HQ by picture numbers, with CelebA's attributes, at whatever size the pictures have.

    Either CelebAMask-HQ as it is distributed, or any folders of pictures named by CelebA's numbers. A picture belongs
    to the split of CelebA's official partition, so that no picture is trained on in one and tested on in the other.

    Args:
        root: holds the pictures, in folders of any depth, and the list.
        attributes: names for the label, in this order; None takes all 40.
        attribute_list: CelebA's list, if it is not in root.
        **loading: see ``ImageDataModule``; pictures are scaled to ``image_size``.

    Raises:
        MissingDataset: if root has no pictures or no list, with what to do.
        ValueError: if an attribute is unknown, a list is damaged, or two pictures have one number.
    """

    entry = "celeba-hq"

    def __init__(
        self, root: str, attributes: list[str] | None = None, attribute_list: str | None = None, **loading: Any
    ) -> None:
        super().__init__(**loading)
        self.root = Path(root).expanduser()
        if not self.root.is_dir():
            raise missing("celeba-hq", self.root, f"{self.root} does not exist")
        mask_hq = self.root / "CelebAMask-HQ-attribute-anno.txt"
        path = Path(attribute_list).expanduser() if attribute_list else first_file(mask_hq, self.root / ATTRIBUTES)
        if path is None or not path.is_file():
            reason = f"{self.root} has no list of attributes; name CelebA's with attribute_list"
            raise missing("celeba-hq", self.root, reason if path is None else f"there is no list {path}")
        self.mapping = self.root / "CelebA-HQ-to-CelebA-mapping.txt" if path == mask_hq else None
        self.folder = self.root / "CelebA-HQ-img" if path == mask_hq else self.root  # beside it lie masks, in pieces
        if not self.folder.is_dir():
            raise missing("celeba-hq", self.root, f"{self.root} has no folder {self.folder.name}")
        self.list = AttributeList.read(path)
        self.attributes = chosen(attributes, self.list.attributes, "attribute")
        self.exclusive = groups_among(self.attributes, EXCLUSIVE)
        self.conflicts = groups_among(self.attributes, CONFLICTS)

    def records(self, split: Split) -> FileRecords:
        """The pictures of a split, in the order of their numbers."""
        files, rows, codes = self._found
        present = [name for code, name in enumerate(SPLITS) if (codes == code).any()]
        kept = codes == SPLITS.index(self.standing_in(split, present, str(self.root)))
        return FileRecords(self.folder, files[kept], self.list.labels(self.attributes)[rows[kept]], self.image_size)

    @cached_property
    def _found(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The pictures that have a row: (M,) files below root, their rows, and the codes of their splits."""
        files = _all_pictures(self.folder)
        if len(files) == 0:
            raise missing("celeba-hq", self.root, f"{self.folder} has no picture")
        numbers = file_numbers(files, self.folder)
        check_distinct(numbers, self.folder)
        listed_numbers = file_numbers(self.list.names, self.list.path)
        matched(self.list.names, listed_numbers, files, numbers, self.list.path, self.folder)
        _, places, rows = np.intersect1d(numbers, listed_numbers, return_indices=True)
        original = numbers[places] if self.mapping is None else _originals(self.mapping, numbers[places])
        return files[places], rows, by_number(original, LAST_TRAIN)


def _originals(path: Path, numbers: np.ndarray) -> np.ndarray:
    """CelebA's numbers of CelebAMask-HQ's, by its mapping: a header, then index, original index, original file."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing: it says which picture of CelebA each of CelebA-HQ is")
    with path.open("rb") as file:
        file.readline()
        rows = {row[0]: row[2] for _, row in rows_of(file, path, 3, 2)}
    unknown = [b"%d" % number for number in numbers.tolist() if b"%d" % number not in rows]
    if unknown:
        raise ValueError(f"{path} has no row for {len(unknown):,} pictures: {listed(unknown)}")
    return file_numbers(np.array([rows[b"%d" % number] for number in numbers.tolist()]), path)


def _all_pictures(root: Path) -> np.ndarray:
    """(N,) pictures below a folder at any depth, as bytes relative to it."""
    found = [np.empty(0, "S1")]
    for folder, _, files in os.walk(root):
        place = Path(folder)
        if any(Path(name).suffix.lower() in SUFFIXES for name in files):
            inside = os.fsencode(place.relative_to(root).as_posix())
            names = pictures(place)
            found.append(names if inside == b"." else np.char.add(inside + b"/", names))
    return np.concatenate(found)
