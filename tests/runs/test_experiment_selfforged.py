"""A whole run on real clips alone: its fakes are forged while it trains."""

import dataclasses
import json

import numpy as np
import pytest
from talking_face import talking_face

from fusion_dfd.configs import selfforged
from fusion_dfd.runs import experiment
from fusion_dfd.shards import clip_index, records, tfrecord
from fusion_dfd.types import ORIGINAL, FaceTrack, Video

pytestmark = pytest.mark.slow


def write_reals(folder, split: str, seeds) -> None:
    made = []
    for seed in seeds:
        face = talking_face(16, seed=seed)
        points = np.full((16, 5, 2), 32, np.float32)
        track = FaceTrack(
            face.frames,
            np.zeros((16, 4), np.float32),
            points,
            np.ones(16, np.float32),
            np.arange(16, dtype=np.int32),
            np.eye(2, 3, dtype=np.float32),
            mesh=face.mesh,
        )
        name = f"{split}{seed}"
        video = Video(name, "x.mp4", 0, "drawn", ORIGINAL, "", split, name, name)
        made.append(records.encode(video, 0, track, "none"))
    path = str(folder / clip_index.shard_name("drawn", split, 0, 1))
    clip_index.write_index(path, tfrecord.write(path, made), [clip_index.describe(one) for one in made], {})


def test_real_clips_alone_give_a_detector_and_a_report(tmp_path):
    for split, seeds in (("train", range(4)), ("val", range(4, 8)), ("test", range(8, 12))):
        write_reals(tmp_path, split, seeds)
    (tmp_path / clip_index.MANIFEST).write_text(json.dumps({"failed": [], "faceless": []}))
    config = selfforged.get_config()
    config.data.dir, config.workdir = str(tmp_path), str(tmp_path / "run")
    config.data = dataclasses.replace(config.data, size=64, val_forge=("mouth",))
    config.model.backbone = dataclasses.replace(config.model.backbone, weights="", width=8, stages=3)
    config.optim.warmup = 1
    config.train = dataclasses.replace(config.train, steps=4, batch_size=4, eval_every=2)
    config.evaluate = dataclasses.replace(config.evaluate, batch_size=4, bootstrap=10)
    result = experiment.run(config)
    assert result.finished
    assert result.report
    assert set(result.summary["units"]["video"]["methods"]) == {"mouth"}
