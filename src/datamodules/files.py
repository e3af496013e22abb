"""Pictures in files: millions of names without a Python object for each, and what is said of those that do not fit."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Callable, Mapping, Sequence
from itertools import islice
from pathlib import Path

import numpy as np

from datamodules.base import announce
from datamodules.images import DECODER, SUFFIXES, Crop, UnreadableImage, read_image, read_images
from datamodules.records import Records

BLOCK = 1 << 16  # names that are Python objects at one time
BYTE_SUFFIXES = tuple(os.fsencode(suffix) for suffix in sorted(SUFFIXES))


class FileRecords(Records):
    """Pictures by name.

    Args:
        folder: what the names are relative to.
        names: (N,) bytes as the file system has them.
        labels: (N, K) in [0, 1].
        size: side in pixels to read them at.
        crop: which square; None is the middle one.
        extras: see ``Records``.
    """

    def __init__(
        self,
        folder: Path,
        names: np.ndarray,
        labels: np.ndarray,
        size: int,
        crop: Crop | None = None,
        extras: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        self.folder, self.names, self.size, self.crop = folder, names, size, crop
        self.labels, self.extras = np.asarray(labels, dtype=np.float32), extras or {}

    def path(self, row: int) -> Path:
        """The file of a row."""
        return self.folder / os.fsdecode(self.names[row])

    def read(self, row: int) -> np.ndarray:
        """Decode one file; raises ``images.UnreadableImage``, naming it."""
        return read_image(self.path(row), self.size, self.crop)

    def read_all(self, rows: Sequence[int]) -> np.ndarray:
        """Decode some files and scale them together."""
        return read_images([self.path(row) for row in rows], self.size, self.crop)

    def fingerprint(self) -> str:
        """Over the decoder's version, size, crop, the folder's name, and each file's name, length and times.

        The time of the last change of status counts too: a copy may take another file's time of writing along.
        """
        digest = hashlib.sha256(f"{DECODER} {self.size} {self.crop} {self.folder.name}".encode())
        folder = os.fsencode(self.folder)
        for name in self.names:
            try:
                status = os.stat(os.path.join(folder, name))  # noqa: PTH116, PTH118 - a Path a file would take seconds
            except FileNotFoundError as error:
                place = self.folder / os.fsdecode(name)
                raise UnreadableImage(f"{place} is gone, or a link to nowhere: put it back or remove it") from error
            digest.update(b"\0%b\0%d\0%d\0%d" % (name, status.st_size, status.st_mtime_ns, status.st_ctime_ns))
        return digest.hexdigest()[:32]


def pictures(folder: Path) -> np.ndarray:
    """(N,) names of the pictures that lie in a folder, as bytes and sorted; a line says what else lies there.

    Raises:
        FileNotFoundError: if there is no picture, or no such folder.
    """
    found = [np.empty(0, "S1")]
    strays: list[bytes] = []
    below: list[bytes] = []
    with os.scandir(os.fsencode(folder)) as entries:
        while block := list(islice(entries, BLOCK)):
            kept = []
            for entry in block:
                if (
                    entry.name.lower().endswith(BYTE_SUFFIXES)
                    and not entry.name.startswith(b".")
                    and not entry.is_dir()
                ):
                    kept.append(entry.name)
                else:
                    (below if entry.is_dir() else strays).append(entry.name)
            found.append(np.array(kept, dtype=np.bytes_))
    ignore(folder, [*strays, *below], "not pictures")
    names = np.sort(np.concatenate(found))
    if len(names) == 0:
        hint = f"; folders inside it ({listed(below, 4)}) are not searched" if below else ""
        raise FileNotFoundError(f"{folder} has no picture ({', '.join(sorted(SUFFIXES))}){hint}")
    return names


def dealt(root: Path, folders: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The pictures of some folders: the first of each by name, then the second of each, and so on.

    So the first rows show every domain, which is what a limited validation and a picture grid look at.

    Returns:
        (N,) names as bytes, relative to root, and (N, len(folders)) labels.
    Raises:
        FileNotFoundError: if a folder has no picture.
    """
    found = [pictures(root / folder) for folder in folders]
    counts = [len(names) for names in found]
    domain = np.repeat(np.arange(len(folders)), counts)
    order = np.lexsort((domain, np.concatenate([np.arange(count) for count in counts])))
    inside = [np.char.add(os.fsencode(folder) + b"/", names) for folder, names in zip(folders, found, strict=True)]
    return np.concatenate(inside)[order], np.eye(len(folders), dtype=np.float32)[domain[order]]


def common(names: np.ndarray, folder: Path, source: Path) -> np.ndarray:
    """(N,) booleans: for which of the names that a list gives there is a picture in a folder; see ``matched``."""
    present = pictures(folder)
    return matched(names, names, present, present, source, folder)


def matched(
    names: np.ndarray, keys: np.ndarray, files: np.ndarray, file_keys: np.ndarray, source: Path, folder: Path
) -> np.ndarray:
    """(N,) booleans: which of a list's rows have a picture, where row and picture belong together by equal keys.

    A line counts the rows without a picture and the pictures without a row, and shows the first ten of each.

    Raises:
        FileNotFoundError: if no row has a picture.
    """
    there = np.isin(keys, file_keys)
    if not there.any():
        raise FileNotFoundError(
            f"none of the {len(names):,} pictures that {source} lists ({listed(names, 3)}) is in {folder}, which holds "
            f"{listed(files, 3)}: the list and the folder do not belong together"
        )
    if not there.all():
        announce(f"{source}: {_counted(names[~there])} without a picture in {folder}")
    if len(spare := files[~np.isin(file_keys, keys)]):
        announce(f"{folder}: {_counted(spare)} that {source.name} does not list")
    return there


def near_miss(root: Path, fits: Callable[[Path], bool], lacks: str) -> str:
    """Why a folder is not the one that was meant; names one that fits if it is above or below.

    Args:
        root: the folder.
        fits: whether another one would do.
        lacks: what is wrong with this one, as the end of a sentence.
    """
    if not root.exists():
        return f"{root} does not exist"
    if not root.is_dir():
        return f"{root} is a file, not a folder"
    place = root.resolve()
    if right := next((folder for folder in (place.parent, place.parent.parent) if fits(folder)), None):
        return f"{root} is a child of the right folder: use {right}"
    if below := sorted(path for pattern in ("*", "*/*") for path in root.glob(pattern) if path.is_dir() and fits(path)):
        return f"{root} is a parent of the right folder: use {' or '.join(map(str, below[:8]))}"
    held = ", ".join(sorted(path.name for path in root.iterdir())[:8]) or "nothing"
    return f"{root} {lacks}; it holds {held}"


def ignore(folder: Path, names: Sequence[bytes], reason: str) -> None:
    """Say which files of a folder are left out, if any, and why."""
    if len(names):
        announce(f"{folder}: ignored {len(names)} ({reason}): {listed(sorted(names), 3)}")


def listed(names: Sequence[bytes] | np.ndarray, most: int = 10) -> str:
    """The first names on one line, and dots if there are more."""
    shown = [name.decode(errors="replace") for name in names[:most]]
    printable = [name if name.isprintable() else ascii(name) for name in shown]
    return ", ".join(printable + (["..."] if len(names) > most else []))


def _counted(names: np.ndarray) -> str:
    return f"{len(names):,} ({listed(names)})"
