"""Every model, every dataset and every pair of them is a configuration that the command line takes."""

import contextlib
import io
from pathlib import Path

import pytest
import yaml

from translators import Phase, StarGAN
from translators.cli import run

EXPERIMENTS = Path(__file__).parents[1] / "experiments"
MODELS = sorted(path.stem for path in (EXPERIMENTS / "models").glob("*.yaml"))
DATASETS = sorted(path.stem for path in (EXPERIMENTS / "data").glob("*.yaml"))
PAIRS = sorted(path.stem for path in EXPERIMENTS.glob("*-*.yaml"))
ASKED = [  # a pair without a file of its own is its two halves: each half once, and every pair that has one
    *((model, "synthetic") for model in MODELS),
    *(("stargan", data) for data in DATASETS),
    *((model, data) for model in MODELS for data in DATASETS if f"{model}-{data}" in PAIRS),
]


def resolved(model: str, data: str, *more: str) -> dict:
    """The configuration as ``make train`` puts it together, with every default filled in."""
    files = [
        EXPERIMENTS / "defaults.yaml",
        EXPERIMENTS / "data" / f"{data}.yaml",
        EXPERIMENTS / "models" / f"{model}.yaml",
    ]
    pair = EXPERIMENTS / f"{model}-{data}.yaml"
    files += [pair] if pair.exists() else []
    options = [option for file in files for option in ("--config", str(file))]
    with contextlib.redirect_stdout(io.StringIO()) as printed, pytest.raises(SystemExit) as stopped:
        run(["fit", *options, *more, "--print_config"])
    assert stopped.value.code in (0, None), printed.getvalue()
    return yaml.safe_load(printed.getvalue())


def class_name(kind: str, name: str) -> str:
    given = yaml.safe_load((EXPERIMENTS / kind / f"{name}.yaml").read_text())
    return given[kind.removesuffix("s")]["class_path"].split(".")[-1]


def test_there_are_models_and_datasets():
    assert {"stargan", "stargan-quick"} <= set(MODELS)
    assert {"synthetic", "lfw-expressions"} <= set(DATASETS)


def test_a_pairs_file_names_a_model_and_a_dataset():
    assert set(PAIRS) <= {f"{model}-{data}" for model in MODELS for data in DATASETS}


@pytest.mark.parametrize(("model", "data"), sorted(set(ASKED)))
def test_every_recipe_parses(model, data):
    config = resolved(model, data)
    assert config["model"]["class_path"].split(".")[-1] == class_name("models", model)
    assert config["data"]["class_path"].split(".")[-1] == class_name("data", data)
    assert config["trainer"]["check_val_every_n_epoch"] is None


def test_the_paper_is_the_default_of_the_class():
    settings = resolved("stargan", "synthetic")["model"]["init_args"]
    published = {"lr": 1e-4, "n_critic": 5, "lambda_cls": 1.0, "lambda_rec": 10.0, "lambda_gp": 10.0, "blocks": 6}
    assert {name: settings[name] for name in published} == published
    assert settings["phases"] is None  # which takes the paper's
    assert StarGAN.schedule == (Phase(steps=200_000, decay=100_000),)


@pytest.mark.parametrize(
    ("model", "published"),
    [
        ("cyclegan", {"lr": 2e-4, "n_critic": 1, "lambda_cyc_a": 10.0, "lambda_cyc_b": 10.0, "lambda_idt": 0.5}),
        ("ganimation", {"lr": 1e-4, "n_critic": 5, "lambda_cyc": 10.0, "lambda_mask": 0.1, "lambda_gp": 10.0}),
        ("adspm", {"lr": 1e-4, "n_critic": 5, "lambda_motion": 0.5, "lambda_mask": 1.0, "max_motion": 0.1}),
        (
            "sragan",
            {"lr": 2e-4, "n_critic": 1, "lambda_percept": None, "pool_size": 50, "vgg": "imagenet"},
        ),
        ("lomit", {"n_critic": 5, "lambda_cyc": 10.0, "lambda_pairwise": 0.1, "lambda_difference": 0.01}),
        ("bridgegan", {"lr": 2e-4, "n_critic": 5, "lambda_rec": 100.0, "lambda_cyc": 50 / 3, "noise_bank": False}),
        ("bridgegan-supplement", {"lambda_cyc": 100.0, "lambda_ak": 100.0, "lambda_sty": 50.0}),
        ("bridgegan-code", {"noise_bank": True, "lambda_ak": 50 / 3}),
        ("adspm-256", {"stage": 2, "low_weight": 0.4}),
        ("adspm-512", {"stage": 3, "low_weight": 0.5}),
    ],
)
def test_a_papers_recipe_leaves_its_numbers_to_the_class(model, published):
    settings = resolved(model, "synthetic")["model"]["init_args"]
    assert {name: settings[name] for name in published} == published
    assert settings["phases"] is None


def test_a_folder_and_a_judge_may_be_given():
    """As ``make train DATA_DIR=… JUDGE=…`` does; neither needs to be there to be understood."""
    more = "--data.init_args.root=/no/such/faces", "--evaluate.init_args.judge=/no/such/judge"
    config = resolved("stargan", "lfw-expressions", *more)
    assert config["data"]["init_args"]["root"] == "/no/such/faces"
    assert config["evaluate"]["init_args"]["judge"] == "/no/such/judge"
