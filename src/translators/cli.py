"""LightningCLI with the wiring of this project: constructor signatures are the configuration."""

from __future__ import annotations

import inspect
import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import traceback
import warnings
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from pytorch_lightning import Callback, LightningModule, Trainer
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.strategies import DDPStrategy
from pytorch_lightning.utilities.exceptions import MisconfigurationException

import translators
from translators import checkpoints
from translators.base import DivergedError, Translator
from translators.callbacks import BestCheckpoint, LastCheckpoints, Progress, StopOnSignal
from translators.loggers import loggers
from translators.perception import PerceptualNetwork
from translators.strategy import ReplicatedStrategy


class SaveTrainingConfig(SaveConfigCallback):
    """Writes ``config.yaml`` when training begins; measuring a run leaves it as it is, for resuming."""

    def setup(self, trainer: Trainer, pl_module: LightningModule, stage: str) -> None:
        """Only for training."""
        if stage == "fit":
            super().setup(trainer, pl_module, stage)


class TranslatorCLI(LightningCLI):
    """Links what data knows to the model that needs it; keeps a run in one folder, ``trainer.default_root_dir``."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """The links, and the callbacks that a configuration may set by name."""
        for name in ("attributes", "one_hot", "intensities", "image_size", "parts"):
            parser.link_arguments(f"data.{name}", f"model.init_args.{name}", apply_on="instantiate")
        for player in ("data", "model"):
            parser.link_arguments("seed_everything", f"{player}.init_args.seed", compute_fn=int)
        parser.add_lightning_class_args(LastCheckpoints, "checkpoint")
        parser.add_lightning_class_args(Callback, "grid", subclass_mode=True, required=False)
        parser.add_lightning_class_args(Callback, "evaluate", subclass_mode=True, required=False)

    def _parse_ckpt_path(self) -> None:
        """Nothing: a checkpoint brings weights and state, but does not overrule what the user configures."""

    def before_instantiate_classes(self) -> None:
        """A run folder may be named in place of a checkpoint: its newest intact one is meant.

        Raises:
            ValueError: if the run is to be counted in epochs, or would be mixed up with another.
        """
        config = self.config[self.subcommand]
        if config.trainer.max_epochs != -1:
            raise ValueError(
                "a run is counted in iterations, not in epochs: in place of trainer.max_epochs set trainer.max_steps, "
                "or the phases of the model"
            )
        if config.get("ckpt_path"):
            config.ckpt_path = str(checkpoints.resolve(config.ckpt_path))
        elif self.subcommand == "fit" and list(Path(config.trainer.default_root_dir or ".").glob("checkpoints/*.ckpt")):
            folder = config.trainer.default_root_dir
            raise ValueError(
                f"{folder} holds a run already: go on with it (make resume RUN={folder}), or give this one a NAME of "
                "its own"
            )

    def _instantiate_trainer(self, config: dict[str, Any], callbacks: list[Callback]) -> Trainer:
        """The trainer, with the run folder's loggers and, for a translator in several processes, plain replicas."""
        if config["enable_progress_bar"] is False:
            defaults = self.trainer_defaults["callbacks"]
            self.trainer_defaults["callbacks"] = [one for one in defaults if not isinstance(one, Progress)]

        def make(**settings: Any) -> Trainer:
            wanted = {
                **config,
                "callbacks": list(config["callbacks"] or []),
                "plugins": [*(config["plugins"] or []), checkpoints.AtomicCheckpointIO()],
                "logger": loggers(config["default_root_dir"]) if config["logger"] is None else config["logger"],
            }
            named = [callback for callback in callbacks if callback]  # a configuration may set one to null
            return super(TranslatorCLI, self)._instantiate_trainer({**wanted, **settings}, named)

        trainer = make()
        if isinstance(self.model, Translator) and type(trainer.strategy) is DDPStrategy:
            trainer = make(strategy=ReplicatedStrategy())
        return trainer

    def before_fit(self) -> None:
        """Write down which code runs."""
        if self.trainer.is_global_zero:
            _write_version(Path(self.trainer.default_root_dir))

    def after_fit(self) -> None:
        """Measure the finished model on the test images, and say where everything is."""
        if self._received_signal() is None:
            self.trainer.test(self.model, datamodule=self.datamodule, verbose=False)
        if self.trainer.is_global_zero:
            judge = next((judge for one in self._callbacks if (judge := getattr(one, "judge", None))), None)
            folder, finished = Path(self.trainer.default_root_dir), self._received_signal() is None
            print(_closing_words(folder, finished, self.model, self.datamodule, judge))

    def _received_signal(self) -> int | None:
        return next(callback.received for callback in self._callbacks if isinstance(callback, StopOnSignal))

    @property
    def _callbacks(self) -> list[Callback]:
        return self.trainer.callbacks  # type: ignore[attr-defined]  # Lightning sets it, untyped

    def exit_status(self) -> int:
        """0, or 128 + the number of the signal that stopped training, as shells have it."""
        received = self._received_signal()
        return 0 if received is None else 128 + received


def _write_version(folder: Path) -> None:
    """Note which code runs; a resumed run keeps the note of its beginning, and lists what went on with it."""
    commit = ""
    if shutil.which("git"):
        command = ["git", "describe", "--always", "--dirty"]
        commit = subprocess.run(
            command, cwd=Path(__file__).parent, capture_output=True, text=True, check=False
        ).stdout.strip()
    facts: dict[str, Any] = {
        "translators": translators.__version__,
        "commit": commit or None,
        "torch": torch.__version__,
        "command": ["python", "-m", "translators", *sys.argv[1:]],
    }
    folder.mkdir(parents=True, exist_ok=True)
    note = folder / "version.json"
    if note.exists():
        begun = json.loads(note.read_text())
        facts = {**begun, "resumed": [*begun.get("resumed", []), facts]}
    note.write_text(json.dumps(facts, indent=2) + "\n")


def _closing_words(folder: Path, finished: bool, model: Any, data: Any, judge: str | None) -> str:
    """Where the run's results are, and what to do next; names only what exists."""
    grids = sorted((folder / "grids").glob("step-*.png"))
    lines = ["", f"{'Finished' if finished else 'Stopped'}. The run folder is {folder}/", ""]
    if grids:
        lines.append(f"  the picture grid    {grids[-1]}")
    if (folder / "metrics.json").exists():
        lines.append(f"  the test's numbers  {folder / 'metrics.json'}")
    if (folder / "metrics.csv").exists():
        lines.append(f"  the losses          {folder / 'metrics.csv'}")
    lines += [
        f"  the checkpoints     {folder / 'checkpoints'}/",
        f"  the configuration   {folder / 'config.yaml'}",
        "",
        "To try next:",
    ]
    steps = [("go on where it stopped", f"make resume RUN={folder}")] if not finished else []
    steps += _suggestions(folder, model, data, judge)
    steps.append(("see every verb, model and dataset", "make help"))
    if list(folder.glob("wandb/offline-run-*")):
        steps.append(("send this run to Weights & Biases", f".venv/bin/wandb sync {folder}/wandb/offline-run-*"))
    for purpose, command in steps:
        lines += [f"  {purpose}", f"      {command}"]
    return "\n".join(lines)


def _suggestions(folder: Path, model: Any, data: Any, judge: str | None) -> list[tuple[str, str]]:
    """What may come next on the same data, each with its command; nothing where no recipe is known for the data."""
    recipes = [path.stem for path in Path("experiments/data").glob("*.yaml")]
    recipe = max((name for name in recipes if folder.parent.name.endswith(f"-{name}")), key=len, default=None)
    if recipe is None or getattr(data, "parts", None):  # no judge tells the attributes of several datasets
        return []
    root = getattr(data, "root", None)
    settings = {"DATA": recipe, "DATA_DIR": root, "ARGS": " ".join(_chosen(folder, recipe, data))}
    same = " ".join(shlex.quote(f"{name}={value}") for name, value in settings.items() if value)
    family = "ganimation" if getattr(data, "intensities", False) else "stargan"
    if isinstance(model, Translator):
        family = type(model).__name__.lower()
    longer = f"{family}-{'small' if root is None else 'photos'}"
    if not Path(f"experiments/models/{longer}.yaml").exists():
        longer = f"{family}-small"
    if isinstance(model, PerceptualNetwork):
        domains = len(getattr(data, "attributes", ())) == (2 if getattr(data, "one_hot", False) else 1)
        if not (domains or Path(f"experiments/sragan-quick-{recipe}.yaml").exists()):
            return []
        network = f"--model.init_args.vgg={folder} --model.init_args.vgg_width={model.hparams['width']}"
        settings["ARGS"] = f"{settings['ARGS']} {network}".strip()
        same = " ".join(shlex.quote(f"{name}={value}") for name, value in settings.items() if value)
        return [("train SRAGAN, which measures changes by this network", f"make train MODEL=sragan-quick {same}")]
    if not isinstance(model, Translator):
        return [("train a translator, measured by this judge", f"make train MODEL={longer} {same} JUDGE={folder}")]
    if judge is None:
        told = "errors of the action units" if getattr(data, "intensities", False) else "accuracies"
        return [
            (f"train a judge, for the {told}", f"make train MODEL=judge {same} NAME=judge"),
            ("let it measure this run", f"make evaluate RUN={folder} JUDGE=runs/judge-{recipe}/judge"),
        ]
    if folder.parent.name != f"{longer}-{recipe}":
        return [("train for longer", f"make train MODEL={longer} {same} JUDGE={shlex.quote(judge)}")]
    return []


def _chosen(folder: Path, recipe: str, data: Any) -> list[str]:
    """Options by which a run's pictures or labels are others than its recipe's: whoever judges them must know them."""
    if recipe == "folders":
        return [f"--data.init_args.domains=[{','.join(data.attributes)}]"]
    if not (folder / "config.yaml").exists():
        return []
    ours, usual = (
        yaml.safe_load(path.read_text())["data"].get("init_args") or {}
        for path in (folder / "config.yaml", Path(f"experiments/data/{recipe}.yaml"))
    )
    known = inspect.signature(type(data)).parameters
    options = []
    for name in ("attributes", "domains", "presence", "zoom"):
        value = ours.get(name)
        if value is not None and value != usual.get(name, known[name].default if name in known else None):
            shown = f"[{','.join(value)}]" if isinstance(value, list) else value
            options.append(f"--data.init_args.{name}={shown}")
    return options


def _sentence(error: BaseException) -> str:
    """What a user needs of an error: without what the parser, or a loader's worker process, wraps around it."""
    while str(error).startswith("Does not validate against any of the Union") and error.__cause__:
        error = error.__cause__
    text = str(error)
    return text.rstrip().rsplit("\n", 1)[-1] if text.startswith("Caught ") else text


def _is_other_than(chatter: str, record: logging.LogRecord) -> bool:
    return chatter not in record.getMessage()


def run(arguments: list[str] | None = None) -> int:
    """Run the command line; returns the exit status.

    What the user can mend (a missing folder, a wrong name, a damaged checkpoint, a full disk, divergence) ends in one
    sentence; the traceback goes to a file.
    """
    strict = {"allow_abbrev": False}
    command = dict.fromkeys(("prog", "usage"), "python -m translators")
    for message in (
        ".*LeafSpec.*",
        ".*does not have many workers.*",
        ".*your dataloader is not resumable.*",  # the batch sampler is: it starts at the trainer's step
        ".*on_after_batch_transfer.*",
        ".*Checkpoint directory .* exists and is not empty.*",
        ".*is smaller than the logging interval.*",
    ):  # said by libraries, and no concern of the user's
        warnings.filterwarnings("ignore", message=message)
    for source, chatter in (
        ("pytorch_lightning.utilities.rank_zero", "Tip:"),
        ("pytorch_lightning.trainer.connectors.checkpoint_connector", "`weights_only` was not set"),
    ):
        logging.getLogger(source).addFilter(partial(_is_other_than, chatter))
    torch.set_flush_denormal(True)  # before any thread pool starts: CPUs take many times longer over denormal numbers
    try:
        cli = TranslatorCLI(
            save_config_callback=SaveTrainingConfig,
            save_config_kwargs={"overwrite": True},
            trainer_defaults={
                "callbacks": [StopOnSignal(), Progress(), BestCheckpoint()],
                "max_epochs": -1,
                "use_distributed_sampler": False,
            },
            parser_kwargs={
                **strict,
                **command,
                **{
                    verb: {**strict, "usage": f"{command['usage']} {verb} [options]"}
                    for verb in ("fit", "validate", "test", "predict")
                },
            },
            seed_everything_default=0,
            auto_configure_optimizers=False,
            load_from_checkpoint_support=False,
            args=arguments,
        )
    except (ValueError, OSError, DivergedError, MisconfigurationException) as error:
        trace = Path(tempfile.gettempdir()) / f"translators-{os.getpid()}.log"
        trace.write_text(traceback.format_exc())
        print(f"\nerror: {_sentence(error)}\n(the traceback is in {trace})", file=sys.stderr)
        return 1
    return cli.exit_status()
