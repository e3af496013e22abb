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
        labels: (N, K); says what a domain is, for ``balance`` and ``other``.
        batch_size: per process; the global batch is ``batch_size * world``.
        seed: at least 0.
        balance: draw each distinct label pattern (values from 0.5 up count as 1) equally often, with replacement.
        other: draw references, with replacement, from the rows of any other pattern than their source's.
        rank: this process, of ``world``.
        world: number of processes.
        start: the first step, asked for whenever an iteration begins (a trainer restores its step before that).
        total: the step to stop before; None stops at the end of the epoch that ``start`` lies in.

    Raises:
        ValueError: if there are fewer rows than one global batch needs, or no other pattern to draw from.
    """

    def __init__(
        self,
        labels: np.ndarray,
        batch_size: int,
        seed: int = 0,
        balance: bool = False,
        other: bool = False,
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
        self.balance, self.other = balance, other
        self.domains = Domains(labels) if balance or other else None
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
        sources, references = self._sources(epoch)[share], self._references(epoch)[share]
        seeds = keyed(self.seed, AUGMENTATION, step).integers(2**30, size=self.global_batch)[self.rank :: self.world]
        return list(zip(sources.tolist(), references.tolist(), seeds.tolist(), strict=True))

    def _sources(self, epoch: int) -> np.ndarray:
        return self._kept(SOURCE, epoch, self._draw)

    def _references(self, epoch: int) -> np.ndarray:
        if not self.other or self.domains is None:
            return self._kept(REFERENCE, epoch, self._draw)
        sources, domains, balance = self._sources(epoch), self.domains, self.balance
        return self._kept(REFERENCE, epoch, lambda generator: domains.draw_other(generator, sources, balance))

    def _kept(self, stream: int, epoch: int, draw: Callable[[np.random.Generator], np.ndarray]) -> np.ndarray:
        """The (N,) rows of one epoch; the latest of each stream is kept, as drawing it costs far more than a batch."""
        known = self._orders.get(stream)
        if known is None or known[0] != epoch:
            known = self._orders[stream] = epoch, draw(keyed(self.seed, stream, epoch))
        return known[1]

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        if self.balance and self.domains is not None:
            return self.domains.draw(generator, self.count)
        return generator.permutation(self.count)


class RowBatches(Sampler[list[Key]]):
    """Held-out batches: every row once, in order, never padded; process ``rank`` takes each ``world``-th row.

    A row's reference depends on the seed and the row only, so that all runs see the same pairs; with ``other`` it has
    another label pattern than the row.
    """

    def __init__(
        self, labels: np.ndarray, batch_size: int, seed: int = 0, other: bool = False, rank: int = 0, world: int = 1
    ) -> None:
        count, generator = len(labels), keyed(seed, HELD_OUT)
        self.rows = range(rank, count, world)
        self.batch_size = batch_size
        if other:
            self.references = Domains(labels).draw_other(generator, np.arange(count), balance=False)
        else:
            self.references = generator.integers(max(count, 1), size=count)

    def __len__(self) -> int:
        return -(-len(self.rows) // self.batch_size)

    def __iter__(self) -> Iterator[list[Key]]:
        for first in range(0, len(self.rows), self.batch_size):
            yield [(row, int(self.references[row]), 0) for row in self.rows[first : first + self.batch_size]]


class Domains:
    """The rows of each distinct pattern of (N, K) labels, in which values from 0.5 up count as 1."""

    def __init__(self, labels: np.ndarray) -> None:
        _, pattern, self.sizes = np.unique(labels >= 0.5, axis=0, return_inverse=True, return_counts=True)
        self.of_row = pattern.reshape(-1)
        self.rows = np.argsort(self.of_row, kind="stable")  # domain after domain
        self.starts = np.cumsum(self.sizes) - self.sizes

    def draw(self, generator: np.random.Generator, count: int) -> np.ndarray:
        """(count,) rows, with replacement, each domain as often as any other."""
        return self._within(generator, generator.integers(len(self.sizes), size=count))

    def draw_other(self, generator: np.random.Generator, sources: np.ndarray, balance: bool) -> np.ndarray:
        """For each of (n,) source rows one of another domain, with replacement; all their rows, or domains, alike.

        Raises:
            ValueError: if there is one domain only.
        """
        if len(self.sizes) < 2:
            raise ValueError("reference: other needs pictures of at least two labels, but all have the same one")
        own = self.of_row[sources]
        if balance:
            domain = generator.integers(len(self.sizes) - 1, size=len(own))
            return self._within(generator, domain + (domain >= own))
        place = generator.integers(len(self.rows) - self.sizes[own])
        return self.rows[place + np.where(place >= self.starts[own], self.sizes[own], 0)]

    def _within(self, generator: np.random.Generator, domain: np.ndarray) -> np.ndarray:
        return self.rows[self.starts[domain] + generator.integers(self.sizes[domain])]
