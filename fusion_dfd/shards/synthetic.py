"""The embedded data set, generated and prepared once per set of options."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import sys

from fusion_dfd import config
from fusion_dfd.datasets import faceforensics
from fusion_dfd.shards import manifest, prepare, tfds_metadata
from fusion_dfd.synthetic import generate

NAME = "sample"


def synthetic_shards(sample: config.Synthetic, faces: config.Faces, root: str = "data") -> str:
    """Folder of shards of the embedded data set; made if it is not there, and said so on standard error.

    The videos lie in ``root/sample-<hash of sample>``, the shards in ``root/shards-<hash of both>``, so that other
    options never meet in one folder. Raises DataError when the disk is full.
    """
    videos = os.path.join(root, f"sample-{_hash(sample)}")
    shards = os.path.join(root, f"shards-{_hash(sample, faces)}")
    done = manifest.load(shards)
    if done is not None and done.counts["total"]["clips"]:
        _say(f"embedded data set: using {shards}")
        return shards
    _say(f"no data given: making the embedded data set in {videos}, {sum(sample.pairs)} pairs of identities")
    generate.generate(videos, sample)
    _say(f"embedded data set: finding faces, shards go to {shards}")
    listed = [dataclasses.replace(video, dataset=NAME) for video in faceforensics.videos(videos)]
    made = prepare.prepare(prepare.Preparation(listed, shards, faces, NAME))
    _say(f"embedded data set: {made.summary()}")
    return shards


def _hash(*options) -> str:
    versions = [generate.VERSION, tfds_metadata.VERSION]
    text = json.dumps([*versions, *map(dataclasses.asdict, options)], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
