"""Tables of the papers, each by one command; ``make table TABLE=sragan-3 DATA_DIR=…``.

sragan-3    SRAGAN, table 3: digits of MNIST translated into USPS's or MNIST-M's and classified there, without a label
            of theirs; beside it a classifier of untranslated digits, and one that may learn from the target's labels.
            USPS twice: from MNIST's digits as they were written, and from the same aligned, prepared as USPS's were.

Trainings that are done already are not repeated, those that were stopped go on. Results go to ``runs/table-<name>/``;
``table.json`` and ``table.md`` there hold what was asked for last.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from statistics import mean, stdev
from typing import Any

import torch
import yaml
from torch import Tensor, nn
from torch.nn import functional

from datamodules import Digits
from datamodules.base import Split
from datamodules.transforms import to_tensor
from translators import Target, Translator, checkpoints

EXPERIMENTS = Path(__file__).parent
TARGETS = {"usps": "mnist-usps", "usps-aligned": "mnist-usps-aligned", "mnist-m": "mnist-mnistm"}  # data's recipes
PUBLISHED = {  # accuracies in %; CycleGAN's second is read off a table whose text is run together
    "usps": {"CycleGAN": 94.28, "target only": 96.50, "SRAGAN": 96.80},
    "mnist-m": {"CycleGAN": 93.16, "target only": 96.40, "SRAGAN": 98.33},
}


Found = dict[str, dict[str, Any]]  # by target: digits, and accuracies by what was learnt from


def pair_of(target: str, root: Path) -> Digits:
    """MNIST and a target, as the translator of that pair sees them.

    Raises:
        FileNotFoundError: if a collection is not there.
    """
    recipe = yaml.safe_load((EXPERIMENTS / "data" / f"{TARGETS[target]}.yaml").read_text())
    return Digits(**{**recipe["data"]["init_args"], "root": str(root), "num_workers": 0})


class Examples:
    """Pictures in [-1, 1], (N, 3, 32, 32), and the digits they show, (N,)."""

    def __init__(self, images: Tensor, digits: Tensor) -> None:
        self.images, self.digits = images, digits

    @classmethod
    def of(cls, data: Digits, domain: str, split: Split) -> Examples:
        """Those of one of the collections."""
        records, column = data.records(split), data.attributes.index(domain)
        rows = [row for row in range(len(records)) if records.labels[row, column] == 1]
        images = to_tensor(records.read_all(rows))
        return cls(images, torch.from_numpy(records.extras["digit"][rows]))

    def digest(self) -> str:
        """Of every picture and digit."""
        digest = hashlib.sha256(self.digits.numpy())
        digest.update(self.images.contiguous().numpy())
        return digest.hexdigest()


def classifier() -> nn.Sequential:
    """PixelDA's for digits: (B, 3, 32, 32) to (B, 10)."""
    return nn.Sequential(
        *(nn.Conv2d(3, 32, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(32, 48, 5, padding=2), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten()),
        *(nn.Linear(48 * 8 * 8, 100), nn.ReLU(), nn.Linear(100, 100), nn.ReLU(), nn.Linear(100, 10)),
    )


def trained(examples: Examples, seed: int, epochs: int, batch_size: int = 64) -> nn.Sequential:
    """A classifier of these, by Adam at a rate of 0.001; the last epoch's."""
    torch.manual_seed(seed)
    network = classifier().to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), 1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(examples.digits)).split(batch_size):
            with torch.autocast("cpu", torch.bfloat16):
                logits = network(examples.images[rows].contiguous(memory_format=torch.channels_last))
            optimizer.zero_grad()
            functional.cross_entropy(logits.float(), examples.digits[rows]).backward()
            optimizer.step()
    return network.eval()


def kept(file: Path, examples: Examples, seed: int, epochs: int) -> nn.Module:
    """The classifier that a file has, if it learnt from just these; else a new one, which is put there.

    Raises:
        ValueError: if the file is damaged, or holds something else.
    """
    network, digest = classifier(), examples.digest()
    if file.exists():
        try:
            checkpoint = checkpoints.read(file)
        except ValueError as error:
            raise ValueError(f"delete {file}, and the classifier is trained anew: {error}") from error
        if checkpoint.get("examples") == digest:
            network.load_state_dict(checkpoint["state_dict"])
            return network.eval()
    network = trained(examples, seed, epochs)
    file.parent.mkdir(parents=True, exist_ok=True)
    unfinished = file.with_suffix(f".{os.getpid()}.part")
    torch.save({"state_dict": network.state_dict(), "examples": digest}, unfinished)
    unfinished.replace(file)
    return network


@torch.inference_mode()
def accuracy(network: nn.Module, examples: Examples) -> float:
    """Right answers, in %."""
    answers = torch.cat([network(images).argmax(1) for images in examples.images.split(500)])
    return 100 * float((answers == examples.digits).double().mean())


@torch.inference_mode()
def translated(run: Path, examples: Examples) -> Examples:
    """The same digits as a run's translator draws them, in bytes as a picture has them."""
    translator = Translator.load(str(run))
    images = [
        translator(part, Target(label=torch.tensor([[0.0, 1.0]]).expand(len(part), 2))).image
        for part in examples.images.split(500)
    ]
    return Examples(((torch.cat(images) + 1) * 127.5).round().clamp(0, 255) / 127.5 - 1, examples.digits)


def train_translator(run: Path, target: str, seed: int, options: argparse.Namespace) -> None:
    """As ``make train MODEL=sragan-digits`` does; go on where it stopped, do nothing if it is done.

    Raises:
        ValueError: if it was begun with another recipe, other options or other data.
    """
    files = ("defaults", f"data/{TARGETS[target]}", "models/sragan-digits")
    pair = EXPERIMENTS / f"sragan-digits-{TARGETS[target]}.yaml"
    configs = [*(EXPERIMENTS / f"{file}.yaml" for file in files), *([pair] if pair.exists() else [])]
    settings = {
        "seed_everything": seed,
        "data.init_args.root": options.root,
        "trainer.default_root_dir": run,
        "trainer.precision": options.precision,
    }
    for option in options.more:
        if any(option.startswith(f"--{name}") for name in settings):
            raise ValueError(f"{option} is the table's to say: ask for --root, --seeds and --precision")
    asked = {
        "recipe": [yaml.safe_load(path.read_text()) for path in configs],
        "settings": {name: str(value) for name, value in settings.items()},
        "options": options.more,
    }
    note, done, begun = run / "asked.json", run / "done", (run / "config.yaml").exists()
    if begun and not (note.exists() and json.loads(note.read_text()) == asked):
        raise ValueError(
            f"{run} was begun with another recipe, other options or other data, as its asked.json says: ask for the "
            "same again, or move the folder away"
        )
    if done.exists():
        return
    arguments = [f"--config={path}" for path in configs]
    if begun and list(run.glob("checkpoints/step-*.ckpt")):
        arguments = [f"--config={run / 'config.yaml'}", f"--ckpt_path={checkpoints.resolve(run)}"]
    run.mkdir(parents=True, exist_ok=True)
    note.write_text(json.dumps(asked, indent=2) + "\n")
    arguments += [f"--{name}={value}" for name, value in settings.items()] + options.more
    subprocess.run([sys.executable, "-m", "translators", "fit", *arguments], check=True)
    done.touch()


def sragan_3(folder: Path, options: argparse.Namespace) -> Found:
    """Accuracies in % on the target's test digits, by target and by what the classifier learnt from; one a seed."""
    pairs = {target: pair_of(target, options.root) for target in options.targets}  # before time is spent on training
    found: Found = {}
    for target, pair in pairs.items():
        mnist, domain = pair.attributes
        source = Examples.of(pair, mnist, "train")
        labelled, test = (Examples.of(pair, domain, split) for split in ("train", "test"))
        sizes = {"source": len(source.digits), "target": len(labelled.digits), "test": len(test.digits)}
        rows: dict[str, list[float]] = {"source only": [], "SRAGAN": [], "target only": []}
        commits: dict[int, str | None] = {}
        found[target] = {"digits": sizes, "commits": commits, **rows}  # by seed, the translator's
        for seed in options.seeds:
            run = folder / f"{target}-{seed}"
            train_translator(run, target, seed, options)
            learnt_from = {
                "source only": (folder / f"source{'-aligned' if pair.aligned else ''}-{seed}", source),
                "SRAGAN": (run, translated(run, source)),
                "target only": (folder / f"{domain}-only-{seed}", labelled),
            }
            for row, (place, examples) in learnt_from.items():
                file = place / f"classifier-{options.epochs}.pt"
                rows[row].append(accuracy(kept(file, examples, seed, options.epochs), test))
            commits[seed] = json.loads((run / "version.json").read_text())["commit"]
            write(folder, found, options)
    return found


def write(folder: Path, found: Found, options: argparse.Namespace) -> None:
    """What was found so far, and what one must know to compare it: ``table.json`` and ``table.md``."""
    command = ["git", "describe", "--always", "--dirty"]
    commit = subprocess.run(command, cwd=EXPERIMENTS, capture_output=True, text=True, check=False).stdout.strip()
    context = {
        "recipe": "sragan-digits",
        "epochs_of_classifiers": options.epochs,
        "precision_of_classifiers": "bfloat16",
        "precision_of_translators": options.precision,
        "options": options.more,
        "measured_by": commit or None,
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "table.json").write_text(json.dumps({"context": context, **found}, indent=2) + "\n")
    (folder / "table.md").write_text(written(found) + "\n")


def written(found: Found) -> str:
    """As a table: means over the seeds that were measured, and their standard deviations."""
    lines = [
        "| accuracy, % | " + " | ".join(f"mnist to {target}" for target in found) + " |",
        "|---" * (len(found) + 1) + "|",
    ]
    for row in ("source only", "SRAGAN", "target only"):
        cells = [_spread(found[target][row]) for target in found]
        lines.append(f"| {row} | " + " | ".join(cells) + " |")
    for row in ("CycleGAN", "SRAGAN", "target only"):
        cells = [f"{PUBLISHED[target][row]:.2f}" if target in PUBLISHED else "–" for target in found]
        lines.append(f"| {row}, as published | " + " | ".join(cells) + " |")
    for target, rows in found.items():
        sizes = rows["digits"]
        aligned = " aligned" if target.endswith("aligned") else ""
        lines += [
            "",
            f"mnist to {target}: {sizes['source']:,} digits of the source{aligned}, {sizes['target']:,} of the target "
            f"without their labels, {sizes['test']:,} to test on; seeds {', '.join(map(str, rows['commits']))}. The "
            "last of the training digits are held out; a published number has digits, networks and classifiers of its "
            "own.",
        ]
    return "\n".join(lines)


def _spread(values: list[float]) -> str:
    if len(values) < 2:
        return f"{values[0]:.2f}"
    return f"{mean(values):.2f} ± {stdev(values):.2f}"


TABLES: dict[str, Callable[[Path, argparse.Namespace], Found]] = {"sragan-3": sragan_3}


def main() -> None:
    """Train, measure, write and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("table", choices=TABLES)
    parser.add_argument("--root", type=Path, default=Path("data/digits"), help="folder of the collections")
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--targets", nargs="+", choices=TARGETS, default=list(TARGETS))
    parser.add_argument("--epochs", type=int, default=20, help="of the classifiers")
    parser.add_argument("--precision", default="32-true", help="of the translators' training")
    options, options_more = parser.parse_known_args()
    options.more = options_more
    if options.epochs < 1 or len(set(options.seeds)) < len(options.seeds):
        raise SystemExit("error: epochs must be at least 1, and each seed is asked for once")
    torch.set_flush_denormal(True)
    try:
        print(written(TABLES[options.table](Path("runs") / f"table-{options.table}", options)))
    except (OSError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    except subprocess.CalledProcessError as error:
        raise SystemExit("a translator's training ended early, as it says above; run this again to go on") from error


if __name__ == "__main__":
    main()
