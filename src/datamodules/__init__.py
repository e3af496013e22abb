"""Images and labels in, batches out. Importing this package loads nothing; its names load what they need."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from datamodules.animals import SyntheticAnimals
    from datamodules.base import ImageDataModule
    from datamodules.celeba import CelebA
    from datamodules.celeba_hq import CelebAHQ
    from datamodules.digits import Digits
    from datamodules.emotionet import EmotioNet
    from datamodules.expressions import SyntheticExpressions
    from datamodules.folders import AFHQ, CelebAHQDomains, DomainFolders
    from datamodules.joint import JointData
    from datamodules.rafd import RaFD
    from datamodules.shapes import Shapes
    from datamodules.synthetic import SyntheticFaces
    from datamodules.unpaired import AlignedFolders, UnpairedFolders

__all__ = [
    "AFHQ",
    "AlignedFolders",
    "CelebA",
    "CelebAHQ",
    "CelebAHQDomains",
    "Digits",
    "DomainFolders",
    "EmotioNet",
    "ImageDataModule",
    "JointData",
    "RaFD",
    "Shapes",
    "SyntheticAnimals",
    "SyntheticExpressions",
    "SyntheticFaces",
    "UnpairedFolders",
]

_HOMES = {
    "AFHQ": "folders",
    "AlignedFolders": "unpaired",
    "CelebA": "celeba",
    "CelebAHQ": "celeba_hq",
    "CelebAHQDomains": "folders",
    "Digits": "digits",
    "DomainFolders": "folders",
    "EmotioNet": "emotionet",
    "ImageDataModule": "base",
    "JointData": "joint",
    "RaFD": "rafd",
    "Shapes": "shapes",
    "SyntheticAnimals": "animals",
    "SyntheticExpressions": "expressions",
    "SyntheticFaces": "synthetic",
    "UnpairedFolders": "unpaired",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"datamodules.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'datamodules' has no attribute {name!r}")
