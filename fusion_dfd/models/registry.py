"""The systems by name. All of them follow the contract of :class:`fusion_dfd.models.system.System`."""

from __future__ import annotations

from flax import nnx

from fusion_dfd import config
from fusion_dfd.models.flow_lstm import FlowDetector
from fusion_dfd.models.frame import FrameDetector
from fusion_dfd.models.fusion import FusionDetector
from fusion_dfd.models.r2plus1d import R2Plus1DDetector
from fusion_dfd.models.sequence import SequenceDetector
from fusion_dfd.models.system import System
from fusion_dfd.models.timesformer import TimeSformerDetector

SYSTEMS: dict[str, type[System]] = {
    "fusion": FusionDetector,
    "sequence": SequenceDetector,
    "frame": FrameDetector,
    "flow": FlowDetector,
    "r2plus1d": R2Plus1DDetector,
    "timesformer": TimeSformerDetector,
}
"""The names are those of ``config.SYSTEMS``."""


def build(model: config.Model, *, rngs: nnx.Rngs) -> System:
    """The system that ``model`` describes, with fresh weights.

    Raises ConfigError for an unknown system or backbone and for incompatible components.
    """
    if model.system not in SYSTEMS:
        raise config.ConfigError(f"model.system={model.system}: want one of {', '.join(SYSTEMS)}")
    return SYSTEMS[model.system](model, rngs=rngs)
