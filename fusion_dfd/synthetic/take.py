"""Rendering and encoding the real video of one person together with its forgeries: the work of one process.

This module imports neither JAX nor Flax, so that a worker process starts quickly.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Callable

from fusion_dfd.config import Synthetic
from fusion_dfd.faces import recode
from fusion_dfd.synthetic.footage import Footage, generator
from fusion_dfd.synthetic.forgery import FAMILIES
from fusion_dfd.synthetic.motion import FPS

ORIGINAL = "original"


@dataclasses.dataclass(frozen=True)
class RenderTask:
    """Videos of one target that are to be rendered."""

    options: Synthetic
    target: int
    source: int
    wanted: dict[str, str]
    """Path of the file to write, by method."""


def name(number: int, options: Synthetic) -> str:
    """A person's number as an id: zero-padded to three digits, or more where there are more than a thousand."""
    return str(number).zfill(max(3, len(str(2 * sum(options.pairs) - 1))))


def folder(method: str) -> str:
    """Folder of a method's videos, relative to the root, as in FaceForensics++."""
    top = "original_sequences/youtube" if method == ORIGINAL else f"manipulated_sequences/{method}"
    return f"{top}/c23/videos"


def plan(root: str, options: Synthetic, target: int, source: int) -> RenderTask:
    """The videos of one target that do not exist yet."""
    own, swap = name(target, options), f"{name(target, options)}_{name(source, options)}"
    paths = {m: os.path.join(root, folder(m), f"{own if m == ORIGINAL else swap}.mp4") for m in (ORIGINAL, *FAMILIES)}
    return RenderTask(options, target, source, {m: path for m, path in paths.items() if not os.path.exists(path)})


def forged_frames(options: Synthetic, target: int, source: int, method: str) -> range:
    """Which frames of a fake are forged: one stretch, at a place of its own."""
    count = max(1, round(options.stretch * options.frames))
    rng = generator(options.seed, "stretch", method, target, source)
    start = int(rng.integers(options.frames - count, endpoint=True))
    return range(start, start + count)


def shoot(task: RenderTask, report: Callable[[str], None] = lambda method: None) -> None:
    """Render the videos of a task. ``report`` is called with the method before each of them."""
    options = task.options
    footage = Footage(options.seed, task.target, task.source, options.frames, options.size)
    for method, path in task.wanted.items():
        report(method)
        if method == ORIGINAL:
            layers = footage.layers
        else:
            forged = FAMILIES[method](footage, generator(options.seed, method, task.target, task.source))
            where = forged_frames(options, task.target, task.source, method)
            pairs = enumerate(zip(footage.layers, forged, strict=True))
            layers = (fake if index in where else real for index, (real, fake) in pairs)
        recode.write(path, footage.film(layers), FPS, options.crf)
