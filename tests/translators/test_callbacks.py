import os
import signal
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image
from pytorch_lightning import Callback, Trainer
from pytorch_lightning.loggers.logger import DummyLogger

from tiny import ATTRIBUTES, Signal, Tiny, TinyData, fit
from translators import Translation
from translators.callbacks import BestCheckpoint, LastCheckpoints, Progress, StopOnSignal, TranslationGrid
from translators.checkpoints import newest, read


class Scores(Callback):
    """Logs these validation scores, one after the other."""

    def __init__(self, *scores: float) -> None:
        self.scores = list(scores)

    def on_validation_epoch_end(self, trainer, pl_module):
        pl_module.log("val/score", self.scores.pop(0))


def kept(folder):
    return sorted(path.name for path in (folder / "checkpoints").iterdir())


def same_state(one, other) -> bool:
    if isinstance(one, torch.Tensor):
        return torch.equal(one, other)
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same_state(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(map(same_state, one, other))
    return one == other


# --------------------------------------------------------------------------------------------------------- checkpoints


def test_the_last_two_and_the_best_are_kept(tmp_path):
    callbacks = [LastCheckpoints(every_n_steps=2), BestCheckpoint(), Scores(3.0, 1.0, 2.0, 1.5)]
    fit(Tiny(), tmp_path, 9, callbacks=callbacks, limit_val_batches=1, val_check_interval=2)
    assert kept(tmp_path) == ["best.ckpt", "step-0000008.ckpt", "step-0000009.ckpt"]
    assert read(tmp_path / "checkpoints" / "best.ckpt")["global_step"] == 4


def test_the_best_is_still_the_best_after_resuming(tmp_path):
    settings = {"limit_val_batches": 1, "val_check_interval": 2}
    fit(
        Tiny(),
        tmp_path,
        4,
        callbacks=[LastCheckpoints(every_n_steps=3), BestCheckpoint(), Scores(1.0, 2.0)],
        **settings,
    )
    again = [LastCheckpoints(every_n_steps=3), BestCheckpoint(), Scores(3.0, 4.0)]
    fit(Tiny(), tmp_path, 8, callbacks=again, resume=tmp_path / "checkpoints" / "step-0000004.ckpt", **settings)
    assert read(tmp_path / "checkpoints" / "best.ckpt")["global_step"] == 2


def test_without_a_score_there_is_no_best_and_no_complaint(tmp_path):
    callbacks = [LastCheckpoints(every_n_steps=100), BestCheckpoint()]
    fit(Tiny(), tmp_path, 4, callbacks=callbacks, limit_val_batches=1, val_check_interval=2)
    assert kept(tmp_path) == ["step-0000004.ckpt"]


# ------------------------------------------------------------------------------------------------------------- signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_the_iteration_and_writes_a_checkpoint(tmp_path, number):
    before = signal.getsignal(number)
    stop = StopOnSignal()
    callbacks = [LastCheckpoints(every_n_steps=100), stop, Signal(3, number=number)]
    trainer = fit(Tiny(), tmp_path / "stopped", 8, callbacks=callbacks)
    assert trainer.global_step == 4
    assert stop.received == number
    assert kept(tmp_path / "stopped") == ["step-0000004.ckpt"]
    assert signal.getsignal(number) is before


def test_what_a_signal_stopped_goes_on_as_if_it_had_not(tmp_path):
    def train(folder, *callbacks, resume=None):
        torch.manual_seed(0)
        model = Tiny(n_critic=2, ema_decay=0.9, lr=0.01)
        fit(model, folder, 9, callbacks=[LastCheckpoints(every_n_steps=100), *callbacks], resume=resume)

    train(tmp_path / "whole")
    train(tmp_path / "parts", StopOnSignal(), Signal(4))
    train(tmp_path / "parts", resume=tmp_path / "parts" / "checkpoints" / "step-0000005.ckpt")
    whole, parts = (read(tmp_path / name / "checkpoints" / "step-0000009.ckpt") for name in ("whole", "parts"))
    for part in ("state_dict", "optimizer_states", "translator", "global_step"):
        assert same_state(whole[part], parts[part])


def test_a_second_signal_meets_the_handler_that_was_there_before(tmp_path):
    received = []

    class Twice(Callback):
        def on_train_batch_start(self, trainer, *_):
            if trainer.global_step == 2:
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)

    class Note(Callback):
        def on_train_start(self, *_):
            signal.signal(signal.SIGTERM, lambda *_: received.append("second"))

    before = signal.getsignal(signal.SIGTERM)
    try:
        fit(Tiny(), tmp_path, 8, callbacks=[Note(), StopOnSignal(), Twice()])
    finally:
        signal.signal(signal.SIGTERM, before)
    assert received == ["second"]


# ------------------------------------------------------------------------------------------------------------ pictures


class Copy(Tiny):
    """Translates nothing."""

    def translate(self, image, target):
        return Translation(image=image + 0 * super().translate(image, target).image)


class Exposing(Tiny):
    """Shows all that a translation may have; what moves is the right half, by a quarter of the side."""

    def translate(self, image, target):
        translation, flow = super().translate(image, target), torch.zeros_like(image[:, :2])
        flow[:, 0, :, 8:] = 0.5
        return Translation(
            image=translation.image,
            mask=torch.ones_like(image[:, :1]),
            flow=flow,
            extras={"warped": image, "depth": image[:, :1]},
        )


class WithTruth(TinyData):
    def counterfactual(self, split, index, label):
        assert split == "val"
        return -torch.ones(len(index), 3, 16, 16), torch.ones(len(index), 1, 16, 16)


class PictureLogger(DummyLogger):
    def __init__(self) -> None:
        super().__init__()
        self.logged = []

    def log_image(self, key, images, step=None):
        self.logged.append((key, step, images[0].size))


def grids(folder):
    return sorted((folder / "grids").iterdir())


def draw(folder, model, data=None, **settings):
    grid = TranslationGrid(images=6, tile=32)
    fit(model, folder, 4, data=data, callbacks=[grid], limit_val_batches=1, val_check_interval=2, **settings)
    return [np.asarray(Image.open(path)).astype(int) for path in grids(folder)]


def test_a_grid_is_drawn_at_every_validation(tmp_path):
    logger = PictureLogger()
    draw(tmp_path, Tiny(), logger=logger)
    assert [path.name for path in grids(tmp_path)] == ["step-0000002.png", "step-0000004.png"]
    assert [(key, step) for key, step, _ in logger.logged] == [("grid", 1), ("grid", 3)]  # beside the step's scalars


def test_the_sources_are_the_same_each_time_and_the_first_of_the_split(tmp_path):
    first, second = draw(tmp_path, Tiny(lr=0.1))
    sources = np.s_[8:, :32]
    assert (first[sources] == second[sources]).all()
    assert (first[8:, 34:] != second[8:, 34:]).any()
    rows = [first[8 + row * 36 : 40 + row * 36, :32] for row in range(6)]
    pictures = TinyData().records("val").pictures
    for row, shown in enumerate(rows):
        expected = Image.fromarray(pictures[row]).resize((32, 32), Image.Resampling.BICUBIC)
        assert abs(shown - np.asarray(expected).astype(int)).max() <= 1


def test_a_copied_picture_looks_like_its_source(tmp_path):
    sheet = draw(tmp_path, Copy())[-1]
    source, one, other = (sheet[8 + 20 : 8 + 32, x : x + 32] for x in (0, 34, 68))  # below the sign
    assert (source == one).all()
    assert (source == other).all()


def test_everything_that_a_translation_exposes_is_drawn(tmp_path):
    plain, rich = draw(tmp_path / "a", Tiny())[-1], draw(tmp_path / "b", Exposing(), WithTruth())[-1]
    lines = {"plain": (len(plain) - 8) / 6, "rich": (len(rich) - 8) / 6}
    assert lines == {"plain": 36, "rich": 7 * 34 + 2}  # translation, mask, motion, grid, warped, depth, truth
    assert plain.shape[1] == rich.shape[1] == (1 + len(ATTRIBUTES)) * 34
    top = 8 + 6 * 34
    assert (rich[top : top + 32, 34:66] == 0).all()  # the true pictures, here black
    assert (rich[8 + 34 : 8 + 66, 34:66] == 255).all()  # a mask that rewrites everything


def test_long_names_are_written_whole():
    class Named(Tiny):
        def translate(self, image, target):
            extras = {"background_of_the_exemplar": image}
            return Translation(image=super().translate(image, target).image, extras=extras)

    data = TinyData()
    data.setup("fit")
    sheet = np.asarray(TranslationGrid(images=1, tile=96).draw(Named(), next(iter(data.val_dataloader())), data))
    name = sheet[24 + 98 : 24 + 2 * 98, :96].mean(2) < 128
    assert 50 < np.flatnonzero(name.any(0))[-1] - np.flatnonzero(name.any(0))[0] < 94
    assert not name[:, :2].any()


def test_where_a_reference_decides_there_is_a_column_for_each_of_four_exemplars(tmp_path):
    class Exemplar(Tiny):
        guide = "reference"

        def translate(self, image, target):
            reference = image if target.reference is None else target.reference  # the loss's way back names none
            return Translation(image=-reference + 0 * super().translate(image, target).image)

    sheet = draw(tmp_path, Exemplar())[-1]
    assert sheet.shape[1] == (1 + 4) * 34
    assert (len(sheet) - 8) / 6 == 2 * 34 + 2  # exemplar and translation
    references = next(iter(TinyData().val_dataloader()))["reference"]
    for column in range(4):
        above, below = (sheet[8 + line * 34 + 12 : 40 + line * 34, 34 * (column + 1) :][:, :32] for line in (0, 1))
        expected = Image.fromarray(((references[column].permute(1, 2, 0).numpy() + 1) * 127.5).round().astype("uint8"))
        shown = np.asarray(expected.resize((32, 32), Image.Resampling.BICUBIC)).astype(int)
        assert abs(above - shown[12:]).max() <= 1
        assert abs(below.mean() - (255 - shown[12:]).mean()) < 5


def test_an_edit_that_a_model_cannot_make_is_drawn_as_asked_for_nothing(tmp_path):
    asked = []

    class OneWay(Tiny):
        def attainable(self, label, edits):
            return label[:, None].expand_as(edits)

        def translate(self, image, target):
            asked.append(torch.equal(target.label, target.source_label))
            return super().translate(image, target)

    model = OneWay()
    data = TinyData()
    data.setup("fit")
    batch = next(iter(data.val_dataloader()))
    TranslationGrid(images=4, tile=32).draw(model, batch, data)
    assert asked == [True, True]


def test_a_motion_is_drawn_in_colours_and_as_a_grid_that_it_bends(tmp_path):
    sheet = draw(tmp_path, Exposing())[-1]
    motion, grid = (sheet[8 + line * 34 : 40 + line * 34, 34:66] for line in (2, 3))
    assert (motion[:, :14] == 255).all()  # what does not move is white
    red, green, blue = motion[:, 18:].mean((0, 1))
    assert red > 200 > 50 > max(green, blue)  # the wheel begins with red, for the right
    dark = grid[10, :, 0] < 120  # between two lines across: of the lines down, at 2, 8 and 13 of 16 pixels,
    assert np.flatnonzero(dark).tolist() == [4, 5, 18, 19]  # the first stays, the last is seen at 13 - 3.75
    assert (abs(grid[10, 28:] - 127.5) <= 2).all()  # taken from beyond the picture


def test_a_grid_is_drawn_in_double_precision(tmp_path):
    fit(Tiny(), tmp_path, 2, callbacks=[TranslationGrid(tile=32)], precision="64-true", limit_val_batches=1)
    assert len(list((tmp_path / "grids").iterdir())) == 1


def test_motions_of_all_edits_are_drawn_in_one_unit(tmp_path):
    """Of two attributes the first moves twenty times as far: the second is pale."""

    class Unequal(Tiny):
        def translate(self, image, target):
            translation = super().translate(image, target)
            far = torch.where(target.label[:, 0] == 1, 0.2, 0.01)[:, None, None, None]
            return replace(translation, flow=far * torch.ones_like(image[:, :2]))

    class Each(TinyData):
        def edits(self, label):
            return torch.eye(2).expand(len(label), 2, 2)

    sheet = draw(tmp_path, Unequal(), Each())[-1].astype(float)
    first, second = (sheet[8 + 34 : 8 + 66, left : left + 32] for left in (34, 68))
    paleness = [255 - part.min(axis=2).mean() for part in (first, second)]
    assert paleness[0] > 150 and paleness[1] < 30


def test_drawing_leaves_the_training_as_it_was(tmp_path):
    def train(folder, *callbacks):
        torch.manual_seed(0)
        model = Tiny(ema_decay=0.9, lr=0.01)
        fit(model, folder, 6, callbacks=callbacks, limit_val_batches=2, val_check_interval=2)
        return model.state_dict()

    assert same_state(train(tmp_path / "a"), train(tmp_path / "b", TranslationGrid(tile=32)))


def test_a_signal_to_any_process_counts_for_all_though_it_came_after_the_last_iteration(tmp_path):
    class Together:
        def reduce_boolean_decision(self, decision, all):
            return True  # another process has received one

    stopping, trainer = StopOnSignal(), Trainer(logger=False, enable_progress_bar=False, accelerator="cpu")
    trainer.strategy.reduce_boolean_decision = Together().reduce_boolean_decision
    stopping.on_train_end(trainer, Tiny())
    assert stopping.received == signal.SIGTERM


# ------------------------------------------------------------------------------------------------------------ progress


def test_the_bar_shows_short_names_and_the_rate(tmp_path, capsys):
    progress = Progress(refresh_rate=1)
    trainer = fit(Tiny(), tmp_path, 3, callbacks=[progress], enable_progress_bar=True)
    shown = progress.get_metrics(trainer, trainer.lightning_module)
    assert {"D adv", "D cls", "G adv", "G cls", "G rec", "img/s"} <= shown.keys()
    assert float(shown["img/s"]) > 0
    assert not any("/" in name for name in shown if name != "img/s")
    assert "Training: 100%" in capsys.readouterr().out


@pytest.mark.parametrize("signalled", [False, True])
def test_the_bar_of_a_resumed_run_knows_its_end(tmp_path, capsys, signalled):
    if signalled:
        fit(Tiny(), tmp_path, 6, callbacks=[LastCheckpoints(every_n_steps=100), StopOnSignal(), Signal(2)])
    else:
        fit(Tiny(), tmp_path, 3, callbacks=[LastCheckpoints(every_n_steps=1)])
    progress = Progress(refresh_rate=1)
    fit(Tiny(), tmp_path, 6, callbacks=[progress], enable_progress_bar=True, resume=newest(tmp_path))
    assert "6/6" in capsys.readouterr().out
    assert progress.train_progress_bar.initial == 3
