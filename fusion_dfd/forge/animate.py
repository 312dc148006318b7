"""Animate: one still frame of a face, moved as another face moved.

What reenactment networks do (Siarohin et al., "First Order Motion Model for Image Animation", NeurIPS 2019; Guo et al.,
"LivePortrait", 2024): the motion of a driving clip relative to its first frame moves the points of a still. Skin, light
and wrinkles are those of one moment; the motion is not this person's. Two kinds are drawn:

- *kept*: only the expression is another's. The still follows the head of the real clip and is put back into its frames,
  within a soft hull; mask = that hull.
- *whole*: head and expression are another's, and everything in the picture comes from the still; mask = 1.
"""

from __future__ import annotations

import cv2
import numpy as np

from fusion_dfd.faces.mesh import JAW, LIPS, OVAL, stored
from fusion_dfd.forge import hulls, motion
from fusion_dfd.forge.forger import Donor, Face, Forged, NotApplicable
from fusion_dfd.forge.resample import Resampling
from fusion_dfd.forge.warp import edge_points, rendered, warp

_OVAL, _LIPS, _JAW = stored(OVAL), stored(LIPS), stored(JAW[3:-3])
REACH = 0.2
"""The centre of a face moves at most this far from where the still has it, widths of the face."""
WIDER = 1.3
"""The mouth opens at most by this factor wider than in the clip, and a little."""
TRIES = 3
STILLS = 4
"""The still is drawn among this many frames whose expression is nearest to that in which the driving clip begins."""


def animate(face: Face, donor: Donor, rng: np.random.Generator) -> Forged:
    """Animates a still of a clip by the motion of a clip of ``donor``. Needs two frames, and the mesh in every one."""
    face.require_mesh()
    count, height, width = face.frames.shape[:3]
    if count < 2:
        raise NotApplicable("a clip of one frame does not move")
    theirs = _driving(count, donor, rng)
    chosen = _still(face, theirs[0], rng)
    still, points = face.frames[chosen], face.mesh[chosen].astype(np.float64)
    own = motion.to_frames(face.mesh, points)
    mouths = face.points(LIPS)
    open_by = motion.opening(face.mesh)
    unit = min(height, width) / 256
    resampling = Resampling.draw(rng)
    shake = rng.normal(0, rng.uniform(0.1, 0.5) * unit * (rng.random() < 0.4), (count, 2))
    whole = bool(rng.random() < 0.5 or motion.turned(face.mesh, points).max() > motion.TURN)
    inner, outer = rng.uniform(0.012, 0.03), rng.uniform(0.012, 0.045)
    heads = motion.to_frames(theirs, theirs[0])
    to_still = motion.similarity(theirs[0][motion.STEADY], points[motion.STEADY])[:, :2]
    expression = (motion.steadied(theirs, heads) - theirs[0]) @ to_still.T
    expression = motion.bounded(points, expression, WIDER * float(open_by.max()) + 0.1)
    head = np.stack([motion.moved(theirs[0], matrix) for matrix in heads]) - theirs[0]
    head = _limited(head @ to_still.T, points)
    carried = float(rng.choice([0.0, rng.uniform(0.3, 1.0)]))
    frames, masks = face.frames.copy(), np.ones((count, height, width), np.float32)
    targets = np.empty_like(face.mesh)
    for index, frame in enumerate(face.frames):
        target = motion.untangled(points + expression[index])
        edge: np.ndarray | float = 0.0
        if whole:
            target = target + head[index] + shake[index]
            edge = -carried * (head[index].mean(0) + shake[index]) + 0 * edge_points((height, width))
            start_from, begin = still, points
        else:
            start_from = cv2.warpAffine(
                still, own[index], (width, height), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE
            )
            begin = motion.moved(points, own[index])
            target = motion.moved(target, own[index]) + shake[index]
        targets[index] = target
        made = warp(start_from, begin, target, edge)
        nearest = int(np.argmin(np.abs(open_by - motion.opening(target))))
        made = _with_mouth(made, target, face.frames[nearest], mouths[nearest].astype(np.float64), open_by[nearest])
        made = resampling(made)
        if whole:
            frames[index] = made
        else:
            both = np.vstack([target[_OVAL], face.mesh[index][_OVAL]])
            masks[index] = hulls.feather(hulls.hull(both, (height, width)), inner, outer)
            frames[index] = hulls.composite(frame, made, masks[index])
    return Forged(frames, masks, rendered(face, masks, rng), targets)


def _driving(count: int, donor: Donor, rng: np.random.Generator) -> np.ndarray:
    """float64 [count, m, 2]: points of another clip, whose head does not turn too far."""
    for _ in range(TRIES):
        clip = donor()
        clip.require_mesh()
        if len(clip) < count:
            raise NotApplicable(f"a clip of {count} frames cannot be animated by one of {len(clip)}")
        start = int(rng.integers(len(clip) - count + 1))
        points = clip.mesh[start : start + count].astype(np.float64)
        if motion.turned(points, points[0]).max() <= 1.5 * motion.TURN:
            return points
    raise NotApplicable(f"the heads of {TRIES} driving clips turn too far to move a flat picture")


def _still(face: Face, begin: np.ndarray, rng: np.random.Generator) -> int:
    """A frame whose mouth and jaw are nearly those of ``begin`` [m, 2], the first points of the driving clip."""
    places = [*_LIPS, *_JAW]
    shapes = motion.steadied(face.mesh, motion.to_frames(face.mesh, begin))
    distance = np.linalg.norm(shapes[:, places] - begin[places], axis=-1).mean(-1)
    distance += 10 * np.abs(motion.opening(face.mesh) - motion.opening(begin)) * np.ptp(begin[:, 0])
    return int(rng.choice(np.argsort(distance, kind="stable")[:STILLS]))


def _limited(head: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Movements [t, m, 2] made smaller until the face stays near its place."""
    furthest = float(np.linalg.norm(head.mean(1), axis=-1).max())
    return head * min(1.0, REACH * float(np.ptp(points[_OVAL, 0])) / max(furthest, 1e-6))


def _with_mouth(
    picture: np.ndarray, points: np.ndarray, other: np.ndarray, lips: np.ndarray, open_by: float
) -> np.ndarray:
    """The opening of the mouth at ``points`` filled from that of another frame with its ``lips`` [40, 2].

    Where no frame has the mouth as wide open, the rest is darkness.
    """
    inside = points[motion.INNER_LIPS]
    wanted = float(motion.opening(points))
    if wanted * float(np.ptp(inside[:, 0])) < 1.5:
        return picture
    height, width = picture.shape[:2]
    mask = hulls.hull(inside, (height, width))
    if wanted > 1.5 * open_by:
        dark = np.full_like(picture, picture[mask > 0].min(0) * 0.5) if mask.any() else picture
        return hulls.composite(picture, dark, cv2.GaussianBlur(mask, (0, 0), max(height / 256, 0.5)) * mask)
    filled = warp(other, lips, points[_LIPS])
    return hulls.composite(picture, filled, cv2.GaussianBlur(mask, (0, 0), max(height / 300, 0.5)))
