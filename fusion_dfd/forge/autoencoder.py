"""Small autoencoders of faces: what re-rendering decodes a face with. They are trained here, on real faces alone.

An encoder squeezes an aligned face into a short code, a decoder draws a face from it; what the code cannot hold is
lost, as in the face swaps of the DeepFakes family (Perov et al., "DeepFaceLab", 2020, section 3). They differ in size
and in how they enlarge (nearest neighbour, zeros in between as in a transposed convolution, pixel shuffle: each leaves
another pattern, Odena et al., "Deconvolution and Checkerboard Artifacts", 2016), so that no single trace is learnt.

The encoder is linear: the principal components of a small picture of the face (Turk & Pentland, "Eigenfaces for
Recognition", 1991). The decoder undoes that, and enlarges the small picture by convolutions, which alone are trained
by descent: minutes on one core suffice.

The weights are kept in the cache. Only forging needs them, never predicting. Training runs in JAX. Decoding runs in
NumPy, so that loader threads and worker processes can do it beside a model that holds the accelerator.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import optax

from fusion_dfd import cache
from fusion_dfd.faces.mesh import LEFT_EYE, LIPS, RIGHT_EYE
from fusion_dfd.forge.forger import Face, NotApplicable
from fusion_dfd.types import DataError
from fusion_dfd.weights import array_files

COMMAND = "fusion-dfd forge --root REAL --out DIR --train_autoencoders"
"""What makes the weights."""
SIDE = 128
"""Side of the aligned faces that :func:`train` takes, pixels."""
TEMPLATE = np.array([[0.675, 0.37], [0.325, 0.37], [0.50, 0.755]])
"""Where the centres of left eye, right eye and lips lie in an aligned face, fractions of its side: all of the oval is
just within."""
WIDTH = 24
"""Channels of the decoder at the size of the code's picture; half as many at each doubling."""
STEPS, RATE = 500, 2e-3
"""Training steps of each, and the learning rate they begin with; it falls to 0 along a cosine."""
FEWEST, MOST = 16, 5000
"""Faces that training needs, and those it keeps in memory."""

_log = logging.getLogger(__name__)
Arrays = Mapping[str, Any]
Convolve = Callable[[Any, Any], Any]
"""A convolution of [n, h, w, c] with a kernel [3, 3, c, out], zeros around."""


@dataclasses.dataclass(frozen=True)
class Design:
    """What an autoencoder looks like."""

    side: int
    """Of its picture, pixels."""
    doublings: int
    """How often the decoder doubles the size."""
    code: int
    """Numbers in the code of a face."""
    enlarge: str
    """How it does: ``nearest``, ``transposed`` or ``shuffle``."""
    batch: int
    """Faces per training step."""

    @property
    def small(self) -> int:
        """Side of the picture whose principal components are the code."""
        return self.side >> self.doublings


DESIGNS = {
    "nearest64": Design(64, 1, 64, "nearest", 16),
    "transposed64": Design(64, 1, 128, "transposed", 16),
    "shuffle96": Design(96, 2, 96, "shuffle", 16),
    "nearest128": Design(128, 2, 128, "nearest", 8),
}


@dataclasses.dataclass(frozen=True)
class Autoencoder:
    """A trained one."""

    design: Design
    arrays: Mapping[str, np.ndarray]
    """float32."""

    def encode(self, faces: np.ndarray) -> np.ndarray:
        """Codes float32 [t, code] of aligned faces uint8 [t, side, side, 3].

        Over the faces of the training each number has mean 0 and standard deviation 1.
        """
        small = np.stack([_resized(face, self.design.small) for face in faces]).astype(np.float32) / 255
        return encode(self.arrays, small)

    def decode(self, codes: np.ndarray) -> np.ndarray:
        """Faces uint8 [t, side, side, 3] of codes [t, code]; one at a time, which stays within a core's cache."""
        each = (decode(self.arrays, self.design, code[None], _convolve) for code in codes.astype(np.float32))
        return np.concatenate([np.rint(255 * np.clip(face, 0, 1)).astype(np.uint8) for face in each])


def placements(face: Face, side: int) -> np.ndarray:
    """float64 [t, 2, 3], from pixels of each frame to those of its aligned face of that side.

    Every frame goes by its own points, in least squares by rotation, scale and shift: complex numbers, as in
    :func:`fusion_dfd.faces.align.transform`.
    """
    points = np.stack([face.points(group).mean(1) for group in (LEFT_EYE, RIGHT_EYE, LIPS)], 1).astype(np.float64)
    goal = TEMPLATE @ (1, 1j) * side - (0.5 + 0.5j)
    found = points @ (1, 1j)
    middle = found.mean(1, keepdims=True)
    turn = ((found - middle).conj() * goal).sum(1) / (abs(found - middle) ** 2).sum(1)
    shift = goal.mean() - turn * middle[:, 0]
    rows = np.stack([turn.real, -turn.imag, shift.real, turn.imag, turn.real, shift.imag], 1)
    return rows.reshape(-1, 2, 3)


def aligned(face: Face, side: int) -> np.ndarray:
    """Aligned faces uint8 [t, side, side, 3]. Needs the mesh in every frame, else raises NotApplicable."""
    face.require_mesh()
    size = (side, side)
    return np.stack(
        [
            cv2.warpAffine(
                _softened(frame, matrix), matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            for frame, matrix in zip(face.frames, placements(face, side), strict=True)
        ]
    )


def _softened(frame: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    """The frame, blurred where ``matrix`` shrinks it, so that nothing is aliased."""
    shrink = 1 / np.hypot(*matrix[0, :2])
    return cv2.GaussianBlur(frame, (0, 0), 0.4 * shrink) if shrink > 1.3 else frame


def folder() -> str:
    """Where forging looks for the weights: ``NAME.safetensors`` for every design."""
    return cache.folder("autoencoders")


def load(name: str) -> Autoencoder:
    """The trained autoencoder of a design, read once in a process.

    Raises NotApplicable, with the command that makes it, where it is not in :func:`folder`, and DataError for a file
    that is not of this design.
    """
    path = os.path.join(folder(), f"{name}.safetensors")
    if not os.path.isfile(path):
        raise NotApplicable(f"{path}: no such autoencoder, make it with {COMMAND}")
    return _read(path, name)


@functools.lru_cache(maxsize=2 * len(DESIGNS))
def _read(path: str, name: str) -> Autoencoder:
    arrays, _ = array_files.read_safetensors(path)
    want = {key: array.shape for key, array in initial(DESIGNS[name], np.random.default_rng(0)).items()}
    if {key: array.shape for key, array in arrays.items()} != want:
        raise DataError(f"{path}: not the arrays of {name}, make it again with {COMMAND}")
    return Autoencoder(DESIGNS[name], {key: array.astype(np.float32) for key, array in arrays.items()})


def save(autoencoder: Autoencoder, path: str) -> str:
    """Write the weights as float16; returns the path."""
    # safetensors writes the buffer of an array as it lies: rows first is what it has to be.
    half = {name: np.array(array, np.float16, order="C") for name, array in autoencoder.arrays.items()}
    return array_files.write_safetensors(path, half, {"design": repr(autoencoder.design)})


def initial(design: Design, rng: np.random.Generator) -> dict[str, np.ndarray]:
    """Arrays to begin with, by name; those of the code are 0. Kernels by He et al. 2015, for rectifiers."""
    arrays: dict[str, np.ndarray] = {}

    def add(name: str, channels: int, out: int, gain: float = 2.0) -> None:
        arrays[name] = rng.normal(0, np.sqrt(gain / (9 * channels)), (3, 3, channels, out)).astype(np.float32)
        arrays[f"{name}.bias"] = np.zeros(out, np.float32)

    values = 3 * design.small**2
    arrays["encoder"] = np.zeros((values, design.code), np.float32)
    arrays["encoder.mean"] = np.zeros(values, np.float32)
    arrays["decoder"] = np.zeros((design.code, values), np.float32)
    arrays["decoder.bias"] = np.zeros(values, np.float32)
    width = WIDTH
    add("first", 3, width)
    add("mix", width, width)
    for level in range(design.doublings):
        shuffled = design.enlarge == "shuffle"
        gain = 8.0 if design.enlarge == "transposed" else 2.0
        add(f"double.{level}", width, width // 2 * (4 if shuffled else 1), gain)
        width //= 2
    add("picture", width, 3, gain=0.1)
    return arrays


def encode(arrays: Arrays, small: Any) -> Any:
    """Codes [n, code] of small faces [n, h, w, 3] in 0..1."""
    return (small.reshape(len(small), -1) - arrays["encoder.mean"]) @ arrays["encoder"]


def decode(arrays: Arrays, design: Design, codes: Any, convolve: Convolve) -> Any:
    """Faces [n, side, side, 3], about 0..1, of codes [n, code]."""

    def apply(name: str, x: Any) -> Any:
        return convolve(x, arrays[name]) + arrays[f"{name}.bias"]

    shortcut = (codes @ arrays["decoder"] + arrays["decoder.bias"]).reshape(-1, design.small, design.small, 3)
    x = _bent(apply("first", 4 * (shortcut - 0.5)))
    x = x + _bent(apply("mix", x))
    for level in range(design.doublings):
        name = f"double.{level}"
        x = _bent(
            _shuffled(apply(name, x)) if design.enlarge == "shuffle" else apply(name, _ENLARGE[design.enlarge](x))
        )
        shortcut = _repeated(shortcut)
    return shortcut + apply("picture", x)


def _bent(x: Any) -> Any:
    """Leaky rectifier."""
    return x.__array_namespace__().maximum(x, 0.1 * x)


def _repeated(x: Any) -> Any:
    return x.repeat(2, 1).repeat(2, 2)


def _spaced(x: Any) -> Any:
    """Zeros in every second row and column: with a convolution after it, a transposed convolution of stride 2."""
    count, height, width, channels = x.shape
    parts = x[:, :, None, :, None]
    zeros = ((0, 0), (0, 0), (0, 1), (0, 0), (0, 1), (0, 0))
    return x.__array_namespace__().pad(parts, zeros).reshape(count, 2 * height, 2 * width, channels)


def _shuffled(x: Any) -> Any:
    """Four times the channels become twice the size (Shi et al. 2016)."""
    count, height, width, channels = x.shape
    parts = x.reshape(count, height, width, 2, 2, channels // 4).transpose(0, 1, 3, 2, 4, 5)
    return parts.reshape(count, 2 * height, 2 * width, channels // 4)


_ENLARGE = {"nearest": _repeated, "transposed": _spaced}


def _convolve(x: np.ndarray, kernel: np.ndarray) -> np.ndarray:
    """In NumPy: nine products of matrices."""
    height, width = x.shape[1:3]
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    out = np.zeros((*x.shape[:3], kernel.shape[-1]), np.float32)
    for row, column in itertools.product(range(3), range(3)):
        out += padded[:, row : row + height, column : column + width] @ kernel[row, column]
    return out


def _convolve_jax(x: jax.Array, kernel: jax.Array) -> jax.Array:
    return jax.lax.conv_general_dilated(x, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))


def train(faces: Iterable[np.ndarray], folder: str, seed: int, steps: int = STEPS) -> list[str]:
    """Train one autoencoder of each design; returns the paths of their files in ``folder``.

    Args:
      faces: real faces uint8 [SIDE, SIDE, 3], as :func:`aligned` makes them, of many people. The first MOST are taken.
      folder: where the files go: that of :func:`folder` for forging.
      seed: equal seeds and faces give equal weights on one machine.
      steps: of each.

    Raises DataError for fewer than FEWEST faces.
    """
    pictures = list(itertools.islice(faces, MOST))
    if len(pictures) < FEWEST:
        raise DataError(f"{len(pictures)} real faces for the autoencoders of {folder}, give at least {FEWEST}")
    os.makedirs(folder, exist_ok=True)
    paths = []
    for index, (name, design) in enumerate(DESIGNS.items()):
        begun = time.monotonic()
        trained, loss = _fit(np.stack(pictures), design, np.random.default_rng((seed, index)), steps)
        paths.append(save(trained, os.path.join(folder, f"{name}.safetensors")))
        _log.info("autoencoder %s: mean error %.3f of 1, %.0f s", name, loss, time.monotonic() - begun)
    return paths


def _fit(pictures: np.ndarray, design: Design, rng: np.random.Generator, steps: int) -> tuple[Autoencoder, float]:
    """Trained on the pictures, and the mean absolute error of the last tenth of the steps."""
    linear = _components(pictures, design)
    code = Autoencoder(design, linear)
    arrays = {name: array for name, array in initial(design, rng).items() if name not in linear}
    rule = optax.adam(optax.cosine_decay_schedule(RATE, steps))

    @functools.partial(jax.jit, donate_argnums=(0, 1))
    def step(arrays, state, codes, batch):
        (_, error), slope = jax.value_and_grad(_loss, has_aux=True)(arrays, linear, design, codes, batch)
        updates, state = rule.update(slope, state, arrays)
        return optax.apply_updates(arrays, updates), state, error

    state = rule.init(arrays)
    errors = []
    for _ in range(steps):
        chosen = pictures[rng.integers(len(pictures), size=design.batch)]
        batch = np.stack([_resized(_varied(picture, rng), design.side) for picture in chosen])
        arrays, state, error = step(arrays, state, code.encode(batch), batch.astype(np.float32) / 255)
        errors.append(error)
    trained = linear | {name: np.array(array) for name, array in arrays.items()}
    return Autoencoder(design, trained), float(np.mean(errors[-max(steps // 10, 1) :]))


def _components(pictures: np.ndarray, design: Design) -> dict[str, np.ndarray]:
    """The arrays of the code: projection on the first principal components, scaled to deviation 1, and its inverse."""
    both = np.concatenate([pictures, pictures[:, :, ::-1]])
    small = np.stack([_resized(picture, design.small) for picture in both]).reshape(len(both), -1) / np.float32(255)
    mean, weight = small.mean(0), np.repeat(_weights(design.small), 3)
    centred = (small - mean) * weight
    variances, vectors = np.linalg.eigh(centred.T @ centred / len(centred))
    deviation = np.sqrt(np.maximum(variances[: -design.code - 1 : -1], 1e-6))
    vectors = vectors[:, : -design.code - 1 : -1]
    found = {
        "encoder": weight[:, None] * vectors / deviation,
        "encoder.mean": mean,
        "decoder": (vectors * deviation).T / weight,
        "decoder.bias": mean,
    }
    return {name: array.astype(np.float32) for name, array in found.items()}


def _loss(
    arrays: Arrays, linear: Arrays, design: Design, codes: jax.Array, faces: jax.Array
) -> tuple[jax.Array, jax.Array]:
    """Absolute error of the pixels and of their differences to the neighbours, which keeps edges; and the first."""
    off = (decode({**linear, **arrays}, design, codes, _convolve_jax) - faces) * _weights(design.side)[..., None]
    error = jnp.abs(off).mean()
    edges = jnp.abs(jnp.diff(off, axis=1)).mean() + jnp.abs(jnp.diff(off, axis=2)).mean()
    return error + edges, error


def _weights(side: int) -> np.ndarray:
    """[side, side]: 1 within the ellipse of the face, a fifth outside, so that the code is not spent on it."""
    from_middle = (np.arange(side, dtype=np.float32) + 0.5) / side - 0.5
    outside = (from_middle[:, None] / 0.5) ** 2 + (from_middle / 0.4) ** 2 > 1
    return np.where(outside, np.float32(0.2), np.float32(1.0))


def _resized(picture: np.ndarray, side: int) -> np.ndarray:
    return cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA)


def _varied(picture: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A face, a little otherwise aligned, in other light, perhaps mirrored; uint8 as it comes."""
    picture = picture[:, ::-1] if rng.random() < 0.5 else picture
    middle = len(picture) / 2
    matrix = cv2.getRotationMatrix2D((middle, middle), rng.normal(0, 4), np.exp(rng.normal(0, 0.04)))
    matrix[:, 2] += rng.normal(0, 0.015 * len(picture), 2)
    moved = cv2.warpAffine(picture, matrix, picture.shape[:2], borderMode=cv2.BORDER_REPLICATE)
    light = np.exp(rng.normal(0, 0.12) + rng.normal(0, 0.04, 3))
    return np.clip(moved * light, 0, 255).astype(np.uint8)
