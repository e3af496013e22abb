import argparse
import json
import struct
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import nn

sys.path.insert(0, str(Path(__file__).parents[1] / "experiments"))
import tables

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
    digits = {"source": 59_000, "target": 6_291, "test": 2_007}
    rows = {"source only": [90.0, 91.0, 92.0], "SRAGAN": [96.0, 97.0, 98.0], "target only": [96.5]}
    found = {"usps": {"digits": digits, "commits": {0: "a", 1: "b", 2: "c"}, **rows}}
    lines = tables.written(found).splitlines()
    assert lines[0] == "| accuracy, % | mnist to usps |"
    assert lines[2:5] == ["| source only | 91.00 ± 1.00 |", "| SRAGAN | 97.00 ± 1.00 |", "| target only | 96.50 |"]
    assert "| SRAGAN, as published | 96.80 |" in lines
    assert (
        "59,000 digits of the source, 6,291 of the target without their labels, 2,007 to test on; seeds 0, 1, 2."
        in lines[-1]
    )
    lines = tables.written({"usps-aligned": {"digits": digits, "commits": {}, **rows}}).splitlines()
    assert "| SRAGAN, as published | – |" in lines  # nobody published it
    assert "59,000 digits of the source aligned, 6,291 of the target" in lines[-1]


def test_every_target_has_a_recipe_of_that_domain():
    for target, recipe in tables.TARGETS.items():
        settings = yaml.safe_load((EXPERIMENTS / "data" / f"{recipe}.yaml").read_text())["data"]["init_args"]
        domain, aligned = target.removesuffix("-aligned"), target.endswith("-aligned")
        assert (settings["domains"], settings.get("aligned", False)) == (["mnist", domain], aligned)


@pytest.fixture
def root(tmp_path):
    """A handful of digits of MNIST and USPS in the collections' own formats, beside a thousand that are held out."""
    random = np.random.default_rng(0)
    folder = tmp_path / "digits"
    (folder / "MNIST" / "raw").mkdir(parents=True)
    (folder / "usps").mkdir()
    arrays = {}
    for part, stem, count in (("train", "train", 1040), ("test", "t10k", 20)):
        images, labels = random.integers(0, 256, (count, 28, 28), np.uint8), random.integers(0, 10, count, np.uint8)
        for name, array in (("images-idx3", images), ("labels-idx1", labels)):
            header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
            (folder / "MNIST" / "raw" / f"{stem}-{name}-ubyte").write_bytes(header + array.tobytes())
        arrays |= {f"{part}_images": images[:, :16, :16], f"{part}_labels": labels}
    np.savez(folder / "usps" / "usps_16x16_uint8.npz", **arrays)
    return folder


def test_examples_are_the_digits_of_one_collection(root):
    pair = tables.pair_of("usps", root)
    source, target = (tables.Examples.of(pair, domain, "train") for domain in ("mnist", "usps"))
    assert source.images.shape == target.images.shape == (40, 3, 32, 32)
    assert torch.equal(source.digits, target.digits)  # as they were written
    border = target.images[:, :, :2].flatten(1)
    assert (border == -1).all()  # USPS has more of a margin
    assert (source.images[:, :, 2:4] != -1).any()
    aligned = tables.Examples.of(tables.pair_of("usps-aligned", root), "mnist", "train")
    assert torch.equal(aligned.digits, source.digits)
    assert not torch.equal(aligned.images, source.images)


@pytest.mark.slow
def test_the_whole_way_with_a_training_of_a_few_iterations(root, tmp_path, monkeypatch, capsys):
    """What was trained is not trained again, what was stopped goes on, and other options are noticed."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    command = ["tables.py", "sragan-3", f"--root={root}", "--seeds=5", "--targets=usps", "--epochs=1"]
    few = ["--trainer.limit_val_batches=0", "--trainer.limit_test_batches=1", "--data.init_args.num_workers=0"]

    def run(steps):
        monkeypatch.setattr(sys, "argv", [*command, f"--trainer.max_steps={steps}", *few])
        tables.main()
        return json.loads(Path("runs/table-sragan-3/table.json").read_text())

    found = run(2)
    folder = Path("runs/table-sragan-3/usps-5")
    assert found["usps"]["digits"] == {"source": 40, "target": 40, "test": 20}
    assert all(len(found["usps"][row]) == 1 for row in ("source only", "SRAGAN", "target only"))
    assert found["usps"]["commits"] == {"5": json.loads((folder / "version.json").read_text())["commit"]}
    assert "| SRAGAN, as published | 96.80 |" in capsys.readouterr().out
    assert yaml.safe_load((folder / "config.yaml").read_text())["seed_everything"] == 5
    (checkpoint,) = folder.glob("checkpoints/step-*.ckpt")
    written = checkpoint.stat().st_mtime_ns
    assert len(list(folder.parent.glob("*-5/classifier-1.pt"))) == 3
    with monkeypatch.context() as none_is_trained:
        none_is_trained.setattr(tables, "trained", None)
        assert run(2)["usps"] == found["usps"]
    assert checkpoint.stat().st_mtime_ns == written
    learnt_from = {}
    kept = tables.kept

    def watched(file, examples, seed, epochs):
        learnt_from[file.parent.name] = examples.digest(), seed
        return kept(file, examples, seed, epochs)

    with monkeypatch.context() as listening:
        listening.setattr(tables, "kept", watched)
        run(2)
    pair = tables.pair_of("usps", root)
    source, labelled = (tables.Examples.of(pair, domain, "train") for domain in ("mnist", "usps"))
    expected = {"source-5": source, "usps-5": tables.translated(folder, source), "usps-only-5": labelled}
    assert learnt_from == {name: (examples.digest(), 5) for name, examples in expected.items()}
    assert len({digest for digest, _ in learnt_from.values()}) == 3
    for more, refused in (
        (["--trainer.precision=bf16-mixed"], "is the table's to say"),
        (["--seeds", "5", "5"], "each seed is asked for once"),
        (["--epochs=0"], "epochs must be at least 1"),
    ):
        with monkeypatch.context() as asked, pytest.raises(SystemExit, match=refused):
            asked.setattr(sys, "argv", [*command, *more])
            tables.main()
    refused = r"usps-5 was begun with another recipe, other options .* move the folder away"
    with pytest.raises(SystemExit, match=refused):
        run(3)
    (folder / "done").unlink()  # as if it had been stopped
    with pytest.raises(SystemExit, match=refused):
        run(3)
    assert run(2)["usps"] == found["usps"]
    assert "resumed" in json.loads((folder / "version.json").read_text())  # gone on with, not begun again
    assert (folder / "done").exists()
    (folder / "asked.json").unlink()  # nobody knows what it was
    with pytest.raises(SystemExit, match=refused):
        run(2)


def test_a_classifier_is_kept_for_just_the_examples_it_learnt_from(tmp_path):
    generator = torch.Generator().manual_seed(0)
    examples, file = bars(64, generator), tmp_path / "classifier.pt"
    first = tables.kept(file, examples, seed=0, epochs=1)
    written = file.stat().st_mtime_ns
    again = tables.kept(file, tables.Examples(examples.images.clone(), examples.digits.clone()), seed=0, epochs=1)
    assert file.stat().st_mtime_ns == written
    assert all(torch.equal(value, again.state_dict()[name]) for name, value in first.state_dict().items())
    for images, digits in ((-examples.images, examples.digits), (examples.images, examples.digits.flip(0))):
        other = tables.kept(file, tables.Examples(images, digits), seed=0, epochs=1)
        assert any((value != other.state_dict()[name]).any() for name, value in first.state_dict().items())
    assert list(tmp_path.iterdir()) == [file]
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(
        ValueError, match=r"delete .*classifier\.pt, and the classifier is trained anew: .* is cut short"
    ):
        tables.kept(file, examples, seed=0, epochs=1)


def test_a_folder_without_digits_is_named(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["tables.py", "sragan-3", f"--root={tmp_path}"])
    with pytest.raises(SystemExit, match=str(tmp_path)):
        tables.main()
