"""Out of a split's records the batches that a translator sees."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.utils.data import DataLoader, Dataset, Sampler

from datamodules.cache import cached
from datamodules.records import Records
from datamodules.sampler import Key
from datamodules.transforms import Augment, to_tensor


class Samples(Dataset[dict[str, Tensor]]):
    """The batches of a split by key: for each picture (row, row of the reference, seed of the augmentation).

    Args:
        records: the split.
        flip: mirror half of the pictures.
        augment: what else happens to a picture.
        cache_dir: where decoded pictures are kept; None decodes them anew each time.
    """

    def __init__(
        self, records: Records, flip: bool = False, augment: Augment | None = None, cache_dir: Path | None = None
    ) -> None:
        self.labels = torch.from_numpy(np.asarray(records.labels, dtype=np.float32))
        self.extras = {name: torch.from_numpy(values) for name, values in records.extras.items()}
        self.read: Callable[[int], np.ndarray] = records.read if cache_dir is None else cached(records, cache_dir).read
        self.flip, self.augment = flip, augment

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, keys: list[Key]) -> dict[str, Tensor]:
        """A whole batch, but for its pictures, which are (B, H, W, 3) uint8."""
        rows, references, seeds = zip(*keys, strict=True)
        found = (self._part("", rows, seeds, 0), self._part("reference", references, seeds, 1))
        return found[0] | found[1]

    def _part(self, prefix: str, rows: Sequence[int], seeds: Sequence[int], stream: int) -> dict[str, Tensor]:
        """The sources, or with a prefix the references, which are augmented by themselves."""
        images = np.stack([self._picture(row, seed, stream) for row, seed in zip(rows, seeds, strict=True)])
        index = torch.tensor(rows)
        columns = {"label": self.labels[index], "index": index}
        columns |= {name: values[index] for name, values in self.extras.items()}
        named = {f"{prefix}_{name}" if prefix else name: column for name, column in columns.items()}
        return {prefix or "image": torch.from_numpy(images), **named}

    def _picture(self, row: int, seed: int, stream: int) -> np.ndarray:
        image = self.read(row)
        if self.augment:
            image = self.augment(image, 2 * seed + stream)
        return image[:, ::-1] if self.flip and seed >> stream & 1 else image  # a coin for each stream


class Batches(DataLoader[dict[str, Tensor]]):
    """Batches (``translators.types.Batch``); they come from the workers as bytes, a quarter of what floats would be.

    Args:
        samples: of a split.
        keys: for each batch the keys of its items.
        num_workers: loader processes; 0 loads in this one.
    """

    def __init__(self, samples: Samples, keys: Sampler[list[Key]], num_workers: int) -> None:
        super().__init__(
            samples,
            sampler=keys,
            batch_size=None,  # the sampler's items are whole batches of keys, and so are the samples' answers
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            worker_init_fn=_one_thread,
        )

    def __iter__(self) -> Iterator[dict[str, Tensor]]:  # type: ignore[override]  # torch gives its iterator a class
        for batch in super().__iter__():
            yield batch | {name: to_tensor(batch[name]) for name in ("image", "reference")}


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)  # its thread pool does not survive a fork, and the other workers have the cores
