import argparse
import json
import os
from pathlib import Path

import numpy as np
import pytest
import yaml
from PIL import Image

from datamodules import DomainFolders
from datamodules.inspection.command import add_arguments, build, run
from datamodules.inspection.report import Report, inspect
from datamodules.inspection.scan import scan
from datamodules.records import Records


def photo(seed: int, size: int = 48) -> Image.Image:
    """Smooth random colours, as different from one seed to the next as photos are."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3)).astype(np.uint8)
    return Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC)


@pytest.fixture
def root(tmp_path) -> Path:
    """Six different photos of each of two domains to train on, three to test on; no val folder."""
    for place, (split, domain, count) in enumerate(
        [("train", "cat", 6), ("train", "dog", 6), ("test", "cat", 3), ("test", "dog", 3)]
    ):
        folder = tmp_path / "data" / split / domain
        folder.mkdir(parents=True)
        for number in range(count):
            photo(100 * place + number).save(folder / f"{number}.png")
    return tmp_path / "data"


def opened(root: Path, **settings) -> DomainFolders:
    return DomainFolders(str(root), **{"image_size": 32, "batch_size": 4, "cache_dir": str(root / "cache"), **settings})


def findings(root: Path, level: str, **settings) -> list[dict]:
    found = inspect(opened(root, **settings), root.parent / "out", processes=1)
    return [finding.document() for finding in found if finding.level == level]


def command(tmp_path: Path, document, *options: str) -> int:
    file = tmp_path / "data.yaml"
    file.write_text(document if isinstance(document, str) else yaml.safe_dump(document))
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    arguments, overrides = parser.parse_known_args([str(file), "--out", str(tmp_path / "out"), *options])
    arguments.overrides = overrides
    return run(arguments)


def folders_yaml(root: Path, **settings) -> dict:
    arguments = {"root": str(root), "image_size": 32, "batch_size": 4, **settings}
    return {"data": {"class_path": "datamodules.DomainFolders", "init_args": arguments}}


def test_options_of_training_may_follow(root, tmp_path, capsys):
    assert command(tmp_path, folders_yaml(root, domains=["cat", "dog"]), "--data.init_args.domains=[dog,cat]") == 0
    counts = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.startswith("      ")]
    assert counts[:2] == ["dog", "cat"]
    assert command(tmp_path, folders_yaml(root), "--data.init_args.domain=[dog]") == 1
    assert "Option 'domain' is not accepted" in capsys.readouterr().out


def test_sound_data_has_no_errors_and_no_warnings(root):
    assert findings(root, "ERROR") == findings(root, "WARNING") == []
    assert not (root / "cache").exists()


def test_facts_are_those_of_the_stored_files(root):
    photo(1, 70).crop((0, 0, 70, 50)).convert("L").save(root / "train" / "cat" / "odd.jpg")
    (train, *_) = [fact for fact in findings(root, "FACT") if fact["topic"] == "sizes"]
    assert train["counts"] == {"48x48": 12, "70x50": 1}
    assert (train["least"], train["most"]) == ("48x48", "70x50")
    (kinds, *_) = [fact for fact in findings(root, "FACT") if fact["topic"] == "colour modes"]
    assert kinds["mode"] == {"RGB": 12, "L": 1}
    assert kinds["format"] == {"PNG": 12, "JPEG": 1}


def test_pictures_that_get_enlarged_are_counted(root):
    photo(1, 20).save(root / "train" / "cat" / "small.png")
    (train, *_) = [fact for fact in findings(root, "FACT") if fact["topic"] == "sizes"]
    assert "1 of 13 (7.7%) are smaller than image_size=32" in train["text"]


def test_every_unreadable_picture_is_named_with_the_reason(root):
    (root / "train" / "cat" / "empty.jpg").write_bytes(b"")
    (root / "train" / "dog" / "words.png").write_text("not a picture")
    whole = (root / "test" / "dog" / "0.png").read_bytes()
    (root / "test" / "dog" / "cut.png").write_bytes(whole[: len(whole) // 2])
    train, test = findings(root, "ERROR")
    assert (train["count"], test["count"]) == (2, 1)
    assert "2 of 14" in train["text"]
    assert any("empty.jpg: the file is empty" in line for line in train["examples"])
    assert any("words.png: cannot identify image file" in line for line in train["examples"])
    assert "cut.png" in test["examples"][0]


def test_a_picture_of_nearly_one_colour_is_blank_and_one_of_faint_stripes_is_not(root):
    flat = np.full((48, 48, 3), (200, 30, 90), np.uint8)
    noise = np.random.default_rng(0).integers(0, 2, flat.shape).astype(np.uint8)  # standard deviation 0.5
    Image.fromarray(flat + noise).save(root / "train" / "cat" / "flat.png")
    stripes = flat.copy()
    stripes[:, ::2, 1] += 6  # standard deviation 3 in one channel
    Image.fromarray(stripes).save(root / "train" / "cat" / "stripes.png")
    (found,) = [finding for finding in findings(root, "WARNING", image_size=48) if finding["topic"] == "blank pictures"]
    assert found["examples"] == ["train/cat/flat.png"]


def test_identical_files_are_found_within_and_across_splits_and_domains(root):
    for name, copy in (
        ("train/cat/0.png", "train/cat/copy.png"),
        ("train/cat/1.png", "train/dog/contradicting.png"),
        ("train/dog/2.png", "test/dog/leaked.png"),
    ):
        (root / copy).write_bytes((root / name).read_bytes())
    within, across = findings(root, "WARNING")
    assert within["topic"] == "duplicates"
    assert within["labels"] == {"cat": 1, "with different labels": 1}
    assert within["examples"] == [
        "train/cat/0.png = train/cat/copy.png",
        "train/cat/1.png = train/dog/contradicting.png",
    ]
    assert across["topic"] == "leakage"
    assert across["examples"] == ["train/dog/2.png = test/dog/leaked.png"]


def test_copies_that_are_not_identical_are_found_too(root):
    with Image.open(root / "train" / "dog" / "3.png") as image:
        image.resize((40, 40)).save(root / "test" / "dog" / "copy.jpg", quality=60)
    (found,) = findings(root, "WARNING")
    assert (found["topic"], found["kind"]) == ("leakage", "near")
    assert found["examples"][0].startswith("train/dog/3.png ~ test/dog/copy.jpg")
    assert (root.parent / "out" / "near-duplicates.png").exists()


def test_a_split_that_stands_in_for_another_is_no_leakage(root):
    facts = findings(root, "FACT")
    assert [fact["split"] for fact in facts if fact["topic"] == "counts"] == ["train", "val/test"]
    assert any(
        "has no val folder: test stands in" in fact["text"] or "has no val split" in fact["text"] for fact in facts
    )


def test_what_the_loader_leaves_out_is_told(root, capsys):
    (root / "train" / "cat" / "notes.txt").write_text("mine")
    assert any("notes.txt" in fact["text"] for fact in findings(root, "FACT") if fact["topic"] == "loading")
    assert "notes.txt" not in capsys.readouterr().out


def test_too_few_pictures_for_a_batch_are_an_error(root):
    (found,) = findings(root, "ERROR", batch_size=13)
    assert "12 images, fewer than one batch of 13" in found["text"]


def test_one_and_two_processes_measure_the_same(root):
    records = opened(root).records("train")
    one, two = (scan("train", records, processes) for processes in (1, 2))
    assert np.array_equal(one.measures, two.measures)
    assert one.measures["brightness"][0] == pytest.approx(records.read(0).mean(), rel=1e-5)


def test_sheets_show_the_pictures_of_a_domain(root):
    inspect(opened(root), root.parent / "out", processes=1)
    with Image.open(root.parent / "out" / "sheet-dog.png") as sheet:
        assert sheet.width > 8 * 64
    assert (root.parent / "out" / "labels.png").exists()


def test_the_command_prints_what_it_saves_and_succeeds(root, tmp_path, capsys):
    assert command(tmp_path, folders_yaml(root)) == 0
    text = (tmp_path / "out" / "report.txt").read_text()
    assert capsys.readouterr().out == text
    assert text.endswith("training can start: 0 errors, 0 warnings\n")
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["trainable"] is True


def test_the_command_fails_on_an_error_and_names_it_first(root, tmp_path):
    (root / "train" / "cat" / "empty.jpg").write_bytes(b"")
    assert command(tmp_path, folders_yaml(tmp_path / "elsewhere"), "--root", str(root)) == 1
    report = json.loads((tmp_path / "out" / "report.json").read_text())
    assert report["findings"][0]["topic"] == "corrupt pictures"
    assert report["trainable"] is False


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ("model: 3", r"has no data: section"),
        ("data: [", r"is no YAML"),
        ({"data": {"class_path": "datamodules.DomainFolder"}}, r"no attribute 'DomainFolder'"),
        (folders_yaml(Path("/absent")), r"/absent does not exist; expected ROOT/train/<domain>"),
        (folders_yaml(Path("/absent"), image_size="big"), r"Expected a <class 'int'>. Got value: big"),
        (folders_yaml(Path("/absent"), colour=1), r"Option 'colour' is not accepted"),
    ],
)
def test_what_cannot_be_opened_is_the_finding(tmp_path, capsys, document, words):
    assert command(tmp_path, document) == 1
    said = capsys.readouterr().out
    assert "cannot be opened: " in said
    assert words in said
    assert "NoneType" not in said


def test_a_runs_configuration_may_be_inspected(root, tmp_path):
    file = tmp_path / "config.yaml"
    file.write_text(yaml.safe_dump({**folders_yaml(root), "trainer": {"max_steps": 3}, "seed_everything": 0}))
    assert build(file).image_size == 32


def test_errors_come_first_then_warnings_then_facts():
    from datamodules.inspection.findings import Finding

    report = Report("mine", [Finding("FACT", "a", "1"), Finding("ERROR", "b", "2"), Finding("WARNING", "c", "3")])
    assert [line for line in report.text().splitlines() if line.startswith("  ")] == ["  b: 2", "  c: 3", "  a: 1"]


def test_names_that_are_no_utf8_or_no_single_line_are_escaped(root, tmp_path, capsys):
    for name in (b"caf\xe9.png", b"two\nlines.png"):
        Image.new("RGB", (48, 48)).save(tmp_path / "black.png")
        os.rename(tmp_path / "black.png", os.fsencode(root / "train" / "cat") + b"/" + name)  # noqa: PTH104
    (root / "train" / "cat" / os.fsdecode(b"\xff\n.png")).write_bytes(b"")
    assert command(tmp_path, folders_yaml(root)) == 1
    text = (tmp_path / "out" / "report.txt").read_text("utf-8")
    assert capsys.readouterr().out == text
    lines = [line.strip() for line in text.splitlines()]
    assert r"train/cat/caf\udce9.png" in lines
    assert r"train/cat/two\nlines.png" in lines
    assert any(line.endswith(r"\udcff\n.png: the file is empty") for line in lines)
    report = json.loads((tmp_path / "out" / "report.json").read_text("utf-8"))
    (blank,) = [one for one in report["findings"] if one["topic"] == "blank pictures"]
    assert os.fsencode(blank["examples"][0]) == b"train/cat/caf\xe9.png"


def test_a_domain_whose_name_is_no_utf8_is_inspected(root, tmp_path):
    for split in ("train", "test"):
        (root / split / "cat").rename(root / split / os.fsdecode(b"\xe9\n"))
    assert command(tmp_path, folders_yaml(root)) == 0


def test_errors_of_several_lines_stay_so(tmp_path, capsys):
    command(tmp_path, "data: [")
    assert "\\n" not in capsys.readouterr().out


def test_a_second_inspection_removes_what_the_first_wrote_and_nothing_else(root, tmp_path):
    out, copy = tmp_path / "out", root / "train" / "cat" / "copy.jpg"
    with Image.open(root / "train" / "cat" / "0.png") as image:
        image.save(copy, quality=60)
    command(tmp_path, folders_yaml(root))
    assert {file.name for file in out.iterdir()} == {
        "labels.png", "near-duplicates.png", "report.json", "report.txt", "sheet-cat.png", "sheet-dog.png"
    }  # fmt: skip
    copy.unlink()
    (out / "notes.png").touch()
    command(tmp_path, folders_yaml(root))
    assert not (out / "near-duplicates.png").exists()
    command(tmp_path, folders_yaml(tmp_path / "absent"))
    assert {file.name for file in out.iterdir()} == {"report.json", "report.txt", "notes.png"}


def test_a_folder_without_a_report_loses_nothing(tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "sheet-music.png").touch()
    command(tmp_path, "data: [")
    assert (tmp_path / "out" / "sheet-music.png").exists()


class Fatal(Records):
    """Pictures that kill the process which reads them."""

    labels = np.zeros((3, 1), np.float32)

    def read(self, row: int) -> np.ndarray:
        os._exit(1)

    def fingerprint(self) -> str:
        return ""


def test_a_process_that_is_killed_ends_in_one_sentence():
    with pytest.raises(OSError, match="a process that reads the train split was killed"):
        scan("train", Fatal(), processes=1)


def test_horse2zebra_has_the_duplicates_its_authors_left_in(shared_data, tmp_path):
    """8 pairs of identical files of horses and 16 of zebras in training, and one horse across the splits."""
    for split in ("train", "test"):
        (tmp_path / "data" / split).mkdir(parents=True)
        for domain in ("A", "B"):
            (tmp_path / "data" / split / domain).symlink_to(shared_data / "horse2zebra-128" / f"{split}{domain}")
    found = [one for one in findings(tmp_path / "data", "WARNING", image_size=64) if one.get("kind") == "identical"]
    assert [(one["topic"], one["labels"]) for one in found] == [
        ("duplicates", {"A": 8, "B": 16}),
        ("leakage", {"A": 1}),
    ]
    assert found[1]["examples"] == ["train/A/n02381460_3811.jpg = test/A/n02381460_1160.jpg"]


def test_two_dogs_that_are_alike_are_not_the_same(shared_data, tmp_path):
    data = DomainFolders(str(shared_data / "afhq-sample"), image_size=128)
    assert not [one for one in inspect(data, tmp_path, processes=1) if one.topic in {"duplicates", "leakage"}]
