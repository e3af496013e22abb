"""Animations: one picture, many labels, a forward pass a frame; shown as a strip and as a GIF."""

from __future__ import annotations

import inspect
import os
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast

import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

if TYPE_CHECKING:  # Lightning takes seconds to import
    from translators.base import Translator

BATCH = 8  # frames that are translated together


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
    alpha = from_0_to_1(frames)[:, None]
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
    values = from_0_to_1(frames)
    labels = label.float().repeat(frames, 1)
    labels[:, attribute] = values
    return labels


def from_0_to_1(frames: int) -> Tensor:
    """(T,) in equal steps, the ends exact.

    Raises:
        ValueError: on fewer than 2 frames.
    """
    if frames < 2:
        raise ValueError(f"an animation has at least 2 frames, its beginning and its end; got {frames}")
    return torch.linspace(0, 1, frames)


# ------------------------------------------------------------------------------------------------ frames


def animate(
    translator: Translator,
    image: Tensor,
    labels: Tensor,
    strengths: Tensor | None = None,
    own: Tensor | None = None,
) -> Tensor:
    """Translate a picture once for each label; of a translator with an averaged generator, by that.

    Args:
        translator: any whose `translate` reads the label.
        image: (3, H, W) in [-1, 1].
        labels: (T, K).
        strengths: (T,), for a `translate` that `takes_strength`: how strongly each frame is edited.
        own: (K,), what the picture itself shows, if it is known.

    Returns:
        (T, 3, H, W) in [-1, 1], float32, on the CPU.

    Raises:
        ValueError: if the translator does not take the image or one of the labels.
    """
    image, labels = image.to(translator.device), labels.to(translator.device)
    shown = None if own is None else own.to(labels).expand_as(labels)
    frames = []
    with translator.averaged():
        if strengths is None:
            for start in range(0, len(labels), BATCH):
                rows = slice(start, start + BATCH)
                wish = translator.wish(labels[rows], None if shown is None else shown[rows])
                frames.append(translator.translate(image.expand(len(labels[rows]), -1, -1, -1), wish).image)
        else:
            translate = cast(Any, translator.translate)
            for row, strength in enumerate(strengths.tolist()):
                wish = translator.wish(labels[row : row + 1], None if shown is None else shown[row : row + 1])
                frames.append(translate(image[None], wish, strength=strength).image)
    return torch.cat(frames).float().cpu()


def takes_strength(translator: Translator) -> bool:
    """Whether its `translate` has an argument ``strength``, 0 for no edit and 1 for the whole, as ADSPM's has."""
    return "strength" in inspect.signature(translator.translate).parameters


def pictures(images: Tensor) -> list[Image.Image]:
    """(B, 3, H, W) in [-1, 1] as so many RGB pictures; values beyond are clipped."""
    pixels = ((images.float().cpu().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).numpy()
    return [Image.fromarray(one) for one in pixels]


# ------------------------------------------------------------------------------------------------ what is shown


def strip(frames: Sequence[Image.Image], captions: Sequence[str], tile: int = 128) -> Image.Image:
    """Frames side by side, a caption above each.

    Args:
        frames: of one size.
        captions: one for each.
        tile: height that they are shown at, in pixels.
    """
    shown = [scaled(frame, tile) for frame in frames]
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


def scaled(picture: Image.Image, height: int) -> Image.Image:
    """The picture at another height, in pixels, with its proportions."""
    if picture.height == height:
        return picture
    width = max(1, round(picture.width * height / picture.height))
    return picture.resize((width, height), Image.Resampling.BICUBIC)


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a picture: whole, or not at all; its folder is made if need be."""
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
