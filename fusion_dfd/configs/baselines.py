"""The known systems besides the fusion, each a configuration of the same parts, trained by the same loop::

    fusion-dfd train --config baselines.py:mobilenet_lstm --config.data.dir=SHARDS
    fusion-dfd train --config baselines.py:mobilenet_lstm_small      on the synthetic data, for a CPU
    fusion-dfd ablate --config baselines.py:all                      every small one and the fusion, in one table

    mobilenet_lstm  5 frames spread over the video, 224 px, MobileNetV2 -> LSTM 64 -> dropout 0.5 -> Dense 64 -> logit
    inception_gru   20 frames, 224 px, InceptionV3 -> GRU 64, 32, 16 with BatchNorm -> logit
    xception_lstm   30 frames, 299 px, Xception, trained end to end -> LSTM 256 -> dropout 0.5 -> logit
    flow_lstm       16 frames, 224 px, dense optical flow -> EfficientNet-B0 on it -> LSTM 128 -> logit
    r2plus1d        16 frames, 112 px, R(2+1)D-18 (Tran et al. 2018)
    timesformer     8 frames, 224 px, TimeSformer base, divided space-time attention (Bertasius et al. 2021)

Where the original ends in a softmax over two classes, the logit is the difference of its two. Frames, sizes and layers
are the originals'; the optimiser is that of all our runs, AdamW with warm-up and cosine. Shards want the same faces
section, e.g. ``fusion-dfd prepare --sampling uniform --clip_length 5``. None of the full recipes has been run to
convergence by us: no number is claimed for them.

The small ones have the fusion's data, steps and batches (``fusion.py:sample``), so that they share its shards; frames,
sizes and widths are those of that recipe and not the originals', and every backbone learns from random weights: frozen
ones would want published weights, which do not come in these widths.
"""

import dataclasses

from fusion_dfd import config as c
from fusion_dfd.configs import fusion

PLAIN = c.Augment(flip=0.0, crop=0.0, colour=0.0, blur=0.0, jpeg=0.0)


def _frozen(name: str) -> c.Backbone:
    return c.Backbone(name, weights="imagenet", frozen_norm=True)


def get_config(variant: str = "") -> c.Config:
    if variant == "all":
        return dataclasses.replace(fusion.sample(), name="baselines")
    variants = {**FULL, **{f"{name}_small": name for name in SMALL}}
    if variant not in variants:
        raise c.ConfigError(f"baselines.py has no variant {variant!r}; it has all, {', '.join(variants)}")
    if variant in FULL:
        return FULL[variant]()
    config = fusion.sample()
    return dataclasses.replace(config, name=variant.replace("_", "-"), model=SMALL[variants[variant]](config.data))


def get_rows(variant: str, config: c.Config) -> dict[str, c.Config]:
    """For ``all``: the fusion of ``config``, variants of it, and every small system, with all else as in ``config``."""
    if variant != "all":
        return {}
    transformer = dataclasses.replace(config.model, temporal="transformer", transformer=c.Transformer(width=64))
    vgg16 = dataclasses.replace(config.model, backbone=c.Backbone("vgg16", width=16, stages=4))
    models = {
        "fusion": config.model,
        "fusion with a transformer": transformer,
        "fusion with VGG16": vgg16,
        **{name: model(config.data) for name, model in SMALL.items()},
    }
    return {name: dataclasses.replace(config, model=model) for name, model in models.items()}


def mobilenet_lstm() -> c.Config:
    """MobileNetV2 is frozen, with ImageNet's weights, and sees every frame once."""
    return c.Config(
        name="mobilenet-lstm",
        faces=c.Faces(sampling="uniform", clip_length=5),
        data=c.Data(frames=5, size=224, cache=True, augment=PLAIN),
        model=c.Model(system="sequence", backbone=_frozen("mobilenetv2"), recurrent=(64,), head=(64,), dropout=0.5),
        optim=c.Optim(lr=1e-3, groups=("backbone=0",)),
        train=c.Train(steps=10000, batch_size=32, eval_every=500),
    )


def inception_gru() -> c.Config:
    """InceptionV3 is frozen, with ImageNet's weights, and sees every frame once. Training stops early; the best weights
    count.

    The original looks for no face: it crops the centre of the picture. Here faces are cropped as for every system.
    """
    return c.Config(
        name="inception-gru",
        faces=c.Faces(clip_length=20),
        data=c.Data(frames=20, size=224, cache=True, augment=PLAIN),
        model=c.Model(
            system="sequence",
            backbone=_frozen("inceptionv3"),
            sequence=c.Sequence(cell="gru", batch_norm=True),
            recurrent=(64, 32, 16),
            head=(),
            dropout=0.0,
        ),
        optim=c.Optim(lr=1e-3, groups=("backbone=0",)),
        train=c.Train(steps=10000, batch_size=32, eval_every=500, patience=5),
    )


def xception_lstm() -> c.Config:
    """All of it is trained; ``remat`` makes 30 frames of 299 px fit."""
    return c.Config(
        name="xception-lstm",
        faces=c.Faces(size=320, clip_length=30),
        data=c.Data(frames=30, size=299),
        model=c.Model(
            system="sequence",
            backbone=c.Backbone("xception", weights="imagenet"),
            recurrent=(256,),
            head=(),
            dropout=0.5,
            bfloat16=True,
            remat=True,
        ),
        optim=c.Optim(lr=1e-4, warmup=1000),
        train=c.Train(steps=20000, batch_size=16, eval_every=1000, patience=10),
    )


def flow_lstm() -> c.Config:
    return c.Config(
        name="flow-lstm",
        data=c.Data(frames=16, size=224),
        model=c.Model(
            system="flow", backbone=c.Backbone("efficientnet_b0"), recurrent=(128,), head=(64,), bfloat16=True
        ),
        optim=c.Optim(lr=3e-4, warmup=1000),
        train=c.Train(steps=20000, batch_size=16, eval_every=1000, patience=10),
    )


def r2plus1d() -> c.Config:
    return c.Config(
        name="r2plus1d",
        data=c.Data(frames=16, size=112),
        model=c.Model(system="r2plus1d", head=(), bfloat16=True),
        optim=c.Optim(lr=3e-4, warmup=1000),
        train=c.Train(steps=20000, batch_size=32, eval_every=1000, patience=10),
    )


def timesformer() -> c.Config:
    return c.Config(
        name="timesformer",
        data=c.Data(frames=8, size=224),
        model=c.Model(system="timesformer", head=(), bfloat16=True, remat=True),
        optim=c.Optim(lr=1e-4, warmup=1000),
        train=c.Train(steps=20000, batch_size=32, eval_every=1000, patience=10),
    )


FULL = {
    "mobilenet_lstm": mobilenet_lstm,
    "inception_gru": inception_gru,
    "xception_lstm": xception_lstm,
    "flow_lstm": flow_lstm,
    "r2plus1d": r2plus1d,
    "timesformer": timesformer,
}


def _small(system: str, **changes) -> c.Model:
    return c.Model(system=system, **{"head": (64,), "dropout": 0.1, "recurrent": (64,), **changes})


SMALL = {
    "mobilenet_lstm": lambda data: _small("sequence", backbone=c.Backbone("mobilenetv2", width=32, stages=4)),
    "inception_gru": lambda data: _small(
        "sequence",
        backbone=c.Backbone("inceptionv3", width=16, stages=2),
        sequence=c.Sequence(cell="gru", batch_norm=True),
        recurrent=(64, 32, 16),
        head=(),
    ),
    "xception_lstm": lambda data: _small("sequence", backbone=c.Backbone("xception", width=16, stages=2)),
    "flow_lstm": lambda data: _small("flow", backbone=c.Backbone("resnet18", width=16, stages=3)),
    "r2plus1d": lambda data: _small("r2plus1d", backbone=c.Backbone(width=16, stages=3), head=()),
    "timesformer": lambda data: _small(
        "timesformer",
        timesformer=c.TimeSformer(size=data.size, frames=data.frames, patch=8, width=96, depth=4, heads=4),
    ),
}
"""Models for a dozen frames of 64 px, by the name of the system they stand for."""
