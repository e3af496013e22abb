"""Findings about labels alone: values that cannot be, attributes that contradict or repeat each other, imbalance."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations, islice

import numpy as np
from numpy.typing import ArrayLike

from datamodules.base import ImageDataModule
from datamodules.inspection.findings import LISTED, Finding, Level, of
from datamodules.inspection.scan import Scan
from datamodules.joint import JointData, JointRecords
from datamodules.samples import Samples

IMBALANCE = 10.0  # to 1
RARE = 0.01  # an attribute that fewer pictures than this share have, or lack, can hardly be learned
CORRELATED = 0.9
STRONGEST = 5  # correlations that are always told


def label_findings(data: ImageDataModule, scan: Scan) -> list[Finding]:
    """What is wrong with a split's labels; for the training split also what cannot be learned from them."""
    if not len(scan.records):
        return []
    found = _startable(data, scan)
    for own, part in _datasets(data, scan):
        found += [*_sums(own, part), *_values(own, part), *_contradictions(own, part)]
        if scan.split == "train":
            labels = part.records.labels
            found += [*_constant(own, labels), *_imbalance(own, labels, data.balance), *_correlations(own, labels)]
    return found


def graded(labels: np.ndarray) -> np.ndarray:
    """(K,) booleans: columns with values other than 0 and 1, which are intensities of action units."""
    return ((labels != 0) & (labels != 1)).any(axis=0)


def _sums(data: ImageDataModule, scan: Scan) -> list[Finding]:
    """How often each attribute is on; of action units how strong."""
    labels = scan.records.labels
    units, lines, values = graded(labels), list[str](), dict[str, dict[str, float]]()
    for name, unit, column in zip(data.attributes, units, labels.T, strict=True):
        if unit and np.isfinite(column).all():
            figures = {"min": column.min(), "mean": column.mean(), "max": column.max(), "above 0": (column > 0).mean()}
            values[name] = {key: float(figure) for key, figure in figures.items()}
            lines.append(f"{name:<20} " + "  ".join(f"{key} {figure:.3f}" for key, figure in values[name].items()))
        else:
            values[name] = {"on": int((column > 0).sum())}
            lines.append(f"{name:<20} {of(int((column > 0).sum()), len(labels))}")
    numbers = {"split": scan.split, "count": len(labels), "attributes": values}
    return [Finding("FACT", "counts", f"{scan.split}: {len(labels):,} pictures", lines, numbers)]


def _values(data: ImageDataModule, scan: Scan) -> list[Finding]:
    labels = scan.records.labels
    outside = np.logical_not((labels >= 0) & (labels <= 1)).any(axis=1)  # NaN, too
    found = _rows(data, scan, "ERROR", outside, "have a value outside [0, 1], or one that is no number (nan)")
    if data.one_hot:
        wrong = ~np.isclose(labels.sum(axis=1), 1) & ~outside
        found += _rows(data, scan, "ERROR", wrong, "have not exactly one domain, which one_hot promises")
    return found


def _contradictions(data: ImageDataModule, scan: Scan) -> list[Finding]:
    if data.one_hot:
        return []
    on, found = scan.records.labels >= 0.5, []
    for group in data.exclusive:
        several = on[:, [data.attributes.index(name) for name in group]].sum(axis=1) > 1
        found += _rows(data, scan, "WARNING", several, f"have more than one of {', '.join(group)}")
    for pair in data.conflicts:
        both = on[:, [data.attributes.index(name) for name in pair]].all(axis=1)
        found += _rows(data, scan, "WARNING", both, f"have both {' and '.join(pair)}, which exclude each other")
    return found


def _rows(data: ImageDataModule, scan: Scan, level: Level, bad: ArrayLike, what: str) -> list[Finding]:
    """A finding that names rows and what is on in them; none if there is no such row."""
    rows, labels = np.flatnonzero(bad).tolist(), scan.records.labels
    if not rows:
        return []
    said = [
        ", ".join(f"{name} {value:g}" for name, value in zip(data.attributes, labels[row], strict=True) if value)
        for row in rows[:LISTED]
    ]
    examples = [f"{scan.name(row)} ({words or 'all 0'})" for row, words in zip(rows, said, strict=False)]
    text = f"{scan.split}: {of(len(rows), len(labels))} {what}"
    return [Finding(level, "labels", text, examples, {"split": scan.split, "count": len(rows)})]


def _datasets(data: ImageDataModule, scan: Scan) -> Iterator[tuple[ImageDataModule, Scan]]:
    """The dataset and its rows; of joint data each dataset that has rows, without the others' columns and the mask."""
    if not (isinstance(data, JointData) and isinstance(scan.records, JointRecords)):
        yield data, scan
        return
    names = data.attributes[-len(data.datasets) :]
    for own, name, first, part in zip(data.datasets, names, scan.records.starts, scan.records.parts, strict=False):
        if len(part):
            yield own, Scan(f"{scan.split} of {name}", part, scan.measures[first : first + len(part)], {})


def _startable(data: ImageDataModule, scan: Scan) -> list[Finding]:
    """Ask as the loaders do: in training for the first batch (of each dataset, if joint), else for all rows."""
    samples = Samples(scan.records)
    try:
        if scan.split == "train":
            list(islice(data._training_keys(samples), max(1, len(data.parts))))
        else:
            data._held_out_keys(samples)
    except ValueError as error:
        return [Finding("ERROR", "batches", f"{scan.split}: {error}")]
    return []


def _constant(data: ImageDataModule, labels: np.ndarray) -> list[Finding]:
    if (labels == labels[0]).all():
        same = ", ".join(f"{name} {value:g}" for name, value in zip(data.attributes, labels[0], strict=True))
        text = f"every training picture has the same label ({same}): there is nothing to learn from it"
        return [Finding("ERROR", "constant attribute", text, values={"attributes": list(data.attributes)})]
    found = []
    for name, column in zip(data.attributes, labels.T, strict=True):
        share = float((column > 0).mean())
        if column.min() == column.max():
            text = f"{name} is {column.min():g} in every training picture"
        elif not data.one_hot and not RARE <= share <= 1 - RARE and not graded(column[:, None])[0]:
            text = f"{name} is on in {share:.2%} of the training pictures: nearly constant"
        else:
            continue
        found.append(Finding("WARNING", "constant attribute", text, values={"attribute": name, "share": share}))
    return found


def _imbalance(data: ImageDataModule, labels: np.ndarray, balance: bool) -> list[Finding]:
    """Domains against each other; of other attributes, on against off."""
    counts = (labels >= 0.5).sum(axis=0)
    if data.one_hot:
        most, least = int(counts.argmax()), int(counts.argmin())
        ratios = {f"{data.attributes[most]} to {data.attributes[least]}": (int(counts[most]), int(counts[least]))}
    else:
        ratios = {
            f"{name} {'off to on' if 2 * count < len(labels) else 'on to off'}": (
                max(count, len(labels) - count),
                min(count, len(labels) - count),
            )
            for name, count, unit in zip(data.attributes, counts.tolist(), graded(labels), strict=True)
            if not unit
        }
    uneven = {name: most / least for name, (most, least) in ratios.items() if 0 < IMBALANCE * least < most}
    if not uneven:
        return []
    examples = [f"{name}: {ratio:,.1f} to 1" for name, ratio in sorted(uneven.items(), key=lambda item: -item[1])]
    remedy = "" if balance else "; balance: true draws every label equally often"
    text = f"more than {IMBALANCE:g} to 1 in training{remedy}"
    return [Finding("WARNING", "imbalance", text, examples, {"ratios": uneven})]


def _correlations(data: ImageDataModule, labels: np.ndarray) -> list[Finding]:
    """Pearson's, which of two columns of 0 and 1 is phi; not of members of a group, which exclude each other."""
    varied = np.flatnonzero((labels != labels[0]).any(axis=0))
    if len(varied) < 2 or not np.isfinite(labels).all():
        return []
    table = np.corrcoef(labels[:, varied], rowvar=False)
    groups = [set(group) for group in (data.exclusive or ())] + ([set(data.attributes)] if data.one_hot else [])
    pairs = [
        (float(table[one, other]), data.attributes[varied[one]], data.attributes[varied[other]])
        for one, other in combinations(range(len(varied)), 2)
    ]
    free = [pair for pair in pairs if not any(group.issuperset(pair[1:]) for group in groups)]
    ordered = sorted(free, key=lambda pair: -abs(pair[0]))
    told = [f"{value:+.3f} {one}, {other}" for value, one, other in ordered]
    strong = sum(abs(value) > CORRELATED for value, *_ in ordered)
    found = []
    if strong:
        text = f"{strong} pairs of attributes are nearly one (beyond {CORRELATED}): a model cannot tell them apart"
        found.append(Finding("WARNING", "correlation", text, told[:strong], {"count": strong}))
    if ordered:
        text = f"the strongest of {len(ordered)} pairs of attributes in training"
        found.append(Finding("FACT", "correlation", text, told[:STRONGEST], {"pairs": ordered}))
    return found
