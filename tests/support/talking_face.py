"""A drawn face that talks, blinks and nods, whose mesh points are known: for everything that forges."""

import cv2
import numpy as np

from fusion_dfd.faces import mesh
from fusion_dfd.forge.forger import Face


def points(opening: float = 0.1, lids: float = 0.08, brows: float = 0.0) -> np.ndarray:
    """float64 [152, 2]: the points of mesh.STORED on a face whose middle is 0 and whose ears are at -1 and 1.

    Args:
      opening: height of the opening of the mouth.
      lids: likewise of each eye.
      brows: how far they are raised.
    """
    angle = np.arange(36) * np.pi / 18
    oval = np.stack([np.sin(angle), -1.3 * np.cos(angle) + opening * (np.cos(angle) < -0.5)], -1)
    across = np.linspace(0.75, 0.2, 5)
    brow = np.stack([np.tile(across, 2), np.repeat([-0.45 - brows, -0.55 - brows], 5)], -1)
    eye = _ring(np.linspace(0.65, 0.25, 9), -0.25, lids / 2, lids / 2)
    outer = _ring(np.linspace(-0.4, 0.4, 11), 0.65, 0.17 + opening, 0.14)
    inner = _ring(np.linspace(-0.3, 0.3, 11), 0.65, 0.01 + opening, 0.01)
    ridge = np.stack([np.zeros(10), np.linspace(-0.25, 0.4, 10)], -1)
    below = np.array([[-0.12, 0.36], [-0.05, 0.37], [0.05, 0.37], [0.12, 0.36]])
    wing = np.array([[0.21, 0.3], [0.2, 0.25], [0.17, 0.18], [0.12, 0.14], [0.07, 0.2]])
    flip = np.array([-1, 1])
    return np.concatenate(
        [oval, brow, brow * flip, eye, eye * flip, outer, inner, ridge, below, wing, wing[::-1] * flip]
    )


def _ring(across: np.ndarray, middle: float, down: float, up: float) -> np.ndarray:
    """Lower line from its first end to its last, then the upper line without the ends."""
    bow = np.sin(np.linspace(0, np.pi, len(across)))
    lower, upper = np.stack([across, middle + down * bow], -1), np.stack([across, middle - up * bow], -1)
    return np.concatenate([lower, upper[1:-1]])


def talking_face(count: int, height: int = 96, width: int = 96, seed: int = 0, moving: bool = True) -> Face:
    """A clip; ``seed`` says whose face it is and how it moves, ``moving=False`` that it keeps still."""
    rng = np.random.default_rng(seed)
    speed, colour = rng.uniform(0.5, 0.9, 4), rng.uniform(-20, 20, 3)
    grain = rng.normal(0, 6, (height, width, 1))
    behind = cv2.resize(rng.uniform(30, 220, (5, 5, 3)), (width, height), interpolation=cv2.INTER_CUBIC)
    size = min(height / 3.4, width / 2.6)
    frames, meshes = [], []
    for time in np.arange(count) * moving:
        wave = np.sin(speed * time)
        shape = points(0.1 + 0.1 * wave[0], 0.07 + 0.05 * wave[1], 0.06 * wave[2])
        turn = 0.05 * np.sin(time / 5 + seed)
        matrix = size * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        place = shape @ matrix.T + [width / 2 + 0.05 * size * wave[3], height / 2 - 0.1 * size]
        frames.append(_drawn(place, behind, colour, grain))
        meshes.append(place)
    return Face(np.stack(frames), np.stack(meshes).astype(np.float32), f"drawn {seed}")


def _drawn(place: np.ndarray, behind: np.ndarray, colour: np.ndarray, grain: np.ndarray) -> np.ndarray:
    picture = behind.copy()
    groups = (
        (mesh.OVAL, (205, 160, 135)), (mesh.LEFT_EYE, (235, 230, 225)), (mesh.RIGHT_EYE, (235, 230, 225)),
        (mesh.LEFT_BROW, (60, 40, 32)), (mesh.RIGHT_BROW, (60, 40, 32)),
        (mesh.LIPS[:20], (165, 80, 80)), (mesh.LIPS[20:], (50, 20, 25)),
    )  # fmt: skip
    for group, paint in groups:
        corners = cv2.convexHull(place[mesh.stored(group)].astype(np.float32))
        cv2.fillConvexPoly(picture, np.rint(corners * 16).astype(np.int32), colour + paint, cv2.LINE_AA, 4)
    return np.clip(picture + grain, 0, 255).astype(np.uint8)
