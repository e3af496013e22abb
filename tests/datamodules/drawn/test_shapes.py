import math

import numpy as np
import pytest

from datamodules.drawn.shapes import Pose, Shape, blob, ellipse, mirrored, mix, paint, stroke, towards

STILL = Pose(0.0, 0.0, 1.0, 0.0, 0.0)


def painted(shape, pose=STILL, depth=0.0, side=400):
    canvas = np.zeros((side, side, 3), dtype=np.uint8)
    paint(canvas, [(depth, [shape])], pose)
    return canvas


def test_an_outline_passes_through_its_control_points():
    control = [(0.0, -0.5), (0.4, 0.1), (0.1, 0.6), (-0.5, 0.2)]
    outline = blob(control)
    assert all(np.abs(outline - point).sum(axis=1).min() < 1e-12 for point in control)


def test_a_stroke_passes_through_its_points_and_has_its_width_in_the_middle():
    points = stroke((-0.5, 0.0), (0.0, 0.2), (0.5, 0.0), 0.1)
    assert np.ptp(points[[6, 19], 1]) == pytest.approx(0.1)
    assert points[[6, 19]].mean(axis=0) == pytest.approx((0.0, 0.2))
    assert points[[0, -1]] == pytest.approx(np.array([(-0.5, 0.0), (-0.5, 0.0)]))


def test_a_circle_covers_its_area_and_moves_with_the_pose():
    disc = Shape(ellipse(0.0, 0.0, 0.4, 0.4, 64), (255.0, 0.0, 0.0))
    still = painted(disc)[..., 0] > 0
    assert still.mean() == pytest.approx(math.pi * 0.4**2 / 4, rel=0.03)
    moved = painted(disc, Pose(0.2, -0.1, 0.5, 0.3, 0.1), depth=2.0)[..., 0] > 0
    rows, columns = np.nonzero(moved)
    centre_x, centre_y = 0.2 + 0.5 * 0.2 * math.cos(0.3), -0.1 + 0.5 * 0.2 * math.sin(0.3)
    assert (columns.mean() + 0.5) / 200 - 1 == pytest.approx(centre_x, abs=0.01)
    assert (rows.mean() + 0.5) / 200 - 1 == pytest.approx(centre_y, abs=0.01)
    assert moved.sum() / still.sum() == pytest.approx(0.25, rel=0.05)


def test_a_soft_spot_adds_its_colour_and_fades():
    spot = painted(Shape(np.array([(0.0, 0.0)]), (200.0, 0.0, 0.0), radius=0.5))[200, :, 0].astype(int)
    assert spot[200] == pytest.approx(200, abs=2)
    assert (np.diff(spot[200:]) <= 0).all() and spot[-80:].max() == 0


def test_a_soft_spot_may_leave_the_canvas():
    painted(Shape(np.array([(3.0, 3.0)]), (200.0, 0.0, 0.0), radius=0.2))
    assert painted(Shape(np.array([(1.0, 1.0)]), (200.0, 0.0, 0.0), radius=0.2))[-1, -1, 0] > 150


def test_colours_and_mirrors():
    assert mix((0.0, 100.0, 50.0), (100.0, 0.0, 50.0), 0.25) == (25.0, 75.0, 50.0)
    assert towards((0.0, 100.0, 50.0), (100.0, 0.0, 50.0), 0.25) == (25.0, -25.0, 0.0)
    assert mirrored(np.array([(0.5, 0.2)])).tolist() == [[-0.5, 0.2]]
