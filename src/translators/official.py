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
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn

from translators.adspm import ADSPM
from translators.base import Translator
from translators.checks import check_known
from translators.cyclegan import CycleGAN
from translators.ganimation import GANimation
from translators.lomit import LOMIT
from translators.stargan import StarGAN

State = Mapping[str, Tensor]
Source = str | os.PathLike[str] | State

OPENFACE_UNITS = tuple(f"AU{number}" for number in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))

# Networks, and the first parameter each has that those above it have not.
TELLTALES = {
    "LOMIT's generator": "c_encoder.main.0.conv.weight",
    "LOMIT's discriminator": "main.0.conv.weight",
    "ADSPM's generator": "encoding.0.weight",
    "GANimation's generator": "attetion_reg.0.weight",
    "StarGAN's generator": "main.1.weight",
    "an attribute discriminator": "conv2.weight",
    "ADSPM's motion classifier": "main.0.bias",
    "CycleGAN's U-Net": "model.model.0.weight",
    "CycleGAN's generator": "model.1.weight",
    "CycleGAN's discriminator": "model.0.weight",
}


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
    return READERS[name](**sources).eval()


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
    _expect(weights, "generator", "StarGAN's generator")
    width, count = _first_layer(weights, "main.0.weight")
    blocks = _count(weights, r"main\.\d+\.main\.0\.weight")
    inferred: dict[str, Any] = {"generator_width": width, "blocks": blocks}
    critic = None
    if discriminator is not None:
        critic, sizes = _attribute_discriminator(
            discriminator,
            "discriminator",
            count - len(settings.get("parts", ())),
            " (if they were trained on several datasets at once, say so: parts)",
        )
        inferred |= sizes
    names = _named(attributes, [f"attribute_{index}" for index in range(count)])
    model = StarGAN(attributes=names, one_hot=one_hot, **(inferred | settings))
    fill(model.generator, weights, "generator")
    if critic is not None:
        fill(model.discriminator, critic, "discriminator")
    return model


def cyclegan(
    generator_ab: Source,
    generator_ba: Source | None = None,
    discriminator_a: Source | None = None,
    discriminator_b: Source | None = None,
    attributes: Sequence[str] = ("A", "B"),
    one_hot: bool = True,
    **settings: Any,
) -> CycleGAN:
    """CycleGAN from the ``….pth`` files of github.com/junyanz/pytorch-CycleGAN-and-pix2pix, old ones too.

    A trap: the authors name a discriminator after the generator it plays against, not after the domain it judges. Their
    D_A judges images of B. So: ``generator_ab="latest_net_G_A.pth"``, ``generator_ba="latest_net_G_B.pth"``,
    ``discriminator_b="latest_net_D_A.pth"``, ``discriminator_a="latest_net_D_B.pth"``. The published weights are of one
    direction, of which the task's name tells the domains: ``generator_ab="horse2zebra_pretrained/latest_net_G.pth"``
    with ``attributes=("horse", "zebra")``.

    Dropout, if there was any in training, is left out.

    Args:
        generator_ab: translates A into B; a residual network, with blur filters or without, or a U-Net.
        generator_ba: translates B into A. Without one it is left as initialised: this warns, since whatever is
            translated into A then is noise. Images of A, with the label of A, are no exception.
        discriminator_a: judges images of A. Without one it is left as initialised: a poor start for training.
        discriminator_b: judges images of B; likewise.
        attributes: the names of A and B, or of the one attribute that B has.
        one_hot: the first of these.
        settings: anything else `CycleGAN` takes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is damaged, holds more than tensors, or does not fit, saying what and why.
    """
    generators = {"ab": generator_ab, **({} if generator_ba is None else {"ba": generator_ba})}
    weights = {way: _cyclegan_weights(source, f"generator_{way}") for way, source in generators.items()}
    sizes = {way: _cyclegan_sizes(state, f"generator_{way}") for way, state in weights.items()}
    if sizes["ab"] != sizes.get("ba", sizes["ab"]):
        raise ValueError(f"the generators are not a pair: generator_ab has {sizes['ab']}, generator_ba {sizes['ba']}")
    inferred: dict[str, Any] = dict(sizes["ab"])
    sources = {"a": discriminator_a, "b": discriminator_b}
    critics = {
        domain: _cyclegan_weights(source, f"discriminator_{domain}")
        for domain, source in sources.items()
        if source is not None
    }
    for domain, critic in critics.items():
        _expect(critic, f"discriminator_{domain}", "CycleGAN's discriminator")
        inferred["discriminator_width"] = _convolution(critic, f"discriminator_{domain}", "model.0.weight")[0]
    model = CycleGAN(attributes=attributes, one_hot=one_hot, **(inferred | settings))
    for way, state in weights.items():
        fill(model.generator[way], state, f"generator_{way}")
    for domain, critic in critics.items():
        fill(model.discriminator[domain], critic, f"discriminator_{domain}")
    if generator_ba is None:
        a = attributes[0] if one_hot else f"no {attributes[0]}"
        rank_zero_warn(f"there is no generator_ba: what is translated into {a} will be noise, until it is trained")
    return model


def _cyclegan_weights(source: Source, name: str) -> State:
    """A file of CycleGAN's, with the names that its blocks have without dropout."""
    state = read(source, name)
    scales = [key for key, value in state.items() if key.endswith(".weight") and value.ndim == 1]
    if scales and _kind(state) in ("CycleGAN's generator", "CycleGAN's U-Net", "CycleGAN's discriminator"):
        raise ValueError(
            f"the {name}'s weights do not fit: they were trained with batch norms ({_some(scales)}), and CycleGAN here "
            "has norms of each image's own, with nothing learnt (the authors' --norm instance)"
        )
    return {re.sub(r"\.conv_block\.6\.", ".conv_block.5.", key): value for key, value in state.items()}


def _cyclegan_sizes(state: State, name: str) -> dict[str, Any]:
    """What kind of generator it is, and how large."""
    if _expect(state, name, "CycleGAN's generator", "CycleGAN's U-Net") == "CycleGAN's U-Net":
        depth = max(key.count("model.") for key in state) - 1  # the levels lie in one another
        width = _convolution(state, name, "model.model.0.weight")[0]
        return {"network": "unet", "generator_width": width, "unet_depth": depth, "image_size": 2**depth}
    return {
        "generator_width": _convolution(state, name, "model.1.weight")[0],
        "blocks": _count(state, r"model\.\d+\.conv_block\.1\.weight"),
        "antialias": any(key.endswith(".filt") for key in state),
    }


def ganimation(
    generator: Source,
    discriminator: Source | None = None,
    attributes: Sequence[str] | None = None,
    mask_convention: Literal["v2", "v1"] = "v2",
    **settings: Any,
) -> GANimation:
    """GANimation from the ``net_epoch_…_id_G.pth`` and ``…_D.pth`` that github.com/albertpumarola/GANimation writes.

    The authors published no weights; these are of others who trained with their code.

    Args:
        generator: its file, or the state dict in it.
        discriminator: likewise. Without one it is left as initialised, for images of ``image_size`` (128, if
            ``settings`` do not say): enough to translate, a poor start for training.
        attributes: names of the action units, in the order of the file's training. If not given: the 17 of OpenFace,
            AU1, AU2, AU4 …, if there are 17, or else unit_0, unit_1, …
        mask_convention: where the file's mask is 1, the input shows through ("v2": the paper's second version and the
            released code), or the colour image ("v1": its first version). A wrong one shows at once: what should be
            edited stays, and all else is painted over.
        settings: anything else `GANimation` takes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is damaged, holds more than tensors, or does not fit, saying what and why.
    """
    check_known("mask_convention", mask_convention, ("v2", "v1"))
    weights = read(generator, "generator")
    _expect(weights, "generator", "GANimation's generator")
    if mask_convention == "v1":  # the mask is a sigmoid of a convolution without bias, and sigmoid(-x) = 1 - sigmoid(x)
        weights["attetion_reg.0.weight"] = -weights["attetion_reg.0.weight"]
    width, count = _first_layer(weights, "main.0.weight")
    blocks = _count(weights, r"main\.\d+\.main\.0\.weight")
    inferred: dict[str, Any] = {"generator_width": width, "blocks": blocks}
    critic = None
    if discriminator is not None:
        critic, sizes = _attribute_discriminator(discriminator, "discriminator", count)
        inferred |= sizes
    usual = OPENFACE_UNITS if count == len(OPENFACE_UNITS) else [f"unit_{index}" for index in range(count)]
    model = GANimation(attributes=_named(attributes, usual), **(inferred | settings))
    fill(model.generator, weights, "generator")
    if critic is not None:
        fill(model.discriminator, critic, "discriminator")
    return model


def adspm(
    generator: Source,
    motion_classifier: Source | None = None,
    discriminators: Mapping[int, Source] | None = None,
    attributes: Sequence[str] | None = None,
    one_hot: bool = False,
    stage: int | None = None,
    **settings: Any,
) -> ADSPM:
    """ADSPM from the ``Stage2-200000-G.ckpt`` or ``Stage3-200000-G.ckpt`` of github.com/mikirui/ADSPM.

    The one is for images of 256 px, the other of 512.

    Args:
        generator: its file, or the state dict in it.
        motion_classifier: likewise, if you have one: the authors published generators only. Whether it sees the label
            besides is read off it. Without one it is left as initialised: a poor start for training.
        discriminators: likewise, by the side of the images they judge: ``{128: …, 256: …}``; not all need be there.
        attributes: names of the label's entries, in the order of the file's training. If not given: Smiling, if there
            is one, as in the published files, or else attribute_0, attribute_1, …
        one_hot: the entries are classes that exclude each other.
        stage: 1, 2 or 3; if not given, the file's. A file of a lower stage fills the lower parts and leaves the others
            as initialised, to be trained: with ``zero_init=True`` they begin as plain upsampling, without it they spoil
            the images at first.
        settings: anything else `ADSPM` takes; ``image_size`` is 128, 256 or 512 by the stage if they do not say.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is damaged, holds more than tensors, or does not fit, saying what and why.
    """
    weights = read(generator, "generator")
    _expect(weights, "generator", "ADSPM's generator")
    width, count = _first_layer(weights, "encoding.0.weight")
    trained = max(map(_stage, weights))
    stage = trained if stage is None else stage
    if stage < trained:
        raise ValueError(f"the generator's weights are of stage {trained}, and do not fit a model of stage {stage}")
    image_size = settings.get("image_size", 128 << (stage - 1))
    inferred: dict[str, Any] = {
        "image_size": image_size,
        "generator_width": width,
        "blocks": _count(weights, r"encoding\.\d+\.main\.0\.weight"),
        "refine_blocks": _count(weights, r"refine\.\d+\.main\.0\.weight"),
    }
    critics: dict[int, State] = {}
    sides = [image_size >> below for below in reversed(range(stage))]
    for side, source in (discriminators or {}).items():
        name = f"discriminator of {side} px"
        critic, sizes = _attribute_discriminator(source, name, count)
        if side not in sides or sizes["image_size"] != side:
            raise ValueError(
                f"the {name} has weights for images of {sizes['image_size']} px, and stage {stage} has discriminators "
                f"for {', '.join(map(str, sides))} px"
            )
        critics[side] = critic
        inferred |= {"discriminator_width": sizes["discriminator_width"], "depth": sizes["depth"] - sides.index(side)}
    motions = None
    if motion_classifier is not None:
        motions = read(motion_classifier, "motion classifier")
        _expect(motions, "motion classifier", "ADSPM's motion classifier")
        out, channels, *_ = _convolution(motions, "motion classifier", "main.0.weight")
        inferred |= {"discriminator_width": out, "motion_classifier_sees_condition": channels == 5 + count}
    names = _named(attributes, ["Smiling"] if count == 1 else [f"attribute_{index}" for index in range(count)])
    model = ADSPM(attributes=names, one_hot=one_hot, stage=stage, **(inferred | settings))
    network = model.generator["image"]
    untrained = {key: value for key, value in network.state_dict().items() if _stage(key) > trained}
    fill(network, {**untrained, **weights}, "generator")
    model.has_weights_below = True
    if motions is not None:
        fill(model.generator["motion_classifier"], motions, "motion classifier")
    for side, state in critics.items():
        fill(model.discriminator[str(side)], state, f"discriminator of {side} px")
    return model


def lomit(
    generator: Source,
    discriminator: Source | None = None,
    attributes: Sequence[str] | None = None,
    one_hot: bool = False,
    **settings: Any,
) -> LOMIT:
    """LOMIT from the ``G_exemplar_….pth`` and ``D_exemplar_….pth`` that the authors' code writes.

    That is github.com/AnonymousIclrAuthor/Highway-Adaptive-Instance-Normalization, which published no weights; these
    are of others who trained with it. Its deviations, nested, become the model's ``std_mode``. Its one style encoder
    becomes two, which a further training tells apart, unless ``settings`` say ``share_style_branches=True``.

    Two things no file tells. The code's first revision had no tanh and sigmoid in the gate and no activations in the
    decoder's perceptrons: its files load, and mean something else. And the authors translate in training mode, by the
    batch's statistics, where the model here goes by the running ones.

    Args:
        generator: its file, or the state dict in it.
        discriminator: likewise. Without one it is left as initialised, for images of ``image_size`` (128, if
            ``settings`` do not say): enough to translate, a poor start for training.
        attributes: names of the label's entries, in the order of the file's training. If not given: attribute_0,
            attribute_1, … of the discriminator's, and a single one without it; the generator sees none.
        one_hot: the entries are classes that exclude each other.
        settings: anything else `LOMIT` takes.

    Raises:
        FileNotFoundError: if there is no such file.
        ValueError: if a file is damaged, holds more than tensors, or does not fit, saying what and why.
    """
    weights = read(generator, "generator", norms_with_memory=("mask.",))
    _expect(weights, "generator", "LOMIT's generator")
    for name in [key for key in weights if key.endswith(".running_mean")]:  # PyTorch 0.4.0 did not count batches
        weights.setdefault(name.replace("running_mean", "num_batches_tracked"), torch.tensor(0))
    inferred: dict[str, Any] = {
        "generator_width": _convolution(weights, "generator", "c_encoder.main.0.conv.weight")[0],
        "blocks": _count(weights, r"c_encoder\.main\.\d+\.main\.0\.conv\.weight"),
        "style_dim": _convolution(weights, "generator", "s_encoder.foreground.3.weight")[0],
        "std_mode": "nested",
    }
    if "decoder.f_mlp.main.0.fc.bias" in weights:
        inferred["mlp_dim"] = weights["decoder.f_mlp.main.0.fc.bias"].numel()
    names, critic = _named(attributes, ["attribute_0"] if attributes is None else attributes), None
    if discriminator is not None:
        critic = read(discriminator, "discriminator")
        _expect(critic, "discriminator", "LOMIT's discriminator")
        told, _, side, _ = _convolution(critic, "discriminator", "conv2.weight")
        names = _named(attributes, [f"attribute_{index}" for index in range(told)])
        depth = _count(critic, r"main\.\d+\.conv\.weight")
        width = _convolution(critic, "discriminator", "main.0.conv.weight")[0]
        inferred |= {"discriminator_width": width, "depth": depth, "image_size": side * 2**depth}
    model = LOMIT(attributes=names, one_hot=one_hot, **(inferred | settings))
    fill(model.generator, weights, "generator")
    if critic is not None:
        fill(model.discriminator, critic, "discriminator")
    return model


def _stage(key: str) -> int:
    """The stage that a parameter of ADSPM's generator came in with."""
    part = key.partition(".")[0]
    return 3 if part.endswith("_refine512") else 2 if part.endswith("_refine") else 1


READERS: dict[str, Callable[..., Translator]] = {
    "stargan": stargan,
    "cyclegan": cyclegan,
    "ganimation": ganimation,
    "adspm": adspm,
    "lomit": lomit,
}


def read(source: Source, network: str, norms_with_memory: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """The state dict of a file, or a given one, without what PyTorch's wrappers and old norms add.

    Args:
        source: a path (zip or legacy format), or a state dict.
        network: what to call it in errors.
        norms_with_memory: beginnings of the names of the batch norms, which keep their running statistics.

    Returns:
        Tensors by name; no ``module.`` in front, no running statistics, which norms of each image's own do not have.

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
            "(This project's own checkpoints are read by Translator.load.)"
        )
    dropped = ("running_mean", "running_var", "num_batches_tracked")
    named = {key.removeprefix("module."): value for key, value in state.items()}
    return {
        key: value for key, value in named.items() if key.startswith(norms_with_memory) or not key.endswith(dropped)
    }


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
        ValueError: if a tensor is missing, left over or of another shape, or two differ that are one here.
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
    tensors: dict[int, str] = {}  # by where they are: the first name of one that has several
    for key, value in expected.items():
        first = tensors.setdefault(value.data_ptr(), key)
        if first != key and not torch.equal(state[first], state[key]):
            raise ValueError(
                f"{first} and {key} are the same in this {name}, and differ in the file: read it into a model that "
                "keeps them apart (LOMIT without share_style_branches)"
            )
    network.load_state_dict(dict(state))


def _kind(state: State) -> str | None:
    """Which network the weights seem to be of."""
    return next((kind for kind, key in TELLTALES.items() if key in state), None)


def _expect(state: State, name: str, *kinds: str) -> str:
    """Which of these networks the weights are of; refuse what plainly is another."""
    kind = _kind(state)
    if kind not in kinds:
        looks = "are of a network that is not known here" if kind is None else f"look like those of {kind}"
        raise ValueError(f"the {name}'s weights do not fit: they {looks}")
    return kind


def _convolution(state: State, name: str, key: str) -> torch.Size:
    """The shape of a convolution, which sizes can be read off."""
    if key not in state:
        raise ValueError(f"the {name}'s weights do not fit: they lack {key}")
    if state[key].ndim != 4:
        raise ValueError(f"the {name}'s {key} must be a convolution's, got the shape {tuple(state[key].shape)}")
    return state[key].shape


def _first_layer(state: State, key: str) -> tuple[int, int]:
    """Channels that a generator's first layer makes, and entries of the label that it takes beside the image."""
    width, channels, *_ = _convolution(state, "generator", key)
    if channels < 4:
        raise ValueError(f"the generator's first layer takes {channels} channels, which leaves none for a label")
    return width, channels - 3


def _attribute_discriminator(
    source: Source, name: str, count: int, advice: str = ""
) -> tuple[dict[str, Tensor], dict[str, int]]:
    """The weights of a discriminator that should tell ``count`` attributes, and its sizes."""
    state = read(source, name)
    _expect(state, name, "an attribute discriminator")
    told, _, side, _ = _convolution(state, name, "conv2.weight")
    if told != count:
        raise ValueError(
            f"generator and {name} are not a pair: the one is for {count} attributes, the other for {told}{advice}"
        )
    depth = _count(state, r"main\.\d+\.weight")
    first = state.get("main.0.weight", state["conv2.weight"])
    return state, {"discriminator_width": len(first), "depth": depth, "image_size": side * 2**depth}


def _named(attributes: Sequence[str] | None, usual: Sequence[str]) -> list[str]:
    """The names given for a file's attributes, or the usual ones, which are as many as the file has."""
    if attributes is None:
        return list(usual)
    if isinstance(attributes, str):
        raise ValueError(f"attributes must be a list of names, got {attributes!r}: [{attributes!r}] is one")
    if len(attributes) != len(usual):
        raise ValueError(
            f"the weights are for {len(usual)} attributes, but {len(attributes)} are named: {', '.join(attributes)}"
        )
    return list(attributes)


def _count(state: State, pattern: str) -> int:
    return sum(re.fullmatch(pattern, key) is not None for key in state)


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
