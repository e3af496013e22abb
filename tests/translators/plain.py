"""Networks and losses that several models share, by the papers and by hand, from the weights alone."""

import pytest
import torch
from torch.nn import functional


def instance_norm(x, scale=1.0, shift=0.0):
    """With scale and shift of each channel, (C,), or none."""
    mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
    scale, shift = (torch.as_tensor(value).view(-1, 1, 1) for value in (scale, shift))
    return (x - mean) / (variance + 1e-5).sqrt() * scale + shift


def plain_generator(weights, image, label, blocks):
    def norm(x, name):
        return instance_norm(x, weights[f"{name}.weight"], weights[f"{name}.bias"])

    planes = torch.stack([torch.stack([bit * torch.ones_like(image[0, 0]) for bit in row]) for row in label])
    x = functional.conv2d(torch.cat([image, planes], 1), weights["main.0.weight"], padding=3)
    x = norm(x, "main.1").clamp(min=0)
    for conv in (3, 6):
        x = functional.conv2d(x, weights[f"main.{conv}.weight"], stride=2, padding=1)
        x = norm(x, f"main.{conv + 1}").clamp(min=0)
    for block in range(9, 9 + blocks):
        y = functional.conv2d(x, weights[f"main.{block}.main.0.weight"], padding=1)
        y = norm(y, f"main.{block}.main.1").clamp(min=0)
        x = x + norm(functional.conv2d(y, weights[f"main.{block}.main.3.weight"], padding=1), f"main.{block}.main.4")
    for conv in (9 + blocks, 12 + blocks):
        x = functional.conv_transpose2d(x, weights[f"main.{conv}.weight"], stride=2, padding=1)
        x = norm(x, f"main.{conv + 1}").clamp(min=0)
    return torch.tanh(functional.conv2d(x, weights[f"main.{15 + blocks}.weight"], padding=3))


def plain_discriminator(weights, x, depth):
    for level in range(depth):
        conv = f"main.{2 * level}"
        x = functional.conv2d(x, weights[f"{conv}.weight"], weights[f"{conv}.bias"], stride=2, padding=1)
        x = torch.where(x > 0, x, 0.01 * x)
    scores = functional.conv2d(x, weights["conv1.weight"], padding=1)
    logits = (x[:, None] * weights["conv2.weight"]).sum((2, 3, 4))
    return scores, logits


def plain_attribute_loss(logits, label, one_hot):
    if one_hot:
        probability = logits.exp() / logits.exp().sum(1, keepdim=True)
        return -(label * probability.log()).sum(1).mean()
    probability = 1 / (1 + (-logits).exp())
    return -(label * probability.log() + (1 - label) * (1 - probability).log()).sum(1).mean()


def plain_penalty(weights, mixed, depth, step=1e-6):
    """By central differences, pixel by pixel: no automatic differentiation."""
    norms = []
    for image in mixed:
        nudges = step * torch.eye(image.numel(), dtype=image.dtype).view(-1, *image.shape)
        above, below = (
            plain_discriminator(weights, image + sign * nudges, depth)[0].sum((1, 2, 3)) for sign in (1, -1)
        )
        norms.append(((above - below) / (2 * step)).square().sum().sqrt())
    return (torch.stack(norms) - 1).square().mean()


def equal(terms, expected):
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(float(value), rel=1e-6), name
