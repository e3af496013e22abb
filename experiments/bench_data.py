"""How fast pictures load: disk to normalised batches of 128 px, from JPEGs of CelebA's size; ``make bench-data``."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision import transforms
from torchvision.datasets import ImageFolder

from datamodules import CelebA
from datamodules.drawn import Identity, draw


def write_celeba(root: Path, count: int) -> float:
    """Drawn faces with the noise of a camera as 178x218 JPEGs in CelebA's layout; their mean size in kB."""
    folder = root / "img_align_celeba"
    folder.mkdir(parents=True)
    noise = np.random.default_rng(0).normal(0, 6, (218, 218, 3))
    names = [f"{number:06}.jpg" for number in range(1, count + 1)]
    for number, name in enumerate(names):
        noisy = draw(Identity.sample(0, number), {}, 218) + np.roll(noise, number, axis=0)
        Image.fromarray(noisy.clip(0, 255).astype(np.uint8)[:, 20:198]).save(folder / name, quality=95)
    (root / "list_attr_celeba.txt").write_text(f"{count}\nMale\n" + "".join(f"{name} 1\n" for name in names))
    (root / "list_eval_partition.txt").write_text("".join(f"{name} 0\n" for name in names))
    return sum(path.stat().st_size for path in folder.iterdir()) / count / 1000


def usual(root: Path, batch: int) -> Iterator[int]:
    """Pillow and torchvision's transforms in one process, as released code has it: pictures in each batch, for ever."""
    steps = [transforms.RandomHorizontalFlip(), transforms.CenterCrop(178), transforms.Resize(128)]
    steps += [transforms.ToTensor(), transforms.Normalize([0.5] * 3, [0.5] * 3)]
    data = ImageFolder(str(root), transforms.Compose(steps))
    while True:
        for images, _ in DataLoader(data, batch, shuffle=True, drop_last=True):
            yield len(images)


def ours(data: CelebA) -> Iterator[int]:
    """Pictures in each training batch, sources and references, for ever."""
    loader = data.train_dataloader()
    while True:
        for batch in loader:
            yield len(batch["image"]) + len(batch["reference"])


def rate(batches: Iterator[int], seconds: float) -> float:
    """Pictures a second, once the first batch is there."""
    next(batches)
    count, start = 0, time.perf_counter()
    while (elapsed := time.perf_counter() - start) < seconds:
        count += next(batches)
    return count / elapsed


def main() -> None:
    """Print a table, each number the median of interleaved rounds, as a busy machine drifts within a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pictures", type=int, default=2000)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=3.0, help="for each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    if options.pictures < options.batch:
        parser.error(f"a batch of {options.batch} needs at least as many pictures, got {options.pictures}")
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder, "celeba")
        size = write_celeba(root, options.pictures)
        cells: dict[tuple[str, int], Iterator[int]] = {("usual", 0): usual(root, options.batch)}
        for workers in (0, 1, 2):
            for kind in ("decoded", "cached"):
                settings = {"batch_size": options.batch, "num_workers": workers, "cache": kind == "cached"}
                cells[kind, workers] = ours(CelebA(str(root), cache_dir=str(Path(folder, "cache")), **settings))
        rounds = [{cell: rate(each, options.seconds) for cell, each in cells.items()} for _ in range(options.rounds)]
    rates = {cell: median(each[cell] for each in rounds) for cell in cells}
    base = rates["usual", 0]
    files = f"{options.pictures:,} JPEGs of 178x218 ({size:.0f} kB each)"
    print(f"Pictures a second, {files} to 128 px, batches of {options.batch}")
    print(f"Pillow and torchvision's transforms, one process: {base:,.0f}\n")
    print("| workers | decoded each time | | cached | |\n|---|---|---|---|---|")
    for workers in (0, 1, 2):
        pair = [rates[kind, workers] for kind in ("decoded", "cached")]
        print(f"| {workers} | " + " | ".join(f"{each:,.0f} | {each / base:.1f} times" for each in pair) + " |")


if __name__ == "__main__":
    main()
