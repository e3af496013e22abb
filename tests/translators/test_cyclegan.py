import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import Trainer
from torch import nn
from torch.nn import functional

import golden
from datamodules import UnpairedFolders
from plain import equal, instance_norm
from tiny import Rows
from translators.checkpoints import AtomicCheckpointIO
from translators.cyclegan import CycleGAN, UNetGenerator
from translators.residual import BlurDown, BlurUp, PatchDiscriminator, ResnetGenerator
from translators.types import Phase, Target

SMALL = {"image_size": 32, "generator_width": 4, "discriminator_width": 4, "blocks": 2}
A, B = torch.eye(2)  # labels of the two domains


def small(attributes=("cat", "dog"), one_hot=True, **settings):
    torch.manual_seed(0)
    return CycleGAN(attributes=list(attributes), one_hot=one_hot, **(SMALL | settings))


def make_batch(domains="abba", one_hot=True, dtype=torch.float32, size=32):
    """Images of these domains, each with a reference of the other one."""
    generator = torch.Generator().manual_seed(1)
    image, reference = torch.rand(2, len(domains), 3, size, size, generator=generator, dtype=dtype) * 2 - 1
    is_b = torch.tensor([[domain == "b"] for domain in domains])
    label = (torch.cat([~is_b, is_b], 1) if one_hot else is_b).to(dtype)
    index = torch.arange(len(domains))
    return {
        "image": image,
        "label": label,
        "index": index,
        "reference": reference,
        "reference_label": 1 - label,
        "reference_index": index,
    }


def terms_of(model, batch):
    target = model.sample_target(batch)
    return model.discriminator_loss(batch, target) | {
        f"generator {name}": term for name, term in model.generator_loss(batch, target).items()
    }


def counted(network):
    return sum(parameter.numel() for parameter in network.parameters())


def fit(model, batch, steps, batch_size=None, resume=None, **settings):
    trainer = Trainer(
        accelerator="cpu",
        max_steps=steps,
        plugins=[AtomicCheckpointIO()],
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **settings,
    )
    trainer.fit(model, Rows(batch, batch_size or len(batch["image"]), steps), ckpt_path=resume)
    return trainer


# ------------------------------------------------------------------------------------------------ the authors' networks


def test_parameter_counts_are_those_of_the_authors_classes():
    with torch.device("meta"):
        nine, six, discriminator, whole = (
            ResnetGenerator(),
            ResnetGenerator(blocks=6),
            PatchDiscriminator(),
            CycleGAN(["horse", "zebra"], one_hot=True),
        )
    assert [counted(network) for network in (nine, six, discriminator)] == [11_378_179, 7_837_699, 2_764_737]
    assert counted(whole) == 28_285_832


def test_blur_filters_are_buffers_and_count_as_nothing_learnt():
    with torch.device("meta"):
        generator, discriminator = ResnetGenerator(antialias=True), PatchDiscriminator(antialias=True)
    assert [counted(network) for network in (generator, discriminator)] == [11_378_179, 2_764_737]
    filters = [sum(buffer.numel() for buffer in network.buffers()) for network in (generator, discriminator)]
    assert filters == [9_600, 4_032]


@pytest.mark.parametrize(
    ("name", "build"),
    [
        ("generator_resnet9", lambda: ResnetGenerator()),
        ("generator_resnet6", lambda: ResnetGenerator(blocks=6)),
        ("generator_resnet9_antialias", lambda: ResnetGenerator(antialias=True)),
        ("discriminator", lambda: PatchDiscriminator()),
        ("discriminator_antialias", lambda: PatchDiscriminator(antialias=True)),
    ],
)
def test_weights_have_the_authors_names_and_shapes_in_their_order(name, build):
    with torch.device("meta"):
        state = build().state_dict()
    assert [(key, list(value.shape)) for key, value in state.items()] == list(
        golden.record(f"cyclegan_{name}.keys").items()
    )


@pytest.fixture(scope="module")
def zebra():
    """What the authors' generator of nine blocks makes of a picture."""
    generator = ResnetGenerator()
    generator.load_state_dict(golden.weights("cyclegan_generator_resnet9"))
    with torch.no_grad():
        return generator(golden.images(1, 3, 256, 256))


def test_nine_blocks_compute_what_the_authors_do(zebra):
    golden.assert_matches(zebra, golden.record("cyclegan_generator_resnet9")["output"])


@torch.no_grad()
def test_six_blocks_compute_what_the_authors_do():
    generator = ResnetGenerator(blocks=6)
    generator.load_state_dict(golden.weights("cyclegan_generator_resnet6"))
    golden.assert_matches(
        generator(golden.images(1, 3, 128, 128)), golden.record("cyclegan_generator_resnet6")["output"]
    )


@torch.no_grad()
def test_the_discriminator_computes_what_the_authors_does(zebra):
    """And loses what theirs does: ours that judges A is blind here, which costs ((0 - 1)^2 + 0^2) / 2."""
    expected, image = golden.record("cyclegan_discriminator"), golden.images(1, 3, 256, 256)
    model = CycleGAN(["horse", "zebra"], one_hot=True, generator_width=1)
    model.discriminator["b"].load_state_dict(golden.weights("cyclegan_discriminator"))
    golden.assert_matches(model.discriminator["b"](image), expected["output"])
    model.discriminator["a"].model[-1].weight.zero_()
    model.generator = nn.ModuleDict({"ab": nn.Identity(), "ba": nn.Identity()})
    rows = {"image": zebra, "label": A[None], "reference": image, "reference_label": B[None]}
    loss = model.discriminator_loss(rows, model.sample_target(rows))["adv"].item()
    assert loss - 0.5 == pytest.approx(expected["lsgan_d_loss_real_input_fake_golden_halved"], abs=2e-4)


def test_convolutions_start_at_a_deviation_of_002_and_biases_at_0():
    torch.manual_seed(0)
    model = CycleGAN(["Smiling"], generator_width=32, discriminator_width=32, blocks=1, image_size=32)
    for name, value in model.named_parameters():
        if name.endswith("bias"):
            assert not value.any()
        elif value.numel() > 5000:
            assert value.std().item() == pytest.approx(0.02, rel=0.05), name
            assert value.mean().item() == pytest.approx(0, abs=1e-3), name


# ------------------------------------------------------------------------------------------------ what networks do


@torch.no_grad()
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("height", "width"), [(8, 8), (12, 20), (36, 64)])
def test_a_generator_keeps_the_size(height, width, antialias):
    image = torch.rand(2, 3, height, width)
    output = ResnetGenerator(width=2, blocks=1, antialias=antialias)(image)
    assert output.shape == image.shape
    assert -1 < output.min() < output.max() < 1


@torch.no_grad()
@pytest.mark.parametrize("antialias", [False, True])
@pytest.mark.parametrize(("height", "width", "patches"), [(256, 256, (30, 30)), (128, 128, (14, 14)), (64, 32, (6, 2))])
def test_a_discriminator_scores_patches(height, width, patches, antialias):
    scores = PatchDiscriminator(width=2, antialias=antialias)(torch.rand(1, 3, height, width))
    assert scores.shape == (1, 1, *patches)


def without_norm(network):
    for module in network.modules():
        for name, child in module.named_children():
            if isinstance(child, nn.InstanceNorm2d):
                setattr(module, name, nn.Identity())
    return network.double()


def seen_by(discriminator, row, column):
    """The rows and columns of pixels which this score depends on, found by differentiation."""
    image = torch.rand(1, 3, 256, 256, dtype=torch.float64, requires_grad=True)
    discriminator(image)[0, 0, row, column].backward()
    seen = image.grad[0].any(0)
    return [where.nonzero()[:, 0].tolist() for where in (seen.any(1), seen.any(0))]


def test_a_patch_measures_70_pixels_and_its_neighbour_lies_8_further():
    torch.manual_seed(0)
    discriminator = without_norm(PatchDiscriminator(width=2))
    rows, columns = seen_by(discriminator, 14, 15)
    assert rows == list(range(rows[0], rows[0] + 70))
    assert columns == [row + 8 for row in rows]


@torch.no_grad()
def test_a_pixel_changes_the_scores_of_its_patches_alone():
    torch.manual_seed(0)
    discriminator, image = without_norm(PatchDiscriminator(width=2)), torch.rand(1, 3, 256, 256).double()
    other = image.clone()
    other[:, :, 128, 60] += 0.5
    changed = (discriminator(image) != discriminator(other))[0, 0].nonzero()
    spread = changed.max(0).values - changed.min(0).values
    assert (spread <= 70 // 8).all()
    assert (spread >= 70 // 8 - 1).all()


@torch.no_grad()
def test_a_constant_image_meets_no_border_in_the_first_convolution():
    generator = ResnetGenerator(width=4, blocks=1)
    response = generator.model[:2](torch.full((1, 3, 16, 16), 0.7))
    middle = response[:, :, 8:9, 8:9]
    assert (middle.abs() > 1e-3).all()
    torch.testing.assert_close(response, middle.expand_as(response), rtol=1e-5, atol=1e-6)


def test_blurring_down_weighs_neighbours_1_2_1_over_a_mirrored_border():
    x = torch.rand(2, 3, 6, 10, dtype=torch.float64)
    mirrored = torch.cat([x[:, :, 1:2], x, x[:, :, -2:-1]], 2)
    mirrored = torch.cat([mirrored[..., 1:2], mirrored, mirrored[..., -2:-1]], 3)
    rows = (mirrored[:, :, :-2] + 2 * mirrored[:, :, 1:-1] + mirrored[:, :, 2:]) / 4
    expected = (rows[..., :-2] + 2 * rows[..., 1:-1] + rows[..., 2:]) / 4
    torch.testing.assert_close(BlurDown(3)(x), expected[:, :, ::2, ::2])


@pytest.mark.parametrize("side", [1, 2, 5, 8])
def test_blurring_up_is_bilinear(side):
    x = torch.rand(2, 3, side, side + 1, dtype=torch.float64)
    expected = functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    torch.testing.assert_close(BlurUp(3)(x), expected, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("blur", [BlurDown, BlurUp])
def test_blur_filters_do_not_mix_channels(blur):
    x = torch.rand(1, 4, 8, 8)
    alone = torch.cat([blur(1)(channel) for channel in x.split(1, 1)], 1)
    torch.testing.assert_close(blur(4)(x), alone)


@torch.no_grad()
@pytest.mark.parametrize(("depth", "height", "width"), [(2, 8, 12), (3, 8, 16), (5, 32, 64)])
def test_a_u_net_keeps_the_size(depth, height, width):
    image = torch.rand(2, 3, height, width)
    output = UNetGenerator(width=2, depth=depth)(image)
    assert output.shape == image.shape
    assert -1 < output.min() < output.max() < 1


def test_a_u_net_of_256_pixels_is_built_as_the_authors():
    with torch.device("meta"):
        state = UNetGenerator().state_dict()
    shapes = {key: tuple(value.shape) for key, value in state.items() if key.endswith("weight")}
    innermost = "model.model" + ".1.model" + ".3.model" * 6
    assert len(shapes) == 16  # one convolution down and one up for each of eight levels
    assert shapes["model.model.0.weight"] == (64, 3, 4, 4)
    assert shapes["model.model.1.model.1.weight"] == (128, 64, 4, 4)
    assert shapes["model.model.1.model.3.model.1.weight"] == (256, 128, 4, 4)
    assert shapes[f"{innermost}.1.weight"] == shapes[f"{innermost}.3.weight"] == (512, 512, 4, 4)
    assert shapes["model.model.1.model.3.model.5.weight"] == (512, 128, 4, 4)
    assert shapes["model.model.1.model.5.weight"] == (256, 64, 4, 4)
    assert shapes["model.model.3.weight"] == (128, 3, 4, 4)


def test_a_u_nets_names_are_pix2pixs():
    """Of convolutions: the authors' file was trained with batch norms, which have weights of their own."""
    file = Path(__file__).parents[3] / "shared" / "spec" / "keys" / "pix2pix_generator_unet256.json"
    if not file.exists():
        pytest.skip("the list of names is not part of the project")
    with torch.device("meta"):
        state = UNetGenerator().state_dict()
    ours = {key: list(value.shape) for key, value in state.items() if value.ndim == 4}
    assert ours == {key: shape for key, shape in json.loads(file.read_text()).items() if len(shape) == 4}


# ------------------------------------------------------------------------------------------------ the losses, plainly


def mirrored(x, border):
    """Without the outermost row and column, which are the mirror."""
    height, width = x.shape[2:]
    rows = [*range(border, 0, -1), *range(height), *range(height - 2, height - 2 - border, -1)]
    columns = [*range(border, 0, -1), *range(width), *range(width - 2, width - 2 - border, -1)]
    return x[:, :, rows][..., columns]


def plain_resnet(weights, image, blocks):
    def conv(x, name, **how):
        return functional.conv2d(x, weights[f"model.{name}.weight"], weights[f"model.{name}.bias"], **how)

    def up(x, name):
        zeros = {"stride": 2, "padding": 1, "output_padding": 1}
        return functional.conv_transpose2d(x, weights[f"model.{name}.weight"], weights[f"model.{name}.bias"], **zeros)

    x = instance_norm(conv(mirrored(image, 3), 1)).clamp(min=0)
    for down in (4, 7):
        x = instance_norm(conv(x, down, stride=2, padding=1)).clamp(min=0)
    for block in range(10, 10 + blocks):
        y = instance_norm(conv(mirrored(x, 1), f"{block}.conv_block.1")).clamp(min=0)
        x = x + instance_norm(conv(mirrored(y, 1), f"{block}.conv_block.5"))
    for place in (10 + blocks, 13 + blocks):
        x = instance_norm(up(x, place)).clamp(min=0)
    return torch.tanh(conv(mirrored(x, 3), 17 + blocks))


def plain_unet(weights, x, depth, name="model.model", outermost=True):
    """A level inside another: what is 0, 1 or 3 in the names depends on what stands before it."""
    inner = depth == 1
    down, below, above = (0, 1, 3) if outermost else (1, None, 3) if inner else (1, 3, 5)
    y = x if outermost else torch.where(x > 0, x, 0.2 * x)
    y = functional.conv2d(y, weights[f"{name}.{down}.weight"], weights[f"{name}.{down}.bias"], stride=2, padding=1)
    if not inner:
        y = y if outermost else instance_norm(y)
        y = plain_unet(weights, y, depth - 1, f"{name}.{below}.model", outermost=False)
    up = weights[f"{name}.{above}.weight"], weights[f"{name}.{above}.bias"]
    y = functional.conv_transpose2d(y.clamp(min=0), *up, stride=2, padding=1)
    return torch.tanh(y) if outermost else torch.cat([x, instance_norm(y)], 1)


def plain_discriminator(weights, x):
    for place, stride in ((0, 2), (2, 2), (5, 2), (8, 1)):
        name = f"model.{place}"
        x = functional.conv2d(x, weights[f"{name}.weight"], weights[f"{name}.bias"], stride=stride, padding=1)
        x = instance_norm(x) if place else x
        x = torch.where(x > 0, x, 0.2 * x)
    return functional.conv2d(x, weights["model.11.weight"], weights["model.11.bias"], padding=1)


@pytest.fixture(params=["resnet", "unet"])
def plain(request):
    """Both players' networks in float64 with weights of some size, and their plain counterparts."""

    def build(**settings):
        model = small(network=request.param, unet_depth=3, **settings).double()
        for parameter in model.parameters():
            nn.init.normal_(parameter, 0, 0.3)

        def generate(way, image):
            weights = model.generator[way].state_dict()
            return plain_unet(weights, image, 3) if request.param == "unet" else plain_resnet(weights, image, 2)

        return model, generate, lambda domain, x: plain_discriminator(model.discriminator[domain].state_dict(), x)

    return build


def sorted_out(batch):
    """The pictures of A and of B of a batch that was made of the domains abba."""
    image, reference = batch["image"], batch["reference"]
    a = torch.stack([image[0], reference[1], reference[2], image[3]])
    b = torch.stack([reference[0], image[1], image[2], reference[3]])
    return a, b


KINDS = [(["cat", "dog"], True), (["Smiling"], False)]


@torch.no_grad()
@pytest.mark.parametrize("mode", ["lsgan", "vanilla"])
@pytest.mark.parametrize(("attributes", "one_hot"), KINDS, ids=["one-hot", "one attribute"])
def test_terms_of_both_steps(plain, attributes, one_hot, mode):
    model, g, d = plain(attributes=attributes, one_hot=one_hot, gan_mode=mode, lambda_cyc_a=8.0, lambda_cyc_b=3.0)
    batch = make_batch(one_hot=one_hot, dtype=torch.float64)
    target = model.sample_target(batch)
    a, b = sorted_out(batch)
    fake_b, fake_a = g("ab", a), g("ba", b)

    def towards(score, real):
        if mode == "vanilla":
            probability = 1 / (1 + (-score).exp())
            return -(probability if real else 1 - probability).log().mean()
        return (score - real).square().mean()

    halves = [
        (towards(d("b", b), 1) + towards(d("b", fake_b), 0)) / 2,
        (towards(d("a", a), 1) + towards(d("a", fake_a), 0)) / 2,
    ]
    equal(model.discriminator_loss(batch, target), {"adv": sum(halves)})
    expected = {
        "adv": towards(d("b", fake_b), 1) + towards(d("a", fake_a), 1),
        "cyc_a": (g("ba", fake_b) - a).abs().mean(),
        "cyc_b": (g("ab", fake_a) - b).abs().mean(),
        "idt": 3 * (g("ab", b) - b).abs().mean() + 8 * (g("ba", a) - a).abs().mean(),
    }
    equal(model.generator_loss(batch, target), expected)


def test_weights_of_the_terms_are_the_papers():
    """10 for each cycle (sect. 5), and half of that for the identity, whose term holds the cycle's weight itself."""
    model = small()
    terms = model.generator_loss(make_batch(), Target())
    assert {name: model.weight(name) for name in terms} == {"adv": 1, "cyc_a": 10, "cyc_b": 10, "idt": 0.5}


@torch.no_grad()
def test_with_generators_that_do_nothing_cycles_and_identity_cost_nothing():
    model, batch = small(), make_batch()
    model.generator = nn.ModuleDict({"ab": nn.Identity(), "ba": nn.Identity()})
    terms = model.generator_loss(batch, Target())
    assert [terms[name].item() for name in ("cyc_a", "cyc_b", "idt")] == [0, 0, 0]
    assert terms["adv"] > 0


@torch.no_grad()
def test_a_discriminator_that_is_never_wrong_loses_nothing():
    model, batch = small(), make_batch()
    for generator in model.generator.values():
        generator.model[-2].weight.zero_()  # tanh(0): generated images are black, and real ones here white
    model.discriminator = nn.ModuleDict({"a": nn.Identity(), "b": nn.Identity()})
    batch |= {"image": torch.ones(4, 3, 32, 32), "reference": torch.ones(4, 3, 32, 32)}
    assert model.discriminator_loss(batch, Target())["adv"] == 0
    assert model.generator_loss(batch, Target())["adv"] == 2  # (0 - 1)^2 in each domain


@torch.no_grad()
def test_a_discriminator_in_doubt_loses_a_quarter():
    model, batch = small(), make_batch()
    for discriminator in model.discriminator.values():
        discriminator.model[-1].weight.zero_()
        discriminator.model[-1].bias.fill_(0.5)
    assert model.discriminator_loss(batch, Target())["adv"].item() == pytest.approx(2 * 0.25)
    assert model.generator_loss(batch, Target())["adv"].item() == pytest.approx(2 * 0.25)


@torch.no_grad()
@pytest.mark.parametrize(("weight", "passes"), [(0.0, 2), (0.5, 3)])
def test_the_identity_term_costs_nothing_when_it_weighs_nothing(weight, passes):
    model, calls = small(lambda_idt=weight), {"ab": 0, "ba": 0}

    def count(way):
        return lambda *_: calls.update({way: calls[way] + 1})

    for way, generator in model.generator.items():
        generator.register_forward_hook(count(way))
    assert ("idt" in model.generator_loss(make_batch(), Target())) == bool(weight)
    assert calls == {"ab": passes, "ba": passes}


@pytest.mark.parametrize(("augment", "expected"), [(True, 6), (False, 0)])
def test_the_discriminators_alone_see_pictures_in_another_light(monkeypatch, augment, expected):
    """Both, real ones, fakes out of the pools and the generators' newest; cycles stay of the pictures themselves."""
    monkeypatch.setattr("translators.base.augmented", lambda images: images * 0 + 0.5)
    model, batch, seen = small(augment=augment), make_batch(), []
    for discriminator in model.discriminator.values():
        discriminator.register_forward_hook(lambda module, given, found: seen.append((given[0] == 0.5).all().item()))
    terms, plain = terms_of(model, batch), terms_of(small(), batch)
    assert len(seen) == 6
    assert sum(seen) == expected
    assert all(terms[name] == plain[name] for name in ("generator cyc_a", "generator cyc_b"))


# ------------------------------------------------------------------------------------------------ who learns from what


def learning(model):
    """Networks that have a gradient."""
    return {
        f"{player}.{name}"
        for player in ("generator", "discriminator")
        for name, network in getattr(model, player).items()
        if any(parameter.grad is not None and parameter.grad.any() for parameter in network.parameters())
    }


@pytest.mark.parametrize("term", ["cyc_a", "cyc_b"])
def test_each_cycle_teaches_both_generators(term):
    model = small()
    model.generator_loss(make_batch(), Target())[term].backward()
    assert learning(model) == {"generator.ab", "generator.ba"}


def test_the_discriminators_loss_teaches_no_generator():
    model = small()
    model.discriminator_loss(make_batch(), Target())["adv"].backward()
    assert learning(model) == {"discriminator.a", "discriminator.b"}


def test_in_training_each_player_moves_in_its_own_step():
    class Watched(CycleGAN):
        def discriminator_loss(self, batch, target):
            self.at = {"discriminator": copy.deepcopy(self.state_dict())}
            return super().discriminator_loss(batch, target)

        def generator_loss(self, batch, target):
            self.at["generator"] = copy.deepcopy(self.state_dict())
            self.frozen = not any(parameter.requires_grad for parameter in self.discriminator.parameters())
            return super().generator_loss(batch, target)

    torch.manual_seed(0)
    model = Watched(["cat", "dog"], one_hot=True, **SMALL)
    fit(model, make_batch(), steps=1)
    before, between, after = model.at["discriminator"], model.at["generator"], model.state_dict()

    def moved(one, other):
        return {".".join(name.split(".")[:2]) for name in one if not torch.equal(one[name], other[name])}

    assert model.frozen
    assert moved(before, between) == {"discriminator.a", "discriminator.b"}
    assert moved(between, after) == {"generator.ab", "generator.ba"}


@torch.no_grad()
def test_the_discriminator_sees_fakes_out_of_the_pool_of_their_domain():
    model, batch = small(pool_size=4), make_batch("aaaa")
    model.discriminator_loss(batch, Target())
    fakes = {"b": model.generator["ab"](batch["image"]), "a": model.generator["ba"](batch["reference"])}
    for domain, images in fakes.items():
        torch.testing.assert_close(torch.stack(model.pools[domain].images), images)
    seen = []
    model.discriminator["b"].register_forward_hook(lambda module, inputs, output: seen.append(inputs[0]))
    torch.manual_seed(3)
    model.discriminator_loss(make_batch("aaaa") | {"image": torch.zeros(4, 3, 32, 32)}, Target())
    older = [any(torch.allclose(image, fake, atol=1e-6) for fake in fakes["b"]) for image in seen[1]]
    assert 0 < sum(older) < 4


@pytest.mark.parametrize(("attributes", "one_hot"), KINDS, ids=["one-hot", "one attribute"])
def test_which_of_the_two_domains_comes_first_in_a_row_does_not_matter(attributes, one_hot):
    model, batch = small(attributes, one_hot), make_batch(one_hot=one_hot)
    swapped = batch | {
        "image": batch["reference"],
        "label": batch["reference_label"],
        "reference": batch["image"],
        "reference_label": batch["label"],
    }
    one, other = terms_of(model, batch), terms_of(model, swapped)
    assert {name: term.item() for name, term in one.items()} == {name: term.item() for name, term in other.items()}


@pytest.mark.parametrize(("attributes", "one_hot"), KINDS, ids=["one-hot", "one attribute"])
def test_swapping_the_domains_swaps_the_roles_exactly(attributes, one_hot):
    """Mirrored networks and labels: mirrored losses, and mirrored gradients."""
    model = small(attributes, one_hot, lambda_cyc_a=8.0, lambda_cyc_b=3.0).double()
    mirror = small(attributes, one_hot, lambda_cyc_a=3.0, lambda_cyc_b=8.0).double()
    other_name = {"ab": "ba", "ba": "ab", "a": "b", "b": "a"}
    for player in ("generator", "discriminator"):
        for name, network in getattr(model, player).items():
            getattr(mirror, player)[other_name[name]].load_state_dict(network.state_dict())
    batch = make_batch(one_hot=one_hot, dtype=torch.float64)
    flipped = batch | {"label": 1 - batch["label"], "reference_label": 1 - batch["reference_label"]}
    terms, mirrored_terms = terms_of(model, batch), terms_of(mirror, flipped)
    for name, other in (("cyc_a", "cyc_b"), ("cyc_b", "cyc_a"), ("adv", "adv"), ("idt", "idt")):
        assert terms[f"generator {name}"].item() == pytest.approx(
            mirrored_terms[f"generator {other}"].item(), rel=1e-12
        )
    assert terms["adv"].item() == pytest.approx(mirrored_terms["adv"].item(), rel=1e-12)
    assert terms["generator cyc_a"] != terms["generator cyc_b"]
    for summed in (terms, mirrored_terms):
        torch.stack(list(summed.values())).sum().backward()
    for player in ("generator", "discriminator"):
        for name, network in getattr(model, player).items():
            opposite = getattr(mirror, player)[other_name[name]]
            for one, other in zip(network.parameters(), opposite.parameters(), strict=True):
                torch.testing.assert_close(one.grad, other.grad)


# ------------------------------------------------------------------------------------------------ translating


@torch.no_grad()
@pytest.mark.parametrize(("attributes", "one_hot"), KINDS, ids=["one-hot", "one attribute"])
@pytest.mark.parametrize("towards", ["aaaa", "bbbb", "abba", "baab", "abbb", "b"])
def test_each_row_goes_its_own_way_and_keeps_its_place(attributes, one_hot, towards):
    model, batch = small(attributes, one_hot), make_batch(towards, one_hot)
    image = model.translate(batch["image"], Target(label=batch["label"])).image
    ways = {"a": "ba", "b": "ab"}
    expected = torch.cat(
        [model.generator[ways[domain]](row[None]) for domain, row in zip(towards, batch["image"], strict=True)]
    )
    torch.testing.assert_close(image, expected, atol=1e-6, rtol=0)


@torch.no_grad()
def test_the_two_ways_differ():
    model, batch = small(), make_batch("a")
    to_a, to_b = (model.translate(batch["image"], Target(label=label[None])).image for label in (A, B))
    assert (to_a - to_b).abs().max() > 1e-2


@torch.no_grad()
@pytest.mark.parametrize("settings", [{}, {"antialias": True}, {"network": "unet", "unet_depth": 3}])
def test_a_picture_depends_neither_on_the_mode_nor_on_its_batch(settings):
    model, batch = small(**settings), make_batch()
    together = model.train().translate(batch["image"], Target(label=batch["label"])).image
    assert torch.equal(model.eval().translate(batch["image"], Target(label=batch["label"])).image, together)
    for row in range(4):
        alone = model.translate(batch["image"][row : row + 1], Target(label=batch["label"][row : row + 1])).image
        torch.testing.assert_close(alone[0], together[row], atol=1e-5, rtol=0)
    assert not [name for name in model.state_dict() if "running" in name]


def test_gradients_reach_the_rows_of_both_ways():
    model, batch = small(), make_batch()
    image = batch["image"].requires_grad_()
    model.translate(image, Target(label=batch["label"])).image.square().sum().backward()
    assert (image.grad.flatten(1).abs().sum(1) > 0).all()
    assert learning(model) == {"generator.ab", "generator.ba"}


# ------------------------------------------------------------------------------------------------ training


def test_the_papers_learning_rate():
    model = small()
    epoch = 1334  # pictures of the larger domain, zebras
    expected = {1: 2e-4, 100: 2e-4, 101: 2e-4 * (1 - 1 / 101), 150: 2e-4 * (1 - 50 / 101), 200: 2e-4 * (1 - 100 / 101)}
    for number, rate in expected.items():
        first, last = (number - 1) * epoch, number * epoch - 1
        rates = [model.hparams["lr"] * model.lr_scale(step) for step in (first, last)]
        assert rates == pytest.approx([rate, rate], rel=1e-9), number
    assert sum(phase.steps for phase in model.phases) == 200 * epoch
    assert model.hparams["betas"] == (0.5, 0.999)


def pools(model):
    return {domain: torch.stack(pool.images) for domain, pool in model.pools.items()}


def test_a_resumed_run_ends_where_an_uninterrupted_one_does(tmp_path):
    """Weights and pools, bit for bit; the pools are full by the third iteration, and draw from then on."""
    settings = {"pool_size": 8, "lr": 0.01, "phases": [Phase(6, decay=4, stairs=2)]}
    whole, first, second = (small(**settings) for _ in range(3))
    fit(whole, make_batch(), steps=6)
    fit(first, make_batch(), steps=4).save_checkpoint(tmp_path / "step-0000004.ckpt")
    second.load_state_dict({name: value + 1 for name, value in second.state_dict().items()})
    fit(second, make_batch(), steps=6, resume=tmp_path / "step-0000004.ckpt")
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in whole.state_dict().items())
    assert all(torch.equal(images, pools(second)[domain]) for domain, images in pools(whole).items())
    assert any(not torch.equal(images, pools(first)[domain]) for domain, images in pools(whole).items())


def test_pools_of_another_number_of_processes_are_forgotten_with_a_warning(tmp_path):
    path = tmp_path / "step-0000002.ckpt"
    fit(small(), make_batch(), steps=2).save_checkpoint(path)
    checkpoint = torch.load(path, weights_only=False)
    checkpoint["translator"]["processes"] *= 2
    torch.save(checkpoint, path)
    model = small()
    with pytest.warns(UserWarning, match=r"of 2 processes, there are 1: .*\(generated images\) is forgotten"):
        fit(model, make_batch(), steps=3, resume=path)
    assert [len(images) for images in pools(model).values()] == [4, 4]


def test_a_loaded_model_translates_as_it_did(tmp_path):
    model, batch = small(["Smiling"], one_hot=False, network="unet", unet_depth=3), make_batch(one_hot=False)
    fit(model, batch, steps=1).save_checkpoint(tmp_path / "step-0000001.ckpt")
    loaded = CycleGAN.load(str(tmp_path / "step-0000001.ckpt"))
    with torch.no_grad():
        one, other = (m.translate(batch["image"], Target(label=batch["label"])).image for m in (model, loaded))
    assert torch.equal(one, other)


def test_a_batch_that_is_not_finite_costs_its_own_update_alone():
    """Its fakes would otherwise come back out of the pool."""
    model, good = small(pool_size=8), make_batch("abbaabba")
    bad = {name: tensor.clone() for name, tensor in good.items()}
    bad["image"].fill_(math.nan)
    rows = {name: torch.cat([good[name], bad[name], *[good[name]] * 6]) for name in good}
    trainer = fit(model, rows, steps=8, batch_size=8)
    assert trainer.callback_metrics["skipped_updates"] == 2  # one of each player
    assert all(parameter.isfinite().all() for parameter in model.parameters())


def test_a_batch_in_parts_gives_the_same_gradient():
    """Before the pool is full; then each image has a coin of its own, thrown in another order."""
    batch = make_batch(dtype=torch.float64)
    whole, parts = small().double(), small().double()
    terms_of(whole, batch)["adv"].backward()
    for rows in (slice(0, 2), slice(2, 4)):
        (terms_of(parts, {name: tensor[rows] for name, tensor in batch.items()})["adv"] / 2).backward()
    for one, other in zip(whole.discriminator.parameters(), parts.discriminator.parameters(), strict=True):
        torch.testing.assert_close(one.grad, other.grad)


def textures(colour, count, generator):
    """Smooth grey noise, of mean 0 in each picture, over a colour."""
    noise = functional.interpolate(torch.randn(count, 1, 4, 4, generator=generator), size=32, mode="bilinear")
    noise = noise - noise.mean((2, 3), keepdim=True)
    return colour[:, None, None] + 0.25 * noise / noise.std()


@pytest.mark.slow
def test_a_small_run_learns_the_other_colour_and_keeps_the_texture():
    orange, blue = torch.tensor([0.4, -0.2, -0.4]), torch.tensor([-0.4, -0.2, 0.4])
    generator = torch.Generator().manual_seed(0)
    a, b = textures(orange, 16, generator), textures(blue, 16, generator)
    batch = {
        "image": a,
        "label": A.expand(16, 2),
        "index": torch.arange(16),
        "reference": b,
        "reference_label": B.expand(16, 2),
        "reference_index": torch.arange(16),
    }
    widths = {"generator_width": 8, "discriminator_width": 8, "blocks": 1}
    model = small(lr=2e-3, phases=[Phase(120, decay=60)], **widths)

    @torch.no_grad()
    def look():
        terms = model.generator_loss(batch, Target())
        fake_b, fake_a = model.generator["ab"](a), model.generator["ba"](b)
        colours = torch.stack([fake_b.mean((0, 2, 3)) - blue, fake_a.mean((0, 2, 3)) - orange])
        return terms["cyc_a"].item(), terms["cyc_b"].item(), colours.abs().max().item()

    flat = (a - orange[:, None, None]).abs().mean().item()  # what the cycles cost without any texture
    assert flat > 0.15
    assert min(look()) > 0.25
    fit(model, batch, steps=120, batch_size=1)
    assert max(look()) < 0.1


# ------------------------------------------------------------------------------------------------ unpaired pictures


@pytest.fixture
def folders(tmp_path):
    """Three pictures of A and five of B; grey levels tell which, and a bright left half whether one is mirrored."""
    for domain, level, count in (("A", 20, 3), ("B", 120, 5)):
        for number in range(count):
            picture = np.full((16, 16), level + number, dtype=np.uint8)
            picture[:, :8] += 100
            path = tmp_path / "data" / f"train{domain}" / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(picture).save(path)
    return UnpairedFolders(str(tmp_path / "data"), image_size=16, batch_size=1, num_workers=0, cache=False)


def draws(data, epochs):
    """Of each row the levels of image and reference, and whether each is mirrored, an epoch at a time."""
    loader = data.train_dataloader()
    for epoch in range(epochs):
        rows = []
        for step in range(epoch * 8, epoch * 8 + 8):
            batch = loader.samples.batch(*loader.samples[loader.sampler.batch(step)])
            corners = [((batch[name][0, 0, 0] + 1) * 127.5).round().int().tolist() for name in ("image", "reference")]
            rows.append([(min(left, right), left < right) for left, *_, right in corners])
        yield rows


def test_in_an_epoch_each_picture_has_its_turn_beside_one_of_the_other_domain(folders):
    for rows in draws(folders, epochs=4):
        assert sorted(image for (image, _), _ in rows) == [20, 21, 22, 120, 121, 122, 123, 124]
        assert all((image < 100) != (reference < 100) for (image, _), (reference, _) in rows)


def test_over_the_epochs_each_picture_meets_every_one_of_the_other_domain(folders):
    met = {(image, reference) for rows in draws(folders, epochs=40) for (image, _), (reference, _) in rows}
    a, b = range(20, 23), range(120, 125)
    assert met == {pair for x in a for y in b for pair in ((x, y), (y, x))}


def test_image_and_reference_are_mirrored_independently(folders):
    flips = [(one, other) for rows in draws(folders, epochs=50) for (_, one), (_, other) in rows]
    for both in [(False, False), (False, True), (True, False), (True, True)]:
        assert flips.count(both) / 400 == pytest.approx(0.25, abs=0.09)  # four standard deviations


def test_batches_of_two_folders_are_what_the_model_takes(folders):
    folders.image_size = 32
    model = small(folders.attributes, folders.one_hot)
    for batch in folders.train_dataloader():
        assert all(term.isfinite() for term in terms_of(model, batch).values())


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("attributes", "one_hot", "got"),
    [
        (["cat", "dog", "fox"], True, "got the domains cat, dog, fox: name two domains or one attribute"),
        (["cat"], True, "got the domains cat: name two"),
        (["Smiling", "Young"], False, "got the attributes Smiling, Young: name two domains or one attribute"),
    ],
)
def test_there_are_two_domains(attributes, one_hot, got):
    with pytest.raises(ValueError, match=f"CycleGAN translates between two domains, {got}"):
        small(attributes, one_hot)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gan_mode": "hinge"}, "gan_mode must be one of lsgan, vanilla, got 'hinge'"),
        ({"gan_mode": "wgan-gp"}, "gan_mode must be one of lsgan, vanilla, got 'wgan-gp'"),
        ({"network": "resnet9"}, "network must be one of resnet, unet, got 'resnet9'"),
        ({"generator_width": 0}, "generator_width must be at least 1, got 0"),
        ({"discriminator_width": 0}, "discriminator_width must be at least 1, got 0"),
        ({"pool_size": -1}, "pool_size must be at least 0, got -1"),
        ({"network": "unet", "unet_depth": 1}, "depth of at least 2, got 1"),
        ({"image_size": 34}, r"a multiple of 4 \(for this network\) and at least 32 .* got 34"),
        ({"image_size": 16}, r"at least 32 \(for the discriminators\), got 16"),
        ({"network": "unet", "unet_depth": 6}, "a multiple of 64 .* got 32"),
    ],
)
def test_impossible_settings_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        small(**settings)


@pytest.mark.parametrize("shape", [(1, 3, 18, 16), (1, 3, 16, 4), (1, 1, 16, 16), (3, 16, 16)])
def test_translate_refuses_images_it_cannot_take(shape):
    with pytest.raises(ValueError, match=r"CycleGAN takes images .* multiples of 4 and at least 8, got \("):
        small().translate(torch.zeros(shape), Target(label=A[None]))


def test_a_u_net_asks_for_more_of_the_sides():
    model = small(network="unet", unet_depth=4)
    assert model.translate(torch.zeros(1, 3, 16, 48), Target(label=A[None])).image.shape == (1, 3, 16, 48)
    with pytest.raises(ValueError, match=r"multiples of 16 and at least 8, got \(1, 3, 24, 16\)"):
        model.translate(torch.zeros(1, 3, 24, 16), Target(label=A[None]))


@pytest.mark.parametrize("label", [None, torch.zeros(1, 1), torch.zeros(2, 2), torch.zeros(2), torch.zeros(1, 3)])
def test_translate_refuses_labels_of_another_shape(label):
    with pytest.raises(ValueError, match=r"must have shape \(1, 2\), a column each for cat, dog; got"):
        small().translate(torch.zeros(1, 3, 16, 16), Target(label=label))


@pytest.mark.parametrize("value", [-1.0, 0.5, 2.0, math.nan])
@pytest.mark.parametrize(("attributes", "one_hot"), KINDS, ids=["one-hot", "one attribute"])
def test_translate_refuses_labels_that_are_neither_0_nor_1(attributes, one_hot, value):
    label = torch.tensor([[0.0, value] if one_hot else [value]])
    with pytest.raises(ValueError, match=f"0 or 1 each, got {value:g}"):
        small(attributes, one_hot).translate(torch.zeros(1, 3, 16, 16), Target(label=label))


@pytest.mark.parametrize("row", [[0, 0], [1, 1]])
def test_a_target_is_one_of_the_two_domains(row):
    with pytest.raises(ValueError, match=rf"of classes exactly one is 1, got \[{row[0]}, {row[1]}\]"):
        small().translate(torch.zeros(1, 3, 16, 16), Target(label=torch.tensor([row]).float()))


@pytest.mark.parametrize("step", ["discriminator_loss", "generator_loss"])
@pytest.mark.parametrize(("attributes", "one_hot"), KINDS, ids=["one-hot", "one attribute"])
def test_a_reference_of_the_images_own_domain_is_refused(attributes, one_hot, step):
    model, batch = small(attributes, one_hot), make_batch(one_hot=one_hot)
    batch["reference_label"][2] = batch["label"][2]
    with pytest.raises(
        ValueError, match=r"a picture of each domain in each row .* set --data.init_args.reference=other"
    ):
        getattr(model, step)(batch, model.sample_target(batch))
