import bz2
import struct
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torchvision.datasets import MNIST, USPS

from datamodules.catalogue import MissingDataset
from datamodules.digits import Digits, align

ALL = ["mnist", "usps", "mnist-m"]
COUNTS = {"mnist": (12, 4), "usps": (9, 3), "mnist-m": (7, 5)}  # of training, of test digits
SHAPES = {"mnist": (28, 28), "usps": (16, 16), "mnist-m": (28, 28, 3)}


def drawn(domain: str, train: bool) -> tuple[np.ndarray, np.ndarray]:
    """Noise for pictures, and labels that differ by collection and part."""
    count = COUNTS[domain][not train]
    random = np.random.default_rng([ALL.index(domain), train])
    return random.integers(0, 256, (count, *SHAPES[domain])).astype(np.uint8), random.integers(0, 10, count)


def write_idx(path: Path, array: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    header = struct.pack(f">HBB{array.ndim}I", 0, 8, array.ndim, *array.shape)
    path.write_bytes(header + array.astype(np.uint8).tobytes())


def write_libsvm(path: Path, images: np.ndarray, labels: np.ndarray) -> None:
    """As libsvm's site has it: label 1 to 10, then 256 numbered values from -1 to 1."""
    lines = []
    for image, label in zip(images, labels, strict=True):
        values = (f"{place}:{value / 127.5 - 1 + 1e-4:.6f}" for place, value in enumerate(image.reshape(-1), 1))
        lines.append(" ".join([str(label + 1), *values]))
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bz2.compress(("\n".join(lines) + "\n").encode()))


@pytest.fixture
def root(tmp_path) -> Path:
    root = tmp_path / "digits"
    for train, stem in ((True, "train"), (False, "t10k")):
        images, labels = drawn("mnist", train)
        write_idx(root / "MNIST" / "raw" / f"{stem}-images-idx3-ubyte", images)
        write_idx(root / "MNIST" / "raw" / f"{stem}-labels-idx1-ubyte", labels)
        write_libsvm(root / "usps" / ("usps.bz2" if train else "usps.t.bz2"), *drawn("usps", train))
        images, labels = drawn("mnist-m", train)
        (root / "mnist-m").mkdir(exist_ok=True)
        np.savez(root / "mnist-m" / f"mnistm_{'train' if train else 'test'}.npz", images=images, labels=labels)
    return root


def digits(root, **settings) -> Digits:
    here = {"batch_size": 2, "num_workers": 0, "val_size": 2, "cache_dir": str(Path(root).parent / "cache")}
    return Digits(str(root), **{**here, **settings})


def part(records, column: int) -> tuple[np.ndarray, np.ndarray]:
    """The pictures and digits of one collection."""
    rows = np.flatnonzero(records.labels[:, column])
    return np.stack([records.read(row) for row in rows]), records.extras["digit"][rows]


def framed(images: np.ndarray, margin: int) -> np.ndarray:
    """Grey pictures in a black frame, as RGB."""
    return np.pad(images, ((0, 0), (margin, margin), (margin, margin)))[..., None].repeat(3, axis=-1)


def test_the_splits_are_the_collections_own_and_the_last_training_digits_validate(root):
    data = digits(root)
    assert data.attributes == ("mnist", "usps")
    assert data.one_hot
    splits = {"train": (True, slice(-2)), "val": (True, slice(-2, None)), "test": (False, slice(None))}
    for split, (train, kept) in splits.items():
        images, labels = drawn("mnist", train)
        found, numbers = part(data.records(split), 0)
        assert np.array_equal(found, framed(images[kept], 2))
        assert np.array_equal(numbers, labels[kept])
        assert np.array_equal(part(data.records(split), 1)[1], drawn("usps", train)[1][kept])


def test_the_files_say_to_torchvision_what_they_say_here(root):
    for train in (True, False):
        split = "train" if train else "test"
        reader = MNIST(root, train)
        assert np.array_equal(reader.data.numpy(), drawn("mnist", train)[0])
        reader = USPS(root / "usps", train)
        found, numbers = part(digits(root, image_size=26).records(split), 1)
        assert np.array_equal(found, framed(reader.data, 5)[: len(found)])
        assert numbers.tolist() == reader.targets[: len(found)]


def test_a_photo_goes_on_beyond_its_edge(root):
    found, _ = part(digits(root, domains=["usps", "mnist-m"]).records("test"), 1)
    images, _ = drawn("mnist-m", False)
    assert np.array_equal(found, np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)), mode="reflect"))


@pytest.mark.parametrize("size", [16, 28, 64])
def test_other_sizes_are_scaled_after_padding(root, size):
    found, _ = part(digits(root, image_size=size).records("test"), 1)
    for picture, image in zip(found, framed(drawn("usps", False)[0], 5), strict=True):
        expected = Image.fromarray(image).resize((size, size), Image.Resampling.BICUBIC)
        assert np.array_equal(picture, np.asarray(expected))


def centres(ink: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows that have ink, and where its middle is in each."""
    rows = np.flatnonzero(ink.sum(1))
    return rows, ink[rows].astype(float) @ np.arange(ink.shape[1]) / ink[rows].sum(1)


@pytest.mark.parametrize("slant", [-0.4, 0.0, 0.25])
@pytest.mark.parametrize(("x", "y", "half"), [(15, 14, 8), (9, 20, 6), (20, 12, 11)])
def test_a_stroke_is_brought_upright_to_the_middle_and_to_twenty_pixels(slant, x, y, half):
    rows, columns = np.mgrid[:32, :32]
    stroke = np.clip(2.5 - np.abs(columns - x - slant * (rows - y)), 0, 1) * (abs(rows - y) <= half)
    ink = (stroke * 255).astype(np.uint8)
    at, middles = centres(ink)
    assert np.polyfit(at, middles, 1)[0] == pytest.approx(slant, abs=0.01)
    aligned = align(ink)
    assert (aligned.shape, aligned.dtype) == (ink.shape, ink.dtype)
    at, middles = centres(aligned)
    assert np.polyfit(at, middles, 1)[0] == pytest.approx(0, abs=0.02)
    assert middles.mean() == pytest.approx(15.5, abs=0.3)
    assert (aligned[6:26].max(axis=1) > 120).all()
    assert aligned[:5].max() == aligned[27:].max() == 0
    width = aligned[15].sum() / 255
    assert width == pytest.approx(4 * 20 / (2 * half + 1), rel=0.08)  # as much wider as it is longer


def test_a_lying_stroke_is_as_long_as_a_standing_one_is_high():
    ink = np.zeros((32, 32), np.uint8)
    ink[3:5, 4:14] = 255
    aligned = align(ink)
    assert np.flatnonzero(aligned.max(axis=0) > 120).tolist() == list(range(6, 26))
    assert np.flatnonzero(aligned.max(axis=1) > 120).tolist() == [14, 15, 16, 17]


def test_a_picture_without_ink_stays():
    for level in (0, 40):
        picture = np.full((8, 8), level, np.uint8)
        assert np.array_equal(align(picture), picture)


def test_only_digits_as_they_were_written_are_aligned(root):
    before, after = (digits(root, domains=ALL, aligned=aligned).records("test") for aligned in (False, True))
    for column, domain in enumerate(ALL):
        same = np.array_equal(part(before, column)[0], part(after, column)[0])
        assert same == (domain != "mnist")


def test_the_first_rows_show_every_collection(root):
    labels = digits(root, domains=["mnist-m", "usps", "mnist"]).records("train").labels
    assert labels[:6].argmax(axis=1).tolist() == [0, 1, 2, 0, 1, 2]
    assert labels.sum(axis=0).tolist() == [5, 7, 10]


@pytest.mark.parametrize("cache", [True, False])
def test_a_batch_says_which_digits_it_shows_and_mirrors_none(root, cache):
    data = digits(root, domains=ALL, reference="other", cache=cache)
    records = data.records("train")
    for batch in data.train_dataloader():
        for prefix in ("", "reference_"):
            assert batch[f"{prefix}digit"].dtype == torch.int64
            assert batch[f"{prefix}digit"].tolist() == records.extras["digit"][batch[f"{prefix}index"]].tolist()
        for image, row in zip(batch["image"], batch["index"].tolist(), strict=True):
            expected = torch.from_numpy(records.read(row)).permute(2, 0, 1) / 127.5 - 1
            torch.testing.assert_close(image, expected, atol=1e-6, rtol=0)
        assert not (batch["label"] * batch["reference_label"]).any()


def test_usps_is_read_from_the_archive_of_arrays_if_it_is_there(root):
    before = part(digits(root).records("train"), 1)
    arrays = {}
    for train in (True, False):
        name = "train" if train else "test"
        arrays |= dict(zip((f"{name}_images", f"{name}_labels"), drawn("usps", train), strict=True))
    np.savez(root / "usps" / "usps_16x16_uint8.npz", **arrays)
    for name in ("usps.bz2", "usps.t.bz2"):
        (root / "usps" / name).unlink()
    after = part(digits(root).records("train"), 1)
    assert all(np.array_equal(*pair) for pair in zip(before, after, strict=True))


def test_the_cache_is_renewed_when_files_or_settings_change(root):
    def name(split="train", **settings) -> str:
        return digits(root, **settings).records(split).fingerprint()

    names = [name(), name("val"), name("test"), name(image_size=16), name(val_size=3), name(aligned=True)]
    names.append(name(domains=["usps", "mnist"]))
    assert name() == names[0]
    images, labels = drawn("mnist", True)
    write_idx(root / "MNIST" / "raw" / "train-images-idx3-ubyte", 255 - images)
    names.append(name())
    write_idx(root / "MNIST" / "raw" / "train-labels-idx1-ubyte", labels)
    names.append(name())
    assert len(set(names)) == len(names)


def test_the_cache_is_renewed_when_digits_are_aligned_otherwise(root, monkeypatch):
    def names():
        return [digits(root, aligned=aligned).records("train").fingerprint() for aligned in (False, True)]

    before = names()
    monkeypatch.setattr("datamodules.digits.align", lambda ink: ink)
    after = names()
    assert before[0] == after[0]
    assert before[1] != after[1]


def test_missing_files_are_named_with_where_to_get_them(root):
    (root / "usps" / "usps.t.bz2").unlink()
    with pytest.raises(MissingDataset, match=r"(?s)digits has no usps/usps.t.bz2; it holds .*DATA=shapes"):
        digits(root)
    assert digits(root, domains=["mnist", "mnist-m"]).attributes == ("mnist", "mnist-m")
    with pytest.raises(MissingDataset, match="absent does not exist"):
        digits(root / "absent")


def test_a_child_and_a_parent_of_the_right_folder(root):
    for below in ("MNIST", "MNIST/raw"):
        with pytest.raises(MissingDataset, match=rf"{below} is a child of the right folder: use {root}\n"):
            digits(root / below)
    with pytest.raises(MissingDataset, match=rf"is a parent of the right folder: use {root}\n"):
        digits(root.parent)


def test_files_that_are_still_packed(root):
    path = root / "MNIST" / "raw" / "train-images-idx3-ubyte"
    path.rename(path.with_name(f"{path.name}.gz"))
    with pytest.raises(FileNotFoundError, match=r"train-images-idx3-ubyte is still packed: gunzip .*/MNIST/raw/\*\.gz"):
        digits(root)


PICTURES, NUMBERS = "MNIST/raw/train-images-idx3-ubyte", "MNIST/raw/train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        (PICTURES, b""),
        (PICTURES, b"\0\0\x08\x03"),
        (PICTURES, struct.pack(">4I", 0x803, 2, 28, 28) + bytes(100)),  # cut short
        (PICTURES, struct.pack(">4I", 0x803, 2, 28, 28)),
        (PICTURES, struct.pack(">2I", 0x801, 2) + bytes(2)),  # labels
        (PICTURES, b"\x1f\x8b\x08\x00" + bytes(90)),  # gzip
        (NUMBERS, struct.pack(">2I", 0x801, 5) + bytes(2)),
        (NUMBERS, struct.pack(">2I", 0xA01, 5) + bytes(5)),  # no such type
        (NUMBERS, struct.pack(">2I", 0x901, 5) + bytes(5)),  # signed
        ("usps/usps.bz2", b"BZh9 is not what follows"),
        ("usps/usps.bz2", bz2.compress(b"1 1:0.5 2:0.5\n" * 3)),
        ("usps/usps.bz2", bz2.compress(b"one 1:0.5\n")),
        ("mnist-m/mnistm_train.npz", b""),
        ("mnist-m/mnistm_train.npz", b"PK\x03\x04 cut short"),
        ("mnist-m/mnistm_train.npz", b"something else"),
    ],
)
def test_damaged_files_end_in_one_sentence_that_names_them(root, name, content):
    (root / name).write_bytes(content)
    with pytest.raises(ValueError, match=rf"{name} cannot be read \(.+\): expected .+; get the file again$"):
        digits(root, domains=ALL).records("train")


def test_a_bzip2_file_that_is_cut_short(root):
    path = root / "usps" / "usps.bz2"
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"usps.bz2 cannot be read \(Compressed file ended"):
        digits(root).records("train")


def test_pictures_of_another_shape_and_labels_that_are_none(root):
    write_idx(root / PICTURES, np.zeros((12, 20, 20)))
    with pytest.raises(ValueError, match=r"idx3-ubyte holds pictures of \(12, 20, 20\) uint8, expected \(N, 28, 28\)"):
        digits(root).records("train")
    write_idx(root / PICTURES, np.zeros((11, 28, 28)))
    with pytest.raises(ValueError, match=r"idx1-ubyte holds labels of \(12,\) int64, expected 11 integers, one for"):
        digits(root).records("train")
    write_idx(root / PICTURES, np.zeros((12, 28, 28)))
    write_idx(root / NUMBERS, np.array([0, 9, 10, *range(9)]))
    with pytest.raises(ValueError, match=r"idx1-ubyte gives row 2 the label 10, expected 0 to 9"):
        digits(root).records("train")


@pytest.mark.parametrize(
    ("arrays", "reason"),
    [
        ({"images": np.zeros((3, 28, 28, 3), np.uint8)}, r"cannot be read \(.*labels.*\): expected a NumPy archive"),
        ({"images": np.zeros((3, 28, 28), np.uint8), "labels": np.zeros(3, int)}, r"of \(3, 28, 28\) uint8, expected"),
        ({"images": np.zeros((3, 28, 28, 3)), "labels": np.zeros(3, int)}, r"\(3, 28, 28, 3\) float64, expected"),
        ({"images": np.zeros((0, 28, 28, 3), np.uint8), "labels": np.zeros(0, int)}, r"of \(0, 28, 28, 3\) uint8"),
        ({"images": np.zeros((3, 28, 28, 3), np.uint8), "labels": np.zeros(2, int)}, r"\(2,\) int64, expected 3 int"),
        ({"images": np.zeros((3, 28, 28, 3), np.uint8), "labels": np.zeros(3)}, r"\(3,\) float64, expected 3 integers"),
        ({"images": np.zeros((3, 28, 28, 3), np.uint8), "labels": np.array([0, -1, 2])}, r"row 1 the label -1, expec"),
        ({"images": np.array([None] * 3), "labels": np.zeros(3, int)}, r"cannot be read \(Object arrays cannot be"),
    ],
)
def test_archives_that_hold_something_else(root, arrays, reason):
    np.savez(root / "mnist-m" / "mnistm_train.npz", **arrays)
    with pytest.raises(ValueError, match=rf"mnistm_train.npz .*{reason}"):
        digits(root, domains=ALL).records("train")


def test_settings_that_make_no_sense(root):
    with pytest.raises(ValueError, match=r"no domain 'mnistm': did you mean 'mnist-m'\?"):
        digits(root, domains=["mnist", "mnistm"])
    with pytest.raises(ValueError, match=r"at least two domains, got \['usps'\]"):
        digits(root, domains=["usps"])
    with pytest.raises(ValueError, match="aligned is for MNIST's digits, and the domains are usps, mnist-m"):
        digits(root, domains=["usps", "mnist-m"], aligned=True)
    with pytest.raises(ValueError, match="val_size must be at least 1, got 0"):
        digits(root, val_size=0)
    with pytest.raises(ValueError, match=r"usps has 9 training digits in .*: a val_size of 9 leaves none to train on"):
        digits(root, val_size=9).records("train")


def test_the_real_digits_are_those_of_torchvision_row_by_row(shared_data):
    mnist, usps = MNIST(shared_data, train=False), USPS(shared_data / "usps", train=False)
    for size, margin, column, expected, numbers in (
        (32, 2, 0, mnist.data.numpy(), mnist.targets.tolist()),
        (26, 5, 1, usps.data, usps.targets),
    ):
        found, digit = part(Digits(str(shared_data), image_size=size, cache=False).records("test"), column)
        assert np.array_equal(found, framed(expected, margin))
        assert digit.tolist() == numbers


def test_the_real_counts(shared_data):
    data = Digits(str(shared_data), domains=ALL, cache=False)
    counts = {split: data.records(split).labels.sum(axis=0).tolist() for split in ("train", "val", "test")}
    assert counts == {"train": [59_000, 6_291, 14_000], "val": [1000] * 3, "test": [10_000, 2_007, 5_000]}
    usps = np.bincount(part(data.records("test"), 1)[1])
    assert usps.tolist() == [359, 264, 198, 166, 200, 160, 170, 147, 166, 177]  # as published


def test_the_real_digits_of_usps_are_prepared_as_mnists_can_be(shared_data):
    """By NumPy: slants, covariances of columns and rows over the rows' variances; middles and lengths of the ink."""
    rows, columns = np.mgrid[:32, :32]

    def spreads(column: int, aligned: bool) -> tuple[float, float, float]:
        pictures, _ = part(Digits(str(shared_data), aligned=aligned, cache=False).records("test"), column)
        slants, middles, lengths = [], [], []
        for ink in pictures[:500, :, :, 0]:
            covariance = np.cov(columns.ravel(), rows.ravel(), aweights=ink.ravel())
            slants.append(covariance[0, 1] / covariance[1, 1])
            inked = np.flatnonzero(ink.max(axis=1) > 42)
            middles.append((inked[0] + inked[-1]) / 2)
            lengths.append(inked[-1] + 1 - inked[0])
        return float(np.std(slants)), float(np.std(middles)), float(np.mean(lengths))

    usps, written, aligned = spreads(1, False), spreads(0, False), spreads(0, True)
    assert usps[0] < 0.01 < 0.2 < written[0]
    assert usps[1] < 0.5 < 1 < written[1]
    assert aligned[0] < 0.01
    assert aligned[1] < 0.5
    assert aligned[2] == pytest.approx(usps[2], abs=0.5)


def test_both_forms_of_the_real_usps_agree(shared_data):
    packed = np.load(shared_data / "usps" / "usps_16x16_uint8.npz")
    for name, train in (("train", True), ("test", False)):
        reader = USPS(shared_data / "usps", train)
        assert np.array_equal(reader.data, packed[f"{name}_images"])
        assert np.array_equal(reader.targets, packed[f"{name}_labels"])
