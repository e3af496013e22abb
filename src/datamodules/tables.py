"""Rows of text read into arrays: names and numbers of a million pictures, without a Python object for each."""

from __future__ import annotations

import csv
import os
from array import array
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from datamodules.files import BLOCK, BYTE_SUFFIXES, listed

LONGEST = 255  # bytes in a file's name; an array of names takes for each as much as for its longest
Row = tuple[int, list[str]]  # line number, fields


@dataclass(frozen=True)
class UnitTable:
    """What a source says of action units.

    Attributes:
        source: the file or folder, or the pattern of several files.
        units: U names.
        names: (N,) names of pictures as bytes, without suffix; sorted, each once.
        values: (N, U) in [0, 1], or below 0 where it is not known; float32, or int8 where they are 0 or 1.
        unknown: when it is not known, in words.
    """

    source: Path
    units: tuple[str, ...]
    names: np.ndarray
    values: np.ndarray
    unknown: str


def unit_table(
    source: Path, units: Sequence[str], unknown: str, kind: str, rows: Iterable[tuple[bytes, Sequence[float]]]
) -> UnitTable:
    """All rows of a source, sorted; a unit of which no value is known drops out, unless that goes for all.

    Args:
        source: see ``UnitTable``, as for ``units`` and ``unknown``.
        kind: what ``array.array`` calls the type of a value: "f" or "b".
        rows: a picture's name, with or without suffix, and the value of each unit.

    Raises:
        ValueError: if there is no row, no known value, or a name appears twice.
    """
    gathered = array(kind)

    def names_alone() -> Iterator[bytes]:
        for name, values in rows:
            gathered.extend(values)  # type: ignore[arg-type]  # typeshed takes any kind for integers
            yield stem(name)

    names = packed(names_alone())
    if len(names) == 0:
        raise ValueError(f"{source} has no row")
    values = np.frombuffer(gathered, np.dtype(kind)).reshape(len(names), len(units))
    known = [column for column in range(len(units)) if (values[:, column] >= 0).any()]
    if not known:
        raise ValueError(f"{source}: {unknown}, in all of its {len(names):,} rows")
    order = np.argsort(names, kind="stable")
    names = names[order]
    if len(repeated := np.unique(names[1:][names[1:] == names[:-1]])):
        raise ValueError(f"{source} lists {len(repeated):,} pictures more than once: {listed(repeated)}")
    return UnitTable(source, tuple(units[column] for column in known), names, values[:, known][order], unknown)


def packed(names: Iterable[bytes]) -> np.ndarray:
    """(N,) bytes, each as long as the longest (see ``file_name``); a block of names at a time are Python objects."""
    blocks, left = [np.empty(0, "S1")], iter(names)
    while block := list(islice(left, BLOCK)):
        blocks.append(np.array(block, dtype=np.bytes_))
    return np.concatenate(blocks)


def file_name(text: str | bytes, where: str) -> bytes:
    """A name that a source gives, as the file system has it.

    Raises:
        ValueError: if no file can have that name, naming ``where`` it stands.
    """
    try:
        name = os.fsencode(text)
    except UnicodeEncodeError as error:
        raise ValueError(f"{where}: {_begins(text)} has letters that no file's name has; remove it") from error
    if len(name) > LONGEST:
        raise ValueError(
            f"{where}: {_begins(text)} has {len(name):,} bytes, and a file's name at most {LONGEST}; remove it"
        )
    return name


def _begins(text: str | bytes) -> str:
    return f"the name that begins with {shown([os.fsdecode(text)])}"


def stem(name: bytes) -> bytes:
    """A picture's name without its suffix, if it has one."""
    return name.rpartition(b".")[0] if name.lower().endswith(BYTE_SUFFIXES) else name


def rows_of(path: Path, **dialect: Any) -> Iterator[Row]:
    """The lines that are not blank, by number; bytes that are no UTF-8 survive ``os.fsencode``.

    Raises:
        ValueError: if Python's csv module cannot go on, naming the line.
    """
    with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
        reader = csv.reader(file, skipinitialspace=True, **dialect)
        try:
            yield from ((reader.line_num, fields) for fields in reader if fields)
        except csv.Error as error:
            raise ValueError(f"{path}, line {reader.line_num}: {error}") from error


def header_of(path: Path) -> list[str]:
    """The names in a table's first line, without blanks and quotes.

    Raises:
        ValueError: if there is no line.
    """
    for _, fields in rows_of(path):
        return bare(fields)
    raise ValueError(f"{path} is empty, expected a table that begins with a header")


def whole(path: Path, rows: Iterable[Row], width: int) -> Iterator[Row]:
    """The same rows; raises ValueError, naming the line, at one that has not ``width`` fields."""
    for line, fields in rows:
        if len(fields) != width:
            raise ValueError(f"{path}, line {line}: {len(fields)} columns, expected {width}")
        yield line, fields


def bare(fields: Iterable[str]) -> list[str]:
    """Fields without blanks and quotes around them."""
    return [field.strip(" '\"") for field in fields]


def shown(names: Sequence[str], most: int = 6) -> str:
    """The first names, cut short and printable whatever is in them, and dots if there are more."""
    return ", ".join(repr(name[:30]) for name in names[:most]) + (" ..." if len(names) > most else "")
