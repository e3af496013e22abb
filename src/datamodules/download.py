"""Getting the datasets that may be downloaded, verified; and saying plainly how to ask for the others."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from datamodules.catalogue import CATALOGUE
from datamodules.recipes import class_of, data_section

# What torchvision raises when there is no network, a checksum is wrong, or Google Drive has given out its quota.
FAILED = (OSError, RuntimeError)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of the command ``get``."""
    parser.add_argument("config", type=Path, help="a data recipe, as experiments/data/celeba.yaml")
    parser.add_argument("--root", type=Path, help="the dataset's folder; the recipe's own if not given")


def run(options: argparse.Namespace) -> int:
    """Download the datasets of a recipe, or say what must be asked for; the exit status."""
    section = data_section(options.config)
    several = section["init_args"].get("datasets")
    if several and options.root:
        raise ValueError(
            f"{options.config.stem} is of several datasets: get each by its own recipe to choose its folder"
        )
    return max(_get(each, options) for each in several or [section])


def _get(section: dict[str, Any], options: argparse.Namespace) -> int:
    entry = class_of(section).entry
    root = Path(options.root or section.get("init_args", {}).get("root", "data")).expanduser()
    if entry is None:
        print(f"{options.config.stem}: there is nothing to download; it is drawn, or pictures of your own")
        return 0
    if entry not in DOWNLOADS:
        print(f"not downloaded for you{CATALOGUE[entry].short(entry, root)}", file=sys.stderr)
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
    if not (root / "mnist-m").is_dir():
        print(
            "MNIST and USPS are there; MNIST-M is built: make mnist-m PHOTOS=folder (docs/datasets.md, section digits)"
        )


DOWNLOADS: dict[str, Callable[[Path], None]] = {"celeba": celeba, "digits": digits}
