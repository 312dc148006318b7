"""Clips per second of the training input, against nothing but ``cv2.imdecode`` over its JPEGs. Prints one JSON line.

    python benchmarks/input.py [size of the frames given to the model, default 224]

A clip is 16 frames of a stored clip of 32, 256 x 256 pixels, JPEG quality 95. Ways take turns, so that whatever else
the machine does hits all of them; medians over the rounds.
"""

import collections
import functools
import json
import os
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np

from fusion_dfd.config import Augment, Data
from fusion_dfd.input import pipeline
from fusion_dfd.shards import example, table, tfrecord
from fusion_dfd.types import ORIGINAL, FaceTrack, Video

STORED, FRAMES, SIDE, VIDEOS, BATCH, ROUNDS = 32, 16, 256, 8, 16, 7
OFF = Augment(flip=0, crop=0, colour=0, blur=0, jpeg=0)


def make_record(number: int, method: str) -> bytes:
    """A smooth picture that drifts, with fine noise: about 20 kB a frame."""
    rng = np.random.default_rng(number)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (SIDE + STORED, SIDE + STORED, 3), dtype=np.uint8), (0, 0), 6)
    wide = cv2.convertScaleAbs(wide, alpha=6, beta=-640)
    grain = rng.integers(0, 8, (STORED, SIDE, SIDE, 1), dtype=np.uint8)
    frames = np.stack([wide[i : i + SIDE, i : i + SIDE] for i in range(STORED)]) // 2 + 60 + grain
    face = FaceTrack(
        frames=frames,
        boxes=np.zeros((STORED, 4), np.float32),
        landmarks=np.full((STORED, 5, 2), SIDE / 2, np.float32),
        scores=np.ones(STORED, np.float32),
        indices=np.arange(STORED, dtype=np.int32),
        transform=np.eye(2, 3, dtype=np.float32),
    )
    label, source = int(method != ORIGINAL), str(number // 2)
    video = Video(str(number), "x.mp4", label, "bench", method, "", "train", source, source)
    return example.encode(video, 0, face, "none")


def make_split(folder: str) -> table.Split:
    records = [make_record(i, (ORIGINAL, "fake")[i % 2]) for i in range(VIDEOS)]
    path = os.path.join(folder, table.shard_name("bench", "train", 0, 1))
    table.write_index(path, tfrecord.write(path, records), [table.describe(record) for record in records], {})
    return table.open_split(folder, "train")


def tight(split: table.Split, threads: int):
    """Function that decodes as many JPEGs as a batch needs, and does nothing else."""
    clips = [example.decode(split.source[row]).frames[:FRAMES] for row in range(len(split))]
    work = [[np.frombuffer(frame, np.uint8) for frame in clips[i % len(clips)]] for i in range(BATCH)]
    pool = ThreadPoolExecutor(threads)

    def decode(clip):
        for frame in clip:
            cv2.imdecode(frame, cv2.IMREAD_COLOR_RGB)

    return lambda: list(pool.map(decode, work))


def measure(split: table.Split, size: int) -> dict[str, np.ndarray]:
    """Median seconds per clip, of the clock and of the cores, of every way."""
    ways = {}
    for threads in (1, 2):
        ways[f"imdecode_{threads}"] = functools.partial(timed, tight(split, threads), 3)
        for name, options in (("plain", OFF), ("augmented", Augment())):
            data = Data(frames=FRAMES, size=size, threads=threads, augment=options)
            ways[f"{name}_{threads}"] = functools.partial(drain, pipeline.train_batches(split, data, BATCH, 0))
    seconds = collections.defaultdict(list)
    for _ in range(ROUNDS):
        for name, way in ways.items():
            seconds[name].append(way())
    return {name: np.median(times, axis=0) / BATCH for name, times in seconds.items()}


def timed(work, times: int) -> np.ndarray:
    """Seconds per call: of the clock, and of the cores, which other work on the machine does not stretch."""
    start = np.array([time.perf_counter(), time.process_time()])
    for _ in range(times):
        work()
    return (np.array([time.perf_counter(), time.process_time()]) - start) / times


def drain(batches) -> np.ndarray:
    """Seconds per batch while threads and buffer are in step: a first batch is not counted, nothing is left running."""
    iterator = iter(batches)
    next(iterator)
    seconds = timed(lambda: next(iterator), 3)
    iterator.close()
    time.sleep(0.2)
    return seconds


def main() -> None:
    size = int(sys.argv[1]) if len(sys.argv) > 1 else 224
    cv2.setNumThreads(0)
    with tempfile.TemporaryDirectory() as folder:
        split = make_split(folder)
        jpeg = len(example.decode(split.source[0]).frames[0])
        found = measure(split, size)
    result = {
        "size": size,
        "frames": FRAMES,
        "jpeg_bytes": jpeg,
        "clips_per_s": {name: round(1 / clock, 1) for name, (clock, _) in found.items()},
        "of_imdecode": {name: round(found[f"imdecode_{name[-1]}"][0] / clock, 2) for name, (clock, _) in found.items()},
        "cpu_ms_per_clip": {name: round(1e3 * cores, 1) for name, (_, cores) in found.items()},
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
