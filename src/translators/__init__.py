"""Translators: models that turn an image into its like in another domain, learnt without paired examples."""

from __future__ import annotations

import importlib
from typing import Any

_HOMES = {
    "ADSPM": "adspm",
    "Batch": "types",
    "BridgeGAN": "bridgegan",
    "CycleGAN": "cyclegan",
    "GANimation": "ganimation",
    "LOMIT": "lomit",
    "PerceptualNetwork": "perception",
    "Phase": "types",
    "SRAGAN": "sragan",
    "StarGAN": "stargan",
    "Target": "types",
    "Translation": "types",
    "Translator": "base",
}
__all__ = sorted(_HOMES)
__version__ = "0.1.0"


def __getattr__(name: str) -> Any:
    """Import a public name when it is first asked for: ``import translators`` stays light."""
    if name not in _HOMES:
        raise AttributeError(f"module 'translators' has no attribute {name!r}")
    return getattr(importlib.import_module(f"translators.{_HOMES[name]}"), name)
