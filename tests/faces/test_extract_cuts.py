"""Cuts in drawn footage: hard ones are found, everything else that changes fast is none."""

import cv2
import numpy as np
import pytest

from fusion_dfd.faces.extract import SHOT_SIDE, longest_shot, shot_starts


def scene(seed: int) -> np.ndarray:
    """uint8 [120, 400, 3], blotches."""
    wide = cv2.GaussianBlur(np.random.default_rng(seed).normal(0, 1, (120, 400)), (0, 0), 12)
    grey = np.clip(128 + 60 * wide / wide.std(), 0, 255).astype(np.uint8)
    return np.repeat(grey[..., None], 3, -1)


def small(frames: list[np.ndarray]) -> np.ndarray:
    return np.array(
        [cv2.resize(frame, (SHOT_SIDE, SHOT_SIDE), interpolation=cv2.INTER_AREA)[..., 0] for frame in frames]
    )


def pan(seed: int, count: int, speed: int = 2) -> list[np.ndarray]:
    """A camera that moves ``speed`` pixels a frame over a scene, 160 pixels wide, with noise."""
    noise = np.random.default_rng(seed)
    views = [scene(seed)[:, speed * k : speed * k + 160] for k in range(count)]
    return [cv2.add(view, noise.integers(0, 12, view.shape, np.uint8)) for view in views]


def test_hard_cuts_are_found_where_they_are():
    frames = pan(1, 12) + pan(2, 20) + pan(3, 7)
    assert shot_starts(small(frames)) == [12, 32]
    assert longest_shot(small(frames)) == range(12, 32)


@pytest.mark.parametrize("frames", [pan(1, 30), pan(1, 20, speed=12), pan(1, 1), pan(1, 2), []], ids=len)
def test_a_moving_camera_is_no_cut(frames):
    assert shot_starts(small(frames)) == []
    assert longest_shot(small(frames)) == range(len(frames))


def test_a_flash_is_no_cut():
    frames = pan(1, 20)
    frames[9] = np.full_like(frames[9], 255)
    assert shot_starts(small(frames)) == []


def test_a_dissolve_is_no_cut():
    first, second = pan(1, 30), pan(2, 30)
    frames = first[:10]
    frames += [cv2.addWeighted(first[k], 1 - (k - 9) / 11, second[k], (k - 9) / 11, 0) for k in range(10, 20)]
    assert shot_starts(small(frames + second[20:])) == []


def test_of_equal_shots_the_first_is_taken():
    assert longest_shot(small(pan(1, 8) + pan(2, 8))) == range(8)
