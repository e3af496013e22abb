from itertools import pairwise

import pytest
import torch
from torch.nn import functional

import golden
from datamodules.shapes import Shapes
from plain import equal, instance_norm, plain_attribute_loss, plain_discriminator, plain_penalty
from test_motion import plain_warp
from tiny import ATTRIBUTES, Snapshots, TinyData, fit, make_batch, weights
from translators import ADSPM, StarGAN, Translator, augmentation
from translators.adspm import Fields, Generator, MotionClassifier
from translators.augmentation import augment
from translators.layers import AttributeDiscriminator
from translators.types import Phase, Target

SMALL = {"generator_width": 4, "discriminator_width": 4, "blocks": 1, "refine_blocks": 1, "depth": 2}


def small(attributes=3, stage=1, lowest=16, **settings):
    torch.manual_seed(0)
    names = [f"a{i}" for i in range(attributes)]
    return ADSPM(attributes=names, stage=stage, image_size=lowest << (stage - 1), **(SMALL | settings))


def network(**settings):
    return small(**settings).generator["image"]


def picture(side=16, count=2):
    return torch.rand(count, 3, side, side, generator=torch.Generator().manual_seed(2)) * 2 - 1


def target(*rows):
    return Target(label=torch.tensor(rows).float())


WANTED = target([1, 0, 1], [0, 1, 0])


def close(actual, expected, atol=1e-6):
    torch.testing.assert_close(actual, expected, atol=atol, rtol=0)


# ------------------------------------------------------------------------------------------------ the sizes


def count(module):
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("attributes", "generators", "discriminator", "blind", "told"),
    [
        (1, (9_977_920, 10_037_248, 10_111_936), 44_729_280, 726_464, 727_488),
        (4, (9_987_328, 10_046_656, 10_121_344), 44_753_856, 923_072, 927_168),
        (8, (9_999_872, 10_059_200, 10_133_888), 44_786_624, 1_185_216, 1_193_408),
    ],
)
def test_parameter_counts_are_the_authors(attributes, generators, discriminator, blind, told):
    names = [f"a{i}" for i in range(attributes)]
    with torch.device("meta"):
        models = [ADSPM(names, stage=stage, image_size=64 << stage) for stage in (1, 2, 3)]
        informed = ADSPM(names, motion_classifier_sees_condition=True)
    assert tuple(count(model.generator["image"]) for model in models) == generators
    assert all(count(model.generator["motion_classifier"]) == blind for model in models)
    assert count(informed.generator["motion_classifier"]) == told
    assert count(models[0].discriminator) == discriminator


def test_parameter_counts_of_the_parts():
    with torch.device("meta"):
        model = ADSPM(["Smiling"], stage=3, image_size=512)
    counts = {name: count(part) for name, part in model.generator["image"].named_children()}
    assert counts == {
        "encoding": 7_752_832,
        "flow_pred": 662_016,
        "att_mask": 656_320,
        "refine": 906_752,
        "flow_refine": 19_776,
        "mask_refine": 19_200,
        "app_refine": 20_352,
        "flow_refine512": 24_896,
        "mask_refine512": 21_760,
        "app_refine512": 28_032,
    }
    sizes = {side: count(part) for side, part in model.discriminator.items()}
    assert sizes == {"128": 44_729_280, "256": 111_840_192, "512": 178_951_104}


# ------------------------------------------------------------------------------------------------ the authors' numbers


STATISTICS = ("running_mean", "running_var", "num_batches_tracked")


def official(name):
    return {key: value for key, value in golden.weights(name).items() if not key.endswith(STATISTICS)}


def shapes(module):
    return {name: list(tensor.shape) for name, tensor in module.state_dict().items()}


@pytest.mark.parametrize(
    ("file", "build"),
    [
        ("adspm_generator256", lambda: Generator(1, stage=2)),
        ("adspm_generator512", lambda: Generator(1, stage=3)),
        ("adspm_discriminator128", lambda: AttributeDiscriminator(1)),
        ("adspm_discriminator256_r7", lambda: ADSPM(["a"], stage=2, image_size=256).discriminator["256"]),
        ("adspm_discriminator512_r8", lambda: ADSPM(["a"], stage=3, image_size=512).discriminator["512"]),
        ("adspm_motion_classifier", lambda: MotionClassifier(1, 128, sees_condition=True)),
    ],
)
def test_parameters_bear_the_authors_names(file, build):
    with torch.device("meta"):
        module = build()
    told = {name: shape for name, shape in golden.record(f"{file}.keys").items() if not name.endswith(STATISTICS)}
    assert shapes(module) == told


@torch.no_grad()
def test_the_first_and_second_stage_compute_what_the_authors_do():
    state, told = official("adspm_generator256"), golden.record("adspm_generator256")
    generator = Generator(1, stage=1)
    generator.load_state_dict({name: value for name, value in state.items() if name in generator.state_dict()})
    (scene,) = generator(golden.images(2, 3, 128, 128), torch.ones(2, 1))
    golden.assert_matches(scene.output, told["lr_output"])
    golden.assert_matches(scene.deformed, told["lr_deformed"])
    golden.assert_matches((scene.motion / 0.1).permute(0, 2, 3, 1), told["lr_flow_unscaled_nhwc"])
    golden.assert_matches(scene.mask, told["lr_mask"])
    generator = Generator(1, stage=2)
    generator.load_state_dict(state)
    low, high = generator(golden.images(1, 3, 256, 256), torch.ones(1, 1))
    golden.assert_matches(low.output, told["hr256_lr_output"])
    golden.assert_matches(low.deformed, told["hr256_lr_deformed"])
    golden.assert_matches(high.output, told["hr256_output"])
    golden.assert_matches(high.deformed, told["hr256_deformed"])
    golden.assert_matches(high.motion.permute(0, 2, 3, 1), told["hr256_flow_scaled_nhwc"])
    golden.assert_matches(high.mask, told["hr256_mask"])


@torch.no_grad()
def test_the_third_stage_computes_what_the_authors_do():
    generator, told = Generator(1, stage=3), golden.record("adspm_generator512")
    generator.load_state_dict(official("adspm_generator512"))
    scenes = generator(golden.images(1, 3, 512, 512), torch.ones(1, 1))
    for side, scene in zip((128, 256, 512), scenes, strict=True):
        golden.assert_matches(scene.output, told[f"output{side}"])
        golden.assert_matches(scene.deformed, told[f"deformed{side}"])
    golden.assert_matches(scenes[-1].motion.permute(0, 2, 3, 1), told["flow512_scaled_nhwc"])
    golden.assert_matches(scenes[-1].mask, told["mask512"])


@torch.no_grad()
def test_the_classifiers_compute_what_the_authors_do():
    image = golden.images(2, 3, 128, 128)
    classifier = MotionClassifier(1, 128, sees_condition=True)
    classifier.load_state_dict(official("adspm_motion_classifier"))
    logits = classifier(0.1 * golden.images(2, 2, 128, 128), image, torch.ones(2, 1))
    golden.assert_matches(logits, golden.record("adspm_motion_classifier")["cls"])
    discriminator, told = AttributeDiscriminator(1), golden.record("adspm_discriminator128")
    discriminator.load_state_dict(official("adspm_discriminator128"))
    scores, logits = discriminator(image)
    golden.assert_matches(scores, told["src"])
    golden.assert_matches(logits, told["cls"])


# ------------------------------------------------------------------------------------------------ what comes out


@pytest.mark.parametrize("stage", [1, 2, 3])
@torch.no_grad()
def test_a_translation_shows_its_parts(stage):
    model, side = small(stage=stage), 16 << (stage - 1)
    translation = model.translate(picture(side), WANTED)
    assert translation.image.shape == (2, 3, side, side)
    assert translation.mask.shape == (2, 1, side, side)
    assert translation.flow.shape == (2, 2, side, side)
    extras = {name: tuple(tensor.shape) for name, tensor in translation.extras.items()}
    low = {} if stage == 1 else {"low": (2, 3, 16, 16)}
    assert extras == {"deformed": (2, 3, side, side), "residual": (2, 3, side, side), **low}
    close(translation.extras["deformed"], plain_warp(picture(side), translation.flow), atol=1e-5)


@torch.no_grad()
def test_the_greatest_motions_masks_and_pictures():
    """lambda_w at the first stage and as much again at each further one, here with everything saturated."""
    generator = network(stage=3)
    for name, weight in generator.named_parameters():
        if name.endswith(("flow_pred.6.weight", "att_mask.6.weight", "refine.4.weight", "512.4.weight")):
            weight.mul_(1000)
    scenes = generator(picture(64), WANTED.label)
    for stage, scene in enumerate(scenes, start=1):
        assert 0.0999 * stage < scene.motion.abs().max() <= 0.1 * stage + 1e-6
        assert 0 == scene.mask.min() < scene.mask.max() == 1
        assert -1 <= scene.output.min() < scene.output.max() <= 1


@torch.no_grad()
def test_where_nothing_is_painted_the_result_is_the_deformed_image():
    generator, image = network(), picture()
    fields = generator.fields(image, WANTED.label)
    (scene,) = generator.render([image], Fields(fields.motions, [torch.zeros_like(fields.masks[0])]))
    assert not torch.equal(scene.deformed, image)
    assert torch.equal(scene.output, scene.deformed)


@pytest.mark.parametrize("stage", [1, 2, 3])
@pytest.mark.parametrize("ablation", [None, "No_M", "No_R"])
@torch.no_grad()
def test_a_strength_of_zero_returns_the_image(stage, ablation):
    model, image = small(stage=stage, ablation=ablation), picture(16 << (stage - 1))
    assert not torch.equal(model.translate(image, WANTED).image, image)
    assert torch.equal(model.translate(image, WANTED, strength=0.0).image, image)


@torch.no_grad()
@pytest.mark.parametrize("strength", [float("nan"), float("inf")])
def test_a_strength_is_a_finite_number(strength):
    with pytest.raises(ValueError, match="strength must be a finite number"):
        small().translate(picture(), WANTED, strength=strength)


def test_the_motion_grows_with_the_strength():
    model, image = small(stage=2), picture(32)
    whole = model.translate(image, WANTED)
    for strength in (-1.0, 0.5, 2.0):
        scaled = model.translate(image, WANTED, strength)
        close(scaled.flow, strength * whole.flow)
        close(scaled.mask, (strength * whole.mask).clamp(0, 1))
        close(scaled.extras["deformed"], plain_warp(image, strength * whole.flow), atol=1e-5)


@torch.no_grad()
def test_a_batch_of_one_and_sides_that_differ():
    model, image = small().eval(), torch.rand(2, 3, 12, 20)
    both = model.translate(image, WANTED).image
    alone = model.translate(image[:1], Target(label=WANTED.label[:1])).image
    assert both.shape == image.shape
    close(alone, both[:1], atol=1e-5)
    batch = make_batch(count=1)
    for loss in (model.generator_loss, model.discriminator_loss):
        with torch.enable_grad():
            assert all(term.isfinite() for term in loss(batch, model.sample_target(batch)).values())


@pytest.mark.parametrize("stage", [1, 2])
@torch.no_grad()
def test_training_and_evaluation_give_the_same_scenes(stage):
    generator, image = network(stage=stage), picture(16 * stage)
    told = generator.train()(image, WANTED.label)
    for scene, again in zip(told, generator.eval()(image, WANTED.label), strict=True):
        assert all(torch.equal(one, other) for one, other in zip(scene, again, strict=True))


@pytest.mark.parametrize(
    ("stage", "ablation", "parts"),
    [
        (1, "No_M", {"encoding", "att_mask", "refine"}),
        (1, "No_R", {"encoding", "flow_pred"}),
        (2, "No_M", {"encoding", "att_mask", "refine", "mask_refine", "app_refine"}),
        (2, "No_R", {"encoding", "flow_pred", "flow_refine"}),
    ],
)
@torch.no_grad()
def test_ablations_lack_what_they_are_named_for(stage, ablation, parts):
    model, image = small(stage=stage, ablation=ablation), picture(16 * stage)
    translation = model.translate(image, WANTED)
    assert {name for name, _ in model.generator["image"].named_children()} == parts
    assert ("motion_classifier" in model.generator) == (ablation == "No_R")
    extras = set(translation.extras) - {"low"}
    if ablation == "No_M":
        assert translation.flow is None and extras == {"residual"}
    else:
        assert translation.mask is None and extras == {"deformed"}
        assert torch.equal(translation.image, translation.extras["deformed"])


def test_without_motion_the_masked_residual_is_added_to_the_image_itself():
    image = picture()
    translation = small(ablation="No_M").translate(image, WANTED)
    close(translation.image, (image + translation.mask * translation.extras["residual"]).clamp(-1, 1))


@torch.no_grad()
def test_mixed_precision_keeps_the_motion_precise():
    model, image = small(stage=2), picture(32)
    with torch.autocast("cpu", torch.bfloat16):
        translation = model.translate(image, WANTED)
    assert translation.flow.dtype == torch.float32
    close(translation.extras["deformed"], plain_warp(image, translation.flow), atol=1e-5)


# ------------------------------------------------------------------------------------------------ combining


@pytest.mark.parametrize("stage", [1, 2])
@torch.no_grad()
def test_one_motion_combined_is_the_plain_deformation(stage):
    model, image = small(stage=stage), picture(16 * stage)
    whole = model.translate(image, WANTED)
    deformed = model.combine(image, [WANTED.label])
    assert torch.equal(deformed.image, whole.extras["deformed"])
    assert torch.equal(deformed.flow, whole.flow)
    refined = model.combine(image, [WANTED.label], refine=True)
    assert torch.equal(refined.image, whole.image)
    assert torch.equal(refined.mask, whole.mask)


@pytest.mark.parametrize("stage", [1, 2])
@torch.no_grad()
def test_motions_add_up_weighted_and_the_image_is_deformed_once(stage):
    model, image = small(stage=stage), picture(16 * stage)
    labels = [torch.eye(3)[[i, i]] for i in range(3)]
    flows = [model.translate(image, Target(label=label)).flow for label in labels]
    combined = model.combine(image, labels, weights=[1.0, -0.5, 2.0])
    close(combined.flow, flows[0] - 0.5 * flows[1] + 2 * flows[2])
    close(combined.image, plain_warp(image, combined.flow), atol=1e-5)
    close(model.combine(image, labels[::-1], weights=[2.0, -0.5, 1.0]).image, combined.image, atol=1e-5)
    close(model.combine(image, labels).flow, sum(flows))
    for refine in (False, True):
        assert torch.equal(model.combine(image, labels, weights=[0, 0, 0], refine=refine).image, image)


@torch.no_grad()
def test_several_motions_are_refined_wherever_one_of_them_would_be():
    model, image = small(), picture()
    generator = model.generator["image"]
    labels = [torch.eye(3)[[i, i]] for i in range(2)]
    masks = [model.translate(image, Target(label=label)).mask for label in labels]
    refined = model.combine(image, labels, refine=True)
    deformed = model.combine(image, labels).image
    assert torch.equal(refined.mask, torch.maximum(*masks))
    close(refined.image, (deformed + refined.mask * generator.refine(deformed)).clamp(-1, 1))


def test_combining_needs_motions_labels_and_a_weight_for_each():
    image, label = picture(), WANTED.label
    with pytest.raises(ValueError, match="a model with ablation=No_M has none"):
        small(ablation="No_M").combine(image, [label])
    with pytest.raises(ValueError, match="ablation=No_R paints nothing: combine without refine"):
        small(ablation="No_R").combine(image, [label], refine=True)
    with pytest.raises(ValueError, match="weight 2 must be a finite number, such as 1, got nan"):
        small().combine(image, [label, label], weights=[1.0, float("nan")])
    with pytest.raises(ValueError, match="at least one label"):
        small().combine(image, [])
    with pytest.raises(ValueError, match=r"a list of \(B, K\) labels"):
        small().combine(image, label)
    with pytest.raises(ValueError, match="got 2 labels, 3 weights"):
        small().combine(image, [label, label], weights=[1.0, 2.0, 3.0])
    with pytest.raises(ValueError, match=r"must have shape \(2, 3\)"):
        small().combine(image, [label, label[:1]])
    with pytest.raises(ValueError, match=r"ADSPM takes images \(B, 3, H, W\)"):
        small(stage=2).combine(image[0], [label])


# ------------------------------------------------------------------------------------------------ the networks, plainly


def conv(g, name, x, stride=1):
    weight = g[f"{name}.weight"]
    return functional.conv2d(x, weight, g.get(f"{name}.bias"), stride, (weight.shape[-1] - 1) // 2)


def norm(g, name, x):
    return instance_norm(x, g[f"{name}.weight"], g[f"{name}.bias"])


def block(g, name, x):
    y = norm(g, f"{name}.main.1", conv(g, f"{name}.main.0", x)).clamp(min=0)
    return x + norm(g, f"{name}.main.4", conv(g, f"{name}.main.3", y))


def decoded(g, name, x):
    for layer in (0, 3):
        x = functional.conv_transpose2d(x, g[f"{name}.{layer}.weight"], stride=2, padding=1)
        x = norm(g, f"{name}.{layer + 1}", x).clamp(min=0)
    return conv(g, f"{name}.6", x)


def detail(g, name, x):
    x = norm(g, f"{name}.1", conv(g, f"{name}.0", x)).clamp(min=0)
    return torch.tanh(conv(g, f"{name}.4", block(g, f"{name}.3", x)))


def with_label(x, label):
    return torch.cat([x, label.to(x)[:, :, None, None] * torch.ones_like(x[:, :1])], 1)


def stretched(x, side):
    """Bilinear, corners on corners: each new row and column is a mixture of two old ones."""
    old = x.shape[-1]
    places = torch.linspace(0, old - 1, side, dtype=x.dtype)
    share = (1 - (places[:, None] - torch.arange(old)).abs()).clamp(min=0)
    return share @ x @ share.T


def plain_scenes(g, image, label, stage, ablation=None, paper=False):
    """I_t, w, m of each stage, of a generator with one block each; sheet, sects. 1 and 2."""
    side = image.shape[-1]
    images = [stretched(image, side >> down) for down in range(stage - 1, 0, -1)] + [image]
    f = with_label(images[0], label)
    for layer, stride in ((0, 1), (3, 2), (6, 2)):
        f = norm(g, f"encoding.{layer + 1}", conv(g, f"encoding.{layer}", f, stride)).clamp(min=0)
    f = block(g, "encoding.9", f)
    scenes, w, m = [], None, None
    for level, x in enumerate(images):
        if level == 0:
            w = None if ablation == "No_M" else 0.1 * torch.tanh(decoded(g, "flow_pred", f))
            m = None if ablation == "No_R" else torch.sigmoid(decoded(g, "att_mask", f))
        elif w is not None:
            w = stretched(w, x.shape[-1])
            w = w + 0.1 * detail(g, "flow_refine", w)
        deformed = x if w is None else plain_warp(x, 2 * w)
        if m is None:
            scenes.append((deformed, w, m))
            continue
        if level == 0:
            r = norm(g, "refine.1", conv(g, "refine.0", deformed)).clamp(min=0)
            r = torch.tanh(conv(g, "refine.4", block(g, "refine.3", r)))
            handed = r if paper else r * m
        else:
            m = stretched(m, x.shape[-1])
            m = (m + detail(g, "mask_refine", m)).clamp(0, 1)
            r = stretched(handed, x.shape[-1])
            r = r + detail(g, "app_refine", r)
        scenes.append(((deformed + r * m).clamp(-1, 1), w, m))
    return images, scenes


def plain_motion_classifier(g, motion, image, label=None):
    x = torch.cat([motion, image], 1)
    x = x if label is None else with_label(x, label)
    for layer in (0, 2, 4):
        x = functional.conv2d(x, g[f"main.{layer}.weight"], g[f"main.{layer}.bias"], stride=2, padding=1)
        x = torch.where(x > 0, x, 0.01 * x)
    return (x[:, None] * g["main.6.weight"]).sum((2, 3, 4))


class Step:
    """A model in float64 with a batch of its kind of labels, and what it should make of them."""

    def __init__(self, stage=1, one_hot=False, **settings):
        self.model = small(stage=stage, lowest=8, one_hot=one_hot, **settings).double()
        batch = make_batch(count=2, one_hot=one_hot, size=8 * stage)
        self.batch = {name: value.double() if value.is_floating_point() else value for name, value in batch.items()}
        self.target = self.model.sample_target(self.batch)
        self.own, self.wanted = batch["label"].double(), batch["reference_label"].double()
        self.stage, self.one_hot, self.ablation = stage, one_hot, settings.get("ablation")
        self.paper = settings.get("hr_residual") == "paper"
        self.images, self.scenes = self.scenes_of(self.batch["image"], self.wanted)
        *low, self.high = [output for output, _, _ in self.scenes]
        shrunk = [[fake, stretched(self.high, fake.shape[-1])] for fake in low]
        self.fakes = [*shrunk, [self.high]]  # that each discriminator sees

    def scenes_of(self, image, label):
        g = self.model.generator["image"].state_dict()
        return plain_scenes(g, image, label, self.stage, self.ablation, self.paper)

    def discriminators(self):
        """Weights and depth of each, with the real and the false images it sees."""
        players = [(player.state_dict(), 2 + level) for level, player in enumerate(self.model.discriminator.values())]
        return list(zip(players, self.images, self.fakes, strict=True))

    def cls(self, logits, label):
        return plain_attribute_loss(logits, label, self.one_hot)


def mean(values):
    return sum(values) / len(values)


@pytest.mark.parametrize("one_hot", [False, True], ids=["multi-hot", "one-hot"])
@pytest.mark.parametrize("stage", [1, 2])
@torch.no_grad()
def test_terms_of_a_discriminator_step(stage, one_hot):
    """Each judges its own resolution; the lower one sees two fakes, whose terms and penalties are averaged."""
    step = Step(stage, one_hot)
    with torch.enable_grad():
        torch.manual_seed(5)
        terms = step.model.discriminator_loss(step.batch, step.target)
    torch.manual_seed(5)
    adv, cls, gp = 0, 0, 0
    for (d, depth), image, fakes in step.discriminators():
        real, logits = plain_discriminator(d, image, depth)
        adv += mean([plain_discriminator(d, fake, depth)[0].mean() - real.mean() for fake in fakes])
        cls += step.cls(logits, step.own)
        penalties = []
        for fake in fakes:
            alpha = torch.empty(2, dtype=torch.float64).uniform_()[:, None, None, None]
            penalties.append(plain_penalty(d, alpha * image + (1 - alpha) * fake, depth))
        gp += mean(penalties)
    equal(terms, {"adv": adv, "cls": cls, "gp": gp})
    assert [step.model.weight(term) for term in terms] == [1, 1, 10]


@pytest.mark.parametrize(
    ("stage", "settings"),
    [
        (1, {}),
        (1, {"one_hot": True}),
        (1, {"ablation": "No_M"}),
        (1, {"ablation": "No_R"}),
        (1, {"motion_classifier_sees_condition": True}),
        (2, {}),
        (2, {"one_hot": True, "low_weight": 0.25}),
        (2, {"hr_residual": "paper"}),
        (2, {"ablation": "No_M"}),
        (2, {"ablation": "No_R"}),
    ],
)
@torch.no_grad()
def test_terms_of_a_generator_step(stage, settings):
    """Reconstruction and mask at the highest resolution, the motion at the lowest, whose critic weighs less."""
    step = Step(stage, **settings)
    terms = step.model.generator_loss(step.batch, step.target)
    adv, cls = 0, 0
    weights = [settings.get("low_weight", 0.4)] * (stage - 1) + [1]
    for weight, ((d, depth), _, fakes) in zip(weights, step.discriminators(), strict=True):
        scores, logits = zip(*(plain_discriminator(d, fake, depth) for fake in fakes), strict=True)
        adv -= weight * mean([score.mean() for score in scores])
        cls += weight * mean([step.cls(each, step.wanted) for each in logits])
    _, back = step.scenes_of(step.high, step.own)
    expected = {"adv": adv, "cls": cls, "rec": (step.batch["image"] - back[-1][0]).abs().mean()}
    if step.ablation != "No_R":
        expected["mask"] = step.scenes[-1][2].mean()
    if step.ablation != "No_M":
        own = step.own if settings.get("motion_classifier_sees_condition") else None
        w = step.model.generator["motion_classifier"].state_dict()
        logits = plain_motion_classifier(w, step.scenes[0][1], step.images[0], own)
        expected["motion"] = step.cls(logits, step.wanted)
    equal(terms, expected)
    told = {"adv": 1, "cls": 1, "rec": 10, "mask": 1, "motion": 0.5}
    assert {term: step.model.weight(term) for term in terms} == {term: told[term] for term in expected}


@torch.no_grad()
def test_the_roughness_of_the_motion_is_a_term_where_it_weighs():
    step = Step(lambda_tv=3.0)
    w, size = step.scenes[0][1], 8
    down, across = w[:, :, 1:] - w[:, :, :-1], w[..., 1:] - w[..., :-1]
    per_image = 2 * size * (size - 1)  # differences of either kind
    expected = 2 * (down.square().sum() / per_image + across.square().sum() / per_image) / 2
    term = step.model.generator_loss(step.batch, step.target)["tv"]
    assert term.item() == pytest.approx(expected.item(), rel=1e-6)
    assert step.model.weight("tv") == 3
    plain = small()
    assert "tv" not in plain.generator_loss(make_batch(), plain.sample_target(make_batch()))


@pytest.mark.parametrize("mode", ["vanilla", "lsgan"])
@torch.no_grad()
def test_other_adversaries_have_no_penalty(mode):
    step, adv, fooled = Step(2, gan_mode=mode), 0, 0
    for weight, ((d, depth), image, fakes) in zip([0.4, 1], step.discriminators(), strict=True):
        real, scores = (
            plain_discriminator(d, image, depth)[0],
            [plain_discriminator(d, fake, depth)[0] for fake in fakes],
        )
        if mode == "lsgan":
            adv += (real - 1).square().mean() + mean([score.square().mean() for score in scores])
            fooled += weight * mean([(score - 1).square().mean() for score in scores])
        else:
            adv -= real.sigmoid().log().mean() + mean([(1 - score.sigmoid()).log().mean() for score in scores])
            fooled -= weight * mean([score.sigmoid().log().mean() for score in scores])
    terms = step.model.discriminator_loss(step.batch, step.target)
    assert terms.keys() == {"adv", "cls"}
    assert terms["adv"].item() == pytest.approx(adv.item(), rel=1e-6)
    terms = step.model.generator_loss(step.batch, step.target)
    assert terms["adv"].item() == pytest.approx(fooled.item(), rel=1e-6)


@torch.no_grad()
def test_an_augmented_discriminator_sees_only_augmented_images():
    step = Step(augment=True, gan_mode="lsgan")
    (((d, depth), image, (fake,)),) = step.discriminators()
    torch.manual_seed(5)
    terms = step.model.discriminator_loss(step.batch, step.target)
    torch.manual_seed(5)
    real, logits = plain_discriminator(d, augment(image), depth)
    score, _ = plain_discriminator(d, augment(fake), depth)
    equal(terms, {"adv": (real - 1).square().mean() + score.square().mean(), "cls": step.cls(logits, step.own)})
    torch.manual_seed(6)
    terms = step.model.generator_loss(step.batch, step.target)
    torch.manual_seed(6)
    score, _ = plain_discriminator(d, augment(fake), depth)
    assert terms["adv"].item() == pytest.approx((score - 1).square().mean().item(), rel=1e-6)
    _, back = step.scenes_of(fake, step.own)
    assert terms["rec"].item() == pytest.approx((image - back[0][0]).abs().mean().item(), rel=1e-6)


@torch.no_grad()
def test_the_lowest_discriminator_alone_sees_out_of_focus(monkeypatch):
    """What a higher stage adds would be gone."""
    for name in ("BRIGHTNESS", "CONTRAST", "SHIFT", "SCALE"):
        monkeypatch.setattr(augmentation, name, 0.0)
    model = small(stage=2, augment=True, blur=0.2)
    low, high = (torch.tensor([1.0, -1.0]).repeat(side // 2).expand(4, 3, side, side) for side in (16, 32))
    close(model.shown(high), high, atol=1e-5)
    assert model.shown(low).abs().mean() < 0.8
    close(small(stage=2, augment=True).shown(low), low, atol=1e-5)


# ------------------------------------------------------------------------------------------------ where gradients go


def reached(model):
    """The networks that have a gradient: of the generator by their parts."""
    names = {name.split(".")[2 if "image" in name else 1] for name, p in model.named_parameters() if moved(p.grad)}
    model.zero_grad(set_to_none=True)
    return names


def moved(gradient):
    return gradient is not None and bool(gradient.any())


LOW = {"encoding", "flow_pred", "att_mask", "refine"}
DETAILS = {"flow_refine", "mask_refine", "app_refine"}


@pytest.mark.parametrize(
    ("stage", "parts"),
    [(1, LOW), (2, LOW | DETAILS), (3, LOW | DETAILS | {f"{name}512" for name in DETAILS})],
)
def test_gradients_reach_what_a_term_is_for(stage, parts):
    model, batch = small(stage=stage), make_batch(count=2, size=16 << (stage - 1))
    model.discriminator.requires_grad_(False)
    for term, expected in (
        ("adv", parts),
        ("rec", parts),
        ("motion", {"encoding", "flow_pred", "motion_classifier"}),
        ("mask", {name for name in parts if "mask" in name} | {"encoding"}),
    ):
        model.generator_loss(batch, model.sample_target(batch))[term].backward()
        assert reached(model) == expected, term
    model.discriminator.requires_grad_(True)
    model.generator.requires_grad_(False)
    for term in ("adv", "cls", "gp"):
        model.discriminator_loss(batch, model.sample_target(batch))[term].backward()
        assert reached(model) == set(model.discriminator), term


def test_the_penalty_is_finite_where_the_fake_is_the_real_image():
    model, batch = small(ablation="No_R"), make_batch(count=2)
    torch.nn.init.zeros_(model.generator["image"].flow_pred[6].weight)
    assert torch.equal(model.translate(batch["image"], model.sample_target(batch)).image, batch["image"])
    terms = model.double().discriminator_loss(
        {name: value.double() for name, value in batch.items()}, model.sample_target(batch)
    )
    expected = plain_penalty(model.discriminator["16"].state_dict(), batch["image"].double(), depth=2)
    assert terms["gp"].item() == pytest.approx(expected.item(), rel=1e-6)
    terms["gp"].backward()
    assert all(p.grad.isfinite().all() for p in model.discriminator.parameters() if p.grad is not None)


# ------------------------------------------------------------------------------------------------ higher stages


@pytest.mark.parametrize("ablation", [None, "No_M", "No_R"])
@torch.no_grad()
def test_the_first_stage_may_begin_at_the_identity(ablation):
    model, image = small(zero_init=True, ablation=ablation), picture()
    close(model.translate(image, WANTED).image, image)
    assert (small(ablation=ablation).translate(image, WANTED).image - image).abs().max() > 0.01


def test_what_begins_at_zero_learns_all_the_same():
    model, batch = small(zero_init=True), make_batch(count=2)
    target = model.sample_target(batch)
    terms = model.generator_loss(batch, target)
    (terms["adv"] + terms["cls"] + terms["motion"]).backward()
    generator = model.generator["image"]
    for last in (generator.flow_pred[-2], generator.refine[-2]):
        assert last.weight.grad.abs().max() > 0


@pytest.mark.parametrize("stage", [2, 3])
@pytest.mark.parametrize("hr_residual", ["code", "paper"])
@torch.no_grad()
def test_a_stage_may_begin_as_plain_upsampling(stage, hr_residual):
    model, image = small(stage=stage, zero_init=True, hr_residual=hr_residual), picture(16 << (stage - 1))
    model.generator["image"].load_state_dict(small().generator["image"].state_dict(), strict=False)
    scenes = model.generator["image"](image, WANTED.label)
    for below, scene in pairwise(scenes):
        side = scene.output.shape[-1]
        close(scene.motion, stretched(below.motion, side), atol=1e-5)
        close(scene.mask, stretched(below.mask, side), atol=1e-5)
        handed = below.residual if hr_residual == "paper" else below.residual * below.mask
        close(scene.residual, stretched(handed, side), atol=1e-5)
        close(scene.output, (scene.deformed + scene.residual * scene.mask).clamp(-1, 1))


def grown(stage, lowest=16, **settings):
    """For `TinyData`, which has two attributes."""
    torch.manual_seed(stage)
    return ADSPM(
        ATTRIBUTES, stage=stage, image_size=lowest << (stage - 1), **(SMALL | {"n_critic": 1, "lr": 1e-3} | settings)
    )


@pytest.fixture(scope="module")
def first(tmp_path_factory):
    """The checkpoint of two iterations of the first stage."""
    folder = tmp_path_factory.mktemp("first")
    fit(grown(1), folder, 2).save_checkpoint(folder / "step-0000002.ckpt")
    return folder


def test_the_second_stage_begins_where_the_first_one_ended_and_all_of_it_learns_on(first, tmp_path):
    seen, below = Snapshots(), weights(Translator.load(str(first)))
    model = grown(2, start=str(first))
    assert any(not torch.equal(weights(model)[name], value) for name, value in below.items())
    fit(model, tmp_path, 2, data=TinyData(image_size=32), callbacks=[seen])
    assert all(torch.equal(seen.weights[0][name], value) for name, value in below.items())
    assert seen.moved(0) | seen.moved(1) == set(weights(model))


@pytest.mark.parametrize("named", [True, False], ids=["its start is gone", "it was told of none"])
def test_a_resumed_second_stage_has_weights_of_its_own(named, first, tmp_path):
    start = tmp_path / "step-0000002.ckpt"
    start.write_bytes((first / start.name).read_bytes())
    data, whole = TinyData(image_size=32), grown(2, start=str(start))
    fit(whole, tmp_path, 4, data=data)
    fit(grown(2, start=str(start)), tmp_path, 2, data=data).save_checkpoint(tmp_path / "half.ckpt")
    start.unlink()
    resumed = grown(2, start=str(start) if named else None)
    fit(resumed, tmp_path, 4, data=data, resume=tmp_path / "half.ckpt")
    assert all(torch.equal(weights(resumed)[name], value) for name, value in weights(whole).items())


@pytest.mark.parametrize("stage", [2, 3])
def test_a_higher_stage_does_not_begin_from_nothing(stage, tmp_path):
    with pytest.raises(ValueError, match=f"stage {stage} goes on from the weights of stage {stage - 1}: .*start=runs"):
        fit(grown(stage), tmp_path, 1, data=TinyData(image_size=16 << (stage - 1)))


def test_a_higher_stage_that_was_given_weights_trains(first, tmp_path):
    """By start_from; and one that was loaded."""
    model, data = grown(2), TinyData(image_size=32)
    model.start_from(Translator.load(str(first)))
    fit(model, tmp_path, 1, data=data).save_checkpoint(tmp_path / "step-0000001.ckpt")
    fit(ADSPM.load(str(tmp_path)), tmp_path / "again", 1, data=data)


@torch.no_grad()
@pytest.mark.parametrize("stage", [1, 2, 3])
def test_what_is_painted_grows_with_the_strength_at_every_stage(stage):
    model, image = small(stage=stage, max_motion=1e-6), picture(16 << (stage - 1))
    painted = [
        model.translate(image, WANTED, strength).extras["residual"] * model.translate(image, WANTED, strength).mask
        for strength in (0.25, 0.5)
    ]
    assert painted[1].abs().mean() > 1e-3
    close(painted[1], 2 * painted[0], atol=1e-4)


@pytest.mark.parametrize("ablation", [None, "No_M", "No_R"])
def test_the_third_stage_takes_over_the_second_and_adds_its_own(ablation):
    below, model = grown(2, ablation=ablation), grown(3, ablation=ablation)
    fresh = {name: value for name, value in weights(model).items() if name not in weights(below)}
    model.start_from(below)
    assert weights(model).keys() == weights(below).keys() | fresh.keys()
    assert all("512" in name or name.startswith("discriminator.64.") for name in fresh)
    for name, value in (weights(below) | fresh).items():
        assert torch.equal(weights(model)[name], value), name


def test_a_stage_may_start_from_itself():
    other, model = grown(2, lr=0.5), grown(2)
    torch.nn.init.ones_(other.generator["image"].encoding[0].weight)
    model.start_from(other)
    assert all(torch.equal(weights(model)[name], value) for name, value in weights(other).items())


@pytest.mark.parametrize(
    ("stage", "other", "told"),
    [
        (3, {"stage": 1}, "its own kind, or of stage 2 at 32 px, but these are of stage 1 at 16 px"),
        (1, {"stage": 2}, "stage 1 at 16 px starts from weights of its own kind, but these are of stage 2 at 32 px"),
        (2, {"stage": 1, "lowest": 32}, "stage 1 at 16 px, but these are of stage 1 at 32 px"),
        (2, {"stage": 2, "lowest": 8}, "image_size 16, here 32"),
        (2, {"stage": 1, "generator_width": 8}, "generator_width 8, here 4"),
        (2, {"stage": 1, "discriminator_width": 8}, "discriminator_width 8, here 4"),
        (2, {"stage": 1, "blocks": 2}, "blocks 2, here 1"),
        (2, {"stage": 1, "refine_blocks": 2}, "refine_blocks 2, here 1"),
        (2, {"stage": 1, "depth": 3}, "depth 3, here 2"),
        (2, {"stage": 1, "one_hot": True}, "trained with one_hot True, the model has False"),
        (2, {"stage": 1, "max_motion": 0.2}, "trained with max_motion 0.2, the model has 0.1"),
        (3, {"stage": 2, "hr_residual": "paper"}, "trained with hr_residual paper, the model has code"),
        (2, {"stage": 1, "ablation": "No_M"}, "ablation No_M, here None"),
        (2, {"stage": 1, "ablation": "No_R"}, "ablation No_R, here None"),
        (2, {"stage": 1, "motion_classifier_sees_condition": True}, "sees_condition True, here False"),
    ],
)
def test_a_stage_refuses_weights_that_are_not_of_the_one_below(stage, other, told):
    model = grown(stage)
    before = weights(model)
    with pytest.raises(ValueError, match=told):
        model.start_from(grown(**other))
    assert all(torch.equal(weights(model)[name], value) for name, value in before.items())


def test_a_stage_refuses_fewer_blocks_other_attributes_and_other_models():
    with pytest.raises(ValueError, match="blocks 1, here 2"):
        grown(2, blocks=2).start_from(grown(1))
    with pytest.raises(ValueError, match=r"attributes .*'Young'.*, here .*'a0'"):
        small(stage=2).start_from(grown(1))
    with pytest.raises(ValueError, match="this checkpoint is of StarGAN, the model is ADSPM"):
        grown(2).start_from(StarGAN(ATTRIBUTES, image_size=16, generator_width=4, discriminator_width=4, depth=2))


# ------------------------------------------------------------------------------------------------ training


@pytest.mark.parametrize("precision", ["64-true", "bf16-mixed"])
def test_both_resolutions_train_in_other_precisions(precision, first, tmp_path):
    seen, model = Snapshots(), grown(2, start=str(first))
    fit(model, tmp_path, 1, data=TinyData(image_size=32), callbacks=[seen], precision=precision)
    assert {name.split(".")[0] for name in seen.moved(0)} == {"generator", "discriminator"}
    assert all(weight.isfinite().all() for weight in weights(model).values())


def test_thirty_steps_on_squares_and_circles_reduce_the_reconstruction(tmp_path):
    data = Shapes(train_size=64, val_size=8, test_size=8, image_size=32, batch_size=8, num_workers=0, cache=False)
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    torch.manual_seed(0)
    sizes = {"image_size": 32, "depth": 3, "generator_width": 8}
    model = ADSPM(data.attributes, n_critic=1, lr=2e-3, phases=[Phase(30)], **(SMALL | sizes))

    @torch.no_grad()
    def rec():
        return model.generator_loss(batch, model.sample_target(batch))["rec"].item()

    before = rec()
    fit(model, tmp_path, data=data)
    assert rec() < 0.7 * before


def test_the_papers_learning_rates():
    first, second = small(), small(stage=2)
    assert [model.hparams[name] for model in (first, second) for name in ("lr", "n_critic")] == [1e-4, 5] * 2
    assert [first.lr_scale(step) for step in (0, 50_000, 100_000)] == [1, 0.5, 0]
    assert [second.lr_scale(step) for step in (0, 100_000, 150_000, 200_000)] == [1, 1, 0.5, 0]
    assert small(stage=2, phases=[Phase(7)]).phases == (Phase(7),)


# ------------------------------------------------------------------------------------------------ what is refused


@pytest.mark.parametrize(
    ("stage", "shape", "multiple", "least"),
    [
        (1, (1, 3, 18, 16), 4, 8),
        (1, (1, 3, 16, 4), 4, 8),
        (1, (1, 1, 16, 16), 4, 8),
        (1, (3, 16, 16), 4, 8),
        (2, (1, 3, 20, 20), 8, 16),
        (3, (1, 3, 24, 24), 16, 32),
    ],
)
def test_translate_refuses_images_it_cannot_take(stage, shape, multiple, least):
    with pytest.raises(ValueError, match=rf"multiples of {multiple} and at least {least}, got \("):
        small(stage=stage).translate(torch.zeros(shape), target([0, 0, 0]))


def test_higher_stages_take_squares():
    with pytest.raises(ValueError, match=r"stages 2 and 3 of ADSPM take square images, got \(1, 3, 32, 16\)"):
        small(stage=2).translate(torch.zeros(1, 3, 32, 16), target([0, 0, 0]))


def test_discriminators_take_one_size():
    model, batch = small(), make_batch(size=24)
    for loss in (model.generator_loss, model.discriminator_loss):
        with pytest.raises(ValueError, match=r"takes images of 16x16, got .*same image_size"):
            loss(batch, model.sample_target(batch))


@pytest.mark.parametrize("label", [None, torch.zeros(1, 2), torch.zeros(2, 3), torch.zeros(3)])
def test_translate_refuses_labels_of_another_shape(label):
    with pytest.raises(ValueError, match=r"must have shape \(1, 3\)"):
        small().translate(torch.zeros(1, 3, 16, 16), Target(label=label))


def test_translate_refuses_labels_that_are_neither_0_nor_1():
    with pytest.raises(ValueError, match=r"0 or 1 each, got 0\.5"):
        small().translate(torch.zeros(1, 3, 16, 16), target([1, 0.5, 0]))


@pytest.mark.parametrize("label", [[1, 0, 1], [0, 0, 0]])
def test_of_classes_exactly_one_is_wanted(label):
    with pytest.raises(ValueError, match="of classes exactly one is 1, got"):
        small(one_hot=True).translate(torch.zeros(1, 3, 16, 16), target(label))


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"ablation": "no_m"}, "ablation must be one of None, No_M, No_R, got 'no_m'"),
        ({"gan_mode": "hinge"}, "gan_mode must be one of wgan-gp, vanilla, lsgan, got 'hinge'"),
        ({"hr_residual": "both"}, "hr_residual must be one of code, paper, got 'both'"),
        ({"generator_width": 0}, "generator_width must be at least 1, got 0"),
        ({"refine_blocks": 0}, "refine_blocks must be at least 1, got 0"),
        ({"blur": 0.1}, "blur 0.1 is a part of augment: switch that on"),
        ({"blur": -0.1, "augment": True}, "blur must be at least 0, got -0.1"),
        ({"max_motion": 0.0}, "max_motion is a fraction of the image's side, above 0 and up to 1, got 0"),
        ({"max_motion": 12.7}, "max_motion is a fraction of the image's side, above 0 and up to 1, got 12.7"),
        ({"lowest": 20}, "image_size 20 does not suit stage 1: it must be a multiple of 8"),
        ({"stage": 2, "lowest": 12}, "image_size 24 does not suit stage 2: it must be a multiple of 16"),
        ({"depth": 5}, "image_size 16 does not suit a discriminator of depth 5"),
    ],
)
def test_a_model_refuses_what_it_cannot_be(settings, told):
    with pytest.raises(ValueError, match=told):
        small(**settings)


@pytest.mark.parametrize("stage", [0, 4])
def test_there_are_three_stages(stage):
    with pytest.raises(ValueError, match=f"stage must be one of 1, 2, 3, got {stage}"):
        ADSPM(["a"], stage=stage)
