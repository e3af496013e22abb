import contextlib
import errno
import os
import pickle
import resource
import shutil
import signal
import subprocess
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from tiny import ATTRIBUTES, Snapshots, Tiny, fit
from translators import StarGAN, Translator
from translators.callbacks import LastCheckpoints
from translators.checkpoints import AtomicCheckpointIO, newest, read, resolve


@pytest.fixture
def good() -> dict:
    return {"state_dict": {"weight": torch.arange(10_000.0)}, "global_step": 3}


@pytest.fixture
def file(tmp_path, good) -> Path:
    path = tmp_path / "checkpoints" / "step-0000003.ckpt"
    AtomicCheckpointIO().save_checkpoint(good, path)
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_what_was_written_reads_back(file, good):
    assert torch.equal(read(file)["state_dict"]["weight"], good["state_dict"]["weight"])
    assert read(file)["global_step"] == 3
    assert names(file.parent) == [file.name]
    assert file.stat().st_mode & 0o777 == 0o644


def test_a_truncated_file(file):
    for share in (0.9, 0.5, 0.01):
        shutil.copy(file, file.with_name("whole"))
        os.truncate(file, int(file.stat().st_size * share))
        with pytest.raises(ValueError, match=r"step-0000003\.ckpt is (cut short|damaged).*take an earlier"):
            read(file)
        file.with_name("whole").rename(file)


def test_every_flipped_bit_of_the_weights_is_noticed(file):
    with zipfile.ZipFile(file) as archive:
        record = next(info for info in archive.infolist() if info.file_size == 40_000)
    content = file.read_bytes()
    for place in (200, 20_000, 39_999):
        damaged = bytearray(content)
        damaged[record.header_offset + 300 + place % (record.file_size - 300)] ^= 1 << (place % 8)
        file.write_bytes(damaged)
        with pytest.raises(ValueError, match=r"is damaged: its record .* fails the CRC check; take an earlier"):
            read(file)


def test_an_empty_file(file):
    file.write_bytes(b"")
    with pytest.raises(ValueError, match="is cut short or is no checkpoint"):
        read(file)


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"no checkpoint at .*nowhere\.ckpt: expected a run folder or a file"):
        read(tmp_path / "nowhere.ckpt")


def test_a_picture_in_place_of_a_checkpoint(tmp_path):
    (tmp_path / "face.ckpt").write_bytes(b"\x89PNG\r\n\x1a\n" + bytes(1000))
    with pytest.raises(ValueError, match="is no checkpoint"):
        read(tmp_path / "face.ckpt")


def test_another_archive_in_place_of_a_checkpoint(tmp_path):
    with zipfile.ZipFile(tmp_path / "other.ckpt", "w") as archive:
        archive.writestr("readme.txt", "hello")
    with pytest.raises(ValueError, match="is a zip archive but no checkpoint of PyTorch"):
        read(tmp_path / "other.ckpt")


def test_bare_weights_are_no_training_checkpoint(tmp_path):
    for content in ({"weight": torch.ones(3)}, torch.ones(3)):
        torch.save(content, tmp_path / "weights.ckpt")
        with pytest.raises(ValueError, match=r"has no 'state_dict'.*translators\.official"):
            read(tmp_path / "weights.ckpt")


class Malicious:
    """Unpickling it creates a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self):
        return open, (str(self.path), "w")


def test_a_malicious_pickle_does_not_run(tmp_path, file):
    trace, path = tmp_path / "it-ran", tmp_path / "bad.ckpt"
    torch.save({"state_dict": {}, "callbacks": Malicious(trace)}, path)
    with pytest.raises(ValueError, match="Python objects other than tensors and plain values; it was refused"):
        read(path)
    with pytest.raises(ValueError, match="it was refused"):
        Translator.load(str(path))
    with pytest.raises(ValueError, match="it was refused"):
        fit(Tiny(), tmp_path, 1, resume=path)
    path.write_bytes(pickle.dumps(Malicious(trace)))  # outside any archive
    with pytest.raises(ValueError, match="is no checkpoint"):
        read(path)
    assert not trace.exists()
    torch.load(bad_to_the_bone(tmp_path, trace), weights_only=False)
    assert trace.exists()  # it would have, had it been allowed to


def bad_to_the_bone(tmp_path: Path, trace: Path) -> Path:
    torch.save(Malicious(trace), tmp_path / "proof.pth")
    return tmp_path / "proof.pth"


def test_newest_takes_the_highest_intact_step(tmp_path, good):
    folder = tmp_path / "checkpoints"
    for step in (9, 10, 11, 12):
        AtomicCheckpointIO().save_checkpoint(good, folder / f"step-{step:07d}.ckpt")
    AtomicCheckpointIO().save_checkpoint(good, folder / "best.ckpt")
    assert newest(tmp_path).name == "step-0000012.ckpt"
    flip_a_bit(folder / "step-0000012.ckpt")
    (folder / "step-0000011.ckpt").write_bytes(b"")
    assert newest(tmp_path) == resolve(tmp_path) == folder / "step-0000010.ckpt"
    assert resolve(folder / "best.ckpt") == folder / "best.ckpt"


def test_a_folder_without_intact_checkpoints_says_what_is_in_it(tmp_path, file):
    with pytest.raises(FileNotFoundError, match=r"no intact checkpoint \(step-\*\.ckpt\) in .*empty"):
        newest(tmp_path / "empty")
    flip_a_bit(file)
    with pytest.raises(FileNotFoundError, match=r"(?s)no intact checkpoint.*step-0000003\.ckpt is damaged"):
        newest(tmp_path)


def test_a_damaged_checkpoint_of_the_same_step_is_written_anew(tmp_path):
    """Going on from an earlier one leaves no damaged file under the name of a good one, nor two of one step."""
    fit(Tiny(), tmp_path, 6, callbacks=[LastCheckpoints(every_n_steps=3)])
    flip_a_bit(tmp_path / "checkpoints" / "step-0000006.ckpt")
    fit(Tiny(), tmp_path, 6, callbacks=[LastCheckpoints(every_n_steps=3)], resume=newest(tmp_path))
    assert names(tmp_path / "checkpoints") == ["step-0000003.ckpt", "step-0000006.ckpt"]
    assert read(newest(tmp_path))["global_step"] == 6


# ------------------------------------------------------------------------------------------------------- another model


def test_a_checkpoint_of_another_model(tmp_path):
    fit(Tiny(), tmp_path, 1, callbacks=[LastCheckpoints(every_n_steps=1)])
    other = StarGAN(attributes=ATTRIBUTES, image_size=16, generator_width=4, discriminator_width=4, blocks=1, depth=2)
    with pytest.raises(ValueError, match="this checkpoint is of Tiny, the model is StarGAN"):
        fit(other, tmp_path, 2, resume=newest(tmp_path))
    with pytest.raises(ValueError, match="no translator's checkpoint"):
        StarGAN.load(str(tmp_path))  # Tiny is none that the package knows


def test_a_checkpoint_of_the_same_model_with_other_widths(tmp_path):
    small = {"attributes": ATTRIBUTES, "image_size": 16, "discriminator_width": 4, "blocks": 1, "depth": 2}
    seen = Snapshots()
    fit(StarGAN(generator_width=4, **small), tmp_path, 1, callbacks=[LastCheckpoints(every_n_steps=1), seen])
    with pytest.raises(ValueError, match=r"does not fit.*generator_width"):
        fit(StarGAN(generator_width=6, **small), tmp_path, 2, resume=newest(tmp_path))


# ----------------------------------------------------------------------------------------------------------- full disk


@contextlib.contextmanager
def file_size_limit(size: int) -> Iterator[None]:
    limits, handler = resource.getrlimit(resource.RLIMIT_FSIZE), signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)


def test_where_a_file_cannot_grow_the_earlier_ones_stay(file):
    """A limit on the size of files, which needs no special rights, stands in for the full disk."""
    before = file.read_bytes()
    for path in (file, file.with_name("step-0000004.ckpt")):
        with file_size_limit(20_000), pytest.raises(OSError, match=r"the disk is full: .* not written") as full:
            AtomicCheckpointIO().save_checkpoint({"state_dict": {"weight": torch.zeros(100_000)}}, path)
        assert str(path) in str(full.value)
    assert names(file.parent) == [file.name]
    assert file.read_bytes() == before


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 256 KiB, where we may mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=256k", "tmpfs", disk], capture_output=True, check=False
    )
    if mounted.returncode:
        pytest.skip(f"mounting a small file system needs root: {mounted.stderr.decode().strip()}")
    yield disk
    subprocess.run(["umount", disk], check=True)


def test_a_full_disk_leaves_the_earlier_checkpoints_intact(small_disk, good):
    writer, first = AtomicCheckpointIO(), small_disk / "step-0000003.ckpt"
    writer.save_checkpoint(good, first)
    good["state_dict"]["weight"] = torch.zeros(60_000)  # 240 kB more do not fit
    for path in (first, small_disk / "step-0000004.ckpt"):
        with pytest.raises(OSError, match="the disk is full") as full:
            writer.save_checkpoint(good, path)
        assert full.value.errno == errno.ENOSPC
    assert names(small_disk) == [first.name]
    assert len(read(first)["state_dict"]["weight"]) == 10_000


def test_an_error_that_is_no_full_disk_stays_what_it_is(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(FileExistsError):
        AtomicCheckpointIO().save_checkpoint({}, tmp_path / "file" / "step-0000001.ckpt")
    with pytest.raises((AttributeError, pickle.PicklingError)):
        AtomicCheckpointIO().save_checkpoint({"state_dict": lambda: None}, tmp_path / "step-0000001.ckpt")
    assert names(tmp_path) == ["file"]


def test_lightnings_own_arguments_do_not_open_the_door(tmp_path):
    torch.save({"state_dict": {}, "x": Malicious(tmp_path / "it-ran")}, tmp_path / "bad.ckpt")
    with pytest.raises(ValueError, match="it was refused"):
        AtomicCheckpointIO().load_checkpoint(tmp_path / "bad.ckpt", weights_only=False)
    assert not (tmp_path / "it-ran").exists()


def test_the_checkpoints_of_runs_further_down_are_not_taken(tmp_path):
    fit(Tiny(), tmp_path / "model-data" / "first", 2, callbacks=[LastCheckpoints(every_n_steps=1)])
    with pytest.raises(FileNotFoundError, match="no intact checkpoint"):
        newest(tmp_path / "model-data")
