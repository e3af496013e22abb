"""Nothing here leaves this machine: what would be downloaded comes from a server of the test's own."""

import bz2
import gzip
import hashlib
import struct
import subprocess
import sys
import threading
import time
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from torchvision.datasets import MNIST, USPS

from datamodules.__main__ import main

RECIPES = Path(__file__).parents[2] / "experiments" / "data"


@pytest.fixture
def server(tmp_path, monkeypatch):
    """MNIST and USPS of three digits each, and torchvision told to look for them here, with their checksums."""
    files = tmp_path / "served"
    files.mkdir()
    for name, shape in (("images", (3, 28, 28)), ("labels", (3,))):
        for part in ("train", "t10k"):
            header = struct.pack(f">I{len(shape)}I", 0x0800 + len(shape), *shape)
            content = gzip.compress(header + bytes(np.zeros(shape, np.uint8)))
            (files / f"{part}-{name}-idx{len(shape)}-ubyte.gz").write_bytes(content)
    for name in ("usps.bz2", "usps.t.bz2"):
        (files / name).write_bytes(bz2.compress(("7 " + " ".join(f"{i}:-1" for i in range(1, 257)) + "\n").encode()))
    serve = ThreadingHTTPServer(("127.0.0.1", 0), partial(SimpleHTTPRequestHandler, directory=str(files)))
    threading.Thread(target=serve.serve_forever, daemon=True).start()
    address = f"http://127.0.0.1:{serve.server_port}/"
    sums = {path.name: hashlib.md5(path.read_bytes()).hexdigest() for path in files.iterdir()}
    monkeypatch.setattr(MNIST, "mirrors", [address])
    monkeypatch.setattr(MNIST, "resources", [(name, sums[name]) for name, _ in MNIST.resources])
    parts = {"train": "usps.bz2", "test": "usps.t.bz2"}
    monkeypatch.setattr(USPS, "split_list", {part: [address + name, name, sums[name]] for part, name in parts.items()})
    yield files
    serve.shutdown()


def test_digits_come_verified_and_where_the_reader_looks_for_them(server, tmp_path):
    root = tmp_path / "digits"
    assert main(["get", str(RECIPES / "mnist-usps.yaml"), "--root", str(root)]) == 0
    assert (root / "MNIST" / "raw" / "train-images-idx3-ubyte").stat().st_size == 16 + 3 * 28 * 28
    assert (root / "usps" / "usps.t.bz2").read_bytes() == (server / "usps.t.bz2").read_bytes()


def test_a_download_with_a_wrong_checksum_is_refused(server, tmp_path, capsys):
    (server / "usps.t.bz2").write_bytes(b"something else")
    assert main(["get", str(RECIPES / "mnist-usps.yaml"), "--root", str(tmp_path / "digits")]) == 1
    error = capsys.readouterr().err
    assert "the download failed: File not found or corrupted" in error
    assert "DATA=shapes" in error


@pytest.mark.parametrize(("recipe", "where"), [("rafd", "rafd.socsci.ru.nl"), ("emotionet", "EmotionNetChallenge")])
def test_what_must_be_asked_for_is_said_plainly(recipe, where, tmp_path, capsys):
    assert main(["get", str(RECIPES / f"{recipe}.yaml"), "--root", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "to ask for it" in error
    assert where in error
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("recipe", ["synthetic", "folders"])
def test_what_needs_no_download(recipe, capsys):
    assert main(["get", str(RECIPES / f"{recipe}.yaml")]) == 0
    assert "there is nothing to download" in capsys.readouterr().out


def test_a_recipe_of_several_datasets_gets_each(tmp_path, capsys):
    recipe = tmp_path / "two.yaml"
    parts = "".join(
        f"\n      - {{class_path: datamodules.{name}, init_args: {{root: nowhere}}}}" for name in ("RaFD", "AFHQ")
    )
    recipe.write_text(f"data:\n  class_path: datamodules.JointData\n  init_args:\n    datasets:{parts}\n")
    assert main(["get", str(recipe)]) == 1
    error = capsys.readouterr().err
    assert "Radboud Faces Database" in error
    assert "Animal Faces-HQ" in error


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("data: [", "is no YAML"),
        ("model: {}", "has no data: section with a class_path"),
        ("data: {class_path: datamodules.Celeba}", "there is no class datamodules.Celeba"),
    ],
)
def test_a_recipe_that_is_none(text, message, tmp_path, capsys):
    (tmp_path / "recipe.yaml").write_text(text)
    assert main(["get", str(tmp_path / "recipe.yaml")]) == 1
    assert message in capsys.readouterr().err


def test_a_recipe_that_is_not_there(capsys):
    assert main(["get", "no-such.yaml"]) == 1
    assert "no-such.yaml" in capsys.readouterr().err


def test_a_misspelt_option_is_refused(capsys):
    with pytest.raises(SystemExit):
        main(["get", str(RECIPES / "folders.yaml"), "--rot=here"])
    assert "unknown arguments for get: --rot=here" in capsys.readouterr().err


def test_help_comes_at_once():
    """Nothing heavy is imported for it."""
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "datamodules", "--help"], capture_output=True, text=True, check=True)
    assert time.perf_counter() - start < 3
    assert all(verb in done.stdout for verb in ("get", "inspect", "faces", "mnist-m"))
