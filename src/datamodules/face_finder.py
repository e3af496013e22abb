"""Where the faces of photos are: facenet-pytorch's detector, on photos of any sizes."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator, Sequence

import cv2
import numpy as np

from datamodules.crops import Face

LONGEST = 640  # pixels of a photo's longer side that the detector is shown
STEP = 32  # to which the sides are filled up, so that photos of almost equal size share a batch
SMALLEST = 20  # pixels of a face as the detector is shown it; below, it mostly errs
THRESHOLDS = (0.6, 0.7, 0.9)  # of the detector's stages; with its own 0.7 for the last, more animals have faces


class FaceFinder:
    """MTCNN (Zhang et al., 2016) with the weights that come with facenet-pytorch; on the GPU if there is one.

    Args:
        min_face: side in pixels of the smallest face to look for, from 20 up. The larger, the faster. In a photo that
            is shrunk (above 640 pixels, to between 320 and 640) it is at least 20 of the shrunken pixels.
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
        groups: dict[tuple[int, ...], list[int]] = defaultdict(list)
        shown = []
        for row, photo in enumerate(photos):
            reduction = math.ceil(max(photo.shape) / LONGEST)
            shown.append(_filled(photo, reduction))
            groups[reduction, *shown[row].shape].append(row)
        faces: list[Face | None] = [None] * len(photos)
        for (reduction, *_), rows in groups.items():
            for row, face in zip(rows, self._detect(np.stack([shown[row] for row in rows]), reduction), strict=True):
                faces[row] = face
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


def _filled(photo: np.ndarray, reduction: int) -> np.ndarray:
    """The photo with black on the right and below up to a multiple of STEP, then shrunk exactly ``reduction`` times."""
    height, width = photo.shape[:2]
    step = STEP * reduction
    below, right = -height % step, -width % step
    filled = cv2.copyMakeBorder(photo, 0, below, 0, right, cv2.BORDER_CONSTANT)
    size = (filled.shape[1] // reduction, filled.shape[0] // reduction)
    return filled if reduction == 1 else cv2.resize(filled, size, interpolation=cv2.INTER_AREA)


def _enlarged(positions: np.ndarray, reduction: int) -> np.ndarray:
    return (positions + 0.5) * reduction - 0.5
