"""Numbers from pictures. Importing this package loads nothing heavy; its names load what they need."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metrics.attributes import AttributeAccuracy, EditAccuracy
    from metrics.callbacks import Evaluate
    from metrics.classifier import AttributeClassifier
    from metrics.counterfactual import CounterfactualError
    from metrics.intensities import IntensityAgreement, IntensityError
    from metrics.masks import MaskAgreement
    from metrics.reconstruction import ReconstructionError
    from metrics.throughput import Throughput

__all__ = [
    "AttributeAccuracy",
    "AttributeClassifier",
    "CounterfactualError",
    "EditAccuracy",
    "Evaluate",
    "IntensityAgreement",
    "IntensityError",
    "MaskAgreement",
    "ReconstructionError",
    "Throughput",
]

_HOMES = {
    "AttributeAccuracy": "attributes",
    "AttributeClassifier": "classifier",
    "CounterfactualError": "counterfactual",
    "EditAccuracy": "attributes",
    "Evaluate": "callbacks",
    "IntensityAgreement": "intensities",
    "IntensityError": "intensities",
    "MaskAgreement": "masks",
    "ReconstructionError": "reconstruction",
    "Throughput": "throughput",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(import_module(f"metrics.{_HOMES[name]}"), name)
    raise AttributeError(f"module 'metrics' has no attribute {name!r}")
