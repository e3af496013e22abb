"""Several datasets at once, as StarGAN trains on CelebA and RaFD (Choi et al., CVPR 2018, sect. 3.2)."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import accumulate, chain, zip_longest
from typing import Any

import numpy as np
from torch import Tensor
from torch.utils.data import Sampler

from datamodules.base import ImageDataModule, Split
from datamodules.records import Records
from datamodules.sampler import Key, RowBatches, StepBatches, keyed
from datamodules.samples import Samples

ROUNDS = 4  # the random stream of the order of datasets, beside the sampler's


class JointData(ImageDataModule):
    """Datasets by turns, each once in a round, in an order drawn anew for each; references are of the same dataset.

    (In one order for all the generator might see one dataset alone: every second, where ``n_critic`` is 2.) What else a
    dataset's batches carry, such as a person's number, is left out, as it means something else in each.

    The label is eq. 7's: the labels of all datasets side by side, of which those of the others are zero, and at the end
    a mask with a 1 for the picture's own dataset. ``parts`` tells a translator how they lie, as StarGAN wants it.

    Args:
        datasets: at least two, with different attributes. What they say of size, batches and augmentation counts for
            nothing: that is said here, for all.
        names: of the datasets, as the mask's attributes.
        **loading: see ``ImageDataModule``.

    Raises:
        ValueError: if there are fewer than two datasets, or names that do not fit or are there twice.
    """

    def __init__(self, datasets: list[ImageDataModule], names: list[str], **loading: Any) -> None:
        super().__init__(**loading)
        self.datasets = datasets
        self.attributes = tuple(chain(*(data.attributes for data in datasets), names))
        if len(datasets) < 2 or len(names) != len(datasets):
            raise ValueError(f"name at least two datasets, one name each; got {len(datasets)} and {names}")
        if len(set(self.attributes)) < len(self.attributes):
            raise ValueError(f"attributes and names must all differ, got {', '.join(self.attributes)}")
        self.parts = tuple((data.num_attributes, data.one_hot) for data in datasets)
        for data in datasets:
            data.image_size = self.image_size

    @property
    def columns(self) -> list[slice]:
        """Of each dataset, its part of the label."""
        ends = accumulate(data.num_attributes for data in self.datasets)
        return [slice(end - data.num_attributes, end) for end, data in zip(ends, self.datasets, strict=True)]

    def records(self, split: Split) -> JointRecords:
        """The pictures of the first dataset, then those of the second, and so on."""
        parts = [data.records(split) for data in self.datasets]
        for data in self.datasets:
            self.stand_ins |= data.stand_ins
        return JointRecords(parts)

    def edits(self, label: Tensor) -> Tensor:
        """The targets of a gallery: for each attribute what its own dataset asks for, in that dataset's terms.

        A picture of the other dataset keeps none of its labels then: nothing is known of it there. About the mask there
        is no edit: those targets are the label itself.

        Args:
            label: (B, K), values in [0, 1].
        Returns:
            (B, K, K); edit ``[:, i]`` is about attribute i.
        """
        targets = label[:, None].repeat(1, self.num_attributes, 1)
        first_mask = self.num_attributes - len(self.datasets)
        for number, (data, columns) in enumerate(zip(self.datasets, self.columns, strict=True)):
            targets[:, columns] = 0
            targets[:, columns, columns] = data.edits(label[:, columns])
            targets[:, columns, first_mask + number] = 1
        return targets

    def _training_keys(self, samples: Samples) -> Sampler[list[Key]]:
        settings = (self.batch_size, self.seed, self.balance, self.reference == "other", *self._rank_and_world())
        parts = {first: StepBatches(labels, *settings) for first, labels in self._labels(samples)}
        return Turns(parts, self.seed, self._first_step, self._last_step)

    def _held_out_keys(self, samples: Samples) -> Sampler[list[Key]]:
        settings = (self.batch_size, self.seed, self.reference == "other", *self._rank_and_world())
        return Rows({first: RowBatches(labels, *settings) for first, labels in self._labels(samples)})

    def _labels(self, samples: Samples) -> Iterator[tuple[int, np.ndarray]]:
        """Of each dataset, its first row and its labels."""
        labels = samples.labels.numpy()
        first = 0
        for count in labels[:, -len(self.datasets) :].sum(0).astype(int).tolist():
            yield first, labels[first : first + count]
            first += count


class Turns(Sampler[list[Key]]):
    """Training batches of several datasets, by turns.

    Args:
        parts: by the row that a dataset begins at, its batches.
        seed: of the order in each round.
        start: the first step, asked for whenever an iteration begins.
        total: the step to stop before; None stops at the end of the epoch that ``start`` lies in, one of the longest
            dataset.
    """

    def __init__(
        self, parts: Mapping[int, StepBatches], seed: int, start: Callable[[], int], total: Callable[[], int | None]
    ) -> None:
        self.parts, self.seed, self.start, self.total = list(parts.items()), seed, start, total

    def __len__(self) -> int:
        total = self.total()
        return self._epoch if total is None else total

    @property
    def _epoch(self) -> int:
        return max(batches.steps_per_epoch for _, batches in self.parts) * len(self.parts)

    def __iter__(self) -> Iterator[list[Key]]:
        start, total = self.start(), self.total()
        end = (start // self._epoch + 1) * self._epoch if total is None else total
        return (self.batch(step) for step in range(start, end))

    def batch(self, step: int) -> list[Key]:
        """This process's share of batch ``step``."""
        turn, place = divmod(step, len(self.parts))
        order = keyed(self.seed, ROUNDS, turn).permutation(len(self.parts))
        first, batches = self.parts[order[place]]
        return _shifted(batches.batch(turn), first)


class Rows(Sampler[list[Key]]):
    """Held-out batches of several datasets, by turns while each lasts, so that the first ones show all of them.

    Args:
        parts: by the row that a dataset begins at, its batches.
    """

    def __init__(self, parts: Mapping[int, RowBatches]) -> None:
        self.parts = parts

    def __len__(self) -> int:
        return sum(len(batches) for batches in self.parts.values())

    def __iter__(self) -> Iterator[list[Key]]:
        turns = zip_longest(*([_shifted(keys, first) for keys in batches] for first, batches in self.parts.items()))
        return (keys for turn in turns for keys in turn if keys is not None)


def _shifted(keys: list[Key], first: int) -> list[Key]:
    return [(row + first, reference + first, seed) for row, reference, seed in keys]


class JointRecords(Records):
    """The splits of several datasets one after the other, with eq. 7's labels."""

    def __init__(self, parts: Sequence[Records]) -> None:
        self.parts = parts
        self.starts = [0, *accumulate(len(part) for part in parts)]
        widths = [0, *accumulate(part.labels.shape[1] for part in parts)]
        self.labels = np.zeros((self.starts[-1], widths[-1] + len(parts)), dtype=np.float32)
        for number, part in enumerate(parts):
            rows = slice(self.starts[number], self.starts[number + 1])
            self.labels[rows, widths[number] : widths[number + 1]] = part.labels
            self.labels[rows, widths[-1] + number] = 1

    def read(self, row: int) -> np.ndarray:
        """As the dataset of the row reads it."""
        number = int(np.searchsorted(self.starts, row, side="right")) - 1
        return self.parts[number].read(row - self.starts[number])

    def fingerprint(self) -> str:
        """Over the datasets'."""
        return hashlib.sha256(" ".join(part.fingerprint() for part in self.parts).encode()).hexdigest()[:32]
