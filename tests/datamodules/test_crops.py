import cv2
import numpy as np
import pytest

from datamodules.celeba import CROPS
from datamodules.crops import PRESETS, Face, beyond, crop, paste

# A face as CelebA's 178x218 pictures have it: the average positions of its landmarks, to a pixel.
ALIGNED = np.array([[69.745, 111], [107.237, 111], [88, 135], [71.332, 152.514], [105.532, 152.514]])


def face(landmarks, box=(0, 0, 1, 1)) -> Face:
    return Face(np.array(box, dtype=float), np.array(landmarks, dtype=float))


def moved(points: np.ndarray, scale: float, degrees: float, shift: tuple[float, float]) -> np.ndarray:
    angle = np.deg2rad(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return scale * points @ turn.T + shift


def applied(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].T + matrix[:, 2]


def smooth_photo(height: int = 200, width: int = 240) -> np.ndarray:
    """Random waves of some 20 pixels, with full contrast."""
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(size=(height, width, 3)), (0, 0), 5)
    return (255 * (noise - noise.min()) / np.ptp(noise)).astype(np.uint8)


@pytest.mark.parametrize(("preset", "crop_name"), [("celeba", "centre"), ("bridgegan", "bridgegan")])
def test_a_face_that_is_aligned_already_is_cut_as_the_dataset_is(preset, crop_name):
    left, top, side, *_ = CROPS[crop_name]
    matrix = PRESETS[preset](face(ALIGNED)).matrix(side)
    np.testing.assert_allclose(matrix, [[1, 0, -left], [0, 1, -top]], atol=1e-9)


def test_celeba_undoes_any_turn_scale_and_shift():
    matrix = PRESETS["celeba"](face(moved(ALIGNED, 3.7, 25, (400, -30)))).matrix(178)
    np.testing.assert_allclose(applied(matrix, moved(ALIGNED, 3.7, 25, (400, -30))), ALIGNED - [0, 20], atol=1e-9)


def test_celeba_is_the_nearest_similarity_where_a_face_does_not_fit():
    landmarks = ALIGNED + np.random.default_rng(0).normal(scale=8, size=(5, 2))
    template, points = ALIGNED[[0, 1, 3]], landmarks[[0, 1, 3]]
    template[2], points[2] = ALIGNED[3:].mean(axis=0), landmarks[3:].mean(axis=0)
    # x' = a x - b y + c and y' = b x + a y + d, six equations for four unknowns
    equations = np.array([row for x, y in template for row in ([x, -y, 1, 0], [y, x, 0, 1])])
    a, b, c, d = np.linalg.lstsq(equations, points.ravel(), rcond=None)[0]
    corners = np.array([[-0.5, -0.5], [177.5, 177.5], [-0.5, 177.5]])
    inverse = cv2.invertAffineTransform(PRESETS["celeba"](face(landmarks)).matrix(178))
    expected = (corners + np.array([0, 20])) @ np.array([[a, -b], [b, a]]).T + [c, d]
    np.testing.assert_allclose(applied(inverse, corners), expected, atol=1e-9)


@pytest.mark.parametrize(("mouth", "side"), [(170, 3.6 * 70), (150, 4.0 * 60)])
def test_celeba_hq_is_the_papers_square(mouth, side):
    upright = face([[100, 100], [160, 100], [130, 130], [110, mouth], [150, mouth]])
    square = PRESETS["celeba-hq"](upright)
    assert square.centre == pytest.approx(130 + (100 + 0.1 * (mouth - 100)) * 1j)
    assert square.right == pytest.approx(side / 2)
    corners = np.array([[130 - side / 2, 100 + 0.1 * (mouth - 100) - side / 2]])
    np.testing.assert_allclose(applied(square.matrix(256), corners), [[-0.5, -0.5]], atol=1e-9)


def test_celeba_hq_of_a_turned_face_that_is_not_symmetric():
    points = moved(np.array([[100, 104], [150, 98], [130, 130], [108, 160], [150, 158]]), 1.0, 40, (90, 20))
    left, right, mouth = points[0], points[1], points[3:].mean(axis=0)
    across, up = right - left, (left + right) / 2 - mouth
    x = across - np.array([up[1], -up[0]])  # x' - rotate90(y'), in the paper's axes, of which y points up
    x *= max(4 * np.linalg.norm(across), 3.6 * np.linalg.norm(up)) / np.linalg.norm(x) / 2
    y = np.array([-x[1], x[0]])
    centre = (left + right) / 2 - 0.1 * up
    corners = np.array([centre - x - y, centre + x - y, centre + x + y])
    matrix = PRESETS["celeba-hq"](face(points)).matrix(256)
    np.testing.assert_allclose(applied(matrix, corners), [[-0.5, -0.5], [255.5, -0.5], [255.5, 255.5]], atol=1e-9)


def test_the_upright_squares_follow_the_longer_side_of_the_box():
    leaning = face(moved(ALIGNED, 1, 10, (0, 0)), box=(40, 50, 140, 200))
    middle = (leaning.landmarks[:2].mean(axis=0) + leaning.landmarks[3:].mean(axis=0)) / 2
    assert PRESETS["rafd"](leaning) == pytest.approx((90 + 125j, 120))
    assert PRESETS["ganimation"](leaning) == pytest.approx((complex(*middle), 60))


@pytest.mark.parametrize("preset", PRESETS)
def test_a_crop_does_not_depend_on_the_size_of_the_photo(preset):
    points = moved(ALIGNED, 1, 7, (0, 0))
    small, large = face(points, (40, 60, 140, 190)), face(3 * points + 1, 3 * np.array((40, 60, 140, 190)) + 1)
    shrink = np.array([[1 / 3, 0, -1 / 3], [0, 1 / 3, -1 / 3], [0, 0, 1]])  # the middle of three pixels is the second
    np.testing.assert_allclose(PRESETS[preset](small).matrix(64) @ shrink, PRESETS[preset](large).matrix(64), atol=1e-9)


def test_a_crop_of_whole_pixels_is_the_photos():
    photo = smooth_photo()
    assert np.array_equal(crop(photo, np.array([[1, 0, -30], [0, 1, -40]]), 64), photo[40:104, 30:94])


def test_a_quarter_turn():
    photo = smooth_photo(64, 64)
    assert np.array_equal(crop(photo, np.array([[0, 1, 0], [-1, 0, 63]]), 64), np.rot90(photo))


def test_shrinking_averages():
    photo = np.random.default_rng(0).integers(0, 256, (96, 96, 3)).astype(np.uint8)
    shrunk = crop(photo, np.array([[1 / 3, 0, -1 / 3], [0, 1 / 3, -1 / 3]]), 32)
    assert np.allclose(shrunk, photo.reshape(32, 3, 32, 3, 3).mean(axis=(1, 3)), atol=1)


def test_a_fine_pattern_becomes_grey_at_any_turn():
    checkers = (255 * (np.indices((300, 300)).sum(axis=0) % 2)).astype(np.uint8)[..., None].repeat(3, 2)
    square = PRESETS["celeba"](face(moved(ALIGNED, 1.0, 30, (70, -20))))
    inside = crop(checkers, square.matrix(40), 40)[8:-8, 8:-8]
    assert np.abs(inside.astype(int) - 127).max() < 40


def test_beyond_the_photo_its_edge_is_repeated():
    photo = smooth_photo(40, 40)
    expected = np.pad(photo, ((10, 10), (10, 10), (0, 0)), mode="edge")
    assert np.array_equal(crop(photo, np.array([[1, 0, 10], [0, 1, 10]]), 60), expected)


@pytest.mark.parametrize("size", [16, 100, 333])
@pytest.mark.parametrize("shift", [(80, 10), (-10, -20)])
def test_a_crop_pasted_unchanged_gives_the_photo_again(size, shift):
    photo = np.random.default_rng(0).integers(0, 256, (200, 240, 3)).astype(np.uint8)
    matrix = PRESETS["celeba"](face(moved(ALIGNED, 0.6, 20, shift))).matrix(size)
    assert np.array_equal(paste(photo, crop(photo, matrix, size), matrix), photo)


def test_what_was_not_changed_keeps_the_photos_detail():
    """A crop a quarter as fine, of noise, in whose left half a tint of 20 levels was added."""
    photo = np.random.default_rng(0).integers(60, 190, (240, 240, 3)).astype(np.uint8)
    matrix = np.array([[0.25, 0, -7.875], [0, 0.25, -7.875]])  # 48 pixels for the 192 from (30, 30) on
    changed = crop(photo, matrix, 48)
    changed[:, :24] += 20
    difference = paste(photo, changed, matrix).astype(int) - photo
    assert (difference[60:190, 60:110] == 20).all()
    assert (difference[60:190, 145:] == 0).all()


def test_what_would_be_beyond_white_or_black_is_white_or_black():
    stripes = np.tile(np.array([0, 255], np.uint8), (80, 40))[..., None].repeat(3, 2)
    matrix = np.array([[0.5, 0, -0.25], [0, 0.5, -0.25]])
    for level in (0, 255):
        pasted = paste(stripes, np.full((40, 40, 3), level, np.uint8), matrix).astype(int)
        expected = np.clip(stripes[10:70, 10:70].astype(int) + level - 127.5, 0, 255)
        assert np.abs(pasted[10:70, 10:70] - expected).max() <= 1


@pytest.mark.parametrize("corner", [(60, 50), (-10, -5), (220, 150)])
def test_outside_the_square_the_photo_stays_as_it_is(corner):
    photo = smooth_photo()
    matrix = PRESETS["celeba-hq"](face(moved(ALIGNED - [88, 130], 0.5, 33, corner))).matrix(90)
    pasted = paste(photo, np.zeros((90, 90, 3), np.uint8), matrix)
    positions = applied(matrix, np.stack(np.meshgrid(np.arange(240), np.arange(200)), axis=-1).astype(float))
    outside = (np.abs(positions - 44.5) > 45.001).any(axis=-1)
    assert np.array_equal(pasted[outside], photo[outside])
    deep = (np.abs(positions - 44.5) < 35).all(axis=-1)
    assert pasted[deep].max() <= 8  # what the crop, a little coarser, has not of the photo remains
    assert deep.any()


def test_no_seam_shows():
    white = np.full((200, 200, 3), 255, np.uint8)
    row = paste(white, np.zeros((100, 100, 3), np.uint8), np.array([[1, 0, -50], [0, 1, -50]]))[100, :, 0].astype(int)
    assert row[[49, 60, 139, 150]].tolist() == [255, 0, 0, 255]
    assert np.array_equal(row, row[::-1])
    assert (np.diff(row[:100]) <= 0).all()
    assert np.abs(np.diff(row)).max() < 45  # a cubic from 255 to 0 over ten pixels falls by at most 1.5 times 25.5


def test_a_square_beside_the_photo_changes_nothing():
    photo = smooth_photo()
    assert np.array_equal(paste(photo, np.zeros((50, 50, 3), np.uint8), np.array([[1, 0, -900], [0, 1, 0]])), photo)


def test_pasting_leaves_its_arguments_alone():
    photo, matrix = smooth_photo(), np.array([[1.0, 0, -50], [0, 1, -50]])
    before = photo.copy(), matrix.copy()
    paste(photo, np.zeros((50, 50, 3), np.uint8), matrix)
    assert np.array_equal(photo, before[0])
    assert np.array_equal(matrix, before[1])


def test_a_face_that_is_no_square():
    with pytest.raises(ValueError, match=r"expected a face of shape \(size, size, 3\), got \(50, 40, 3\)"):
        paste(smooth_photo(), np.zeros((50, 40, 3), np.uint8), np.eye(3)[:2])


def test_how_much_of_a_square_lies_beyond_the_photo():
    """A square of 10 pixels, moved over the corner of the photo by a half of its side both ways: three quarters."""
    photo = np.zeros((40, 30, 3), np.uint8)
    shares = [beyond(photo, np.array([[1.0, 0, x], [0, 1, y]]), 10) for x, y in ((0, 0), (5, 0), (5, 5), (50, 0))]
    assert np.allclose(shares, [0, 0.5, 0.75, 1], atol=0.03)
