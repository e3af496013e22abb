"""Reading one picture file of whatever kind into a square of RGB bytes."""

from __future__ import annotations

import struct
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})
DECODER = 1  # part of every cache's name: raise it when the pixels that `read_image` gives change

# What Pillow and the libraries under it raise on files that are broken, cut short or absurdly large.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, struct.error, Image.DecompressionBombError)


class UnreadableImage(ValueError):
    """A file that is no picture, or only part of one."""


def read_image(path: Path, size: int) -> np.ndarray:
    """Read a picture, turn it upright (EXIF), scale its shorter side to ``size`` and crop the centre.

    Grey becomes RGB, transparent parts become white, CMYK is converted (without a colour profile), 16 bits are scaled
    to 8. Shrinking is antialiased (bicubic over the covered area).

    Returns:
        (size, size, 3) uint8 RGB.
    Raises:
        UnreadableImage: naming the file and what is wrong with it.
    """
    try:
        with Image.open(path) as image:
            _shrink_while_decoding(image, size)
            image.load()
            ImageOps.exif_transpose(image, in_place=True)
            return np.asarray(_square(_eight_bit(image), size).convert("RGB"))
    except BROKEN as error:
        empty = path.is_file() and path.stat().st_size == 0
        raise UnreadableImage(f"{path}: {'the file is empty' if empty else error}") from error


def _shrink_while_decoding(image: Image.Image, size: int) -> None:
    """Let a JPEG be decoded at 1/2, 1/4 or 1/8, not below twice the size wanted: the rest is left to a filter."""
    scale = 2 * size / min(image.size)
    if scale < 1:
        image.draft(None, (round(image.width * scale), round(image.height * scale)))


def _eight_bit(image: Image.Image) -> Image.Image:
    """The same picture as L or RGB; Pillow's own conversion would clip 16 bits and drop transparency to black."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in {"PNG", "PPM"}):
        return Image.fromarray(np.rint(np.asarray(image).astype(np.float32) / 257).astype(np.uint8))
    if image.mode in {"I", "F"}:
        raise ValueError(f"pixels of mode {image.mode} have no known range; save the picture with 8 or 16 bits")
    if image.has_transparency_data:
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
    return image if image.mode in {"L", "RGB"} else image.convert("RGB")


def _square(image: Image.Image, size: int) -> Image.Image:
    side = min(image.size)
    left, top = (image.width - side) / 2, (image.height - side) / 2
    return image.resize((size, size), Image.Resampling.BICUBIC, box=(left, top, left + side, top + side))
