"""The parameters of a procedural person, drawn from a random generator.

A person is two independent draws, :class:`Inner` (what a face swap exchanges: brows, eyes, nose, mouth) and
:class:`Outer` (what stays with the target: skull, skin, hair, clothes). Because they are independent, the inner face of
one person on the head of another is again a plausible draw of the same population: a clean swap cannot be recognised
in a single picture.

Lengths are in units of half a face width; x to the right and y down from the centre of the face, as in the picture.
Colours are RGB in 0..1.
"""

from __future__ import annotations

import dataclasses

import numpy as np

SKINS = np.float32([[0.84, 0.69, 0.61], [0.81, 0.63, 0.52], [0.74, 0.55, 0.42], [0.64, 0.45, 0.33], [0.49, 0.34, 0.26]])
HAIRS = np.float32(
    [
        [0.09, 0.07, 0.07],
        [0.17, 0.11, 0.08],
        [0.32, 0.21, 0.13],
        [0.36, 0.26, 0.15],
        [0.27, 0.26, 0.26],
        [0.25, 0.11, 0.06],
    ]
)
BROWS = np.float32([[0.10, 0.07, 0.06], [0.17, 0.11, 0.08], [0.26, 0.17, 0.11]])
IRISES = np.float32([[0.22, 0.13, 0.08], [0.33, 0.22, 0.11], [0.26, 0.36, 0.42], [0.28, 0.36, 0.22]])


@dataclasses.dataclass(frozen=True)
class Inner:
    """The inner face."""

    eye_x: float
    eye_y: float
    eye_width: float
    eye_open: float
    eye_slant: float
    iris: np.ndarray
    socket: float
    brow_height: float
    brow_thick: float
    brow_arch: float
    brow_slant: float
    brow_colour: np.ndarray
    ridge: float
    nose_length: float
    nose_width: float
    nose_depth: float
    mouth_y: float
    mouth_width: float
    lip_upper: float
    lip_lower: float
    lip_red: float
    cheek: float
    skin_seed: int


@dataclasses.dataclass(frozen=True)
class Outer:
    """The head around it."""

    skin: np.ndarray
    hair: np.ndarray
    hairline: float
    hair_volume: float
    hair_length: float
    chin: float
    jaw: float
    depth: float
    shine: float
    cloth: np.ndarray
    shoulder: float


@dataclasses.dataclass(frozen=True)
class Identity:
    """One person."""

    inner: Inner
    outer: Outer


def draw(rng: np.random.Generator) -> Identity:
    """A person. The same generator state gives the same person."""
    uniform = rng.uniform
    inner = Inner(
        eye_x=uniform(0.405, 0.455),
        eye_y=uniform(-0.17, -0.12),
        eye_width=uniform(0.215, 0.25),
        eye_open=uniform(0.33, 0.42),
        eye_slant=uniform(-0.08, 0.10),
        iris=IRISES[rng.integers(len(IRISES))],
        socket=uniform(0.14, 0.20),
        brow_height=uniform(0.27, 0.33),
        brow_thick=uniform(0.038, 0.06),
        brow_arch=uniform(0.02, 0.06),
        brow_slant=uniform(-0.05, 0.02),
        brow_colour=BROWS[rng.integers(len(BROWS))],
        ridge=uniform(0.03, 0.08),
        nose_length=uniform(0.22, 0.28),
        nose_width=uniform(0.14, 0.19),
        nose_depth=uniform(0.28, 0.36),
        mouth_y=uniform(0.63, 0.70),
        mouth_width=uniform(0.34, 0.43),
        lip_upper=uniform(0.05, 0.085),
        lip_lower=uniform(0.07, 0.115),
        lip_red=uniform(0.55, 0.95),
        cheek=uniform(0.02, 0.08),
        skin_seed=int(rng.integers(2**31)),
    )
    tone = uniform(0, len(SKINS) - 1.001)
    share = tone % 1
    skin = SKINS[int(tone)] * (1 - share) + SKINS[int(tone) + 1] * share
    outer = Outer(
        skin=(skin * uniform(0.95, 1.04, 3)).astype(np.float32),
        hair=(HAIRS[rng.integers(len(HAIRS))] * uniform(0.85, 1.15)).astype(np.float32),
        hairline=uniform(-1.0, -0.82),
        hair_volume=uniform(0.05, 0.17),
        hair_length=float(rng.choice([uniform(-0.25, 0.1), uniform(0.5, 1.3)])),
        chin=uniform(1.20, 1.32),
        jaw=uniform(0.13, 0.25),
        depth=uniform(0.85, 1.0),
        shine=uniform(0.05, 0.16),
        cloth=uniform(0.12, 0.8, 3).astype(np.float32),
        shoulder=uniform(1.7, 2.2),
    )
    return Identity(inner, outer)
