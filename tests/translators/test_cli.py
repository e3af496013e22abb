import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
import yaml

from datamodules import SyntheticFaces
from tiny import STEPS, arguments, quiet
from translators import ADSPM, PerceptualNetwork, StarGAN, checkpoints
from translators.__main__ import main
from translators.cli import _suggestions, run

ROOT = Path(__file__).parents[2]


@pytest.fixture(autouse=True)
def no_wandb(monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "disabled")


def refused(capfd, *line: str) -> str:
    """What a user reads who gets no further: one sentence, exit status 1."""
    assert run(list(line)) == 1
    printed = capfd.readouterr().err
    assert "Traceback" not in printed
    sentence = next(text for text in printed.splitlines() if text.startswith("error: "))
    trace = Path(printed.split("(the traceback is in ")[1].split(")")[0])
    assert "Traceback" in trace.read_text()
    trace.unlink()
    return sentence


def usage_error(capfd, *line: str) -> str:
    with pytest.raises(SystemExit) as stopped:
        run(list(line))
    assert stopped.value.code == 2
    return capfd.readouterr().err


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run folder, and what was printed while it was made."""
    folder = tmp_path_factory.mktemp("runs") / "stargan-tiny" / "first"
    os.environ["WANDB_MODE"] = "disabled"
    with quiet() as printed:
        assert run(arguments(folder, "--grid=translators.callbacks.TranslationGrid")) == 0
    return folder, printed.getvalue()


# ---------------------------------------------------------------------------------------------------------------- help


def test_help_comes_at_once():
    start = time.perf_counter()
    done = subprocess.run([sys.executable, "-m", "translators", "--help"], capture_output=True, text=True, check=True)
    assert time.perf_counter() - start < 3
    assert done.stdout.startswith("usage: python -m translators {fit,validate,test}")


@pytest.mark.parametrize("argument", ["--help", "-h", "--version"])
def test_help_and_version_import_nothing_heavy(argument):
    code = (
        f"import sys; sys.argv[1:] = [{argument!r}]\n"
        "from translators.__main__ import main; main()\n"
        "print([name for name in ('torch', 'pytorch_lightning', 'jsonargparse', 'numpy') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_tells_of_animations(capsys, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["translators", "--help"])
    main()
    assert "python -m translators animate RUN PHOTO" in capsys.readouterr().out
    monkeypatch.setattr(sys, "argv", ["translators", "animate", "--help"])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    assert "--attribute NAME" in capsys.readouterr().out


# ---------------------------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize(
    "option",
    [
        "--trainer.max_stepz=3",
        "--trainer.max_step=3",  # not taken for max_steps
        "--model.n_critc=3",
        "--data.batchsize=3",
        "--checkpoint.every=3",
        "--optimizer=Adam",
    ],
)
def test_unknown_and_abbreviated_options_are_refused(tmp_path, capfd, option):
    printed = usage_error(capfd, *arguments(tmp_path, option))
    assert option.lstrip("-").split("=")[0].split(".")[-1] in printed
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--model.n_critic=often", "--trainer.max_steps=many", "--model.betas=0.5"])
def test_values_of_the_wrong_type_are_refused(tmp_path, capfd, option):
    assert option.split("=")[1] in usage_error(capfd, *arguments(tmp_path, option))


def test_counting_in_epochs_is_refused(tmp_path, capfd):
    sentence = refused(capfd, *arguments(tmp_path, "--trainer.max_epochs=3"))
    assert "in place of trainer.max_epochs set trainer.max_steps" in sentence


def test_a_run_folder_is_not_used_twice(finished, capfd):
    folder, _ = finished
    before = sorted((folder / "checkpoints").iterdir())
    assert f"make resume RUN={folder}" in refused(capfd, *arguments(folder))
    assert sorted((folder / "checkpoints").iterdir()) == before


@pytest.fixture
def domains(tmp_path):
    for split in ("train", "val", "test"):
        for shade, domain in enumerate(("happiness", "neutral")):
            folder = tmp_path / "faces" / split / domain
            folder.mkdir(parents=True)
            for number in range(4):
                cv2.imwrite(str(folder / f"{number}.png"), np.full((16, 16, 3), 40 * number + 100 * shade, np.uint8))
    return tmp_path / "faces"


def folders(root, run_folder, *more):
    line = [option for option in arguments(run_folder) if not option.startswith("--data")]
    return [line[0], "--data=datamodules.DomainFolders", f"--data.root={root}", "--data.cache=false", *line[1:], *more]


def test_an_unknown_domain_is_answered_with_the_nearest(domains, tmp_path, capfd):
    sentence = refused(capfd, *folders(domains, tmp_path / "run", "--data.domains=[neutral,hapiness]"))
    assert "there is no domain 'hapiness': did you mean 'happiness'?" in sentence


def test_an_unknown_attribute_is_answered_with_the_nearest(tmp_path, capfd):
    line = [option for option in arguments(tmp_path) if not option.startswith("--data")]
    line.insert(1, "--data=datamodules.SyntheticFaces")
    line.insert(2, "--data.attributes=[Smilling,Male]")
    assert "'Smilling': did you mean 'Smiling'?" in refused(capfd, *line)


def test_a_missing_folder(tmp_path, capfd):
    assert str(tmp_path / "nowhere") in refused(capfd, *folders(tmp_path / "nowhere", tmp_path / "run"))


def test_a_size_the_network_cannot_take(tmp_path, capfd):
    sentence = refused(capfd, *arguments(tmp_path, "--data.image_size=20"))
    assert "image_size 20 does not suit a discriminator of depth 3: use a multiple of 8, such as 16 or 24" in sentence


def test_more_images_in_a_batch_than_there_are(tmp_path, capfd):
    assert "choose a batch_size of at most 24" in refused(capfd, *arguments(tmp_path, "--data.batch_size=25"))


def test_a_missing_checkpoint(tmp_path, capfd):
    sentence = refused(capfd, *arguments(tmp_path / "run", f"--ckpt_path={tmp_path / 'nowhere.ckpt'}"))
    assert "nowhere.ckpt" in sentence
    assert "no checkpoint at" in sentence
    (tmp_path / "empty").mkdir()
    sentence = refused(capfd, *arguments(tmp_path / "run", f"--ckpt_path={tmp_path / 'empty'}"))
    assert "no intact checkpoint (step-*.ckpt)" in sentence


def test_a_damaged_checkpoint(tmp_path, capfd):
    (tmp_path / "damaged.ckpt").write_bytes(b"PK" + bytes(100))
    sentence = refused(capfd, *arguments(tmp_path / "run", f"--ckpt_path={tmp_path / 'damaged.ckpt'}"))
    assert "damaged.ckpt is cut short or is no checkpoint; take an earlier one" in sentence


def test_divergence_ends_with_the_last_checkpoint(tmp_path, capfd):
    poison = ["--trainer.callbacks+=tiny.Poison", "--trainer.callbacks.steps=[6,7,8,9,10,11]"]
    sentence = refused(capfd, *arguments(tmp_path, *poison, "--model.max_skipped=3"))
    assert "3 discriminator updates in a row were not finite" in sentence
    assert str(tmp_path / "checkpoints" / "step-0000005.ckpt") in sentence


# ------------------------------------------------------------------------------------------------------------- a run


def test_a_run_is_all_in_one_folder(finished):
    folder, _ = finished
    names = {path.name for path in folder.iterdir()}
    assert {"config.yaml", "version.json", "metrics.csv", "checkpoints", "grids"} <= names
    assert checkpoints.newest(folder).name == f"step-{STEPS:07d}.ckpt"
    facts = json.loads((folder / "version.json").read_text())
    assert facts["translators"] == "0.1.0"
    assert facts.keys() >= {"commit", "torch", "command"}


def test_the_model_learns_the_names_and_the_size_from_the_data(finished):
    folder, _ = finished
    model = StarGAN.load(str(folder))
    assert model.attributes == ("Smiling", "Young")
    assert model.hparams["one_hot"] is False
    assert model.discriminator.image_size == 16


def test_the_configuration_is_written_out_in_full(finished):
    folder, _ = finished
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert config["model"]["class_path"] == "translators.StarGAN"
    assert config["model"]["init_args"]["lambda_rec"] == 10.0
    assert config["model"]["init_args"]["phases"][1]["decay"] == 5
    assert config["seed_everything"] == 0


def test_the_last_words_name_what_exists(finished):
    folder, printed = finished
    assert f"Finished. The run folder is {folder}/" in printed
    named = [Path(word.rstrip("/")) for word in printed.split() if word.startswith(str(folder)) and "*" not in word]
    assert len(named) >= 4
    assert all(path.exists() for path in named)
    assert "To try next:" in printed


@pytest.mark.parametrize(
    ("recipe", "model", "root", "judge", "commands"),
    [
        (
            "stargan-quick-synthetic",
            StarGAN(["a"], image_size=64),
            None,
            None,
            [
                "make train MODEL=judge DATA=synthetic NAME=judge",
                "make evaluate RUN={folder} JUDGE=runs/judge-synthetic/judge",
            ],
        ),
        (
            "stargan-quick-synthetic",
            StarGAN(["a"], image_size=64),
            None,
            "runs/j",
            ["make train MODEL=stargan-small DATA=synthetic JUDGE=runs/j"],
        ),
        ("stargan-small-synthetic", StarGAN(["a"], image_size=64), None, "runs/j", []),
        (
            "judge-lfw-expressions",
            None,
            "my faces",
            None,
            ["make train MODEL=stargan-photos DATA=lfw-expressions 'DATA_DIR=my faces' JUDGE={folder}"],
        ),
        (
            "stargan-photos-folders",
            StarGAN(["a"], image_size=64),
            "faces",
            None,
            [
                "make train MODEL=judge DATA=folders DATA_DIR=faces 'ARGS=--data.init_args.domains=[cat,dog]' "
                "NAME=judge",
                "make evaluate RUN={folder} JUDGE=runs/judge-folders/judge",
            ],
        ),
        (
            "perception-horse2zebra",
            PerceptualNetwork(["a"], width=8),
            "horses",
            None,
            [
                "make train MODEL=sragan-quick DATA=horse2zebra DATA_DIR=horses "
                "'ARGS=--model.init_args.vgg={folder} --model.init_args.vgg_width=8'"
            ],
        ),
        ("mine", StarGAN(["a"], image_size=64), None, None, []),
    ],
    ids=["no judge", "judged", "judged, and long", "a judge", "chosen domains", "a perceptual network", "no recipe"],
)
def test_what_to_try_next_is_a_command_for_the_same_data(recipe, model, root, judge, commands, monkeypatch):
    monkeypatch.chdir(Path(__file__).parents[2])
    folder = Path("runs") / recipe / "x"
    data = SimpleNamespace(root=root, attributes=("cat", "dog"), one_hot=True) if root else SimpleNamespace()
    found = [command for _, command in _suggestions(folder, model, data, judge)]
    assert found == [command.format(folder=folder) for command in commands]


@pytest.mark.parametrize(
    ("settings", "options"),
    [
        ({"zoom": 1.7, "attributes": ["Smiling", "Big_Nose"]}, ["attributes=[Smiling,Big_Nose]", "zoom=1.7"]),
        ({"zoom": 1.0, "attributes": None, "presence": 0.2, "batch_size": 3}, ["presence=0.2"]),
        ({"zoom": 1.0, "attributes": None, "presence": None}, []),
    ],
)
def test_a_judge_is_suggested_for_the_very_pictures_and_labels(settings, options, tmp_path, monkeypatch):
    """Not for those that the recipe of that name would draw."""
    monkeypatch.chdir(Path(__file__).parents[2])
    folder = tmp_path / "adspm-quick-synthetic" / "x"
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(yaml.safe_dump({"data": {"init_args": settings}}))
    data = SyntheticFaces(**{**settings, "attributes": ["AU1"], "cache": False})
    (_, train), _ = _suggestions(folder, ADSPM(["a"]), data, None)
    given = " ".join(f"--data.init_args.{option}" for option in options)
    assert shlex.split(train) == [
        *("make", "train", "MODEL=judge", "DATA=synthetic"),
        *([f"ARGS={given}"] if given else []),
        "NAME=judge",
    ]


def test_a_run_animates_a_photo(finished, tmp_path, monkeypatch):
    folder, _ = finished
    photo, out = tmp_path / "me.png", tmp_path / "out"
    cv2.imwrite(str(photo), np.random.default_rng(0).integers(0, 256, (30, 40, 3), np.uint8))
    options = ["--attribute", "Smiling", "--frames", "2", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["translators", "animate", str(folder), str(photo), *options])
    with quiet() as printed, pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 0
    for name in ("strip.png", "animation.gif"):
        assert str(out / name) in printed.getvalue()
        assert (out / name).stat().st_size > 0


def test_a_resumed_run_remembers_what_it_began_with(tmp_path):
    with quiet():
        assert run(arguments(tmp_path, "--trainer.max_steps=2")) == 0
        begun = json.loads((tmp_path / "version.json").read_text())
        assert run(arguments(tmp_path, "--trainer.max_steps=3", f"--ckpt_path={tmp_path}")) == 0
    now = json.loads((tmp_path / "version.json").read_text())
    (went_on,) = now.pop("resumed")
    assert now == begun
    assert went_on.keys() == begun.keys()


def test_one_seed_is_for_everything(tmp_path):
    with quiet():
        assert run(arguments(tmp_path, "--seed_everything=7", "--trainer.max_steps=2")) == 0
    assert StarGAN.load(str(tmp_path)).hparams["seed"] == 7
    assert yaml.safe_load((tmp_path / "config.yaml").read_text())["seed_everything"] == 7


def test_a_finished_run_can_be_measured_and_then_trained_on(finished):
    """As ``make evaluate`` and ``make resume`` do: measuring leaves the training's configuration alone."""
    folder, _ = finished
    before = (folder / "config.yaml").read_text()
    measure = "--evaluate=metrics.Evaluate"
    with quiet() as printed:
        assert run(["test", "--config", str(folder / "config.yaml"), "--ckpt_path", str(folder), measure]) == 0
    assert (folder / "config.yaml").read_text() == before
    assert json.loads((folder / "metrics.json").read_text())["context"]["step"] == STEPS
    more = "--model.init_args.phases=[{steps: 7, name: first}, {steps: 11, decay: 5, name: second}]"
    with quiet() as printed:
        assert run(["fit", "--config", str(folder / "config.yaml"), "--ckpt_path", str(folder), more, measure]) == 0
    context = json.loads((folder / "metrics.json").read_text())["context"]
    assert (context["step"], context["checkpoint"]) == (18, None)
    assert checkpoints.newest(folder).name == "step-0000018.ckpt", printed.getvalue()


def test_a_signal_is_the_exit_status(tmp_path):
    stop = ["--trainer.callbacks+=tiny.Signal", "--trainer.callbacks.step=5"]
    with quiet() as printed:
        assert run(arguments(tmp_path, *stop)) == 128 + 15
    assert f"Stopped. The run folder is {tmp_path}/" in printed.getvalue()
    assert f"make resume RUN={tmp_path}" in printed.getvalue()
    assert checkpoints.newest(tmp_path).name == "step-0000006.ckpt"


# ------------------------------------------------------------------------------------------------------------ Makefile


@pytest.mark.parametrize(("variable", "listed"), [("MODEL", "stargan"), ("DATA", "synthetic")])
def test_make_answers_an_unknown_name_with_the_known_ones(variable, listed):
    command = ["make", "-n", "train", "MODEL=stargan", "DATA=synthetic", f"{variable}=nonsense"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode != 0
    assert "venv" not in done.stdout  # before anything is set up
    assert f"{variable}=nonsense is unknown; known:" in done.stderr
    assert listed in done.stderr


def test_make_help_lists_the_verbs():
    done = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    for verb in ("train", "resume", "evaluate", "test", "check"):
        assert f"\n  {verb} " in done.stdout
    assert "stargan" in done.stdout


@pytest.mark.parametrize("given", [[], ["IMAGE=me.jpg"], ["RUN=src"], ["RUN=runs/nowhere", "IMAGE=me.jpg"]])
def test_make_animate_asks_for_a_run_and_a_picture(given):
    done = subprocess.run(
        ["make", "-n", "--no-print-directory", "animate", *given], cwd=ROOT, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "venv" not in done.stdout
    assert "name a run folder (or a checkpoint) and a picture: make animate RUN=" in done.stderr


def test_make_animate_hands_everything_on():
    given = ["RUN=src", "IMAGE=my face.png", "ARGS=--attribute AU12 --frames 5"]
    done = subprocess.run(
        ["make", "-n", "--no-print-directory", "animate", *given], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert done.stdout.strip().endswith('-m translators animate "src" "my face.png" --attribute AU12 --frames 5')
