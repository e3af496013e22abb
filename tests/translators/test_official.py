import io
import os
import pickle
import zipfile

import pytest
import torch

import golden
from translators import official
from translators.adspm import ADSPM, upsampled
from translators.cyclegan import CycleGAN
from translators.ganimation import GANimation
from translators.losses import attribute_loss, gradient_penalty, total_variation
from translators.stargan import StarGAN
from translators.types import Target

SMALL = {"image_size": 16, "generator_width": 4, "discriminator_width": 6, "blocks": 2, "depth": 3}


@pytest.fixture
def small():
    return StarGAN(attributes=["Male", "Young"], **SMALL)


@pytest.fixture(scope="module")
def large():
    return official.load(
        "stargan",
        generator=golden.weights("stargan_generator"),
        discriminator=golden.weights("stargan_discriminator"),
        attributes=["Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young"],
    )


@torch.no_grad()
def test_generator_computes_what_the_authors_does(large):
    expected = golden.record("stargan_generator")
    label = torch.tensor(expected["condition"])
    output = large.translate(golden.images(2, 3, 128, 128), Target(label=label)).image
    golden.assert_matches(output, expected["output"])


def test_discriminator_computes_what_the_authors_does(large):
    expected = golden.record("stargan_discriminator")
    real = golden.images(2, 3, 128, 128)
    with torch.no_grad():
        scores, logits = large.discriminator(real)
        fake = large.translate(real, Target(label=torch.tensor(golden.record("stargan_generator")["condition"]))).image
    golden.assert_matches(scores, expected["src"])
    golden.assert_matches(logits, expected["cls"])
    loss = attribute_loss(logits, torch.tensor(expected["bce_label"]), one_hot=False)
    assert loss.item() == pytest.approx(expected["bce_sum_over_attributes_mean_over_batch"], abs=2e-4)

    def critic(x):
        return large.discriminator(x)[0]

    penalty = gradient_penalty(critic, real, fake, alpha=torch.full((2,), 0.25))
    assert penalty.item() == pytest.approx(expected["gp"]["value"], abs=2e-4)
    each = [gradient_penalty(critic, real[i : i + 1], fake[i : i + 1], torch.tensor([0.25])) for i in range(2)]
    norms = [1 - value.item() ** 0.5 for value in each]  # both lie below 1
    assert norms == pytest.approx(expected["gp"]["grad_norms"], abs=2e-4)


def test_everything_is_read_off_the_shapes(large):
    assert not large.training
    assert large.attributes == ("Black_Hair", "Blond_Hair", "Brown_Hair", "Male", "Young")
    settings = {name: large.hparams[name] for name in SMALL}
    assert settings == {
        "image_size": 128,
        "generator_width": 64,
        "discriminator_width": 64,
        "blocks": 6,
        "depth": 6,
    }


def test_256_pixels_are_read_off_the_discriminator():
    generator, critic = golden.weights("stargan_generator"), golden.weights("stargan_discriminator256")
    assert official.load("stargan", generator=generator, discriminator=critic).hparams["image_size"] == 256


@pytest.mark.parametrize("legacy", [False, True])
def test_files_of_both_formats_load_as_they_were_saved(small, tmp_path, legacy):
    def saved(network, name):
        state = {f"module.{key}": value for key, value in network.state_dict().items()}  # as DataParallel names them
        state["module.main.1.running_mean"] = torch.zeros(4)
        torch.save(state, tmp_path / name, _use_new_zipfile_serialization=not legacy)
        return tmp_path / name

    loaded = official.load(
        "stargan",
        generator=saved(small.generator, "G.ckpt"),
        discriminator=str(saved(small.discriminator, "D.ckpt")),
        attributes=["Male", "Young"],
        one_hot=True,
        lambda_rec=5.0,
    )
    assert {name: loaded.hparams[name] for name in SMALL} == SMALL
    assert loaded.hparams["one_hot"] and loaded.hparams["lambda_rec"] == 5.0
    assert all(torch.equal(value, small.state_dict()[key]) for key, value in loaded.state_dict().items())


def test_the_discriminator_may_be_left_out(small):
    loaded = official.load("stargan", generator=small.generator.state_dict(), image_size=64, discriminator_width=2)
    assert loaded.attributes == ("attribute_0", "attribute_1")
    image, label = torch.rand(1, 3, 32, 48) * 2 - 1, torch.tensor([[1.0, 0.0]])
    assert torch.equal(loaded.generator(image, label), small.generator(image, label))
    loaded.discriminator(torch.zeros(1, 3, 64, 64))


def refused(error, says, **sources):
    with pytest.raises(error, match=says):
        official.load(**({"name": "stargan"} | sources))


def test_weights_that_do_not_fit_are_refused(small):
    g, d = small.generator.state_dict(), small.discriminator.state_dict()
    refused(ValueError, "'starga'.*there are: stargan", name="starga", generator=g)
    refused(ValueError, "generator's.*look like those of an attribute discriminator", generator=d)
    refused(ValueError, "discriminator's.*look like those of StarGAN's generator", generator=g, discriminator=g)
    refused(ValueError, "network that is not known here", generator={"fc.weight": torch.zeros(1)})
    refused(ValueError, "lack main.0.weight", generator={k: v for k, v in g.items() if k != "main.0.weight"})
    other = StarGAN(attributes=["Male"], **SMALL)
    refused(
        ValueError, "for 2 attributes, the other for 1", generator=g, discriminator=other.discriminator.state_dict()
    )
    refused(ValueError, "for 2 attributes, but 1 are named: Male", generator=g, attributes=["Male"])
    refused(ValueError, "lacks main.4.weight", generator={k: v for k, v in g.items() if k != "main.4.weight"})
    refused(ValueError, "has besides extra.weight", generator=g | {"extra.weight": torch.zeros(1)})
    refused(
        ValueError, r"main.3.weight \(8, 5, 4, 4\) instead of", generator=g | {"main.3.weight": torch.zeros(8, 5, 4, 4)}
    )
    refused(ValueError, "conv2.weight.*instead of", generator=g, discriminator=d, image_size=32)
    refused(ValueError, "must be a convolution's", generator=g | {"main.0.weight": torch.zeros(4)})
    refused(ValueError, "leaves none for a label", generator=g | {"main.0.weight": torch.zeros(4, 3, 7, 7)})
    shallow = {key: value for key, value in d.items() if not key.startswith("main.4")}
    refused(ValueError, r"conv1.weight \(1, 24, 3, 3\) instead of \(1, 12, 3, 3\)", generator=g, discriminator=shallow)
    refused(ValueError, "not a state dict: state_dict is no tensor", generator={"state_dict": g})
    refused(ValueError, "not a state dict", generator={})


def test_files_that_are_no_weights_are_refused(small, tmp_path):
    state = small.generator.state_dict()
    path = tmp_path / "200000-G.ckpt"
    refused(FileNotFoundError, "200000-G.ckpt: no such file", generator=path)
    refused(FileNotFoundError, "a folder", generator=tmp_path)
    path.write_bytes(b"")
    refused(ValueError, "200000-G.ckpt is cut short", generator=path)
    path.write_text("<html>Not found</html>")
    refused(ValueError, "200000-G.ckpt", generator=path)
    torch.save([1.0], path)
    refused(ValueError, "not a state dict.*but a list", generator=path)
    archive = tmp_path / "celeba-128x128-5attrs.zip"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("celeba/200000-G.ckpt", b"...")
    refused(ValueError, "archive of celeba/200000-G.ckpt: unpack it", generator=archive)
    torch.save(state, path)
    whole = path.read_bytes()
    flipped = bytearray(whole)
    flipped[whole.index(state["main.0.weight"].numpy().tobytes()) + 5] ^= 1
    path.write_bytes(flipped)
    refused(ValueError, "200000-G.ckpt is damaged.*CRC", generator=path)


@pytest.mark.parametrize("legacy", [False, True])
def test_a_file_cut_anywhere_is_refused(small, tmp_path, legacy):
    whole = io.BytesIO()
    torch.save(small.generator.state_dict(), whole, _use_new_zipfile_serialization=not legacy)
    for share in range(0, 100, 4):
        path = tmp_path / "G.ckpt"
        path.write_bytes(whole.getvalue()[: len(whole.getvalue()) * share // 100])
        refused(ValueError, "G.ckpt", generator=path)


class Touch:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("save", ["zip", "legacy", "plain"])
def test_code_in_a_file_is_not_run(tmp_path, save):
    path, proof = tmp_path / "G.ckpt", tmp_path / "executed"
    content = {"main.0.weight": Touch(proof)}
    if save == "plain":
        path.write_bytes(pickle.dumps(content))
    else:
        torch.save(content, path, _use_new_zipfile_serialization=save == "zip")
    refused(ValueError, "G.ckpt was refused, and nothing in it was run", generator=path)
    assert not proof.exists()


# ------------------------------------------------------------------------------------------------ CycleGAN

TO_A, TO_B = (Target(label=torch.tensor([label])) for label in ([1.0, 0.0], [0.0, 1.0]))
NARROW = {"image_size": 32, "generator_width": 4, "discriminator_width": 2}
one_way = pytest.mark.filterwarnings("ignore:there is no generator_ba")


@pytest.fixture
def both_ways():
    """A small CycleGAN, and its authors' files."""
    model = CycleGAN(["cat", "dog"], one_hot=True, blocks=2, **NARROW)
    sources = {f"generator_{way}": network.state_dict() for way, network in model.generator.items()}
    return model, sources | {f"discriminator_{side}": net.state_dict() for side, net in model.discriminator.items()}


@one_way
@torch.no_grad()
def test_cyclegan_computes_what_the_authors_does():
    expected = golden.record("cyclegan_discriminator")
    model = official.load(
        "cyclegan",
        generator_ab=golden.weights("cyclegan_generator_resnet9"),
        discriminator_b=golden.weights("cyclegan_discriminator"),
    )
    real = golden.images(1, 3, 256, 256)
    fake = model.translate(real, TO_B).image
    golden.assert_matches(fake, golden.record("cyclegan_generator_resnet9")["output"])
    scores = model.discriminator["b"](real)
    golden.assert_matches(scores, expected["output"])
    loss = model.adversary.discriminator(scores, model.discriminator["b"](fake)) / 2
    assert loss.item() == pytest.approx(expected["lsgan_d_loss_real_input_fake_golden_halved"], abs=2e-4)


@one_way
@torch.no_grad()
def test_cyclegan_with_six_blocks_computes_what_the_authors_does():
    model = official.load("cyclegan", generator_ab=golden.weights("cyclegan_generator_resnet6"))
    assert model.hparams["blocks"] == 6 and model.hparams["generator_width"] == 64
    output = model.translate(golden.images(1, 3, 128, 128), TO_B).image
    golden.assert_matches(output, golden.record("cyclegan_generator_resnet6")["output"])


@one_way
def test_blur_filters_are_read_off_the_file():
    model = official.load(
        "cyclegan",
        generator_ab=golden.weights("cyclegan_generator_resnet9_antialias"),
        discriminator_a=golden.weights("cyclegan_discriminator_antialias"),
    )
    assert model.hparams["antialias"] and model.hparams["blocks"] == 9
    assert not torch.equal(model.discriminator["a"].model[0].weight, model.discriminator["b"].model[0].weight)


def test_each_network_of_cyclegan_takes_the_part_it_is_named_for(both_ways):
    model, sources = both_ways
    loaded = official.load("cyclegan", attributes=["cat", "dog"], image_size=32, **sources)
    assert loaded.attributes == ("cat", "dog") and loaded.hparams["one_hot"] and not loaded.training
    image = torch.rand(1, 3, 32, 48) * 2 - 1
    assert torch.equal(loaded.translate(image, TO_B).image, model.generator["ab"](image))
    assert torch.equal(loaded.translate(image, TO_A).image, model.generator["ba"](image))
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in loaded.state_dict().items())
    attribute = official.load("cyclegan", attributes=["Smiling"], one_hot=False, image_size=32, **sources)
    smiling = attribute.translate(image, Target(label=torch.tensor([[1.0]]))).image
    assert torch.equal(smiling, model.generator["ab"](image))


def test_old_files_of_cyclegan_load_with_what_they_hold_besides(both_ways, tmp_path):
    model, sources = both_ways

    def old(state):
        """As a version of 2018 with dropout wrote it, on several GPUs: norms kept statistics, convolutions moved on."""
        state = {f"module.{key.replace('conv_block.5.', 'conv_block.6.')}": value for key, value in state.items()}
        return state | {"module.model.2.running_mean": torch.ones(4), "module.model.2.running_var": torch.ones(4)}

    files = {}
    for name, state in sources.items():
        files[name] = tmp_path / f"{name}.pth"
        torch.save(old(state), files[name], _use_new_zipfile_serialization=False)
    loaded = official.load("cyclegan", image_size=32, **files)
    assert {name: loaded.hparams[name] for name in (*NARROW, "blocks")} == NARROW | {"blocks": 2}
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in loaded.state_dict().items())


@one_way
def test_the_depth_of_a_u_net_is_read_off_its_nesting():
    levels = [  # by the authors' names: where it lies, its convolutions down and up; channels outside, inside, into up
        ("model.model.", 0, 3, 3, 4, 8),
        ("model.model.1.model.", 1, 5, 4, 8, 16),
        ("model.model.1.model.3.model.", 1, 5, 8, 16, 32),
        ("model.model.1.model.3.model.3.model.", 1, 5, 16, 32, 64),
        ("model.model.1.model.3.model.3.model.3.model.", 1, 3, 32, 32, 32),
    ]
    state = {}
    for level, down, up, outside, inside, into_up in levels:
        state[f"{level}{down}.weight"], state[f"{level}{down}.bias"] = (
            torch.rand(inside, outside, 4, 4),
            torch.rand(inside),
        )
        state[f"{level}{up}.weight"], state[f"{level}{up}.bias"] = (
            torch.rand(into_up, outside, 4, 4),
            torch.rand(outside),
        )
    loaded = official.load("cyclegan", generator_ab=state, discriminator_width=2)
    sizes = {name: loaded.hparams[name] for name in ("network", "unet_depth", "generator_width", "image_size")}
    assert sizes == {"network": "unet", "unet_depth": 5, "generator_width": 4, "image_size": 32}
    filled = loaded.generator["ab"].state_dict()
    assert filled.keys() == state.keys() and all(torch.equal(filled[key], value) for key, value in state.items())


def test_one_direction_of_cyclegan_warns_of_the_other(both_ways, recwarn):
    _, sources = both_ways
    official.load("cyclegan", image_size=32, **sources)
    assert not recwarn.list
    del sources["generator_ba"]
    with pytest.warns(UserWarning, match="no generator_ba: what is translated into cat will be noise"):
        official.load("cyclegan", image_size=32, attributes=["cat", "dog"], **sources)
    with pytest.warns(UserWarning, match="translated into no Smiling will be noise"):
        official.load("cyclegan", image_size=32, attributes=["Smiling"], one_hot=False, **sources)


def test_weights_that_do_not_fit_cyclegan_are_refused(both_ways, small):
    _, sources = both_ways
    ab, critic = sources["generator_ab"], sources["discriminator_b"]

    def refuses(says, **changed):
        refused(ValueError, says, **({"name": "cyclegan", "generator_ab": ab, "image_size": 32} | changed))

    refuses("generator_ab's.*look like those of CycleGAN's discriminator", generator_ab=critic)
    refuses("discriminator_a's.*look like those of CycleGAN's generator", discriminator_a=ab)
    refuses("generator_ba's.*look like those of StarGAN's generator", generator_ba=small.generator.state_dict())
    refuses("has besides model.40.weight", generator_ab=ab | {"model.40.weight": torch.zeros(4, 4, 3, 3)})
    refuses("lacks model.1.bias", generator_ab={key: value for key, value in ab.items() if key != "model.1.bias"})
    wider = CycleGAN(["cat", "dog"], one_hot=True, blocks=3, **NARROW).generator["ba"].state_dict()
    refuses("not a pair: generator_ab has.*'blocks': 2.*generator_ba.*'blocks': 3", generator_ba=wider)
    refuses("batch norms .model.2.weight.*--norm instance", generator_ab=ab | {"model.2.weight": torch.ones(4)})
    batch_norm = {"model.0.weight": critic["model.0.weight"], "model.3.weight": torch.ones(4)}
    refuses("discriminator_b's.*batch norms .model.3.weight", discriminator_b=batch_norm)
    u_net = {"model.model.0.weight": torch.zeros(4, 3, 4, 4), "model.model.1.model.2.weight": torch.ones(8)}
    refuses("batch norms .model.model.1.model.2.weight", generator_ab=u_net)
    refuses("model.1.weight must be a convolution's", generator_ab={"model.1.weight": torch.zeros(4, 3)})
    refuses("between two domains", attributes=["cat", "dog", "bird"])


# ------------------------------------------------------------------------------------------------ GANimation

UNITS = {"image_size": 16, "generator_width": 4, "discriminator_width": 6, "blocks": 2, "depth": 3}


@pytest.fixture
def units():
    return GANimation(["AU1", "AU12", "AU45"], **UNITS)


@torch.no_grad()
def test_ganimation_computes_what_the_authors_does():
    expected, judged = golden.record("ganimation_generator"), golden.record("ganimation_discriminator")
    model = official.load(
        "ganimation",
        generator=golden.weights("ganimation_generator"),
        discriminator=golden.weights("ganimation_discriminator"),
    )
    assert model.attributes[:3] == ("AU1", "AU2", "AU4") and model.attributes[-1] == "AU45"
    assert {name: model.hparams[name] for name in UNITS} == {
        "image_size": 128,
        "generator_width": 64,
        "discriminator_width": 64,
        "blocks": 6,
        "depth": 6,
    }
    ramp = torch.arange(17) / 17
    label, image = torch.stack([ramp, 1 - ramp]), golden.images(2, 3, 128, 128)
    edited = model.translate(image, Target(label=label))
    golden.assert_matches(edited.extras["color"], expected["color"])
    golden.assert_matches(1 - edited.mask, expected["mask"])
    golden.assert_matches(edited.image, expected["composed"])
    assert 2 * total_variation(edited.mask).item() == pytest.approx(expected["mask_tv_sum_over_batch"], rel=1e-5)
    scores, told = model.discriminator(image)
    golden.assert_matches(scores.squeeze(1), judged["src"])
    golden.assert_matches(told, judged["au"])
    assert (told - label).square().mean().item() == pytest.approx(judged["mse_mean_to_condition"], abs=2e-4)


def test_old_files_of_ganimation_load_with_what_they_hold_besides(units, tmp_path):
    def saved(network, name):
        state = {f"module.{key}": value for key, value in network.state_dict().items()}
        state |= {"module.main.1.running_mean": torch.ones(4), "module.main.1.running_var": torch.ones(4)}
        torch.save(state, tmp_path / name, _use_new_zipfile_serialization=False)
        return tmp_path / name

    files = {
        "generator": saved(units.generator, "net_epoch_30_id_G.pth"),
        "discriminator": saved(units.discriminator, "net_epoch_30_id_D.pth"),
    }
    loaded = official.load("ganimation", attributes=["AU1", "AU12", "AU45"], **files)
    assert loaded.attributes == units.attributes and {name: loaded.hparams[name] for name in UNITS} == UNITS
    assert all(torch.equal(value, units.state_dict()[key]) for key, value in loaded.state_dict().items())
    assert official.load("ganimation", **files).attributes == ("unit_0", "unit_1", "unit_2")


@torch.no_grad()
def test_masks_of_the_first_version_show_the_input_where_they_are_0(units):
    state = {key: 20 * value for key, value in units.generator.state_dict().items()}  # masks far from 1/2
    image, target = torch.rand(2, 3, 16, 16) * 2 - 1, Target(label=torch.rand(2, 3))
    a = 1 - official.load("ganimation", generator=state, discriminator_width=1).translate(image, target).mask
    assert a.max() - a.min() > 0.3
    first = official.load("ganimation", generator=state, mask_convention="v1", discriminator_width=1)
    edited = first.translate(image, target)
    torch.testing.assert_close(edited.image, a * edited.extras["color"] + (1 - a) * image, atol=1e-6, rtol=0)
    torch.testing.assert_close(edited.mask, a, atol=1e-6, rtol=0)
    assert torch.equal(state["attetion_reg.0.weight"], 20 * units.generator.state_dict()["attetion_reg.0.weight"])


def test_weights_that_do_not_fit_ganimation_are_refused(units, small):
    g, d = units.generator.state_dict(), units.discriminator.state_dict()

    def refuses(says, **changed):
        refused(ValueError, says, **({"name": "ganimation", "generator": g} | changed))

    refuses("look like those of StarGAN's generator", generator=small.generator.state_dict())
    refuses("look like those of an attribute discriminator", generator=d)
    refuses("look like those of GANimation's generator", discriminator=g)
    refuses("for 3 attributes, the other for 2", discriminator=small.discriminator.state_dict())
    refuses("for 3 attributes, but 1 are named: AU1", attributes=["AU1"])
    refuses("must be one of v2, v1, got 'v3'", mask_convention="v3")
    of_adam = {"state": {}, "param_groups": []}  # what opt_epoch_30_id_G.pth holds
    refuses("not a state dict: state, param_groups", generator=of_adam)
    refused(ValueError, "look like those of GANimation's generator", generator=g)


# ------------------------------------------------------------------------------------------------ ADSPM

MOVING = {"generator_width": 4, "discriminator_width": 2, "blocks": 1, "refine_blocks": 2, "depth": 3}
LIGHT = {"discriminator_width": 1}  # where the discriminators are not looked at


@pytest.fixture
def moving():
    """Of the second stage, and its authors' files."""
    model = ADSPM(["Smiling", "Young"], image_size=32, stage=2, **MOVING)
    return model, {
        "generator": model.generator["image"].state_dict(),
        "motion_classifier": model.generator["motion_classifier"].state_dict(),
        "discriminators": {int(side): network.state_dict() for side, network in model.discriminator.items()},
    }


@torch.no_grad()
def test_adspm_at_128_pixels_computes_what_the_authors_does():
    expected, lowest = golden.record("adspm_generator256"), golden.weights("adspm_generator256")
    model = official.load(
        "adspm",
        generator={key: value for key, value in lowest.items() if "_refine." not in key},
        motion_classifier=golden.weights("adspm_motion_classifier"),
        discriminators={128: golden.weights("adspm_discriminator128")},
    )
    settings = {name: model.hparams[name] for name in ("stage", "image_size", "motion_classifier_sees_condition")}
    assert settings == {"stage": 1, "image_size": 128, "motion_classifier_sees_condition": True}
    assert {name: model.hparams[name] for name in MOVING} == {
        "generator_width": 64,
        "discriminator_width": 64,
        "blocks": 6,
        "refine_blocks": 12,
        "depth": 6,
    }
    image, smile = golden.images(2, 3, 128, 128), torch.ones(2, 1)
    moved = model.translate(image, Target(label=smile))
    golden.assert_matches(moved.image, expected["lr_output"])
    golden.assert_matches(moved.extras["deformed"], expected["lr_deformed"])
    golden.assert_matches(moved.mask, expected["lr_mask"])
    golden.assert_matches(moved.flow.permute(0, 2, 3, 1) / (2 * 0.1), expected["lr_flow_unscaled_nhwc"])
    told = model.generator["motion_classifier"](0.1 * golden.images(2, 2, 128, 128), image, smile)
    golden.assert_matches(told, golden.record("adspm_motion_classifier")["cls"])
    scores, told = model.discriminator["128"](image)
    golden.assert_matches(scores, golden.record("adspm_discriminator128")["src"])
    golden.assert_matches(told, golden.record("adspm_discriminator128")["cls"])


@torch.no_grad()
def test_adspm_at_256_pixels_computes_what_the_authors_does():
    expected = golden.record("adspm_generator256")
    model = official.load("adspm", generator=golden.weights("adspm_generator256"), **LIGHT)
    assert model.attributes == ("Smiling",) and not model.training
    assert model.hparams["stage"] == 2 and model.hparams["image_size"] == 256
    moved = model.translate(golden.images(1, 3, 256, 256), Target(label=torch.ones(1, 1)))
    golden.assert_matches(moved.image, expected["hr256_output"])
    golden.assert_matches(moved.extras["low"], expected["hr256_lr_output"])
    golden.assert_matches(moved.extras["deformed"], expected["hr256_deformed"])
    golden.assert_matches(moved.mask, expected["hr256_mask"])
    golden.assert_matches(moved.flow.permute(0, 2, 3, 1) / 2, expected["hr256_flow_scaled_nhwc"])


def test_adspm_of_512_pixels_loads_whole():
    state = golden.weights("adspm_generator512")
    model = official.load("adspm", generator=state, **LIGHT)
    assert model.hparams["stage"] == 3 and model.hparams["image_size"] == 512
    network = model.generator["image"]
    assert sum(parameter.numel() for parameter in network.parameters()) == 10_111_936  # of the authors' class
    assert all(torch.equal(value, state[key]) for key, value in network.state_dict().items())


def test_each_network_of_adspm_takes_the_part_it_is_named_for(moving, tmp_path):
    model, sources = moving

    def saved(state, name):
        state = {f"module.{key}": value for key, value in state.items()}
        torch.save(state | {"module.encoding.1.running_mean": torch.ones(4)}, tmp_path / name)
        return tmp_path / name

    loaded = official.load(
        "adspm",
        generator=saved(sources["generator"], "Stage2-200000-G.ckpt"),
        motion_classifier=saved(sources["motion_classifier"], "Stage2-200000-W.ckpt"),
        discriminators={side: saved(state, f"{side}.ckpt") for side, state in sources["discriminators"].items()},
        image_size=32,
        lambda_mask=0.5,
    )
    assert loaded.attributes == ("attribute_0", "attribute_1")
    assert {name: loaded.hparams[name] for name in MOVING} == MOVING
    assert loaded.hparams["stage"] == 2 and loaded.hparams["lambda_mask"] == 0.5
    assert not loaded.hparams["motion_classifier_sees_condition"]
    assert all(torch.equal(value, model.state_dict()[key]) for key, value in loaded.state_dict().items())
    some = official.load("adspm", **sources | {"discriminators": {32: sources["discriminators"][32]}}, image_size=32)
    assert {name: some.hparams[name] for name in MOVING} == MOVING


@torch.no_grad()
def test_weights_of_the_stage_below_begin_as_plain_upsampling(moving):
    _, sources = moving
    below = official.load("adspm", generator=sources["generator"], image_size=32, **LIGHT | {"depth": 3})
    model = official.load(
        "adspm", generator=sources["generator"], stage=3, image_size=64, zero_init=True, **LIGHT | {"depth": 3}
    )
    image, label = torch.rand(1, 3, 16, 16) * 2 - 1, torch.tensor([[1.0, 0.0]])
    lower, fields = (translator.generator["image"].fields(image, label) for translator in (below, model))
    assert len(fields.motions) == 3 and all(map(torch.equal, fields.motions[:2], lower.motions))
    torch.testing.assert_close(fields.motions[2], upsampled(lower.motions[1]))
    torch.testing.assert_close(fields.masks[2], upsampled(lower.masks[1]))
    assert model.has_weights_below  # and may be trained on


def test_weights_that_do_not_fit_adspm_are_refused(moving, units):
    _, sources = moving
    critics, sizes = sources["discriminators"], {"image_size": 32, "depth": 3}

    def refuses(says, **changed):
        refused(ValueError, says, **({"name": "adspm", "generator": sources["generator"], **sizes} | changed))

    refuses("look like those of GANimation's generator", generator=units.generator.state_dict())
    refuses("look like those of ADSPM's motion classifier", generator=sources["motion_classifier"])
    refuses("motion classifier's.*look like those of an attribute discriminator", motion_classifier=critics[16])
    refuses("are of stage 2, and do not fit a model of stage 1", stage=1)
    refuses("of 64 px has weights for images of 32 px, and stage 2.*for 16, 32 px", discriminators={64: critics[32]})
    refuses("of 16 px has weights for images of 32 px", discriminators={16: critics[32]})
    refuses("for 2 attributes, the other for 3", discriminators={16: units.discriminator.state_dict()})
    refuses("for 2 attributes, but 1 are named", attributes=["Smiling"])
    cut = {key: value for key, value in sources["generator"].items() if key != "mask_refine.4.weight"}
    refuses("lacks mask_refine.4.weight", generator=cut)
    refuses("stage must be one of 1, 2, 3, got 4", stage=4)
    odd = sources["motion_classifier"] | {"main.0.weight": torch.zeros(2, 6, 4, 4)}
    refuses(r"main.0.weight \(2, 6, 4, 4\) instead of \(2, 5, 4, 4\)", motion_classifier=odd)
