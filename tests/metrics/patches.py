"""Pictures of 16 pixels whose every edit is known, models that make a known thing of them, and a judge of them."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import torch
from pytorch_lightning import Callback, LightningDataModule, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint
from torch import Tensor, nn
from torch.utils.data import DataLoader

from metrics import AttributeClassifier

logging.getLogger("pytorch_lightning").setLevel(logging.WARNING)
SPLITS = ("train", "val", "test")


class Patches(LightningDataModule):
    """A grainy ground of the row's own colour; "Red" is a red patch on the left, "Blue" a blue one on the right."""

    attributes = ("Red", "Blue")
    one_hot = False
    intensities = False
    image_size = 16
    seed = 0

    def __init__(self, size: int = 20, batch_size: int = 8) -> None:
        super().__init__()
        self.size, self.batch_size = size, batch_size

    def draw(self, split: str, row: int, label: Tensor) -> Tensor:
        generator = torch.Generator().manual_seed(SPLITS.index(split) * 10_000 + row)
        ground = torch.rand(3, 1, 1, generator=generator) * 0.8 - 0.4
        image = ground + 0.1 * torch.rand(3, 16, 16, generator=generator)
        if label[0] > 0.5:
            image[:, 4:10, 1:7] = torch.tensor([1.0, -1.0, -1.0])[:, None, None]
        if label[1] > 0.5:
            image[:, 6:12, 9:15] = torch.tensor([-1.0, -1.0, 1.0])[:, None, None]
        return image

    def label(self, row: int) -> Tensor:
        return torch.tensor([row % 2, row // 2 % 2], dtype=torch.float32)

    def batch(self, split: str, rows: list[int]) -> dict[str, Tensor]:
        label = torch.stack([self.label(row) for row in rows])
        image = torch.stack([self.draw(split, row, own) for row, own in zip(rows, label, strict=True)])
        return {"image": image, "label": label, "index": torch.tensor(rows)}

    def edits(self, label: Tensor) -> Tensor:
        single = torch.eye(2, device=label.device)
        return (label[:, None] - single).abs()

    def counterfactual(self, split: str, index: Tensor, label: Tensor) -> tuple[Tensor, Tensor]:
        rows = index.tolist()
        source = torch.stack([self.draw(split, row, self.label(row)) for row in rows])
        truth = torch.stack([self.draw(split, row, wanted) for row, wanted in zip(rows, label, strict=True)])
        return truth, (source != truth).any(dim=1, keepdim=True).float()

    def train_dataloader(self) -> DataLoader[Any]:
        """Batch t is a function of t, from the trainer's step on."""
        start, total = self.trainer.global_step, self.trainer.max_steps
        return DataLoader(
            [self.batch("train", list(range(16 * step, 16 * step + 16))) for step in range(start, total)],
            batch_size=None,
        )

    def val_dataloader(self) -> DataLoader[Any]:
        return self._held_out("val")

    def test_dataloader(self) -> DataLoader[Any]:
        return self._held_out("test")

    def _held_out(self, split: str) -> DataLoader[Any]:
        rows = list(range(self.size))[self.trainer.global_rank :: self.trainer.world_size]
        batches = [rows[start : start + self.batch_size] for start in range(0, len(rows), self.batch_size)]
        return DataLoader([self.batch(split, part) for part in batches], batch_size=None)


class Classes(Patches):
    """The same as two classes: either the red patch or the blue one."""

    one_hot = True

    def label(self, row: int) -> Tensor:
        return torch.eye(2)[row % 2]

    def edits(self, label: Tensor) -> Tensor:
        return torch.eye(2, device=label.device).repeat(len(label), 1, 1)


class Shades(Patches):
    """The same patches, each as strongly as its label, in [0, 1], says: quarters of red, halves of blue."""

    intensities = True

    def draw(self, split: str, row: int, label: Tensor) -> Tensor:
        bare, full = (super(Shades, self).draw(split, row, torch.full((2,), end)) for end in (0.0, 1.0))
        strength = label.repeat_interleave(8)  # the patches are in halves of their own
        return bare + strength * (full - bare)

    def label(self, row: int) -> Tensor:
        return torch.tensor([row % 5 / 4, row // 5 % 3 / 2])

    def edits(self, label: Tensor) -> Tensor:
        """To the other end."""
        return torch.where(torch.eye(2, dtype=torch.bool), (label < 0.5).float()[:, None], label[:, None])


class Photos(Patches):
    """The same without the truth."""

    counterfactual = property()  # hasattr() says no


class Known(LightningModule):
    """A model that returns the truth, or the source ("copy"), or the picture of nobody ("black")."""

    def __init__(self, makes: str) -> None:
        super().__init__()
        self.makes = makes
        self.weight = nn.Parameter(torch.zeros(()))

    def translate(self, split: str, batch: dict[str, Tensor]) -> dict[str, Any]:
        source, data = batch["image"], self.trainer.datamodule
        targets = data.edits(batch["label"])
        images = source[:, None].expand(-1, targets.shape[1], -1, -1, -1)
        reconstructions = images
        if self.makes == "truth":
            labels = targets.unbind(dim=1)
            truths = [Patches.counterfactual(data, split, batch["index"], label)[0] for label in labels]
            images = torch.stack(truths, dim=1)
        if self.makes == "black":
            images = reconstructions = torch.full_like(images, -1.0)
        return {"images": images, "reconstructions": reconstructions, "targets": targets, "seconds": 0.5}

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor:
        return self.weight**2

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.SGD(self.parameters(), lr=0.1)

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Any]:
        return self.translate("val", batch)

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> dict[str, Any]:
        return self.translate("test", batch)


class Masked(Known):
    """The same with a mask, a quarter in the left half of the picture and 0 in the right."""

    def translate(self, split: str, batch: dict[str, Tensor]) -> dict[str, Any]:
        outputs = super().translate(split, batch)
        masks = torch.zeros_like(outputs["images"][:, :, :1])
        masks[..., :8] = 0.25
        return {**outputs, "masks": masks}


def trainer(folder: Path, *callbacks: Callback, **settings: Any) -> Trainer:
    """A quiet one."""
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False, "accelerator": "cpu"}
    ends = {"enable_checkpointing": any(isinstance(callback, ModelCheckpoint) for callback in callbacks)}
    return Trainer(
        default_root_dir=folder,
        callbacks=list(callbacks),
        **{"max_epochs": -1, "max_steps": 1, "num_sanity_val_steps": 0, "use_distributed_sampler": False}
        | quiet
        | ends
        | settings,
    )


def train_judge(folder: Path, data: Patches, steps: int = 60, **settings: Any) -> Path:
    """Train a judge; returns its checkpoint."""
    torch.manual_seed(0)
    judge = AttributeClassifier(data.attributes, data.one_hot, data.intensities, image_size=16, **settings)
    fitted = trainer(folder, max_steps=steps, limit_val_batches=0)
    fitted.fit(judge, datamodule=data)
    path = folder / "judge.ckpt"
    fitted.save_checkpoint(path)
    return path
