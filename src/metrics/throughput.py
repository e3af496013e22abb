"""How fast a translator is."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torchmetrics import Metric


class Throughput(Metric):
    """``images_per_second``: translations by the time they took, of one process (the mean one, if there are
    several)."""

    full_state_update = False
    images: Tensor
    seconds: Tensor

    def __init__(self, **settings: Any) -> None:
        super().__init__(**settings)
        for state in ("images", "seconds"):
            self.add_state(state, torch.zeros((), dtype=torch.float64), dist_reduce_fx="sum")

    def update(self, images: int, seconds: float) -> None:
        """How many translations took how long."""
        self.images += images
        self.seconds += seconds

    def compute(self) -> dict[str, float]:
        """Empty if no time was measured."""
        seconds = self.seconds.item()
        return {"images_per_second": self.images.item() / seconds} if seconds > 0 else {}
