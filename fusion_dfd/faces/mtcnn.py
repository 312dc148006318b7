"""MTCNN, the cascade of Zhang, Zhang, Li and Qiao, "Joint Face Detection and Alignment using Multitask Cascaded
Convolutional Networks", IEEE Signal Processing Letters 23(10), 2016, over batches of frames.

The networks run compiled on the device; boxes are chosen on the host. There is one compiled program for the R-Net, one
for the O-Net, and one of the P-Net per size class of frames. The P-Net scans an image pyramid that is laid out on one
mosaic; the other two networks look at patches.

Weights, thresholds and box conventions are those of the package ``mtcnn`` 1.0.0 (:data:`WHEEL`). Patches are resampled
without aliasing (:func:`sample_patches`), which that package does not do.
"""

from __future__ import annotations

import dataclasses
import functools
import io
from collections.abc import Iterator

import cv2
import jax
import jax.numpy as jnp
import joblib
import numpy as np

from fusion_dfd.faces.boxes import Detections, covered, in_chunks, moved, squared
from fusion_dfd.weights import sources
from fusion_dfd.weights.sources import Wheel

PNET_THRESHOLD, RNET_THRESHOLD = 0.6, 0.7
"""Minimum confidence that the first and the second stage pass on."""
PROPOSALS = 256
"""Maximum number of candidates of a frame that a stage passes on, and of a pyramid level that are compared."""
MOSAIC_PIXELS, MOSAIC_BATCH = 1 << 17, 8
"""Approximate number of pixels, and maximum number of frames, per call of the P-Net."""
RNET_BATCH, ONET_BATCH = 32, 8

CELL, STRIDE = 12, 2
"""Window and step of the P-Net, pixels of a pyramid level."""
FACTOR = 0.709
"""Ratio of successive pyramid levels: half the area."""
LONGEST = 640
"""Longest side of the finest pyramid level; in larger frames the smallest faces are not found, which saves seconds."""
MULTIPLE = 32
"""Mosaic sides are multiples of this, so that videos of similar size share a compiled program."""
GREY = (127, 127, 127)

Arrays = tuple[np.ndarray | jax.Array, ...]

WHEEL = Wheel(
    "mtcnn",
    "1.0.0",
    {
        "mtcnn/assets/weights/pnet.lz4": (27119, "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5"),
        "mtcnn/assets/weights/rnet.lz4": (401659, "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee"),
        "mtcnn/assets/weights/onet.lz4": (1557637, "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3"),
    },
)


class MTCNN:
    """Finds faces whose box is at least ``min_size`` pixels wide or high, with a confidence of at least ``threshold``.

    In frames wider or higher than 640 * min_size / 12 pixels the least size found grows in proportion.
    Raises :class:`fusion_dfd.types.DataError` where the weights cannot be had or are altered.
    """

    def __init__(self, min_size: int = 32, threshold: float = 0.9):
        self.min_size, self.threshold = min_size, threshold
        self._weights = {name: jax.device_put(load(name)) for name in ("pnet", "rnet", "onet")}

    def detect(self, frames: np.ndarray) -> list[Detections]:
        """Faces of each frame of uint8 [n, h, w, 3] RGB; see :class:`fusion_dfd.faces.detector.Detector`."""
        faces = _Boxes.none()
        proposals = self._propose(frames)
        refined = self._refine(frames, proposals) if len(proposals) else proposals
        if len(refined):
            faces = self._finish(frames, refined)
        return [faces[faces.frame == index].detections() for index in range(len(frames))]

    def _propose(self, frames: np.ndarray) -> _Boxes:
        """Stage 1: windows of all scales that may hold a face."""
        mosaic = plan_mosaic(*frames.shape[1:3], self.min_size)
        if mosaic is None or not len(frames):
            return _Boxes.none()
        chunk = int(np.clip(MOSAIC_PIXELS // (mosaic.height * mosaic.width), 1, MOSAIC_BATCH))
        mosaics = np.stack([mosaic.draw(frame) for frame in frames])
        score, offset = in_chunks(pnet, self._weights["pnet"], mosaics, chunk)
        proposals = []
        for level in mosaic.levels:
            at, windows = level.pick(score, PNET_THRESHOLD)
            side = windows[:, 2:] - windows[:, :2]
            boxes = windows + offset[at] * np.concatenate([side, side], -1)
            proposals.append(_Boxes(at[0], boxes, score[at]).suppressed(0.5))
        return _Boxes.joined(proposals).suppressed(0.7)

    def _refine(self, frames: np.ndarray, proposals: _Boxes) -> _Boxes:
        """Stage 2: the candidates that still look like faces at 24 x 24 pixels, better placed."""
        squares = squared(proposals.boxes)
        patches = sample_patches(frames, proposals.frame, squares, 24)
        score, offset = in_chunks(rnet, self._weights["rnet"], patches, RNET_BATCH)
        refined = _Boxes(proposals.frame, moved(squares, offset), score)
        return refined[score > RNET_THRESHOLD].suppressed(0.7)

    def _finish(self, frames: np.ndarray, refined: _Boxes) -> _Boxes:
        """Stage 3: faces with landmarks, from 48 x 48 pixels."""
        squares = squared(refined.boxes)
        patches = sample_patches(frames, refined.frame, squares, 48)
        score, offset, points = in_chunks(onet, self._weights["onet"], patches, ONET_BATCH)
        # The - 1 and + 1: landmarks were trained with coordinates that count pixels from 1.
        corner, side = squares[:, None, :2] - 1, (squares[:, 2:] - squares[:, :2] + 1)[:, None]
        faces = _Boxes(refined.frame, moved(squares, offset), score, corner + points * side)
        faces = faces[score >= self.threshold].suppressed(0.7, "min")
        height, width = frames.shape[1:3]
        faces.boxes = np.clip(faces.boxes, 0, np.array([width, height, width, height]) - 1)
        longer = (faces.boxes[:, 2:] - faces.boxes[:, :2]).max(-1)
        return faces[longer >= self.min_size]


@dataclasses.dataclass
class _Boxes:
    """Candidate boxes of many frames."""

    frame: np.ndarray
    """int [m], the frame each box lies in."""
    boxes: np.ndarray
    """float64 [m, 4]."""
    score: np.ndarray
    """float32 [m]."""
    landmarks: np.ndarray
    """float64 [m, 5, 2]; zeros before the last stage."""

    def __init__(self, frame: np.ndarray, boxes: np.ndarray, score: np.ndarray, landmarks: np.ndarray | None = None):
        self.frame, self.boxes, self.score = frame, boxes, score
        self.landmarks = np.zeros((len(boxes), 5, 2)) if landmarks is None else landmarks

    @staticmethod
    def none() -> _Boxes:
        return _Boxes(np.zeros(0, int), np.zeros((0, 4)), np.zeros(0, np.float32))

    @staticmethod
    def joined(parts: list[_Boxes]) -> _Boxes:
        return _Boxes(
            *(np.concatenate([getattr(part, name) for part in parts]) for name in ("frame", "boxes", "score"))
        )

    def __len__(self) -> int:
        return len(self.boxes)

    def __getitem__(self, index: np.ndarray) -> _Boxes:
        return _Boxes(self.frame[index], self.boxes[index], self.score[index], self.landmarks[index])

    def suppressed(self, threshold: float, measure: str = "union") -> _Boxes:
        """By frame, then by falling confidence, without boxes that a more confident one of their frame covers."""
        order = np.argsort(-self.score, kind="stable")
        kept = [order[:0]]
        for frame in np.unique(self.frame):
            index = order[self.frame[order] == frame][:PROPOSALS]
            kept.append(index[~covered(self.boxes[index], threshold, measure)])
        return self[np.concatenate(kept)]

    def detections(self) -> Detections:
        return Detections(self.boxes.astype(np.float32), self.score, self.landmarks.astype(np.float32))


@dataclasses.dataclass(frozen=True)
class Level:
    """One level of the image pyramid, and its place on the mosaic (even coordinates)."""

    x: int
    y: int
    width: int
    height: int
    scale: tuple[float, float]
    """Pixels of the frame per pixel of the level, horizontally and vertically."""

    def pick(self, score: np.ndarray, threshold: float) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Where ``score`` [n, h', w'] of the mosaics' windows exceeds ``threshold`` within this level.

        Returns the index into ``score`` (frame, row, column; each int [m]) and the windows in pixels of the frame,
        float64 [m, 4].
        """
        top, left = self.y // STRIDE, self.x // STRIDE
        rows, columns = ((side - CELL) // STRIDE + 1 for side in (self.height, self.width))
        frame, row, column = np.nonzero(score[:, top : top + rows, left : left + columns] > threshold)
        corner = np.stack([column, row], -1) * STRIDE
        windows = np.concatenate([corner, corner + CELL], -1) * np.tile(self.scale, 2)
        return (frame, row + top, column + left), windows


@dataclasses.dataclass(frozen=True)
class Mosaic:
    """Where the pyramid levels of frames of one size lie on their mosaic of ``height`` x ``width`` pixels."""

    levels: tuple[Level, ...]
    height: int
    width: int

    def draw(self, frame: np.ndarray) -> np.ndarray:
        """uint8 [height, width, 3], the mosaic of one frame uint8 [h, w, 3]."""
        mosaic = np.zeros((self.height, self.width, 3), np.uint8)
        for level in self.levels:
            small = cv2.resize(frame, (level.width, level.height), interpolation=cv2.INTER_AREA)
            mosaic[level.y : level.y + level.height, level.x : level.x + level.width] = small
        return mosaic


@functools.lru_cache(maxsize=64)
def plan_mosaic(height: int, width: int, min_size: int) -> Mosaic | None:
    """Mosaic of the pyramid of frames of height x width, for faces from ``min_size`` pixels; None if no window fits in.

    Each level goes into the first column of the mosaic that has room below, else into a new one at the right.
    """
    shorter = min(height, width)
    scales = [min(CELL / min_size, LONGEST / max(height, width))]
    while scales[-1] * FACTOR * shorter > CELL:
        scales.append(scales[-1] * FACTOR)
    scales.append(CELL / shorter)  # the window that holds the whole frame, for pictures that are all face
    levels, columns = [], []
    for scale in scales:
        # Even sides and places, so that no window of the network's 2 x 2 pooling straddles a border.
        h, w = (2 * round(side * scale / 2) for side in (height, width))
        if min(h, w) < CELL or scale > scales[0]:
            continue
        tall = levels[0].height if levels else h
        column = next((column for column in columns if w <= column["width"] and column["y"] + h <= tall), None)
        if column is None:
            column = {"x": sum(other["width"] for other in columns), "y": 0, "width": w}
            columns.append(column)
        levels.append(Level(column["x"], column["y"], w, h, (width / w, height / h)))
        column["y"] += h
    if not levels:
        return None
    sides = levels[0].height, sum(column["width"] for column in columns)
    return Mosaic(tuple(levels), *(-(-side // MULTIPLE) * MULTIPLE for side in sides))


def sample_patches(frames: np.ndarray, frame: np.ndarray, squares: np.ndarray, size: int) -> np.ndarray:
    """uint8 [m, size, size, 3]: the squares [m, 4] of ``frames[frame]``, grey outside the picture.

    Samples are bilinear at subpixel positions. They are taken from the frame after it was halved as often as it stays
    finer than the patch: samples of the full-size frame alias, which makes the landmarks jitter.
    """
    out = np.empty((len(squares), size, size, 3), np.uint8)
    halves: dict[int, list[np.ndarray]] = {}
    for patch, index, square in zip(out, frame, squares, strict=True):
        chain = halves.setdefault(index, [frames[index]])
        step = (square[2] - square[0]) / size
        times = max(0, int(np.log2(max(step, 1))))
        while len(chain) <= times and min(chain[-1].shape[:2]) > 1:
            half = chain[-1].shape[1] // 2, chain[-1].shape[0] // 2
            chain.append(cv2.resize(chain[-1], half, interpolation=cv2.INTER_AREA))
        picture = chain[min(times, len(chain) - 1)]
        ratio = np.array(picture.shape[1::-1]) / frames.shape[2:0:-1]
        # Pixel centres lie at + 0.5: sample k is at square + (k + 0.5) * step.
        start = (square[:2] + step / 2) * ratio - 0.5
        matrix = np.array([[step * ratio[0], 0, start[0]], [0, step * ratio[1], start[1]]])
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        cv2.warpAffine(picture, matrix, (size, size), patch, flags, cv2.BORDER_CONSTANT, GREY)
    return out


@jax.jit
def pnet(weights: Arrays, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """uint8 [n, h, w, 3] -> face probability [n, h', w'] and box offsets [n, h', w', 4] of all windows of 12 x 12."""
    w = iter(weights)
    x = _pool(_conv(_normal(images), w), 2)
    x = _conv(_conv(x, w), w)
    offset = _conv(x, w, activate=False)
    return jax.nn.softmax(_conv(x, w, activate=False))[..., 1], offset


@jax.jit
def rnet(weights: Arrays, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """uint8 [n, 24, 24, 3] -> face probability [n], box offsets [n, 4]."""
    w = iter(weights)
    x = _pool(_conv(_normal(images), w), 3, "SAME")
    x = _pool(_conv(x, w), 3)
    x = _dense(_flat(_conv(x, w)), w)
    offset = _dense(x, w, activate=False)
    return jax.nn.softmax(_dense(x, w, activate=False))[..., 1], offset


@jax.jit
def onet(weights: Arrays, images: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """uint8 [n, 48, 48, 3] -> face probability [n], box offsets [n, 4], landmarks [n, 5, 2] in 0..1 of the square."""
    w = iter(weights)
    x = _pool(_conv(_normal(images), w), 3, "SAME")
    x = _pool(_conv(x, w), 3)
    x = _pool(_conv(x, w), 2)
    x = _dense(_flat(_conv(x, w)), w)
    offset = _dense(x, w, activate=False)
    points = _dense(x, w, activate=False)
    return jax.nn.softmax(_dense(x, w, activate=False))[..., 1], offset, points.reshape(-1, 2, 5).swapaxes(1, 2)


def _normal(images: jax.Array) -> jax.Array:
    return (images.astype(jnp.float32) - 127.5) * 0.0078125


def _conv(x: jax.Array, w: Iterator[jax.Array], activate: bool = True) -> jax.Array:
    dims = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(x, next(w), (1, 1), "VALID", dimension_numbers=dims) + next(w)
    return _prelu(x, next(w)) if activate else x


def _dense(x: jax.Array, w: Iterator[jax.Array], activate: bool = True) -> jax.Array:
    x = x @ next(w) + next(w)
    return _prelu(x, next(w)) if activate else x


def _prelu(x: jax.Array, slope: jax.Array) -> jax.Array:
    return jnp.where(x > 0, x, slope * x)


def _pool(x: jax.Array, size: int, padding: str = "VALID") -> jax.Array:
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, size, size, 1), (1, 2, 2, 1), padding)


def _flat(x: jax.Array) -> jax.Array:
    """[n, h, w, c] -> [n, w h c]: the authors' networks read columns first."""
    return x.swapaxes(1, 2).reshape(len(x), -1)


@functools.cache
def load(name: str) -> Arrays:
    """Weights of ``pnet``, ``rnet`` or ``onet``, float32, in layer order: kernel (HWIO), bias, PReLU slope, ...

    Raises :class:`DataError` as :func:`fusion_dfd.weights.sources.read` does.
    """
    # joblib unpickles, and a pickle can run anything: nothing but bytes with the known hash is ever given to it.
    content = sources.read(WHEEL, f"mtcnn/assets/weights/{name}.lz4")
    return tuple(np.asarray(array, np.float32) for array in joblib.load(io.BytesIO(content)))
