import csv
import gc
import os
import pickle
import time
import tracemalloc

import numpy as np
import pytest
import torch
from PIL import Image

from datamodules.catalogue import MissingDataset
from datamodules.emotionet import EmotioNet

NUMBERS = (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45)
UNITS = tuple(f"AU{number}" for number in NUMBERS)
VALUES = np.round(np.random.default_rng(0).random((6, 17)) * 5, 2)
VALUES[:, 0] = 0


def draw(path, level: int = 128) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((20, 20), level, dtype=np.uint8)).save(path)


def intensities(path, names, values=VALUES) -> None:
    header = ["image", *(f"AU{number:02d}_r" for number in NUMBERS)]
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([header, *([name, *row] for name, row in zip(names, values, strict=False))])


def lists(path, rows: dict[str, dict[int, int]]) -> None:
    """EmotioNet's automatic list: of each picture the units of which anything is known."""
    with path.open("w") as file:
        for name, units in rows.items():
            cells = [str(units.get(number, 999)) for number in range(1, 61)]
            file.write("\t".join([f"http://host.edu/{name}", f"http://elsewhere.org/{name}", *cells]) + "\n")


@pytest.fixture
def root(tmp_path):
    """Six pictures, whose grey level tells their number; intensities of them; three, one and two in the splits."""
    for number in range(6):
        draw(tmp_path / "data" / "imgs" / f"N_{number}.png", 40 * number)
    intensities(tmp_path / "data" / "aus.csv", [f"N_{number}.png" for number in range(6)])
    for split, names in (("train", "N_4\nN_0.png\nN_2\n"), ("val", "N_1"), ("test", "N_3\r\n\r\nN_5.png\r\n")):
        (tmp_path / "data" / f"{split}_ids.csv").write_bytes(names.encode())
    return tmp_path / "data"


def emotionet(root, **settings) -> EmotioNet:
    return EmotioNet(str(root), **{"image_size": 16, "batch_size": 2, "num_workers": 0, "cache": False, **settings})


def names(data, split) -> list[str]:
    return [os.fsdecode(name) for name in data.records(split).names]


def test_labels_are_a_fifth_of_the_intensities_and_go_with_their_pictures(root):
    data = emotionet(root)
    assert data.attributes == UNITS
    assert not data.one_hot
    assert [names(data, split) for split in ("train", "val", "test")] == [
        ["N_0.png", "N_2.png", "N_4.png"],
        ["N_1.png"],
        ["N_3.png", "N_5.png"],
    ]
    batch = next(iter(data.test_dataloader()))
    assert batch["label"].dtype == torch.float32
    torch.testing.assert_close(batch["label"].double(), torch.from_numpy(VALUES[[3, 5]] / 5), atol=1e-6, rtol=0)
    torch.testing.assert_close((batch["image"][:, 0, 0, 0] + 1) * 127.5, torch.tensor([120.0, 200.0]), atol=1.0, rtol=0)


def test_a_subset_comes_in_the_order_asked_for(root):
    data = emotionet(root, units=["AU12", "AU4"])
    assert data.attributes == ("AU12", "AU4")
    np.testing.assert_allclose(data.records("train").labels, VALUES[[0, 2, 4]][:, [8, 2]] / 5, atol=1e-6)
    with pytest.raises(ValueError, match=r"no action unit 'AU012': did you mean 'AU12'\? Known: AU1, AU2, AU4"):
        emotionet(root, units=["AU012"])


def test_what_is_in_it_is_said_at_opening(root, capsys):
    emotionet(root, units=["AU1", "AU4"]).setup("test")
    used = VALUES[:, 2] / 5
    assert capsys.readouterr().out.splitlines() == [
        f"{root}/aus.csv: 6 pictures with 2 action units, in [0, 1]",
        "  AU1   0.00 to 0.00, mean 0.000, above 0 in 0.0%, known in 100.0%",
        f"  AU4   {used.min():.2f} to {used.max():.2f}, mean {used.mean():.3f}, above 0 in 100.0%, known in 100.0%",
        "test: 2 images; above 0: AU1 0%, AU4 100%",
    ]


def test_all_forms_of_the_real_sample_agree(shared_data, capsys):
    folder = shared_data / "emotionet-sample"
    with (folder / "aus_openface.csv").open() as file:
        expected = {row["image"]: [float(row[f"AU{n:02d}_r"]) / 5 for n in NUMBERS] for row in csv.DictReader(file)}
    folders = ("openface", "openface/feature_extraction_sample.csv", "openface/face_landmark_img")
    for source in ("aus_openface.pkl", "aus_openface.csv", *folders):
        data = emotionet(folder, units_from=source)
        assert data.attributes == UNITS
        found = {}
        for split, listed in (("train", "train_ids.csv"), ("test", "test_ids.csv")):
            assert names(data, split) == sorted((folder / listed).read_text().split())
            found |= dict(zip(names(data, split), data.records(split).labels, strict=True))
        assert found.keys() == expected.keys()
        for name, row in expected.items():
            np.testing.assert_allclose(found[name], row, atol=1e-6)
        assert names(data, "val") == names(data, "test")
        assert "has no val split: test stands in for it" in capsys.readouterr().out
        assert data.stand_ins["val"] == "test"
    batch = next(iter(emotionet(folder, units_from="aus_openface.pkl", image_size=128).train_dataloader()))
    assert batch["image"].shape == (2, 3, 128, 128)


def test_several_sources_are_refused_and_one_can_be_chosen(root):
    (root / "aus_openface.pkl").write_bytes(pickle.dumps({f"N_{n}": VALUES[n] for n in range(6)}))
    with pytest.raises(ValueError, match=r"has 2 sources of action units: aus_openface\.pkl, aus\.csv; choose"):
        emotionet(root)
    one, other = (emotionet(root, units_from=name).records("train") for name in ("aus.csv", "aus_openface.pkl"))
    assert np.array_equal(one.labels, other.labels)
    with pytest.raises(
        FileNotFoundError, match=r"aus\.pkl does not exist; did you mean .* Known: aus_openface\.pkl, aus\.csv$"
    ):
        emotionet(root, units_from="aus.pkl")


def test_a_picture_is_used_only_if_all_chosen_units_are_known(root, capsys):
    (root / "aus.csv").unlink()
    rows = {f"N_{n}.png": {1: n % 2, 12: 1 - n % 2} for n in range(6)}
    rows["N_2.png"].pop(12)
    lists(root / "dataFile_0001.txt", {**rows, "N_0.png": {1: 1, 12: 0, 9: 1}})
    data = emotionet(root, units=["AU12", "AU1"])
    assert names(data, "train") == ["N_0.png", "N_4.png"]
    assert data.records("train").labels.tolist() == [[0, 1], [1, 0]]
    assert data.records("train").labels.dtype == np.float32
    said = capsys.readouterr().out
    assert "dataFile_*.txt: left out 1 of 6 pictures (999 for one of the units)" in said
    assert "  AU12  0.00 to 1.00, mean 0.200, above 0 in 20.0%, known in 83.3%" in said
    assert emotionet(root).attributes == ("AU1", "AU9", "AU12")
    assert names(emotionet(root, units=["AU1"]), "train") == ["N_0.png", "N_2.png", "N_4.png"]


def test_if_nothing_is_left_the_error_shows_what_is_known(root):
    (root / "aus.csv").unlink()
    lists(root / "dataFile_0001.txt", {f"N_{n}.png": {1: 0, 2: 1, 12 + n % 2: 1} for n in range(6)})
    with pytest.raises(ValueError, match=r"AU2 100.0%, AU12 50.0%, AU13 50.0%. Known everywhere: AU1, AU2; choose"):
        emotionet(root)
    with pytest.raises(ValueError, match=r"every one of the 6 pictures has 999 for .* Known everywhere: none; choose"):
        emotionet(root, units=["AU13", "AU12"])


def test_unsure_faces_are_left_out_but_may_be_in_a_splits_list(root, capsys):
    lines = (root / "aus.csv").read_text().splitlines()
    confidences = ["confidence", "0.95", "0.5", "0.95", "0.79", "0.8", "1"]
    (root / "aus.csv").write_text("\n".join(f"{a},{b}" for a, b in zip(lines, confidences, strict=True)))
    data = emotionet(root)
    assert (names(data, "train"), names(data, "test")) == (["N_0.png", "N_2.png", "N_4.png"], ["N_5.png"])
    assert "left out 2 of 6 pictures (no face, no success, or a confidence below min_confi" in capsys.readouterr().out
    assert names(data, "val") == names(data, "test")
    assert names(emotionet(root, min_confidence=0.5), "val") == ["N_1.png"]
    with pytest.raises(ValueError, match=r"min_confidence must lie in 0\.\.1, got 80"):
        emotionet(root, min_confidence=80)


def test_rows_without_pictures_and_pictures_without_rows_are_counted(root, capsys):
    intensities(root / "aus.csv", ["N_0.png", "N_1.png", "N_2", "gone.jpg", "N_5.png"])
    for split in ("train", "val"):
        (root / f"{split}_ids.csv").unlink()
    (root / "test_ids.csv").write_text("N_0\nN_5\n")
    data = emotionet(root)
    said = capsys.readouterr().out
    assert "aus.csv: 1 (gone) without a picture in" in said
    assert "imgs: 2 (N_3.png, N_4.png) that aus.csv does not list" in said
    assert "data: 2 pictures are in no split's list: N_1, N_2" in said
    assert names(data, "test") == ["N_0.png", "N_5.png"]
    intensities(root / "aus.csv", ["gone.jpg"])
    with pytest.raises(FileNotFoundError, match=r"none of the 1 pictures that .*aus\.csv lists \(gone\) is in .*imgs"):
        emotionet(root)


def test_names_in_a_splits_list_without_picture_or_units_are_counted(root, capsys):
    intensities(root / "aus.csv", [f"N_{n}.png" for n in range(6) if n != 2] + ["x_03.png"])
    (root / "train_ids.csv").write_text("N_4\nN_2\nN_0\n" + "".join(f"x_{n:02d}\n" for n in range(12)))
    data = emotionet(root)
    assert names(data, "train") == ["N_0.png", "N_4.png"]
    gone = "N_2, x_00, x_01, x_02, x_03, x_04, x_05, x_06, x_07, x_08, ..."
    said = capsys.readouterr().out
    assert f"{root}/train_ids.csv: left out 13 names without a picture or without action units: {gone}\n" in said
    assert "_ids.csv" not in said.replace("train_ids.csv", "")


def test_a_list_of_a_split_that_does_not_fit(root):
    (root / "train_ids.csv").write_text("".join(f"x_{n:02d}\n" for n in range(12)))
    with pytest.raises(
        ValueError, match=r"none of the 12 names in .*train_ids\.csv \(x_00, x_01, x_02, \.\.\.\) has both"
    ):
        emotionet(root)
    (root / "train_ids.csv").write_text("N_0\n" + "n" * 256)
    with pytest.raises(ValueError, match=r"train_ids\.csv, line 2: the name that begins with 'n{30}' has 256 bytes"):
        emotionet(root)
    (root / "train_ids.csv").write_text("N_0\nN_5.png\n")
    with pytest.raises(ValueError, match=r"test_ids\.csv: 1 are in another split's list too: N_5$"):
        emotionet(root)
    (root / "train_ids.csv").write_text("\n")
    with pytest.raises(ValueError, match=r"train_ids\.csv is empty"):
        emotionet(root)


def crc32(name: bytes) -> int:
    """CRC-32 bit by bit, as its standard has it."""
    register = 0xFFFFFFFF
    for byte in name:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ (0xEDB88320 if register & 1 else 0)
    return register ^ 0xFFFFFFFF


def empty_pictures(root, number: int) -> list[str]:
    """Files that nobody looks into."""
    (root / "imgs").mkdir(parents=True)
    found = [f"N_{n * 7919 % 10**10:010d}_{n % 99991:05d}.jpg" for n in range(number)]
    for name in found:
        (root / "imgs" / name).touch()
    return found


def test_without_lists_the_checksum_of_a_name_decides(tmp_path):
    found = empty_pictures(tmp_path, 400)
    assert crc32(b"123456789") == 0xCBF43926  # the standard's example
    expected = {"train": [], "val": [], "test": []}
    for name in sorted(found):
        hundredth = crc32(name.removesuffix(".jpg").encode()) % 100
        expected["train" if hundredth < 90 else "val" if hundredth < 95 else "test"].append(name)
    lists(tmp_path / "dataFile_0001.txt", {name: {1: 1} for name in found})
    data = emotionet(tmp_path)
    assert {split: names(data, split) for split in expected} == expected
    lists(tmp_path / "dataFile_0001.txt", {name: {1: 1} for name in found[::2]})
    fewer = emotionet(tmp_path)
    assert all(set(names(fewer, split)) <= set(expected[split]) for split in expected)


def test_names_with_blanks_and_of_any_letters(tmp_path):
    for name in ("une t\u00eate", "\u9854 2", "b\u00fcrger"):
        draw(tmp_path / "imgs" / f"{name}.jpg")
    (tmp_path / "aus_openface.pkl").write_bytes(
        pickle.dumps({"une t\u00eate": VALUES[0], "\u9854 2": VALUES[1], "b\u00fcrger": VALUES[2]}, 2)
    )
    (tmp_path / "train_ids.csv").write_text("\u9854 2\nune t\u00eate.jpg\n", encoding="utf-8-sig")
    data = emotionet(tmp_path)
    assert names(data, "train") == ["une t\u00eate.jpg", "\u9854 2.jpg"]
    assert data.samples("train").read_all([1])[0].shape == (16, 16, 3)
    with pytest.raises(FileNotFoundError, match="has no test split, only train"):
        data.records("test")


def test_a_folder_without_what_is_needed(tmp_path, root):
    with pytest.raises(MissingDataset, match=r"(?s)absent does not exist\nThis is EmotioNet.*aus_openface\.pkl"):
        emotionet(tmp_path / "absent")
    with pytest.raises(MissingDataset, match=rf"is a child of the right folder: use {root}\n"):
        emotionet(root / "imgs")
    (root / "aus.csv").unlink()
    with pytest.raises(MissingDataset, match=r"(?s)data has no action units, only pictures\nThis is EmotioNet"):
        emotionet(root)
    draw(root / "imgs" / "N_1.jpg")
    with pytest.raises(ValueError, match=r"imgs has 1 names with several suffixes: N_1; keep one of each"):
        emotionet(root)


def test_many_pictures_take_bytes_not_objects(tmp_path, capsys):
    """A million in a minute and some hundred megabytes; here a fiftieth."""
    found = empty_pictures(tmp_path, 20_000)
    for part in range(4):
        rows = {name: {1: n % 2, 12: n % 3 // 2, 25: 0} for n, name in enumerate(found[part::4])}
        lists(tmp_path / f"dataFile_{part:04d}.txt", rows)
    del rows
    gc.collect()
    start = time.perf_counter()
    first = emotionet(tmp_path)
    assert time.perf_counter() - start < 5  # a million in 250 s, on a machine ten times as slow as one of today
    del first
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        data = emotionet(tmp_path)
        gc.collect()
        kept = tracemalloc.get_traced_memory()[0] - before
    finally:
        tracemalloc.stop()
    counts = [len(data.records(split)) for split in ("train", "val", "test")]
    assert sum(counts) == 20_000
    assert kept < 20_000 * (22 + 3 * 4) + 100_000  # a name and three floats, and nothing else for each
    np.testing.assert_allclose(np.array(counts) / 20_000, [0.9, 0.05, 0.05], atol=0.01)


def test_units_may_be_present_or_absent(root):
    """LOMIT's labels: 1 from the given intensity up, 0 below."""
    plain, binary = emotionet(root), emotionet(root, presence=0.3)
    labels = plain.records("train").labels
    assert ((labels > 0) & (labels < 1)).any()
    assert np.array_equal(binary.records("train").labels, labels >= 0.3)
    with pytest.raises(ValueError, match="presence must lie above 0 and up to 1, got 0"):
        emotionet(root, presence=0)


def test_labels_are_intensities_unless_they_tell_presence(root):
    assert emotionet(root).intensities is True
    assert emotionet(root, presence=0.2).intensities is False
    lists(root / "dataFile_0001.txt", {f"N_{number}.png": {1: number % 2, 12: 1} for number in range(6)})
    listed = emotionet(root, units_from="dataFile_*.txt")
    assert listed.intensities is False  # EmotioNet's own lists are of 0 and 1
    assert set(listed.records("train").labels.flatten().tolist()) <= {0.0, 1.0}
