"""One training in several processes, on one machine or many: the same program over all their devices.

Every process runs the same command, reads its share of each batch, and holds a copy of the weights; gradients are
summed by the compiled program (``jit`` over a global mesh), so that N processes take the steps that one would. The
run's folder must be the same for all, on a file system that they share.
"""

from __future__ import annotations

import re

import jax

from fusion_dfd.config import ConfigError

AUTO = "auto"
_EXPLICIT = re.compile(r"(\d+)/(\d+)@(\S+:\d+)")


def join(place: str) -> None:
    """Take part in a training; to be called before JAX is first used.

    Args:
      place: ``auto`` asks the cluster (Slurm, Open MPI, Kubernetes, Cloud TPU; see ``jax.distributed.initialize``), or
        ``I/N@HOST:PORT``: process I, from 0, of N; process 0 listens at that address.

    Raises ConfigError for another text, and where no cluster answers.
    """
    if place == AUTO:
        try:
            jax.distributed.initialize()
        except ValueError as error:
            raise ConfigError(
                f"--process auto: this is no cluster that JAX knows ({error}); say I/N@HOST:PORT"
            ) from error
        return
    found = _EXPLICIT.fullmatch(place)
    if not found or int(found[1]) >= int(found[2]):
        raise ConfigError(f"--process {place}: want auto, or I/N@HOST:PORT with I from 0 to N - 1")
    jax.distributed.initialize(found[3], int(found[2]), int(found[1]))
