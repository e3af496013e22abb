"""Where the faces of photos are: facenet-pytorch's detector, on photos of any sizes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

import cv2
import numpy as np

from datamodules.crops import Face

LONGEST = 640  # pixels of a photo's longer side that the detector is shown at first
PIXELS = 4_000_000  # that it is shown at one time, unless one photo has more
STEP = 32  # to which the sides are filled up, so that photos of almost equal size share a batch
SMALLEST = 20  # pixels of a face as the detector is shown it; below, it mostly errs
THRESHOLDS = (0.6, 0.7, 0.9)  # of the detector's stages; with its own 0.7 for the last, more animals have faces


class FaceFinder:
    """MTCNN (Zhang et al., 2016) with the weights that come with facenet-pytorch; on the GPU if there is one.

    Args:
        min_face: side in pixels of the smallest face to look for, from 20 up. The larger, the faster, above all on
            large photos: one above 640 pixels is searched shrunk to between 320 and 640, and if it has no face of 20
            pixels there, again, shrunk only as far as leaves min_face 20 pixels.
    Raises:
        ValueError: if min_face is below 20.
    """

    def __init__(self, min_face: int = 60) -> None:
        if min_face < SMALLEST:
            raise ValueError(f"min_face must be {SMALLEST} pixels or more, got {min_face}")
        import torch
        from facenet_pytorch import MTCNN

        device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.min_face, self.detector = min_face, MTCNN(thresholds=list(THRESHOLDS), device=device)

    def largest(self, photos: Sequence[np.ndarray]) -> list[Face | None]:
        """The largest face of each photo, or None; what is found in one does not depend on the others.

        Args:
            photos: (height, width, 3) uint8 RGB, of any sizes. Equal sizes are fastest.
        """
        first = {row: math.ceil(max(photo.shape) / LONGEST) for row, photo in enumerate(photos)}
        faces = self._search(photos, first)
        clear = {row for row, face in faces.items() if face.length >= SMALLEST * first[row]}
        most = self.min_face // SMALLEST
        faces |= self._search(photos, {row: most for row, was in first.items() if was > most and row not in clear})
        return [faces.get(row) for row in range(len(photos))]

    def _search(self, photos: Sequence[np.ndarray], reductions: Mapping[int, int]) -> dict[int, Face]:
        """The faces by row of the photos that have one, of those to be shrunk as said; equal sizes go together."""
        groups: dict[tuple[int, int, int], list[int]] = defaultdict(list)
        for row, reduction in reductions.items():
            groups[reduction, *_shown_size(photos[row], reduction)].append(row)
        faces: dict[int, Face] = {}
        for (reduction, height, width), rows in groups.items():
            remaining = iter(rows)
            while some := list(islice(remaining, max(1, PIXELS // (height * width)))):
                shown = np.stack([_shrunk(photos[row], reduction) for row in some])
                found = zip(some, self._detect(shown, reduction), strict=True)
                faces |= {row: face for row, face in found if face is not None}
        return faces

    def _detect(self, shown: np.ndarray, reduction: int) -> Iterator[Face | None]:
        self.detector.min_face_size = max(SMALLEST, self.min_face / reduction)
        if min(shown.shape[1:3]) < self.detector.min_face_size:
            yield from [None] * len(shown)  # the detector would raise
            return
        for boxes, probabilities, landmarks in zip(*self.detector.detect(shown, landmarks=True), strict=True):
            if boxes is None:
                yield None
                continue
            box, points = (_enlarged(np.asarray(found[0], np.float64), reduction) for found in (boxes, landmarks))
            yield Face(box, points, float(probabilities[0]))  # the detector sorts by area


def _shown_size(photo: np.ndarray, reduction: int) -> tuple[int, int]:
    """Height and width of a shrunken photo, filled up to multiples of STEP."""
    height, width = (STEP * math.ceil(side / (STEP * reduction)) for side in photo.shape[:2])
    return height, width


def _shrunk(photo: np.ndarray, reduction: int) -> np.ndarray:
    """The photo with black on the right and below up to ``_shown_size``, shrunk exactly ``reduction`` times."""
    height, width = _shown_size(photo, reduction)
    below, right = height * reduction - photo.shape[0], width * reduction - photo.shape[1]
    filled = cv2.copyMakeBorder(photo, 0, below, 0, right, cv2.BORDER_CONSTANT)
    return filled if reduction == 1 else cv2.resize(filled, (width, height), interpolation=cv2.INTER_AREA)


def _enlarged(positions: np.ndarray, reduction: int) -> np.ndarray:
    return (positions + 0.5) * reduction - 0.5
