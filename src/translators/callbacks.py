"""What a person sees of a run: pictures, a progress bar, checkpoints, and an orderly end."""

from __future__ import annotations

import signal
import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import FrameType
from typing import Any, NamedTuple, cast

import torch
from PIL import Image, ImageDraw, ImageFont
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.callbacks import ModelCheckpoint, TQDMProgressBar
from pytorch_lightning.utilities import rank_zero_info, rank_zero_only
from torch import Tensor

from translators.animation import pictures
from translators.base import Translator
from translators.motion import colour_wheel, warped_grid
from translators.types import Batch, Target, Translation


class TranslationGrid(Callback):
    """After each validation, draws what the translator makes of the same held-out images.

    A row a source, a column an edit; below the translations stand the true pictures, where the data can draw them, and
    everything else the translator exposes: its mask, its motion field, in colours and as a grid that it bends, and its
    extras. Written to ``grids/`` in the run folder, and to the loggers.

    Args:
        images: how many sources, the first of the validation split.
        tile: least edge of a shown picture in pixels; smaller ones are enlarged.
    """

    def __init__(self, images: int = 6, tile: int = 96) -> None:
        self.images = images
        self.tile = tile
        self._batch: Batch | None = None

    def on_validation_epoch_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Draw and log."""
        if not trainer.sanity_checking:
            self._show(trainer, pl_module)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The finished model's grid, where no validation fell on the last iteration."""
        self._show(trainer, pl_module)

    @rank_zero_only
    def _show(self, trainer: Trainer, pl_module: LightningModule) -> None:
        path = Path(trainer.default_root_dir) / "grids" / f"step-{trainer.global_step:07d}.png"
        if not isinstance(pl_module, Translator) or path.exists():
            return
        if self._batch is None:
            self._batch = self._held_out(trainer)
        picture = self.draw(pl_module, self._batch, cast(Any, trainer).datamodule)
        path.parent.mkdir(parents=True, exist_ok=True)
        picture.save(path)
        for logger in trainer.loggers:
            if hasattr(logger, "log_image"):
                logger.log_image("grid", [picture], step=max(trainer.global_step - 1, 0))

    def _held_out(self, trainer: Trainer) -> Batch:
        datamodule = cast(Any, trainer).datamodule
        parts: list[Batch] = []
        for batch in datamodule.val_dataloader():
            parts.append(batch)
            if sum(len(part["image"]) for part in parts) >= self.images:
                break
        joined = {name: torch.cat([cast(Any, part)[name] for part in parts])[: self.images] for name in parts[0]}
        return cast(Batch, joined)

    def draw(self, translator: Translator, batch: Batch, datamodule: Any) -> Image.Image:
        """The grid of a batch: translations by every edit that ``datamodule`` proposes, or to several references."""
        like = next(translator.generator.parameters())
        on_device = cast(Batch, {name: tensor.to(like.device) for name, tensor in cast(Any, batch).items()})
        wishes = _exemplars(on_device) if translator.guide == "reference" else _edits(translator, on_device, datamodule)
        columns = [self._column(translator, on_device, wish, datamodule) for wish in wishes]
        if "motion" in columns[0]:  # in one unit, so that they compare
            drawn = colour_wheel(torch.cat([column["motion"] for column in columns])).split(len(batch["image"]))
            columns = [{**column, "motion": motion} for column, motion in zip(columns, drawn, strict=True)]
        signs = [[wish.signs[row] for wish in wishes] for row in range(len(batch["image"]))]
        return _sheet(batch["image"], [wish.name for wish in wishes], columns, signs, self.tile)

    def _column(self, translator: Translator, batch: Batch, wish: Wish, datamodule: Any) -> dict[str, Tensor]:
        like = next(translator.generator.parameters())
        parts = {name: None if part is None else part.to(like) for name, part in vars(wish.target).items()}
        with translator.averaged():
            translation = translator.translate(batch["image"].to(like), Target(**parts))
        shown = {"translation": translation.image, **_intermediates(translation)}
        if translator.guide == "reference" and wish.target.reference is not None:
            shown = {"exemplar": wish.target.reference, **shown}
        if hasattr(datamodule, "counterfactual"):
            shown["truth"] = datamodule.counterfactual("val", batch["index"].cpu(), wish.label.cpu())[0]
        return {name: tensor.detach().float().cpu() for name, tensor in shown.items()}


class Wish(NamedTuple):
    """A column of the grid: what is asked for of each image."""

    name: str
    target: Target
    label: Tensor  # (B, K), what the translations should then show
    signs: list[str]  # of each image, what is to happen to the attribute


def _edits(translator: Translator, batch: Batch, datamodule: Any) -> list[Wish]:
    """An edit for each attribute."""
    label = batch["label"]
    edits = translator.attainable(label, datamodule.edits(label)).unbind(dim=1)
    return [
        Wish(
            name,
            translator.edit(batch, wanted),
            wanted,
            [_sign(*rows, place) for rows in zip(label, wanted, strict=True)],
        )
        for place, (name, wanted) in enumerate(zip(datamodule.attributes, edits, strict=True))
    ]


def _exemplars(batch: Batch) -> list[Wish]:
    """Up to four exemplars for each image: its reference, then those of the images that follow."""
    wishes = []
    for shift in range(min(4, len(batch["image"]))):
        reference, label = (batch[name].roll(-shift, 0) for name in ("reference", "reference_label"))
        target = Target(label=label, reference=reference, source_label=batch["label"])
        wishes.append(Wish(f"exemplar {shift + 1}", target, label, [""] * len(label)))
    return wishes


def _intermediates(translation: Translation) -> dict[str, Tensor]:
    """Everything beside the result, as images in [-1, 1], but for the motion itself."""
    shown: dict[str, Tensor] = {}
    if translation.mask is not None:
        shown["mask"] = translation.mask.float().expand(-1, 3, -1, -1) * 2 - 1
    if translation.flow is not None:
        shown["motion"] = translation.flow
        shown["grid"] = warped_grid(translation.flow.float(), lines=min(12, translation.flow.shape[-1] // 5))
    for name, tensor in translation.extras.items():
        shown[name] = tensor.float().expand(-1, 3, -1, -1)
    return shown


def _sign(source: Tensor, target: Tensor, attribute: int) -> str:
    if torch.equal(source.cpu(), target.cpu()):
        return "="
    return "+" if target[attribute] > source[attribute] else "-"


def _sheet(
    sources: Tensor, names: list[str], columns: Sequence[Mapping[str, Tensor]], signs: list[list[str]], tile: int
) -> Image.Image:
    """Source, then the columns, a caption above each; a source takes as many lines as there are kinds of picture."""
    kinds = list(columns[0])
    edge = max(tile, sources.shape[-1])
    size = max(10, edge // 9)
    widest = max(ImageFont.load_default(size).getlength(name) for name in ["source", *names, *kinds])
    font = ImageFont.load_default(max(6, int(size * min(1, (edge - 4) / widest))))
    caption, gap = edge // 4, 2
    width, height = (len(names) + 1) * (edge + gap), caption + len(sources) * (len(kinds) * (edge + gap) + gap)
    sheet = Image.new("RGB", (width, height), "white")
    pen = ImageDraw.Draw(sheet)
    for column, name in enumerate(["source", *names]):
        pen.text((column * (edge + gap) + edge // 2, caption // 2), name.replace("_", " "), "black", font, anchor="mm")
    for row, source in enumerate(sources):
        top = caption + row * (len(kinds) * (edge + gap) + gap)
        sheet.paste(_picture(source, edge), (0, top))
        for line, kind in enumerate(kinds):
            y = top + line * (edge + gap)
            if line:
                pen.text((edge - 4, y + edge // 2), kind.replace("_", " "), "black", font, anchor="rm")
            for column, shown in enumerate(columns, start=1):
                x = column * (edge + gap)
                sheet.paste(_picture(shown[kind][row], edge), (x, y))
                if line == 0:
                    pen.text((x + 3, y), signs[row][column - 1], "white", font, stroke_width=1, stroke_fill="black")
    return sheet


def _picture(image: Tensor, edge: int) -> Image.Image:
    return pictures(image[None])[0].resize((edge, edge), Image.Resampling.BICUBIC)


class Progress(TQDMProgressBar):
    """The bar: losses of both players (D, G), images per second over all processes, time left."""

    def __init__(self, refresh_rate: int = 10) -> None:
        super().__init__(refresh_rate=refresh_rate)
        self._since = (0, 0.0)

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Start the clock; and the bar here too, as Lightning starts no epoch in most runs that are resumed."""
        super().on_train_start(trainer, pl_module)
        self._since = (trainer.global_step, time.perf_counter())
        self._begin(trainer)

    def on_train_epoch_start(self, trainer: Trainer, *args: Any) -> None:
        """Likewise, as in those that a signal stopped it does, and counts what is left as if that were all."""
        super().on_train_epoch_start(trainer, *args)
        self._begin(trainer)

    def _begin(self, trainer: Trainer) -> None:
        """Say what the bar counts, from where to where: a run is one long epoch to Lightning."""
        bar = self.train_progress_bar
        bar.reset(trainer.num_training_batches)
        bar.initial = bar.n = trainer.fit_loop.epoch_loop.batch_progress.current.ready
        bar.set_description("Training")

    def get_metrics(
        self, trainer: Trainer, pl_module: LightningModule
    ) -> dict[str, int | str | float | dict[str, float]]:
        """The rate, first as a narrow terminal cuts the end off, and the logged terms under short names."""
        metrics = super().get_metrics(trainer, pl_module)
        metrics.pop("v_num", None)
        short = {
            name.replace("discriminator/", "D ").replace("generator/", "G "): value for name, value in metrics.items()
        }
        steps, start = self._since
        batch_size = getattr(cast(Any, trainer).datamodule, "batch_size", None)
        if batch_size and trainer.global_step > steps:
            images = (trainer.global_step - steps) * batch_size * trainer.world_size
            short = {"img/s": f"{images / (time.perf_counter() - start):.0f}", **short}
        return short


class LastCheckpoints(Callback):
    """Keeps the last two checkpoints written, ``checkpoints/step-….ckpt``; one of them when training ends.

    Args:
        every_n_steps: iterations between two checkpoints.
    """

    keep = 2

    def __init__(self, every_n_steps: int = 1000) -> None:
        if every_n_steps < 1:
            raise ValueError(f"every_n_steps must be at least 1, got {every_n_steps}")
        self.every_n_steps = every_n_steps

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Save at every multiple."""
        if trainer.global_step % self.every_n_steps == 0:
            self._save(trainer)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """The end is worth keeping, whether or not it falls on a multiple, and a stop by a signal too."""
        if trainer.global_step % self.every_n_steps:
            self._save(trainer)

    def _save(self, trainer: Trainer) -> None:
        folder = Path(trainer.default_root_dir) / "checkpoints"
        trainer.save_checkpoint(folder / f"step-{trainer.global_step:07d}.ckpt")
        if trainer.is_global_zero:
            written = sorted(folder.glob("step-*.ckpt"), key=lambda path: path.stat().st_mtime_ns)
            for path in written[: -self.keep]:
                path.unlink()


class BestCheckpoint(ModelCheckpoint):
    """Keeps the checkpoint of the lowest ``val/score``, ``checkpoints/best.ckpt``."""

    def __init__(self) -> None:
        super().__init__(filename="best", monitor="val/score", mode="min", save_top_k=1, enable_version_counter=False)

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Into the run folder, whichever loggers there are."""
        self.dirpath = str(Path(trainer.default_root_dir) / "checkpoints")
        super().setup(trainer, pl_module, stage)

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Only where a score was measured."""
        if self.monitor in trainer.callback_metrics:
            super().on_validation_end(trainer, pl_module)


class StopOnSignal(Callback):
    """SIGTERM or Ctrl-C lets all processes end the current iteration together, then training, with a checkpoint.

    A second signal ends the process at once.
    """

    def __init__(self) -> None:
        self.received: int | None = None
        self._handlers: dict[signal.Signals, Any] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Take the signals over."""
        for number in (signal.SIGTERM, signal.SIGINT):
            self._handlers[number] = signal.signal(number, self._note)

    def _note(self, number: int, frame: FrameType | None) -> None:
        self.received = number
        self._restore()

    def _restore(self) -> None:
        for number, handler in self._handlers.items():
            signal.signal(number, handler)
        self._handlers = {}

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Decide together: a signal may have reached only one process."""
        if self._anywhere(trainer):
            rank_zero_info(f"\nStopping after iteration {trainer.global_step}, with a checkpoint")
            trainer.should_stop = True

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Give the signals back; all processes go on alike, even where one came after the last iteration."""
        self._restore()
        self._anywhere(trainer)

    def _anywhere(self, trainer: Trainer) -> bool:
        if trainer.strategy.reduce_boolean_decision(self.received is not None, all=False):
            self.received = self.received or signal.SIGTERM
        return self.received is not None
