"""CelebA: 202,599 aligned faces with 40 attributes (Liu, Luo, Wang, Tang, ICCV 2015), and the papers' splits of it."""

from __future__ import annotations

import random
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np

from datamodules.attribute_lists import AttributeList, file_numbers, numbers
from datamodules.base import SPLITS, ImageDataModule, Split, chosen
from datamodules.catalogue import missing
from datamodules.files import FileRecords, common, near_miss
from datamodules.images import Crop
from datamodules.labels import CONFLICTS, EXCLUSIVE, groups_among

Protocol = Literal["official", "stargan", "stargan-code", "lomit", "lomit-code", "bridgegan"]
CROPS = {"centre": Crop(0, 20, 178, 178, 218), "bridgegan": Crop(3, 26, 170, 178, 218)}
TRAIN, VAL, TEST, UNUSED = 0, 1, 2, 3
LAST_VAL = 182_637  # the number of the last picture of the official validation split
IMAGES, ATTRIBUTES = "img_align_celeba", "list_attr_celeba.txt"
PARTITION, IDENTITIES = "list_eval_partition.txt", "identity_CelebA.txt"


class CelebA(ImageDataModule):
    """CelebA, aligned: ``img_align_celeba``, its attributes and, for the official splits, its partition.

    A batch also carries ``identity`` (and ``reference_identity``), the person's number, if ``identity_CelebA.txt`` is
    there. Rows without a picture and pictures without a row are counted and left out.

    Args:
        root: holds ``img_align_celeba``; the lists lie beside it, or in ``Anno`` and ``Eval`` as they are distributed.
        attributes: names for the label, in this order; None takes all 40.
        protocol: whose splits, see docs/datasets.md.
        crop: "centre" is the middle 178 pixels (StarGAN, ADSPM, LOMIT), "bridgegan" 170 from (3, 26); null takes the
            largest centred square of pictures of any size.
        **loading: see ``ImageDataModule``.

    Raises:
        MissingDataset: if root is not CelebA's, with what to do.
        ValueError: if an attribute is unknown or a list is damaged.
    """

    entry = "celeba"

    def __init__(
        self,
        root: str,
        attributes: list[str] | None = None,
        protocol: Protocol = "official",
        crop: Literal["centre", "bridgegan"] | None = "centre",
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        self.root, self.protocol = Path(root).expanduser(), protocol
        for name, value, known in (("protocol", protocol, get_args(Protocol)), ("crop", crop, (*CROPS, None))):
            if value not in known:
                raise ValueError(f"{name} must be one of {', '.join(map(str, known))}, got {value!r}")
        self.crop = CROPS[crop] if crop else None
        if not (self.root / IMAGES).is_dir():
            raise missing("celeba", self.root, near_miss(self.root, _is_celeba, f"has no folder {IMAGES}"))
        self.list = AttributeList.read(_beside(self.root, "Anno", ATTRIBUTES))
        self.attributes = chosen(attributes, self.list.attributes, "attribute")
        self.exclusive = groups_among(self.attributes, EXCLUSIVE)
        self.conflicts = groups_among(self.attributes, CONFLICTS)

    def records(self, split: Split) -> FileRecords:
        """The pictures of a split, in the order of the list."""
        names = self.list.names
        present = [name for code, name in enumerate(SPLITS) if (self._codes == code).any()]
        where = f"the protocol {self.protocol!r} ({len(names):,} rows in {self.list.path})"
        code = SPLITS.index(self.standing_in(split, present, where))
        rows = np.flatnonzero((self._codes == code) & self._there)
        if len(rows) == 0:
            raise FileNotFoundError(f"none of the pictures of the {split} split is in {self.root / IMAGES}")
        extras = {name: column[rows] for name, column in self._people.items()}
        labels = self.list.labels(self.attributes)[rows]
        return FileRecords(self.root / IMAGES, names[rows], labels, self.image_size, self.crop, extras)

    @cached_property
    def _there(self) -> np.ndarray:
        return common(self.list.names, self.root / IMAGES, self.list.path)

    @cached_property
    def _people(self) -> dict[str, np.ndarray]:
        path = first_file(self.root / IDENTITIES, self.root / "Anno" / IDENTITIES)
        return {} if path is None else {"identity": numbers(path, self.list.names, most=None)}

    @cached_property
    def _codes(self) -> np.ndarray:
        """(N,) the split of each row: TRAIN, VAL, TEST or UNUSED."""
        if self.protocol == "official":
            return numbers(_beside(self.root, "Eval", PARTITION), self.list.names, most=TEST)
        return split_codes(self.protocol, self.list)


def split_codes(protocol: str, table: AttributeList) -> np.ndarray:
    """(N,) the split of each row of a list by a paper's protocol: 0 train, 1 val, 2 test, 3 none.

    ``stargan``: the first 2,000 of the rows shuffled with Python's seed 1234 are for testing (``stargan-code``: 1,999,
    as the released condition has it). ``lomit``: 2,000 drawn at random. ``lomit-code``: the first 1,999 rows, and only
    pictures with black, blond or brown hair. ``bridgegan``: by file number.
    """
    count = len(table.names)
    codes = np.full(count, TRAIN)
    if protocol in ("stargan", "stargan-code"):
        order = list(range(count))
        random.Random(1234).shuffle(order)
        codes[order[: 2000 if protocol == "stargan" else 1999]] = TEST
    elif protocol == "lomit":
        codes[random.Random(0).sample(range(count), min(count, 2000))] = TEST
    elif protocol == "lomit-code":
        codes[:1999] = TEST
        codes[~table.any_of(("Black_Hair", "Blond_Hair", "Brown_Hair"))] = UNUSED
    else:
        codes = by_number(file_numbers(table.names, table.path), 182_000)
    return codes


def by_number(numbers: np.ndarray, last_train: int) -> np.ndarray:
    """(N,) codes of the split of each file number: train up to ``last_train``, val up to 182,637, test."""
    return np.where(numbers <= last_train, TRAIN, np.where(numbers <= LAST_VAL, VAL, TEST))


def _is_celeba(folder: Path) -> bool:
    return (folder / IMAGES).is_dir()


def first_file(*places: Path) -> Path | None:
    """The first of these places where there is a file."""
    return next((place for place in places if place.is_file()), None)


def _beside(root: Path, folder: str, name: str) -> Path:
    path = first_file(root / name, root / folder / name)
    if path is None:
        raise missing("celeba", root, f"{root} has no {name}, nor has {root / folder}")
    return path
