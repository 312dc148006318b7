"""The fusion detector.

    fusion-dfd train --config fusion.py            the synthetic data at a size two CPU cores train in minutes
    fusion-dfd train --config fusion.py:sample     the same
    fusion-dfd train --config fusion.py:robust     the same, for videos that were re-encoded, blurred or shared
    fusion-dfd train --config fusion.py:ffpp --config.data.dir=SHARDS      ResNet-50, 224 px, for GPUs
    fusion-dfd train --config fusion.py:vgg16 --config.data.dir=SHARDS     the same with VGG16

``:ffpp`` follows the usual FaceForensics++ recipe (c23, 1.3x crops, contiguous clips) and wants shards made by
``fusion-dfd prepare --dataset faceforensics``. Neither it nor ``:vgg16`` has been run to convergence by us: no number
is claimed for them.
"""

from fusion_dfd import config as c


def get_config(variant: str = "") -> c.Config:
    variants = {"": sample, "sample": sample, "robust": robust, "ffpp": ffpp, "vgg16": vgg16}
    if variant not in variants:
        raise c.ConfigError(f"fusion.py has no variant {variant!r}; it has {', '.join(filter(None, variants))}")
    return variants[variant]()


def sample() -> c.Config:
    """Small enough for a laptop: 64 px, 12 frames, a ResNet-18 of width 16 without its last stage."""
    return c.Config(
        name="fusion",
        faces=c.Faces(size=80, clip_length=48, clips=1),
        # At 64 px the traces are a pixel or two: heavy colour, blur and JPEG augmentation would hide them.
        data=c.Data(frames=12, size=64, augment=c.Augment(crop=0.05, colour=0.1, blur=0.0, jpeg=0.0)),
        model=c.Model(
            backbone=c.Backbone(name="resnet18", width=16, stages=3),
            micro=c.Micro(inputs=("difference", "flow"), size=40, widths=(12, 24, 48)),
            recurrent=(64, 32),
            dense=(128, 64),
            token=64,
            dropout=0.1,
        ),
        optim=c.Optim(lr=2e-3, warmup=30, ema=0.98),
        train=c.Train(steps=600, batch_size=16, eval_every=100, log_every=10),
        evaluate=c.Evaluate(batch_size=16),
    )


def robust() -> c.Config:
    """As ``:sample``, on pairs that are degraded as videos are on their way, and half as long again."""
    config = sample()
    config.name = "fusion-robust"
    config.data.augment.degrade = 0.6
    config.train.steps = 900
    return config


def ffpp() -> c.Config:
    """Full size: the model figure as drawn, on 224 px crops."""
    return c.Config(
        name="fusion-ffpp",
        model=c.Model(bfloat16=True),
        optim=c.Optim(lr=3e-4, warmup=1000, ema=0.999),
        train=c.Train(steps=40000, batch_size=32, eval_every=1000, patience=10),
    )


def vgg16() -> c.Config:
    """As ``:ffpp``, with VGG16 in the place of ResNet-50."""
    config = ffpp()
    config.name = "fusion-vgg16"
    config.model.backbone = c.Backbone("vgg16")
    return config
