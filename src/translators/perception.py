"""The first layers of a VGG-19 (Simonyan, Zisserman, ICLR 2015): what they see in a picture, and where they come from.

They tell how much an image changed to an eye that was trained to tell things apart (SRAGAN's self-regularisation), and
an attention branch starts from them. ImageNet's weights are torchvision's; without a network connection, or for
pictures that look like nothing in ImageNet, `PerceptualNetwork` trains a narrow one on data at hand.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import torch
from pytorch_lightning import LightningModule
from torch import Tensor, nn
from torch.nn import functional
from torch.optim import Adam, Optimizer

from translators import checkpoints
from translators.checks import check_known, check_least
from translators.layers import initialise_he, precise

MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures in [0, 1]
PLAN = (1, 1, 0, 2, 2, 0, 4, 4, 4)  # convolutions, by multiples of the width, up to conv3_3; 0 is a pooling
LAYERS = {  # by their names in the paper, and their places in torchvision's ``vgg19().features``
    "conv1_1": 0,
    "relu1_1": 1,
    "conv1_2": 2,
    "relu1_2": 3,
    "conv2_1": 5,
    "relu2_1": 6,
    "conv2_2": 7,
    "relu2_2": 8,
    "conv3_1": 10,
    "relu3_1": 11,
    "conv3_2": 12,
    "relu3_2": 13,
    "conv3_3": 14,
    "relu3_3": 15,
}


def front(width: int = 64) -> nn.Sequential:
    """VGG-19 up to the ReLU after conv3_3: (B, 3, H, W), normalised, to (B, 4 * width, H / 4, W / 4).

    Args:
        width: channels of the first convolutions; 64 in VGG-19.
    """
    layers: list[nn.Module] = []
    channels = 3
    for multiple in PLAN:
        if multiple:
            layers += [nn.Conv2d(channels, multiple * width, 3, 1, 1), nn.ReLU()]
            channels = multiple * width
        else:
            layers.append(nn.MaxPool2d(2))
    return nn.Sequential(*layers)


def normalised(image: Tensor) -> Tensor:
    """Images in [-1, 1] on the scale of ImageNet's networks, (B, 3, H, W)."""
    mean, spread = (image.new_tensor(values)[:, None, None] for values in (MEAN, SPREAD))
    return ((image + 1) / 2 - mean) / spread


class Features(nn.Module):
    """What some layers see, never trained.

    Args:
        source: as `fill_front` takes it.
        width: channels of the first convolutions.
        layers: names from `LAYERS`, from the first to the last.
    """

    def __init__(self, source: str, width: int, layers: Sequence[str]) -> None:
        super().__init__()
        network = front(width)
        fill_front(network, source)
        self.places = [LAYERS[layer] for layer in layers]
        self.network = network[: max(self.places) + 1].requires_grad_(False).eval()

    def forward(self, image: Tensor) -> list[Tensor]:
        """(B, 3, H, W) in [-1, 1] to a (B, C, H', W') for each layer."""
        seen, found = normalised(image), []
        for place, module in enumerate(self.network):
            seen = module(seen)
            if place in self.places:
                found.append(seen)
        return found


def check_source(source: str) -> None:
    """Raise a ValueError unless a source of weights is a known word or something that is there."""
    if source not in ("imagenet", "random") and not (source and Path(source).exists()):
        raise ValueError(
            f"vgg must be imagenet, random, a file of torchvision's VGG-19, or the run folder of a perceptual network "
            f"(make train MODEL=perception …); there is no {source}"
        )


def fill_front(network: nn.Sequential, source: str) -> None:
    """Put weights into a `front`.

    Args:
        network: to be filled.
        source: "imagenet", which torchvision fetches, verified, unless it has them; the path of its file; the run
            folder or checkpoint of a `PerceptualNetwork`; or "random", weights drawn by He et al., the same every time.

    Raises:
        FileNotFoundError: if ImageNet's weights cannot be fetched, saying what can be done.
        ValueError: if a file is damaged, or the weights have another width.
    """
    check_source(source)
    state = {"imagenet": _imagenet, "random": lambda: _random(network)}.get(source, lambda: _read(Path(source)))()
    wanted = network.state_dict()
    found = {name: state.get(f"features.{name}") for name in wanted}
    for name, value in found.items():
        if not isinstance(value, Tensor) or value.shape != wanted[name].shape:
            got = f"has the shape {tuple(value.shape)}" if isinstance(value, Tensor) else "is not there"
            raise ValueError(
                f"the weights of {source} do not fit a VGG of width {network[0].out_channels}: features.{name} {got}, "
                f"expected {tuple(wanted[name].shape)}; set vgg_width to what they have (64 for ImageNet's)"
            )
    network.load_state_dict({name: value for name, value in found.items() if value is not None})


def _random(network: nn.Sequential) -> dict[str, Tensor]:
    """Of a network in plain layout on the CPU, whatever this one's are: what is drawn depends on both."""
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(0)
        drawn = front(len(network[0].get_parameter("weight")))
        initialise_he(drawn)
    return {f"features.{name}": value for name, value in drawn.state_dict().items()}


def _imagenet() -> dict[str, Tensor]:
    from torchvision.models import VGG19_Weights

    url = VGG19_Weights.IMAGENET1K_V1.url
    path = Path(torch.hub.get_dir()) / "checkpoints" / Path(url).name  # where torchvision has it
    if not path.exists():
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            torch.hub.download_url_to_file(url, str(path), _promised(path), progress=False)
        except (OSError, RuntimeError) as error:
            raise FileNotFoundError(
                f"ImageNet's weights of VGG-19 cannot be fetched ({error}). Get {url} elsewhere and name the file "
                "(--model.init_args.vgg=vgg19-dcbb9e9d.pth); or choose what to do without: a network trained on data "
                "at hand (make train MODEL=perception DATA=…, then --model.init_args.vgg=runs/… with its vgg_width), "
                "or --model.init_args.vgg=random, features of random weights"
            ) from error
    return _read(path)


def _promised(path: Path) -> str:
    """The beginning of a file's SHA-256, which torchvision's files bear in their names."""
    promised = re.search(r"-([0-9a-f]{8})$", path.stem)
    return promised[1] if promised else ""


def _read(path: Path) -> dict[str, Tensor]:
    if path.suffix != ".pth" or path.is_dir():
        return dict(checkpoints.read(checkpoints.resolve(path))["state_dict"])
    digest, promised = hashlib.sha256(path.read_bytes()).hexdigest(), _promised(path)
    if not digest.startswith(promised):
        raise ValueError(
            f"{path} is damaged: its SHA-256 begins with {digest[:8]}, not {promised}; delete it and get it again"
        )
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged file fails in any way at all
        raise ValueError(f"{path} is no file of VGG-19's weights: {error or 'it ends early'}") from error


class PerceptualNetwork(LightningModule):
    """A narrow VGG trained to tell apart what the data at hand are labelled with, in any light and colour.

    Half of the pictures are shown with each channel's contrast drawn from [-1, 1], negatives included: what it learns
    to see are shapes.

    Args:
        attributes: names of the label's columns.
        one_hot: exactly one of them is on.
        width: channels of the first convolutions.
        column: of the batch, what to tell: the label, or ``digit``, 0 to 9.
        domain: learn from pictures of this domain alone; None from all. Labels of the domain that is translated into
            are not for an unsupervised method to see.
        lr: Adam's learning rate.
        seed: of the light, with the step and the process.

    Raises:
        ValueError: if a domain's pictures alone are all labelled alike, or a name is none of these.
    """

    def __init__(
        self,
        attributes: Sequence[str],
        one_hot: bool = False,
        width: int = 8,
        column: Literal["label", "digit"] = "label",
        domain: str | None = None,
        lr: float = 1e-3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        check_least(1, width=width)
        check_known("column", column, ("label", "digit"))
        if domain is not None:
            check_known("domain", domain, attributes)
        if domain is not None and one_hot and column == "label":
            raise ValueError(
                f"pictures of the domain {domain} alone have one label, which teaches nothing: take column=digit, or "
                "no domain"
            )
        self.save_hyperparameters()
        self.attributes = tuple(attributes)
        self.features = front(width)
        self.classifier = nn.Linear(4 * width, 10 if column == "digit" else len(attributes))
        initialise_he(self.features)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to logits (B, classes)."""
        logits: Tensor = self.classifier(self.features(normalised(image)).mean((2, 3)))
        return logits

    def on_train_batch_start(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """The light is a function of the step: a resumed run goes on as if it had not been stopped."""
        torch.manual_seed((self.hparams["seed"] * 1_000_003 + self.global_step) * 1024 + self.global_rank)

    def training_step(self, batch: dict[str, Tensor], batch_idx: int) -> Tensor | None:
        """Cross-entropy of what is shown in another light; of a batch without any of the domain, nothing."""
        image, answer = self._asked(batch)
        if len(image) == 0:
            return None
        loss, right = self._answered(self(_in_any_light(image)), answer)
        self.log_dict({"train/loss": loss.detach(), "train/accuracy": right}, prog_bar=True)
        return loss

    def validation_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """How often it is right about pictures as they are."""
        self._measure("val", batch)

    def test_step(self, batch: dict[str, Tensor], batch_idx: int) -> None:
        """Likewise."""
        self._measure("test", batch)

    def _measure(self, split: str, batch: dict[str, Tensor]) -> None:
        image, answer = self._asked(batch)
        if len(image) == 0:
            return
        _, right = self._answered(self(image), answer)
        self.log(f"{split}/accuracy", right, batch_size=len(image), sync_dist=True)
        if split == "val":
            self.log("val/score", 1 - right, batch_size=len(image), sync_dist=True)

    def _asked(self, batch: dict[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Of both pictures of each row those it may learn from, and what they show."""
        if self.hparams["column"] not in batch:
            raise ValueError(
                f"these data have no column {self.hparams['column']}: take data of digits, or column=label"
            )
        image = torch.cat([batch["image"], batch["reference"]])
        answer, label = (
            torch.cat([batch[name], batch[f"reference_{name}"]]) for name in (self.hparams["column"], "label")
        )
        domain = self.hparams["domain"]
        if domain is None:
            return image, answer
        rows = label[:, self.attributes.index(domain)] == 1
        return image[rows], answer[rows]

    def _answered(self, logits: Tensor, answer: Tensor) -> tuple[Tensor, Tensor]:
        """The loss, and the share of right answers."""
        if self.hparams["column"] == "digit" or self.hparams["one_hot"]:
            index = answer if answer.ndim == 1 else answer.argmax(1)
            return functional.cross_entropy(logits, index), (logits.argmax(1) == index).float().mean()
        loss = functional.binary_cross_entropy_with_logits(logits, answer)
        return loss, ((logits > 0) == (answer > 0.5)).float().mean()

    def configure_optimizers(self) -> Optimizer:
        """Adam."""
        return Adam(self.parameters(), lr=self.hparams["lr"])


def _in_any_light(image: Tensor) -> Tensor:
    """(B, 3, H, W), each channel times a factor from [-1, 1], half of the pictures as they are."""
    image = precise(image)
    factor = torch.rand(len(image), 3, 1, 1, device=image.device) * 2 - 1
    shift = (torch.rand(len(image), 3, 1, 1, device=image.device) * 2 - 1) * (1 - factor.abs())
    changed = torch.rand(len(image), 1, 1, 1, device=image.device) < 0.5
    return torch.where(changed, factor * image + shift, image)
