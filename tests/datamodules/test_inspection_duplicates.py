import io
from itertools import combinations

import numpy as np
import pytest
from PIL import Image

from datamodules.inspection.duplicates import alike, hashes, identical


def coarse(count: int, seed: int = 0) -> np.ndarray:
    """(count, 16, 16) smooth random pictures."""
    noise = np.random.default_rng(seed).integers(0, 256, (count, 8, 8)).astype(np.uint8)
    return np.stack([np.asarray(Image.fromarray(one).resize((16, 16), Image.Resampling.BICUBIC)) for one in noise])


def compressed(picture: np.ndarray) -> np.ndarray:
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "JPEG", quality=60)
    return np.asarray(Image.open(file))


def test_groups_of_equal_digests():
    digests = np.array([7, 3, 7, 9, 3, 7], np.uint64)
    assert [group.tolist() for group in identical(digests)] == [[0, 2, 5], [1, 4]]


@pytest.mark.parametrize("digests", [[], [1], [1, 2, 3]])
def test_no_groups(digests):
    assert identical(np.array(digests, np.uint64)) == []


@pytest.mark.parametrize(
    "change",
    [
        compressed,
        lambda picture: (picture * 0.7 + 20).astype(np.uint8),
        lambda picture: (255 * (picture / 255) ** 0.8).astype(np.uint8),
    ],
    ids=["compressed", "fainter", "gamma"],
)
def test_changed_copies_are_found_and_nothing_else(change):
    pictures = coarse(400)
    copies = np.stack([change(picture) for picture in pictures[::10]])
    found = alike(np.concatenate([pictures, copies]))
    assert found.complete
    assert sorted(map(tuple, found.pairs.tolist())) == [(10 * number, 400 + number) for number in range(40)]


def test_pairs_are_those_of_comparing_all_with_all():
    """numpy's own correlation of every two: look-alikes by 0.99 are found, all found ones have 0.97."""
    pictures = coarse(60)
    blends = [
        (share * pictures[one] + (1 - share) * pictures[one + 1]).astype(np.uint8)
        for share in (0.97, 0.9, 0.8)
        for one in range(0, 60, 2)
    ]
    everything = np.concatenate([pictures, np.stack(blends)])
    table = np.corrcoef(everything.reshape(len(everything), -1))
    found = alike(everything)
    pairs = set(map(tuple, found.pairs.tolist()))
    assert {(one, other) for one, other in combinations(range(150), 2) if table[one, other] > 0.99} <= pairs
    np.testing.assert_allclose(found.likeness, [table[one, other] for one, other in found.pairs], atol=1e-4)
    assert found.likeness.min() >= 0.97
    assert (np.diff(found.likeness) <= 0).all()


def test_every_bit_of_the_hash_divides_the_pictures_in_half():
    bits = np.unpackbits(hashes(coarse(500)).view(np.uint8).reshape(-1, 8), axis=1)
    assert np.abs(bits.mean(axis=0) - 0.5).max() < 0.01


def test_no_pictures_have_no_pairs():
    assert alike(np.empty((0, 16, 16), np.uint8)).pairs.shape == (0, 2)


def test_a_hundred_thousand_pictures_take_seconds():
    pictures = np.random.default_rng(0).integers(0, 256, (100_000, 16, 16)).astype(np.uint8)
    pictures[99_999] = pictures[5]
    assert alike(pictures).pairs.tolist() == [[5, 99_999]]
