"""Which windows of a video are explained: a bounded number, the most suspicious, spread over time."""

from __future__ import annotations

import collections
import itertools
from collections.abc import Sequence

import numpy as np

from fusion_dfd.evaluation import real_motion
from fusion_dfd.predict.verdict import Window

HELD = 1 << 28
"""Most bytes of frames that are held of one video."""


class Keeper:
    """Is shown every scored window, keeps the frames of some and the motion of all."""

    def __init__(self, motion: bool):
        self._measures = motion
        self._kept: list[Window] = []
        self.motions: list[np.ndarray] = []
        """float64 [d] of every window in the order of the video; empty if not asked for."""

    def __call__(self, window: Window) -> bool:
        if self._measures:
            self.motions.append(real_motion.motion(window.frames, window.landmarks))
        self._kept.append(window)
        while len(self._kept) > 1 and sum(one.frames.nbytes for one in self._kept) > HELD:
            self._drop()
        return any(one is window for one in self._kept)

    def _drop(self) -> None:
        """Let go of the less suspicious of the two windows that are nearest in time, where most are held."""
        most, _ = collections.Counter(window.face for window in self._kept).most_common(1)[0]
        row = [window for window in self._kept if window.face == most]
        near = min(itertools.pairwise(row), key=lambda pair: pair[1].indices[0] - pair[0].indices[0], default=row[:1])
        loser = min(near, key=_suspicion)
        self._kept = [window for window in self._kept if window is not loser]
        loser.frames = None


def choose(windows: Sequence[Window], count: int) -> list[Window]:
    """At most ``count`` of the windows (in the order of time), the most suspicious of each of as many equal parts."""
    count = min(count, len(windows))
    parts = [windows[k * len(windows) // count : (k + 1) * len(windows) // count] for k in range(count)]
    return [max(part, key=_suspicion) for part in parts]


def _suspicion(window: Window) -> float:
    return float(np.nan_to_num(window.outputs.logit, nan=-np.inf))
