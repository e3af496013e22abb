import pytest
import torch

from translators.pool import ImagePool


def pictures(*numbers, **kind):
    """One picture a number, which is in all of its pixels."""
    return torch.tensor(numbers, **({"dtype": torch.float32} | kind))[:, None, None, None].expand(-1, 3, 2, 2)


def numbers(images):
    assert images.shape[1:] == (3, 2, 2)
    assert all((image == image[0, 0, 0]).all() for image in images)
    return [image[0, 0, 0].item() for image in images]


def filled(size):
    pool = ImagePool(size)
    pool.exchange(pictures(*range(size)))
    return pool


def test_the_first_fifty_come_back_as_they_are():
    pool, images = ImagePool(), torch.rand(50, 3, 4, 4)
    assert torch.equal(torch.cat([pool.exchange(image[None]) for image in images]), images)
    assert torch.equal(torch.stack(pool.images), images)


def test_a_full_pool_returns_older_images_half_of_the_time():
    torch.manual_seed(0)
    pool = filled(50)
    returned = [numbers(pool.exchange(pictures(number)))[0] for number in range(50, 4050)]
    older = [value < number for number, value in enumerate(returned, start=50)]
    assert len(pool.images) == 50
    assert sum(older) / 4000 == pytest.approx(0.5, abs=0.03)  # four standard deviations of 4,000 coins
    assert not any(value > number for number, value in enumerate(returned, start=50))


def test_what_is_returned_leaves_the_pool_and_nothing_else_does():
    torch.manual_seed(0)
    pool = filled(5)
    returned = [
        value for first in range(5, 205, 4) for value in numbers(pool.exchange(pictures(*range(first, first + 4))))
    ]
    assert len(pool.images) == 5
    assert sorted(returned + numbers(torch.stack(pool.images))) == list(range(205))


def test_every_place_is_as_likely_to_be_taken():
    torch.manual_seed(0)
    pool, taken = filled(4), [0] * 4
    for number in range(4, 4004):
        before = numbers(torch.stack(pool.images))
        (value,) = numbers(pool.exchange(pictures(number)))
        if value in before:
            taken[before.index(value)] += 1
    assert taken == pytest.approx([500] * 4, abs=85)  # four standard deviations


def test_each_image_of_a_batch_has_a_coin_of_its_own():
    torch.manual_seed(0)
    pool = filled(100)
    kept = [
        value == number for number, value in enumerate(numbers(pool.exchange(pictures(*range(100, 200)))), start=100)
    ]
    assert 30 < sum(kept) < 70


def test_images_come_back_without_gradients_and_are_stored_without_them():
    for size in (0, 2):
        pool, images = ImagePool(size), torch.rand(4, 3, 2, 2, requires_grad=True)
        assert not pool.exchange(2 * images).requires_grad
        assert not any(image.requires_grad for image in pool.images)


def test_what_is_stored_is_a_copy():
    pool, images = ImagePool(2), torch.zeros(2, 3, 2, 2)
    pool.exchange(images)
    images.fill_(7)
    assert numbers(torch.stack(pool.images)) == [0, 0]


def test_a_pool_of_none_passes_everything_through():
    torch.manual_seed(0)
    pool = ImagePool(0)
    for first in range(0, 100, 10):
        assert numbers(pool.exchange(pictures(*range(first, first + 10)))) == list(range(first, first + 10))
    assert pool.images == []


def test_images_that_are_not_finite_are_returned_and_never_stored():
    torch.manual_seed(0)
    for pool in (ImagePool(3), filled(3)):
        before = len(pool.images)
        bad = torch.rand(8, 3, 2, 2)
        bad[:4, 0, 1, 1], bad[4:, 2, 0, 0] = float("nan"), float("inf")
        assert torch.equal(pool.exchange(bad).nan_to_num(), bad.nan_to_num())
        assert len(pool.images) == before
        assert all(image.isfinite().all() for image in pool.images)


def test_a_restored_pool_goes_on_as_the_first_would_have():
    torch.manual_seed(0)
    pool, again = filled(5), ImagePool(5)
    pool.exchange(pictures(5, 6, 7))
    again.restore(pool.state())
    assert torch.equal(again.state(), pool.state())
    onward = []
    for one in (pool, again):
        torch.manual_seed(1)
        onward.append([numbers(one.exchange(pictures(number))) for number in range(10, 30)])
    assert onward[0] == onward[1]


def test_an_empty_pool_is_restored_empty():
    pool = filled(5)
    pool.restore(ImagePool(5).state())
    assert numbers(pool.exchange(pictures(9))) == [9]
    assert len(pool.images) == 1


@pytest.mark.parametrize("size", [0, 2])
def test_a_smaller_pool_takes_over_what_fits(size):
    pool = ImagePool(size)
    pool.restore(filled(5).state())
    assert [image[0, 0, 0].item() for image in pool.images] == [0, 1][:size]


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU here")
def test_images_of_a_checkpoint_follow_those_in_training_to_the_gpu():
    """A checkpoint is read before the model is moved, so that they lie on the CPU at first."""
    torch.manual_seed(0)
    pool = ImagePool(4)
    pool.restore(filled(4).state())
    for _ in range(4):
        assert pool.exchange(torch.zeros(4, 3, 2, 2, device="cuda")).is_cuda
    assert not pool.state().is_cuda


def test_images_of_a_checkpoint_take_on_the_precision_of_those_in_training():
    torch.manual_seed(0)
    pool = ImagePool(4)
    pool.restore(filled(4).state())
    assert pool.exchange(pictures(*range(8), dtype=torch.bfloat16)).dtype == torch.bfloat16
    assert pool.state().dtype == torch.bfloat16


def test_a_size_below_none_is_refused():
    with pytest.raises(ValueError, match="pool_size must be at least 0, got -1"):
        ImagePool(-1)


def test_images_of_another_size_than_those_remembered_are_refused():
    pool = ImagePool(2)
    pool.exchange(torch.zeros(1, 3, 8, 8))
    with pytest.raises(ValueError, match=r"holds images of the size \(3, 8, 8\), got \(3, 16, 16\): .*start="):
        pool.exchange(torch.zeros(1, 3, 16, 16))
    assert len(pool.images) == 1
