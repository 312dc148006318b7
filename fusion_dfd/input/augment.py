"""Clip-consistent augmentation: one draw per clip, replayed on every frame.

Fine facial motion is evidence, so nothing here may differ from frame to frame: every operation is a fixed function of
the pixels of one frame, drawn once per clip. A static clip stays exactly static. The exception is ``degrade``
(:mod:`fusion_dfd.forge.degrade`): noise and video encoding have a course in time. Frames remain uint8; normalisation
happens on the device.
"""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import cv2
import numpy as np
import simplejpeg

from fusion_dfd.config import Augment
from fusion_dfd.faces import mesh
from fusion_dfd.forge import degrade
from fusion_dfd.types import LUMA, MESH_POINTS, DataError

FLIPPED_LANDMARKS = (1, 0, 2, 4, 3)
"""Order of the five landmarks after a horizontal flip: the one at the left of the picture stays first."""

_FLIPPED = {
    5: list(FLIPPED_LANDMARKS),
    5 + MESH_POINTS: [*FLIPPED_LANDMARKS, *(5 + place for place in mesh.MIRRORED)],
}
"""The same of all points, by their number."""

BLUR_SIGMA = (0.4, 1.2)
"""Range of the Gaussian blur's standard deviation, pixels of the result."""

PREFILTER_FROM = 1.5
"""Shrinking by more than this averages areas first: bilinear sampling alone would skip pixels and alias."""


@dataclasses.dataclass(frozen=True, slots=True)
class Params:
    """One draw. The defaults only resize the full crop, as in evaluation."""

    flip: bool = False
    window: tuple[float, float, float] = (0.0, 0.0, 1.0)
    """Left, top and side of the square that is kept, as fractions of width and height."""
    brightness: float = 1.0
    """Factor on all channels."""
    contrast: float = 1.0
    """Factor on the distance to mid-grey (127.5): a constant, because a mean over pixels would flicker."""
    saturation: float = 1.0
    """Factor on the distance to the pixel's own luma."""
    blur: float = 0.0
    """Standard deviation of the Gaussian blur, pixels of the result; 0 = none."""
    jpeg: int = 0
    """Quality of the JPEG round trip, 1 .. 100; 0 = none."""
    degradation: degrade.Degradation = degrade.Degradation()
    """What happens to the whole clip before all else."""


def draw(rng: np.random.Generator, options: Augment) -> Params:
    """Draw one :class:`Params`.

    Consumes the same random numbers for all options, so that switching one operation off does not change the others.
    """
    flip, blur, jpeg = rng.random(3) < (options.flip, options.blur, options.jpeg)
    shrink, left, top = rng.random(3)
    side = 1.0 - options.crop * shrink
    brightness, contrast, saturation = 1.0 + options.colour * rng.uniform(-1.0, 1.0, 3)
    sigma = rng.uniform(*BLUR_SIGMA)
    # A stream of its own: whether it is used changes no other draw.
    degradation = degrade.draw(rng.spawn(1)[0], options.degrade)
    quality = rng.integers(options.jpeg_quality[0], options.jpeg_quality[1], endpoint=True)
    return Params(
        flip=bool(flip),
        window=(float((1.0 - side) * left), float((1.0 - side) * top), float(side)),
        brightness=float(brightness),
        contrast=float(contrast),
        saturation=float(saturation),
        blur=float(sigma) if blur else 0.0,
        jpeg=int(quality) if jpeg else 0,
        degradation=degradation,
    )


def apply(
    frames: np.ndarray, landmarks: np.ndarray, params: Params, size: int, out: np.ndarray | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Replay ``params`` on a clip.

    Args:
      frames: uint8 [t, h, w, 3], RGB; t may be 0.
      landmarks: float [t, p, 2], pixels of ``frames``: the five landmarks, p = 5, or these followed by the face
        mesh, p = 5 + MESH_POINTS. A point that is not finite stays so and affects nothing else.
      params: the draw; ``Params()`` only resizes.
      size: side of the result, pixels.
      out: where to write it, uint8 [t, size, size, 3]; None takes fresh memory, or ``frames`` where nothing changes.

    Returns:
      uint8 [t, size, size, 3] and float32 [t, p, 2] in pixels of it.

    Raises:
      DataError: frames without any pixel.
    """
    count, height, width = frames.shape[:3]
    if not height or not width:
        raise DataError(f"frames of {width}x{height} pixels cannot be resized: prepare the data set again")
    window = _CropWindow.of(params, height, width)
    moved = _move(landmarks, window, params.flip, size)
    if out is None:
        if params == Params() and height == width == size:
            return frames, moved
        out = np.empty((count, size, size, 3), np.uint8)
    frames = degrade.apply(frames, params.degradation) if count else frames
    matrix = _colour_matrix(params)
    for frame, result in zip(frames, out, strict=True):
        # All operations on one frame before the next, because it then stays in the core's cache.
        _resample(frame[window.rows, window.columns], params.flip, result)
        if matrix is not None:
            cv2.transform(result, matrix, result)
        if params.blur or params.jpeg:
            _degrade(result, params)
    return out, moved


class _CropWindow(NamedTuple):
    """The part of a frame that is kept, in whole pixels: fractions of pixels would need a warp."""

    rows: slice
    columns: slice

    @classmethod
    def of(cls, params: Params, height: int, width: int) -> _CropWindow:
        left, top, side = params.window
        return cls(_pixels(top, side, height), _pixels(left, side, width))


def _pixels(start: float, side: float, length: int) -> slice:
    """The nearest whole pixels, at least one."""
    first = min(round(start * length), length - 1)
    return slice(first, min(length, max(first + 1, round((start + side) * length))))


def _resample(frame: np.ndarray, flip: bool, out: np.ndarray) -> None:
    """Resize and flip one frame [h, w, 3] into ``out`` [size, size, 3]."""
    size = len(out)
    if frame.shape == out.shape:
        out[...] = frame
    else:
        shrinks = min(frame.shape[:2]) > PREFILTER_FROM * size
        cv2.resize(frame, (size, size), out, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)
    if flip:
        cv2.flip(out, 1, out)


def _move(landmarks: np.ndarray, window: _CropWindow, flip: bool, size: int) -> np.ndarray:
    """Landmarks [t, p, 2] in pixels of the result; mirrored ones change sides in the order as well."""
    across, down = (_axis(kept, size) for kept in (window.columns, window.rows))
    moved = np.asarray(landmarks, np.float64) * (across[0], down[0]) + (across[1], down[1])
    if flip:
        moved = moved[:, _FLIPPED[moved.shape[1]]]
        moved[..., 0] = size - 1 - moved[..., 0]
    return moved.astype(np.float32)


def _axis(kept: slice, size: int) -> tuple[float, float]:
    """Scale and offset that take a coordinate to the result, along one axis; pixel centres lie at whole numbers."""
    scale = size / (kept.stop - kept.start)
    return scale, (0.5 - kept.start) * scale - 0.5


def _colour_matrix(params: Params) -> np.ndarray | None:
    """Brightness, contrast and saturation as one affine map of RGB, float32 [3, 4]; None where it is the identity."""
    if params.brightness == params.contrast == params.saturation == 1.0:
        return None
    saturation = params.saturation * np.eye(3) + (1.0 - params.saturation) * np.outer(np.ones(3), LUMA)
    linear = params.brightness * params.contrast * saturation
    offset = np.full((3, 1), (1.0 - params.contrast) * 127.5)
    return np.hstack([linear, offset]).astype(np.float32)


def _degrade(frame: np.ndarray, params: Params) -> None:
    """Blur and JPEG round trip of one frame [h, w, 3], in place."""
    if params.blur:
        # The kernel of cv2.GaussianBlur, in half its time; values differ by at most 2.
        kernel = cv2.getGaussianKernel(round(6 * params.blur + 1) | 1, params.blur, cv2.CV_32F)
        cv2.sepFilter2D(frame, -1, kernel, kernel, frame)
    if params.jpeg:
        simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(frame, params.jpeg, colorsubsampling="420"), buffer=frame)
