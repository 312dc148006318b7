r"""The detector. Read this file first::

                  frames [b,t,h,w,3]                              landmarks [b,t,5,2]
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
        Dense 256 -> 128 -> 64 (ReLU, dropout .5) -> logit

The numbers are the defaults of ``config.Model``. Any non-empty subset of the three branches is a model; the backbone
exists if the spatial or the temporal one does, runs once per frame and serves both. Every branch gives a token, a logit
of its own and its attention. Padding, the frames at and beyond ``length``, reaches nothing: no logit, no gradient, no
batch statistic. Convolutions run in bfloat16 on request; BatchNorm, recurrence, attention and heads stay float32.
``model.temporal`` = ``transformer`` puts a transformer's encoder in the place of the temporal branch's BiLSTMs.
"""

from __future__ import annotations

import jax
import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, UInt8

from fusion_dfd import config
from fusion_dfd.backbones import registry
from fusion_dfd.backbones.layers import BatchNorm
from fusion_dfd.models.attention import Encoder, SpatialAttention, TemporalAttention, masked_mean, masked_softmax
from fusion_dfd.models.micro import MicroBranch
from fusion_dfd.models.recurrent import Stack
from fusion_dfd.types import Outputs


class FusionDetector(nnx.Module):
    """Frames and landmarks in, :class:`Outputs` out. Its state is ``Param`` and ``BatchStat`` only.

    Fresh, it is in training mode; ``nnx.view(detector, deterministic=True, use_running_average=True)`` evaluates.
    Raises ConfigError for an unknown backbone or a micro-expression face too small for its convolutions.
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
        self.head = Head(len(self.branches) * model.token, model.head, model.dropout, rngs=rngs)

    def __call__(
        self,
        frames: UInt8[Array, "b t h w 3"],
        landmarks: Float[Array, "b t 5 2"],
        length: Int[Array, " b"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Outputs:
        """Frames are RGB, landmarks in their pixels. ``rngs`` (stream ``dropout``) is needed in training mode only.

        Raises ConfigError where the frames are too small for the backbone's stages.
        """
        valid = jnp.arange(frames.shape[1])[None, :] < length[:, None]
        frames = jnp.where(valid[..., None, None, None], frames, 0)
        landmarks = jnp.where(valid[..., None, None], landmarks, 0.0)
        tokens, logits, seen = {}, {}, {}
        if self.has_backbone:
            maps = self._maps(frames, valid)
        if "spatial" in self.branches:
            tokens["spatial"], logits["spatial"], seen["frame_logits"], seen["spatial_attention"] = self.spatial(
                maps, valid
            )
        if "temporal" in self.branches:
            tokens["temporal"], logits["temporal"], seen["frame_attention"] = self.temporal(maps, valid, length)
        if "micro" in self.branches:
            tokens["micro"], logits["micro"], seen["motion_attention"], seen["micro_frame_attention"] = self.micro(
                frames, landmarks, valid, length
            )
        fused, weights = self.fusion([tokens[name] for name in self.branches], rngs)
        logit = self.head(fused, rngs)
        return Outputs(logit, branch_logits=logits, branch_weights=weights, **seen)

    def _maps(self, frames: Array, valid: Array) -> Float[Array, "b t h w c"]:
        """The backbone on every frame of the batch, time folded into the batch."""
        images = registry.get(self.spec_name).normalise(rearrange(frames, "b t h w c -> (b t) h w c"))
        maps = self.backbone(images, valid.reshape(-1)).astype(jnp.float32)
        return rearrange(maps, "(b t) h w c -> b t h w c", t=valid.shape[1])


class Fusion(nnx.Module):
    """Attention over the branch tokens: each is projected to one width, scored, weighted and laid side by side."""

    def __init__(self, features: list[int], width: int, branch_dropout: float, *, rngs: nnx.Rngs):
        self.project = nnx.List([nnx.Linear(inputs, width, rngs=rngs) for inputs in features])
        self.norm = nnx.List([nnx.LayerNorm(width, rngs=rngs) for _ in features])
        self.scores = len(features) > 1
        # One token's weight is 1 whatever its score: there is nothing to learn then, so there are no parameters.
        if self.scores:
            self.hidden = nnx.Linear(width, width, rngs=rngs)
            self.score = nnx.Linear(width, 1, use_bias=False, rngs=rngs)
        self.hide = BranchDropout(branch_dropout)

    def __call__(self, tokens: list[Array], rngs: nnx.Rngs | None) -> tuple[Float[Array, "b kd"], Float[Array, "b k"]]:
        """Returns the weighted tokens side by side and the weights, which sum to 1 over k."""
        layers = zip(tokens, self.project, self.norm, strict=True)
        stacked = jnp.stack([norm(project(token)) for token, project, norm in layers], axis=1)
        if not self.scores:
            return stacked[:, 0], jnp.ones(stacked.shape[:2], stacked.dtype)
        scores = self.score(jnp.tanh(self.hidden(stacked)))[..., 0]
        weights = masked_softmax(scores, self.hide(scores.shape, rngs))
        return rearrange(stacked * weights[..., None], "b k d -> b (k d)"), weights


class BranchDropout(nnx.Module):
    """Hides branches from the fusion while training, row by row, so that no branch leans on another; never all."""

    def __init__(self, rate: float):
        self.rate = rate
        self.deterministic = False

    def __call__(self, shape: tuple[int, int], rngs: nnx.Rngs | None) -> Array:
        """True [b, k] where the fusion may look."""
        if self.deterministic or self.rate == 0.0:
            return jnp.ones(shape, bool)
        draw = jax.random.uniform(rngs.dropout(), shape)
        return (draw >= self.rate) | (draw == jnp.max(draw, axis=1, keepdims=True))

    def set_view(self, deterministic: bool | None = None):
        """Class method used by ``nnx.view``.

        Args:
          deterministic: if True, the fusion sees every branch.
        """
        if deterministic is not None:
            self.deterministic = deterministic


class Head(nnx.Module):
    """Dense layers with ReLU and dropout, then one number: the logit."""

    def __init__(self, inputs: int, widths: tuple[int, ...], dropout: float, *, rngs: nnx.Rngs):
        self.layers = nnx.List([])
        for width in widths:
            self.layers.append(nnx.Linear(inputs, width, kernel_init=nnx.initializers.he_normal(), rngs=rngs))
            inputs = width
        self.dropout = nnx.Dropout(dropout)
        self.logit = nnx.Linear(inputs, 1, rngs=rngs)

    def __call__(self, x: Float[Array, "b c"], rngs: nnx.Rngs | None) -> Float[Array, " b"]:
        for layer in self.layers:
            x = self.dropout(nnx.relu(layer(x)), rngs=rngs)
        return self.logit(x)[:, 0]


# MERGED from models.spatial: Spatial branch: what a single frame shows.
class SpatialBranch(nnx.Module):
    """Backbone maps -> attended context of every frame -> an opinion per frame; order in time plays no part."""

    def __init__(self, channels: int, *, rngs: nnx.Rngs):
        self.attention = SpatialAttention(channels, rngs=rngs)
        self.logit = nnx.Linear(channels, 1, rngs=rngs)
        self.features = channels

    def __call__(
        self, maps: Float[Array, "b t h w c"], valid: Bool[Array, "b t"]
    ) -> tuple[Float[Array, "b c"], Float[Array, " b"], Float[Array, "b t"], Float[Array, "b t h w"]]:
        """Returns token, logit, the logit of each frame (0 on padding) and the attention in 0..1 (0 on padding)."""
        context, attention = self.attention(maps)
        frame_logits = self.logit(context)[..., 0] * valid
        token, logit = masked_mean(context, valid), masked_mean(frame_logits, valid)
        return token, logit, frame_logits, attention * valid[..., None, None]


# MERGED from models.temporal: Temporal branch: how the appearance changes from frame to frame.
DAMPING = 0.1
"""Share of this branch's gradient that reaches the backbone. Standardising small changes multiplies it: undamped, what
reached the backbone from its loss was 1.4 times, from the fused loss 3 times the spatial branch's own at the first step
of the embedded data's recipe, and the shared backbone learnt late."""


class TemporalBranch(nnx.Module):
    """Backbone maps -> global average [b, t, c] -> BiLSTMs, or a transformer's encoder -> temporal attention."""

    def __init__(self, channels: int, model: config.Model, *, rngs: nnx.Rngs):
        self.level = nnx.LayerNorm(channels, rngs=rngs)
        self.change = BatchNorm(channels)
        if model.temporal == "transformer":
            self.over_time = Encoder(2 * channels, model.transformer, rngs=rngs)
        else:
            self.over_time = Stack(2 * channels, model.recurrent, rngs=rngs)
        self.features = self.over_time.features
        self.attention = TemporalAttention(self.features, rngs=rngs)
        self.logit = nnx.Linear(self.features, 1, rngs=rngs)
        self.damping = DAMPING
        """1 gives the true gradient, which explanations want; what is computed forward is the same whatever it is."""

    def __call__(
        self, maps: Float[Array, "b t h w c"], valid: Bool[Array, "b t"], length: Int[Array, " b"]
    ) -> tuple[Float[Array, "b d"], Float[Array, " b"], Float[Array, "b t"]]:
        """Returns token, logit and the attention over the valid frames."""
        pooled = jnp.mean(maps, axis=(2, 3))
        pooled = self.damping * pooled + (1 - self.damping) * jax.lax.stop_gradient(pooled)
        hidden = self.over_time(self._standardise(pooled, valid), length)
        token, attention = self.attention(hidden, valid)
        return token, self.logit(token)[:, 0], attention

    def _standardise(self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"]) -> Float[Array, "b t d"]:
        """The sequence and its change from the frame before, each brought to unit variance.

        Who a person is varies far more between clips than anything varies within one; unscaled, that level is all
        the recurrent layer would see in its first thousands of steps. It is a linear re-weighting of the same input.
        """
        change = jnp.diff(x, axis=1, prepend=x[:, :1])
        change = self.change(change.reshape(-1, x.shape[-1]), valid.reshape(-1)).reshape(x.shape)
        return jnp.concatenate([self.level(x), change], axis=-1)
