"""What every dataset shares: loaders, splits, the independent draw of a reference, and edits of a label."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Collection, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal, get_args

import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import Sampler

from datamodules.records import Records
from datamodules.sampler import Key, RowBatches, StepBatches
from datamodules.samples import Batches, Samples
from datamodules.transforms import Augment, BasicTransform

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = get_args(Split)
STAND_IN: dict[Split, Split] = {"val": "test", "test": "val"}


class ImageDataModule(LightningDataModule, ABC):
    """Batches (``translators.types.Batch``) of labelled pictures; a dataset adds its ``records`` and its names.

    Training batches are a function of (seed, step) and begin at the trainer's step: a resumed run sees what an
    uninterrupted one would have seen, with any number of workers, and n processes together see what one would have.
    As the batches are dealt to the processes here, a trainer of your own needs ``use_distributed_sampler=False``.

    Args:
        image_size: side of the square pictures, in pixels.
        batch_size: per process.
        num_workers: loader processes; 0 loads in the training process.
        seed: at least 0; of order, references and augmentation.
        flip: mirror training pictures half of the time.
        augment: albumentations transforms that training pictures go through before that, in this order.
        cache: keep decoded pictures on disk and map them into memory: (N, size, size, 3) bytes for each split.
        cache_dir: where; None is ``unpaired-image-zoo`` in the user's cache folder. May be deleted at any time.
        balance: draw every domain (every distinct label) equally often in training, with replacement.
        reference: what the reference of a picture is drawn from: "any" picture, or those of an "other" label.

    Attributes:
        attributes: the K names, in label order.
        one_hot: whether exactly one attribute is 1.
        intensities: labels are intensities in [0, 1], not presence.
        exclusive: groups of names of which one is meant to be 1, as hair has one colour.
        conflicts: pairs of names that cannot both be 1, but may both be 0, as a fringe and a receding hairline.
        parts: of several datasets at once, how many attributes each of them labels, and whether one-hot.
        entry: of a public dataset, its name in the catalogue.
        stand_ins: the split that was read in place of another, by the latter's name; reports name it.
    """

    entry: str | None = None
    attributes: tuple[str, ...]
    one_hot: bool = False
    intensities: bool = False
    exclusive: tuple[tuple[str, ...], ...] = ()
    conflicts: tuple[tuple[str, ...], ...] = ()
    parts: tuple[tuple[int, bool], ...] = ()

    def __init__(
        self,
        image_size: int = 128,
        batch_size: int = 16,
        num_workers: int = 2,
        seed: int = 0,
        flip: bool = True,
        augment: list[BasicTransform] | None = None,
        cache: bool = True,
        cache_dir: str | None = None,
        balance: bool = False,
        reference: Literal["any", "other"] = "any",
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("image_size", image_size, 1),
            ("batch_size", batch_size, 1),
            ("num_workers", num_workers, 0),
            ("seed", seed, 0),
        ):
            if value < least:
                raise ValueError(f"{name} must be at least {least}, got {value}")
        if reference not in ("any", "other"):
            raise ValueError(f"reference must be any or other, got {reference!r}")
        self.image_size, self.batch_size, self.num_workers = image_size, batch_size, num_workers
        self.seed, self.flip, self.balance, self.reference = seed, flip, balance, reference
        self.augment = Augment(augment) if augment else None
        self.cache_dir = (Path(cache_dir).expanduser() if cache_dir else default_cache_dir()) if cache else None
        self.stand_ins: dict[Split, Split] = {}
        self._samples: dict[str, Samples] = {}

    @property
    def num_attributes(self) -> int:
        """K, the width of a label."""
        return len(self.attributes)

    @abstractmethod
    def records(self, split: Split) -> Records:
        """The pictures and labels of a split."""

    def samples(self, split: Split) -> Samples:
        """The items of a split, read (and decoded into the cache) once and then kept."""
        if split not in self._samples:
            records, augmented = self.records(split), split == "train"
            self._samples[split] = Samples(
                records, self.flip and augmented, self.augment if augmented else None, self.cache_dir
            )
        return self._samples[split]

    def setup(self, stage: str) -> None:
        """Prepare the splits of a stage; the first process says what is in them."""
        splits: dict[str, tuple[Split, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        for split in splits.get(stage, ()):
            samples = self.samples(split)
            announce(f"{split}: {self.summary(samples.labels)}")

    def standing_in(self, split: Split, present: Collection[Split], where: str) -> Split:
        """The split itself if it is present, else, for val and test, the other one; a line and ``stand_ins`` say so.

        Args:
            split: what was asked for.
            present: what there is.
            where: it was looked for, for the sentence.
        Raises:
            FileNotFoundError: if neither is there.
        """
        if split in present:
            return split
        other = STAND_IN.get(split)
        if other is None or other not in present:
            raise FileNotFoundError(f"{where} has no {split} split, only {', '.join(present) or 'nothing'}")
        announce(f"{where} has no {split} split: {other} stands in for it")
        self.stand_ins[split] = other
        return other

    def summary(self, labels: Tensor) -> str:
        """Counts of each domain or attribute in (N, K) labels, and how unevenly they are spread."""
        counts = (labels >= 0.5).sum(0).tolist()
        total = max(len(labels), 1)
        parts = [f"{name} {count:,} ({count / total:.0%})" for name, count in zip(self.attributes, counts, strict=True)]
        if len(counts) == 1:
            return f"{len(labels):,} images: {parts[0]}"
        return f"{len(labels):,} images: {', '.join(parts)}; {_imbalance(counts, self.attributes)}"

    def train_dataloader(self) -> Batches:
        """Batches from the trainer's step on, as many as it wants; without a trainer, the first epoch."""
        samples = self.samples("train")
        return Batches(samples, self._training_keys(samples), self.num_workers)

    def val_dataloader(self) -> Batches:
        """The validation split, each row once and in order."""
        return self._held_out("val")

    def test_dataloader(self) -> Batches:
        """The test split, each row once and in order."""
        return self._held_out("test")

    def edits(self, label: Tensor) -> Tensor:
        """The targets of a gallery: one for each attribute (the preset list of StarGAN's released code).

        A domain folder's edit is the domain. Otherwise a bit is flipped and an action unit goes to the other end. Of an
        exclusive group (hair colours) the attribute is set and the others are cleared: asking for the colour that is
        there changes nothing. What is switched on clears what it conflicts with; switching off clears nothing.

        Args:
            label: (B, K), values in [0, 1].
        Returns:
            (B, K, K); edit ``[:, i]`` is about attribute i.
        Raises:
            ValueError: if the label has another width.
        """
        count = self.num_attributes
        if label.ndim != 2 or label.shape[1] != count:
            raise ValueError(f"labels must be (B, {count}), for {', '.join(self.attributes)}; got {tuple(label.shape)}")
        single = torch.eye(count, dtype=label.dtype, device=label.device)
        if self.one_hot:
            return single.repeat(len(label), 1, 1)
        targets = torch.where(single.bool(), (label < 0.5).to(label)[:, None], label[:, None])
        for group in self.exclusive:
            members = [self.attributes.index(name) for name in group]
            for member in members:
                targets[:, member, members] = single[member, members]
        for pair in self.conflicts:
            one, other = (self.attributes.index(name) for name in pair)
            for edit, cleared in ((one, other), (other, one)):
                targets[:, edit, cleared] *= (targets[:, edit, edit] < 0.5).to(label)
        return targets

    def _held_out(self, split: Split) -> Batches:
        samples = self.samples(split)
        # Forking workers while those of training run can deadlock in CPython; from a cache they would gain little.
        return Batches(samples, self._held_out_keys(samples), 0 if self.cache_dir else self.num_workers)

    def _training_keys(self, samples: Samples) -> Sampler[list[Key]]:
        labels, other = samples.labels.numpy(), self.reference == "other"
        place, first, last = self._rank_and_world(), self._first_step, self._last_step
        return StepBatches(labels, self.batch_size, self.seed, self.balance, other, *place, first, last)

    def _held_out_keys(self, samples: Samples) -> Sampler[list[Key]]:
        labels, other = samples.labels.numpy(), self.reference == "other"
        return RowBatches(labels, self.batch_size, self.seed, other, *self._rank_and_world())

    def _rank_and_world(self) -> tuple[int, int]:
        return (self.trainer.global_rank, self.trainer.world_size) if self.trainer else (0, 1)

    def _first_step(self) -> int:
        return self.trainer.global_step if self.trainer else 0

    def _last_step(self) -> int | None:
        return self.trainer.max_steps if self.trainer and self.trainer.max_steps >= 0 else None


@rank_zero_only
def announce(text: str) -> None:
    """Print a line, once for all processes."""
    print(text)


def default_cache_dir() -> Path:
    """The project's folder in the user's cache folder."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "unpaired-image-zoo"


def nearest(name: str, known: Sequence[str]) -> str:
    """The end of a sentence about an unknown name: the known one it resembles, if any, then all of them."""
    close = get_close_matches(name, known, n=1) or get_close_matches(name.lower(), [k.lower() for k in known], n=1)
    match = next((k for k in known if close and k.lower() == close[0].lower()), None)
    return (f"did you mean {match!r}? " if match else "") + f"Known: {', '.join(known)}"


def chosen(names: Sequence[str] | None, known: Sequence[str], kind: str) -> tuple[str, ...]:
    """The names asked for, in their order, or all known ones for None.

    Args:
        names: what was asked for.
        known: what exists.
        kind: "attribute" or "domain", for the error's sentence.

    Raises:
        ValueError: if a name is unknown (with the nearest known one) or given twice, or if there is none.
    """
    if names is None:
        return tuple(known)
    for name in names:
        if name not in known:
            raise ValueError(f"there is no {kind} {name!r}: {nearest(name, known)}")
    if not names or len(set(names)) < len(names):
        raise ValueError(f"name each {kind} once, and at least one; got {list(names)}")
    return tuple(names)


def _imbalance(counts: Sequence[int], names: Sequence[str]) -> str:
    most, least = int(np.argmax(counts)), int(np.argmin(counts))
    if counts[least] == 0:
        return f"{names[least]} never occurs"
    if counts[most] == counts[least]:
        return "balanced"
    return f"imbalance {counts[most] / counts[least]:.1f} : 1 ({names[most]} : {names[least]})"
