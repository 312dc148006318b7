"""Alignment of synthetic faces, turned and scaled by known amounts."""

import dataclasses

import cv2
import numpy as np
import pytest
from barcodes import barcode, write
from hypothesis import given
from hypothesis import strategies as st
from scripted import POINTS, Scripted

from fusion_dfd import config
from fusion_dfd.faces import align
from fusion_dfd.faces.extract import extract

SIZE, SCALE = 256, 1.3
PLACED = (align.TEMPLATE - align.CENTRE) * SIZE / (SCALE * align.FACE) + (SIZE - 1) / 2


def turned(degrees: float, zoom: float, shift=(150, 120)) -> np.ndarray:
    """float64 [5, 2], the template in a frame."""
    angle = np.radians(degrees)
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    return zoom * (align.TEMPLATE - align.CENTRE) @ turn.T + shift


def box(points: np.ndarray, margin: float = 0.0) -> np.ndarray:
    return np.concatenate([points.min(0) - margin, points.max(0) + margin])


def apply(matrix: np.ndarray, points: np.ndarray) -> np.ndarray:
    return points @ matrix[:, :2].astype(float).T + matrix[:, 2]


@pytest.mark.parametrize("degrees", [0, 17, -40, 90, 180])
@pytest.mark.parametrize("zoom", [0.3, 1, 4])
def test_a_turned_and_scaled_face_comes_back_upright(degrees, zoom):
    points = turned(degrees, zoom)
    matrix = align.transform(box(points)[None], points[None], SCALE, SIZE)
    assert (matrix.shape, matrix.dtype) == ((2, 3), np.float32)
    np.testing.assert_allclose(apply(matrix, points), PLACED, atol=1e-4)


def test_the_median_face_decides_and_not_a_frame_that_is_off():
    points = np.stack([turned(10, 1)] * 4 + [turned(80, 2)])
    matrix = align.transform(box(points[0])[None], points, SCALE, SIZE)
    np.testing.assert_allclose(apply(matrix, points[0]), PLACED, atol=1e-4)


def test_an_upright_face_in_the_middle_fills_the_crop_as_its_box_would():
    points = turned(0, 1)
    face = np.array([150 - 30, 120 - align.FACE / 2, 150 + 30, 120 + align.FACE / 2])
    matrix = align.transform(face[None], points[None], SCALE, SIZE)
    corners = apply(matrix, face.reshape(2, 2))
    np.testing.assert_allclose(corners[:, 1], (SIZE - 1) / 2 + np.array([-1, 1]) * SIZE / SCALE / 2, atol=1e-3)


coordinate = st.floats(0, 1000, width=32)


@given(
    st.lists(st.tuples(*[coordinate] * 4), min_size=1, max_size=4),
    st.lists(st.tuples(coordinate, coordinate), min_size=5, max_size=5),
)
def test_whatever_the_landmarks_every_box_is_shown_by_a_similarity(boxes, points):
    boxes = np.sort(np.array(boxes).reshape(-1, 2, 2), 1).reshape(-1, 4)
    matrix = align.transform(boxes, np.array([points]), SCALE, SIZE)
    assert np.isfinite(matrix).all()
    (a, b), (c, d) = matrix[:, :2]
    assert (a, b) == (d, -c)
    assert np.hypot(a, c) > 0
    corners = apply(matrix, boxes[:, [[0, 1], [2, 1], [2, 3], [0, 3]]])
    # float32 shifts of strongly magnified far corners are off by some pixels' millionths of their distance.
    slack = 0.01 + 1e-6 * np.hypot(a, c) * 2000
    assert corners.min() >= -0.5 - slack
    assert corners.max() <= SIZE - 0.5 + slack


@pytest.mark.parametrize(("degrees", "zoom"), [(0, 1.5), (25, 1), (-70, 3), (130, 0.5)])
def test_the_transform_is_what_the_warp_does(degrees, zoom):
    """A smooth picture, sampled where the inverse transform says, equals the crop."""
    y, x = np.mgrid[:500, :700].astype(np.float32)
    frame = np.stack([x * 0.35, y * 0.5, (x + y) / 5], -1)
    points = turned(degrees, zoom, (350, 250))
    matrix = align.transform(box(points)[None], points[None], SCALE, 96)
    got = align.warp(frame.astype(np.uint8), matrix, 96)
    assert (got.shape, got.dtype) == ((96, 96, 3), np.uint8)
    inverse = cv2.invertAffineTransform(matrix)
    v, u = np.mgrid[:96, :96]
    source = np.clip(np.stack([u, v, np.ones_like(u)], -1) @ inverse.T, 0, (699, 499))
    wanted = source * (0.35, 0.5)
    assert abs(got[..., :2] - wanted)[2:-2, 2:-2].max() < 1.6


def test_shrinking_does_not_alias():
    frame = np.zeros((600, 600, 3), np.uint8)
    frame[:, ::2] = 200
    points = turned(0, 4, (300, 300))
    matrix = align.transform(box(points)[None], points[None], SCALE, 64)
    assert abs(align.warp(frame, matrix, 64).astype(int) - 100).max() < 10  # sampling every 8th pixel gives 100


@given(st.integers(1, 40), st.integers(1, 40), st.floats(-180, 180), st.floats(0.02, 30), coordinate, coordinate)
def test_a_warp_never_fails_wherever_the_face_lies(height, width, degrees, zoom, x, y):
    points = turned(degrees, zoom, (x, y))
    matrix = align.transform(box(points)[None], points[None], SCALE, 32)
    got = align.warp(np.full((height, width, 3), 77, np.uint8), matrix, 32)
    assert (got == 77).all()


def test_an_aligned_clip_has_one_transform_and_the_boxes_and_frames_of_a_plain_one(tmp_path):
    path = write(tmp_path / "a.mp4", map(barcode, range(20)))
    options = config.Faces(every=4, min_size=8, size=32, clip_length=20)
    finder = Scripted(lambda index: [(5 + index / 4, 5, 30, 0.99)])
    (plain,) = extract(path, options, finder).clips
    (aligned,) = extract(path, dataclasses.replace(options, align=True), finder).clips
    for name in ("boxes", "scores", "indices"):
        np.testing.assert_array_equal(getattr(aligned, name), getattr(plain, name))
    source = aligned.boxes[:, None, :2] + POINTS * 30
    np.testing.assert_allclose(aligned.landmarks, apply(aligned.transform, source), atol=1e-3)
    assert aligned.frames.shape == plain.frames.shape
    assert np.ptp(aligned.landmarks[:, 2, 0]) > 3
