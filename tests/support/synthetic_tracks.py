"""Videos and face tracks made of nothing, for tests that need no decoder and no detector."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import signal
import time
from types import SimpleNamespace

import numpy as np

from fusion_dfd.types import MESH_POINTS, DataError, FaceTrack, Video

METHODS = ("original", "Deepfakes", "FaceSwap")


def videos(folder, pairs: int = 4, split_of=lambda pair: ("train", "train", "val", "test")[pair % 4]) -> list[Video]:
    """Pairs of identities, 2 real and 4 fake videos each; the files hold their own names."""
    out = []
    for pair in range(pairs):
        a, b = f"{2 * pair:03d}", f"{2 * pair + 1:03d}"
        for method in METHODS:
            for target, source in ((a, b), (b, a)):
                name = target if method == "original" else f"{target}_{source}"
                path = folder / method / f"{name}.mp4"
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(name.encode())
                label = int(method != "original")
                out.append(Video(name, str(path), label, "toy", method, "c23", split_of(pair), f"{a}_{b}", target))
    return out


def track(seed: int, length: int = 3, size: int = 16, start: int = 0, number: int = 0) -> FaceTrack:
    """A clip of noise with every field different from frame to frame."""
    rng = np.random.default_rng(seed)
    return FaceTrack(
        frames=rng.integers(0, 256, (length, size, size, 3), np.uint8),
        boxes=rng.random((length, 4), np.float32) * 100,
        landmarks=rng.random((length, 5, 2), np.float32) * size,
        scores=rng.random(length, np.float32),
        indices=np.arange(start, start + length, dtype=np.int32),
        transform=rng.random((2, 3), np.float32),
        track=number,
    )


def meshed(seed: int, length: int = 3, missing: int = 1) -> FaceTrack:
    """As :func:`track`, with a mesh that float16 holds exactly, NaN on its first ``missing`` frames."""
    mesh = np.random.default_rng(seed).integers(-64, 1024, (length, MESH_POINTS, 2)).astype(np.float32) / 8
    mesh[:missing] = np.nan
    return dataclasses.replace(track(seed, length), mesh=mesh)


def cut_meshed(path: str, faces, detector, mask):
    """Two clips with meshes, of which one frame each has none."""
    clips = [meshed(seed) for seed in range(2)]
    return SimpleNamespace(clips=clips, damaged=0, reason="", unmasked=None, info=SimpleNamespace(gaps=0))


def cut(path: str, faces, detector, mask):
    """Two clips of noise that depend on the path alone; picklable, so worker processes can use it."""
    name = os.path.join(*os.path.normpath(path).split(os.sep)[-2:])
    seed = int(hashlib.sha256(name.encode()).hexdigest()[:8], 16)
    clips = [track(seed + i, start=10 * i) for i in range(2)]
    return SimpleNamespace(clips=clips, damaged=0, reason="", unmasked=None, info=SimpleNamespace(gaps=0))


def cut_with_gaps(path: str, faces, detector, mask):
    """As :func:`cut`, but one video is a folder of frames of which three times some are left out."""
    made = cut(path, faces, detector, mask)
    made.info.gaps = 3 if path.endswith("original/002.mp4") else 0
    return made


def cut_or_hang(path: str, faces, detector, mask):
    """As :func:`cut`, but one video never ends: its process must be killed."""
    if path.endswith("original/002.mp4"):
        time.sleep(1000)
    return cut(path, faces, detector, mask)


def cut_or_die_once(path: str, faces, detector, mask):
    """As :func:`cut`, but the first process that reads one of the videos is killed, as if memory had run out."""
    if path.endswith("original/002.mp4"):
        try:
            os.close(os.open(f"{path}.read", os.O_CREAT | os.O_EXCL))
        except FileExistsError:
            return cut(path, faces, detector, mask)
        os.kill(os.getpid(), signal.SIGKILL)
    return cut(path, faces, detector, mask)


def cut_or_fail(path: str, faces, detector, mask):
    """As :func:`cut`, but two videos raise, and one has no face."""
    if path.endswith("FaceSwap/001_000.mp4"):
        raise DataError(f"{path}: empty (0 bytes)")
    if path.endswith("original/003.mp4"):
        raise ValueError("no such codec")
    if path.endswith("original/000.mp4"):
        return SimpleNamespace(
            clips=[], damaged=2, reason="no face above 0.9 in 7 frames", unmasked=None, info=SimpleNamespace(gaps=0)
        )
    return cut(path, faces, detector, mask)
