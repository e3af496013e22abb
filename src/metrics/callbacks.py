"""From what a translator returns in validation and test to numbers: logged, written, said in words."""

from __future__ import annotations

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, cast

import torch
from pytorch_lightning import Callback, LightningModule, Trainer
from torch import Tensor
from torchmetrics import Metric, SumMetric

from metrics.attributes import AttributeAccuracy, EditAccuracy
from metrics.classifier import AttributeClassifier
from metrics.counterfactual import CounterfactualError
from metrics.intensities import IntensityAgreement, IntensityError
from metrics.masks import MaskAgreement
from metrics.reconstruction import ReconstructionError
from metrics.report import context_of, finite, write_report
from metrics.summary import summary
from metrics.throughput import Throughput

PREFIXES = {"reconstruction": "", "throughput": "", "counterfactual": "counterfactual/", "mask": "mask/", "judged": ""}
ON_REAL = {
    "accuracy": "judge_accuracy_on_real",
    "error": "unit_error_on_real",
    "correlation": "unit_correlation_on_real",
}


class Evaluate(Callback):
    """Measures the edits that a model returns from its validation and test steps.

    The steps return ``images`` (B, E, 3, H, W), one translation for each of the E = K edits of an image, ``targets``
    (B, E, K), ``seconds``, the time the B * E translations took, of a model with a way back ``reconstructions``, the
    same translated back, and of one that draws masks ``masks`` (B, E, 1, H, W) in [0, 1], 1 = a rewritten pixel. Edit e
    is about attribute e; one that asks for the label the image already has is left out. Each figure is logged as
    ``val/…`` or ``test/…``, averaged over the attributes' averages, and for each attribute with its name behind; a
    figure that cannot be measured is absent.

    - with a judge: ``target_accuracy``, ``kept_accuracy`` (attributes; not classes), and ``judge_accuracy_on_real``,
      which bounds what the other two can mean. Generators please judges with pictures that are garbage: look at the
      next line, and at the grid.
    - with a judge of intensities, in place of these: ``unit_error``, how far from what was asked for it sees the unit
      that the edit was about, and ``all_units_error``, over all K units, beside ``…_copied``, what the untouched input
      scores; and its own ``unit_error_on_real`` and ``unit_correlation_on_real``.
    - where the datamodule has ``counterfactual(split, index, label) -> (picture, mask)``: ``counterfactual/l1``,
      ``psnr``, ``ssim``, ``inside_l1``, ``inside_ratio`` and ``outside_change``, beside ``…_copied``, what the
      untouched input scores.
    - with masks: ``mask/area``, their mean, and where the truth is known ``mask/iou`` with the true mask, beside
      ``mask/iou_constant``, the best of a mask that is the same everywhere, and ``mask/inside``, how much of their
      mass lies inside it. What a model moves without repainting it is no part of its mask.
    - always: ``images_per_second`` of one process; and ``reconstruction_l1`` of a model that has a way back.

    Validation also logs ``val/score``, which says which checkpoint is best; lower is better. It is

    - ``counterfactual/l1`` over ``counterfactual/l1_copied``, where the truth is known: below 1 means better than
      doing nothing;
    - otherwise 1 - ``target_accuracy`` + ``reconstruction_l1``, with a judge: neither a copy nor garbage does well in
      both; of intensities ``unit_error`` + ``reconstruction_l1``; without a way back, its first part alone;
    - otherwise ``reconstruction_l1`` alone, which a model that does nothing minimises: give a judge.

    A test ends with ``metrics.json`` in ``trainer.default_root_dir``, and a summary on the console.

    Args:
        judge: a trained `AttributeClassifier`'s checkpoint or run folder, of the data's attributes; None measures
            neither accuracies nor errors of intensities.
    """

    def __init__(self, judge: str | None = None) -> None:
        self.judge = judge
        self._classifier: AttributeClassifier | None = None  # not a part of the model: never trained or saved with it
        self._measures: dict[str, Metric] = {}

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Load the judge, before any time is spent on training.

        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is no judge, or one of other attributes, or of another kind of labels.
        """
        if self.judge is None or self._classifier is not None:
            return
        classifier, data = AttributeClassifier.load(self.judge), _data(trainer)
        told, there = ((tuple(of.attributes), of.one_hot, of.intensities) for of in (classifier, data))
        if told != there:
            raise ValueError(
                f"the judge {self.judge} tells {_named(*told)}, but the data has {_named(*there)}: train a judge on "
                "the same data, with the same names in the same order"
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
        if self._classifier is not None:
            self._classifier.to(pl_module.device)
        self._measures = measures(_data(trainer), judged=self._classifier is not None)
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
        if len(edits.edit) == 0:  # of a model that goes one way, of pictures that are there already
            if self._classifier is not None:
                self._measures["judge"].update(self._classifier.predict(batch["image"]), batch["label"])
            return
        if edits.reconstruction is not None:
            self._measures["reconstruction"].update(edits.reconstruction, edits.source, edits.edit)
        true_mask = None
        if "counterfactual" in self._measures:
            drawn = _data(trainer).counterfactual(split, edits.index.cpu(), edits.target.cpu())
            truth, true_mask = (tensor.to(edits.image.device) for tensor in drawn)
            self._measures["counterfactual"].update(edits.image, truth, true_mask, edits.source, edits.edit)
        self._measures["mask"].update(edits.mask, true_mask, edits.edit)
        if self._classifier is not None:
            self._judge(self._classifier, edits, batch)

    def _judge(self, classifier: AttributeClassifier, edits: Edits, batch: Mapping[str, Tensor]) -> None:
        """Take in what the judge sees in a batch and in its edits."""
        real, seen = classifier.predict(batch["image"]), classifier.predict(edits.image)
        self._measures["judge"].update(real, batch["label"])
        before = real[edits.row] if classifier.intensities else edits.label
        self._measures["judged"].update(seen, before, edits.target, edits.edit)

    def _compute(self) -> dict[str, float]:
        """Every figure by its name; all processes together."""
        found: dict[str, float] = {}
        with warnings.catch_warnings():  # what nothing was asked of is no figure, and no reason to warn
            warnings.filterwarnings("ignore", message="The ``compute`` method of metric")
            for measure, prefix in PREFIXES.items():
                if measure in self._measures:
                    figures = self._measures[measure].compute()
                    found.update({f"{prefix}{name}": value for name, value in figures.items()})
        if "judge" in self._measures:
            found.update(on_real(self._measures["judge"].compute()))
        return found


def measures(data: Any, judged: bool) -> dict[str, Metric]:
    """What `Evaluate` measures of a datamodule, with a judge or without, by name."""
    names = data.attributes
    chosen: dict[str, Metric] = {
        "images": SumMetric(),
        "edits": SumMetric(),
        "throughput": Throughput(),
        "reconstruction": ReconstructionError(names),
        "mask": MaskAgreement(names),
    }
    if hasattr(data, "counterfactual"):
        chosen["counterfactual"] = CounterfactualError(names)
    if judged and data.intensities:
        chosen |= {"judged": IntensityError(names), "judge": IntensityAgreement(names)}
    elif judged:
        chosen |= {"judged": EditAccuracy(names, data.one_hot), "judge": AttributeAccuracy(names, data.one_hot)}
    return chosen


def on_real(found: Mapping[str, float]) -> dict[str, float]:
    """The judge's own figures on real pictures, under names that say so."""
    parts = ((name.partition("/"), value) for name, value in found.items())
    return {f"{ON_REAL[figure]}{slash}{attribute}": value for (figure, slash, attribute), value in parts}


@dataclass(frozen=True)
class Edits:
    """The N translations of a batch that were asked to change something, each with its source."""

    source: Tensor  # (N, 3, H, W)
    image: Tensor  # (N, 3, H, W)
    reconstruction: Tensor | None  # (N, 3, H, W), of a model with a way back
    label: Tensor  # (N, K)
    target: Tensor  # (N, K)
    index: Tensor  # (N,)   the source's row in its split
    row: Tensor  # (N,)     and in the batch
    edit: Tensor  # (N,)    the attribute that the edit is about
    mask: Tensor | None  # (N, 1, H, W), of a model that draws any

    @classmethod
    def of(cls, batch: Mapping[str, Tensor], outputs: Any) -> Edits:
        """Out of a batch and what the model's step returned for it (see `Evaluate`)."""
        targets = outputs["targets"]
        row, edit = (targets != batch["label"][:, None]).any(dim=2).nonzero(as_tuple=True)
        return cls(
            source=batch["image"][row],
            image=outputs["images"][row, edit],
            reconstruction=outputs["reconstructions"][row, edit] if "reconstructions" in outputs else None,
            label=batch["label"][row],
            target=targets[row, edit],
            index=batch["index"][row],
            row=row,
            edit=edit,
            mask=outputs["masks"][row, edit] if "masks" in outputs else None,
        )


def score(found: Mapping[str, float]) -> float:
    """``val/score`` as `Evaluate` defines it; infinite where it is no number: never the best."""
    if found.get("counterfactual/l1_copied"):
        value = found["counterfactual/l1"] / found["counterfactual/l1_copied"]
    elif "target_accuracy" in found:
        value = 1 - found["target_accuracy"] + found.get("reconstruction_l1", 0.0)
    elif "unit_error" in found:
        value = found["unit_error"] + found.get("reconstruction_l1", 0.0)
    else:
        value = found.get("reconstruction_l1", math.inf)
    return value if math.isfinite(value) else math.inf


def _data(trainer: Trainer) -> Any:
    return cast(Any, trainer).datamodule


def _named(attributes: tuple[str, ...], one_hot: bool, intensities: bool) -> str:
    kind = "classes" if one_hot else "intensities of" if intensities else "attributes"
    return f"the {kind} {', '.join(attributes)}"
