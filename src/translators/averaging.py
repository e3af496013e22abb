"""The generator's moving average: what validates, draws and is published in place of its last weights."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class MovingAverage:
    """An exponential moving average of a network's parameters; buffers stay the network's own.

    Args:
        decay: of the average, in [0, 1); 0 keeps none.
    """

    def __init__(self, decay: float) -> None:
        if not 0 <= decay < 1:
            raise ValueError(f"ema_decay must lie in [0, 1), got {decay}")
        self.decay = decay
        self.weights: dict[str, Tensor] = {}  # by parameter name; empty before the first update

    @torch.no_grad()
    def update(self, network: nn.Module) -> None:
        """Move by ``1 - decay`` towards the network; the first time, to where it is."""
        if not self.decay:
            return
        live = {name: parameter.detach() for name, parameter in network.named_parameters()}
        if not self.weights:
            self.weights = {name: parameter.clone() for name, parameter in live.items()}
        self.weights = {name: weight.to(live[name].device) for name, weight in self.weights.items()}
        torch._foreach_lerp_(list(self.weights.values()), list(live.values()), 1 - self.decay)

    @torch.inference_mode(False)  # what is moved in there could not be learnt with any more
    def swap(self, network: nn.Module) -> None:
        """Exchange the network's parameters and the average; twice is as if never."""
        for name, parameter in network.named_parameters():
            if name in self.weights:
                live = parameter.data
                parameter.data = self.weights[name].to(live.device)
                self.weights[name] = live

    @contextmanager
    def inside(self, network: nn.Module) -> Iterator[None]:
        """Within, the network is its average, in eval mode and without gradients."""
        training = {module: module.training for module in network.modules()}
        self.swap(network)
        network.eval()
        try:
            with torch.no_grad():
                yield
        finally:
            self.swap(network)
            for module, mode in training.items():
                module.training = mode
