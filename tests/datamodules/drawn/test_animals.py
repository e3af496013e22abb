import time

import cv2
import numpy as np
import pytest

from datamodules.drawn.animals import KINDS, draw_animal
from datamodules.drawn.kinds import BREEDS
from datamodules.drawn.markings import MARKINGS


def test_an_animal_is_a_function_of_its_numbers():
    first = draw_animal(0, 3, "cat", 48)
    assert first.shape == (48, 48, 3) and first.dtype == np.uint8
    assert (first == draw_animal(0, 3, "cat", 48)).all()
    assert all((first != other).any() for other in (draw_animal(1, 3, "cat", 48), draw_animal(0, 3, "dog", 48)))


@pytest.mark.parametrize("kind", KINDS)
def test_no_two_of_a_kind_are_alike(kind):
    pictures = [draw_animal(0, number, kind, 32).astype(int) for number in range(40)]
    apart = [np.abs(one - other).mean() for row, one in enumerate(pictures) for other in pictures[:row]]
    assert min(apart) > 5


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_picture_is_the_large_one_reduced(kind):
    for number in range(6):
        large = cv2.resize(draw_animal(0, number, kind, 256), (64, 64), interpolation=cv2.INTER_AREA)
        assert np.abs(draw_animal(0, number, kind, 64).astype(int) - large).mean() < 4.0


def test_every_marking_can_be_drawn_and_is_worn():
    worn = {marking for breeds in BREEDS.values() for breed in breeds for marking in breed.markings}
    assert worn == set(MARKINGS)


def test_sizes_out_of_range_are_refused():
    with pytest.raises(ValueError, match=r"16\.\.512"):
        draw_animal(0, 0, "cat", 8)


def test_drawing_is_fast():
    draw_animal(0, 0, "wild", 128)
    assert min(_seconds(number) for number in range(20)) < 0.05  # far above what it takes, so a busy machine passes


def _seconds(number):
    start = time.perf_counter()
    draw_animal(0, number, "wild", 128)
    return time.perf_counter() - start
