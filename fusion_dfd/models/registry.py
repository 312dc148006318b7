"""The systems by name. Whatever a system is made of, training, evaluation and prediction see one contract::

    outputs = detector(frames, landmarks, length, rngs=rngs)

with uint8 frames [b, t, h, w, 3], landmarks [b, t, 5, 2] in their pixels, valid frames ``length`` [b], and ``rngs`` (a
stream ``dropout``) in training mode only. A detector's state is ``Param`` and ``BatchStat`` only, it obeys
``nnx.view(detector, deterministic=True, use_running_average=True)``, and frames at and beyond ``length`` change no
logit, no gradient and no batch statistic. ``tests/models/test_systems.py`` holds every entry to that.
"""

from __future__ import annotations

from collections.abc import Callable

from flax import nnx

from fusion_dfd import config
from fusion_dfd.models.flow_lstm import FlowDetector
from fusion_dfd.models.fusion import FusionDetector
from fusion_dfd.models.r2plus1d import R2Plus1DDetector
from fusion_dfd.models.sequence import SequenceDetector
from fusion_dfd.models.timesformer import TimeSformerDetector

SYSTEMS: dict[str, Callable[..., nnx.Module]] = {
    "fusion": FusionDetector,
    "sequence": SequenceDetector,
    "flow": FlowDetector,
    "r2plus1d": R2Plus1DDetector,
    "timesformer": TimeSformerDetector,
}
"""The names are those of ``config.SYSTEMS``."""


def build(model: config.Model, *, rngs: nnx.Rngs) -> nnx.Module:
    """The detector that ``model`` describes, with fresh weights.

    Raises ConfigError for an unknown system or backbone and for parts that do not fit together.
    """
    if model.system not in SYSTEMS:
        raise config.ConfigError(f"model.system={model.system}: want one of {', '.join(SYSTEMS)}")
    return SYSTEMS[model.system](model, rngs=rngs)
