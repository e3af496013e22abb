"""Runs that several tests look at: four that are killed in the middle, and two processes that train together."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from tiny import command, environment

PAIR = Path(__file__).with_name("pair.py")


@pytest.fixture(scope="session")
def killed(tmp_path_factory) -> Path:
    """A folder of run folders ``killed-<processes>-<workers>``, each killed with SIGKILL before iteration 13 of 16.

    The last checkpoint of each is of iteration 10: what came after it is lost, and the epoch has six iterations.

    A run that does not get there is begun anew, once: a worker that CPython 3.11 forks while a thread of gloo enters
    the interpreter can wait for ever for the lock that the thread held.
    """
    root = tmp_path_factory.mktemp("runs")
    wanted = {root / f"killed-{devices}-{workers}": (devices, workers) for devices in (1, 2) for workers in (0, 2)}
    running = {folder: begin(folder, *settings) for folder, settings in wanted.items()}
    try:
        for folder, settings in wanted.items():
            if not appears(folder / "hangs", running[folder]):
                warnings.warn(f"{folder.name} stood still and is begun anew:\n{printed(folder)}", stacklevel=1)
                kill(running[folder])
                shutil.rmtree(folder)
                running[folder] = begin(folder, *settings)
                assert appears(folder / "hangs", running[folder]), printed(folder)
    finally:
        for process in running.values():
            kill(process)
    return root


def begin(folder: Path, devices: int, workers: int) -> subprocess.Popen:
    """A training that will stand still before iteration 13."""
    folder.mkdir()
    hang = ["--trainer.callbacks+=tiny.Hang", "--trainer.callbacks.step=13"]
    line = command(folder, *hang, workers=workers, devices=devices)
    with (folder / "printed.txt").open("w") as output:
        return subprocess.Popen(line, env=environment(), stdout=output, stderr=output, start_new_session=True)


def appears(file: Path, process: subprocess.Popen, patience: float = 90) -> bool:
    """Whether the file is there in so many seconds; its process must not end before."""
    end = time.monotonic() + patience
    while not file.exists() and time.monotonic() < end:
        assert process.poll() is None, printed(file.parent)
        time.sleep(0.05)
    return file.exists()


def printed(folder: Path) -> str:
    return (folder / "printed.txt").read_text()


def kill(process: subprocess.Popen) -> None:
    """SIGKILL to a process, its peer and their loaders, whatever of them is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="session")
def pair(killed, tmp_path_factory) -> Path:
    """The folder in which two processes have left what they found (`pair.py`), beside the runs that were killed.

    They fork workers, too, and are begun anew for the same reason, in a copy of those runs.
    """
    for name in ("pair", "pair-anew"):
        folder = tmp_path_factory.getbasetemp() / name
        shutil.copytree(killed, folder)
        if together(folder):
            return folder
        warnings.warn(f"two processes stood still and are begun anew:\n{said(folder)}", stacklevel=1)
    raise AssertionError(said(folder))


def together(folder: Path, patience: float = 130) -> bool:
    """Whether two processes of `pair.py` end in so many seconds; neither may fail."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "NODE_RANK": "0"}
    running = []
    for rank in ("0", "1"):
        line, there = [sys.executable, str(PAIR), str(folder)], {**environment(), **where, "LOCAL_RANK": rank}
        with (folder / f"pair-{rank}.txt").open("w") as output:
            running.append(subprocess.Popen(line, env=there, stdout=output, stderr=output, start_new_session=True))
    end = time.monotonic() + patience
    try:
        while any(process.poll() is None for process in running) and time.monotonic() < end:
            assert all(process.poll() in (None, 0) for process in running), said(folder)
            time.sleep(0.05)
        assert all(process.poll() in (None, 0) for process in running), said(folder)
        return all(process.poll() == 0 for process in running)
    finally:
        for process in running:
            kill(process)


def said(folder: Path) -> str:
    return "\n".join((folder / f"pair-{rank}.txt").read_text()[-5000:] for rank in (0, 1))
