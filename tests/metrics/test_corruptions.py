import pytest
import torch

from metrics.corruptions import HELD_OUT, PaintedNoise, Tint, TrainingCorruptions


@pytest.fixture
def images():
    return torch.rand(8, 3, 32, 32, generator=torch.Generator().manual_seed(0)) * 1.6 - 0.8


def test_training_corruptions_follow_the_seed(images):
    corrupt = TrainingCorruptions(32)
    torch.manual_seed(5)
    first, next_one = corrupt(images), corrupt(images)
    torch.manual_seed(5)
    assert torch.equal(first, corrupt(images))
    assert not torch.equal(first, next_one)


def test_training_corruptions_stay_in_range_and_leave_the_picture_recognisable(images):
    torch.manual_seed(0)
    corrupted = TrainingCorruptions(32)(images.mean(dim=(2, 3), keepdim=True).expand(-1, -1, 32, 32))
    assert corrupted.shape == images.shape
    assert -1 <= corrupted.min() < corrupted.max() <= 1
    assert (corrupted.mean(dim=(2, 3)) - images.mean(dim=(2, 3))).abs().mean() < 0.2


def test_training_corruptions_keep_their_precision_under_autocast(images):
    corrupt = TrainingCorruptions(32)
    torch.manual_seed(5)
    expected = corrupt(images)
    torch.manual_seed(5)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(corrupt(images), expected)


def test_nothing_of_the_corruptions_enters_a_checkpoint():
    assert not TrainingCorruptions(32).state_dict()


def test_stages_of_no_strength_change_nothing(images):
    units = (images + 1) / 2
    torch.testing.assert_close(Tint(strength=0.0)(units), units)
    assert torch.equal(PaintedNoise(share=0.0)(units), units)


def test_painted_noise_has_every_scale():
    torch.manual_seed(0)
    grey = torch.full((200, 3, 32, 32), 0.5)
    painted = PaintedNoise(amplitude=0.1, share=1.0)(grey) - 0.5
    pooled = torch.nn.functional.avg_pool2d(painted, 8)
    assert painted.std() == pytest.approx(0.1, abs=0.03)
    assert pooled.std() > 0.02  # grain alone would average out to a fortieth of that


@pytest.mark.parametrize("name", HELD_OUT)
def test_held_out_corruptions_are_a_function_of_the_row(images, name):
    index = torch.arange(8) + 3
    whole = HELD_OUT[name](images, index)
    parts = torch.cat([HELD_OUT[name](images[::2], index[::2]), HELD_OUT[name](images[1::2], index[1::2])])
    assert whole.shape == images.shape
    assert -1 <= whole.min() < whole.max() <= 1
    assert 0.005 < (whole - images).abs().mean() < 0.5
    torch.testing.assert_close(parts[[0, 4, 1, 5, 2, 6, 3, 7]], whole)


def test_gamma_and_pixelation_by_hand():
    image = torch.zeros(2, 3, 4, 4)
    image[..., 0, 0] = 1.0
    blocks = HELD_OUT["pixelation"](image, torch.arange(2))
    assert blocks[..., :2, :2].unique().tolist() == [0.25]
    darker, brighter = HELD_OUT["gamma"](image, torch.arange(2))[:, 0, 3, 3].tolist()
    assert darker == pytest.approx(2 * 0.5**1.4 - 1)
    assert brighter == pytest.approx(2 * 0.5**0.7 - 1)
