"""Squares around a face as the datasets cut them, and the way back into the photo.

Positions are in pixels, the centre of the first pixel being (0, 0). They are complex numbers x + iy, of which a product
turns and scales, so a square is two of them. Beyond a photo its edge is repeated, as in CelebA itself. CelebA-HQ has a
mirror image there, blurred, which would put second faces beside those of photos that are tight already.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import cv2
import numpy as np

FEATHER = 0.1  # of a square's side, over which a pasted face fades into the photo
# Where CelebA's 178x218 pictures have the eyes and the middle between the corners of the mouth: the points that
# align_face_celeba.m, a public copy of the alignment, maps to. It counts pixels from 1.
CELEBA = np.array([70.745 + 112j, 108.237 + 112j, 89.432 + 153.514j]) - (1 + 1j)


@dataclass(frozen=True)
class Face:
    """A face in a photo, in the photo's pixels.

    Attributes:
        box: (4,) left, top, right, bottom.
        landmarks: (5, 2) x and y of the eyes, the nose and the corners of the mouth, the left one of the picture first.
        probability: that it is a face, in [0, 1].
    """

    box: np.ndarray
    landmarks: np.ndarray
    probability: float = 1.0

    @property
    def points(self) -> np.ndarray:
        """(3,) complex: the eyes and the middle of the mouth."""
        left, right, _, *mouth = self.landmarks.astype(np.float64) @ np.array([1, 1j])
        return np.array([left, right, sum(mouth) / 2])

    @property
    def middle(self) -> complex:
        """Of the box."""
        left, top, right, bottom = self.box.tolist()
        return complex(left + right, top + bottom) / 2

    @property
    def length(self) -> float:
        """Of the box's longer side."""
        left, top, right, bottom = self.box.tolist()
        return max(right - left, bottom - top)


class Square(NamedTuple):
    """A square of a photo, upright or turned: its centre, and from there to the middle of its right edge."""

    centre: complex
    right: complex

    def matrix(self, size: int) -> np.ndarray:
        """(2, 3) from the photo's pixels to those of the square at ``size`` pixels a side."""
        turn = size / 2 / self.right
        shift = (size - 1) / 2 * (1 + 1j) - turn * self.centre
        return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def celeba(face: Face) -> Square:
    """CelebA's alignment (Liu et al., 2015), then the middle 178 pixels of its 178x218, as StarGAN takes them."""
    return _of_celeba(face, left=0, top=20, side=178)


def bridgegan(face: Face) -> Square:
    """CelebA's alignment, then the 170 pixels from (3, 26) of its 178x218."""
    return _of_celeba(face, left=3, top=26, side=170)


def celeba_hq(face: Face) -> Square:
    """CelebA-HQ's oriented square, which StarGAN v2's pictures have too (Karras et al., 2018, appendix C)."""
    left, right, mouth = face.points
    across, up = right - left, (left + right) / 2 - mouth
    side = max(4.0 * abs(across), 3.6 * abs(up))
    direction = across + 1j * up  # their x' - rotate90(y'); both terms point right if the face is upright
    return Square((left + right) / 2 - 0.1 * up, side / 2 * direction / abs(direction))


def ganimation(face: Face) -> Square:
    """Tight: brows to chin, upright, like dlib's box, to which GANimation cuts (Pumarola et al., 2018, face_utils.py).

    On the four pictures that come with its code the side is 0.66 to 0.91 of this detector's box, and the middle between
    eyes and mouth, which is lower than the box's, is the centre to 3 in 128 pixels.
    """
    left, right, mouth = face.points
    return Square(((left + right) / 2 + mouth) / 2, complex(0.8 * face.length / 2))


def rafd(face: Face) -> Square:
    """Loose: the whole head, upright, about as the figures of StarGAN show RaFD.

    The factor was chosen by eye, so that any photo will do. It is not the dataset's own crop, which is the same for all
    its pictures, 621 pixels from (30, 90), and not found by a detector: that one is ``RaFD(crop="square")``.
    """
    return Square(face.middle, complex(1.6 * face.length / 2))


PRESETS: dict[str, Callable[[Face], Square]] = {
    "celeba": celeba,
    "bridgegan": bridgegan,
    "celeba-hq": celeba_hq,
    "ganimation": ganimation,
    "rafd": rafd,
}


def crop(photo: np.ndarray, matrix: np.ndarray, size: int) -> np.ndarray:
    """Cut a square out of a photo.

    Args:
        photo: (height, width, 3) uint8.
        matrix: (2, 3) from the photo's pixels to the square's, as ``Square.matrix`` gives it.
        size: side of the square in pixels.
    Returns:
        (size, size, 3) uint8: bicubic, antialiased where it shrinks.
    """
    return _warped(photo, matrix, size, size, cv2.BORDER_REPLICATE)


def beyond(photo: np.ndarray, matrix: np.ndarray, size: int) -> float:
    """The share of a square that lies outside the photo, where ``crop`` repeats the photo's edge."""
    height, width = photo.shape[:2]
    back = cv2.invertAffineTransform(np.asarray(matrix, dtype=np.float64))
    cells = (np.indices((16, 16)).reshape(2, -1).T + 0.5) * (size / 16) - 0.5
    places = cells @ back[:, :2].T + back[:, 2]
    return float(((places < -0.5) | (places > (width - 0.5, height - 0.5))).any(axis=1).mean())


def paste(photo: np.ndarray, face: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Put what was changed in a square back to where it was cut out.

    What is added to the photo is the difference between the face and the photo's own crop. So the photo keeps its fine
    detail, which a crop has not, and a face that was not changed changes nothing. Where a face has quite another shape,
    that detail shows as faint outlines of the old one, the more the coarser the square is beside the photo.

    Args:
        photo: (height, width, 3) uint8.
        face: (size, size, 3) uint8.
        matrix: (2, 3) that it was cut out with.
    Returns:
        (height, width, 3) uint8; outside the square the photo itself. From the square's edge the difference sets in
        without a seam, over ``FEATHER`` of the side.
    Raises:
        ValueError: if the face is no square.
    """
    size = len(face)
    if face.shape != (size, size, 3):
        raise ValueError(f"expected a face of shape (size, size, 3), got {face.shape}")
    back = cv2.invertAffineTransform(np.asarray(matrix, dtype=np.float64))
    edges = np.array([[-0.5, -0.5], [size - 0.5, -0.5], [-0.5, size - 0.5], [size - 0.5, size - 0.5]])
    corners = edges @ back[:, :2].T + back[:, 2]
    limit = [photo.shape[1], photo.shape[0]]
    left, top = np.clip(np.floor(corners.min(axis=0)), 0, limit).astype(int).tolist()
    right, bottom = np.clip(np.ceil(corners.max(axis=0)) + 1, 0, limit).astype(int).tolist()
    result = photo.copy()
    if left >= right or top >= bottom:
        return result
    inside = result[top:bottom, left:right]
    back[:, 2] -= left, top
    difference = face.astype(np.float32) - crop(photo, matrix, size)
    warped = _warped(difference, back, right - left, bottom - top, cv2.BORDER_REPLICATE)
    opacity = _opacity(matrix, size, left, top, right, bottom)
    inside[...] = np.rint(np.clip(inside + opacity[..., None] * warped, 0, 255))
    return result


def _of_celeba(face: Face, left: int, top: int, side: int) -> Square:
    """A square of CelebA's 178x218, found in the photo by the similarity that is nearest in least squares."""
    origin, points = CELEBA.mean(), face.points
    turn = np.vdot(CELEBA - origin, points) / np.vdot(CELEBA - origin, CELEBA - origin)
    centre = complex(left, top) + (side - 1) / 2 * (1 + 1j)
    return Square(complex(points.mean() + turn * (centre - origin)), complex(turn * side / 2))


def _warped(image: np.ndarray, matrix: np.ndarray, width: int, height: int, border: int) -> np.ndarray:
    """(height, width, 3); where it shrinks, a finer picture is made first and its pixels averaged."""
    scale = math.sqrt(abs(np.linalg.det(matrix[:, :2])))
    finer = max(1, math.ceil(1 / scale - 1e-6))
    fine = finer * np.asarray(matrix, dtype=np.float64)
    fine[:, 2] += (finer - 1) / 2
    size = (finer * width, finer * height)
    warped = cv2.warpAffine(image, fine, size, flags=cv2.INTER_CUBIC, borderMode=border)
    return warped if finer == 1 else cv2.resize(warped, (width, height), interpolation=cv2.INTER_AREA)


def _opacity(matrix: np.ndarray, size: int, left: int, top: int, right: int, bottom: int) -> np.ndarray:
    """Of a face over a part of the photo: 0 outside its square, rising smoothly to 1 further inside."""
    x, y = np.meshgrid(np.arange(left, right, dtype=np.float32), np.arange(top, bottom, dtype=np.float32))
    across, down = (row[0] * x + row[1] * y + row[2] for row in np.asarray(matrix, dtype=np.float32))
    depth = (size / 2 - np.maximum(abs(across - (size - 1) / 2), abs(down - (size - 1) / 2))) / (FEATHER * size)
    depth = np.clip(depth, 0, 1)
    return depth * depth * (3 - 2 * depth)
