"""The synthetic data set, rendered and prepared once per set of options."""

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
"""Name of the data set in records and file names. It stays ``sample``: shards of earlier versions have it."""


def shards_of(run: config.Config) -> str:
    """Folder of the shards that a configuration names, or of the synthetic data set, made if it does not exist."""
    return run.data.dir or synthetic_shards(run.synthetic, run.faces)


def synthetic_shards(options: config.Synthetic, faces: config.Faces, root: str = "data") -> str:
    """Folder of shards of the synthetic data set, which is made if it does not exist. Progress goes to standard error.

    The videos are in ``root/sample-<hash of options>``, the shards in ``root/shards-<hash of options and faces>``, so
    that different options never share a folder. Raises DataError when the disk is full.
    """
    videos = os.path.join(root, f"sample-{_hash(options)}")
    shards = os.path.join(root, f"shards-{_hash(options, faces)}")
    done = manifest.load(shards)
    if done is not None and done.counts["total"]["clips"]:
        _say(f"synthetic data set: using {shards}")
        return shards
    _say(f"no data given: rendering the synthetic data set in {videos}, {sum(options.pairs)} pairs of identities")
    generate.generate(videos, options)
    _say(f"synthetic data set: finding faces, shards go to {shards}")
    listed = [dataclasses.replace(video, dataset=NAME) for video in faceforensics.videos(videos)]
    made = prepare.prepare(prepare.Preparation(listed, shards, faces, NAME))
    _say(f"synthetic data set: {made.summary()}")
    return shards


def _hash(*options) -> str:
    versions = [generate.VERSION, tfds_metadata.VERSION]
    described = [dataclasses.asdict(one) for one in options]
    for one in described:
        if not one.get("mesh", True):  # folders that were made before the option existed are still found
            del one["mesh"]
        if one.get("stretch") == 1:
            del one["stretch"]
    text = json.dumps([*versions, *described], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
