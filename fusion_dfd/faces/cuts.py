"""Where one shot ends and the next begins: no face is followed through a cut."""

from __future__ import annotations

import itertools

import numpy as np

SIDE = 32
"""Side of the grey pictures that are compared: so small that motion and noise count for little."""
LEAST = 20.0
"""Mean difference of grey values, 0..255, that a cut makes at least."""
RATIO = 3.5
"""How many times larger it is than the differences of the NEAR pairs of frames before and after: camera and people move
for longer than a frame, a flash comes and goes."""
NEAR = 2


def longest_shot(small: np.ndarray) -> range:
    """The longest stretch without a cut of pictures uint8 [t, SIDE, SIDE], in order; the first of equally long ones."""
    edges = [0, *cuts(small), len(small)]
    return max((range(start, stop) for start, stop in itertools.pairwise(edges)), key=len)


def cuts(small: np.ndarray) -> list[int]:
    """Places of the pictures uint8 [t, SIDE, SIDE] that begin another shot, ascending.

    Dissolves are not found, nor is a cut to or from a shot in which much moves: a false cut would cost a good clip.
    """
    if len(small) < 2:
        return []
    change = np.abs(np.diff(small.astype(np.float32), axis=0)).mean((1, 2))
    padded = np.pad(change, NEAR)
    others = [padded[NEAR + shift : NEAR + shift + len(change)] for shift in range(-NEAR, NEAR + 1) if shift]
    return (np.flatnonzero((change > LEAST) & (change > RATIO * np.max(others, 0))) + 1).tolist()
