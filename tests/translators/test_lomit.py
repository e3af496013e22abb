import math

import numpy as np
import pytest
import torch
from torch import nn
from torch.nn import functional

import golden
from plain import equal, instance_norm, plain_attribute_loss
from tiny import Rows, fit, make_batch, stop_and_resume
from translators import Translator, checkpoints, official
from translators import lomit as module
from translators.augmentation import augment
from translators.layers import BatchNorm2d
from translators.lomit import LOMIT, CoSegmentation, Decoder, Discriminator, StyleEncoder, adain, normalised
from translators.stargan import StarGAN
from translators.types import Phase, Target

SIZES = {"generator_width": 4, "discriminator_width": 3, "blocks": 2, "depth": 2, "style_dim": 5, "mlp_dim": 6}
NAMES = ["Smiling", "Male", "Goatee"]
WEIGHTS = {
    "adv": 1,
    "cls": 1,
    "cyc": 10,
    "rec": 10,
    "foreground": 1,
    "background": 1,
    "content": 1,
    "pairwise": 0.1,
    "difference": 0.01,
    "mask": 1e-4,
    "tv": 0,
}


def small(**settings):
    torch.manual_seed(0)
    return LOMIT(**({"attributes": NAMES, "image_size": 16} | SIZES | settings))


def counted(network):
    return sum(parameter.numel() for parameter in network.parameters())


def step(**settings):
    """A model in float64, a batch, and its target."""
    model, batch = small(**settings).double(), make_batch(2)
    batch = {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}
    return model, batch, model.sample_target(batch)


# ------------------------------------------------------------------------------------------------ the networks


@pytest.fixture(scope="module")
def large():
    """As large as the paper's, without memory."""
    with torch.device("meta"):
        return LOMIT([f"attribute_{index}" for index in range(10)])


def test_parameter_counts_are_those_of_the_authors_code(large):
    parts = {name: counted(network) for name, network in large.generator.items()}
    assert parts == {"c_encoder": 5_390_848, "s_encoder": 4_864_656, "mask": 3_806_721, "decoder": 6_158_083}
    assert counted(large.generator) == 20_220_308
    mask, styles = large.generator["mask"], large.generator["s_encoder"]
    assert [counted(part) for part in (mask.co_attn, mask.main)] == [262_912, 3_543_809]
    assert [counted(part) for part in (styles.shared, styles.foreground)] == [665_216, 2_099_720]
    assert counted(large.generator["decoder"].f_mlp) == 199_680


@pytest.mark.parametrize(
    ("attributes", "count"), [(4, 44_753_861), (6, 44_770_247), (10, 44_803_019), (12, 44_819_405)]
)
def test_discriminators_parameter_count(attributes, count):
    with torch.device("meta"):
        discriminator = Discriminator(attributes)
    assert counted(discriminator) == count
    assert counted(discriminator.main) == 44_702_656


def test_style_branches_are_apart_unless_asked_for_as_one():
    with torch.device("meta"):
        shared = LOMIT(["Male"], share_style_branches=True)
    assert counted(shared.generator) == 18_120_588
    assert counted(shared.generator["s_encoder"]) == 2_764_936
    for share in (False, True):
        encoder = StyleEncoder(2, share_branches=share)
        places = [
            {value.data_ptr() for value in part.parameters()} for part in (encoder.foreground, encoder.background)
        ]
        assert (places[0] & places[1] == places[0]) if share else not places[0] & places[1]


def test_weights_have_the_authors_names_and_shapes_in_their_order(large):
    """But for what the authors' instance norms remember of training."""
    memory = ("running_mean", "running_var", "num_batches_tracked")
    for network, name in ((large.generator, "lomit_generator"), (large.discriminator, "lomit_discriminator_c10")):
        theirs = golden.record(f"{name}.keys").items()
        wanted = [(key, shape) for key, shape in theirs if key.startswith("mask.") or not key.endswith(memory)]
        assert [(key, list(value.shape)) for key, value in network.state_dict().items()] == wanted
    norms = [type(layer.norm) for layer in large.generator["mask"].main[:6]]
    assert norms == [BatchNorm2d] * 6


@pytest.mark.parametrize(("size", "side"), [(128, 2), (256, 4)])
def test_shapes_at_full_size(size, side):
    model = LOMIT(["Male", "Goatee"], image_size=size, generator_width=4, discriminator_width=2)
    image = torch.zeros(2, 3, size, size)
    with torch.no_grad():
        parts = model._parts(torch.cat([image, image]))
        translation = model.translate(image, Target(reference=image))
        scores, logits = model.discriminator(image)
    assert parts.content.shape == (4, 16, size // 4, size // 4)
    assert parts.mask.shape == (4, 1, size // 4, size // 4)
    assert parts.foreground.shape == parts.background.shape == (4, 8)
    assert translation.image.shape == image.shape and translation.mask.shape == (2, 1, size, size)
    assert scores.shape == (2, 1, side, side) and logits.shape == (2, 2)
    assert model.discriminator.conv2.kernel_size == (side, side)


@pytest.mark.parametrize("size", [(16, 16), (64, 64), (20, 36)])
def test_small_images_have_a_content_of_a_quarter(size):
    model, image = small(image_size=64), torch.rand(1, 3, *size) * 2 - 1
    translation = model.eval().translate(image, Target(reference=image.flip(3)))
    assert model.generator["c_encoder"](image).shape == (1, 16, size[0] // 4, size[1] // 4)
    assert translation.image.shape == image.shape and translation.image.abs().max() <= 1


def test_weights_begin_as_the_paper_says():
    """He et al. for the generator, N(0, 0.02) for the discriminator, or He et al. for leaky ReLUs there too."""
    model = small(generator_width=16, discriminator_width=16)
    again = small(discriminator_width=32, he_init=True)
    drawn = [
        *(
            (layer, math.sqrt(2 / layer.weight[0].numel()))
            for layer in model.generator.modules()
            if hasattr(layer, "weight") and layer.weight.ndim > 1
        ),
        *((layer, 0.02) for layer in model.discriminator.modules() if isinstance(layer, nn.Conv2d)),
        *(
            (layer, math.sqrt(2 / (1 + 0.01**2) / layer.weight[0].numel()))
            for layer in again.discriminator.modules()
            if isinstance(layer, nn.Conv2d)
        ),
    ]
    assert len(drawn) == 3 + 4 + 3 + 6 + 7 + 2 + 4 + 3 + 6 + 2 * 4
    for layer, deviation in drawn:
        count = layer.weight.numel()
        assert layer.weight.std().item() == pytest.approx(deviation, rel=5 / math.sqrt(2 * count))
        assert abs(layer.weight.mean().item()) < 5 * deviation / math.sqrt(count)
        assert (layer.bias == 0).all()
    for layer in model.generator.modules():
        if isinstance(layer, nn.InstanceNorm2d | nn.GroupNorm | nn.BatchNorm2d):
            assert (layer.weight == 1).all() and (layer.bias == 0).all()


# ------------------------------------------------------------------------------------------------ the paper, plainly


def mirrored(x, border):
    """Without the outermost row and column, which are the mirror."""
    height, width = x.shape[2:]
    rows = [*range(border, 0, -1), *range(height), *range(height - 2, height - 2 - border, -1)]
    columns = [*range(border, 0, -1), *range(width), *range(width - 2, width - 2 - border, -1)]
    return x[:, :, rows][..., columns]


def convolution(w, name, x, stride=1):
    weight = w[f"{name}.weight"]
    return functional.conv2d(mirrored(x, (weight.shape[-1] - 1) // 2), weight, w[f"{name}.bias"], stride)


def rectified(x):
    return x * (x > 0)


def leaky(x):
    return torch.where(x > 0, x, 0.01 * x)


def sigmoid(x):
    return 1 / (1 + (-x).exp())


def scaled(w, name, x):
    return x * w[f"{name}.weight"].view(-1, 1, 1) + w[f"{name}.bias"].view(-1, 1, 1)


def layer_norm(w, name, x):
    mean, variance = x.mean((1, 2, 3), keepdim=True), x.var((1, 2, 3), keepdim=True, correction=0)
    return scaled(w, name, (x - mean) / (variance + 1e-5).sqrt())


def channel_norm(w, name, x):
    return instance_norm(x, w[f"{name}.weight"], w[f"{name}.bias"])


def batch_norm(w, name, x):
    mean, variance = x.mean((0, 2, 3), keepdim=True), x.var((0, 2, 3), keepdim=True, correction=0)
    return scaled(w, name, (x - mean) / (variance + 1e-5).sqrt())


def plain_residual(w, name, x, norm):
    h = rectified(norm(w, f"{name}.main.0.norm", convolution(w, f"{name}.main.0.conv", x)))
    return x + norm(w, f"{name}.main.1.norm", convolution(w, f"{name}.main.1.conv", h))


def plain_content(w, x):
    for layer, stride in enumerate((1, 2, 2)):
        name = f"c_encoder.main.{layer}"
        x = rectified(channel_norm(w, f"{name}.norm", convolution(w, f"{name}.conv", x, stride)))
    for block in (3, 4):
        x = plain_residual(w, f"c_encoder.main.{block}", x, channel_norm)
    return x


def linear(w, name, x):
    return x @ w[f"{name}.fc.weight"].T + w[f"{name}.fc.bias"]


def plain_gate(w, pooled):
    hidden = linear(w, "mask.co_attn.main.0", pooled).tanh()
    return sigmoid(linear(w, "mask.co_attn.main.1", hidden))


def plain_masks(w, *pairs):
    """m of each content beside its partner, the batch norms' statistics those of all of them."""
    x = torch.cat([plain_gate(w, other.mean((2, 3)))[:, :, None, None] * content for content, other in pairs])
    for layer in range(6):
        name = f"mask.main.{layer}"
        x = rectified(batch_norm(w, f"{name}.norm", convolution(w, f"{name}.conv", x)))
    return sigmoid(convolution(w, "mask.main.6.conv", x)).chunk(len(pairs))


def bilinear(mask):
    """At four times the side: each row of a matrix interpolates between the centres of two places, as numpy does."""
    height, width = mask.shape[2:]
    rows, columns = (
        np.stack([np.interp((np.arange(4 * n) + 0.5) / 4 - 0.5, np.arange(n), unit) for unit in np.eye(n)], axis=1)
        for n in (height, width)
    )
    return torch.from_numpy(rows).to(mask) @ mask @ torch.from_numpy(columns).to(mask).T


def plain_style(w, part, image):
    for layer, stride in enumerate((1, 2, 2)):
        image = leaky(convolution(w, f"s_encoder.shared.{layer}.conv", image, stride))
    for layer in (0, 1):
        image = leaky(convolution(w, f"s_encoder.{part}.{layer}.conv", image, 2))
    return image.mean((2, 3)) @ w[f"s_encoder.{part}.3.weight"][:, :, 0, 0].T + w[f"s_encoder.{part}.3.bias"]


def foreground_style(w, image, mask):
    return plain_style(w, "foreground", bilinear(mask) * image)


def background_style(w, image, mask):
    return plain_style(w, "background", (1 - bilinear(mask)) * image)


def plain_adain(w, mlp, content, style):
    hidden = leaky(linear(w, f"decoder.{mlp}.main.1", leaky(linear(w, f"decoder.{mlp}.main.0", style))))
    beta, log_variance = linear(w, f"decoder.{mlp}.main.2", hidden)[:, :, None, None].chunk(2, 1)
    mean = content.mean((2, 3), keepdim=True)
    places = content.shape[2] * content.shape[3]
    deviation = ((content - mean).square().sum((2, 3), keepdim=True) / (places - 1)).sqrt()
    return (log_variance.exp().sqrt()) * (content - mean) / (deviation + 1e-5) + beta


def plain_decode(w, content, mask, foreground, background):
    x = mask * plain_adain(w, "f_mlp", content, foreground)
    x = x + (1 - mask) * plain_adain(w, "b_mlp", content, background)
    for block in (0, 1):
        x = plain_residual(w, f"decoder.main.{block}", x, layer_norm)
    for layer in (3, 5):
        x = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
        name = f"decoder.main.{layer}"
        x = rectified(layer_norm(w, f"{name}.norm", convolution(w, f"{name}.conv", x)))
    return convolution(w, "decoder.main.6.conv", x).tanh()


def plain_both(w, a, b):
    """x_AB and x_BA, and all that comes before them."""
    c_a, c_b = plain_content(w, a), plain_content(w, b)
    m_a, m_b = plain_masks(w, (c_a, c_b), (c_b, c_a))
    f_a, f_b = foreground_style(w, a, m_a), foreground_style(w, b, m_b)
    b_a, b_b = background_style(w, a, m_a), background_style(w, b, m_b)
    ab, ba = plain_decode(w, c_a, m_a, f_b, b_a), plain_decode(w, c_b, m_b, f_a, b_b)
    return {"c": (c_a, c_b), "m": (m_a, m_b), "f": (f_a, f_b), "b": (b_a, b_b), "x": (ab, ba)}


def plain_discriminator(w, x):
    for level in (0, 1):
        x = leaky(convolution(w, f"main.{level}.conv", x, 2))
    return convolution(w, "conv1.conv", x), (x[:, None] * w["conv2.weight"]).sum((2, 3, 4)) + w["conv2.bias"]


def l1(x, y):
    return (x - y).abs().mean()


def plain_pairwise(mask, content):
    """Eq. 13 as a mean, pair by pair."""
    total = 0
    for m, c in zip(mask.flatten(1), content.flatten(2), strict=True):
        unit = c / c.square().sum(0).sqrt()
        places = range(len(m))
        total = total + sum(abs(m[i] - m[j]) * (unit[:, i] * unit[:, j]).sum() for i in places for j in places)
    return total / (len(mask) * mask[0].numel() ** 2)


def plain_variation(mask):
    height, width = (mask[:, :, 1:] - mask[:, :, :-1], mask[..., 1:] - mask[..., :-1])
    return sum(steps.abs().sum((1, 2, 3)).mean() for steps in (height, width))


def plain_generator_terms(w, d, a, b, y_a, y_b):
    first = plain_both(w, a, b)
    (c_a, c_b), (m_a, m_b), (f_a, f_b), (b_a, b_b), (ab, ba) = first.values()
    again = plain_both(w, ab, ba)
    (c_ab, c_ba), (m_ab, m_ba), (f_ab, f_ba), (b_ab, b_ba), (aba, bab) = again.values()
    m_aa, m_bb = plain_masks(w, (c_a, c_a), (c_b, c_b))
    aa, bb = plain_decode(w, c_a, m_aa, f_a, b_a), plain_decode(w, c_b, m_bb, f_b, b_b)
    (score_ab, told_ab), (score_ba, told_ba) = plain_discriminator(d, ab), plain_discriminator(d, ba)
    masks = [(m_a, c_a), (m_ab, c_a), (m_aa, c_a), (m_b, c_b), (m_ba, c_b), (m_bb, c_b)]
    return {
        "adv": -score_ab.mean() - score_ba.mean(),
        "cls": plain_attribute_loss(told_ab, y_b, False) + plain_attribute_loss(told_ba, y_a, False),
        "cyc": l1(aba, a) + l1(bab, b),
        "rec": l1(aa, a) + l1(bb, b),
        "foreground": l1(f_ab, f_b) + l1(f_ba, f_a),
        "background": l1(b_ab, b_a) + l1(b_ba, b_b),
        "content": l1(c_ab, c_a) + l1(c_ba, c_b),
        "difference": -l1(f_a, f_b),
        "mask": sum(mask.mean() for mask, _ in masks),
        "pairwise": sum(plain_pairwise(mask, content.detach()) for mask, content in masks),
        "tv": sum(plain_variation(mask) for mask, _ in masks),
    }


# ------------------------------------------------------------------------------------------------ losses


def leaves(network):
    return {name: value.detach().requires_grad_() for name, value in network.named_parameters()}


def test_terms_of_a_generator_step_and_their_gradients():
    """By the paper's formulas, one order at a time; nothing is stopped but the contents of R1."""
    model, batch, target = step(lambda_tv=1e-3)
    w, d = leaves(model.generator), model.discriminator.state_dict()
    terms = model.generator_loss(batch, target)
    expected = plain_generator_terms(w, d, batch["image"], batch["reference"], batch["label"], batch["reference_label"])
    equal(terms, {name: term.detach() for name, term in expected.items()})
    weights = WEIGHTS | {"tv": 1e-3}
    assert {term: model.weight(term) for term in terms} == weights
    sum(model.weight(name) * term for name, term in terms.items()).backward()
    sum(weights[name] * term for name, term in expected.items()).backward()
    for name, parameter in model.generator.named_parameters():
        torch.testing.assert_close(parameter.grad, w[name].grad, rtol=1e-6, atol=1e-8, msg=name)


def test_terms_of_a_discriminator_step():
    model, batch, target = step()
    d = model.discriminator.state_dict()
    a, b = batch["image"], batch["reference"]
    torch.manual_seed(5)
    terms = model.discriminator_loss(batch, target)
    torch.manual_seed(5)
    share = torch.empty(4, dtype=torch.float64).uniform_()[:, None, None, None]  # one an image: of A, then of B
    with torch.no_grad():
        ab, ba = plain_both(model.generator.state_dict(), a, b)["x"]
    (score_a, told_a), (score_b, told_b), (score_ab, _), (score_ba, _) = (
        plain_discriminator(d, x) for x in (a, b, ab, ba)
    )
    slopes = []
    for u, real, fake in zip(share, torch.cat([a, b]), torch.cat([ab, ba]), strict=True):
        mixed = (u * real + (1 - u) * fake)[None].requires_grad_()
        (slope,) = torch.autograd.grad(plain_discriminator(d, mixed)[0].sum(), mixed)  # the sum over 4 x 4 patches
        slopes.append((slope.square().sum().sqrt() - 1) ** 2)
    expected = {
        "adv": -score_a.mean() + score_ab.mean() - score_b.mean() + score_ba.mean(),
        "cls": plain_attribute_loss(told_a, batch["label"], False)
        + plain_attribute_loss(told_b, batch["reference_label"], False),
        "gp": sum(slopes) / 2,  # of two images, in both orders
    }
    equal(terms, expected)
    assert [model.weight(term) for term in terms] == [1, 1, 10]


def test_the_penalty_of_a_discriminator_that_is_0_is_1_in_each_order():
    model, batch, target = step()
    nn.init.zeros_(model.discriminator.conv1.conv.weight)
    assert model.discriminator_loss(batch, target)["gp"].item() == pytest.approx(2, rel=1e-5)


@torch.no_grad()
@pytest.mark.parametrize("count", [3, 6])
def test_attribute_terms_are_sums_over_attributes(count):
    """Where D cannot decide, ln 2 for each attribute in each order."""
    model, batch = small(attributes=[f"a{i}" for i in range(count)], gan_mode="lsgan"), make_batch(2, width=count)
    nn.init.zeros_(model.discriminator.conv2.weight)
    for loss in (model.discriminator_loss, model.generator_loss):
        assert loss(batch, model.sample_target(batch))["cls"].item() == pytest.approx(2 * count * math.log(2))


@torch.no_grad()
def test_no_term_depends_on_how_often_a_batch_is_repeated():
    model, batch, target = step(gan_mode="lsgan", lambda_tv=1.0)
    thrice = {name: tensor.repeat(3, *[1] * (tensor.ndim - 1)) for name, tensor in batch.items()}
    for loss in (model.discriminator_loss, model.generator_loss):
        equal(loss(thrice, model.sample_target(thrice)), loss(batch, target))


@torch.no_grad()
@pytest.mark.parametrize(("mode", "decided"), [("vanilla", 2 * math.log(2)), ("lsgan", 1.0)])
def test_other_adversaries_have_no_penalty(mode, decided):
    """Where all scores are 0: -log(1/2) twice, or (0 - 1)^2 + 0^2, in each order."""
    model, batch, target = step(gan_mode=mode)
    nn.init.zeros_(model.discriminator.conv1.conv.weight)
    terms = model.discriminator_loss(batch, target)
    assert terms.keys() == {"adv", "cls"}
    assert terms["adv"].item() == pytest.approx(2 * decided, rel=1e-6)


@torch.no_grad()
def test_classes_are_told_by_one_softmax():
    model, batch = small(one_hot=True).double(), make_batch(2, one_hot=True)
    batch = {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}
    d = model.discriminator.state_dict()
    terms = model.generator_loss(batch, model.sample_target(batch))
    ab, ba = plain_both(model.generator.state_dict(), batch["image"], batch["reference"])["x"]
    told = [plain_discriminator(d, x)[1] for x in (ab, ba)]
    wanted = [batch["reference_label"], batch["label"]]
    expected = sum(plain_attribute_loss(*pair, True) for pair in zip(told, wanted, strict=True))
    assert terms["cls"].item() == pytest.approx(expected.item(), rel=1e-6)


@torch.no_grad()
def test_an_augmented_discriminator_sees_only_augmented_images():
    model, batch, target = step(augment=True)
    d = model.discriminator.state_dict()
    a, b = batch["image"], batch["reference"]
    fakes = plain_both(model.generator.state_dict(), a, b)["x"]
    torch.manual_seed(5)
    with torch.enable_grad():
        terms = model.discriminator_loss(batch, target)
    torch.manual_seed(5)
    scores, told = plain_discriminator(d, augment(torch.cat([a, b, *fakes])))
    label = torch.cat([batch["label"], batch["reference_label"]])
    assert terms["adv"].item() == pytest.approx(2 * (scores[4:].mean() - scores[:4].mean()).item(), rel=1e-6)
    assert terms["cls"].item() == pytest.approx(2 * plain_attribute_loss(told[:4], label, False).item(), rel=1e-6)
    torch.manual_seed(6)
    terms = model.generator_loss(batch, target)
    torch.manual_seed(6)
    scores, _ = plain_discriminator(d, augment(torch.cat(fakes)))
    assert terms["adv"].item() == pytest.approx(-2 * scores.mean().item(), rel=1e-6)


# ------------------------------------------------------------------------------------------------ what masks are asked


def pairs(mask, content):
    return module.pairwise_difference(mask.flatten(2), content.flatten(2))


def test_constant_masks_differ_nowhere():
    assert pairs(torch.full((2, 1, 4, 4), 0.3), torch.randn(2, 5, 4, 4)) == 0


def test_places_of_like_content_want_the_same_mask_and_opposite_ones_another():
    """Two places: of the four pairs two count, each |0.9 - 0.2| times the cosine, which is 1, 0.6 or -1."""
    mask = torch.tensor([[[[0.9, 0.2]]]])
    for content, cosine in (([1.0, 4.0], 1.0), ([1.0, -4.0], -1.0)):
        assert pairs(mask, torch.tensor([[[content]]])).item() == pytest.approx(0.35 * cosine)
    slanted = torch.tensor([[[[2.0, 3.0]], [[0.0, 4.0]]]])
    assert pairs(mask, slanted).item() == pytest.approx(0.35 * 0.6)


def test_pairwise_differences_are_those_of_a_loop_and_those_of_several_masks_add_up():
    masks, content = torch.rand(2, 3, 4, 4).double(), torch.randn(2, 5, 4, 4).double()
    expected = sum(plain_pairwise(masks[:, k : k + 1], content) for k in range(3))
    assert pairs(masks, content).item() == pytest.approx(expected.item(), rel=1e-9)


def test_content_of_nothing_is_no_error():
    assert pairs(torch.rand(1, 1, 2, 2), torch.zeros(1, 3, 2, 2)) == 0


def test_content_learns_from_r1_along_the_masks_alone_or_not_at_all():
    mask, content = torch.rand(1, 1, 4, 4, requires_grad=True), torch.randn(1, 3, 4, 4, requires_grad=True)
    pairs(mask, content).backward()
    assert content.grad is None and mask.grad.abs().sum() > 0
    for stop in (False, True):
        model, batch, target = step(r1_stop_content=stop)
        model.generator_loss(batch, target)["pairwise"].backward()
        learning = {name.split(".")[0] for name, value in model.generator.named_parameters() if value.grad is not None}
        assert learning == ({"mask"} if stop else {"mask", "c_encoder", "s_encoder", "decoder"})


@torch.no_grad()
def test_masks_from_contents_without_gradient_are_the_same():
    values = [step(r1_stop_content=stop)[0] for stop in (False, True)]
    _, batch, target = step()
    first, second = (model.generator_loss(batch, target)["pairwise"].item() for model in values)
    assert first == pytest.approx(second, rel=1e-6)


def test_of_masks_beyond_64_by_64_some_places_are_compared():
    model = small()
    masks, content = torch.rand(2, 1, 65, 64), torch.randn(2, 3, 65, 64)
    places = model.draw_places(2, 65 * 64)
    assert places.shape == (2, 1024) and places.max() > 4000
    assert all(len(set(row.tolist())) == 1024 for row in places)
    assert not torch.equal(*places)
    model.draw_places = lambda count, total: torch.arange(7).expand(count, 7) + 9 * (total == 4160)
    chosen = masks.flatten(2)[..., 9:16], content.flatten(2)[..., 9:16]
    assert model._pairwise(masks, content).item() == pytest.approx(plain_pairwise(*chosen).item(), rel=1e-4)


def test_all_places_of_64_by_64_are_compared():
    """A mask that is 1 on half of them: of all pairs half differ, by 1."""
    model, mask = small(), torch.zeros(1, 1, 64, 64)
    mask[:, :, :32] = 1
    assert model._pairwise(mask, torch.ones(1, 2, 64, 64)).item() == pytest.approx(0.5, rel=1e-4)


@torch.no_grad()
def test_equal_foregrounds_do_not_differ_and_others_are_wanted_apart():
    model, batch, target = step()
    assert model.generator_loss(batch, target)["difference"] < -1e-3
    same = batch | {"reference": batch["image"]}
    assert abs(model.generator_loss(same, model.sample_target(same))["difference"]) < 1e-9


@torch.no_grad()
def test_a_flat_mask_counts_by_its_value_six_times_and_has_no_variation():
    """Three masks an image, in two orders; where A's last layer is 0, each is 1/2."""
    model, batch, target = step(lambda_tv=1.0)
    nn.init.zeros_(model.generator["mask"].main[6].conv.weight)
    terms = model.generator_loss(batch, target)
    assert terms["mask"].item() == pytest.approx(6 * 0.5)
    assert terms["tv"] == terms["pairwise"] == 0


@torch.no_grad()
def test_what_weighs_nothing_and_costs_much_is_not_computed():
    model, batch, target = step(lambda_pairwise=0.0)
    assert not {"pairwise", "tv"} & model.generator_loss(batch, target).keys()


# ------------------------------------------------------------------------------------------------ co-segmentation


@torch.no_grad()
def test_a_mask_hears_of_the_exemplar_by_the_averages_of_its_channels_alone():
    network = small().generator["mask"].eval()
    content, other = torch.randn(2, 1, 16, 4, 4)
    shuffled = other.flip(2, 3)  # the same averages
    brighter = other + torch.linspace(-1, 1, 16)[:, None, None]
    assert torch.allclose(network(content, other), network(content, shuffled), atol=1e-6)
    assert (network(content, other) - network(content, brighter)).abs().max() > 1e-3


@torch.no_grad()
@pytest.mark.parametrize("pool", ["avg", "avgmax"])
def test_the_gate(pool):
    network = CoSegmentation(2, gate_pool=pool)
    content = torch.tensor([[[[1.0, 3.0]], [[-1.0, 5.0]]]])  # averages 2 and 2, maxima 3 and 5
    w = {f"mask.{name}": value for name, value in network.state_dict().items()}
    pooled = torch.tensor([[2.0, 2.0] if pool == "avg" else [2.5, 3.5]])
    assert torch.allclose(network.gate(content)[:, :, 0, 0], plain_gate(w, pooled), atol=1e-6)


@torch.no_grad()
def test_image_and_exemplar_may_change_places():
    model, batch = small().eval(), make_batch(2)
    there = model.translate(batch["image"], Target(reference=batch["reference"]))
    back = model.translate(batch["reference"], Target(reference=batch["image"]))
    assert torch.allclose(2 * there.mask - 1, back.extras["exemplar_mask"], atol=1e-5)
    assert torch.allclose(2 * back.mask - 1, there.extras["exemplar_mask"], atol=1e-5)
    assert (there.mask - back.mask).abs().max() > 1e-2


# ------------------------------------------------------------------------------------------------ highway AdaIN


def a_decoder(**settings):
    torch.manual_seed(0)
    decoder = Decoder(2, 1, style_dim=3, mlp_dim=4, **settings)
    content, styles = torch.randn(2, 8, 4, 4), torch.randn(2, 2, 3)
    return decoder, content, *styles


def test_a_part_within_a_part_that_no_phase_trains_is_named():
    idle = r"no phase trains generator\.decoder\.main, generator\.decoder\.b_mlp, discriminator\.conv2, which stay"
    learns = ["c_encoder", "s_encoder", "mask", "decoder.f_mlp"]
    taught = [*(f"generator.{part}" for part in learns), "discriminator.main", "discriminator.conv1"]
    with pytest.warns(UserWarning, match=idle):
        small(phases=[Phase(1, learns=taught)])._warn_of_idle_parts()


def test_a_flat_channel_has_no_slope_of_its_spread():
    content = torch.zeros(2, 3, 4, 4, dtype=torch.float64)
    content[1] = torch.randn(3, 4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    content.requires_grad_()
    output = normalised(content)
    (output**3).sum().backward()
    assert torch.isfinite(content.grad).all() and content.grad[1].any()
    expected = (content[1] - content[1].mean((1, 2), keepdim=True)) / content[1].flatten(1).std(1)[:, None, None]
    assert torch.allclose(output[1], expected, rtol=1e-4) and not output[0].any()


@torch.no_grad()
def test_masks_choose_between_the_styles():
    decoder, content, foreground, background = a_decoder()
    clean = normalised(content)
    here = adain(clean, decoder.f_mlp(foreground))
    there = adain(clean, decoder.b_mlp(background))
    ones = torch.ones(2, 1, 4, 4)
    assert torch.equal(decoder.hadain(content, 0 * ones, foreground, background), there)
    assert torch.equal(decoder.hadain(content, ones, foreground, background), here)
    half = decoder.hadain(content, ones / 2, foreground, background)
    assert torch.allclose(half, (here + there) / 2, atol=1e-6)
    assert (here - there).abs().max() > 0.1


@torch.no_grad()
def test_without_shift_and_scale_channels_have_mean_0_and_deviation_1():
    """The deviation of all places, in which a logarithm of 0 scales by 1."""
    content = 3 * torch.randn(2, 8, 32, 32) + 7
    output = adain(normalised(content), torch.zeros(2, 16))
    assert output.mean((2, 3)).abs().max() < 1e-5
    assert (output.std((2, 3)) - 1).abs().max() < 1e-4


@torch.no_grad()
def test_nested_deviations_make_contents_too_large():
    """Rows of 32 numbers from N(0, 9) have deviations that deviate by about 3 / sqrt(62)."""
    content = 3 * torch.randn(4, 64, 32, 32)
    by_hand = content.std(3).std(2)[:, :, None, None]
    mean = content.mean((2, 3), keepdim=True)
    assert torch.allclose(normalised(content, "nested"), (content - mean) / by_hand, rtol=1e-3)
    assert normalised(content, "nested").std().item() == pytest.approx(math.sqrt(62), rel=0.05)


@torch.no_grad()
def test_the_decoder_takes_the_deviation_it_was_trained_with():
    images = []
    for mode in ("spatial", "nested"):
        decoder, content, foreground, background = a_decoder(std_mode=mode)
        images.append(decoder(content, torch.full((2, 1, 4, 4), 0.4), foreground, background))
    assert (images[0] - images[1]).abs().max() > 0.01


# ------------------------------------------------------------------------------------------------ editing masks


def translated(model, batch, **edits):
    with torch.no_grad():
        return model.translate(batch["image"], Target(reference=batch["reference"]), **edits)


def fields(translation):
    return {"image": translation.image, "mask": translation.mask, **translation.extras}


@pytest.fixture
def ready():
    return small().eval(), make_batch(2)


def test_translations_show_masks_and_what_the_style_encoders_see(ready):
    model, batch = ready
    with torch.no_grad():
        parts = model._parts(torch.cat([batch["image"], batch["reference"]]))
    m1, m2 = bilinear(parts.mask).chunk(2)
    shown = translated(model, batch)
    expected = {
        "exemplar_mask": 2 * m2 - 1,
        "foreground": m1 * batch["image"],
        "background": (1 - m1) * batch["image"],
        "exemplar_foreground": m2 * batch["reference"],
        "exemplar_background": (1 - m2) * batch["reference"],
    }
    assert shown.extras.keys() == expected.keys()
    torch.testing.assert_close(shown.mask, m1, atol=1e-6, rtol=0)
    for name, picture in expected.items():
        torch.testing.assert_close(shown.extras[name], picture, atol=1e-5, rtol=0)
    assert m1.max() - m1.min() > 0.1  # or this says little


def test_an_edit_comes_before_the_styles(ready):
    """s_f2 = E_f(m2' x2), s_b1 = E_b((1 - m1') x1), x12 = G(HAdaIN(m1', c1, s_f2, s_b1)): plainly."""
    model, batch = (part.double() if isinstance(part, LOMIT) else part for part in ready)
    batch = {name: value.double() for name, value in batch.items()}
    edit, other_edit = torch.rand(2, 2, 1, 4, 4).double()
    with torch.no_grad():
        m1, m2 = model._parts(torch.cat([batch["image"], batch["reference"]])).mask.chunk(2)
    w = model.generator.state_dict()
    style = foreground_style(w, batch["reference"], other_edit * m2)
    rest = background_style(w, batch["image"], edit * m1)
    expected = plain_decode(w, plain_content(w, batch["image"]), edit * m1, style, rest)
    edited = translated(model, batch, mask_edit=edit, exemplar_mask_edit=other_edit)
    torch.testing.assert_close(edited.image, expected, atol=1e-9, rtol=0)
    torch.testing.assert_close(edited.mask, bilinear(edit * m1), atol=1e-9, rtol=0)
    torch.testing.assert_close(edited.extras["exemplar_mask"], 2 * bilinear(other_edit * m2) - 1, atol=1e-9, rtol=0)


@pytest.mark.parametrize("side", [4, 16])
def test_ones_change_nothing(ready, side):
    plain, ones = fields(translated(*ready)), torch.ones(2, 1, side, side)
    edited = fields(translated(*ready, mask_edit=ones, exemplar_mask_edit=ones))
    assert all(torch.equal(edited[name], plain[name]) for name in plain)


def test_where_nothing_is_rewritten_the_exemplar_does_not_matter(ready):
    model, batch = ready
    zeros = torch.zeros(2, 1, 4, 4)
    edited = translated(model, batch, mask_edit=zeros, exemplar_mask_edit=zeros)
    other = translated(model, batch | {"reference": batch["reference"].flip(0)}, mask_edit=zeros)
    assert torch.equal(edited.image, other.image) and (edited.mask == 0).all()
    w = model.generator.state_dict()
    content, style = plain_content(w, batch["image"]), plain_style(w, "background", batch["image"])
    expected = plain_decode(w, content, zeros, torch.zeros(2, 5), style)
    torch.testing.assert_close(edited.image, expected, atol=1e-5, rtol=0)
    assert torch.equal(edited.extras["background"], batch["image"])


def test_a_map_as_large_as_the_image_counts_by_its_averages(ready):
    large = torch.rand(2, 1, 16, 16)
    small = large.unflatten(3, (4, 4)).unflatten(2, (4, 4)).mean((3, 5))
    one, other = (translated(*ready, mask_edit=edit).image for edit in (large, small))
    torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


def test_a_function_may_erase_or_paint(ready):
    """One that gives a mask of its own sets it outright, at either size."""
    painted = torch.zeros(2, 1, 4, 4)
    painted[:, :, 1:3, 1:3] = 1
    by_map = translated(*ready, mask_edit=painted, exemplar_mask_edit=painted)
    by_function = translated(
        *ready, mask_edit=lambda mask: mask * painted, exemplar_mask_edit=lambda mask: mask * painted
    )
    assert torch.equal(by_map.image, by_function.image)
    outright = translated(*ready, mask_edit=lambda mask: painted)
    torch.testing.assert_close(outright.mask, bilinear(painted), atol=1e-6, rtol=0)
    enlarged = painted.repeat_interleave(4, 2).repeat_interleave(4, 3)
    assert torch.equal(translated(*ready, mask_edit=lambda mask: enlarged).image, outright.image)


@pytest.mark.parametrize("name", ["mask_edit", "exemplar_mask_edit"])
@pytest.mark.parametrize(
    ("edit", "sentence"),
    [
        (
            torch.ones(1, 1, 4, 4),
            r"must be a map, or give one, of shape \(2, 1, 4, 4\) or \(2, 1, 16, 16\), got \(1, 1, 4, 4\)",
        ),
        (torch.ones(2, 3, 16, 16), r".*got \(2, 3, 16, 16\)"),
        (lambda mask: mask[:1], r".*got \(1, 1, 4, 4\)"),
        (lambda mask: None, ".*got NoneType"),
        (0.5, ".*got float"),
        (torch.full((2, 1, 4, 4), 2.0), r"must lie in \[0, 1\], 0 where nothing is to be rewritten, got 2 to 2"),
        (torch.full((2, 1, 16, 16), -0.5), ".*got -0.5 to -0.5: clamp it"),
        (lambda mask: mask - 1, r"must lie in \[0, 1\]"),
        (torch.full((2, 1, 4, 4), math.nan), r"must lie in \[0, 1\].*got nan"),
    ],
)
def test_edits_that_are_no_masks_are_refused(ready, name, edit, sentence):
    with pytest.raises(ValueError, match=rf"^{name} {sentence}"):
        translated(*ready, **{name: edit})


# ------------------------------------------------------------------------------------------------ training


def test_the_papers_learning_rate():
    """Constant for 100,000 iterations, then halved every 10,000."""
    model = small()
    halvings = {0: 0, 99_999: 0, 100_000: 0, 109_999: 0, 110_000: 1, 119_999: 1, 120_000: 2, 190_000: 9, 199_999: 9}
    for iteration, times in halvings.items():
        assert model.hparams["lr"] * model.lr_scale(iteration) == pytest.approx(1e-4 / 2**times, rel=1e-12)
    assert sum(phase.steps for phase in model.phases) == 200_000


def test_a_recipes_own_phases_decay_as_they_say():
    phases = [Phase(10), Phase(10, rate=0.5, decay=8), Phase(12, rate=0.5, decay=8, stairs=4, final=0.2)]
    model = small(phases=phases)
    linear = [0.5 * (1 - k / 8) for k in range(8)]
    halved = [0.5, 0.5, 0.25, 0.25, 0.125, 0.125, 0.1, 0.1]
    expected = [1.0] * 10 + [0.5] * 2 + linear + [0.5] * 4 + halved
    assert [model.lr_scale(iteration) for iteration in range(32)] == pytest.approx(expected)


def test_five_discriminator_updates_a_generator_update(tmp_path):
    trainer = fit(small(), tmp_path, 20, data=Rows(make_batch(2), 2, 20))
    updates = [{int(state["step"]) for state in optimizer.state.values()} for optimizer in trainer.optimizers]
    assert trainer.global_step == 20 and updates == [{20}, {4}]
    assert {"generator/m_mean", "generator/m_min", "generator/m_max"} <= trainer.logged_metrics.keys()


def test_a_generator_step_reaches_all_of_its_networks():
    model, batch, target = step()
    terms = model.generator_loss(batch, target)
    sum(model.weight(name) * term for name, term in terms.items()).backward()
    assert all(parameter.grad is not None for parameter in model.generator.parameters())
    assert all(
        parameter.grad.abs().sum() > 0 for parameter in model.generator.parameters() if parameter.ndim > 1
    )  # biases before norms get none


def test_training_resumes_exactly_batch_norms_and_all(tmp_path):
    stop_and_resume(lambda: small(image_size=32, attributes=NAMES[:2], n_critic=2, ema_decay=0.5), tmp_path, 3, 6)
    whole, parts = (checkpoints.read(checkpoints.newest(tmp_path / name)) for name in ("whole", "parts"))
    assert any(name.endswith("running_var") for name in whole["state_dict"])
    assert all(torch.equal(value, parts["state_dict"][name]) for name, value in whole["state_dict"].items())


@pytest.mark.parametrize("share", [False, True])
def test_a_checkpoint_reloads_to_the_same_picture(share, tmp_path):
    model, batch = small(n_critic=1, lr=0.01, share_style_branches=share), make_batch(2)
    fit(model, tmp_path, 2, data=Rows(batch, 2, 2)).save_checkpoint(tmp_path / "step-0000002.ckpt")
    again = Translator.load(str(tmp_path / "step-0000002.ckpt"))
    expected = fields(translated(model.eval(), batch))
    assert type(again) is LOMIT
    assert all(torch.equal(value, expected[name]) for name, value in fields(translated(again, batch)).items())


def test_weights_are_not_taken_over_into_another_reading_of_them():
    for name, value in (("std_mode", "nested"), ("gate_pool", "avgmax"), ("share_style_branches", True)):
        with pytest.raises(ValueError, match=f"were trained with {name}"):
            small().start_from(small(**{name: value}))


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize("shape", [(1, 3, 18, 16), (1, 3, 16, 12), (1, 1, 16, 16), (3, 16, 16)])
def test_translate_refuses_images_it_cannot_take(shape):
    with pytest.raises(ValueError, match=r"LOMIT takes images .* multiples of 4 and at least 16, got \("):
        small().translate(torch.zeros(shape), Target(reference=torch.zeros(shape)))


@pytest.mark.parametrize(
    ("reference", "got"),
    [
        (None, "none"),
        (torch.zeros(1, 3, 16, 16), r"\(1, 3, 16, 16\)"),
        (torch.zeros(2, 3, 32, 32), r"\(2, 3, 32, 32\)"),
    ],
)
def test_translate_refuses_exemplars_of_another_size_or_number(reference, got):
    sentence = rf"an exemplar for each image, of the same size: give .* of shape \(2, 3, 16, 16\), got {got}"
    with pytest.raises(ValueError, match=sentence):
        small().translate(torch.zeros(2, 3, 16, 16), Target(label=torch.zeros(2, 3), reference=reference))


def test_the_exemplar_alone_decides(ready):
    model, batch = ready
    assert model.guide == "reference"
    told = model.translate(batch["image"], Target(label=batch["label"], reference=batch["reference"]))
    assert torch.equal(told.image, translated(model, batch).image)


@pytest.mark.parametrize(
    ("name", "label", "sentence"),
    [
        ("label", torch.zeros(2, 2), r"must have shape \(2, 3\), a column each for Smiling, Male, Goatee"),
        ("reference_label", torch.zeros(1, 3), r"must have shape \(2, 3\)"),
        ("label", torch.full((2, 3), -1.0), "labels must be 0 or 1 each, got -1"),
        ("reference_label", torch.full((2, 3), 0.5), "labels must be 0 or 1 each, got 0.5"),
    ],
)
def test_training_refuses_labels_it_cannot_take(name, label, sentence):
    model, batch = small(), make_batch(2) | {name: label}
    for loss in (model.discriminator_loss, model.generator_loss):
        with pytest.raises(ValueError, match=sentence):
            loss(batch, model.sample_target(batch))


def test_training_refuses_two_classes_at_once():
    model, batch = small(one_hot=True), make_batch(2) | {"label": torch.ones(2, 3)}
    with pytest.raises(ValueError, match=r"exactly one is 1, got \[1, 1, 1\]"):
        model.discriminator_loss(batch, model.sample_target(batch))


def test_the_discriminator_refuses_images_of_another_size():
    with pytest.raises(ValueError, match=r"takes images of 16x16, got \(1, 3, 32, 32\)"):
        small().discriminator(torch.zeros(1, 3, 32, 32))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gan_mode": "hinge"}, "wgan-gp, vanilla, lsgan, got 'hinge'"),
        ({"gate_pool": "max"}, "gate_pool must be one of avg, avgmax, got 'max'"),
        ({"std_mode": "true"}, "std_mode must be one of spatial, nested, got 'true'"),
        ({"generator_width": 0}, "generator_width must be at least 1, got 0"),
        ({"discriminator_width": 0}, "discriminator_width must be at least 1, got 0"),
        ({"style_dim": 0}, "style_dim must be at least 1, got 0"),
        ({"mlp_dim": 0}, "mlp_dim must be at least 1, got 0"),
        ({"blocks": -1}, "blocks must be at least 0, got -1"),
        ({"depth": 0}, "depth must be at least 1, got 0"),
        ({"image_size": 8}, "image_size must be at least 16, got 8"),
        ({"image_size": 18}, "image_size 18 does not suit a discriminator of depth 2: use a multiple of 4 from 8 on"),
        ({"depth": 4}, "image_size 16 does not suit a discriminator of depth 4: use a multiple of 16 from 32 on"),
        ({"lambda_pairwise": -1}, "lambda_pairwise must be at least 0, got -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        small(**settings)


# ------------------------------------------------------------------------------------------------ authors' files


def authors_files(model):
    """As their code would write this model: one style encoder by two names, and norms that remember, all of them."""
    g = dict(model.generator.state_dict())
    for name in [name for name in g if name.endswith("norm.bias") and not name.startswith(("mask.", "decoder."))]:
        stem = name.removesuffix("bias")
        g |= {f"{stem}running_mean": g[name] + 7, f"{stem}running_var": g[name] + 9}
        g[f"{stem}num_batches_tracked"] = torch.tensor(3)
    return {"generator": g, "discriminator": model.discriminator.state_dict()}


@pytest.fixture
def theirs():
    """Trained for a moment, so that its batch norms remember something."""
    model, batch = small(share_style_branches=True, std_mode="nested"), make_batch(2)
    model.translate(batch["image"], Target(reference=batch["reference"]))
    return model.eval()


def test_authors_files_load_with_what_they_hold_besides(theirs, tmp_path):
    paths = {name: tmp_path / f"{name}.pth" for name in ("generator", "discriminator")}
    for name, state in authors_files(theirs).items():
        torch.save({f"module.{key}": value for key, value in state.items()}, paths[name])
    loaded = official.load("lomit", attributes=NAMES, **paths)
    assert not loaded.training
    inferred = SIZES | {"image_size": 16, "std_mode": "nested", "share_style_branches": False}
    assert {name: loaded.hparams[name] for name in inferred} == inferred
    expected = fields(translated(theirs, make_batch(2)))
    assert all(torch.equal(v, expected[name]) for name, v in fields(translated(loaded, make_batch(2))).items())
    assert (loaded.generator["mask"].main[0].norm.running_mean != 0).any()
    scores = [model.discriminator(make_batch(2)["image"])[0] for model in (theirs, loaded)]
    assert torch.equal(*scores)
    styles = loaded.generator["s_encoder"]
    assert styles.foreground[0].conv.weight.data_ptr() != styles.background[0].conv.weight.data_ptr()


def test_their_style_encoder_may_stay_one(theirs):
    loaded = official.load("lomit", share_style_branches=True, **authors_files(theirs))
    assert loaded.generator["s_encoder"].foreground is loaded.generator["s_encoder"].background
    assert loaded.attributes == ("attribute_0", "attribute_1", "attribute_2")


def test_style_encoders_that_differ_do_not_become_one(theirs):
    files = {
        name: dict(torch.load(path)) if not isinstance(path, dict) else dict(path)
        for name, path in authors_files(theirs).items()
    }
    name = "s_encoder.foreground.3.weight"
    files["generator"][name] = files["generator"][name] + 1
    official.load("lomit", **files)
    with pytest.raises(
        ValueError, match=r"s_encoder\.foreground\.3\.weight and .*differ in the file: .*share_style_br"
    ):
        official.load("lomit", share_style_branches=True, **files)


def test_their_discriminator_may_be_left_out(theirs):
    generator = authors_files(theirs)["generator"]
    loaded = official.load("lomit", generator=generator, discriminator_width=1)
    assert loaded.attributes == ("attribute_0",) and loaded.hparams["image_size"] == 128
    assert torch.equal(translated(loaded, make_batch(2)).image, translated(theirs, make_batch(2)).image)


def test_weights_that_do_not_fit_are_refused(theirs):
    files = authors_files(theirs)
    g, d = files["generator"], files["discriminator"]
    other = StarGAN(["Male"], image_size=16, generator_width=4, discriminator_width=4, blocks=1, depth=2)

    def refuses(sentence, **changed):
        with pytest.raises(ValueError, match=sentence):
            official.load("lomit", **({"generator": g} | changed))

    def without(state, key):
        return {name: value for name, value in state.items() if name != key}

    refuses("look like those of StarGAN's generator", generator=other.generator.state_dict())
    refuses("look like those of LOMIT's discriminator", generator=d)
    refuses("look like those of LOMIT's generator", discriminator=g)
    refuses("look like those of an attribute discriminator", discriminator=other.discriminator.state_dict())
    refuses("for 3 attributes, but 1 are named: Male", discriminator=d, attributes=["Male"])
    refuses("lack s_encoder.foreground.3.weight", generator=without(g, "s_encoder.foreground.3.weight"))
    refuses("lacks decoder.f_mlp.main.0.fc.bias", generator=without(g, "decoder.f_mlp.main.0.fc.bias"))
    refuses("lacks mask.main.2.norm.running_var", generator=without(g, "mask.main.2.norm.running_var"))
    refuses("lack conv2.weight", discriminator=without(d, "conv2.weight"))
    with pytest.raises(ValueError, match="look like those of LOMIT's discriminator"):
        official.load("stargan", generator=other.generator.state_dict(), discriminator=d)


@torch.no_grad()
def test_the_gate_tells_exemplars_apart_in_mixed_precision_too():
    """Their averages differ by thousandths, which a half's steps would swallow."""
    torch.manual_seed(0)
    gate = CoSegmentation(16).gate
    one, other = (0.4 + 0.01 * torch.randn(2, 1, 16, 8, 8)).bfloat16()
    expected = gate(one.float()) - gate(other.float())
    with torch.autocast("cpu", torch.bfloat16):
        found = gate(one) - gate(other)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected)
    assert expected.abs().max() > 0


def test_a_side_that_is_no_multiple_of_four_is_refused():
    with pytest.raises(ValueError, match="image_size must be a multiple of 4, got 18"):
        LOMIT(["Smiling"], image_size=18, depth=1)


def test_a_file_of_pytorch_0_4_0_has_counted_no_batches():
    torch.manual_seed(0)
    model = LOMIT(["Smiling"], image_size=16, generator_width=4, discriminator_width=4, blocks=1, depth=2, mlp_dim=8)
    weights = {name: value for name, value in model.generator.state_dict().items() if "num_batches" not in name}
    loaded = official.load("lomit", generator=weights, image_size=16, depth=2)
    for name, value in weights.items():
        assert torch.equal(loaded.generator.state_dict()[name], value)
    with pytest.raises(ValueError, match="attributes must be a list of names, got 'Male'"):
        official.load("lomit", generator=weights, attributes="Male", image_size=16, depth=2)
