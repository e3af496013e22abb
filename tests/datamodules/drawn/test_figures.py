import math

import numpy as np
import pytest

from datamodules.drawn.figures import Figure, cover, draw_figure

FIGURES = [Figure.sample(4, number) for number in range(100)]


@pytest.mark.parametrize(("size", "share"), [(32, 0.02), (128, 0.005)])
def test_the_area_is_the_closed_form(size, share):
    """A square's exactly; a circle's rim, a ramp of one pixel, adds pi / 12 square pixels, and some by rounding."""
    for figure in FIGURES:
        reach = figure.reach * size
        assert cover(figure, False, size).sum() == pytest.approx(4 * reach**2, rel=1e-9)
        assert cover(figure, True, size).sum() == pytest.approx(math.pi * reach**2, rel=share)


def test_the_centre_of_mass_is_the_centre():
    places = np.arange(128) + 0.5
    for figure in FIGURES[:20]:
        for circle in (False, True):
            share = cover(figure, circle, 128)
            assert (share.sum(axis=0) @ places) / share.sum() == pytest.approx(128 * figure.x, abs=0.02)
            assert (share.sum(axis=1) @ places) / share.sum() == pytest.approx(128 * figure.y, abs=0.02)


def test_figures_lie_inside_and_use_the_range_of_sizes():
    reaches = [128 * figure.reach for figure in FIGURES]
    assert 12 <= min(reaches) < 13 and 29 < max(reaches) <= 30
    for figure in FIGURES:
        assert figure.reach <= min(figure.x, figure.y, 1 - figure.x, 1 - figure.y)


def test_colours_differ_and_fill_figure_and_ground():
    for figure in FIGURES:
        picture, share = draw_figure(figure, True, 64).astype(float), cover(figure, True, 64)
        assert np.abs(picture[share == 1] - figure.colour).max() <= 0.5
        assert np.abs(picture[share == 0] - figure.ground).max() <= 0.5
        assert np.linalg.norm(figure.colour - figure.ground) >= 120
