"""What was interrupted and resumed must end bit for bit where an uninterrupted run ends."""

from pathlib import Path

import pytest
import torch

from tiny import STEPS, Tiny, arguments, fit, quiet
from translators import Phase, checkpoints
from translators.callbacks import LastCheckpoints
from translators.cli import run

LAST = f"step-{STEPS:07d}.ckpt"


def final_state(folder: Path) -> dict:
    return checkpoints.read(folder / "checkpoints" / LAST)


def differences(one, other, place="") -> list[str]:
    """Where two nested states differ, in so much as a bit."""
    if isinstance(one, torch.Tensor):
        return [] if torch.equal(one, other) and one.dtype == other.dtype else [place]
    if isinstance(one, dict):
        if one.keys() != other.keys():
            return [place]
        return [text for key in one for text in differences(one[key], other[key], f"{place}.{key}")]
    if isinstance(one, list | tuple):
        if len(one) != len(other):
            return [place]
        return [text for i in range(len(one)) for text in differences(one[i], other[i], f"{place}.{i}")]
    return [] if one == other else [place]


def assert_same_end(folder: Path, reference: Path) -> None:
    """Weights, Adam's moments and counts, the generator's average, the step."""
    one, other = final_state(folder), final_state(reference)
    assert one["global_step"] == other["global_step"] == STEPS
    for part in ("state_dict", "optimizer_states", "translator"):
        assert one[part]
        assert differences(one[part], other[part], part) == []


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("uninterrupted")
    with quiet():
        assert run(arguments(folder)) == 0
    return folder


@pytest.mark.parametrize("workers", [0, 2])
def test_one_process_killed_and_resumed(killed, uninterrupted, workers, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")
    folder = killed / f"killed-1-{workers}"
    assert checkpoints.newest(folder).name == "step-0000010.ckpt"
    with quiet():
        assert run(arguments(folder, f"--ckpt_path={folder}", workers=workers)) == 0
    assert_same_end(folder, uninterrupted)


@pytest.mark.parametrize("workers", [0, 2])
def test_two_processes_killed_and_resumed(pair, workers):
    assert [torch.load(pair / f"resumed-{workers}-{rank}.pt") for rank in (0, 1)] == [0, 0]
    assert_same_end(pair / f"killed-2-{workers}", pair / "uninterrupted")


def test_two_processes_do_not_do_what_one_does(pair, uninterrupted):
    """The comparisons above can fail: another number of processes means other batches."""
    one, two = final_state(uninterrupted), final_state(pair / "uninterrupted")
    assert differences(one["state_dict"], two["state_dict"])


@pytest.mark.parametrize("stop", [6, 7, 8, 11])
def test_at_and_around_a_phases_boundary(tmp_path, stop):
    """Adam's moments are forgotten once, at iteration 7, no matter where the run was stopped."""

    def train(folder, max_steps, resume=None):
        torch.manual_seed(0)
        phases = [Phase(7, learns=("generator.first", "discriminator")), Phase(9, decay=9)]
        model = Tiny(n_critic=2, ema_decay=0.9, lr=0.01, phases=phases)
        fit(model, folder, max_steps, callbacks=[LastCheckpoints(every_n_steps=100)], resume=resume)

    train(tmp_path / "whole", -1)
    train(tmp_path / "parts", stop)
    train(tmp_path / "parts", -1, resume=checkpoints.newest(tmp_path / "parts"))
    assert_same_end(tmp_path / "parts", tmp_path / "whole")


def test_what_was_skipped_is_remembered(tmp_path):
    model = Tiny()
    model._skipped["total"] = 3
    fit(model, tmp_path, 2, callbacks=[LastCheckpoints(every_n_steps=1)])
    again = Tiny()
    fit(again, tmp_path, 3, resume=checkpoints.newest(tmp_path))
    assert again._skipped["total"] == 3
