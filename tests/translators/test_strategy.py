"""Two processes; what they do is in `pair.py`."""

import pytest
import torch
from torch import nn

import pair as jobs
from tiny import exported
from translators import BridgeGAN, strategy


def found(pair, job):
    return [torch.load(pair / f"{job}-{rank}.pt") for rank in (0, 1)]


def difference(one, other) -> float:
    return max((one[name] - other[name]).abs().max().item() for name in one)


@pytest.mark.parametrize("model", exported(), ids=lambda model: model.__name__)
def test_two_processes_are_one_on_the_joined_batch(pair, tmp_path, model):
    """With accumulation, in float64 and with SGD: Adam would blow rounding noise up."""
    first, second = found(pair, f"joined-{model.__name__}")
    alone = jobs.join(model, tmp_path, devices=1, batch_size=8)
    for part in ("weights", "average"):
        assert difference(first[part], second[part]) == 0
        assert difference(first[part], alone[part]) < 1e-12
    live = {name: first["weights"][f"generator.{name}"] for name in first["average"]}
    assert difference(live, first["average"]) > 1e-6


def test_two_processes_share_one_bank_of_noise(pair, tmp_path):
    first, second = found(pair, "banked")
    alone = jobs.join(BridgeGAN, tmp_path, devices=1, batch_size=8, noise_bank=True)
    assert torch.equal(first["bank"], second["bank"])
    assert (first["bank"] - alone["bank"]).abs().max() < 1e-12
    assert difference(first["weights"], alone["weights"]) < 1e-12
    unused = torch.randn(24, 16, generator=torch.Generator().manual_seed(0))
    assert (first["bank"] != unused).any()


def test_a_bad_batch_of_one_process_is_skipped_by_both(pair):
    first, second = found(pair, "poisoned")
    assert difference(first["weights"], second["weights"]) == 0
    assert first["updates"] == second["updates"] == [4, 4]
    assert first["global_step"] == second["global_step"] == 5
    assert first["skipped"] == second["skipped"] == {"total": 2, "discriminator": 0, "generator": 0}
    assert all(weight.isfinite().all() for weight in first["weights"].values())


def test_replicas_agree_when_parts_freeze_and_gradients_are_missing(pair):
    first, second = found(pair, "frozen")
    assert difference(first["weights"], second["weights"]) == 0


def test_replicas_that_differ_are_noticed_by_both(pair):
    assert (
        found(pair, "disagreeing")
        == ["the weights differ between processes: an update was not the same everywhere"] * 2
    )


def test_a_signal_to_one_process_stops_both(pair):
    assert found(pair, "signalled") == [(128 + 15, "step-0000006.ckpt")] * 2


def test_the_command_line_replaces_lightnings_reducer(pair):
    printed = (pair / "uninterrupted" / "printed-0.txt").read_text()
    assert "Finished. The run folder is" in printed
    assert "Finished" not in (pair / "uninterrupted" / "printed-1.txt").read_text()
    assert found(pair, "uninterrupted") == [0, 0]


def test_both_keep_the_same_two_checkpoints(pair):
    assert found(pair, "kept") == [["step-0000006.ckpt", "step-0000007.ckpt"]] * 2


def test_one_process_has_nothing_to_share():
    values = torch.tensor([1.0, 2.0])
    parameter = nn.Parameter(torch.zeros(2))
    strategy.average_gradients([parameter])
    strategy.assert_replicas_agree(nn.Linear(2, 2))
    assert strategy.processes() == 1
    assert strategy.average(values).tolist() == [1, 2]
    assert parameter.grad is None
