"""What a run learns beside its weights."""

import dataclasses
import types

import numpy as np
import tiny

from fusion_dfd.evaluation import appearance
from fusion_dfd.forge import degrade
from fusion_dfd.input import pipeline
from fusion_dfd.runs import references
from fusion_dfd.shards import clip_index


def test_windows_degraded_as_in_training_are_familiar(shards, tmp_path):
    """To a run that was trained without them, more than twice as many are outside."""
    config = tiny.configuration(str(tmp_path), shards)
    batches, _ = pipeline.eval_batches(clip_index.open_split(shards, "val"), config.data, 8, 0)
    frames = [window for batch in batches for window in batch.frames[batch.weight > 0]]
    rng = np.random.default_rng(1)
    seen = np.stack([appearance.statistics(degrade.apply(one, degrade.draw(rng, 1.0))) for one in frames])
    outside = []
    for often in (0.0, 1.0):
        augment = dataclasses.replace(config.data.augment, degrade=often)
        known = dataclasses.replace(config, data=dataclasses.replace(config.data, augment=augment))
        run = types.SimpleNamespace(config=known, save_familiarity=lambda fitted: None)
        outside.append(np.mean(references.learn_familiarity(run, shards).distances(seen) > 1))
    assert outside[0] > 2 * outside[1]
