"""The two compiled programs: one step of training, and the model as evaluation and prediction call it."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import NamedSharding

from fusion_dfd import config as c
from fusion_dfd.training import optim as parameter_groups
from fusion_dfd.training.state import Graphs, TrainState
from fusion_dfd.types import Batch, Outputs

Terms = dict[str, jax.Array]


def make_train_step(
    graphs: Graphs, tx: optax.GradientTransformation, optim: c.Optim, replicated: NamedSharding
) -> Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Terms]]:
    """``step(state, batch, key) -> state, terms``; the old state is donated.

    A step whose loss or gradient is not finite changes nothing but the step counter, and says so in
    ``terms["skipped"]``: one bad batch does not poison the weights, and the loop decides when to give up.
    ``key`` is folded with the step number, so that a resumed run draws the same dropout.
    """

    parts = optim.parsed_groups

    def gradient(params, stats, batch: Batch, key):
        def loss_fn(params):
            model = nnx.merge(graphs.train, parameter_groups.hold(parts, params), stats)
            outputs = model(batch.frames, batch.landmarks, batch.length, rngs=nnx.Rngs(key))
            loss, terms = total(outputs, batch, smoothing=optim.label_smoothing, auxiliary=optim.auxiliary)
            return loss, (terms, nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param))))

        (_, (terms, stats)), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
        return grads, stats, terms

    def accumulated(state: TrainState, batch: Batch, key):
        if optim.accumulate == 1:
            return gradient(state.params, state.stats, batch, key)

        def part(stats, item):
            index, piece = item
            grads, stats, terms = gradient(state.params, stats, piece, jax.random.fold_in(key, index))
            return stats, (grads, terms)

        items = jnp.arange(optim.accumulate), jax.tree.map(lambda x: _parts(x, optim.accumulate), batch)
        stats, (grads, terms) = jax.lax.scan(part, state.stats, items)
        grads, terms = jax.tree.map(lambda x: x.mean(axis=0), (grads, terms))
        return grads, stats, terms

    def step(state: TrainState, batch: Batch, key: jax.Array) -> tuple[TrainState, Terms]:
        grads, stats, terms = accumulated(state, batch, jax.random.fold_in(key, state.step))
        norm = optax.tree.norm(grads)
        finite = jnp.isfinite(terms["loss"]) & jnp.isfinite(norm)
        updates, opt_state = tx.update(grads, state.opt_state, state.params)
        params = optax.apply_updates(state.params, updates)
        average = _average(state, {"params": params, "stats": stats}, optim.ema)
        new = TrainState(state.step, params, stats, opt_state, average)
        kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, state)
        terms = terms | {"grad_norm": norm, "skipped": jnp.logical_not(finite).astype(jnp.float32)}
        return kept.replace(step=state.step + 1), terms

    return jax.jit(step, donate_argnums=0, out_shardings=(replicated, replicated))


def make_predict(graphs: Graphs, replicated: NamedSharding | None = None) -> Callable[[dict, Batch], Outputs]:
    """``predict({"params", "stats"}, batch) -> Outputs``, without dropout and with running BatchNorm statistics."""

    def predict(weights: dict, batch: Batch) -> Outputs:
        model = nnx.merge(graphs.evaluate, weights["params"], weights["stats"])
        return model(batch.frames, batch.landmarks, batch.length)

    return jax.jit(predict, out_shardings=replicated)


def _parts(x: jax.Array, n: int) -> jax.Array:
    """[b, ...] -> [n, b / n, ...], each part made of whole real-fake pairs and spread over all devices."""
    pairs = x.reshape(x.shape[0] // (2 * n), n, 2, *x.shape[1:])
    return pairs.swapaxes(0, 1).reshape(n, x.shape[0] // n, *x.shape[1:])


def _average(state: TrainState, new: dict, decay: float) -> dict:
    """Exponential moving average whose decay grows from 0.1 with the steps taken, so that early weights fade fast."""
    step = state.step.astype(jnp.float32)
    now = jnp.minimum(decay, (1 + step) / (10 + step))
    return optax.incremental_update(new, state.average, 1 - now)


# MERGED from training.losses: What training minimises.
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
