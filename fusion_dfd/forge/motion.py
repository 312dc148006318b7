"""How the points of a face move: with the head, and beyond that by themselves."""

from __future__ import annotations

import numpy as np

from fusion_dfd.faces.mesh import LEFT_EYE, LIPS, NOSE, OVAL, RIGHT_EYE, stored

STEADY = stored((*OVAL[-8:], *OVAL[:9], *NOSE[:10], LEFT_EYE[0], LEFT_EYE[8], RIGHT_EYE[0], RIGHT_EYE[8]))
"""Places in STORED of points that move with the head only: forehead and temples, ridge of the nose, corners of eyes."""
INNER_LIPS = stored(LIPS[20:])
"""The line around the opening of the mouth."""
TURN = 0.04
"""Faces that :func:`turned` puts further apart are seen from sides too different to stand for one another."""
_LOWER_LIP, _UPPER_LIP = stored(LIPS[21:30]), stored(LIPS[31:])
_HAIRLINE, _CHIN = stored((OVAL[0], OVAL[18]))
_TIED = stored((*OVAL, *LIPS, *NOSE))
_LOWER_LIDS = stored((*LEFT_EYE[1:8], *RIGHT_EYE[1:8]))
_UPPER_LIDS = stored((*LEFT_EYE[9:], *RIGHT_EYE[9:]))


def similarity(source: np.ndarray, target: np.ndarray) -> np.ndarray:
    """float64 [2, 3]: scale, rotation and shift that take points [n, 2] to others, in least squares (Horn 1987)."""
    a, b = (points[:, 0] + 1j * points[:, 1] for points in (source.astype(np.float64), target.astype(np.float64)))
    middle_a, middle_b = a.mean(), b.mean()
    a, b = a - middle_a, b - middle_b
    turn = (a.conj() @ b) / max((a.conj() @ a).real, 1e-9)
    shift = middle_b - turn * middle_a
    return np.array([[turn.real, -turn.imag, shift.real], [turn.imag, turn.real, shift.imag]])


def moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """Points [..., 2] under a matrix [2, 3]."""
    return points @ matrix[:, :2].T + matrix[:, 2]


def to_frames(mesh: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """float64 [t, 2, 3]: for each frame, where the head of ``reference`` [m, 2] went in ``mesh`` [t, m, 2]."""
    return np.stack([similarity(reference[STEADY], points[STEADY]) for points in mesh])


def steadied(mesh: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """float64 [t, m, 2]: the points without the movement of the head, in the place of the reference."""
    return np.stack(
        [
            (points - matrix[:, 2]) @ np.linalg.inv(matrix[:, :2]).T
            for points, matrix in zip(mesh, matrices, strict=True)
        ]
    )


def turned(mesh: np.ndarray, reference: np.ndarray) -> np.ndarray:
    """[t]: how far each of ``mesh`` [t, m, 2] is turned out of the plane from ``reference`` [m, 2] or [t, m, 2].

    What a similarity leaves of the steady points' distance, root mean square, in widths of the face.
    """
    reference = np.broadcast_to(reference, mesh.shape)
    left = [
        moved(theirs[STEADY], similarity(theirs[STEADY], points[STEADY])) - points[STEADY]
        for points, theirs in zip(mesh, reference, strict=True)
    ]
    return np.sqrt((np.square(left).sum(-1)).mean(-1)) / np.ptp(mesh[:, :, 0], axis=1)


def opening(points: np.ndarray) -> np.ndarray:
    """[...]: height of the opening of the mouth relative to its width, of points [..., m, 2]."""
    gap = np.linalg.norm(points[..., _LOWER_LIP, :] - points[..., _UPPER_LIP, :], axis=-1).max(-1)
    width = np.linalg.norm(points[..., INNER_LIPS[0], :] - points[..., INNER_LIPS[10], :], axis=-1)
    return gap / np.maximum(width, 1e-6)


def bounded(points: np.ndarray, moves: np.ndarray, most: float) -> np.ndarray:
    """Movements [t, m, 2] of a face [m, 2] that neither close its mouth further than shut nor open it beyond ``most``.

    ``most`` is an :func:`opening`. Where the mouth would, all points but brows and lids move by less.
    """
    down = points[_CHIN] - points[_HAIRLINE]
    down = down / max(float(np.linalg.norm(down)), 1e-6)
    width = float(np.linalg.norm(points[INNER_LIPS[0]] - points[INNER_LIPS[10]]))
    middle = slice(2, -2)
    gap = float(((points[_LOWER_LIP] - points[_UPPER_LIP])[middle] @ down).mean())
    wider = ((moves[:, _LOWER_LIP] - moves[:, _UPPER_LIP])[:, middle] @ down).mean(-1)
    room = np.where(wider > 0, max(most * width - gap, 0.0), max(gap, 0.0))
    share = np.minimum(1.0, room / np.maximum(np.abs(wider), 1e-6))
    out = moves.copy()
    out[:, _TIED] *= share[:, None, None]
    return out


def untangled(points: np.ndarray) -> np.ndarray:
    """[m, 2] in which no lower lip or lid lies above its upper one: such pairs meet in the middle."""
    down = points[_CHIN] - points[_HAIRLINE]
    out = points.copy()
    for lower, upper in ((_LOWER_LIP, _UPPER_LIP), (_LOWER_LIDS, _UPPER_LIDS)):
        crossed = (points[lower] - points[upper]) @ down < 0
        middle = (points[lower] + points[upper]) / 2
        out[lower] = np.where(crossed[:, None], middle, points[lower])
        out[upper] = np.where(crossed[:, None], middle, points[upper])
    return out


def around(points: np.ndarray, reach: float) -> np.ndarray:
    """[8 n, 2]: points [n, 2] with a ring of radius ``reach``, pixels, about each: their hull is wider by that much."""
    angles = np.arange(8) * (np.pi / 4)
    ring = reach * np.stack([np.cos(angles), np.sin(angles)], -1)
    return (points[:, None] + ring).reshape(-1, 2)
