"""Four families of forgery, each with evidence of one kind.

==============  =====================================================  ==============================
family          what is done to the target                             where it shows
==============  =====================================================  ==============================
Deepfakes       another inner face, coarser and off-colour, blended    in any single frame
                in with a soft mask
FaceSwap        another inner face, clean in every frame, aligned      only from frame to frame
                anew in each
Face2Face       the own face drawn anew, brief correlated movements    only in fine facial motion
                replaced by slow ones
NeuralTextures  the mouth drawn anew, slightly smoothed                in frames (mouth) and over time
==============  =====================================================  ==============================

A family is a function from a :class:`~fusion_dfd.synthetic.footage.Footage` and a random generator to one face layer
per frame. Background, camera and sensor noise are added afterwards, to real and fake videos alike.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator

import cv2
import numpy as np

from fusion_dfd.synthetic import motion
from fusion_dfd.synthetic.face import DENSITY
from fusion_dfd.synthetic.footage import Footage, Layer, look_up

Forgery = Callable[[Footage, np.random.Generator], Iterator[Layer]]

FAMILIES: dict[str, Forgery] = {}
"""Forgeries by their FaceForensics++ name."""


def register(name: str) -> Callable[[Forgery], Forgery]:
    """Add a family under ``name``."""

    def add(forgery: Forgery) -> Forgery:
        FAMILIES[name] = forgery
        return forgery

    return add


@register("Deepfakes")
def deepfakes(footage: Footage, rng: np.random.Generator) -> Iterator[Layer]:
    """The source's inner face: 40-50% of the resolution, a constant colour cast, a soft mask; steady over time."""
    coarse = rng.uniform(0.40, 0.50)
    cast = rng.uniform(0.02, 0.045, 3) * rng.choice([-1, 1], 3)
    cast = (cast - 0.7 * cast.mean()).astype(np.float32)
    for index, painted in enumerate(footage.swapped_painted):
        corner, below = footage.layers[index]
        _, map_x, map_y = footage.coordinates(footage.swapped, index)
        face = look_up(painted, map_x, map_y)[..., :3]
        mask = look_up(footage.swapped.inner_mask, map_x, map_y)[..., None]
        high, wide = mask.shape[:2]
        small = cv2.resize(face, (round(wide * coarse), round(high * coarse)), interpolation=cv2.INTER_AREA)
        face = cv2.resize(small, (wide, high), interpolation=cv2.INTER_LINEAR)
        layer = below.copy()
        layer[..., :3] += (face + cast - below[..., :3]) * mask
        yield corner, layer


@register("FaceSwap")
def faceswap(footage: Footage, rng: np.random.Generator) -> Iterator[Layer]:
    """The source's inner face in the target's colours, shifted, turned, scaled and lit a little anew in each frame.

    The misalignment fades out over the smooth skin around the inner face, so no frame has a seam, and nothing is
    resampled twice, so none is softer.
    """
    pixel = footage.unit / 30
    for index, painted in enumerate(footage.swapped_painted):
        corner, map_x, map_y = footage.coordinates(footage.swapped, index)
        mask = look_up(footage.swapped.inner_mask, map_x, map_y)
        high, wide = mask.shape
        x, y = np.meshgrid(np.arange(wide, dtype=np.float32) - wide / 2, np.arange(high, dtype=np.float32) - high / 2)
        shift_x, shift_y = (rng.normal(0, 0.75, 2) * pixel).astype(np.float32)
        turn, grow, flicker = rng.normal(0, [0.01, 0.01, 0.012]).astype(np.float32)
        layer = look_up(
            painted,
            map_x + DENSITY * mask * (shift_x + grow * x - turn * y),
            map_y + DENSITY * mask * (shift_y + grow * y + turn * x),
        )
        layer[..., :3] *= (1 + flicker * mask)[..., None]
        yield corner, layer


@register("Face2Face")
def face2face(footage: Footage, rng: np.random.Generator) -> Iterator[Layer]:
    """The target drawn anew with its own pose, speech, gaze and blinks, and no micro-expressions."""
    moves = motion.without_micro(rng, footage.motion, footage.micro)
    for index in range(len(footage)):
        painted = footage.paint_frame(footage.head, moves, index)
        yield footage.place(footage.head, painted, index, moves)


@register("NeuralTextures")
def neural_textures(footage: Footage, rng: np.random.Generator) -> Iterator[Layer]:
    """The mouth drawn anew from smoothed speech, its texture smoothed in space and, trailing, in time."""
    blur = rng.uniform(0.9, 1.2) * footage.unit / 30 * DENSITY
    keep = np.float32(rng.uniform(0.35, 0.5))
    smooth = {name: cv2.GaussianBlur(getattr(footage.motion, name)[None], (0, 0), 1.2)[0] for name in ("jaw", "lips")}
    moves = dataclasses.replace(footage.motion, **smooth)
    mask, past = footage.head.mouth_mask[..., None], None
    for index, own in enumerate(footage.painted):
        texture = cv2.GaussianBlur(footage.paint_frame(footage.head, moves, index), (0, 0), blur)
        past = texture if past is None else past * keep + texture * (1 - keep)
        yield footage.place(footage.head, own + (past - own) * mask, index)
