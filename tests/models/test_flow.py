"""Dense flow of whole frames against known motion, and against OpenCV on the same pictures."""

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fusion_dfd.models import flow as optical
from fusion_dfd.models.flow_lstm import anomaly, flow_pictures

HEIGHT, WIDTH = 160, 200
dense = jax.jit(optical.dense)


def similarity(angle=0.0, zoom=1.0, u=0.0, v=0.0) -> np.ndarray:
    """Matrix [3, 3] that moves a point (x, y, 1) of one frame to its place in the next, about the centre."""
    c, s = zoom * np.cos(angle), zoom * np.sin(angle)
    return np.array([[c, -s, u], [s, c, v], [0, 0, 1]])


def grid() -> np.ndarray:
    y, x = np.mgrid[:HEIGHT, :WIDTH] - np.array([(HEIGHT - 1) / 2, (WIDTH - 1) / 2])[:, None, None]
    return np.stack([x, y, np.ones_like(x)])


def picture(motion: np.ndarray) -> np.ndarray:
    """uint8 [h, w]: waves of all lengths, with as much contrast at every scale as natural pictures have, moved."""
    x, y, _ = np.einsum("ij,jyx->iyx", np.linalg.inv(motion), grid())
    draw = np.random.default_rng(3)
    total = np.full_like(x, 0.5)
    for frequency in np.repeat((0.05, 0.08, 0.12, 0.2, 0.3, 0.45, 0.7, 1.0), 2):
        angle, phase = draw.uniform(0, 2 * np.pi, 2)
        total += 0.012 / frequency * np.sin(frequency * (np.cos(angle) * x + np.sin(angle) * y) + phase)
    return np.clip(np.round(255 * total), 0, 255).astype(np.uint8)


def error(flow: np.ndarray, motion: np.ndarray) -> float:
    """Mean end-point error in pixels over the whole picture."""
    want = (np.einsum("ij,jyx->iyx", motion, grid()) - grid())[:2]
    return float(np.hypot(*(flow - want)).mean())


MOTIONS = {
    "half a pixel": similarity(u=0.5, v=-0.3),
    "two pixels": similarity(u=2, v=-1.5),
    "seven pixels": similarity(u=6, v=4),
    "fourteen pixels": similarity(u=12, v=-7),
    "slow turn": similarity(angle=0.03),
    "fast turn": similarity(angle=0.09),
    "slow zoom": similarity(zoom=1.04),
    "fast zoom": similarity(zoom=1.1),
    "all at once": similarity(angle=0.05, zoom=1.05, u=3, v=-2),
}


@pytest.mark.parametrize("name", MOTIONS)
def test_error_is_below_that_of_opencv(name):
    still, moved = picture(np.eye(3)), picture(MOTIONS[name])
    got = dense(*(jnp.asarray(image, jnp.float32)[None] / 255 for image in (still, moved)))
    theirs = cv2.calcOpticalFlowFarneback(still, moved, None, 0.5, 4, 15, 3, 5, 1.2, 0)
    ours = error(np.concatenate(got), MOTIONS[name])
    assert ours < error(np.moveaxis(theirs, -1, 0), MOTIONS[name])
    assert ours < 0.1


def test_flow_of_nothing_is_exactly_zero():
    still = jnp.asarray(picture(np.eye(3)), jnp.float32)[None] / 255
    for field in dense(still, still):
        np.testing.assert_array_equal(field, 0)


def clip(steps) -> jnp.ndarray:
    """uint8 [1, t, h, w, 3] whose k-th step moves to the right by ``steps[k]`` pixels."""
    places = np.concatenate([[0], np.cumsum(steps)])
    frames = np.stack([picture(similarity(u=place)) for place in places])
    return jnp.asarray(np.repeat(frames[None, ..., None], 3, axis=-1))


def test_pictures_of_flow_by_hand():
    """A pixel of 160 is 0.4 64ths of the height; half of a 64th is the unit."""
    got = flow_pictures(clip([1.0, -1.0]))
    middle = np.asarray(got)[0, :, 20:-20, 20:-20].mean((1, 2))
    np.testing.assert_allclose(middle[:, 0], [np.tanh(0.8), -np.tanh(0.8)], atol=0.01)
    np.testing.assert_allclose(middle[:, 1:], 0, atol=0.03)


def test_a_jump_is_the_anomaly():
    pictures = flow_pictures(clip([0.5, 0.5, 0.5, 3.0, 0.5, 0.5]))
    valid = jnp.ones((1, 6), bool)
    scores = np.asarray(anomaly(pictures, valid))[0]
    assert scores.argmax() == 3
    assert scores[3] > 3 * np.delete(scores, 3).max()


def test_anomaly_by_hand():
    """One channel, one step of height a among n equal ones: mean a/n, variance a^2 (n-1)/n^2."""
    n, a = 8, 1.0
    pictures = jnp.zeros((1, n, 8, 8, 1)).at[0, 2].set(a)
    got = np.asarray(anomaly(pictures, jnp.ones((1, n), bool)))[0]
    spread = np.sqrt(a**2 * (n - 1) / n**2 + 0.05**2)
    want = np.where(np.arange(n) == 2, a - a / n, a / n) / spread
    np.testing.assert_allclose(got, want, rtol=1e-5)
    alone = np.asarray(anomaly(pictures, jnp.arange(n)[None] == 2))
    np.testing.assert_array_equal(alone, 0)
