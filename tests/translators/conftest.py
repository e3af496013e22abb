"""Runs that several tests look at: four that are killed in the middle, and two processes that train together."""

import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tiny import command, environment

PAIR = Path(__file__).with_name("pair.py")


@pytest.fixture(scope="session")
def killed(tmp_path_factory) -> Path:
    """A folder of run folders ``killed-<processes>-<workers>``, each killed with SIGKILL before iteration 13 of 16.

    The last checkpoint of each is of iteration 10: what came after it is lost, and the epoch has six iterations.
    """
    root = tmp_path_factory.mktemp("runs")
    running = {}
    for devices in (1, 2):
        for workers in (0, 2):
            folder = root / f"killed-{devices}-{workers}"
            folder.mkdir()
            hang = ["--trainer.callbacks+=tiny.Hang", "--trainer.callbacks.step=13"]
            line = command(folder, *hang, workers=workers, devices=devices)
            output = (folder / "printed.txt").open("w")
            running[folder] = subprocess.Popen(
                line, env=environment(), stdout=output, stderr=output, start_new_session=True
            )
    try:
        for folder, process in running.items():
            wait_for(folder / "hangs", process)
    finally:
        for process in running.values():
            kill(process)
    return root


def kill(process: subprocess.Popen) -> None:
    """SIGKILL to a process, its peer and their loaders, whatever of them is still there."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def wait_for(file: Path, process: subprocess.Popen, patience: float = 150) -> None:
    end = time.monotonic() + patience
    while not file.exists():
        printed = file.with_name("printed.txt").read_text()
        assert process.poll() is None, printed
        assert time.monotonic() < end, printed
        time.sleep(0.05)


@pytest.fixture(scope="session")
def pair(killed) -> Path:
    """The folder in which two processes have left what they found (`pair.py`)."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    where = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port), "WORLD_SIZE": "2", "NODE_RANK": "0"}
    running = []
    for rank in ("0", "1"):
        output = (killed / f"pair-{rank}.txt").open("w")
        line, there = [sys.executable, str(PAIR), str(killed)], {**environment(), **where, "LOCAL_RANK": rank}
        running.append(subprocess.Popen(line, env=there, stdout=output, stderr=output, start_new_session=True))
    end = time.monotonic() + 200
    try:
        for rank, process in enumerate(running):
            status = process.wait(timeout=end - time.monotonic())
            assert status == 0, (killed / f"pair-{rank}.txt").read_text()[-5000:]
    finally:
        for process in running:
            kill(process)
    return killed
