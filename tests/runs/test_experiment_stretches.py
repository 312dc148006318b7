"""A whole run on rendered faces of which a tenth is forged: a mean dilutes that, the rule chosen on val does not.

The faces are those of the synthetic data set, but go to the shards without video files and without a detector, and only
forgeries that single frames show are among them: that leaves about two minutes of processor time.
"""

import json

import jax
import numpy as np
import pytest

from fusion_dfd import config as c
from fusion_dfd.evaluation import metrics, scores
from fusion_dfd.runs import experiment
from fusion_dfd.shards import clip_index, records, tfrecord
from fusion_dfd.synthetic import generate, take
from fusion_dfd.synthetic.footage import Footage, generator
from fusion_dfd.synthetic.forgery import FAMILIES
from fusion_dfd.types import ORIGINAL, FaceTrack, Stretches, Video

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

METHODS = ("Deepfakes", "NeuralTextures")
SIDE = 64
"""Of the crop, pixels: the middle of the picture."""


@pytest.fixture
def optimised():
    """Programs are compiled as outside of tests: these run long."""
    before = jax.config.values["jax_disable_most_optimizations"]
    jax.config.update("jax_disable_most_optimizations", False)
    yield
    jax.config.update("jax_disable_most_optimizations", before)


def clips(options: c.Synthetic, split: str, target: int, source: int) -> list[bytes]:
    """The records of a person's real video and its fakes, of which one stretch is forged."""
    footage = Footage(options.seed, target, source, options.frames, options.size)
    edge = (options.size - SIDE) // 2
    middle = slice(edge, edge + SIDE)
    made = []
    for method in (ORIGINAL, *METHODS):
        layers, known = footage.layers, None
        if method != ORIGINAL:
            where = take.forged_frames(options, target, source, method)
            known = Stretches.of([(where.start, where.stop)])
            forged = FAMILIES[method](footage, generator(options.seed, method, target, source))
            pairs = enumerate(zip(footage.layers, forged, strict=True))
            layers = [fake if index in where else real for index, (real, fake) in pairs]
        frames = np.stack([frame[middle, middle] for frame in footage.film(layers)])
        face = FaceTrack(
            frames,
            np.zeros((len(frames), 4), np.float32),
            np.full((len(frames), 5, 2), SIDE / 2, np.float32),
            np.ones(len(frames), np.float32),
            np.arange(len(frames), dtype=np.int32),
            np.eye(2, 3, dtype=np.float32),
        )
        name, group = f"{target}_{source}", "_".join(map(str, sorted((target, source))))
        video = Video(name, "", int(known is not None), "drawn", method, "", split, group, str(target), stretches=known)
        made.append(records.encode(video, 0, face, "none"))
    return made


def write(folder, options: c.Synthetic) -> str:
    """Shards of all splits; returns the path of the folder."""
    for split, members in generate.pairs(options).items():
        made = [clip for a, b in members for swap in ((a, b), (b, a)) for clip in clips(options, split, *swap)]
        path = str(folder / clip_index.shard_name("drawn", split, 0, 1))
        clip_index.write_index(path, tfrecord.write(path, made), map(clip_index.describe, made), {})
    (folder / clip_index.MANIFEST).write_text(json.dumps({"failed": [], "faceless": []}))
    return str(folder)


def configured(folder, seed: int) -> c.Config:
    data = write(folder, c.Synthetic(seed=seed, pairs=(10, 8, 8), frames=80, size=96, stretch=0.1))
    plain = c.Augment(crop=0.05, colour=0, blur=0, jpeg=0)
    return c.Config(
        seed=seed,
        workdir=str(folder / "run"),
        data=c.Data(dir=data, frames=8, size=48, augment=plain, threads=1),
        model=c.Model(
            branches=("spatial",),
            backbone=c.Backbone("resnet18", width=8, stages=2),
            dense=(16,),
            head=(16,),
            token=16,
            dropout=0,
        ),
        optim=c.Optim(lr=4e-3, warmup=10, ema=0.95),
        train=c.Train(steps=200, batch_size=16, eval_every=200),
        evaluate=c.Evaluate(aggregate="val", bootstrap=20),
    )


def auc(rows: list, rule: str) -> float:
    videos = scores.videos(rows, rule)
    return metrics.compute([video.label for video in videos], [video.probability for video in videos])["auc"]


def test_the_rule_chosen_on_val_finds_the_tenth_that_a_mean_dilutes(tmp_path, optimised):
    result = experiment.run(configured(tmp_path, seed=0))
    rows = scores.read_csv(tmp_path / "run" / "report" / "scores.csv")
    found = {rule: round(auc(rows, rule), 3) for rule in c.RULES}
    chosen = result.summary["rule"]
    assert "mean" not in chosen, found
    assert found[chosen] > found["mean_probability"] + 0.05, found
    block = result.summary["stretches"]
    assert block["partial"] == block["known"] == 32
    assert block["segment_auc"]["value"] > found["mean_probability"] + 0.05
