"""Several processes without a reducer: equal replicas, and one explicit all-reduce per optimizer step.

Lightning's ``ddp`` hangs its reducer on one forward and one backward. Adversarial training has several of each, a
gradient penalty that differentiates twice and parts that freeze and thaw; the reducer then stops with an error or,
worse, lets the replicas drift apart in silence. Averaging the finished gradients once, by hand, is exact in all of
these cases.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as distributed_functions
from pytorch_lightning.strategies import DDPStrategy
from torch import Tensor, nn


class ReplicatedStrategy(DDPStrategy):
    """Launch, process group and rank-0 saving of ``DDPStrategy``; the modules themselves stay unwrapped."""

    def configure_ddp(self) -> None:
        """Give every process the weights and buffers of process 0."""
        assert self.model is not None
        for tensor in [*self.model.parameters(), *self.model.buffers()]:
            dist.broadcast(tensor.data, 0)


def processes() -> int:
    """How many processes train together; 1 outside a process group."""
    return dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1


def average(values: Tensor) -> Tensor:
    """The mean of a tensor over all processes; a bad value anywhere makes it bad everywhere."""
    if processes() > 1:
        dist.all_reduce(values)
        values /= processes()
    return values


def differentiable_average(values: Tensor) -> Tensor:
    """`average`, through which a gradient flows back to every process."""
    if processes() == 1:
        return values
    total: Tensor = distributed_functions.all_reduce(values)
    return total / processes()


def gather(state: dict[str, Tensor]) -> list[dict[str, Tensor]]:
    """What each process holds, by rank: on process 0, which writes the checkpoints; elsewhere an empty list."""
    if processes() == 1:
        return [state]
    everyone: list[Any] = [None] * processes() if dist.get_rank() == 0 else []
    dist.gather_object(state, everyone or None)
    return everyone


def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Replace each gradient by its mean over all processes, in one all-reduce.

    A parameter without a gradient counts as zero, so that every process reduces the same tensors.
    """
    if processes() == 1:
        return
    learning = [parameter for parameter in parameters if parameter.requires_grad]
    for parameter in learning:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
    gradients = [parameter.grad for parameter in learning if parameter.grad is not None]
    if not gradients:
        return
    flat = average(torch.cat([gradient.reshape(-1) for gradient in gradients]))
    parts = flat.split([gradient.numel() for gradient in gradients])
    torch._foreach_copy_(gradients, [part.view_as(gradient) for part, gradient in zip(parts, gradients, strict=True)])


def assert_replicas_agree(module: nn.Module) -> None:
    """Raise if the weights differ between processes, which would mean that an update was not shared."""
    if processes() == 1:
        return
    checksum = torch.stack([parameter.detach().double().sum() for parameter in module.parameters()])
    reference = checksum.clone()
    dist.broadcast(reference, 0)
    agrees = torch.tensor(float(torch.equal(checksum, reference)), device=checksum.device)
    if average(agrees) < 1:
        raise RuntimeError("the weights differ between processes: an update was not the same everywhere")
