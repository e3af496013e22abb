"""Animations: one picture, many labels, a forward pass a frame; and the verb ``python -m translators animate``."""

from __future__ import annotations

import argparse
import inspect
import os
import struct
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import numpy as np
import torch
from PIL import Image, ImageDraw, ImageFont, ImageOps
from torch import Tensor
from torch.nn import functional

from translators.types import Target

if TYPE_CHECKING:  # Lightning takes seconds to import
    from translators.base import Translator

BATCH = 8  # frames that are translated together
FEATHER = 0.1  # of a box's side, over which what is pasted fades into the photo
HEIGHTS = {"strip": (128, 256), "animation": (128, 640)}  # least and greatest of a shown frame, in pixels
# What Pillow and the libraries under it raise on files that are broken, cut short or absurdly large.
BROKEN = (OSError, SyntaxError, ValueError, EOFError, TypeError, LookupError, ArithmeticError, struct.error)

Box = tuple[int, int, int, int]  # left, top, right, bottom, in pixels; the last two are not part of it


# ------------------------------------------------------------------------------------------------ labels


def blend(own: Tensor, target: Tensor, frames: int) -> Tensor:
    """Labels on the way from a picture's own to another: y = alpha * target + (1 - alpha) * own (GANimation, sect. 4).

    Args:
        own: (K,).
        target: (K,).
        frames: T, at least 2; alpha goes from 0 to 1 in equal steps.

    Returns:
        (T, K); the first is ``own`` and the last ``target``, exactly.

    Raises:
        ValueError: on fewer frames, or labels of different lengths.
    """
    if own.shape != target.shape or own.ndim != 1:
        raise ValueError(f"two labels (K,) are blended, got {tuple(own.shape)} and {tuple(target.shape)}")
    alpha = _from_0_to_1(frames)[:, None]
    return alpha * target + (1 - alpha) * own


def sweep(label: Tensor, attribute: int, frames: int) -> Tensor:
    """Labels that differ in one attribute, which goes from 0 to 1 (GANimation, fig. 4).

    Args:
        label: (K,), what the other attributes are.
        attribute: its column.
        frames: T, at least 2.

    Returns:
        (T, K).

    Raises:
        ValueError: on fewer frames.
    """
    values = _from_0_to_1(frames)
    labels = label.repeat(frames, 1)
    labels[:, attribute] = values
    return labels


def _from_0_to_1(frames: int) -> Tensor:
    if frames < 2:
        raise ValueError(f"an animation has at least 2 frames, its beginning and its end; got {frames}")
    return torch.linspace(0, 1, frames)


# ------------------------------------------------------------------------------------------------ frames


def animate(translator: Translator, image: Tensor, labels: Tensor, strengths: Tensor | None = None) -> Tensor:
    """Translate a picture once for each label; of a translator with an averaged generator, by that.

    Args:
        translator: any whose `translate` reads the label.
        image: (3, H, W) in [-1, 1].
        labels: (T, K).
        strengths: (T,), for a `translate` that `takes_strength`: how strongly each frame is edited.

    Returns:
        (T, 3, H, W) in [-1, 1], float32, on the CPU.

    Raises:
        ValueError: if the translator does not take the image or one of the labels.
    """
    image, labels = image.to(translator.device), labels.to(translator.device)
    frames = []
    with translator.averaged():
        if strengths is None:
            for part in labels.split(BATCH):
                frames.append(translator.translate(image.expand(len(part), -1, -1, -1), Target(label=part)).image)
        else:
            translate = cast(Any, translator.translate)
            for label, strength in zip(labels, strengths.tolist(), strict=True):
                frames.append(translate(image[None], Target(label=label[None]), strength=strength).image)
    return torch.cat(frames).float().cpu()


def takes_strength(translator: Translator) -> bool:
    """Whether its `translate` has an argument ``strength``, 0 for no edit and 1 for the whole, as ADSPM's has."""
    return "strength" in inspect.signature(translator.translate).parameters


def pictures(images: Tensor) -> list[Image.Image]:
    """(B, 3, H, W) in [-1, 1] as so many RGB pictures; values beyond are clipped."""
    pixels = ((images.float().cpu().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(one) for one in pixels]


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


# ------------------------------------------------------------------------------------------------ what is shown


def strip(frames: Sequence[Image.Image], captions: Sequence[str], tile: int = 128) -> Image.Image:
    """Frames side by side, a caption above each.

    Args:
        frames: of one size.
        captions: one for each.
        tile: height that they are shown at, in pixels.
    """
    shown = [_scaled(frame, tile) for frame in frames]
    width, gap, size = shown[0].width, 2, max(10, tile // 9)
    widest = max(ImageFont.load_default(size).getlength(caption) for caption in captions)
    font = ImageFont.load_default(max(6, int(size * min(1, width / (widest + 2)))))
    room = tile // 4
    sheet = Image.new("RGB", (len(shown) * (width + gap) - gap, room + tile), "white")
    pen = ImageDraw.Draw(sheet)
    for number, (frame, caption) in enumerate(zip(shown, captions, strict=True)):
        left = number * (width + gap)
        pen.text((left + width // 2, room // 2), caption, "black", font, anchor="mm")
        sheet.paste(frame, (left, room))
    return sheet


def save_gif(frames: Sequence[Image.Image], path: Path, seconds_a_frame: float = 0.15) -> None:
    """Write an animation that goes to and fro for ever: whole, or not at all.

    Args:
        frames: of one size.
        path: of the GIF; its folder is made if need be.
        seconds_a_frame: in hundredths, the unit of the format.
    """
    there_and_back = [*frames, *frames[-2:0:-1]]
    settings: dict[str, Any] = {"duration": round(1000 * seconds_a_frame), "loop": 0, "save_all": True}
    _write(path, lambda file: there_and_back[0].save(file, "GIF", append_images=there_and_back[1:], **settings))


def _scaled(picture: Image.Image, height: int) -> Image.Image:
    if picture.height == height:
        return picture
    width = max(1, round(picture.width * height / picture.height))
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def _save_png(picture: Image.Image, path: Path) -> None:
    _write(path, lambda file: picture.save(file, "PNG"))


def _write(path: Path, save: Callable[[IO[bytes]], None]) -> None:
    """Write beside the final name, then rename."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-")
    try:
        with os.fdopen(descriptor, "wb") as file:
            save(file)
        Path(unfinished).chmod(0o644)
        Path(unfinished).replace(path)
    finally:
        Path(unfinished).unlink(missing_ok=True)


# ------------------------------------------------------------------------------------------------ a photo


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
    goal.add_argument("--to", metavar="NAME=VALUE,…", help="what attributes come to, such as AU12=1,AU4=0.5")
    parser.add_argument(
        "--own",
        default="",
        metavar="LABEL",
        help="the photo's own attributes: a number for each, or NAME=VALUE,… and 0 for the others (default: all 0)",
    )
    parser.add_argument("--frames", type=int, default=9, help="of the way there (default: %(default)s)")
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
    image, (labels, strengths) = tensor(cut), _course(translator, options)
    try:
        translations = animate(translator, image, labels, strengths)
    except ValueError as error:
        hint = "; two frames (--frames 2) need nothing in between" if options.frames > 2 else ""
        raise ValueError(f"{type(translator).__name__} cannot make these frames: {error}{hint}") from error
    if options.box:
        source, frames = photo, [paste(photo, box, image, one) for one in translations]
    else:
        source, frames = cut, pictures(translations)
    _save(source, frames, options)


def _course(translator: Translator, options: argparse.Namespace) -> tuple[Tensor, Tensor | None]:
    """(T, K) labels, and for a translator that takes them (T,) strengths, in which case the label stays the same."""
    names, classes = translator.attributes, translator.hparams["one_hot"]
    own = _label(options.own, torch.zeros(len(names)), names)
    base = torch.zeros_like(own) if classes else own  # a class takes the place of another
    target = _label(options.to or f"{options.attribute}=1", base, names)
    if takes_strength(translator):
        strengths = _from_0_to_1(options.frames)
        return target.expand(len(strengths), -1), strengths
    if options.to or classes:
        return blend(own, target, options.frames), None
    return sweep(own, names.index(options.attribute), options.frames), None


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
        name, _, value = part.rpartition("=")
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
    goal = (options.attribute or options.to).replace("/", "-")
    folder = options.out or run / "animations" / f"{options.photo.stem}-{goal}"
    steps = _from_0_to_1(len(frames)).tolist()
    captions = [f"{options.attribute} {step:.2f}" if options.attribute else f"{step:.0%}" for step in steps]
    heights = {name: min(max(least, source.height), greatest) for name, (least, greatest) in HEIGHTS.items()}
    _save_png(strip([source, *frames], ["photo", *captions], heights["strip"]), folder / "strip.png")
    save_gif([_scaled(frame, heights["animation"]) for frame in frames], folder / "animation.gif")
    for number, frame in enumerate(frames, start=1):
        _save_png(frame, folder / f"frame-{number:0{len(str(len(frames)))}}-of-{len(frames)}.png")
    print(f"the strip      {folder / 'strip.png'}")
    print(f"the animation  {folder / 'animation.gif'}")
    print(f"the frames     {folder}/frame-*-of-{len(frames)}.png")
