"""Every shipped system whose backbone is registered can be built and takes the frames its configuration gives it."""

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from fusion_dfd import config as c
from fusion_dfd.backbones.registry import BACKBONES
from fusion_dfd.configs import baselines, fusion
from fusion_dfd.models import registry

SHIPPED = {
    **baselines.get_rows("all", baselines.get_config("all")),
    **{f"full {name}": config() for name, config in baselines.FULL.items()},
    **{f"fusion:{variant}": fusion.get_config(variant) for variant in ("ffpp", "vgg16")},
}


def reads_no_backbone(config: c.Config) -> bool:
    return config.model.system in ("r2plus1d", "timesformer")


BUILDABLE = [
    pytest.param(name, marks=[pytest.mark.slow] * name.startswith(("full", "fusion:")))
    for name, one in SHIPPED.items()
    if reads_no_backbone(one) or one.model.backbone.name in BACKBONES
]


@pytest.mark.parametrize("name", BUILDABLE)
def test_it_gives_a_logit_a_clip(name):
    model, data = SHIPPED[name].model, SHIPPED[name].data
    detector = nnx.eval_shape(lambda: registry.build(model, rngs=nnx.Rngs(0)))
    batch = (
        jax.ShapeDtypeStruct((2, data.frames, data.size, data.size, 3), jnp.uint8),
        jax.ShapeDtypeStruct((2, data.frames, 5, 2), jnp.float32),
        jax.ShapeDtypeStruct((2,), jnp.int32),
    )
    outputs = nnx.eval_shape(lambda d, *x: d(*x, rngs=nnx.Rngs(0)), detector, *batch)
    assert outputs.logit.shape == (2,)
