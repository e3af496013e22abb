"""A photo is read, its face cut out, changed and put back; and the verb ``python -m translators animate``."""

from __future__ import annotations

import argparse
import struct
import sys
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional

from translators.animation import (
    animate,
    blend,
    from_0_to_1,
    pictures,
    save_gif,
    save_png,
    scaled,
    strip,
    sweep,
    takes_strength,
)

if TYPE_CHECKING:  # Lightning takes seconds to import
    from translators.base import Translator

FEATHER = 0.1  # of a box's side, over which what is pasted fades into the photo
HEIGHTS = {"strip": (128, 256), "animation": (128, 640)}  # least and greatest of a shown frame, in pixels
# What Pillow and the libraries under it raise on files that are broken, cut short or absurdly large.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError, struct.error)

Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels; the last two are not part of it


# ------------------------------------------------------------------------------------------------ reading and pasting


def read_photo(path: Path) -> Image.Image:
    """A photo as it is meant to be seen: turned as its EXIF says, RGB, on white where it is transparent.

    Raises:
        ValueError: naming the file, and what is wrong with it.
    """
    if not path.is_file():
        raise ValueError(f"{path}: " + ("a folder, not a photo" if path.is_dir() else "no such file"))
    try:
        with Image.open(path) as file:
            photo = ImageOps.exif_transpose(file)
    except Image.UnidentifiedImageError:
        raise ValueError(f"{path}: no picture that Pillow can read") from None
    except (*BROKEN, Image.DecompressionBombError) as error:
        raise ValueError(f"{path}: {error}") from error
    if photo.mode.startswith(("I", "F")):
        raise ValueError(f"{path}: pixels of mode {photo.mode}, of 16 bits or more; save it with 8 bits a channel")
    if photo.has_transparency_data:
        photo = Image.alpha_composite(Image.new("RGBA", photo.size, "white"), photo.convert("RGBA"))
    return photo.convert("RGB")


def tensor(picture: Image.Image) -> Tensor:
    """An RGB picture as (3, H, W) in [-1, 1]; `pictures` undoes it."""
    return torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1


def paste(photo: Image.Image, box: Box, before: Tensor, after: Tensor) -> Image.Image:
    """Put what was changed in a box of a photo back to where it was cut out.

    What is added is the difference of the two, brought to the box's size, so that the photo keeps its fine detail where
    nothing was changed. It sets in over `FEATHER` of the box's side, so that there is no seam.

    Args:
        photo: RGB.
        box: within it.
        before: (3, S, S) in [-1, 1], the box's pixels, brought to the model's size.
        after: (3, S, S), their translation.

    Returns:
        As large as the photo; outside the box its very pixels.
    """
    left, top, right, bottom = box
    height, width = bottom - top, right - left
    change = functional.interpolate((after - before)[None], (height, width), mode="bicubic", antialias=True)[0]
    change = 127.5 * change * _fade(height)[:, None] * _fade(width)
    pixels = np.array(photo)
    inside = pixels[top:bottom, left:right]
    inside[...] = (inside + change.permute(1, 2, 0).numpy()).round().clip(0, 255)
    return Image.fromarray(pixels)


def _fade(side: int) -> Tensor:
    """(side,) from near 0 at the ends smoothly up to 1 further inside."""
    place = torch.arange(side) + 0.5
    depth = (torch.minimum(place, side - place) / (FEATHER * side)).clamp(max=1)
    return depth * depth * (3 - 2 * depth)


def _centred_square(photo: Image.Image) -> Box:
    side = min(photo.size)
    left, top = (photo.width - side) // 2, (photo.height - side) // 2
    return left, top, left + side, top + side


def _check_box(box: Box, photo: Image.Image, path: Path) -> None:
    left, top, right, bottom = box
    if not (0 <= left < right <= photo.width and 0 <= top < bottom <= photo.height):
        raise ValueError(
            f"the box {left},{top},{right},{bottom} is no part of {path}, which has {photo.width}x{photo.height} "
            "pixels: give left,top,right,bottom"
        )


# ------------------------------------------------------------------------------------------------ the verb


def main(arguments: Sequence[str]) -> int:
    """Animate a photo; what the user can mend ends in one sentence. Returns the exit status."""
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python -m translators animate",
        description="Move an attribute of a photo from 0 to 1, or several: writes strip.png, animation.gif and frames.",
        allow_abbrev=False,
    )
    parser.add_argument("run", type=Path, help="run folder or checkpoint of a translator")
    parser.add_argument("photo", type=Path, help="picture to animate")
    goal = parser.add_mutually_exclusive_group(required=True)
    goal.add_argument("--attribute", metavar="NAME", help="the one that goes from 0 to 1, such as AU12")
    goal.add_argument(
        "--to",
        action="append",
        metavar="NAME=VALUE,…",
        help="what attributes come to, such as AU12=1,AU4=0.5; given again, what they come to after that",
    )
    parser.add_argument(
        "--own",
        default="",
        metavar="LABEL",
        help="the photo's own attributes: a number for each, or NAME=VALUE,… and 0 for the others (default: all 0)",
    )
    parser.add_argument("--frames", type=int, default=9, help="of each way (default: %(default)s)")
    parser.add_argument(
        "--box",
        type=_box,
        metavar="LEFT,TOP,RIGHT,BOTTOM",
        help="where the face is, in pixels; the result is put back there (default: the centred square, by itself)",
    )
    parser.add_argument(
        "--out", type=Path, metavar="FOLDER", help="for the pictures (default: animations/… in the run)"
    )
    return parser


def _box(text: str) -> Box:
    try:
        left, top, right, bottom = (round(float(number)) for number in text.split(","))
    except (ValueError, OverflowError):
        raise argparse.ArgumentTypeError(f"give left,top,right,bottom in pixels, got {text!r}") from None
    return left, top, right, bottom


def _run(options: argparse.Namespace) -> None:
    from translators.base import Translator

    translator: Translator = Translator.load(str(options.run))
    photo = read_photo(options.photo)
    box = options.box or _centred_square(photo)
    _check_box(box, photo, options.photo)
    side = translator.hparams["image_size"]
    cut = photo.crop(box).resize((side, side), Image.Resampling.BICUBIC)
    image = tensor(cut)
    try:
        labels, strengths = _course(translator, image, options)
        names, known = translator.attributes, options.own or not translator.hparams["one_hot"]
        own = _label(options.own, torch.zeros(len(names)), names) if known else None
        translations = animate(translator, image, labels, strengths, own)
    except ValueError as error:
        raise ValueError(f"{type(translator).__name__} cannot make these frames: {error}") from error
    if options.box:
        source, frames = photo, [paste(photo, box, image, one) for one in translations]
    else:
        source, frames = cut, pictures(translations)
    _save(source, frames, options)


def _course(translator: Translator, image: Tensor, options: argparse.Namespace) -> tuple[Tensor, Tensor | None]:
    """(T, K) labels, and for a translator that takes them (T,) strengths, in which case the label stays the same."""
    names, classes = translator.attributes, translator.hparams["one_hot"]
    own = _label(options.own, torch.zeros(len(names)), names)
    stops, base = [], own
    for goal in options.to or [f"{options.attribute}=1"]:
        base = _label(goal, torch.zeros_like(own) if classes else base, names)  # a class takes the place of another
        stops.append(base)
    if takes_strength(translator):
        if len(stops) > 1:
            raise ValueError("its labels are 0 or 1, and only the strength grows: give one --to")
        strengths = from_0_to_1(options.frames)
        return stops[0].expand(len(strengths), -1), strengths
    if classes and not options.own:
        raise ValueError(f"say which of the classes {', '.join(names)} the photo is of, such as --own={names[0]}=1")
    animate(translator, image, torch.stack([own, *stops]))  # what is wrong with these is the user's to mend
    if options.attribute and not classes:
        labels = sweep(own, names.index(options.attribute), options.frames)
    else:
        legs = [blend(start, end, options.frames) for start, end in pairwise([own, *stops])]
        labels = torch.cat([legs[0], *(leg[1:] for leg in legs[1:])])
    try:
        animate(translator, image, labels[1:2])
    except ValueError as error:
        raise ValueError(f"{error}; two frames (--frames 2) need nothing in between") from error
    return labels, None


def _label(text: str, base: Tensor, names: Sequence[str]) -> Tensor:
    """(K,): a number for each name, or ``NAME=VALUE,…`` for some, the others being those of ``base``."""
    if not text:
        return base
    parts = text.split(",")
    if "=" not in text:
        if len(parts) != len(names):
            raise ValueError(f"give {len(names)} numbers, for {', '.join(names)}; got {text!r}, which are {len(parts)}")
        return torch.tensor([_number(part) for part in parts])
    label = base.clone()
    for part in parts:
        name, equals, value = part.rpartition("=")
        if not equals:
            raise ValueError(f"{part!r} has no value: give attributes as AU12=1,AU4=0.5")
        if name not in names:
            raise ValueError(f"there is no attribute {name!r}; the known ones are {', '.join(names)}")
        label[names.index(name)] = _number(value)
    return label


def _number(text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(f"{text!r} is no number: give attributes as AU12=1,AU4=0.5") from None


def _save(source: Image.Image, frames: Sequence[Image.Image], options: argparse.Namespace) -> None:
    """Write strip, animation and frames, and say where."""
    run = options.run if options.run.is_dir() else options.run.parent
    goal = (options.attribute or "-".join(options.to)).replace("/", "-")
    folder = options.out or run / "animations" / f"{options.photo.stem}-{goal}"
    steps = from_0_to_1(len(frames)).tolist()
    captions = [f"{options.attribute} {step:.2f}" if options.attribute else f"{step:.0%}" for step in steps]
    heights = {name: min(max(least, source.height), greatest) for name, (least, greatest) in HEIGHTS.items()}
    save_png(strip([source, *frames], ["photo", *captions], heights["strip"]), folder / "strip.png")
    save_gif([scaled(frame, heights["animation"]) for frame in frames], folder / "animation.gif")
    for number, frame in enumerate(frames, start=1):
        save_png(frame, folder / f"frame-{number:0{len(str(len(frames)))}}-of-{len(frames)}.png")
    print(f"the strip      {folder / 'strip.png'}")
    print(f"the animation  {folder / 'animation.gif'}")
    print(f"the frames     {folder}/frame-*-of-{len(frames)}.png")
