"""Mouth: the lower face speaks as it did at another moment.

What lip-sync does (Prajwal et al., "A Lip Sync Expert Is All You Need", ACM Multimedia 2020): the lower half of each
frame is made anew and put back, frame by frame. Here it is taken from the same clip some frames later or earlier, laid
over the head's place, softened, matched in colour and blended. Sometimes only one to three seconds are replaced.
"""

from __future__ import annotations

import cv2
import numpy as np

from fusion_dfd.faces.mesh import JAW, LIPS, NOSE, stored
from fusion_dfd.forge import hulls, motion
from fusion_dfd.forge.forger import Donor, Face, Forged, NotApplicable
from fusion_dfd.forge.resample import Resampling

_MOUTH, _LIPS = stored((*LIPS, *JAW[3:-3], NOSE[9])), stored(LIPS)
APART = 4
"""Frames between a moment and the one that its mouth is taken from, at least."""
RATE = 25
"""Frames a second that are assumed where seconds are meant."""
VISIBLE = 0.6
"""Pixels of a face of 256 by which lips must differ from those they replace, averaged over lips and frames."""
TRIES = 8


def mouth(face: Face, donor: Donor, rng: np.random.Generator) -> Forged:
    """Replaces the mouth of a clip by that of other moments; ``donor`` is not asked. Needs the mesh in every frame.

    Raises NotApplicable for clips of fewer than 8 frames, where lips hardly move, and where the head turns too far.
    """
    face.require_mesh()
    count, height, width = face.frames.shape[:3]
    if count < 2 * APART:
        raise NotApplicable(f"a clip of {count} frames is too short to have other moments")
    unit = min(height, width) / 256
    span = int(rng.integers(RATE, 3 * RATE, endpoint=True)) if rng.random() < 0.4 else count
    span = min(span, count)
    start = int(rng.integers(count - span, endpoint=True))
    here = np.arange(start, start + span)
    there = here + _shift(face, here, VISIBLE * unit, rng)
    there = _reflected(there, count)
    resampling = Resampling.draw(rng)
    inner, outer = rng.uniform(0.02, 0.05), rng.uniform(0.02, 0.08)
    reach = rng.uniform(0.02, 0.07) * float(np.ptp(face.mesh[0, :, 0]))
    shake = rng.normal(0, rng.uniform(0.1, 0.6) * unit * (rng.random() < 0.4), (count, 2))
    frames, masks = face.frames.copy(), np.zeros((count, height, width), np.float32)
    for index, other in zip(here, there, strict=True):
        frame, points = face.frames[index], face.mesh[index]
        matrix = motion.similarity(face.mesh[other][motion.STEADY], points[motion.STEADY])
        matrix[:, 2] += shake[index]
        taken = cv2.warpAffine(
            face.frames[other], matrix, (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
        )
        both = np.vstack([points[_MOUTH], motion.moved(face.mesh[other][_MOUTH], matrix)])
        mask = hulls.feather(hulls.hull(motion.around(both, reach), (height, width)), inner, outer)
        taken = _coloured(resampling(taken), frame, mask)
        frames[index], masks[index] = hulls.composite(frame, taken, mask), mask
    return Forged(frames, masks)


def _shift(face: Face, here: np.ndarray, visible: float, rng: np.random.Generator) -> int:
    """How many frames away the other moments are: the draw, of a few, whose lips differ most."""
    heads = motion.to_frames(face.mesh, face.mesh[0])
    lips = motion.steadied(face.mesh, heads)[:, _LIPS]
    count = len(face)
    best, most = 0, -1.0
    for _ in range(TRIES):
        shift = int(rng.integers(APART, count)) * int(rng.choice([-1, 1]))
        there = _reflected(here + shift, count)
        if motion.turned(face.mesh[here], face.mesh[there]).max() > motion.TURN:
            continue
        change = lips[there] - lips[here]
        differ = float(np.linalg.norm(change, axis=-1).mean())
        if differ > most:
            best, most = shift, differ
    if most < visible:
        raise NotApplicable("the mouth looks alike at all moments that were tried, or is seen from other sides")
    return best


def _reflected(index: np.ndarray, count: int) -> np.ndarray:
    """Frames beyond the ends of a clip are read back from its ends."""
    period = 2 * (count - 1)
    index = index % period
    return np.minimum(index, period - index)


def _coloured(picture: np.ndarray, like: np.ndarray, mask: np.ndarray) -> np.ndarray:
    """``picture`` with the mean of each channel, within the mask, that ``like`` has: the light of that moment."""
    weight = mask[..., None] / max(float(mask.sum()), 1e-6)
    offset = (weight * (like.astype(np.float32) - picture)).sum((0, 1))
    return np.clip(np.rint(picture + offset), 0, 255).astype(np.uint8)
