import math

import pytest
import torch

from translators.checks import check_binary, check_image, check_label, check_units


@pytest.mark.parametrize("shape", [(1, 3, 8, 8), (2, 3, 12, 40)])
def test_images_of_three_channels_and_fitting_sides_pass(shape):
    check_image("StarGAN", torch.zeros(shape))


@pytest.mark.parametrize(
    "shape", [(3, 16, 16), (1, 1, 16, 16), (1, 4, 16, 16), (1, 3, 18, 16), (1, 3, 16, 4), (1, 3, 0, 8)]
)
def test_other_images_are_refused_by_the_models_name_and_their_shape(shape):
    with pytest.raises(ValueError) as refused:
        check_image("StarGAN", torch.zeros(shape))
    assert str(refused.value) == (
        f"StarGAN takes images (B, 3, H, W), H and W multiples of 4 and at least 8, got {shape}"
    )


def test_bytes_and_no_image_at_all_are_refused():
    with pytest.raises(ValueError, match=r"one at least, numbers from -1 to 1, got \(0, 3, 16, 16\) of torch.float32"):
        check_image("StarGAN", torch.zeros(0, 3, 16, 16))
    with pytest.raises(ValueError, match=r"got \(1, 3, 16, 16\) of torch.uint8 \(bytes become image / 127.5 - 1\)"):
        check_image("StarGAN", torch.zeros(1, 3, 16, 16, dtype=torch.uint8))


@pytest.mark.parametrize(("side", "passes"), [(16, False), (32, True), (48, True), (64, True), (40, False)])
def test_the_multiple_and_the_least_side_are_the_models(side, passes):
    def check():
        check_image("CycleGAN", torch.zeros(1, 3, 64, side), multiple=16, least=32)

    if passes:
        check()
    else:
        with pytest.raises(ValueError, match=rf"multiples of 16 and at least 32, got \(1, 3, 64, {side}\)"):
            check()


def test_a_label_with_a_row_for_each_image_and_a_column_for_each_attribute_is_returned():
    label = torch.rand(4, 2)
    assert check_label(label, 4, ["Smiling", "Young"]) is label


@pytest.mark.parametrize(
    ("label", "got"),
    [
        (None, "none"),
        (torch.zeros(4), r"\(4,\)"),
        (torch.zeros(4, 3), r"\(4, 3\)"),
        (torch.zeros(3, 2), r"\(3, 2\)"),
        (torch.zeros(4, 2, 1), r"\(4, 2, 1\)"),
    ],
)
def test_labels_of_another_shape_are_refused_with_the_names_of_the_columns(label, got):
    with pytest.raises(ValueError, match=rf"must have shape \(4, 2\), a column each for Smiling, Young; got {got}$"):
        check_label(label, 4, ["Smiling", "Young"])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.int64, torch.bool])
def test_zeros_and_ones_are_binary_and_one_hot(dtype):
    check_binary(torch.tensor([[0, 0], [1, 1], [0, 1]], dtype=dtype))
    check_binary(torch.tensor([[1, 0, 0], [0, 0, 1]], dtype=dtype), one_hot=True)
    check_units(torch.tensor([[0, 0], [1, 1], [0, 1]], dtype=dtype))


@pytest.mark.parametrize("value", [-1.0, 0.5, 2.0, 0.999, math.nan, math.inf])
def test_what_is_neither_0_nor_1_is_not_binary(value):
    with pytest.raises(ValueError, match=rf"labels must be 0 or 1 each, got {value:g} \(a -1 .* must become 0;"):
        check_binary(torch.tensor([[0.0, 1.0], [value, 1.0]]))


@pytest.mark.parametrize("row", [[0, 0, 0], [1, 1, 0], [1, 1, 1]])
def test_none_or_several_are_not_one_hot(row):
    with pytest.raises(ValueError) as refused:
        check_binary(torch.tensor([[0.0, 1.0, 0.0], row]), one_hot=True)
    assert str(refused.value) == f"of classes exactly one is 1, got {row}: give each label a single 1"


def test_units_lie_between_0_and_1():
    check_units(torch.tensor([[0.0, 0.3], [0.999, 1.0]]))


@pytest.mark.parametrize("value", [-0.01, 1.01, 5.0, math.nan, math.inf, -math.inf])
def test_units_beyond_are_refused(value):
    with pytest.raises(ValueError, match=rf"intensities from 0 to 1 \(OpenFace's 0 to 5.*got {value:g}: scale them"):
        check_units(torch.tensor([[0.0, 1.0], [0.5, value]]))
