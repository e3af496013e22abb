import pytest
import torch

from metrics import CounterfactualError


@pytest.fixture
def scene():
    """A black picture that should get a white left half."""
    source = torch.full((1, 3, 16, 16), -1.0)
    truth, mask = source.clone(), torch.zeros(1, 1, 16, 16)
    truth[..., :8], mask[..., :8] = 1.0, 1.0
    return source, truth, mask


def measured(image, scene):
    source, truth, mask = scene
    error = CounterfactualError(("A", "B"))
    error.update(image, truth, mask, source, torch.tensor([1]))
    return error.compute()


def test_half_way_there(scene):
    source, truth, mask = scene
    image = (source + truth) / 2 + 0.2 * (1 - mask)  # half of the change, and a little where none is due
    found = measured(image, scene)
    assert found["l1"] == found["l1/B"] == pytest.approx((0.5 + 0.1) / 2)
    assert found["l1_copied"] == pytest.approx(0.5)
    assert found["inside_l1"] == pytest.approx(0.5)
    assert found["inside_l1_copied"] == pytest.approx(1.0)
    assert found["inside_ratio"] == found["inside_ratio/B"] == pytest.approx(0.5)
    assert found["outside_change"] == pytest.approx(0.1)
    assert found["psnr_copied"] == pytest.approx(10 * torch.log10(torch.tensor(2.0)).item())
    assert "l1/A" not in found


def test_the_truth_is_perfect_and_the_copy_scores_what_stands_beside_it(scene):
    source, truth, _ = scene
    perfect, copied = measured(truth, scene), measured(source, scene)
    assert (perfect["l1"], perfect["psnr"], perfect["inside_ratio"], perfect["outside_change"]) == (0, 100, 0, 0)
    assert perfect["ssim"] == pytest.approx(1, abs=1e-5)
    for name in ("l1", "psnr", "ssim", "inside_l1"):
        assert copied[name] == copied[f"{name}_copied"] == perfect[f"{name}_copied"]
    assert copied["inside_ratio"] == 1


@pytest.mark.parametrize(("value", "absent"), [(0.0, "inside_l1"), (1.0, "outside_change")])
def test_a_mask_of_nothing_or_everything_leaves_that_side_out(scene, value, absent):
    source, truth, mask = scene
    found = measured(truth, (source, truth, torch.full_like(mask, value)))
    assert absent not in found
    assert "l1" in found
