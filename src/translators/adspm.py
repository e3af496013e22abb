"""ADSPM: move what an attribute moves, then paint the rest (Wu, Tao, Gu, Shen, Jia, ICCV 2019, arXiv 1907.01452).

"Attribute-driven spontaneous motion in unpaired image translation". The paper says f for the encoded image, w for the
motion (a fraction of the image's side), m for the mask, r for the residual, I_d for the deformed image, and T_w, T_m,
T_r for the networks that refine motion, mask and residual at twice the resolution.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from translators.augmentation import augment as augmented
from translators.base import Translator
from translators.checks import (
    check_binary,
    check_finite,
    check_image,
    check_known,
    check_label,
    check_least,
)
from translators.layers import (
    AttributeDiscriminator,
    ResidualBlock,
    Sigmoid,
    Tanh,
    decoding,
    encoding,
    initialise_he,
    normed,
    with_planes,
)
from translators.losses import ADVERSARIES, attribute_loss, gradient_penalty
from translators.motion import warp
from translators.types import Batch, Phase, Target, Translation

STAGES = (1, 2, 3)  # 128, 256 and 512 px in the paper
ABLATIONS = ("No_M", "No_R")


class Scene(NamedTuple):
    """What a generator makes of an image at one resolution; of what an ablation lacks, None."""

    output: Tensor  # (B, 3, H, W), I_t
    deformed: Tensor  # (B, 3, H, W), I_d
    motion: Tensor | None  # (B, 2, H, W), w, a fraction of the image's side
    mask: Tensor | None  # (B, 1, H, W), m
    residual: Tensor | None  # (B, 3, H, W), r


class Fields(NamedTuple):
    """Motion and mask of each resolution, the lowest first; of what an ablation lacks, none."""

    motions: list[Tensor]
    masks: list[Tensor]


# ------------------------------------------------------------------------------------------------ networks


def resized(image: Tensor, side: int) -> Tensor:
    """U of sect. 3.3 and its inverse: (B, C, H, W) to (B, C, side, side), bilinear, corners on corners, no blur."""
    return functional.interpolate(image, (side, side), mode="bilinear", align_corners=True)


def upsampled(image: Tensor) -> Tensor:
    """(B, C, H, W) to (B, C, 2H, 2W); a motion is a fraction of the side and keeps its values."""
    return functional.interpolate(image, scale_factor=2, mode="bilinear", align_corners=True)


class Generator(nn.Module):
    """Encoder, motion and mask decoders, refinement (tables 3 to 5), and for each further stage T_w, T_m and T_r.

    The parameters bear the names they have in the authors' files; T_w, T_m and T_r are there ``flow_refine``,
    ``mask_refine`` and ``app_refine``, with 512 behind for the third stage.

    Args:
        num_attributes: K, length of the label.
        width: channels after the first convolution.
        blocks: residual blocks of the encoder.
        refine_blocks: residual blocks of the refinement, at full size.
        stage: 1, 2 or 3; each doubles the resolution.
        max_motion: lambda_w, the greatest motion of the first stage, a fraction of the side.
        ablation: No_M has no motion, No_R no refinement and no mask (sect. 4.3).
        hr_residual: what is handed up: the masked residual, as in the released code, or the bare one of eq. 6.
    """

    def __init__(
        self,
        num_attributes: int,
        width: int = 64,
        blocks: int = 6,
        refine_blocks: int = 12,
        stage: int = 1,
        max_motion: float = 0.1,
        ablation: str | None = None,
        hr_residual: str = "code",
    ) -> None:
        super().__init__()
        self.stage, self.max_motion, self.hr_residual = stage, max_motion, hr_residual
        self.moves, self.refines = ablation != "No_M", ablation != "No_R"
        self.encoding = nn.Sequential(*encoding(3 + num_attributes, width, blocks))
        if self.moves:
            self.flow_pred = nn.Sequential(*decoding(width), nn.Conv2d(width, 2, 7, 1, 3, bias=False), Tanh())
        if self.refines:
            self.att_mask = nn.Sequential(*decoding(width), nn.Conv2d(width, 1, 3, 1, 1, bias=False), Sigmoid())
            self.refine = nn.Sequential(
                *normed(nn.Conv2d(3, width, 7, 1, 3, bias=False), width),
                *(ResidualBlock(width) for _ in range(refine_blocks)),
                nn.Conv2d(width, 3, 7, 1, 3, bias=False),
                Tanh(),
            )
        for level in range(2, stage + 1):
            if self.moves:
                self.add_module(_name("flow_refine", level), _detail(2, max(width // 2, 1), level))
            if self.refines:
                self.add_module(_name("mask_refine", level), _detail(1, max(width // 2, 1), level))
                self.add_module(_name("app_refine", level), _detail(3, max(width // 2, 1), level))

    def forward(self, image: Tensor, label: Tensor, strength: float = 1.0) -> list[Scene]:
        """The image at every resolution: a `Scene` a stage, the lowest first.

        Args:
            image: (B, 3, H, W) in [-1, 1], at the highest.
            label: (B, K).
            strength: factor on motion and mask of each stage.
        """
        images = self.pyramid(image)
        return self.render(images, self.fields(images[0], label), strength)

    def pyramid(self, image: Tensor) -> list[Tensor]:
        """The image at each stage's resolution, the lowest first; each straight from the highest."""
        side = image.shape[-1]
        sides = [side >> down for down in range(self.stage - 1, 0, -1)]
        return [*(resized(image, lower) for lower in sides), image]

    def fields(self, image: Tensor, label: Tensor) -> Fields:
        """Motion and mask of each stage, from the image at the lowest resolution (B, 3, h, w) and the label (B, K)."""
        f = self.encoding(with_planes(image, label))
        motions, masks = [], []
        if self.moves:
            motions = [self.max_motion * self.flow_pred(f)]  # w = lambda_w u
        if self.refines:
            masks = [self.att_mask(f)]
        for level in range(2, self.stage + 1):  # sect. 3.3
            if self.moves:
                motion = upsampled(motions[-1])
                motions.append(motion + self.max_motion * self._detail("flow_refine", level, motion))
            if self.refines:
                mask = upsampled(masks[-1])
                masks.append((mask + self._detail("mask_refine", level, mask)).clamp(0, 1))
        return Fields(motions, masks)

    def render(self, images: list[Tensor], fields: Fields, strength: float = 1.0) -> list[Scene]:
        """Warp, refine and mask at each resolution (eqs. 1 and 2; sect. 3.3), each edit as strong as the others."""
        scenes: list[Scene] = []
        handed_up = images[0]  # the residual of the stage below
        for level, image in enumerate(images, start=1):
            motion = strength * fields.motions[level - 1] if self.moves else None
            deformed = image if motion is None else warp(image, 2 * motion)
            if not self.refines:
                scenes.append(Scene(deformed, deformed, motion, None, None))
                continue
            if level == 1:
                residual = self.refine(deformed)
            else:
                residual = upsampled(handed_up)
                residual = residual + self._detail("app_refine", level, residual)
            whole = fields.masks[level - 1]
            handed_up = residual if self.hr_residual == "paper" else residual * whole
            mask = (strength * whole).clamp(0, 1)
            scenes.append(Scene((deformed + residual * mask).clamp(-1, 1), deformed, motion, mask, residual))
        return scenes

    def _detail(self, part: str, level: int, x: Tensor) -> Tensor:
        detail: Tensor = self.get_submodule(_name(part, level))(x)
        return detail


def _name(part: str, stage: int) -> str:
    return part if stage == 2 else f"{part}512"


def _detail(channels: int, width: int, stage: int) -> nn.Sequential:
    """T of sect. 3.3: what a higher resolution adds to an upsampled motion, mask or residual, in (-1, 1)."""
    kernel = 3 if stage == 2 else 7
    return nn.Sequential(
        *normed(nn.Conv2d(channels, width, kernel, 1, kernel // 2, bias=False), width),
        ResidualBlock(width),
        nn.Conv2d(width, channels, kernel, 1, kernel // 2, bias=False),
        Tanh(),
    )


class MotionClassifier(nn.Module):
    """D_w: tells the attributes that a motion of an image aims at (sect. 3.4).

    Args:
        num_attributes: K.
        image_size: side of the images, that of the first stage; a multiple of 8.
        width: channels after the first convolution.
        sees_condition: whether the label's planes are put in besides, as in the authors' files.
    """

    def __init__(self, num_attributes: int, image_size: int, width: int = 64, sees_condition: bool = False) -> None:
        super().__init__()
        channels = [5 + (num_attributes if sees_condition else 0), width, 2 * width, 4 * width]
        layers: list[nn.Module] = []
        for narrow, wide in pairwise(channels):
            layers += [nn.Conv2d(narrow, wide, 4, 2, 1), nn.LeakyReLU(0.01, inplace=True)]
        self.main = nn.Sequential(*layers, nn.Conv2d(channels[-1], num_attributes, image_size // 8, bias=False))

    def forward(self, motion: Tensor, image: Tensor, label: Tensor | None = None) -> Tensor:
        """(B, 2, H, W), the fraction of the side; (B, 3, H, W); the planes' (B, K), if it sees any: (B, K) logits."""
        seen = torch.cat([motion.to(image), image], dim=1)
        logits: Tensor = self.main(seen if label is None else with_planes(seen, label))
        return logits.flatten(1)


def _penalty(discriminator: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    return gradient_penalty(lambda x: discriminator.forward(x)[0], real, fake)


# ------------------------------------------------------------------------------------------------ the translator


class ADSPM(Translator):
    """A motion field for the wanted attributes deforms the image; a masked residual then paints what motion cannot.

    The label is the whole wanted state, 0 or 1 each. Targets of training are labels that occur in the data.

    High resolution comes in stages (sect. 3.3): the first is trained at 128 px; a run of ``stage`` 2 starts from its
    weights (``start``), doubles the resolution, and goes on training all of it; and stage 3 from those of stage 2.

    Args:
        attributes: names of the label's K entries, in order.
        one_hot: exactly one attribute is 1 (expressions of RaFD), or any number of them (CelebA).
        image_size: side of the images of training: 128, 256, 512 for the stages 1, 2, 3, or another such sequence.
        stage: 1, 2 or 3.
        generator_width: channels after the encoder's first convolution.
        discriminator_width: likewise of the discriminators; the motion classifier's are as many.
        blocks: residual blocks of the encoder.
        refine_blocks: residual blocks of the refinement.
        depth: strided convolutions of the lowest discriminator; each further stage's has one more.
        max_motion: lambda_w, the greatest motion of the first stage as a fraction of the side; 0.1 to 0.2 in the paper.
            Each further stage may add as much.
        ablation: "No_M", without motion, or "No_R", without refinement.
        gan_mode: the adversarial term: WGAN-GP, as the released configuration has it, the log loss of eq. 7 (for the
            generator in its non-saturating form), or least squares.
        hr_residual: what a stage hands up to the next: its masked residual ("code") or, as eq. 6 has it, the bare one
            ("paper").
        motion_classifier_sees_condition: put the image's own label into the motion classifier too, as the authors'
            files need it.
        low_weight: of the lower discriminators' terms in the generator's loss of stages 2 and 3; 0.4 and 0.5 in the
            released configurations.
        zero_init: let motions and residuals begin at zero, so that the first stage begins at the identity, and a new
            stage as plain upsampling; an addition of this project.
        he_init: draw the discriminators' and the motion classifier's weights after He et al.: an addition of this
            project for short trainings, in which the framework's smaller ones learn attributes late or never.
        blur: with `augment`, show the lowest discriminator images out of focus, too, by up to this share of the side,
            or a short training paints fine stripes that please its classifier. Those above see what their stage adds.
        lambda_cls: weight of the attribute terms (L_cr). On labels that are not one-hot these are sums over the
            attributes.
        lambda_motion: weight of the motion classifier's term (L_cw).
        lambda_mask: weight of the mask's sparsity.
        lambda_rec: weight of the reconstruction.
        lambda_gp: weight of the gradient penalty.
        lambda_tv: weight of the motion's roughness, in the released code but 0 there; not computed at 0.
        n_critic: discriminator updates per generator update.
        training: what every `Translator` takes.

    Raises:
        ValueError: if a size, a stage or a name is none of these.
    """

    generator: nn.ModuleDict
    discriminator: nn.ModuleDict

    schedule = (Phase(steps=100_000, decay=100_000),)
    bound_to_weights = ("max_motion", "hr_residual")
    schedule_of_higher_stages = (Phase(steps=200_000, decay=100_000),)

    def __init__(
        self,
        attributes: Sequence[str],
        one_hot: bool = False,
        image_size: int = 128,
        stage: int = 1,
        generator_width: int = 64,
        discriminator_width: int = 64,
        blocks: int = 6,
        refine_blocks: int = 12,
        depth: int = 6,
        max_motion: float = 0.1,
        ablation: Literal["No_M", "No_R"] | None = None,
        gan_mode: Literal["wgan-gp", "vanilla", "lsgan"] = "wgan-gp",
        hr_residual: Literal["code", "paper"] = "code",
        motion_classifier_sees_condition: bool = False,
        low_weight: float = 0.4,
        zero_init: bool = False,
        he_init: bool = False,
        blur: float = 0.0,
        lambda_cls: float = 1.0,
        lambda_motion: float = 0.5,
        lambda_mask: float = 1.0,
        lambda_rec: float = 10.0,
        lambda_gp: float = 10.0,
        lambda_tv: float = 0.0,
        n_critic: int = 5,
        **training: Any,
    ) -> None:
        if training.get("phases") is None and stage > 1:
            training["phases"] = self.schedule_of_higher_stages
        super().__init__(attributes=attributes, one_hot=one_hot, n_critic=n_critic, **training)
        check_known("stage", stage, STAGES)
        check_known("ablation", ablation, (None, *ABLATIONS))
        check_known("gan_mode", gan_mode, ADVERSARIES)
        check_known("hr_residual", hr_residual, ("code", "paper"))
        check_least(1, generator_width=generator_width, discriminator_width=discriminator_width)
        check_least(1, blocks=blocks, refine_blocks=refine_blocks, image_size=image_size)
        check_least(0, low_weight=low_weight, blur=blur)
        if blur and not self.hparams["augment"]:
            raise ValueError(f"blur {blur:g} is a part of augment: switch that on, or leave blur at 0")
        if not 0 < max_motion <= 1:
            raise ValueError(f"max_motion is a fraction of the image's side, above 0 and up to 1, got {max_motion}")
        lowest = image_size >> (stage - 1)
        if image_size % 2 ** (stage + 2):
            raise ValueError(
                f"image_size {image_size} does not suit stage {stage}: it must be a multiple of {2 ** (stage + 2)}"
            )
        self.has_weights_below = stage == 1  # of the stage below, once there is one
        self.adversary = ADVERSARIES[gan_mode]
        self.penalised = gan_mode == "wgan-gp"
        generator = Generator(
            len(attributes), generator_width, blocks, refine_blocks, stage, max_motion, ablation, hr_residual
        )
        self.generator = nn.ModuleDict({"image": generator})
        if generator.moves:
            self.generator["motion_classifier"] = MotionClassifier(
                len(attributes), lowest, discriminator_width, motion_classifier_sees_condition
            )
        self.discriminator = nn.ModuleDict(
            {
                str(lowest << level): AttributeDiscriminator(
                    len(attributes), lowest << level, discriminator_width, depth + level
                )
                for level in range(stage)
            }
        )
        if he_init:
            for judge in (self.discriminator, *(part for name, part in self.generator.items() if name != "image")):
                initialise_he(judge)
        if zero_init:
            for part in generator.children():
                *_, last, end = part.children()
                if isinstance(end, Tanh):  # of a motion, a residual, or a detail
                    nn.init.zeros_(last.get_parameter("weight"))

    # ------------------------------------------------------------------------------------------ translating

    def translate(self, image: Tensor, target: Target, strength: float = 1.0) -> Translation:
        """Give the images the attributes of the target's label.

        Args:
            image: (B, 3, H, W) in [-1, 1]; H and W multiples of 4, and equal in stages 2 and 3, of 4 times 2 or 4.
            target: of which `label` is read, (B, K), each entry 0 or 1.
            strength: factor on motion and mask: 0 gives the image itself, above 1 an exaggeration.

        Returns:
            `flow` is the motion, `mask` the mask; extras are ``deformed``, ``residual`` and, of stages 2 and 3,
            ``low``, what the first stage makes of it.

        Raises:
            ValueError: if image or label is anything else.
        """
        label = self._checked(image, target)
        check_finite(strength=strength)
        return self._translation(self.generator["image"](image, label, strength))

    def combine(
        self, image: Tensor, labels: Sequence[Tensor], weights: Sequence[float] | None = None, refine: bool = False
    ) -> Translation:
        """Add up the motions for several labels, and deform the image once (fig. 7): a basis of motions.

        Args:
            image: (B, 3, H, W), as `translate` takes it.
            labels: (B, K) each; at least one.
            weights: factor on each label's motion; 1 if not given.
            refine: paint the residual too, where any of the labels' masks, times its weight, lets it; an addition of
                this project.

        Returns:
            The deformed (or refined) image, and the added motion as `flow`.

        Raises:
            ValueError: if there is no label or no motion to add, or if the weights are not as many as the labels.
        """
        generator = self.generator["image"]
        assert isinstance(generator, Generator)
        if not generator.moves:
            raise ValueError("combine adds motions, and a model with ablation=No_M has none: take translate")
        if refine and not generator.refines:
            raise ValueError("a model with ablation=No_R paints nothing: combine without refine")
        if len(labels) == 0 or isinstance(labels, Tensor):
            raise ValueError("combine needs at least one label, whose motion to take: give a list of (B, K) labels")
        factors = [1.0] * len(labels) if weights is None else list(weights)
        if len(factors) != len(labels):
            raise ValueError(f"combine needs a weight for each label: got {len(labels)} labels, {len(factors)} weights")
        check_finite(**{f"weight {place}": factor for place, factor in enumerate(factors, start=1)})
        wanted = [self._checked(image, Target(label=label)) for label in labels]
        images = generator.pyramid(image)
        fields = [generator.fields(images[0], label) for label in wanted]
        motions = [
            torch.stack([factor * field for factor, field in zip(factors, level, strict=True)]).sum(0)
            for level in zip(*(one.motions for one in fields), strict=True)
        ]
        if refine:
            masks = [
                torch.stack([abs(factor) * mask for factor, mask in zip(factors, level, strict=True)])
                .amax(0)
                .clamp(max=1)
                for level in zip(*(one.masks for one in fields), strict=True)
            ]
            return self._translation(generator.render(images, Fields(motions, masks)))
        deformed = warp(image, 2 * motions[-1])
        return Translation(image=deformed, flow=2 * motions[-1])

    def _translation(self, scenes: list[Scene]) -> Translation:
        top, extras = scenes[-1], {}
        if top.motion is not None:
            extras["deformed"] = top.deformed
        if top.residual is not None:
            extras["residual"] = top.residual.clamp(-1, 1)
        if len(scenes) > 1:
            extras["low"] = scenes[0].output
        flow = None if top.motion is None else 2 * top.motion
        return Translation(image=top.output, mask=top.mask, flow=flow, extras=extras)

    def _checked(self, image: Tensor, target: Target) -> Tensor:
        above = self.hparams["stage"] - 1
        check_image("ADSPM", image, multiple=4 << above, least=8 << above)
        if above and image.shape[-1] != image.shape[-2]:
            raise ValueError(
                f"stages 2 and 3 of ADSPM take square images, got {tuple(image.shape)}: crop or resize them"
            )
        label = check_label(target.label, len(image), self.attributes)
        check_binary(label, self.hparams["one_hot"])
        return label

    # ------------------------------------------------------------------------------------------ losses

    def discriminator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Terms adv, cls and, for WGAN-GP, gp, each the sum over the discriminators; eq. 10.

        Each of them judges its own resolution. Below the highest one there are two fakes, what is made there and what
        is made above and shrunk (sect. 3.3), whose terms are averaged.
        """
        images, scenes = self._scenes(batch, target)
        terms: dict[str, list[Tensor]] = {name: [] for name in ("adv", "cls", *(("gp",) if self.penalised else ()))}
        for image, fakes, discriminator in zip(images, self._judged(scenes), self.discriminator.values(), strict=True):
            seen = [self.shown(image), *(self.shown(fake) for fake in fakes)]
            scores, logits = discriminator(torch.cat(seen))  # no norms: the same as one after the other
            real_score, *fake_scores = scores.split(len(image))
            adversarial = [self.adversary.discriminator(real_score, score) for score in fake_scores]
            terms["adv"].append(torch.stack(adversarial).mean())
            terms["cls"].append(attribute_loss(logits[: len(image)], batch["label"], self.hparams["one_hot"]))
            if self.penalised:
                penalties = [_penalty(discriminator, seen[0], fake) for fake in seen[1:]]
                terms["gp"].append(torch.stack(penalties).mean())
        return {name: torch.stack(each).sum() for name, each in terms.items()}

    def generator_loss(self, batch: Batch, target: Target) -> dict[str, Tensor]:
        """Terms adv, cls, motion, mask, rec (eq. 9), less those of an ablation, and tv if it weighs anything.

        In stages 2 and 3 reconstruction and mask are those of the highest resolution, the motion is the lowest's, and
        the lower discriminators' terms come in with `low_weight`.
        """
        images, scenes = self._scenes(batch, target)
        label, one_hot, top = target.label, self.hparams["one_hot"], scenes[-1]
        assert label is not None  # or _scenes had refused it
        adv, cls = [], []
        *_, highest = self.discriminator
        for side, fakes in zip(self.discriminator, self._judged(scenes), strict=True):
            scores, logits = self.discriminator[side](torch.cat([self.shown(fake) for fake in fakes]))
            weight = 1.0 if side == highest else self.hparams["low_weight"]
            adv.append(weight * self.adversary.generator(scores))  # eq. 7
            cls.append(weight * attribute_loss(logits, label.repeat(len(fakes), 1), one_hot))
        back = self.generator["image"](top.output, batch["label"])[-1].output
        terms = {
            "adv": torch.stack(adv).sum(),
            "cls": torch.stack(cls).sum(),
            "rec": (back - images[-1]).abs().mean(),  # eq. 8
        }
        if top.mask is not None:
            terms["mask"] = top.mask.abs().mean()  # eq. 5
        motion = scenes[0].motion
        if motion is not None:
            own = batch["label"] if self.hparams["motion_classifier_sees_condition"] else None
            aim = self.generator["motion_classifier"](motion, images[0], own)
            terms["motion"] = attribute_loss(aim, label, one_hot)  # L_cw
            if self.hparams["lambda_tv"]:
                along_y, along_x = (motion.diff(dim=axis).square().mean() for axis in (2, 3))
                terms["tv"] = 2 * (along_x + along_y)
        return terms

    def _scenes(self, batch: Batch, target: Target) -> tuple[list[Tensor], list[Scene]]:
        """The batch's images at each resolution, and what the generator makes of them there."""
        label = self._checked(batch["image"], target)
        generator = self.generator["image"]
        assert isinstance(generator, Generator)
        return generator.pyramid(batch["image"]), generator(batch["image"], label)

    @staticmethod
    def _judged(scenes: list[Scene]) -> list[list[Tensor]]:
        """The fakes that each discriminator sees: its resolution's own and the highest one's, shrunk (sect. 3.3)."""
        *lower, top = (scene.output for scene in scenes)
        return [*([fake, resized(top, fake.shape[-1])] for fake in lower), [top]]

    def shown(self, images: Tensor) -> Tensor:
        """As every `Translator`; the lowest discriminator sees them out of focus, too."""
        if not self.hparams["augment"]:
            return images
        lowest = self.hparams["image_size"] >> (self.hparams["stage"] - 1)
        return augmented(images, self.hparams["blur"] if images.shape[-1] == lowest else 0.0)

    # ------------------------------------------------------------------------------------------ stages

    def on_fit_start(self) -> None:
        """As every `Translator`.

        Raises:
            ValueError: if a new run of a higher stage has no weights of the stage below to start from.
        """
        stage = self.hparams["stage"]
        resumes = self.trainer.ckpt_path is not None  # known since setup is over
        if not (self.has_weights_below or self._start is not None or resumes):
            raise ValueError(
                f"stage {stage} goes on from the weights of stage {stage - 1}: train that one first, then name its run "
                "folder or checkpoint, --model.init_args.start=runs/…"
            )
        super().on_fit_start()

    def start_from(self, other: Translator) -> None:
        """Take over the weights of the same stage, or of the one below, which then fill the lower part.

        Raises:
            ValueError: if the other is of another stage, size, or kind.
        """
        if not isinstance(other, ADSPM) or other.hparams["stage"] == self.hparams["stage"]:
            super().start_from(other)
            self.has_weights_below = True
            return
        (theirs, size), (ours, own_size) = (
            (model.hparams["stage"], model.hparams["image_size"]) for model in (other, self)
        )
        if theirs != ours - 1 or size * 2 != own_size:
            below = f", or of stage {ours - 1} at {own_size // 2} px" if ours > 1 else ""
            raise ValueError(
                f"stage {ours} at {own_size} px starts from weights of its own kind{below}, but these are of stage "
                f"{theirs} at {size} px"
            )
        lower = ADSPM(**{**self.hparams, "stage": theirs, "image_size": size})
        lower.start_from(other)  # refuses what is less than the whole, as of No_M, whose every name and shape is known
        self.load_state_dict(lower.state_dict(), strict=False)
        self.has_weights_below = True

    def on_load_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """As every `Translator`."""
        super().on_load_checkpoint(checkpoint)
        self.has_weights_below = True
