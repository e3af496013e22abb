import itertools
import math

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn
from torch.nn import functional

from tiny import Rows, Snapshots, make_batch
from translators import SRAGAN, CycleGAN, Phase, Target, Translator
from translators.checkpoints import AtomicCheckpointIO
from translators.induction import AdaptiveWeight
from translators.perception import Features
from translators.residual import PatchDiscriminator, ResidualBlock, ResnetGenerator
from translators.sragan import AttentionBranch

SMALL = {"image_size": 16, "generator_width": 4, "discriminator_width": 4, "blocks": 1, "depth": 2, "vgg_width": 2}
TRANSLATE = {"learns": ("generator.initial", "discriminator")}
ATTEND = {"learns": ("generator.attention", "discriminator")}


def counted(network):
    return sum(parameter.numel() for parameter in network.parameters())


def small(**settings):
    torch.manual_seed(0)
    return SRAGAN(["horse", "zebra"], one_hot=True, **{**SMALL, "vgg": "random", **settings})


def attending(model):
    model.attends.fill_(True)
    return model


def domains_batch(count=4, size=16, dtype=torch.float32):
    batch = {
        name: tensor.to(dtype) if tensor.is_floating_point() else tensor
        for name, tensor in make_batch(count, 2, True, size).items()
    }
    batch["label"] = torch.eye(2, dtype=dtype)[torch.arange(count) % 2]
    batch["reference_label"] = 1 - batch["label"]
    return batch


def pairs(batch):
    """The images of horses and of zebras, row by row."""
    is_zebra = batch["label"][:, 1] == 1
    rows = [(i, r) if not z else (r, i) for i, r, z in zip(batch["image"], batch["reference"], is_zebra, strict=True)]
    return tuple(torch.stack(side) for side in zip(*rows, strict=True))


ZEBRA, HORSE = torch.tensor([[0.0, 1.0]]), torch.tensor([[1.0, 0.0]])


# ------------------------------------------------------------------------------------------------ networks


def test_parameter_counts_are_those_of_the_papers_tables():
    with torch.device("meta"):
        generator = ResnetGenerator(dilation=2, norm="batch")
        narrow = ResnetGenerator(width=32, dilation=2, norm="batch")
        discriminator, attention = PatchDiscriminator(norm="batch"), AttentionBranch()
        whole = SRAGAN(["horse", "zebra"], one_hot=True)
    counts = [counted(network) for network in (generator, narrow, attention, discriminator)]
    assert counts == [11_388_675, 2_855_811, 2_107_649, 2_766_529]
    assert counted(attention.front) == 1_735_488
    assert counted(whole) == 11_388_675 + 2_107_649 + 2_766_529


@torch.no_grad()
def test_shapes_and_ranges_at_full_size():
    model = attending(SRAGAN(["horse", "zebra"], one_hot=True, generator_width=4, discriminator_width=4, vgg_width=2))
    image = torch.rand(1, 3, 256, 256) * 2 - 1
    translation = model.translate(image, Target(label=ZEBRA))
    assert translation.extras["initial"].shape == translation.image.shape == (1, 3, 256, 256)
    assert translation.extras["initial"].abs().max() <= 1
    assert translation.mask.shape == (1, 1, 256, 256)
    assert 0 < translation.mask.min() <= translation.mask.max() < 1
    assert model.discriminator(image).shape == (1, 1, 30, 30)
    wide = model.translate(torch.zeros(1, 3, 192, 320), Target(label=ZEBRA))
    assert wide.image.shape == (1, 3, 192, 320)
    assert wide.mask.shape == (1, 1, 192, 320)


def test_the_map_sees_pictures_as_the_vgg_does():
    """On the scale of ImageNet's networks: for one of the mean colour the first convolution has its bias alone."""
    branch, seen = AttentionBranch(vgg_width=2).eval(), []
    branch.front[0].register_forward_hook(lambda module, given, found: seen.append((given[0], found)))
    branch((torch.tensor([0.485, 0.456, 0.406]) * 2 - 1).view(1, 3, 1, 1).expand(1, 3, 16, 16))
    given, found = seen[0]
    torch.testing.assert_close(given, torch.zeros(1, 3, 16, 16), atol=1e-6, rtol=0)
    torch.testing.assert_close(found, branch.front[0].bias.view(1, 2, 1, 1).expand(1, 2, 16, 16))


def test_weights_are_drawn_as_the_paper_does():
    """N(0, 0.02), also those of the map's steps up; its front is the VGG's."""
    model = SRAGAN(["Smiling"], image_size=32, generator_width=16, discriminator_width=16, blocks=1, vgg_width=8)
    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    drawn = [*model.generator["initial"].modules(), *model.discriminator.modules()]
    drawn += list(model.generator["attention"].head.modules())
    for module in drawn:
        if isinstance(module, kinds) and module.weight.numel() > 1000:
            assert module.weight.std().item() == pytest.approx(0.02, rel=0.1)
            assert module.weight.mean().item() == pytest.approx(0, abs=0.002)


@pytest.mark.parametrize(("norm", "kind"), [("batch", nn.BatchNorm2d), ("instance", nn.InstanceNorm2d)])
def test_the_norm_is_one_everywhere(norm, kind):
    model = small(norm=norm)
    for part in (model.generator["initial"], model.generator["attention"], model.discriminator):
        norms = [module for module in part.modules() if "Norm" in type(module).__name__]
        assert norms and all(isinstance(module, kind) for module in norms)


def test_the_discriminator_alone_sees_pictures_in_another_light(monkeypatch):
    """Of both players' losses, each picture it is shown; and never what the self-regularisation compares."""
    monkeypatch.setattr("translators.base.augmented", lambda images: images * 0 + 0.5)
    model, batch, shown = small(augment=True), domains_batch(), []
    model.discriminator.register_forward_hook(lambda module, given, found: shown.append(given[0]))
    plain = small().generator_loss(batch, Target())["percept"]
    model.discriminator_loss(batch, Target())
    assert torch.equal(model.generator_loss(batch, Target())["percept"], plain)
    assert len(shown) == 3 and all((images == 0.5).all() for images in shown)


def test_a_dilated_block_sees_nine_pixels_and_has_no_more_weights():
    dilated, plain = ResidualBlock(2, dilation=2, norm="batch").eval(), ResidualBlock(2, norm="batch")
    assert counted(dilated) == counted(plain)
    image = torch.zeros(1, 2, 21, 21, requires_grad=True)
    for module in dilated.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.ones_(module.weight)
            nn.init.ones_(module.bias)
    dilated(image)[0, 0, 10, 10].backward()
    seen = image.grad[0, 0].nonzero()
    assert seen.min(0).values.tolist() == [6, 6]
    assert seen.max(0).values.tolist() == [14, 14]


def test_batch_norms_go_by_each_images_own_statistics_outside_training():
    """As in a training of one image a batch, or by the running ones, if asked for."""
    image = torch.rand(3, 3, 16, 16) * 2 - 1
    wanted = Target(label=ZEBRA.expand(3, 2))
    with torch.no_grad():
        model = attending(small())
        alone = torch.cat([model.train()(image[row : row + 1], Target(label=ZEBRA)).image for row in range(3)])
        torch.testing.assert_close(model.eval()(image, wanted).image, alone)
        running = attending(small(eval_statistics="running")).eval()
        before = running(image, wanted).image
        for module in running.generator.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean.fill_(0.3)
        assert not torch.equal(running(image, wanted).image, before)


# ------------------------------------------------------------------------------------------------ the composition


class Constant(nn.Module):
    def __init__(self, value):
        super().__init__()
        self.value = value

    def forward(self, image):
        return torch.full_like(image[:, :1], self.value)


@torch.no_grad()
@pytest.mark.parametrize("value", [0.0, 1.0, 0.25])
def test_the_map_says_where_the_translation_is_seen(value):
    model = attending(small()).eval()
    model.generator["attention"] = Constant(value)
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    translation = model(image, Target(label=ZEBRA.expand(2, 2)))
    initial = model.generator["initial"](image)
    if value in (0.0, 1.0):
        assert torch.equal(translation.image, image if value == 0 else initial)
    torch.testing.assert_close(translation.image, value * initial + (1 - value) * image)
    assert torch.equal(translation.extras["initial"], initial)


@torch.no_grad()
def test_there_is_no_map_before_the_second_phase_or_without_attention():
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    for model in (small(), small(use_attention=False)):
        translation = model.eval()(image, Target(label=ZEBRA.expand(2, 2)))
        assert translation.mask is None
        assert torch.equal(translation.image, model.generator["initial"](image))
        with pytest.raises(ValueError, match="no map: it was trained without attention, or not beyond its first phase"):
            model.segment(image)
    assert "attention" not in small(use_attention=False).generator


@torch.no_grad()
def test_what_is_to_be_a_horse_stays_as_it_is():
    model = attending(small()).eval()
    image = torch.rand(3, 3, 16, 16) * 2 - 1
    label = torch.cat([HORSE, ZEBRA, HORSE])
    translation = model(image, Target(label=label))
    assert torch.equal(translation.image[[0, 2]], image[[0, 2]])
    assert (translation.mask[[0, 2]] == 0).all()
    torch.testing.assert_close(translation.image[1:2], model(image[1:2], Target(label=ZEBRA)).image)


def test_only_edits_into_y_are_attainable():
    edits = torch.stack([HORSE, ZEBRA], dim=1).expand(2, 2, 2)
    label = torch.cat([HORSE, ZEBRA])
    expected = torch.stack([torch.cat([HORSE, ZEBRA]), torch.cat([ZEBRA, ZEBRA])])
    assert torch.equal(small().attainable(label, edits), expected)
    model = SRAGAN(["Smiling"], **SMALL, vgg="random")
    assert model.attainable(torch.tensor([[0.0], [1.0]]), torch.tensor([[[1.0]], [[0.0]]])).tolist() == [[[1]], [[1]]]


@torch.no_grad()
def test_segmentation_is_the_map_cut_at_a_threshold():
    model = attending(small()).eval()
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    attention = model.generator["attention"](image)
    for threshold in (0.5, 0.4):
        assert torch.equal(model.segment(image, threshold), attention > threshold)
    with pytest.raises(ValueError, match=r"threshold must lie between 0 and 1, got 1\.5"):
        model.segment(image, 1.5)


# ------------------------------------------------------------------------------------------------ losses


def test_adversarial_losses_at_zero_logits():
    """2 log 2 for the discriminator, here halved, and log 2 for the generator."""
    model, batch = small(), domains_batch()
    last = model.discriminator.model[-1]
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)
    target = model.sample_target(batch)
    assert model.discriminator_loss(batch, target)["adv"].item() == pytest.approx(math.log(2))
    assert model.generator_loss(batch, target)["adv"].item() == pytest.approx(math.log(2))


@pytest.mark.parametrize("attends", [False, True])
def test_losses_are_those_of_the_equations(attends):
    """Horses and zebras change places from row to row; pools pass the first images through."""
    batch = domains_batch(dtype=torch.float64)
    model = small().double()
    model.attends.fill_(attends)
    horses, zebras = pairs(batch)
    found = model.discriminator_loss(batch, Target()) | {
        f"G {n}": t for n, t in model.generator_loss(batch, Target()).items()
    }
    initial = model.generator["initial"](horses)
    attention = model.generator["attention"](horses)
    fake = attention * initial + (1 - attention) * horses if attends else initial
    real_score, fake_score = model.discriminator(zebras), model.discriminator(fake)
    ones = torch.ones_like(real_score)
    bce = functional.binary_cross_entropy_with_logits
    expected = {
        "adv": (bce(real_score, ones) + bce(fake_score, 0 * ones)) / 2,
        "G adv": bce(fake_score, ones),
        "G percept": self_regularisation(Features("random", 2, SMALL_LAYERS).double(), horses, fake),
    }
    assert {n: t.item() for n, t in found.items()} == pytest.approx({n: t.item() for n, t in expected.items()})


SMALL_LAYERS = ("relu1_1", "relu2_1", "relu3_1")


def self_regularisation(features, image, output):
    total = 0.0
    for weight, one, other in zip((1 / 32, 1 / 16, 1 / 8), features(image), features(output), strict=True):
        difference = (weight * (one - other)).detach().numpy()
        height, width = difference.shape[2:]
        total += np.mean([np.sum(row**2) / (height * width) for row in difference])
    return torch.tensor(total)


def test_self_regularisation_of_two_channels_worked_out_by_hand():
    """Features of one place each: differences (3, 4), (1, 0), (0, 2), of squared lengths 25, 1, 4."""
    model = small()

    class Stub:
        def __call__(self, image):
            level = image.mean()
            return [level * torch.tensor(pair).view(1, 2, 1, 1) for pair in ([3.0, 4.0], [1.0, 0.0], [0.0, 2.0])]

        def to(self, _):
            return self

    model._features = [Stub()]
    zero, one = torch.zeros(1, 3, 16, 16), torch.ones(1, 3, 16, 16)
    expected = 25 / 1024 + 1 / 256 + 4 / 64
    assert model.self_regularisation(zero, one).item() == pytest.approx(expected)


@pytest.mark.parametrize("distance", ["perceptual", "l1", "l2", "ssim"])
def test_self_regularisation_is_zero_for_a_copy_and_grows_with_noise(distance):
    model = small(distance=distance)
    image = torch.rand(2, 3, 16, 16) * 2 - 1
    noise = torch.randn(2, 3, 16, 16)
    found = [model.self_regularisation(image, image + strength * noise).item() for strength in (0, 0.1, 0.3)]
    assert found[0] == pytest.approx(0, abs=1e-6)
    assert found[0] < found[1] < found[2]


def test_pixel_distances():
    image, output = torch.zeros(1, 3, 16, 16), torch.full((1, 3, 16, 16), 0.5)
    assert small(distance="l1").self_regularisation(image, output).item() == pytest.approx(0.5)
    assert small(distance="l2").self_regularisation(image, output).item() == pytest.approx(0.25)


def test_self_regularisation_teaches_the_output_and_neither_the_input_nor_the_vgg():
    model = small()
    image = torch.rand(1, 3, 16, 16, requires_grad=True)
    output = torch.rand(1, 3, 16, 16, requires_grad=True)
    model.self_regularisation(image, output).backward()
    assert image.grad is None
    assert output.grad.abs().sum() > 0
    assert all(parameter.grad is None for parameter in model._features[0].parameters())


def test_the_vgg_is_neither_saved_nor_learnt():
    model = small(use_attention=False)
    names = set(dict(model.named_parameters()))
    model.self_regularisation(*torch.rand(2, 1, 3, 16, 16))
    assert set(dict(model.named_parameters())) == names
    assert not [name for name in model.state_dict() if "feature" in name or "vgg" in name]


def test_other_layers_may_be_compared():
    literal = small(layers=("conv1_1", "conv1_2", "conv2_1"))
    image, output = torch.rand(2, 1, 3, 16, 16)
    features = Features("random", 2, ("conv1_1", "conv1_2", "conv2_1"))
    assert [tuple(seen.shape) for seen in features(image)] == [(1, 2, 16, 16), (1, 2, 16, 16), (1, 4, 8, 8)]
    expected = self_regularisation(features, image, output)
    assert literal.self_regularisation(image, output).item() == pytest.approx(expected.item(), rel=1e-5)


# ------------------------------------------------------------------------------------------------ the controller


def trace(controller, losses):
    """Stage and weight after each update."""
    seen = []
    for loss in losses:
        controller.observe(loss)
        seen.append((int(controller.stage), float(controller.value)))
    return seen


WARMUP, RAMP, HOLD = range(3)


def test_the_weight_ramps_from_the_warm_up_to_the_hold_at_the_exact_updates():
    """No memory (decay 0): the loss itself is compared. It is at rest for 15 updates and sinks at the 16th."""
    controller = AdaptiveWeight(warmup=5, every=2, step=0.5, greatest=10, threshold=1.0, patience=2, decay=0.0)
    seen = trace(controller, [1.386] * 15 + [0.5] * 6)
    # updates 1-4 warm up; the 5th enters the ramp; steps at 7, 9, 11, 13, 15; hits at 17 and 19.
    assert [stage for stage, _ in seen] == [WARMUP] * 4 + [RAMP] * 14 + [HOLD] * 3
    values = [0.0] * 6 + [0.5] * 2 + [1.0] * 2 + [1.5] * 2 + [2.0] * 2 + [2.5] * 7
    assert [value for _, value in seen] == pytest.approx(values)


def test_a_hit_that_does_not_last_lets_the_weight_grow_on():
    controller = AdaptiveWeight(warmup=1, every=1, step=1.0, greatest=50, threshold=1.0, patience=2, decay=0.0)
    seen = trace(controller, [1.3, 1.3, 0.9, 1.3, 0.9, 0.9, 0.9])
    assert seen == [(RAMP, 0), (RAMP, 1), (RAMP, 1), (RAMP, 2), (RAMP, 2), (HOLD, 2), (HOLD, 2)]


def test_the_loss_is_averaged_over_time():
    controller = AdaptiveWeight(decay=0.9)
    trace(controller, [1.0, 2.0, 3.0])
    assert float(controller.average) == pytest.approx(0.9 * (0.9 * 1.0 + 0.1 * 2.0) + 0.1 * 3.0)


def test_a_discriminator_that_wins_already_is_waited_for_at_most_four_times_as_long():
    winning = AdaptiveWeight(warmup=3, every=100, threshold=1.0, decay=0.0)
    assert [stage for stage, _ in trace(winning, [0.5] * 13)] == [WARMUP] * 11 + [RAMP] * 2
    caught_up = AdaptiveWeight(warmup=3, every=100, threshold=1.0, decay=0.0)
    assert [stage for stage, _ in trace(caught_up, [0.5] * 6 + [1.2])] == [WARMUP] * 6 + [RAMP]


def test_the_generators_loss_is_beyond_when_it_rises():
    controller = AdaptiveWeight(warmup=1, every=1, step=1.0, rises=True, threshold=1.0, patience=2, decay=0.0)
    assert trace(controller, [0.7, 0.7, 1.1, 1.1]) == [(RAMP, 0), (RAMP, 1), (RAMP, 1), (HOLD, 1)]


def test_the_weight_ends_at_its_greatest_with_a_warning():
    controller = AdaptiveWeight(warmup=1, every=1, step=0.75, greatest=1.5, threshold=0.1, decay=0.0)
    with pytest.warns(UserWarning, match="weight has reached its greatest, 1.5, and the loss did not stay beyond"):
        seen = trace(controller, [1.3] * 6)
    assert seen == [(RAMP, 0), (RAMP, 0.75), (RAMP, 1.5), (HOLD, 1.5), (HOLD, 1.5), (HOLD, 1.5)]


def test_at_its_greatest_a_loss_that_is_beyond_is_heard_out(recwarn):
    controller = AdaptiveWeight(warmup=1, every=1, step=1.0, greatest=1.0, threshold=1.0, patience=3, decay=0.0)
    assert trace(controller, [1.3, 1.3, 0.5, 0.5, 0.5]) == [(RAMP, 0), (RAMP, 1), (RAMP, 1), (RAMP, 1), (HOLD, 1)]
    assert not recwarn


def test_the_weight_never_falls():
    controller = AdaptiveWeight(warmup=2, every=1, step=0.1, greatest=3, patience=9, decay=0.5)
    generator = torch.Generator().manual_seed(0)
    values = [value for _, value in trace(controller, (3 * torch.rand(300, generator=generator)).tolist())]
    assert all(after >= before for before, after in itertools.pairwise(values))
    assert values[-1] > 0


@pytest.mark.parametrize("stop", [3, 12, 18])
def test_a_resumed_controller_goes_the_same_way(stop):
    settings = {"warmup": 5, "every": 2, "step": 0.5, "greatest": 10, "patience": 2, "decay": 0.6}
    losses = [1.4] * 14 + [0.3] * 12
    whole, first, second = (AdaptiveWeight(**settings) for _ in range(3))
    expected = trace(whole, losses)
    before = trace(first, losses[:stop])
    second.load_state_dict(first.state_dict())
    assert before + trace(second, losses[stop:]) == expected


def test_the_weight_of_the_term_is_the_controllers_or_fixed():
    adaptive, fixed = small(), small(lambda_percept=3.0)
    adaptive.induction.value.fill_(1.75)
    assert adaptive.weight("percept") == 1.75
    fixed.induction.value.fill_(1.75)
    assert fixed.weight("percept") == 3.0


def test_the_controller_hears_the_loss_that_it_watches():
    """The discriminator's not halved, the generator's as it is."""
    terms = {"adv": torch.tensor(0.4), "percept": torch.tensor(9.0)}
    for monitor, expected in (("discriminator", 0.8), ("generator", 0.4)):
        model = small(induction_monitor=monitor)
        for player in ("discriminator", "generator"):
            model.observe(player, terms)
        assert float(model.induction.average) == pytest.approx(expected)
        assert int(model.induction.updates) == 1


# ------------------------------------------------------------------------------------------------ training


def fit(model, batch, steps=-1, resume=None, callbacks=()):
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        max_epochs=-1,
        plugins=[AtomicCheckpointIO()],
        callbacks=list(callbacks),
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, Rows(batch, len(batch["image"]), 100), ckpt_path=resume)
    return trainer


def states(model):
    return {
        part: {name: value.clone() for name, value in network.state_dict().items()}
        for part, network in model.generator.items()
    }


class States(Snapshots):
    """Parameters and buffers of both parts before training and after each iteration, and what the phase made of it."""

    def __init__(self):
        super().__init__()
        self.parts, self.attends, self.held, self.induced, self.pooled = [], [], [], [], []

    def on_train_start(self, trainer, pl_module):
        super().on_train_start(trainer, pl_module)
        self.parts.append(states(pl_module))

    def on_train_batch_end(self, trainer, pl_module, *rest):
        super().on_train_batch_end(trainer, pl_module, *rest)
        self.parts.append(states(pl_module))
        self.attends.append(bool(pl_module.attends))
        self.held.append((int(pl_module.induction.stage), int(pl_module.induction.updates)))
        self.induced.append(float(pl_module.induction.value))
        self.pooled.append(len(pl_module.pool.images))

    def changed(self, step, part):
        before, after = self.parts[step][part], self.parts[step + 1][part]
        return any(not torch.equal(before[name], after[name]) for name in before)


def test_three_phases_each_teach_their_part_and_leave_the_other_to_the_bit():
    phases = [Phase(2, **TRANSLATE), Phase(2, **ATTEND), Phase(2, rate=0.1)]
    ramp = {"induction_warmup": 1, "induction_every": 1, "induction_threshold": 0.0}
    model, seen = small(phases=phases, lr=0.01, **ramp), States()
    fit(model, domains_batch(), callbacks=[seen])
    assert [(seen.changed(step, "initial"), seen.changed(step, "attention")) for step in range(6)] == [
        *[(True, False)] * 2,
        *[(False, True)] * 2,
        *[(True, True)] * 2,
    ]
    assert seen.attends == [False] * 2 + [True] * 4
    assert seen.rates == pytest.approx([0.01] * 4 + [0.001] * 2)
    assert seen.pooled == [4, 8, 4, 8, 4, 8]  # each phase begins with an empty one
    assert seen.held == [(RAMP, 0), (RAMP, 1), (RAMP, 0), (RAMP, 1), (HOLD, 1), (HOLD, 2)]
    assert seen.induced == pytest.approx([0, 0.2, 0, 0.2, 0.2, 0.2])


@pytest.mark.parametrize(
    ("settings", "phases", "held", "weights"),
    [
        (  # two stretches of one phase: the weight grows on
            {"use_attention": False},
            [Phase(3), Phase(2, rate=0.1)],
            [(RAMP, 0), (RAMP, 1), (RAMP, 2), (RAMP, 3), (RAMP, 4)],
            [0, 0.2, 0.4, 0.6, 0.8],
        ),
        (  # nothing is heard while the discriminator learns alone, and nothing held that has not begun
            {},
            [Phase(2, learns=("discriminator",)), Phase(3)],
            [(WARMUP, 0), (WARMUP, 0), (RAMP, 0), (RAMP, 1), (RAMP, 2)],
            [0, 0, 0, 0.2, 0.4],
        ),
        (  # a first phase too short for the weight to grow
            {"induction_warmup": 2},
            [Phase(1, **TRANSLATE), Phase(3)],
            [(WARMUP, 1), (RAMP, 0), (RAMP, 1), (RAMP, 2)],
            [0, 0, 0.2, 0.4],
        ),
    ],
)
def test_the_weight_grows_through_phases_of_other_kinds(settings, phases, held, weights):
    ramp = {"induction_warmup": 1, "induction_every": 1, "induction_threshold": 0.0}
    model, seen = small(phases=phases, lr=0.01, **{**ramp, **settings}), States()
    fit(model, domains_batch(), callbacks=[seen])
    assert seen.held == held
    assert seen.induced == pytest.approx(weights)


@pytest.mark.parametrize("discriminator_first", [False, True])
def test_a_run_that_starts_from_a_finished_one_begins_with_a_weight_of_its_own(tmp_path, discriminator_first):
    finished = attending(small())
    finished.induction.value.fill_(7)
    finished.induction.hold()
    seen = States()
    phases = [*([Phase(1, learns=("discriminator",))] if discriminator_first else []), Phase(2, **ATTEND)]
    model = small(start=saved(finished, tmp_path), phases=phases, induction_warmup=9)
    fit(model, domains_batch(), callbacks=[seen])
    assert seen.held[-2:] == [(WARMUP, 1), (WARMUP, 2)]
    assert not any(seen.induced)


def test_the_papers_three_phases_are_the_default():
    whole, without = SRAGAN(["Smiling"], **SMALL), SRAGAN(["Smiling"], **SMALL, use_attention=False)
    assert [(phase.steps, phase.decay, phase.rate) for phase in whole.phases] == [
        (10_000, 5_000, 1.0),
        (10_000, 5_000, 1.0),
        (10_000, 5_000, 0.1),
    ]
    assert [phase.name for phase in without.phases] == ["translate"]
    assert whole.hparams["lr"] == 2e-4
    assert whole.hparams["lr"] * whole.lr_scale(20_000) == pytest.approx(2e-5)


def test_a_ramp_that_does_not_end_before_the_rate_falls_is_warned_of():
    phases = [Phase(400, decay=100, **TRANSLATE)]
    settings = {"induction_warmup": 100, "induction_every": 3, "phases": phases, "use_attention": False}
    with pytest.warns(UserWarning, match=r"weight may grow for 400 iterations, longer than the 300 before"):
        fit(small(**settings), domains_batch(), 1)


@pytest.mark.parametrize("stop", [3, 5, 7])
def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path, stop):
    """In mid-ramp, at the beginning of a phase and in the last one: weights, pool, controller, all to the bit."""
    settings = {
        "phases": [Phase(5, **TRANSLATE), Phase(2, **ATTEND), Phase(2, rate=0.1)],
        "induction_warmup": 1,
        "induction_every": 1,
        "induction_threshold": 0.0,
        "pool_size": 3,
        "lr": 0.01,
    }
    whole, first, second = (small(**settings) for _ in range(3))
    fit(whole, domains_batch())
    fit(first, domains_batch(), stop).save_checkpoint(tmp_path / "step-0000001.ckpt")
    if stop == 3:
        assert int(first.induction.stage) == RAMP
        assert float(first.induction.value) == pytest.approx(0.4)
    second.load_state_dict({name: torch.zeros_like(value) for name, value in second.state_dict().items()})
    fit(second, domains_batch(), resume=tmp_path / "step-0000001.ckpt")
    for name, value in whole.state_dict().items():
        torch.testing.assert_close(second.state_dict()[name], value, rtol=0, atol=0, equal_nan=True)
    assert torch.equal(torch.stack(second.pool.images), torch.stack(whole.pool.images))


def test_a_loaded_model_knows_whether_it_attends(tmp_path):
    model, batch = small(phases=[Phase(1, **TRANSLATE), Phase(1, **ATTEND)]), domains_batch()
    fit(model, batch).save_checkpoint(tmp_path / "step-0000002.ckpt")
    loaded = Translator.load(str(tmp_path / "step-0000002.ckpt"))
    wanted = Target(label=ZEBRA.expand(4, 2))
    one, other = (m.eval()(batch["image"], wanted) for m in (model, loaded))
    assert torch.equal(one.image, other.image)
    assert torch.equal(one.mask, other.mask)


@pytest.mark.parametrize("channels_last", [False, True])
def test_the_attention_branch_starts_from_the_vggs_weights(channels_last):
    model = small(phases=[Phase(1, **TRANSLATE)], channels_last=channels_last)
    expected = Features("random", 2, ["relu3_3"]).network.state_dict()
    fit(model, domains_batch())
    for name, value in model.generator["attention"].front.state_dict().items():
        assert torch.equal(value, expected[name])


def test_g0_may_start_from_a_cyclegan(tmp_path):
    sizes = {"image_size": 32, "generator_width": 4, "discriminator_width": 4, "blocks": 1}
    cyclegan = CycleGAN(["horse", "zebra"], one_hot=True, **sizes)
    model = small(norm="instance", image_size=32)
    model.start_from(cyclegan)
    for name, value in cyclegan.generator["ab"].state_dict().items():
        assert torch.equal(model.generator["initial"].state_dict()[name], value)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(ValueError, match=r"generator\.initial cannot start from .*a CycleGAN's has norm=instance"):
        small(image_size=32).start_from(cyclegan)
    for name, value in before.items():
        torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=0, equal_nan=True)


def saved(model, folder):
    """A checkpoint, as training leaves it."""
    checkpoint = {"state_dict": model.state_dict(), "hyper_parameters": dict(model.hparams)}
    model.on_save_checkpoint(checkpoint)
    AtomicCheckpointIO().save_checkpoint(checkpoint, folder / "step-0000001.ckpt")
    return str(folder / "step-0000001.ckpt")


def test_a_run_that_starts_from_a_cyclegan_still_starts_its_map_from_the_vgg(tmp_path):
    sizes = {"image_size": 32, "generator_width": 4, "discriminator_width": 4, "blocks": 1}
    start = saved(CycleGAN(["horse", "zebra"], one_hot=True, **sizes), tmp_path)
    model = small(norm="instance", image_size=32, start=start, phases=[Phase(1, learns=("discriminator",))])
    fit(model, domains_batch(size=32))
    expected = Features("random", 2, ["relu3_3"]).network.state_dict()
    assert torch.equal(model.generator["attention"].front.state_dict()["0.weight"], expected["0.weight"])
    other_way = CycleGAN(["zebra", "horse"], one_hot=True, **sizes)
    with pytest.raises(ValueError, match="know the attributes in another order than horse, zebra"):
        model.start_from(other_way)


def test_a_map_may_be_learnt_for_a_translator_that_had_none(tmp_path):
    start = small(use_attention=False, lr=0.5)
    model = small()
    torch.nn.init.constant_(start.discriminator.model[0].bias, 0.25)
    model.start_from(start)
    for part in ("generator.initial", "discriminator"):
        theirs, ours = (each.get_submodule(part).state_dict() for each in (start, model))
        assert all(torch.equal(value, ours[name]) for name, value in theirs.items())
    again = small(use_attention=False)
    again.start_from(start)
    assert all(
        torch.equal(value, again.state_dict()[name])
        for name, value in start.state_dict().items()
        if "average" not in name
    )


def test_a_translator_that_had_no_map_must_fit_before_anything_is_taken():
    model = small(eval_statistics="image")
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for settings, sentence in (
        (
            {"discriminator_width": 8},
            r"discriminator cannot start from weights of other shapes: .* discriminator_width",
        ),
        ({"depth": 1}, r"discriminator cannot start from weights of other shapes: .* depth"),
        ({"blocks": 2}, r"generator\.initial cannot start from weights of other shapes: .* blocks"),
        ({"eval_statistics": "running"}, "trained with eval_statistics running, the model has image"),
    ):
        with pytest.raises(ValueError, match=sentence):
            model.start_from(small(use_attention=False, **settings))
        for name, value in before.items():
            torch.testing.assert_close(model.state_dict()[name], value, rtol=0, atol=0, equal_nan=True)


def test_a_phase_of_the_first_kind_translates_without_a_map_wherever_it_starts_from(tmp_path):
    start = saved(attending(small()), tmp_path)
    seen = States()
    fit(small(start=start, phases=[Phase(1, **TRANSLATE), Phase(1, **ATTEND)]), domains_batch(), callbacks=[seen])
    assert seen.attends == [False, True]


def test_a_part_of_the_map_may_learn_alone():
    seen = States()
    model = small(phases=[Phase(2, learns=("generator.attention.head", "discriminator"))], lr=0.01)
    fit(model, domains_batch(), callbacks=[seen])
    assert seen.attends == [True, True]
    assert {name.split(".")[2] for name in seen.moved(1) if name.startswith("generator")} == {"head"}


def test_a_map_that_a_run_starts_from_is_not_overwritten(tmp_path):
    finished = attending(small())
    nn.init.constant_(finished.generator["attention"].front[0].weight, 0.125)
    model = small(start=saved(finished, tmp_path), phases=[Phase(1, learns=("discriminator",))])
    fit(model, domains_batch())
    assert (model.generator["attention"].front[0].weight == 0.125).all()


def test_without_a_weight_nothing_is_compared():
    model = small(lambda_percept=0.0, vgg="imagenet", use_attention=False, phases=[Phase(1, **TRANSLATE)])
    trainer = fit(model, domains_batch())
    assert model._features == []
    assert "generator/adv" in trainer.callback_metrics and "generator/percept" not in trainer.callback_metrics


def test_a_fixed_weight_has_no_controller():
    model = small(lambda_percept=3.0, phases=[Phase(3, **TRANSLATE)], induction_warmup=1, induction_every=1)
    trainer = fit(model, domains_batch())
    assert int(model.induction.updates) == 0
    assert "generator/weight" not in trainer.callback_metrics
    assert "generator/weight" in fit(small(phases=[Phase(1, **TRANSLATE)]), domains_batch()).callback_metrics


def test_phases_of_a_map_are_refused_at_once_where_there_is_none():
    model = small(use_attention=False, phases=[Phase(3, **TRANSLATE), Phase(1, name="attend", **ATTEND)])
    with pytest.raises(ValueError, match=r"phase 'attend' learns 'generator\.attention', which is no part of SRAGAN"):
        fit(model, domains_batch())
    assert not model.trainer.callback_metrics


def test_a_run_says_what_it_sees_by_in_place_of_imagenets(monkeypatch):
    said = []
    monkeypatch.setattr("translators.sragan.rank_zero_info", said.append)
    fit(small(use_attention=False), domains_batch(), 1)
    assert said == ["The self-regularisation sees by a VGG of random weights, in place of ImageNet's (vgg)"]


def test_phases_that_never_train_the_map_are_warned_of():
    with pytest.warns(UserWarning, match=r"no phase trains generator\.attention, which stay as they were initialised"):
        fit(small(phases=[Phase(1, **TRANSLATE)]), domains_batch())


def squares(count, colour, generator):
    """Textured grey grounds, each with a square of a colour on it; where the square is."""
    ground = functional.interpolate(torch.rand(count, 1, 8, 8, generator=generator), size=16, mode="bilinear") - 0.5
    images, inside = ground.expand(-1, 3, -1, -1).clone(), torch.zeros(count, 1, 16, 16)
    for image, mask, (top, left) in zip(
        images, inside, torch.randint(0, 9, (count, 2), generator=generator), strict=True
    ):
        image[:, top : top + 7, left : left + 7] = torch.tensor(colour)[:, None, None]
        mask[:, top : top + 7, left : left + 7] = 1
    return images, inside


@pytest.mark.slow
def test_the_map_finds_the_square_whose_colour_changes():
    generator = torch.Generator().manual_seed(0)
    red, inside = squares(64, [0.8, -0.8, -0.8], generator)
    blue, _ = squares(64, [-0.8, -0.8, 0.8], generator)
    batch = {
        "image": red,
        "label": HORSE.expand(64, 2),
        "index": torch.arange(64),
        "reference": blue,
        "reference_label": ZEBRA.expand(64, 2),
        "reference_index": torch.arange(64),
    }
    phases = [Phase(200, **TRANSLATE), Phase(200, **ATTEND)]
    model = small(phases=phases, lr=2e-3, lambda_percept=20.0, generator_width=8, discriminator_width=8, vgg_width=8)
    trainer = Trainer(
        accelerator="cpu",
        max_epochs=-1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(model, Rows(batch, 8, 400))
    with torch.no_grad():
        attention = model.eval()(red, Target(label=ZEBRA.expand(64, 2))).mask
    within = (attention * inside).sum() / inside.sum()
    without = (attention * (1 - inside)).sum() / (1 - inside).sum()
    assert within > without + 0.1


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"norm": "layer"}, "norm must be one of batch, instance, got 'layer'"),
        ({"eval_statistics": "batch"}, "eval_statistics must be one of image, running, got 'batch'"),
        ({"distance": "lpips"}, "distance must be one of perceptual, l1, l2, ssim, got 'lpips'"),
        ({"layers": ("relu1_1",)}, "layers must be three of conv1_1, .*, got relu1_1"),
        ({"layers": ("relu1_1", "relu2_1", "relu5_1")}, "layers must be one of .* got 'relu5_1'"),
        (
            {"layers": ("relu3_1", "relu2_1", "relu1_1")},
            "layers must go from the first to the last, each once, got relu3",
        ),
        ({"layers": ("relu1_1", "relu1_1", "relu2_1")}, "layers must go from the first to the last, each once"),
        ({"induction_greatest": math.inf}, "induction_greatest must be a finite number"),
        ({"induction_threshold": math.nan}, "induction_threshold must be a finite number"),
        ({"image_size": 8, "depth": 1}, "at least 12; got 8"),
        ({"induction_monitor": "d_loss"}, "induction_monitor must be one of discriminator, generator"),
        ({"image_size": 18}, r"a multiple of 4 and, for a discriminator of depth 2, at least 16; got 18"),
        ({"image_size": 8}, r"at least 16; got 8"),
        ({"generator_width": 0}, "generator_width must be at least 1, got 0"),
        ({"induction_every": 0}, "induction_every must be at least 1, got 0"),
        ({"lambda_percept": -1.0}, "lambda_percept must be at least 0, got -1"),
        ({"pool_size": -1}, "pool_size must be at least 0, got -1"),
    ],
)
def test_impossible_settings_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        small(**settings)


def test_there_are_two_domains():
    with pytest.raises(ValueError, match="SRAGAN translates between two domains, got the domains cat, dog, fox"):
        SRAGAN(["cat", "dog", "fox"], one_hot=True)


def test_a_reference_of_the_images_own_domain_is_refused():
    model, batch = small(), domains_batch()
    batch["reference_label"] = batch["label"]
    with pytest.raises(
        ValueError, match=r"SRAGAN needs a picture of each domain .* set --data.init_args.reference=other"
    ):
        model.generator_loss(batch, Target())


@pytest.mark.parametrize("shape", [(1, 3, 18, 16), (1, 3, 8, 16), (1, 1, 16, 16), (3, 16, 16)])
def test_translate_refuses_images_it_cannot_take(shape):
    with pytest.raises(ValueError, match=r"SRAGAN takes images .* multiples of 4"):
        small().translate(torch.zeros(shape), Target(label=ZEBRA))


def test_missing_weights_are_told_before_training():
    with pytest.raises(ValueError, match=r"vgg must be imagenet, random, a file .* there is no runs/nothing"):
        fit(small(vgg="runs/nothing"), domains_batch(), 1)
