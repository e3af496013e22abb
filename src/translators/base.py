"""Adversarial training, written once.

One iteration is one batch: the discriminator learns, and on every ``n_critic``-th batch the generator does too.
Everything that depends on how far training has come (whose turn it is, the phase, the learning rate, the noise) is a
function of ``global_step``, so that a resumed run continues bit for bit.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import fields, replace
from typing import Any, Literal, Self, cast

import torch
from pytorch_lightning import LightningModule
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn
from torch.optim import Adam, Optimizer

from translators import checkpoints, strategy
from translators.augmentation import augment as augmented
from translators.averaging import MovingAverage
from translators.checks import check_finite, check_least, check_whole
from translators.types import Batch, Phase, Target, Translation

Loss = Callable[[Batch, Target], dict[str, Tensor]]


STEEPEST = 1e8  # a gradient beyond this, of a picture of one colour, say, would fill Adam's memory for good
PRECISIONS = ("32-true", "64-true", "bf16-mixed", "16-mixed")  # the gradient penalty needs 32 bits or more


class DivergedError(RuntimeError):
    """Too many updates in a row were not finite; the weights are those of the last finite one."""


class Translator(LightningModule, ABC):
    """Two players, ``generator`` and ``discriminator``, and the game between them.

    A subclass makes the two networks and says how an image is translated and what each player loses.

    Args:
        attributes: the K names of the label's columns, in order; a checkpoint knows its attributes by them.
        one_hot: exactly one attribute is on (a class), where otherwise each is on or off by itself.
        phases: the stretches of training; the run ends with the last. None takes the paper's, ``schedule``.
        start: checkpoint or run folder whose weights a new run starts from, as to go on with other data or, where a
            model grows in stages, from the stage before. A run that is resumed has its own.
        n_critic: discriminator updates per generator update.
        lr: Adam's learning rate, of both players.
        betas: Adam's moments' decay.
        clip_norm: greatest norm of a player's gradient; 0 leaves it as it is.
        augment: show the discriminator every image, real or generated, in another light, place and size; an addition of
            this project for small data, where it is what keeps edits visible (`translators.augmentation`).
        accumulate: parts that a batch is worked through in, to save memory; the update stays the same, but for what
            goes by a batch's statistics.
        ema_decay: decay of the generator's moving average, which then is what validates, draws and is published; 0 for
            none.
        channels_last: memory layout of the images and weights; pays on GPUs and on CPUs with matrix units.
        compile: compile both networks in place; pays on long runs.
        max_skipped: updates of one player in a row that are skipped for not being finite, before training stops.
        seed: of the noise drawn in training, with the step and the process.
    """

    generator: nn.Module
    discriminator: nn.Module
    schedule: tuple[Phase, ...]  # the paper's phases
    bound_to_weights: tuple[str, ...] = ()  # settings that no shape tells, without which the weights mean another thing
    guide: Literal["label", "reference"] = "label"  # which of a target decides what an image becomes
    returns: bool = True  # there is a way back from a translation to its source

    def __init__(
        self,
        attributes: Sequence[str],
        one_hot: bool = False,
        phases: Sequence[Phase] | None = None,
        start: str | None = None,
        n_critic: int = 1,
        lr: float = 1e-4,
        betas: tuple[float, float] = (0.5, 0.999),
        clip_norm: float = 0.0,
        augment: bool = False,
        accumulate: int = 1,
        ema_decay: float = 0.0,
        channels_last: bool = False,
        compile: bool = False,
        max_skipped: int = 20,
        seed: int = 0,
    ) -> None:
        super().__init__()
        if isinstance(attributes, str) or not attributes:
            raise ValueError(f"attributes must be a list of names, at least one to change, got {attributes!r}")
        if phases is not None and not phases:
            raise ValueError("phases is empty: give at least one, or none at all for the paper's")
        if len(set(attributes)) < len(attributes):
            raise ValueError(f"name each attribute once, got {list(attributes)}")
        if not 0 < lr < math.inf:
            raise ValueError(f"lr must be a finite number above 0, got {lr}")
        check_least(0, clip_norm=clip_norm)
        check_least(1, n_critic=n_critic, accumulate=accumulate, max_skipped=max_skipped)
        self.save_hyperparameters(ignore=("phases", "start"))
        lambdas = {name: value for name, value in self.hparams.items() if name.startswith("lambda_")}
        lambdas = {name: value for name, value in lambdas.items() if value is not None}
        check_least(0, **lambdas)
        check_finite(**lambdas)
        self._start = start
        self.attributes = tuple(attributes)
        self.phases = tuple(self.schedule if phases is None else phases)
        self.phase = self.phases[0]
        self.automatic_optimization = False
        self._phase_entered = -1  # the step at which the current phase was set up
        self.average = MovingAverage(ema_decay)
        self._skipped = {"total": 0, "discriminator": 0, "generator": 0}  # of all; of each player in a row
        self._noted: dict[str, Tensor] = {}

    # ------------------------------------------------------------------------------------------ what a paper says

    @abstractmethod
    def translate(self, image: Tensor, target: Target) -> Translation:
        """The model of the paper, differentiable; image (B, 3, H, W) in [-1, 1]."""

    @abstractmethod
    def discriminator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Unweighted, named terms of the discriminator's loss; the generator is frozen meanwhile."""

    @abstractmethod
    def generator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Unweighted, named terms of the generator's loss; the discriminator is frozen meanwhile."""

    def discriminator_losses(self) -> Sequence[Loss]:
        """The discriminator's updates in one iteration: one, of all terms, unless a paper's code makes several."""
        return (self.discriminator_loss,)

    def sample_target(self, batch: Batch) -> Target:
        """What this batch shall become; drawn once per iteration, both players see the same."""
        return Target(label=batch["reference_label"], reference=batch["reference"], source_label=batch["label"])

    def shown(self, images: Tensor) -> Tensor:
        """What the discriminator sees of images (B, 3, H, W), real ones and generated."""
        return augmented(images) if self.hparams["augment"] else images

    def weight(self, term: str) -> float:
        """The constructor argument ``lambda_<term>``; 1 for the adversarial term where a paper gives it none."""
        name = f"lambda_{term}"
        if name not in self.hparams and term == "adv":
            return 1.0
        return float(self.hparams[name])

    def observe(self, player: str, terms: Mapping[str, Tensor]) -> None:
        """Hear what a player lost in an update that was applied, averaged over the batch and the processes."""

    def on_phase_start(self, phase: Phase) -> None:
        """A phase begins, at its first iteration; not where a run is resumed within it."""

    def lr_scale(self, step: int) -> float:
        """Factor on the learning rate: the phase's ``rate``, which falls over its last iterations to ``final``."""
        phase, start = self._phase_at(step)
        if not phase.decay:
            return phase.rate
        fallen = max(0, step - (start + phase.steps - phase.decay))  # iterations into the decay
        if phase.stairs:
            stair = phase.decay // phase.stairs
            fallen = fallen // stair * stair
        return phase.rate * (phase.final + (1 - phase.final) * (1 - fallen / phase.decay))

    # ------------------------------------------------------------------------------------------ the game

    def forward(self, image: Tensor, target: Target, **options: Any) -> Translation:
        """`translate`, with what else it takes, for images of any precision.

        Raises:
            ValueError: also if a pixel, or a number of the target, is not finite.
        """
        for name, part in {"image": image, **vars(target)}.items():
            if part is not None:
                check_whole(name, part)
        return self.translate(image.to(self.dtype) if image.is_floating_point() else image, target, **options)

    def training_step(self, batch: Batch, batch_idx: int) -> None:
        """One iteration: the discriminator's update and, on every ``n_critic``-th, the generator's."""
        discriminator_optimizer, generator_optimizer = self.trainer.optimizers
        generator_turn = (self.global_step + 1) % self.hparams["n_critic"] == 0
        target = self.sample_target(batch)
        for loss in self.discriminator_losses():
            self._update("discriminator", discriminator_optimizer, loss, batch, target)
        self._count_iteration()
        if generator_turn:
            self._update("generator", generator_optimizer, self.generator_loss, batch, target)
            self.average.update(self.generator)

    def _update(self, player: str, optimizer: Optimizer, loss: Loss, batch: Batch, target: Target) -> None:
        """One player's gradients, averaged over the processes, checked, and applied."""
        optimizer.zero_grad(set_to_none=True)
        with self.toggled_optimizer(optimizer):  # the other player needs no gradient: no detach() in subclasses
            parameters = [parameter for parameter in _parameters(optimizer) if parameter.requires_grad]
            if not parameters:
                return
            terms = self._backward(loss, batch, target)
            strategy.average_gradients(parameters)
            if self._finite(player, terms, parameters):
                self.log_dict({f"{player}/{name}": figure for name, figure in self._noted.items()})
                self.trainer.strategy.optimizer_step(optimizer, lambda: None)
                self.observe(player, terms)

    def note(self, **figures: Tensor) -> None:
        """Have figures, of one value each, logged beside a loss's terms: what a paper's reader would watch."""
        self._noted = {name: figure.detach() for name, figure in figures.items()}

    def _backward(self, loss: Loss, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Gradients of the weighted sum; returns the mean of each term over the batch and the processes."""
        parts = _parts(batch, target, self.hparams["accumulate"])
        self._noted = {}
        means: dict[str, Tensor] = {}
        for part_batch, part_target in parts:
            terms = loss(part_batch, part_target)
            total = torch.stack([self.weight(name) * term for name, term in terms.items()]).sum() / len(parts)
            self.manual_backward(total)
            for name, term in terms.items():
                means[name] = means.get(name, 0) + term.detach() / len(parts)
        averaged = strategy.average(torch.stack([term.to(self.dtype) for term in means.values()]))
        return dict(zip(means, averaged, strict=True))

    def _finite(self, player: str, terms: dict[str, Tensor], parameters: list[nn.Parameter]) -> bool:
        """Log the terms and say whether the update may be applied; the same on every process."""
        values = torch.stack(list(terms.values()))
        steepest = values.new_zeros(())
        if not self._scales_gradients:  # a loss scaler skips infinite gradients by itself
            gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
            steepest = torch.stack(torch._foreach_norm(gradients)).max().to(values)
        if torch.isfinite(values).all() & (steepest < STEEPEST):
            self._skipped[player] = 0
            self.log_dict({f"{player}/{name}": term for name, term in terms.items()}, prog_bar=True)
            return True
        self._skipped["total"] += 1
        self._skipped[player] += 1
        self.log("skipped_updates", float(self._skipped["total"]))
        if self._skipped[player] >= self.hparams["max_skipped"]:
            shown = ", ".join(f"{player}/{name} = {value:.4g}" for name, value in terms.items())
            raise DivergedError(
                f"stopped at iteration {self.global_step}: {self._skipped[player]} {player} updates in a row were not "
                f"finite, or as good as infinite ({shown}, greatest gradient {steepest:.4g}). "
                f"{self._last_checkpoint()} Resume from it with a lower learning rate, with clip_norm or in full "
                "precision, or look for bad images."
            )
        return False

    def _last_checkpoint(self) -> str:
        try:
            return f"The last good checkpoint is {checkpoints.newest(self.trainer.default_root_dir)}."
        except FileNotFoundError:
            return "No checkpoint had been written yet."

    def _count_iteration(self) -> None:
        """Move ``global_step`` by one, whatever was stepped or skipped: it counts batches everywhere."""
        progress = self.trainer.fit_loop.epoch_loop.manual_optimization.optim_step_progress
        progress.increment_ready()
        progress.increment_completed()

    @property
    def _scales_gradients(self) -> bool:
        return self.trainer.precision == "16-mixed"

    # ------------------------------------------------------------------------------------------ the course of training

    def setup(self, stage: str) -> None:
        """Let the run end with its last phase, unless ``max_steps`` ends it sooner."""
        if self.trainer.precision not in PRECISIONS:
            raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {self.trainer.precision}")
        if stage == "fit":
            if getattr(cast(Any, self.trainer).datamodule, "parts", None) and "parts" not in self.hparams:
                raise ValueError(
                    f"{type(self).__name__} cannot keep apart the labels of several datasets: take one of these alone, "
                    "or a model with the argument parts, such as StarGAN"
                )
            self._check_phases()
            loop = self.trainer.fit_loop.epoch_loop
            total = sum(phase.steps for phase in self.phases)
            if loop.max_steps > total:
                rank_zero_warn(
                    f"max_steps is {loop.max_steps}, but the phases end after {total} iterations: so will this"
                )
            loop.max_steps = total if loop.max_steps < 0 else min(loop.max_steps, total)
            if self.hparams["compile"]:
                for player in (self.generator, self.discriminator):
                    for network in player.children() if isinstance(player, nn.ModuleDict) else (player,):
                        network.compile()
        if self.hparams["channels_last"]:
            self.to(memory_format=torch.channels_last)

    def _check_phases(self) -> None:
        """Refuse phases that name parts which are not there."""
        known = dict(self.named_modules())
        for phase in self.phases:
            for name in phase.learns:
                if name not in known:
                    raise ValueError(f"phase {phase.name!r} learns {name!r}, which is no part of {type(self).__name__}")

    def _warn_of_idle_parts(self) -> None:
        """Say which parts of the players no phase trains: whole ones by one name."""
        known = dict(self.named_modules())
        taught = {id(each) for phase in self.phases for name in phase.learns for each in known[name].parameters()}
        idle: list[str] = []
        for name, part in known.items():  # what holds others comes before them
            own = [id(each) for each in part.parameters()]
            named = any(name.startswith(f"{whole}.") for whole in idle)
            if name.startswith(("generator", "discriminator")) and own and taught.isdisjoint(own) and not named:
                idle.append(name)
        if idle:
            rank_zero_warn(
                f"no phase trains {', '.join(idle)}, which stay as they were initialised: name them in what a phase "
                "learns, or start from weights (--model.init_args.start=runs/…)"
            )

    def on_fit_start(self) -> None:
        """Take the weights to start from; only here does the trainer say whether it resumes a run."""
        if self.trainer.ckpt_path is not None:
            return
        if self._start is None:
            self._warn_of_idle_parts()
        else:
            self.start_from(Translator.load(self._start))

    def start_from(self, other: Translator) -> None:
        """Take over the weights of a trained translator, which a new run begins with.

        Raises:
            ValueError: if it is of another kind, of other widths, depths or number of attributes, or has the same
                attributes in another order. Other names are welcome: a model may go on to other attributes.
        """
        checkpoint = {"state_dict": other.state_dict(), "hyper_parameters": other.hparams}
        _check_kind(self, type(other).__name__)
        _check_fit(self, checkpoint)
        check_meaning(self, other, self.bound_to_weights)
        self.load_state_dict(other.state_dict())

    def configure_optimizers(self) -> list[Optimizer]:
        """One Adam for each player, over all of its parameters; what a phase freezes has no gradient."""
        settings: dict[str, Any] = {"lr": self.hparams["lr"], "betas": tuple(self.hparams["betas"])}
        if not self._scales_gradients:  # the fused kernel unscales by itself, out of clip_norm's reach
            settings["fused"] = True
        return [Adam(player.parameters(), **settings) for player in (self.discriminator, self.generator)]

    def on_before_optimizer_step(self, optimizer: Optimizer) -> None:
        """Clip here, where a loss scaler has already unscaled the gradients.

        Not by Lightning's ``clip_gradients``: under any mixed precision it refuses a fused optimizer.
        """
        if self.hparams["clip_norm"]:
            nn.utils.clip_grad_norm_(_parameters(optimizer), self.hparams["clip_norm"])

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Lay the images out like the weights."""
        if self.hparams["channels_last"]:
            for name in ("image", "reference"):
                batch[name] = batch[name].contiguous(memory_format=torch.channels_last)
        return batch

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        """Set what depends on the step: the noise, the phase, the learning rate."""
        step = self.global_step
        torch.manual_seed((self.hparams["seed"] * 1_000_003 + step) * 1024 + self.global_rank)
        phase, start = self._phase_at(step)
        if start != self._phase_entered:
            self._enter(phase, forget=step == start > 0)
            self._phase_entered = start
            if step == start:
                self.on_phase_start(phase)
        rate = self.hparams["lr"] * self.lr_scale(step)
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def _phase_at(self, step: int) -> tuple[Phase, int]:
        """The phase an iteration belongs to, and the iteration it starts at; after the end, the last."""
        start = 0
        for phase in self.phases[:-1]:
            if step < start + phase.steps:
                return phase, start
            start += phase.steps
        return self.phases[-1], start

    def _enter(self, phase: Phase, forget: bool) -> None:
        """Freeze what the phase does not train and thaw what it does; forget Adam's moments at its first iteration."""
        self.phase = phase
        known = dict(self.named_modules())
        for player in ("generator", "discriminator"):
            known[player].requires_grad_(False).eval()
        for name in phase.learns:
            known[name].requires_grad_(True).train()
        if forget:
            for optimizer in self.trainer.optimizers:
                optimizer.state.clear()

    # ------------------------------------------------------------------------------------------ looking at the result

    def averaged(self) -> AbstractContextManager[None]:
        """Within, the generator is its moving average, where there is one, in eval mode and without gradients."""
        return self.average.inside(self.generator)

    def validation_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """`translate_edits`."""
        return self.translate_edits(batch)

    def test_step(self, batch: Batch, batch_idx: int) -> dict[str, Any]:
        """`translate_edits`."""
        return self.translate_edits(batch)

    def edit(self, batch: Batch, label: Tensor) -> Target:
        """What to ask for in validation, tests and grids, so that a batch's images get a label, (B, K)."""
        return Target(label=label, reference=batch["reference"], source_label=batch["label"])

    def wish(self, label: Tensor, own: Tensor | None = None) -> Target:
        """What to ask for so that pictures get a label, (B, K); of which their own, as much, is known or nothing."""
        return Target(label=label, source_label=own)

    def attainable(self, label: Tensor, edits: Tensor) -> Tensor:
        """Of the edits (B, E, K) of images with a label (B, K) those that this model can make; the others become that
        label, which asks for nothing."""
        return edits

    def translate_edits(self, batch: Batch) -> dict[str, Any]:
        """Every edit the data proposes for a batch, and the way back, by the source as the reference.

        Where a reference decides, there is one translation, to the batch's references. It stands for an edit of every
        attribute in which image and reference differ.

        Returns:
            ``targets`` (B, E, K), ``images`` (B, E, 3, H, W) in [-1, 1], of a model with a way back
            ``reconstructions``, as many, of a model with masks ``masks`` (B, E, 1, H, W) in [0, 1], and ``seconds``,
            the time that so many translations took.
        Raises:
            ValueError: if the trainer has no datamodule.
        """
        data = cast(Any, self.trainer).datamodule
        if data is None:
            raise ValueError("which edits to show is the datamodule's to say: give the trainer one, not bare loaders")
        label, edits = batch["label"], self.attainable(batch["label"], data.edits(batch["label"]))
        goals = [self.edit(batch, wanted) for wanted in edits.unbind(dim=1)]
        repeats = 1
        if self.guide == "reference":
            goals, repeats = [self.sample_target(batch)], edits.shape[1]
            edits = _towards(batch["reference_label"], label, data.one_hot)
        shown: dict[str, list[Tensor]] = {"images": [], "masks": [], "reconstructions": []}
        seconds = 0.0
        with self.averaged():
            for goal in goals:
                start = _clock(self.device)
                translation = self.translate(batch["image"], goal)
                seconds += _clock(self.device) - start
                shown["images"].append(translation.image.float())
                if translation.mask is not None:
                    shown["masks"].append(translation.mask.float())
                if self.returns:
                    source = Target(label=label, reference=batch["image"], source_label=goal.label)
                    shown["reconstructions"].append(self.translate(translation.image, source).image.float())
        pictures = {name: torch.stack(parts * repeats, dim=1) for name, parts in shown.items() if parts}
        return {"targets": edits, **pictures, "seconds": seconds * repeats}

    def on_validation_start(self) -> None:
        """Several processes must still hold the same weights."""
        strategy.assert_replicas_agree(self)

    # ------------------------------------------------------------------------------------------ checkpoints

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Add what is not a weight: whose checkpoint this is, the generator's average, the count of skipped updates."""
        checkpoint["translator"] = {
            "name": type(self).__name__,
            "average": {name: weight.cpu() for name, weight in self.average.weights.items()},
            "skipped": dict(self._skipped),
            "processes": strategy.gather(self.process_state()),
        }

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Take it back.

        Raises:
            ValueError: if another kind of model wrote the checkpoint, or one of other widths, depths or attributes.
        """
        _check_kind(self, checkpoint.get("translator", {}).get("name", "another model"))
        _check_fit(self, checkpoint)
        _check_same(self, checkpoint, ("attributes", "one_hot", *self.bound_to_weights))
        self.average.weights = checkpoint["translator"]["average"]
        self._skipped = checkpoint["translator"]["skipped"]
        states = checkpoint["translator"].get("processes", [])  # there is none in those of earlier versions
        if self._trainer is None or not self.trainer.training or not any(states):
            return
        if len(states) == self.trainer.world_size:
            self.restore_process_state(states[self.trainer.global_rank])
        else:
            rank_zero_warn(
                f"this checkpoint is of {len(states)} processes, there are {self.trainer.world_size}: what each of "
                "them remembered (generated images) is forgotten"
            )

    def process_state(self) -> dict[str, Tensor]:
        """What this process remembers beside weights and buffers, which are the same in all: for the checkpoint."""
        return {}

    def restore_process_state(self, state: dict[str, Tensor]) -> None:
        """Remember what `process_state` returned on this process of the run that is resumed."""

    @classmethod
    def load(cls, path: str) -> Self:
        """A trained translator, ready to use: in eval mode, with the generator's average in place of its last weights.

        ``Translator.load`` finds the class by itself; ``StarGAN.load`` insists on its own.

        Args:
            path: a checkpoint of this project, or a run folder, whose newest intact checkpoint is taken.
        Raises:
            FileNotFoundError: if there is none.
            ValueError: if it is damaged, unsafe, or of another model.
        """
        import translators

        checkpoint = checkpoints.read(checkpoints.resolve(path))
        name = checkpoint.get("translator", {}).get("name")
        if name is None or name not in translators.__all__:
            raise ValueError(f"{path} is no translator's checkpoint")
        model_class = getattr(translators, name) if cls is Translator else cls
        if name != model_class.__name__:
            raise ValueError(f"{path} is a checkpoint of {name}: read it by {name}.load, or by Translator.load")
        settings = {key: value for key, value in checkpoint["hyper_parameters"].items() if not key.startswith("_")}
        model = model_class(**settings)
        model.on_load_checkpoint(checkpoint)
        model.load_state_dict(checkpoint["state_dict"])
        model.average.swap(model.generator)
        model.average.weights = {}
        return model.eval()


def _towards(reference_label: Tensor, label: Tensor, one_hot: bool) -> Tensor:
    """Edits (B, K, K) that a reference stands for: the k-th is its label where it has an attribute k of its own."""
    differs = reference_label != label
    if one_hot:  # a domain is edited where it is the reference's
        differs = differs & (reference_label == 1)
    return torch.where(differs[:, :, None], reference_label[:, None], label[:, None])


def _check_kind(model: Translator, name: str) -> None:
    if name != type(model).__name__:
        raise ValueError(
            f"this checkpoint is of {name}, the model is {type(model).__name__}: choose the one that made it"
        )


def check_meaning(model: Translator, other: Translator, settings: Iterable[str] = ()) -> None:
    """Refuse to start from weights that know the same attributes in another order, or were trained otherwise.

    Raises:
        ValueError: saying what differs.
    """
    theirs, ours = other.attributes, model.attributes
    if theirs != ours and sorted(theirs) == sorted(ours):
        raise ValueError(
            f"the weights to start from know the attributes in another order than {', '.join(ours)}: take theirs, "
            f"--data.init_args.attributes=[{','.join(theirs)}]"
        )
    _check_same(model, {"hyper_parameters": other.hparams}, ("one_hot", *settings))


def _check_same(model: Translator, checkpoint: Mapping[str, Any], names: Iterable[str]) -> None:
    """Refuse weights that were trained with other values of these settings."""
    theirs, ours = checkpoint["hyper_parameters"], model.hparams
    for name in names:
        if name in theirs and _plain(theirs[name]) != _plain(ours[name]):
            before, now = _plain(theirs[name]), _plain(ours[name])
            raise ValueError(
                f"these weights were trained with {name} {before}, the model has {now}: give it the same, or train anew"
            )


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _check_fit(model: Translator, checkpoint: Mapping[str, Any]) -> None:
    shapes, wanted = (
        {name: t.shape for name, t in of.items()} for of in (checkpoint["state_dict"], model.state_dict())
    )
    if shapes != wanted:
        theirs, ours = checkpoint["hyper_parameters"], model.hparams
        changed = [
            f"{key} {theirs[key]}, here {ours[key]}" for key in ours if key in theirs and theirs[key] != ours[key]
        ]
        raise ValueError(
            f"this checkpoint does not fit: its weights have other shapes than the model's. What differs: "
            f"{'; '.join(changed) or 'the code'}. Give the model the checkpoint's settings; "
            "to go on from one stage to the next, name it as --model.init_args.start"
        )


def _parameters(optimizer: Optimizer) -> list[nn.Parameter]:
    return [parameter for group in optimizer.param_groups for parameter in group["params"]]


def _parts(batch: Batch, target: Target, count: int) -> list[tuple[Batch, Target]]:
    """A batch and its target in ``count`` equal parts."""
    if count == 1:
        return [(batch, target)]
    size = len(batch["image"])
    if size % count:
        raise ValueError(f"accumulate={count} must divide the batch size, {size}")
    goal = {field.name: getattr(target, field.name) for field in fields(target)}
    slices = [slice(start, start + size // count) for start in range(0, size, size // count)]
    return [(cast(Batch, _rows(batch, rows)), replace(target, **_rows(goal, rows))) for rows in slices]


def _rows(tensors: Mapping[str, Any], rows: slice) -> dict[str, Any]:
    return {name: tensor if tensor is None else tensor[rows] for name, tensor in tensors.items()}


def _clock(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
