import math

import pytest
import torch
from torch import nn

import golden
from datamodules import SyntheticFaces
from plain import equal, plain_discriminator, plain_generator, plain_penalty
from tiny import Rows, WithSGD, fit
from translators.augmentation import augment
from translators.ganimation import GANimation, Generator
from translators.layers import AttributeDiscriminator
from translators.losses import total_variation
from translators.types import Target

SMALL = {"image_size": 16, "generator_width": 4, "discriminator_width": 4, "blocks": 2, "depth": 2}
UNITS = ["AU1", "AU4", "AU12"]


class GANimationSGD(WithSGD, GANimation):
    pass


def small(kind=GANimation, **settings):
    torch.manual_seed(0)
    return kind(**({"attributes": UNITS} | SMALL | settings))


def make_batch(count=4, width=3, dtype=torch.float32):
    generator = torch.Generator().manual_seed(1)
    image, reference = torch.rand(2, count, 3, 16, 16, generator=generator, dtype=dtype) * 2 - 1
    label, reference_label = torch.rand(2, count, width, generator=generator, dtype=dtype)
    index = torch.arange(count)
    return {
        "image": image,
        "label": label,
        "index": index,
        "reference": reference,
        "reference_label": reference_label,
        "reference_index": index,
    }


def train(model, batch, steps, folder, **settings):
    return fit(model, folder, steps, data=Rows(batch, len(batch["image"]), steps), **settings)


# ------------------------------------------------------------------------------------------------ the two networks


@pytest.mark.parametrize(
    ("units", "generator", "discriminator"), [(17, 8_471_296, 44_860_352), (14, 8_461_888, 44_835_776)]
)
def test_parameter_counts_are_the_papers(units, generator, discriminator):
    with torch.device("meta"):
        networks = Generator(units), AttributeDiscriminator(units)
    assert [sum(parameter.numel() for parameter in network.parameters()) for network in networks] == [
        generator,
        discriminator,
    ]


def test_the_seventeen_units_are_spread_as_in_the_authors_code():
    with torch.device("meta"):
        networks = Generator(17), AttributeDiscriminator(17)
    counts = [
        sum(parameter.numel() for parameter in part.parameters()) for network in networks for part in network.children()
    ]
    assert counts == [8_458_752, 9_408, 3_136, 44_702_656, 18_432, 139_264]
    assert [len(network.state_dict()) for network in networks] == [53, 14]


@torch.no_grad()
@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize(("size", "depth"), [(128, 6), (64, 6), (16, 2)])
def test_no_axis_is_squeezed_away(count, size, depth):
    model = GANimation([f"AU{i}" for i in range(17)], **(SMALL | {"image_size": size, "depth": depth, "blocks": 1}))
    image, label = torch.zeros(count, 3, size, size), torch.zeros(count, 17)
    translation = model.translate(image, Target(label=label))
    assert translation.image.shape == translation.extras["color"].shape == (count, 3, size, size)
    assert translation.mask.shape == (count, 1, size, size)
    scores, units = model.discriminator(image)
    assert scores.shape == (count, 1, size // 2**depth, size // 2**depth)
    assert units.shape == (count, 17)


@torch.no_grad()
def test_generator_computes_what_the_authors_does():
    model = GANimation([f"AU{i}" for i in range(17)], discriminator_width=1)
    model.generator.load_state_dict(golden.weights("ganimation_generator"))
    expected = golden.record("ganimation_generator")
    rising = torch.arange(17) / 17
    label = torch.stack([rising, 1 - rising])
    translation = model.translate(golden.images(2, 3, 128, 128), Target(label=label))
    golden.assert_matches(translation.extras["color"], expected["color"])
    golden.assert_matches(1 - translation.mask, expected["mask"])
    golden.assert_matches(translation.image, expected["composed"])
    variation = 2 * total_variation(1 - translation.mask).item()
    assert variation == pytest.approx(expected["mask_tv_sum_over_batch"], rel=1e-5)


@torch.no_grad()
def test_discriminator_computes_what_the_authors_does():
    discriminator = AttributeDiscriminator(17)
    discriminator.load_state_dict(golden.weights("ganimation_discriminator"))
    expected = golden.record("ganimation_discriminator")
    scores, units = discriminator(golden.images(2, 3, 128, 128))
    golden.assert_matches(scores[:, 0], expected["src"])
    golden.assert_matches(units, expected["au"])
    rising = torch.arange(17) / 17
    error = (units - torch.stack([rising, 1 - rising])).square().mean().item()
    assert error == pytest.approx(expected["mse_mean_to_condition"], abs=1e-4)


def test_weights_begin_as_in_the_authors_code():
    model = GANimation(UNITS, **(SMALL | {"generator_width": 32, "discriminator_width": 32}))
    for name, module in model.named_modules():
        if isinstance(module, nn.InstanceNorm2d):
            assert (module.weight == 1).all() and (module.bias == 0).all(), name
        elif isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
            count = module.weight.numel()
            assert module.weight.std().item() == pytest.approx(0.02, rel=5 / math.sqrt(2 * count)), name
            assert abs(module.weight.mean().item()) < 5 * 0.02 / math.sqrt(count), name
            assert module.bias is None or (module.bias == 0).all(), name


# ------------------------------------------------------------------------------------------------ colour and mask


def with_mask(model, keep):
    """The model with A forced to 1 or to 0, by weights so large that the sigmoid saturates."""
    nn.init.constant_(model.generator.attetion_reg[0].weight, {1: 1e6, 0: -1e6}[keep])
    return model


@torch.no_grad()
def test_where_everything_is_kept_the_output_is_the_input():
    model, batch = with_mask(small(), keep=1), make_batch()
    translation = model.translate(batch["image"], Target(label=batch["reference_label"]))
    assert torch.equal(translation.image, batch["image"])
    assert (translation.mask == 0).all()


@torch.no_grad()
def test_where_nothing_is_kept_the_output_is_the_colour_image():
    model, batch = with_mask(small(), keep=0), make_batch()
    translation = model.translate(batch["image"], Target(label=batch["reference_label"]))
    assert torch.equal(translation.image, translation.extras["color"])
    assert (translation.mask == 1).all()


@torch.no_grad()
def test_the_output_lies_between_input_and_colour():
    model, batch = small(), make_batch()
    nn.init.normal_(model.generator.attetion_reg[0].weight, 0, 0.2)
    translation = model.translate(batch["image"], Target(label=batch["reference_label"]))
    assert translation.mask.min() < 0.3 and translation.mask.max() > 0.7
    color, image = translation.extras["color"], batch["image"]
    assert (translation.image >= torch.minimum(image, color) - 1e-6).all()
    assert (translation.image <= torch.maximum(image, color) + 1e-6).all()


def test_every_unit_changes_the_picture_by_its_intensity():
    model, image = small(), torch.rand(1, 3, 16, 16) * 2 - 1
    rows = torch.cat([torch.zeros(1, 3), torch.eye(3), 0.5 * torch.eye(3)])
    with torch.no_grad():
        pictures = model.translate(image.expand(7, -1, -1, -1), Target(label=rows)).image
    for number, picture in enumerate(pictures):
        assert all((picture - other).abs().max() > 1e-5 for other in pictures[:number])


# ------------------------------------------------------------------------------------------------ the losses, plainly


def plain_edit(weights, image, units):
    """The colour image and A of the paper, from a plain StarGAN generator: sigmoid(z) is (1 + tanh(z / 2)) / 2."""
    heads = [weights["img_reg.0.weight"], weights["attetion_reg.0.weight"] / 2]
    color, half = (plain_generator(weights | {"main.17.weight": head}, image, units, blocks=2) for head in heads)
    keep = (1 + half) / 2
    return keep * image + (1 - keep) * color, keep


def plain_variation(mask):
    """The sum over an image of its steps to the right and down, the mean over images: pixel by pixel."""
    total = 0.0
    for plane in mask[:, 0].tolist():
        for i, row in enumerate(plane):
            for j, value in enumerate(row):
                total += abs(row[j + 1] - value) if j + 1 < len(row) else 0
                total += abs(plane[i + 1][j] - value) if i + 1 < len(plane) else 0
    return torch.tensor(total / len(mask))


def step(**settings):
    """A model in float64 whose masks are not flat, a batch, and a noisy target."""
    model, batch = small(**settings).double(), make_batch(dtype=torch.float64)
    nn.init.normal_(model.generator.attetion_reg[0].weight, 0, 0.2)
    return model, batch, model.sample_target(batch)


@torch.no_grad()
def test_terms_of_a_discriminator_step():
    model, batch, target = step()
    g, d = model.generator.state_dict(), model.discriminator.state_dict()
    with torch.enable_grad():
        torch.manual_seed(5)
        terms = model.discriminator_loss(batch, target)
    torch.manual_seed(5)
    alpha = torch.empty(4, dtype=torch.float64).uniform_()[:, None, None, None]
    fake, _ = plain_edit(g, batch["image"], target.label)
    real_score, units = plain_discriminator(d, batch["image"], depth=2)
    fake_score, _ = plain_discriminator(d, fake, depth=2)
    expected = {
        "adv": -real_score.mean() + fake_score.mean(),
        "cond": ((units - batch["label"]) ** 2).sum() / (4 * 3),
        "gp": plain_penalty(d, alpha * batch["image"] + (1 - alpha) * fake, depth=2),
    }
    equal(terms, expected)
    assert [model.weight(term) for term in terms] == [1, 160, 10]


@torch.no_grad()
@pytest.mark.parametrize("mask_norm", ["l1_mean", "l2"])
def test_terms_of_a_generator_step(mask_norm):
    model, batch, target = step(mask_norm=mask_norm)
    g, d = model.generator.state_dict(), model.discriminator.state_dict()
    terms = model.generator_loss(batch, target)
    fake, keep = plain_edit(g, batch["image"], target.label)
    back, keep_again = plain_edit(g, fake, batch["label"])
    scores, units = plain_discriminator(d, fake, depth=2)
    if mask_norm == "l2":
        magnitude = sum((mask**2).sum((1, 2, 3)).sqrt().mean() for mask in (keep, keep_again))
    else:
        magnitude = keep.mean() + keep_again.mean()
    expected = {
        "adv": -scores.mean(),
        "cond": ((units - target.label) ** 2).sum() / (4 * 3),
        "cyc": (back - batch["image"]).abs().mean(),
        "mask": magnitude,
        "tv": plain_variation(keep) + plain_variation(keep_again),
    }
    equal(terms, expected)
    assert [model.weight(term) for term in terms] == [1, 160, 10, 0.1, 2.5e-4]


@torch.no_grad()
def test_an_augmented_discriminator_sees_only_augmented_images():
    model, batch, target = step(augment=True)
    g, d = model.generator.state_dict(), model.discriminator.state_dict()
    fake, _ = plain_edit(g, batch["image"], target.label)
    with torch.enable_grad():
        torch.manual_seed(5)
        terms = model.discriminator_loss(batch, target)
    torch.manual_seed(5)
    shown = augment(torch.cat([batch["image"], fake]))
    alpha = torch.empty(4, dtype=torch.float64).uniform_()[:, None, None, None]
    scores, units = plain_discriminator(d, shown, depth=2)
    expected = {
        "adv": -scores[:4].mean() + scores[4:].mean(),
        "cond": ((units[:4] - batch["label"]) ** 2).mean(),
        "gp": plain_penalty(d, alpha * shown[:4] + (1 - alpha) * shown[4:], depth=2),
    }
    equal(terms, expected)
    torch.manual_seed(6)
    terms = model.generator_loss(batch, target)
    torch.manual_seed(6)
    scores, units = plain_discriminator(d, augment(fake), depth=2)
    assert terms["adv"].item() == pytest.approx(-scores.mean().item(), rel=1e-6)
    assert terms["cond"].item() == pytest.approx(((units - target.label) ** 2).mean().item(), rel=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("mode", "decided"), [("vanilla", 2 * math.log(2)), ("lsgan", 1.0)])
def test_other_adversaries_have_no_penalty(mode, decided):
    """Where all scores are 0: -log(1/2) twice, or (0 - 1)^2 + 0^2."""
    model, batch = small(gan_mode=mode), make_batch()
    nn.init.zeros_(model.discriminator.conv1.weight)
    terms = model.discriminator_loss(batch, model.sample_target(batch))
    assert terms.keys() == {"adv", "cond"}
    assert terms["adv"].item() == pytest.approx(decided, rel=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("mask_norm", "magnitude"), [("l1_mean", 0.5), ("l2", 8.0)])
def test_a_flat_mask_has_a_magnitude_and_no_variation(mask_norm, magnitude):
    """A is 1/2 on all 256 pixels; the root of the sum of 256 quarters is 8."""
    model, batch = small(mask_norm=mask_norm), make_batch()
    nn.init.zeros_(model.generator.attetion_reg[0].weight)
    terms = model.generator_loss(batch, model.sample_target(batch))
    assert terms["tv"].item() == 0
    assert terms["mask"].item() == pytest.approx(2 * magnitude, rel=1e-6)


def test_a_step_down_the_middle_of_a_mask_varies_by_its_height():
    mask = torch.zeros(3, 1, 6, 10)
    mask[..., 4:] = 1
    assert total_variation(mask).item() == 6
    assert total_variation(mask.mT).item() == 6


@pytest.mark.parametrize("mask_norm", ["l1_mean", "l2"])
def test_the_magnitude_pushes_every_pixel_of_the_masks_down(mask_norm):
    model, batch = small(mask_norm=mask_norm), make_batch()
    masks = []
    model.generator.attetion_reg.register_forward_hook(
        lambda module, inputs, output: masks.append(output) or output.retain_grad()
    )
    model.generator_loss(batch, model.sample_target(batch))["mask"].backward()
    assert (masks[1].grad > 0).all()
    if mask_norm == "l1_mean":
        assert torch.allclose(masks[1].grad, torch.tensor(1 / (4 * 256)))


@torch.no_grad()
def test_at_the_authors_batch_size_the_weighted_terms_are_theirs():
    """4000 on a mean divided by the batch, of 25; 1e-5 on sums over the batch."""
    model, batch = small(), make_batch(25)
    target = model.sample_target(batch)
    terms = model.generator_loss(batch, target)
    edited = model._edit(batch["image"], target.label)
    _, units = model.discriminator(edited.image)
    official = 4000 * nn.functional.mse_loss(units, target.label) / 25
    assert model.weight("cond") * terms["cond"].item() == pytest.approx(official.item(), rel=1e-5)
    masks = [1 - edited.mask, 1 - model._edit(edited.image, batch["label"]).mask]
    official = 1e-5 * sum(mask.diff(dim=axis).abs().sum() for mask in masks for axis in (2, 3))
    assert model.weight("tv") * terms["tv"].item() == pytest.approx(official.item(), rel=1e-4)


@torch.no_grad()
def test_no_term_depends_on_how_often_a_batch_is_repeated():
    model, batch = small(gan_mode="lsgan"), make_batch()
    target = model.sample_target(batch)
    thrice = {name: tensor.repeat(3, *[1] * (tensor.ndim - 1)) for name, tensor in batch.items()}
    for loss in (model.discriminator_loss, model.generator_loss):
        once, again = loss(batch, target), loss(thrice, Target(label=target.label.repeat(3, 1)))
        assert all(again[name].item() == pytest.approx(once[name].item(), rel=1e-4) for name in once)


def test_the_generators_step_reaches_trunk_and_both_heads():
    model, batch = small(), make_batch()
    terms = model.generator_loss(batch, model.sample_target(batch))
    sum(model.weight(name) * term for name, term in terms.items()).backward()
    assert all(parameter.grad.abs().sum() > 0 for parameter in model.generator.parameters())


def test_a_mask_that_keeps_everything_keeps_the_colour_from_learning():
    model, batch = with_mask(small(), keep=1), make_batch()
    terms = model.generator_loss(batch, model.sample_target(batch))
    sum(model.weight(name) * term for name, term in terms.items()).backward()
    assert not model.generator.img_reg[0].weight.grad.any()


# ------------------------------------------------------------------------------------------------ targets


def test_training_aims_at_other_pictures_units_give_or_take_a_tenth():
    data = SyntheticFaces(UNITS, image_size=16, train_size=40, batch_size=20, num_workers=0, cache=False)
    data.setup("fit")
    known = torch.as_tensor(data.records("train").labels)
    for batch in data.train_dataloader():
        noisy = small().sample_target(batch).label
        distance = (noisy[:, None] - known).abs().amax(2).amin(1)
        assert (distance <= 0.1 + 1e-6).all()
        offset = (noisy - batch["reference_label"]).abs()
        assert offset.max() <= 0.1 + 1e-6
        assert offset.max() > 0.08 and offset.mean().item() == pytest.approx(0.05, abs=0.015)


@pytest.mark.parametrize(("clip", "span"), [(False, (-0.1, 1.1)), (True, (0.0, 1.0))])
def test_noisy_targets_leave_the_unit_interval_unless_clipped(clip, span):
    batch = make_batch(count=200)
    batch["reference_label"] = batch["reference_label"].round()
    noisy = small(clip_targets=clip).sample_target(batch).label
    assert [noisy.min().item(), noisy.max().item()] == pytest.approx(span, abs=0.005)
    assert span[0] <= noisy.min() and noisy.max() <= span[1]


def test_without_noise_the_target_is_the_other_picture_s():
    batch = make_batch()
    assert torch.equal(small(noise=0.0).sample_target(batch).label, batch["reference_label"])


# ------------------------------------------------------------------------------------------------ training


def test_the_papers_learning_rate():
    """30 epochs of 8,000 batches; counted from 1, the 21st is still at the full rate, the 30th at a tenth."""
    model = small()
    for epoch, rate in {1: 1e-4, 20: 1e-4, 21: 1e-4, 22: 9e-5, 30: 1e-5}.items():
        for batch in (8000 * (epoch - 1), 8000 * epoch - 1):  # its first and its last
            assert model.hparams["lr"] * model.lr_scale(batch) == pytest.approx(rate, rel=1e-9), epoch
    assert sum(phase.steps for phase in model.phases) == 30 * 8000


def test_five_discriminator_updates_a_generator_update_across_epochs(tmp_path):
    """Epochs of three batches: counted anew in each, the generator would never learn."""
    model, batch = small(), make_batch(6)
    trainer = fit(model, tmp_path, 10, data=Rows(batch, 2, 3))
    assert trainer.global_step == 10 and trainer.current_epoch >= 3
    assert [updates(optimizer) for optimizer in trainer.optimizers] == [{10}, {2}]


def updates(optimizer):
    return {int(state["step"]) for state in optimizer.state.values()}


@pytest.mark.parametrize(("separate", "steps"), [(False, 5), (True, 10)])
def test_a_penalty_of_its_own_makes_two_updates_a_batch(separate, steps, tmp_path):
    model = small(separate_gp_step=separate)
    trainer = train(model, make_batch(), 5, tmp_path)
    assert trainer.global_step == 5
    assert [updates(optimizer) for optimizer in trainer.optimizers] == [{steps}, {1}]  # of every weight


@pytest.mark.parametrize("separate", [False, True])
def test_an_update_of_the_discriminator_is_a_step_down_the_sum_or_down_one_after_the_other(separate, tmp_path):
    """Plain gradient descent: w - lr grad(adv + 160 cond + 10 gp), or first the two, then at the new w the penalty."""
    lr, batch = 1e-3, make_batch(dtype=torch.float64)
    trained = small(GANimationSGD, lr=lr, separate_gp_step=separate).double()
    by_hand = small(GANimationSGD).double()
    train(trained, batch, 1, tmp_path, precision="64-true")
    torch.manual_seed(0)  # of the first iteration
    target = by_hand.sample_target(batch)
    with torch.no_grad():
        fake = by_hand._edit(batch["image"], target.label).image
    alpha = torch.empty(4, dtype=torch.float64).uniform_()[:, None, None, None]
    mixed = alpha * batch["image"] + (1 - alpha) * fake

    def judged(w):
        (real_score, units), (fake_score, _) = (plain_discriminator(w, x, depth=2) for x in (batch["image"], fake))
        return fake_score.mean() - real_score.mean() + 160 * (units - batch["label"]).square().mean()

    def penalty(w):
        x = mixed.clone().requires_grad_()
        (slope,) = torch.autograd.grad(plain_discriminator(w, x, depth=2)[0].sum(), x, create_graph=True)
        return 10 * (slope.square().sum((1, 2, 3)).sqrt() - 1).square().mean()

    w = {name: value.detach().requires_grad_() for name, value in by_hand.discriminator.named_parameters()}
    for loss in (judged, penalty) if separate else (lambda w: judged(w) + penalty(w),):
        slopes = torch.autograd.grad(loss(w), list(w.values()), allow_unused=True)
        w = {
            name: (value if slope is None else value - lr * slope).detach().requires_grad_()
            for (name, value), slope in zip(w.items(), slopes, strict=True)
        }
    for name, value in trained.discriminator.named_parameters():
        torch.testing.assert_close(value, w[name], rtol=1e-7, atol=1e-10)
        assert name.endswith("bias") or not torch.equal(value, by_hand.discriminator.get_parameter(name))


def test_a_separate_penalty_is_logged_beside_the_other_terms(tmp_path):
    trainer = train(small(separate_gp_step=True, n_critic=1), make_batch(), 2, tmp_path)
    assert {"discriminator/adv", "discriminator/cond", "discriminator/gp"} <= trainer.logged_metrics.keys()


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("shape", [(1, 3, 18, 16), (1, 3, 16, 4), (1, 1, 16, 16), (3, 16, 16)])
def test_translate_refuses_images_it_cannot_take(shape):
    with pytest.raises(ValueError, match=r"GANimation takes images .* multiples of 4 and at least 8, got \("):
        small().translate(torch.zeros(shape), Target(label=torch.zeros(1, 3)))


def test_translate_takes_other_sizes_than_the_discriminator():
    image = torch.zeros(1, 3, 32, 8)
    assert small().translate(image, Target(label=torch.zeros(1, 3))).image.shape == image.shape


@pytest.mark.parametrize("label", [None, torch.zeros(1, 2), torch.zeros(2, 3), torch.zeros(3)])
def test_translate_refuses_labels_of_another_shape(label):
    with pytest.raises(ValueError, match=r"must have shape \(1, 3\), a column each for AU1, AU4, AU12"):
        small().translate(torch.zeros(1, 3, 16, 16), Target(label=label))


@pytest.mark.parametrize("value", [-0.1, 1.1, 5.0, math.nan])
def test_intensities_outside_the_unit_interval_are_refused(value):
    label = torch.tensor([[1.0, value, 0.0]])
    with pytest.raises(ValueError, match=f"intensities from 0 to 1 .* got {value:g}"):
        small().translate(torch.zeros(1, 3, 16, 16), Target(label=label))
    batch = make_batch(1) | {"label": label}
    with pytest.raises(ValueError, match=f"got {value:g}: scale them"):
        small().discriminator_loss(batch, Target(label=torch.zeros(1, 3)))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"one_hot": True}, "intensities of action units, any number of which may be on"),
        ({"gan_mode": "hinge"}, "wgan-gp, vanilla, lsgan, got 'hinge'"),
        ({"mask_norm": "l1"}, "mask_norm must be one of l1_mean, l2, got 'l1'"),
        ({"gan_mode": "lsgan", "separate_gp_step": True}, "penalty of wgan-gp, which lsgan has not"),
        ({"generator_width": 0}, "generator_width must be at least 1, got 0"),
        ({"discriminator_width": 0}, "discriminator_width must be at least 1, got 0"),
        ({"blocks": -1}, "blocks must be at least 0, got -1"),
        ({"noise": -0.1}, "noise must be at least 0, got -0.1"),
        ({"noise": math.nan}, "noise must be at least 0, got nan"),
        ({"image_size": 18}, "image_size 18 does not suit a discriminator of depth 2: use a multiple of 4"),
        ({"attributes": []}, "at least one to change"),
        ({"attributes": ["AU1", "AU1"]}, "name each attribute once"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        small(**settings)
