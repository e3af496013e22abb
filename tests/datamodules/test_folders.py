import os
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules import AFHQ, CelebAHQDomains, DomainFolders
from datamodules.images import UnreadableImage


def draw(path: Path, value: int = 128, size: int = 20) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size, size), value, dtype=np.uint8)).save(path)


@pytest.fixture
def root(tmp_path) -> Path:
    """Two pictures of each of three domains in each split; their grey level tells domain and number."""
    for split in ("train", "val", "test"):
        for level, domain in ((50, "cat"), (100, "dog"), (150, "wild")):
            for number, suffix in enumerate(("jpg", "png")):
                draw(tmp_path / "data" / split / domain / f"{domain}{number}.{suffix}", level + number)
    return tmp_path / "data"


def folders(root, **settings) -> DomainFolders:
    here = {"image_size": 16, "batch_size": 2, "num_workers": 0, "cache_dir": str(Path(root).parent / "cache")}
    return DomainFolders(str(root), **{**here, **settings})


@pytest.mark.parametrize("cache", [True, False])
def test_labels_are_the_folders_of_the_pictures(root, cache):
    data = folders(root, cache=cache)
    assert data.attributes == ("cat", "dog", "wild")
    assert data.exclusive == (("cat", "dog", "wild"),)
    assert data.one_hot
    batches = list(data.test_dataloader())
    labels, images = (torch.cat([batch[name] for batch in batches]) for name in ("label", "image"))
    assert torch.equal(labels, torch.eye(3).repeat(2, 1))
    levels = torch.tensor([50.0, 100, 150, 51, 101, 151])
    torch.testing.assert_close((images + 1) * 127.5, levels.view(6, 1, 1, 1).expand(6, 3, 16, 16), atol=1.0, rtol=0)


def test_a_subset_comes_in_the_order_asked_for(root):
    data = folders(root, domains=["wild", "cat"])
    assert data.attributes == ("wild", "cat")
    (first, *_) = data.val_dataloader()
    assert first["label"].tolist() == [[1, 0], [0, 1]]
    torch.testing.assert_close((first["image"][:, 0, 0, 0] + 1) * 127.5, torch.tensor([150.0, 50.0]), atol=1.0, rtol=0)


def test_the_first_rows_show_every_domain_however_uneven_they_are(root):
    for number in range(2, 9):
        draw(root / "val" / "cat" / f"cat{number}.png")
    data = folders(root)
    assert data.records("val").labels[:6].argmax(axis=1).tolist() == [0, 1, 2, 0, 1, 2]
    assert data.records("val").labels.sum(axis=0).tolist() == [9, 2, 2]


def test_the_cache_is_renewed_when_files_or_settings_change(root):
    def name(**settings) -> str:
        return folders(root, **settings).records("train").fingerprint()

    before = name()
    assert name() == before
    assert name(image_size=32) != before
    assert name(domains=["dog", "cat"]) != before
    draw(root / "train" / "cat" / "cat1.png", 7)
    changed = name()
    assert changed != before
    os.utime(root / "train" / "dog" / "dog0.jpg", ns=(0, 0))
    touched = name()
    assert touched not in (before, changed)
    (root / "train" / "dog" / "dog0.jpg").rename(root / "train" / "dog" / "other.jpg")
    assert name() not in (before, changed, touched)
    assert folders(root).samples("train").read_all([3])[0][0, 0].tolist() == [7, 7, 7]


def test_files_of_equal_length_and_time_do_not_share_a_cache(tmp_path):
    """As an archive without compression, unpacked with one time for all, has them."""

    def write(split: str, value: int) -> None:
        for domain in ("a", "b"):
            path = tmp_path / split / domain / "0.ppm"
            draw(path, value)
            os.utime(path, ns=(0, 0))

    write("train", 10)
    write("val", 200)
    data = folders(tmp_path, cache_dir=str(tmp_path / "cache"))
    assert data.samples("train").read_all([0])[0][0, 0, 0] == 10
    assert data.samples("val").read_all([0])[0][0, 0, 0] == 200
    write("val", 60)
    data = folders(tmp_path, cache_dir=str(tmp_path / "cache"))
    assert data.samples("val").read_all([0])[0][0, 0, 0] == 60


def test_a_link_to_nowhere_is_named(root):
    (root / "train" / "cat" / "lost.png").symlink_to(root / "nowhere.png")
    with pytest.raises(UnreadableImage, match=r"train/cat/lost\.png is gone, or a link to nowhere"):
        folders(root).samples("train")


def test_a_name_that_is_no_utf8(root):
    name = os.fsdecode("caf\u00e9.png".encode("latin-1"))
    (root / "train" / "cat" / "cat1.png").rename(root / "train" / "cat" / name)
    assert folders(root).samples("train").read_all([0])[0].shape == (16, 16, 3)


def test_a_moved_folder_keeps_its_cache(root):
    before = folders(root).records("train").fingerprint()
    moved = root.rename(root.with_name("moved"))
    assert folders(moved).records("train").fingerprint() == before


@pytest.mark.parametrize(("gone", "other"), [("val", "test"), ("test", "val")])
def test_val_and_test_stand_in_for_each_other_and_say_so(root, capsys, gone, other):
    for path in sorted((root / gone).rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (root / gone).rmdir()
    data = folders(root)
    assert np.array_equal(data.records(gone).names, data.records(other).names)
    assert f"has no {gone} split: {other} stands in for it" in capsys.readouterr().out
    assert data.stand_ins == {gone: other}  # and not of the split that is there


def test_a_split_that_is_not_there_is_an_error_naming_those_that_are(tmp_path):
    draw(tmp_path / "val" / "a" / "0.png")
    draw(tmp_path / "val" / "b" / "0.png")
    with pytest.raises(FileNotFoundError, match=r"has no train split, only val"):
        folders(tmp_path).records("train")


def test_a_missing_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent does not exist; expected ROOT/train/<domain>"):
        folders(tmp_path / "absent")


def test_a_file_in_place_of_a_folder(root):
    with pytest.raises(FileNotFoundError, match=r"cat0.jpg is a file, not a folder"):
        folders(root / "train" / "cat" / "cat0.jpg")


@pytest.mark.parametrize("below", ["train", "test", "train/cat"])
def test_a_child_of_the_right_folder(root, below):
    with pytest.raises(FileNotFoundError, match=rf"{below} is a child of the right folder: use {root};"):
        folders(root / below)


def test_a_parent_of_the_right_folder(root):
    with pytest.raises(FileNotFoundError, match=rf"{root.parent} is a parent of the right folder: use {root};"):
        folders(root.parent)


def test_a_folder_of_something_else(tmp_path):
    (tmp_path / "raw").mkdir()
    with pytest.raises(FileNotFoundError, match=r"has no train folder; it holds raw; expected ROOT/"):
        folders(tmp_path)


def test_pictures_beside_the_domains_they_should_lie_in(tmp_path):
    draw(tmp_path / "train" / "0.png")
    with pytest.raises(FileNotFoundError, match=r"has train, but no folder for each domain inside; it holds"):
        folders(tmp_path)


def test_a_root_may_be_called_like_a_split(tmp_path):
    for domain in ("a", "b"):
        draw(tmp_path / "test" / "train" / domain / "0.png")
    assert folders(tmp_path / "test").attributes == ("a", "b")


def test_an_empty_domain(root):
    for path in (root / "train" / "dog").iterdir():
        path.unlink()
    (root / "train" / "dog" / "deeper").mkdir()
    data = folders(root)
    with pytest.raises(FileNotFoundError, match=r"train/dog has no picture .*folders inside it \(deeper\)"):
        data.records("train")
    assert len(folders(root, domains=["cat", "wild"]).records("train")) == 4


def test_an_unknown_domain_is_answered_with_the_nearest(root):
    with pytest.raises(ValueError, match=r"no domain 'dogs': did you mean 'dog'\? Known: cat, dog, wild"):
        folders(root, domains=["cat", "dogs"])


def test_a_domain_that_a_split_lacks(root):
    draw(root / "train" / "fox" / "0.png")
    with pytest.raises(ValueError, match=r"val has no folder for fox, which another split has"):
        folders(root)
    assert folders(root, domains=["cat", "dog"]).attributes == ("cat", "dog")


def test_one_domain_is_not_enough(root):
    with pytest.raises(ValueError, match=r"at least two domains, got \['cat'\]"):
        folders(root, domains=["cat"])


def test_stray_files_are_ignored_and_named(root, capsys):
    for name in ("Thumbs.db", "notes.txt", "._cat0.jpg"):
        (root / "train" / "cat" / name).write_text("x")
    draw(root / "train" / "cat" / "more" / "deeper.png")
    draw(root / "train" / "lost.png")
    (root / "README.md").touch()
    (root / "train" / ".hidden").mkdir()
    assert len(folders(root).records("train")) == 6
    lost, strays = capsys.readouterr().out.splitlines()
    assert lost.endswith("train: ignored 1 (outside every domain): lost.png")
    assert strays.endswith("cat: ignored 4 (not pictures): ._cat0.jpg, Thumbs.db, more, ...")


def test_bad_pictures_stop_the_setup_and_are_named(root):
    (root / "train" / "cat" / "cat0.jpg").write_bytes(b"")
    (root / "train" / "dog" / "dog1.png").write_bytes(b"\x89PNG\r\n\x1a\n")  # cut off after the signature
    with pytest.raises(UnreadableImage, match=r"(?s)2 of 6 images cannot be read; nothing was cached.*cat0.*dog1"):
        folders(root).setup("fit")


def test_without_the_cache_a_bad_picture_is_named_when_it_is_read(root):
    (root / "val" / "cat" / "cat0.jpg").write_bytes(b"")
    with pytest.raises(UnreadableImage, match=r"cat0\.jpg: the file is empty"):
        next(iter(folders(root, cache=False).val_dataloader()))


def test_lfw_expressions(shared_data, tmp_path):
    data = folders(shared_data / "lfw-expressions", domains=["surprise", "anger"], cache_dir=str(tmp_path))
    assert [len(data.records(split)) for split in ("train", "val", "test")] == [486, 26, 70]
    batch = next(iter(data.test_dataloader()))
    assert batch["image"].shape == (2, 3, 16, 16)
    assert torch.equal(batch["image"][:, 0], batch["image"][:, 2])  # grey


@pytest.mark.parametrize(("name", "counts"), [("afhq-sample", [28, 13, 13]), ("celeba-hq-sample", [46, 10, 10])])
def test_afhq_and_celeba_hq(shared_data, tmp_path, name, counts):
    data = DomainFolders(str(shared_data / name), image_size=64, cache_dir=str(tmp_path))
    assert [len(data.samples(split)) for split in ("train", "val", "test")] == counts
    image = data.samples("train")[[(0, 1, 0)]][1][0]
    assert image.float().std() > 10


def test_public_folders_have_their_own_domains_unless_some_are_chosen(root, tmp_path):
    assert AFHQ(str(root)).attributes == ("cat", "dog", "wild")
    with pytest.raises(
        FileNotFoundError, match=r"(?s)has the domains cat, dog, wild, not female, male\nThis is CelebA-HQ"
    ):
        CelebAHQDomains(str(root))
    assert CelebAHQDomains(str(root), domains=["dog", "cat"]).attributes == ("dog", "cat")
    with pytest.raises(FileNotFoundError, match=r"(?s)does not exist\nThis is Animal Faces-HQ.*DATA=synthetic-afhq"):
        AFHQ(str(tmp_path / "nowhere"))


def test_the_parent_of_several_datasets_lists_them(shared_data):
    with pytest.raises(FileNotFoundError, match=r"parent of the right folder: use .*afhq-sample or .*lfw-expressions"):
        DomainFolders(str(shared_data))
