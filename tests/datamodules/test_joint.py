import numpy as np
import pytest
import torch

from datamodules import SyntheticFaces
from datamodules.joint import JointData, Turns
from datamodules.sampler import StepBatches
from translators import StarGAN


def faces(*attributes: str, **settings) -> SyntheticFaces:
    return SyntheticFaces(list(attributes), val_size=5, test_size=3, **settings)


def joint(**settings) -> JointData:
    parts = [faces("Smiling", "Male", train_size=20), faces("Black_Hair", "Blond_Hair", train_size=9, population=7)]
    loading = {"image_size": 16, "batch_size": 4, "num_workers": 0, "cache": False, "flip": False}
    return JointData(parts, ["one", "two"], **{**loading, **settings})


def test_labels_lie_side_by_side_with_a_mask_behind_them():
    data = joint()
    assert data.attributes == ("Smiling", "Male", "Black_Hair", "Blond_Hair", "one", "two")
    labels = data.records("train").labels
    first, second = (part.records("train").labels for part in data.datasets)
    assert np.array_equal(
        labels, np.block([[first, np.tile([0, 0, 1, 0], (20, 1))], [np.zeros((9, 2)), second, np.tile([0, 1], (9, 1))]])
    )


def test_pictures_are_those_of_the_datasets_at_the_size_of_all():
    data = joint(image_size=24)
    for row in (0, 19, 20, 28):
        part, own = (data.datasets[0], row) if row < 20 else (data.datasets[1], row - 20)
        assert np.array_equal(data.records("train").read(row), part.records("train").read(own))
        assert data.records("train").read(row).shape == (24, 24, 3)


def test_datasets_take_turns_and_references_stay_in_theirs():
    keys = iter(joint().train_dataloader())
    batches = list(keys)
    assert len(batches) == 2 * 5  # until the longer one is through
    masks = [batch["label"][0, 4:] for batch in batches]
    for batch, own in zip(batches, masks, strict=True):
        assert torch.equal(batch["label"][:, 4:], own.expand(4, 2))
        assert torch.equal(batch["reference_label"][:, 4:], own.expand(4, 2))
    assert all((one + other).tolist() == [1, 1] for one, other in zip(masks[::2], masks[1::2], strict=True))
    first = [batch["index"] for batch, own in zip(batches, masks, strict=True) if own[0] == 1]
    assert sorted(torch.cat(first).tolist()) == list(range(20))


def test_every_dataset_reaches_the_generator_whatever_its_turns():
    parts = {0: StepBatches(np.zeros((20, 1)), 4), 20: StepBatches(np.zeros((9, 1)), 4)}
    from_second = np.array([keys[0][0] >= 20 for keys in Turns(parts, 0, lambda: 0, lambda: 400)])
    for n_critic in (1, 2, 4, 5, 6):
        assert 0.25 < from_second[n_critic - 1 :: n_critic].mean() < 0.75


def test_epochs_follow_each_other_without_an_end():
    parts = {0: StepBatches(np.zeros((20, 1)), 4), 20: StepBatches(np.zeros((9, 1)), 4)}
    assert [len(list(Turns(parts, 0, lambda start=start: start, lambda: None))) for start in (0, 7, 10)] == [10, 3, 10]


def test_held_out_rows_come_once_each_by_turns_with_references_of_their_own_dataset():
    batches = list(joint().val_dataloader())
    assert [batch["index"].tolist() for batch in batches] == [[0, 1, 2, 3], [5, 6, 7, 8], [4], [9]]
    assert all(torch.equal(batch["label"][:, 4:], batch["reference_label"][:, 4:]) for batch in batches)


def test_batches_are_a_function_of_the_step():
    parts = {0: StepBatches(np.zeros((20, 1)), 4), 20: StepBatches(np.zeros((9, 1)), 4)}
    whole = list(Turns(parts, 1, lambda: 0, lambda: 30))
    assert list(Turns(parts, 1, lambda: 13, lambda: 30)) == whole[13:]
    assert list(Turns(parts, 2, lambda: 0, lambda: 30)) != whole


def test_edits_are_in_the_terms_of_the_attributes_own_dataset():
    """Sheet, joint mode: the label of the one, zeros for the other, and the mask of the one that is asked for."""
    targets = joint().edits(torch.tensor([[1.0, 0, 0, 0, 1, 0], [0, 0, 1, 0, 0, 1]]))
    assert targets[0].tolist() == [
        [0, 0, 0, 0, 1, 0],
        [1, 1, 0, 0, 1, 0],
        [0, 0, 1, 0, 0, 1],
        [0, 0, 0, 1, 0, 1],
        [1, 0, 0, 0, 1, 0],
        [1, 0, 0, 0, 1, 0],
    ]
    assert targets[1].tolist() == [
        [1, 0, 0, 0, 1, 0],
        [0, 1, 0, 0, 1, 0],
        [0, 0, 1, 0, 0, 1],
        [0, 0, 0, 1, 0, 1],
        [0, 0, 1, 0, 0, 1],
        [0, 0, 1, 0, 0, 1],
    ]


def test_stargan_takes_such_batches():
    data = joint()
    size = {"image_size": 16, "generator_width": 4, "blocks": 1, "discriminator_width": 4, "depth": 2}
    model = StarGAN(data.attributes, one_hot=False, parts=data.parts, **size)
    for batch in data.train_dataloader():
        for loss in (model.discriminator_loss, model.generator_loss):
            assert all(torch.isfinite(term) for term in loss(batch, model.sample_target(batch)).values())


def test_names_must_fit():
    with pytest.raises(ValueError, match="at least two datasets, one name each; got 1"):
        JointData([faces("Smiling")], ["one"])
    with pytest.raises(ValueError, match="must all differ, got Smiling, Smiling, one, two"):
        JointData([faces("Smiling"), faces("Smiling")], ["one", "two"])
