import math

import pytest
import torch
from torch import nn

from translators import ADSPM, GANimation
from translators.layers import (
    AttributeDiscriminator,
    BatchNorm2d,
    ResidualBlock,
    Sigmoid,
    Tanh,
    decoding,
    encoding,
    initialise_he,
    with_planes,
)


def test_a_label_becomes_constant_planes_behind_the_image():
    image, label = torch.rand(2, 3, 4, 5), torch.tensor([[1, 0], [0.25, 1]])
    seen = with_planes(image, label)
    assert torch.equal(seen[:, :3], image)
    assert torch.equal(seen[:, 3:], label[:, :, None, None].expand(2, 2, 4, 5))


def test_the_way_in_is_to_a_quarter_and_the_way_out_back_again():
    x = torch.rand(1, 5, 16, 24)
    inside = nn.Sequential(*encoding(5, width=2, blocks=1))(x)
    assert inside.shape == (1, 8, 4, 6)
    assert nn.Sequential(*decoding(width=2))(inside).shape == (1, 2, 16, 24)


def test_a_batch_norm_may_go_by_each_image_outside_training():
    """In training, and by the running statistics, it is the framework's own."""
    x = 3 * torch.rand(4, 2, 5, 5) + 1
    plain, norm = nn.BatchNorm2d(2), BatchNorm2d(2)
    for module in (plain, norm):
        nn.init.constant_(module.weight, 1.5)
        nn.init.constant_(module.bias, 0.25)
    assert torch.equal(norm(x), plain(x))
    assert torch.equal(norm.eval()(x), plain.eval()(x))
    norm.by_image = True
    found = norm(x)
    torch.testing.assert_close(found.mean((2, 3)), torch.full((4, 2), 0.25))
    torch.testing.assert_close(found.std((2, 3), correction=0), torch.full((4, 2), 1.5), rtol=1e-4, atol=0)


def test_a_batch_norm_does_not_remember_what_is_not_finite():
    norm, good = BatchNorm2d(2), torch.rand(4, 2, 5, 5)
    norm(good)
    before = norm.running_mean.clone(), norm.running_var.clone()
    bad = good.clone()
    bad[1, 1, 2, 3] = math.nan
    norm(bad)
    assert norm.running_mean[1] == before[0][1]
    assert norm.running_var[1] == before[1][1]
    assert norm.running_mean[0] != before[0][0]


def test_a_residual_block_of_zeros_is_the_identity():
    block, x = ResidualBlock(3), torch.rand(2, 3, 4, 4)
    nn.init.zeros_(block.main[4].weight)
    nn.init.zeros_(block.main[4].bias)
    assert torch.equal(block(x), x)


def test_channels_double_up_to_32_widths():
    trunk = AttributeDiscriminator(2, image_size=256, width=1, depth=8).main
    assert [layer.out_channels for layer in trunk if isinstance(layer, nn.Conv2d)] == [1, 2, 4, 8, 16, 32, 32, 32]


def test_he_keeps_the_size_of_a_signal_where_the_framework_loses_it():
    """After each leaky ReLU the mean square stays what it was (He et al., eq. 10 and 15); biases are zero."""
    torch.manual_seed(0)
    x = torch.randn(8, 16, 32, 32)
    layers = [nn.Conv2d(16, 16, 3, padding=1, padding_mode="circular") for _ in range(6)]
    network = nn.Sequential(*(part for layer in layers for part in (layer, nn.LeakyReLU(0.01))))
    lost = network(x).square().mean()
    initialise_he(network)
    kept = network(x).square().mean()
    assert lost < 0.01
    assert 0.3 < kept < 3
    assert all(not layer.bias.any() for layer in layers)
    spread = layers[0].weight.std()
    assert spread.item() == pytest.approx(math.sqrt(2 / (1 + 0.01**2) / (16 * 9)), rel=0.05)


@pytest.mark.parametrize("model", [ADSPM, GANimation])
def test_he_is_for_the_judges_alone(model):
    def made(he_init):
        torch.manual_seed(0)
        sizes = {"image_size": 16, "generator_width": 4, "discriminator_width": 8, "depth": 2}
        return model(["AU1", "AU12"], he_init=he_init, **sizes)

    plain, drawn = made(False), made(True)
    own = "generator.image" if model is ADSPM else "generator"
    for name, weight in plain.get_submodule(own).named_parameters():
        assert torch.equal(weight, drawn.get_submodule(own).get_parameter(name))
    for name, module in drawn.named_modules():
        if isinstance(module, nn.Conv2d) and not name.startswith(own) and module.weight.numel() > 500:
            fan_in = module.weight[0].numel()
            assert module.weight.std().item() == pytest.approx(math.sqrt(2 / fan_in), rel=0.15), name


@pytest.mark.parametrize(("end", "x"), [(Tanh(), 5.0), (Tanh(), -5.0), (Sigmoid(), 10.0), (Sigmoid(), -10.0)])
def test_what_has_saturated_in_a_half_still_has_the_gradient_of_calculus(end, x):
    x = torch.tensor([x], dtype=torch.bfloat16, requires_grad=True)
    y = end(x)
    y.sum().backward()
    exactly = x.detach().double()
    slope = 1 / exactly.cosh() ** 2 if isinstance(end, Tanh) else 1 / (2 * (exactly / 2).cosh()) ** 2
    assert y.dtype == torch.float32
    assert x.grad.item() == pytest.approx(slope.item(), rel=0.01)
