"""A small prepared split whose pixels tell which frame of which record they are."""

import types

import numpy as np
import pytest

from fusion_dfd.shards import clip_index, tfrecord
from fusion_dfd.shards import records as example
from fusion_dfd.types import ORIGINAL, FaceTrack, Video

METHODS = ("Deepfakes", "FaceSwap", "Face2Face")
SIZE = 32
STEP = 20
"""Grey level of frame i is STEP * i: JPEG keeps flat frames within one level."""


def clip(frames, landmarks=None, first=0, track=0) -> FaceTrack:
    count = len(frames)
    spots = np.tile(np.array([[8, 8], [24, 8], [16, 16], [10, 24], [22, 24]], np.float32), (count, 1, 1))
    return FaceTrack(
        frames=frames,
        boxes=np.zeros((count, 4), np.float32),
        landmarks=spots if landmarks is None else landmarks,
        scores=np.ones(count, np.float32),
        indices=np.arange(first, first + count, dtype=np.int32),
        transform=np.eye(2, 3, dtype=np.float32),
        track=track,
    )


def video(source: int, method: str, split: str = "train") -> Video:
    return Video(
        id=f"{source:03d}" if method == ORIGINAL else f"{source:03d}_{method}",
        path="x.mp4",
        label=int(method != ORIGINAL),
        dataset="faceforensics",
        method=method,
        compression="c23",
        split=split,
        group=f"g{source}",
        source=f"{source:03d}",
    )


def ramp(count: int) -> np.ndarray:
    """Flat frames uint8 [count, SIZE, SIZE, 3] of grey levels 0, STEP, 2 STEP ..."""
    return np.broadcast_to(
        np.uint8(STEP) * np.arange(count, dtype=np.uint8)[:, None, None, None], (count, SIZE, SIZE, 3)
    )


@pytest.fixture
def build():
    """The three functions above."""
    return types.SimpleNamespace(clip=clip, video=video, ramp=ramp)


@pytest.fixture
def write_split(tmp_path):
    """Function (list of (Video, clip number, FaceTrack), shards) -> the opened split."""

    def write(clips, shards=2, folder="data"):
        (tmp_path / folder).mkdir()
        for number in range(shards):
            records = [example.encode(one, place, face, "none") for one, place, face in clips[number::shards]]
            path = str(tmp_path / folder / clip_index.shard_name("small", "train", number, shards))
            clip_index.write_index(
                path, tfrecord.write(path, records), [clip_index.describe(item) for item in records], {}
            )
        return clip_index.open_split(str(tmp_path / folder), "train")

    return write


@pytest.fixture
def split(write_split):
    """3 sources x (original + 3 methods) x 2 clips of 8 frames: 6 real and 18 fake records in 2 shards."""
    return write_split(
        [
            (video(source, method), place, clip(ramp(8), first=8 * place))
            for source in range(3)
            for method in (ORIGINAL, *METHODS)
            for place in range(2)
        ]
    )
