"""A detector from videos of real people alone: its fakes are forged while it trains.

    fusion-dfd prepare --dataset folder --root REAL --out SHARDS --mesh --scale 1.6
    fusion-dfd train --config selfforged.py --config.data.dir=SHARDS           the same as :small
    fusion-dfd train --config selfforged.py:small --config.data.dir=SHARDS     two CPU cores
    fusion-dfd train --config selfforged.py:full --config.data.dir=SHARDS      a GPU

``:small`` learns from single frames: the spatial branch on EfficientNet-Lite0 from ImageNet weights, self-blends at
160 px, and a loss for the forged region. On two CPU cores a step takes 1.6 to 2.1 s, so that the 2,400 steps take
about 75 minutes, in 5.5 GiB. A run that is stopped continues. docs/REAL_FOOTAGE.md states what it reaches. ``:full``
has all branches, and also forgers of motion, on windows of 16 frames; we have not run it to its end.
"""

import functools

from fusion_dfd import config as c

AUGMENT = functools.partial(c.Augment, crop=0.3, colour=0.15, blur=0.0, jpeg=0.2, degrade=0.5)
"""Degraded as videos are on their way; the rest is mild."""


def get_config(variant: str = "") -> c.Config:
    variants = {"": small, "small": small, "full": full}
    if variant not in variants:
        raise c.ConfigError(f"selfforged.py has no variant {variant!r}; it has {', '.join(filter(None, variants))}")
    return variants[variant]()


def small() -> c.Config:
    """Single frames, and no branch that needs motion."""
    return c.Config(
        name="selfforged",
        faces=c.Faces(size=256, scale=1.6, clip_length=16, clips=4, mesh=True),
        data=c.Data(frames=1, size=160, forge=("blend",), augment=AUGMENT()),
        model=c.Model(
            branches=("spatial",),
            backbone=c.Backbone("efficientnet_lite0", weights="imagenet"),
            head=(),
            dropout=0.2,
        ),
        optim=c.Optim(lr=5e-4, weight_decay=0.02, warmup=100, ema=0.995, map=1.0),
        train=c.Train(steps=2400, batch_size=32, eval_every=300, log_every=20),
        evaluate=c.Evaluate(batch_size=32, windows=4, target="fpr_1"),
    )


def full() -> c.Config:
    """All branches, windows of 16 frames, all forgers; validation on one that train does not see."""
    return c.Config(
        name="selfforged-full",
        faces=c.Faces(size=256, scale=1.6, clip_length=48, clips=8, mesh=True),
        data=c.Data(
            frames=16,
            forge=("blend", "mouth", "regions", "drift"),
            val_forge=("animate",),
            augment=AUGMENT(),
        ),
        model=c.Model(backbone=c.Backbone("efficientnet_lite2", weights="imagenet"), bfloat16=True, branch_dropout=0.2),
        optim=c.Optim(lr=3e-4, warmup=500, map=1.0, sam=0.05),
        train=c.Train(steps=20000, batch_size=32, eval_every=1000),
        evaluate=c.Evaluate(target="fpr_1"),
    )
