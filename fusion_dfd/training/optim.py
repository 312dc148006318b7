"""The optimiser and its schedule; and which parameters learn, how fast, and from which step on.

``optim.groups`` scales the learning rate of the parameters below a path, and can delay their training to a later step
(gradual unfreezing, Howard & Ruder 2018). Of the groups that match a parameter, the one with the longest prefix counts;
of two with the same prefix, the one for norm layers. A group with the factor 0 is frozen: no gradient is computed and
no optimiser state is kept for it.

``optim.alternate`` freezes half of the fusion for some steps and the other half for as many (AltFreezing, Wang et al.,
CVPR 2023): what one frame shows is learnt sooner than what changes over time, and would be all that is learnt.

``optim.sam`` takes the gradient at the worst weights nearby (sharpness-aware minimisation, Foret et al., ICLR 2021).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import jax
import jax.numpy as jnp
import optax

from fusion_dfd import config as c
from fusion_dfd.config import Group

LEARNS, FROZEN = "learns", "frozen"

REST = Group("", 1.0)
"""All parameters that no group matches."""

HALVES = {"spatial": ("backbone", "spatial"), "temporal": ("temporal", "micro"), "both": ()}
"""Parts of the fusion that ``optim.alternate`` freezes together; ``both`` is what always learns."""

Weights = Callable[[dict, jax.Array], dict]
"""``weights(tree, step)``: a factor for each leaf of a tree of parameters, at the step with that number."""


def schedule(optim: c.Optim, steps: int) -> optax.Schedule:
    """Linear warm-up from 0 to ``lr``, then a cosine down to ``end_lr`` at ``steps``."""
    return optax.warmup_cosine_decay_schedule(0.0, optim.lr, optim.warmup, steps, optim.end_lr)


def build(optim: c.Optim, steps: int) -> optax.GradientTransformationExtraArgs:
    """AdamW (Loshchilov & Hutter 2019) after clipping the global gradient norm, restricted by ``optim.groups``.

    Weight decay applies to kernels only. With ``optim.sam``, ``update`` wants ``grad_fn(params, 0)``, which returns the
    gradient of the same loss at other parameters. With ``optim.alternate``, a frozen half keeps its parameters and its
    moments; the schedule goes on.
    """
    adam, taking_turns = optax.scale_by_adam(), optax.identity()
    if optim.alternate:
        taking_turns = _times(_turns(optim.alternate))
        adam = optax.partition({half: _paused(adam, optim.alternate, half) for half in HALVES}, _halves)
    decay = optax.add_decayed_weights(optim.weight_decay, _kernels)
    learn = [
        optax.clip_by_global_norm(optim.clip),
        optax.chain(adam, decay, optax.scale_by_learning_rate(schedule(optim, steps))),
    ]
    learn = optax.chain(taking_turns, *learn, taking_turns) if optim.alternate else optax.chain(*learn)
    descend = optax.with_extra_args_support(restrict(optim.parsed_groups, learn))
    if not optim.sam:
        return descend
    ascend = optax.chain(
        _times(_awake(optim.parsed_groups)), taking_turns, optax.contrib.normalize(), optax.sgd(optim.sam)
    )
    # The state of `ascend` is the number of steps taken, which must not be reset.
    return optax.contrib.sam(descend, ascend, reset_state=False, opaque_mode=True)


def _kernels(params: dict) -> dict:
    return jax.tree.map(lambda leaf: leaf.ndim > 1, params)


def assign(groups: Sequence[Group], params: dict) -> dict:
    """The group of every parameter, in a tree like ``params``."""
    known = (REST, *groups)
    norms = set(_norms(params))

    def choose(path, _) -> Group:
        matching = [group for group in known if _holds(group, path, norms)]
        return max(matching, key=lambda group: (len(group.prefix), group.norm))

    return jax.tree_util.tree_map_with_path(choose, params)


def check(optim: c.Optim, params: dict) -> None:
    """Raises ConfigError for a group that matches no parameter, and where all that should learn is frozen."""
    groups, norms = optim.parsed_groups, set(_norms(params))
    paths = [path for path, _ in jax.tree_util.tree_flatten_with_path(params)[0]]
    idle = [one.selector for one in groups if not any(_holds(one, path, norms) for path in paths)]
    if idle:
        parts = ", ".join(sorted(params))
        raise c.ConfigError(f"optim.groups: the model has no parameter below {', '.join(idle)}; its parts are {parts}")
    learning = jax.tree.map(lambda one: not one.frozen, assign(groups, params))
    if not any(jax.tree.leaves(learning)):
        raise c.ConfigError(f"optim.groups={tuple(map(str, groups))} freezes every parameter, leave one to learn")
    for half in ("spatial", "temporal") if optim.alternate else ():
        if not any(jax.tree.leaves({part: learning.get(part, {}) for part in HALVES[half]})):
            raise c.ConfigError(
                f"optim.alternate={optim.alternate}: no {half} part learns, so there is nothing to alternate; set 0"
            )


def _holds(group: Group, path: tuple, norms: set[str]) -> bool:
    name = jax.tree_util.keystr(path, simple=True, separator="/")
    below = not group.prefix or f"{name}/".startswith(f"{group.prefix}/")
    return below and (not group.norm or name.rpartition("/")[0] in norms)


def _norms(params: dict, path: str = "") -> Iterator[str]:
    """Paths of the norm layers: of all layers, they alone have a ``scale``. One that is masked counts too."""
    for name, part in params.items():
        if isinstance(part, dict):
            yield from _norms(part, f"{path}/{name}" if path else str(name))
        elif name == "scale":
            yield path


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

    return optax.partition({LEARNS: optax.chain(learn, _times(_factors(groups))), FROZEN: optax.set_to_zero()}, labels)


def _factors(groups: Sequence[Group]) -> Weights:
    """The factor of each group, 0 before its step."""
    return lambda tree, step: jax.tree.map(
        lambda one: jnp.where(step >= one.step, one.factor, 0.0), assign(groups, tree)
    )


def _awake(groups: Sequence[Group]) -> Weights:
    """1 where a group learns at the step, else 0."""
    return lambda tree, step: jax.tree.map(jnp.sign, _factors(groups)(tree, step))


def _turns(every: int) -> Weights:
    """1 where the half learns at the step, else 0."""
    return lambda tree, step: jax.tree.map(lambda half: 1.0 * _learns(half, every, step), _halves(tree))


def _learns(half: str, every: int, step: jax.Array) -> jax.Array:
    """Whether a half learns at a step: temporal first, then spatial, ``every`` steps each."""
    turn = ("temporal", "spatial", "both").index(half)
    return (step // every % 2 == turn) | (half == "both")


def _halves(tree: dict) -> dict:
    """The half of every parameter, in a tree like ``tree``."""
    owners = {part: half for half, parts in HALVES.items() for part in parts}
    return jax.tree_util.tree_map_with_path(lambda path, _: owners.get(path[0].key, "both"), tree)


def _paused(inner: optax.GradientTransformation, every: int, half: str) -> optax.GradientTransformation:
    """``inner`` at the steps at which a half learns; at the others its state stays as it is."""
    return optax.transforms.conditionally_mask(inner, lambda step: _learns(half, every, step))


def _times(weights: Weights) -> optax.GradientTransformation:
    """Updates times ``weights``; the state is the number of steps taken."""

    def init(params: dict) -> jax.Array:
        return jnp.zeros((), jnp.int32)

    def update(updates: dict, step: jax.Array, params: dict | None = None) -> tuple[dict, jax.Array]:
        return jax.tree.map(jnp.multiply, weights(updates, step), updates), step + 1

    return optax.GradientTransformation(init, update)
