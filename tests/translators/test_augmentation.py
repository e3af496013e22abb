"""Against torchvision's affine warp, arithmetic, and the numbers of the module's own constants."""

import pytest
import torch
from torch.nn import functional
from torchvision.transforms.functional import InterpolationMode, affine

from translators import augmentation
from translators.augmentation import augment


def images(count=4, size=32):
    return torch.rand(count, 3, size, size, generator=torch.Generator().manual_seed(0)) * 2 - 1


def still(monkeypatch, *moving):
    """Leave only the named changes in force."""
    for name in {"BRIGHTNESS", "CONTRAST", "SHIFT", "SCALE"} - set(moving):
        monkeypatch.setattr(augmentation, name, 0.0)


def drawn(monkeypatch, *values, focus=0.0):
    """Let the draws (brightness, contrast, across, down, wide, high, focus) be these, for every image."""

    def uniform(*shape, like):
        drawn = torch.tensor(focus) if len(shape) == 1 else torch.tensor(values)[:, None]
        return drawn.expand(shape).to(like)

    monkeypatch.setattr(augmentation, "_uniform", uniform)


def test_with_nothing_to_change_the_pictures_stay(monkeypatch):
    still(monkeypatch)
    torch.testing.assert_close(augment(images()), images(), atol=1e-5, rtol=0)


def test_light_is_about_each_images_own_mean(monkeypatch):
    still(monkeypatch, "BRIGHTNESS", "CONTRAST")
    drawn(monkeypatch, 0.8, -0.6, 0, 0, 0, 0)
    mean = images().flatten(1).mean(1)[:, None, None, None]
    expected = (images() - mean) * 0.7 + mean + 0.2  # 1 - 0.5 * 0.6; 0.25 * 0.8
    torch.testing.assert_close(augment(images()), expected, atol=1e-5, rtol=0)


@pytest.mark.parametrize(("draws", "shift"), [((1, 0), (2, 0)), ((0, 1), (0, 2)), ((-1, 1), (-2, 2))])
def test_the_shift_is_that_of_torchvision(monkeypatch, draws, shift):
    """A sixteenth of 32 pixels is 2; the warp says where a pixel comes from, hence the sign."""
    still(monkeypatch, "SHIFT")
    drawn(monkeypatch, 0.0, 0.0, *map(float, draws), 0.0, 0.0)
    moved = affine(images(), angle=0, translate=[-s for s in shift], scale=1, shear=[0], fill=0)
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(augment(images())[inside], moved[inside], atol=1e-4, rtol=0)


def test_the_scale_is_that_of_torchvision(monkeypatch):
    still(monkeypatch, "SCALE")
    drawn(monkeypatch, 0.0, 0.0, 0.0, 0.0, -1.0, -1.0)  # an image spans 0.85 of what it did: larger
    larger = affine(
        images(), angle=0, translate=[0, 0], scale=1 / 0.85, shear=[0], interpolation=InterpolationMode.BILINEAR
    )
    torch.testing.assert_close(augment(images()), larger, atol=1e-4, rtol=0)


@pytest.mark.parametrize("focus", [1.0, -1.0])
def test_out_of_focus_a_pixel_is_a_triangle_of_its_neighbours(monkeypatch, focus):
    """A sixteenth of 32 pixels is 2, so that the triangle reaches 3 pixels instead of 1: a plain convolution."""
    still(monkeypatch)
    drawn(monkeypatch, *[0.0] * 6, focus=focus)
    line = torch.tensor([1.0, 2, 3, 2, 1]) / 9
    kernel = torch.outer(line, line).expand(3, 1, 5, 5)
    inside = (..., slice(2, -2), slice(2, -2))
    torch.testing.assert_close(augment(images(), blur=1 / 16)[inside], functional.conv2d(images(), kernel, groups=3))


def test_out_of_focus_stripes_are_gone_and_flat_pictures_stay(monkeypatch):
    still(monkeypatch)
    drawn(monkeypatch, *[0.0] * 6, focus=1.0)
    stripes = torch.tensor([1.0, -1.0]).repeat(16).expand(1, 3, 32, 32)
    assert augment(stripes, blur=3 / 64)[..., 2:-2].abs().max() < 0.1
    torch.testing.assert_close(augment(stripes), stripes)
    torch.testing.assert_close(augment(torch.full_like(stripes, 0.3), blur=3 / 64), torch.full_like(stripes, 0.3))


def test_what_comes_in_from_outside_is_mirrored(monkeypatch):
    still(monkeypatch, "SHIFT")
    drawn(monkeypatch, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0)
    torch.testing.assert_close(augment(images())[..., -2:], images()[..., -2:].flip(-1), atol=1e-4, rtol=0)


def test_the_warp_is_that_of_a_sampling_grid(monkeypatch):
    """Everything at once, corners included: torch's own bilinear sampling, mirrored at the border."""
    still(monkeypatch, "SHIFT", "SCALE")
    across, down, wide, high = draws = (0.7, -0.9, 0.8, -0.4)
    drawn(monkeypatch, 0.0, 0.0, *draws)
    theta = torch.tensor([[1 + 0.15 * wide, 0, across / 8], [0, 1 + 0.15 * high, down / 8]])  # its sides are 2 long
    pictures = torch.rand(2, 3, 24, 40, generator=torch.Generator().manual_seed(1))
    grid = functional.affine_grid(theta.expand(2, 2, 3), [2, 3, 24, 40], align_corners=False)
    expected = functional.grid_sample(pictures, grid, padding_mode="reflection", align_corners=False)
    torch.testing.assert_close(augment(pictures), expected, atol=1e-5, rtol=0)


def test_autocast_leaves_it_as_it_is():
    torch.manual_seed(4)
    plain = augment(images())
    torch.manual_seed(4)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(augment(images()), plain)


def test_each_image_gets_its_own_change_and_the_same_seed_the_same():
    same = images(1).expand(3, -1, -1, -1)
    torch.manual_seed(5)
    first = augment(same)
    torch.manual_seed(5)
    assert torch.equal(first, augment(same))
    assert (first[0] - first[1]).abs().mean() > 0.05
    assert (first[1] - first[2]).abs().mean() > 0.05


def test_its_gradient_is_the_true_one():
    def seeded(x):
        torch.manual_seed(3)
        return augment(x, blur=0.2)

    assert torch.autograd.gradcheck(seeded, images(2, 8).double().requires_grad_())


def test_focus_leaves_the_other_draws_as_they_are():
    """What was measured without it is what one gets without it: a blur of next to nothing changes nothing."""
    torch.manual_seed(6)
    sharp = augment(images())
    torch.manual_seed(6)
    torch.testing.assert_close(augment(images(), blur=1e-9), sharp)


def test_halves_become_singles():
    assert augment(images().bfloat16()).dtype == torch.float32
