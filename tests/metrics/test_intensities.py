import numpy as np
import pytest
import torch
from torchmetrics.functional import mean_absolute_error, pearson_corrcoef

from metrics import IntensityAgreement, IntensityError

UNITS = ("AU4", "AU12", "AU26")


@pytest.fixture
def seen_and_label():
    generator = torch.Generator().manual_seed(0)
    label = torch.rand(40, 3, generator=generator)
    return (label + 0.2 * torch.randn(40, 3, generator=generator)).clamp(0, 1), label


def test_error_and_correlation_are_torchmetrics(seen_and_label):
    seen, label = seen_and_label
    agreement = IntensityAgreement(UNITS)
    agreement.update(seen[:15], label[:15])
    agreement.update(seen[15:], label[15:])
    found = agreement.compute()
    for unit, ours, theirs in zip(UNITS, seen.T, label.T, strict=True):
        assert found[f"error/{unit}"] == pytest.approx(mean_absolute_error(ours, theirs).item(), abs=1e-6)
        assert found[f"correlation/{unit}"] == pytest.approx(pearson_corrcoef(ours, theirs).item(), abs=1e-5)
    assert found["error"] == pytest.approx((seen - label).abs().mean().item(), abs=1e-6)
    assert found["correlation"] == pytest.approx(np.mean([found[f"correlation/{unit}"] for unit in UNITS]))
    assert len(found) == 8


def test_the_parts_of_two_processes_merge_to_the_whole(seen_and_label):
    seen, label = seen_and_label
    whole, one, other = (IntensityAgreement(UNITS) for _ in range(3))
    whole.update(seen, label)
    one.update(seen[:7], label[:7])
    other.update(seen[7:], label[7:])
    one.merge_state(other)
    assert one.compute() == pytest.approx(whole.compute(), abs=1e-12)


def test_what_is_always_the_same_has_an_error_but_no_correlation():
    agreement = IntensityAgreement(("AU4", "AU12"))
    label = torch.tensor([[0.0, 0.1], [1.0, 0.1], [0.5, 0.1]])
    agreement.update(torch.tensor([[1.0, 0.2], [0.0, 0.4], [0.5, 0.3]]), label)
    found = agreement.compute()
    assert found["correlation"] == found["correlation/AU4"] == pytest.approx(-1)
    assert "correlation/AU12" not in found
    assert found["error/AU12"] == pytest.approx(0.2)
    guess = IntensityAgreement(("AU4", "AU12"))
    guess.update(torch.full((3, 2), 0.3), label)
    assert guess.compute() == pytest.approx({"error": 0.3, "error/AU4": 0.4, "error/AU12": 0.2})


def test_about_a_picture_of_nan_neither_figure_is_a_number():
    agreement = IntensityAgreement(("AU4",))
    agreement.update(torch.tensor([[0.0], [torch.nan]]), torch.tensor([[0.0], [1.0]]))
    assert all(np.isnan(value) for value in agreement.compute().values())


def test_an_edit_is_off_by_its_own_unit_and_by_all_of_them():
    error = IntensityError(UNITS)
    target = torch.tensor([[1.0, 0.5, 0.0], [0.2, 0.0, 0.0]])
    seen = torch.tensor([[0.7, 0.5, 0.3], [0.2, 0.4, 0.2]])
    copied = torch.tensor([[0.1, 0.5, 0.0], [0.2, 0.9, 0.0]])
    error.update(seen, copied, target, edit=torch.tensor([0, 1]))
    assert error.compute() == pytest.approx(
        {
            "unit_error": 0.35,
            "unit_error/AU4": 0.3,  # asked for 1, seen 0.7
            "unit_error/AU12": 0.4,
            "unit_error_copied": 0.9,
            "unit_error_copied/AU4": 0.9,
            "unit_error_copied/AU12": 0.9,
            "all_units_error": 0.2,  # AU26 rose by 0.3, and by 0.2, unasked
            "all_units_error/AU4": 0.2,
            "all_units_error/AU12": 0.2,
            "all_units_error_copied": 0.3,
            "all_units_error_copied/AU4": 0.3,
            "all_units_error_copied/AU12": 0.3,
        }
    )
