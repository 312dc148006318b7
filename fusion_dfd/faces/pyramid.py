"""The pictures that the networks of a cascade look at: image pyramids laid out on mosaics, and patches.

A mosaic holds all levels of a frame's pyramid side by side, so that one call of one compiled program scans them all.
"""

from __future__ import annotations

import dataclasses
import functools

import cv2
import numpy as np

CELL, STRIDE = 12, 2
"""Window and step of the scanning network, pixels of a pyramid level."""
FACTOR = 0.709
"""Ratio of successive pyramid levels: half the area."""
LONGEST = 640
"""Longest side of the finest pyramid level; larger frames lose their smallest faces rather than cost seconds."""
MULTIPLE = 32
"""Mosaic sides are multiples of this, so that videos of similar size share a compiled program."""
GREY = (127, 127, 127)


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
class Layout:
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
def lay_out(height: int, width: int, min_size: int) -> Layout | None:
    """The pyramid of frames of height x width, for faces from ``min_size`` pixels up; None if no window fits in.

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
    return Layout(tuple(levels), *(-(-side // MULTIPLE) * MULTIPLE for side in sides))


def sample(frames: np.ndarray, frame: np.ndarray, squares: np.ndarray, size: int) -> np.ndarray:
    """uint8 [m, size, size, 3]: the squares [m, 4] of ``frames[frame]``, grey outside the picture.

    Bilinear samples at subpixel places, taken from the frame halved as often as it stays finer than the patch: samples
    of a full-size frame alias, and the landmarks found in them jitter with it.
    """
    out = np.empty((len(squares), size, size, 3), np.uint8)
    halves: dict[int, list[np.ndarray]] = {}
    for number, (index, square) in enumerate(zip(frame, squares, strict=True)):
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
        cv2.warpAffine(picture, matrix, (size, size), out[number], flags, cv2.BORDER_CONSTANT, GREY)
    return out
