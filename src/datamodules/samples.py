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


class Samples(Dataset[tuple[list[Key], Tensor]]):
    """The pictures of a split, by the keys of a batch: each is (row, row of the reference, seed of the augmentation).

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
        source = records if cache_dir is None else cached(records, cache_dir)
        self.read_all: Callable[[Sequence[int]], np.ndarray] = source.read_all
        self.flip, self.augment = flip, augment

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, keys: list[Key]) -> tuple[list[Key], Tensor]:
        """The keys, and the (2B, H, W, 3) uint8 pictures of the sources and then the references, augmented."""
        rows, references, seeds = zip(*keys, strict=True)
        images = self.read_all(rows + references)
        for place, seed in enumerate(seeds + seeds):
            stream = int(place >= len(keys))  # sources and references are augmented each by themselves
            if self.augment:
                images[place] = self.augment(images[place], 2 * seed + stream)
            if self.flip and seed >> stream & 1:
                images[place] = cv2.flip(images[place], 1)
        return keys, torch.from_numpy(images)

    def batch(self, keys: list[Key], images: Tensor) -> dict[str, Tensor]:
        """A batch (``translators.types.Batch``), of what was got for the keys."""
        rows, references, _ = map(torch.tensor, zip(*keys, strict=True))
        parts = (("", rows, images[: len(keys)]), ("reference", references, images[len(keys) :]))
        return {name: column for part in parts for name, column in self._columns(*part)}

    def _columns(self, prefix: str, rows: Tensor, images: Tensor) -> Iterator[tuple[str, Tensor]]:
        yield prefix or "image", to_tensor(images)
        for name, column in {"label": self.labels, **self.extras}.items():
            yield f"{prefix}_{name}".lstrip("_"), column[rows]
        yield f"{prefix}_index".lstrip("_"), rows


class Batches(DataLoader[tuple[list[Key], Tensor]]):
    """Batches (``translators.types.Batch``). From its workers only bytes come; this process makes numbers of them.

    Args:
        samples: of a split.
        keys: for each batch the keys of its items.
        num_workers: loader processes; 0 loads in this one.
    """

    def __init__(self, samples: Samples, keys: Sampler[list[Key]], num_workers: int) -> None:
        self.samples = samples
        super().__init__(
            samples,
            sampler=keys,
            batch_size=None,  # the sampler's items are whole batches of keys, and so are the samples' answers
            num_workers=num_workers,
            persistent_workers=num_workers > 0,
            worker_init_fn=_one_thread,
        )

    def __iter__(self) -> Iterator[dict[str, Tensor]]:  # type: ignore[override]  # torch gives its iterator a class
        for keys, images in super().__iter__():
            yield self.samples.batch(keys, images)


def _one_thread(worker: int) -> None:
    cv2.setNumThreads(0)  # its thread pool does not survive a fork, and the other workers have the cores
