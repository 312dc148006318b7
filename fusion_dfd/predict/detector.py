"""Score video files with a trained run::

    detector = fusion_dfd.load("runs/fusion")
    print(detector.predict("clip.mp4"))

The same path as training takes: decode, detect faces, one crop per clip, resize, model; no augmentation. Windows of
frames are read one after another and given to the model in batches that may span videos; crops are let go once they
are scored, so that memory does not grow with the length of a video.
"""

from __future__ import annotations

import collections
import dataclasses
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import numpy as np

from fusion_dfd import cache
from fusion_dfd import config as c
from fusion_dfd.evaluation.appearance import looks
from fusion_dfd.export import runtime as engines
from fusion_dfd.faces import detector as detectors
from fusion_dfd.faces.extract import Scan
from fusion_dfd.input import augment, sampling
from fusion_dfd.predict.verdict import Judge, Piece, Scored, Verdict
from fusion_dfd.runs import experiment
from fusion_dfd.training import checkpoint
from fusion_dfd.types import Batch, DataError, FaceTrack, Outputs

BATCH = 8
"""Windows per call of the model; one size, so that it compiles once."""
CLIPS = 16
"""Stretches of a video that are looked at unless more are asked for: all of a minute at the usual lengths."""
SMALLEST = 16
"""Where no face is found, faces down to this side, pixels, are looked for, only to say that they are too small."""

Keep = Callable[["Piece"], bool]
"""Called with every piece once it is scored, before its frames are let go; True keeps them."""

Told = Callable[[str, int, int], None]
"""Called with a path, how many of its windows are done, and how many there are."""


class Detector:
    """A trained detector with its face finder. Made by :func:`load`.

    ``model`` gives outputs for the rows of a batch whose weight is not 0, in their order, as ``trained`` would.
    """

    def __init__(
        self,
        trained: checkpoint.Trained,
        judge: Judge,
        clips: int = CLIPS,
        run: str | None = None,
        model: Callable[[Batch], Outputs] | None = None,
    ):
        self.config: c.Config = trained.config
        self.judge = judge
        self.trained = trained
        self.run = run
        """Folder of the run; None where there is none."""
        self._predict = model or experiment.predictor(trained)
        self._finder = detectors.build(self.config.faces)
        # A user who wants to wait for hours of video may: there is no limit of time, other than in preparation.
        self._options = dataclasses.replace(
            self.config.faces, all_tracks=True, clips=clips or 10**9, time_limit=math.inf
        )

    def predict(self, path: str) -> Verdict:
        """Score one video file. Never raises for bad input: the verdict then is ``none`` and says why."""
        (verdict,) = self.predict_many([path])
        return verdict

    def predict_many(self, paths: Iterable[str], told: Told | None = None) -> Iterator[Verdict]:
        """Score files, in order; the next is read while windows of the last one still wait for a full batch."""
        return (self.judge.verdict(video, self.config) for video in self.score(paths, told))

    def score(self, paths: Iterable[str], told: Told | None = None, keep: Keep | None = None) -> Iterator[Scored]:
        """What the model says of every piece of the videos, in order; ``keep`` says which pieces keep their frames."""
        videos: collections.deque[Scored] = collections.deque()
        waiting: collections.deque[Piece] = collections.deque()
        for path in paths:
            videos.append(Scored(path, time.monotonic()))
            for piece in self._read(videos[-1], told):
                waiting.append(piece)
                if len(waiting) == BATCH:
                    self._run(waiting, keep)
            while videos and videos[0].ready:
                yield videos.popleft()
        if waiting:
            self._run(waiting, keep)
        yield from videos

    def _read(self, video: Scored, told: Told | None) -> Iterator[Piece]:
        try:
            video.scan = Scan(video.path, self._options, self._finder)
            for faces in video.scan:
                pieces = [piece for k, face in enumerate(faces) for piece in self._pieces(face, len(video.windows), k)]
                video.windows.append([dataclasses.replace(face, frames=face.frames[:0]) for face in faces])
                video.pieces += pieces
                yield from pieces
                if told:
                    told(video.path, len(video.windows), video.scan.windows)
            if not video.pieces:
                video.reason = self._why_none(video)
        except DataError as error:
            video.reason = str(error)
        video.read = True

    def _pieces(self, face: FaceTrack, window: int, place: int) -> Iterator[Piece]:
        count = self.config.data.frames
        for start in sampling.window_starts(len(face), count):
            part = slice(start, start + count)
            frames, landmarks = augment.apply(
                face.frames[part], face.landmarks[part], augment.Params(), self.config.data.size
            )
            yield Piece(window, place, face.indices[part], frames, landmarks, looks(frames))

    def outputs(self, pieces: Sequence[Piece]) -> list[Outputs]:
        """What the model says of at most BATCH pieces, numpy without the batch axis; the pieces stay as they are."""
        found = jax.device_get(self._predict(batch(pieces, self.config.data)))
        return [jax.tree.map(lambda leaf, place=place: leaf[place], found) for place in range(len(pieces))]

    def _run(self, waiting: collections.deque[Piece], keep: Keep | None) -> None:
        """Give the model what waits, at most BATCH pieces."""
        pieces = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
        for piece, piece.outputs in zip(pieces, self.outputs(pieces), strict=True):
            if keep is None or not keep(piece):
                piece.frames = None

    def _why_none(self, video: Scored) -> str:
        """Whether a video without a face has faces that are too small."""
        least = self.config.faces.min_size
        reason = f"no face found in the {len(video.scan.looked)} frames looked at"
        if least <= SMALLEST:
            return reason
        options = dataclasses.replace(self._options, min_size=SMALLEST, clips=1)
        faces = [face for window in Scan(video.path, options, detectors.build(options)) for face in window]
        if not faces:
            return reason
        side = max(float(np.median((face.boxes[:, 2:] - face.boxes[:, :2]).max(1))) for face in faces)
        return f"face too small: {side:.0f} pixels, of which {least} are needed"


def batch(pieces: Sequence[Piece], data: c.Data) -> Batch:
    """At most BATCH pieces that have their frames, filled up to BATCH."""
    shape = (BATCH, data.frames)
    made = Batch(
        frames=np.zeros((*shape, data.size, data.size, 3), np.uint8),
        landmarks=np.zeros((*shape, 5, 2), np.float32),
        length=np.zeros(BATCH, np.int32),
        label=np.zeros(BATCH, np.int32),
        weight=np.zeros(BATCH, np.float32),
        row=np.full(BATCH, -1, np.int32),
    )
    for i, piece in enumerate(pieces):
        count = len(piece.frames)
        made.frames[i, :count], made.landmarks[i, :count] = piece.frames, piece.landmarks
        made.length[i], made.weight[i] = count, 1
    return made


def load(run: str, clips: int = CLIPS, engine: str = "auto") -> Detector:
    """The best checkpoint of a run folder, or an exported folder, ready to score videos.

    Args:
      run: folder of a run, as ``scripts/train.py`` printed it, or one that ``scripts/export.py`` made.
      clips: most stretches of ``faces.clip_length`` frames looked at in a video, spread evenly over it; 0 = all.
      engine: what runs the model: ``jax``, ``onnx`` (an exported folder's program, with onnxruntime), or ``auto``, see
        :func:`fusion_dfd.export.runtime.choose`.

    Raises:
      DataError: ``run`` holds no usable checkpoint, or no program for the engine.
    """
    cache.keep_programs()
    trained = checkpoint.load_best(run)
    model = engines.predictor(run) if engines.choose(engine, run) == "onnx" else None
    return Detector(trained, Judge.of(run, trained), clips, run, model)
