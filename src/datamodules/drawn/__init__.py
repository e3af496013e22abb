"""Faces drawn by this project: who a person is (`Identity`), what is asked of them, and the picture (`draw`)."""

from datamodules.drawn.drawing import SIZES, draw
from datamodules.drawn.identity import ACTION_UNITS, ATTRIBUTES, EXCLUSIVE, Identity

__all__ = ["ACTION_UNITS", "ATTRIBUTES", "EXCLUSIVE", "SIZES", "Identity", "draw"]
