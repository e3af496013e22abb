"""From what a translator returns in validation and test to numbers: logged, written, said in words."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torchmetrics import Metric, SumMetric

from metrics.attributes import AttributeAccuracy, EditAccuracy
from metrics.classifier import AttributeClassifier
from metrics.counterfactual import CounterfactualError
from metrics.reconstruction import ReconstructionError
from metrics.report import context_of, finite, write_report
from metrics.throughput import Throughput


class Evaluate(Callback):
    """Measures the edits that a model returns from its validation and test steps.

    The steps return ``images`` (B, E, 3, H, W), one translation for each of the E = K edits of an image,
    ``reconstructions``, the same translated back, ``targets`` (B, E, K), and ``seconds``, the time the B * E
    translations took. Edit e is about attribute e; one that asks for the label the image already has is left out.
    Each figure is logged as ``val/…`` or ``test/…``, averaged over the attributes' averages, and for each attribute
    with its name behind; a figure that cannot be measured is absent.

    - with a judge: ``target_accuracy``, ``kept_accuracy`` (attributes; not classes), and ``judge_accuracy_on_real``,
      which bounds what the other two can mean. Generators please judges with pictures that are garbage: look at the
      next line, and at the grid.
    - where the datamodule has ``counterfactual(split, index, label) -> (picture, mask)``: ``counterfactual/l1``,
      ``psnr``, ``ssim``, ``inside_l1``, ``inside_ratio`` and ``outside_change``, beside ``…_copied``, what the
      untouched input scores.
    - always: ``reconstruction_l1``, and ``images_per_second`` of one process.

    Validation also logs ``val/score``, which says which checkpoint is best; lower is better. It is

    - ``counterfactual/l1`` over ``counterfactual/l1_copied``, where the truth is known: below 1 means better than
      doing nothing;
    - otherwise 1 - ``target_accuracy`` + ``reconstruction_l1``, with a judge: neither a copy nor garbage does well in
      both;
    - otherwise ``reconstruction_l1`` alone, which a model that does nothing minimises: give a judge.

    A test ends with ``metrics.json`` in ``trainer.default_root_dir``, and a summary on the console.

    Args:
        judge: a trained `AttributeClassifier`'s checkpoint or run folder, of the data's attributes; None measures no
            accuracy.
    """

    def __init__(self, judge: str | None = None) -> None:
        self.judge = judge
        self._classifier: AttributeClassifier | None = None  # not a part of the model: never trained or saved with it
        self._measures: dict[str, Metric] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Load the judge, before any time is spent on training.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is no judge, or one of other attributes.
        """
        if self.judge is None or self._classifier is not None:
            return
        classifier, data = AttributeClassifier.load(self.judge), _data(trainer)
        if (classifier.attributes, classifier.one_hot) != (tuple(data.attributes), data.one_hot):
            raise ValueError(
                f"the judge {self.judge} tells {_named(classifier.attributes, classifier.one_hot)}, "
                f"but the data has {_named(data.attributes, data.one_hot)}: train a judge on the same data, with the "
                "same names in the same order"
            )
        self._classifier = classifier

    # ------------------------------------------------------------------------------------------ Lightning's hooks

    def on_validation_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self._start(trainer, pl_module)

    def on_test_epoch_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin anew."""
        self._start(trainer, pl_module)

    def on_validation_batch_end(self, trainer: Trainer, pl_module: LightningModule, *step: Any) -> None:
        """Take in a batch's edits."""
        if not trainer.sanity_checking:
            self._update("val", trainer, *step)

    def on_test_batch_end(self, trainer: Trainer, pl_module: LightningModule, *step: Any) -> None:
        """Take in a batch's edits."""
        self._update("test", trainer, *step)

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log, in time for the checkpoint that is chosen by ``val/score``."""
        if trainer.sanity_checking:
            return
        found = self._compute()
        pl_module.log_dict({f"val/{name}": value for name, value in finite(found).items()}, sync_dist=True)
        pl_module.log("val/score", score(found), sync_dist=True)

    def on_test_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Log, write ``metrics.json`` and say it in words."""
        found = finite(self._compute())
        images, edits = (int(self._measures[name].compute()) for name in ("images", "edits"))
        values = {f"test/{name}": value for name, value in found.items()}
        pl_module.log_dict(values, sync_dist=True)
        if trainer.is_global_zero:
            judge = {"judge": self.judge, "judge_sha256": self._classifier.sha256 if self._classifier else None}
            context = {**context_of(trainer, "test", images), "edits": edits, **judge}
            path = write_report(trainer.default_root_dir, values, context)
            print(summary(found, _data(trainer).attributes, images, edits, path))

    # ------------------------------------------------------------------------------------------ measuring

    def _start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        data = _data(trainer)
        self._measures = {
            "images": SumMetric(),
            "edits": SumMetric(),
            "throughput": Throughput(),
            "reconstruction": ReconstructionError(data.attributes),
        }
        if hasattr(data, "counterfactual"):
            self._measures["counterfactual"] = CounterfactualError(data.attributes)
        if self._classifier is not None:
            self._classifier.to(pl_module.device)
            self._measures["edit_accuracy"] = EditAccuracy(data.attributes, data.one_hot)
            self._measures["judge"] = AttributeAccuracy(data.attributes, data.one_hot)
        for measure in self._measures.values():
            measure.to("cpu" if pl_module.device.type == "mps" else pl_module.device)  # that one has no doubles

    @torch.no_grad()
    def _update(self, split: str, trainer: Trainer, outputs: Any, batch: Mapping[str, Tensor], *_: Any) -> None:
        if not isinstance(outputs, Mapping):
            model = type(trainer.lightning_module).__name__
            raise ValueError(f"{model} returns no translations to evaluate: set `evaluate: null` in its configuration")
        edits = Edits.of(batch, outputs)
        self._measures["images"].update(len(batch["image"]))
        self._measures["edits"].update(len(edits.edit))
        self._measures["throughput"].update(outputs["targets"][..., 0].numel(), outputs["seconds"])
        self._measures["reconstruction"].update(edits.reconstruction, edits.source, edits.edit)
        if "counterfactual" in self._measures:
            drawn = _data(trainer).counterfactual(split, edits.index.cpu(), edits.target.cpu())
            truth, mask = (tensor.to(edits.image.device) for tensor in drawn)
            self._measures["counterfactual"].update(edits.image, truth, mask, edits.source, edits.edit)
        if self._classifier is not None:
            seen = self._classifier.predict(edits.image)
            self._measures["edit_accuracy"].update(seen, edits.label, edits.target, edits.edit)
            self._measures["judge"].update(self._classifier.predict(batch["image"]), batch["label"])

    def _compute(self) -> dict[str, float]:
        """Every figure by its name; all processes together."""
        found = {**self._measures["reconstruction"].compute(), **self._measures["throughput"].compute()}
        if "counterfactual" in self._measures:
            truth = self._measures["counterfactual"].compute()
            found.update({f"counterfactual/{name}": value for name, value in truth.items()})
        if "judge" in self._measures:
            found.update(self._measures["edit_accuracy"].compute())
            real = self._measures["judge"].compute()
            found.update({name.replace("accuracy", "judge_accuracy_on_real", 1): real[name] for name in real})
        return found


@dataclass(frozen=True)
class Edits:
    """The N translations of a batch that were asked to change something, each with its source."""

    source: Tensor  # (N, 3, H, W)
    image: Tensor  # (N, 3, H, W)
    reconstruction: Tensor  # (N, 3, H, W)
    label: Tensor  # (N, K)
    target: Tensor  # (N, K)
    index: Tensor  # (N,)   the source's row in its split
    edit: Tensor  # (N,)    the attribute that the edit is about

    @classmethod
    def of(cls, batch: Mapping[str, Tensor], outputs: Any) -> Edits:
        """Out of a batch and what the model's step returned for it (see `Evaluate`)."""
        targets = outputs["targets"]
        row, edit = (targets != batch["label"][:, None]).any(dim=2).nonzero(as_tuple=True)
        return cls(
            source=batch["image"][row],
            image=outputs["images"][row, edit],
            reconstruction=outputs["reconstructions"][row, edit],
            label=batch["label"][row],
            target=targets[row, edit],
            index=batch["index"][row],
            edit=edit,
        )


def score(found: Mapping[str, float]) -> float:
    """``val/score`` as `Evaluate` defines it; infinite where it is no number: never the best."""
    if found.get("counterfactual/l1_copied"):
        value = found["counterfactual/l1"] / found["counterfactual/l1_copied"]
    elif "target_accuracy" in found:
        value = 1 - found["target_accuracy"] + found["reconstruction_l1"]
    else:
        value = found.get("reconstruction_l1", math.inf)
    return value if math.isfinite(value) else math.inf


def summary(found: Mapping[str, float], attributes: tuple[str, ...], images: int, edits: int, path: Path) -> str:
    """A test's figures in words, then a line an attribute; what was not measured is left out."""
    sentences = (
        ("the requested attribute is there     {:.1%}", "target_accuracy"),
        ("  (the judge, on real pictures       {:.1%})", "judge_accuracy_on_real"),
        ("the other attributes are kept        {:.1%}", "kept_accuracy"),
        ("error against the true picture       {:.4f}   (copying the input: {:.4f})", "counterfactual/l1"),
        ("  PSNR in dB                         {:.2f}   ({:.2f})", "counterfactual/psnr"),
        ("  SSIM                               {:.4f}   ({:.4f})", "counterfactual/ssim"),
        ("  inside the true edit mask          {:.4f}   ({:.4f})", "counterfactual/inside_l1"),
        ("change outside the true edit mask    {:.4f}", "counterfactual/outside_change"),
        ("error after going there and back     {:.4f}", "reconstruction_l1"),
        ("images per second                    {:.0f}", "images_per_second"),
    )
    lines = ["", f"Measured on {images:,} test images and {edits:,} edits of them (errors on a scale from 0 to 1):"]
    for sentence, name in sentences:
        if name in found:
            lines.append("  " + sentence.format(found[name], found.get(f"{name}_copied")))
    columns = {"there": "target_accuracy", "kept": "kept_accuracy", "error / copy's": "counterfactual/inside_ratio"}
    columns = {heading: name for heading, name in columns.items() if name in found}
    if columns:
        width = max(len(name) for name in attributes)
        lines += ["", "  " + " " * width + "".join(f"{heading:>16}" for heading in columns)]
        for attribute in attributes:
            cells = [found.get(f"{name}/{attribute}") for name in columns.values()]
            lines.append(
                f"  {attribute:<{width}}" + "".join(f"{'-' if cell is None else f'{cell:.3f}':>16}" for cell in cells)
            )
    return "\n".join([*lines, "", f"All numbers: {path}"])


def _data(trainer: Trainer) -> Any:
    return cast(Any, trainer).datamodule


def _named(attributes: Any, one_hot: bool) -> str:
    return f"the {'classes' if one_hot else 'attributes'} {', '.join(attributes)}"
