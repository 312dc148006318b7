"""Large published encoders of images, of which the norm layers learn, or nothing but a linear layer on top.

    fusion-dfd train --config gend.py:clip_large --config.data.dir=SHARDS             only its norm layers learn
    fusion-dfd train --config gend.py:clip_large_probe --config.data.dir=SHARDS       nothing of it learns
    fusion-dfd train --config gend.py:sample                                          the synthetic data, on a CPU

Encoders: clip_base, clip_large, dinov2_base, dinov2_large, dinov2_reg4_base, dinov2_reg4_large, dinov3_base and
dinov3_large (docs/BACKBONES.md), and lite0: EfficientNet-Lite0, which is small, and comes with pip.

The recipe is GenD's (Yermakov et al., "Deepfake Detection that Generalizes Across Benchmarks", WACV 2026,
arXiv:2508.06248): single frames at 224 px, 32 a video; the feature of a frame divided by its length, a linear layer on
it; cross-entropy, half the uniformity and a tenth of the alignment of the features; AdamW without weight decay, from
3e-4 down a cosine to 1e-6; batches of 512. Three points differ: batches are real-fake pairs of one source, frames are
not rotated, and one cosine of 2,250 steps (ten passes over FaceForensics++) stands for its restarted ones. Shards:
``fusion-dfd prepare --sampling uniform --clip_length 32``. None of it has been run on published weights of a ViT by us:
no number is claimed. docs/BACKBONES.md has the published ones.

``_probe`` encodes every frame once (``data.cache``), so there is no augmentation, and thousands of steps take seconds.
"""

import dataclasses

from fusion_dfd import config as c
from fusion_dfd.configs import fusion

ENCODERS = {
    **{f"{kind}_{size}": f"vit_{size}_{kind}" for kind in ("clip", "dinov2", "dinov3") for size in ("base", "large")},
    **{f"dinov2_reg4_{size}": f"vit_{size}_dinov2_reg4" for size in ("base", "large")},
    "lite0": "efficientnet_lite0",
}
"""Backbones by the name of their variant."""


def get_config(variant: str = "sample") -> c.Config:
    if variant in ("", "sample"):
        return sample()
    encoder, _, probed = variant.partition("_probe")
    if encoder not in ENCODERS or probed:
        names = ", ".join(("sample", *ENCODERS, *(f"{name}_probe" for name in ENCODERS)))
        raise c.ConfigError(f"gend.py has no variant {variant!r}; it has {names}")
    return probe(encoder) if variant.endswith("_probe") else tuned(encoder)


def tuned(encoder: str) -> c.Config:
    """The norm layers of the encoder learn, and the linear layer."""
    return c.Config(
        name=f"gend-{encoder.replace('_', '-')}",
        faces=c.Faces(sampling="uniform", clip_length=32),
        data=c.Data(frames=1, size=224, augment=c.Augment(flip=0.5, crop=0.1, colour=0.1, blur=0.1, jpeg=1.0)),
        model=c.Model(
            system="frame",
            backbone=c.Backbone(ENCODERS[encoder], weights="imagenet", frozen_norm=True),
            frame=c.Frame(normalise=True),
            head=(),
            dropout=0.0,
            bfloat16=True,
            remat=True,
        ),
        optim=c.Optim(
            lr=3e-4,
            end_lr=1e-6,
            weight_decay=0.0,
            warmup=0,
            clip=1e6,
            label_smoothing=0.0,
            uniformity=0.5,
            alignment=0.1,
            ema=0.0,
            groups=("backbone=0", "backbone:norm=1"),
        ),
        train=c.Train(steps=2250, batch_size=512, eval_every=225),
        evaluate=c.Evaluate(batch_size=128),
    )


def probe(encoder: str) -> c.Config:
    """The linear layer learns alone, on features that are computed once."""
    config = tuned(encoder)
    return dataclasses.replace(
        config,
        name=f"{config.name}-probe",
        data=c.Data(
            frames=1, size=224, cache=True, augment=c.Augment(flip=0.0, crop=0.0, colour=0.0, blur=0.0, jpeg=0.0)
        ),
        model=dataclasses.replace(config.model, remat=False, frame=c.Frame()),
        optim=c.Optim(lr=1e-3, weight_decay=0.0, warmup=0, label_smoothing=0.0, ema=0.0, groups=("backbone=0",)),
    )


def sample() -> c.Config:
    """The losses and the layers on a thin ViT that learns from random weights, with data and steps of ``fusion.py``."""
    config = fusion.sample()
    recipe = tuned("clip_base")
    return dataclasses.replace(
        config,
        name="gend-sample",
        data=dataclasses.replace(config.data, frames=1),
        model=dataclasses.replace(recipe.model, backbone=c.Backbone("vit_small", width=64, stages=2), remat=False),
        optim=dataclasses.replace(config.optim, uniformity=0.5, alignment=0.1),
    )
