import pytest
import torch

from metrics import AttributeAccuracy, EditAccuracy

NAMES = ("A", "B", "C")


def test_an_attribute_is_right_on_the_labels_side_of_a_half():
    accuracy = AttributeAccuracy(NAMES)
    probability = torch.tensor([[0.9, 0.2, 0.6], [0.4, 0.1, 0.7]])
    label = torch.tensor([[1.0, 0.3, 0.2], [1.0, 0.0, 0.8]])  # B and C may be action units
    accuracy.update(probability, label)
    found = accuracy.compute()
    assert found["accuracy/A"] == 0.5
    assert found["accuracy/B"] == 1.0
    assert found["accuracy/C"] == 0.5
    assert found["accuracy"] == pytest.approx(2 / 3)


def test_a_class_is_right_if_it_is_the_likeliest():
    accuracy = AttributeAccuracy(NAMES, one_hot=True)
    accuracy.update(torch.tensor([[0.4, 0.3, 0.3], [0.4, 0.3, 0.3]]), torch.tensor([[1.0, 0, 0], [0, 1.0, 0]]))
    assert accuracy.compute() == {"accuracy": 0.5, "accuracy/A": 1.0, "accuracy/B": 0.0}


def test_an_edit_is_judged_by_its_own_attribute_and_by_those_it_keeps():
    accuracy = EditAccuracy(NAMES)
    label = torch.tensor([[0.0, 1.0, 0.0], [0.0, 1.0, 0.0]])
    target = torch.tensor([[1.0, 1.0, 0.0], [0.0, 0.0, 1.0]])  # A on; B off, which by its group puts C on
    probability = torch.tensor([[0.8, 0.1, 0.1], [0.2, 0.6, 0.9]])
    accuracy.update(probability, label, target, edit=torch.tensor([0, 1]))
    assert accuracy.compute() == {
        "target_accuracy": 0.5,
        "target_accuracy/A": 1.0,  # asked for and seen
        "target_accuracy/B": 0.0,  # to go, but still there
        "kept_accuracy": 0.75,
        "kept_accuracy/A": 0.5,  # of B and C only C is as it was
        "kept_accuracy/B": 1.0,  # A; C was to change
    }


def test_classes_keep_nothing():
    accuracy = EditAccuracy(NAMES, one_hot=True)
    accuracy.update(torch.tensor([[0.1, 0.2, 0.7]]), torch.eye(3)[:1], torch.eye(3)[2:], torch.tensor([2]))
    assert accuracy.compute() == {"target_accuracy": 1.0, "target_accuracy/C": 1.0}


def test_an_edit_of_everything_keeps_nothing():
    accuracy = EditAccuracy(("A",))
    accuracy.update(torch.tensor([[0.9]]), torch.tensor([[0.0]]), torch.tensor([[1.0]]), torch.tensor([0]))
    assert accuracy.compute() == {"target_accuracy": 1.0, "target_accuracy/A": 1.0}


@pytest.mark.parametrize("one_hot", [False, True])
def test_about_a_picture_of_nan_the_judge_is_wrong(one_hot):
    accuracy = EditAccuracy(NAMES, one_hot)
    label, target = torch.tensor([[0.0, 1.0, 0.0]]), torch.tensor([[1.0, 0.0, 0.0]])
    accuracy.update(torch.full((1, 3), torch.nan), label, target, edit=torch.tensor([1]))
    assert {value for name, value in accuracy.compute().items() if name in accuracy.figures} == {0.0}
