"""The appearance of a window, whoever it shows: statistics of its light, colours, detail and flicker.

They differ between cameras, codecs, sizes and renderers. :mod:`fusion_dfd.evaluation.familiarity` compares them with
those of the windows a model was trained on.
"""

from __future__ import annotations

import functools

import numpy as np

from fusion_dfd.types import LUMA

BANDS = 8
"""Of spatial frequency, evenly spaced in its logarithm up to half a cycle a pixel."""
MOTION_BANDS = ((0, 3), (3, 6), (6, 8))
"""First and last band (exclusive) of the groups over which the power of the change between frames is averaged."""


def statistics(frames: np.ndarray) -> np.ndarray:
    """float64 [19] of a window uint8 [t, s, s, 3], t > 0.

    Logarithms of: mean and deviation of R, G, B; power of the luma by band of spatial frequency, and of its change from
    frame to frame (0 for a single frame); and the deviations of R and B from luma.
    """
    pixels = frames.astype(np.float32)
    luma = pixels @ np.float32(LUMA)
    detail = _power(luma - luma.mean((1, 2), keepdims=True))
    flicker = _power(np.diff(luma, axis=0))
    values = [
        *pixels.mean((0, 1, 2)),
        *pixels.std((0, 1, 2)),
        *detail,
        *(flicker[low:high].mean() for low, high in MOTION_BANDS),
        *((pixels[..., channel] - luma).std() for channel in (0, 2)),
    ]
    return np.log1p(np.array(values, np.float64))


def _power(images: np.ndarray) -> np.ndarray:
    """Mean power [BANDS] of images [t, s, s] by band; zeros without an image."""
    if not len(images):
        return np.zeros(BANDS)
    taper, band = _plane(images.shape[-1])
    power = np.square(np.abs(np.fft.fft2(images * taper))).mean(0)
    return np.array([power[band == number].mean() for number in range(BANDS)])


@functools.cache
def _plane(size: int) -> tuple[np.ndarray, np.ndarray]:
    """A taper [s, s] that hides the edges, and the band of every frequency; -1 for none."""
    across = np.fft.fftfreq(size)
    frequency = np.hypot(across[:, None], across[None])
    band = np.digitize(frequency, np.geomspace(1 / size, 0.5, BANDS + 1)) - 1
    return np.outer(np.hanning(size), np.hanning(size)), np.where(band < BANDS, band, -1)
