"""Sources of action units: which of them a folder holds, and one of them read; EmotioNet's own lists are read here."""

from __future__ import annotations

import csv
import os
import re
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import numpy as np

from datamodules.labels import EMOTIONET_UNITS
from datamodules.openface import csv_files, read_pickle, read_tables
from datamodules.tables import Row, UnitTable, bare, file_name, header_of, rows_of, shown, unit_table, whole

LISTS = "dataFile_*.txt"
CODES = {"0": 0, "1": 1, "999": -1}  # of the lists: absent, present, nobody looked
UNKNOWN = "999 for one of the units"


def sources(root: Path) -> list[str]:
    """What there is, relative to root: pickles, tables and folders of them, two deep, and the lists as one pattern."""
    found = [path.name for suffix in ("pkl", "csv") for path in sorted(root.glob(f"*.{suffix}"))]
    found = [name for name in found if not name.endswith("_ids.csv")]
    if any(root.glob(LISTS)):
        found.append(LISTS)
    folders = [folder for folder in _folders(root) if folder.name != "imgs"]
    folders += [below for folder in folders for below in _folders(folder)]
    return found + sorted(str(folder.relative_to(root)) for folder in folders if any(csv_files(folder)))


def read_units(source: Path, pictures: np.ndarray, min_confidence: float) -> UnitTable:
    """Read a source, whichever it is.

    Args:
        source: a ``.pkl``, a ``.csv``, a folder of the latter, a ``.txt`` list or a pattern of such lists.
        pictures: (P,) stems of the pictures in the order of their files' names.
        min_confidence: see ``openface.read_tables``.

    Raises:
        ValueError: naming file, line and value, if something is not as the format has it.
        OSError: if a file cannot be read.
    """
    if source.suffix == ".pkl":
        return read_pickle(source)
    if source.suffix == ".txt":
        return _read_lists(source)
    if source.is_file() and "URL" in header_of(source):
        return _read_experts(source)
    return read_tables(source, pictures, min_confidence)


def _read_lists(source: Path) -> UnitTable:
    """The automatic lists: tabs, no header, two addresses, then 60 columns."""
    columns = range(2, 2 + len(EMOTIONET_UNITS))
    tabs = {"delimiter": "\t", "quoting": csv.QUOTE_NONE}
    rows = (
        row
        for path in sorted(source.parent.glob(source.name))
        for row in _listed(path, whole(path, rows_of(path, **tabs), columns.stop), 0, columns, EMOTIONET_UNITS)
    )
    return unit_table(source, EMOTIONET_UNITS, UNKNOWN, "b", rows)


def _read_experts(path: Path) -> UnitTable:
    """The experts' list as a csv file: URL, URL orig, AU 1 ..., perhaps in single quotes and blanks."""
    names = header_of(path)
    numbered = [
        (column, found[1]) for column, name in enumerate(names) if (found := re.fullmatch(r"AU *0*([0-9]+)", name))
    ]
    units = [f"AU{number}" for _, number in numbered]
    if not units or len(set(units)) < len(units) or names.count("URL") > 1:
        raise ValueError(f"{path} has the columns {shown(names)}; expected URL, URL orig, AU 1, AU 2 ..., each once")
    with path.open("rb") as file:
        quote = "'" if b"'" in file.readline() + file.readline() else '"'
    lines = rows_of(path, quotechar=quote)
    next(lines)  # the header
    clean = ((line, bare(fields)) for line, fields in whole(path, lines, len(names)))
    rows = _listed(path, clean, names.index("URL"), [column for column, _ in numbered], units)
    return unit_table(path, units, UNKNOWN, "b", rows)


def _listed(
    path: Path, lines: Iterable[Row], address: int, columns: Sequence[int], units: Sequence[str]
) -> Iterator[tuple[bytes, list[int]]]:
    for line, fields in lines:
        name = fields[address].rpartition("/")[2]
        if not name:
            raise ValueError(f"{path}, line {line}: the address {fields[address]!r} does not end in a name")
        try:
            yield file_name(name, f"{path}, line {line}"), [CODES[fields[column]] for column in columns]
        except KeyError:
            unit, value = next((u, fields[c]) for u, c in zip(units, columns, strict=True) if fields[c] not in CODES)
            raise ValueError(f"{path}, line {line}: {unit} is {value!r}, expected 0, 1, or 999 (not known)") from None


def _folders(folder: Path) -> list[Path]:
    with os.scandir(folder) as entries:
        return [Path(entry) for entry in entries if entry.is_dir() and not entry.name.startswith(".")]
