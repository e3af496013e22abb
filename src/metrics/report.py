"""``metrics.json``: the numbers of a test, and what one must know to compare them with others."""

from __future__ import annotations

import json
import math
import os
import subprocess
import tempfile
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Trainer
from pytorch_lightning.utilities import rank_zero_warn

DISTRIBUTION = "unpaired-image-zoo"


def write_report(folder: str | os.PathLike[str], metrics: Mapping[str, float], context: Mapping[str, Any]) -> Path:
    """Write ``metrics.json`` into a run folder, whole or not at all; an earlier one is replaced.

    Args:
        folder: made if it does not exist.
        metrics: finite numbers by name.
        context: plain values that say what was measured, and by what.
    Returns:
        The file's path.
    Raises:
        ValueError: if a number is not finite.
    """
    text = json.dumps({"context": context, "metrics": metrics}, indent=2, sort_keys=True, allow_nan=False) + "\n"
    path = Path(folder) / "metrics.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor, unfinished = tempfile.mkstemp(dir=path.parent, prefix=".unfinished-")
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        Path(unfinished).chmod(0o644)
        Path(unfinished).replace(path)
    finally:
        Path(unfinished).unlink(missing_ok=True)
    return path


def context_of(trainer: Trainer, split: str, images: int) -> dict[str, Any]:
    """What every report says of its run: the data, how many images, the seed, the weights and the code."""
    data: Any = getattr(trainer, "datamodule", None)
    return {
        "model": type(trainer.lightning_module).__name__,
        "data": type(data).__name__,
        "root": str(getattr(data, "root", "")) or None,  # None: the data comes from no folder
        "attributes": list(getattr(data, "attributes", ())),
        "split": split,
        "images": images,
        "stands_in": getattr(data, "stand_ins", {}).get(split),  # another split, where a folder lacks this one
        "image_size": getattr(data, "image_size", None),
        "seed": getattr(data, "seed", None),
        "step": _step(trainer),
        "checkpoint": str(trainer.ckpt_path) if trainer.ckpt_path else None,  # None: the weights in memory
        "commit": COMMIT,
        "trained_by": _trained_by(Path(trainer.default_root_dir)),
        "version": _version(),
    }


def _step(trainer: Trainer) -> int:
    """The iterations behind the weights; a trainer that only measures a checkpoint counts none itself."""
    if not trainer.ckpt_path:
        return int(trainer.global_step)
    return int(torch.load(trainer.ckpt_path, map_location="cpu", weights_only=True, mmap=True)["global_step"])


def finite(metrics: Mapping[str, float]) -> dict[str, float]:
    """The finite ones; the others are named in a warning."""
    broken = [name for name, value in metrics.items() if not math.isfinite(value)]
    if broken:
        rank_zero_warn(f"not finite, and therefore left out: {', '.join(broken)}; the model's pictures hold NaN or inf")
    return {name: value for name, value in metrics.items() if math.isfinite(value)}


def _trained_by(folder: Path) -> str | None:
    """The commits that trained what is measured, in turn, as the run folder says; None where it does not."""
    try:
        noted = json.loads((folder / "version.json").read_text())
    except FileNotFoundError:
        return None
    commits = [part.get("commit") for part in (noted, *noted.get("resumed", []))]
    return ", ".join(dict.fromkeys(filter(None, commits))) or None


def _commit() -> str | None:
    """The commit of the code that runs, None outside a repository or without git."""
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            cwd=Path(__file__).parent,
            capture_output=True,
            text=True,
            check=True,
        )
    except (FileNotFoundError, subprocess.CalledProcessError):
        return None
    return described.stdout.strip()


def _version() -> str | None:
    try:
        return version(DISTRIBUTION)
    except PackageNotFoundError:  # run from a source tree that is not installed
        return None


COMMIT = _commit()  # when the code is read, not when a run ends: hours lie between
