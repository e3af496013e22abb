import pytest
import torch

from metrics import MaskAgreement
from metrics.functional import soft_iou


@pytest.fixture
def truth():
    """A quarter of the picture changes, at the left."""
    truth = torch.zeros(1, 1, 8, 8)
    truth[..., :2] = 1
    return truth


def measured(mask, truth):
    agreement = MaskAgreement(("A", "B"))
    agreement.update(mask, truth, torch.tensor([1]))
    return agreement.compute()


def test_a_mask_that_is_half_right(truth):
    mask = torch.zeros(1, 1, 8, 8)
    mask[..., 1:3] = 0.5
    found = measured(mask, truth)
    shared, either = 8 * 0.5, 16 + 8 * 0.5  # half of it lies on 8 of the 16 pixels, half beside them
    assert found["iou"] == found["iou/B"] == pytest.approx(shared / either)
    assert found["iou_constant"] == 0.25
    assert found["inside"] == 0.5
    assert found["area"] == 0.125
    assert "iou/A" not in found


def test_the_true_mask_is_perfect(truth):
    assert measured(truth, truth) == {
        **dict.fromkeys(("iou", "iou/B", "inside", "inside/B"), 1),
        **dict.fromkeys(("iou_constant", "iou_constant/B", "area", "area/B"), 0.25),
    }


def test_no_constant_mask_does_better_than_ones_and_that_is_the_true_share(truth):
    overlaps = [soft_iou(torch.full_like(truth, value), truth).item() for value in torch.linspace(0.05, 1, 20)]
    assert max(overlaps) == overlaps[-1] == measured(torch.ones_like(truth), truth)["iou_constant"]
    for value in (0.1, 1.0):
        assert measured(torch.full_like(truth, value), truth)["inside"] == pytest.approx(0.25)


def test_without_the_truth_there_is_the_area_alone(truth):
    assert measured(truth * 0.5, None) == {"area": 0.125, "area/B": 0.125}
    assert measured(truth * 0.5, torch.zeros_like(truth)) == {"area": 0.125, "area/B": 0.125}


def test_an_empty_mask_overlaps_nothing_and_has_no_mass(truth):
    found = measured(torch.zeros_like(truth), truth)
    assert found["iou"] == found["area"] == 0
    assert "inside" not in found


def test_a_model_without_masks_has_no_figures(truth):
    assert measured(None, truth) == {}


def test_a_mask_of_nan_is_not_hidden(truth):
    found = measured(torch.full_like(truth, torch.nan), truth)
    assert all(found[figure] != found[figure] for figure in ("iou", "inside", "area"))
