"""Which rows make up a batch: a pure function of seed and step, so that a run resumes exactly where it stopped."""

from __future__ import annotations

from collections.abc import Callable, Iterator

import numpy as np
from torch.utils.data import Sampler

Key = tuple[int, int, int]  # row of the source, row of the reference, seed of their augmentation

SOURCE, REFERENCE, AUGMENTATION, HELD_OUT = range(4)  # independent random streams under one seed


def keyed(*key: int) -> np.random.Generator:
    """A random generator that depends on nothing but these non-negative integers."""
    return np.random.Generator(np.random.Philox(np.random.SeedSequence(key[0], spawn_key=key[1:])))


class StepBatches(Sampler[list[Key]]):
    """Training batches by step: batch ``t`` is a function of (seed, t), whatever was drawn before it.

    Sources follow a new permutation each epoch, references another one that knows nothing of the first; what does not
    fill the last batch of an epoch is left out of that epoch. The global batch is dealt to the processes like cards.

    Args:
        labels: (N, K); decides only what a domain is when ``balance`` is on.
        batch_size: per process; the global batch is ``batch_size * world``.
        seed: at least 0.
        balance: draw each distinct label pattern (values from 0.5 up count as 1) equally often, with replacement.
        rank: this process, of ``world``.
        world: number of processes.
        start: the first step, asked for whenever an iteration begins (a trainer restores its step before that).
        total: the step to stop before; None stops at the end of the epoch that ``start`` lies in.

    Raises:
        ValueError: if there are fewer rows than one global batch needs.
    """

    def __init__(
        self,
        labels: np.ndarray,
        batch_size: int,
        seed: int = 0,
        balance: bool = False,
        rank: int = 0,
        world: int = 1,
        start: Callable[[], int] = lambda: 0,
        total: Callable[[], int | None] = lambda: None,
    ) -> None:
        self.count, self.global_batch = len(labels), batch_size * world
        if self.count < self.global_batch:
            raise ValueError(
                f"the training split has {self.count} images, fewer than one batch of {self.global_batch} "
                f"({batch_size} for each of {world} processes): choose a batch_size of at most {self.count // world}"
            )
        self.seed, self.rank, self.world, self.start, self.total = seed, rank, world, start, total
        self.domains = _rows_by_pattern(labels) if balance else None
        self._orders: dict[int, tuple[int, np.ndarray]] = {}

    @property
    def steps_per_epoch(self) -> int:
        """Batches until every row has been a source once, bar those that do not fill a batch."""
        return self.count // self.global_batch

    def __len__(self) -> int:
        total = self.total()
        return self.steps_per_epoch if total is None else total

    def __iter__(self) -> Iterator[list[Key]]:
        start, total = self.start(), self.total()
        if total is None:
            total = (start // self.steps_per_epoch + 1) * self.steps_per_epoch
        return (self.batch(step) for step in range(start, total))

    def batch(self, step: int) -> list[Key]:
        """This process's share of batch ``step``, (row, reference row, augmentation seed) for each item."""
        epoch, position = divmod(step, self.steps_per_epoch)
        share = slice(position * self.global_batch + self.rank, (position + 1) * self.global_batch, self.world)
        sources, references = self._order(SOURCE, epoch)[share], self._order(REFERENCE, epoch)[share]
        seeds = keyed(self.seed, AUGMENTATION, step).integers(2**30, size=self.global_batch)[self.rank :: self.world]
        return list(zip(sources.tolist(), references.tolist(), seeds.tolist(), strict=True))

    def _order(self, stream: int, epoch: int) -> np.ndarray:
        """The (N,) rows of one epoch; the latest of each stream is kept, as drawing it costs far more than a batch."""
        known = self._orders.get(stream)
        if known is None or known[0] != epoch:
            known = self._orders[stream] = epoch, self._draw(keyed(self.seed, stream, epoch))
        return known[1]

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        if self.domains is None:
            return generator.permutation(self.count)
        rows, starts, sizes = self.domains
        domain = generator.integers(len(sizes), size=self.count)
        return rows[starts[domain] + generator.integers(sizes[domain])]


class RowBatches(Sampler[list[Key]]):
    """Held-out batches: every row once, in order, never padded; process ``rank`` takes each ``world``-th row.

    A row's reference depends on the seed and the row only, so that all runs see the same pairs.
    """

    def __init__(self, count: int, batch_size: int, seed: int = 0, rank: int = 0, world: int = 1) -> None:
        self.rows = range(rank, count, world)
        self.batch_size = batch_size
        self.references = keyed(seed, HELD_OUT).integers(max(count, 1), size=count)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        for first in range(0, len(self.rows), self.batch_size):
            yield [(row, int(self.references[row]), 0) for row in self.rows[first : first + self.batch_size]]


def _rows_by_pattern(labels: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows sorted by label pattern, and where each pattern's rows start and how many they are."""
    _, pattern, sizes = np.unique(labels >= 0.5, axis=0, return_inverse=True, return_counts=True)
    return np.argsort(pattern.reshape(-1), kind="stable"), np.cumsum(sizes) - sizes, sizes
