"""Stabilising and optical flow on pictures whose motion is known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fusion_dfd.models import flow as optical
from fusion_dfd.models import geometry
from fusion_dfd.models.micro import motion

SIZE = 48
flow, strain = jax.jit(optical.flow), jax.jit(optical.strain)


def texture(x, y):
    """A picture in 0..1, defined everywhere, with as much contrast at every scale as natural pictures have (1 / f)."""
    draw = np.random.default_rng(3)
    total = 0.5
    for frequency in np.repeat((0.05, 0.08, 0.12, 0.2, 0.3, 0.45, 0.7, 1.0), 2):
        angle, phase = draw.uniform(0, 2 * np.pi, 2)
        total = total + 0.012 / frequency * np.sin(frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return total


def picture(matrix, size=SIZE):
    """The texture seen through x' = matrix @ (x, y, 1) (about the centre)."""
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    moved = np.einsum("ij,jyx->iyx", np.asarray(matrix), np.stack([x, y, np.ones_like(x)]))
    return texture(*moved).astype(np.float32)


def inner(image):
    return np.asarray(image)[..., 8:-8, 8:-8]


STILL = np.eye(2, 3)


@pytest.mark.parametrize(("u", "v"), [(0.3, 0.0), (0.0, -0.4), (0.8, 0.5), (-2.0, 1.5)])
def test_flow_of_a_translation(u, v):
    moved = np.array([[1, 0, -u], [0, 1, -v]])
    got_u, got_v = flow(jnp.asarray(picture(STILL))[None], jnp.asarray(picture(moved))[None])
    error = np.hypot(inner(got_u) - u, inner(got_v) - v)
    assert error.mean() < 0.1 * np.hypot(u, v)
    assert inner(strain(got_u, got_v)).mean() < 0.03


def test_flow_of_a_rotation_has_no_strain_and_of_a_stretch_has():
    size, angle = 2 * SIZE, 0.02
    still = jnp.asarray(picture(STILL, size))[None]
    turned = np.array([[np.cos(angle), np.sin(angle), 0], [-np.sin(angle), np.cos(angle), 0]])
    y, x = np.mgrid[:size, :size] - (size - 1) / 2
    want = np.stack([(np.cos(angle) - 1) * x - np.sin(angle) * y, np.sin(angle) * x + (np.cos(angle) - 1) * y])
    u, v = flow(still, jnp.asarray(picture(turned, size))[None])
    error = np.hypot(*inner(np.concatenate([u, v]) - want))
    assert error.mean() < 0.1 * np.hypot(*inner(want)).mean()
    bent = strain(*flow(still, jnp.asarray(picture(np.array([[1 / 1.04, 0, 0], [0, 1, 0]]), size))[None]))
    np.testing.assert_allclose(np.median(inner(bent)), 0.04, rtol=0.25)
    assert np.median(inner(strain(u, v))) < 0.015


def test_strain_by_hand():
    y, x = np.mgrid[:SIZE, :SIZE].astype(np.float32)
    got = strain(jnp.asarray(0.03 * x + 0.02 * y)[None], jnp.asarray(0.01 * y)[None])
    np.testing.assert_allclose(inner(got), np.sqrt(0.03**2 + 0.01**2 + 2 * 0.01**2), rtol=1e-3)


def test_flow_of_nothing_is_exactly_zero(rng):
    image = jnp.asarray(rng.uniform(size=(2, SIZE, SIZE)), jnp.float32)
    for field in flow(image, image):
        np.testing.assert_array_equal(field, 0)
    flat = jnp.full((1, SIZE, SIZE), 0.5)
    for field in flow(flat, flat + 0.1):
        assert np.abs(field).max() < 1e-3


def test_similarity_recovers_a_known_one(rng):
    points = rng.normal(size=(5, 2)).astype(np.float32)
    a, b, shift = 1.3, -0.4, np.array([3.0, -2.0])
    target = points @ np.array([[a, b], [-b, a]]) + shift
    got = geometry.similarity(points, jnp.asarray(target, jnp.float32))
    np.testing.assert_allclose(got, [[a, -b, 3.0], [b, a, -2.0]], atol=1e-5)


def test_template_comes_to_lie_on_itself(rng):
    frames = jnp.asarray(rng.integers(0, 256, (1, 2, SIZE, SIZE, 3), dtype=np.uint8))
    landmarks = jnp.asarray(np.tile(geometry.TEMPLATE * SIZE, (1, 2, 1, 1)))
    got = geometry.stabilise(frames, landmarks, jnp.array([2]), SIZE)
    np.testing.assert_allclose(got, frames, atol=0.1)


def test_smoothing_keeps_steady_motion_and_removes_jitter(rng):
    time = np.arange(16)
    steady = rng.normal(size=(1, 1, 5, 2)) + 0.7 * time[None, :, None, None]
    length = jnp.array([12])
    got = geometry.smooth(jnp.asarray(steady, jnp.float32), length)
    np.testing.assert_allclose(got[:, :12], steady[:, :12], atol=1e-2)
    jitter = rng.normal(size=(1, 16, 5, 2))
    assert np.std(geometry.smooth(jnp.asarray(steady + jitter, jnp.float32), length)[:, :12] - steady[:, :12]) < 0.6


@pytest.mark.parametrize("length", [0, 1])
def test_smoothing_of_very_short_clips(length, rng):
    landmarks = rng.normal(size=(1, 70, 5, 2)).astype(np.float32)
    got = geometry.smooth(jnp.asarray(landmarks), jnp.array([length]))
    want = landmarks[:, :1] if length else np.zeros((1, 1, 5, 2))
    np.testing.assert_allclose(got, np.broadcast_to(want, got.shape), atol=1e-4)


def head_motion(frames: int):
    """A slow similarity motion: clip [1, t, s, s, 3] uint8 of one rigid picture, and its landmarks."""
    clip, landmarks = [], []
    centre = np.float32((SIZE - 1) / 2)
    for now in range(frames):
        angle, scale, shift = 0.01 * now, 1 + 0.004 * now, np.array([0.3 * now, -0.2 * now])
        turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
        back = np.linalg.inv(turn)
        clip.append(picture(np.concatenate([back, -(back @ shift)[:, None]], axis=1)))
        landmarks.append((geometry.TEMPLATE * SIZE - centre) @ turn.T + shift + centre)
    clip = np.clip(np.round(255 * np.stack(clip)), 0, 255).astype(np.uint8)
    return jnp.asarray(np.repeat(clip[None, ..., None], 3, -1)), jnp.asarray(np.stack(landmarks)[None], jnp.float32)


def test_stabilising_removes_a_known_head_motion():
    clip, landmarks = head_motion(8)
    still = geometry.stabilise(clip, landmarks, jnp.array([8]), SIZE)[0, :, 12:-12, 12:-12]
    moving = np.asarray(clip, np.float32)[0, :, 12:-12, 12:-12]
    before, after = np.abs(np.diff(moving, axis=0)).mean(), np.abs(np.diff(still, axis=0)).mean()
    assert after < 0.25 * before


def test_large_frames_are_averaged_before_they_are_sampled():
    y, x = np.mgrid[:240, :240]
    frames = np.repeat(((x + y) % 2 * 255).astype(np.uint8)[None, None, ..., None], 3, -1)
    landmarks = jnp.asarray((geometry.TEMPLATE * 240)[None, None])
    got = geometry.stabilise(jnp.asarray(frames), landmarks, jnp.array([1]), 48)
    np.testing.assert_allclose(got, 127.5, atol=1.0)


@pytest.mark.parametrize(("inputs", "channels"), [(("rgb",), 3), (("difference",), 3), (("flow",), 3)])
def test_motion_channels(inputs, channels, rng):
    faces = jnp.asarray(rng.uniform(0, 255, size=(2, 3, SIZE, SIZE, 3)), jnp.float32)
    got = motion(faces, inputs)
    assert got.shape == (2, 3, SIZE, SIZE, channels)
    assert np.abs(got).max() <= 2
    if inputs != ("rgb",):
        np.testing.assert_array_equal(got[:, 0], 0)
        assert np.abs(got[:, 1:]).max() > 0.1
    if inputs != ("flow",):
        np.testing.assert_array_equal(jax.grad(lambda faces: motion(faces, inputs).sum())(faces), 0)


def test_difference_by_hand():
    faces = jnp.zeros((1, 2, SIZE, SIZE, 3)).at[0, 1].set(8.0)
    np.testing.assert_allclose(motion(faces, ("difference",))[0, 1], np.tanh(0.5), rtol=1e-6)
