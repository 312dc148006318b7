"""The values that pass between layers, with their shapes and units.

A video becomes a verdict through these types, in this order::

    Video -> FaceTrack -> (record in a shard) -> Batch -> Outputs -> Score

Letters used for axes everywhere: b batch, t time (frames of a clip), h w height and width in pixels, c channels,
k branches. Boxes are ``x0, y0, x1, y1`` in pixels. The five landmarks are, in this order, the eye, the eye, the nose
tip, the mouth corner, the mouth corner, the one at the left of the *picture* first (the order of MTCNN and RetinaFace).
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence

import flax
import jax
import numpy as np

LABELS = ("real", "fake")
"""Class names; the index of a name is its label: 0 = real, 1 = fake. A logit above 0 means fake."""

LUMA = (0.299, 0.587, 0.114)
"""Weights of red, green and blue in luma (ITU-R BT.601), as JPEG has them."""

ARCFACE_LANDMARKS = ((38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655), (70.7299, 92.2041))
"""The five landmarks of an upright face in an image of 112x112 pixels: ``arcface_dst`` of InsightFace (Deng et al.,
ArcFace, CVPR 2019)."""

ORIGINAL = "original"
"""The ``method`` of a video that nobody manipulated."""


MESH_POINTS = 152
"""Points of a stored face mesh: :data:`fusion_dfd.faces.mesh.STORED`, in its order."""


class DataError(Exception):
    """Input that cannot be used. The message is one sentence for the user: the file, the value, the remedy."""


@dataclasses.dataclass(frozen=True, slots=True)
class Stretches:
    """The forged stretches of a fake video. All its other frames are untouched."""

    spans: tuple[tuple[float, float], ...]
    """Begin and end of each, ascending and apart, from the first frame of the video on. The end is not part of it."""
    unit: str = "frames"
    """``frames`` or ``seconds``."""

    @classmethod
    def of(cls, pairs: Iterable[Sequence[float]], unit: str = "frames") -> Stretches:
        """Pairs of begin and end in any order; those that overlap or touch become one.

        Raises DataError for no pair, for one that is no stretch of time, and for another unit.
        """
        spans: list[list[float]] = []
        try:
            ordered = sorted((float(begin), float(end)) for begin, end in pairs)
        except (TypeError, ValueError) as error:
            raise DataError(
                f"forged stretches that are no pairs of begin and end ({error}); restore the list"
            ) from error
        for begin, end in ordered:
            if not 0 <= begin < end < math.inf:
                raise DataError(f"a forged stretch from {begin:g} to {end:g} {unit}; want 0 <= begin < end")
            if spans and begin <= spans[-1][1]:
                spans[-1][1] = max(spans[-1][1], end)
            else:
                spans.append([begin, end])
        if not spans or unit not in ("frames", "seconds"):
            raise DataError(f"{len(spans)} forged stretches in {unit}; want one or more, in frames or seconds")
        return cls(tuple((begin, end) for begin, end in spans), unit)

    def in_frames(self, fps: float) -> Stretches:
        """The same in numbers of frames, whole or not, of a video of ``fps`` frames per second.

        Raises DataError where the video states no rate (0) and one is needed.
        """
        if self.unit == "frames":
            return self
        if not fps > 0:
            raise DataError("its forged stretches are in seconds, but it states no frame rate; give them in frames")
        return Stretches(tuple((begin * fps, end * fps) for begin, end in self.spans))

    def marks(self, indices: np.ndarray) -> np.ndarray:
        """uint8 [t], 1 for those of the frames ``indices`` [t] whose middle lies in a stretch in frames."""
        middle = np.asarray(indices)[:, None] + 0.5
        begin, end = np.array(self.spans).T
        return ((middle >= begin) & (middle < end)).any(1).astype(np.uint8)

    def text(self) -> str:
        """``begin:end``, separated by semicolons; :meth:`parse` reads it."""
        return ";".join(f"{begin:.7g}:{end:.7g}" for begin, end in self.spans)

    @classmethod
    def parse(cls, text: str) -> Stretches:
        """From :meth:`text`, in frames. Raises DataError."""
        return cls.of(pair.split(":") for pair in text.split(";"))


@dataclasses.dataclass(frozen=True, slots=True)
class Video:
    """One video of a data set, as its adapter describes it. Nothing here is guessed downstream.

    ``key`` identifies it: FaceForensics++ uses one file name for all its methods, so the name alone does not.
    """

    id: str
    """File stem, or the path below the folder of its class; unique within (dataset, method, compression)."""
    path: str
    label: int
    """0 = real, 1 = fake."""
    dataset: str
    method: str
    """Manipulation, e.g. ``Deepfakes``; ``original`` for a real video."""
    compression: str
    """``raw``, ``c23`` or ``c40`` where the data set has such a notion, else ``""``."""
    split: str
    """``train``, ``val`` or ``test``."""
    group: str
    """Videos that share an identity or a source clip share a group, as far as the data set tells; a group lies in one
    split only."""
    source: str
    """``id`` of the real video that a fake was made from (its background and pose); for a real video, its own ``id``.
    If the source of a fake is unknown, a name that no other video has."""
    mask: str = ""
    """Path of the video that shows which pixels were manipulated; ``""`` where there is none."""
    stretches: Stretches | None = None
    """Which stretches of a fake video are forged; None for real ones, and where nothing is said: ``label`` then holds
    for every frame."""
    attributes: tuple[tuple[str, str], ...] = ()
    """Names and values of what false alarms are counted by, such as ``("language", "es")``. The manifest of a prepared
    folder has them, its records do not."""

    @property
    def key(self) -> str:
        return "/".join((self.dataset, self.method, self.compression, self.id))


@dataclasses.dataclass(frozen=True)
class FaceTrack:
    """One face through the frames of a clip, all cropped by **one** transform."""

    frames: np.ndarray
    """uint8 [t, h, w, 3], RGB crops."""
    boxes: np.ndarray
    """float32 [t, 4], detected face box in pixels of the source frame."""
    landmarks: np.ndarray
    """float32 [t, 5, 2], x and y in pixels of the crop."""
    scores: np.ndarray
    """float32 [t], detector confidence in 0..1; between detections, the lower of the two neighbours."""
    indices: np.ndarray
    """int32 [t], number of each frame in the source video, in decode order from 0."""
    transform: np.ndarray
    """float32 [2, 3], maps source pixels to crop pixels."""
    track: int = 0
    """Which face of the video this is; 0 is the main one."""
    mesh: np.ndarray | None = None
    """float32 [t, 152, 2], the face mesh (MESH_POINTS), x and y in pixels of the crop; NaN on frames without one. None
    where it was not asked for."""
    contiguous: bool = True
    """Whether the frames are known to be consecutive. They are not with ``config.Faces.sampling`` ``uniform``, nor in a
    folder of frames whose numbers jump or lack."""

    def __len__(self) -> int:
        return len(self.frames)


@flax.struct.dataclass
class Batch:
    """A batch from the input pipeline; the model, the losses and the evaluation read it."""

    frames: jax.Array
    """uint8 [b, t, h, w, 3], RGB."""
    landmarks: jax.Array
    """float32 [b, t, p, 2], pixels of the frames: the five landmarks, and where a mesh is stored its MESH_POINTS, which
    are 0 on frames without one."""
    length: jax.Array
    """int32 [b], valid frames; frames at and beyond it are padding (zeros)."""
    label: jax.Array
    """int32 [b], 0 = real, 1 = fake."""
    weight: jax.Array
    """float32 [b], 0 for rows that only fill the batch."""
    row: jax.Array
    """int32 [b], in training the row of the ``ClipTable``, in an evaluation number of the window; -1 for filling."""
    mask: jax.Array | None = None
    """uint8 [b, t, g, g], how much of each cell of a frame was forged, 255 for all of it; only where a training makes
    its own forgeries (``data.forge``)."""
    contiguous: jax.Array | None = None
    """bool [b], whether the frames of a window are known to be consecutive; None where all are."""
    forged: jax.Array | None = None
    """uint8 [b, t], the label of each frame: that of the video, or what its forged stretches say; 0 on padding."""


@flax.struct.dataclass
class Outputs:
    """Output of a model for a batch. ``k`` counts the branches in use, in the order of ``branches``.

    Every system gives the logit; the other fields depend on the system.
    """

    logit: jax.Array
    """float32 [b]; above 0 means fake. A softmax over two classes is the sigmoid of the difference of their logits, so
    this one number represents published heads of both kinds."""
    branch_logits: dict[str, jax.Array] = dataclasses.field(default_factory=dict)
    """Auxiliary logit [b] of each branch; empty where there are no branches."""
    branch_weights: jax.Array | None = None
    """float32 [b, k], the fusion's attention over the branch tokens; sums to 1 over k. None without branches."""
    branches_on: dict[str, jax.Array] = dataclasses.field(default_factory=dict)
    """bool [b] of each branch, False for one of motion in a window whose frames are not known to be consecutive: the
    fusion does not see it, and its logit means nothing. All are True where no other branch is left."""
    frame_logits: jax.Array | None = None
    """float32 [b, t], logit of each frame alone, from the spatial branch or of the frame system; else None."""
    frame_attention: jax.Array | None = None
    """float32 [b, t], temporal attention; sums to 1 over valid frames, 0 on padding."""
    spatial_attention: jax.Array | None = None
    """float32 [b, t, h', w'] in 0..1, attention of the spatial branch, or of a timesformer's or ViT's class token."""
    motion_attention: jax.Array | None = None
    """float32 [b, t, h', w'] in 0..1, attention to motion: of the micro-expression branch, on the stabilised face, or
    of the flow system, on the flow into each frame (0 at the first)."""
    motion_anomaly: jax.Array | None = None
    """float32 [b, t] >= 0, how far the flow into each frame lies from what is usual in its window (1); 0 on the first
    frame and on padding. See :func:`fusion_dfd.models.flow_lstm.anomaly`."""
    micro_frame_attention: jax.Array | None = None
    """float32 [b, t], temporal attention of the micro-expression branch."""
    embedding: jax.Array | None = None
    """float32 [b, t, c], the frame system's feature of each frame, of length 1; 0 on padding."""

    @property
    def probability(self) -> jax.Array:
        """float32 [b] in 0..1, the sigmoid head."""
        return jax.nn.sigmoid(self.logit)


@dataclasses.dataclass(frozen=True, slots=True)
class Score:
    """One scored window: a row of every table of scores."""

    video: str
    """``Video.key``."""
    clip: int
    """Number in its video of the stored clip that holds the window."""
    track: int
    """Which face of the video; 0 is the main one."""
    dataset: str
    method: str
    compression: str
    group: str
    label: int
    """0 or 1; -1 where it is unknown (prediction)."""
    logit: float
    start: int = 0
    """First frame of the window in the source video."""
    contiguous: int = 1
    """1 where the frames of the window are known to be consecutive, else 0."""
    stop: int = 0
    """First frame after the window in the source video."""
    forged: int = -1
    """Number of its frames that are forged; -1 where it is not known for single frames, and ``label`` is all there is.
    """
