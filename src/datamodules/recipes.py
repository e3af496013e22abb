"""The data section of a recipe, as ``experiments/data/*.yaml`` have it, and of a run's ``config.yaml``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any


def data_section(config: Path) -> dict[str, Any]:
    """``class_path`` and ``init_args`` of the data in a YAML file.

    Raises:
        ValueError: if the file is no YAML or has no such section.
        OSError: if it cannot be read.
    """
    import yaml

    try:
        document = yaml.safe_load(config.read_text("utf-8"))
    except yaml.YAMLError as error:
        raise ValueError(f"{config} is no YAML: {error}") from error
    section: Any = document.get("data") if isinstance(document, dict) else None
    if not isinstance(section, dict) or "class_path" not in section:
        raise ValueError(f"{config} has no data: section with a class_path, as experiments/data/synthetic.yaml has it")
    return {"class_path": section["class_path"], "init_args": dict(section.get("init_args") or {})}


def class_of(section: dict[str, Any]) -> Any:
    """The class that a section names.

    Raises:
        ValueError: if there is none of that name.
    """
    package, _, name = str(section["class_path"]).rpartition(".")
    try:
        return getattr(import_module(package), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(f"there is no class {section['class_path']}") from error
