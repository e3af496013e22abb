"""Folders of pictures, one for each domain: AFHQ, CelebA-HQ as StarGAN v2 has it, StarGAN's RaFD, LFW expressions."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from datamodules.base import SPLITS, ImageDataModule, Split, chosen
from datamodules.catalogue import missing
from datamodules.files import FileRecords, dealt, ignore, near_miss
from datamodules.images import SUFFIXES


class DomainFolders(ImageDataModule):
    """Pictures in ``root/train|val|test/<domain>/*.jpg`` (or png, webp, bmp, tif, ppm, pgm); the label is the domain.

    Every split has every domain that is used. Where val or test is missing the other stands in for it, and a line
    says so. What is no picture is ignored, and a line says that too; a picture that cannot be decoded is an error.

    Args:
        root: the folder that holds ``train``.
        domains: those to use, in label order; None uses all, alphabetically.
        **loading: see ``ImageDataModule``.

    Raises:
        ValueError: if a domain is unknown, lacks a folder in a split, or if there are fewer than two.
        FileNotFoundError: if root is missing or not laid out like this.
    """

    one_hot = True
    published: tuple[str, ...] = ()  # the domains of a public dataset

    def __init__(self, root: str, domains: list[str] | None = None, **loading: Any) -> None:
        super().__init__(**loading)
        self.root = Path(root).expanduser()
        if not _is_root(self.root, SPLITS):
            raise self._missing(_reason(self.root))
        folders = {split: _subfolders(self.root / split) for split in SPLITS if (self.root / split).is_dir()}
        found = sorted(set().union(*folders.values()))
        if self.published and domains is None and found != sorted(self.published):
            raise self._missing(f"{self.root} has the domains {', '.join(found)}, not {', '.join(self.published)}")
        self.attributes = chosen(domains, found, "domain")
        self.exclusive = (self.attributes,)
        for split, present in folders.items():
            if missing := [name for name in self.attributes if name not in present]:
                raise ValueError(
                    f"{self.root / split} has no folder for {', '.join(missing)}, which another split has: "
                    f"every split needs every domain; choose some with domains=[...]"
                )
        if len(self.attributes) < 2:
            raise ValueError(f"translation needs at least two domains, got {list(self.attributes)} from {self.root}")

    def records(self, split: Split) -> FileRecords:
        """List the pictures of a split, or of the one that stands in for it."""
        present = [name for name in SPLITS if (self.root / name).is_dir()]
        split = self.standing_in(split, present, str(self.root))
        folder = self.root / split
        ignore(folder, [os.fsencode(path.name) for path in _loose_pictures(folder)], "outside every domain")
        return FileRecords(folder, *dealt(folder, self.attributes), self.image_size)

    def _missing(self, reason: str) -> FileNotFoundError:
        if self.entry:
            return missing(self.entry, self.root, reason)
        return FileNotFoundError(f"{reason}; expected ROOT/train/<domain>/*.jpg, and val or test beside train")


class AFHQ(DomainFolders):
    """Animal Faces-HQ, version 1 (train, val) or 2 (train, test): cats, dogs, wild animals (Choi et al., CVPR 2020)."""

    entry = "afhq"
    published = ("cat", "dog", "wild")


class CelebAHQDomains(DomainFolders):
    """CelebA-HQ as StarGAN v2 has it: ``{train,val}/{female,male}`` (Choi et al., CVPR 2020)."""

    entry = "celeba-hq"
    published = ("female", "male")


def _reason(root: Path) -> str:
    splits = [name for name in SPLITS if (root / name).is_dir()]
    lacks = f"has {', '.join(splits)}, but no folder for each domain inside" if splits else "has no train folder"
    return near_miss(root, _is_root, lacks)


def _is_root(folder: Path, splits: Sequence[str] = ("train",)) -> bool:
    return any(_subfolders(folder / split) for split in splits)


def _subfolders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    hidden = (".", "__MACOSX")  # the latter is an archive's, not a domain
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(hidden))


def _loose_pictures(folder: Path) -> list[Path]:
    return [path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES and not path.is_dir()]
