"""Reading one picture file of whatever kind into a square of RGB bytes."""

from __future__ import annotations

import io
import re
import struct
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import torch
from PIL import Image
from torch.nn.functional import interpolate

SUFFIXES = frozenset({".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm"})
DECODER = 2  # part of every cache's name: raise it when the pixels that `read_image` gives change

# What Pillow and the libraries under it raise on files that are broken, cut short or absurdly large.
BROKEN: tuple[type[Exception], ...] = (
    *(OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError),
    *(struct.error, cv2.error, Image.DecompressionBombError),
)
ORIENTATION = 0x0112  # EXIF's number for how the camera was held, and what undoes it
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
END = b"\xff\xd9"  # of a JPEG
APP1, FRAMES, SCAN = 0xE1, (0xC0, 0xC1, 0xC2), 0xDA  # its segments: EXIF or XMP, frames that are read, pixels
REDUCED = {2: cv2.IMREAD_REDUCED_COLOR_2, 4: cv2.IMREAD_REDUCED_COLOR_4, 8: cv2.IMREAD_REDUCED_COLOR_8}


class UnreadableImage(ValueError):
    """A file that is no picture, or only part of one."""


class Crop(NamedTuple):
    """A square that a dataset is cropped to, in pixels of its own pictures, which all have one size."""

    left: int
    top: int
    side: int
    width: int  # of the whole picture
    height: int


def read_image(path: Path, size: int, crop: Crop | None = None) -> np.ndarray:
    """Read a picture, turn it upright (EXIF), crop the centre square or ``crop``, and scale that to ``size``.

    Grey becomes RGB, transparent parts become white, CMYK is converted (without a colour profile), 16 bits are scaled
    to 8. Shrinking is antialiased (bicubic over the covered area).

    Returns:
        (size, size, 3) uint8 RGB.
    Raises:
        UnreadableImage: naming the file and what is wrong with it.
    """
    return read_images([path], size, crop)[0]


def read_images(paths: Sequence[Path], size: int, crop: Crop | None = None) -> np.ndarray:
    """Read some pictures as ``read_image`` does; scaling those of one size together takes a third of the time.

    Returns:
        (B, size, size, 3) uint8 RGB.
    Raises:
        UnreadableImage: naming the file and what is wrong with it.
    """
    result = np.empty((len(paths), size, size, 3), np.uint8)
    sides: dict[int, dict[int, np.ndarray]] = defaultdict(dict)
    for place, path in enumerate(paths):
        with _naming(path):
            square = _square(_decoded(path.read_bytes(), None if crop else 2 * size), crop)
            sides[len(square)][place] = square
    for squares in sides.values():
        result[list(squares)] = _scaled(np.stack(list(squares.values())), size)
    return result


def read_photo(path: Path) -> np.ndarray:
    """Read a whole picture at its own resolution, upright and in RGB as ``read_image`` gives it.

    Returns:
        (height, width, 3) uint8 RGB.
    Raises:
        UnreadableImage: naming the file and what is wrong with it.
    """
    with _naming(path):
        return _decoded(path.read_bytes(), None)


@contextmanager
def _naming(path: Path) -> Iterator[None]:
    """Turn whatever a broken file raises into one error."""
    try:
        yield
    except BROKEN as error:
        reason = "the file is empty" if path.is_file() and path.stat().st_size == 0 else str(error)
        raise UnreadableImage(f"{path}: {re.sub('<_io.BytesIO object at [^>]*>', 'the file', reason)}") from error


def _decoded(data: bytes, enough: int | None) -> np.ndarray:
    """(height, width, 3) uint8 RGB; a large JPEG at a half, a quarter or an eighth, if ``enough`` pixels a side remain.

    OpenCV decodes ordinary JPEGs, one and a half times as fast as Pillow and to the same bytes; but of one that is cut
    short it would make up the rest, so those that do not end as they should are left to Pillow, as is everything rare.
    """
    if data.endswith(END) and (frame := _ordinary_jpeg(data)):
        largest = frame.shorter // enough if enough else 1
        kind = next((REDUCED[scale] for scale in (8, 4, 2) if scale <= largest), cv2.IMREAD_COLOR)
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), kind | cv2.IMREAD_IGNORE_ORIENTATION)
        if pixels is not None:
            cv2.cvtColor(pixels, cv2.COLOR_BGR2RGB, dst=pixels)
            return _turned_like(data, pixels) if frame.is_marked else pixels
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        turn = _turn(image)
        return np.asarray(_eight_bit(image if turn is None else image.transpose(turn)).convert("RGB"))


def _turn(image: Image.Image) -> Image.Transpose | None:
    return UPRIGHT.get(image.getexif().get(ORIENTATION, 1))


def _turned_like(data: bytes, pixels: np.ndarray) -> np.ndarray:
    """Pixels as they came out of a file, turned as it says."""
    with Image.open(io.BytesIO(data)) as header:
        turn = _turn(header)
    return pixels if turn is None else np.asarray(Image.fromarray(pixels).transpose(turn))


class Frame(NamedTuple):
    """Of an ordinary JPEG: the shorter side, and whether something in it may say how to turn it."""

    shorter: int
    is_marked: bool


def _ordinary_jpeg(data: bytes) -> Frame | None:
    """What the header of a JPEG says, if it has eight bits, is grey or colour, and not huge; else None.

    The header is a chain of segments up to the scan: FF, a kind, a length of two bytes. That of the frame has bits,
    height, width and the number of channels (ITU T.81, B.2.2).
    """
    shorter, is_marked = 0, False
    place = 2 if data.startswith(b"\xff\xd8") else len(data)
    while place + 9 < len(data) and data[place] == 0xFF and data[place + 1] != SCAN:
        kind = data[place + 1]
        if kind in FRAMES:
            bits, height, width, channels = struct.unpack_from(">BHHB", data, place + 4)
            if bits == 8 and channels in (1, 3) and height * width <= (Image.MAX_IMAGE_PIXELS or 0):
                shorter = min(height, width)
        segment = data[place + 4 : place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")]
        is_marked |= kind == APP1 and (segment.startswith(b"Exif") or b"Orientation" in segment)
        place += 4 + len(segment)
    return Frame(shorter, is_marked) if shorter else None


def _eight_bit(image: Image.Image) -> Image.Image:
    """The same picture as L or RGB; Pillow's own conversion would clip 16 bits and drop transparency to black."""
    if image.mode.startswith("I;16") or (image.mode == "I" and image.format in {"PNG", "PPM"}):
        return Image.fromarray(np.rint(np.asarray(image).astype(np.float32) / 257).astype(np.uint8))
    if image.mode in {"I", "F"}:
        raise ValueError(f"pixels of mode {image.mode} have no known range; save the picture with 8 or 16 bits")
    if image.has_transparency_data:
        return Image.alpha_composite(Image.new("RGBA", image.size, "white"), image.convert("RGBA")).convert("RGB")
    return image if image.mode in {"L", "RGB"} else image.convert("RGB")


def _square(pixels: np.ndarray, crop: Crop | None) -> np.ndarray:
    height, width = pixels.shape[:2]
    if crop is None:
        side = min(height, width)
        left, top = (width - side) // 2, (height - side) // 2
    elif (width, height) == (crop.width, crop.height):
        left, top, side = crop.left, crop.top, crop.side
    else:
        raise ValueError(
            f"the picture is {width}x{height}, but this crop is for pictures of {crop.width}x{crop.height}; "
            "for pictures that are cropped already choose crop: null"
        )
    return pixels[top : top + side, left : left + side]


def _scaled(squares: np.ndarray, size: int) -> np.ndarray:
    """(B, side, side, 3) to (B, size, size, 3); torch's antialiased bicubic of bytes is Pillow's, but faster."""
    if squares.shape[1] == size:
        return squares
    planes = torch.from_numpy(squares).permute(0, 3, 1, 2)
    scaled = interpolate(planes, size=(size, size), mode="bicubic", antialias=True)
    return scaled.permute(0, 2, 3, 1).numpy()
