"""Drift: the features of the face are a little elsewhere in every frame.

A face swap aligns each frame anew, by points that are off by some noise. The features then shake against the head, and
often their light flickers, while no single frame shows a trace. Yan et al. ("Generalizing Deepfake Video Detection with
Plug-and-Play: Video-Level Blending and Spatiotemporal Adapter Tuning", CVPR 2025) name this facial feature drift. Only
places and light are forged: each pixel comes from its own frame.
"""

from __future__ import annotations

import numpy as np

from fusion_dfd.faces.mesh import LEFT_BROW, LEFT_EYE, LIPS, NOSE, RIGHT_BROW, RIGHT_EYE, stored
from fusion_dfd.forge import hulls, motion
from fusion_dfd.forge.forger import Donor, Face, Forged, NotApplicable
from fusion_dfd.forge.warp import noise, rendered, warp

PARTS = [stored(group) for group in ((*RIGHT_BROW, *RIGHT_EYE), (*LEFT_BROW, *LEFT_EYE), NOSE, LIPS)]
"""Places in STORED of the features; the oval of the face stays where it is."""
ALL = [place for part in PARTS for place in part]
WEAKEST, STRONGEST = 1.0, 3.5
"""Standard deviation of a shift, pixels of a face of 256: above the noise of the renderer in the real half."""
TURN = 0.015
"""Standard deviation of a turn, radians, and of a change of size."""
FLICKER = 0.015
"""Largest standard deviation of the factor of the light."""


def drift(face: Face, donor: Donor, rng: np.random.Generator) -> Forged:
    """Aligns the features of a clip anew in each frame; ``donor`` is not asked. Needs the mesh in every frame.

    Drawn once per clip: whether the features move as one or each by itself, how far, how much of it one frame has from
    the one before, and how much the light flickers. Raises NotApplicable for a single frame, which shows nothing.
    """
    face.require_mesh()
    count, height, width = face.frames.shape[:3]
    if count < 2:
        raise NotApplicable("features cannot drift in a single frame")
    parts = [ALL] if rng.random() < 0.5 else PARTS
    size = np.exp(rng.uniform(np.log(WEAKEST), np.log(STRONGEST))) * min(height, width) / 256
    keep, flicker = rng.uniform(0, 0.7), rng.uniform(0, FLICKER)
    shifts, turns, growths = (noise(rng, keep, (count, len(parts), values)) for values in (2, 1, 1))
    light = 1 + flicker * noise(rng, keep, (count, 1))
    inner, outer = rng.uniform(0.02, 0.04), rng.uniform(0.03, 0.07)
    reach = rng.uniform(0.1, 0.16) * float(np.ptp(np.median(face.mesh, 0)[:, 0]))
    frames, masks, targets = face.frames.copy(), np.zeros((count, height, width), np.float32), face.mesh.copy()
    for index, source in enumerate(face.mesh.astype(np.float64)):
        target = source.copy()
        for number, part in enumerate(parts):
            turn, growth = TURN * turns[index, number, 0], TURN * growths[index, number, 0]
            away = source[part] - source[part].mean(0)
            target[part] += size * shifts[index, number] + away @ np.array([[growth, turn], [-turn, growth]])
        mask = hulls.feather(hulls.hull(motion.around(source[ALL], reach), (height, width)), inner, outer)
        moved = warp(face.frames[index], source, target).astype(np.float32) * light[index]
        frames[index] = hulls.composite(face.frames[index], np.clip(np.rint(moved), 0, 255), mask)
        masks[index], targets[index] = mask, target
    return Forged(frames, masks, rendered(face, masks, rng), targets)
