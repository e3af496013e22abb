import io
import os
import pickle
import zipfile

import pytest
import torch

import golden
from translators import official
from translators.losses import attribute_loss, gradient_penalty
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
    refused(ValueError, "generator's.*look like a discriminator's", generator=d)
    refused(ValueError, "discriminator's.*look like a generator's", generator=g, discriminator=g)
    refused(ValueError, "lack main.0.weight.*another network", generator={"model.1.weight": torch.zeros(1)})
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
