import json
from pathlib import Path

import numpy as np
import pytest

from datamodules.base import ImageDataModule
from datamodules.inspection.label_findings import label_findings
from datamodules.inspection.report import Report
from datamodules.inspection.scan import MEASURES, Scan
from datamodules.joint import JointData, JointRecords
from datamodules.records import Records


class Listed(Records):
    """Labels whose pictures nobody asks for."""

    def __init__(self, labels) -> None:
        self.labels = np.asarray(labels, dtype=np.float32)

    def read(self, row: int) -> np.ndarray:
        raise NotImplementedError

    def fingerprint(self) -> str:
        raise NotImplementedError


class Names(ImageDataModule):
    """A dataset that has only names."""

    def __init__(self, *attributes: str, one_hot: bool = False, exclusive=(), conflicts=(), **loading) -> None:
        super().__init__(batch_size=1, **loading)
        self.attributes, self.one_hot, self.exclusive, self.conflicts = attributes, one_hot, exclusive, conflicts

    def records(self, split):
        raise NotImplementedError


def found(data: Names, labels, topic: str, split: str = "train"):
    scan = Scan(split, Listed(labels), np.zeros(len(labels), MEASURES), {})
    return [finding for finding in label_findings(data, scan) if finding.topic == topic]


def independent(count: int, width: int) -> np.ndarray:
    """Every pattern of bits equally often: no column says anything of another."""
    return np.arange(count)[:, None] >> np.arange(width) & 1


def test_sound_labels_have_only_facts():
    data = Names("a", "b", "c")
    scan = Scan("train", Listed(independent(64, 3)), np.zeros(64, MEASURES), {})
    assert {finding.level for finding in label_findings(data, scan)} == {"FACT"}


@pytest.mark.parametrize("value", [1.5, -1.0, np.nan, np.inf])
def test_a_value_that_cannot_be_is_an_error_naming_the_row(value):
    labels = independent(8, 2).astype(float)
    labels[5, 1] = value
    (error,) = found(Names("a", "b"), labels, "labels")
    assert error.level == "ERROR"
    assert "1 of 8" in error.text
    assert error.examples == [f"train row 5 (a 1, b {value:g})"]


def test_a_report_on_labels_that_are_no_numbers_is_strict_json(tmp_path):
    scan = Scan("train", Listed([[np.nan], [1.0]]), np.zeros(2, MEASURES), {})
    Report("x", label_findings(Names("a"), scan)).save(Path(tmp_path))

    def refuse(name: str) -> None:
        raise AssertionError(f"{name} is not JSON")

    json.loads((tmp_path / "report.json").read_text(), parse_constant=refuse)


def test_rows_without_exactly_one_domain():
    (error,) = found(Names("a", "b", one_hot=True), [[1, 0], [0, 0], [1, 1], [0, 1]], "labels")
    assert error.level == "ERROR"
    assert error.examples == ["train row 1 (all 0)", "train row 2 (a 1, b 1)"]


def test_two_of_an_exclusive_group_and_two_that_conflict():
    data = Names("black", "blond", "bangs", "bald", exclusive=(("black", "blond"),), conflicts=(("bangs", "bald"),))
    both, conflict = found(data, [[1, 1, 0, 0], [0, 0, 1, 1], [1, 0, 1, 0], [0, 1, 0, 1]], "labels")
    assert both.level == conflict.level == "WARNING"
    assert both.examples == ["train row 0 (black 1, blond 1)"]
    assert conflict.examples == ["train row 1 (bangs 1, bald 1)"]


def test_constant_attributes_and_nearly_constant_ones():
    labels = np.zeros((1000, 3))
    labels[:500, 0] = labels[:5, 1] = 1  # one half, one in two hundred, never
    nearly, never = found(Names("half", "rare", "never"), labels, "constant attribute")
    assert nearly.text.startswith("rare is on in 0.50%")
    assert never.text == "never is 0 in every training picture"


def test_domains_of_uneven_size():
    labels = np.eye(2)[[0] * 44 + [1] * 4]
    (warning,) = found(Names("many", "few", one_hot=True), labels, "imbalance")
    assert warning.examples == ["many to few: 11.0 to 1"]
    assert not found(Names("many", "few", one_hot=True), np.eye(2)[[0] * 40 + [1] * 4], "imbalance")


def test_attributes_that_repeat_another():
    labels = independent(64, 3)
    labels = np.column_stack([labels, labels[:, 0], 1 - labels[:, 1]])
    warning, fact = found(Names("a", "b", "c", "a again", "not b"), labels, "correlation")
    assert warning.level == "WARNING"
    assert sorted(warning.examples) == ["+1.000 a, a again", "-1.000 b, not b"]
    assert fact.values["pairs"][2][0] == pytest.approx(0, abs=1e-6)


def test_correlation_is_phi():
    """Of the table 30, 10; 10, 30: (30 * 30 - 10 * 10) / sqrt(40^4) = 0.5."""
    labels = [[1, 1]] * 30 + [[1, 0]] * 10 + [[0, 1]] * 10 + [[0, 0]] * 30
    (fact,) = found(Names("a", "b"), labels, "correlation")
    assert fact.examples == ["+0.500 a, b"]


def test_members_of_a_group_are_not_called_correlated():
    assert not found(Names("a", "b", one_hot=True), np.eye(2)[[0, 1] * 8], "correlation")


def test_action_units_are_described_by_their_strength():
    (fact,) = found(Names("AU12", "on"), [[0, 1], [0.25, 0], [0.75, 1], [0, 1]], "counts", split="val")
    assert fact.values["attributes"]["AU12"] == {"min": 0, "mean": 0.25, "max": 0.75, "above 0": 0.5}
    assert fact.values["attributes"]["on"] == {"on": 3}


def test_what_cannot_be_learned_is_told_of_training_only():
    assert not found(Names("a"), [[1]] * 5, "constant attribute", split="test")


def test_attributes_of_which_none_varies_are_an_error():
    (error,) = found(Names("on", "off"), [[1, 0]] * 5, "constant attribute")
    assert error.level == "ERROR"
    assert "the same label (on 1, off 0)" in error.text
    (warning,) = found(Names("on", "varied"), [[1, 0], [1, 1]], "constant attribute")
    assert warning.level == "WARNING"


@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_references_of_another_label_need_one_in_every_split(split):
    data = Names("a", reference="other")
    (error,) = found(data, [[1]] * 5, "batches", split)
    assert error.level == "ERROR"
    assert error.text.startswith(f"{split}: reference: other needs pictures of at least two labels")
    assert not found(data, [[1], [0]], "batches", split)


def joint(first, second, **loading) -> tuple[JointData, JointRecords]:
    parts = [Names("a", "b", exclusive=(("a", "b"),)), Names("c", "d", one_hot=True)]
    records = JointRecords([Listed(first), Listed(second)])
    return JointData(parts, ["one", "two"], batch_size=1, cache=False, **loading), records


def joint_findings(first, second, split: str = "train", **loading):
    data, records = joint(first, second, **loading)
    return label_findings(data, Scan(split, records, np.zeros(len(records), MEASURES), {}))


def test_joint_datasets_are_judged_each_by_its_own_columns_and_rows():
    """Among all 804 rows a would be on in one, and the mask's two columns are each other's opposite."""
    found = joint_findings([[0, 0], [1, 0], [0, 1], [0, 0]], np.eye(2)[[0, 1] * 400])
    assert {finding.level for finding in found} == {"FACT"}
    counts = [finding for finding in found if finding.topic == "counts"]
    assert [(one.values["split"], one.values["count"]) for one in counts] == [
        ("train of one", 4),
        ("train of two", 800),
    ]
    assert [list(one.values["attributes"]) for one in counts] == [["a", "b"], ["c", "d"]]


def test_what_is_wrong_with_one_of_joint_datasets_is_told_with_its_name():
    found = joint_findings([[1, 1], [0, 1]], [[1, 0], [0, 0], [0, 1]], "val")
    both, none = [finding for finding in found if finding.topic == "labels"]
    assert both.examples == ["val of one row 0 (a 1, b 1)"]
    assert none.examples == ["val of two row 1 (all 0)"]


@pytest.mark.parametrize("split", ["train", "val"])
def test_every_one_of_joint_datasets_is_asked_for_its_batches(split):
    found = joint_findings([[0, 1], [1, 0]], [[1, 0], [1, 0]], split, reference="other")
    (error,) = [finding for finding in found if finding.topic == "batches"]
    assert "at least two labels" in error.text


def test_a_dataset_of_one_label_among_joint_ones_is_an_error():
    found = joint_findings([[0, 1], [1, 0]], [[1, 0], [1, 0]])
    (error,) = [finding for finding in found if finding.level == "ERROR"]
    assert "(c 1, d 0)" in error.text
