"""Every picture of a split, read once: a small row of numbers for each, so that a million fit into memory."""

from __future__ import annotations

import hashlib
import os
import signal
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from PIL import Image
from tqdm import tqdm

from datamodules.files import FileRecords
from datamodules.images import BROKEN
from datamodules.records import Records

CHUNK = 64  # pictures between two words of a process
THUMBNAIL = 16  # side
MEASURES = np.dtype(
    [
        ("readable", "?"),
        ("digest", "u8"),  # of the file's bytes, or of the pixels where there is no file
        ("width", "u4"),  # width, height, mode and format are the stored file's; 0 or empty where there is none
        ("height", "u4"),
        ("mode", "S8"),
        ("format", "S8"),
        ("brightness", "f4"),  # mean over pixels and channels, 0 to 255
        ("contrast", "f4"),  # the largest of the three channels' standard deviations, 0 to 127.5
        ("thumbnail", "u1", (THUMBNAIL, THUMBNAIL)),  # grey
    ]
)


@dataclass(frozen=True)
class Scan:
    """A split and what was measured of it.

    Attributes:
        split: its name, or those of splits with the same pictures, such as val/test.
        records: its pictures and labels.
        measures: (N,) of ``MEASURES``.
        reasons: why a row could not be read.
    """

    split: str
    records: Records
    measures: np.ndarray
    reasons: dict[int, str]

    def name(self, row: int) -> str:
        """A row in words: its file, with the folder that the dataset names files in, or else split and number."""
        if isinstance(self.records, FileRecords):
            return str(Path(self.records.folder.name, os.fsdecode(self.records.names[row])))
        return f"{self.split} row {row}"


def scan(split: str, records: Records, processes: int | None = None) -> Scan:
    """Measure every picture of a split, as it is read for training; what cannot be read does not stop it.

    Processes begin as those of a ``DataLoader`` do on this system, so what can be trained on can be scanned.

    Args:
        split: its name.
        records: the split.
        processes: how many; None is one for each core.

    Raises:
        ChildProcessError: if one of them is killed.
    """
    found, reasons = np.zeros(len(records), MEASURES), dict[int, str]()
    chunks = [range(first, min(first + CHUNK, len(records))) for first in range(0, len(records), CHUNK)]
    pool = ProcessPoolExecutor(processes or os.cpu_count(), initializer=_begin, initargs=(records,))
    try:
        words = pool.map(_measure_chunk, chunks)
        with tqdm(total=len(records), desc=f"reading {split}", unit="img", disable=None, leave=False) as progress:
            for rows, (measures, why) in zip(chunks, words, strict=True):
                found[rows.start : rows.stop] = measures
                reasons.update(why)
                progress.update(len(rows))
    except BrokenProcessPool as error:
        raise ChildProcessError(
            f"a process that reads the {split} split was killed: memory may be short, or a file crashes its decoder"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)  # when interrupted, too: only the chunks in work are still waited for
    return Scan(split, records, found, reasons)


def measure(records: Records, row: int) -> np.ndarray:
    """The ``MEASURES`` of one picture, ().

    Raises:
        one of ``images.BROKEN``: if it cannot be read.
    """
    found, pixels = np.zeros((), MEASURES), records.read(row)
    content = pixels.tobytes()
    if isinstance(records, FileRecords):
        content = records.path(row).read_bytes()
        with Image.open(records.path(row)) as image:
            found["width"], found["height"] = image.size
            found["mode"], found["format"] = image.mode.encode(), (image.format or "").encode()
    found["digest"] = int.from_bytes(hashlib.blake2b(content, digest_size=8).digest(), "little")
    mean, deviation = cv2.meanStdDev(pixels)
    found["brightness"], found["contrast"] = mean.mean(), deviation.max()
    grey = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY)
    found["thumbnail"] = cv2.resize(grey, (THUMBNAIL, THUMBNAIL), interpolation=cv2.INTER_AREA)
    found["readable"] = True
    return found


_records: Records  # of a worker process


def _begin(records: Records) -> None:
    """Prepare a worker process; an interrupt from the keyboard is the main process's to answer."""
    global _records
    _records = records
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    cv2.setNumThreads(0)  # thread pools do not survive a fork, and the other workers have the cores
    torch.set_num_threads(1)


def _measure_chunk(rows: range) -> tuple[np.ndarray, dict[int, str]]:
    found, reasons = np.zeros(len(rows), MEASURES), {}
    for place, row in enumerate(rows):
        try:
            found[place] = measure(_records, row)
        except BROKEN as error:
            reasons[row] = str(error)
    return found, reasons
