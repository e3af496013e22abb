import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from patches import Classes, Known, Masked, Patches, Photos, Shades, train_judge, trainer
from pytorch_lightning.callbacks import ModelCheckpoint

from metrics import AttributeClassifier, Evaluate
from metrics.callbacks import score, summary


def report_of(folder, makes, data=None, judge=None):
    trainer(folder, Evaluate(judge)).test(Known(makes), datamodule=data or Patches(), verbose=False)
    return json.loads((folder / "metrics.json").read_text())


def test_the_truth_scores_full_marks(judge, tmp_path, capsys):
    report = report_of(tmp_path, "truth", judge=str(judge))
    found = report["metrics"]
    assert found["test/counterfactual/l1"] == found["test/counterfactual/inside_ratio"] == 0
    assert found["test/counterfactual/outside_change"] == found["test/reconstruction_l1"] == 0
    assert found["test/counterfactual/psnr"] == 100
    assert found["test/counterfactual/ssim"] == pytest.approx(1, abs=1e-5)
    assert found["test/target_accuracy"] == found["test/target_accuracy/Red"] == 1
    assert found["test/kept_accuracy"] == found["test/judge_accuracy_on_real"] == 1
    assert found["test/images_per_second"] == pytest.approx(40 / 1.5)  # 20 images, 2 edits; 3 batches of half a second
    assert report["context"]["images"] == 20
    assert report["context"]["attributes"] == ["Red", "Blue"]
    assert report["context"]["edits"] == 40
    assert report["context"]["judge"] == str(judge)
    with judge.open("rb") as file:
        assert report["context"]["judge_sha256"] == hashlib.file_digest(file, "sha256").hexdigest()
    printed = capsys.readouterr().out
    assert "the requested attribute is there     100.0%" in printed
    assert str(tmp_path / "metrics.json") in printed


def test_the_copy_scores_what_stands_beside_it_and_changes_nothing(judge, tmp_path):
    found = report_of(tmp_path, "copy", judge=str(judge))["metrics"]
    for name in ("l1", "psnr", "ssim", "inside_l1"):
        assert found[f"test/counterfactual/{name}"] == found[f"test/counterfactual/{name}_copied"]
        assert found[f"test/counterfactual/{name}/Blue"] == found[f"test/counterfactual/{name}_copied/Blue"]
    assert found["test/counterfactual/inside_ratio"] == 1
    assert found["test/counterfactual/outside_change"] == 0
    assert found["test/target_accuracy"] == 0
    assert found["test/kept_accuracy"] == 1


def test_the_numbers_are_those_of_arithmetic(tmp_path):
    found = report_of(tmp_path, "black")["metrics"]
    data = Patches()
    batch = data.batch("test", list(range(20)))
    changes = []
    for edit in (0, 1):
        truth, mask = data.counterfactual("test", batch["index"], data.edits(batch["label"])[:, edit])
        outside = (1 - mask).expand(-1, 3, -1, -1)
        changes.append((((batch["image"] + 1) / 2 * outside).sum((1, 2, 3)) / outside.sum((1, 2, 3))).mean())
        assert found[f"test/counterfactual/l1/{data.attributes[edit]}"] == pytest.approx(
            ((truth + 1) / 2).mean().item()
        )
    assert found["test/counterfactual/outside_change"] == pytest.approx(torch.stack(changes).mean().item())
    assert found["test/reconstruction_l1"] == pytest.approx(((batch["image"] + 1) / 2).mean().item())


@pytest.mark.parametrize("makes", ["truth", "copy"])
def test_the_errors_of_intensities_are_those_of_arithmetic(shades_judge, tmp_path, capsys, makes):
    found = report_of(tmp_path, makes, Shades(), str(shades_judge))["metrics"]
    data, judge = Shades(), AttributeClassifier.load(shades_judge)
    batch = data.batch("test", list(range(20)))
    source = judge.predict(batch["image"])
    for edit, name in enumerate(data.attributes):
        target = data.edits(batch["label"])[:, edit]
        truth, _ = data.counterfactual("test", batch["index"], target)
        seen = judge.predict(truth) if makes == "truth" else source
        for suffix, values in (("", seen), ("_copied", source)):
            error = (values - target).abs()
            assert found[f"test/unit_error{suffix}/{name}"] == pytest.approx(error[:, edit].mean().item(), abs=1e-5)
            assert found[f"test/all_units_error{suffix}/{name}"] == pytest.approx(error.mean().item(), abs=1e-5)
    assert found["test/unit_error_on_real"] == pytest.approx((source - batch["label"]).abs().mean().item(), abs=1e-5)
    assert found["test/unit_correlation_on_real"] > 0.9
    assert found["test/unit_error"] < 0.2 or makes == "copy"
    assert found["test/unit_error_copied"] > 0.5
    assert not any("accuracy" in name for name in found)
    printed = capsys.readouterr().out
    assert f"error of the requested unit          {found['test/unit_error']:.4f}" in printed
    assert "unit error     of the copy" in printed


def test_a_judge_tells_presence_or_intensities_but_not_both(judge, shades_judge, tmp_path):
    with pytest.raises(ValueError, match="tells the attributes Red, Blue, but the data has the intensities of Red, B"):
        report_of(tmp_path, "copy", Shades(), str(judge))
    with pytest.raises(ValueError, match="tells the intensities of Red, Blue, but the data has the attributes Red, B"):
        report_of(tmp_path, "copy", Patches(), str(shades_judge))


def test_without_the_truth_the_score_of_intensities_is_the_units_error(shades_judge, tmp_path):
    class Unknown(Shades):
        counterfactual = Photos.counterfactual

    run = trainer(tmp_path, Evaluate(str(shades_judge)))
    run.validate(Known("black"), datamodule=Unknown(), verbose=False)
    found = {name: value.item() for name, value in run.callback_metrics.items()}
    assert found["val/score"] == pytest.approx(found["val/unit_error"] + found["val/reconstruction_l1"])
    assert min(found["val/unit_error"], found["val/reconstruction_l1"]) > 0.1


def test_masks_are_measured_against_the_true_ones(tmp_path, capsys):
    trainer(tmp_path, Evaluate()).test(Masked("copy"), datamodule=Patches(), verbose=False)
    found = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    patch, half = 6 * 6, 16 * 8  # pixels; the mask is a quarter in the left half, where the red patch is
    assert found["test/mask/iou/Red"] == pytest.approx(patch / 4 / (patch + (half - patch) / 4))
    assert found["test/mask/inside/Red"] == pytest.approx(patch / half)
    assert found["test/mask/iou/Blue"] == found["test/mask/inside/Blue"] == 0
    assert found["test/mask/iou_constant"] == pytest.approx(patch / 256)
    assert found["test/mask/area"] == pytest.approx(1 / 8)
    printed = capsys.readouterr().out
    assert f"overlap with the true one {found['test/mask/iou']:.4f}   (a constant mask's: {patch / 256:.4f})" in printed
    assert "the mask's share of the picture      12.5%" in printed


def test_of_a_mask_whose_truth_nobody_knows_there_is_the_area(tmp_path):
    trainer(tmp_path, Evaluate()).test(Masked("copy"), datamodule=Photos(), verbose=False)
    found = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert {name for name in found if "mask" in name} == {f"test/mask/area{end}" for end in ("", "/Red", "/Blue")}


class OneWay(Known):
    """The same without the way back."""

    def translate(self, split, batch):
        outputs = super().translate(split, batch)
        del outputs["reconstructions"]
        return outputs


def test_without_a_way_back_its_error_is_absent_and_the_score_is_the_rest(judge, tmp_path, recwarn):
    made = trainer(tmp_path, Evaluate(str(judge)))
    made.validate(OneWay("copy"), datamodule=Photos(), verbose=False)
    assert not [warning for warning in recwarn if "before the ``update``" in str(warning.message)]
    found = made.callback_metrics
    assert not [name for name in found if "reconstruction" in name]
    assert found["val/score"] == pytest.approx(1 - found["val/target_accuracy"])
    assert score({"unit_error": 0.2}) == 0.2
    assert score({}) == float("inf")


def test_a_batch_in_which_nothing_was_asked_for_is_counted_and_its_pictures_are_judged(judge, tmp_path):
    """The last of three batches, of 4 of the 20 pictures: the rest is measured as if it were not there."""

    class Idle(Known):
        def translate(self, split, batch):
            outputs = super().translate(split, batch)
            if len(batch["image"]) == 4:
                outputs["targets"] = batch["label"][:, None].expand_as(outputs["targets"])
            return outputs

    trainer(tmp_path, Evaluate(str(judge))).test(Idle("copy"), datamodule=Patches(), verbose=False)
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["context"]["images"] == 20
    assert report["context"]["edits"] == 2 * 16
    assert report["metrics"]["test/target_accuracy"] == 0
    assert report["metrics"]["test/judge_accuracy_on_real"] == 1


def test_an_edit_that_asks_for_what_is_there_does_not_count(tmp_path):
    judge = train_judge(tmp_path, Classes())
    report = report_of(tmp_path, "truth", Classes(), str(judge))
    assert report["context"]["edits"] == 20  # of 40, the half that asks for the other class
    assert report["metrics"]["test/target_accuracy"] > 0.9
    assert not any("kept" in name for name in report["metrics"])


def test_what_cannot_be_measured_is_absent(tmp_path, capsys):
    found = report_of(tmp_path, "copy", Photos())["metrics"]
    assert found == {
        "test/reconstruction_l1": 0.0,
        "test/reconstruction_l1/Red": 0.0,
        "test/reconstruction_l1/Blue": 0.0,
        "test/images_per_second": pytest.approx(40 / 1.5),
    }
    assert "requested attribute" not in capsys.readouterr().out


@pytest.mark.parametrize(
    ("makes", "data", "judged", "expected"),
    [("copy", Patches, False, 1), ("truth", Patches, True, 0), ("copy", Photos, True, 1), ("copy", Photos, False, 0)],
)
def test_the_validation_score(judge, tmp_path, makes, data, judged, expected):
    run = trainer(tmp_path, Evaluate(str(judge) if judged else None))
    run.validate(Known(makes), datamodule=data(), verbose=False)
    assert run.callback_metrics["val/score"] == expected
    assert run.callback_metrics["val/reconstruction_l1"] == 0
    assert not (tmp_path / "metrics.json").exists()


def test_a_score_that_is_no_number_is_never_the_best():
    assert score({"reconstruction_l1": float("nan")}) == float("inf")
    assert score({}) == float("inf")


def test_the_score_is_there_when_the_best_checkpoint_is_chosen_and_the_judge_is_not_in_it(judge, tmp_path):
    best = ModelCheckpoint(tmp_path, filename="best", monitor="val/score", mode="min")
    run = trainer(
        tmp_path, best, Evaluate(str(judge)), max_steps=2, num_sanity_val_steps=1, val_check_interval=1, max_epochs=1
    )
    run.fit(Known("copy"), datamodule=Patches())
    assert best.best_model_score == 1
    assert list(torch.load(best.best_model_path, weights_only=True)["state_dict"]) == ["weight"]


def test_the_sanity_check_before_training_leaves_no_numbers(tmp_path):
    run = trainer(tmp_path, Evaluate(), num_sanity_val_steps=1, check_val_every_n_epoch=2, max_epochs=1)
    run.fit(Known("copy"), datamodule=Patches())
    assert "val/score" not in run.callback_metrics


def test_a_judge_of_other_attributes_is_refused_before_anything_runs(judge, tmp_path):
    class Others(Patches):
        attributes = ("Red", "Green")

    with pytest.raises(ValueError, match=r"tells the attributes Red, Blue, but the data has the attributes Red, Green"):
        report_of(tmp_path, "copy", Others(), str(judge))
    with pytest.raises(ValueError, match=r"but the data has the classes Red, Blue"):
        report_of(tmp_path, "copy", Classes(), str(judge))
    with pytest.raises(FileNotFoundError, match="no judge at"):
        report_of(tmp_path, "copy", judge=str(tmp_path / "none.ckpt"))


def test_a_model_that_returns_no_translations_is_told_so(judge, tmp_path):
    with pytest.raises(ValueError, match="AttributeClassifier returns no translations to evaluate"):
        trainer(tmp_path, Evaluate()).test(AttributeClassifier.load(judge), datamodule=Patches(), verbose=False)


def test_pictures_that_are_no_numbers_are_named_and_not_written(tmp_path):
    class Broken(Known):
        def test_step(self, batch, batch_idx):
            outputs = self.translate("test", batch)
            return {**outputs, "images": outputs["images"] * float("nan")}

    with pytest.warns(UserWarning, match=r"not finite, and therefore left out: counterfactual/l1"):
        trainer(tmp_path, Evaluate()).test(Broken("copy"), datamodule=Patches(), verbose=False)
    found = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert "test/counterfactual/l1" not in found
    assert found["test/reconstruction_l1"] == 0


def test_the_summary_leaves_a_gap_where_an_attribute_was_not_measured(tmp_path):
    found = {"target_accuracy": 0.5, "target_accuracy/A": 0.5}
    lines = summary(found, ("A", "B"), 1, 1, tmp_path).splitlines()
    assert any(line.split() == ["A", "0.500"] for line in lines)
    assert any(line.split() == ["B", "-"] for line in lines)


def measure(folder, judge, **settings):
    data = Patches(size=22)
    trainer(folder / "edits", Evaluate(judge), **settings).test(Masked("black"), datamodule=data, verbose=False)
    run = trainer(folder / "judge", **settings)
    run.test(AttributeClassifier.load(judge), datamodule=data, verbose=False)


def test_two_processes_measure_what_one_does(judge, tmp_path, monkeypatch):
    here = Path(__file__)
    monkeypatch.setenv("PYTHONPATH", f"{here.parents[2] / 'src'}:{here.parent}")
    script = tmp_path / "measure.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nfrom test_callbacks import measure\n"
        "measure(Path(sys.argv[1]), sys.argv[2], devices=2, strategy='ddp')\n"
    )
    subprocess.run([sys.executable, str(script), str(tmp_path / "two"), str(judge)], check=True, timeout=250)
    measure(tmp_path / "one", str(judge))
    for kind in ("edits", "judge"):
        one, two = (json.loads((tmp_path / count / kind / "metrics.json").read_text()) for count in ("one", "two"))
        for report in (one, two):
            del report["context"]["commit"]  # somebody may commit meanwhile
            report["metrics"].pop("test/images_per_second", None)
        assert one["context"]["images"] == 22
        assert two["context"] == one["context"]
        assert two["metrics"] == pytest.approx(one["metrics"], abs=1e-7)
