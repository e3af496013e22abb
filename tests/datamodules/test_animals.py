import numpy as np
import pytest
import torch

from datamodules.animals import SyntheticAnimals


def animals(**settings):
    defaults = {"image_size": 48, "train_size": 60, "val_size": 12, "test_size": 12, "num_workers": 0, "cache": False}
    return SyntheticAnimals(**{**defaults, **settings})


def test_kinds_are_afhqs_and_equally_many():
    data = animals()
    assert data.attributes == ("cat", "dog", "wild") and data.one_hot
    assert data.records("train").labels.sum(axis=0).tolist() == [20, 20, 20]
    assert animals(domains=["dog", "cat"]).attributes == ("dog", "cat")


def test_no_true_edit_is_claimed():
    assert not hasattr(animals(), "counterfactual")


def test_a_batch_holds_pictures_and_their_kinds():
    batch = next(iter(animals(batch_size=4).train_dataloader()))
    assert batch["image"].shape == (4, 3, 48, 48) and batch["image"].abs().max() <= 1
    assert torch.equal(batch["label"], torch.eye(3)[batch["index"] % 3])


def test_splits_and_populations_differ():
    first = animals().records("train").read(0)
    assert (first == animals(seed=3).records("train").read(0)).all()
    assert (first != animals().records("val").read(0)).any()
    assert (first != animals(population=1).records("train").read(0)).any()
    assert animals().records("train").fingerprint() != animals(population=1).records("train").fingerprint()


def test_a_kind_is_known_by_its_picture():
    """To a nearest neighbour among 300 others, of grey pictures, more often than by chance: shape counts."""
    data = animals(train_size=300, test_size=90, image_size=32)
    seen, asked = (_grey(data.records(split)) for split in ("train", "test"))
    nearest = ((asked[:, None] - seen) ** 2).sum(axis=2).argmin(axis=1)
    assert (nearest % 3 == np.arange(90) % 3).mean() > 0.5


def _grey(records):
    """Pictures less their mean, one row each."""
    rows = np.stack([records.read(row).mean(axis=2).ravel() for row in range(len(records))])
    return rows - rows.mean(axis=1, keepdims=True)


def test_an_unknown_kind_is_refused():
    with pytest.raises(ValueError, match="did you mean 'cat'"):
        animals(domains=["cats", "dog"])
