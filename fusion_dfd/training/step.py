"""What training minimises, and the two compiled programs: one training step, and the model in evaluation mode."""

from __future__ import annotations

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import optax
from flax import nnx
from jax.sharding import NamedSharding

from fusion_dfd import config as c
from fusion_dfd.training.optim import stop_frozen
from fusion_dfd.training.state import Graphs, TrainState
from fusion_dfd.types import Batch, Outputs

Terms = dict[str, jax.Array]
"""The loss, its parts and the accuracy of a step, by name; float32 [] each."""

TrainStep = Callable[[TrainState, Batch, jax.Array], tuple[TrainState, Terms]]


def cross_entropy(logit: jax.Array, batch: Batch, smoothing: float, rows: jax.Array | float = 1) -> jax.Array:
    """Mean binary cross-entropy [] over the rows with weight, against labels pulled ``smoothing / 2`` from 0 and 1.

    Args:
      logit: float32 [b].
      batch: its ``label`` [b] in {0, 1} and ``weight`` [b] are used.
      smoothing: 0 .. 1 (Szegedy et al. 2016, section 7, for two classes).
      rows: bool [b], those that count.
    """
    target = batch.label * (1 - smoothing) + smoothing / 2
    each = optax.sigmoid_binary_cross_entropy(logit, target)
    weight = batch.weight * rows
    return jnp.sum(each * weight) / jnp.maximum(jnp.sum(weight), 1)


def map_loss(attention: jax.Array, batch: Batch) -> jax.Array:
    """Mean binary cross entropy between spatial attention and what was forged, over the valid frames that count.

    Args:
      attention: float32 [b, t, h, w] in 0..1.
      batch: its ``mask`` [b, t, g, g] is brought to the size of the attention.
    """
    target = jax.image.resize(batch.mask.astype(jnp.float32) / 255, attention.shape, "linear")
    p = jnp.clip(attention, 1e-6, 1 - 1e-6)
    each = -(target * jnp.log(p) + (1 - target) * jnp.log(1 - p)).mean((2, 3))
    counts = batch.weight[:, None] * (jnp.arange(each.shape[1]) < batch.length[:, None])
    return jnp.sum(each * counts) / jnp.maximum(jnp.sum(counts), 1)


def uniformity(embedding: jax.Array, batch: Batch) -> jax.Array:
    """How evenly frames lie on the sphere: ``log mean exp(-2 |x - y|^2)`` [] over all pairs of frames (Wang & Isola,
    ICML 2020, equation 6); between -8 and 0, lower is more even. 0 where there is no pair.

    Args:
      embedding: float32 [b, t, c] of length 1.
      batch: valid frames of rows with weight count.
    """
    distance, counts = _pairs(embedding, batch)
    total = jnp.sum(counts)
    mean = jnp.sum(jnp.exp(-2 * distance) * counts) / jnp.maximum(total, 1)
    return jnp.log(jnp.where(total > 0, mean, 1.0))


def alignment(embedding: jax.Array, batch: Batch) -> jax.Array:
    """Mean of ``|x - y|^2`` [] over the pairs of frames with one label, 0 .. 4 (Wang & Isola, ICML 2020, equation 5,
    with labels for what is positive as in GenD, Yermakov et al., WACV 2026). Arguments as of :func:`uniformity`.
    """
    distance, counts = _pairs(embedding, batch)
    label = jnp.repeat(batch.label, embedding.shape[1])
    counts = counts * (label[:, None] == label)
    return jnp.sum(distance * counts) / jnp.maximum(jnp.sum(counts), 1)


def _pairs(embedding: jax.Array, batch: Batch) -> tuple[jax.Array, jax.Array]:
    """Squared distance of every two frames [b * t, b * t], and whether they count: a pair twice, none with itself."""
    x = embedding.reshape(-1, embedding.shape[-1])
    distance = 2 - 2 * jnp.einsum("ic,jc->ij", x, x, precision="highest")
    counts = (batch.weight[:, None] * (jnp.arange(embedding.shape[1]) < batch.length[:, None])).reshape(-1)
    return distance, counts[:, None] * counts * (1 - jnp.eye(len(x)))


def total(outputs: Outputs, batch: Batch, optim: c.Optim) -> tuple[jax.Array, Terms]:
    """The fused loss plus that of every branch, of the map and of the embedding, each times its weight in ``optim``.

    Returns it and its terms by name.

    It is a sum, not a mean: how fast a branch learns must not depend on the number of other branches. A branch learns
    nothing from the windows for which it is switched off (``Outputs.branches_on``).
    """
    fused = cross_entropy(outputs.logit, batch, optim.label_smoothing)
    terms = {
        name: cross_entropy(logit, batch, optim.label_smoothing, outputs.branches_on.get(name, 1))
        for name, logit in outputs.branch_logits.items()
    }
    loss = fused + optim.auxiliary * sum(terms.values())
    if optim.map:
        terms["map"] = map_loss(outputs.spatial_attention, batch)
        loss += optim.map * terms["map"]
    if optim.uniformity:
        terms["uniformity"] = uniformity(outputs.embedding, batch)
        loss += optim.uniformity * terms["uniformity"]
    if optim.alignment:
        terms["alignment"] = alignment(outputs.embedding, batch)
        loss += optim.alignment * terms["alignment"]
    correct = (outputs.logit > 0) == (batch.label == 1)
    accuracy = jnp.sum(correct * batch.weight) / jnp.maximum(jnp.sum(batch.weight), 1)
    return loss, {"loss": loss, "accuracy": accuracy, **{f"loss/{name}": value for name, value in terms.items()}}


def train_step(
    state: TrainState,
    batch: Batch,
    key: jax.Array,
    *,
    graph: nnx.GraphDef,
    tx: optax.GradientTransformationExtraArgs,
    optim: c.Optim,
) -> tuple[TrainState, Terms]:
    """One step of the optimiser.

    ``optim.sam`` makes a second pass over the same batch with the same dropout; BatchNorm statistics and the terms are
    those of the first.

    A step whose loss or gradient is not finite changes nothing but the step counter and sets ``terms["skipped"]``. So
    one bad batch cannot poison the weights, and the loop decides when to give up. ``key`` is folded with the number of
    the step, so that a resumed run draws the same dropout.
    """
    gradient = functools.partial(
        accumulated_gradient, batch=batch, key=jax.random.fold_in(key, state.step), graph=graph, optim=optim
    )
    grads, stats, terms = gradient(state)
    norm = optax.tree.norm(grads)
    updates, opt_state = tx.update(
        grads, state.opt_state, state.params, grad_fn=lambda params, _: gradient(state.replace(params=params))[0]
    )
    finite = jnp.isfinite(terms["loss"]) & jnp.isfinite(norm) & jnp.isfinite(optax.tree.norm(updates))
    params = optax.apply_updates(state.params, updates)
    average = _average(state, {"params": params, "stats": stats}, optim.ema)
    new = TrainState(state.step, params, stats, opt_state, average)
    kept = jax.tree.map(lambda new, old: jnp.where(finite, new, old), new, state)
    terms = terms | {"grad_norm": norm, "skipped": jnp.logical_not(finite).astype(jnp.float32)}
    return kept.replace(step=state.step + 1), terms


def accumulated_gradient(
    state: TrainState, batch: Batch, key: jax.Array, *, graph: nnx.GraphDef, optim: c.Optim
) -> tuple[dict, dict, Terms]:
    """The mean gradient of ``optim.accumulate`` micro-batches, the statistics after the last, and the mean terms."""
    gradient = functools.partial(_gradient, state.params, graph=graph, optim=optim)
    if optim.accumulate == 1:
        return gradient(state.stats, batch, key)

    def add(stats: dict, numbered: tuple[jax.Array, Batch]) -> tuple[dict, tuple[dict, Terms]]:
        index, micro_batch = numbered
        grads, stats, terms = gradient(stats, micro_batch, jax.random.fold_in(key, index))
        return stats, (grads, terms)

    micro_batches = jax.tree.map(lambda x: split_in_micro_batches(x, optim.accumulate), batch)
    stats, (grads, terms) = jax.lax.scan(add, state.stats, (jnp.arange(optim.accumulate), micro_batches))
    grads, terms = jax.tree.map(lambda x: x.mean(axis=0), (grads, terms))
    return grads, stats, terms


def _gradient(
    params: dict, stats: dict, batch: Batch, key: jax.Array, *, graph: nnx.GraphDef, optim: c.Optim
) -> tuple[dict, dict, Terms]:
    """Gradient, new BatchNorm statistics and terms of one micro-batch."""

    def loss_fn(params: dict) -> tuple[jax.Array, tuple[Terms, dict]]:
        model = nnx.merge(graph, stop_frozen(optim.parsed_groups, params), stats)
        outputs = model(batch.frames, batch.landmarks, batch.length, batch.contiguous, rngs=nnx.Rngs(key))
        loss, terms = total(outputs, batch, optim)
        return loss, (terms, nnx.to_pure_dict(nnx.state(model, nnx.Not(nnx.Param))))

    (_, (terms, stats)), grads = jax.value_and_grad(loss_fn, has_aux=True)(params)
    return grads, stats, terms


def split_in_micro_batches(x: jax.Array, n: int) -> jax.Array:
    """[b, ...] -> [n, b / n, ...]; each micro-batch consists of whole real-fake pairs, spread over all devices."""
    pairs = x.reshape(x.shape[0] // (2 * n), n, 2, *x.shape[1:])
    return pairs.swapaxes(0, 1).reshape(n, x.shape[0] // n, *x.shape[1:])


def _average(state: TrainState, new: dict, decay: float) -> dict:
    """Exponential moving average. Its decay grows from 0.1 with the steps taken, so that early weights fade fast."""
    step = state.step.astype(jnp.float32)
    now = jnp.minimum(decay, (1 + step) / (10 + step))
    return optax.incremental_update(new, state.average, 1 - now)


def make_train_step(
    graphs: Graphs, tx: optax.GradientTransformationExtraArgs, optim: c.Optim, replicated: NamedSharding
) -> TrainStep:
    """:func:`train_step`, compiled as ``step(state, batch, key) -> state, terms``; the old state is donated."""
    step = functools.partial(train_step, graph=graphs.train, tx=tx, optim=optim)
    return jax.jit(step, donate_argnums=0, out_shardings=(replicated, replicated))


def make_predict(graphs: Graphs, replicated: NamedSharding | None = None) -> Callable[[dict, Batch], Outputs]:
    """``predict({"params", "stats"}, batch) -> Outputs``, without dropout and with running BatchNorm statistics."""

    def predict(weights: dict, batch: Batch) -> Outputs:
        model = nnx.merge(graphs.evaluate, weights["params"], weights["stats"])
        return model(batch.frames, batch.landmarks, batch.length, batch.contiguous)

    return jax.jit(predict, out_shardings=replicated)
