"""Clip-consistent augmentation: one draw per clip, replayed on every frame.

Fine facial motion is evidence, so nothing here may differ from frame to frame: every part is a fixed function of the
pixels of one frame, chosen once per clip. A static clip stays exactly static. Frames are uint8 from end to end;
normalisation happens on the device.
"""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import simplejpeg

from fusion_dfd.config import Augment
from fusion_dfd.types import DataError

FLIPPED_LANDMARKS = (1, 0, 2, 4, 3)
"""Order of the five landmarks after a horizontal flip: the one at the left of the picture stays first."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green, blue in luma (ITU-R BT.601), as JPEG has them."""

BLUR_SIGMA = (0.4, 1.2)
"""Range of the Gaussian blur's standard deviation, pixels of the result."""

PREFILTER_FROM = 1.5
"""Shrinking by more than this averages areas first: bilinear sampling alone would skip pixels and alias."""


@dataclasses.dataclass(frozen=True, slots=True)
class Params:
    """One draw. The default changes nothing: that is the evaluation path, a plain resize of the full crop."""

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


def draw(rng: np.random.Generator, options: Augment) -> Params:
    """Draw one :class:`Params`.

    Uses up the same random numbers whatever the options are: switching one part off leaves the draws of the others.
    """
    flip, blur, jpeg = rng.random(3) < (options.flip, options.blur, options.jpeg)
    shrink, left, top = rng.random(3)
    side = 1.0 - options.crop * shrink
    brightness, contrast, saturation = 1.0 + options.colour * rng.uniform(-1.0, 1.0, 3)
    sigma = rng.uniform(*BLUR_SIGMA)
    quality = rng.integers(options.jpeg_quality[0], options.jpeg_quality[1], endpoint=True)
    return Params(
        flip=bool(flip),
        window=(float((1.0 - side) * left), float((1.0 - side) * top), float(side)),
        brightness=float(brightness),
        contrast=float(contrast),
        saturation=float(saturation),
        blur=float(sigma) if blur else 0.0,
        jpeg=int(quality) if jpeg else 0,
    )


def apply(frames: np.ndarray, landmarks: np.ndarray, params: Params, size: int) -> tuple[np.ndarray, np.ndarray]:
    """Replay ``params`` on a clip.

    Args:
      frames: uint8 [t, h, w, 3], RGB; t may be 0.
      landmarks: float [t, 5, 2], pixels of ``frames``. A landmark that is not finite stays so and harms nothing else.
      params: the draw; ``Params()`` only resizes.
      size: side of the result, pixels.

    Returns:
      uint8 [t, size, size, 3] and float32 [t, 5, 2] in pixels of it.

    Raises:
      DataError: frames without any pixel.
    """
    count, height, width = frames.shape[:3]
    if not height or not width:
        raise DataError(f"frames of {width}x{height} pixels cannot be resized: prepare the data set anew")
    if params == Params() and height == width == size:
        return frames, _move(landmarks, params, (width, height), size)
    out = np.empty((count, size, size, 3), np.uint8)
    for frame, place in zip(frames, out, strict=True):
        _resample(frame, params, place)
    matrix = _colour_matrix(params)
    if matrix is not None and count:
        out = cv2.transform(out.reshape(count * size, size, 3), matrix).reshape(out.shape)
    if params.blur or params.jpeg:
        for frame in out:
            frame[...] = _degrade(frame, params)
    return out, _move(landmarks, params, (width, height), size)


def _resample(frame: np.ndarray, params: Params, out: np.ndarray) -> None:
    """Crop, resize and flip one frame [h, w, 3] into ``out`` [size, size, 3]."""
    left, top, side = params.window
    height, width = frame.shape[:2]
    size = len(out)
    if side == 1.0:
        whole = _resize(frame, size, size)
        out[...] = cv2.flip(whole, 1) if params.flip else whole
        return
    # Whatever shrinking is to be done, areas are averaged on the whole frame first, so that one warp of about unit
    # scale places the window at a fraction of a pixel.
    if min(height, width) * side > PREFILTER_FROM * size:
        height = width = round(size / side)
        frame = _resize(frame, width, height)
    across, down = (_axis(start, side, length, size) for start, length in ((left, width), (top, height)))
    if params.flip:
        across = (-across[0], size - 1 - across[1])
    matrix = np.array([[across[0], 0.0, across[1]], [0.0, down[0], down[1]]])
    # With a fourth channel OpenCV gives the same numbers in half the time, the way there and back included.
    four = cv2.cvtColor(frame, cv2.COLOR_RGB2RGBA)
    four = cv2.warpAffine(four, matrix, (size, size), None, cv2.INTER_LINEAR, cv2.BORDER_REPLICATE)
    cv2.cvtColor(four, cv2.COLOR_RGBA2RGB, out)


def _resize(frame: np.ndarray, width: int, height: int) -> np.ndarray:
    if frame.shape[:2] == (height, width):
        return frame
    shrinks = min(frame.shape[0] / height, frame.shape[1] / width) > PREFILTER_FROM
    return cv2.resize(frame, (width, height), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)


def _axis(start: float, side: float, length: int, size: int) -> tuple[float, float]:
    """Scale and offset that take a coordinate to the result, along one axis; pixel centres lie at whole numbers."""
    scale = size / (side * length)
    return scale, (0.5 - start * length) * scale - 0.5


def _move(landmarks: np.ndarray, params: Params, shape: tuple[int, int], size: int) -> np.ndarray:
    """Landmarks [t, 5, 2] in pixels of the result; mirrored ones change sides in the order as well."""
    left, top, side = params.window
    across, down = _axis(left, side, shape[0], size), _axis(top, side, shape[1], size)
    moved = np.asarray(landmarks, np.float64) * (across[0], down[0]) + (across[1], down[1])
    if params.flip:
        moved = moved[:, FLIPPED_LANDMARKS]
        moved[..., 0] = size - 1 - moved[..., 0]
    return moved.astype(np.float32)


def _colour_matrix(params: Params) -> np.ndarray | None:
    """Brightness, contrast and saturation as one affine map of RGB, float32 [3, 4]; None where it is the identity."""
    if params.brightness == params.contrast == params.saturation == 1.0:
        return None
    saturation = params.saturation * np.eye(3) + (1.0 - params.saturation) * np.outer(np.ones(3), LUMA)
    linear = params.brightness * params.contrast * saturation
    offset = np.full((3, 1), (1.0 - params.contrast) * 127.5)
    return np.hstack([linear, offset]).astype(np.float32)


def _degrade(frame: np.ndarray, params: Params) -> np.ndarray:
    """Blur and JPEG round trip of one frame [h, w, 3]."""
    if params.blur:
        frame = cv2.GaussianBlur(frame, (0, 0), params.blur)
    if params.jpeg:
        frame = simplejpeg.decode_jpeg(simplejpeg.encode_jpeg(frame, params.jpeg, colorsubsampling="420"))
    return frame
