"""Detectors of other people, as tests need them: right, wrong and deadly. The brightness of a picture decides.

They are loaded by name in a process of their own, which finds this folder on its path as the tests do.
"""

import os

import numpy as np

DIES, RAISES, UNKNOWN = 240, 200, 160
"""Brightness of a video on which :class:`Moody` does what its name says."""


class Bright:
    """The brighter, the more fake."""

    size, batch = 32, 5
    mean, std = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)

    def __call__(self, pictures):
        return pictures.mean((1, 2, 3))


class Clips(Bright):
    input, frames, layout = "clip", 4, "bcthw"

    def __call__(self, clips):
        assert clips.shape[1:] == (3, 4, 32, 32)
        return clips.mean((1, 2, 3, 4))[:, None]


class Moody(Bright):
    def __call__(self, pictures):
        level = np.rint(255 * pictures.mean((1, 2, 3)))
        if (abs(level - DIES) < 4).any():
            os._exit(3)
        if (abs(level - RAISES) < 4).any():
            raise RuntimeError("no such picture\nand more")
        return np.where(abs(level - UNKNOWN) < 4, np.nan, level / 255)


class Always(Bright):
    """Gives what it is told."""

    def __init__(self, answer):
        self.answer = answer

    def __call__(self, pictures):
        return self.answer(len(pictures))


class Two(Bright):
    output = "logit"

    def __call__(self, pictures):
        return np.stack([np.zeros(len(pictures)), pictures.mean((1, 2, 3))], axis=1)


def thousand():
    return Always(lambda count: np.zeros((count, 1000)))


def logits():
    return Always(lambda count: np.full(count, 3.5))


def huge():
    peer = Bright()
    peer.size = -1
    return peer


def nothing():
    return None


def broken():
    raise OSError("no weights")
