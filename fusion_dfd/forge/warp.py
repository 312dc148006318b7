"""Move the points of a picture: the renderer of every forger that moves a face, and of the noise on real faces."""

from __future__ import annotations

import cv2
import numpy as np
from scipy import ndimage
from scipy.spatial import Delaunay

from fusion_dfd.faces.mesh import OVAL, stored
from fusion_dfd.forge import hulls
from fusion_dfd.forge.forger import Face

EDGE = 5
"""Fixed points along each edge of the picture."""
THIN = 0.5
"""A triangle of less than half this area, square pixels, moves as a whole: its slope is noise."""


def warp(picture: np.ndarray, source: np.ndarray, target: np.ndarray, edge: np.ndarray | float = 0.0) -> np.ndarray:
    """A picture [h, w, c] in which what was at ``source`` is at ``target``, in the dtype of ``picture``.

    Affine in each triangle between the targets. Fixed points along the edge make the movement fade out towards it.

    Args:
      picture: uint8 or float32.
      source: [n, 2], pixels; pixel centres at whole numbers.
      target: [n, 2], likewise. Where two targets coincide, one of them counts.
      edge: how far from it the picture on its edge is taken from, pixels: 0, or [len(edge_points(shape)), 2]. Beyond
        the picture it is mirrored.
    """
    fixed = edge_points(picture.shape[:2])
    away, corners = field(np.vstack([source, fixed + edge]), np.vstack([target, fixed]), picture.shape[:2])
    x0, y0, x1, y1 = corners
    if x0 >= x1:
        return picture.copy()
    away[..., 0] += np.arange(x0, x1, dtype=np.float32)
    away[..., 1] += np.arange(y0, y1, dtype=np.float32)[:, None]
    out = picture.copy()
    out[y0:y1, x0:x1] = cv2.remap(picture, away, None, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101)
    return out


def edge_points(shape: tuple[int, int]) -> np.ndarray:
    """float64 [4 * EDGE - 4, 2]: evenly along the edge of a picture."""
    height, width = shape
    x, y = np.meshgrid(np.linspace(0, width - 1, EDGE), np.linspace(0, height - 1, EDGE))
    outer = np.ones((EDGE, EDGE), bool)
    outer[1:-1, 1:-1] = False
    return np.stack([x[outer], y[outer]], -1)


def field(
    source: np.ndarray, target: np.ndarray, shape: tuple[int, int]
) -> tuple[np.ndarray, tuple[int, int, int, int]]:
    """For each pixel, how far away its new value is found: interpolated from ``source - target`` at ``target``.

    Returns:
      float32 [y1 - y0, x1 - x0, 2] in pixels, and x0, y0, x1, y1: the box outside which it is 0.
    """
    height, width = shape
    corners = Delaunay(target).simplices
    away = (source - target)[corners]
    places = target[corners]
    moved = np.abs(away).max((1, 2)) > 0
    if not moved.any():
        return np.zeros((0, 0, 2), np.float32), (0, 0, 0, 0)
    low = np.clip(np.floor(places[moved].min((0, 1))).astype(int), 0, [width, height])
    high = np.clip(np.ceil(places[moved].max((0, 1))).astype(int) + 1, 0, [width, height])
    area = np.abs(np.linalg.det(places[:, 1:] - places[:, :1]))
    solid = area >= THIN
    slopes = np.zeros((len(corners), 3, 2))
    slopes[:, 2] = away.mean(1)
    ones = np.ones((*places.shape[:2], 1))
    slopes[solid] = np.linalg.solve(np.concatenate([places, ones], -1)[solid], away[solid])
    # Borders of polygons are painted too: larger triangles paint over thinner ones, whose slopes are steep.
    number = np.zeros((high - low)[::-1], np.int32)
    fixed = np.rint((places - low) * 16).astype(np.int32)
    for index in np.argsort(area):
        cv2.fillConvexPoly(number, fixed[index], int(index), shift=4)
    rows = np.arange(low[1], high[1], dtype=np.float32)[:, None]
    columns = np.arange(low[0], high[0], dtype=np.float32)
    slopes = slopes.astype(np.float32)
    out = np.empty((*number.shape, 2), np.float32)
    for axis in (0, 1):
        along_x, along_y, constant = np.ascontiguousarray(slopes[..., axis].T)
        one = along_x.take(number)
        one *= columns
        part = along_y.take(number)
        part *= rows
        one += part
        one += constant.take(number)
        out[..., axis] = one
    return out, (int(low[0]), int(low[1]), int(high[0]), int(high[1]))


def jitter(frames: np.ndarray, points: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Real frames after the renderer, which alone must not tell a forged clip: uint8 like ``frames`` [t, h, w, 3].

    All points of the face move by a smooth field of less than a pixel. How much, and how much of it one frame has from
    the one before, is drawn once per clip.

    Args:
      points: [t, m, 2], the points of :data:`fusion_dfd.faces.mesh.STORED`, in pixels; frames without them (NaN) stay
        as they are.
    """
    count, height, width = frames.shape[:3]
    size = rng.uniform(0.15, 0.6) * min(height, width) / 256
    keep = rng.choice([0.0, rng.uniform(0.5, 0.97)])
    coarse = size * noise(rng, keep, (count, 4, 4, 2))
    out = frames.copy()
    for index in np.flatnonzero(~np.isnan(points).any((1, 2))):
        place = points[index]
        oval = place[stored(OVAL)]
        low, high = oval.min(0), oval.max(0)
        grid = ((place - low) / np.maximum(high - low, 1) * 3).T[::-1]
        moves = [ndimage.map_coordinates(coarse[index, ..., axis], grid, order=1, mode="nearest") for axis in (0, 1)]
        out[index] = warp(frames[index], place, place + np.stack(moves, -1))
    return out


def noise(rng: np.random.Generator, keep: float, shape: tuple[int, ...]) -> np.ndarray:
    """float64 [t, ...] of standard deviation 1, of which a frame keeps the share ``keep`` of the one before."""
    out = rng.normal(size=shape)
    for index in range(1, len(out)):
        out[index] = keep * out[index - 1] + np.sqrt(1 - keep**2) * out[index]
    return out


def rendered(face: Face, masks: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """The real half of a pair: :func:`jitter` where the forgery was replaced (``masks`` [t, h, w]), else untouched."""
    moved = jitter(face.frames, face.mesh, rng)
    return np.stack([hulls.composite(*some) for some in zip(face.frames, moved, masks, strict=True)])
