"""How many images a second each model trains on, side by side, and where the time goes; ``make bench-training``.

Every recipe's networks and losses, with the same pictures, size and batch for all. A training image is one that the
discriminator has had an update with.
"""

from __future__ import annotations

import argparse
import logging
import time
import warnings
from pathlib import Path
from statistics import median
from typing import Any

import torch
import yaml
from pytorch_lightning import Callback, Trainer
from torch.profiler import ProfilerActivity, profile

import translators
from datamodules import SyntheticFaces
from translators import Phase, Translator

RECIPES = Path(__file__).parent / "models"
FACES = {"train_size": 64, "val_size": 4, "test_size": 4, "num_workers": 0}
ATTRIBUTES = ("Smiling", "Eyeglasses", "Black_Hair", "Blond_Hair", "Brown_Hair")
PARTS = 12  # operators that a profile lists


class Stopwatch(Callback):
    """Times the batches of a training after the first ``warm_up``; with ``profiler``, records what they do."""

    def __init__(self, warm_up: int, profiler: Any = None) -> None:
        self.warm_up, self.profiler, self.seconds = warm_up, profiler, 0.0

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        """Start, once warm."""
        if trainer.fit_loop.total_batch_idx == self.warm_up:
            if self.profiler is not None:
                self.profiler.start()
            self.start = _clock()

    def on_train_end(self, *_: Any) -> None:
        """Stop."""
        self.seconds = _clock() - self.start
        if self.profiler is not None:
            self.profiler.stop()


def _clock() -> float:
    if torch.cuda.is_available():
        torch.cuda.synchronize()
    return time.perf_counter()


def model_of(recipe: str, image_size: int) -> Translator:
    """A recipe's translator, untrained, all of whose parts learn from the start."""
    section = yaml.safe_load((RECIPES / f"{recipe}.yaml").read_text())["model"]
    model_class = getattr(translators, section["class_path"].rpartition(".")[2])
    settings = {**section.get("init_args", {}), "phases": [Phase(1_000_000)], "image_size": image_size}
    two_domains = model_class in (translators.CycleGAN, translators.SRAGAN)
    return model_class(attributes=ATTRIBUTES[: 1 if two_domains else None], **settings)


def train(recipe: str, options: argparse.Namespace, profiler: Any = None) -> float:
    """Images a second of a training of some batches."""
    torch.manual_seed(0)
    model = model_of(recipe, options.size)
    sizes = {"image_size": options.size, "batch_size": options.batch, **FACES}
    reference = "other" if len(model.attributes) == 1 else "any"
    data = SyntheticFaces(attributes=model.attributes, reference=reference, **sizes)
    watch = Stopwatch(options.warm_up, profiler)
    trainer = Trainer(
        devices=1,
        precision=options.precision,
        max_steps=options.warm_up + options.steps,
        limit_val_batches=0,
        callbacks=[watch],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, datamodule=data)
    return options.steps * options.batch / watch.seconds


def main() -> None:
    """Print a table, each number the median of interleaved rounds, as a busy machine drifts within a run."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "recipes",
        nargs="*",
        default=[
            f"{name}-small" for name in ("stargan", "cyclegan", "ganimation", "adspm", "sragan", "lomit", "bridgegan")
        ],
    )
    parser.add_argument("--size", type=int, default=64, help="side of the images, in pixels")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--precision", default="32-true", help="as Lightning has it, such as bf16-mixed")
    parser.add_argument("--warm-up", type=int, default=20, help="batches before the clock starts")
    parser.add_argument("--steps", type=int, default=50, help="batches that are timed")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--profile", action="store_true", help="list the costliest operators of each, too")
    options = parser.parse_args()
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore", module="pytorch_lightning")
    torch.set_flush_denormal(True)
    rounds = [{recipe: train(recipe, options) for recipe in options.recipes} for _ in range(options.rounds)]
    rates = {recipe: median(each[recipe] for each in rounds) for recipe in options.recipes}
    first = rates[options.recipes[0]]
    where = torch.cuda.get_device_name() if torch.cuda.is_available() else f"a CPU, {torch.get_num_threads()} threads"
    print(f"Training images a second, {options.size} px, batches of {options.batch}, {options.precision}, on {where}\n")
    print(
        f"| recipe | images a second | beside {options.recipes[0]} | parameters of the generator |\n|---|---|---|---|"
    )
    for recipe, rate in rates.items():
        size = sum(parameter.numel() for parameter in model_of(recipe, options.size).generator.parameters())
        print(f"| {recipe} | {rate:,.1f} | {rate / first:.2f} | {size:,} |")
    if options.profile:
        for recipe in options.recipes:
            activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if torch.cuda.is_available() else [])]
            profiler = profile(activities=activities)
            train(recipe, options, profiler)
            key = "self_device_time_total" if torch.cuda.is_available() else "self_cpu_time_total"
            events = sorted(profiler.key_averages(), key=lambda event: -getattr(event, key))
            total = sum(getattr(event, key) for event in events)
            print(f"\n{recipe}: share of the time in each operator, itself alone; calls a batch")
            for event in events[:PARTS]:
                print(f"  {getattr(event, key) / total:6.1%}  {event.count / options.steps:6.1f}  {event.key}")


if __name__ == "__main__":
    main()
