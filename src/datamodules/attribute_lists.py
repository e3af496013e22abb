"""CelebA's text files, which CelebA-HQ shares: attributes, and one number a picture (partition, identity)."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from datamodules.files import listed

VALUES = {b"1": 1, b"-1": 0}


@dataclass(frozen=True)
class AttributeList:
    """An attribute file in CelebA's layout: its number of rows; the names; then a file and a 1 or -1 for each name.

    Attributes:
        path: the file.
        attributes: the names of its columns.
        names: (N,) file names as bytes.
        values: (N, 40) uint8, 1 or 0.
    """

    path: Path
    attributes: tuple[str, ...]
    names: np.ndarray
    values: np.ndarray

    @classmethod
    def read(cls, path: Path) -> AttributeList:
        """Read it, row by row, some 300,000 a second.

        Raises:
            ValueError: naming the line, if the header or a row is not as described, or a picture has two rows.
        """
        with path.open("rb") as file:
            header = file.readline().split()
            attributes = tuple(name.decode(errors="replace") for name in file.readline().split())
            if len(header) != 1 or not header[0].isdigit() or not attributes or len(set(attributes)) < len(attributes):
                raise ValueError(
                    f"{path} does not begin like list_attr_celeba.txt: expected the number of rows in line 1 and the "
                    f"distinct names of the attributes in line 2, found {b' '.join(header)[:60]!r} and {attributes[:3]}"
                )
            names, cells = _columns(
                rows_of(file, path, len(attributes) + 1, 3), lambda row: _bits(row, path, attributes)
            )
        if len(names) == 0:
            raise ValueError(f"{path} has no row, only a header")
        if len(names) != int(header[0]):
            raise ValueError(f"{path} announces {int(header[0]):,} rows, but has {len(names):,}: is it cut short?")
        check_distinct(names, path)
        return cls(path, attributes, names, np.frombuffer(cells, np.uint8).reshape(len(names), -1))

    def labels(self, attributes: Sequence[str]) -> np.ndarray:
        """(N, K) float32 of the chosen columns, in the order asked for."""
        return self.values[:, [self.attributes.index(name) for name in attributes]].astype(np.float32)

    def any_of(self, attributes: Sequence[str]) -> np.ndarray:
        """(N,) booleans: whether one of these is on; a ValueError if the list lacks one of them."""
        if lacking := [name for name in attributes if name not in self.attributes]:
            raise ValueError(f"{self.path} has no column {', '.join(lacking)}")
        return np.asarray(self.labels(attributes).any(axis=1))


def numbers(path: Path, names: np.ndarray, most: int | None) -> np.ndarray:
    """(N,) the number that a list of ``name number`` gives for each name.

    Raises:
        ValueError: if a row is not like that, a number is above ``most``, or a name is missing or there twice.
    """

    def number(row: tuple[int, list[bytes]]) -> bytes:
        line, (_, cell) = row
        if not cell.isdigit() or len(cell) > 18 or (most is not None and int(cell) > most):
            expected = "a number" if most is None else f"a number from 0 to {most}"
            raise ValueError(f"{path}, line {line}: expected {expected}, found {cell!r}")
        return int(cell).to_bytes(8, "little")

    with path.open("rb") as file:
        known, cells = _columns(rows_of(file, path, 2, 1), number)
    numbers = np.frombuffer(cells, "<i8")
    check_distinct(known, path)
    if not np.array_equal(known, names):
        order = np.argsort(known)
        place = np.minimum(np.searchsorted(known, names, sorter=order), max(len(known) - 1, 0))
        unknown = names if len(known) == 0 else names[known[order[place]] != names]
        if len(unknown):
            raise ValueError(f"{path} has no row for {len(unknown):,} pictures of the attributes: {listed(unknown)}")
        numbers = numbers[order[place]]
    return numbers


def file_numbers(names: np.ndarray, where: Path) -> np.ndarray:
    """(N,) the numbers that files are named by, whatever their folder, suffix and leading zeros."""
    stems = [name.rpartition(b"/")[2].partition(b".")[0] for name in names.tolist()]
    if bad := [name for name, stem in zip(names.tolist(), stems, strict=True) if not stem.isdigit() or len(stem) > 18]:
        raise ValueError(f"{where}: pictures must be named by their number, as 000001.jpg; found {listed(bad, 3)}")
    return np.array(stems, dtype=np.bytes_).astype(np.int64)


def check_distinct(names: np.ndarray, where: Path) -> None:
    """Raise a ValueError that names the first ten of (N,) names or numbers that are there more than once."""
    values, counts = np.unique(names, return_counts=True)
    if len(values) < len(names):
        twice = ", ".join(values[counts > 1][:10].astype(str))
        raise ValueError(f"{where}: {(counts > 1).sum():,} pictures are there more than once: {twice}")


def rows_of(file: Iterable[bytes], path: Path, width: int, first: int) -> Iterator[tuple[int, list[bytes]]]:
    """The cells of each line and its number, from the present place of a file on; empty lines are passed over."""
    for number, line in enumerate(file, first):
        row = line.split()
        if len(row) == width:
            yield number, row
        elif row:
            raise ValueError(f"{path}, line {number}: expected {width} cells, found {len(row)}: {line[:60]!r}")


def _columns(
    rows: Iterator[tuple[int, list[bytes]]], cells: Callable[[tuple[int, list[bytes]]], bytes]
) -> tuple[np.ndarray, bytearray]:
    """The first cell of every row as an array, and what ``cells`` makes of each row, one after the other."""
    blocks, names, values = [np.empty(0, "S1")], [], bytearray()
    for row in rows:
        names.append(row[1][0])
        values += cells(row)
        if len(names) == 1 << 14:
            blocks.append(np.array(names))
            names = []
    return np.concatenate([*blocks, np.array(names, dtype=np.bytes_)]), values


def _bits(row: tuple[int, list[bytes]], path: Path, attributes: Sequence[str]) -> bytes:
    number, cells = row
    try:
        return bytes([VALUES[cell] for cell in cells[1:]])
    except KeyError as error:
        name = next(name for name, cell in zip(attributes, cells[1:], strict=True) if cell == error.args[0])
        raise ValueError(f"{path}, line {number}: {name} must be 1 or -1, found {error.args[0]!r}") from error
