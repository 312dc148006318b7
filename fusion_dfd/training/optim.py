"""The optimiser and its schedule; and which parameters learn, how fast, and from which step on.

``optim.groups`` scales the learning rate of the parameters below a path, and can delay their training to a later step
(gradual unfreezing, Howard & Ruder 2018). Of the groups that match a parameter, the one with the longest prefix counts.
A group with the factor 0 is frozen: no gradient is computed and no optimiser state is kept for it.
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
"""All parameters that no group matches."""


def schedule(optim: c.Optim, steps: int) -> optax.Schedule:
    """Linear warm-up from 0 to ``lr``, then a cosine down to 0 at ``steps``."""
    return optax.warmup_cosine_decay_schedule(0.0, optim.lr, optim.warmup, steps, 0.0)


def build(optim: c.Optim, steps: int) -> optax.GradientTransformation:
    """AdamW (Loshchilov & Hutter 2019) after clipping the global gradient norm, restricted by ``optim.groups``.

    Weight decay applies to kernels only.
    """
    learn = optax.chain(
        optax.clip_by_global_norm(optim.clip),
        optax.adamw(schedule(optim, steps), weight_decay=optim.weight_decay, mask=_kernels),
    )
    return restrict(optim.parsed_groups, learn)


def _kernels(params: dict) -> dict:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def assign(groups: Sequence[Group], params: dict) -> dict:
    """The group of every parameter, in a tree like ``params``."""
    known = (REST, *groups)

    def choose(path, _) -> Group:
        matching = [group for group in known if _below(group.prefix, path)]
        return max(matching, key=lambda group: len(group.prefix))

    return jax.tree_util.tree_map_with_path(choose, params)


def check(groups: Sequence[Group], params: dict) -> None:
    """Raises ConfigError for a group that matches no parameter, and where every parameter is frozen."""
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


def stop_frozen(groups: Sequence[Group], params: dict) -> dict:
    """The same values, without gradient where they are frozen, so that none is computed."""
    return jax.tree.map(
        lambda leaf, one: jax.lax.stop_gradient(leaf) if one.frozen else leaf, params, assign(groups, params)
    )


def restrict(groups: Sequence[Group], learn: optax.GradientTransformation) -> optax.GradientTransformation:
    """``learn`` for what is not frozen. Its updates are scaled by the group's factor, and 0 before the group's step."""
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
