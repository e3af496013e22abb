"""Findings about pictures that occur more than once: within a split, across splits (leakage), with other labels."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import combinations

import numpy as np

from datamodules.inspection.duplicates import ALIKE, BITS, MOST, Alike, alike, identical
from datamodules.inspection.findings import LISTED, Finding, blank
from datamodules.inspection.scan import Scan

CAVEAT = (
    f"two pictures look the same if their grey 16x16 thumbnails correlate by {ALIKE} or more and the 64-bit hashes of "
    f"these differ in at most {BITS} bits. That finds copies that were compressed, resized, brightened or made grey. "
    "It takes two photos of one moment for the same, and often two simple pictures, such as digits; it misses copies "
    "that are mirrored, cropped by more than a few percent or written over. near-duplicates.png shows the pairs"
)

COMMON = 0.1  # look-alikes per picture from which on they are no exceptions
KINDS = {"identical": "identical pictures", "near": "pictures that look the same"}


class Everything:
    """The rows of all splits, one after another.

    Args:
        scans: the splits.
    """

    def __init__(self, scans: Sequence[Scan]) -> None:
        self.scans = scans
        self.measures = np.concatenate([scan.measures for scan in scans])
        self.labels = np.concatenate([scan.records.labels for scan in scans])
        self.split = np.repeat(np.arange(len(scans)), [len(scan.measures) for scan in scans])
        self.starts = np.searchsorted(self.split, np.arange(len(scans)))

    def place(self, row: int) -> tuple[Scan, int]:
        """The split of a row and its number there."""
        number = int(self.split[row])
        return self.scans[number], int(row - self.starts[number])

    def name(self, row: int) -> str:
        """In words."""
        scan, inside = self.place(row)
        return scan.name(inside)


def identical_pairs(everything: Everything) -> np.ndarray:
    """(M, 2) rows with the same bytes: the first of its kind in a split with each other one there, and the firsts of
    its kind in two splits with each other."""
    rows = np.flatnonzero(everything.measures["readable"])
    pairs = [np.empty((0, 2), np.int64)]
    for group in identical(everything.measures["digest"][rows]):
        members = rows[group]
        _, first, split = np.unique(everything.split[members], return_index=True, return_inverse=True)
        pairs.append(np.stack([members[first[split]], members], axis=1)[np.setdiff1d(np.arange(len(members)), first)])
        pairs.append(np.array(list(combinations(members[first], 2)), np.int64).reshape(-1, 2))
    return np.concatenate(pairs)


def alike_pairs(everything: Everything) -> Alike:
    """Rows that look the same; of identical pictures the first one stands for all, and blank ones do not take part."""
    rows = np.flatnonzero(everything.measures["readable"] & ~blank(everything.measures))
    rows = np.sort(rows[np.unique(everything.measures["digest"][rows], return_index=True)[1]])
    found = alike(everything.measures["thumbnail"][rows])
    return Alike(rows[found.pairs], found.likeness, found.complete)


def duplicate_findings(everything: Everything, near: Alike, domains: Sequence[str] = ()) -> list[Finding]:
    """Of identical pictures and of those that look the same, within and across splits.

    Args:
        everything: the splits.
        near: what ``alike_pairs`` found in them.
        domains: the names of the labels' columns if they exclude each other; then pairs are counted by domain.
    """
    same = identical_pairs(everything)
    identical = Alike(same, np.ones(len(same), np.float32), True)
    found = _by_splits(everything, identical, "identical", domains)
    if len(near.pairs) > COMMON * len(everything.measures):
        found.append(_all_alike(everything, near.pairs))
    else:
        found += _by_splits(everything, near, "near", domains)
    if len(near.pairs):
        found.append(Finding("FACT", "near duplicates", CAVEAT, values={"correlation": ALIKE, "bits": BITS}))
    if not near.complete:
        text = f"stopped after {MOST:,} comparisons: there are more near duplicates than are listed"
        found.append(Finding("WARNING", "near duplicates", text))
    return found


def _all_alike(everything: Everything, pairs: np.ndarray) -> Finding:
    """One finding in place of lists that nobody could read."""
    splits = everything.split[pairs]
    across = int((splits[:, 0] != splits[:, 1]).sum())
    text = (
        f"{len(pairs):,} pairs of pictures look the same, {across:,} of them across splits: too many for a list. Of "
        "digits, drawings and other simple pictures that means little; of frames from videos it means that the splits "
        "leak"
    )
    values = {"kind": "near", "count": len(pairs), "across_splits": across}
    return Finding("WARNING", "near duplicates", text, values=values)


def _by_splits(everything: Everything, found: Alike, kind: str, domains: Sequence[str]) -> list[Finding]:
    """One finding for each two splits, or one split, that have pairs."""
    splits = everything.split[found.pairs]
    findings = []
    for both in np.unique(splits, axis=0):
        chosen = (splits == both).all(axis=1)
        names = [everything.scans[number].split for number in both]
        findings.append(_finding(everything, found.pairs[chosen], found.likeness[chosen], names, kind, domains))
    return findings


def _finding(
    everything: Everything,
    pairs: np.ndarray,
    likeness: np.ndarray,
    splits: Sequence[str],
    kind: str,
    domains: Sequence[str],
) -> Finding:
    leak, one = splits[0] != splits[1], len(pairs) == 1
    where = f"between {splits[0]} and {splits[1]}" if leak else f"within {splits[0]}"
    counts = _by_label(everything.labels[pairs], domains)
    by_label = f" ({', '.join(f'{name} {count:,}' for name, count in counts.items())})" if counts else ""
    text = f"{len(pairs):,} pair{'' if one else 's'} of {KINDS[kind]} {where}{by_label}"
    examples = [
        f"{everything.name(first)} {'=' if kind == 'identical' else '~'} {everything.name(second)}"
        + ("" if kind == "identical" else f"  ({value:.3f})")
        for (first, second), value in zip(pairs[:LISTED].tolist(), likeness, strict=False)
    ]
    values = {"kind": kind, "splits": list(splits), "count": len(pairs), "labels": counts}
    return Finding("WARNING", "leakage" if leak else "duplicates", text, examples, values)


def _by_label(labels: np.ndarray, domains: Sequence[str]) -> dict[str, int]:
    """How many of (M, 2, K) labels of pairs are of each domain, and how many differ; without those that are none."""
    differ = (labels[:, 0] != labels[:, 1]).any(axis=1)
    counts = {name: int(column.sum()) for name, column in zip(domains, labels[~differ, 0].T, strict=False)}
    counts["with different labels"] = int(differ.sum())
    return {name: count for name, count in counts.items() if count}
