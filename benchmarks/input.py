"""Clips per second of the training input: against nothing but decoding, against tf.data, against a torch DataLoader.

    python benchmarks/input.py [--size 224] [--rounds 8]

A clip is 16 frames out of a stored clip of 32, JPEG quality 95, 4:4:4; all ways read the same records and give uint8
batches of 16 clips. The limit is a tight loop of ``simplejpeg`` over as many JPEGs in as many threads; OpenCV's beside
it. PyTorch's loader once with OpenCV, as is usual, and once with our decoder. The augmentation is compared in the
loaders and alone, part by part, on one clip in one thread. A ratio is the median of those within a round. Prints one
JSON line.
"""

import argparse
import collections
import dataclasses
import importlib
import itertools
import json
import os
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import simplejpeg
from apart import Ways, ratio, target, timed

from fusion_dfd.config import Augment, Data
from fusion_dfd.input import augment, pipeline
from fusion_dfd.shards import clip_index, tfrecord
from fusion_dfd.shards import records as example
from fusion_dfd.types import ORIGINAL, FaceTrack, Video

STORED, FRAMES, VIDEOS, BATCH = 32, 16, 64, 16
"""Their JPEGs are more than a core keeps close, as those of a data set are."""
WARM, BATCHES = 5, 6
"""Left out at the start of a turn, when threads begin and queues fill; timed."""
THREADS = (1, 2)
DRAWS = 8
OFF = Augment(flip=0, crop=0, colour=0, blur=0, jpeg=0)
PARTS = {"crop, flip, colour": (0, 0), "with blur": (1, 0), "with JPEG": (0, 1)}
"""Probability of blur and of JPEG."""

Seconds = Callable[[], np.ndarray]
"""Does the work once; seconds of the clock and of the cores."""


def make_record(number: int, method: str, side: int) -> bytes:
    """A smooth picture that drifts, with fine noise: at 256 pixels about 20 kB a frame."""
    rng = np.random.default_rng(number)
    wide = cv2.GaussianBlur(rng.integers(0, 256, (side + STORED, side + STORED, 3), dtype=np.uint8), (0, 0), 6)
    wide = cv2.convertScaleAbs(wide, alpha=6, beta=-640)
    grain = rng.integers(0, 8, (STORED, side, side, 1), dtype=np.uint8)
    frames = np.stack([wide[i : i + side, i : i + side] for i in range(STORED)]) // 2 + 60 + grain
    face = FaceTrack(
        frames=frames,
        boxes=np.zeros((STORED, 4), np.float32),
        landmarks=np.full((STORED, 5, 2), side / 2, np.float32),
        scores=np.ones(STORED, np.float32),
        indices=np.arange(STORED, dtype=np.int32),
        transform=np.eye(2, 3, dtype=np.float32),
    )
    label, source = int(method != ORIGINAL), str(number // 2)
    video = Video(str(number), "x.mp4", label, "bench", method, "", "train", source, source)
    return example.encode(video, 0, face, "none")


def make_split(folder: str, side: int) -> str:
    """Write the shard that all ways read; its path."""
    records = [make_record(i, (ORIGINAL, "fake")[i % 2], side) for i in range(VIDEOS)]
    path = os.path.join(folder, clip_index.shard_name("bench", "train", 0, 1))
    clip_index.write_index(path, tfrecord.write(path, records), [clip_index.describe(record) for record in records], {})
    return path


def make_tight(folder: str, threads: int, decoder: str) -> Seconds:
    """Decodes as many JPEGs as a batch holds, and does nothing else."""
    cv2.setNumThreads(0)
    split = clip_index.open_split(folder, "train")
    clips = [example.decode(split.source[row]).frames[:FRAMES] for row in range(len(split))]
    pool = ThreadPoolExecutor(threads)
    decode = {"simplejpeg": simplejpeg.decode_jpeg, "cv2": _decode_cv2}[decoder]

    order = itertools.cycle(clips)

    def work(clip):
        for frame in clip:
            decode(frame)

    return lambda: timed(lambda: list(pool.map(work, itertools.islice(order, BATCH))), BATCHES) / BATCH


def _decode_cv2(frame: bytes) -> np.ndarray:
    return cv2.imdecode(np.frombuffer(frame, np.uint8), cv2.IMREAD_COLOR_RGB)


def make_ours(folder: str, size: int, threads: int, options: Augment) -> Seconds:
    data = Data(frames=FRAMES, size=size, threads=threads, augment=options)
    batches = pipeline.train_batches(clip_index.open_split(folder, "train"), data, BATCH, 0)

    def turn():
        iterator = iter(batches)
        found = drain(iterator)
        iterator.close()
        return found

    return turn


def make_tf(path: str, workers: int) -> Seconds:
    from peers import tf_data

    def turn():
        batches = tf_data.batches(path, STORED, FRAMES, BATCH, workers)
        found = drain(batches)
        batches.close()
        time.sleep(0.2)  # What its threads had begun ends before the next way's turn.
        return found

    return turn


def make_torch(folder: str, size: int, workers: int, decoder: str, options: Augment | None) -> Seconds:
    from peers import torch_loader

    if options is not None:
        importlib.import_module("peers.albumentations_chain")  # Where it is missing, not only a worker shall know.
    clips = torch_loader.Clips(folder, FRAMES, BATCH * (WARM + BATCHES), decoder, options, size)
    loader = torch_loader.loader(clips, BATCH, workers)
    return lambda: drain(iter(loader))


def drain(iterator) -> np.ndarray:
    """Seconds per clip while workers and consumer are in step."""
    for _ in range(WARM):
        next(iterator)
    return timed(lambda: next(iterator), BATCHES) / BATCH


def make_chain(library: str, size: int, blur: float, jpeg: float) -> Seconds:
    """Seconds per clip of the augmentation alone."""
    cv2.setNumThreads(0)
    options = dataclasses.replace(Augment(), blur=blur, jpeg=jpeg)
    clip = example.decode_frames(example.decode(make_record(0, ORIGINAL, size)).frames[:FRAMES])
    if library == "albumentations":
        from peers import albumentations_chain

        chain = albumentations_chain.chain(options, size)
        return lambda: timed(lambda: chain(images=clip), DRAWS)
    points, rng = np.zeros((FRAMES, 5, 2), np.float32), np.random.default_rng(0)
    out = np.empty_like(clip)  # The pipeline has a place in a batch for it.
    return lambda: timed(lambda: augment.apply(clip, points, augment.draw(rng, options), size, out), DRAWS)


def loading(path: str, size: int, rounds: int) -> tuple[dict, dict[str, str]]:
    """Seconds per clip, [rounds, (clock, cores)], of every (way, workers), and what is missing."""
    folder, makes = os.path.dirname(path), {}
    for workers in THREADS:
        # Ways that are compared follow on each other.
        makes["ours", workers] = {
            ("simplejpeg alone", workers): (make_tight, folder, workers, "simplejpeg"),
            ("ours", workers): (make_ours, folder, size, workers, OFF),
        }
        makes["tf", workers] = {("tf.data", workers): (make_tf, path, workers)}
        makes["torch", workers] = {
            ("torch, cv2", workers): (make_torch, folder, size, workers, "cv2", None),
            ("torch, simplejpeg", workers): (make_torch, folder, size, workers, "simplejpeg", None),
            ("torch, albumentations", workers): (make_torch, folder, size, workers, "cv2", Augment()),
        }
        makes["ours, too", workers] = {
            ("cv2 alone", workers): (make_tight, folder, workers, "cv2"),
            ("ours, augmented", workers): (make_ours, folder, size, workers, Augment()),
        }
    return turns(makes, rounds)


def chains(size: int, rounds: int) -> tuple[dict, dict[str, str]]:
    """The same of every (library, part)."""
    makes = {
        library: {(library, part): (make_chain, library, size, *odds) for part, odds in PARTS.items()}
        for library in ("ours", "albumentations")
    }
    return turns(makes, 3 * rounds)


def turns(makes: dict, rounds: int) -> tuple[dict, dict[str, str]]:
    with Ways(makes) as ways:
        seconds = {name: np.array(found) for name, found in ways.rounds(rounds).items()}
        return seconds, {name[0]: reason for name, reason in ways.missing.items()}


def faster(one: np.ndarray, other: np.ndarray | None) -> float | None:
    """How many times as fast ``one`` is by the clock, the median of the rounds; None where ``other`` is missing."""
    return None if other is None else float(np.median(other[:, 0] / one[:, 0]))


def loading_rows(seconds: dict) -> list[dict]:
    return [
        {
            "way": way,
            "workers": workers,
            "clips_per_s": round(1 / np.median(found[:, 0]), 1),
            "of_simplejpeg_alone": round(faster(found, seconds["simplejpeg alone", workers]), 2),
            "cpu_ms_per_clip": round(1e3 * np.median(found[:, 1]), 1),
        }
        for (way, workers), found in seconds.items()
    ]


def chain_rows(seconds: dict) -> list[dict]:
    """Processor time a clip by part, and at the default probabilities, where a part costs what it adds, as often."""
    rows = collections.defaultdict(dict)
    for (library, part), found in seconds.items():
        rows[library][part] = 1e3 * np.median(found[:, 1])
    odds, base, *extra = Augment(), *PARTS
    for row in rows.values():
        more = zip((odds.blur, odds.jpeg), extra, strict=True)
        row["as configured"] = row[base] + sum(share * (row[part] - row[base]) for share, part in more)
    return [{"ms_per_clip": library} | {k: round(v, 2) for k, v in row.items()} for library, row in rows.items()]


def targets(seconds: dict, alone: list[dict]) -> list[dict]:
    """Of the clock where loaders are compared, of the cores where one thread is."""
    cost = {row["ms_per_clip"]: row["as configured"] for row in alone}
    found = []
    for workers in THREADS:
        who = f"{workers} worker{'s' * (workers > 1)}"
        for name, least in (("simplejpeg alone", 0.9), ("tf.data", 1.2), ("torch, cv2", 1.4)):
            measured = faster(seconds["ours", workers], seconds.get((name, workers)))
            found.append(target(f"ours / {name}, {who}", least, measured))
    return [*found, target("augmentation: albumentations / ours", 2.5, ratio(cost.get("albumentations"), cost["ours"]))]


def measure(size: int, rounds: int) -> dict:
    with tempfile.TemporaryDirectory() as folder:
        path = make_split(folder, size)
        jpeg = len(example.decode(clip_index.open_split(folder, "train").source[0]).frames[0])
        seconds, missing = loading(path, size, rounds)
    alone, also = chains(size, rounds)
    parts = chain_rows(alone)
    return {
        "size": size,
        "frames": FRAMES,
        "jpeg_bytes": jpeg,
        "loading": loading_rows(seconds),
        "augmentation": parts,
        "targets": targets(seconds, parts),
        "missing": missing | also,
    }


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--rounds", type=int, default=8)
    given = parser.parse_args()
    print(json.dumps(measure(given.size, given.rounds)))


if __name__ == "__main__":
    main()
