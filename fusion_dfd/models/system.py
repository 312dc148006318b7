"""What every system is: the contract between a model and all that trains, evaluates, exports or explains it."""

from __future__ import annotations

from flax import nnx
from jaxtyping import Array, Bool, Float, Int, UInt8

from fusion_dfd.types import Outputs


class System(nnx.Module):
    """Frames and landmarks in, :class:`Outputs` out.

    The state of a system is ``Param`` and ``BatchStat`` only. A new system is in training mode;
    ``nnx.view(system, deterministic=True, use_running_average=True)`` gives the one that evaluates. Padding, the frames
    at and beyond ``length``, changes no logit, no gradient and no batch statistic.
    ``tests/models/test_registry.py`` checks this for every system.
    """

    def __call__(
        self,
        frames: UInt8[Array, "b t h w 3"],
        landmarks: Float[Array, "b t p 2"],
        length: Int[Array, " b"],
        contiguous: Bool[Array, " b"] | None = None,
        *,
        rngs: nnx.Rngs | None = None,
    ) -> Outputs:
        """Score a batch of windows.

        Args:
          frames: RGB, 0..255.
          landmarks: of each frame, in its pixels, as ``Batch.landmarks`` has them. Only ``fusion`` reads them.
          length: the number of valid frames of each window.
          contiguous: whether the frames of each window are known to be consecutive; None if all are. Only ``fusion``
            reads it.
          rngs: with a stream ``dropout``; needed in training mode only.

        Raises ConfigError where frames are too small, or too few, for the layers of the model.
        """
        raise NotImplementedError
