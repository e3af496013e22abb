"""A translator of two layers, small ones of those that the package exports, and a handful of pictures in memory."""

from __future__ import annotations

import contextlib
import inspect
import io
import os
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from torch import Tensor, nn
from torch.optim import SGD, Optimizer
from torch.utils.data import DataLoader

import translators
from datamodules.base import ImageDataModule
from datamodules.records import Records
from translators import Phase, StarGAN, checkpoints
from translators.base import Translator
from translators.callbacks import LastCheckpoints
from translators.checkpoints import AtomicCheckpointIO
from translators.strategy import ReplicatedStrategy
from translators.types import Batch, Target, Translation

ATTRIBUTES = ("Smiling", "Young")
SMALL = {"image_size": 16, "generator_width": 4, "discriminator_width": 4, "blocks": 1, "depth": 3}  # of a StarGAN
LEAST = {  # values of the sizes that constructors may have: what makes a model small
    "width": 4,
    "generator_width": 4,
    "discriminator_width": 4,
    "blocks": 1,
    "refine_blocks": 1,
    "depth": 2,
    "mlp_dim": 8,
    "code_width": 4,
    "spade_width": 8,
}
TWO_DOMAINS = {"attributes": ("cat", "dog"), "one_hot": True, "reference": "other", "image_size": 32}
NEEDS = {  # what a translator needs of `TinyData`, by its name; most need nothing
    "CycleGAN": TWO_DOMAINS,
    "GANimation": {"intensities": True},
    "LOMIT": {"image_size": 32},
    "SRAGAN": TWO_DOMAINS,
}
WISHED = {  # settings of a small one, by its name: no weights to fetch, and all parts learning at once
    "SRAGAN": {"vgg": "random", "vgg_width": 4, "phases": [Phase(1000)]},
}


class InMemory(Records):
    """Random pictures, the same ones each time; the first attribute shows as brightness."""

    def __init__(self, labels: np.ndarray, size: int) -> None:
        random = np.random.default_rng([len(labels), size])
        self.labels = labels.astype(np.float32)
        pictures = random.integers(0, 128, (len(labels), size, size, 3)) + 127 * self.labels[:, :1, None, None]
        self.pictures = pictures.astype(np.uint8)

    def read(self, row: int) -> np.ndarray:
        return self.pictures[row]

    def fingerprint(self) -> str:
        return str(self.pictures.shape)


def labels(count, width, one_hot, generator):
    if one_hot:
        return torch.eye(width)[torch.randint(width, (count,), generator=generator)]
    return torch.randint(2, (count, width), generator=generator).float()


def make_batch(count=4, width=3, one_hot=False, size=16):
    generator = torch.Generator().manual_seed(1)
    image, reference = torch.rand(2, count, 3, size, size, generator=generator) * 2 - 1
    label, reference_label = (labels(count, width, one_hot, generator) for _ in range(2))
    index = torch.arange(count)
    return {
        "image": image,
        "label": label,
        "index": index,
        "reference": reference,
        "reference_label": reference_label,
        "reference_index": index,
    }


class Rows(LightningDataModule):
    """One batch's rows, over and over."""

    def __init__(self, batch, batch_size, steps):
        super().__init__()
        self.batch, self.batch_size, self.steps = batch, batch_size, steps

    def train_dataloader(self):
        count = len(self.batch["image"])
        rows = [
            {name: tensor[t % count] for name, tensor in self.batch.items()}
            for t in range(self.steps * self.batch_size)
        ]
        return DataLoader(rows, self.batch_size)


class TinyData(ImageDataModule):
    """24 pictures to train on, six batches of 4 an epoch; 8 to validate and 8 to test on.

    Args:
        one_hot: each picture is of one domain.
        intensities: each attribute has a number from 0 to 1, in fifths, in place of 0 or 1.
    """

    def __init__(
        self,
        image_size: int = 16,
        batch_size: int = 4,
        num_workers: int = 0,
        cache: bool = False,
        attributes: Sequence[str] = ATTRIBUTES,
        one_hot: bool = False,
        intensities: bool = False,
        **loading: Any,
    ) -> None:
        super().__init__(image_size=image_size, batch_size=batch_size, num_workers=num_workers, cache=cache, **loading)
        self.attributes, self.one_hot, self.intensities = tuple(attributes), one_hot, intensities

    def records(self, split: str) -> Records:
        rows, columns = np.arange({"train": 24, "val": 8, "test": 8}[split])[:, None], np.arange(self.num_attributes)
        if self.one_hot:
            return InMemory(rows % self.num_attributes == columns, self.image_size)
        if self.intensities:
            return InMemory(rows * (columns + 1) % 6 / 5, self.image_size)
        return InMemory(rows // 2**columns % 2, self.image_size)

    def _held_out(self, split: str) -> Any:
        """Without processes of its own: CPython 3.11 may hang in a fork while another thread ends, such as the one that
        fed the training's loader (``_PyThreadState_DeleteExcept`` waits for a lock that thread held)."""
        workers, self.num_workers = self.num_workers, 0
        try:
            return super()._held_out(split)
        finally:
            self.num_workers = workers


class Generator(nn.Module):
    def __init__(self, num_attributes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3 + num_attributes, 3, 1)
        self.second = nn.Conv2d(3, 3, 1)

    def forward(self, image: Tensor, label: Tensor) -> Tensor:
        planes = label.to(image)[:, :, None, None].expand(-1, -1, *image.shape[2:])
        return torch.tanh(self.second(torch.tanh(self.first(torch.cat([image, planes], dim=1)))))


class Discriminator(nn.Module):
    def __init__(self, num_attributes: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 4, 4, 2, 1)
        self.second = nn.Conv2d(4, 1 + num_attributes, 3, 1, 1)

    def forward(self, image: Tensor) -> tuple[Tensor, Tensor]:
        scores, logits = (
            self.second(torch.tanh(self.first(image))).mean((2, 3)).split([1, self.second.out_channels - 1], 1)
        )
        return scores, logits


class Tiny(Translator):
    """Least squares, two layers a player."""

    schedule = (Phase(1000),)

    def __init__(
        self, attributes: Sequence[str] = ATTRIBUTES, lambda_cls: float = 2.0, lambda_rec: float = 5.0, **training: Any
    ) -> None:
        super().__init__(attributes=attributes, **training)
        self.generator = Generator(len(attributes))
        self.discriminator = Discriminator(len(attributes))

    def translate(self, image: Tensor, target: Target) -> Translation:
        return Translation(image=self.generator(image, target.label))

    def discriminator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        fake = self.translate(batch["image"], target).image
        (real_score, logits), (fake_score, _) = self.discriminator(batch["image"]), self.discriminator(fake)
        return {
            "adv": (real_score - 1).square().mean() + fake_score.square().mean(),
            "cls": (logits - batch["label"]).square().mean(),
        }

    def generator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        fake = self.translate(batch["image"], target).image
        score, logits = self.discriminator(fake)
        back = self.translate(fake, Target(label=batch["label"])).image
        return {
            "adv": (score - 1).square().mean(),
            "cls": (logits - target.label).square().mean(),
            "rec": (back - batch["image"]).abs().mean(),
        }


class WithSGD:
    """Plain gradient descent in place of Adam, which turns rounding noise into steps of its own."""

    def configure_optimizers(self) -> list[Optimizer]:
        return [SGD(player.parameters(), lr=self.hparams["lr"]) for player in (self.discriminator, self.generator)]


def with_sgd(model: type[Translator]) -> type[Translator]:
    """The same translator under plain gradient descent."""
    return type(f"{model.__name__}SGD", (WithSGD, model), {})


class TinySGD(WithSGD, Tiny):
    pass


class StarGANSGD(WithSGD, StarGAN):
    pass


def exported() -> list[type[Translator]]:
    """Every translator of the package."""
    values = (getattr(translators, name) for name in translators.__all__)
    classes = [value for value in values if isinstance(value, type) and issubclass(value, Translator)]
    return [value for value in classes if not inspect.isabstract(value)]


def data_for(model: type[LightningModule], **loading: Any) -> TinyData:
    """Data that suit a translator."""
    return TinyData(**{**of(model, NEEDS), **loading})


def of(model: type[LightningModule], table: Mapping[str, Mapping[str, Any]]) -> Mapping[str, Any]:
    """A translator's entry in a table of names, or that of the class it is made from."""
    return next((table[kind.__name__] for kind in model.__mro__ if kind.__name__ in table), {})


def accepted(model: type[Translator], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that are arguments of this model's own."""
    return {name: value for name, value in settings.items() if name in inspect.signature(model).parameters}


def small(model: type[Translator], **settings: Any) -> Translator:
    """A translator as small as can be, with random weights, for the data that suit it."""
    data = data_for(model)
    sizes = accepted(model, {"image_size": data.image_size, **LEAST})
    return model(**{"attributes": data.attributes, "one_hot": data.one_hot, **sizes, **of(model, WISHED), **settings})


class Snapshots(Callback):
    """Every parameter before training and after each iteration, and the learning rate of each."""

    def __init__(self) -> None:
        self.weights: list[dict[str, Tensor]] = []
        self.rates: list[float] = []
        self.batches: list[Batch] = []

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self.weights.append(weights(pl_module))

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, *_: Any
    ) -> None:
        self.weights.append(weights(pl_module))
        self.rates.append(trainer.optimizers[0].param_groups[0]["lr"])
        self.batches.append(batch)

    def moved(self, step: int) -> set[str]:
        """Names of the parameters that iteration ``step`` changed."""
        before, after = self.weights[step], self.weights[step + 1]
        return {name for name in before if not torch.equal(before[name], after[name])}


class Poison(Callback):
    """Makes the images of some iterations NaN, on one process."""

    def __init__(self, steps: list[int], rank: int = 0) -> None:
        self.steps, self.rank = steps, rank

    def on_train_batch_start(self, trainer: Trainer, pl_module: LightningModule, batch: Any, batch_idx: int) -> None:
        if trainer.global_step in self.steps and trainer.global_rank == self.rank:
            batch["image"].fill_(float("nan"))


class Hang(Callback):
    """Stands still in front of an iteration, having said so with a file ``hangs``: to be killed there."""

    def __init__(self, step: int) -> None:
        self.step = step

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step and trainer.is_global_zero:
            (Path(trainer.default_root_dir) / "hangs").touch()
            time.sleep(600)


class Signal(Callback):
    """Sends its own process a signal in the middle of an iteration, on one process."""

    def __init__(self, step: int, rank: int = 0, number: int = 15) -> None:
        self.step, self.rank, self.number = step, rank, number

    def on_train_batch_start(self, trainer: Trainer, *_: Any) -> None:
        if trainer.global_step == self.step and trainer.global_rank == self.rank:
            os.kill(os.getpid(), self.number)


def weights(module: nn.Module) -> dict[str, Tensor]:
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def fit(
    model: LightningModule,
    folder: Path,
    max_steps: int = -1,
    data: ImageDataModule | None = None,
    callbacks: Sequence[Callback] = (),
    resume: Path | None = None,
    **settings: Any,
) -> Trainer:
    """Train as the command line does, quietly, and without validation unless ``limit_val_batches`` says otherwise.

    Args:
        data: None takes those that suit the model.
    """
    trainer = Trainer(
        **{
            "default_root_dir": folder,
            "max_steps": max_steps,
            "max_epochs": -1,
            "use_distributed_sampler": False,
            "accelerator": "cpu",
            "devices": 1,
            "strategy": ReplicatedStrategy() if settings.get("devices") == 2 else "auto",
            "callbacks": list(callbacks),
            "plugins": [AtomicCheckpointIO()],
            "logger": False,
            "enable_checkpointing": any("Checkpoint" in type(callback).__name__ for callback in callbacks),
            "enable_progress_bar": False,
            "enable_model_summary": False,
            "num_sanity_val_steps": 0,
            "check_val_every_n_epoch": None,
            "limit_val_batches": 0,
            **settings,
        }
    )
    trainer.fit(model, data or data_for(type(model)), ckpt_path=resume)
    return trainer


def arguments(folder: Path, *more: str, workers: int = 0, devices: int = 1) -> list[str]:
    """The command line of a tiny StarGAN with everything on that a resume must bring back: two phases, an average."""
    return [
        "fit",
        "--data=tiny.TinyData",
        f"--data.num_workers={workers}",
        "--model=translators.StarGAN",
        *(f"--model.{name}={value}" for name, value in SMALL.items() if name != "image_size"),
        "--model.n_critic=2",
        "--model.augment=true",
        "--model.ema_decay=0.9",
        "--model.lr=0.001",
        "--model.phases=[{steps: 7, name: first}, {steps: 9, decay: 5, name: second}]",
        "--checkpoint.every_n_steps=5",
        f"--trainer.default_root_dir={folder}",
        f"--trainer.devices={devices}",
        "--trainer.accelerator=cpu",
        "--trainer.check_val_every_n_epoch=null",
        "--trainer.val_check_interval=8",
        "--trainer.num_sanity_val_steps=0",
        "--trainer.log_every_n_steps=1",
        "--trainer.enable_model_summary=false",
        "--trainer.enable_progress_bar=false",
        *more,
    ]


STEPS = 16  # of those two phases


def stop_and_resume(build: Callable[[], Translator], folder: Path, stop: int, end: int, **settings: Any) -> None:
    """Train in one go, in ``whole``, and in two, in ``parts``, of which the second begins with other weights."""
    for place, ends in ((folder / "whole", [end]), (folder / "parts", [stop, end])):
        for go, steps in enumerate(ends):
            torch.manual_seed(go)
            resume = checkpoints.newest(place) if go else None
            fit(build(), place, steps, callbacks=[LastCheckpoints(every_n_steps=100)], resume=resume, **settings)


def command(folder: Path, *more: str, **settings: int) -> list[str]:
    """The same for a process of its own."""
    return [sys.executable, "-m", "translators", *arguments(folder, *more, **settings)]


def environment() -> dict[str, str]:
    """Of a process of its own: it finds this module, and trains with one thread."""
    path = os.pathsep.join(filter(None, [str(Path(__file__).parent), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "WANDB_MODE": "disabled"}


@contextlib.contextmanager
def quiet() -> Iterator[io.StringIO]:
    """Catch what is printed within."""
    with contextlib.redirect_stdout(io.StringIO()) as printed, contextlib.redirect_stderr(printed):
        yield printed
