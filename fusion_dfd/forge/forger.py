"""What a forger is: a function from clips of real faces to a clip in which one of them is forged.

A forger draws once per clip and replays its draws on every frame, so that a clip is consistent in itself. The traces it
leaves over time are drawn too. Equal generators give equal clips.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable

import numpy as np

from fusion_dfd.faces import mesh
from fusion_dfd.types import DataError


class NotApplicable(DataError):
    """A forger cannot be applied to this clip; the message says why. Another forger or clip is taken instead."""


@dataclasses.dataclass(frozen=True)
class Face:
    """Consecutive frames of one real face, and where its points are."""

    frames: np.ndarray
    """uint8 [t, h, w, 3], RGB."""
    mesh: np.ndarray
    """float32 [t, m, 2], the points :data:`fusion_dfd.faces.mesh.STORED` in pixels of the frames. A frame in which
    they were not found is NaN."""
    group: str = ""
    """Faces of one person or source share a group; forgers that need somebody else ask for another group."""

    def __len__(self) -> int:
        return len(self.frames)

    def points(self, group: tuple[int, ...]) -> np.ndarray:
        """float32 [t, n, 2]: the points of a group of :mod:`fusion_dfd.faces.mesh`, in its order."""
        return self.mesh[:, mesh.stored(group)]

    def require_mesh(self) -> None:
        """Raises NotApplicable where a frame has no points."""
        missing = int(np.isnan(self.mesh).any((1, 2)).sum())
        if missing:
            raise NotApplicable(f"no face mesh in {missing} of {len(self)} frames")


@dataclasses.dataclass(frozen=True)
class Forged:
    """A forged clip."""

    frames: np.ndarray
    """uint8 [t, h, w, 3], RGB; outside the mask as in ``partner``."""
    mask: np.ndarray
    """float32 [t, h, w] in 0..1, how much of each pixel was replaced; all 0 in frames that were left as they are."""
    partner: np.ndarray | None = None
    """uint8 [t, h, w, 3], the real clip with all that this forger does to a clip except the forgery, for instance the
    resampling of a warp; None where that is the real clip itself. Outside the mask it equals ``frames``."""
    mesh: np.ndarray | None = None
    """float32 [t, m, 2], where the points are now; None where none has moved."""


def landmarks(face: Face, forged: Forged, before: np.ndarray) -> np.ndarray:
    """The five landmarks [t, 5, 2] of the forged face: ``before``, moved as the mesh about each of them has moved."""
    if forged.mesh is None:
        return before
    moved = forged.mesh - face.mesh
    around = [moved[:, mesh.stored(group)].mean(1) for group in _AROUND]
    return (before + np.stack(around, 1)).astype(np.float32)


_AROUND = (mesh.RIGHT_EYE, mesh.LEFT_EYE, (4,), (61,), (291,))
"""Mesh points about each of the five landmarks; 4 is the tip of the nose, 61 and 291 are the corners of the mouth."""

Donor = Callable[[], Face]
"""Draws a clip of another group, of at least as many frames; raises NotApplicable where there is none."""

Forger = Callable[[Face, Donor, np.random.Generator], Forged]
"""Forges the face of a clip."""
