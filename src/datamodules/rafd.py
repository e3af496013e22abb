"""The Radboud Faces Database: 67 people, 8 expressions, 3 gazes, 5 camera angles (Langner et al., 2010)."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import numpy as np

from datamodules.base import SPLITS, ImageDataModule, Split, chosen
from datamodules.catalogue import missing
from datamodules.files import FileRecords, listed, near_miss, pictures
from datamodules.images import Crop
from datamodules.labels import EXPRESSIONS

NAME = re.compile(
    rf"Rafd(?P<angle>000|045|090|135|180)_(?P<id>\d\d)_(?P<group>Caucasian|Moroccan|Kid)_(?P<gender>male|female)_"
    rf"(?P<expression>{'|'.join(EXPRESSIONS)})_(?P<gaze>left|frontal|right)\.(?i:jpg|jpeg|png)"
)
SQUARE = Crop(30, 90, 621, 681, 1024)
ANGLES = (0, 45, 90, 135, 180)
GAZES = ("left", "frontal", "right")


class RaFD(ImageDataModule):
    """RaFD, read from its file names; the label is the expression.

    ``Rafd090_01_Caucasian_female_angry_frontal.jpg`` is angle (90 is frontal, 0 and 180 the profiles), person, group
    (Kid in the place of the ethnicity), gender, expression, gaze. A batch also carries ``identity`` (and
    ``reference_identity``), the person's number. Splits are by person: numbers that end in 0 are for testing (7 of the
    67 people), 05, 25, 45 and 65 for validation.

    Args:
        root: the folder of pictures.
        domains: expressions, in label order; None takes all eight.
        angles: of the camera, in degrees; StarGAN takes the middle three (4,824 pictures), ADSPM only 90.
        gazes: directions of the eyes.
        crop: "square" is the 621 pixels from (30, 90) of the 681x1024; null takes the largest centred square, for
            pictures that are cropped already.
        **loading: see ``ImageDataModule``.

    Raises:
        MissingDataset: if root is not there or has no RaFD picture, with what to do.
        ValueError: if a choice is unknown or a picture is not named like this.
    """

    entry = "rafd"
    one_hot = True

    def __init__(
        self,
        root: str,
        domains: list[str] | None = None,
        angles: Sequence[int] = (45, 90, 135),
        gazes: Sequence[str] = GAZES,
        crop: Literal["square"] | None = "square",
        **loading: Any,
    ) -> None:
        super().__init__(**loading)
        if crop not in ("square", None):
            raise ValueError(f"crop must be square or None, got {crop!r}")
        self.root, self.crop = Path(root).expanduser(), SQUARE if crop else None
        self.attributes = chosen(domains, EXPRESSIONS, "expression")
        self.exclusive = (self.attributes,)
        self.angles = chosen([str(angle) for angle in angles], [str(angle) for angle in ANGLES], "angle")
        self.gazes = chosen(gazes, GAZES, "gaze")
        if not _is_rafd(self.root):
            raise missing("rafd", self.root, near_miss(self.root, _is_rafd, "has no picture named Rafd..."))
        self._faces = [face for face in self._parsed() if self._is_chosen(face)]

    def records(self, split: Split) -> FileRecords:
        """The pictures of a split's people."""
        present = [name for name in SPLITS if any(split_of(int(face["id"])) == name for face in self._faces)]
        split = self.standing_in(split, present, f"{self.root} (with these angles, gazes and expressions)")
        faces = [face for face in self._faces if split_of(int(face["id"])) == split]
        labels = np.eye(len(self.attributes))[[self.attributes.index(face["expression"]) for face in faces]]
        extras = {"identity": np.array([int(face["id"]) for face in faces])}
        names = np.array([os.fsencode(face.string) for face in faces])
        return FileRecords(self.root, names, labels, self.image_size, self.crop, extras)

    def _parsed(self) -> list[re.Match[str]]:
        names = [name.decode(errors="replace") for name in pictures(self.root).tolist()]
        faces = {name: NAME.fullmatch(name) for name in names}
        if odd := [os.fsencode(name) for name, face in faces.items() if face is None]:
            raise ValueError(
                f"{self.root}: {len(odd):,} pictures are not named like Rafd090_01_Caucasian_female_angry_frontal.jpg: "
                f"{listed(odd)}; rename them or put them elsewhere"
            )
        return [face for face in faces.values() if face]

    def _is_chosen(self, face: re.Match[str]) -> bool:
        angle, gaze, expression = str(int(face["angle"])), face["gaze"], face["expression"]
        return angle in self.angles and gaze in self.gazes and expression in self.attributes


def split_of(person: int) -> Split:
    """The split that a person, by number (1 to 73), belongs to."""
    if person % 10 == 0:
        return "test"
    return "val" if person % 20 == 5 else "train"


def _is_rafd(folder: Path) -> bool:
    return folder.is_dir() and any(path.name.startswith("Rafd") for path in folder.iterdir())
