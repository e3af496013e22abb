"""The whole way, as a user goes it: one command, drawn faces, a run folder with everything in it."""

import csv
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from translators import StarGAN, Target, checkpoints

ROOT = Path(__file__).parents[1]
ATTRIBUTES = ("Smiling", "Black_Hair", "Blond_Hair")
TINY = {
    "data": {
        "class_path": "datamodules.SyntheticFaces",
        "init_args": {"image_size": 32, "batch_size": 4, "num_workers": 0, "attributes": list(ATTRIBUTES)}
        | {"train_size": 32, "val_size": 8, "test_size": 8},
    },
    "model": {
        "class_path": "translators.StarGAN",
        "init_args": {"generator_width": 4, "discriminator_width": 4, "blocks": 1, "depth": 3, "n_critic": 2}
        | {"ema_decay": 0.9, "phases": [{"steps": 12}]},
    },
    "trainer": {"accelerator": "cpu", "devices": 1, "val_check_interval": 6, "log_every_n_steps": 2},
    "checkpoint": {"every_n_steps": 6},
}


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> tuple[Path, subprocess.CompletedProcess]:
    root = tmp_path_factory.mktemp("work")
    (root / "tiny.yaml").write_text(yaml.safe_dump(TINY))
    folder = root / "runs" / "stargan-synthetic" / "first"
    files = [ROOT / "experiments" / "defaults.yaml", root / "tiny.yaml"]
    options = [*(f"--config={file}" for file in files), f"--trainer.default_root_dir={folder}"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "WANDB_MODE": "offline", "XDG_CACHE_HOME": str(root / "cache")}
    command = [sys.executable, "-m", "translators", "fit", *options]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
    return folder, done


def test_it_ends_well_and_says_where_everything_is(finished):
    folder, done = finished
    assert done.returncode == 0, done.stderr[-5000:]
    named = [Path(word.rstrip("/")) for word in done.stdout.split() if word.startswith(str(folder)) and "*" not in word]
    assert {path.name for path in named} >= {"first", "step-0000012.png", "metrics.json", "metrics.csv", "checkpoints"}
    assert all(path.exists() for path in named)
    assert "Traceback" not in done.stdout + done.stderr


def test_nothing_lands_outside_of_the_run_folder(finished):
    folder, _ = finished
    root = folder.parents[2]
    assert {path.name for path in root.iterdir()} <= {"tiny.yaml", "runs", "cache"}


def test_the_folder_has_config_version_checkpoints_and_an_offline_run(finished):
    folder, _ = finished
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["data"]["init_args"]["attributes"] == list(ATTRIBUTES)
    assert json.loads((folder / "version.json").read_text())["torch"] == torch.__version__
    steps = {path.name for path in (folder / "checkpoints").iterdir()}
    assert steps == {"best.ckpt", "step-0000006.ckpt", "step-0000012.ckpt"}
    assert list((folder / "wandb").glob("offline-run-*/run-*.wandb"))
    assert list((folder / "wandb").glob("offline-run-*/files/media/images/*.png"))


def test_the_numbers_are_there(finished):
    folder, _ = finished
    numbers = json.loads((folder / "metrics.json").read_text())
    assert numbers
    with (folder / "metrics.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    logged = {row["metric"] for row in rows}
    assert {"discriminator/adv", "discriminator/gp", "generator/rec", "val/score"} <= logged
    assert any(name.startswith("test/") for name in logged)
    assert all(
        np.isfinite(float(row["value"])) for row in rows if row["metric"].startswith(("generator", "discriminator"))
    )


def test_the_grids_show_the_same_faces(finished):
    folder, _ = finished
    grids = [np.asarray(Image.open(path)) for path in sorted((folder / "grids").iterdir())]
    assert len(grids) == 2
    assert grids[0].shape == grids[1].shape
    assert (grids[0][24:120, :96] == grids[1][24:120, :96]).all()  # the first source
    assert grids[0][24:120, :96].std() > 10  # is a picture
    assert (grids[0] != grids[1]).any()


def test_the_result_can_be_used_from_python(finished):
    folder, _ = finished
    model = StarGAN.load(str(folder))
    assert model.attributes == ATTRIBUTES
    image = model(torch.zeros(1, 3, 32, 32), Target(label=torch.tensor([[1.0, 0.0, 1.0]]))).image
    assert image.shape == (1, 3, 32, 32)
    assert checkpoints.newest(folder).name == "step-0000012.ckpt"
