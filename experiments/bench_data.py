"""How fast domain folders load, decoded each time or from the cache: ``python experiments/bench_data.py FOLDER``."""

from __future__ import annotations

import argparse
import tempfile
import time
from statistics import median

import torch

from datamodules import DomainFolders


def measure(data: DomainFolders, seconds: float) -> tuple[float, float]:
    """Training images per second once the workers run, and this process's milliseconds of CPU for each.

    A reference comes with each training image, so twice as many pictures are read.
    """
    loader = data.train_dataloader()
    next(iter(loader))
    count, start, busy = 0, time.perf_counter(), time.process_time()
    while True:
        for batch in loader:
            count += len(batch["image"])
            elapsed = time.perf_counter() - start
            if elapsed > seconds:
                return count / elapsed, 1000 * (time.process_time() - busy) / count


def main() -> None:
    """Print a table, each number the median of interleaved rounds, as a busy machine drifts within a run."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("folder", help="holds train/<domain>/*.jpg")
    parser.add_argument("--size", type=int, default=128, help="pixels")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--seconds", type=float, default=4.0, help="for each measurement")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        cells = {
            (cache, workers): DomainFolders(
                options.folder,
                image_size=options.size,
                batch_size=options.batch,
                num_workers=workers,
                cache=cache,
                cache_dir=folder,
            )
            for cache in (False, True)
            for workers in (0, 1, 2)
        }
        start = time.perf_counter()
        count = len(cells[True, 0].samples("train"))
        built = time.perf_counter() - start
        rounds = [{cell: measure(data, options.seconds) for cell, data in cells.items()} for _ in range(options.rounds)]
    rates, busy = ({cell: median(each[cell][part] for each in rounds) for cell in cells} for part in (0, 1))
    print(f"{count:,} images to {options.size} px, batches of {options.batch}; cache built in {built:.1f} s\n")
    print("| workers | decoded each time | cached | ratio |\n|---|---|---|---|")
    for workers in (0, 1, 2):
        each, cached = rates[False, workers], rates[True, workers]
        print(f"| {workers} | {each:,.0f} images/s | {cached:,.0f} images/s | {cached / each:.1f} |")
    print(f"\nCPU without workers: {busy[False, 0]:.2f} ms an image decoded each time, {busy[True, 0]:.2f} ms cached")


if __name__ == "__main__":
    main()
