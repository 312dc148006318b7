"""A folder of shards whose videos are of one grey each."""

import dataclasses
import json

import numpy as np
import tiny

from fusion_dfd.shards import clip_index, records, tfrecord
from fusion_dfd.types import ORIGINAL, Stretches, Video

UNTOUCHED = 40
"""Grey of the frames of a partly forged video that are not forged."""


def write(
    folder,
    greys: dict[str, tuple[int, int]],
    dataset: str = "plain",
    scale: float = 1.3,
    forged: tuple[int, int] | None = None,
    **manifest,
) -> str:
    """A test split of videos {name: (label, grey)} of six frames; returns the path of the folder, which is made.

    ``forged``: begin and end of the forged frames of every fake; all of them without it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    face = tiny.face(0, np.random.default_rng(0))
    written = []
    for name, (label, grey) in greys.items():
        method = "Deepfakes" if label else ORIGINAL
        known = Stretches.of([forged]) if forged and label else None
        video = Video(name, "", label, dataset, method, "", "test", f"group {name}", name, stretches=known)
        frames = np.full_like(face.frames, grey)
        frames[:, 8:24, 8:24] = min(grey + 10, 255)  # the middle is brighter: a smaller crop can be told from the whole
        if known:
            frames[known.marks(face.indices) == 0] = UNTOUCHED
        written.append(records.encode(video, 0, dataclasses.replace(face, frames=frames), "none"))
    path = str(folder / clip_index.shard_name(dataset, "test", 0, 1))
    clip_index.write_index(path, tfrecord.write(path, written), map(clip_index.describe, written), {})
    about = {"failed": [], "faceless": [], "content": dataset, "options": {"faces": {"scale": scale}}} | manifest
    (folder / clip_index.MANIFEST).write_text(json.dumps(about))
    return str(folder)
