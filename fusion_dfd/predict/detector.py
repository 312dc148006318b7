"""Score video files with a trained run::

    detector = fusion_dfd.load("runs/fusion")
    print(detector.predict("clip.mp4"))

Videos take the same path as in training, without augmentation: decode, detect faces, crop each face's clip, resize,
score its windows. The model gets batches of windows that may span videos. Crops are released once they are scored, so
that memory does not grow with the length of a video.
"""

from __future__ import annotations

import collections
import dataclasses
import functools
import json
import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence

import jax
import numpy as np

from fusion_dfd import cache
from fusion_dfd import config as c
from fusion_dfd.evaluation import appearance
from fusion_dfd.export import runtime
from fusion_dfd.faces import detector as face_detectors
from fusion_dfd.faces import mesh, search
from fusion_dfd.faces.extract import FaceScan
from fusion_dfd.input import augment, sampling
from fusion_dfd.input.windows import with_mesh
from fusion_dfd.predict import credentials, record
from fusion_dfd.predict.signing import Sign
from fusion_dfd.predict.verdict import THRESHOLD, ScoredVideo, Verdict, VerdictRules, Window, by_person
from fusion_dfd.runs import score
from fusion_dfd.runs.run import Run
from fusion_dfd.training.checkpoint import TrainedModel
from fusion_dfd.types import Batch, DataError, FaceTrack, Outputs

BATCH = 8
"""Windows per call of the model; always this size, so that the model compiles once."""
CLIPS = 16
"""Default number of clips taken from a video: all of a minute at the usual clip lengths."""
SMALLEST = 16
"""If no face is found, faces down to this side (pixels) are searched for, only to report that they are too small."""

Keep = Callable[[Window], bool]
"""Called with every window once it is scored, before its frames are released; True keeps them."""

OnProgress = Callable[[str, int, int], None]
"""Called with a path, how many of its clips are read, and how many there are."""


class DeepfakeDetector:
    """A trained model with its face detector. Made by :func:`load`.

    Args:
      trained: configuration and weights of the run.
      rules: how its logits become verdicts.
      clips: most clips of ``faces.clip_length`` frames taken from a video, spread evenly over it; 0 = all.
      run: folder of the run; None if there is none.
      model: outputs for the rows of a batch whose weight is not 0, in their order; None runs ``trained`` with JAX.
      build_finder: makes the face detector of some options.
      engine: what ``model`` is run by, for the record.
    """

    sign: Sign | None = None
    """Signs every verdict, see :func:`fusion_dfd.predict.signing.signer`; None leaves them unsigned."""

    def __init__(
        self,
        trained: TrainedModel,
        rules: VerdictRules,
        clips: int = CLIPS,
        run: Run | None = None,
        model: Callable[[Batch], Outputs] | None = None,
        build_finder: Callable[[c.Faces], face_detectors.Detector] = face_detectors.build,
        engine: str = "jax",
    ):
        self.config: c.Config = trained.config
        self.rules = rules
        self.trained = trained
        self.run = run
        self.finder = build_finder(self.config.faces)
        if self.config.faces.mesh:
            mesh.identity()  # where it cannot be had, this is told once, and not of every video
        self._build_finder = build_finder
        self._predict = model or score.predictor(trained)
        # The time limit protects the preparation of a data set; a user may wait for hours of video.
        self._options = dataclasses.replace(
            self.config.faces, all_tracks=True, clips=clips or 10**9, time_limit=math.inf
        )
        self.options = {"clips": clips, "engine": engine, "tracks": rules.tracks}
        """As the flags of ``fusion-dfd predict``; the engine is the one that runs."""

    @functools.cached_property
    def facts(self) -> record.DetectorFacts:
        """Which detector this is. Reads all weights at the first access."""
        name = self.run.name if self.run else self.config.name
        return record.detector_facts(name, self.trained, self.rules.calibration, self.rules.familiarity)

    def predict(self, path: str) -> Verdict:
        """Score one video file. Never raises for bad input: the verdict then is ``none`` and says why."""
        (verdict,) = self.predict_many([path])
        return verdict

    def predict_many(self, paths: Iterable[str], on_progress: OnProgress | None = None) -> Iterator[Verdict]:
        """Score files, in order. The next file is read while windows of the last one wait for a full batch."""
        return (self.verdict(video) for video in self.score(paths, on_progress))

    def verdict(self, video: ScoredVideo) -> Verdict:
        """The verdict on a scored video, with its record, signed if :attr:`sign` is set."""
        if video.stamp != record.stamp(video.path):
            video.reason = "the file changed while it was read; score it again when it is complete"
        people = {} if video.reason else by_person(video.clips, video.windows)
        windows = [
            (number, int(window.indices[0]), int(window.indices[-1]))
            for number in sorted(people)
            for window in people[number][1]
        ]
        threshold = record.threshold_facts(self.rules.calibration, THRESHOLD)
        info = video.scan and video.scan.info
        kept = record.make(video.file, info, self.facts, threshold, self.options, windows, credentials.read(video.path))
        found = dataclasses.replace(self.rules.verdict(video, self.config), record=kept)
        return dataclasses.replace(found, signature=self.sign(json.loads(found.to_json()))) if self.sign else found

    def score(
        self, paths: Iterable[str], on_progress: OnProgress | None = None, keep: Keep | None = None
    ) -> Iterator[ScoredVideo]:
        """The model's outputs for every window of the videos, in order; ``keep`` selects windows that keep frames."""
        videos: collections.deque[ScoredVideo] = collections.deque()
        waiting: collections.deque[Window] = collections.deque()
        for path in paths:
            videos.append(ScoredVideo(path, time.monotonic(), stamp=record.stamp(path)))
            videos[-1].file = record.file_facts(path)
            for window in self._read(videos[-1], on_progress):
                waiting.append(window)
                if len(waiting) == BATCH:
                    self._run(waiting, keep)
            while videos and videos[0].ready:
                yield videos.popleft()
        if waiting:
            self._run(waiting, keep)
        yield from videos

    def _read(self, video: ScoredVideo, on_progress: OnProgress | None) -> Iterator[Window]:
        try:
            video.scan = FaceScan(video.path, self._options, self.finder)
            yield from self._scan(video, on_progress)
            if not video.windows and (where := search.find(video.path, video.scan.info, self._options, self.finder)):
                video.clips.clear()
                video.scan = FaceScan(video.path, self._options, self.finder, where.ranges, where.turns)
                yield from self._scan(video, on_progress)
            if not video.windows:
                video.reason = self._why_none(video)
        except DataError as error:
            video.reason = str(error)
        video.read = True

    def _scan(self, video: ScoredVideo, on_progress: OnProgress | None) -> Iterator[Window]:
        for faces in video.scan:
            windows = [window for k, face in enumerate(faces) for window in self._windows(video, face, k)]
            video.clips.append([dataclasses.replace(face, frames=face.frames[:0]) for face in faces])
            video.windows += windows
            yield from windows
            if on_progress:
                on_progress(video.path, len(video.clips), video.scan.ranges)

    def _windows(self, video: ScoredVideo, face: FaceTrack, position: int) -> Iterator[Window]:
        count = self.config.data.frames
        for start in sampling.window_starts(len(face), count):
            part = slice(start, start + count)
            given = face.landmarks[part] if face.mesh is None else with_mesh(face.landmarks[part], face.mesh[part])
            frames, landmarks = augment.apply(face.frames[part], given, augment.Params(), self.config.data.size)
            indices = face.indices[part]
            yield Window(
                clip=len(video.clips),
                face=position,
                indices=indices,
                frames=frames,
                landmarks=np.nan_to_num(landmarks),
                appearance=appearance.statistics(frames),
                seconds=video.scan.seconds(indices),
                contiguous=face.contiguous,
            )

    def outputs(self, windows: Sequence[Window]) -> list[Outputs]:
        """The model's outputs for at most BATCH windows, numpy without the batch axis; the windows do not change."""
        found = jax.device_get(self._predict(batch(windows, self.config.data)))
        return [jax.tree.map(lambda leaf, row=row: leaf[row], found) for row in range(len(windows))]

    def _run(self, waiting: collections.deque[Window], keep: Keep | None) -> None:
        """Score what waits, at most BATCH windows."""
        windows = [waiting.popleft() for _ in range(min(BATCH, len(waiting)))]
        for window, window.outputs in zip(windows, self.outputs(windows), strict=True):
            if keep is None or not keep(window):
                window.frames = None

    def _why_none(self, video: ScoredVideo) -> str:
        """Tells a video without faces from one whose faces are too small."""
        least = self.config.faces.min_size
        reason = f"no face found in the {len(video.scan.looked)} frames looked at"
        if video.scan.looked_at_part:
            reason += "; clips = 0 (--clips 0) looks through the whole video"
        if least <= SMALLEST:
            return reason
        options = dataclasses.replace(self._options, min_size=SMALLEST, clips=1)
        faces = [face for clip in FaceScan(video.path, options, self._build_finder(options)) for face in clip]
        if not faces:
            return reason
        side = max(float(np.median((face.boxes[:, 2:] - face.boxes[:, :2]).max(1))) for face in faces)
        return f"face too small: {side:.0f} pixels, at least {least} are needed"


def batch(windows: Sequence[Window], data: c.Data) -> Batch:
    """At most BATCH windows that have their frames, as a batch of BATCH rows; the other rows have weight 0."""
    shape = (BATCH, data.frames)
    made = Batch(
        frames=np.zeros((*shape, data.size, data.size, 3), np.uint8),
        landmarks=np.zeros((*shape, *windows[0].landmarks.shape[1:]), np.float32),
        length=np.zeros(BATCH, np.int32),
        label=np.zeros(BATCH, np.int32),
        weight=np.zeros(BATCH, np.float32),
        row=np.full(BATCH, -1, np.int32),
        contiguous=np.ones(BATCH, bool),
    )
    for i, window in enumerate(windows):
        count = len(window.frames)
        made.frames[i, :count], made.landmarks[i, :count] = window.frames, window.landmarks
        made.length[i], made.weight[i], made.contiguous[i] = count, 1, window.contiguous
    return made


def load(run: str, clips: int = CLIPS, engine: str = "auto", tracks: str = "max") -> DeepfakeDetector:
    """The best checkpoint of a run folder, or an exported folder, ready to score videos.

    Args:
      run: folder of a run, as ``fusion-dfd train`` printed it, or one that ``fusion-dfd export`` wrote.
      clips: most clips of ``faces.clip_length`` frames taken from a video, spread evenly over it; 0 = all.
      engine: what runs the model: ``jax``, ``onnx`` (an exported folder's program, with onnxruntime), or ``auto``, see
        :func:`fusion_dfd.export.runtime.choose`.
      tracks: who speaks for a video of several people, ``max``, the most suspicious one, or ``first``, the main one.

    Raises:
      DataError: ``run`` holds no usable checkpoint, or no program for the engine.
    """
    cache.keep_programs()
    opened = Run(run)
    trained = opened.best()
    engine = runtime.choose(engine, opened)
    model = runtime.predictor(opened) if engine == "onnx" else None
    return DeepfakeDetector(trained, VerdictRules.of(opened, tracks), clips, opened, model, engine=engine)
