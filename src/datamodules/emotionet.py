"""EmotioNet, and any other folder of faces with action units."""

from __future__ import annotations

import codecs
import zlib
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from datamodules.action_units import read_units, sources
from datamodules.base import SPLITS, ImageDataModule, Split, announce, chosen, nearest
from datamodules.catalogue import missing
from datamodules.files import FileRecords, listed, matched, near_miss, pictures
from datamodules.labels import checked_presence
from datamodules.tables import UnitTable, file_name, packed, stem

TRAIN, VAL = 90, 5  # per cent of a split by names; the rest is test
NOWHERE = len(SPLITS)  # the number of the split of pictures in none


class EmotioNet(ImageDataModule):
    """Pictures of faces in ``root/imgs``, and one source of action units beside it.

    A source is GANimation's ``aus_openface.pkl``, tables by OpenFace (intensities from 0 to 5, which become 0 to 1), or
    EmotioNet's own lists (0 or 1, thus no ``intensities``): the automatic ``dataFile_0001.txt`` ... or the experts' as
    a csv file. A picture and its row have the same name, whatever the suffix; in tables that count frames, frame 1 is
    the first picture by name.

    A picture is used only if all the chosen units are known: in lists 999 means that nobody looked; OpenFace's values
    count as unknown where it finds no face or is not sure. What is left out is counted, never filled in.

    The lists give addresses only. Fetching the pictures is a downloader's work, and cropping the faces too; pictures
    are used as they are, their middle square scaled to ``image_size``. For the automatic lists, or the experts' with
    the addresses in the first column::

        cut -f1 dataFile_*.txt | sort -u > urls.txt
        tail -n +2 experts.csv | cut -d, -f1 | tr -d "'\\" \\r" | sort -u > urls.txt
        aria2c --input-file=urls.txt --dir=imgs --auto-file-renaming=false --continue

    The splits are those of ``train_ids.csv``, ``val_ids.csv`` and ``test_ids.csv`` (a name a line, with or without
    suffix, no header; names without picture or row are left out and counted); where val or test is missing the other
    stands in for it. Without any such file the checksum of a name decides (CRC-32 modulo 100: below 90 train, below 95
    val, else test), so that more pictures move none.

    Args:
        root: the folder that holds ``imgs``.
        units: action units in label order, as ``AU12``; None: OpenFace's 17, or those that the lists know anything of.
        units_from: the source, relative to root, where there are several: a file, a folder of OpenFace's tables, or
            ``dataFile_*.txt``.
        min_confidence: OpenFace's certainty of a face, from 0 to 1, below which its values count as unknown.
        presence: for models of 0 or 1 (StarGAN, LOMIT), units from this value in (0, 1] up count as 1 and others as 0;
            OpenFace's intensity 1 of 5 is 0.2.
        **loading: see ``ImageDataModule``.

    Raises:
        MissingDataset: if there is no folder ``imgs``, or no source of action units.
        FileNotFoundError: if there is no picture, or none that the source lists.
        ValueError: if there are several sources and none is chosen, no picture with all units known, or if a file is
            not as its format has it; it names file, line and value.
    """

    entry = "emotionet"
    one_hot = False

    def __init__(
        self,
        root: str,
        units: list[str] | None = None,
        units_from: str | None = None,
        min_confidence: float = 0.8,
        presence: float | None = None,
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        if not 0 <= min_confidence <= 1:
            raise ValueError(f"min_confidence must lie in 0..1, got {min_confidence}")
        self.presence = checked_presence(presence)
        self.root = Path(root).expanduser()
        self.imgs = self.root / "imgs"
        if not _is_root(self.root):
            raise missing("emotionet", self.root, near_miss(self.root, _is_root, "has no folder imgs"))
        files = pictures(self.imgs)
        stems = _stems(files, self.imgs)
        table = read_units(_source(self.root, units_from), stems, min_confidence)
        self.attributes = chosen(units, table.units, "action unit")
        self.intensities = presence is None and table.values.dtype.kind == "f"
        self._index(files, stems, table)

    def _index(self, files: np.ndarray, stems: np.ndarray, table: UnitTable) -> None:
        """Keep what is used, split after split: the files' names and the labels."""
        there = matched(table.names, table.names, files, stems, table.source, self.imgs)
        names, labels = table.names[there], _labels(table, there, self.attributes)
        known = np.asarray((labels >= 0).all(axis=1))
        _report(table, labels, known, self.attributes)
        split = _assigned(self.root, names)
        order = np.argsort(split, kind="stable")
        order = order[known[order] & (split[order] < NOWHERE)]
        by_stem = np.argsort(stems, kind="stable")
        self._names = files[by_stem[np.searchsorted(stems, names[order], sorter=by_stem)]]
        self._labels = labels[order] if self.presence is None else (labels[order] >= self.presence).astype(np.float32)
        ends = np.searchsorted(split[order], range(NOWHERE + 1)).tolist()
        self._rows = {name: slice(*ends) for name, ends in zip(SPLITS, pairwise(ends), strict=True)}

    def records(self, split: Split) -> FileRecords:
        """The pictures of a split in the order of their names, or those of the split that stands in for it."""
        present = [name for name, rows in self._rows.items() if rows.start < rows.stop]
        split = self.standing_in(split, present, str(self.root))
        rows = self._rows[split]
        return FileRecords(self.imgs, self._names[rows], self._labels[rows], self.image_size)

    def summary(self, labels: Tensor) -> str:
        """The share of pictures that show each action unit at all."""
        shares = (labels > 0).double().mean(0).tolist() if len(labels) else [0.0] * self.num_attributes
        parts = [f"{name} {share:.0%}" for name, share in zip(self.attributes, shares, strict=True)]
        return f"{len(labels):,} images; above 0: {', '.join(parts)}"


def _is_root(folder: Path) -> bool:
    return (folder / "imgs").is_dir()


def _source(root: Path, wanted: str | None) -> Path:
    """The one source there is, or the one that was asked for."""
    found = sources(root)
    if wanted is not None:
        path = root / wanted
        if path.exists() or any(path.parent.glob(path.name)):
            return path
        raise FileNotFoundError(f"{path} does not exist; {nearest(wanted, found)}")
    if not found:
        raise missing("emotionet", root, f"{root} has no action units, only pictures")
    if len(found) > 1:
        raise ValueError(
            f"{root} has {len(found)} sources of action units: {', '.join(found)}; "
            f"choose one with --data.init_args.units_from={found[0]}"
        )
    return root / found[0]


def _stems(files: np.ndarray, folder: Path) -> np.ndarray:
    """(P,) names without suffix, in the same order."""
    stems = packed(stem(name) for name in files)
    ordered = np.sort(stems)
    if len(repeated := ordered[1:][ordered[1:] == ordered[:-1]]):
        raise ValueError(
            f"{folder} has {len(repeated)} names with several suffixes: {listed(repeated)}; keep one of each"
        )
    return stems


def _labels(table: UnitTable, rows: np.ndarray, units: Sequence[str]) -> np.ndarray:
    columns = [table.units.index(unit) for unit in units]
    return table.values[:, columns][rows].astype(np.float32, copy=False)


def _report(table: UnitTable, labels: np.ndarray, known: np.ndarray, units: Sequence[str]) -> None:
    """Say what is known of each unit; raise if no picture is left."""
    coverage = (labels >= 0).mean(axis=0)
    if not known.any():
        everywhere = [unit for unit, share in zip(units, coverage, strict=True) if share == 1]
        shares = ", ".join(f"{unit} {share:.1%}" for unit, share in zip(units, coverage, strict=True))
        raise ValueError(
            f"{table.source}: every one of the {len(labels):,} pictures has {table.unknown}. Known: {shares}. "
            f"Known everywhere: {', '.join(everywhere) or 'none'}; choose among those with units=[...]"
        )
    if left_out := len(known) - int(known.sum()):
        announce(f"{table.source}: left out {left_out:,} of {len(known):,} pictures ({table.unknown})")
    announce(f"{table.source}: {int(known.sum()):,} pictures with {len(units)} action units, in [0, 1]")
    for unit, share, column in zip(units, coverage, labels.T, strict=True):
        used = column[known]
        announce(
            f"  {unit:5s} {used.min():.2f} to {used.max():.2f}, mean {used.mean(dtype=np.float64):.3f}, "
            f"above 0 in {(used > 0).mean():.1%}, known in {share:.1%}"
        )


def _assigned(root: Path, names: np.ndarray) -> np.ndarray:
    """(N,) the number of each picture's split, by the lists or else by its name."""
    paths = {split: root / f"{split}_ids.csv" for split in SPLITS if (root / f"{split}_ids.csv").is_file()}
    if not paths:
        hundredth = np.fromiter((zlib.crc32(name) % 100 for name in names), np.int8, len(names))
        return np.digitize(hundredth, [TRAIN, TRAIN + VAL])
    numbers = np.full(len(names), NOWHERE)
    for split, path in paths.items():
        inside = np.isin(names, ids := _ids(path))
        _report_unusable(path, ids, ids[~np.isin(ids, names)])
        if (twice := inside & (numbers < NOWHERE)).any():
            raise ValueError(f"{path}: {int(twice.sum()):,} are in another split's list too: {listed(names[twice])}")
        numbers[inside] = SPLITS.index(split)
    if len(spare := names[numbers == NOWHERE]):
        announce(f"{root}: {len(spare):,} pictures are in no split's list: {listed(spare)}")
    return numbers


def _report_unusable(path: Path, ids: np.ndarray, unusable: np.ndarray) -> None:
    """Say how many names in a split's list have no picture or no row, as many addresses are dead; raise if all."""
    if len(unusable) == len(ids):
        raise ValueError(
            f"none of the {len(ids):,} names in {path} ({listed(ids, 3)}) has both a picture and action units: the "
            "list and the pictures do not belong together"
        )
    if len(unusable):
        announce(
            f"{path}: left out {len(unusable):,} names without a picture or without action units: {listed(unusable)}"
        )


def _ids(path: Path) -> np.ndarray:
    """The names in a split's list, without suffix."""
    with path.open("rb") as file:
        lines = enumerate((line.removeprefix(codecs.BOM_UTF8).strip() for line in file), 1)
        names = packed(stem(file_name(name, f"{path}, line {line}")) for line, name in lines if name)
    if len(names) == 0:
        raise ValueError(f"{path} is empty, expected the name of a picture in each line")
    return np.unique(names)
