"""What training minimises."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax

from fusion_dfd.types import Batch, Outputs


def cross_entropy(logit: jax.Array, batch: Batch, smoothing: float) -> jax.Array:
    """Mean binary cross-entropy [] over the rows that count, against labels pulled ``smoothing / 2`` from 0 and 1.

    Args:
      logit: float32 [b].
      batch: gives ``label`` [b] in {0, 1} and ``weight`` [b].
      smoothing: 0 .. 1 (Szegedy et al. 2016, section 7, for two classes).
    """
    target = batch.label * (1 - smoothing) + smoothing / 2
    each = optax.sigmoid_binary_cross_entropy(logit, target)
    return jnp.sum(each * batch.weight) / jnp.maximum(jnp.sum(batch.weight), 1)


def total(outputs: Outputs, batch: Batch, *, smoothing: float, auxiliary: float) -> tuple[jax.Array, dict]:
    """The fused loss plus ``auxiliary`` times that of every branch. Returns it and its terms by name.

    A sum, not a mean: how fast a branch learns must not depend on how many others are trained beside it.
    """
    fused = cross_entropy(outputs.logit, batch, smoothing)
    branches = {name: cross_entropy(logit, batch, smoothing) for name, logit in outputs.branch_logits.items()}
    loss = fused + auxiliary * sum(branches.values())
    correct = (outputs.logit > 0) == (batch.label == 1)
    accuracy = jnp.sum(correct * batch.weight) / jnp.maximum(jnp.sum(batch.weight), 1)
    return loss, {"loss": loss, "accuracy": accuracy, **{f"loss/{name}": value for name, value in branches.items()}}
