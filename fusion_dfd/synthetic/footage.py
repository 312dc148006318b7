"""One take: a person in front of a camera, and everything that its forgeries are rendered from.

Everything random about a take (person, motion, light, background, camera shake, sensor noise) comes from the seed and
the numbers of the target and the source, so that the real video and its forgeries share it exactly.
"""

from __future__ import annotations

import functools
import zlib
from collections.abc import Iterable, Iterator

import cv2
import numpy as np

from fusion_dfd.synthetic import identity, motion
from fusion_dfd.synthetic.face import RenderedHead

FACE = 0.205
"""Half a face width as a fraction of the picture's side."""

Layer = tuple[tuple[int, int], np.ndarray]
"""Top left corner (x, y) in the picture, and float32 [h, w, 4]: RGB in 0..1 and coverage."""


def generator(seed: int, *path: int | str) -> np.random.Generator:
    """The random generator of one part of the data set, named by ``path``."""
    return np.random.default_rng([seed, *(zlib.crc32(str(part).encode()) for part in path)])


class Footage:
    """The take of ``target``, with the face of ``source`` for swaps.

    Args:
      seed: of the data set.
      target, source: numbers of the two persons.
      frames: length.
      size: width and height of the picture, pixels.
    """

    def __init__(self, seed: int, target: int, source: int, frames: int, size: int):
        self.size, self.unit = size, FACE * size
        self._target = identity.draw(generator(seed, "person", target))
        self._source = identity.draw(generator(seed, "person", source))
        self.motion, self.micro = motion.perform(generator(seed, "motion", target), frames)
        rng = generator(seed, "camera", target)
        self._light = rng.normal([0, -0.45, 0.9], [0.35, 0.12, 0.05])
        self._light = (self._light / np.linalg.norm(self._light)).astype(np.float32)
        self._ambient = rng.uniform(0.38, 0.52)
        self._exposure = np.float32(rng.uniform(0.92, 1.12))
        self._focus = rng.uniform(0.65, 0.9) * size / 160
        self._centre = (size * rng.normal(0.5, 0.015), size * rng.normal(0.47, 0.01))
        self._margin = size // 16
        shake = 0.15 * 8 ** rng.uniform() * size / 160
        self._shake = np.stack([shake * motion.wander(rng, frames, 0.7) for _ in range(2)], -1).clip(
            -0.9 * self._margin, 0.9 * self._margin
        )
        self._plate = self._background(rng)
        grain = np.float32(0.003 * 8 ** rng.uniform())
        self._noise = rng.standard_normal((frames, size, size), np.float32) * grain

    def __len__(self) -> int:
        return len(self.motion)

    @functools.cached_property
    def head(self) -> RenderedHead:
        """The target's head."""
        return RenderedHead(self._target.inner, self._target.outer, self.unit)

    @functools.cached_property
    def swapped(self) -> RenderedHead:
        """The source's inner face on the target's head: same skin, same outline."""
        return RenderedHead(self._source.inner, self._target.outer, self.unit)

    @functools.cached_property
    def painted(self) -> list[np.ndarray]:
        """Lit canonical pictures of :attr:`head`, one per frame."""
        return self.paint(self.head, self.motion)

    @functools.cached_property
    def swapped_painted(self) -> list[np.ndarray]:
        """Lit canonical pictures of :attr:`swapped`, one per frame."""
        return self.paint(self.swapped, self.motion)

    @functools.cached_property
    def layers(self) -> list[Layer]:
        """The real video's face layers."""
        return [self.place(self.head, painted, index) for index, painted in enumerate(self.painted)]

    def paint(self, head: RenderedHead, moves: motion.FaceMotion) -> list[np.ndarray]:
        """Lit canonical pictures of ``head`` under ``moves``, in this take's light."""
        return [self.paint_frame(head, moves, index) for index in range(len(moves))]

    def paint_frame(self, head: RenderedHead, moves: motion.FaceMotion, index: int) -> np.ndarray:
        """The lit canonical picture of frame ``index``."""
        return head.paint(moves.frame(index), self._light, self._ambient)

    def coordinates(self, head: RenderedHead, index: int, moves: motion.FaceMotion | None = None):
        """Window corner, and canonical coordinates (map x, map y) of each of its pixels, at frame ``index``."""
        move = (moves or self.motion).frame(index)
        shake_x, shake_y = self._shake[index]
        corner, map_x, map_y = head.coordinates(move, (self._centre[0] - shake_x, self._centre[1] - shake_y))
        return corner, *head.express(move, map_x, map_y)

    def place(
        self, head: RenderedHead, painted: np.ndarray, index: int, moves: motion.FaceMotion | None = None
    ) -> Layer:
        """A lit canonical picture, projected into the picture of frame ``index``."""
        corner, map_x, map_y = self.coordinates(head, index, moves)
        return corner, look_up(painted, map_x, map_y)

    def film(self, layers: Iterable[Layer]) -> Iterator[np.ndarray]:
        """Frames uint8 [size, size, 3], RGB: background, face layer, lens, sensor noise."""
        size = self.size
        for index, ((x, y), layer) in enumerate(layers):
            middle = self._margin + (size - 1) / 2
            picture = cv2.getRectSubPix(
                self._plate,
                (size, size),
                (middle + float(self._shake[index, 0]), middle + float(self._shake[index, 1])),
            )
            top, left, bottom, right = (
                max(-y, 0),
                max(-x, 0),
                min(size - y, layer.shape[0]),
                min(size - x, layer.shape[1]),
            )
            layer = layer[top:bottom, left:right]
            below = picture[y + top : y + bottom, x + left : x + right]
            cover = layer[..., 3]
            below += (cv2.cvtColor(layer, cv2.COLOR_RGBA2RGB) * self._exposure - below) * cv2.merge(
                (cover, cover, cover)
            )
            picture = cv2.GaussianBlur(picture, (0, 0), self._focus)
            noise = self._noise[index]
            picture += cv2.merge((noise, noise, noise))
            yield cv2.convertScaleAbs(np.maximum(picture, 0), alpha=255)

    def _background(self, rng: np.random.Generator) -> np.ndarray:
        """The background with neck and shoulders, float32 [size + 2 margin, size + 2 margin, 3]."""
        side = self.size + 2 * self._margin
        axis = (np.arange(side, dtype=np.float32) + 0.5) / side
        x, y = np.meshgrid(axis, axis)
        corners = rng.uniform(0.2, 0.8) + rng.uniform(-0.15, 0.15, (4, 3))
        weights = np.stack([(1 - x) * (1 - y), x * (1 - y), (1 - x) * y, x * y], -1).astype(np.float32)
        room = weights @ corners.astype(np.float32)
        for _ in range(rng.integers(1, 16)):
            left, top = rng.integers(-side // 5, side, 2)
            wide, high = rng.integers(side // 12, side // 2, 2)
            tone = np.clip(rng.uniform(0.1, 0.9) + rng.uniform(-0.1, 0.1, 3), 0, 1)
            cv2.rectangle(room, (int(left), int(top)), (int(left + wide), int(top + high)), tone.tolist(), -1)
        weave = cv2.GaussianBlur(
            rng.standard_normal((side, side), np.float32), (0, 0), rng.uniform(0.8, 2.5) * self.size / 160
        )
        room += (0.004 * 25 ** rng.uniform() / weave.std() * weave)[..., None]
        room = cv2.GaussianBlur(room, (0, 0), rng.uniform(0.6, 2.5) * self.size / 160)
        outer = self._target.outer
        x = (x * side - self._margin - self._centre[0]) / self.unit
        y = (y * side - self._margin - self._centre[1]) / self.unit
        slope = np.clip(1 - (np.abs(x) / outer.shoulder) ** 2.4, 0, 1) ** 0.6
        folds = 1 + 0.06 * np.sin(4 * x + 2 * y) - 0.25 * np.abs(x) / outer.shoulder
        body = np.clip((y - 2.5 + 0.75 * slope) * self.unit + 0.5, 0, 1)
        room += (outer.cloth * folds[..., None] - room) * body[..., None]
        width = 0.56 + 0.10 * np.clip((y - 1.3) / 0.5, 0, 1) ** 2
        collar = 1.88 - 0.5 * (x / 0.7) ** 2
        neck = (
            np.clip((width - np.abs(x)) * self.unit + 0.5, 0, 1)
            * np.clip((collar - y) * self.unit + 0.5, 0, 1)
            * (y > 0)
        )
        side_light = np.clip(0.78 + 0.3 * self._light[0] * x - 0.35 * (x / 0.6) ** 2, 0.2, 1)
        under_chin = 0.62 + 0.38 * np.clip((y - outer.chin) / 0.5, 0, 1)
        room += ((outer.skin * (side_light * under_chin)[..., None]) - room) * neck[..., None]
        return (room * self._exposure).astype(np.float32)


def look_up(values: np.ndarray, map_x: np.ndarray, map_y: np.ndarray) -> np.ndarray:
    """``values`` at the canonical coordinates of each pixel; 0 outside."""
    return cv2.remap(values, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_CONSTANT)
