import time
from itertools import pairwise

import cv2
import numpy as np
import pytest

from datamodules.drawn.drawing import draw
from datamodules.drawn.identity import ACTION_UNITS, ATTRIBUTES, EXCLUSIVE, HABITS, Identity
from datamodules.labels import OPENFACE_UNITS

PEOPLE = [Identity.sample(11, index) for index in range(50)]
SIZE = 48
# Where an attribute may change the picture: rows, as shares of the height, over all poses.
ROWS = {
    **dict.fromkeys(("Smiling", "AU6"), (0.36, 0.97)),
    "AU10": (0.4, 0.9),
    **dict.fromkeys(("Mouth_Slightly_Open", "Goatee", "No_Beard", "Mustache", "Sideburns", "AU26"), (0.33, 1.0)),
    **dict.fromkeys(("Wearing_Lipstick", "AU12", "AU15", "AU17", "AU20", "AU25"), (0.5, 1.0)),
    **dict.fromkeys(("AU14", "AU23", "L14", "R14"), (0.5, 1.0)),
    **dict.fromkeys(("Big_Nose", "Pointy_Nose"), (0.4, 0.85)),
    **dict.fromkeys(("Arched_Eyebrows", "AU1", "AU2", "AU4", "AU5", "AU7", "AU43", "AU45"), (0.25, 0.65)),
    **dict.fromkeys(("Bangs", "Receding_Hairline"), (0.0, 0.62)),
    "Eyeglasses": (0.3, 0.75),
}


def asked(name, value):
    """The attribute alone, the rest of its group off."""
    group = next((members for members in EXCLUSIVE if name in members), ())
    return {**dict.fromkeys(group, 0.0), name: value}


def change(identity, name, size=SIZE):
    before, after = (draw(identity, asked(name, value), size).astype(int) for value in (0.0, 1.0))
    return np.abs(after - before).max(axis=2)


def test_a_picture_is_a_function_of_person_attributes_and_size():
    first = draw(PEOPLE[0], {"Smiling": 1.0}, SIZE)
    assert first.shape == (SIZE, SIZE, 3) and first.dtype == np.uint8
    assert (first == draw(PEOPLE[0], {"Smiling": 1}, SIZE)).all()


@pytest.mark.parametrize("size", [0, 15, 513])
def test_sizes_out_of_range_are_refused(size):
    with pytest.raises(ValueError, match=r"16\.\.512"):
        draw(Identity(), {}, size)


@pytest.mark.parametrize("size", [32, 64, 128])
def test_a_small_picture_is_the_large_one_reduced(size):
    for person in PEOPLE[:6]:
        large = cv2.resize(draw(person, {"Smiling": 1.0}, 256), (size, size), interpolation=cv2.INTER_AREA)
        assert np.abs(draw(person, {"Smiling": 1.0}, size).astype(int) - large).mean() < 4.0


def test_edges_are_antialiased():
    """Between two hair colours, pixels that hair covers in part change in part."""
    for person in PEOPLE[:6]:
        black, blond = (
            draw(person, asked(name, 1.0), 64).astype(int)[:, :, 0] for name in ("Black_Hair", "Blond_Hair")
        )
        changed = (blond - black)[blond != black]
        partly = (changed > 0.1 * np.median(changed)) & (changed < 0.6 * np.median(changed))
        assert partly.mean() > 0.04


@pytest.mark.parametrize("name", ATTRIBUTES)
def test_every_attribute_shows_on_everybody_and_stays_in_its_place(name):
    low, high = ROWS.get(name, (0.0, 1.0))
    for person in PEOPLE:
        changed = change(person, name)
        assert (changed > 12).sum() >= 3
        assert not changed[: int(low * SIZE)].any() and not changed[int(np.ceil(high * SIZE)) :].any()


@pytest.mark.parametrize(
    "name", ["Smiling", "Eyeglasses", "Bangs", "Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair"]
)
def test_what_must_be_read_at_32_pixels_is_plain_there(name):
    for person in PEOPLE:
        assert (change(person, name, 32) > 20).sum() >= 12


def test_hair_colours_tell_each_other_apart():
    colours = EXCLUSIVE[0]
    for person in PEOPLE[:20]:
        pictures = [draw(person, asked(name, 1.0), SIZE).astype(int) for name in colours]
        pictures.append(draw(person, dict.fromkeys(colours, 0.0), SIZE).astype(int))
        for index, first in enumerate(pictures):
            for second in pictures[:index]:
                assert (np.abs(first - second).max(axis=2) > 25).mean() > 0.04


@pytest.mark.parametrize("name", ACTION_UNITS)
def test_action_units_act_gradually(name):
    steps = np.linspace(0, 1, 9)
    distance, step = np.zeros(9), np.zeros(8)
    for person in PEOPLE[:12]:
        pictures = [draw(person, {name: float(value)}, 64).astype(float) for value in steps]
        distance += [np.abs(picture - pictures[0]).mean() for picture in pictures]
        step += [np.abs(after - before).mean() for before, after in pairwise(pictures)]
    assert (np.diff(distance) > 0).all()
    assert step.max() < 0.5 * distance[-1]


@pytest.mark.parametrize("name", OPENFACE_UNITS)
def test_every_unit_of_openface_is_plain_at_64_pixels(name):
    for person in PEOPLE:
        assert (change(person, name, 64) > 12).sum() >= 10


def coloured(units, colour, reach=40.0):
    """The rows and columns of the average person's pixels near a colour, the lips painted red."""
    picture = draw(Identity(brightness=1.0, contrast=0.0), {"Wearing_Lipstick": 1.0, **units}, 256)
    return np.nonzero(np.linalg.norm(picture.astype(float) - colour, axis=2) < reach)


RED, EYE_WHITE = (198, 21, 68), (250, 248, 244)


def test_a_tightened_lid_narrows_the_eye_and_keeps_it_open():
    rest, tight = (coloured({"AU7": value}, EYE_WHITE, 12.0) for value in (0.0, 1.0))
    assert 0.2 * len(rest[0]) < len(tight[0]) < 0.8 * len(rest[0])
    assert np.ptp(tight[0]) < np.ptp(rest[0]) and np.ptp(tight[1]) > 0.9 * np.ptp(rest[1])


def test_a_raised_lip_goes_up_and_the_lower_one_stays():
    rest, raised = (coloured({"AU10": value}, RED)[0] for value in (0.0, 1.0))
    assert raised.min() < rest.min() - 3 and abs(raised.max() - rest.max()) <= 1


def test_tightened_lips_are_thin_and_narrow():
    rest, tight = (coloured({"AU23": value}, RED) for value in (0.0, 1.0))
    assert len(tight[0]) < 0.6 * len(rest[0])
    assert np.ptp(tight[0]) < np.ptp(rest[0]) and np.ptp(tight[1]) < np.ptp(rest[1])


def test_a_one_sided_dimple_is_on_that_side_of_the_person():
    """Whose left is the picture's right; the nose of the average person is its middle."""
    left, right = (np.nonzero(change(Identity(), name, 128).max(axis=0))[0] for name in ("L14", "R14"))
    assert left.min() > 64 and right.max() < 63
    both = change(Identity(), "AU14", 128).max(axis=0)
    assert both[:64].any() and both[64:].any()


def test_an_attribute_and_an_action_unit_move_the_same_muscles():
    smile = change(PEOPLE[0], "Smiling") > 0
    pull = change(PEOPLE[0], "AU12") > 0
    assert (smile & pull).sum() > 0.8 * pull.sum()


def test_a_smile_shows_when_the_mouth_is_open():
    for person in PEOPLE[:20]:
        both = [draw(person, {"Smiling": value, "Mouth_Slightly_Open": 1.0}, SIZE).astype(int) for value in (0.0, 1.0)]
        assert (np.abs(both[1] - both[0]).max(axis=2) > 20).sum() >= 12


def test_binary_attributes_can_be_drawn_halfway():
    for name in HABITS:
        halves = [draw(PEOPLE[1], asked(name, value), SIZE).astype(int) for value in (0.0, 0.5, 1.0)]
        assert np.abs(halves[1] - halves[0]).sum() > 0 and np.abs(halves[2] - halves[1]).sum() > 0


def test_drawing_is_fast():
    draw(PEOPLE[0], {}, 64)
    best = min(_seconds(person) for person in PEOPLE[:20])
    assert best < 0.05  # an order of magnitude above what it takes, so that a busy machine passes


def _seconds(person):
    start = time.perf_counter()
    draw(person, {"Smiling": 1.0}, 64)
    return time.perf_counter() - start
