"""MNIST-M from MNIST and colour photos, by its makers' recipe (Ganin and Lempitsky, ICML 2015)."""

from __future__ import annotations

import os
from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

SIDE = 28
PARTS = ("train", "test")


def add_arguments(parser: ArgumentParser) -> None:
    """What the command line asks for."""
    parser.add_argument("root", type=Path, help="the folder that holds MNIST/raw; mnist-m is written beside MNIST")
    parser.add_argument("photos", type=Path, help="colour photos in train/ and test/, such as BSDS500/data/images")
    parser.add_argument("--seed", type=int, default=0, help="of the crops (default: 0)")


def run(options: Namespace) -> int:
    """Build it and say what was written."""
    for path in build(options.root, options.photos, options.seed):
        print(f"wrote {path}")
    return 0


def build(root: Path, photos: Path, seed: int = 0) -> list[Path]:
    """Write ``root/mnist-m/mnistm_train.npz`` and ``mnistm_test.npz``, each whole or not at all.

    Each digit of MNIST is blended with a random square of a random photo; training and test digits use different
    photos. The arrays are ``images`` (N, 28, 28, 3) uint8, ``labels`` (N,) 0 to 9, ``mnist_index`` (N,), the row in
    MNIST's file, and ``crop`` (N, 3): the photo's number in order of names, and the top and the left of the square.
    The published file has other photos, and 59,001 and 9,001 digits: figures on the two cannot be compared.

    Args:
        root: holds ``MNIST/raw``.
        photos: has ``train`` and ``test`` with pictures of at least 28 pixels a side; grey ones are taken as RGB.
        seed: of the squares, 0 to 2**31 - 2; the same files and seed give the same arrays.
    Returns:
        The two files.
    Raises:
        FileExistsError: if one of them is there.
        FileNotFoundError: if MNIST or the photos are not there.
        ValueError: if a photo is too small or damaged, or the seed out of range.
    """
    from datamodules.digits import check_files, load  # with torchvision, which the command's help need not wait for
    from datamodules.files import pictures

    if not 0 <= seed < 2**31 - 1:
        raise ValueError(f"seed must lie in 0..{2**31 - 2}, got {seed}")
    targets = [root / "mnist-m" / f"mnistm_{part}.npz" for part in PARTS]
    for path in targets:
        if path.exists():
            raise FileExistsError(f"{path} exists: remove it to build it anew")
    for part in PARTS:
        if not (photos / part).is_dir():
            raise FileNotFoundError(f"{photos} has no {part} folder: expected train and test with photos in each")
    check_files(root, ["mnist"])
    arrays = []
    for number, part in enumerate(PARTS):
        names = [os.fsdecode(name) for name in pictures(photos / part)]
        digits, labels = load(root, "mnist", part == "train")
        images, crop = blended(digits, [photos / part / name for name in names], 2 * seed + 1 + number)
        index = np.arange(len(labels), dtype=np.int32)
        arrays.append({"images": images, "labels": labels.astype(np.uint8), "mnist_index": index, "crop": crop})
    targets[0].parent.mkdir(exist_ok=True)
    for path, content in zip(targets, arrays, strict=True):
        _write(path, content)
    return targets


def blended(digits: np.ndarray, photos: Sequence[Path], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """``|patch - digit|`` in each channel, the digit in grey, the patch a random square of a random photo.

    Args:
        digits: (N, 28, 28) uint8.
        photos: files.
        seed: of the squares: for each digit in turn the photo, the top and the left.
    Returns:
        (N, 28, 28, 3) uint8, and (N, 3) int32: number of the photo, top, left.
    Raises:
        ValueError: naming a photo that is too small or damaged.
    """
    crop = crops([_size(path) for path in photos], len(digits), seed)
    images = np.empty((*digits.shape, 3), dtype=np.uint8)
    for number, path in enumerate(photos):
        pixels = _pixels(path).astype(np.int16)
        for row in np.flatnonzero(crop[:, 0] == number):
            _, top, left = crop[row]
            patch = pixels[top : top + SIDE, left : left + SIDE]
            images[row] = np.abs(patch - digits[row, :, :, None])
    return images, crop


def crops(sizes: Sequence[tuple[int, int]], count: int, seed: int) -> np.ndarray:
    """(count, 3) int32: photo, top and left of random squares, for photos of these widths and heights."""
    draw = np.random.RandomState(seed)  # its stream is frozen; a Generator's may change with NumPy
    crop = np.empty((count, 3), dtype=np.int32)
    for row in range(count):
        number = draw.randint(len(sizes))
        width, height = sizes[number]
        crop[row] = number, draw.randint(height - SIDE + 1), draw.randint(width - SIDE + 1)
    return crop


def _size(path: Path) -> tuple[int, int]:
    """Width and height of a photo."""
    with Image.open(path) as image:
        if min(image.size) < SIDE:
            raise ValueError(f"{path} is {image.width}x{image.height}, but a photo needs {SIDE} pixels a side")
        return image.size


def _pixels(path: Path) -> np.ndarray:
    try:
        with Image.open(path) as image:
            return np.asarray(image.convert("RGB"))
    except OSError as error:
        raise ValueError(f"{path}: {error}") from error


def _write(path: Path, arrays: dict[str, np.ndarray]) -> None:
    partial = path.with_suffix(".partial")
    try:
        with partial.open("wb") as file:
            np.savez_compressed(file, allow_pickle=False, **arrays)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
