import gzip
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from datamodules.catalogue import MissingDataset
from datamodules.celeba_hq import CelebAHQ

NAMES = ("Male", "Smiling", "Young")


def write_list(path: Path, rows: dict[str, tuple[int, ...]], space: str = " ") -> None:
    """CelebAMask-HQ's has two spaces after the name, CelebA's one."""
    lines = [
        str(len(rows)),
        " ".join(NAMES),
        *(f"{name}{space}{' '.join(map(str, row))}" for name, row in rows.items()),
    ]
    path.write_text("\n".join(lines) + "\n")


def write_picture(path: Path, level: int = 100, size: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size, size, 3), level, np.uint8)).save(path)


@pytest.fixture
def by_celeba(tmp_path) -> Path:
    """Three pictures by CelebA's numbers in StarGAN v2's folders, one for each official split."""
    root = tmp_path / "celeba_hq"
    write_picture(root / "train" / "female" / "000007.jpg", 10)
    write_picture(root / "train" / "male" / "170000.png", 20)
    write_picture(root / "val" / "female" / "182638.jpg", 30)
    rows = {"000007.jpg": (-1, 1, 1), "170000.jpg": (1, -1, 1), "182638.jpg": (-1, -1, -1), "000001.jpg": (1, 1, 1)}
    write_list(root / "list_attr_celeba.txt", rows)
    return root


@pytest.fixture
def mask_hq(tmp_path) -> Path:
    """CelebAMask-HQ: pictures 0 and 1, which are CelebA's 119613 and 190000."""
    root = tmp_path / "CelebAMask-HQ"
    write_picture(root / "CelebA-HQ-img" / "0.jpg", 40)
    write_picture(root / "CelebA-HQ-img" / "1.jpg", 50)
    write_picture(root / "CelebAMask-HQ-mask-anno" / "0" / "00000_hair.png", 60)
    write_list(root / "CelebAMask-HQ-attribute-anno.txt", {"0.jpg": (-1, 1, -1), "1.jpg": (1, -1, 1)}, space="  ")
    mapping = "idx    orig_idx    orig_file\n0 119612 119613.jpg\n1 189999 190000.jpg\n"
    (root / "CelebA-HQ-to-CelebA-mapping.txt").write_text(mapping)
    return root


def celeba_hq(root, **settings) -> CelebAHQ:
    return CelebAHQ(str(root), **{"image_size": 16, "batch_size": 1, "num_workers": 0, "cache": False, **settings})


def test_pictures_are_split_as_celeba_splits_their_numbers_whatever_their_folder(by_celeba, capsys):
    data = celeba_hq(by_celeba, attributes=["Young", "Male"])
    found = {split: data.records(split) for split in ("train", "val", "test")}
    assert [found[split].labels.tolist() for split in found] == [[[1, 0]], [[1, 1]], [[0, 0]]]
    assert [int(found[split].read(0)[0, 0, 0]) for split in found] == [10, 20, 30]
    assert "1 (000001.jpg) without a picture" in capsys.readouterr().out


def test_celebamask_hq_is_split_by_the_numbers_it_maps_to(mask_hq):
    data = celeba_hq(mask_hq)
    assert data.attributes == NAMES
    assert data.records("train").labels.tolist() == [[0, 1, 0]]
    assert data.records("test").labels.tolist() == [[1, 0, 1]]
    assert int(data.records("test").read(0)[0, 0, 0]) == 50


def test_the_list_may_lie_elsewhere(by_celeba, tmp_path):
    (by_celeba / "list_attr_celeba.txt").rename(tmp_path / "list.txt")
    with pytest.raises(MissingDataset, match="has no list of attributes; name CelebA's with attribute_list"):
        celeba_hq(by_celeba)
    assert len(celeba_hq(by_celeba, attribute_list=str(tmp_path / "list.txt")).records("train")) == 1
    with pytest.raises(MissingDataset, match="there is no list no-such-list"):
        celeba_hq(by_celeba, attribute_list="no-such-list")


def test_two_pictures_of_one_number(by_celeba):
    write_picture(by_celeba / "train" / "male" / "000007.png")
    with pytest.raises(ValueError, match="1 pictures are there more than once: 7"):
        celeba_hq(by_celeba).records("train")


def test_a_picture_that_is_not_named_by_a_number(by_celeba):
    write_picture(by_celeba / "train" / "male" / "me.png")
    with pytest.raises(ValueError, match=r"named by their number, as 000001.jpg; found train/male/me.png"):
        celeba_hq(by_celeba).records("train")


def test_a_mapping_that_is_missing_or_short(mask_hq):
    path = mask_hq / "CelebA-HQ-to-CelebA-mapping.txt"
    path.write_text("idx orig_idx orig_file\n0 119612 119613.jpg\n")
    with pytest.raises(ValueError, match="has no row for 1 pictures: 1"):
        celeba_hq(mask_hq).records("train")
    path.unlink()
    with pytest.raises(FileNotFoundError, match="which picture of CelebA each of CelebA-HQ is"):
        celeba_hq(mask_hq).records("train")


def test_without_the_dataset_the_error_says_what_to_do(tmp_path):
    with pytest.raises(MissingDataset, match=r"(?s)does not exist.*to ask for it.*DATA=synthetic-celeba"):
        celeba_hq(tmp_path / "nowhere")


def test_the_sample_of_real_pictures_agrees_with_its_folders(shared_data, tmp_path):
    """The folder says female or male; CelebA's list, found by the number, says the same."""
    packed = shared_data / "celeba-sample" / "Anno" / "list_attr_celeba_full.txt.gz"
    (tmp_path / "list_attr_celeba.txt").write_bytes(gzip.decompress(packed.read_bytes()))
    settings = {"attributes": ["Male"], "attribute_list": str(tmp_path / "list_attr_celeba.txt")}
    data = celeba_hq(shared_data / "celeba-hq-sample", **settings)
    counts = []
    for split in ("train", "val", "test"):
        records = data.records(split)
        assert [b"/male/" in name for name in records.names] == (records.labels[:, 0] == 1).tolist()
        counts.append(len(records))
    assert counts == [49, 2, 5]
