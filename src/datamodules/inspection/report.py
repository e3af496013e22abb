"""The whole inspection of a dataset, and the folder it is written to."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from time import perf_counter
from typing import get_args

import numpy as np

from datamodules.base import SPLITS, ImageDataModule
from datamodules.files import FileRecords
from datamodules.inspection import sheets
from datamodules.inspection.duplicate_findings import Everything, alike_pairs, duplicate_findings
from datamodules.inspection.findings import Finding, Level, picture_findings
from datamodules.inspection.label_findings import label_findings
from datamodules.inspection.scan import Scan, scan
from datamodules.records import Records

WRITTEN = ("sheet-*.png", "near-duplicates.png", "labels.png", "report.txt", "report.json")
LEVELS: tuple[Level, ...] = get_args(Level)
TITLES = {
    "ERROR": "ERRORS: training cannot start, or would be wrong",
    "WARNING": "WARNINGS: training can start, but look at these",
    "FACT": "FACTS",
}


@dataclass(frozen=True)
class Report:
    """What was found in a dataset.

    Attributes:
        title: what was inspected.
        findings: in any order.
    """

    title: str
    findings: Sequence[Finding]

    @property
    def trainable(self) -> bool:
        """Whether there is no error."""
        return all(finding.level != "ERROR" for finding in self.findings)

    def ordered(self) -> list[Finding]:
        """The errors first, then the warnings, then the facts; of these the same topic together."""
        topics = list(dict.fromkeys(finding.topic for finding in self.findings))
        return sorted(self.findings, key=lambda one: (LEVELS.index(one.level), topics.index(one.topic)))

    def text(self) -> str:
        """For people."""
        lines = [self.title]
        for level, findings in groupby(self.ordered(), key=lambda one: one.level):
            lines += ["", TITLES[level], *(f"  {line}" for finding in findings for line in finding.lines())]
        errors, warnings = (sum(one.level == level for one in self.findings) for level in LEVELS[:2])
        ending = f"training can{'' if self.trainable else 'not'} start: {errors} errors, {warnings} warnings"
        return _encodable("\n".join([*lines, "", ending]) + "\n")

    def save(self, folder: Path) -> None:
        """Write ``report.txt`` and ``report.json``, the same for programs."""
        folder.mkdir(parents=True, exist_ok=True)
        document = {
            "title": self.title,
            "trainable": self.trainable,
            "findings": [finding.document() for finding in self.ordered()],
        }
        words, numbers = self.text(), _encodable(json.dumps(document, indent=1, ensure_ascii=False) + "\n")
        (folder / "report.txt").write_text(words, "utf-8")
        (folder / "report.json").write_text(numbers, "utf-8")


def clear(folder: Path) -> None:
    """Remove what an earlier inspection wrote; a folder without a report is somebody else's, and stays as it is."""
    if (folder / "report.json").is_file():
        for pattern in WRITTEN:  # the report last: if this is interrupted, the next inspection goes on with it
            for file in folder.glob(pattern):
                file.unlink()


def inspect(data: ImageDataModule, folder: Path, processes: int | None = None) -> list[Finding]:
    """Scan every split of a dataset and draw its sheets; nothing is cached.

    Args:
        data: the dataset.
        folder: where the sheets go.
        processes: that read pictures; None is one for each core.
    """
    began = perf_counter()
    splits, findings = _splits(data)
    scans = [scan(split, records, processes) for split, records in splits.items()]
    count, seconds = sum(len(one.measures) for one in scans), perf_counter() - began
    for one in scans:
        findings += label_findings(data, one) + picture_findings(one, data.image_size)
    if count:
        everything = Everything(scans)
        near = alike_pairs(everything)
        findings += duplicate_findings(everything, near, data.attributes if data.one_hot else ())
        findings += _draw(data, everything, near.pairs, folder)
    words = f"{count:,} pictures read in {seconds:.1f} s, {count / seconds:,.0f} per second"
    return [*findings, Finding("FACT", "speed", words, values={"count": count, "seconds": seconds})]


def loading(said: str) -> list[Finding]:
    """What a dataset printed while it was opened, each line once: what it left out, or put in another's place."""
    return [Finding("FACT", "loading", line) for line in dict.fromkeys(said.splitlines())]


def _encodable(text: str) -> str:
    """The bytes of a name that is no UTF-8 as ``\\udcXX``: in JSON that gives Python the name back."""
    return text.encode("utf-8", "backslashreplace").decode()


def _splits(data: ImageDataModule) -> tuple[dict[str, Records], list[Finding]]:
    """The splits that can be listed, and what listing them said.

    Where val and test are the same pictures, one standing in for the other, they are one split of both names.
    """
    splits, findings, said = dict[str, Records](), list[Finding](), io.StringIO()
    for split in SPLITS:
        try:
            with redirect_stdout(said):
                records = data.records(split)
        except (ValueError, OSError) as error:
            findings.append(Finding("ERROR", "cannot be opened", f"{split}: {error}"))
            continue
        if twin := next((known for known in splits if known != "train" and _same(splits[known], records)), None):
            splits[f"{twin}/{split}"] = splits.pop(twin)
        else:
            splits[split] = records
    return splits, [*findings, *loading(said.getvalue())]


def _same(one: Records, other: Records) -> bool:
    """Whether two splits are the same pictures; files by their names, as a fingerprint asks for each one's times."""
    if isinstance(one, FileRecords) and isinstance(other, FileRecords):
        return one.folder == other.folder and np.array_equal(one.names, other.names)
    return one.fingerprint() == other.fingerprint()


def _draw(data: ImageDataModule, everything: Everything, pairs: np.ndarray, folder: Path) -> list[Finding]:
    folder.mkdir(parents=True, exist_ok=True)
    scans: Sequence[Scan] = everything.scans
    names = sheets.contact_sheets(data.attributes, scans[0], folder)
    names.append(sheets.histogram(data.attributes, scans, folder))
    if len(pairs):
        names.append(sheets.pair_sheet(everything, pairs, folder))
    return [Finding("FACT", "sheets", f"{folder}/: {', '.join(names)}")]
