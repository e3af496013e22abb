import pytest
import torch
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from metrics.functional import change_outside, l1, masked_l1, psnr, ssim


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.rand(2, 3, 3, 24, 24, generator=generator) * 2 - 1).unbind()
    return one, other


def test_black_and_white_differ_by_one():
    black, white = torch.full((2, 3, 8, 8), -1.0), torch.full((2, 3, 8, 8), 1.0)
    assert l1(black, white).tolist() == [1, 1]
    assert l1(black, black).tolist() == [0, 0]


def test_masked_l1_averages_inside_the_mask_only():
    image, reference = torch.zeros(1, 3, 4, 4), torch.zeros(1, 3, 4, 4)
    image[..., 0, 0] = 1.0  # half the scale off, one pixel
    image[..., 3, 3] = float("nan")  # outside: of no concern
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 0, :2] = 1
    assert masked_l1(image, reference, mask).tolist() == [0.25]


def test_an_empty_mask_has_no_average():
    image = torch.ones(2, 3, 4, 4)
    mask = torch.tensor([0.0, 1.0]).reshape(2, 1, 1, 1).expand(2, 1, 4, 4)
    inside = masked_l1(image, -image, mask)
    assert torch.isnan(inside[0])
    assert inside[1] == 1


def test_change_outside_ignores_what_happens_inside(pair):
    source, other = pair
    mask = torch.zeros(3, 1, 24, 24)
    mask[..., :12] = 1
    translated = torch.where(mask > 0, other, source)
    assert change_outside(source, translated, mask).tolist() == [0, 0, 0]
    translated[..., 12:] = source[..., 12:] + 0.2
    torch.testing.assert_close(change_outside(source, translated, mask), torch.full((3,), 0.1))


def test_psnr_is_torchmetrics(pair):
    expected = [peak_signal_noise_ratio((a + 1) / 2, (b + 1) / 2, data_range=1.0) for a, b in zip(*pair, strict=True)]
    torch.testing.assert_close(psnr(*pair), torch.stack(expected))


def test_psnr_of_equal_images_is_the_cap(pair):
    assert psnr(pair[0], pair[0]).tolist() == [100, 100, 100]


def test_ssim_is_torchmetrics(pair):
    one, other = pair
    near = one * 0.7 + other * 0.3
    units = ((near + 1) / 2, (one + 1) / 2)
    expected = structural_similarity_index_measure(*units, data_range=1.0, reduction="none")
    torch.testing.assert_close(ssim(near, one), expected, atol=1e-5, rtol=0)
    torch.testing.assert_close(ssim(one, one), torch.ones(3))
