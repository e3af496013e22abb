import hashlib

import pytest
import torch
import torchvision
from pytorch_lightning import Trainer
from torch import nn

from tiny import TinyData, fit
from translators import PerceptualNetwork
from translators.callbacks import LastCheckpoints
from translators.perception import LAYERS, Features, _in_any_light, fill_front, front, normalised


def counted(network):
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.fixture(scope="module")
def vgg():
    """Torchvision's VGG-19, as it comes, with random weights."""
    torch.manual_seed(0)
    return torchvision.models.vgg19(weights=None).eval()


def test_the_front_has_the_layers_of_torchvisions_in_their_places(vgg):
    network = front()
    assert counted(network) == 1_735_488
    assert [type(module) for module in network] == [type(module) for module in vgg.features[:16]]
    for name, place in LAYERS.items():
        kind, level = name[:-3], name[-3:]
        assert isinstance(vgg.features[place], nn.Conv2d if kind == "conv" else nn.ReLU), name
        assert LAYERS[f"conv{level}"] == place - (kind == "relu")


@torch.no_grad()
def test_features_are_torchvisions_of_the_normalised_picture(vgg, tmp_path):
    torch.save(vgg.state_dict(), tmp_path / "vgg19.pth")
    features = Features(str(tmp_path / "vgg19.pth"), 64, ["relu1_1", "conv2_1", "relu3_1"])
    image = torch.rand(1, 3, 16, 16) * 2 - 1
    mean, spread = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    seen = ((image + 1) / 2 - mean.view(1, 3, 1, 1)) / spread.view(1, 3, 1, 1)
    torch.testing.assert_close(normalised(image), seen)
    for found, end in zip(features(image), (2, 6, 12), strict=True):
        torch.testing.assert_close(found, vgg.features[:end](seen))


def test_random_weights_are_the_same_every_time_and_leave_the_generator_alone():
    first, second = front(4), front(4)
    torch.manual_seed(3)
    expected = torch.rand(2)
    torch.manual_seed(3)
    fill_front(first, "random")
    assert torch.equal(torch.rand(2), expected)
    fill_front(second, "random")
    assert all(torch.equal(one, other) for one, other in zip(first.parameters(), second.parameters(), strict=True))


def test_a_file_that_does_not_keep_what_its_name_promises_is_refused(vgg, tmp_path):
    plain = tmp_path / "vgg19.pth"
    torch.save(vgg.state_dict(), plain)
    good = tmp_path / f"vgg19-{hashlib.sha256(plain.read_bytes()).hexdigest()[:8]}.pth"
    plain.rename(good)
    fill_front(front(), str(good))
    bad = tmp_path / "vgg19-dcbb9e9d.pth"
    bad.write_bytes(good.read_bytes())
    with pytest.raises(ValueError, match=r"vgg19-dcbb9e9d.pth is damaged: its SHA-256 begins with .*, not dcbb9e9d"):
        fill_front(front(), str(bad))


@pytest.fixture
def imagenets(monkeypatch, tmp_path):
    """Torch's folder of weights, empty, and an address of ImageNet's which is a file on disk."""
    weights, source = torchvision.models.VGG19_Weights.IMAGENET1K_V1, tmp_path / "elsewhere"
    source.mkdir()
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))

    def at(name, url=None):
        url = url or (source / name).as_uri()
        monkeypatch.setattr(type(weights), "url", property(lambda self: url))
        return source / name, tmp_path / "hub" / "checkpoints" / name

    return at


def test_imagenets_weights_are_fetched_once_and_verified_each_time(vgg, tmp_path, imagenets):
    torch.save(vgg.state_dict(), tmp_path / "plain.pth")
    written = (tmp_path / "plain.pth").read_bytes()
    source, kept = imagenets(f"vgg19-{hashlib.sha256(written).hexdigest()[:8]}.pth")
    source.write_bytes(written)
    network = front()
    fill_front(network, "imagenet")
    assert torch.equal(network[0].weight, vgg.features[0].weight)
    source.unlink()
    fill_front(front(), "imagenet")
    kept.write_bytes(written[:-1])
    with pytest.raises(
        ValueError, match=r"vgg19-\w{8}.pth is damaged: its SHA-256 begins with .* delete it and get it"
    ):
        fill_front(front(), "imagenet")


def test_a_download_that_is_not_what_it_should_be_is_not_kept(imagenets):
    source, kept = imagenets("vgg19-dcbb9e9d.pth")
    source.write_bytes(b"the page of a hotel's network")
    with pytest.raises(FileNotFoundError, match=r"cannot be fetched \(invalid hash value"):
        fill_front(front(), "imagenet")
    assert not list(kept.parent.iterdir())


def test_without_a_network_it_says_what_can_be_done_instead(imagenets):
    """Offline in truth: the address leads to a port that nobody listens on."""
    imagenets("vgg19-dcbb9e9d.pth", url="http://127.0.0.1:9/vgg19-dcbb9e9d.pth")
    with pytest.raises(FileNotFoundError, match=r"cannot be fetched .*name the file.*MODEL=perception.*vgg=random"):
        fill_front(front(), "imagenet")


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (lambda path: path.write_bytes(b"nothing"), "is no file of VGG-19's weights"),
        (lambda path: torch.save({"other": torch.zeros(1)}, path), r"features\.0\.weight is not there"),
        (lambda path: torch.save({"features.0.weight": "none"}, path), r"features\.0\.weight is not there"),
        (lambda path: torch.save([1, 2], path), "is no file of VGG-19's weights"),
        (
            lambda path: torch.save({"features.0.weight": torch.zeros(4, 3, 3, 3)}, path),
            "has the shape .*set vgg_width",
        ),
    ],
)
def test_files_of_something_else_are_refused(tmp_path, write, sentence):
    write(tmp_path / "other.pth")
    with pytest.raises(ValueError, match=sentence):
        fill_front(front(), str(tmp_path / "other.pth"))


def test_an_unknown_source_is_refused():
    with pytest.raises(ValueError, match="there is no runs/perception/none"):
        fill_front(front(), "runs/perception/none")


# ------------------------------------------------------------------------------------------------ one's own


def test_a_network_of_ones_own_learns_and_is_taken_over_by_its_run_folder(tmp_path):
    """The first attribute of these pictures shows as brightness."""
    torch.manual_seed(0)
    data = TinyData(attributes=("Bright",), batch_size=8)
    model = PerceptualNetwork(data.attributes, width=4)
    checks = {"limit_val_batches": 1.0, "val_check_interval": 60}
    trainer = fit(model, tmp_path, 60, data=data, callbacks=[LastCheckpoints(every_n_steps=100)], **checks)
    assert trainer.callback_metrics["val/accuracy"] > 0.9
    network = front(4)
    fill_front(network, str(tmp_path))
    for one, other in zip(network.parameters(), model.features.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_resumed_network_ends_where_an_uninterrupted_one_does(tmp_path):
    torch.manual_seed(0)
    data = TinyData(attributes=("Bright",))
    whole, first, second = (PerceptualNetwork(data.attributes, width=2) for _ in range(3))
    for model in (first, second):
        model.load_state_dict(whole.state_dict())
    fit(whole, tmp_path / "whole", 6, data=TinyData(attributes=("Bright",)))
    fit(first, tmp_path / "parts", 3, data=data, callbacks=[LastCheckpoints(every_n_steps=100)])
    resume = tmp_path / "parts" / "checkpoints" / "step-0000003.ckpt"
    fit(second, tmp_path / "parts", 6, data=TinyData(attributes=("Bright",)), resume=resume)
    assert all(torch.equal(value, second.state_dict()[name]) for name, value in whole.state_dict().items())


def test_half_of_the_pictures_are_seen_in_another_light():
    """Each channel times one factor, and shifted by no more than keeps it in [-1, 1]; the others to the bit."""
    torch.manual_seed(0)
    image = torch.rand(2000, 3, 2, 2) * 2 - 1
    seen = _in_any_light(image)
    assert seen.abs().max() <= 1
    as_they_are = (seen == image).flatten(1).all(1)
    assert as_they_are.float().mean().item() == pytest.approx(0.5, abs=0.05)
    before, after = image[~as_they_are].flatten(2), seen[~as_they_are].flatten(2)
    spread = after.max(2).values - after.min(2).values, before.max(2).values - before.min(2).values
    assert (spread[0] / spread[1]).max() <= 1 + 1e-4
    centred = [values - values.mean(2, keepdim=True) for values in (before, after)]
    factor = (centred[0] * centred[1]).sum(2) / centred[0].square().sum(2)
    torch.testing.assert_close(centred[1], factor[..., None] * centred[0], rtol=1e-3, atol=1e-5)
    assert factor.mean().item() == pytest.approx(0, abs=0.05)  # negatives as often as not
    assert factor.std().item() == pytest.approx(3**-0.5, abs=0.03)  # of an even spread over [-1, 1]
    assert (factor[:, 0] * factor[:, 1] < 0).any()  # by channel: other colours


@torch.no_grad()
def test_what_is_kept_is_the_network_that_is_wrong_least_often(tmp_path):
    """It calls every picture of these the first class."""
    data = TinyData(attributes=("Bright",), batch_size=8)
    model = PerceptualNetwork(data.attributes, width=2)
    nn.init.zeros_(model.classifier.weight)
    nn.init.ones_(model.classifier.bias)
    data.setup("fit")
    lit = torch.cat([batch[key] for batch in data.val_dataloader() for key in ("label", "reference_label")]).mean()
    measured = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False).validate(model, data)[0]
    assert measured == pytest.approx({"val/accuracy": lit.item(), "val/score": 1 - lit.item()})


def test_data_without_digits_are_refused():
    model = PerceptualNetwork(("mnist", "usps"), one_hot=True, column="digit", width=2)
    with pytest.raises(ValueError, match="these data have no column digit: take data of digits, or column=label"):
        model.training_step({"image": torch.zeros(1, 3, 8, 8), "label": torch.zeros(1, 2)}, 0)


def test_a_batch_without_the_domain_teaches_nothing(tmp_path):
    model = PerceptualNetwork(("mnist", "usps"), one_hot=True, column="digit", domain="usps", width=2)
    label = torch.tensor([[1.0, 0.0]])
    pictures = {name: torch.zeros(1, 3, 8, 8) for name in ("image", "reference")}
    answers = {name: torch.tensor([3]) for name in ("digit", "reference_digit")}
    assert model.training_step({**pictures, **answers, "label": label, "reference_label": label}, 0) is None


def test_only_the_chosen_domains_pictures_are_learnt_from():
    model = PerceptualNetwork(("mnist", "usps"), one_hot=True, column="digit", domain="mnist", width=2)
    batch = {
        "image": torch.zeros(2, 3, 8, 8),
        "label": torch.tensor([[1.0, 0.0], [0.0, 1.0]]),
        "digit": torch.tensor([3, 4]),
        "reference": torch.ones(2, 3, 8, 8),
        "reference_label": torch.tensor([[0.0, 1.0], [1.0, 0.0]]),
        "reference_digit": torch.tensor([5, 6]),
    }
    image, answer = model._asked(batch)
    assert image[:, 0, 0, 0].tolist() == [0, 1]
    assert answer.tolist() == [3, 6]


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"column": "identity"}, "column must be one of label, digit, got 'identity'"),
        ({"domain": "svhn"}, "domain must be one of mnist, usps, got 'svhn'"),
        (
            {"domain": "mnist"},
            "pictures of the domain mnist alone have one label, which teaches nothing: take column=d",
        ),
    ],
)
def test_impossible_settings_are_refused(settings, sentence):
    with pytest.raises(ValueError, match=sentence):
        PerceptualNetwork(("mnist", "usps"), one_hot=True, **settings)
