from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.catalogue import MissingDataset
from datamodules.labels import EXPRESSIONS
from datamodules.rafd import RaFD, split_of

PEOPLE = {1: "Caucasian_female", 5: "Caucasian_male", 20: "Moroccan_male", 41: "Kid_female"}
KNOWN = """
    Rafd090_72_Moroccan_male_angry_frontal.jpg
    Rafd000_01_Caucasian_female_angry_frontal.jpg
    Rafd090_07_Caucasian_male_neutral_frontal.jpg
    Rafd090_38_Caucasian_male_fearful_right.jpg
    Rafd090_57_Caucasian_female_angry_right.jpg
    Rafd090_41_Kid_female_neutral_frontal.jpg
    Rafd090_11_Kid_female_disgusted_right.jpg
    Rafd090_45_Moroccan_male_contemptuous_frontal.jpg
    Rafd090_73_Moroccan_male_happy_right.jpg
    Rafd180_73_Moroccan_male_surprised_right.jpg
"""


@pytest.fixture(scope="module")
def root(tmp_path_factory) -> Path:
    """Four people, each with 8 expressions, 3 gazes and 5 angles; a picture is a link to one of its size."""
    root = tmp_path_factory.mktemp("data") / "rafd"
    root.mkdir()
    y, x = np.mgrid[:1024, :681]
    Image.fromarray(np.stack([x / 4, y / 4, 0 * x], -1).astype(np.uint8)).save(root / "first.png")
    for person, kind in PEOPLE.items():
        for angle in (0, 45, 90, 135, 180):
            for expression in EXPRESSIONS:
                for gaze in ("left", "frontal", "right"):
                    name = f"Rafd{angle:03}_{person:02}_{kind}_{expression}_{gaze}.png"
                    (root / name).hardlink_to(root / "first.png")
    (root / "first.png").unlink()
    return root


def rafd(root, **settings) -> RaFD:
    return RaFD(str(root), **{"image_size": 64, "batch_size": 2, "num_workers": 0, "cache": False, **settings})


def test_expressions_angles_and_gazes_are_read_from_the_names(root):
    data = rafd(root)
    assert data.attributes == EXPRESSIONS
    assert data.one_hot
    assert [len(data.records(split)) for split in ("train", "val", "test")] == [2 * 8 * 3 * 3, 8 * 3 * 3, 8 * 3 * 3]
    for name, label in zip(data.records("val").names, data.records("val").labels, strict=True):
        assert EXPRESSIONS[label.argmax()] == name.decode().split("_")[4]
        assert label.sum() == 1


def test_any_choice_of_them(root):
    data = rafd(root, domains=["happy", "angry"], angles=[180, 0], gazes=["left"])
    names = [name.decode() for name in data.records("test").names]
    assert names == [
        f"Rafd{angle}_20_Moroccan_male_{what}_left.png" for angle in ("000", "180") for what in ("angry", "happy")
    ]
    assert data.records("test").labels.tolist() == [[0, 1], [1, 0]] * 2
    for choice in ({"angles": [30]}, {"gazes": ["up"]}, {"domains": ["glad"]}):
        with pytest.raises(ValueError, match=r"there is no (angle|gaze|expression)"):
            rafd(root, **choice)


def test_splits_share_no_person_and_a_batch_says_who_is_in_it(root):
    data = rafd(root)
    people = [set(data.records(split).extras["identity"].tolist()) for split in ("train", "val", "test")]
    assert people == [{1, 41}, {5}, {20}]
    batch = next(iter(data.test_dataloader()))
    assert batch["identity"].tolist() == [20, 20]


def test_without_test_people_those_of_validation_stand_in_and_reports_can_say_so(tmp_path):
    for person in ("01", "05"):
        Image.new("RGB", (681, 1024)).save(tmp_path / f"Rafd090_{person}_Caucasian_female_angry_frontal.jpg")
    data = rafd(tmp_path)
    assert [data.records(split).extras["identity"].tolist() for split in ("train", "val", "test")] == [[1], [5], [5]]
    assert data.stand_ins == {"test": "val"}


def test_of_the_67_people_seven_are_for_testing():
    people = [number for number in range(1, 74) if number not in (6, 13, 17, 34, 62, 66)]
    splits = [split_of(number) for number in people]
    assert (splits.count("test"), splits.count("val"), splits.count("train")) == (7, 4, 56)


def test_the_square_around_the_face(root):
    """621 pixels from (30, 90): the ramp's levels at its corners."""
    pixels = rafd(root).records("test").read(0).astype(int)
    assert abs(pixels[0, 0] - [30 / 4, 90 / 4, 0]).max() < 4
    assert abs(pixels[-1, -1] - [651 / 4, 711 / 4, 0]).max() < 4
    middle = rafd(root, crop=None).records("test").read(0).astype(int)
    assert abs(middle[0, 0] - [0, 171 / 4, 0]).max() < 4


def test_another_crop_is_refused(root):
    with pytest.raises(ValueError, match="crop must be square or None, got 'centre'"):
        rafd(root, crop="centre")


def test_names_of_the_real_set(tmp_path):
    for name in KNOWN.split():
        Image.new("RGB", (681, 1024)).save(tmp_path / name)
    data = rafd(tmp_path, angles=[0, 45, 90, 135, 180])
    assert len(data.records("train")) + len(data.records("val")) == 10
    assert data.records("val").extras["identity"].tolist() == [45]


@pytest.mark.parametrize(
    "name",
    [
        "Rafd090_01_Caucasian_woman_angry_frontal.jpg",
        "Rafd060_01_Caucasian_female_angry_frontal.jpg",
        "Rafd090_01_Caucasian_female_furious_frontal.jpg",
        "Rafd090_01_Caucasian_female_angry_up.jpg",
        "my photo é.jpg",
    ],
)
def test_a_picture_that_is_not_named_like_the_others(tmp_path, name):
    for each in ("Rafd090_01_Caucasian_female_angry_frontal.jpg", name):
        Image.new("RGB", (8, 8)).save(tmp_path / each)
    with pytest.raises(ValueError, match=rf"1 pictures are not named like .*: {name}; rename them"):
        rafd(tmp_path)


def test_without_the_dataset_the_error_says_what_to_do(tmp_path, root):
    with pytest.raises(MissingDataset, match=r"(?s)does not exist.*to ask for it.*DATA=synthetic-rafd"):
        rafd(tmp_path / "nowhere")
    with pytest.raises(MissingDataset, match=f"is a parent of the right folder: use {root}"):
        rafd(root.parent)
