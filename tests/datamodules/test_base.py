import subprocess
import sys

import albumentations as A
import numpy as np
import pytest
import pytorch_lightning as pl
import torch

from datamodules.base import ImageDataModule, chosen, nearest
from datamodules.records import Records

HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair")


class Noise(Records):
    """Random pictures, the same ones each time."""

    def __init__(self, count: int, size: int, width: int = 2) -> None:
        self.pixels = np.random.default_rng(count).integers(0, 256, (count, size, size, 3)).astype(np.uint8)
        self.labels = np.eye(width, dtype=np.float32)[np.arange(count) % width]

    def read(self, row: int) -> np.ndarray:
        return self.pixels[row]

    def fingerprint(self) -> str:
        return f"{len(self)}"


class NoiseData(ImageDataModule):
    attributes = ("even", "odd")
    one_hot = True

    def records(self, split):
        return Noise({"train": 22, "val": 7, "test": 5}[split], self.image_size)


class Numbered(Noise):
    """Noise whose pictures have a number of their own."""

    def __init__(self, *size) -> None:
        super().__init__(*size)
        self.extras = {"digit": np.arange(len(self)) * 7 % 10}


class NumberedData(NoiseData):
    def records(self, split):
        return Numbered({"train": 22, "val": 7, "test": 5}[split], self.image_size)


class Labels(ImageDataModule):
    """Only the names, for what needs no pictures."""

    def __init__(self, *attributes: str, exclusive=(), conflicts=(), one_hot: bool = False) -> None:
        super().__init__()
        self.attributes, self.exclusive, self.conflicts, self.one_hot = attributes, exclusive, conflicts, one_hot

    def records(self, split):
        raise NotImplementedError


class Recorder(pl.LightningModule):
    """Trains one number and remembers the batches it saw."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(()))
        self.seen: list[dict[str, torch.Tensor]] = []

    def training_step(self, batch, batch_idx):
        self.seen.append(batch)
        return self.weight**2

    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), lr=0.1)


def noise(tmp_path, **settings) -> NoiseData:
    return NoiseData(**{"image_size": 16, "batch_size": 4, "num_workers": 0, "cache_dir": str(tmp_path), **settings})


def train(data: NoiseData, folder, max_steps: int, resume: str | None = None, **trainer) -> Recorder:
    model = Recorder()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    fit = pl.Trainer(default_root_dir=folder, max_steps=max_steps, max_epochs=-1, **quiet, **trainer)
    fit.fit(model, data, ckpt_path=resume, weights_only=False)
    fit.save_checkpoint(folder / f"{max_steps}.ckpt")
    return model


def same(one, other) -> bool:
    pairs = list(zip(one, other, strict=True))
    return len(pairs) > 0 and all(torch.equal(a[name], b[name]) for a, b in pairs for name in a)


def test_a_batch_has_the_fields_shapes_and_types_of_the_contract(tmp_path):
    batch = next(iter(noise(tmp_path).train_dataloader()))
    shapes = {"image": (4, 3, 16, 16), "label": (4, 2), "index": (4,)}
    shapes |= {"reference": (4, 3, 16, 16), "reference_label": (4, 2), "reference_index": (4,)}
    assert {name: tuple(value.shape) for name, value in batch.items()} == shapes
    assert all(value.dtype == (torch.int64 if "index" in name else torch.float32) for name, value in batch.items())
    assert all(value.is_contiguous() for value in batch.values())


def test_items_are_the_pictures_and_labels_of_their_rows(tmp_path):
    truth = Noise(22, 16)
    for cache in (True, False):
        for batch in noise(tmp_path, flip=False, cache=cache).train_dataloader():
            for prefix in ("", "reference_"):
                index = batch[f"{prefix}index"]
                expected = torch.from_numpy(truth.pixels[index]).permute(0, 3, 1, 2).float() / 127.5 - 1
                torch.testing.assert_close(batch[prefix.rstrip("_") or "image"], expected, atol=1e-6, rtol=0)
                assert torch.equal(batch[f"{prefix}label"], torch.from_numpy(truth.labels[index]))


def test_training_pictures_are_mirrored_half_of_the_time_each_independently(tmp_path):
    truth = torch.from_numpy(Noise(22, 16).pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    flips = []
    for seed in range(20):
        for batch in noise(tmp_path, seed=seed).train_dataloader():
            for image, index in (("image", "index"), ("reference", "reference_index")):
                plain, mirrored = truth[batch[index]], truth[batch[index]].flip(3)
                is_plain, is_mirrored = (
                    [torch.allclose(a, b, atol=1e-6) for a, b in zip(batch[image], kind, strict=True)]
                    for kind in (plain, mirrored)
                )
                assert all(a != b for a, b in zip(is_plain, is_mirrored, strict=True))
                flips.append(is_mirrored)
    sources, references = np.array(flips).reshape(-1, 2, 4).transpose(1, 0, 2).reshape(2, -1)  # 400 of each
    assert abs(sources.mean() - 0.5) < 0.125
    assert abs(references.mean() - 0.5) < 0.125
    assert abs((sources == references).mean() - 0.5) < 0.125


def test_augmentation_differs_between_workers_and_epochs_and_not_between_runs(tmp_path):
    """albumentations alone would replay one stream in every worker and every epoch."""
    truth = torch.from_numpy(Noise(22, 16).pixels).permute(0, 3, 1, 2).float() / 127.5 - 1

    def mirrored(batch):
        return [not torch.allclose(a, b, atol=1e-6) for a, b in zip(batch["image"], truth[batch["index"]], strict=True)]

    settings = {"num_workers": 2, "batch_size": 11}  # two batches an epoch, one from each worker
    one, other = (train(noise(tmp_path, **settings), tmp_path / run, max_steps=6).seen for run in ("one", "other"))
    assert same(one, other)
    assert len({tuple(mirrored(batch)) for batch in one}) == 6


@pytest.mark.parametrize("workers", [0, 2])
def test_other_augmentation_is_keyed_too_and_spares_held_out_pictures(tmp_path, workers):
    """A random crop of noise, wherever it is computed, is the same again, and another one in every step."""

    def batches(loader: str) -> list:
        crop = A.RandomResizedCrop(size=(16, 16), scale=(0.3, 0.6))
        data = noise(tmp_path, num_workers=workers, augment=[crop], batch_size=11, flip=False)
        return list(getattr(data, loader)())

    one, other = batches("train_dataloader"), batches("train_dataloader")
    assert same(one, other)
    plain = list(noise(tmp_path, batch_size=11, flip=False).train_dataloader())
    assert all(not torch.equal(a["image"], b["image"]) for a, b in zip(one, plain, strict=True))
    assert same(batches("test_dataloader"), list(noise(tmp_path, batch_size=11).test_dataloader()))


def test_augmentation_must_keep_the_size(tmp_path):
    data = noise(tmp_path, augment=[A.CenterCrop(8, 8)])
    with pytest.raises(ValueError, match=r"\(16, 16, 3\) uint8, but made \(8, 8, 3\) uint8"):
        next(iter(data.train_dataloader()))


def test_a_batch_carries_what_else_is_known_of_its_pictures_and_references(tmp_path):
    data = NumberedData(image_size=16, batch_size=4, num_workers=0, cache_dir=str(tmp_path))
    for batch in (*data.train_dataloader(), *data.val_dataloader()):
        assert batch["digit"].tolist() == (batch["index"] * 7 % 10).tolist()
        assert batch["reference_digit"].tolist() == (batch["reference_index"] * 7 % 10).tolist()


@pytest.mark.parametrize("loader", ["train_dataloader", "val_dataloader"])
def test_references_may_come_from_the_other_label(tmp_path, loader):
    for batch in getattr(noise(tmp_path, reference="other"), loader)():
        assert ((batch["label"] * batch["reference_label"]).sum(1) == 0).all()


def test_workers_do_not_change_the_batches(tmp_path):
    alone, pair = (list(noise(tmp_path, num_workers=number).train_dataloader()) for number in (0, 2))
    assert len(alone) == 5
    assert same(alone, pair)


@pytest.mark.parametrize("workers", [0, 2])
def test_a_resumed_run_sees_what_the_whole_run_saw(tmp_path, workers):
    whole = train(noise(tmp_path, num_workers=workers), tmp_path / "whole", max_steps=12).seen
    first = train(noise(tmp_path, num_workers=workers), tmp_path / "first", max_steps=7).seen
    rest = train(
        noise(tmp_path, num_workers=workers), tmp_path / "rest", max_steps=12, resume=str(tmp_path / "first" / "7.ckpt")
    ).seen
    assert [len(run) for run in (whole, first, rest)] == [12, 7, 5]
    assert same(whole, first + rest)


def test_without_max_steps_a_trainer_runs_whole_epochs(tmp_path):
    model = train(noise(tmp_path), tmp_path, max_steps=-1, limit_val_batches=0, min_epochs=2, callbacks=[StopAfter(2)])
    epochs = [torch.cat([batch["index"] for batch in model.seen[first : first + 5]]).tolist() for first in (0, 5)]
    assert len(model.seen) == 10
    assert all(len(set(rows)) == 20 for rows in epochs)
    assert epochs[0] != epochs[1]


class StopAfter(pl.Callback):
    def __init__(self, epochs: int) -> None:
        self.epochs = epochs

    def on_train_epoch_end(self, trainer, pl_module):
        trainer.should_stop = trainer.current_epoch + 1 >= self.epochs


@pytest.mark.parametrize("split", ["val", "test"])
def test_held_out_splits_come_in_order_unchanged_and_with_fixed_references(tmp_path, split):
    batches = [list(getattr(noise(tmp_path), f"{split}_dataloader")()) for _ in range(2)]
    truth = Noise({"val": 7, "test": 5}[split], 16).pixels
    assert torch.cat([batch["index"] for batch in batches[0]]).tolist() == list(range(len(truth)))
    images = torch.cat([batch["image"] for batch in batches[0]])
    torch.testing.assert_close(
        images, torch.from_numpy(truth).permute(0, 3, 1, 2).float() / 127.5 - 1, atol=1e-6, rtol=0
    )
    assert same(*batches)


def test_edits_of_hair_colour_follow_the_released_preset_list():
    data = Labels(*HAIR, "Male", "Young", exclusive=(HAIR,))
    targets = data.edits(torch.tensor([[1.0, 0, 0, 1, 1], [0, 0, 0, 0, 1]]))
    assert targets[0].tolist() == [[1, 0, 0, 1, 1], [0, 1, 0, 1, 1], [0, 0, 1, 1, 1], [1, 0, 0, 0, 1], [1, 0, 0, 1, 0]]
    assert targets[1].tolist() == [[1, 0, 0, 0, 1], [0, 1, 0, 0, 1], [0, 0, 1, 0, 1], [0, 0, 0, 1, 1], [0, 0, 0, 0, 0]]


def test_switching_on_clears_what_conflicts_and_switching_off_clears_nothing():
    """BridgeGAN's rules: a receding hairline puts a fringe off and the other way round; either can go alone."""
    data = Labels("Bangs", "Male", "Receding_Hairline", conflicts=(("Bangs", "Receding_Hairline"),))
    targets = data.edits(torch.tensor([[1.0, 0, 0], [0, 1, 1], [0, 0, 0]])).tolist()
    assert targets[0] == [[0, 0, 0], [1, 1, 0], [0, 0, 1]]
    assert targets[1] == [[1, 1, 0], [0, 0, 1], [0, 1, 0]]
    assert targets[2] == [[1, 0, 0], [0, 1, 0], [0, 0, 1]]


def test_edits_of_domains_are_the_domains():
    data = Labels("a", "b", "c", one_hot=True, exclusive=(("a", "b", "c"),))
    assert data.edits(torch.eye(3)[[1, 2]]).tolist() == [torch.eye(3).tolist()] * 2


def test_edits_of_action_units_go_to_the_other_end():
    targets = Labels("AU1", "AU12").edits(torch.tensor([[0.3, 0.8]]))
    torch.testing.assert_close(targets, torch.tensor([[[1.0, 0.8], [0.3, 0.0]]]))


def test_edits_refuse_labels_of_another_width():
    with pytest.raises(ValueError, match=r"\(B, 2\), for AU1, AU12; got \(4, 3\)"):
        Labels("AU1", "AU12").edits(torch.zeros(4, 3))


def test_the_summary_counts_and_compares():
    labels = torch.tensor([[1.0, 0], [1, 1], [1, 0], [0, 0]])
    assert Labels("Male", "Bangs").summary(labels) == (
        "4 images: Male 3 (75%), Bangs 1 (25%); imbalance 3.0 : 1 (Male : Bangs)"
    )
    assert Labels("Male", "Bangs").summary(labels[2:]).endswith("Bangs never occurs")
    assert Labels("Bangs").summary(labels[:, 1:]) == "4 images: Bangs 1 (25%)"


def test_setup_prints_what_each_split_holds(tmp_path, capsys):
    noise(tmp_path).setup("fit")
    train_line, val_line = capsys.readouterr().out.splitlines()
    assert train_line == "train: 22 images: even 11 (50%), odd 11 (50%); balanced"
    assert val_line.startswith("val: 7 images: even 4 (57%), odd 3 (43%)")


def test_unknown_names_are_answered_with_the_nearest():
    assert nearest("smilling", ["Male", "Smiling"]) == "did you mean 'Smiling'? Known: Male, Smiling"
    assert nearest("xyz", ["Male", "Smiling"]) == "Known: Male, Smiling"
    with pytest.raises(ValueError, match=r"no attribute 'Blonde_Hair': did you mean 'Blond_Hair'\? Known: Black_Hair"):
        chosen(["Blonde_Hair"], HAIR, "attribute")


def test_chosen_keeps_the_order_asked_for_and_refuses_repeats():
    assert chosen(["Brown_Hair", "Black_Hair"], HAIR, "attribute") == ("Brown_Hair", "Black_Hair")
    assert chosen(None, HAIR, "attribute") == HAIR
    for names in ([], ["Black_Hair", "Black_Hair"]):
        with pytest.raises(ValueError, match="each attribute once"):
            chosen(names, HAIR, "attribute")


@pytest.mark.parametrize("setting", ["image_size", "batch_size", "num_workers", "seed"])
def test_settings_below_their_least_value_are_refused(setting):
    with pytest.raises(ValueError, match=f"{setting} must be at least ., got -1"):
        NoiseData(**{setting: -1})


def test_references_are_drawn_from_any_or_other():
    with pytest.raises(ValueError, match="reference must be any or other, got 'others'"):
        NoiseData(reference="others")


def test_importing_the_package_loads_nothing_heavy():
    code = "import datamodules, sys; assert not {'torch', 'numpy', 'cv2', 'albumentations'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)
