"""Faces drawn by this project: who a person is (`Identity`), what is asked of them, and the picture (`draw`)."""

from datamodules.drawn.drawing import draw
from datamodules.drawn.identity import ACTION_UNITS, ATTRIBUTES, EXCLUSIVE, Identity
from datamodules.drawn.scene import SIZES

__all__ = ["ACTION_UNITS", "ATTRIBUTES", "EXCLUSIVE", "SIZES", "Identity", "draw"]
