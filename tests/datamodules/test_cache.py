import errno
import multiprocessing
import os
import pickle
import resource
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from datamodules.cache import cached
from datamodules.images import UnreadableImage


class Pictures:
    """Random pictures; each that is read leaves a line in a log, the bad ones raise, and reading may take a while."""

    def __init__(self, count: int = 9, size: int = 8, name: str = "abc", log: Path | None = None, bad=(), delay=0.0):
        self.labels = np.broadcast_to(np.float32(0), (count, 1))
        distinct = 1 if delay else min(count, 300)
        self.pixels = np.random.default_rng(0).integers(0, 256, (distinct, size, size, 3), np.uint8)
        self.name, self.log, self.bad, self.delay = name, log, bad, delay

    def __len__(self) -> int:
        return len(self.labels)

    def read(self, row: int) -> np.ndarray:
        if self.log:
            with self.log.open("a") as file:
                file.write(f"{row}\n")
        time.sleep(self.delay)
        if row in self.bad:
            raise UnreadableImage(f"{row:03}.png: broken")
        return self.pixels[row % len(self.pixels)]

    def fingerprint(self) -> str:
        return self.name


def reads(log: Path) -> list[int]:
    return sorted(map(int, log.read_text().split())) if log.exists() else []


def kept(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*") if path.suffix != ".lock")


@pytest.mark.parametrize("count", [1, 9, 300])
def test_the_cache_gives_what_reading_gives(tmp_path, count):
    records = Pictures(count)
    cache = cached(records, tmp_path / "new" / "folder")
    assert all(np.array_equal(cache.read_all([row])[0], records.read(row)) for row in range(count))
    assert kept(tmp_path / "new" / "folder") == ["abc.npy"]


def test_it_is_built_once_and_again_for_another_fingerprint(tmp_path):
    log = tmp_path / "log"
    cached(Pictures(log=log), tmp_path)
    cached(Pictures(log=log), tmp_path)
    assert reads(log) == list(range(9))
    cached(Pictures(log=log, name="def"), tmp_path)
    assert reads(log) == sorted(2 * list(range(9)))


def test_pictures_are_copies_and_only_the_path_is_pickled(tmp_path):
    cache = cached(Pictures(300), tmp_path)
    cache.read_all([0])[0][:] = 0
    message = pickle.dumps(cache)
    assert len(message) < 1000
    assert np.array_equal(pickle.loads(message).read_all([0])[0], Pictures(300).read(0))


@pytest.mark.parametrize("keep", [0, 60, 500])
def test_a_damaged_file_is_built_again(tmp_path, capsys, keep):
    path = cached(Pictures(), tmp_path).path
    path.write_bytes(path.read_bytes()[:keep])
    assert np.array_equal(cached(Pictures(), tmp_path).read_all([8])[0], Pictures().read(8))
    assert f"{path} is damaged" in capsys.readouterr().out


@pytest.mark.parametrize(("place", "byte"), [(b"}", b" "), (b"shape", b"sh'pe"), (b"\x93NUMPY", b"PK\x03\x04\x00\x00")])
def test_a_damaged_header_is_built_again(tmp_path, capsys, place, byte):
    path = cached(Pictures(), tmp_path).path
    path.write_bytes(path.read_bytes().replace(place, byte, 1))
    assert np.array_equal(cached(Pictures(), tmp_path).read_all([8])[0], Pictures().read(8))
    assert f"{path} is damaged" in capsys.readouterr().out


def test_a_file_of_another_shape_is_built_again(tmp_path):
    path = cached(Pictures(), tmp_path).path
    np.save(path, np.zeros((9, 4, 3, 3), np.uint8))
    assert np.array_equal(cached(Pictures(), tmp_path).read_all([8])[0], Pictures().read(8))


def build(folder: Path, log: Path, delay: float, results) -> None:
    cache = cached(Pictures(16, log=log, delay=delay), folder)
    results.put([cache.read_all([row])[0].tobytes() for row in range(16)])


def test_of_two_processes_one_builds_and_both_use_it(tmp_path):
    context = multiprocessing.get_context("fork")
    results = context.Queue()
    pair = [context.Process(target=build, args=(tmp_path / "cache", tmp_path / "log", 0.05, results)) for _ in range(2)]
    for process in pair:
        process.start()
    first, second = (results.get(timeout=60) for _ in pair)
    for process in pair:
        process.join(timeout=60)
    assert first == second == [Pictures(16, delay=0.01).pixels[0].tobytes()] * 16
    assert reads(tmp_path / "log") == list(range(16))


def test_a_killed_build_leaves_nothing_that_is_taken_for_a_cache(tmp_path):
    context = multiprocessing.get_context("fork")
    process = context.Process(target=build, args=(tmp_path / "cache", tmp_path / "log", 0.2, context.Queue()))
    process.start()
    while not reads(tmp_path / "log"):
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    process.join(timeout=60)
    assert kept(tmp_path / "cache") == ["abc.partial"]
    assert len(cached(Pictures(16), tmp_path / "cache").pixels) == 16
    assert kept(tmp_path / "cache") == ["abc.npy"]


@pytest.mark.parametrize("first_bad", [0, 290])
def test_all_bad_pictures_are_counted_the_first_named_and_nothing_kept(tmp_path, first_bad):
    bad = range(first_bad, 600, 10)
    with pytest.raises(UnreadableImage) as caught:
        cached(Pictures(600, bad=bad), tmp_path)
    lines = str(caught.value).splitlines()
    assert lines[0].startswith(f"{len(bad)} of 600 images cannot be read; nothing was cached. Replace or remove them")
    assert lines[1:] == [f"  {row:03}.png: broken" for row in bad[:10]] + ["  ..."]
    assert kept(tmp_path) == []


def test_a_full_disk_is_a_sentence_and_no_partial_file(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, hard))  # writing more fails half-way, as on a full disk
    try:
        with pytest.raises(OSError, match=r"the disk is full .*Free some space there, choose another folder") as caught:
            cached(Pictures(300), tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert str(tmp_path) in str(caught.value)
    assert kept(tmp_path) == []


def test_a_disk_too_small_is_noticed_before_the_work(tmp_path):
    log = tmp_path / "log"
    with pytest.raises(OSError, match=r"the disk is full \([\d,]+ MB are needed and [\d,]+ MB are free\)") as caught:
        cached(Pictures(10**10, size=64, log=log), tmp_path / "cache")
    assert caught.value.errno == errno.ENOSPC
    assert len(reads(log)) < 1000
    assert kept(tmp_path / "cache") == []


def test_a_folder_that_cannot_be_written_is_a_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(OSError, match=r"file/below: it cannot be written .*cache_dir=FOLDER.*cache=false"):
        cached(Pictures(), tmp_path / "file" / "below")
