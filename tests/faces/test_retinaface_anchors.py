"""Anchors, decoding and suppression against the same written out in plain Python."""

import numpy as np
import pytest
import retinas

from fusion_dfd.faces import retinaface

SIDES = (16, 32, 64, 128, 256, 512)


@pytest.mark.parametrize(("height", "width"), [(96, 128), (97, 33), (1, 1)])
def test_anchors_lie_by_stride_row_column_side(height, width):
    found = retinaface.make_anchors(height, width, (8, 16, 32), SIDES)
    np.testing.assert_array_equal(found, retinas.lay_anchors(height, width, SIDES))


def test_offsets_mean_what_the_formula_says(rng):
    grid = retinaface.make_anchors(40, 30, (8, 16, 32), SIDES)
    offsets, points = rng.normal(0, 2, (len(grid), 4)), rng.normal(0, 3, (len(grid), 5, 2))
    boxes, landmarks = retinaface.decode_boxes(grid, np.float32(offsets), np.float32(points))
    expected = [retinas.decode(*one) for one in zip(grid.tolist(), offsets, points, strict=True)]
    np.testing.assert_allclose(boxes, [box for box, _ in expected], rtol=1e-4, atol=1e-3)
    np.testing.assert_allclose(landmarks, [marks for _, marks in expected], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_suppression_is_greedy(seed):
    rng = np.random.default_rng(seed)
    corner, size = rng.integers(0, 30, (64, 2)), rng.integers(5, 25, (64, 2))
    boxes = np.concatenate([corner, corner + size], -1).astype(np.float32)
    kept = np.flatnonzero(retinaface.suppress(boxes, 0.4))
    assert kept.tolist() == retinas.suppress(boxes.tolist(), 0.4)


def test_a_suppressed_box_suppresses_none():
    boxes = np.array([[0, 0, 10, 10], [4, 0, 14, 10], [8, 0, 18, 10]], np.float32)
    assert retinaface.suppress(boxes, 0.4).tolist() == [True, False, True]
