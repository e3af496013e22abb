"""Reference numbers of the authors' networks under synthetic weights, in golden/*.json.

``<network>.keys.json`` lists the names and shapes of an authors' state dict in order; ``<network>.json`` holds what
their network makes of `images` under `weights`, computed in float32 on a CPU. Agreement is to 2e-4 on single values and
to 1e-4 on mean and standard deviation.
"""

import functools
import json
import math
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

FOLDER = Path(__file__).parent / "golden"


def record(name: str) -> dict[str, Any]:
    return json.loads((FOLDER / f"{name}.json").read_text())


def weights(name: str) -> dict[str, Tensor]:
    """The authors' state dict for a network, buffers and all, filled with waves.

    Networks share tensors (three discriminators their largest): do not change them in place.
    """
    return {key: _wave(key, tuple(shape), j) for j, (key, shape) in enumerate(record(f"{name}.keys").items())}


@functools.cache
def _wave(key: str, shape: tuple[int, ...], j: int) -> Tensor:
    if key.endswith("running_mean"):
        return torch.zeros(shape)
    if key.endswith("running_var"):
        return torch.ones(shape)
    if key.endswith("num_batches_tracked"):
        return torch.tensor(0)
    count = math.prod(shape)
    i = torch.arange(count, dtype=torch.float64)
    if len(shape) == 4:
        squares = (torch.arange(997.0) ** 2 % 997).double().repeat(count // 997 + 1)[:count]  # (i * i) % 997
        values = math.sqrt(3 / math.prod(shape[1:])) * torch.sin(1.3 * i + 0.01 * squares + 0.7 * j)
    elif key.endswith(".weight"):
        values = 1 + 0.1 * torch.sin(i + j)
    else:
        values = 0.1 * torch.sin(2 * i + j)
    return values.float().reshape(shape)


def images(batch: int, channels: int, height: int, width: int) -> Tensor:
    """(batch, channels, height, width) in [-1, 1], a wave of its own in each plane."""
    b, c, y, x = torch.meshgrid(*(torch.arange(n).double() for n in (batch, channels, height, width)), indexing="ij")
    return torch.sin(2 * math.pi * ((c + 1) * x / width + (b + 1) * y / height)).float()


def assert_matches(output: Tensor, expected: dict[str, Any]) -> None:
    """Compare an output with one entry of a record."""
    assert list(output.shape) == expected["shape"]
    values = output.flatten()[expected["flat_index"]]
    torch.testing.assert_close(values, torch.tensor(expected["values"]), atol=2e-4, rtol=0)
    summary = torch.stack([output.mean(), output.std(correction=0), output.min(), output.max()])
    told = torch.tensor([expected[name] for name in ("mean", "std", "min", "max")])
    torch.testing.assert_close(summary[:2], told[:2], atol=1e-4, rtol=0)
    torch.testing.assert_close(summary[2:], told[2:], atol=2e-4, rtol=0)
