import numpy as np
import torch

from datamodules.transforms import to_picture, to_tensor


def test_bytes_become_numbers_from_minus_one_to_one_and_bytes_again():
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, 3)
    tensor = to_tensor(pixels)
    assert tensor.shape == (1, 3, 16, 16)
    assert tensor.is_contiguous()
    assert (tensor.min(), tensor.max()) == (-1, 1)
    torch.testing.assert_close(tensor[0, 1], torch.arange(256.0).view(16, 16) / 127.5 - 1)
    assert np.array_equal(to_picture(tensor), pixels)


def test_what_lies_beyond_the_range_is_cut_off():
    assert to_picture(torch.tensor([-3.0, 0.0, 3.0]).view(1, 3, 1, 1)).tolist() == [[[[0, 128, 255]]]]
