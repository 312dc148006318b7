"""Scores videos with a trained detector: how long one takes, how many a second, and where the time goes. One JSON line.

    JAX_PLATFORMS=cpu python benchmarks/predict.py [RUN_OR_EXPORTED_FOLDER [VIDEO_OR_FOLDER ...]]

Without videos, a rendered one of 10 s; ``many`` is 8 times it. Without a run, fresh weights of ``fusion.py:sample``:
speed does not depend on them, verdicts do. Programs are compiled before the clock runs. Stages: ``decode`` (container
and codec), ``detect`` (finding faces), ``model``; the ``rest`` follows, crops and resizes. The real-time factor is
wall-clock time over length of the videos. The model part alone, on one batch of the video's clips, in turns, the least
of several counts: with JAX and with ONNX Runtime, and beside them Xception + LSTM, ours and Keras's, on the same frames
(enlarged to the 71 pixels that Xception wants at least). Keras and ONNX Runtime are those for CPUs: ours is held to one
by the variable, where there is a GPU. Xception is a whole one; the fusion beside it is as small as its run has it.
"""

import argparse
import collections
import dataclasses
import json
import operator
import os
import pathlib
import runpy
import sys
import tempfile
import time
from collections.abc import Callable

import cv2
import jax
import numpy as np
import stages
from apart import Unavailable, Ways, ratio, target, timed

from fusion_dfd import config as c
from fusion_dfd.export import runtime
from fusion_dfd.predict import detector as detectors
from fusion_dfd.predict import video_paths
from fusion_dfd.predict.verdict import Window
from fusion_dfd.runs.run import Run
from fusion_dfd.runs.score import predictor
from fusion_dfd.synthetic import take
from fusion_dfd.training import checkpoint, optim, state, step
from fusion_dfd.types import ORIGINAL, Batch, DataError

ROUNDS, COPIES = 5, 8
CONFIGS = pathlib.Path(__file__).parents[1] / "configs"
SMALLEST = 71
"""Side of the smallest frames that Xception reads."""


def watch(clock: stages.Clock, detector: detectors.DeepfakeDetector) -> None:
    """Have the stages of a detector timed."""
    clock.watch_decoding()
    detector.finder.detect = clock.wrap("detect", detector.finder.detect)
    detector._predict = clock.wrap("model", detector._predict)


def fresh(folder: str) -> str:
    """A run folder of ``fusion.py:sample`` at step 0."""
    config = _config("fusion.py", "sample")
    replicated, _ = state.shardings(state.data_mesh())
    saved = checkpoint.Checkpoints(folder, config)
    saved.save_best(state.create(config.model, optim.build(config.optim, config.train.steps), 0, replicated), {})
    saved.close()
    return folder


def _config(name: str, variant: str) -> c.Config:
    return runpy.run_path(str(CONFIGS / name))["get_config"](variant)


def render(folder: str) -> str:
    """A real video of 10 s, 480 pixels square."""
    path = os.path.join(folder, "real.mp4")
    take.shoot(take.RenderTask(c.Synthetic(frames=250, size=480), 0, 1, {ORIGINAL: path}))
    return path


def score(detector: detectors.DeepfakeDetector, paths: list[str]) -> tuple[float, float, collections.Counter]:
    """Seconds on the clock, seconds of video, and the verdicts, which are told as they come."""
    begun, length, said = time.perf_counter(), 0.0, collections.Counter()
    for verdict in detector.predict_many(paths):
        said[verdict.verdict] += 1
        length += verdict.seconds or 0
        print(f"{verdict.verdict:>9}  {verdict.path}  {verdict.reason or ''}", file=sys.stderr)
    return time.perf_counter() - begun, length, said


def scoring(folder: str, paths: list[str]) -> tuple[dict, list[Window]]:
    """Latency of the first video, throughput of all, shares of the stages; and windows of the first."""
    detector = detectors.load(folder)
    (first,) = detector.score(paths[:1], keep=lambda window: True)
    alone, seconds, _ = min((score(detector, paths[:1]) for _ in range(3)), key=operator.itemgetter(0))
    clock = stages.Clock()
    watch(clock, detector)
    wall, length, said = score(detector, paths)
    return {
        "one": {"seconds_of_video": round(seconds, 1), "wall_s": round(alone, 2), **_factor(alone, seconds)},
        "many": {
            "videos": len(paths),
            "seconds_of_video": round(length, 1),
            "wall_s": round(wall, 1),
            "videos_per_s": round(len(paths) / wall, 2),
            **_factor(wall, length),
        },
        "verdicts": said,
        "shares": clock.shares(wall),
    }, first.windows[: detectors.BATCH]


def _factor(wall: float, length: float) -> dict[str, float | None]:
    return {"real_time_factor": round(wall / length, 3) if length else None}


def make_jax(folder: str, batch: Batch) -> Callable[[], float]:
    predict = predictor(Run(folder).best())
    return lambda: timed(lambda: jax.block_until_ready(predict(batch)), 2)[0]


def make_onnx(folder: str, batch: Batch) -> Callable[[], float]:
    """The program that an export of the run would hold."""
    trained = Run(folder).best()
    with tempfile.TemporaryDirectory() as out:
        pathlib.Path(out, runtime.ONNX).write_bytes(runtime.onnx(trained.config, trained.weights, {}))
        try:
            program = runtime.onnx_program(out)
        except DataError as error:
            raise Unavailable(str(error).rpartition(": ")[2]) from error
    given = runtime.arrays(batch, trained.config.model)
    return lambda: timed(lambda: program(given), 2)[0]


def make_xception(batch: Batch) -> Callable[[], float]:
    """Our Xception + LSTM in float32, with fresh weights."""
    model = dataclasses.replace(_config("baselines.py", "xception_lstm").model, bfloat16=False)
    params, stats = jax.jit(lambda: state.variables(model, 0))()
    predict, weights = step.make_predict(state.graphs(model)), {"params": params, "stats": stats}
    return lambda: timed(lambda: jax.block_until_ready(predict(weights, batch)), 2)[0]


def make_keras(frames: np.ndarray) -> Callable[[], float]:
    from peers import keras_xception

    (units,) = _config("baselines.py", "xception_lstm").model.recurrent
    predict = keras_xception.predictor(frames, units)
    return lambda: timed(predict, 2)[0]


def models(folder: str, batch: Batch) -> tuple[list[dict], dict[str, str]]:
    """Milliseconds per batch of the model alone, by way, and what is missing."""
    large = batch.replace(frames=enlarge(batch.frames))
    makes = {
        "ours": {
            "this run, JAX": (make_jax, folder, batch),
            "Xception + LSTM, ours": (make_xception, large),
        },
        "onnx": {"this run, ONNX Runtime": (make_onnx, folder, batch)},
        "keras": {"Xception + LSTM, Keras": (make_keras, large.frames)},
    }
    with Ways(makes) as ways:
        least = {name: min(found) for name, found in ways.rounds(ROUNDS).items()}
        missing = ways.missing
    clips = len(batch.frames)
    rows = [
        {"model": name, "ms_per_batch": round(1e3 * seconds, 1), "clips_per_s": round(clips / seconds, 1)}
        for name, seconds in least.items()
    ]
    return rows, missing


def enlarge(frames: np.ndarray) -> np.ndarray:
    """Frames [b, t, h, w, 3] with at least SMALLEST pixels a side."""
    if frames.shape[2] >= SMALLEST:
        return frames
    shape = (*frames.shape[:2], SMALLEST, SMALLEST, 3)
    flat = frames.reshape(-1, *frames.shape[2:])
    return np.stack([cv2.resize(frame, (SMALLEST, SMALLEST)) for frame in flat]).reshape(shape)


def targets(rows: list[dict]) -> list[dict]:
    speed = {row["model"]: row["clips_per_s"] for row in rows}
    keras = speed.get("Xception + LSTM, Keras")
    return [
        target("Xception + LSTM, ours / Keras", 1.0, ratio(speed["Xception + LSTM, ours"], keras)),
    ]


def measure(folder: str, paths: list[str]) -> dict:
    result, windows = scoring(folder, paths)
    if windows:
        batch = detectors.batch(windows, Run(folder).config.data)
        rows, missing = models(folder, batch)
        result |= {"clips_per_batch": len(batch.frames), "model_alone": rows, "targets": targets(rows)}
        result |= {"missing": missing}
    return result | {"cores": len(os.sched_getaffinity(0))}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("run", nargs="?", help="run or exported folder")
    parser.add_argument("videos", nargs="*", help="videos or folders of them")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        run = given.run or fresh(os.path.join(folder, "run"))
        paths = video_paths.expand(given.videos, sys.stdin) if given.videos else COPIES * [render(folder)]
        print(json.dumps(measure(run, paths)))


if __name__ == "__main__":
    main()
