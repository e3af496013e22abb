import argparse
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
import tables

ROOT = Path(__file__).parents[2] / "shared" / "data"
EXPERIMENTS = Path(__file__).parents[1] / "experiments"


def counted(network):
    return sum(parameter.numel() for parameter in network.parameters())


def test_the_classifier_is_the_papers():
    """5 x 5 to 32 channels, pool, 5 x 5 to 48, pool, and 100, 100, 10 units: counted by hand."""
    convolutions = 32 * 3 * 25 + 32 + 48 * 32 * 25 + 48
    units = 100 * 48 * 8 * 8 + 100 + 100 * 100 + 100 + 10 * 100 + 10
    assert counted(tables.classifier()) == convolutions + units
    assert tables.classifier()(torch.zeros(2, 3, 32, 32)).shape == (2, 10)


def bars(count, generator):
    """A bright row tells the digit."""
    digits = torch.randint(10, (count,), generator=generator)
    images = torch.full((count, 3, 32, 32), -1.0)
    for image, digit in zip(images, digits.tolist(), strict=True):
        image[:, 3 * digit : 3 * digit + 2] = 1
    return tables.Examples(images, digits)


def test_a_classifier_learns_what_its_examples_show_and_accuracy_counts_it():
    generator = torch.Generator().manual_seed(0)
    seen, unseen = bars(320, generator), bars(100, generator)
    network = tables.trained(seen, seed=0, epochs=8)
    assert tables.accuracy(network, unseen) == 100
    wrong = tables.Examples(unseen.images, (unseen.digits + (torch.arange(100) < 30)) % 10)
    assert tables.accuracy(network, wrong) == pytest.approx(70)


def test_a_translation_is_rounded_to_what_a_picture_can_hold(monkeypatch):
    class Grey(nn.Module):
        def forward(self, image, target):
            assert target.label.tolist() == [[0.0, 1.0]] * len(image)
            return argparse.Namespace(image=torch.full_like(image, 0.0011))

    monkeypatch.setattr(tables.Translator, "load", lambda path: Grey())
    made = tables.translated(Path("run"), tables.Examples(torch.zeros(3, 3, 4, 4), torch.tensor([1, 2, 3])))
    assert made.digits.tolist() == [1, 2, 3]
    assert (made.images - (128 / 127.5 - 1)).abs().max() < 1e-6


def test_the_table_says_means_and_spreads():
    found = {"usps": {"source only": [90.0, 91.0, 92.0], "SRAGAN": [96.0, 97.0, 98.0], "target only": [96.5]}}
    lines = tables.written(found).splitlines()
    assert lines[0] == "| accuracy, % | mnist to usps |"
    assert lines[2:5] == ["| source only | 91.00 ± 1.00 |", "| SRAGAN | 97.00 ± 1.00 |", "| target only | 96.50 |"]
    assert lines[-2] == "| SRAGAN, as published | 96.80 |"


def test_every_target_has_a_recipe_of_that_domain():
    for domain, recipe in tables.TARGETS.items():
        section = yaml.safe_load((EXPERIMENTS / "data" / f"{recipe}.yaml").read_text())
        assert section["data"]["init_args"]["domains"] == ["mnist", domain]


@pytest.mark.slow
@pytest.mark.skipif(not (ROOT / "usps").is_dir(), reason="the digits are not beside this checkout (shared/data)")
def test_the_whole_way_with_a_training_of_two_iterations(tmp_path, monkeypatch):
    """What was trained is not trained again."""
    monkeypatch.chdir(EXPERIMENTS.parent)
    monkeypatch.setattr(tables.Examples, "of", lambda *where: bars(64, torch.Generator().manual_seed(len(where[2]))))
    options = argparse.Namespace(root=ROOT, seeds=[5], targets=["usps"], epochs=1, precision="32-true")
    options.more = ["--trainer.max_steps=2", "--trainer.limit_val_batches=0", "--trainer.limit_test_batches=1"]
    found = tables.sragan_3(tmp_path, options)
    assert {row: len(values) for row, values in found["usps"].items()}["SRAGAN"] == 1
    config = yaml.safe_load((tmp_path / "usps-5" / "config.yaml").read_text())
    assert config["seed_everything"] == 5
    weights = sorted((tmp_path / "usps-5").glob("checkpoints/*.ckpt"))
    assert [path.name for path in weights] == ["step-0000002.ckpt"]
    written = weights[0].stat().st_mtime_ns
    assert tables.sragan_3(tmp_path, options) == found
    assert weights[0].stat().st_mtime_ns == written
    assert np.isfinite(found["usps"]["target only"][0])
    assert json.dumps(found)
