"""Motion within the face, from its mesh."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fusion_dfd import config as c
from fusion_dfd.faces.mesh import LEFT_BROW, MIRRORED, STORED, stored
from fusion_dfd.input import augment
from fusion_dfd.models import mesh_motion
from fusion_dfd.models.micro import MicroBranch

T, SIDE = 6, 100


@pytest.fixture
def face(rng) -> np.ndarray:
    """Landmarks and mesh of a face that moves a little, float32 [1, T, 5 + p, 2]; no place is symmetric."""
    still = rng.uniform(20, 80, (5 + len(STORED), 2))
    return (still + rng.normal(0, 0.3, (1, T, *still.shape))).astype(np.float32)


def _moved(landmarks: np.ndarray, frames: int = T) -> np.ndarray:
    valid = jnp.arange(T)[None] < frames
    return np.asarray(mesh_motion.displacements(jnp.asarray(landmarks), valid)).reshape(T, -1, 2)


def test_a_window_is_read_by_its_mesh_only_if_every_valid_frame_has_one(face):
    holed = face.copy()
    holed[0, 4, 5:] = 0
    batch = jnp.concatenate([face, holed, holed])
    valid = jnp.arange(T) < jnp.array([T, T, 4])[:, None]
    assert mesh_motion.has_mesh(batch, valid).tolist() == [1, 0, 1]
    five = np.asarray(mesh_motion.five(batch, valid))
    eye = face[0, :, 5:][:, stored(mesh_motion.RIGHT_EYE)].mean(1)
    np.testing.assert_allclose(five[0, :, 0], eye, rtol=1e-5)
    np.testing.assert_array_equal(five[1], holed[0, :, :5])


def test_head_motion_is_none(face):
    """Turned, enlarged and shifted, differently in every frame."""
    angle = np.linspace(-0.3, 0.3, T)
    scale = np.linspace(0.8, 1.2, T)
    turn = scale[:, None, None] * np.moveaxis(
        np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]), -1, 0
    )
    turned = face @ np.swapaxes(turn, 1, 2) + np.linspace(-9, 9, T)[:, None, None]
    np.testing.assert_allclose(_moved(turned.astype(np.float32)), _moved(face), atol=2e-3)


def test_a_raised_brow_is_seen_where_it_is(face):
    raised = np.repeat(face[:, :1], T, axis=1)
    raised[:, 3, 5:][:, stored(LEFT_BROW), 1] -= 1.5
    moved = _moved(raised)
    others = np.setdiff1d(np.arange(len(STORED)), stored(LEFT_BROW))
    assert np.abs(moved[:, others]).max() < 1e-3
    assert (moved[3, stored(LEFT_BROW), 1] < -0.1).all()


def test_padding_and_windows_without_a_mesh_show_nothing(face):
    np.testing.assert_array_equal(_moved(face, 4)[4:], 0)
    other = face.copy()
    other[0, 4:] = 7
    np.testing.assert_array_equal(_moved(other, 4), _moved(face, 4))
    face[:, :, 5:] = 0
    np.testing.assert_array_equal(_moved(face), 0)


def test_a_flipped_face_moves_in_the_mirror(face):
    frames = np.zeros((T, SIDE, SIDE, 3), np.uint8)
    _, flipped = augment.apply(frames, face[0], augment.Params(flip=True), SIDE)
    expected = _moved(face)[:, list(MIRRORED)] * (-1, 1)
    np.testing.assert_allclose(_moved(flipped[None]), expected, atol=0.03)  # the template is not quite symmetric


def test_the_branch_reads_the_mesh_and_does_without(rng, face):
    options = c.Micro(inputs=("difference",), size=8, widths=(4,), mesh=True)
    branch = MicroBranch(options, (4,), (4,), rngs=nnx.Rngs(0))
    frames = rng.integers(0, 255, (1, T, SIDE, SIDE, 3), np.uint8)
    valid, length = jnp.ones((1, T), bool), jnp.array([T])
    evaluating = nnx.view(branch, use_running_average=True)

    def run(landmarks):
        return evaluating(jnp.asarray(frames), jnp.asarray(landmarks), valid, valid, length)[1]

    raised = face.copy()
    raised[:, 3, 5:][:, stored(LEFT_BROW), 1] -= 1.5
    assert run(face) != run(raised)
    face[:, :, 5:] = 0
    assert np.isfinite(run(face)).all()
