"""Handwritten digits of several collections, MNIST, USPS and MNIST-M: the label is the collection."""

from __future__ import annotations

import hashlib
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import cv2
import numpy as np
from PIL import Image
from torchvision.datasets import USPS
from torchvision.datasets.mnist import read_image_file, read_label_file

from datamodules.base import ImageDataModule, Split, chosen
from datamodules.catalogue import missing
from datamodules.files import near_miss
from datamodules.images import DECODER
from datamodules.records import Records

# What torchvision, bz2 and NumPy raise on files that are damaged, cut short or of another kind.
READING = (OSError, EOFError, zipfile.BadZipFile, zlib.error)
BROKEN = (*READING, ValueError, TypeError, KeyError, RuntimeError, AssertionError)

FAINT = 255 // 6  # the brightest of what is no ink
BOX = 20 / 32  # of a picture's side, the longer side of MNIST's ink


class Digits(ImageDataModule):
    """Digits of two or three collections; a batch also carries which ones: ``digit`` and ``reference_digit``, 0 to 9.

    Below root: ``MNIST/raw/*-ubyte``, as torchvision has it; ``usps/usps.bz2`` and ``usps.t.bz2``, libsvm's, or
    instead of both ``usps/usps_16x16_uint8.npz``, the same digits, read in a hundredth of the time;
    ``mnist-m/mnistm_{train,test}.npz``. Training and test digits are the collections' own; the validation digits are
    the last ones of the training files, and no part of training.

    Every digit is padded, then scaled to ``image_size`` if it has not that size yet (antialiased bicubic), grey as RGB:

    - MNIST, 28 pixels: 2 black ones on each side, so that nothing is scaled at 32, where the ink's box is 20 pixels;
    - MNIST-M, 28 pixels: 2 on each side that mirror the photo, which has no frame;
    - USPS, 16 pixels, all of them the ink's box: 5 black ones on each side, which makes the ink 16/26 of the picture,
      nearly the 20/32 of MNIST.

    USPS's digits were brought upright before they were published, and their ink's box is in the middle of the picture;
    MNIST's are as they were written, and their centre of mass is there. For a classifier that matters more than the
    hands do: `aligned` prepares MNIST's as USPS's were.

    Args:
        root: the folder of the collections' folders.
        domains: mnist, usps, mnist-m, in label order; None is mnist and usps.
        aligned: bring MNIST's digits upright, and their ink's box to the middle and to 20/32 of the picture.
        val_size: validation digits of each collection.
        image_size: see ``ImageDataModule``.
        flip: likewise; a mirrored digit is none.
        **loading: likewise.

    Raises:
        ValueError: if a domain is unknown, if there are fewer than two, or if a file is not what it should be.
        FileNotFoundError: if a file is missing.
    """

    entry = "digits"
    one_hot = True

    def __init__(
        self,
        root: str,
        domains: list[str] | None = None,
        aligned: bool = False,
        val_size: int = 1000,
        image_size: int = 32,
        flip: bool = False,
        **loading: Any,
    ) -> None:
        super().__init__(image_size=image_size, flip=flip, **loading)
        self.root, self.aligned, self.val_size = Path(root).expanduser(), aligned, val_size
        self.attributes = chosen(["mnist", "usps"] if domains is None else domains, tuple(COLLECTIONS), "domain")
        self.exclusive = (self.attributes,)
        if len(self.attributes) < 2:
            raise ValueError(f"translation needs at least two domains, got {list(self.attributes)}")
        if aligned and "mnist" not in self.attributes:
            raise ValueError(f"aligned is for MNIST's digits, and the domains are {', '.join(self.attributes)}")
        if val_size < 1:
            raise ValueError(f"val_size must be at least 1, got {val_size}")
        check_files(self.root, self.attributes)

    def records(self, split: Split) -> DigitRecords:
        """Read the digits of a split.

        Raises:
            ValueError: naming a file that is damaged, or leaves no digits to train on.
        """
        parts = [self._part(domain, split) for domain in self.attributes]
        files = [path for domain in self.attributes for path in COLLECTIONS[domain].files(self.root, split != "test")]
        settings = f"{split} {self.val_size} {self.attributes} {self.aligned}"
        return DigitRecords(parts, self.image_size, self.aligned, settings, files)

    def _part(self, domain: str, split: Split) -> Part:
        images, digits = load(self.root, domain, split != "test")
        if split == "test":
            return Part(COLLECTIONS[domain], images, digits)
        if len(digits) <= self.val_size:
            raise ValueError(
                f"{domain} has {len(digits):,} training digits in {self.root}: a val_size of {self.val_size:,} leaves "
                "none to train on; choose a smaller one"
            )
        kept = slice(-self.val_size, None) if split == "val" else slice(-self.val_size)
        return Part(COLLECTIONS[domain], images[kept], digits[kept])


class Collection(NamedTuple):
    """Where a collection is, and what its pictures are like."""

    files: Callable[[Path, bool], list[Path]]  # of its training or test part, below a root
    read: Callable[[list[Path], bool], tuple[np.ndarray, np.ndarray]]
    shape: tuple[int, ...]  # of a picture, as stored
    margin: int  # pixels that are added on each side
    border: int = cv2.BORDER_CONSTANT  # what those show
    written: bool = False  # whether it is as it was written, grey ink on black


class Part(NamedTuple):
    """The digits of a collection that are in a split: (N, *shape) uint8 and (N,) int64."""

    collection: Collection
    images: np.ndarray
    digits: np.ndarray


class DigitRecords(Records):
    """A split, in memory: the first digit of each collection, then the second of each, and so on.

    Args:
        parts: of each collection, in label order.
        size: side in pixels to give pictures at.
        aligned: align those that are as they were written.
        settings: what else they depend on.
        files: where they are from.
    """

    def __init__(self, parts: Sequence[Part], size: int, aligned: bool, settings: str, files: Sequence[Path]) -> None:
        self.parts, self.size, self.aligned, self.settings, self.files = parts, size, aligned, settings, files
        counts = [len(part.digits) for part in parts]
        domain = np.repeat(np.arange(len(parts)), counts)
        place = np.concatenate([np.arange(count) for count in counts])
        order = np.lexsort((domain, place))
        self.domain, self.place = domain[order], place[order]
        self.labels = np.eye(len(parts), dtype=np.float32)[self.domain]
        self.extras = {"digit": np.concatenate([part.digits for part in parts])[order]}

    def read(self, row: int) -> np.ndarray:
        """The picture of a row, padded, aligned if asked for, and scaled."""
        part = self.parts[self.domain[row]]
        margins = (part.collection.margin,) * 4
        padded = cv2.copyMakeBorder(part.images[self.place[row]], *margins, part.collection.border)
        if self.aligned and part.collection.written:
            padded = align(padded)
        picture = Image.fromarray(padded).resize((self.size, self.size), Image.Resampling.BICUBIC)
        return np.array(picture.convert("RGB"))

    def fingerprint(self) -> str:
        """Over margins, size, settings, a stroke as it is aligned, and each file's name, length and times."""
        margins = [(part.collection.margin, part.collection.border) for part in self.parts]
        digest = hashlib.sha256(f"{DECODER} {margins} {self.size} {self.settings}".encode())
        if self.aligned:  # pictures that were kept are of no use once they would be aligned otherwise
            digest.update(align(cv2.line(np.zeros((32, 32), np.uint8), (20, 5), (10, 24), 255, 3)).tobytes())
        for path in self.files:
            status = path.stat()
            digest.update(f"\0{path.name} {status.st_size} {status.st_mtime_ns} {status.st_ctime_ns}".encode())
        return digest.hexdigest()[:32]


def align(ink: np.ndarray) -> np.ndarray:
    """A grey (H, W) uint8 picture of ink on black, prepared as USPS's were.

    It is sheared until its rows' centres stand above each other: by the moment of columns and rows over that of the
    rows twice (deslanting, LeCun et al., Gradient-based learning applied to document recognition, 1998, sect. III-A).
    Then the ink's box, where it is a sixth as bright as can be, is brought to the middle, its longer side to 20/32.
    """
    rows, columns = np.nonzero(ink > FAINT)
    if len(rows) == 0:
        return ink
    moments = cv2.moments(ink)
    slant = moments["mu11"] / moments["mu02"] if moments["mu02"] > 0 else 0.0
    ends = [(places.min(), places.max()) for places in (columns - slant * rows, rows)]
    (x, y), longer = (sum(pair) / 2 for pair in ends), max(last - first + 1 for first, last in ends)
    scale = longer / (max(ink.shape) * BOX)
    height, width = ink.shape
    there = np.array([[scale, slant * scale], [0, scale]])  # from the aligned picture to this one, about the middles
    shift = np.array([x + slant * y, y]) - there @ [(width - 1) / 2, (height - 1) / 2]
    flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
    return cv2.warpAffine(ink, np.column_stack([there, shift]), (width, height), flags=flags)


def load(root: Path, domain: str, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """The (N, *shape) uint8 pictures and (N,) int64 digits of a collection's training or test part, as stored.

    Raises:
        ValueError: naming the file, if it is damaged or holds something else.
    """
    collection = COLLECTIONS[domain]
    paths = collection.files(root, train)
    images, digits = collection.read(paths, train)
    if images.dtype != np.uint8 or images.shape[1:] != collection.shape or len(images) == 0:
        expected = ", ".join(map(str, ("N", *collection.shape)))
        raise ValueError(f"{paths[0]} holds pictures of {images.shape} {images.dtype}, expected ({expected}) uint8")
    if digits.dtype.kind not in "iu" or digits.shape != images.shape[:1]:
        raise ValueError(
            f"{paths[-1]} holds labels of {digits.shape} {digits.dtype}, expected {len(images):,} integers, one for "
            f"each picture in {paths[0].name}"
        )
    if len(wrong := np.flatnonzero((digits < 0) | (digits > 9))):
        raise ValueError(f"{paths[-1]} gives row {wrong[0]} the label {digits[wrong[0]]}, expected 0 to 9")
    return images, digits.astype(np.int64)


def _mnist_files(root: Path, train: bool) -> list[Path]:
    names = ("images-idx3-ubyte", "labels-idx1-ubyte")
    return [root / "MNIST" / "raw" / f"{'train' if train else 't10k'}-{name}" for name in names]


def _usps_files(root: Path, train: bool) -> list[Path]:
    packed = root / "usps" / "usps_16x16_uint8.npz"
    return [packed if packed.exists() else root / "usps" / ("usps.bz2" if train else "usps.t.bz2")]


def _mnist_m_files(root: Path, train: bool) -> list[Path]:
    return [root / "mnist-m" / f"mnistm_{'train' if train else 'test'}.npz"]


def _read_mnist(paths: list[Path], train: bool) -> tuple[np.ndarray, np.ndarray]:
    with _naming(paths[0], "an idx file of pictures"):
        images = read_image_file(str(paths[0])).numpy()
    with _naming(paths[1], "an idx file of labels"):
        return images, read_label_file(str(paths[1])).numpy()


def _read_usps(paths: list[Path], train: bool) -> tuple[np.ndarray, np.ndarray]:
    if paths[0].suffix == ".npz":
        part = "train" if train else "test"
        return _read_npz(paths[0], f"{part}_images", f"{part}_labels")
    with _naming(paths[0], "libsvm's text of 256 values for each digit, packed by bzip2"):
        digits = USPS(paths[0].parent, train)
        return digits.data, np.array(digits.targets)


def _read_mnist_m(paths: list[Path], train: bool) -> tuple[np.ndarray, np.ndarray]:
    return _read_npz(paths[0], "images", "labels")


def _read_npz(path: Path, *keys: str) -> tuple[np.ndarray, np.ndarray]:
    with _naming(path, f"a NumPy archive of {' and '.join(keys)}"), np.load(path, allow_pickle=False) as arrays:
        images, digits = (arrays[key] for key in keys)
        return images, digits


COLLECTIONS = {
    "mnist": Collection(_mnist_files, _read_mnist, (28, 28), 2, written=True),
    "usps": Collection(_usps_files, _read_usps, (16, 16), 5),
    "mnist-m": Collection(_mnist_m_files, _read_mnist_m, (28, 28, 3), 2, cv2.BORDER_REFLECT_101),
}


@contextmanager
def _naming(path: Path, expected: str) -> Iterator[None]:
    """Turn whatever a reader raises into one sentence about the file."""
    try:
        yield
    except BROKEN as error:
        reason = str(error) or type(error).__name__
        raise ValueError(f"{path} cannot be read ({reason}): expected {expected}; get the file again") from error


def check_files(root: Path, domains: Sequence[str]) -> None:
    """Raise unless the files of some collections are there; where they are nearby, say so."""
    if not (gone := _absent(root, domains)):
        return
    if packed := next((path for path in gone if path.with_name(f"{path.name}.gz").is_file()), None):
        raise FileNotFoundError(f"{packed} is still packed: gunzip {packed.parent}/*.gz")
    lacks = f"has no {', '.join(str(path.relative_to(root)) for path in gone)}"
    raise missing("digits", root, near_miss(root, lambda folder: not _absent(folder, domains), lacks))


def _absent(root: Path, domains: Sequence[str]) -> list[Path]:
    wanted = [path for domain in domains for train in (True, False) for path in COLLECTIONS[domain].files(root, train)]
    return [path for path in dict.fromkeys(wanted) if not path.is_file()]
