"""Regional motion: brows, lids, mouth or jaw move for a moment as this face did not.

For some frames, the motion of one region's points, without that of the head, is replaced: by the same clip's from some
frames before, by another clip's of the same strength, by a weaker one, or by itself backwards in time. Only the motion
is forged: each pixel comes from its own frame. (KiMoI has the idea; it changes coefficients of a principal component
analysis of each region. Over one clip all components together are a change of basis, and fewer of them would make the
region smoother than skin is. So the displacements themselves are replaced.)
"""

from __future__ import annotations

import numpy as np

from fusion_dfd.faces.mesh import JAW, LEFT_BROW, LEFT_EYE, LIPS, RIGHT_BROW, RIGHT_EYE, stored
from fusion_dfd.forge import hulls, motion
from fusion_dfd.forge.forger import Donor, Face, Forged, NotApplicable
from fusion_dfd.forge.warp import rendered, warp

REGIONS = {
    "brows": stored((*LEFT_BROW, *RIGHT_BROW)),
    "lids": stored((*LEFT_EYE, *RIGHT_EYE)),
    "mouth": stored(LIPS),
    "jaw": stored((*JAW[3:-3], *LIPS)),
}
"""Places in STORED of the points whose motion is replaced; a jaw takes the lips with it."""
SHORTEST, LONGEST, RAMP = 8, 24, 3
"""Frames that are replaced, and frames over which that sets in and ends."""
VISIBLE = 0.5
"""Pixels of a face of 256 by which some frame must differ, averaged over the region."""
TRIES = 12


def regions(face: Face, donor: Donor, rng: np.random.Generator) -> Forged:
    """Replaces the motion of a region of a clip. Needs the mesh in every frame, of 8 at least.

    Raises NotApplicable where nothing that was tried moves a region by what can be seen while the head faces one way.
    """
    face.require_mesh()
    count, height, width = face.frames.shape[:3]
    if count < SHORTEST:
        raise NotApplicable(f"a clip of {count} frames is too short for other motion in {SHORTEST} of them")
    unit = min(height, width) / 256
    reference = np.median(face.mesh, 0).astype(np.float64)
    heads = motion.to_frames(face.mesh, reference)
    steady = motion.steadied(face.mesh, heads)
    for _ in range(TRIES):
        region = REGIONS[str(rng.choice(list(REGIONS)))]
        span = int(rng.integers(SHORTEST, min(LONGEST, count), endpoint=True))
        start = int(rng.integers(count - span, endpoint=True))
        seen = face.mesh[start : start + span]
        if motion.turned(seen, np.median(seen, 0)).max() > motion.TURN:
            continue
        other = _replaced(steady[:, region], start, span, donor, reference, region, rng)
        index = np.arange(1, span + 1)
        weight = np.minimum(1, np.minimum(index, index[::-1]) / (RAMP + 1))
        change = weight[:, None, None] * (other - steady[start : start + span, region])
        if np.linalg.norm(change, axis=-1).mean(-1).max() >= VISIBLE * unit:
            break
    else:
        raise NotApplicable("no region of the face moves enough to move otherwise, or the head turns too far")
    inner, outer = rng.uniform(0.02, 0.04), rng.uniform(0.03, 0.07)
    reach = rng.uniform(0.1, 0.16) * float(np.ptp(reference[:, 0]))
    frames, masks = face.frames.copy(), np.zeros((count, height, width), np.float32)
    targets = face.mesh.copy()
    for frame, moves in enumerate(change, start):
        points = steady[frame].copy()
        points[region] += moves
        source, target = face.mesh[frame].astype(np.float64), motion.moved(motion.untangled(points), heads[frame])
        both = np.vstack([source[region], target[region]])
        mask = hulls.feather(hulls.hull(motion.around(both, reach), (height, width)), inner, outer)
        frames[frame] = hulls.composite(face.frames[frame], warp(face.frames[frame], source, target), mask)
        masks[frame], targets[frame] = mask, target
    return Forged(frames, masks, rendered(face, masks, rng), targets)


def _replaced(
    own: np.ndarray,
    start: int,
    span: int,
    donor: Donor,
    reference: np.ndarray,
    region: list[int],
    rng: np.random.Generator,
) -> np.ndarray:
    """[span, n, 2]: where points [t, n, 2] without the motion of the head go from frame ``start`` on."""
    part = own[start : start + span]
    middle = part.mean(0)
    kind = int(rng.integers(4))
    if kind == 0:
        late = int(rng.integers(2, 8, endpoint=True)) * int(rng.choice([-1, 1]))
        return own[np.clip(np.arange(start, start + span) - late, 0, len(own) - 1)]
    if kind == 1:
        return middle + rng.uniform(0.3, 0.7) * (part - middle)
    if kind == 2:
        return part[::-1]
    other = donor()
    other.require_mesh()
    if len(other) < span:
        raise NotApplicable(f"a clip of {len(other)} frames does not have the motion for {span}")
    begin = int(rng.integers(len(other) - span, endpoint=True))
    theirs = other.mesh[begin : begin + span]
    moves = motion.steadied(theirs, motion.to_frames(theirs, reference))[:, region]
    moves = moves - moves.mean(0)
    return middle + moves * min((part - middle).std() / max(moves.std(), 1e-6), 3.0)
