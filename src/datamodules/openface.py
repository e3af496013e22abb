"""Action units by OpenFace: its tables, and GANimation's pickle of them."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np

from datamodules.base import announce
from datamodules.labels import OPENFACE_UNITS
from datamodules.pickled import pickled_vectors
from datamodules.tables import Row, UnitTable, file_name, header_of, rows_of, shown, unit_table, whole

STRONGEST = 5.0  # of its intensities
COLUMNS = tuple(f"AU{int(unit[2:]):02d}_r" for unit in OPENFACE_UNITS)
OTHERS = ("image", "frame", "face", "face_id", "confidence", "success")
Picture = tuple[bytes, list[float]]  # name, value of each unit
NOBODY = [-1.0] * len(COLUMNS)


def read_pickle(path: Path) -> UnitTable:
    """GANimation's ``aus_openface.pkl``: a dict from names to 17 intensities.

    Raises:
        ValueError: naming the file and the key, if it is not that; see ``pickled``.
    """
    return unit_table(path, OPENFACE_UNITS, "no known intensity", "f", _pickled(path))


def _pickled(path: Path) -> Iterator[Picture]:
    for name, values in pickled_vectors(path):
        where = f"{path}, key {os.fsdecode(name)!r}"
        if len(values) != len(COLUMNS):
            raise ValueError(f"{where}: {len(values)} values, expected {len(COLUMNS)}")
        yield name, _shares(values, where)


def read_tables(source: Path, pictures: np.ndarray, min_confidence: float) -> UnitTable:
    """Tables of FeatureExtraction (a row a frame), of FaceLandmarkImg (a file a picture), or with a column ``image``.

    Of several faces the most confident one counts. Nothing is known of a picture without a face or success, or whose
    confidence is too low.

    Args:
        source: a csv file, or a folder of them.
        pictures: (P,) stems of the pictures in the order of their files' names, as FeatureExtraction counts frames.
        min_confidence: the least that is enough.

    Raises:
        ValueError: naming file, line and value, if something is not as it should be.
    """
    reader = _Tables(pictures, min_confidence)
    rows = (row for path in csv_files(source) for row in reader.read(path))
    low = f"no face, no success, or a confidence below min_confidence={min_confidence:g}"
    table = unit_table(source, OPENFACE_UNITS, low, "f", rows)
    if reader.counts_frames and len(table.names) != len(pictures):
        raise ValueError(
            f"{source} has {len(table.names):,} frames, but there are {len(pictures):,} pictures: frame 1 is the first "
            "by name, and so on, so they must be as many; or add a column image with their names"
        )
    if reader.crowds:
        announce(f"{source}: {reader.crowds:,} pictures show several faces; of each the most confident one counts")
    return table


@dataclass(frozen=True)
class _Columns:
    """Where things are in a table; None where they are not."""

    width: int
    image: int | None
    frame: int | None
    face: int | None
    confidence: int | None
    success: int | None
    units: tuple[int, ...]

    @classmethod
    def of(cls, path: Path) -> _Columns:
        names = header_of(path)
        at = {name: column for column, name in enumerate(names)}
        lacks = [name for name in COLUMNS if name not in at]
        if lacks or not at.keys() & {"image", "frame", "face"}:
            raise ValueError(
                f"{path} has the columns {shown(names)}, and lacks {shown(lacks) or 'image, frame or face'}; expected "
                "a table of OpenFace, or EmotioNet's URL, URL orig, AU 1 ..."
            )
        if repeated := [name for name in (*OTHERS, *COLUMNS) if names.count(name) > 1]:
            raise ValueError(f"{path} has more than one column of {shown(repeated)}; keep one of each")
        face = at.get("face_id", at.get("face"))
        others = (at.get("image"), at.get("frame"), face, at.get("confidence"), at.get("success"))
        return cls(len(names), *others, tuple(at[name] for name in COLUMNS))


class _Tables:
    """Reads one file after another, and remembers what is to be said at the end."""

    def __init__(self, pictures: np.ndarray, min_confidence: float) -> None:
        self.pictures, self.min_confidence = pictures, min_confidence
        self.crowds, self.counts_frames = 0, False

    def read(self, path: Path) -> Iterator[Picture]:
        columns, rows = _Columns.of(path), rows_of(path)
        next(rows)  # the header
        faces = whole(path, rows, columns.width)
        key = columns.frame if columns.image is None else columns.image
        if key is None:
            yield self._picture(path, columns, os.fsencode(path.stem), list(faces))
            return
        self.counts_frames |= columns.image is None
        for text, group in groupby(faces, lambda row: row[1][key].strip()):
            found = list(group)
            where = f"{path}, line {found[0][0]}"
            name = file_name(text, where) if columns.image is not None else self._framed(text, where)
            yield self._picture(path, columns, name, found)

    def _framed(self, text: str, where: str) -> bytes:
        frame = float(text) if text.isdecimal() else 0.0  # Python refuses to make thousands of digits an int
        if not 1 <= frame <= len(self.pictures):
            raise ValueError(
                f"{where}: frame {shown([text])}, but frames count the {len(self.pictures):,} pictures from 1"
            )
        return bytes(self.pictures[int(frame) - 1])

    def _picture(self, path: Path, columns: _Columns, name: bytes, faces: list[Row]) -> Picture:
        if len(faces) > 1:
            numbers = {fields[columns.face].strip() for _, fields in faces} if columns.face is not None else ()
            if len(numbers) < len(faces):
                raise ValueError(f"{path}, line {faces[1][0]}: {os.fsdecode(name)!r} is there more than once")
            self.crowds += 1
        confidences = [_confidence(path, columns, face) for face in faces]
        best = max(confidences, default=-1.0)
        if best < self.min_confidence:
            return name, NOBODY  # what stands there means nothing, and is not looked at
        line, fields = faces[confidences.index(best)]
        values = [_number(path, line, fields[column]) for column in columns.units]
        return name, _shares(values, f"{path}, line {line}")


def _confidence(path: Path, columns: _Columns, face: Row) -> float:
    line, fields = face
    if columns.success is not None and _number(path, line, fields[columns.success]) != 1:
        return -1.0
    value = 1.0 if columns.confidence is None else _number(path, line, fields[columns.confidence])
    if not 0 <= value <= 1:
        raise ValueError(f"{path}, line {line}: the confidence is {value:g}, expected 0 to 1")
    return value


def _shares(values: Sequence[float], where: str) -> list[float]:
    """Intensities as shares of the strongest, if that is what they are."""
    for unit, value in zip(OPENFACE_UNITS, values, strict=True):
        if not 0 <= value <= STRONGEST:
            raise ValueError(f"{where}: {unit} is {value:g}, expected an intensity from 0 to 5")
    return [value / STRONGEST for value in values]


def _number(path: Path, line: int, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{path}, line {line}: {text!r} is not a number") from None


def csv_files(source: Path) -> Iterator[Path]:
    """The csv files of a folder, in no order and never all at once, or the file itself."""
    if not source.is_dir():
        yield source
        return
    with os.scandir(source) as entries:
        yield from (Path(entry) for entry in entries if entry.name.endswith(".csv") and not entry.name.startswith("."))
