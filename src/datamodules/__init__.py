"""Images and labels in, batches out. Importing this package loads nothing; its names load what they need."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamodules.base import ImageDataModule
    from datamodules.folders import DomainFolders
    from datamodules.synthetic import SyntheticFaces

__all__ = ["DomainFolders", "ImageDataModule", "SyntheticFaces"]

_HOMES = {"DomainFolders": "folders", "ImageDataModule": "base", "SyntheticFaces": "synthetic"}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"datamodules.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'datamodules' has no attribute {name!r}")
