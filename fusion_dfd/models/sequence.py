"""A CNN per frame, then recurrent layers over time: what most published detectors of forged video are::

    frames [b, t, h, w, 3]
             |
    backbone, once per frame                     model.backbone
             |
    global average [b, t, c]
             |
    LSTM or GRU layers, masked by length         model.recurrent, model.sequence
             |
    last state [b, d]
             |
    dropout -> Dense (ReLU) -> logit             model.dropout, model.head

``configs/baselines.py`` names the published ones: MobileNetV2 + LSTM, InceptionV3 + GRU, Xception + LSTM. Those that
end in a softmax over two classes are this with one logit, the difference of their two. Padding reaches nothing: no
logit, no gradient, no batch statistic.
"""

from __future__ import annotations

import jax.numpy as jnp
from einops import rearrange
from flax import nnx
from jaxtyping import Array, Bool, Float, Int, UInt8

from fusion_dfd import config
from fusion_dfd.backbones import registry
from fusion_dfd.backbones.layers import BatchNorm
from fusion_dfd.models.attention import clear
from fusion_dfd.models.heads import Readout
from fusion_dfd.models.recurrent import GRU, LSTM, last
from fusion_dfd.types import Outputs

CELLS = {"lstm": LSTM, "gru": GRU}


class SequenceDetector(nnx.Module):
    """Frames in, :class:`Outputs` with the logit out; landmarks are not used. Its state is ``Param`` and ``BatchStat``.

    Raises ConfigError for an unknown backbone and, when called, where the frames are too small for its stages.
    """

    def __init__(self, model: config.Model, *, rngs: nnx.Rngs):
        dtype = jnp.bfloat16 if model.bfloat16 else jnp.float32
        self.spec_name = model.backbone.name
        self.backbone = registry.build(model.backbone, dtype=dtype, remat=model.remat, rngs=rngs)
        self.summary = Summary(self.backbone.channels, model.recurrent, model.sequence, rngs=rngs)
        self.readout = Readout(self.summary.features, model.head, model.dropout, rngs=rngs)

    def __call__(
        self,
        frames: UInt8[Array, "b t h w 3"] | Float[Array, "b t c"],
        landmarks: Float[Array, "b t 5 2"],
        length: Int[Array, " b"],
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Outputs:
        """``rngs`` (stream ``dropout``) is needed in training mode only.

        Instead of frames, what :meth:`encode` made of them is taken as well: a frozen backbone need not run twice.
        """
        frames, valid = clear(frames, length)
        if frames.ndim == 5:
            pooled = self.encode(rearrange(frames, "b t h w c -> (b t) h w c"), valid.reshape(-1))
            frames = rearrange(pooled, "(b t) c -> b t c", t=valid.shape[1])
        return Outputs(self.readout(self.summary(frames, valid, length), rngs))

    def encode(self, frames: UInt8[Array, "n h w 3"], valid: Bool[Array, " n"] | None = None) -> Float[Array, "n c"]:
        """The features of each frame, float32; ``valid`` names those that enter the statistics of BatchNorm."""
        maps = self.backbone(registry.get(self.spec_name).normalise(frames), valid)
        return jnp.mean(maps.astype(jnp.float32), axis=(1, 2))


class Summary(nnx.Module):
    """Recurrent layers, one on the other, and the state they end in."""

    def __init__(self, inputs: int, units: tuple[int, ...], options: config.Sequence, *, rngs: nnx.Rngs):
        self.layers, self.norms = nnx.List([]), nnx.List([])
        for width in units:
            layer = CELLS[options.cell](inputs, width, bidirectional=options.bidirectional, rngs=rngs)
            inputs = layer.features
            self.layers.append(layer)
            if options.batch_norm:
                self.norms.append(BatchNorm(inputs))
        self.directions, self.features = layer.directions, inputs

    def __call__(
        self, x: Float[Array, "b t c"], valid: Bool[Array, "b t"], length: Int[Array, " b"]
    ) -> Float[Array, "b d"]:
        """BatchNorm reads all valid frames between two layers, and one state a clip behind the last."""
        for place, layer in enumerate(self.layers):
            x = layer(x, length)
            if self.norms and place + 1 < len(self.layers):
                flat = self.norms[place](x.reshape(-1, x.shape[-1]), valid.reshape(-1))
                x = flat.reshape(x.shape)
        state = last(x, length, self.directions)
        return self.norms[-1](state, length > 0) if self.norms else state
