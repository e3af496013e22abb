import numpy as np
import pytest

from datamodules.sampler import RowBatches, StepBatches, keyed

LABELS = np.eye(2, dtype=np.float32)[[0] * 20 + [1] * 4]


def epoch(sampler: StepBatches, number: int) -> list[tuple[int, int, int]]:
    first = number * sampler.steps_per_epoch
    return [key for step in range(first, first + sampler.steps_per_epoch) for key in sampler.batch(step)]


def test_an_iteration_from_step_s_is_the_tail_of_one_from_the_start():
    whole = list(StepBatches(LABELS, 5, seed=3, total=lambda: 13))
    tail = list(StepBatches(LABELS, 5, seed=3, start=lambda: 7, total=lambda: 13))
    assert len(whole) == 13
    assert tail == whole[7:]


def test_the_start_is_asked_for_when_an_iteration_begins():
    step = 0
    sampler = StepBatches(LABELS, 4, start=lambda: step, total=lambda: 20)
    whole = list(sampler)
    step = 9
    assert list(sampler) == whole[9:]
    assert len(sampler) == 20


def test_without_a_total_an_iteration_ends_with_the_epoch():
    sampler = StepBatches(LABELS, 5, start=lambda: 6)  # 24 rows: 4 batches an epoch
    assert len(sampler) == 4
    assert list(sampler) == [sampler.batch(6), sampler.batch(7)]


def test_an_epoch_has_every_row_once_and_the_next_another_order():
    sampler = StepBatches(LABELS, 4)
    first, second = ([row for row, _, _ in epoch(sampler, number)] for number in (0, 1))
    assert sorted(first) == sorted(second) == list(range(24))
    assert first != second


def test_what_does_not_fill_a_batch_is_left_out():
    rows = [row for row, _, _ in epoch(StepBatches(LABELS, 5), 0)]
    assert len(rows) == len(set(rows)) == 20


def test_references_are_independent_of_sources():
    labels = np.zeros((5000, 1), dtype=np.float32)
    sampler = StepBatches(labels, 50)
    sources, references, _ = np.array(epoch(sampler, 0)).T
    assert sorted(references) == list(range(5000))
    assert abs(np.corrcoef(sources, references)[0, 1]) < 4 / np.sqrt(5000)
    assert (sources == references).sum() < 10  # Poisson with mean 1
    again = dict(np.array(epoch(sampler, 1))[:, :2].tolist())
    assert sum(again[source] == reference for source, reference in zip(sources, references, strict=True)) < 10


def test_seeds_differ_between_items_steps_and_runs():
    one, other = (epoch(StepBatches(LABELS, 4, seed=seed), 0) for seed in (0, 1))
    seeds = [key[2] for key in one]
    assert len(set(seeds)) == len(seeds)
    assert [key[0] for key in one] != [key[0] for key in other]
    assert seeds != [key[2] for key in other]


def test_processes_share_out_the_batch_of_one():
    alone = StepBatches(LABELS, 6, seed=5)
    shares = [StepBatches(LABELS, 3, seed=5, rank=rank, world=2) for rank in (0, 1)]
    for step in range(9):
        first, second = (share.batch(step) for share in shares)
        assert sorted(first + second) == sorted(alone.batch(step))
        assert alone.batch(step) == [key for pair in zip(first, second, strict=True) for key in pair]


def test_fewer_rows_than_a_batch_are_refused():
    with pytest.raises(ValueError, match=r"24 images, fewer than one batch of 32 .*batch_size of at most 12"):
        StepBatches(LABELS, 16, world=2)


def test_balance_draws_domains_equally_and_rows_within_them():
    labels = np.eye(3, dtype=np.float32)[[0] * 900 + [1] * 90 + [2] * 10]
    sampler = StepBatches(labels, 100, balance=True)
    keys = np.array([key for number in range(3) for key in epoch(sampler, number)])
    for column in (0, 1):
        counts = labels[keys[:, column]].sum(0)
        assert np.all(abs(counts - 1000) < 5 * np.sqrt(3000 * 2 / 9))  # binomial, 5 sigma
    assert set(range(990, 1000)) <= set(keys[:, 0].tolist())
    assert sampler.batch(7) == StepBatches(labels, 100, balance=True).batch(7)


def test_balance_takes_each_pattern_of_a_multi_hot_label_for_a_domain():
    labels = np.array([[0, 0]] * 60 + [[0, 1]] * 30 + [[1, 1]] * 10, dtype=np.float32)
    rows = [row for number in range(30) for row, _, _ in epoch(StepBatches(labels, 10, balance=True), number)]
    share = [np.mean([first <= row < last for row in rows]) for first, last in ((0, 60), (60, 90), (90, 100))]
    assert np.allclose(share, 1 / 3, atol=5 * np.sqrt(2 / 9 / 3000))


@pytest.mark.parametrize("world", [1, 2, 3])
def test_held_out_rows_come_once_each_without_padding(world):
    shares = [RowBatches(np.zeros((11, 1)), 2, rank=rank, world=world) for rank in range(world)]
    keys = [key for share in shares for batch in share for key in batch]
    assert sorted(row for row, _, _ in keys) == list(range(11))
    assert all(len(list(share)) == len(share) for share in shares)
    alone = {row: reference for batch in RowBatches(np.zeros((11, 1)), 4) for row, reference, _ in batch}
    assert {row: reference for row, reference, _ in keys} == alone


def test_keyed_depends_on_every_integer():
    draws = [keyed(*key).integers(2**62) for key in ((1, 2), (2, 1), (1, 3), (1, 2, 0), (0, 1, 2))]
    assert len(set(draws)) == len(draws)
    assert keyed(1, 2).integers(2**62) == draws[0]


def test_references_of_the_other_label_never_share_the_sources():
    """And are drawn from all the rows of all the others alike."""
    labels = np.eye(3, dtype=np.float32)[[0] * 60 + [1] * 30 + [2] * 10]
    domain = labels.argmax(1)
    sampler = StepBatches(labels, 10, other=True)
    keys = np.array([key for number in range(300) for key in epoch(sampler, number)])
    sources, references = domain[keys[:, 0]], domain[keys[:, 1]]
    assert sorted(epoch(sampler, 0)[i][0] for i in range(100)) == list(range(100))
    assert (sources != references).all()
    for source, counts in ((0, (0, 30, 10)), (1, (60, 0, 10)), (2, (60, 30, 0))):
        share = np.bincount(references[sources == source], minlength=3) / (sources == source).sum()
        assert np.allclose(share, np.array(counts) / sum(counts), atol=0.05)
    rows = np.bincount(keys[:, 1][sources == 0], minlength=100)[60:]
    assert abs(rows - rows.mean()).max() < 6 * np.sqrt(rows.mean())


def test_references_of_the_other_label_may_be_balanced():
    labels = np.eye(3, dtype=np.float32)[[0] * 60 + [1] * 30 + [2] * 10]
    sampler = StepBatches(labels, 10, balance=True, other=True)
    keys = np.array([key for number in range(300) for key in epoch(sampler, number)])
    pairs = np.zeros((3, 3))
    np.add.at(pairs, (labels.argmax(1)[keys[:, 0]], labels.argmax(1)[keys[:, 1]]), 1 / len(keys))
    assert np.allclose(pairs, (1 - np.eye(3)) / 6, atol=0.02)
    assert sampler.batch(3) == StepBatches(labels, 10, balance=True, other=True).batch(3)


def test_held_out_references_may_be_of_the_other_label():
    labels = np.array([[1, 0]] * 4 + [[0, 1]] * 3)
    keys = [key for batch in RowBatches(labels, 2, other=True) for key in batch]
    assert [row for row, _, _ in keys] == list(range(7))
    assert all((row < 4) != (reference < 4) for row, reference, _ in keys)


def test_one_label_has_no_other():
    with pytest.raises(ValueError, match="at least two labels"):
        StepBatches(np.ones((8, 1)), 2, other=True).batch(0)
