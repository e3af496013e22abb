"""A split's decoded pictures on disk: built once, mapped into memory, shared by all processes."""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from tokenize import TokenError
from typing import Any, BinaryIO

import numpy as np
from tqdm import tqdm

from datamodules.images import UnreadableImage
from datamodules.records import Records

BLOCK = 128  # pictures decoded between two writes
NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


class PixelCache:
    """The (N, size, size, 3) uint8 pictures of a .npy file, read through a memory map.

    Only the path travels to worker processes; each maps the file by itself, and they share its pages.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.pixels = np.load(path, mmap_mode="r").view(np.ndarray)

    def read_all(self, rows: Sequence[int]) -> np.ndarray:
        """Copies of some pictures, (B, size, size, 3) uint8."""
        return self.pixels[list(rows)]

    def __reduce__(self) -> tuple[Any, ...]:
        return PixelCache, (self.path,)


def cached(records: Records, directory: Path) -> PixelCache:
    """The decoded pictures of a split, from the cache if it has them, else put there first.

    The file is named by the records' fingerprint, so changed files or settings make a new one. Of several processes
    one builds and the others wait for it; a file appears whole or not at all.

    Raises:
        UnreadableImage: if pictures cannot be decoded; all are tried first, and the first ten are named.
        OSError: if the folder cannot be written or the disk is full.
    """
    path = directory / f"{records.fingerprint()}.npy"
    if not _usable(path, len(records)):
        with _advice(directory):
            directory.mkdir(parents=True, exist_ok=True)
            with _locked(path.with_suffix(".lock")):
                if not _usable(path, len(records)):  # it may have been built while this process waited
                    _build(records, path)
    return PixelCache(path)


def _usable(path: Path, count: int) -> bool:
    if not path.exists():
        return False
    try:
        pixels = np.lib.format.open_memmap(path, mode="r")
    except (ValueError, EOFError, TokenError) as error:
        print(f"the cache {path} is damaged ({error}) and will be built again")
        return False
    size = pixels.shape[1] if pixels.ndim == 4 else 0
    return pixels.dtype == np.uint8 and pixels.shape == (count, size, size, 3) and size > 0


def _build(records: Records, path: Path) -> None:
    partial = path.with_suffix(".partial")  # the lock is held: no one else writes it, and a killed run's is overwritten
    try:
        with partial.open("wb") as file:
            _decode_into(file, records, path.parent)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def _decode_into(file: BinaryIO, records: Records, directory: Path) -> None:
    bad: list[str] = []

    def read(row: int) -> np.ndarray | None:
        try:
            return records.read(row)
        except UnreadableImage as error:
            bad.append(str(error))
            return None

    progress = tqdm(total=len(records), desc=f"decoding into {directory}", unit="img", disable=None, leave=False)
    with progress, ThreadPoolExecutor(os.cpu_count()) as pool:
        for first in range(0, len(records), BLOCK):
            images = list(pool.map(read, range(first, min(first + BLOCK, len(records)))))
            progress.update(len(images))
            if not bad:  # with a bad one the rest is only decoded to count what else is bad
                block = np.stack([image for image in images if image is not None])
                if first == 0:
                    _write_header(file, (len(records), *block.shape[1:]), directory)
                file.write(block.data)
    if bad:
        shown = "".join(f"\n  {line}" for line in sorted(bad)[:10]) + ("\n  ..." if len(bad) > 10 else "")
        raise UnreadableImage(
            f"{len(bad):,} of {len(records):,} images cannot be read; nothing was cached. "
            f"Replace or remove them, then start again:{shown}"
        )


def _write_header(file: BinaryIO, shape: tuple[int, ...], directory: Path) -> None:
    needed, free = int(np.prod(shape)), shutil.disk_usage(directory).free
    if needed > free:
        raise OSError(errno.ENOSPC, f"{needed / 1e6:,.0f} MB are needed and {free / 1e6:,.0f} MB are free")
    np.lib.format.write_array_header_1_0(file, {"descr": "|u1", "fortran_order": False, "shape": shape})


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a file's lock; the system releases it when the process ends, however it ends."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"waiting for another process to fill the cache {path.parent}")
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextmanager
def _advice(directory: Path) -> Iterator[None]:
    """Say what to do about a cache folder that takes no file."""
    try:
        yield
    except OSError as error:
        reason = "the disk is full" if error.errno in NO_ROOM else "it cannot be written"
        raise OSError(
            error.errno,
            f"cannot keep decoded images in {directory}: {reason} ({error.strerror}). Free some space there, choose "
            f"another folder (--data.init_args.cache_dir=FOLDER) or decode each time (--data.init_args.cache=false)",
        ) from error
