"""The doctor's command line; it imports the libraries only when it runs, as they take seconds."""

from __future__ import annotations

import argparse
import io
from collections.abc import Sequence
from contextlib import redirect_stdout
from pathlib import Path
from typing import TYPE_CHECKING

from datamodules.recipes import data_section

if TYPE_CHECKING:
    from datamodules.base import ImageDataModule


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of ``run``."""
    parser.add_argument("config", type=Path, help="a YAML file with a data: section, such as experiments/data/x.yaml")
    parser.add_argument("--root", help="the dataset's folder, in place of the one in the file")
    parser.add_argument("--out", type=Path, help="folder for the report; else runs/inspect-<name of the file>")
    parser.epilog = "Any --data.init_args.NAME=VALUE may follow, as in training."


def run(options: argparse.Namespace) -> int:
    """Inspect a dataset, print the report and save it with its sheets.

    Args:
        options: what ``add_arguments`` describes.
    Returns:
        0 if training can start, 1 if not, 130 if interrupted.
    """
    from datamodules.inspection.findings import Finding
    from datamodules.inspection.report import Report, clear, inspect, loading

    folder = options.out or Path("runs") / f"inspect-{options.config.stem}"
    title, said = f"{options.config}" + (f", root {options.root}" if options.root else ""), io.StringIO()
    clear(folder)
    try:
        with redirect_stdout(said):
            data = build(options.config, options.root, options.overrides)
    except (ValueError, OSError, argparse.ArgumentError) as error:
        report = Report(title, [Finding("ERROR", "cannot be opened", str(error))])
    else:
        try:
            report = Report(title, [*loading(said.getvalue()), *inspect(data, folder)])
        except KeyboardInterrupt:
            print("interrupted: no report was written")
            return 130
    report.save(folder)
    print(report.text(), end="")
    return 0 if report.trainable else 1


def build(config: Path, root: str | None = None, overrides: Sequence[str] = ()) -> ImageDataModule:
    """The dataset of a YAML file, with types checked as in training.

    Args:
        config: has ``data:`` with ``class_path`` and ``init_args``; other sections, of a run's configuration, may be
            there.
        root: in place of ``init_args.root``.
        overrides: options as in training, ``--data.init_args.NAME=VALUE``.
    Raises:
        ValueError: if the file is no such YAML, or a value is not possible.
        argparse.ArgumentError: if an argument is unknown or of the wrong type.
        OSError: if the file or the dataset is not there.
    """
    from jsonargparse import ArgumentParser

    from datamodules.base import ImageDataModule

    section = data_section(config)
    section["init_args"] |= {"root": root} if root else {}
    parser = ArgumentParser(exit_on_error=False)
    parser.add_argument("--data", type=ImageDataModule, required=True)
    checked = parser.parse_object({"data": section})
    return parser.instantiate_classes(parser.parse_args(list(overrides), namespace=checked)).data
