"""Re-render: every frame's face, drawn again by an autoencoder, and pasted back.

What face swaps by autoencoders do (Perov et al., "DeepFaceLab", 2020): align the face, encode it, decode it with
another identity, match the colours, feather, paste. The identity is the mean of a clip's codes; it is replaced by that
of another person's clip, wholly or in part, or drawn towards the usual face, or left to what the code keeps of it.

Each frame is decoded by itself, as those programs do, and the small errors of its alignment come out as flicker. The
autoencoders are our own (:mod:`fusion_dfd.forge.autoencoder`).
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np

from fusion_dfd.forge import autoencoder, hulls
from fusion_dfd.forge.autoencoder import Autoencoder
from fusion_dfd.forge.forger import Donor, Face, Forged, NotApplicable

HULLS = ("face", "face", "below_brows", "features")
"""Parts of the face that are replaced, drawn from these."""
ENLARGEMENTS = (cv2.INTER_LINEAR, cv2.INTER_CUBIC, cv2.INTER_LANCZOS4)
"""By which the decoded face comes to the size of the frame."""
DONOR_FRAMES = 4
"""Frames of the other person whose codes are averaged."""
FAR = 3.0
"""Standard deviations of the training's codes beyond which no code goes: what is drawn there is no face."""


def rerender(face: Face, donor: Donor, rng: np.random.Generator) -> Forged:
    """Replaces the face by a decoded one. Needs the mesh in every frame, and trained autoencoders.

    Where nobody else can be had, the face is drawn towards the usual one instead.
    """
    face.require_mesh()
    model = autoencoder.load(str(rng.choice(list(autoencoder.DESIGNS))))
    side = model.design.side
    moved = face if rng.random() < 0.5 else _trembling(face, rng)
    real, placements = autoencoder.aligned(moved, side), autoencoder.placements(moved, side)
    decoded = model.decode(_other(model, model.encode(real), donor, rng))
    points = face.points(hulls.HULLS[str(rng.choice(HULLS))])
    inside = (cv2.transform(points[index][None], place)[0] for index, place in enumerate(placements))
    within = np.stack([hulls.hull(one, (side, side)) for one in inside]) > 0
    decoded = _coloured(decoded, real, within, str(rng.choice(["clip", "clip", "frame", "frame", "none"])))
    if rng.random() < 0.3:
        decoded = _sharpened(decoded, rng.uniform(0.3, 1.0))
    inner, outer = rng.uniform(0.02, 0.08), rng.uniform(0.01, 0.12)
    strength, enlargement = float(rng.choice([0.75, 1, 1, 1])), int(rng.choice(ENLARGEMENTS))
    height, width = face.frames.shape[1:3]
    frames, masks = face.frames.copy(), np.zeros(face.frames.shape[:3], np.float32)
    for index, frame in enumerate(face.frames):
        back = cv2.invertAffineTransform(placements[index])
        above = cv2.warpAffine(
            decoded[index], back, (width, height), flags=enlargement, borderMode=cv2.BORDER_REPLICATE
        )
        seen = cv2.warpAffine(np.ones((side, side), np.float32), back, (width, height), flags=cv2.INTER_NEAREST)
        mask = hulls.feather(hulls.hull(points[index], (height, width)) * seen, inner, outer) * strength
        frames[index], masks[index] = hulls.composite(frame, above, mask), mask
    return Forged(frames, masks)


def _trembling(face: Face, rng: np.random.Generator) -> Face:
    """The face with points as a poorer landmark detector finds them: each frame's off by .3-1 % of the face."""
    size = np.ptp(face.mesh, axis=1).mean()
    noise = rng.normal(0, rng.uniform(0.003, 0.01) * size, (len(face), *face.mesh.shape[1:]))
    # The centres of eyes and lips average 16 and 40 points, and errors of neighbours are alike: one for each of eight.
    noise = noise[:, np.arange(noise.shape[1]) // 8]
    return dataclasses.replace(face, mesh=(face.mesh + noise).astype(np.float32))


def _other(model: Autoencoder, codes: np.ndarray, donor: Donor, rng: np.random.Generator) -> np.ndarray:
    """The codes [t, code] of a clip with another identity."""
    person, amount = codes.mean(0), rng.uniform(0.4, 1.0)
    kind = rng.choice(["donor", "donor", "usual", "own"])
    target = np.zeros_like(person)
    if kind == "donor":
        try:
            other = donor()
            some = np.linspace(0, len(other) - 1, min(DONOR_FRAMES, len(other))).round().astype(int)
            target = model.encode(autoencoder.aligned(_part(other, some), model.design.side)).mean(0)
        except NotApplicable:
            amount /= 2
    elif kind == "usual":
        amount /= 2
    else:
        amount = 0.0
    noise = rng.normal(0, rng.uniform(0, 0.1), codes.shape) * (rng.random() < 0.3)
    return np.clip(codes + amount * (target - person) + noise, -FAR, FAR)


def _part(face: Face, frames: np.ndarray) -> Face:
    return dataclasses.replace(face, frames=face.frames[frames], mesh=face.mesh[frames])


def _coloured(decoded: np.ndarray, real: np.ndarray, within: np.ndarray, over: str) -> np.ndarray:
    """Decoded faces uint8 [t, side, side, 3] with the colours of the real ones.

    Mean and standard deviation in CIE L*a*b* (Reinhard et al., "Color Transfer between Images", 2001), of the pixels
    ``within`` bool [t, side, side], ``over`` each "frame" or the whole "clip", or "none".
    """
    if over == "none":
        return decoded
    ours, theirs = _lab(decoded), _lab(real)
    groups = [slice(None)] if over == "clip" else [slice(index, index + 1) for index in range(len(decoded))]
    for group in groups:
        if not within[group].any():
            continue
        mean, std = _moments(ours[group][within[group]])
        goal, goal_std = _moments(theirs[group][within[group]])
        ours[group] = (ours[group] - mean) * np.clip(goal_std / np.maximum(std, 1e-3), 0.5, 2.0) + goal
    back = [cv2.cvtColor(one, cv2.COLOR_LAB2RGB) for one in ours]
    return np.rint(255 * np.clip(back, 0, 1)).astype(np.uint8)


def _lab(frames: np.ndarray) -> np.ndarray:
    """float32 [t, h, w, 3]."""
    return np.stack([cv2.cvtColor(frame.astype(np.float32) / 255, cv2.COLOR_RGB2LAB) for frame in frames])


def _moments(pixels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return pixels.mean(0), pixels.std(0)


def _sharpened(frames: np.ndarray, amount: float) -> np.ndarray:
    soft = np.stack([cv2.GaussianBlur(frame, (0, 0), 1.0) for frame in frames])
    return np.clip(np.rint(frames + amount * (frames.astype(np.float32) - soft)), 0, 255).astype(np.uint8)
