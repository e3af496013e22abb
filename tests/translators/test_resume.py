"""What was interrupted and resumed must end bit for bit where an uninterrupted run ends."""

from pathlib import Path

import pytest
import torch

from tiny import STEPS, Tiny, TinyData, arguments, data_for, exported, fit, quiet, small, stop_and_resume
from translators import ADSPM, CycleGAN, Phase, checkpoints
from translators.callbacks import LastCheckpoints
from translators.cli import run

STOP, END = 7, 10  # in the middle of the second epoch of six iterations, between the generator's turns, the 6th and 9th
TURNS = {"n_critic": 3, "ema_decay": 0.9, "lr": 0.001, "phases": [Phase(END, decay=8)]}


def state(folder: Path, step: int = STEPS) -> dict:
    return checkpoints.read(folder / "checkpoints" / f"step-{step:07d}.ckpt")


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


def assert_same_end(folder: Path, reference: Path, end: int = STEPS) -> None:
    """Weights, Adam's moments and counts, the generator's average, image pools, the step."""
    one, other = state(folder, end), state(reference, end)
    assert one["global_step"] == other["global_step"] == end
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
    one, two = state(uninterrupted), state(pair / "uninterrupted")
    assert differences(one["state_dict"], two["state_dict"])


def test_each_of_two_processes_has_its_own_pools_back(pair):
    assert_same_end(pair / "pools" / "parts", pair / "pools" / "whole", END)
    first, second = state(pair / "pools" / "parts", END)["translator"]["processes"]
    assert all((first[domain] != second[domain]).any() for domain in ("a", "b"))


def test_one_process_is_told_that_the_pools_of_two_are_forgotten(pair, tmp_path):
    of_two = checkpoints.newest(pair / "pools" / "parts")
    model = small(CycleGAN, pool_size=30, n_critic=1)
    with pytest.warns(UserWarning, match="of 2 processes, there are 1"):
        fit(model, tmp_path, END + 1, resume=of_two)
    assert [len(pool.images) for pool in model.pools.values()] == [4, 4]  # of its own one batch


def test_evaluation_says_nothing_of_pools(pair, tmp_path, recwarn):
    """Whoever only looks at a model trained by two processes has lost nothing."""
    data, of_two = data_for(CycleGAN), checkpoints.newest(pair / "pools" / "parts")
    model = small(CycleGAN, n_critic=1)
    fit(model, tmp_path, 1).test(model, data, ckpt_path=of_two, verbose=False)
    assert differences(model.state_dict(), checkpoints.read(of_two)["state_dict"]) == []
    assert not any("forgotten" in str(warning.message) for warning in recwarn)


@pytest.mark.parametrize("stop", [6, 7, 8, 11])
def test_at_and_around_a_phases_boundary(tmp_path, stop):
    """Adam's moments are forgotten once, at iteration 7, no matter where the run was stopped."""
    phases = [Phase(7, learns=("generator.first", "discriminator")), Phase(9, decay=9)]
    stop_and_resume(lambda: Tiny(n_critic=2, ema_decay=0.9, lr=0.01, phases=phases), tmp_path, stop, STEPS)
    assert_same_end(tmp_path / "parts", tmp_path / "whole")


@pytest.mark.parametrize("model", exported(), ids=lambda model: model.__name__)
def test_every_translator_between_two_turns_of_its_generator(model, tmp_path):
    stop_and_resume(lambda: small(model, **TURNS), tmp_path, STOP, END)
    assert_same_end(tmp_path / "parts", tmp_path / "whole", END)


def test_the_second_stage_of_adspm(tmp_path):
    """It starts from the first stage's checkpoint, once: a resumed run goes on from its own."""
    first = tmp_path / "first.ckpt"
    fit(small(ADSPM, n_critic=1, lr=0.01), tmp_path, 2).save_checkpoint(first)

    def second():
        return small(ADSPM, stage=2, image_size=32, start=str(first), **TURNS)

    stop_and_resume(second, tmp_path, STOP, END, data=TinyData(image_size=32))
    assert_same_end(tmp_path / "parts", tmp_path / "whole", END)


def test_the_pools_of_cyclegan(tmp_path):
    """Three images each, full from the first batch of four on and then ever changing."""
    stop_and_resume(lambda: small(CycleGAN, pool_size=3, **TURNS), tmp_path, STOP, END)
    assert_same_end(tmp_path / "parts", tmp_path / "whole", END)
    (stopped,), (ended,) = (state(tmp_path / "parts", step)["translator"]["processes"] for step in (STOP, END))
    for domain in ("a", "b"):
        assert stopped[domain].shape == ended[domain].shape == (3, 3, 32, 32)
        assert (stopped[domain] != ended[domain]).any()


def test_a_cyclegan_that_forgets_its_pools_ends_elsewhere(tmp_path):
    """The comparisons above can fail, even without looking at the pools themselves: its discriminators saw others."""

    class Forgetful(CycleGAN):
        def restore_process_state(self, state):
            pass

    stop_and_resume(lambda: small(Forgetful, pool_size=3, **TURNS), tmp_path, STOP, END)
    parts, whole = state(tmp_path / "parts", END), state(tmp_path / "whole", END)
    changed = {place.split(".")[1] for place in differences(parts["state_dict"], whole["state_dict"])}
    assert "discriminator" in changed


def test_what_was_skipped_is_remembered(tmp_path):
    model = Tiny()
    model._skipped["total"] = 3
    fit(model, tmp_path, 2, callbacks=[LastCheckpoints(every_n_steps=1)])
    again = Tiny()
    fit(again, tmp_path, 3, resume=checkpoints.newest(tmp_path))
    assert again._skipped["total"] == 3


def test_a_checkpoint_from_before_there_were_pools(tmp_path):
    """Those of earlier versions say nothing of what a process remembers."""
    fit(Tiny(), tmp_path, 2, callbacks=[LastCheckpoints(every_n_steps=1)])
    path = checkpoints.newest(tmp_path)
    checkpoint = checkpoints.read(path)
    del checkpoint["translator"]["processes"]
    torch.save(checkpoint, path)
    again = Tiny()
    fit(again, tmp_path, 3, resume=path)
    assert again.global_step == 3
