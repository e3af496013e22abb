"""The judge: a network that says which attributes a picture shows, or how strongly."""

from __future__ import annotations

import hashlib
import math
import pickle
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional as F
from torch.optim import AdamW, Optimizer
from torchmetrics import MeanMetric, Metric, SumMetric
from torchvision.models import resnet18

from metrics.attributes import AttributeAccuracy, correct
from metrics.corruptions import HELD_OUT, TrainingCorruptions
from metrics.intensities import IntensityAgreement
from metrics.report import context_of, finite, write_report


class AttributeClassifier(LightningModule):
    """A ResNet-18 (He et al., CVPR 2016) from scratch, trained on corrupted pictures so that it goes by shapes.

    That makes it reliable on damaged pictures, but not proof against textures that were optimised to please it: a
    pattern of a few grey levels, made with its gradients, still does. Its accuracy never stands alone (see `Evaluate`).

    Attributes and intensities are learnt by binary cross-entropy, classes by cross-entropy. With labels in [0, 1] the
    former makes a regressor: its minimiser is their conditional mean, as the squared error's is, but its gradient does
    not vanish in the sigmoid's flat ends, and most units are at rest, at 0. The learning rate rises over the first
    tenth of ``trainer.max_steps`` and falls to 0 on a cosine. With several processes set ``trainer.sync_batchnorm``, or
    each normalises by its own share of the batch.

    Validation logs ``val/accuracy`` and ``val/score`` (1 - accuracy; lower is better). A test logs ``test/accuracy``,
    over the attributes and for each, ``test/exact_match`` (the share of images with no attribute wrong), and
    ``test/held_out``, the mean accuracy under corruptions that training never shows, each of which stands beside it;
    they go into ``metrics.json`` too. Of intensities the mean absolute ``error`` and Pearson's ``correlation`` take the
    place of accuracy: ``val/score`` is the error, ``test/held_out`` an error, and there is no exact match.

    Args:
        attributes: the K names of the label's columns, in order.
        one_hot: exactly one attribute is on (a class).
        intensities: labels are intensities in [0, 1], as of action units, not presence.
        image_size: side of the images it looks at, in pixels; others are resized. Below 64 nothing is pooled
            before the first block, lest a face shrink to a few cells.
        lr: AdamW's greatest learning rate.
        weight_decay: AdamW's.
        corrupt: corrupt the training pictures.
        channels_last: memory layout of images and weights; pays on GPUs and on CPUs with matrix units.
        seed: of the corruptions, with the step and the process.

    Attributes:
        sha256: of the checkpoint's file, for one that was loaded; reports name it.
    """

    sha256: str | None = None

    def __init__(
        self,
        attributes: Sequence[str],
        one_hot: bool = False,
        intensities: bool = False,
        image_size: int = 64,
        lr: float = 2e-3,
        weight_decay: float = 0.02,
        corrupt: bool = True,
        channels_last: bool = False,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if not attributes:
            raise ValueError("attributes is empty: a judge needs at least one attribute to tell")
        if one_hot and intensities:
            raise ValueError("one_hot and intensities exclude each other: a class is there or is not")
        if image_size < 16:
            raise ValueError(f"image_size must be at least 16, got {image_size}")
        attributes = [str(name) for name in attributes]
        self.save_hyperparameters()
        self.attributes = tuple(attributes)
        self.one_hot = one_hot
        self.intensities = intensities
        self.image_size = image_size
        self.network = resnet18(weights=None, num_classes=len(attributes))
        if image_size < 64:
            self.network.maxpool = nn.Identity()
        self.corruptions = TrainingCorruptions(image_size) if corrupt else nn.Identity()
        self._measures: dict[str, Metric] = {}

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """A trained judge, frozen and in eval mode.

        Args:
            path: its checkpoint, or its run folder, of which ``checkpoints/best.ckpt`` is taken.
        Raises:
            FileNotFoundError: if there is none.
            ValueError: if the file is damaged, unsafe or not a judge's.
        """
        path = Path(path)
        file = path / "checkpoints" / "best.ckpt" if path.is_dir() else path
        checkpoint = _read(file)
        if "judge" not in checkpoint:
            raise ValueError(f"{file} is not a judge's checkpoint: expected one that training {cls.__name__} wrote")
        judge = cls(**checkpoint["hyper_parameters"])
        judge.load_state_dict(checkpoint["state_dict"])
        judge.sha256 = hashlib.sha256(file.read_bytes()).hexdigest()
        judge.freeze()
        return judge

    @torch.no_grad()
    def predict(self, images: Tensor) -> Tensor:
        """What a frozen judge sees.

        Args:
            images: (B, 3, H, W) in [-1, 1].
        Returns:
            (B, K) probabilities, which of classes add up to 1, or intensities in [0, 1].
        """
        size = (self.image_size, self.image_size)
        if images.shape[2:] != size:
            images = F.interpolate(images.float(), size, mode="bilinear", antialias=True)
        return self.probabilities(self(images.float()))

    def forward(self, images: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] at the judge's own size to (B, K) logits."""
        if self.hparams["channels_last"]:
            images = images.contiguous(memory_format=torch.channels_last)
        return self.network(images).float()

    def probabilities(self, logits: Tensor) -> Tensor:
        """(B, K) logits to (B, K) probabilities or intensities."""
        return logits.softmax(dim=1) if self.one_hot else logits.sigmoid()

    # ------------------------------------------------------------------------------------------ training

    def setup(self, stage: str) -> None:
        """The learning rate needs to know when training ends."""
        if stage == "fit" and self.trainer.max_steps < 1:
            raise ValueError(f"trainer.max_steps must be at least 1 to train a judge, got {self.trainer.max_steps}")
        if self.hparams["channels_last"]:
            self.to(memory_format=torch.channels_last)

    def configure_optimizers(self) -> Optimizer:
        """AdamW."""
        rate, decay = self.hparams["lr"], self.hparams["weight_decay"]
        return AdamW(self.parameters(), lr=rate, weight_decay=decay, fused=self.trainer.precision != "16-mixed")

    def on_train_batch_start(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Set what depends on the step, so that a resumed run goes on as an uninterrupted one."""
        step = self.global_step
        torch.manual_seed((self.hparams["seed"] * 1_000_003 + step) * 1024 + self.global_rank)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.hparams["lr"] * one_cycle(step, self.trainer.max_steps)

    def training_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> Tensor:
        """The loss on corrupted pictures."""
        logits, label = self(self.corruptions(batch["image"])), batch["label"]
        criterion = F.cross_entropy if self.one_hot else F.binary_cross_entropy_with_logits
        loss = criterion(logits, label)
        self.log("train/loss", loss, prog_bar=True)
        return loss

    # ------------------------------------------------------------------------------------------ measuring

    def _measure(self, **measures: Metric) -> None:
        device = "cpu" if self.device.type == "mps" else self.device  # that one has no doubles
        self._measures = {name: measure.to(device) for name, measure in measures.items()}

    def _agreement(self) -> Metric:
        if self.intensities:
            return IntensityAgreement(self.attributes)
        return AttributeAccuracy(self.attributes, self.one_hot)

    @property
    def _figure(self) -> str:
        """What its quality is told by."""
        return "error" if self.intensities else "accuracy"

    def on_validation_epoch_start(self) -> None:
        """Begin anew."""
        self._measure(clean=self._agreement())

    def validation_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Clean pictures."""
        self._measures["clean"].update(self.predict(batch["image"]), batch["label"])

    def on_validation_epoch_end(self) -> None:
        """Log the averages."""
        found = self._measures["clean"].compute()
        values = {f"val/{name}": value for name, value in found.items()}
        quality = found[self._figure]
        self.log_dict({**values, "val/score": quality if self.intensities else 1 - quality}, sync_dist=True)
        self.log(f"val_{self._figure}", quality, prog_bar=True, logger=False, sync_dist=True)

    def on_test_epoch_start(self) -> None:
        """Begin anew."""
        agreements = {name: self._agreement() for name in ("clean", *HELD_OUT)}
        exact_match = {} if self.intensities else {"exact_match": MeanMetric()}
        self._measure(images=SumMetric(), **exact_match, **agreements)

    def test_step(self, batch: Mapping[str, Tensor], batch_idx: int) -> None:
        """Clean pictures, and the corruptions that training never showed."""
        image, label = batch["image"], batch["label"]
        probability = self.predict(image)
        self._measures["clean"].update(probability, label)
        if "exact_match" in self._measures:
            self._measures["exact_match"].update(correct(probability, label, self.one_hot).all(dim=1).float())
        self._measures["images"].update(len(image))
        for name, corruption in HELD_OUT.items():
            self._measures[name].update(self.predict(corruption(image, batch["index"])), label)

    def on_test_epoch_end(self) -> None:
        """Log, write ``metrics.json`` and say it in words."""
        found = {name: measure.compute() for name, measure in self._measures.items()}
        images = int(found["images"])
        held_out = {name: found[name][self._figure] for name in HELD_OUT}
        values = {
            **{f"test/{name}": value for name, value in found["clean"].items()},
            **({"test/exact_match": float(found["exact_match"])} if "exact_match" in found else {}),
            **{f"test/held_out/{name}": value for name, value in held_out.items()},
            "test/held_out": sum(held_out.values()) / len(held_out),
        }
        values = finite(values)
        self.log_dict(values, sync_dist=True)
        if self.trainer.is_global_zero:
            path = write_report(self.trainer.default_root_dir, values, context_of(self.trainer, "test", images))
            print(_words(values, images, path))

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Mark it as a judge's."""
        checkpoint["judge"] = {
            "attributes": list(self.attributes),
            "one_hot": self.one_hot,
            "intensities": self.intensities,
        }


def one_cycle(step: int, total: int, warm_up: float = 0.1) -> float:
    """Factor on the learning rate at a step of ``total``: up from 0 in a straight line, then down to 0 on a cosine."""
    done = (step + 1) / (total + 1)
    if done < warm_up:
        return done / warm_up
    return 0.5 * (1 + math.cos(math.pi * (done - warm_up) / (1 - warm_up)))


def _read(path: Path) -> dict[str, Any]:
    """A checkpoint's tensors and plain values; nothing in it is run.

    Raises:
        FileNotFoundError: if there is none.
        ValueError: if it cannot be read whole, or holds anything else.
    """
    if not path.is_file():
        raise FileNotFoundError(
            f"no judge at {path}: expected its checkpoint or run folder; `make train MODEL=judge DATA=…` trains one"
        )
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = archive.testzip()
        checkpoint = None if damaged else torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise ValueError(f"{path} holds Python objects other than tensors and plain values; it was refused") from error
    except (zipfile.BadZipFile, EOFError, RuntimeError) as error:
        raise ValueError(f"{path} is cut short, damaged or no checkpoint: {error}") from error
    if damaged:
        raise ValueError(f"{path} is damaged: its record {damaged!r} fails the CRC check")
    return checkpoint if isinstance(checkpoint, dict) else {}


def _words(values: Mapping[str, float], images: int, path: Path) -> str:
    """The test in a few lines; what was not measured is left out."""
    sentences = (
        ("right about an attribute         {:.2%}", "accuracy"),
        ("right about all of an image's    {:.2%}", "exact_match"),
        ("error of an intensity            {:.4f}   (on a scale from 0 to 1)", "error"),
        ("  correlation with the truth     {:.4f}", "correlation"),
    )
    found = ((sentence, values.get(f"test/{name}")) for sentence, name in sentences)
    lines = [sentence.format(value) for sentence, value in found if value is not None]
    kind, form = ("error", ".4f") if "test/error" in values else ("right", ".2%")
    for name in HELD_OUT:
        if (value := values.get(f"test/held_out/{name}")) is not None:
            lines.append(f"{kind} under {name.replace('_', ' '):<20} {value:{form}}")
    heading = ["", f"The judge on {images:,} test images it has not seen:"]
    return "\n".join([*heading, *(f"  {line}" for line in lines), f"All numbers: {path}"])
