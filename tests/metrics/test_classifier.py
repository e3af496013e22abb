import json
import pickle

import pytest
import torch
from patches import Classes, Patches, Shades, train_judge, trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from metrics import AttributeClassifier
from metrics.classifier import one_cycle
from metrics.corruptions import HELD_OUT


def test_learns_what_is_plain_to_see_and_reports_it(judge, tmp_path, capsys):
    run = trainer(tmp_path)
    run.test(AttributeClassifier.load(judge), datamodule=Patches(size=100), verbose=False)
    report = json.loads((tmp_path / "metrics.json").read_text())
    found = report["metrics"]
    assert found["test/accuracy"] > 0.95
    assert found["test/exact_match"] > 0.9
    assert found["test/accuracy"] == pytest.approx((found["test/accuracy/Red"] + found["test/accuracy/Blue"]) / 2)
    assert found["test/held_out"] == pytest.approx(sum(found[f"test/held_out/{name}"] for name in HELD_OUT) / 4)
    assert found["test/held_out"] > 0.9
    assert report["context"]["images"] == 100
    assert report["context"]["data"] == "Patches"
    assert run.callback_metrics["test/accuracy"] == pytest.approx(found["test/accuracy"])
    assert "right under motion blur" in capsys.readouterr().out


def test_learns_classes_too(tmp_path):
    judge = AttributeClassifier.load(train_judge(tmp_path, Classes()))
    batch = Classes().batch("test", list(range(40)))
    probability = judge.predict(batch["image"])
    torch.testing.assert_close(probability.sum(dim=1), torch.ones(40))
    assert (probability.argmax(1) == batch["label"].argmax(1)).float().mean() > 0.95


def test_of_intensities_it_is_a_regressor(shades_judge, tmp_path, capsys):
    judge, data = AttributeClassifier.load(shades_judge), Shades(size=60)
    assert judge.intensities
    run = trainer(tmp_path)
    run.test(judge, datamodule=data, verbose=False)
    found = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    batch = data.batch("test", list(range(60)))
    error = (judge.predict(batch["image"]) - batch["label"]).abs()
    assert found["test/error"] == pytest.approx(error.mean().item(), abs=1e-5)
    assert found["test/error/Blue"] == pytest.approx(error[:, 1].mean().item(), abs=1e-5)
    assert found["test/error"] < 0.15  # of labels that are 0.3 from their median
    assert found["test/correlation"] > 0.9
    assert found["test/held_out"] == pytest.approx(sum(found[f"test/held_out/{name}"] for name in HELD_OUT) / 4)
    assert not any("accuracy" in name or "match" in name for name in found)
    printed = capsys.readouterr().out
    assert f"error of an intensity            {found['test/error']:.4f}" in printed
    assert "error under motion blur" in printed
    run.validate(judge, datamodule=data, verbose=False)
    assert run.callback_metrics["val/score"] == run.callback_metrics["val/error"]


def test_a_judge_from_before_there_were_intensities_tells_presence(judge, tmp_path):
    checkpoint = torch.load(judge, weights_only=True)
    del checkpoint["hyper_parameters"]["intensities"]
    torch.save(checkpoint, tmp_path / "old.ckpt")
    assert AttributeClassifier.load(tmp_path / "old.ckpt").intensities is False


def test_validation_scores_the_error(judge, tmp_path):
    run = trainer(tmp_path)
    run.validate(AttributeClassifier.load(judge), datamodule=Patches(), verbose=False)
    assert run.callback_metrics["val/score"] == pytest.approx(1 - run.callback_metrics["val/accuracy"])


def test_a_resumed_training_ends_in_the_same_weights(tmp_path):
    ended = []
    for start in (None, tmp_path / "step=3.ckpt"):
        judge = AttributeClassifier(Patches.attributes, image_size=16)
        halfway = ModelCheckpoint(tmp_path, filename="{step}", every_n_train_steps=3, save_top_k=-1)
        run = trainer(tmp_path, *([] if start else [halfway]), max_steps=6, limit_val_batches=0)
        run.fit(judge, datamodule=Patches(), ckpt_path=start, weights_only=True)
        assert run.global_step == 6
        ended.append(judge.state_dict())
    assert all(torch.equal(tensor, ended[1][name]) for name, tensor in ended[0].items())


def test_loaded_it_is_frozen_and_resizes(judge):
    loaded = AttributeClassifier.load(judge)
    assert not loaded.training
    assert not any(parameter.requires_grad for parameter in loaded.parameters())
    assert loaded.attributes == ("Red", "Blue")
    images = Patches().batch("test", list(range(8)))["image"]
    larger = torch.nn.functional.interpolate(images, scale_factor=3, mode="nearest")
    torch.testing.assert_close(loaded.predict(larger), loaded.predict(images), atol=0.1, rtol=0)


def test_a_run_folder_stands_for_its_best_checkpoint(judge, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "best.ckpt").write_bytes(judge.read_bytes())
    assert AttributeClassifier.load(tmp_path).attributes == ("Red", "Blue")


class Trap:
    def __reduce__(self):
        return (print, ("this must not run",))


def flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda content: content[: len(content) // 2], "cut short"),
        (lambda content: b"", "cut short"),
        (flipped, "CRC"),
        (lambda content: pickle.dumps(Trap()), "no checkpoint"),
    ],
)
def test_a_spoilt_file_is_refused(judge, tmp_path, capsys, spoil, says):
    path = tmp_path / "spoilt.ckpt"
    path.write_bytes(spoil(judge.read_bytes()))
    with pytest.raises(ValueError, match=rf"spoilt\.ckpt.*{says}"):
        AttributeClassifier.load(path)
    assert not capsys.readouterr().out


def test_what_is_no_judges_checkpoint_is_refused(tmp_path, capsys):
    with pytest.raises(FileNotFoundError, match=r"no judge at .*nowhere\.ckpt"):
        AttributeClassifier.load(tmp_path / "nowhere.ckpt")
    torch.save({"state_dict": {}, "hyper_parameters": {}}, tmp_path / "other.ckpt")
    with pytest.raises(ValueError, match=r"other\.ckpt is not a judge's checkpoint"):
        AttributeClassifier.load(tmp_path / "other.ckpt")
    torch.save({"state_dict": Trap()}, tmp_path / "trap.ckpt")
    with pytest.raises(ValueError, match=r"trap\.ckpt holds Python objects"):
        AttributeClassifier.load(tmp_path / "trap.ckpt")
    assert not capsys.readouterr().out


def test_bad_arguments_are_named(tmp_path):
    with pytest.raises(ValueError, match="attributes is empty"):
        AttributeClassifier([])
    with pytest.raises(ValueError, match="image_size must be at least 16, got 8"):
        AttributeClassifier(["A"], image_size=8)
    with pytest.raises(ValueError, match="one_hot and intensities exclude each other"):
        AttributeClassifier(["A"], one_hot=True, intensities=True)
    with pytest.raises(ValueError, match=r"max_steps must be at least 1"):
        trainer(tmp_path, max_steps=-1, max_epochs=1).fit(AttributeClassifier(["A", "B"]), datamodule=Patches())


def test_the_rate_rises_for_a_tenth_and_falls_to_nothing():
    rates = [one_cycle(step, 99) for step in range(99)]
    assert rates[4] == pytest.approx(0.5)
    assert max(rates) == rates[9] == pytest.approx(1)
    assert rates[54] == pytest.approx(0.5)
    assert 0 < rates[98] < 0.001
