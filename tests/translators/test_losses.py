import math

import pytest
import torch
from torch import nn

from translators.losses import attribute_loss, distance, gradient_penalty, logistic, lsgan, wgan

REAL, FAKE = torch.tensor([[1.0, 2.0], [0.0, -1.0]]), torch.tensor([[0.5, -0.5], [3.0, 1.0]])


def test_adversarial_pairs_equal_sums_by_hand():
    assert wgan.discriminator(REAL, FAKE).item() == pytest.approx(4 / 4 - 2 / 4)
    assert wgan.generator(FAKE).item() == pytest.approx(-1.0)
    assert lsgan.discriminator(REAL, FAKE).item() == pytest.approx((0 + 1 + 1 + 4) / 4 + (0.25 + 0.25 + 9 + 1) / 4)
    assert lsgan.generator(FAKE).item() == pytest.approx((0.25 + 2.25 + 4 + 0) / 4)

    def sigmoid(score):
        return 1 / (1 + math.exp(-score))

    real, fake = [sigmoid(x) for x in REAL.flatten().tolist()], [sigmoid(x) for x in FAKE.flatten().tolist()]
    expected = -sum(math.log(d) for d in real) / 4 - sum(math.log(1 - d) for d in fake) / 4
    assert logistic.discriminator(REAL, FAKE).item() == pytest.approx(expected, rel=1e-5)
    assert logistic.generator(FAKE).item() == pytest.approx(-sum(math.log(d) for d in fake) / 4, rel=1e-5)


def test_undecided_logistic_players_lose_multiples_of_log_2():
    zero = torch.zeros(3, 1, 2, 2)
    assert logistic.discriminator(zero, zero).item() == pytest.approx(2 * math.log(2))
    assert logistic.generator(zero).item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("batch", [1, 2, 5])
@pytest.mark.parametrize("alpha", [None, 0.0, 0.3, 1.0])
def test_penalty_of_a_linear_critic_is_its_slope_less_one_squared(batch, alpha):
    real, fake = torch.randn(2, batch, 3, 4, 4, dtype=torch.float64)
    slope = torch.randn(3, 4, 4, dtype=torch.float64)
    alpha = None if alpha is None else torch.full((batch,), alpha)
    penalty = gradient_penalty(lambda x: (x * slope).sum((1, 2, 3)), real, fake, alpha)
    assert penalty.dtype == torch.float64
    assert penalty.item() == pytest.approx((slope.norm().item() - 1) ** 2, abs=1e-10)


def test_penalty_is_taken_between_real_and_fake_and_adds_patches_up():
    real, fake = torch.full((2, 1, 1, 1), 3.0), torch.full((2, 1, 1, 1), 1.0)
    alpha = torch.tensor([0.25, 1.0])  # the mixtures are 1.5 and 3
    penalty = gradient_penalty(lambda x: torch.cat([x.square(), x.square()], dim=1), real, fake, alpha)  # slopes 6, 12
    assert penalty.item() == pytest.approx((25 + 121) / 2)


def test_mixtures_are_drawn_for_each_image():
    seen = []
    real, fake = torch.ones(64, 3, 2, 2), torch.zeros(64, 3, 2, 2)
    gradient_penalty(lambda x: seen.append(x.detach()) or x.sum((1, 2, 3)), real, fake)
    shares = seen[0][:, 0, 0, 0]
    assert torch.equal(seen[0], shares.view(-1, 1, 1, 1).expand_as(seen[0]))
    assert shares.unique().numel() > 60 and 0 <= shares.min() < 0.2 and 0.8 < shares.max() <= 1


def test_a_flat_critic_has_a_penalty_and_finite_gradients():
    weight = torch.zeros(3, 2, 2, requires_grad=True)
    penalty = gradient_penalty(lambda x: (x * weight).sum((1, 2, 3)), torch.rand(2, 3, 2, 2), torch.rand(2, 3, 2, 2))
    penalty.backward()
    assert penalty.item() == pytest.approx(1, abs=1e-5)
    assert weight.grad is not None and torch.isfinite(weight.grad).all()


def test_penalty_stays_in_float32_under_autocast():
    critic = nn.Sequential(nn.Conv2d(3, 8, 3), nn.LeakyReLU(0.01), nn.Conv2d(8, 1, 3))
    real, fake, alpha = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 8, 8), torch.tensor([0.2, 0.7])
    expected = gradient_penalty(critic, real, fake, alpha)
    with torch.autocast("cpu", torch.bfloat16):
        assert critic(real).dtype == torch.bfloat16
        penalty = gradient_penalty(critic, real, fake, alpha)
        from_halves = gradient_penalty(critic, real.bfloat16(), fake.bfloat16(), alpha)
    assert torch.equal(penalty, expected)
    assert from_halves.dtype == torch.float32


def test_real_and_fake_must_agree_in_shape():
    with pytest.raises(ValueError, match=r"\(2, 3, 4, 4\) and \(1, 3, 4, 4\)"):
        gradient_penalty(lambda x: x.sum((1, 2, 3)), torch.zeros(2, 3, 4, 4), torch.zeros(1, 3, 4, 4))


def test_undecided_classifiers_lose_logarithms():
    zeros, label = torch.zeros(4, 5), torch.eye(5)[:4]
    assert attribute_loss(zeros, label, one_hot=False).item() == pytest.approx(5 * math.log(2), rel=1e-6)
    assert attribute_loss(zeros, label, one_hot=True).item() == pytest.approx(math.log(5), rel=1e-6)


def test_attribute_loss_equals_sums_by_hand():
    logits, label = torch.tensor([[2.0, -1.0], [0.5, 3.0]]), torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    softplus = [math.log(1 + math.exp(x)) for x in (-2.0, -1.0, 0.5, -3.0)]
    assert attribute_loss(logits, label, one_hot=False).item() == pytest.approx(sum(softplus) / 2, rel=1e-6)
    cross_entropy = [math.log(1 + math.exp(x)) for x in (-3.0, -2.5)]
    assert attribute_loss(logits, label, one_hot=True).item() == pytest.approx(sum(cross_entropy) / 2, rel=1e-6)


def test_a_distance_is_the_mean_of_absolute_differences_in_full_precision():
    """Bfloat16 has no number between 1 and 1.0078; sums of its numbers lose more."""
    one, other = torch.ones(1000).bfloat16(), torch.full((1000,), 1.5).bfloat16()
    other[0] = 1.25
    found = distance(one, other)
    assert found.dtype == torch.float32
    assert found.item() == pytest.approx((999 * 0.5 + 0.25) / 1000)
    assert distance(one.double(), other.double()).dtype == torch.float64
