import random
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision import datasets

from datamodules.attribute_lists import AttributeList
from datamodules.catalogue import MissingDataset
from datamodules.celeba import CelebA, split_codes
from datamodules.images import UnreadableImage

NAMES = ["5_o_Clock_Shadow", "Bald", "Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Smiling", "Young"]
HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair")


def write_list(path: Path, values: np.ndarray, names: list[str] = NAMES, files: list[str] | None = None) -> None:
    """As the true file: CR LF, a space after the last name, values from the second on padded to two characters."""
    files = files or [f"{number:06}.jpg" for number in range(1, len(values) + 1)]
    lines = [str(len(values)), " ".join(names) + " "]
    for file, row in zip(files, values, strict=True):
        lines.append(f"{file} {row[0]}" + "".join(f" {value:2}" for value in row[1:]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode())


def some_values(count: int, width: int = len(NAMES)) -> np.ndarray:
    return np.random.default_rng(0).choice([-1, 1], (count, width))


def write_picture(path: Path, level: int, size: tuple[int, int] = (178, 218)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (level, level, level)).save(path, quality=95)


@pytest.fixture
def root(tmp_path) -> Path:
    """Twelve pictures, each of its own grey level: 1 to 6 to train on, 7 to 9 to validate, 10 to 12 to test."""
    root = tmp_path / "celeba"
    write_list(root / "Anno" / "list_attr_celeba.txt", some_values(12))
    partition = "".join(
        f"{number:06}.jpg {code}\r\n" for number, code in zip(range(1, 13), "000000111222", strict=True)
    )
    (root / "Eval").mkdir()
    (root / "Eval" / "list_eval_partition.txt").write_bytes(partition.encode())
    identities = "".join(f"{number:06}.jpg {2880 + number // 2}\r\n" for number in range(1, 13))
    (root / "Anno" / "identity_CelebA.txt").write_bytes(identities.encode())
    for number in range(1, 13):
        write_picture(root / "img_align_celeba" / f"{number:06}.jpg", 10 * number)
    return root


def celeba(root, **settings) -> CelebA:
    here = {"image_size": 16, "batch_size": 2, "num_workers": 0, "cache": False}
    return CelebA(str(root), **{**here, **settings})


def test_labels_are_the_columns_asked_for_in_that_order(root):
    data = celeba(root, attributes=["Young", "Black_Hair", "Male"])
    assert data.attributes == ("Young", "Black_Hair", "Male")
    expected = (some_values(12)[:6][:, [8, 3, 6]] + 1) / 2
    assert np.array_equal(data.records("train").labels, expected)
    assert celeba(root).attributes == tuple(NAMES)


def test_a_batch_shows_the_pictures_of_its_rows_and_says_who_is_in_them(root):
    (batch, *_) = celeba(root).val_dataloader()
    levels = (batch["image"] + 1) * 127.5
    torch.testing.assert_close(levels.mean((1, 2, 3)), torch.tensor([70.0, 80.0]), atol=1.5, rtol=0)
    assert batch["identity"].tolist() == [2883, 2884]
    assert set(batch["reference_identity"].tolist()) <= {2883, 2884}


def test_the_lists_may_lie_beside_the_pictures_and_identities_may_be_absent(root):
    for path in [*root.glob("Anno/list*"), *root.glob("Eval/*")]:
        path.rename(root / path.name)
    shutil.rmtree(root / "Anno")
    batch = next(iter(celeba(root).test_dataloader()))
    assert "identity" not in batch


@pytest.mark.parametrize(("crop", "box"), [("centre", (0, 20, 178, 198)), ("bridgegan", (3, 26, 173, 196))])
def test_crops_are_those_of_the_papers(root, crop, box):
    """Sheets: centre crop 178 of 178x218; 170x170 at top 26, left 3 (right 173, bottom 196)."""
    y, x = np.mgrid[:218, :178]
    ramp = Image.fromarray(np.stack([x, y, 0 * x], -1).astype(np.uint8))
    ramp.save(root / "img_align_celeba" / "000010.jpg", quality=100, subsampling=0)
    pixels = celeba(root, crop=crop, image_size=64).records("test").read(0).astype(int)
    expected = np.asarray(ramp.crop(box).resize((64, 64), Image.Resampling.BICUBIC)).astype(int)
    assert abs(pixels - expected).max() <= 3


def test_a_picture_of_another_size_than_the_crop_is_for(root):
    write_picture(root / "img_align_celeba" / "000010.jpg", 9, (128, 128))
    with pytest.raises(UnreadableImage, match=r"000010.jpg: the picture is 128x128, but .* 178x218; .*crop: null"):
        celeba(root).records("test").read(0)
    assert celeba(root, crop=None).records("test").read(0).shape == (16, 16, 3)


def test_hair_colours_exclude_each_other_and_bangs_conflict_with_baldness(root):
    data = celeba(root)
    assert data.exclusive == (HAIR,)
    assert [set(pair) for pair in data.conflicts] == [{"Bangs", "Bald"}]
    data = celeba(root, attributes=["Bangs", "Brown_Hair", "Bald", "Blond_Hair"])
    targets = data.edits(torch.tensor([[1.0, 1, 0, 0]]))[0].tolist()
    assert targets == [[0, 1, 0, 0], [1, 1, 0, 0], [0, 1, 1, 0], [1, 0, 0, 1]]
    assert celeba(root, attributes=["Brown_Hair", "Male"]).exclusive == ()


def test_an_unknown_protocol_or_crop(root):
    with pytest.raises(ValueError, match=r"protocol must be one of official, stargan, .*, got 'offical'"):
        celeba(root, protocol="offical")
    with pytest.raises(ValueError, match="crop must be one of centre, bridgegan, None, got 'center'"):
        celeba(root, crop="center")


def test_the_official_partition_decides(root):
    assert [len(celeba(root).records(split)) for split in ("train", "val", "test")] == [6, 3, 3]
    assert [len(celeba(root, protocol="bridgegan").records(split)) for split in ("train",)] == [12]


def test_stargan_splits_as_the_released_loader_does():
    table = fake_list(5000)
    lines = [f"{name.decode()} ..." for name in table.names]
    random.seed(1234)
    random.shuffle(lines)
    for protocol, count in (("stargan", 2000), ("stargan-code", 1999)):
        chosen = {line.split()[0].encode() for line in lines[:count]}
        codes = split_codes(protocol, table)
        assert set(table.names[codes == 2].tolist()) == chosen
        assert (codes == 0).sum() == 5000 - count


def test_lomit_splits():
    table = fake_list(5000)
    codes = split_codes("lomit", table)
    assert ((codes == 2).sum(), (codes == 0).sum()) == (2000, 3000)
    assert np.flatnonzero(codes == 2)[:8].tolist() == [0, 1, 2, 4, 9, 10, 12, 15]  # as ever
    assert 600 < (codes[:2500] == 2).sum() < 1400  # from all over the list
    codes, hair = split_codes("lomit-code", table), table.any_of(HAIR)
    assert np.array_equal(codes, np.where(hair, np.where(np.arange(5000) < 1999, 2, 0), 3))


def test_bridgegan_splits_by_number():
    numbers = [1, 182_000, 182_001, 182_637, 182_638, 202_599]
    table = AttributeList(Path("list"), (), np.array([b"%06d.jpg" % number for number in numbers]), np.empty((6, 0)))
    assert split_codes("bridgegan", table).tolist() == [0, 0, 1, 1, 2, 2]


def fake_list(count: int) -> AttributeList:
    values = np.random.default_rng(1).integers(0, 2, (count, len(NAMES)), dtype=np.uint8)
    return AttributeList(Path("list"), tuple(NAMES), np.array([b"%06d.jpg" % (i + 1) for i in range(count)]), values)


def test_a_protocol_without_validation_uses_its_test_pictures_and_says_so(root, capsys):
    write_list(root / "Anno" / "list_attr_celeba.txt", some_values(2100))
    (root / "Anno" / "identity_CelebA.txt").unlink()
    data = celeba(root, protocol="stargan")
    assert np.array_equal(data.records("val").names, data.records("test").names)
    assert "has no val split: test stands in for it" in capsys.readouterr().out
    assert data.stand_ins == {"val": "test"}


def test_a_protocol_that_takes_every_row_for_testing(root):
    with pytest.raises(FileNotFoundError, match=r"protocol 'stargan' \(12 rows in .*\) has no train split, only test"):
        celeba(root, protocol="stargan").records("train")


def test_rows_without_a_picture_and_pictures_without_a_row_are_counted_and_named(root, capsys):
    pictures = root / "img_align_celeba"
    (pictures / "000002.jpg").unlink()
    write_picture(pictures / "an older one é.jpg", 5)
    assert len(celeba(root).records("train")) == 5
    first, second = capsys.readouterr().out.splitlines()
    assert first.endswith(f"1 (000002.jpg) without a picture in {pictures}")
    assert second.endswith("1 (an older one é.jpg) that list_attr_celeba.txt does not list")


def test_a_list_of_other_pictures(root):
    for path in (root / "img_align_celeba").iterdir():
        path.rename(path.with_name(f"x{path.name}"))
    with pytest.raises(FileNotFoundError, match=r"none of the 12 pictures .*000001\.jpg.* do not belong together"):
        celeba(root).records("train")


@pytest.mark.parametrize("folder", [".", "no/such/place"])
def test_without_the_dataset_the_error_says_how_to_get_it_and_what_to_do_meanwhile(tmp_path, folder):
    with pytest.raises(MissingDataset) as caught:
        celeba(tmp_path / folder)
    for words in ("non-commercial", "make data DATA=celeba", "DATA=synthetic-celeba", "img_align_celeba/000001.jpg"):
        assert words in str(caught.value)


def test_a_folder_above_or_below_the_right_one(root):
    with pytest.raises(MissingDataset, match=f"is a parent of the right folder: use {root}"):
        celeba(root.parent)
    with pytest.raises(MissingDataset, match=f"is a child of the right folder: use {root}"):
        celeba(root / "img_align_celeba")


def test_without_the_list(root):
    (root / "Anno" / "list_attr_celeba.txt").unlink()
    with pytest.raises(MissingDataset, match=r"has no list_attr_celeba.txt, nor has .*Anno"):
        celeba(root)


def test_an_unknown_attribute_is_answered_with_the_nearest(root):
    with pytest.raises(ValueError, match="no attribute 'smiling': did you mean 'Smiling'"):
        celeba(root, attributes=["smiling"])


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("12\r\n", "", r"does not begin like list_attr_celeba.txt: expected the number of rows in line 1"),
        ("12\r\n", "13\r\n", r"announces 13 rows, but has 12: is it cut short\?"),
        ("000004.jpg", "000003.jpg", r"1 pictures are there more than once: 000003\.jpg"),
        ("000004.jpg", "", r"line 6: expected 10 cells, found 9"),
        ("000004.jpg 1", "000004.jpg 2", r"line 6: 5_o_Clock_Shadow must be 1 or -1, found b'2'"),
        (" Bald ", " Bangs ", r"the distinct names of the attributes in line 2"),
    ],
)
def test_a_damaged_list_is_named_with_the_line(root, old, new, message):
    values = some_values(12)
    values[3, 0] = 1
    path = root / "Anno" / "list_attr_celeba.txt"
    write_list(path, values)
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode(), 1))
    with pytest.raises(ValueError, match=rf"list_attr_celeba\.txt.*{message}"):
        celeba(root)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("000004.jpg 0", "000004.jpg 3", r"line 4: expected a number from 0 to 2, found b'3'"),
        ("000004.jpg 0", "000004.jpg", r"line 4: expected 2 cells, found 1"),
        ("000004.jpg 0\r\n", "", r"has no row for 1 pictures of the attributes: 000004\.jpg"),
        ("000004.jpg 0", "000003.jpg 0", r"1 pictures are there more than once: 000003\.jpg"),
        ("000004.jpg 0", "000004.jpg 99999999999999999999", r"line 4: expected a number from 0 to 2, found b'99999"),
    ],
)
def test_a_damaged_partition_is_named_with_the_line(root, old, new, message):
    path = root / "Eval" / "list_eval_partition.txt"
    path.write_bytes(path.read_bytes().replace(old.encode(), new.encode(), 1))
    with pytest.raises(ValueError, match=rf"list_eval_partition\.txt.*{message}"):
        celeba(root).records("train")


def test_a_list_without_rows_or_without_the_columns_a_protocol_needs(root):
    write_list(root / "Anno" / "list_attr_celeba.txt", np.empty((0, len(NAMES)), int))
    with pytest.raises(ValueError, match="has no row, only a header"):
        celeba(root)
    write_list(root / "Anno" / "list_attr_celeba.txt", some_values(12, 2), names=["Male", "Black_Hair"])
    with pytest.raises(ValueError, match="has no column Blond_Hair, Brown_Hair"):
        celeba(root, protocol="lomit-code").records("train")


def test_an_identity_that_no_number_can_hold(root):
    path = root / "Anno" / "identity_CelebA.txt"
    path.write_bytes(path.read_bytes().replace(b" 2882", b" 18446744073709551615", 1))
    with pytest.raises(
        ValueError, match=r"identity_CelebA.txt, line 4: expected a number, found b'18446744073709551615'"
    ):
        celeba(root).records("train")


def test_a_partition_in_another_order_means_the_same(root):
    before = celeba(root).records("val").names.tolist()
    path = root / "Eval" / "list_eval_partition.txt"
    path.write_bytes(b"\r\n".join(sorted(path.read_bytes().split(b"\r\n"), reverse=True)))
    assert celeba(root).records("val").names.tolist() == before


def test_torchvision_parses_the_same_attributes(root):
    class Lists(datasets.CelebA):
        """Only its parser: it refuses files that are not the originals."""

        def __init__(self, root: str) -> None:
            self.root, self.base_folder = root, "Anno"

    theirs = Lists(str(root))._load_csv("list_attr_celeba.txt", header=1)
    ours = AttributeList.read(root / "Anno" / "list_attr_celeba.txt")
    assert list(ours.attributes) == [name for name in theirs.header if name]
    assert [name.decode() for name in ours.names] == theirs.index
    assert np.array_equal(ours.values, (theirs.data.numpy() + 1) // 2)


def test_the_sample_of_real_pictures(shared_data, tmp_path):
    class Lists(datasets.CelebA):
        def __init__(self, root: str) -> None:
            self.root, self.base_folder = root, "Anno"

    root = shared_data / "celeba-sample"
    data = celeba(root)
    assert [len(data.records(split)) for split in ("train", "val", "test")] == [49, 2, 5]
    assert len(data.attributes) == 40
    theirs = Lists(str(root))._load_csv("list_attr_celeba.txt", header=1)
    expected = {name.encode(): row for name, row in zip(theirs.index, (theirs.data.numpy() + 1) // 2, strict=True)}
    records = data.records("train")
    assert all(np.array_equal(expected[name], row) for name, row in zip(records.names, records.labels, strict=True))
    assert records.read(0).std() > 20


def test_the_whole_list_opens_and_a_first_batch_comes_in_three_seconds_and_300_megabytes(tmp_path):
    """202,599 rows of 40 attributes, as in the true file; the pictures are few, as opening must not read them."""
    root = tmp_path / "celeba"
    write_whole_list(root)
    for number in range(1, 65):
        write_picture(root / "img_align_celeba" / f"{number:06}.jpg", number)
    code = """if True:
        import resource, sys, time
        from datamodules.celeba import CelebA
        before, start = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time()
        data = CelebA(sys.argv[1], image_size=128, batch_size=16, num_workers=0, cache=False, protocol="stargan")
        batch = next(iter(data.train_dataloader()))
        seconds, after = time.process_time() - start, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(tuple(batch["label"].shape), seconds, (after - before) / 1024)
    """
    done = subprocess.run([sys.executable, "-c", code, str(root)], capture_output=True, text=True, check=True)
    shape, seconds, megabytes = done.stdout.splitlines()[-1].rsplit(" ", 2)
    assert shape == "(16, 40)"
    assert float(seconds) < 3  # of this process alone, whatever else the machine does
    assert float(megabytes) < 300


def write_whole_list(root: Path) -> None:
    words = [" 1", "-1"]
    rows = np.random.default_rng(0).integers(0, 2, (997, 40)).tolist()
    cells = [f"{words[row[0]].strip()} " + " ".join(words[value] for value in row[1:]) for row in rows]
    lines = [f"{number:06}.jpg {cells[number % 997]}\r\n" for number in range(1, 202_600)]
    names = " ".join(f"attribute_{column}" for column in range(40))
    root.mkdir(parents=True)
    (root / "list_attr_celeba.txt").write_bytes(f"202599\r\n{names} \r\n{''.join(lines)}".encode())
