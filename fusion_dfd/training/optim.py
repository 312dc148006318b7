"""The optimiser and its schedule."""

from __future__ import annotations

import jax
import optax

from fusion_dfd import config as c
from fusion_dfd.training import groups


def schedule(optim: c.Optim, steps: int) -> optax.Schedule:
    """Linear warm-up from 0 to ``lr``, then a cosine down to 0 at ``steps``."""
    return optax.warmup_cosine_decay_schedule(0.0, optim.lr, optim.warmup, steps, 0.0)


def build(optim: c.Optim, steps: int) -> optax.GradientTransformation:
    """AdamW (Loshchilov & Hutter 2019) behind a clip of the global gradient norm, within what ``optim.groups`` allow.

    Kernels alone decay.
    """
    learn = optax.chain(
        optax.clip_by_global_norm(optim.clip),
        optax.adamw(schedule(optim, steps), weight_decay=optim.weight_decay, mask=_kernels),
    )
    return groups.limit(groups.parse(optim.groups), learn)


def _kernels(params: dict) -> dict:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)
