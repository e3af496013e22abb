import math

import cv2
import numpy as np
import pytest
import torch

from datamodules.shapes import Shapes


def shapes(**settings):
    defaults = {"train_size": 60, "val_size": 40, "test_size": 8, "num_workers": 0, "cache": False}
    return Shapes(**{**defaults, **settings})


def circularity(mask):
    """4 pi A / P^2 of the convex outline, through the centres of the pixels at its rim."""
    contours, _ = cv2.findContours(mask.astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    assert len(contours) == 1
    outline = cv2.convexHull(contours[0])
    return 4 * math.pi * cv2.contourArea(outline) / cv2.arcLength(outline, True) ** 2


def test_the_label_is_one_attribute_and_both_shapes_occur():
    data = shapes(train_size=1000)
    assert data.attributes == ("circle",) and data.num_attributes == 1 and not data.one_hot
    labels = data.records("train").labels
    assert labels.shape == (1000, 1) and set(labels.ravel()) == {0.0, 1.0}
    assert labels.mean() == pytest.approx(0.5, abs=0.05)


def test_circles_are_round_and_squares_are_square():
    data = shapes()
    index = torch.arange(60)
    masks = data.mask("train", index)
    assert masks.shape == (60, 1, 128, 128) and set(masks.unique().tolist()) == {0.0, 1.0}
    for mask, (circle,) in zip(masks[:, 0].numpy(), data.records("train").labels, strict=True):
        assert circularity(mask) == pytest.approx(1.0 if circle else math.pi / 4, abs=0.02)


def test_the_masks_are_where_the_picture_is_not_the_ground():
    data = shapes()
    records = data.records("val")
    for row, mask in enumerate(data.mask("val", torch.arange(40))[:, 0].bool().numpy()):
        picture = records.read(row).astype(int)
        differs = (picture != picture[0, 0]).any(axis=2)  # a shape may touch the corner, but hardly covers it
        assert (mask <= differs).all() and (differs & ~mask).sum() < 0.25 * mask.sum()


def test_the_true_edit_is_the_other_shape_of_the_same_size():
    data = shapes()
    index, labels = torch.arange(40), torch.from_numpy(data.records("val").labels)
    target = data.edits(labels)[:, 0]
    assert torch.equal(target, 1 - labels)
    truth, mask = data.counterfactual("val", index, target)
    own, unchanged = data.counterfactual("val", index, labels)
    assert not unchanged.any()
    assert torch.equal(mask.bool(), (truth != own).any(dim=1, keepdim=True))
    area = data.mask("val", index).sum(dim=(1, 2, 3))
    corners = area * torch.where(labels[:, 0] == 1, 4 / math.pi - 1, 1 - math.pi / 4)
    changed = mask.sum(dim=(1, 2, 3))
    assert (changed > 0.9 * corners).all() and (changed < corners + 8 * area.sqrt()).all()


@pytest.mark.parametrize("size", [32, 64])
def test_shapes_scale_with_the_picture(size):
    """By the share of the picture that they take, to a pixel along the rim."""
    small, large = shapes(image_size=size), shapes()
    index = torch.arange(40)
    shares = [data.mask("val", index).mean(dim=(1, 2, 3)) for data in (small, large)]
    assert torch.allclose(*shares, atol=4 / size * 60 / 128)


def test_what_is_neither_is_refused():
    with pytest.raises(ValueError, match=r"circle must be 0 or 1, got 0\.5"):
        shapes().counterfactual("val", torch.tensor([0]), torch.tensor([[0.5]]))


def test_a_batch_holds_pictures_and_labels():
    batch = next(iter(shapes(image_size=64, batch_size=4).train_dataloader()))
    assert batch["image"].shape == (4, 3, 64, 64) and batch["label"].shape == (4, 1)
