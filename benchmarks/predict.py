"""Scores videos with a trained detector and says where the time goes. Prints one JSON line; verdicts go to stderr.

    python benchmarks/predict.py RUN_OR_EXPORTED_FOLDER VIDEO_OR_FOLDER ...

Programs are compiled before the clock runs. Stages: ``decode`` (container and codec), ``detect`` (finding faces),
``model``; the ``rest`` follows, crops and resizes. The real-time factor is wall-clock time over length of the videos.
Of an exported folder with an ONNX program both engines are timed on one batch, in turns; the least of several counts.
"""

import collections
import json
import os
import sys
import time

import jax
import numpy as np

from fusion_dfd.export import engine
from fusion_dfd.faces import extract
from fusion_dfd.predict import detector as detectors
from fusion_dfd.predict import inputs
from fusion_dfd.training import checkpoint, experiment

ROUNDS = 10


class Clock:
    """Seconds by stage."""

    def __init__(self):
        self.seconds = collections.Counter()

    def wrap(self, stage: str, work):
        def timed(*given):
            begun = time.perf_counter()
            try:
                return jax.block_until_ready(work(*given))
            finally:
                self.seconds[stage] += time.perf_counter() - begun

        return timed

    def watch(self, detector: detectors.Detector) -> None:
        """Have the stages of a detector timed."""
        plain = extract.decode.__iter__

        def iterate(video):
            frames = plain(video)
            step = self.wrap("decode", lambda: next(frames, None))
            return iter(step, None)

        extract.decode.__iter__ = iterate
        detector._finder.detect = self.wrap("detect", detector._finder.detect)
        detector._predict = self.wrap("model", detector._predict)


def engines(folder: str, clips: list) -> dict[str, float]:
    """Milliseconds per batch of every engine that the folder has, on one and the same batch."""
    trained = checkpoint.load_best(folder)
    batch = detectors.batch(clips, trained.config.data)
    ways = {"jax": experiment.predictor(trained)}
    if engine.choose("auto", folder) == "onnx":
        ways["onnx"] = engine.predictor(folder)
    least = dict.fromkeys(ways, np.inf)
    for number in range(ROUNDS + 1):
        for name, way in ways.items():
            begun = time.perf_counter()
            jax.block_until_ready(way(batch))
            if number:  # the first call compiles
                least[name] = min(least[name], time.perf_counter() - begun)
    return {name: round(1e3 * seconds, 1) for name, seconds in least.items()}


def main() -> None:
    folder, *words = sys.argv[1:]
    paths = inputs.expand(words, sys.stdin)
    detector = detectors.load(folder)
    (first,) = detector.score(paths[:1], keep=lambda piece: True)
    clock = Clock()
    clock.watch(detector)
    begun = time.perf_counter()
    verdicts = []
    for verdict in detector.predict_many(paths):
        verdicts.append(verdict)
        print(f"{verdict.verdict:>9}  {verdict.path}  {verdict.reason or ''}", file=sys.stderr)
    wall = time.perf_counter() - begun
    clock.seconds["rest"] = wall - clock.seconds.total()
    length = sum(verdict.seconds or 0 for verdict in verdicts)
    result = {
        "videos": len(verdicts),
        "verdicts": collections.Counter(verdict.verdict for verdict in verdicts),
        "seconds_of_video": round(length, 1),
        "wall_s": round(wall, 1),
        "real_time_factor": round(wall / length, 3),
        "shares": {stage: round(seconds / wall, 3) for stage, seconds in clock.seconds.items()},
        "ms_per_batch": engines(folder, first.pieces[: detectors.BATCH]) if first.pieces else None,
        "clips_per_batch": min(len(first.pieces), detectors.BATCH),
        "cores": len(os.sched_getaffinity(0)),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
