from itertools import combinations

import numpy as np
import pytest

from datamodules.drawn.drawing import draw
from datamodules.drawn.emotions import EMOTIONS, action_units
from datamodules.drawn.identity import ACTION_UNITS, Identity
from datamodules.labels import EXPRESSIONS

# What EMFACS asks for at least.
PROTOTYPES = {
    "angry": {"AU4", "AU5", "AU7", "AU23"},
    "disgusted": {"AU9", "AU15"},
    "fearful": {"AU1", "AU2", "AU4", "AU5", "AU20", "AU26"},
    "happy": {"AU6", "AU12"},
    "neutral": set(),
    "sad": {"AU1", "AU4", "AU15"},
    "surprised": {"AU1", "AU2", "AU5", "AU26"},
}


def test_there_are_the_eight_and_each_has_its_units():
    assert tuple(EMOTIONS) == EXPRESSIONS
    for emotion, units in PROTOTYPES.items():
        assert units <= set(EMOTIONS[emotion]) <= set(ACTION_UNITS)
    assert action_units(0, 0, "neutral") == {}


def test_contempt_is_on_one_side_and_both_sides_occur():
    sides = [tuple(action_units(0, number, "contemptuous")) for number in range(40)]
    assert set(sides) == {("L14",), ("R14",)}


def test_a_person_shows_a_unit_as_strongly_in_every_emotion_and_people_differ():
    for number in range(20):
        fear, sadness, anger = (action_units(3, number, name) for name in ("fearful", "sad", "angry"))
        assert fear["AU1"] == sadness["AU1"]
        assert sadness["AU4"] == pytest.approx(0.5 * anger["AU4"])
        assert all(0.0 < value <= 1.0 for units in (fear, sadness, anger) for value in units.values())
    assert len({action_units(3, number, "happy")["AU12"] for number in range(20)}) == 20


@pytest.mark.parametrize("pair", list(combinations(EXPRESSIONS, 2)), ids="-".join)
def test_any_two_expressions_of_anybody_differ_plainly_at_64_pixels(pair):
    for number in range(20):
        person = Identity.sample(2, number)
        one, other = (draw(person, action_units(2, number, name), 64).astype(int) for name in pair)
        assert (np.abs(one - other).max(axis=2) > 20).sum() >= 12
