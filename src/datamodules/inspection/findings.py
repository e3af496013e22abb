"""What a finding is, and those about the pictures of one split: how many, of what kind, unreadable, blank."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np

from datamodules.inspection.scan import Scan

Level = Literal["ERROR", "WARNING", "FACT"]
BLANK = 2.0  # of 255: largest standard deviation of a channel in a picture of nearly one colour
SHOWN = 10  # examples in the text
LISTED = 10_000  # examples in the report for programs


@dataclass(frozen=True)
class Finding:
    """One thing that was found.

    Attributes:
        level: ERROR, training cannot start or would be wrong; WARNING, somebody should look; FACT.
        topic: one word or two, the same for the same kind of finding.
        text: a sentence.
        examples: what it was found in; of an error or warning the text report shows the first ten.
        values: the same in numbers, for programs.
    """

    level: Level
    topic: str
    text: str
    examples: Sequence[str] = ()
    values: Mapping[str, Any] = field(default_factory=dict)

    def lines(self) -> list[str]:
        """For people."""
        shown = list(self.examples)
        if self.level != "FACT" and len(shown) > SHOWN:
            shown[SHOWN:] = ["... (more in report.json)"]
        return [f"{self.topic}: {self.text}", *(f"    {printable(line)}" for line in shown)]

    def document(self) -> dict[str, Any]:
        """For programs."""
        about = {"level": self.level, "topic": self.topic, "text": self.text}
        return {**about, "examples": list(self.examples[:LISTED]), **self.values}


def picture_findings(scan: Scan, image_size: int) -> list[Finding]:
    """Of one split: unreadable and blank pictures, sizes, colour modes and formats of the files, brightness."""
    if not len(scan.measures):
        return [Finding("ERROR", "no pictures", f"{scan.split} is empty")]
    readable = scan.measures[scan.measures["readable"]]
    return [*_unreadable(scan), *_blank(scan), *_files(scan.split, readable, image_size), *_light(scan.split, readable)]


def blank(measures: np.ndarray) -> np.ndarray:
    """(N,) booleans: readable, but nearly one colour."""
    return measures["readable"] & (measures["contrast"] < BLANK)


def printable(name: str) -> str:
    """A name on one line that any file can hold: what cannot be printed is escaped, as Python writes it."""
    return "".join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in name)


def of(count: int, total: int) -> str:
    """A count among a total, in words."""
    return f"{count:,} of {total:,} ({count / total:.1%})"


def _unreadable(scan: Scan) -> list[Finding]:
    if not scan.reasons:
        return []
    text = f"{scan.split}: {of(len(scan.reasons), len(scan.measures))} cannot be read; replace or remove them"
    reasons = [reason for _, reason in sorted(scan.reasons.items())]
    return [Finding("ERROR", "corrupt pictures", text, reasons, {"split": scan.split, "count": len(reasons)})]


def _blank(scan: Scan) -> list[Finding]:
    rows = np.flatnonzero(blank(scan.measures)).tolist()
    if not rows:
        return []
    text = (
        f"{scan.split}: {of(len(rows), len(scan.measures))} are nearly one colour (no channel's standard deviation "
        f"reaches {BLANK:g} of 255)"
    )
    names = [scan.name(row) for row in rows]
    values = {"split": scan.split, "count": len(rows), "threshold": BLANK}
    return [Finding("WARNING", "blank pictures", text, names, values)]


def _files(split: str, measures: np.ndarray, image_size: int) -> list[Finding]:
    files = measures[measures["width"] > 0]
    if not len(files):
        return [Finding("FACT", "files", f"{split}: the pictures are not files; they are read at {image_size} px")]
    sizes = Counter(zip(files["width"].tolist(), files["height"].tolist(), strict=True))
    counts = {f"{width}x{height}": count for (width, height), count in sizes.most_common()}
    least, most = (f"{one(files['width'])}x{one(files['height'])}" for one in (np.min, np.max))
    small = int((np.minimum(files["width"], files["height"]) < image_size).sum())
    spread = f"{least} to {most}, {len(counts):,} sizes, most often " if len(counts) > 1 else ""
    enlarged = f"; {of(small, len(files))} are smaller than image_size={image_size} and get enlarged" if small else ""
    kinds = {column: _counted(files[column]) for column in ("mode", "format")}
    size_values = {"split": split, "least": least, "most": most, "counts": dict(list(counts.items())[:LISTED])}
    return [
        Finding("FACT", "sizes", f"{split}: {spread}{_words(counts)}{enlarged}", values=size_values),
        Finding("FACT", "colour modes", f"{split}: {_words(kinds['mode'])}", values={"split": split, **kinds}),
        Finding("FACT", "file formats", f"{split}: {_words(kinds['format'])}", values={"split": split, **kinds}),
    ]


def _light(split: str, measures: np.ndarray) -> list[Finding]:
    if not len(measures):
        return []
    brightness, contrast = float(measures["brightness"].mean()), float(np.median(measures["contrast"]))
    text = f"{split}: mean brightness {brightness:.0f} of 255, median contrast (standard deviation) {contrast:.0f}"
    return [Finding("FACT", "light", text, values={"split": split, "brightness": brightness, "contrast": contrast})]


def _counted(names: np.ndarray) -> dict[str, int]:
    kinds, counts = np.unique(names, return_counts=True)
    found = {kind.decode(): int(count) for kind, count in zip(kinds, counts, strict=True)}
    return dict(sorted(found.items(), key=lambda item: -item[1]))


def _words(counts: Mapping[str, int], most: int = 4) -> str:
    shown = [f"{name} ({count:,})" for name, count in list(counts.items())[:most]]
    return ", ".join([*shown, "..."] if len(counts) > most else shown)
