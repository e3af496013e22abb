import pytest
import torch

from metrics import ReconstructionError


def test_error_of_there_and_back_by_edit():
    source = torch.zeros(3, 3, 8, 8)
    back = source + torch.tensor([0.2, 0.4, 1.0]).reshape(3, 1, 1, 1)
    error = ReconstructionError(("A", "B"))
    error.update(back, source, torch.tensor([0, 0, 1]))
    assert error.compute() == pytest.approx(
        {"reconstruction_l1": 0.325, "reconstruction_l1/A": 0.15, "reconstruction_l1/B": 0.5}
    )
