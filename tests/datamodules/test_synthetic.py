import math

import numpy as np
import pytest
import torch

from datamodules.drawn.drawing import draw
from datamodules.drawn.identity import ACTION_UNITS, ATTRIBUTES, EXCLUSIVE, HABITS, Identity, complete
from datamodules.labels import OPENFACE_UNITS
from datamodules.synthetic import FREQUENCIES, SyntheticFaces, sample_labels


def faces(**settings):
    defaults = {"image_size": 32, "train_size": 40, "val_size": 8, "test_size": 24, "num_workers": 0, "cache": False}
    return SyntheticFaces(**{**defaults, **settings})


def test_no_attribute_at_all_is_not_taken_for_the_default():
    with pytest.raises(ValueError, match="at least one"):
        faces(attributes=[])


def test_labels_depend_on_population_and_person_alone():
    rows = sample_labels(0, range(100), ATTRIBUTES)
    assert (sample_labels(0, range(50, 100), ATTRIBUTES) == rows[50:]).all()
    some = ("Smiling", "Blond_Hair", "AU4")
    assert (sample_labels(0, range(100), some) == rows[:, [ATTRIBUTES.index(name) for name in some]]).all()
    assert (sample_labels(1, range(100), ATTRIBUTES) != rows).any()


def test_the_people_of_recorded_results_keep_their_labels():
    """As they were before there were more than 34 attributes to draw."""
    default = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Eyeglasses", "Smiling")
    recorded = [[0, 0, 1, 0, 0], [0, 0, 1, 1, 0], [0, 0, 1, 0, 0], [0, 1, 0, 1, 1], [1, 0, 0, 0, 1], [0, 0, 1, 0, 1]]
    assert sample_labels(0, range(6), default).tolist() == recorded
    smiles = [0.0469759, 0.4883766, 0.5470729, 0.0, 0.0, 0.0, 0.9613233]
    assert sample_labels(0, range(7), ["AU12"])[:, 0].tolist() == pytest.approx(smiles, abs=1e-6)


def test_labels_have_their_frequencies_and_respect_their_groups():
    labels = dict(zip(ATTRIBUTES, sample_labels(0, range(4000), ATTRIBUTES).T, strict=True))
    for name, share in FREQUENCIES.items():
        assert set(np.unique(labels[name])) == {0.0, 1.0}
        assert labels[name].mean() == pytest.approx(share, abs=0.04)
    for group in EXCLUSIVE:
        assert sum(labels[name] for name in group).max() == 1
    assert (labels["AU12"] == 0).mean() == pytest.approx(0.5, abs=0.04)
    assert np.quantile(labels["AU12"], 0.75) == pytest.approx(0.5, abs=0.05)
    assert abs(np.corrcoef(labels["Smiling"], labels["Eyeglasses"])[0, 1]) < 0.06


def test_the_splits_show_different_people():
    data = faces()
    people = [{data.records(split).identity(row) for row in range(8)} for split in ("train", "val", "test")]
    assert len(set.union(*people)) == 24


def test_a_row_is_its_person_with_its_label():
    records = faces().records("val")
    label = dict(zip(records.attributes, records.labels[3].tolist(), strict=True))
    assert (records.read(3) == draw(records.identity(3), label, 32)).all()
    with pytest.raises(IndexError, match="rows 0 to 7"):
        records.identity(8)


@pytest.mark.parametrize("row", range(4))
def test_nearer_faces_are_a_part_of_larger_pictures(row):
    """Twice as near, at 128 px, is a part of the picture at 256 px: that around the upper lip."""
    far, near = (faces(image_size=side, zoom=zoom).records("val") for side, zoom in ((256, 1), (128, 2)))
    assert (far.labels == near.labels).all()
    person = far.identity(row)
    lip = 0.3 * person.scale
    x, y = person.shift_x - lip * math.sin(person.tilt), person.shift_y + lip * math.cos(person.tilt)  # of -1 to 1
    left, top = round(64 * (x + 1)), round(64 * (y + 1))
    part, whole = far.read(row)[top : top + 128, left : left + 128].astype(float), near.read(row).astype(float)
    middle = slice(32, 96)  # the face; the ground behind it is the same at every zoom
    part, whole = part - part[middle, middle].mean((0, 1)), whole - whole[middle, middle].mean((0, 1))  # light aside
    right, aside = (np.abs(whole - np.roll(part, step, 1))[middle, middle].mean() for step in (0, 4))
    assert right < 8 and right < aside / 2


def test_a_face_is_as_near_as_it_was_unless_asked():
    person = faces().records("val").identity(0)
    assert person == Identity.sample(0, faces().records("val").first) == person.nearer(1)


@pytest.mark.parametrize("zoom", [0.9, 2.1, float("nan")])
def test_a_zoom_out_of_range_is_refused(zoom):
    with pytest.raises(ValueError, match="zoom must lie in"):
        faces(zoom=zoom)


def test_the_fingerprint_follows_the_settings():
    prints = [
        faces(**settings).records("val").fingerprint()
        for settings in (
            {},
            {"population": 1},
            {"image_size": 48},
            {"val_size": 9},
            {"attributes": ["Smiling", "Male"]},
            {"zoom": 1.5},
        )
    ]
    assert len(set(prints)) == len(prints)
    assert faces().records("val").fingerprint() == prints[0] == faces(seed=5).records("val").fingerprint()


def test_groups_and_names_are_those_of_the_label():
    data = faces(attributes=["Smiling", "Blond_Hair", "Black_Hair", "Bangs", "AU12"])
    assert data.attributes == ("Smiling", "Blond_Hair", "Black_Hair", "Bangs", "AU12")
    assert data.exclusive == (("Black_Hair", "Blond_Hair"),) or data.exclusive == (("Blond_Hair", "Black_Hair"),)
    assert data.num_attributes == 5 and not data.one_hot and data.conflicts == ()


def test_a_fringe_comes_off_as_well_as_on():
    data = faces(attributes=["Bangs", "Receding_Hairline", "Smiling"])
    assert data.conflicts == (("Bangs", "Receding_Hairline"),) and data.exclusive == ()
    edited = data.edits(torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]))
    assert edited[:, 0].tolist() == [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]
    assert edited[:, 1].tolist() == [[0.0, 1.0, 0.0], [0.0, 0.0, 0.0]]


@pytest.mark.parametrize("attributes", [tuple(HABITS), OPENFACE_UNITS, ATTRIBUTES])
def test_every_edit_of_everybody_can_be_drawn(attributes):
    data = faces(attributes=list(attributes), test_size=200)
    records = data.records("test")
    targets = data.edits(torch.from_numpy(records.labels)).double().numpy()
    for row in range(len(records)):
        for edit, name in enumerate(attributes):
            values = complete(records.identity(row), dict(zip(attributes, targets[row, edit].tolist(), strict=True)))
            assert values[name] == targets[row, edit, edit]


def test_action_units_are_at_rest_half_of_the_time_and_else_anything():
    labels = faces(attributes=list(OPENFACE_UNITS), train_size=2000).records("train").labels
    assert (labels == 0).mean(axis=0) == pytest.approx(np.full(17, 0.5), abs=0.05)
    quartiles = np.quantile(labels[labels > 0], [0.25, 0.5, 0.75])
    assert quartiles == pytest.approx([0.25, 0.5, 0.75], abs=0.02)
    assert set(OPENFACE_UNITS) < set(ACTION_UNITS)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"attributes": ["Smilling"]}, "Smiling"),
        ({"attributes": ["Smiling", "Smiling"]}, "once"),
        ({"image_size": 8}, "16"),
        ({"val_size": 0}, "val_size"),
        ({"population": -1}, "population"),
    ],
)
def test_impossible_settings_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        faces(**settings)


def test_the_counterfactual_of_the_own_label_is_the_picture():
    data = faces()
    batch = next(iter(data.val_dataloader()))
    truth, mask = data.counterfactual("val", batch["index"], batch["label"])
    assert torch.equal(truth, batch["image"])
    assert mask.shape == (8, 1, 32, 32) and not mask.any()


def test_the_mask_is_exactly_where_the_truth_differs():
    data = faces()
    batch = next(iter(data.val_dataloader()))
    targets = data.edits(batch["label"])
    for edit, name in enumerate(data.attributes):
        truth, mask = data.counterfactual("val", batch["index"], targets[:, edit])
        assert truth.min() >= -1 and truth.max() <= 1
        assert torch.equal(mask.bool(), (truth != batch["image"]).any(dim=1, keepdim=True))
        changed = (targets[:, edit] != batch["label"]).any(dim=1)
        assert torch.equal(mask.flatten(1).any(dim=1), changed), name
        assert mask.mean() < 0.4, name


def test_counterfactuals_refuse_what_cannot_be_drawn():
    data = faces()
    with pytest.raises(ValueError, match=r"label \(B, 5\)"):
        data.counterfactual("val", torch.tensor([0]), torch.zeros(1, 4))
    with pytest.raises(ValueError, match="at most one of"):
        data.counterfactual("val", torch.tensor([0]), torch.ones(1, 5))
    with pytest.raises(ValueError, match="split must be one of"):
        data.records("train2")


def test_no_constant_patch_reaches_the_truth():
    """The best constant change, the mean over other people, is worse than copying, and far off inside the mask too."""
    data = faces(train_size=160, test_size=60)
    for edit, name in enumerate(data.attributes):
        known, _ = _changes(data, "train", edit)
        change, mask = _changes(data, "test", edit)
        left = (change - known.mean(dim=0)).abs()
        assert left.sum() > change.abs().sum(), name
        assert (left * mask).sum() > 0.5 * (change.abs() * mask).sum(), name


def _changes(data, split, edit):
    """Truth minus source of the rows on which an edit switches its attribute on, and their masks."""
    records = data.records(split)
    labels = torch.from_numpy(records.labels)
    rows = torch.nonzero(labels[:, edit] == 0).flatten()
    target = data.edits(labels[rows])[:, edit]
    truth, mask = data.counterfactual(split, rows, target)
    source, _ = data.counterfactual(split, rows, labels[rows])
    return truth - source, mask


def test_batches_hold_pictures_and_labels():
    data = faces(attributes=["Smiling", "AU12"], batch_size=4)
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == batch["reference"].shape == (4, 3, 32, 32)
    assert torch.equal(batch["label"], torch.from_numpy(data.records("train").labels)[batch["index"]])


def test_action_units_may_be_present_or_absent_and_are_drawn_so():
    names = ["AU12", "AU26", "Male"]
    plain, binary = (SyntheticFaces(names, presence=presence, image_size=32) for presence in (None, 0.2))
    labels = plain.records("test").labels
    assert ((labels > 0) & (labels < 1)).any()
    assert np.array_equal(binary.records("test").labels, labels >= 0.2)
    row = int(np.flatnonzero((labels[:, 0] >= 0.2) & (labels[:, 0] < 0.9))[0])
    assert np.array_equal(binary.records("test").read(row), plain.records("test").draw(row, labels[row] >= 0.2))
    with pytest.raises(ValueError, match="presence must lie above 0 and up to 1, got 2"):
        SyntheticFaces(names, presence=2)


@pytest.mark.parametrize(
    ("attributes", "presence", "intensities"),
    [
        (["AU12", "AU26"], None, True),
        (["AU12", "AU26"], 0.2, False),
        (["AU12", "Male"], None, False),
        (None, None, False),
    ],
)
def test_labels_are_intensities_if_all_of_them_are(attributes, presence, intensities):
    data = faces(attributes=attributes, presence=presence)
    assert data.intensities is intensities
    labels = data.records("train").labels
    assert ((labels > 0) & (labels < 1)).any(axis=0).all() == intensities
