"""Adaptive weight induction: a loss's weight that grows until it is felt (SRAGAN, Yang et al., 2018, sect. 3.4)."""

from __future__ import annotations

import torch
from pytorch_lightning.utilities import rank_zero_warn
from torch import Tensor, nn


class AdaptiveWeight(nn.Module):
    """The weight of the self-regularisation, lambda of eq. 1.

    It starts at 0 and grows in steps. The more it weighs, the easier the discriminator's task; once the moving average
    of the discriminator's loss sinks below a threshold (or the generator's adversarial loss rises above one), it stays.
    At equilibrium the first is 2 log 2 = 1.386, the second log 2 = 0.693.

    Its state is in buffers: it is saved with the weights, and a resumed run goes on in mid-ramp.

    Args:
        warmup: updates before it grows; up to four times as many while the loss is beyond the threshold already.
        every: updates between two steps.
        step: what each adds.
        greatest: where it stops growing at the latest.
        rises: the loss that is watched is beyond the threshold when above it.
        threshold: of the loss's moving average.
        patience: how many times in a row, ``every`` updates apart, it must be found beyond.
        decay: of the moving average.
    """

    WARMUP, RAMP, HOLD = range(3)
    value: Tensor  # lambda of eq. 1
    average: Tensor  # of the loss that is watched
    stage: Tensor  # WARMUP, RAMP or HOLD
    updates: Tensor  # since that began
    hits: Tensor  # in a row

    def __init__(
        self,
        warmup: int = 500,
        every: int = 40,
        step: float = 0.2,
        greatest: float = 20.0,
        rises: bool = False,
        threshold: float = 1.0,
        patience: int = 3,
        decay: float = 0.98,
    ) -> None:
        super().__init__()
        self.warmup, self.every, self.step, self.greatest = warmup, every, step, greatest
        self.rises, self.threshold, self.patience, self.decay = rises, threshold, patience, decay
        for name in ("value", "average"):
            self.register_buffer(name, torch.zeros(()))
        for name in ("stage", "updates", "hits"):
            self.register_buffer(name, torch.zeros((), dtype=torch.int64))
        self.average.fill_(torch.nan)

    def restart(self) -> None:
        """Begin anew, at 0."""
        for buffer in self.buffers():
            buffer.zero_()
        self.average.fill_(torch.nan)

    def hold(self) -> None:
        """Keep the weight from now on, wherever it is."""
        self._enter(self.HOLD)

    def observe(self, loss: float) -> None:
        """Take in an update's loss, the mean over the batch and the processes."""
        first = bool(self.average.isnan())
        self.average.fill_(loss if first else self.decay * float(self.average) + (1 - self.decay) * loss)
        self.updates += 1
        updates, stage = int(self.updates), int(self.stage)
        if stage == self.WARMUP and updates >= self.warmup:
            if not self._beyond() or updates >= 4 * self.warmup:
                self._enter(self.RAMP)
        elif stage == self.RAMP and updates % self.every == 0:
            self.hits.fill_(int(self.hits) + 1 if self._beyond() else 0)
            if int(self.hits) >= self.patience:
                self.hold()
            elif int(self.hits) == 0 and float(self.value) >= self.greatest - 1e-9:
                rank_zero_warn(
                    f"the self-regularisation's weight has reached its greatest, {self.greatest:g}, and the loss did "
                    "not stay beyond its threshold: look whether it is felt at all (induction_greatest, "
                    "induction_threshold)"
                )
                self.hold()
            elif int(self.hits) == 0:
                self.value.fill_(min(float(self.value) + self.step, self.greatest))

    def _beyond(self) -> bool:
        average = float(self.average)
        return average > self.threshold if self.rises else average < self.threshold

    def _enter(self, stage: int) -> None:
        self.stage.fill_(stage)
        self.updates.zero_()
