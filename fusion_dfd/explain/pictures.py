"""Pictures of a page: frames and maps side by side, as JPEG inside the page."""

from __future__ import annotations

from collections.abc import Sequence

import cv2
import numpy as np
from matplotlib import colormaps

from fusion_dfd.evaluation.gallery import data_uri
from fusion_dfd.explain.motionmaps import Motion

FRAMES = 5
"""Frames of a piece that are shown."""
SIDE = 208
"""Of each on the page, pixels."""
GAP = 4
_HEAT, _SIGNED, _AMOUNT = colormaps["inferno"], colormaps["RdBu_r"], colormaps["viridis"]


def spread(count: int) -> np.ndarray:
    """Places of at most FRAMES of ``count`` frames, evenly spaced."""
    return np.linspace(0, count - 1, min(FRAMES, count)).round().astype(int)


def strip(frames: np.ndarray, heat: np.ndarray | None = None) -> str:
    """Frames uint8 [n, s, s, 3] in a row, as a ``data:`` URI; with ``heat`` [n, h, w] >= 0 laid over them.

    The heat's largest value over all of these frames is fully bright, 0 leaves the frame dark: frames can be compared.
    """
    shown = [_scaled(frame) for frame in frames]
    if heat is not None:
        top = max(float(heat.max()), 1e-12)
        shown = [overlay(frame, one / top) for frame, one in zip(shown, heat, strict=True)]
    return data_uri(_row(shown))


def overlay(frame: np.ndarray, heat: np.ndarray) -> np.ndarray:
    """A frame uint8 [h, w, 3] under a heat map [i, j] in 0..1: what is hot is coloured, what is not is grey."""
    heat = np.clip(_scaled(heat.astype(np.float32), frame.shape[0], cv2.INTER_CUBIC), 0, 1)
    grey = cv2.cvtColor(cv2.cvtColor(frame, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB).astype(np.float32)
    colour = 255 * _HEAT(heat)[..., :3].astype(np.float32)
    share = 0.65 * heat[..., None]
    return np.rint((1 - share) * 0.75 * grey + share * colour).astype(np.uint8)


def motion(found: Motion) -> str:
    """The moment's face, motion to the right, motion downwards, strain, and where the model looked, in a row."""
    panels = [
        _scaled(found.picture),
        _coloured(_SIGNED, 0.5 + 0.5 * found.u),
        _coloured(_SIGNED, 0.5 + 0.5 * found.v),
        _coloured(_AMOUNT, found.strain),
        overlay(_scaled(found.picture), found.attention / max(float(found.attention.max()), 1e-12)),
    ]
    return data_uri(_row(panels))


def _coloured(colours, values: np.ndarray) -> np.ndarray:
    return (255 * colours(np.clip(_scaled(values.astype(np.float32)), 0, 1))[..., :3]).astype(np.uint8)


def _scaled(image: np.ndarray, side: int = SIDE, method: int | None = None) -> np.ndarray:
    if method is None:
        method = cv2.INTER_AREA if image.shape[0] > side else cv2.INTER_LINEAR
    return cv2.resize(np.ascontiguousarray(image), (side, side), interpolation=method)


def _row(panels: Sequence[np.ndarray]) -> np.ndarray:
    gap = np.full((SIDE, GAP, 3), 255, np.uint8)
    return np.concatenate([part for panel in panels for part in (gap, panel)][1:], axis=1)
