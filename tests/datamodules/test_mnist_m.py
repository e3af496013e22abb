import argparse
import struct
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from torchvision.datasets import MNIST

from datamodules.digits import Digits
from datamodules.mnist_m import add_arguments, blended, build, crops, run

LABELS = {"train": [5, 0, 4, 1, 9, 2], "t10k": [7, 2, 1]}


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape) + array.tobytes())


def photo(path: Path, seed: int, width: int = 40, height: int = 32) -> np.ndarray:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3)).astype(np.uint8)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)
    return pixels


@pytest.fixture
def root(tmp_path) -> Path:
    random = np.random.default_rng(0)
    for stem, labels in LABELS.items():
        images = random.integers(0, 256, (len(labels), 28, 28)).astype(np.uint8)
        write_idx(tmp_path / "root" / "MNIST" / "raw" / f"{stem}-images-idx3-ubyte", images)
        write_idx(tmp_path / "root" / "MNIST" / "raw" / f"{stem}-labels-idx1-ubyte", np.array(labels, np.uint8))
    return tmp_path / "root"


@pytest.fixture
def photos(tmp_path) -> Path:
    for number in range(3):
        photo(tmp_path / "photos" / "train" / f"{number}.png", number)
        photo(tmp_path / "photos" / "test" / f"{number}.png", number + 10)
    return tmp_path / "photos"


def test_a_blend_is_the_distance_of_patch_and_digit_in_each_channel(tmp_path):
    """A photo of 28 pixels leaves no choice of a square."""
    path = tmp_path / "photo.png"
    pixels = np.zeros((28, 28, 3), dtype=np.uint8)
    pixels[0, :4] = (10, 100, 250)
    Image.fromarray(pixels).save(path)
    digit = np.zeros((1, 28, 28), dtype=np.uint8)
    digit[0, 0, 1:4] = (255, 100, 7)
    digit[0, 5, 5] = 200
    images, crop = blended(digit, [path], seed=0)
    assert images[0, 0, :4].tolist() == [[10, 100, 250], [245, 155, 5], [90, 0, 150], [3, 93, 243]]
    assert images[0, 5, 5].tolist() == [200, 200, 200]
    assert crop.tolist() == [[0, 0, 0]]


def test_every_square_is_where_the_crop_says_and_inside_its_photo(tmp_path):
    sizes = [(40, 32), (28, 60), (33, 28)]  # width, height
    pixels = [photo(tmp_path / f"{number}.png", number, *size) for number, size in enumerate(sizes)]
    black = np.zeros((300, 28, 28), dtype=np.uint8)
    images, crop = blended(black, [tmp_path / f"{number}.png" for number in range(3)], seed=4)
    for image, (number, top, left) in zip(images, crop, strict=True):
        assert np.array_equal(image, pixels[number][top : top + 28, left : left + 28])
    for number, (width, height) in enumerate(sizes):
        drawn = crop[crop[:, 0] == number, 1:]
        assert drawn.min(axis=0).tolist() == [0, 0]
        assert drawn.max(axis=0).tolist() == [height - 28, width - 28]


def test_the_same_seed_makes_the_same_files_and_another_one_others(root, photos):
    def made(seed: int) -> list[bytes]:
        paths = build(root, photos, seed)
        contents = [b"".join(np.load(path)[key].tobytes() for key in ("images", "crop")) for path in paths]
        for path in paths:
            path.unlink()
        return contents

    first = made(0)
    assert made(0) == first
    assert not set(made(1)) & set(first)


def test_the_command_writes_what_the_loader_reads(root, photos, capsys):
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    assert run(parser.parse_args([str(root), str(photos), "--seed", "3"])) == 0
    assert [Path(line.removeprefix("wrote ")).name for line in capsys.readouterr().out.splitlines()] == [
        "mnistm_train.npz",
        "mnistm_test.npz",
    ]
    assert sorted(path.name for path in (root / "mnist-m").iterdir()) == ["mnistm_test.npz", "mnistm_train.npz"]
    for part, stem in (("train", "train"), ("test", "t10k")):
        arrays = np.load(root / "mnist-m" / f"mnistm_{part}.npz")
        digits = MNIST(root, part == "train")
        assert arrays["labels"].tolist() == LABELS[stem]
        assert arrays["mnist_index"].tolist() == list(range(len(LABELS[stem])))
        for image, digit, (number, top, left) in zip(arrays["images"], digits.data, arrays["crop"], strict=True):
            pixels = np.asarray(Image.open(photos / part / f"{number}.png")).astype(int)
            assert np.array_equal(image, abs(pixels[top : top + 28, left : left + 28] - digit.numpy()[..., None]))
    records = Digits(str(root), domains=["mnist", "mnist-m"], val_size=1, cache=False).records("test")
    assert records.extras["digit"].tolist() == [7, 7, 2, 2, 1, 1]


def test_grey_photos_are_taken_as_rgb(tmp_path):
    Image.fromarray(np.full((28, 28), 60, dtype=np.uint8)).save(tmp_path / "grey.png")
    images, _ = blended(np.full((1, 28, 28), 100, dtype=np.uint8), [tmp_path / "grey.png"], seed=0)
    assert (images == 40).all()


def test_what_is_there_is_not_overwritten(root, photos):
    (root / "mnist-m").mkdir()
    (root / "mnist-m" / "mnistm_test.npz").write_text("precious")
    with pytest.raises(FileExistsError, match=r"mnistm_test.npz exists: remove it to build it anew"):
        build(root, photos)
    assert (root / "mnist-m" / "mnistm_test.npz").read_text() == "precious"


@pytest.mark.parametrize("part", ["train", "test"])
def test_bad_photos_are_named_and_nothing_is_written(root, photos, part):
    photo(photos / part / "small.png", 0, width=27)
    with pytest.raises(ValueError, match=r"small.png is 27x32, but a photo needs 28 pixels a side"):
        build(root, photos)
    whole = photos / part / "0.png"
    (photos / part / "small.png").write_bytes(whole.read_bytes()[:2000])
    with pytest.raises(ValueError, match=r"small.png: .*truncated"):
        build(root, photos)
    (photos / part / "small.png").write_bytes(b"text")
    with pytest.raises(OSError, match=r"cannot identify image file .*small.png"):
        build(root, photos)
    assert not (root / "mnist-m").exists()


def test_without_photos_or_digits(root, photos, tmp_path):
    with pytest.raises(FileNotFoundError, match=r"photos/train has no train folder: expected train and test"):
        build(root, photos / "train")
    (tmp_path / "empty" / "train").mkdir(parents=True)
    (tmp_path / "empty" / "test").mkdir()
    with pytest.raises(FileNotFoundError, match=r"empty/train has no picture"):
        build(root, tmp_path / "empty")
    with pytest.raises(FileNotFoundError, match=r"is a child of the right folder: use"):
        build(root / "MNIST", photos)
    with pytest.raises(ValueError, match=r"seed must lie in 0..2147483646, got -1"):
        build(root, photos, seed=-1)


@pytest.mark.parametrize(("part", "seed"), [("train", 1), ("test", 2)])
def test_the_recipe_explains_a_set_that_others_made_by_it(shared_data, part, seed):
    """Its photos are not here; but what shows beside the ink of some digits is what others must have been made from."""
    arrays = np.load(shared_data / "mnist-m" / f"mnistm_{part}.npz")
    images, crop, index = arrays["images"].astype(int), arrays["crop"].astype(int), arrays["mnist_index"]
    mnist = MNIST(shared_data, part == "train")
    assert np.array_equal(arrays["labels"], mnist.targets[index])
    is_upright = np.array([crop[crop[:, 0] == number, 1].max() > 321 - 28 for number in range(200)])
    sizes = [(321, 481) if upright else (481, 321) for upright in is_upright]
    assert np.array_equal(crops(sizes, len(crop), seed), crop)
    compared = 0
    for number in range(40):
        rows = np.flatnonzero(crop[:, 0] == number)
        seen = np.full((481, 481, 3), -1)
        squares = [(slice(top, top + 28), slice(left, left + 28)) for _, top, left in crop[rows]]
        ink = mnist.data.numpy()[index[rows]].astype(int)
        for row, digit, square in zip(rows, ink, squares, strict=True):
            seen[square][digit == 0] = images[row][digit == 0]
        for row, digit, square in zip(rows, ink, squares, strict=True):
            known = seen[square][..., 0] >= 0
            assert np.array_equal(images[row][known], abs(seen[square] - digit[..., None])[known])
            compared += (known & (digit > 0)).sum()
    assert compared > 5000
