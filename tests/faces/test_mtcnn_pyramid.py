"""Mosaics hold every pyramid level once, and places on them are traced back to the frame."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_dfd.faces.mtcnn import CELL, LONGEST, MULTIPLE, plan_mosaic, sample_patches


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2200), st.integers(1, 4000), st.integers(12, 200))
def test_levels_are_even_apart_and_inside(height, width, min_size):
    layout = plan_mosaic(height, width, min_size)
    if layout is None:
        assert min(height, width) < min_size or min(height, width) * LONGEST < 12 * max(height, width) + max(
            height, width
        )
        return
    assert layout.height % MULTIPLE == layout.width % MULTIPLE == 0
    free = np.ones((layout.height, layout.width), bool)
    for level in layout.levels:
        assert all(value % 2 == 0 for value in (level.x, level.y, level.width, level.height))
        assert min(level.width, level.height) >= CELL
        area = free[level.y : level.y + level.height, level.x : level.x + level.width]
        assert area.shape == (level.height, level.width)
        assert area.all()
        area[:] = False
        assert level.scale == (width / level.width, height / level.height)
    sizes = [level.width * level.height for level in layout.levels]
    assert sizes == sorted(sizes, reverse=True)
    assert min(layout.levels[-1].width, layout.levels[-1].height) == CELL
    assert max(layout.levels[0].width, layout.levels[0].height) <= LONGEST


def test_the_windows_cover_a_face_of_any_size_closely():
    """Whatever a face's size from min_size up, some window's side is within the pyramid's step of it."""
    sides = np.array([CELL * level.scale[0] for level in plan_mosaic(360, 640, 32).levels])
    assert sides.min() == pytest.approx(32, rel=0.05)
    assert (sides[1:] / sides[:-1] < 1 / 0.65).all()
    assert sides.max() == pytest.approx(360, rel=0.05)


def test_draw_shrinks_by_area(rng):
    frame = rng.integers(0, 255, (96, 144, 3), np.uint8)
    layout = plan_mosaic(96, 144, 24)
    first = layout.levels[0]
    assert (first.width, first.height) == (72, 48)
    mean = frame.reshape(48, 2, 72, 2, 3).mean((1, 3))
    drawn = layout.draw(frame)[first.y : first.y + 48, first.x : first.x + 72]
    assert abs(drawn - mean).max() <= 1


def test_pick_traces_a_window_back_to_the_frame():
    layout = plan_mosaic(160, 160, 32)
    for level in layout.levels:
        score = np.zeros((2, layout.height // 2 - 5, layout.width // 2 - 5))
        rows, columns = (level.height - CELL) // 2, (level.width - CELL) // 2
        score[1, level.y // 2 + rows, level.x // 2 + columns] = 1
        at, windows = level.pick(score, 0.6)
        assert score[at].tolist() == [1]
        assert at[0].tolist() == [1]
        side = CELL * 160 / level.width
        np.testing.assert_allclose(windows, [[160 - side, 160 - side, 160, 160]])
        for other in layout.levels:
            assert other is level or not len(other.pick(score, 0.6)[1])


def ramp(height: int, width: int) -> np.ndarray:
    """Red = x / 2, green = y / 2 at pixel centres counted from 0."""
    frame = np.zeros((height, width, 3), np.uint8)
    frame[..., 0], frame[..., 1] = np.arange(width)[None] // 2, np.arange(height)[:, None] // 2
    return frame


@pytest.mark.parametrize("side", [20, 48, 150, 300])
def test_patches_sample_the_places_they_should(side):
    """Sample k of a square lies at its corner + (k + 1/2) side / size, where pixel i spans i .. i + 1."""
    frame, size, corner = ramp(400, 500), 24, np.array([63.3, 41.7])
    patch = sample_patches(frame[None], np.zeros(1, int), np.array([[*corner, *(corner + side)]]), size)[0].astype(
        float
    )
    places = (np.arange(size) + 0.5) * side / size - 0.5
    assert abs(patch[..., 0] - (corner[0] + places)[None] / 2).max() < 1
    assert abs(patch[..., 1] - (corner[1] + places)[:, None] / 2).max() < 1


def test_patches_are_grey_outside_and_do_not_alias(rng):
    frame = rng.integers(0, 2, (1, 256, 256, 1), np.uint8).repeat(3, -1) * 255
    squares = np.array([[0.0, 0, 256, 256], [-300, -300, -200, -200]])
    inner, outer = sample_patches(frame, np.zeros(2, int), squares, 24)
    assert (outer == 127).all()
    assert inner.std() < 30
    assert abs(inner.mean() - 127.5) < 5
