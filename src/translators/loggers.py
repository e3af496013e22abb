"""Where numbers and pictures go: always a CSV in the run folder, and Weights & Biases beside it."""

from __future__ import annotations

import csv
import os
from argparse import Namespace
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from PIL import Image
from pytorch_lightning.loggers.logger import Logger
from pytorch_lightning.utilities import rank_zero_only, rank_zero_warn


class CsvLogger(Logger):
    """Appends ``step,metric,value`` lines to ``metrics.csv``; a resumed run goes on in the same file.

    Where a step was run twice (once before a crash and once after resuming), the later line holds.

    Args:
        folder: the run folder.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        super().__init__()
        self.path = Path(folder) / "metrics.csv"

    @property
    def name(self) -> str:
        """Nothing: the run folder is the name."""
        return ""

    @property
    def version(self) -> str:
        """Nothing: the run folder is the version."""
        return ""

    @property
    def save_dir(self) -> str:
        """The run folder."""
        return str(self.path.parent)

    def log_hyperparams(self, params: dict[str, Any] | Namespace, *args: Any, **kwargs: Any) -> None:
        """Nothing to do: ``config.yaml`` in the run folder holds them."""

    @rank_zero_only
    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """One line a metric; a disk that will not take them costs the lines, and not the training."""
        try:
            self._append(metrics, step)
        except OSError as error:
            rank_zero_warn(f"{self.path} cannot be written ({error}); training goes on without these numbers")

    def _append(self, metrics: Mapping[str, float], step: int | None) -> None:
        new = not self.path.exists()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        with self.path.open("a", newline="") as file:
            writer = csv.writer(file)
            if new:
                writer.writerow(["step", "metric", "value"])
            writer.writerows([step, name, value] for name, value in metrics.items())


class GuardedLogger(Logger):
    """Another logger, made at first use; should it fail in any way, it is left out and the training goes on.

    Args:
        make: makes the logger.
        name: what to call it in a warning.
    """

    def __init__(self, make: Callable[[], Logger], name: str) -> None:
        super().__init__()
        self._make = make
        self._name = name
        self._logger: Logger | None = None
        self._failed = False

    @property
    def name(self) -> str:
        """The logger's name."""
        return self._name

    @property
    def version(self) -> str:
        """Nothing: the run folder is the version."""
        return ""

    @property
    def experiment(self) -> Any:
        """The other logger's own handle, None if it failed."""
        return self._call("experiment")

    def _call(self, method: str, *args: Any, **kwargs: Any) -> Any:
        if self._failed:
            return None
        try:
            if self._logger is None:
                self._logger = self._make()
            member = getattr(self._logger, method)
            return member(*args, **kwargs) if callable(member) and method != "experiment" else member
        except Exception as error:  # noqa: BLE001  whatever goes wrong in there must not cost a training
            self._failed = True
            rank_zero_warn(f"{self._name} failed and is left out from now on ({error}); metrics.csv has the numbers")
            return None

    def log_hyperparams(self, params: Any, *args: Any, **kwargs: Any) -> None:
        """Pass on."""
        self._call("log_hyperparams", params)

    def log_metrics(self, metrics: Mapping[str, float], step: int | None = None) -> None:
        """Pass on."""
        self._call("log_metrics", metrics, step)

    def log_image(self, key: str, images: list[Image.Image], step: int | None = None) -> None:
        """Pass on."""
        self._call("log_image", key, images, step)

    def finalize(self, status: str) -> None:
        """Pass on, if there is anything to end."""
        if self._logger is not None:
            self._call("finalize", status)


def loggers(folder: str | os.PathLike[str]) -> list[Logger]:
    """The loggers of a run: CSV always; Weights & Biases offline, unless the user is logged in or sets WANDB_MODE."""
    return [CsvLogger(folder), GuardedLogger(lambda: _wandb(Path(folder)), "Weights & Biases")]


def _wandb(folder: Path) -> Logger:
    import wandb
    from pytorch_lightning.loggers import WandbLogger

    folder.mkdir(parents=True, exist_ok=True)
    wandb.setup(settings=wandb.Settings(silent=True))  # it would advise us, not the user
    mode = os.environ.get("WANDB_MODE") or ("online" if wandb.api.api_key else "offline")
    return WandbLogger(
        project="translator-zoo",
        group=folder.parent.name,
        name=f"{folder.parent.name}/{folder.name}",
        save_dir=str(folder),
        mode=mode,
        settings=wandb.Settings(silent=True),
    )
