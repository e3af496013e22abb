"""The public datasets' words: CelebA's exclusions, RaFD's expressions, OpenFace's and EmotioNet's action units."""

from __future__ import annotations

from collections.abc import Sequence

HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
EXCLUSIVE = (HAIR_COLOURS,)
# What is cleared when the other is asked for: BridgeGAN's rules, and the last, which is of this project.
CONFLICTS = (("Bangs", "Receding_Hairline"), ("Bangs", "Bald"), ("No_Beard", "Goatee"))

EXPRESSIONS = ("angry", "contemptuous", "disgusted", "fearful", "happy", "neutral", "sad", "surprised")

# Action units by FACS number: those whose intensity OpenFace gives, in its order, and those of EmotioNet's lists.
OPENFACE_UNITS = tuple(f"AU{number}" for number in (1, 2, 4, 5, 6, 7, 9, 10, 12, 14, 15, 17, 20, 23, 25, 26, 45))
EMOTIONET_UNITS = tuple(f"AU{number}" for number in range(1, 61))


def groups_among(attributes: Sequence[str], groups: Sequence[tuple[str, ...]]) -> tuple[tuple[str, ...], ...]:
    """Of each group the members that are among the attributes, in their order; groups of fewer than two drop out."""
    present = (tuple(name for name in attributes if name in group) for group in groups)
    return tuple(group for group in present if len(group) > 1)


def checked_presence(presence: float | None) -> float | None:
    """The intensity in (0, 1] from which an action unit counts as present, or None for intensities as they are.

    Raises:
        ValueError: if it lies elsewhere.
    """
    if presence is not None and not 0 < presence <= 1:
        raise ValueError(f"presence must lie above 0 and up to 1, got {presence}")
    return presence
