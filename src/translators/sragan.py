"""SRAGAN: translate one way, only as far as needed, and only where needed (Yang, Kim, Wang, Peng, Kuo, 2018).

"Show, Attend and Translate: unsupervised image translation with self-regularization and attention", arXiv 1806.06195.
The paper says G_0 for the network that translates, here ``initial``, and G_attn for the one that says where, here
``attention``; G(x) = G_attn(x) * G_0(x) + (1 - G_attn(x)) * x.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import torch
from pytorch_lightning.utilities import rank_zero_info, rank_zero_warn
from torch import Tensor, nn

from translators.base import Translator, check_meaning
from translators.checks import check_finite, check_image, check_known, check_least
from translators.cyclegan import CycleGAN
from translators.domains import check_two_domains, is_second, pair_of_domains
from translators.induction import AdaptiveWeight
from translators.layers import BatchNorm2d, Sigmoid, precise
from translators.losses import logistic
from translators.perception import LAYERS, Features, fill_front, front, normalised
from translators.pool import ImagePool
from translators.residual import Norm, PatchDiscriminator, ResnetGenerator, initialise, norm_of
from translators.types import Batch, Phase, Target, Translation

LAYER_WEIGHTS = (1 / 32, 1 / 16, 1 / 8)  # w_l of eq. 4, inside the square
DISTANCES = ("perceptual", "l1", "l2", "ssim")
LEAST = 12  # px: at a quarter of the side, borders of two places are mirrored


class AttentionBranch(nn.Module):
    """G_attn: the front of a VGG-19, two steps up, and a map of where to translate (sect. 3.2).

    Args:
        vgg_width: channels of the VGG's first convolutions.
        norm: after the two steps up.
    """

    def __init__(self, vgg_width: int = 64, norm: Norm = "batch") -> None:
        super().__init__()
        wide = 4 * vgg_width
        self.front = front(vgg_width)
        self.head = nn.Sequential(
            *_up(wide, norm),
            *_up(wide // 2, norm),
            nn.ReflectionPad2d(3),
            nn.Conv2d(wide // 4, 1, 7),
            Sigmoid(),
        )
        self.head.apply(initialise)

    def forward(self, image: Tensor) -> Tensor:
        """(B, 3, H, W) in [-1, 1] to (B, 1, H, W) in (0, 1), 1 where the translation is to be seen."""
        attention: Tensor = self.head(self.front(normalised(image)))
        return attention


def _up(wide: int, norm: Norm) -> list[nn.Module]:
    deconvolution = nn.ConvTranspose2d(wide, wide // 2, 3, 2, 1, output_padding=1, bias=False)
    return [deconvolution, norm_of(wide // 2, norm), nn.ReLU(inplace=True)]


# ------------------------------------------------------------------------------------------------ the translator


class SRAGAN(Translator):
    """Translates images of one domain, X, into another, Y; one way, and only where a map says so.

    The label says the domain: one-hot over the names of X and Y, or one attribute that Y's pictures have (1) and X's
    have not (0). In training the reference must be of the other domain than the image (``reference: other`` of the
    datamodule). There is no way back: what is to be of X stays as it is.

    Training has three phases (sect. 3.3): first G_0 translates alone; then G_attn learns where, G_0 frozen; then both
    learn together, at a smaller rate. Which parts a phase ``learns`` says which of these it is.

    Args:
        attributes: the names of X and Y, or of the one attribute.
        one_hot: the first of these.
        image_size: side of the images of training; `translate` takes other multiples of 4 too.
        use_attention: whether there is a map. Without, for changes of the whole image (maps, digits), the first phase
            is all there is.
        generator_width: channels after G_0's first convolution.
        discriminator_width: likewise the discriminator's.
        blocks: residual blocks of G_0.
        depth: convolutions of the discriminator that halve the side: 3; 2 for digits of 32 px.
        norm: of the batch's statistics, as the paper has it, or of each image's own.
        eval_statistics: what batch norms go by outside training: each "image" 's own statistics, as they were in a
            training of one image a batch, or the "running" ones of larger batches.
        distance: of an image and its translation: the "perceptual" one of eq. 4, or "l1", "l2", "ssim" of their pixels,
            which the paper names as alternatives.
        layers: of the VGG, three, whose features eq. 4 compares; "first three layers" read as those of pix2pixHD's
            weights. conv1_1, conv1_2, conv2_1 are the literal reading.
        vgg: the VGG's weights: "imagenet", fetched by torchvision; the path of such a file; the run folder of a
            `PerceptualNetwork`; or "random". They are what eq. 4 sees by, and what G_attn starts from.
        vgg_width: channels of the VGG's first convolutions, 64 for ImageNet's.
        pool_size: generated images that the pool holds and the discriminator sees in place of the newest; 0 for none.
        lambda_adv: weight of the adversarial term.
        lambda_percept: weight of the self-regularisation; None lets it grow until it is felt (`AdaptiveWeight`).
        induction_warmup: updates before it grows.
        induction_every: updates between two steps.
        induction_greatest: the most that it weighs; a step is a hundredth.
        induction_monitor: the loss that is watched: "discriminator" (not halved), or "generator" (its adversarial one).
        induction_threshold: what the discriminator's must sink below, or the generator's rise above.
        induction_patience: how many times in a row.
        lr: Adam's learning rate.
        training: what every `Translator` takes.

    Raises:
        ValueError: if there are more than two domains, or a size or a name is none of these.
    """

    generator: nn.ModuleDict
    attends: Tensor  # whether the map is in use: from the second phase on

    returns = False
    bound_to_weights = ("eval_statistics",)

    # 5,000 iterations and 5,000 of decay each. "About one day" would be more: the first author's CycleGAN has 100 and
    # 100 epochs, for which a recipe says so.
    schedule = (
        Phase(10_000, "translate", decay=5_000, learns=("generator.initial", "discriminator")),
        Phase(10_000, "attend", decay=5_000, learns=("generator.attention", "discriminator")),
        Phase(10_000, "joint", rate=0.1, decay=5_000),
    )

    def __init__(
        self,
        attributes: Sequence[str],
        one_hot: bool = False,
        image_size: int = 256,
        use_attention: bool = True,
        generator_width: int = 64,
        discriminator_width: int = 64,
        blocks: int = 9,
        depth: int = 3,
        norm: Literal["batch", "instance"] = "batch",
        eval_statistics: Literal["image", "running"] = "image",
        distance: Literal["perceptual", "l1", "l2", "ssim"] = "perceptual",
        layers: Sequence[str] = ("relu1_1", "relu2_1", "relu3_1"),
        vgg: str = "imagenet",
        vgg_width: int = 64,
        pool_size: int = 50,
        lambda_adv: float = 1.0,
        lambda_percept: float | None = None,
        induction_warmup: int = 500,
        induction_every: int = 40,
        induction_greatest: float = 20.0,
        induction_monitor: Literal["discriminator", "generator"] = "discriminator",
        induction_threshold: float = 1.0,
        induction_patience: int = 3,
        lr: float = 2e-4,
        **training: Any,
    ) -> None:
        if training.get("phases") is None and not use_attention:
            training["phases"] = self.schedule[:1]
        super().__init__(attributes=attributes, one_hot=one_hot, lr=lr, **training)
        check_two_domains("SRAGAN", attributes, one_hot)
        check_known("norm", norm, ("batch", "instance"))
        check_known("eval_statistics", eval_statistics, ("image", "running"))
        check_known("distance", distance, DISTANCES)
        check_known("induction_monitor", induction_monitor, ("discriminator", "generator"))
        check_least(1, generator_width=generator_width, discriminator_width=discriminator_width, vgg_width=vgg_width)
        check_least(0, blocks=blocks, induction_warmup=induction_warmup, induction_greatest=induction_greatest)
        check_finite(induction_greatest=induction_greatest, induction_threshold=induction_threshold)
        check_least(1, depth=depth, induction_every=induction_every, induction_patience=induction_patience)
        if len(layers) != len(LAYER_WEIGHTS):
            raise ValueError(f"layers must be three of {', '.join(LAYERS)}, got {', '.join(layers)}")
        for layer in layers:
            check_known("layers", layer, LAYERS)
        if list(layers) != sorted(set(layers), key=list(LAYERS).index):
            raise ValueError(f"layers must go from the first to the last, each once, got {', '.join(layers)}")
        least = max(LEAST, 4 << depth)
        if image_size % 4 or image_size < least:
            raise ValueError(
                f"image_size must be a multiple of 4 and, for a discriminator of depth {depth}, at least {least}; "
                f"got {image_size}"
            )
        self.generator = nn.ModuleDict({"initial": ResnetGenerator(generator_width, blocks, dilation=2, norm=norm)})
        self.discriminator = PatchDiscriminator(discriminator_width, norm=norm, depth=depth)
        self.apply(initialise)
        if use_attention:
            self.generator["attention"] = AttentionBranch(vgg_width, norm)
        if eval_statistics == "image":
            for module in self.generator.modules():
                if isinstance(module, BatchNorm2d):
                    module.by_image = True
        self.register_buffer("attends", torch.tensor(False))
        self.induction = AdaptiveWeight(
            induction_warmup,
            induction_every,
            induction_greatest / 100,
            induction_greatest,
            induction_monitor == "generator",
            induction_threshold,
            induction_patience,
        )
        self.pool = ImagePool(pool_size)
        self._features: list[Features] = []  # no part of the model: neither saved nor learnt; made when first needed

    # ------------------------------------------------------------------------------------------ translating

    def translate(self, image: Tensor, target: Target) -> Translation:
        """Bring images of X into Y.

        Args:
            image: (B, 3, H, W) in [-1, 1]; H and W multiples of 4.
            target: of which `label` is read: (B, 2), one-hot, or (B, 1), 1 for Y. Rows that ask for X stay as they are.

        Returns:
            `mask` is the map, and ``initial`` of the extras G_0(x), from the second phase on.

        Raises:
            ValueError: if image or label is anything else.
        """
        check_image("SRAGAN", image, least=LEAST)
        to_y = is_second(target.label, len(image), self.attributes)[:, None, None, None]
        translation = self._translated(image)
        mask = None if translation.mask is None else torch.where(to_y, translation.mask, 0)
        return Translation(torch.where(to_y, translation.image, image), mask, extras=translation.extras)

    def _translated(self, image: Tensor) -> Translation:
        """G(x), its map, and G_0(x)."""
        initial = self.generator["initial"](image)
        if not self.attends:
            return Translation(initial)
        attention = self.generator["attention"](image)
        output = attention * initial + (1 - attention) * image  # sect. 3.2
        return Translation(output, attention, extras={"initial": initial})

    def segment(self, image: Tensor, threshold: float = 0.5) -> Tensor:
        """What would be translated: the map, cut at a threshold.

        Args:
            image: (B, 3, H, W) in [-1, 1].
            threshold: in (0, 1).

        Returns:
            (B, 1, H, W) booleans.

        Raises:
            ValueError: if there is no map yet, or the threshold lies elsewhere.
        """
        check_image("SRAGAN", image, least=LEAST)
        check_finite(threshold=threshold)
        if not 0 < threshold < 1:
            raise ValueError(f"threshold must lie between 0 and 1, got {threshold:g}")
        if not self.attends:
            raise ValueError("this model has no map: it was trained without attention, or not beyond its first phase")
        attention: Tensor = self.generator["attention"](image)
        return attention > threshold

    def attainable(self, label: Tensor, edits: Tensor) -> Tensor:
        """Edits into Y; those into X there is no way to make."""
        return torch.where(edits[..., -1:] == 1, edits, label[:, None])

    # ------------------------------------------------------------------------------------------ losses

    def discriminator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """The term adv (eq. 2), of fakes out of the pool; halved, as in the first author's CycleGAN."""
        x, y = pair_of_domains("SRAGAN", batch, self.attributes)
        fake = self.pool.exchange(self._translated(x).image)
        real_score, fake_score = self.discriminator(self.shown(y)), self.discriminator(self.shown(fake))
        return {"adv": logistic.discriminator(real_score, fake_score) / 2}

    def generator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Terms adv (eq. 3) and percept (eq. 4); their weighted sum is eq. 1."""
        x, _ = pair_of_domains("SRAGAN", batch, self.attributes)
        translation = self._translated(x)
        if self.hparams["lambda_percept"] is None:
            controller = self.induction
            self.note(weight=controller.value, watched=controller.average, stage=controller.stage.float())
        terms = {"adv": logistic.generator(self.discriminator(self.shown(translation.image)))}
        if self.hparams["lambda_percept"] != 0:
            terms["percept"] = self.self_regularisation(x, translation.image)
        return terms

    def self_regularisation(self, image: Tensor, output: Tensor) -> Tensor:
        """Eq. 4: how much an image's features changed; or its pixels. (B, 3, H, W) twice, to a scalar.

        In float32 whatever the autocast: of two images that hardly differ a half's gradient is mostly rounding.
        """
        with torch.autocast(image.device.type, enabled=False):
            return self._difference(precise(image), precise(output))

    def _difference(self, image: Tensor, output: Tensor) -> Tensor:
        distance = self.hparams["distance"]
        if distance == "l1":
            return (output - image).abs().mean()
        if distance == "l2":
            return (output - image).square().mean()
        if distance == "ssim":
            from kornia.metrics import ssim

            return 1 - ssim((output + 1) / 2, (image + 1) / 2, window_size=11).mean()
        features = self._perception(image)
        with torch.no_grad():
            before = features(image)
        terms = [
            (weight * (one - other)).square().sum(1).mean()  # the norm over channels, the mean over places and batch
            for weight, one, other in zip(LAYER_WEIGHTS, features(output), before, strict=True)
        ]
        return torch.stack(terms).sum()

    def _perception(self, image: Tensor) -> Features:
        if not self._features:
            self._features = [Features(self.hparams["vgg"], self.hparams["vgg_width"], self.hparams["layers"])]
        return self._features[0].to(image)

    # ------------------------------------------------------------------------------------------ the course of training

    def weight(self, term: str) -> float:
        """Lambda of eq. 1 is the controller's, unless it is fixed."""
        if term == "percept" and self.hparams["lambda_percept"] is None:
            return float(self.induction.value)
        return super().weight(term)

    def observe(self, player: str, terms: Mapping[str, Tensor]) -> None:
        """Let the controller hear the loss that it watches, while there is a generator that learns to be held back."""
        learns = self._learns(self.phase, "initial") or self._learns(self.phase, "attention")
        if learns and player == self.hparams["induction_monitor"] and self.hparams["lambda_percept"] is None:
            self.induction.observe(float(terms["adv"]) * (2 if player == "discriminator" else 1))

    def setup(self, stage: str) -> None:
        """As every `Translator`; and get the VGG before any time is spent on training.

        Raises:
            FileNotFoundError: if ImageNet's weights cannot be fetched.
        """
        super().setup(stage)
        if stage == "fit" and self.hparams["distance"] == "perceptual" and self.hparams["lambda_percept"] != 0:
            self._perception(next(self.parameters()))
            if self.hparams["vgg"] != "imagenet":
                seen = {"random": "a VGG of random weights"}.get(
                    self.hparams["vgg"], f"the VGG of {self.hparams['vgg']}"
                )
                rank_zero_info(f"The self-regularisation sees by {seen}, in place of ImageNet's (vgg)")
        if stage == "fit" and self.hparams["lambda_percept"] is None:
            self._warn_of_long_ramps()

    def _warn_of_long_ramps(self) -> None:
        ramp = self.hparams["induction_warmup"] + 100 * self.hparams["induction_every"]
        for phase in self.phases:
            flat = phase.steps - phase.decay
            if self._learns(phase, "initial") != self._learns(phase, "attention") and flat < ramp:
                rank_zero_warn(
                    f"phase {phase.name!r}: the self-regularisation's weight may grow for {ramp} iterations, longer "
                    f"than the {flat} before the learning rate falls: lower induction_warmup or induction_every"
                )

    def on_fit_start(self) -> None:
        """As every `Translator`; and a new run's G_attn starts from the VGG's weights (sect. 3.2)."""
        if self.hparams["use_attention"] and self.trainer.ckpt_path is None:
            attention = self.generator["attention"]
            assert isinstance(attention, AttentionBranch)
            fill_front(attention.front, self.hparams["vgg"])
        super().on_fit_start()

    def on_phase_start(self, phase: Phase) -> None:
        """Use the map once it learns, and begin with an empty pool.

        The controller begins anew with a run, and where a part begins to learn alone. Where both learn, the weight
        stays, if it has begun to grow.
        """
        initial, attention = self._learns(phase, "initial"), self._learns(phase, "attention")
        begins = self.global_step == 0 or ((initial or attention) and attention != bool(self.attends))
        if initial or attention:
            self.attends.fill_(attention)
        self.pool = ImagePool(self.hparams["pool_size"])
        together = initial and attention
        if begins and not together:
            self.induction.restart()
        elif together and self.induction.value > 0:
            self.induction.hold()

    def _learns(self, phase: Phase, part: str) -> bool:
        """Whether a phase teaches a part of the generator, or something in it."""
        name = f"generator.{part}"
        return part in self.generator and any(
            learns == "generator" or f"{learns}.".startswith(f"{name}.") for learns in phase.learns
        )

    def start_from(self, other: Translator) -> None:
        """Take over the weights of another SRAGAN; of one without a map, or from a CycleGAN's G, those of G_0.

        Raises:
            ValueError: if the other is of another kind, of another size, or translates the other way.
        """
        without_map = isinstance(other, SRAGAN) and "attention" not in other.generator and "attention" in self.generator
        if not (without_map or isinstance(other, CycleGAN)):
            super().start_from(other)
            return
        check_meaning(self, other, self.bound_to_weights if without_map else ())
        taken = {"generator.initial": other.get_submodule("generator.initial" if without_map else "generator.ab")}
        settings = "norm, generator_width and blocks (a CycleGAN's has norm=instance, and no blur filters)"
        if without_map:
            taken["discriminator"] = other.discriminator
            settings += ", discriminator_width and depth"
        for name, part in taken.items():
            theirs, ours = ({n: t.shape for n, t in of.state_dict().items()} for of in (part, self.get_submodule(name)))
            if theirs != ours:
                raise ValueError(f"{name} cannot start from weights of other shapes: give the model their {settings}")
        for name, part in taken.items():
            self.get_submodule(name).load_state_dict(part.state_dict())

    def process_state(self) -> dict[str, Tensor]:
        """What the pool holds: without it a resumed run's discriminator would see other images."""
        return {"pool": self.pool.state()}

    def restore_process_state(self, state: dict[str, Tensor]) -> None:
        """Fill the pool again."""
        self.pool.restore(state["pool"])
