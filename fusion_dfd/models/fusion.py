r"""The detector. Read this file first::

                  frames [b,t,h,w,3]                              landmarks [b,t,p,2]
                        |                                                  |
                backbone (ResNet-50)                          stabilised face 64x64 per frame
                        |                              rgb | frame difference | flow (u, v, strain)
            maps [b,t,h/32,w/32,2048]                                      |
             |                 \                      micro-expression CNN 32-64-128, BN, ReLU, pool
     spatial attention     GAP [b,t,2048]                     |                        |
     (1x1 conv, sigmoid)   level | change, each       spatial attention     Dense 256 -> 128 per frame
     -> pooled context       standardised             -> context            BiLSTM 128 -> BiLSTM 64
             |             BiLSTM 128 -> BiLSTM 64            |             self-attention -> Dense 256 -> 128
     logit per frame       temporal attention                 |             temporal attention
     mean over time        (tanh score,               mean over time        -> context
             |             softmax over TIME)                 |                        |
             +------ spatial -----+------- temporal ----------+-------- micro ---------+
                                  |
        fusion: attention over the branch tokens, concatenation
                                  |
        Dense 256 -> 128 -> 64 (ReLU, dropout 0.5) -> logit

The numbers are the defaults of ``config.Model``. Any non-empty subset of the three branches is a model. The backbone
exists if the spatial or the temporal branch does; it runs once per frame and serves both. Every branch gives a token,
its own logit and its attention. Convolutions run in bfloat16 on request; BatchNorm, recurrent layers, attention and
heads stay float32. With ``model.temporal=transformer`` a transformer's encoder replaces the BiLSTMs of the temporal
branch.

Where the frames of a window are not known to be consecutive (``contiguous``), the branches that read motion, temporal
and micro, are switched off for that window: the fusion does not see their tokens, and no batch statistic counts it. A
model that has no other branch keeps them on, because it must answer something; ``predict`` then gives no verdict.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from einops import rearrange
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, UInt8

from fusion_dfd import config
from fusion_dfd.backbones import registry
from fusion_dfd.backbones.layers import BatchNorm
from fusion_dfd.models.attention import (
    SpatialAttention,
    TemporalAttention,
    TransformerEncoder,
    clear_padding,
    masked_mean,
    masked_softmax,
)
from fusion_dfd.models.heads import LogitHead
from fusion_dfd.models.micro import MicroBranch
from fusion_dfd.models.recurrent import RecurrentStack
from fusion_dfd.models.system import System
from fusion_dfd.types import Outputs

DAMPING = 0.1
"""Share of the temporal branch's gradient that reaches the backbone.

Standardising small changes multiplies their gradient. Without damping, at the first step on the synthetic data set,
the backbone's gradient from the temporal loss was 1.4 times that from the spatial loss (3 times, through the fused
loss), and the shared backbone learnt late."""


class FusionDetector(System):
    """The system ``fusion``, as in the figure.

    Raises ConfigError for an unknown backbone, or a micro-expression face too small for its convolutions.
    """

    def __init__(self, model: config.Model, *, rngs: nnx.Rngs):
        dtype = jnp.bfloat16 if model.bfloat16 else jnp.float32
        self.branches = tuple(model.branches)
        self.has_backbone = bool({"spatial", "temporal"} & set(self.branches))
        features = {}
        if self.has_backbone:
            self.spec_name = model.backbone.name
            self.backbone = registry.build(model.backbone, dtype=dtype, remat=model.remat, rngs=rngs)
        if "spatial" in self.branches:
            self.spatial = SpatialBranch(self.backbone.channels, rngs=rngs)
            features["spatial"] = self.spatial.features
        if "temporal" in self.branches:
            self.temporal = TemporalBranch(self.backbone.channels, model, rngs=rngs)
            features["temporal"] = self.temporal.features
        if "micro" in self.branches:
            self.micro = MicroBranch(model.micro, model.recurrent, model.dense, dtype=dtype, rngs=rngs)
            features["micro"] = self.micro.features
        self.fusion = Fusion([features[name] for name in self.branches], model.token, model.branch_dropout, rngs=rngs)
        self.head = LogitHead(len(self.branches) * model.token, model.head, model.dropout, rngs=rngs)

    def __call__(
        self,
        frames: UInt8[Array, "b t h w 3"],
        landmarks: Float[Array, "b t p 2"],
        length: Int[Array, " b"],
        contiguous: Bool[Array, " b"] | None = None,
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Outputs:
        frames, valid = clear_padding(frames, length)
        landmarks, _ = clear_padding(landmarks, length)
        tokens, logits, shown = {}, {}, {}
        on = self._switched_on(length, contiguous)
        moving = valid if contiguous is None else valid & jnp.any(on & self._motion, axis=1)[:, None]
        if self.has_backbone:
            maps = self._maps(frames, valid)
        if "spatial" in self.branches:
            tokens["spatial"], logits["spatial"], shown["frame_logits"], shown["spatial_attention"] = self.spatial(
                maps, valid
            )
        if "temporal" in self.branches:
            tokens["temporal"], logits["temporal"], shown["frame_attention"] = self.temporal(
                maps, valid, moving, length
            )
        if "micro" in self.branches:
            tokens["micro"], logits["micro"], shown["motion_attention"], shown["micro_frame_attention"] = self.micro(
                frames, landmarks, valid, moving, length
            )
        fused, weights = self.fusion([tokens[name] for name in self.branches], on, rngs)
        logit = self.head(fused, rngs)
        shown["branches_on"] = {name: on[:, k] for k, name in enumerate(self.branches)}
        return Outputs(logit, branch_logits=logits, branch_weights=weights, **shown)

    @property
    def _motion(self) -> np.ndarray:
        """bool [k], which branches compare consecutive frames."""
        return np.array([name in config.MOTION_BRANCHES for name in self.branches])

    def _switched_on(self, length: Int[Array, " b"], contiguous: Bool[Array, " b"] | None) -> Bool[Array, "b k"]:
        if contiguous is None or not self._motion.any() or self._motion.all():
            return jnp.ones((*length.shape, len(self.branches)), bool)
        return contiguous[:, None] | ~self._motion

    def _maps(self, frames: Array, valid: Array) -> Float[Array, "b t h w c"]:
        """The backbone's maps of every frame; for the backbone, time is folded into the batch axis."""
        images = registry.get(self.spec_name).normalise(rearrange(frames, "b t h w c -> (b t) h w c"))
        maps = self.backbone(images, valid.reshape(-1)).astype(jnp.float32)
        return rearrange(maps, "(b t) h w c -> b t h w c", t=valid.shape[1])


class SpatialBranch(nnx.Module):
    """What single frames show: backbone maps -> attended context and logit per frame -> their means over the window.

    The order of the frames does not matter.
    """

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        self.attention = SpatialAttention(channels, rngs=rngs)
        self.logit = nnx.Linear(channels, 1, rngs=rngs)
        self.features = channels

    def __call__(
        self, maps: Float[Array, "b t h w c"], valid: Bool[Array, "b t"]
    ) -> tuple[Float[Array, "b c"], Float[Array, " b"], Float[Array, "b t"], Float[Array, "b t h w"]]:
        """Returns token, logit, and logit and attention map (0..1) of each frame, which are 0 on padding."""
        context, attention = self.attention(maps)
        frame_logits = self.logit(context)[..., 0] * valid
        token, logit = masked_mean(context, valid), masked_mean(frame_logits, valid)
        return token, logit, frame_logits, attention * valid[..., None, None]


class TemporalBranch(nnx.Module):
    """How appearance changes from frame to frame.

    Backbone maps -> global average [b, t, c] -> BiLSTMs or a transformer's encoder -> temporal attention.
    """

    def __init__(self, channels: int, model: config.Model, *, rngs: nnx.Rngs):
        self.level_norm = nnx.LayerNorm(channels, rngs=rngs)
        self.change_norm = BatchNorm(channels)
        if model.temporal == "transformer":
            self.encoder = TransformerEncoder(2 * channels, model.transformer, rngs=rngs)
        else:
            self.encoder = RecurrentStack(2 * channels, model.recurrent, rngs=rngs)
        self.features = self.encoder.features
        self.attention = TemporalAttention(self.features, rngs=rngs)
        self.logit = nnx.Linear(self.features, 1, rngs=rngs)
        self.damping = DAMPING
        """Explanations set 1, for the true gradient. It does not change what is computed forward."""

    def __call__(
        self,
        maps: Float[Array, "b t h w c"],
        valid: Bool[Array, "b t"],
        counted: Bool[Array, "b t"],
        length: Int[Array, " b"],
    ) -> tuple[Float[Array, "b d"], Float[Array, " b"], Float[Array, "b t"]]:
        """Returns token, logit and the attention over the valid frames; batch statistics are of those ``counted``."""
        pooled = jnp.mean(maps, axis=(2, 3))
        pooled = self.damping * pooled + (1 - self.damping) * jax.lax.stop_gradient(pooled)
        hidden = self.encoder(self._standardise(pooled, counted), length)
        token, attention = self.attention(hidden, valid)
        return token, self.logit(token)[:, 0], attention

    def _standardise(self, x: Float[Array, "b t c"], counted: Bool[Array, "b t"]) -> Float[Array, "b t d"]:
        """The sequence (its level) and its change from the frame before, each scaled to unit variance.

        A person's identity varies far more between windows than anything varies within one. Unscaled, the recurrent
        layers would see that level alone for the first thousands of steps. The scaling is a linear re-weighting.
        """
        change = jnp.diff(x, axis=1, prepend=x[:, :1])
        change = self.change_norm(change.reshape(-1, x.shape[-1]), counted.reshape(-1)).reshape(x.shape)
        return jnp.concatenate([self.level_norm(x), change], axis=-1)


class Fusion(nnx.Module):
    """Attention over the branch tokens: each is projected to one width, scored and weighted; then concatenated."""

    def __init__(self, features: list[int], width: int, branch_dropout: float, *, rngs: nnx.Rngs):
        self.projections = nnx.List([nnx.Linear(inputs, width, rngs=rngs) for inputs in features])
        self.norms = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in features])
        self.scores = len(features) > 1
        # The weight of a single token is 1 whatever its score: there is nothing to learn, so there are no parameters.
        if self.scores:
            self.hidden = nnx.Linear(width, width, rngs=rngs)
            self.score = nnx.Linear(width, 1, use_bias=False, rngs=rngs)
        self.branch_dropout = BranchDropout(branch_dropout)

    def __call__(
        self, tokens: list[Array], on: Bool[Array, "b k"], rngs: nnx.Rngs | None
    ) -> tuple[Float[Array, "b kd"], Float[Array, "b k"]]:
        """Returns the tokens, weighted and concatenated, and the weights: they sum to 1 over the branches ``on``."""
        layers = zip(tokens, self.projections, self.norms, strict=True)
        stacked = jnp.stack([norm(project(token)) for token, project, norm in layers], axis=1)
        if not self.scores:
            return stacked[:, 0], jnp.ones(stacked.shape[:2], stacked.dtype)
        scores = self.score(jnp.tanh(self.hidden(stacked)))[..., 0]
        weights = masked_softmax(scores, self.branch_dropout(on, rngs))
        return rearrange(stacked * weights[..., None], "b k d -> b (k d)"), weights


class BranchDropout(nnx.Module):
    """In training, hides branches from the fusion, row by row, so that no branch relies on another.

    Never hides the last of those that are on.
    """

    def __init__(self, rate: float):
        self.rate = rate
        self.deterministic = False

    def __call__(self, on: Bool[Array, "b k"], rngs: nnx.Rngs | None) -> Bool[Array, "b k"]:
        """The branches that the fusion sees, of those that are ``on``; b may be symbolic."""
        if self.deterministic or self.rate == 0.0:
            return on
        draw = jnp.where(on, jax.random.uniform(rngs.dropout(), on.shape), -1.0)
        return on & ((draw >= self.rate) | (draw == jnp.max(draw, axis=1, keepdims=True)))

    def set_view(self, deterministic: bool | None = None):
        """Class method used by ``nnx.view``.

        Args:
          deterministic: if True, the fusion sees every branch.
        """
        if deterministic is not None:
            self.deterministic = deterministic
