import numpy as np
import pytest
import torch

from datamodules.drawn.drawing import draw
from datamodules.drawn.identity import Identity
from datamodules.expressions import SyntheticExpressions
from datamodules.labels import EXPRESSIONS


def expressions(**settings):
    defaults = {"image_size": 32, "train_size": 40, "val_size": 16, "test_size": 24, "num_workers": 0, "cache": False}
    return SyntheticExpressions(**{**defaults, **settings})


def test_everybody_shows_each_expression_once():
    data = expressions()
    records = data.records("train")
    assert data.attributes == EXPRESSIONS and data.one_hot and data.exclusive == (EXPRESSIONS,)
    people = [records.subject(row) for row in range(40)]
    assert sorted(set(people)) == [0, 1, 2, 3, 4] and all(people.count(person) == 8 for person in set(people))
    assert records.labels.reshape(5, 8, 8).tolist() == [np.eye(8).tolist()] * 5


def test_the_splits_show_different_people():
    data = expressions()
    people = [{data.records(split).subject(row) for row in range(16)} for split in ("train", "val", "test")]
    assert len(set.union(*people)) == 6


def test_the_true_result_of_an_edit_is_the_other_picture_of_that_person():
    data = expressions()
    batch = next(iter(data.val_dataloader()))
    rows = torch.arange(8)
    for edit in range(8):
        target = data.edits(batch["label"])[:8, edit]
        truth, mask = data.counterfactual("val", rows, target)
        own = batch["image"][edit].expand(8, -1, -1, -1)
        assert torch.equal(truth, own)
        assert torch.equal(mask.bool(), (truth != batch["image"][:8]).any(dim=1, keepdim=True))
        assert not mask[edit].any()


def test_hair_and_surroundings_are_those_of_every_expression():
    records = expressions(image_size=64).records("test")
    pictures = np.stack([records.read(row) for row in range(8)]).astype(int)
    changed = (pictures != pictures[5]).any(axis=(0, 3))
    assert not changed[:8].any() and changed.mean() < 0.4


def test_fewer_expressions_may_be_chosen():
    data = expressions(domains=["neutral", "happy"])
    records = data.records("train")
    assert data.attributes == ("neutral", "happy") and records.subject(39) == 19
    person, everything = records.subject(3), expressions().records("train")
    assert (records.read(3) == everything.read(8 * person + EXPRESSIONS.index("happy"))).all()
    assert (records.read(2) == draw(Identity.sample(0, person), {}, 32)).all()


def test_what_cannot_be_asked_for_is_refused():
    with pytest.raises(ValueError, match="did you mean 'happy'"):
        expressions(domains=["happi", "sad"])
    with pytest.raises(ValueError, match="at least two"):
        expressions(domains=["happy"])
    with pytest.raises(ValueError, match="exactly one of angry"):
        expressions().counterfactual("val", torch.tensor([0]), torch.full((1, 8), 0.125))
