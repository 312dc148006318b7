"""Where one shot ends and the next begins: no face is followed through a cut."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import cv2
import numpy as np

SIDE = 32
"""Frames are compared at this size, which lets motion and noise count for little."""
LEAST = 20.0
"""Mean difference of grey values, 0..255, that a cut makes at least."""
RATIO = 3.5
"""How many times larger it is than the differences of the NEAR pairs of frames before and after: camera and people move
for longer than a frame, a flash comes and goes."""
NEAR = 2


def longest_shot(frames: Sequence[np.ndarray]) -> range:
    """The longest stretch of frames uint8 [h, w, 3], in order, without a cut; the first of equally long ones."""
    edges = [0, *cuts(frames), len(frames)]
    return max((range(start, stop) for start, stop in itertools.pairwise(edges)), key=len)


def cuts(frames: Sequence[np.ndarray]) -> list[int]:
    """Places of the frames that begin another shot, ascending.

    Dissolves are not found, nor is a cut to or from a shot in which much moves: a false cut would cost a good clip.
    """
    if len(frames) < 2:
        return []
    small = np.stack([cv2.resize(frame, (SIDE, SIDE), interpolation=cv2.INTER_AREA).mean(-1) for frame in frames])
    change = np.abs(np.diff(small, axis=0)).mean((1, 2))
    padded = np.pad(change, NEAR)
    others = [padded[NEAR + shift : NEAR + shift + len(change)] for shift in range(-NEAR, NEAR + 1) if shift]
    return (np.flatnonzero((change > LEAST) & (change > RATIO * np.max(others, 0))) + 1).tolist()
