"""Pictures that are the same, byte for byte, and pictures that look the same, without comparing all with all."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np

ALIKE = 0.97  # least correlation of two grey 16 x 16 thumbnails
BITS = 10  # most differing bits, of 64, for two pictures to be compared at all
MOST = 5_000_000  # comparisons of thumbnails; a split of video frames could ask for billions
SAMPLE = 20_000  # pictures that the hash's medians are taken from
BLOCK = 1 << 16  # thumbnails that are floats at one time
ROWS = 256  # of a bucket that are compared with the rest of it at one time


@dataclass(frozen=True)
class Alike:
    """Pairs that look the same, the most alike first.

    Attributes:
        pairs: (M, 2) rows, the lower one first.
        likeness: (M,) correlations of the thumbnails.
        complete: whether the search came to its end, or stopped at ``MOST`` comparisons.
    """

    pairs: np.ndarray
    likeness: np.ndarray
    complete: bool


def identical(digests: np.ndarray) -> list[np.ndarray]:
    """Groups of two or more rows with the same digest, each in rising order, by their first row."""
    order = np.argsort(digests, kind="stable")
    ordered = digests[order]
    starts = np.flatnonzero(np.concatenate([[True], ordered[1:] != ordered[:-1]])) if len(order) else order
    lengths = np.diff(np.append(starts, len(order)))
    groups = [order[start : start + length] for start, length in zip(starts, lengths, strict=True) if length > 1]
    return sorted(groups, key=lambda rows: int(rows[0]))


def alike(thumbnails: np.ndarray) -> Alike:
    """Pairs whose thumbnails correlate by ``ALIKE`` or more.

    Two are compared if their 64-bit hashes share one of eight bytes and differ in at most ``BITS`` bits: so pairs
    within 7 bits are always compared, and few of those within ten are missed. Brightness and contrast do not count.

    Args:
        thumbnails: (N, 16, 16) grey uint8, none of them of one grey.
    """
    if len(thumbnails) < 2:
        return Alike(np.empty((0, 2), np.int64), np.empty(0, np.float32), True)
    candidates, complete = _candidates(hashes(thumbnails))
    likeness = np.concatenate(
        [np.empty(0, np.float32)]
        + [
            (_standardised(thumbnails[block[:, 0]]) * _standardised(thumbnails[block[:, 1]])).sum(axis=1)
            for block in _blocks(candidates)
        ]
    )
    order = np.argsort(-likeness, kind="stable")
    order = order[likeness[order] >= ALIKE]
    return Alike(candidates[order], likeness[order], complete)


def hashes(thumbnails: np.ndarray) -> np.ndarray:
    """(N,) uint64: which of 64 low frequencies (of the cosine transform) of each picture are above the median.

    The median is that of these pictures, not 0: every bit divides them in half, even aligned faces, on which hashes
    of fixed thresholds are nearly the same.
    """
    sample = thumbnails[:: max(1, len(thumbnails) // SAMPLE)]
    medians = np.median(_standardised(sample) @ _low_frequencies(), axis=0)
    bits = [np.packbits(_standardised(block) @ _low_frequencies() > medians, axis=1) for block in _blocks(thumbnails)]
    return np.concatenate([np.empty((0, 8), np.uint8), *bits]).view(np.uint64)[:, 0]


def _candidates(codes: np.ndarray) -> tuple[np.ndarray, bool]:
    """(M, 2) pairs of rows worth comparing, each once, in rising order; and whether that is all of them."""
    digits = codes.view(np.uint8).reshape(-1, 8)
    found, count = [np.empty((0, 2), np.int64)], 0
    for pairs in _within_buckets(codes, digits):
        found.append(pairs)
        count += len(pairs)
        if count > MOST:
            break
    return np.unique(np.concatenate(found), axis=0)[:MOST], count <= MOST


def _within_buckets(codes: np.ndarray, digits: np.ndarray) -> Iterator[np.ndarray]:
    for place in range(8):
        order = np.argsort(digits[:, place], kind="stable")
        for bucket in np.split(order, np.searchsorted(digits[order, place], np.arange(1, 256))):
            for start in range(0, len(bucket), ROWS):
                rows, rest = bucket[start : start + ROWS], bucket[start:]
                near = np.bitwise_count(codes[rows, None] ^ codes[None, rest]) <= BITS
                one, other = np.nonzero(np.triu(near, 1))
                fresh = (digits[rows[one], :place] != digits[rest[other], :place]).all(axis=1)  # else found before
                yield np.stack([rows[one], rest[other]], axis=1)[fresh]


def _standardised(thumbnails: np.ndarray) -> np.ndarray:
    """(N, 256) float32 of mean 0 and length 1."""
    flat = thumbnails.reshape(len(thumbnails), -1).astype(np.float32)
    flat -= flat.mean(axis=1, keepdims=True)
    return flat / np.maximum(np.linalg.norm(flat, axis=1, keepdims=True), 1e-6)


@cache
def _low_frequencies(side: int = 16, count: int = 64) -> np.ndarray:
    """(side * side, count): the cosines of the lowest frequencies but the mean."""
    places, waves = np.arange(side), np.arange(side)
    cosines = np.cos(np.pi * waves[:, None] * (2 * places + 1) / (2 * side))
    order = sorted(((down, across) for down in waves for across in waves), key=lambda wave: (sum(wave), wave))
    columns = [np.outer(cosines[down], cosines[across]).ravel() for down, across in order[1 : count + 1]]
    return np.stack(columns, axis=1).astype(np.float32)


def _blocks(rows: np.ndarray) -> Iterator[np.ndarray]:
    return (rows[first : first + BLOCK] for first in range(0, len(rows), BLOCK))
