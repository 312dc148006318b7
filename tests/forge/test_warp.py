"""Where the warp puts points, what it leaves alone, and how faces move: against plain arithmetic."""

import cv2
import numpy as np
import pytest
from talking_face import points, talking_face

from fusion_dfd.forge import motion
from fusion_dfd.forge.warp import edge_points, field, jitter, warp


def blob(x: float, y: float, shape=(80, 100)) -> np.ndarray:
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    return (200 * np.exp(-((columns - x) ** 2 + (rows - y) ** 2) / 8)).astype(np.float32)[..., None].repeat(3, -1)


def centre(picture: np.ndarray) -> np.ndarray:
    weight = picture[..., 0] / picture[..., 0].sum()
    rows, columns = np.indices(weight.shape)
    return np.array([(weight * columns).sum(), (weight * rows).sum()])


def around(x: float, y: float, reach: float = 14) -> np.ndarray:
    return np.array([x, y]) + reach * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])


def test_what_was_at_the_source_is_at_the_target():
    moved = warp(blob(40, 30), around(40, 30), around(52.5, 37.25))
    # OpenCV's cubic kernel itself shifts by up to 0.047 pixels between whole numbers.
    np.testing.assert_allclose(centre(moved), [52.5, 37.25], atol=0.06)


def test_nothing_changes_where_nothing_moves(rng):
    picture = rng.integers(0, 256, (61, 75, 3), dtype=np.uint8)
    place = rng.uniform(10, 50, (20, 2))
    np.testing.assert_array_equal(warp(picture, place, place), picture)
    one = place.copy()
    one[0] += 3
    out = warp(picture, place, one)
    assert (out != picture).any()
    for edge in (np.s_[0], np.s_[-1], np.s_[:, 0], np.s_[:, -1]):
        np.testing.assert_array_equal(out[edge], picture[edge])


def test_between_points_the_field_is_affine(rng):
    """Moved by one affine map within their hull, all points give that map at every pixel of it."""
    corners = np.array([[20.0, 10], [80, 15], [70, 60], [25, 65]])
    inside = rng.uniform(30, 55, (12, 2))
    target = np.concatenate([corners, inside])
    linear, shift = np.array([[1.05, 0.1], [-0.08, 0.93]]), np.array([2.0, -3.0])
    away, (x0, y0, x1, y1) = field(target @ linear.T + shift, target, (80, 100))
    hull = cv2.fillConvexPoly(np.zeros((80, 100), np.uint8), corners.astype(np.int32), 1)
    within = cv2.erode(hull, np.ones((3, 3), np.uint8))[y0:y1, x0:x1] > 0
    rows, columns = np.mgrid[y0:y1, x0:x1]
    pixels = np.stack([columns, rows], -1)[within]
    np.testing.assert_allclose(away[within], pixels @ linear.T + shift - pixels, atol=1e-3)


@pytest.mark.parametrize("shape", [(16, 16), (33, 47)])
def test_targets_that_coincide_cross_or_lie_outside_are_no_error(shape, rng):
    picture = rng.integers(0, 256, (*shape, 3), dtype=np.uint8)
    source = rng.uniform(2, 14, (30, 2))
    target = source.copy()
    target[10:20] = target[:10]
    target[20] = -50, 400
    target[21] = source[22]
    out = warp(picture, source, target)
    assert (out.shape, out.dtype) == (picture.shape, np.uint8)


def test_the_picture_moves_as_a_whole_where_its_edge_does():
    got = warp(blob(40, 30), around(40, 30), around(46, 33), np.array([-6.0, -3.0]) + 0 * edge_points((80, 100)))
    np.testing.assert_allclose(got[10:70, 10:90], blob(46, 33)[10:70, 10:90], atol=0.5)


def test_jitter_moves_real_faces_by_less_than_a_pixel():
    face = talking_face(8, 128, 128)
    mesh = face.mesh.copy()
    mesh[3] = np.nan
    first, again, second = (jitter(face.frames, mesh, np.random.default_rng(seed)) for seed in (1, 1, 2))
    assert first.tobytes() == again.tobytes() != second.tobytes()
    np.testing.assert_array_equal(first[3], face.frames[3])
    changed = [(one != frame).any() for one, frame in zip(first, face.frames, strict=True)]
    assert changed == [index != 3 for index in range(8)]
    smooth = np.linspace(0, 255, 128).round().astype(np.uint8)[None, :, None].repeat(128, 0).repeat(3, 2)
    moved = jitter(smooth[None].repeat(8, 0), face.mesh, np.random.default_rng(1)).astype(int) - smooth
    assert 0 < np.abs(moved).max() <= 4


def test_a_head_is_found_and_taken_out():
    shape = 50 * points() + 100
    turn = 1.2 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    mesh = np.stack([shape, shape @ turn.T + [7, -4]])
    heads = motion.to_frames(mesh, shape)
    np.testing.assert_allclose(heads[1], np.column_stack([turn, [7, -4]]), atol=1e-9)
    np.testing.assert_allclose(motion.steadied(mesh, heads), [shape, shape], atol=1e-9)
    np.testing.assert_allclose(motion.turned(mesh, shape), 0, atol=1e-9)
    narrow = shape * [0.7, 1]
    assert motion.turned(narrow[None], shape)[0] > motion.TURN


def test_a_mouth_closes_until_it_is_shut_and_opens_no_further_than_said():
    shape = 50 * points(opening=0.2)
    moves = 50 * (points(opening=0.0) - points(opening=0.3))[None] * np.array([0.5, 2, -5])[:, None, None]
    bounded = motion.bounded(shape, moves, most=0.6)
    np.testing.assert_allclose(bounded[0], moves[0])
    shut, wide = (motion.opening(motion.untangled(shape + move)) for move in bounded[1:])
    assert shut < 0.1
    assert wide <= 0.75
    brows = slice(36, 56)
    np.testing.assert_array_equal(bounded[:, brows], moves[:, brows])


def test_lips_that_cross_meet():
    shape = 50 * points(opening=-0.1)
    lower, upper = 88 + 20 + np.arange(1, 10), 88 + 20 + np.arange(11, 20)
    assert (shape[lower, 1] < shape[upper, 1]).any()
    np.testing.assert_allclose(motion.untangled(shape)[lower], motion.untangled(shape)[upper])
    np.testing.assert_array_equal(motion.untangled(50 * points()), 50 * points())


def test_rings_around_points_widen_their_hull():
    wide = motion.around(np.array([[0.0, 0], [10, 0]]), 2)
    np.testing.assert_allclose([wide.min(0), wide.max(0)], [[-2, -2], [12, 2]])
