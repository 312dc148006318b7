"""How parts of a face move, from its mesh: steadier than the five landmarks of a detector, and at brows, lids and lips.

A frame's landmarks may be followed by the points of :data:`fusion_dfd.faces.mesh.STORED`. They are zeros where a frame
has no mesh. A window is read by its mesh only if all its frames have one, because the two kinds of points do not agree
to the pixel.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from fusion_dfd.faces.mesh import LEFT_EYE, NOSE, RIGHT_EYE, STORED, stored
from fusion_dfd.models.geometry import TEMPLATE, similarity

LANDMARKS = 5
STRONG = 0.02
"""Displacement, as a fraction of the stabilised face's side, at which the tanh is 0.76."""
_TIP, _CORNERS = (4,), ((61,), (291,))
_PARTS = (RIGHT_EYE, LEFT_EYE, _TIP, *_CORNERS)
"""Of the mesh, what the five landmarks mark: the person's right eye is at the left of the picture."""


def _averages(groups: tuple[tuple[int, ...], ...]) -> np.ndarray:
    """float32 [g, p]: ``averages @ points`` is the middle of each group."""
    rows = np.zeros((len(groups), len(STORED)), np.float32)
    for row, group in zip(rows, groups, strict=True):
        row[stored(group)] = 1 / len(group)
    return rows


_FIVE, _RIGID = _averages(_PARTS), _averages((NOSE,))


def has_mesh(landmarks: Float[Array, "b t p 2"], valid: Bool[Array, "b t"]) -> Float[Array, " b"]:
    """1 for the windows all of whose valid frames have a mesh, else 0."""
    found = jnp.sum(jnp.abs(landmarks[:, :, LANDMARKS:]), axis=(2, 3)) > 0
    return 1.0 - jnp.max(jnp.where(valid, 1.0 - found, 0.0), axis=1)


def five(landmarks: Float[Array, "b t p 2"], valid: Bool[Array, "b t"]) -> Float[Array, "b t 5 2"]:
    """The five landmarks of each frame: those of the mesh in a window that has one, else those of the detector."""
    return _five(_with_room(landmarks), valid)


def _five(landmarks: Float[Array, "b t p 2"], valid: Bool[Array, "b t"]) -> Float[Array, "b t 5 2"]:
    of_mesh = jnp.einsum("fp,btpx->btfx", _FIVE, landmarks[:, :, LANDMARKS:], precision="highest")
    meshed = has_mesh(landmarks, valid)[:, None, None, None] > 0
    return jnp.where(meshed, of_mesh, landmarks[:, :, :LANDMARKS])


def _with_room(landmarks: Float[Array, "b t p 2"]) -> Float[Array, "b t q 2"]:
    """With a mesh of zeros where there is none."""
    missing = LANDMARKS + len(STORED) - landmarks.shape[2]
    return jnp.pad(landmarks, ((0, 0), (0, 0), (0, missing), (0, 0)))


def displacements(landmarks: Float[Array, "b t p 2"], valid: Bool[Array, "b t"]) -> Float[Array, "b t d"]:
    """Where each point of the mesh is, beside its mean over the window, in -1..1; ``d`` counts x and y of all points.

    Points are seen on the face of :data:`fusion_dfd.models.geometry.TEMPLATE`, without the motion of the nose: what
    remains is motion within the face. Zeros in windows without a mesh, and on padding.
    """
    landmarks = jax.lax.stop_gradient(_with_room(landmarks))
    a, b, x, y = _parts(similarity(TEMPLATE, _five(landmarks, valid)))
    mesh = landmarks[:, :, LANDMARKS:]
    across, down = mesh[..., 0] - x, mesh[..., 1] - y
    size = jnp.maximum(a * a + b * b, 1e-12)
    on_face = jnp.stack([(a * across + b * down) / size, (a * down - b * across) / size], axis=-1)
    on_face = on_face - jnp.einsum("rp,btpx->btrx", _RIGID, on_face, precision="highest")
    shown = (valid * has_mesh(landmarks, valid)[:, None])[..., None, None]
    count = jnp.maximum(jnp.sum(shown, axis=1, keepdims=True), 1.0)
    mean = jnp.sum(on_face * shown, axis=1, keepdims=True) / count
    moved = jnp.tanh((on_face - mean) / STRONG) * shown
    return moved.reshape(*valid.shape, -1)


def _parts(transform: Float[Array, "b t 2 3"]) -> tuple[Array, Array, Array, Array]:
    """``a, b, x, y`` of ``[[a, -b, x], [b, a, y]]``, each [b, t, 1]."""
    return tuple(transform[..., row, column, None] for row, column in ((0, 0), (1, 0), (0, 2), (1, 2)))
