"""A folder of shards with frames that a network of a few hundred weights can tell apart, and a configuration for it.

The fixtures are everybody's: the root conftest registers them.
"""

import json

import numpy as np
import pytest

from fusion_dfd import config as c
from fusion_dfd.shards import clip_index, tfrecord
from fusion_dfd.shards import records as example
from fusion_dfd.types import FaceTrack, Video

TEMPLATE = np.float32([[10, 12], [22, 12], [16, 18], [11, 24], [21, 24]])


def face(label: int, rng: np.random.Generator) -> FaceTrack:
    """Six frames of 32 px; fakes flicker."""
    frames = rng.integers(60, 120, (1, 32, 32, 3)) + rng.integers(0, 20, (6, 32, 32, 3))
    frames = frames + label * 80 * (np.arange(6) % 2)[:, None, None, None]
    landmarks = np.broadcast_to(TEMPLATE, (6, 5, 2)).copy()
    boxes = np.tile(np.float32([4, 4, 28, 28]), (6, 1))
    return FaceTrack(
        frames=frames.astype(np.uint8),
        boxes=boxes,
        landmarks=landmarks,
        scores=np.ones(6, np.float32),
        indices=np.arange(6, dtype=np.int32),
        transform=np.eye(2, 3, dtype=np.float32),
    )


def write_split(folder, split: str, pairs: int, rng: np.random.Generator) -> None:
    records = []
    for pair in range(pairs):
        for label, method in ((0, "original"), (1, "Deepfakes"), (1, "FaceSwap")):
            name = f"{split}{pair}" + ("_x" if label else "")
            video = Video(name, "", label, "tiny", method, "", split, f"{split}{pair}", f"{split}{pair}")
            records.append(example.encode(video, 0, face(label, rng), "none"))
    path = str(folder / clip_index.shard_name("tiny", split, 0, 1))
    clip_index.write_index(path, tfrecord.write(path, records), map(clip_index.describe, records), {})


def write(folder) -> str:
    """Train, val and test in a folder; returns its path."""
    rng = np.random.default_rng(0)
    for split, pairs in (("train", 8), ("val", 4), ("test", 4)):
        write_split(folder, split, pairs, rng)
    (folder / clip_index.MANIFEST).write_text(json.dumps({"failed": [], "faceless": []}))
    return str(folder)


def configuration(workdir: str, shards: str) -> c.Config:
    return c.Config(
        name="tiny",
        workdir=workdir,
        data=c.Data(dir=shards, frames=4, size=32, threads=1),
        model=c.Model(
            branches=("spatial",),
            backbone=c.Backbone("resnet18", width=4, stages=1),
            micro=c.Micro(inputs=("rgb", "difference"), size=16, widths=(4,)),
            recurrent=(4,),
            dense=(4,),
            head=(4,),
            token=4,
        ),
        optim=c.Optim(lr=1e-2, warmup=1),
        train=c.Train(steps=4, batch_size=16, eval_every=2, log_every=1),
        evaluate=c.Evaluate(batch_size=8, bootstrap=20),
    ).validate()


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> str:
    return write(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="session")
def configured(shards):
    """Function (run folder) -> a configuration of four steps and one branch (little to compile).

    There are 16 clips a batch, so that as many as eight devices hold a pair each.
    """
    return lambda workdir: configuration(str(workdir), shards)


@pytest.fixture
def tiny(tmp_path, configured) -> c.Config:
    return configured(tmp_path / "run")
