import cv2
import numpy as np
import pytest
import torch

from translators.motion import colour_wheel, warp, warped_grid


def noise(*shape, dtype=torch.float32):
    return torch.rand(*shape, generator=torch.Generator().manual_seed(0), dtype=dtype) * 2 - 1


def field(count, height, width, across=0.0, down=0.0, dtype=torch.float32):
    """The same displacement everywhere, in pixels."""
    flow = torch.zeros(count, 2, height, width, dtype=dtype)
    flow[:, 0], flow[:, 1] = 2 * across / (width - 1), 2 * down / (height - 1)
    return flow


def plain_warp(image, flow):
    """Every pixel's share in every place is a hat around it: bilinear, and nothing from outside."""
    height, width = image.shape[2:]
    y, x = (torch.arange(side, dtype=image.dtype) for side in (height, width))
    across = x + flow[:, 0] * (width - 1) / 2
    down = y[:, None] + flow[:, 1] * (height - 1) / 2
    share_x, share_y = (
        (1 - (place[..., None] - pixel).abs()).clamp(min=0) for place, pixel in ((across, x), (down, y))
    )
    return torch.einsum("bcij,bhwi,bhwj->bchw", image, share_y, share_x)


# ------------------------------------------------------------------------------------------------ sampling


@pytest.mark.parametrize("size", [(128, 128), (256, 256), (512, 512), (64, 256), (1, 8)])
def test_without_motion_an_image_with_sides_of_powers_of_two_stays_itself(size):
    image = noise(2, 3, *size)
    assert torch.equal(warp(image, torch.zeros(2, 2, *size)), image)


@pytest.mark.parametrize("size", [(96, 160), (178, 218), (33, 57), (1, 5)])
def test_without_motion_an_image_of_any_other_size_stays_what_it_is(size):
    """But for rounding: a place in it is known to 1e-5 pixels, here between as different neighbours as can be."""
    image = noise(2, 3, *size)
    torch.testing.assert_close(warp(image, torch.zeros(2, 2, *size)), image, atol=4e-5, rtol=0)


@pytest.mark.parametrize("size", [(6, 8), (16, 16), (9, 5), (128, 64)])
def test_one_pixel_to_the_right_is_2_over_the_width_less_one(size):
    image = noise(2, 3, *size)
    result = warp(image, field(2, *size, across=1))
    torch.testing.assert_close(result[..., :-1], image[..., 1:], atol=1e-5, rtol=0)
    torch.testing.assert_close(result[..., -1], torch.zeros_like(image[..., -1]), atol=1e-5, rtol=0)


@pytest.mark.parametrize("size", [(6, 8), (16, 16), (9, 5), (64, 128)])
def test_one_pixel_up_takes_what_is_above_and_nothing_from_beyond_the_edge(size):
    image = noise(2, 3, *size)
    result = warp(image, field(2, *size, down=-1))
    torch.testing.assert_close(result[..., 1:, :], image[..., :-1, :], atol=1e-5, rtol=0)
    torch.testing.assert_close(result[..., 0, :], torch.zeros_like(image[..., 0, :]), atol=1e-5, rtol=0)


def test_a_motion_of_two_reaches_from_the_first_column_to_the_last():
    image, flow = noise(1, 3, 6, 11), torch.zeros(1, 2, 6, 11)
    flow[:, 0, :, 0], flow[:, 1, 0, 5] = 2.0, 2.0
    result = warp(image, flow)
    torch.testing.assert_close(result[..., 0], image[..., 10], atol=1e-6, rtol=0)
    torch.testing.assert_close(result[..., 0, 5], image[..., 5, 5], atol=1e-6, rtol=0)


def test_a_motion_far_outside_finds_mid_grey():
    assert not warp(torch.ones(1, 3, 8, 8), field(1, 8, 8, across=8, down=-8)).any()


def test_halfway_off_the_edge_half_of_the_pixel_is_left():
    result = warp(torch.ones(1, 1, 4, 4), field(1, 4, 4, across=0.5))
    torch.testing.assert_close(result[0, 0, 0], torch.tensor([1.0, 1.0, 1.0, 0.5]))


def test_each_pixel_and_each_image_has_a_motion_of_its_own():
    image, flow = noise(3, 2, 7, 10, dtype=torch.float64), noise(3, 2, 7, 10, dtype=torch.float64)
    torch.testing.assert_close(warp(image, flow), plain_warp(image, flow), atol=1e-12, rtol=0)


def test_opencv_samples_alike():
    """At places between pixels that its table of 32nds knows; far outside as well."""
    height, width = 24, 37
    image = noise(1, 3, height, width)
    steps = torch.randint(-200, 200, (2, height, width), generator=torch.Generator().manual_seed(1)) / 32
    flow = torch.stack([2 * steps[0] / (width - 1), 2 * steps[1] / (height - 1)])[None]
    down, across = np.mgrid[:height, :width].astype(np.float32)
    expected = cv2.remap(
        image[0].permute(1, 2, 0).numpy(),
        across + steps[0].numpy(),
        down + steps[1].numpy(),
        cv2.INTER_LINEAR,
        borderMode=cv2.BORDER_CONSTANT,
        borderValue=0,
    )
    torch.testing.assert_close(warp(image, flow)[0].permute(1, 2, 0), torch.from_numpy(expected), atol=1e-5, rtol=0)


def test_the_slope_along_the_motion_is_the_difference_of_neighbours():
    image = noise(1, 1, 5, 6, dtype=torch.float64)
    flow = field(1, 5, 6, across=0.25, dtype=torch.float64).requires_grad_()
    (slope,) = torch.autograd.grad(warp(image, flow).sum(), flow)
    torch.testing.assert_close(slope[0, 0, :, :-1], image[0, 0].diff(dim=1) * 5 / 2, atol=1e-12, rtol=0)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_places_keep_their_precision_in_mixed_precision(dtype):
    image, flow = noise(1, 3, 64, 64), 0.1 * noise(1, 2, 64, 64)
    for given in (image, image.to(dtype)):
        with torch.autocast("cpu", dtype):
            result = warp(given, flow)
        assert result.dtype == torch.float32
        expected = plain_warp(given.double(), flow.double())
        torch.testing.assert_close(result.double(), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("shape", [(1, 2, 8, 8), (2, 3, 8, 8), (2, 2, 8, 4), (2, 8, 8, 2), (2, 8, 8)])
def test_a_motion_must_fit_its_image(shape):
    with pytest.raises(ValueError, match=r"an image \(2, 3, 8, 8\) cannot be warped by a motion field \("):
        warp(torch.zeros(2, 3, 8, 8), torch.zeros(shape))


# ------------------------------------------------------------------------------------------------ drawing


def test_the_wheel_has_a_hue_for_each_direction():
    """Red to the right, as on Middlebury's wheel, then yellow, cyan and blue; white for no motion."""
    flow = torch.zeros(1, 2, 1, 5)
    flow[0, :, 0, 1:] = torch.tensor([[0.1, 0.0], [0.0, 0.1], [-0.1, 0.0], [0.0, -0.1]]).T
    still, right, down, left, up = colour_wheel(flow)[0, :, 0].T
    assert torch.equal(still, torch.ones(3))
    torch.testing.assert_close(right, torch.tensor([1.0, -1.0, -1.0]), atol=0.01, rtol=0)
    assert down[0] == 1 and down[1] > 0 and down[2] == -1  # yellowish
    assert left[0] == -1 and left[1] > 0 and left[2] == 1  # cyan
    assert up[1] == -1 and up[2] == 1  # violet


def test_a_shorter_motion_is_paler():
    flow = torch.zeros(1, 2, 1, 3)
    flow[0, 0, 0] = torch.tensor([0.2, 0.1, 0.0])
    torch.testing.assert_close(colour_wheel(flow)[0, 1:, 0], torch.tensor([[-1.0, 0.0, 1.0]] * 2), atol=0.01, rtol=0)
    both = colour_wheel(torch.cat([flow, flow / 2]))
    torch.testing.assert_close(both[1, :, 0, 0], both[0, :, 0, 1], atol=0.01, rtol=0)


def test_nothing_moves_in_white():
    assert torch.equal(colour_wheel(torch.zeros(2, 2, 4, 6)), torch.ones(2, 3, 4, 6))


def test_at_rest_the_grid_is_straight():
    grid = warped_grid(torch.zeros(2, 2, 16, 32), lines=4)
    rows, columns = torch.full((16,), 1.0), torch.full((32,), 1.0)
    rows[[2, 6, 10, 14]], columns[[4, 12, 20, 28]] = -1.0, -1.0
    assert torch.equal(grid, torch.minimum(rows[:, None], columns).expand(2, 3, -1, -1))


def test_a_motion_moves_the_lines_the_other_way():
    """The field says where a pixel comes from: with what lies right of it, a line moves to the left."""
    rest, moved = (warped_grid(field(1, 16, 32, across=pixels), lines=4) for pixels in (0, 3))
    torch.testing.assert_close(moved[..., :-3], rest[..., 3:], atol=1e-4, rtol=0)
