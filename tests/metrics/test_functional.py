import math

import numpy as np
import pytest
import torch
from torch.nn import functional as F
from torchmetrics.functional.classification import binary_jaccard_index
from torchmetrics.functional.image import peak_signal_noise_ratio, structural_similarity_index_measure

from datamodules import Shapes
from datamodules.drawn.figures import Figure, cover
from metrics.functional import (
    change_outside,
    circularity,
    coverage,
    l1,
    masked_l1,
    pixel_accuracy,
    psnr,
    share_inside,
    soft_iou,
    ssim,
)


@pytest.fixture
def pair():
    generator = torch.Generator().manual_seed(0)
    one, other = (torch.rand(2, 3, 3, 24, 24, generator=generator) * 2 - 1).unbind()
    return one, other


def test_black_and_white_differ_by_one():
    black, white = torch.full((2, 3, 8, 8), -1.0), torch.full((2, 3, 8, 8), 1.0)
    assert l1(black, white).tolist() == [1, 1]
    assert l1(black, black).tolist() == [0, 0]


def test_a_pixel_is_right_up_to_a_sum_of_twelve():
    """As bytes: off by (4, 4, 4), right; by (5, 4, 4), wrong; rounded first."""
    truth = torch.full((1, 3, 1, 4), 100 / 127.5 - 1)
    off = torch.tensor([[4.0, 4, 4], [5, 4, 4], [-4, 4, -4], [0, 0, 12.4]]).T[None, :, None]
    shown = truth + off / 127.5
    assert pixel_accuracy(shown, truth).tolist() == [0.75]
    assert pixel_accuracy(shown, truth, threshold=13).tolist() == [1]
    assert pixel_accuracy(shown, truth, threshold=11).tolist() == [0]


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


def test_of_sets_soft_iou_is_the_jaccard_index():
    generator = torch.Generator().manual_seed(0)
    mask, truth = (torch.rand(2, 5, 1, 12, 12, generator=generator) > 0.5).float().unbind()
    expected = [binary_jaccard_index(one, other) for one, other in zip(mask, truth, strict=True)]
    torch.testing.assert_close(soft_iou(mask, truth), torch.stack(expected))
    assert torch.equal(soft_iou(mask, truth), soft_iou(truth, mask))


def test_soft_iou_of_two_grey_maps_is_the_lighter_by_the_darker():
    maps = [torch.full((1, 1, 4, 4), value) for value in (0.2, 0.5)]
    assert soft_iou(*maps).item() == pytest.approx(0.4)
    assert soft_iou(torch.zeros(1, 1, 4, 4), torch.zeros(1, 1, 4, 4)).isnan()


def test_the_share_inside_counts_mass_not_pixels():
    mask, truth = torch.tensor([[0.9, 0.1, 0.0, 0.0], [1.0, 0.0, 1.0, 0.0]]).reshape(2, 1, 1, 2, 2)
    assert share_inside(mask, truth).item() == pytest.approx(0.9)
    assert share_inside(torch.zeros(1, 1, 2, 2), truth).isnan()


# ---------------------------------------------------------------------------------------------------------- shapes


def drawn(circle, reach, size, count=6):
    """(count, 1, size, size): squares or circles of one half-side, anywhere between the pixels; some at the border."""
    places = np.random.default_rng(int(reach)).uniform(reach, size - reach, (count, 2)) / size
    places[0] = reach / size
    nobody = np.zeros(3)
    covers = [cover(Figure(x, y, reach / size, nobody, nobody), circle, size) for x, y in places]
    return torch.from_numpy(np.stack(covers)).float()[:, None]


def filled(inside, size=48, finer=8):
    """(1, 1, size, size), the share of each pixel in which ``inside(x, y)``, from the centre, holds."""
    centres = (torch.arange(size * finer) + 0.5) / finer - size / 2
    held = inside(centres[None, :], centres[:, None]).float()
    return F.avg_pool2d(held[None, None], finer)


@pytest.mark.parametrize(("reach", "size"), [(8, 48), (9.3, 48), (12, 64), (15, 64), (12, 128), (30, 128)])
def test_circles_are_round_and_squares_less_so(reach, size):
    circles, squares = (circularity(drawn(circle, reach, size)) for circle in (True, False))
    torch.testing.assert_close(circles, torch.ones(6), atol=0.015, rtol=0)
    torch.testing.assert_close(squares, torch.full((6,), math.pi / 4), atol=0.015, rtol=0)


def test_circularity_is_that_of_the_closed_form():
    a, b = 18.0, 9.0
    turned = math.cos(0.4), math.sin(0.4)
    ellipse = filled(lambda x, y: (x / a) ** 2 + (y / b) ** 2 < 1)
    rectangle = filled(lambda x, y: (x.abs() < a) & (y.abs() < b))
    square = filled(
        lambda x, y: ((x * turned[0] + y * turned[1]).abs() < 13) & ((y * turned[0] - x * turned[1]).abs() < 13)
    )
    ring = filled(lambda x, y: (x**2 + y**2 < 20**2) & (x**2 + y**2 > 10**2))
    ramanujan = math.pi * (3 * (a + b) - math.sqrt((3 * a + b) * (a + 3 * b)))
    expected = [
        4 * math.pi * (math.pi * a * b) / ramanujan**2,
        4 * math.pi * (4 * a * b) / (4 * (a + b)) ** 2,
        math.pi / 4,
        (20**2 - 10**2) / (20 + 10) ** 2,
    ]
    torch.testing.assert_close(
        circularity(torch.cat([ellipse, rectangle, square, ring])), torch.tensor(expected), atol=0.015, rtol=0
    )


def test_a_noisy_ground_makes_no_outline():
    clean = drawn(True, 12, 64)
    noise = 0.03 * torch.randn(clean.shape, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(circularity((clean + noise).clamp(0, 1)), circularity(clean), atol=0.01, rtol=0)


def test_nothing_has_no_shape():
    assert circularity(torch.zeros(1, 1, 32, 32)).isnan()


def test_coverage_undoes_the_drawing():
    data = Shapes(image_size=64, val_size=4, cache=False)
    records = data.records("val")
    figures = [records.figure(row) for row in range(4)]
    shares = torch.from_numpy(np.stack([cover(figures[row], records.labels[row, 0] == 1, 64) for row in range(4)]))
    colours = (torch.from_numpy(np.stack([getattr(one, name) for one in figures])) for name in ("ground", "colour"))
    ground, colour = (levels.float() / 127.5 - 1 for levels in colours)
    image, _ = data.counterfactual("val", torch.arange(4), torch.from_numpy(records.labels))
    seen = coverage(image, ground, colour)
    torch.testing.assert_close(seen[:, 0], shares.float(), atol=0.01, rtol=0)
    truth = torch.where(torch.from_numpy(records.labels[:, 0]) == 1, 1.0, math.pi / 4)
    torch.testing.assert_close(circularity(seen), truth, atol=0.015, rtol=0)


def test_coverage_projects_onto_the_line_and_stops_at_its_ends():
    black, white = torch.full((1, 3), -1.0), torch.ones(1, 3)
    image = torch.tensor([[-1.0, 0.0, 1.0, 3.0, -2.0], [-1.0, 0.5, 1.0, 3.0, -2.0], [-1.0, -0.5, 1.0, 3.0, -2.0]])
    assert coverage(image.reshape(1, 3, 1, 5), black, white).flatten().tolist() == [0, 0.5, 1, 1, 0]
    assert coverage(image.reshape(1, 3, 1, 5), white, white).isnan().all()
