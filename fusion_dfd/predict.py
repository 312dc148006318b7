"""Score video files with a trained run::

    detector = fusion_dfd.load("runs/fusion")
    print(detector.predict("clip.mp4"))

The same path as training takes: decode, detect faces, one crop per clip, resize, model; no augmentation.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Sequence

import jax
import numpy as np
from rich.console import Console
from rich.table import Column, Table

from fusion_dfd import config as c
from fusion_dfd.evaluation import calibrate
from fusion_dfd.evaluation.calibrate import Calibration
from fusion_dfd.evaluation.scores import RULES
from fusion_dfd.faces import detector as detectors
from fusion_dfd.faces.extract import Extraction, extract
from fusion_dfd.input import augment, sampling
from fusion_dfd.training import checkpoint, experiment
from fusion_dfd.types import LABELS, Batch, DataError, FaceTrack

BATCH = 4
"""Clips per call of the model; one size, so that it compiles once."""


@dataclasses.dataclass(frozen=True)
class Face:
    """One person of a video."""

    track: int
    """0 is the face that counts: the longest in the picture, then the largest."""
    probability: float
    """Of being fake, 0..1, over its clips; calibrated where the run is."""
    clips: int
    logits: tuple[float, ...]
    """One per clip, in order of time."""
    starts: tuple[int, ...]
    """First frame of each clip in the video."""


@dataclasses.dataclass(frozen=True)
class Verdict:
    path: str
    verdict: str
    """``fake``, ``real``, ``unsure`` within the run's band of doubt, or ``none`` when the video could not be scored."""
    probability: float | None
    """Of being fake, 0..1, of the face that counts, or of the most suspicious one (``evaluate.tracks``); calibrated
    where the run is, for videos like those of its val split. None when not scored."""
    faces: tuple[Face, ...]
    reason: str | None = None
    """Why the video could not be scored, or what of it was damaged."""


class Detector:
    """A trained detector with its face finder. Made by :func:`load`."""

    def __init__(self, trained: checkpoint.Trained, calibration: Calibration | None = None):
        self.config: c.Config = trained.config
        self.calibration = calibration
        self._predict = experiment.predictor(trained)
        self._options = dataclasses.replace(self.config.faces, all_tracks=True)
        self._finder = detectors.build(self.config.faces)

    def predict(self, path: str) -> Verdict:
        """Score one video file. Never raises for bad input: the verdict then is ``none`` and says why."""
        try:
            found = extract(path, self._options, self._finder)
        except DataError as error:
            return Verdict(path, "none", None, (), str(error))
        if not found.clips:
            return Verdict(path, "none", None, (), found.reason)
        faces = tuple(self._faces(found))
        counting = faces if self.config.evaluate.tracks == "max" else faces[:1]
        chance = max(face.probability for face in counting)
        damaged = f"{found.damaged} damaged packets were left out" if found.damaged else None
        return Verdict(path, self._call(chance), chance, faces, damaged)

    def _call(self, chance: float) -> str:
        return self.calibration.verdict(chance) if self.calibration else LABELS[int(chance > 0.5)]

    def _faces(self, found: Extraction) -> Iterator[Face]:
        pieces = [piece for clip in found.clips for piece in _windows(clip, self.config.data.frames)]
        logits = np.concatenate([self._score(pieces[i : i + BATCH]) for i in range(0, len(pieces), BATCH)])
        for track in sorted({piece.track for piece in pieces}):
            mine = [(piece, logit) for piece, logit in zip(pieces, logits, strict=True) if piece.track == track]
            scores = np.array([logit for _, logit in mine])
            starts = tuple(int(piece.indices[0]) for piece, _ in mine)
            chance = RULES[self.config.evaluate.aggregate](scores)
            if self.calibration:
                chance = float(self.calibration.apply([chance])[0])
            yield Face(track, chance, len(mine), tuple(scores.tolist()), starts)

    def _score(self, pieces: Sequence[FaceTrack]) -> np.ndarray:
        outputs = self._predict(_batch(pieces, self.config.data))
        return np.asarray(jax.device_get(outputs.logit))[: len(pieces)]


def load(run: str) -> Detector:
    """The best checkpoint of a run folder with its calibration, if it has one, ready to score videos.

    Raises:
      DataError: ``run`` holds no usable checkpoint, or a calibration of another one.
    """
    experiment.use_compilation_cache()
    trained = checkpoint.load_best(run)
    return Detector(trained, calibrate.load(run, trained.step))


def print_verdicts(detector: Detector, paths: Sequence[str]) -> int:
    """Score files and print a table. Returns an exit code: 1 when not one of them could be scored."""
    console = Console()
    # Names are folded, not cut: their ends tell files of one folder apart.
    table = Table(Column("video", overflow="fold"), "verdict", "P(fake)", "faces", "clips", "note")
    scored = 0
    for path in paths:
        result = detector.predict(path)
        scored += result.probability is not None
        shown = "-" if result.probability is None else f"{result.probability:.3f}"
        others = [f"face {face.track}: {face.probability:.3f}" for face in result.faces[1:]]
        note = "; ".join(filter(None, [result.reason, *others]))
        colour = {"fake": "red", "real": "green"}.get(result.verdict, "yellow")
        clips = str(sum(face.clips for face in result.faces))
        table.add_row(path, f"[{colour}]{result.verdict}[/]", shown, str(len(result.faces)), clips, note)
    console.print(table)
    return 0 if scored else 1


def _windows(clip: FaceTrack, frames: int) -> Iterator[FaceTrack]:
    per_frame = ("frames", "boxes", "landmarks", "scores", "indices")
    for start in sampling.window_starts(len(clip), frames):
        cut = {name: getattr(clip, name)[start : start + frames] for name in per_frame}
        yield dataclasses.replace(clip, **cut)


def _batch(pieces: Sequence[FaceTrack], data: c.Data) -> Batch:
    shape = (BATCH, data.frames)
    batch = Batch(
        frames=np.zeros((*shape, data.size, data.size, 3), np.uint8),
        landmarks=np.zeros((*shape, 5, 2), np.float32),
        length=np.zeros(BATCH, np.int32),
        label=np.zeros(BATCH, np.int32),
        weight=np.zeros(BATCH, np.float32),
        row=np.full(BATCH, -1, np.int32),
    )
    for i, piece in enumerate(pieces):
        frames, landmarks = augment.apply(piece.frames, piece.landmarks, augment.Params(), data.size)
        batch.frames[i, : len(piece)], batch.landmarks[i, : len(piece)] = frames, landmarks
        batch.length[i], batch.weight[i] = len(piece), 1
    return batch
