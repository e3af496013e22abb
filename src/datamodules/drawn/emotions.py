"""The eight expressions of the Radboud Faces Database as action units, in the combinations of EMFACS."""

from __future__ import annotations

from datamodules.drawn.identity import ACTION_UNITS, person_stream

# How far each unit goes on one who shows it fully. Contempt is one-sided: L14 or R14, by the person.
EMOTIONS: dict[str, dict[str, float]] = {
    "angry": {"AU4": 1.0, "AU5": 0.5, "AU7": 0.7, "AU17": 0.3, "AU23": 1.0},
    "contemptuous": {"L14": 1.0, "R14": 1.0},
    "disgusted": {"AU9": 1.0, "AU10": 0.9, "AU15": 0.5, "AU17": 0.4},
    "fearful": {"AU1": 1.0, "AU2": 0.7, "AU4": 0.6, "AU5": 1.0, "AU20": 1.0, "AU26": 0.45},
    "happy": {"AU6": 0.9, "AU12": 1.0, "AU25": 0.8},
    "neutral": {},
    "sad": {"AU1": 1.0, "AU4": 0.5, "AU15": 1.0, "AU17": 0.3},
    "surprised": {"AU1": 1.0, "AU2": 1.0, "AU5": 0.9, "AU15": 0.35, "AU23": 0.4, "AU25": 0.9, "AU26": 1.0},
}
LEAST = 0.75  # of the full intensity, for one who shows little
STRENGTHS = 3  # the random stream of how strongly a person shows each unit


def action_units(seed: int, number: int, emotion: str) -> dict[str, float]:
    """What a person's face does to show an emotion; each has their own strength of every unit, and their side.

    Args:
        seed: of the population.
        number: of the person in it.
        emotion: one of ``EMOTIONS``.
    Returns:
        Names to values in [0, 1], of the units that are not at rest.
    """
    side, *strengths = person_stream(seed, number, STRENGTHS).random(1 + len(ACTION_UNITS)).tolist()
    shown = {unit: LEAST + (1.0 - LEAST) * share for unit, share in zip(ACTION_UNITS, strengths, strict=True)}
    still = "L14" if side < 0.5 else "R14"
    return {unit: full * shown[unit] for unit, full in EMOTIONS[emotion].items() if unit != still}
