"""Clips from photographs of faces: a camera that moves over a still picture, as H.264 video.

For training on real faces where only photographs are at hand. What such clips lack is motion of the face: they teach
the branch that looks at single frames. No frame shows what lies outside the photograph.
"""

from __future__ import annotations

import os
import zlib
from collections.abc import Iterator

import cv2
import numpy as np
from scipy.ndimage import gaussian_filter1d

from fusion_dfd import process_pool, terminal
from fusion_dfd.faces import recode
from fusion_dfd.synthetic.motion import FPS
from fusion_dfd.types import DataError

KINDS = (".jpg", ".jpeg", ".png", ".webp", ".bmp")
ZOOM, TURN = 0.06, 2.0
"""Largest change of size, and of direction in degrees, over a clip."""
LEAST = 64
"""Least side of a photograph, pixels."""


def write(photographs: str, root: str, frames: int, crf: int, seed: int) -> list[str]:
    """Write ``root/real/NAME.mp4`` for each photograph in a folder, and return their paths; those there are kept.

    Args:
      photographs: folder of pictures (KINDS), searched in depth.
      root: to be read by ``prepare --dataset folder``.
      frames: of each clip.
      crf: H.264 constant rate factor.
      seed: of the camera paths. A path depends on the seed and the name of the picture.

    Raises DataError where the folder holds no picture, or a clip cannot be written.
    """
    found = sorted(
        os.path.join(folder, name)
        for folder, _, names in os.walk(photographs)
        for name in names
        if name.lower().endswith(KINDS)
    )
    if not found:
        raise DataError(f"{photographs} holds no pictures ({', '.join(KINDS)}), check the path")
    os.makedirs(os.path.join(root, "real"), exist_ok=True)
    names = [os.path.relpath(path, photographs).replace(os.sep, "__").rpartition(".")[0] for path in found]
    outs = [os.path.join(root, "real", f"{name}.mp4") for name in names]
    tasks = [(path, out, frames, crf, seed) for path, out in zip(found, outs, strict=True) if not os.path.exists(out)]
    unread = []
    with terminal.progress("clips") as bar:
        shown = bar.add_task("filming photographs", total=len(tasks))
        for task, result in process_pool.run(_film, tasks, process_pool.cores()):
            if isinstance(result, process_pool.Died):
                raise DataError(f"{task[0]}: a worker process died over it; remove the file and run again")
            unread += [] if result else [task[0]]
            bar.advance(shown)
    if unread:
        print(f"{len(unread)} pictures cannot be read or are smaller than {LEAST} pixels, the first: {unread[0]}")
    return [out for out in outs if os.path.exists(out)]


def _film(task: tuple[str, str, int, int, int], report: process_pool.Report) -> bool:
    """Film one photograph; False where it cannot be read or is too small."""
    path, out, frames, crf, seed = task
    picture = cv2.imread(path, cv2.IMREAD_COLOR_RGB)
    if picture is None or min(picture.shape[:2]) < LEAST:
        return False
    rng = np.random.default_rng([seed, zlib.crc32(os.path.basename(path).encode())])
    height, width = picture.shape[0] // 2 * 2, picture.shape[1] // 2 * 2
    recode.write(out, shots(picture[:height, :width], frames, rng), FPS, crf)
    return True


def shots(picture: np.ndarray, frames: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield ``frames`` views uint8 [h, w, 3] of a ``picture`` of that shape: a slow move, and the shake of a hand."""
    height, width = picture.shape[:2]
    time = np.linspace(-0.5, 0.5, frames)
    turn = np.deg2rad(rng.uniform(-TURN, TURN)) * time
    zoom = rng.uniform(-ZOOM, ZOOM) * time
    shake = gaussian_filter1d(rng.normal(0, 0.01 * max(height, width), (frames, 2)), 3.0, axis=0)
    # So large that neither the turn nor the smallest view shows the border.
    base = 1.03 + ZOOM / 2 + 2 * np.sin(np.deg2rad(TURN) / 2) * max(height, width) / min(height, width)
    room = (base - 1) / 4 * np.array([width, height])
    drift = rng.uniform(-1, 1, 2) * room
    for t, angle, larger, (x, y) in zip(time, turn, zoom, shake, strict=True):
        matrix = cv2.getRotationMatrix2D(((width - 1) / 2, (height - 1) / 2), np.rad2deg(angle), base + larger)
        matrix[:, 2] += drift * t + np.clip((x, y), -room / 2, room / 2)
        yield cv2.warpAffine(picture, matrix, (width, height), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT)
