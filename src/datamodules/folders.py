"""Folders of pictures, one for each domain: AFHQ, CelebA-HQ as StarGAN v2 has it, StarGAN's RaFD, LFW expressions."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, get_args

import numpy as np

from datamodules.base import ImageDataModule, Split, announce, chosen
from datamodules.images import DECODER, SUFFIXES, read_image
from datamodules.records import Records

SPLITS: tuple[Split, ...] = get_args(Split)
STAND_IN: dict[Split, Split] = {"val": "test", "test": "val"}


class DomainFolders(ImageDataModule):
    """Pictures in ``root/train|val|test/<domain>/*.jpg`` (or png, webp, bmp, tif, ppm, pgm); the label is the domain.

    Every split has every domain that is used. Where val or test is missing the other stands in for it, and a line
    says so. What is no picture is ignored, and a line says that too; a picture that cannot be decoded is an error.

    Args:
        root: the folder that holds ``train``.
        domains: those to use, in label order; None uses all, alphabetically.
        **loading: see ``ImageDataModule``.

    Attributes:
        stand_ins: the split that was read in place of another, by the latter's name.

    Raises:
        ValueError: if a domain is unknown, lacks a folder in a split, or if there are fewer than two.
        FileNotFoundError: if root is missing or not laid out like this.
    """

    one_hot = True

    def __init__(self, root: str, domains: list[str] | None = None, **loading: Any) -> None:
        super().__init__(**loading)
        self.root = Path(root).expanduser()
        self.stand_ins: dict[Split, Split] = {}
        _check_layout(self.root)
        folders = {split: _subfolders(self.root / split) for split in SPLITS if (self.root / split).is_dir()}
        self.attributes = chosen(domains, sorted(set().union(*folders.values())), "domain")
        self.exclusive = (self.attributes,)
        for split, present in folders.items():
            if missing := [name for name in self.attributes if name not in present]:
                raise ValueError(
                    f"{self.root / split} has no folder for {', '.join(missing)}, which another split has: "
                    f"every split needs every domain; choose some with domains=[...]"
                )
        if len(self.attributes) < 2:
            raise ValueError(f"translation needs at least two domains, got {list(self.attributes)} from {self.root}")

    def records(self, split: Split) -> Records:
        """List the pictures of a split, or of the one that stands in for it."""
        if not (self.root / split).is_dir():
            split = self._stand_in(split)
        return FolderRecords(self.root / split, self.attributes, self.image_size)

    def _stand_in(self, split: Split) -> Split:
        other = STAND_IN.get(split)
        if other is None or not (self.root / other).is_dir():
            present = [name for name in SPLITS if (self.root / name).is_dir()]
            raise FileNotFoundError(f"{self.root} has no {split} folder, only {', '.join(present)}")
        announce(f"{self.root} has no {split} folder: {other} stands in for it")
        self.stand_ins[split] = other
        return other


class FolderRecords(Records):
    """The pictures of some domain folders: the first of each by name, then the second of each, and so on.

    So the first rows show every domain, which is what a limited validation and a picture grid look at.

    Raises:
        FileNotFoundError: if a domain has no picture.
    """

    def __init__(self, folder: Path, domains: Sequence[str], size: int) -> None:
        self.folder, self.size = folder, size
        _notice(folder, [path for path in _files(folder) if path.suffix.lower() in SUFFIXES], "outside every domain")
        found = [_pictures(folder / domain) for domain in domains]
        dealt = sorted((turn, domain, path) for domain, paths in enumerate(found) for turn, path in enumerate(paths))
        self.paths = [str(path) for _, _, path in dealt]
        self.labels = np.eye(len(domains), dtype=np.float32)[[domain for _, domain, _ in dealt]]

    def read(self, row: int) -> np.ndarray:
        """Decode one file; raises ``images.UnreadableImage``, naming it."""
        return read_image(Path(self.paths[row]), self.size)

    def fingerprint(self) -> str:
        """Over the decoder's version, the size, the split's name, and each file's place under it, length and times.

        The time of the last change of status counts too: a copy may take another file's time of writing along.
        """
        digest = hashlib.sha256(f"{DECODER} {self.size} {self.folder.name}".encode())
        for path in map(Path, self.paths):
            status = path.stat()
            facts = (path.relative_to(self.folder), status.st_size, status.st_mtime_ns, status.st_ctime_ns)
            digest.update(os.fsencode("".join(f"\0{fact}" for fact in facts)))
        return digest.hexdigest()[:32]


def _check_layout(root: Path) -> None:
    """Raise unless root holds a split; where a folder nearby does, name it."""
    layout = "expected ROOT/train/<domain>/*.jpg, and val or test beside train"
    if not root.exists():
        raise FileNotFoundError(f"{root} does not exist; {layout}")
    if not root.is_dir():
        raise FileNotFoundError(f"{root} is a file, not a folder; {layout}")
    if _is_root(root, SPLITS):
        return
    place = root.resolve()
    if right := next((folder for folder in (place.parent, place.parent.parent) if _is_root(folder)), None):
        raise FileNotFoundError(f"{root} is a child of the right folder: use {right}")
    if below := sorted(path for pattern in ("*", "*/*") for path in root.glob(pattern) if _is_root(path)):
        raise FileNotFoundError(f"{root} is a parent of the right folder: use {' or '.join(map(str, below[:8]))}")
    if splits := [name for name in SPLITS if (root / name).is_dir()]:
        raise FileNotFoundError(f"{root} has {', '.join(splits)}, but no folder for each domain inside; {layout}")
    held = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "nothing"
    raise FileNotFoundError(f"{root} has no train folder ({layout}); it holds {held}")


def _is_root(folder: Path, splits: Sequence[str] = ("train",)) -> bool:
    return any(_subfolders(folder / split) for split in splits)


def _subfolders(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    hidden = (".", "__MACOSX")  # the latter is an archive's, not a domain
    return sorted(path.name for path in folder.iterdir() if path.is_dir() and not path.name.startswith(hidden))


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.iterdir() if not path.is_dir())


def _pictures(folder: Path) -> list[Path]:
    pictures = [path for path in _files(folder) if path.suffix.lower() in SUFFIXES and not path.name.startswith(".")]
    if not pictures:
        below = _subfolders(folder)
        hint = f"; folders inside it ({', '.join(below[:4])}) are not searched" if below else ""
        raise FileNotFoundError(f"the domain {folder} has no picture ({', '.join(sorted(SUFFIXES))}){hint}")
    _notice(folder, sorted(set(folder.iterdir()) - set(pictures)), "not pictures")
    return pictures


def _notice(folder: Path, strays: Sequence[Path], reason: str) -> None:
    if strays:
        names = ", ".join(path.name for path in strays[:3]) + (", ..." if len(strays) > 3 else "")
        announce(f"{folder}: ignored {len(strays)} ({reason}): {names}")
