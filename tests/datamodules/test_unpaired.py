import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.catalogue import MissingDataset
from datamodules.unpaired import AlignedFolders, UnpairedFolders


def draw(path: Path, value: int, width: int = 20, height: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((height, width), value, dtype=np.uint8)).save(path)


@pytest.fixture
def root(tmp_path) -> Path:
    """Three pictures of A and two of B to train on, one of each to test on; the grey level tells which."""
    root = tmp_path / "data"
    for split, counts in (("train", (3, 2)), ("test", (1, 1))):
        for domain, level, count in zip("AB", (50, 150), counts, strict=True):
            for number in range(count):
                draw(root / f"{split}{domain}" / f"{number}.png", level + number)
    return root


@pytest.fixture
def pairs(tmp_path) -> Path:
    """Five places as CycleGAN's maps have them, A of level 5, 10 ... and B 100 above; ten train, three test."""
    root = tmp_path / "maps"
    for split, numbers in (("train", range(1, 11)), ("test", range(1, 4))):
        for number in numbers:
            draw(root / f"{split}A" / f"{number}_A.png", 5 * number)
            draw(root / f"{split}B" / f"{number}_B.png", 5 * number + 100)
    return root


def opened(kind, root, **settings):
    here = {"image_size": 16, "batch_size": 2, "num_workers": 0, "cache_dir": str(Path(root).parent / "cache")}
    return kind(str(root), **{**here, **settings})


def level(images: torch.Tensor) -> list[int]:
    return ((images[:, 0, 0, 0] + 1) * 127.5).round().int().tolist()


def test_the_label_is_the_domain_and_the_first_rows_show_both(root):
    data = opened(UnpairedFolders, root)
    assert data.attributes == ("A", "B")
    assert data.exclusive == (("A", "B"),)
    assert data.one_hot
    records = data.records("train")
    assert records.labels.tolist() == [[1, 0], [0, 1], [1, 0], [0, 1], [1, 0]]
    assert [int(records.read(row)[0, 0, 0]) for row in range(5)] == [50, 150, 51, 151, 52]
    (batch,) = data.test_dataloader()
    assert level(batch["image"]) == [50, 150]


def test_references_are_of_the_other_domain_unless_said_otherwise(root):
    data = opened(UnpairedFolders, root, flip=False)
    for batch in data.train_dataloader():
        assert torch.equal(batch["label"], 1 - batch["reference_label"])
        assert [value < 100 for value in level(batch["image"])] == [value >= 100 for value in level(batch["reference"])]
    assert opened(UnpairedFolders, root, reference="any").reference == "any"


def test_domains_have_the_names_they_are_given(root):
    assert opened(UnpairedFolders, root, names=["horse", "zebra"]).attributes == ("horse", "zebra")


@pytest.mark.parametrize("names", [[], ["horse"], ["horse", "horse"], ["a", "b", "c"]])
def test_two_names_are_needed(root, names):
    with pytest.raises(ValueError, match=r"names must be two different ones, of A and of B; got \["):
        opened(UnpairedFolders, root, names=names)


def test_test_stands_in_for_val_unless_it_is_there(root, capsys):
    data = opened(UnpairedFolders, root)
    assert np.array_equal(data.records("val").names, data.records("test").names)
    assert data.stand_ins == {"val": "test"}
    assert "data has no val split: test stands in for it" in capsys.readouterr().out
    for domain in "AB":
        draw(root / f"val{domain}" / "0.png", 7)
    assert opened(UnpairedFolders, root).records("val").read(0)[0, 0].tolist() == [7, 7, 7]


def test_names_with_spaces_and_letters_beyond_ascii_and_beyond_utf8(tmp_path):
    root = tmp_path / "Bilder von Köln"
    odd = os.fsdecode("caf\u00e9.png".encode("latin-1"))
    for name, value in (("a b.png", 1), ("шляпа.png", 3), ("馬.PNG", 4)):
        draw(root / "trainA" / name, value)
    (root / "trainA" / "a b.png").rename(root / "trainA" / odd)
    draw(root / "trainA" / "a b.png", 2)
    draw(root / "trainB" / "0.png", 5)
    records = opened(UnpairedFolders, root).records("train")
    found = {records.path(row).name: int(records.read(row)[0, 0, 0]) for row in range(len(records))}
    assert found == {"a b.png": 2, odd: 1, "шляпа.png": 3, "馬.PNG": 4, "0.png": 5}


def test_a_missing_folder_is_answered_with_where_to_get_it(tmp_path):
    with pytest.raises(MissingDataset, match=r"(?s)absent does not exist.*NAME.zip.*DATA=shapes"):
        opened(UnpairedFolders, tmp_path / "absent")


def test_a_file_in_place_of_a_folder(root):
    with pytest.raises(MissingDataset, match=r"0.png is a file, not a folder"):
        opened(UnpairedFolders, root / "trainA" / "0.png")


def test_a_child_of_the_right_folder(root):
    with pytest.raises(FileNotFoundError, match=rf"trainA is a child of the right folder: use {root}\n"):
        opened(UnpairedFolders, root / "trainA")


def test_a_parent_of_the_right_folder(root):
    with pytest.raises(FileNotFoundError, match=rf"is a parent of the right folder: use {root}\n"):
        opened(UnpairedFolders, root.parent)


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(MissingDataset, match=r"has no trainA and trainB; it holds raw\n"):
        opened(UnpairedFolders, tmp_path)


def test_half_a_split(root):
    (root / "trainB").rename(root / "trainb_old")
    with pytest.raises(FileNotFoundError, match=r"data has trainA, but no trainB: a split needs both; expected ROOT/"):
        opened(UnpairedFolders, root)


def test_only_test_pictures_cannot_be_trained_on(root):
    for domain in "AB":
        (root / f"train{domain}").rename(root.parent / f"gone{domain}")
    with pytest.raises(FileNotFoundError, match=r"has no train split, only test"):
        opened(UnpairedFolders, root).records("train")


def test_the_layout_of_domain_folders_is_recognised(tmp_path):
    for domain in "AB":
        draw(tmp_path / "train" / domain / "0.png", 0)
    with pytest.raises(FileNotFoundError, match=r"train has a folder for each domain inside \(A, B\): DATA=folders"):
        opened(UnpairedFolders, tmp_path)


def test_side_by_side_pairs_are_recognised(tmp_path):
    draw(tmp_path / "train" / "1.jpg", 0, width=40)
    with pytest.raises(FileNotFoundError, match=r"1.jpg is twice as wide as high: these are side-by-side pairs, which"):
        opened(AlignedFolders, tmp_path)


def test_loose_pictures_are_not_taken_for_pairs(tmp_path):
    draw(tmp_path / "train" / "1.jpg", 0)
    with pytest.raises(MissingDataset, match=r"has no trainA and trainB; it holds train\n"):
        opened(UnpairedFolders, tmp_path)


@pytest.mark.parametrize("cache", [True, False])
@pytest.mark.parametrize("split", ["train", "val", "test"])
def test_the_counterfactual_is_the_matching_picture_of_the_domain_asked_for(pairs, split, cache):
    data = opened(AlignedFolders, pairs, names=["photo", "map"], cache=cache)
    labels = data.samples(split).labels
    index = torch.arange(len(labels)).flip(0)
    for asked, offset in ((0, 0), (1, 100)):
        picture, mask = data.counterfactual(split, index, torch.eye(2)[asked].expand(len(index), 2))
        assert picture.shape == (len(index), 3, 16, 16)
        assert torch.equal(mask, torch.ones(len(index), 1, 16, 16))
        own = [int(data.samples(split).read_all([row])[0][0, 0, 0]) for row in index.tolist()]
        assert level(picture) == [value % 100 + offset for value in own]


def test_names_sorted_otherwise_than_they_match(tmp_path):
    """Sorted by name, 10_A comes before 1_A; and a longer name of B changes the order there."""
    for number, value in ((1, 10), (10, 20), (2, 30)):
        draw(tmp_path / "trainA" / f"{number}_A.png", value)
        draw(tmp_path / "trainB" / f"{number}_B.jpg", value + 100)
    data = opened(AlignedFolders, tmp_path, cache=False)
    picture, _ = data.counterfactual("train", torch.arange(6), torch.tensor([[0.0, 1]] * 6))
    levels = [int(data.samples("train").read_all([row])[0][0, 0, 0]) for row in range(6)]
    assert level(picture) == [value if value > 100 else value + 100 for value in levels]


def test_equal_names_match_too(tmp_path):
    for name, value in (("one", 1), ("two", 2)):
        draw(tmp_path / "trainA" / f"{name}.png", value)
        draw(tmp_path / "trainB" / f"{name}.bmp", value + 100)
    samples = opened(AlignedFolders, tmp_path).samples("train")
    batch = samples.batch(*samples[[(0, 3, 0), (1, 2, 0)]])
    assert batch["match"].tolist() == [1, 0]
    assert batch["reference_match"].tolist() == [2, 3]


def test_pictures_without_a_match_are_named(pairs):
    for number in range(11, 23):
        draw(pairs / "trainA" / f"{number}_A.png", 0)
    data = opened(AlignedFolders, pairs)
    assert len(data.records("test")) == 6
    first = ", ".join(f"trainA/{number}_A.png" for number in range(11, 21))
    with pytest.raises(ValueError, match=rf"12 of 32 pictures in .*maps have no match .*: {first}, \.\.\.\. Complete"):
        data.records("train")
    assert len(opened(UnpairedFolders, pairs).records("train")) == 32


def test_two_pictures_with_one_match(pairs):
    draw(pairs / "trainA" / "3_A.jpg", 0)
    with pytest.raises(ValueError, match=r"trainA/3_A\.jpg, trainA/3_A\.png in .*maps have the same match"):
        opened(AlignedFolders, pairs).records("train")


def test_a_counterfactual_of_other_shapes(pairs):
    with pytest.raises(ValueError, match=r"expected index \(B,\) and label \(B, 2\), got \(3,\) and \(3, 5\)"):
        opened(AlignedFolders, pairs).counterfactual("test", torch.arange(3), torch.zeros(3, 5))


def test_unpaired_pictures_have_no_counterfactual(root):
    assert not hasattr(opened(UnpairedFolders, root), "counterfactual")


def test_horse2zebra(shared_data, tmp_path):
    data = UnpairedFolders(str(shared_data / "horse2zebra-128"), cache=False, num_workers=0)
    counts = {split: data.records(split).labels.sum(axis=0).tolist() for split in ("train", "test")}
    assert counts == {"train": [1067, 1334], "test": [120, 140]}
    batch = next(iter(data.train_dataloader()))
    assert batch["image"].shape == (16, 3, 128, 128)
    assert torch.equal(batch["reference_label"], 1 - batch["label"])
