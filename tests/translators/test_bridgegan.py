import math

import numpy as np
import pytest
import torch
from pytorch_lightning import Trainer
from torch import nn
from torch.nn import functional

import golden
from datamodules.celeba import CROPS, by_number
from datamodules.labels import CONFLICTS, EXCLUSIVE, groups_among
from tiny import InMemory, TinyData, fit, make_batch, stop_and_resume, weights
from translators import checkpoints
from translators.augmentation import augment
from translators.bridgegan import (
    BridgeGAN,
    Discriminator,
    Draw,
    Encoder,
    Generator,
    MappingNetwork,
    ResidualBlock,
    SpatialNorm,
    harder_noise,
    instance_norm,
    keeping_difference,
)
from translators.types import Target

SMALL = {"image_size": 16, "generator_width": 4, "code_width": 4, "spade_width": 6, "discriminator_width": 4}
NAMES = ["Smiling", "Young", "Male"]
CELEBA = [
    *("Young", "Mouth_Slightly_Open", "Smiling", "Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"),
    *("Receding_Hairline", "Bangs", "Male", "No_Beard", "Mustache", "Goatee", "Sideburns"),
]
DRAW = Draw(
    *(torch.sin(k * torch.arange(64.0).double()).view(4, 16) for k in (1, 2)),
    torch.linspace(0.1, 0.9, 4).view(4, 1, 1, 1).double(),
)


class Fixed(BridgeGAN):
    """What it draws is always the same."""

    def drawn(self, images):
        return Draw(*(part[: len(images)].to(images) for part in DRAW))


def small(kind=Fixed, **settings):
    torch.manual_seed(0)
    model = kind(**({"attributes": NAMES} | SMALL | settings))
    for parameter in model.parameters():  # also those that start at 0 or 1
        nn.init.normal_(parameter, parameter.detach().mean().item(), 0.3) if parameter.ndim == 1 else None
    return model


def step(dtype=torch.float64, **settings):
    model, batch = small(**settings).to(dtype), make_batch(one_hot=settings.get("one_hot", False))
    batch = {name: value.to(dtype) if value.is_floating_point() else value for name, value in batch.items()}
    return model, batch, model.sample_target(batch)


def counts(*networks):
    return [sum(parameter.numel() for parameter in network.parameters()) for network in networks]


# ------------------------------------------------------------------------------------------------ in plain arithmetic


class Plain:
    """The four networks at 16 px, from the weights alone."""

    def __init__(self, model):
        self.w = dict(model.named_parameters())

    def conv(self, x, name):
        weight = self.w[f"{name}.weight"]
        return functional.conv2d(x, weight, self.w[f"{name}.bias"], padding=weight.shape[2] // 2)

    def norm(self, x, name, code):
        mean, variance = x.mean((2, 3), keepdim=True), x.var((2, 3), keepdim=True, correction=0)
        x = (x - mean) / (variance + 1e-6).sqrt()
        if code is None:
            return x * self.w[f"{name}.weight"].view(-1, 1, 1) + self.w[f"{name}.bias"].view(-1, 1, 1)
        nearest = torch.arange(x.shape[2]) * code.shape[2] // x.shape[2]
        h = self.conv(code[:, :, nearest][:, :, :, nearest], f"{name}.shared").clamp(min=0)
        return x * (1 + self.conv(h, f"{name}.gamma")) + self.conv(h, f"{name}.beta")

    def block(self, x, name, resample=None, code=None, norm=True):
        def ready(h, place):
            h = self.norm(h, f"{name}.norm{place}", code) if norm else h
            return h.clamp(min=0) + (0 if norm else 0.2 * h.clamp(max=0))

        def doubled(h):
            return h.repeat_interleave(2, 2).repeat_interleave(2, 3) if resample == "up" else h

        h = self.conv(doubled(ready(x, 1)), f"{name}.conv1")
        h, x = self.conv(ready(h, 2), f"{name}.conv2"), doubled(x)
        x = self.conv(x, f"{name}.shortcut") if f"{name}.shortcut.weight" in self.w else x
        if resample == "down":
            h, x = (sum(y[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)) / 4 for y in (h, x))
        return x + h

    def head(self, x, name):
        return self.norm(self.conv(x.clamp(min=0), f"{name}.1"), f"{name}.2", None).clamp(min=0)

    def m(self, noise, d):
        name = "generator.mapping"
        h = torch.cat([noise, d], 1) @ self.w[f"{name}.linear.weight"].T + self.w[f"{name}.linear.bias"]
        h = h.view(len(d), 4, 4, -1).permute(0, 3, 1, 2)
        return self.head(self.block(h, f"{name}.blocks.0", "up"), f"{name}.head")

    def e(self, image, d):
        name = "generator.encoder"
        planes = d[:, :, None, None] * torch.ones_like(image[:, :1])
        h = self.block(self.conv(torch.cat([image, planes], 1), f"{name}.stem"), f"{name}.blocks.0", "down")
        for place in (1, 2, 3):
            h = self.block(h, f"{name}.blocks.{place}")
        return self.head(h, f"{name}.head")

    def g(self, image, code):
        name = "generator.synthesis"
        h = self.block(self.conv(image, f"{name}.stem"), f"{name}.encoding.0", "down")
        h = self.block(h, f"{name}.encoding.1")
        h = self.block(h, f"{name}.decoding.0", None, code)
        h = self.block(h, f"{name}.decoding.1", "up", code)
        return torch.tanh(self.conv(h.clamp(min=0), f"{name}.head.1"))

    def d(self, image):
        def leaky(h):
            return torch.where(h > 0, h, 0.2 * h)

        h = leaky(self.block(self.conv(image, "discriminator.stem"), "discriminator.blocks.0", "down", norm=False))
        outputs = []
        for name in ("discriminator.critic", "discriminator.classifier"):
            z = leaky((h[:, None] * self.w[f"{name}.0.weight"]).sum((2, 3, 4)) + self.w[f"{name}.0.bias"])
            outputs.append(z @ self.w[f"{name}.3.weight"].T + self.w[f"{name}.3.bias"])
        return outputs

    def three(self, batch, noise, d):
        source = self.e(batch["image"], -d)
        rand, ref = self.m(noise, d) + source, self.e(batch["reference"], d) + source
        codes = [rand, ref, DRAW.mix * rand + (1 - DRAW.mix) * ref]
        return codes, [self.g(batch["image"], code) for code in codes], source


def l1(one, other):
    return (one - other).abs().sum() / one.numel()


def cross_entropy(logits, label):
    probability = 1 / (1 + (-logits).exp())
    return -(label * probability.log() + (1 - label) * (1 - probability).log()).sum() / label.numel()


def same_terms(terms, expected, parameters):
    """In value and in every gradient."""
    assert terms.keys() == expected.keys()
    for name, value in expected.items():
        assert terms[name].item() == pytest.approx(value.item(), rel=1e-6), name
        ours, theirs = (
            torch.autograd.grad(term, parameters, retain_graph=True, allow_unused=True, materialize_grads=True)
            for term in (terms[name], value)
        )
        assert any(slope.any() for slope in theirs)
        for slope, wanted in zip(ours, theirs, strict=True):
            torch.testing.assert_close(slope, wanted, rtol=1e-5, atol=1e-10)


def test_terms_of_a_discriminator_step():
    model, batch, target = step()
    plain, real, d = Plain(model), batch["image"], batch["reference_label"] - batch["label"]
    _, fakes, _ = plain.three(batch, DRAW.latent, d)
    fakes = [fake.detach() for fake in fakes]
    model.generator.requires_grad_(False)
    torch.manual_seed(5)
    terms = model.discriminator_loss(batch, target)
    torch.manual_seed(5)
    penalties = []
    for fake, a in zip(fakes, torch.empty(12, dtype=torch.float64).uniform_().chunk(3), strict=True):
        mixed = (real + (1 - a[:, None, None, None]) * (fake - real)).requires_grad_()
        (slope,) = torch.autograd.grad(plain.d(mixed)[0].sum(), mixed, create_graph=True)
        penalties.append(((slope.square().sum((1, 2, 3)).sqrt() - 1) ** 2).mean())
    score, logits = plain.d(real)
    expected = {
        "adv": -(score.mean() - sum(plain.d(fake)[0].mean() for fake in fakes) / 3),
        "cls_real": cross_entropy(logits, batch["label"]),
        "gp": sum(penalties) / 3,
    }
    same_terms(terms, expected, list(model.discriminator.parameters()))
    assert [model.weight(term) for term in terms] == [1, 1, 10]


@pytest.mark.parametrize(
    "settings", [{}, {"ak_sign": -1, "cyc_detach": False}, {"one_hot": True}], ids=["paper", "other flags", "one-hot"]
)
def test_terms_of_a_generator_step(settings):
    """With the gradients that the stops leave."""
    model, batch, target = step(**settings)
    plain, x_s, x_t = Plain(model), batch["image"], batch["reference"]
    own, label, noise, other = batch["label"], batch["reference_label"], *DRAW[:2]
    d, none = label - own, torch.zeros_like(label)
    (rand, ref, _), fakes, source = plain.three(batch, noise, d)
    sketch = plain.g(x_s, plain.m(other, d) + source).detach()
    back = [plain.g(x_s, code + plain.e(x_s, none)) for code in (plain.m(noise, none), plain.e(x_t, none))]
    seen = [fake if "cyc_detach" in settings else fake.detach() for fake in fakes]
    kept = (1 - 2 * own) * (own == label) * settings.get("ak_sign", 1)
    expected = {
        "adv": -sum(plain.d(fake)[0].mean() for fake in fakes) / 3,
        "cls": sum(cross_entropy(plain.d(fake)[1], label) for fake in fakes) / 3,
        "rec": 0.5 * (l1(x_s, back[0]) + l1(x_s, back[1])),
        "ms": l1(other, noise) / (l1(sketch, fakes[0]) + 1e-5),
        "cyc": l1(rand, plain.e(seen[0], d) + source) + l1(ref, plain.e(seen[1], d) + source),
        "ak": l1(plain.e(fakes[0], kept), plain.e(x_s, kept)),
        "sty": l1(rand, ref),
    }
    model.discriminator.requires_grad_(False)
    terms = model.generator_loss(batch, target)
    same_terms(terms, expected, list(model.generator.parameters()))
    weighed = [model.weight(term) for term in terms]
    assert weighed == pytest.approx([1, 10, 100, 0.005, 50 / 3, 50 / 3, 50])


@torch.no_grad()
def test_augmented_the_discriminator_sees_no_picture_itself():
    model, batch, target = step(augment=True)
    plain = Plain(model)
    _, fakes, _ = plain.three(batch, DRAW.latent, target.label - batch["label"])
    torch.manual_seed(5)
    with torch.enable_grad():
        terms = model.discriminator_loss(batch, target)
    torch.manual_seed(5)
    scores, logits = plain.d(augment(torch.cat([batch["image"], *fakes])))
    assert terms["adv"].item() == pytest.approx((scores[4:].mean() - scores[:4].mean()).item(), rel=1e-6)
    assert terms["cls_real"].item() == pytest.approx(cross_entropy(logits[:4], batch["label"]).item(), rel=1e-6)
    torch.manual_seed(6)
    terms = model.generator_loss(batch, target)
    torch.manual_seed(6)
    scores, logits = plain.d(augment(torch.cat(fakes)))
    assert terms["adv"].item() == pytest.approx(-scores.mean().item(), rel=1e-6)
    assert terms["cls"].item() == pytest.approx(cross_entropy(logits, target.label.repeat(3, 1)).item(), rel=1e-6)


@torch.no_grad()
@pytest.mark.parametrize(("mode", "decided"), [("vanilla", 2 * math.log(2)), ("lsgan", 1.0)])
def test_other_adversaries_have_no_penalty(mode, decided):
    """Where all scores are 0: -log(1/2) twice, or (0 - 1)^2 + 0^2."""
    model, batch, target = step(gan_mode=mode)
    nn.init.zeros_(model.discriminator.critic[3].weight)
    nn.init.zeros_(model.discriminator.critic[3].bias)
    terms = model.discriminator_loss(batch, target)
    assert terms.keys() == {"adv", "cls_real"}
    assert terms["adv"].item() == pytest.approx(decided)


# ------------------------------------------------------------------------------------------------ networks


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [(14, [7_219_011, 121_888, 71_808, 9_613_039]), (3, [7_219_011, 110_624, 71_632, 9_610_212])],
)
def test_parameter_counts_are_the_authors(attributes, expected):
    with torch.device("meta"):
        networks = Generator(), MappingNetwork(attributes), Encoder(attributes), Discriminator(attributes)
    assert counts(*networks) == expected


def test_every_layer_of_g_and_the_shared_trunk_count_what_the_authors_do():
    with torch.device("meta"):
        g, d = Generator(), Discriminator(14)
    encoding, decoding = [57_728, 230_144, 919_040, 1_181_184], [2_434_816, 1_435_008, 635_712, 325_152]
    assert counts(g.stem, *g.encoding, *g.decoding, g.head) == [128, *encoding, *decoding, 99]
    assert sum(counts(d.stem, d.blocks)) == 1_220_064


SPADES = {"decoding.0": "targ1_inter", **{f"decoding.{k + 1}": f"targ{k}_up" for k in range(3)}}
KINDS = {nn.Conv2d: "Conv", nn.InstanceNorm2d: "InstanceNorm", nn.Linear: "flatten_fully_connected"}
PARTS = {"weight": "weights", "bias": "biases"}


def authors_variables(network, scope):
    """By the authors' names, counted within each scope in order of use, the shapes of our parameters in their order."""
    found, seen = {}, {}
    for name, module in network.named_modules():
        block, _, place = name.rpartition(".")
        block, _, norm = block.rpartition(".")
        inside = f"{scope}/{SPADES[block]}_{norm[-1]}" if place in ("shared", "gamma", "beta") else scope
        kind = KINDS.get(type(module))
        if kind is None or not list(module.parameters()):
            continue
        count = seen[inside, kind] = seen.get((inside, kind), -1) + 1
        theirs = f"{inside}/{kind}" + (f"_{count}" if count else "")
        theirs += "/fully_connected" if kind == KINDS[nn.Linear] else ""
        parts = {"weight": "gamma", "bias": "beta"} if kind == "InstanceNorm" else PARTS
        for part, value in module.named_parameters():
            order = (2, 3, 1, 0) if value.ndim == 4 else tuple(reversed(range(value.ndim)))
            found[f"{theirs}/{parts[part]}"] = [value.shape[axis] for axis in order]
    return found


@pytest.mark.parametrize(
    ("build", "record", "scope"),
    [
        (Generator, "generator", "Ggenerator"),
        (lambda: MappingNetwork(14), "mapping", "Gmappingnet"),
        (lambda: Encoder(14), "encoder", "Gencoder"),
        (lambda: Discriminator(14), "discriminator_n14", "Discriminator"),
    ],
    ids=["generator", "mapping", "encoder", "discriminator"],
)
def test_every_parameter_is_one_of_the_authors_variables(build, record, scope):
    with torch.device("meta"):
        assert authors_variables(build(), scope) == golden.record(f"bridgegan_{record}.keys")


@torch.no_grad()
def test_shapes_and_ranges_at_the_papers_size():
    model = BridgeGAN(CELEBA)
    image, noise, d = golden.images(1, 3, 128, 128), torch.randn(1, 16), torch.tensor([[-1.0, 0, 1, *[0] * 11]])
    codes = model.generator["mapping"](noise, d), model.generator["encoder"](image, d)
    for code in codes:
        assert code.shape == (1, 32, 64, 64)
        assert code.min() == 0 < code.max()
    painted = model.generator["synthesis"](image, sum(codes))
    assert painted.shape == (1, 3, 128, 128)
    assert -1 <= painted.min() < painted.max() <= 1
    assert [output.shape for output in model.discriminator(image)] == [(1, 1), (1, 14)]


@pytest.mark.parametrize(("size", "side", "bottom"), [(16, 8, 8), (32, 16, 16), (64, 32, 16), (256, 64, 16)])
def test_other_sizes_have_other_depths(size, side, bottom):
    """On the device that only counts. At 256 px each of G, E and D has one block more, and M none."""
    with torch.device("meta"):
        model, image = BridgeGAN(NAMES, image_size=size), torch.zeros(2, 3, size, size)
        g, noise, d = model.generator["synthesis"], torch.zeros(2, 16), torch.zeros(2, 3)
        codes = model.generator["mapping"](noise, d), model.generator["encoder"](image, d)
        assert {code.shape for code in codes} == {(2, 32, side, side)}
        assert g.encoding(g.stem(image)).shape[2] == bottom
        assert g(image, codes[0]).shape == image.shape
        assert model.discriminator.blocks(model.discriminator.stem(image)).shape[2] == 8
        assert [output.shape for output in model.discriminator(image)] == [(2, 1), (2, 3)]
        if size == 256:
            assert [module.conv2.out_channels for module in g.decoding] == [256, 256, 128, 64, 32]
            assert counts(model.generator["mapping"]) == [110_624]


def test_weights_start_by_xavier_and_biases_at_0():
    model = BridgeGAN(NAMES, image_size=32)
    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            assert not module.bias.any()
            area = module.weight[0, 0].numel()
            bound = math.sqrt(6 / (area * (module.weight.shape[0] + module.weight.shape[1])))
            assert module.weight.abs().max() <= bound
            if module.weight.numel() > 3000:
                assert module.weight.std().item() == pytest.approx(bound / math.sqrt(3), rel=0.05)
        elif isinstance(module, nn.InstanceNorm2d) and module.affine:
            assert (module.weight == 1).all() and not module.bias.any()
            assert module.eps == 1e-6


@torch.no_grad()
def test_spade_without_scale_and_shift_is_an_instance_norm():
    torch.manual_seed(0)
    norm, x, code = SpatialNorm(4, 2, 6), torch.randn(2, 4, 8, 8), torch.rand(2, 2, 4, 4)
    assert not torch.allclose(norm(x, code), instance_norm(4)(x), atol=0.01)
    for convolution in (norm.gamma, norm.beta):
        nn.init.zeros_(convolution.weight)
        nn.init.zeros_(convolution.bias)
    torch.testing.assert_close(norm(x, code), instance_norm(4)(x))


@pytest.mark.parametrize(
    ("widths", "resample", "convolution", "side"),
    [((4, 4), None, False, 8), ((4, 6), None, True, 8), ((4, 4), "up", True, 16), ((4, 6), "down", True, 4)],
)
def test_a_shortcut_has_a_convolution_where_the_block_resamples_or_widens(widths, resample, convolution, side):
    block = ResidualBlock(*widths, instance_norm, resample)
    assert isinstance(block.shortcut, nn.Conv2d) == convolution
    assert block(torch.zeros(1, 4, 8, 8)).shape == (1, widths[1], side, side)


# ------------------------------------------------------------------------------------------------ labels


def test_what_is_kept_by_the_supplements_example():
    own, label = torch.tensor([[1, 0, 0, 1, 0, 1], [0, 1, 0, 1, 0, 0]]).float()[:, None].unbind()
    assert (label - own).tolist() == [[-1, 1, 0, 0, 0, -1]]
    assert keeping_difference(own, label - own).tolist() == [[0, 0, 1, -1, 1, 0]]
    assert keeping_difference(own, 0 * own).tolist() == [[-1, 1, 1, -1, 1, -1]]
    assert not keeping_difference(own, 1 - 2 * own).any()


def test_of_three_classes_only_the_one_in_neither_is_kept():
    own, label = torch.eye(3)[:2, None]
    assert (label - own).tolist() == [[-1, 1, 0]]
    assert keeping_difference(own, label - own).tolist() == [[0, 0, 1]]


def test_twice_as_many_attributes_weigh_the_same():
    """A mean over attributes, where StarGAN's sum would double: 2 log 2 to 4 log 2 at logits of 0."""
    for attributes in (2, 4):
        model = small(attributes=[f"a{k}" for k in range(attributes)])
        nn.init.zeros_(model.discriminator.classifier[3].weight)
        nn.init.zeros_(model.discriminator.classifier[3].bias)
        batch = make_batch(width=attributes)
        target = model.sample_target(batch)
        assert model.discriminator_loss(batch, target)["cls_real"].item() == pytest.approx(math.log(2))
        assert model.generator_loss(batch, target)["cls"].item() == pytest.approx(math.log(2))


class Faces(TinyData):
    def __init__(self):
        super().__init__(attributes=CELEBA)
        self.exclusive, self.conflicts = groups_among(CELEBA, EXCLUSIVE), groups_among(CELEBA, CONFLICTS)


def edited(on, name):
    """What is on in a face after an edit."""
    label = torch.tensor([[float(attribute in on) for attribute in CELEBA]])
    row = Faces().edits(label)[0, CELEBA.index(name)]
    return {attribute for attribute, value in zip(CELEBA, row, strict=True) if value}


def test_a_fringe_and_a_receding_hairline_put_each_other_off():
    assert edited({"Receding_Hairline", "Male"}, "Bangs") == {"Bangs", "Male"}
    assert edited({"Bangs", "Male"}, "Receding_Hairline") == {"Receding_Hairline", "Male"}


@pytest.mark.parametrize("colour", CELEBA[3:7])
def test_hair_has_one_colour(colour):
    for other in {*CELEBA[3:7]} - {colour}:
        assert edited({other, "Young"}, colour) == {colour, "Young"}


@pytest.mark.parametrize("name", ["Bangs", "Receding_Hairline", "Smiling", "Male", "Mustache"])
def test_switching_off_puts_nothing_else_on_or_off(name):
    assert edited({name, "Young", "Black_Hair"}, name) == {"Young", "Black_Hair"}


def test_celeba_is_split_and_cropped_as_in_the_authors_code():
    codes = by_number(np.arange(1, 202_600), 182_000)
    assert np.bincount(codes).tolist() == [182_000, 637, 19_962]
    crop = CROPS["bridgegan"]
    assert (crop.left, crop.top, crop.left + crop.side, crop.top + crop.side) == (3, 26, 173, 196)


# ------------------------------------------------------------------------------------------------ three ways


def wish(batch, **fields):
    target = {"label": batch["reference_label"], "source_label": batch["label"]}
    return Target(**(target | {name: batch.get(name, value) for name, value in fields.items()}))


@pytest.fixture
def given():
    """A model, images, noise and references, and the label of these."""
    torch.manual_seed(2)
    return small(), make_batch() | {"latent": torch.randn(4, 16)}


@torch.no_grad()
def test_the_two_codes_differ_by_what_has_nothing_to_do_with_the_source(given):
    model, batch = given
    target = wish(batch, latent=0, reference=0)
    one, other = (model.codes(image, target) for image in (batch["image"], batch["image"].flip(3) / 2))
    assert not torch.allclose(one["source"], other["source"], atol=0.1)
    torch.testing.assert_close(one["label"] - one["reference"], other["label"] - other["reference"])


@torch.no_grad()
def test_between_the_two_lie_the_two_at_the_ends(given):
    model, batch = given
    both, label, reference = (
        wish(batch, **dict.fromkeys(names)) for names in (("latent", "reference"), ("latent",), ("reference",))
    )
    ends = [model.translate(batch["image"], both, mix=mix).image for mix in (1, 0)]
    alone = [model.translate(batch["image"], target).image for target in (label, reference)]
    assert torch.equal(ends[0], alone[0]) and torch.equal(ends[1], alone[1])
    middle = model.translate(batch["image"], both).image
    assert not torch.equal(middle, alone[0]) and not torch.equal(middle, alone[1])
    codes = model.codes(batch["image"], both)
    assert torch.equal(middle, model.generator["synthesis"](batch["image"], (codes["label"] + codes["reference"]) / 2))


@torch.no_grad()
def test_noise_and_reference_each_decide_in_their_way(given):
    model, batch = given
    for name in ("latent", "reference"):
        one, other = (
            model.translate(batch["image"], wish(batch | {name: value}, **{name: 0})).image
            for value in (batch[name], -batch[name])
        )
        assert not torch.allclose(one, other, atol=1e-3)


@torch.no_grad()
def test_strength_is_a_factor_on_the_difference(given):
    """At 0 nothing is asked for, as where the source has the label already."""
    model, batch = given
    target = wish(batch, latent=0)
    codes = model.codes(batch["image"], target, strength=1.5)
    d = 1.5 * (batch["reference_label"] - batch["label"])
    mapping, encoder = model.generator["mapping"], model.generator["encoder"]
    torch.testing.assert_close(codes["label"], mapping(batch["latent"], d) + encoder(batch["image"], -d))
    strong = model.translate(batch["image"], target, strength=1.5).image
    assert torch.equal(strong, model.generator["synthesis"](batch["image"], codes["label"]))
    none = model.translate(batch["image"], target, strength=0).image
    same = Target(label=batch["label"], latent=batch["latent"], source_label=batch["label"])
    assert torch.equal(none, model.translate(batch["image"], same).image)


@torch.no_grad()
@pytest.mark.parametrize("one_hot", [False, True])
def test_what_the_source_shows_is_told_by_the_classifier_if_nobody_says(one_hot):
    model, batch = small(one_hot=one_hot), make_batch(one_hot=one_hot)
    _, logits = model.discriminator(batch["image"])
    told = torch.eye(3)[logits.argmax(1)] if one_hot else (logits.sigmoid() > 0.5).float()
    assert 0 < told.mean() < 1
    told, itself = (
        Target(label=batch["reference_label"], reference=batch["reference"], source_label=label)
        for label in (told, None)
    )
    assert torch.equal(model.translate(batch["image"], told).image, model.translate(batch["image"], itself).image)


@torch.no_grad()
def test_maps_of_the_codes_are_shown_beside(given):
    model, batch = given
    target = wish(batch, latent=0, reference=0)
    extras, codes = model.translate(batch["image"], target).extras, model.codes(batch["image"], target)
    assert extras.keys() == {"label_code", "reference_code"}
    for name in ("label", "reference"):
        shown, mean = extras[f"{name}_code"], codes[name].mean(1, keepdim=True)
        assert shown.shape == (4, 1, 16, 16)
        scaled = [(m - m.min()) / (m.max() - m.min()) * 2 - 1 for m in mean]
        torch.testing.assert_close(shown[:, :, ::2, ::2], torch.stack(scaled))
    assert model.translate(batch["image"], wish(batch, latent=0)).extras.keys() == {"label_code"}


def test_an_edit_is_the_label_with_a_rows_own_noise():
    model, batch = small(), make_batch()
    label = 1 - batch["label"]
    target = model.edit(batch | {"index": torch.tensor([7, 0, 7, 3])}, label)
    assert target.label is label and target.source_label is batch["label"] and target.reference is None
    assert torch.equal(target.latent[0], target.latent[2])
    assert torch.equal(target.latent[0], torch.randn(16, generator=torch.Generator().manual_seed(7)))
    assert len(target.latent.unique(dim=0)) == 3
    assert torch.equal(model.edit(batch, label).latent[3], target.latent[3])
    many = model.edit(batch | {"index": torch.arange(2000)}, label).latent
    assert many.std().item() == pytest.approx(1, abs=0.02) and many.mean().item() == pytest.approx(0, abs=0.02)


def test_training_aims_at_the_references_with_noise_of_its_own():
    torch.manual_seed(0)
    model, batch = small(BridgeGAN), make_batch(200)
    target = model.sample_target(batch)
    assert target.label is batch["reference_label"] and target.reference is batch["reference"]
    assert target.source_label is batch["label"]
    draw = model.drawn(batch["image"])
    for noise in (target.latent, draw.latent, draw.other):
        assert noise.shape == (200, 16)
        assert noise.std().item() == pytest.approx(1, abs=0.05)
    assert len({noise[0, 0].item() for noise in (target.latent, draw.latent, draw.other)}) == 3
    assert 0 <= draw.mix.min() < 0.05 and 0.95 < draw.mix.max() < 1


# ------------------------------------------------------------------------------------------------ what each term trains


@pytest.mark.parametrize("cyc_detach", [True, False])
def test_the_cycle_trains_the_encoders_and_what_is_kept_trains_all(cyc_detach):
    model, batch, target = step(cyc_detach=cyc_detach)
    terms = model.generator_loss(batch, target)
    reached = {}
    for name, term in terms.items():
        model.zero_grad()
        term.backward(retain_graph=True)
        reached[name] = {
            part for part, network in model.generator.items() if any(p.grad is not None for p in network.parameters())
        }
    everything = {"synthesis", "mapping", "encoder"}
    assert reached["cyc"] == everything - ({"synthesis"} if cyc_detach else set())
    assert reached["sty"] == {"mapping", "encoder"}
    assert all(reached[name] == everything for name in ("adv", "cls", "rec", "ak", "ms"))


def test_images_that_differ_more_lower_the_mode_seeking_term():
    """Nothing else of the two noises' images counts, and the same noise twice costs nothing."""

    class Paints(nn.Module):
        def __init__(self, gain):
            super().__init__()
            self.gain = gain

        def forward(self, image, code):
            return self.gain * code.mean((1, 2, 3), keepdim=True).expand(-1, 3, 16, 16)

    found = []
    for gain in (0.1, 1.0, 10.0):
        model, batch, target = step()
        model.generator["synthesis"] = Paints(gain)
        found.append(model.generator_loss(batch, target)["ms"].item())
    assert found[0] > 5 * found[1] > 25 * found[2] > 0
    model.drawn = lambda images: Draw(DRAW.latent, DRAW.latent, DRAW.mix)
    assert model.generator_loss(batch, target)["ms"].item() == 0


def test_who_is_asked_for_what_he_is_comes_back_after_some_training():
    """With d = 0, in both modes, whatever the noise and the reference. An even grey would be off by 0.54."""
    torch.manual_seed(0)
    sizes = SMALL | {"generator_width": 8, "spade_width": 16}
    model, label = BridgeGAN(NAMES, **sizes), torch.zeros(2, 3)
    image = torch.linspace(-0.9, 0.9, 6).view(2, 3, 1, 1) * torch.linspace(1, -1, 16)[:, None].sign().expand(16, 16)
    optimizer = torch.optim.Adam(model.generator.parameters(), lr=0.01, betas=(0.5, 0.9))
    slower = torch.optim.lr_scheduler.LinearLR(optimizer, 1, 0.1, 80)

    def off():
        ways = {"latent": torch.randn(2, 16)}, {"reference": torch.rand(2, 3, 16, 16) * 2 - 1}
        targets = [Target(label=label, source_label=label, **way) for way in ways]
        return [(model.translate(image, target).image - image).abs().mean() for target in targets]

    assert min(off()) > 0.5
    for _ in range(80):
        optimizer.zero_grad()
        sum(off()).backward()
        optimizer.step()
        slower.step()
    assert max(off()) < 0.25


# ------------------------------------------------------------------------------------------------ training


def test_the_papers_schedule():
    """50,500 updates of the generator, five times as many of the discriminator, at one learning rate."""
    model = BridgeGAN(NAMES, **SMALL)
    assert sum(phase.steps for phase in model.phases) == 5 * 50_500
    assert model.hparams["n_critic"] == 5 and tuple(model.hparams["betas"]) == (0.5, 0.999)
    assert {model.hparams["lr"] * model.lr_scale(step) for step in (0, 100_000, 252_499)} == {2e-4}


def test_a_step_of_each_player_moves_all_of_it_and_nothing_else(tmp_path):
    """But the biases that a norm takes out again."""
    for n_critic, moving in ((1, {"generator", "discriminator"}), (2, {"discriminator"})):
        model = small(BridgeGAN, attributes=["Smiling", "Young"], n_critic=n_critic)
        before = weights(model)
        trainer = fit(model, tmp_path, 1)
        moved = {name for name, weight in weights(model).items() if not torch.equal(weight, before[name])}
        assert {name.split(".")[0] for name in moved} == moving
        assert {name for name in before if name.split(".")[0] in moving and name.endswith("weight")} <= moved
        assert ("generator/spread" in trainer.callback_metrics) == (n_critic == 1)


# ------------------------------------------------------------------------------------------------ the noise bank


def banked(**settings):
    return small(BridgeGAN, **({"attributes": ["Smiling", "Young"], "noise_bank": True, "n_critic": 2} | settings))


def test_a_step_of_the_bank_by_hand():
    """Up the slope by 0.9 in the root of the mean square and 5 times the slope, but not out of [-1, 1]."""
    noise, slope = torch.zeros(3, 16), torch.zeros(3, 16)
    slope[0, 0], slope[1] = 0.04, torch.where(torch.arange(16) % 2 == 0, 1e-4, -1e-4)
    noise[2] = torch.linspace(-2, 2, 16)
    moved = harder_noise(noise, slope)
    assert moved[0].tolist() == [1, *[0] * 15]  # the root is 0.01: by 90 times the slope, 3.6, and 0.2
    torch.testing.assert_close(moved[1], (0.9 + 5e-4) * slope[1].sign())
    assert torch.equal(moved[2], noise[2].clamp(-1, 1))  # no slope


class Watched(BridgeGAN):
    """Keeps the bank as it was before each iteration, the batch's rows and the noise."""

    def sample_target(self, batch):
        before, target = self.bank.clone(), super().sample_target(batch)
        self.seen = [*getattr(self, "seen", []), (before, batch, target.latent)]
        return target


def test_the_bank_is_written_with_the_generators_update_in_the_references_rows(tmp_path):
    torch.manual_seed(0)
    model = small(Watched, attributes=["Smiling", "Young"], noise_bank=True, n_critic=2)
    data = TinyData()
    untrained = Plain(model.double())
    untrained.w = {name: value.detach().clone() for name, value in untrained.w.items()}
    model.float()
    fit(model, tmp_path, 2, data=data)
    (first, batch, latent), (second, last_batch, last_latent) = model.seen
    assert first.shape == (24, 16)
    assert first.std().item() == pytest.approx(1, abs=0.1)
    assert torch.equal(first, second)  # of the discriminator's update alone nothing is kept
    rows = last_batch["reference_index"]
    assert torch.equal(model.bank[rows], last_latent)
    others = torch.ones(24, dtype=bool).index_fill(0, rows, False)
    assert torch.equal(model.bank[others], second[others])
    assert last_latent.abs().max() <= 1 and not last_latent.requires_grad
    assert not any(name.startswith("bank") for name in [*model.state_dict(), *weights(model)])

    r = first[batch["reference_index"]].double().requires_grad_()  # by hand, with the weights of before
    d = (batch["reference_label"] - batch["label"]).double()
    error = (untrained.e(batch["reference"].double(), d) - untrained.m(r, d)).square().mean()
    (slope,) = torch.autograd.grad(error, r)
    rms = slope.square().mean(1, keepdim=True).sqrt()
    torch.testing.assert_close(latent, (r + (0.9 / rms + 5) * slope).clamp(-1, 1).detach().float(), atol=2e-3, rtol=0)


def test_a_picture_that_is_the_reference_of_two_keeps_the_later_noise():
    model = banked()
    model.bank = torch.zeros(3, 16)
    noise = torch.arange(1.0, 5.0)[:, None].expand(4, 16)
    model._harder = torch.tensor([2, 0, 2, 2]), noise
    model.observe("discriminator", {})
    assert not model.bank.any()
    model.observe("generator", {})
    assert model.bank[:, 0].tolist() == [2, 0, 4]


def test_a_run_with_a_bank_resumes_exactly(tmp_path):
    stop_and_resume(lambda: banked(lr=0.001), tmp_path, stop=5, end=8)
    whole, parts = (checkpoints.read(checkpoints.newest(tmp_path / name)) for name in ("whole", "parts"))
    assert whole["global_step"] == parts["global_step"] == 8
    assert whole["translator"]["noise_bank"].shape == (24, 16)
    assert torch.equal(whole["translator"]["noise_bank"], parts["translator"]["noise_bank"])
    for name, value in whole["state_dict"].items():
        assert torch.equal(value, parts["state_dict"][name]), name
    stopped = checkpoints.read(tmp_path / "parts" / "checkpoints" / "step-0000005.ckpt")
    assert (stopped["translator"]["noise_bank"] != parts["translator"]["noise_bank"]).any()


def test_a_bank_goes_with_the_checkpoint_and_is_of_its_data(tmp_path):
    model = banked()
    path = tmp_path / "step-0000002.ckpt"
    fit(model, tmp_path, 2).save_checkpoint(path)
    again = BridgeGAN.load(str(path))
    assert torch.equal(again.bank, model.bank)
    batch = make_batch(width=2)
    wanted = again.edit(batch, batch["label"])
    assert torch.equal(again(batch["image"], wanted).image, model.eval()(batch["image"], wanted).image)
    assert BridgeGAN.load(str(path)).hparams["lambda_cyc"] == 50 / 3

    class More(TinyData):
        def records(self, split):
            return InMemory(np.arange(96).reshape(48, 2) // 2 % 2, self.image_size)

    with pytest.raises(ValueError, match=r"noise bank is of 24 pictures, this run.s of 48: resume with the data"):
        fit(banked(), tmp_path, 4, data=More(), resume=path)
    without = tmp_path / "step-0000001.ckpt"
    fit(banked(noise_bank=False), tmp_path, 1).save_checkpoint(without)
    assert "noise_bank" not in checkpoints.read(without)["translator"]
    with pytest.raises(ValueError, match=r"noise bank is of 0 pictures, this run.s of 24"):
        fit(banked(), tmp_path, 4, resume=without)
    with pytest.raises(ValueError, match=r"noise bank is of 24 pictures, this run.s of 0"):
        fit(banked(noise_bank=False), tmp_path, 4, resume=path)


def test_bytes_are_refused():
    model, image = banked(attributes=["a", "b"], noise_bank=False), torch.zeros(2, 3, 16, 16)
    label = torch.zeros(2, 2)
    for wrong in (Target(label, image.byte(), source_label=label), Target(label, latent=NOISE, source_label=label)):
        with pytest.raises(ValueError, match=r"numbers from -1 to 1, got \(2, 3, 16, 16\) of torch.uint8"):
            model(image if wrong.reference is not None else image.byte(), wrong)


def test_a_bank_is_of_pictures_of_the_models_size(tmp_path):
    model, batch = banked(attributes=["a", "b"]), make_batch(2, 2, size=32)
    with pytest.raises(ValueError, match=r"BridgeGAN takes images \(B, 3, 16, 16\), got \(2, 3, 32, 32\)"):
        model.sample_target(batch)


def test_a_bank_needs_a_datamodule(tmp_path):
    loader = torch.utils.data.DataLoader([{name: value[0] for name, value in make_batch(width=2).items()}])
    trainer = Trainer(default_root_dir=tmp_path, max_steps=1, logger=False, accelerator="cpu", barebones=False)
    with pytest.raises(ValueError, match="a row for each training picture: give the trainer a datamodule"):
        trainer.fit(banked(), loader)


# ------------------------------------------------------------------------------------------------ what is refused


NOISE, LABEL, IMAGE = torch.zeros(2, 16), torch.zeros(2, 3), torch.zeros(2, 3, 16, 16)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"label": LABEL}, r"give the target a latent, noise \(2, 16\) from N\(0, 1\), a reference, or both"),
        ({"latent": NOISE}, r"must have shape \(2, 3\), a column each for Smiling, Young, Male; got none"),
        (
            {"reference": IMAGE},
            r"a reference comes with its label.* give the target a label \(2, 3\), a column each for",
        ),
        ({"label": LABEL, "latent": NOISE[:, :8]}, r"latent must be noise \(2, 16\) .* got \(2, 8\)"),
        ({"label": LABEL, "latent": NOISE[:1]}, r"a row for each image, got \(1, 16\)"),
        ({"label": LABEL, "reference": IMAGE[:1]}, r"images' shape, \(2, 3, 16, 16\), got \(1, 3, 16, 16\): give one"),
        ({"label": LABEL, "reference": torch.zeros(2, 3, 32, 32)}, r"got \(2, 3, 32, 32\): give one picture of their"),
        ({"label": LABEL[:1], "latent": NOISE}, r"must have shape \(2, 3\), .* got \(1, 3\)"),
        ({"label": LABEL - 1, "latent": NOISE}, "0 or 1 each, got -1"),
        ({"label": LABEL, "latent": NOISE, "source_label": LABEL[:1]}, r"source_label must .* \(2, 3\), got \(1, 3\)"),
        ({"label": LABEL, "latent": NOISE, "source_label": LABEL + 0.5}, "0 or 1 each, got 0.5"),
    ],
)
def test_targets_that_say_too_little_or_something_else_are_refused(fields, sentence):
    with pytest.raises(ValueError, match=sentence):
        small().translate(IMAGE, Target(**fields))


@pytest.mark.parametrize("shape", [(2, 3, 32, 32), (2, 1, 16, 16), (3, 16, 16), (2, 3, 16, 32)])
def test_images_of_another_size_are_refused(shape):
    with pytest.raises(ValueError, match=r"takes images \(B, 3, 16, 16\), got .* model and data the same image_size"):
        small().translate(torch.zeros(shape), Target(label=LABEL, latent=NOISE))


@pytest.mark.parametrize("name", ["label", "source_label"])
def test_classes_exclude_each_other(name):
    fields = {"label": torch.eye(3)[:2], "source_label": torch.eye(3)[1:]} | {name: torch.ones(2, 3)}
    with pytest.raises(ValueError, match=r"exactly one is 1, got \[1, 1, 1\]"):
        small(one_hot=True).translate(IMAGE, Target(latent=NOISE, **fields))


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"mix": -0.1}, "mix must lie in 0..1, .* got -0.1"),
        ({"mix": math.nan}, "mix must be a finite number, such as 1, got nan"),
        ({"mix": torch.tensor([0.3, 0.4])}, r"mix must be a finite number, such as 1, got tensor\(\[0.3"),
        ({"strength": "much"}, "strength must be a finite number, such as 1, got much"),
        ({"strength": math.inf}, "strength must be a finite number"),
    ],
)
def test_other_shares_and_strengths_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        small().translate(IMAGE, Target(label=LABEL, latent=NOISE), **settings)


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"gan_mode": "hinge"}, "wgan-gp, vanilla, lsgan, got 'hinge'"),
        ({"ak_sign": 0}, "ak_sign must be one of 1, -1, got 0"),
        ({"image_size": 48}, "image_size must be a power of two, at least 16, such as 64 or 128, got 48"),
        ({"image_size": 8}, "got 8"),
        ({"generator_width": 0}, "generator_width must be at least 1, got 0"),
        ({"code_width": 1}, "code_width must be at least 2, got 1"),
        ({"spade_width": 0}, "spade_width must be at least 1, got 0"),
        ({"discriminator_width": 0}, "discriminator_width must be at least 1, got 0"),
        ({"lambda_ms": -1}, "lambda_ms must be at least 0, got -1"),
    ],
)
def test_settings_that_make_no_sense_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        BridgeGAN(**({"attributes": NAMES} | SMALL | settings))
