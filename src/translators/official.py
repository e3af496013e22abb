"""Reading the weights that authors publish.

Networks here keep their authors' parameter names, so that a file needs no translation: it is read without running
anything in it, stripped of what the networks do not have, compared shape by shape, and loaded. What a network's widths,
depths and label count must be is read off the shapes.
"""

from __future__ import annotations

import os
import pickle
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from translators.base import Translator
from translators.stargan import StarGAN

State = Mapping[str, Tensor]
Source = str | os.PathLike[str] | State


def load(name: str, **sources: Any) -> Translator:
    """A translator with its authors' weights, in eval mode.

    ``load("stargan", generator="200000-G.ckpt")`` is `stargan` with that argument, and so on.

    Args:
        name: which translator.
        sources: what its own function here takes.

    Raises:
        ValueError: if the name is unknown, or for what the function refuses.
    """
    if name not in READERS:
        raise ValueError(f"no reader for the authors' weights of {name!r}; there are: {', '.join(READERS)}")
    translator: Translator = READERS[name](**sources).eval()
    return translator


def stargan(
    generator: Source,
    discriminator: Source | None = None,
    attributes: Sequence[str] | None = None,
    one_hot: bool = False,
    **settings: Any,
) -> StarGAN:
    """StarGAN from the ``…-G.ckpt`` and ``…-D.ckpt`` of github.com/yunjey/stargan, whose zip archives must be unpacked.

    Args:
        generator: its file, or the state dict in it.
        discriminator: likewise. Without one it is left as initialised, for images of ``image_size`` (128, if
            ``settings`` do not say): enough to translate, a poor start for training.
        attributes: names of the label's entries, in the order of the file's training: for the CelebA archives
            Black_Hair, Blond_Hair, Brown_Hair, Male, Young. If not given: attribute_0, attribute_1, …
        one_hot: the entries are classes that exclude each other.
        settings: anything else `StarGAN` takes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is damaged, holds more than tensors, or does not fit, saying what and why.
    """
    weights = read(generator, "generator")
    _expect(weights, "generator", has="main.0.weight", lacks="conv1.weight", taken="discriminator")
    width, channels = weights["main.0.weight"].shape[:2]
    count = channels - 3
    if count < 1:
        raise ValueError(f"the generator's first layer takes {channels} channels, which leaves none for a label")
    blocks = _count(weights, r"main\.\d+\.main\.0\.weight")
    inferred: dict[str, Any] = {"generator_width": width, "blocks": blocks}
    critic = None
    if discriminator is not None:
        critic = read(discriminator, "discriminator")
        _expect(critic, "discriminator", has="conv2.weight", lacks="main.1.weight", taken="generator")
        told, _, side, _ = critic["conv2.weight"].shape
        if told != count - len(settings.get("parts", ())):
            raise ValueError(
                f"generator and discriminator are not a pair: the one is for {count} attributes, the other for {told}"
                " (if they were trained on several datasets at once, say so: parts)"
            )
        depth = _count(critic, r"main\.\d+\.weight")
        first = critic.get("main.0.weight", critic["conv2.weight"])
        inferred |= {"discriminator_width": len(first), "depth": depth, "image_size": side * 2**depth}
    if attributes is None:
        attributes = [f"attribute_{index}" for index in range(count)]
    if len(attributes) != count:
        raise ValueError(
            f"the weights are for {count} attributes, but {len(attributes)} are named: {', '.join(attributes)}"
        )
    model = StarGAN(attributes=attributes, one_hot=one_hot, **(inferred | settings))
    fill(model.generator, weights, "generator")
    if critic is not None:
        fill(model.discriminator, critic, "discriminator")
    return model


READERS = {"stargan": stargan}


def read(source: Source, network: str) -> dict[str, Tensor]:
    """The state dict of a file, or a given one, without what PyTorch's wrappers and old norms add.

    Args:
        source: a path (zip or legacy format), or a state dict.
        network: what to call it in errors.

    Returns:
        Tensors by name; no ``module.`` in front, no running statistics, which networks on each image's own do not have.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if it is damaged, or anything but tensors by name.
    """
    where = network if isinstance(source, Mapping) else f"{network} {os.fspath(source)}"
    state = source if isinstance(source, Mapping) else _unpickle(Path(source), where)
    if not isinstance(state, Mapping) or not state:
        raise ValueError(f"{where} is not a state dict, tensors by name, but a {type(state).__name__}")
    others = [str(key) for key, value in state.items() if not (isinstance(key, str) and isinstance(value, Tensor))]
    if others:
        raise ValueError(
            f"{where} is not a state dict: {_some(others)} is no tensor. "
            "(This project's own checkpoints are read by StarGAN.load.)"
        )
    dropped = ("running_mean", "running_var", "num_batches_tracked")
    return {key.removeprefix("module."): value for key, value in state.items() if not key.endswith(dropped)}


def _unpickle(path: Path, where: str) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{where}: {'a folder; name the file in it' if path.is_dir() else 'no such file'}")
    if zipfile.is_zipfile(path):
        _check_archive(path, where)
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(
            f"{where} was refused, and nothing in it was run: it holds other Python objects than tensors, or is damaged"
        ) from error
    except Exception as error:  # a damaged legacy file fails in any way at all
        raise ValueError(
            f"{where} is cut short, damaged, or no file of PyTorch's: {error or 'it ends early'}"
        ) from error


def _check_archive(path: Path, where: str) -> None:
    try:
        with zipfile.ZipFile(path) as archive:
            inside = [name for name in archive.namelist() if name.endswith((".ckpt", ".pth", ".pt"))]
            if inside:
                raise ValueError(f"{where} is an archive of {_some(inside)}: unpack it and name the file you mean")
            damaged = archive.testzip()
    except (zipfile.BadZipFile, EOFError, OSError, NotImplementedError) as error:
        raise ValueError(f"{where} is damaged ({error}): fetch it again") from error
    if damaged is not None:
        raise ValueError(f"{where} is damaged: its record {damaged!r} fails the CRC check; fetch it again")


def fill(network: nn.Module, state: State, name: str) -> None:
    """Put weights into a network, all of them and nothing else.

    Args:
        network: with its authors' parameter names.
        state: from `read`.
        name: what to call it in errors.

    Raises:
        ValueError: if a tensor is missing, left over or of another shape.
    """
    expected = network.state_dict()
    missing, left_over = [key for key in expected if key not in state], [key for key in state if key not in expected]
    misfits = [
        f"{key} {tuple(state[key].shape)} instead of {tuple(value.shape)}"
        for key, value in expected.items()
        if key in state and state[key].shape != value.shape
    ]
    faults = {"it lacks": missing, "it has besides": left_over, "of another shape:": misfits}
    said = [f"{fault} {_some(keys)}" for fault, keys in faults.items() if keys]
    if said:
        raise ValueError(f"the {name}'s weights do not fit: {'; '.join(said)}")
    network.load_state_dict(dict(state))


def _expect(state: State, name: str, has: str, lacks: str, taken: str) -> None:
    """Refuse what plainly is another network."""
    if lacks in state:
        raise ValueError(f"the {name}'s weights do not fit: with {lacks} in them they look like a {taken}'s")
    if has not in state:
        raise ValueError(f"the {name}'s weights do not fit: they lack {has} and must be of another network")
    if state[has].ndim != 4:
        raise ValueError(f"the {name}'s {has} must be a convolution's, got the shape {tuple(state[has].shape)}")


def _count(state: State, pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in state)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
