import csv

import pytest
import wandb
from pytorch_lightning.loggers.logger import DummyLogger, Logger

from tiny import Tiny, fit
from translators.callbacks import LastCheckpoints, TranslationGrid
from translators.checkpoints import newest
from translators.loggers import CsvLogger, GuardedLogger, loggers


def lines(folder):
    with (folder / "metrics.csv").open(newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture
def no_account(tmp_path, monkeypatch):
    """As on a machine that has never heard of Weights & Biases, and with no run of an earlier test going on."""
    wandb.finish()
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("NETRC", str(tmp_path / "home" / ".netrc"))
    yield
    wandb.finish()


# ----------------------------------------------------------------------------------------------------------------- CSV


def test_numbers_are_written_by_iteration(tmp_path):
    fit(Tiny(n_critic=2), tmp_path, 6, logger=CsvLogger(tmp_path), log_every_n_steps=2)
    rows = lines(tmp_path)
    assert {row["metric"] for row in rows} >= {"discriminator/adv", "discriminator/cls", "generator/rec"}
    assert [int(row["step"]) for row in rows if row["metric"] == "generator/rec"] == [1, 3, 5]
    assert all(float(row["value"]) > 0 for row in rows if row["metric"] == "generator/rec")


def test_a_resumed_run_goes_on_in_the_same_file(tmp_path):
    for steps, resume in ((3, False), (6, True)):
        logger = CsvLogger(tmp_path)
        path = newest(tmp_path) if resume else None
        saver = LastCheckpoints(every_n_steps=3)
        fit(Tiny(), tmp_path, steps, callbacks=[saver], resume=path, logger=logger, log_every_n_steps=1)
    assert [int(row["step"]) for row in lines(tmp_path) if row["metric"] == "generator/rec"] == [0, 1, 2, 3, 4, 5]
    assert (tmp_path / "metrics.csv").read_text().count("step,metric,value") == 1


def test_a_file_that_cannot_be_written_stops_nothing(tmp_path):
    (tmp_path / "metrics.csv").mkdir()
    with pytest.warns(UserWarning, match="training goes on without these numbers"):
        assert fit(Tiny(), tmp_path, 3, logger=CsvLogger(tmp_path), log_every_n_steps=1).global_step == 3


# ------------------------------------------------------------------------------------------------- a logger that fails


class Failing(DummyLogger):
    """Raises in one of its methods."""

    def __init__(self, method: str) -> None:
        super().__init__()
        self.method = method

    def fail(self, method):
        if method == self.method:
            raise ConnectionError(f"no network in {method}")

    def log_metrics(self, *args, **kwargs):
        self.fail("log_metrics")

    def log_hyperparams(self, *args, **kwargs):
        self.fail("log_hyperparams")

    def log_image(self, *args, **kwargs):
        self.fail("log_image")

    def finalize(self, *args, **kwargs):
        self.fail("finalize")


def make_none() -> Logger:
    raise ConnectionError("no network in make")


@pytest.mark.parametrize("method", ["make", "log_metrics", "log_hyperparams", "log_image", "finalize"])
def test_a_failing_logger_costs_a_warning_and_nothing_else(tmp_path, method):
    failing = GuardedLogger(make_none if method == "make" else lambda: Failing(method), "The logger")
    with pytest.warns(
        UserWarning, match=f"The logger failed and is left out from now on .no network in {method}"
    ) as all:
        trainer = fit(
            Tiny(),
            tmp_path,
            4,
            callbacks=[TranslationGrid(tile=16)],
            logger=[CsvLogger(tmp_path), failing],
            log_every_n_steps=1,
            limit_val_batches=1,
            val_check_interval=2,
        )
    assert trainer.global_step == 4
    assert sum("left out from now on" in str(warning.message) for warning in all) == 1
    assert [row["step"] for row in lines(tmp_path) if row["metric"] == "generator/rec"] == ["0", "1", "2", "3"]


# ---------------------------------------------------------------------------------------------------- Weights & Biases


def test_without_an_account_runs_stay_on_disk_with_their_pictures(tmp_path, no_account):
    folder = tmp_path / "tiny-memory" / "first"
    grid = TranslationGrid(tile=16)
    settings = {"log_every_n_steps": 1, "limit_val_batches": 1, "val_check_interval": 2}
    fit(Tiny(), folder, 2, callbacks=[grid], logger=loggers(folder), **settings)
    assert wandb.run.settings.mode == "offline"
    assert (wandb.run.name, wandb.run.group) == ("tiny-memory/first", "tiny-memory")
    wandb.finish()
    runs = list((folder / "wandb").glob("offline-run-*"))
    assert len(runs) == 1
    assert list(runs[0].glob("files/media/images/grid_*.png"))
    assert lines(folder)


@pytest.mark.parametrize(("mode", "folders"), [("disabled", 0), ("offline", 1)])
def test_WANDB_MODE_is_respected(tmp_path, no_account, monkeypatch, mode, folders):
    monkeypatch.setenv("WANDB_MODE", mode)
    fit(Tiny(), tmp_path, 2, logger=loggers(tmp_path), log_every_n_steps=1)
    wandb.finish()
    assert len(list(tmp_path.glob("wandb/offline-run-*"))) == folders
    assert lines(tmp_path)
