"""The optimiser and its schedule; and which parameters learn, how fast, and from which step on.

A group is written ``PREFIX=FACTOR`` or ``PREFIX=FACTOR@STEP``: the parameters whose path begins with PREFIX learn at
FACTOR times the learning rate, with ``@STEP`` only from that step on (gradual unfreezing, Howard & Ruder 2018). The
longest prefix that fits counts. What has the factor 0 is frozen: no gradient is computed for it and no state kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import optax

from fusion_dfd import config as c
from fusion_dfd.config import Group

LEARNS, FROZEN = "learns", "frozen"


REST = Group("", 1.0)
"""What no group names."""


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
    return limit(optim.parsed_groups, learn)


def _kernels(params: dict) -> dict:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def assign(groups: Sequence[Group], params: dict) -> dict:
    """The group of every parameter, in a tree like ``params``."""
    known = (REST, *groups)

    def choose(path, _) -> Group:
        fitting = [one for one in known if _below(one.prefix, path)]
        return max(fitting, key=lambda one: len(one.prefix))

    return jax.tree_util.tree_map_with_path(choose, params)


def check(groups: Sequence[Group], params: dict) -> None:
    """Raises ConfigError for a group that fits no parameter, and where nothing is left to learn."""
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]]
    idle = [one.prefix for one in groups if not any(_below(one.prefix, path) for path in paths)]
    if idle:
        parts = ", ".join(sorted(params))
        raise c.ConfigError(f"optim.groups: the model has no parameter below {', '.join(idle)}; its parts are {parts}")
    if all(one.frozen for one in jax.tree.leaves(assign(groups, params))):
        raise c.ConfigError(f"optim.groups={tuple(map(str, groups))} freezes every parameter, leave one to learn")


def _below(prefix: str, path: tuple) -> bool:
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    return not prefix or f"{name}/".startswith(f"{prefix}/")


def hold(groups: Sequence[Group], params: dict) -> dict:
    """The same values; no gradient flows into those that are frozen, so that none is computed."""
    return jax.tree.map(
        lambda leaf, one: jax.lax.stop_gradient(leaf) if one.frozen else leaf, params, assign(groups, params)
    )


def limit(groups: Sequence[Group], learn: optax.GradientTransformation) -> optax.GradientTransformation:
    """``learn`` for what is not frozen, its updates times the group's factor, and 0 before the group's step."""
    if not groups:
        return learn

    def labels(params: dict) -> dict:
        return jax.tree.map(lambda one: FROZEN if one.frozen else LEARNS, assign(groups, params))

    return optax.partition({LEARNS: optax.chain(learn, _scale(groups)), FROZEN: optax.set_to_zero()}, labels)


def _scale(groups: Sequence[Group]) -> optax.GradientTransformation:
    def init(params: dict) -> jax.Array:
        return jnp.zeros((), jnp.int32)

    def update(updates: dict, step: jax.Array, params: dict | None = None) -> tuple[dict, jax.Array]:
        def scaled(update: jax.Array, one: Group) -> jax.Array:
            return jnp.where(step >= one.step, one.factor, 0.0) * update

        return jax.tree.map(scaled, updates, assign(groups, updates)), step + 1

    return optax.GradientTransformation(init, update)
