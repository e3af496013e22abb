"""What every dataset shares: loaders, splits, the independent draw of a reference, and edits of a label."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Literal

import cv2
import numpy as np
import torch
from pytorch_lightning import LightningDataModule
from pytorch_lightning.utilities import rank_zero_only
from torch import Tensor
from torch.utils.data import DataLoader, Dataset

from datamodules.cache import cached
from datamodules.records import Records
from datamodules.sampler import Key, RowBatches, StepBatches
from datamodules.transforms import Augment, evaluation, training

Split = Literal["train", "val", "test"]


class Samples(Dataset[dict[str, Tensor]]):
    """The items of a split by key: (row, row of the reference, seed of the augmentation).

    Args:
        records: the split.
        augment: from a picture and a seed to a tensor in [-1, 1].
        cache_dir: where decoded pictures are kept; None decodes them anew each time.
    """

    def __init__(self, records: Records, augment: Augment, cache_dir: Path | None = None) -> None:
        self.labels = torch.from_numpy(np.asarray(records.labels, dtype=np.float32))
        self.read: Callable[[int], np.ndarray] = records.read if cache_dir is None else cached(records, cache_dir).read
        self.augment = augment

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, key: Key) -> dict[str, Tensor]:
        row, reference, seed = key
        return {
            "image": self.augment(self.read(row), 2 * seed),
            "label": self.labels[row],
            "index": torch.tensor(row),
            "reference": self.augment(self.read(reference), 2 * seed + 1),
            "reference_label": self.labels[reference],
            "reference_index": torch.tensor(reference),
        }


class ImageDataModule(LightningDataModule, ABC):
    """Batches (``translators.types.Batch``) of labelled pictures; a dataset adds its ``records`` and its names.

    Training batches are a function of (seed, step) and begin at the trainer's step: a resumed run sees what an
    uninterrupted one would have seen, with any number of workers, and n processes together see what one would have.

    Args:
        image_size: side of the square pictures, in pixels.
        batch_size: per process.
        num_workers: loader processes; 0 loads in the training process.
        seed: at least 0; of order, references and augmentation.
        flip: mirror training pictures half of the time.
        cache: keep decoded pictures on disk and map them into memory: (N, size, size, 3) bytes for each split.
        cache_dir: where; None is ``unpaired-image-zoo`` in the user's cache folder. May be deleted at any time.
        balance: draw every domain (every distinct label) equally often in training, with replacement.

    Attributes:
        attributes: the K names, in label order.
        one_hot: whether exactly one attribute is 1.
        exclusive: groups of names of which at most one is 1.
    """

    attributes: tuple[str, ...]
    one_hot: bool = False
    exclusive: tuple[tuple[str, ...], ...] = ()

    def __init__(
        self,
        image_size: int = 128,
        batch_size: int = 16,
        num_workers: int = 2,
        seed: int = 0,
        flip: bool = True,
        cache: bool = True,
        cache_dir: str | None = None,
        balance: bool = False,
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
        self.image_size, self.batch_size, self.num_workers = image_size, batch_size, num_workers
        self.seed, self.flip, self.balance = seed, flip, balance
        self.cache_dir = (Path(cache_dir).expanduser() if cache_dir else default_cache_dir()) if cache else None
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
            augment = training(self.flip) if split == "train" else evaluation()
            self._samples[split] = Samples(self.records(split), augment, self.cache_dir)
        return self._samples[split]

    def setup(self, stage: str) -> None:
        """Prepare the splits of a stage; the first process says what is in them."""
        splits: dict[str, tuple[Split, ...]] = {"fit": ("train", "val"), "validate": ("val",), "test": ("test",)}
        for split in splits.get(stage, ()):
            samples = self.samples(split)
            announce(f"{split}: {self.summary(samples.labels)}")

    def summary(self, labels: Tensor) -> str:
        """Counts of each domain or attribute in (N, K) labels, and how unevenly they are spread."""
        counts = (labels >= 0.5).sum(0).tolist()
        total = max(len(labels), 1)
        parts = [f"{name} {count:,} ({count / total:.0%})" for name, count in zip(self.attributes, counts, strict=True)]
        return f"{len(labels):,} images: {', '.join(parts)}; {_imbalance(counts, self.attributes)}"

    def train_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """Batches from the trainer's step on, as many as it wants; without a trainer, the first epoch."""
        samples = self.samples("train")
        rank, world = self._rank_and_world()
        batches = StepBatches(
            samples.labels.numpy(),
            self.batch_size,
            self.seed,
            self.balance,
            rank,
            world,
            start=self._first_step,
            total=self._last_step,
        )
        return self._loader(samples, batches, self.num_workers)

    def val_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """The validation split, each row once and in order."""
        return self._held_out("val")

    def test_dataloader(self) -> DataLoader[dict[str, Tensor]]:
        """The test split, each row once and in order."""
        return self._held_out("test")

    def edits(self, label: Tensor) -> Tensor:
        """The targets of a gallery: one for each attribute (the preset list of StarGAN's released code).

        A domain folder's edit is the domain. Otherwise a bit is flipped and an action unit goes to the other end,
        except that of an exclusive group (hair colours) the attribute is set and the others are cleared: asking for
        the colour that is there changes nothing.

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
        return targets

    def _held_out(self, split: Split) -> DataLoader[dict[str, Tensor]]:
        samples = self.samples(split)
        batches = RowBatches(len(samples), self.batch_size, self.seed, *self._rank_and_world())
        # Forking workers while those of training run can deadlock in CPython; from a cache they would gain little.
        return self._loader(samples, batches, 0 if self.cache_dir else self.num_workers)

    def _loader(
        self, samples: Samples, batches: StepBatches | RowBatches, num_workers: int
    ) -> DataLoader[dict[str, Tensor]]:
        return DataLoader(
            samples,
            batch_sampler=batches,
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=_one_thread,
        )

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


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)  # its thread pool does not survive a fork, and the other workers have the cores


def _imbalance(counts: Sequence[int], names: Sequence[str]) -> str:
    most, least = int(np.argmax(counts)), int(np.argmin(counts))
    if counts[least] == 0:
        return f"{names[least]} never occurs"
    return f"imbalance {counts[most] / counts[least]:.1f} : 1 ({names[most]} : {names[least]})"
