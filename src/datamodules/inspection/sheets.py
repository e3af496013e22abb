"""Pictures of a dataset: a contact sheet for each attribute, look-alikes side by side, how often each label occurs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, ImageDraw, ImageFont

from datamodules.inspection.duplicate_findings import Everything
from datamodules.inspection.label_findings import graded
from datamodules.inspection.scan import Scan

TILE, GAP, COLUMNS, ROWS = 88, 4, 8, 8
PAIRS = 4  # beside each other
HEAD, LINE, FONT = 30, 18, 14
COLOURS = ((46, 98, 166), (214, 128, 40), (84, 150, 84))  # of train, val and test


def contact_sheets(attributes: Sequence[str], scan: Scan, folder: Path) -> list[str]:
    """For each attribute up to 64 pictures that have it, spread over the split; of an action unit the strongest.

    Args:
        attributes: K names.
        scan: a split.
        folder: where they are written.
    Returns:
        the files' names.
    """
    names, units, labels = [], graded(scan.records.labels), scan.records.labels
    for name, unit, column in zip(attributes, units, labels.T, strict=True):
        having = np.flatnonzero(scan.measures["readable"] & (column > 0))
        if not len(having):
            continue
        if unit:
            rows, what = having[np.argsort(-column[having], kind="stable")][: ROWS * COLUMNS], "the strongest"
        else:
            rows, what = having[np.linspace(0, len(having) - 1, min(len(having), ROWS * COLUMNS)).astype(int)], ""
        title = f"{name}, {scan.split}: {what or len(rows)} of {len(having):,}"
        tiles = [_tile(scan, row) for row in rows]
        names.append(f"sheet-{name.replace('/', '-')}.png")
        _sheet(title, tiles, COLUMNS).save(folder / names[-1])
    return names


def pair_sheet(everything: Everything, pairs: np.ndarray, folder: Path) -> str:
    """The first 64 pairs of look-alikes, beside each other; from left to right they get less alike."""
    shown = pairs[: PAIRS * ROWS * 2]
    tiles = [np.concatenate([_tile(*everything.place(row)) for row in pair], axis=1) for pair in shown]
    name = "near-duplicates.png"
    _sheet(f"pairs that look the same: {len(shown)} of {len(pairs):,}", tiles, PAIRS).save(folder / name)
    return name


def histogram(attributes: Sequence[str], scans: Sequence[Scan], folder: Path) -> str:
    """Bars: the mean of each attribute in each split, which for one that is on or off is the share of pictures."""
    left, long, block = 190, 420, LINE * len(scans) + 8
    image = Image.new("RGB", (left + long + 170, HEAD + LINE + block * len(attributes)), "white")
    canvas, font = ImageDraw.Draw(image), ImageFont.load_default(FONT)
    canvas.text((8, 6), "share of pictures (of an action unit: mean intensity)", "black", font)
    for number, scan in enumerate(scans):
        canvas.text((left + 90 * number, HEAD - 4), f"{scan.split}", COLOURS[number], font)
    for place, name in enumerate(attributes):
        top = HEAD + LINE + block * place
        canvas.text((8, top), name[:24], "black", font)
        for number, scan in enumerate(scans):
            column, down = scan.records.labels[:, place], top + LINE * number
            mean = float(np.nan_to_num(column).mean()) if len(column) else 0.0
            width = long * min(max(mean, 0), 1)
            canvas.rectangle((left, down + 2, left + width, down + LINE - 2), COLOURS[number])
            canvas.text((left + width + 6, down), f"{mean:.1%}  ({(column > 0).sum():,})", "black", font)
    image.save(folder / "labels.png")
    return "labels.png"


def _tile(scan: Scan, row: int) -> np.ndarray:
    """(TILE, TILE, 3) uint8."""
    pixels = scan.records.read(row)
    kind = cv2.INTER_AREA if len(pixels) > TILE else cv2.INTER_LINEAR
    return cv2.resize(pixels, (TILE, TILE), interpolation=kind)


def _sheet(title: str, tiles: Sequence[np.ndarray], columns: int) -> Image.Image:
    """Tiles of one size in rows below a title."""
    height, width = tiles[0].shape[:2]
    lines = -(-len(tiles) // columns)
    image = Image.new("RGB", (GAP + columns * (width + GAP), HEAD + lines * (height + GAP)), "white")
    ImageDraw.Draw(image).text((GAP, 6), title, "black", ImageFont.load_default(FONT))
    for number, tile in enumerate(tiles):
        down, across = divmod(number, columns)
        image.paste(Image.fromarray(tile), (GAP + across * (width + GAP), HEAD + down * (height + GAP)))
    return image
