"""Getting the datasets that may be downloaded, verified; and saying plainly how to ask for the others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from typing import Any

from datamodules.catalogue import CATALOGUE

# What torchvision raises when there is no network, a checksum is wrong, or Google Drive has given out its quota.
FAILED = (OSError, RuntimeError)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the command ``get``."""
    parser.add_argument("config", type=Path, help="a data recipe, as experiments/data/celeba.yaml")
    parser.add_argument("--root", type=Path, help="the dataset's folder; the recipe's own if not given")


def run(options: argparse.Namespace) -> int:
    """Download a recipe's dataset, or say what must be asked for; the exit status."""
    import yaml

    recipe: dict[str, Any] = yaml.safe_load(options.config.read_text())["data"]
    package, _, name = recipe["class_path"].rpartition(".")
    entry = getattr(import_module(package), name).entry
    root = Path(options.root or recipe.get("init_args", {}).get("root", "data")).expanduser()
    if entry is None:
        print(f"{options.config.stem} needs no download: it is drawn, or made of your own pictures")
        return 0
    if entry not in DOWNLOADS:
        print(f"{options.config.stem} is not downloaded for you{CATALOGUE[entry].short(entry, root)}", file=sys.stderr)
        return 1
    print(f"{CATALOGUE[entry].title}: {CATALOGUE[entry].licence}. {CATALOGUE[entry].size}, into {root}")
    try:
        DOWNLOADS[entry](root)
    except FAILED as error:
        print(f"error: the download failed: {error}{CATALOGUE[entry].short(entry, root)}", file=sys.stderr)
        return 1
    print(f"done; look at it with: make inspect DATA={options.config.stem} DATA_DIR={root}")
    return 0


def celeba(root: Path) -> None:
    """The aligned pictures and all lists, from the makers' Google Drive, into root itself."""
    from torchvision.datasets import CelebA

    class Here(CelebA):
        base_folder = ""  # torchvision would add a folder of its own

    root.mkdir(parents=True, exist_ok=True)
    Here(str(root), download=True)


def digits(root: Path) -> None:
    """MNIST and USPS; MNIST-M is built from MNIST and photos, see its page."""
    from torchvision.datasets import MNIST, USPS

    root.mkdir(parents=True, exist_ok=True)
    MNIST(str(root), download=True)
    (root / "usps").mkdir(exist_ok=True)
    for train in (True, False):
        USPS(str(root / "usps"), train=train, download=True)


DOWNLOADS: dict[str, Callable[[Path], None]] = {"celeba": celeba, "digits": digits}
