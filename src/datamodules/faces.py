"""Faces from any photos: found, aligned as a dataset has them, cut out, and with what it takes to paste them back."""

from __future__ import annotations

import argparse
import json
import os
import re
import tempfile
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
from tqdm import tqdm

from datamodules.crops import PRESETS, Face, beyond, crop
from datamodules.face_finder import FaceFinder

BATCH, PIXELS = 32, 50_000_000  # photos are worked on together until there are so many, or they have so many pixels
INDEX, WITHOUT_FACE, UNREADABLE = "faces.jsonl", "without_face.txt", "unreadable.txt"
SHOWN = 10  # names on the console
CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\\]")  # what ends a line or steers a terminal, and the backslash


@dataclass
class Tally:
    """What became of the photos: how many gave a face, the names of those without, and what is wrong with the rest.

    And ``ignored``, the names of the files whose suffix is none of ``images.SUFFIXES``.
    """

    faces: int = 0
    beyond: int = 0  # crops of which a fifth or more lies outside the photo
    without_face: list[str] = field(default_factory=list)
    unreadable: dict[str, str] = field(default_factory=dict)
    ignored: list[str] = field(default_factory=list)


def crop_faces(photos: Path, out: Path, preset: str = "celeba", size: int = 256, min_face: int = 60) -> Tally:
    """Cut the largest face out of every photo in a folder and the folders in it.

    ``out`` gets the same folders, with a PNG for each face; ``faces.jsonl``, a line for each with its photo, crop,
    matrix (2x3, from the photo's pixels to the crop's, see ``crops.paste``), box, landmarks and probability; and where
    need be ``without_face.txt`` and ``unreadable.txt``, a line for each photo, with control characters and backslashes
    as Python writes them (``\\n``). It appears when all is done, and not at all without a face.

    Args:
        photos: the folder; hidden files and folders in it are left out.
        out: a folder that is not there yet, not inside ``photos``.
        preset: of ``crops.PRESETS``.
        size: side of the crops in pixels.
        min_face: see ``FaceFinder``.
    Raises:
        FileNotFoundError: if there is no photo.
        FileExistsError: if out exists.
        ValueError: on a setting out of range.
    """
    if preset not in PRESETS:
        raise ValueError(f"preset must be one of {', '.join(PRESETS)}, got {preset!r}")
    if size < 1:
        raise ValueError(f"size must be 1 pixel or more, got {size}")
    _check(photos, out)
    names, ignored = _photographs(photos)
    finder = FaceFinder(min_face)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=f".{out.name}.") as unfinished:
        folder = Path(unfinished) / "faces"
        folder.mkdir()
        tally = _crop_all(photos, names, folder, finder, preset, size)
        tally.ignored = ignored
        if tally.faces:
            folder.rename(out)
    return tally


def _check(photos: Path, out: Path) -> None:
    if not photos.is_dir():
        raise FileNotFoundError(f"{photos} is not a folder; expected one with photos")
    if out.exists() or out.is_symlink():
        raise FileExistsError(f"{out} exists already: choose a new folder, or delete that one first")
    if out.resolve().is_relative_to(photos.resolve()):
        raise ValueError(f"{out} lies inside {photos}, where its faces would count as photos: choose a folder outside")


def _photographs(folder: Path) -> tuple[list[str], list[str]]:
    """Sorted names of the photos, and of the other files, relative to the folder and from all folders below it.

    Links are followed unless they lead back up.
    """
    from datamodules.images import SUFFIXES

    def stop(error: OSError) -> None:
        raise error  # or a folder that may not be read would be passed over in silence

    found: list[str] = []
    ignored: list[str] = []
    for place, folders, files in os.walk(folder, onerror=stop, followlinks=True):
        here = Path(place)
        folders[:] = [
            name
            for name in folders
            if not name.startswith((".", "__MACOSX")) and not here.resolve().is_relative_to((here / name).resolve())
        ]
        for name in files:
            if not name.startswith("."):
                names = found if Path(name).suffix.lower() in SUFFIXES else ignored
                names.append((here / name).relative_to(folder).as_posix())
    if not found:
        held = f"; of other files they hold {len(ignored):,} ({_listed(sorted(ignored))})" if ignored else ""
        kinds = ", ".join(sorted(SUFFIXES))
        raise FileNotFoundError(f"{folder} has no photo ({kinds}), nor have the folders in it{held}")
    return sorted(found), sorted(ignored)


def _crop_names(photos: Sequence[str]) -> dict[str, str]:
    """A different PNG for each of the sorted names: ``a.png`` for ``a.jpg``, and if that is taken ``a.jpg.png``.

    The longer one is always free: only ``a.jpg.*`` could have it for its shorter one, and those come later.
    """
    taken: dict[str, str] = {}
    for photo in photos:
        name = Path(photo).with_suffix(".png").as_posix()
        taken[f"{photo}.png" if name in taken else name] = photo
    return {photo: name for name, photo in taken.items()}


def _crop_all(photos: Path, names: list[str], out: Path, finder: FaceFinder, preset: str, size: int) -> Tally:
    tally, crops = Tally(), _crop_names(names)
    with (out / INDEX).open("w") as index:
        for batch in _opened(photos, names, tally):
            for (name, photo), face in zip(batch.items(), finder.largest(list(batch.values())), strict=True):
                if face is None:
                    tally.without_face.append(name)
                    continue
                matrix = PRESETS[preset](face).matrix(size)
                _write(out / crops[name], crop(photo, matrix, size))
                index.write(json.dumps(_entry(name, crops[name], face, matrix)) + "\n")
                tally.faces += 1
                tally.beyond += beyond(photo, matrix, size) >= 0.2
    _list(out / WITHOUT_FACE, tally.without_face)
    _list(out / UNREADABLE, tally.unreadable.values())
    return tally


def _opened(photos: Path, names: list[str], tally: Tally) -> Iterator[dict[str, np.ndarray]]:
    """The photos by name, some at a time, to be used before the next; those that cannot be read go to the tally."""
    from datamodules.images import UnreadableImage, read_photo

    batch: dict[str, np.ndarray] = {}
    for name in tqdm(names, desc="finding faces", unit="photo", disable=None, leave=False):
        try:
            batch[name] = read_photo(photos / name)
        except UnreadableImage as error:
            tally.unreadable[name] = str(error)
        if len(batch) == BATCH or sum(photo.size // 3 for photo in batch.values()) >= PIXELS:
            yield batch
            batch.clear()  # who takes the batches still holds this one while the next is read
    yield batch


def _entry(photo: str, crop: str, face: Face, matrix: np.ndarray) -> dict[str, object]:
    return {
        "photo": photo,
        "crop": crop,
        "matrix": matrix.tolist(),
        "box": face.box.round(2).tolist(),
        "landmarks": face.landmarks.round(2).tolist(),
        "probability": round(face.probability, 4),
    }


def _write(path: Path, face: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(cv2.imencode(".png", cv2.cvtColor(face, cv2.COLOR_RGB2BGR))[1].tobytes())


def _list(path: Path, lines: Collection[str]) -> None:
    if lines:
        path.write_bytes(b"".join(os.fsencode(_escaped(line)) + b"\n" for line in lines))


def _escaped(text: str) -> str:
    return CONTROLS.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare what ``run`` reads."""
    parser.add_argument("photos", type=Path, help="folder of photos; the folders in it are searched too")
    parser.add_argument("out", type=Path, help="new folder for the faces, laid out like the photos'")
    parser.add_argument("--preset", choices=PRESETS, default="celeba", help="whose crop (default: %(default)s)")
    parser.add_argument("--size", type=int, default=256, help="side of a crop in pixels (default: %(default)s)")
    smallest = (
        "side in pixels of the smallest face to look for; larger is faster on large photos (default: %(default)s)"
    )
    parser.add_argument("--min-face", type=int, default=60, help=smallest)


def run(options: argparse.Namespace) -> int:
    """Cut out the faces and say what was found.

    Returns:
        0, or 1 if no photo has a face.
    """
    photos, out = options.photos.expanduser(), options.out.expanduser()
    tally = crop_faces(photos, out, options.preset, options.size, options.min_face)
    if tally.faces:
        print(f"{out}: {tally.faces:,} faces ({options.preset}, {options.size} px); {INDEX} says where each comes from")
    else:
        print(f"no face of {options.min_face} pixels or more in {photos}: {out} was not written")
    if tally.beyond:
        advice = "the tightest preset is ganimation"
        print(f"crops that reach far beyond their photo, whose edge is repeated: {tally.beyond:,}; {advice}")
    for what, names, source in (
        ("photos without a face", tally.without_face, WITHOUT_FACE),
        ("photos that cannot be read", list(tally.unreadable), UNREADABLE),
        ("files ignored for their suffix", tally.ignored, None),
    ):
        if names:
            more = f"; all in {out / source}" if source and len(names) > SHOWN and tally.faces else ""
            print(f"{what}: {len(names):,} ({_listed(names)}{more})")
    return 0 if tally.faces else 1


def _listed(names: Sequence[str]) -> str:
    """The first names as a terminal can show them, and dots if there are more."""
    shown = [os.fsencode(_escaped(name)).decode(errors="replace") for name in names[:SHOWN]]
    return ", ".join(shown + ["..."] * (len(names) > SHOWN))
