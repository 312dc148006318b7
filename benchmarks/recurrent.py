"""Our bidirectional LSTM against those of Flax, PyTorch and Keras, forward and with gradients. One JSON line.

    python benchmarks/recurrent.py [--rounds 9]

Same weights and inputs, whole sequences, float32 (TF32 on a GPU that has it), gradients with respect to weights and
inputs. The peers are spared our masks. The least of the rounds counts.
"""

import argparse
import importlib
import json
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from apart import Ways, ratio, target, timed
from flax import nnx

from fusion_dfd.models.recurrent import LSTM

CASES = {"first of fusion.py:ffpp": (32, 16, 4096, 128), "256 units": (8, 16, 2048, 256), "long": (8, 64, 256, 64)}
"""Clips, frames, inputs, units a direction."""
PEERS = {"nnx.RNN": "nnx_lstm", "torch.nn.LSTM": "torch_lstm", "Keras on JAX": "keras_lstm"}
LEAST = {"nnx.RNN": 2.5, "torch.nn.LSTM": 1.5}
"""What our way is wanted to be faster by, forward and backward."""


def problem(case: tuple[int, int, int, int]) -> tuple[dict[str, np.ndarray], np.ndarray]:
    """Weights of our layer, and inputs [b, t, i]."""
    clips, frames, inputs, units = case
    layer = LSTM(inputs, units, rngs=nnx.Rngs(0))
    x = np.random.default_rng(0).normal(size=(clips, frames, inputs)).astype(np.float32)
    return {name: np.asarray(value) for name, value in nnx.to_pure_dict(nnx.state(layer)).items()}, x


def passes(weights: dict[str, np.ndarray], x: np.ndarray) -> tuple[Callable[[], jax.Array], Callable[[], tuple]]:
    """Of our layer: forward, and gradients of the mean square."""
    layer = LSTM(x.shape[2], weights["recurrent_kernel"].shape[1], rngs=nnx.Rngs(0))
    graph = nnx.graphdef(layer)
    length = jnp.full(len(x), x.shape[1])

    def call(weights, x):
        return nnx.merge(graph, weights)(x, length)

    forward = jax.jit(call)
    gradient = jax.jit(jax.grad(lambda weights, x: jnp.mean(call(weights, x) ** 2), argnums=(0, 1)))
    given = jax.device_put((weights, x))
    return (lambda: jax.block_until_ready(forward(*given))), (lambda: jax.block_until_ready(gradient(*given)))


def make(module: str, case: tuple[int, int, int, int]) -> Callable[[], list[float]]:
    """Milliseconds forward, and forward and backward."""
    make_passes = passes if module == "ours" else importlib.import_module(f"peers.{module}").passes
    both = make_passes(*problem(case))
    return lambda: [1e3 * timed(one, 3)[0] for one in both]


def measure(cases: dict[str, tuple[int, int, int, int]], rounds: int) -> dict:
    makes = {
        name: {(name, title): (make, module, case) for title, case in cases.items()}
        for name, module in {"ours": "ours", **PEERS}.items()
    }
    with Ways(makes) as ways:
        least = {name: np.min(found, axis=0) for name, found in ways.rounds(rounds).items()}
        missing = {name: reason for (name, _), reason in ways.missing.items()}
    rows = [
        {"case": title, "clips, frames, inputs, units": list(case), "layer": name}
        | _row(least.get((name, title)), least["ours", title])
        for title, case in cases.items()
        for name in makes
    ]
    both = {(row["layer"], row["case"]): row["times_ours"] for row in rows}
    targets = [
        target(f"{name} / ours, forward and backward, {title}", wanted, both[name, title])
        for name, wanted in LEAST.items()
        for title in cases
    ]
    return {"device": jax.devices()[0].device_kind, "layers": rows, "targets": targets, "missing": missing}


def _row(found: np.ndarray | None, ours: np.ndarray) -> dict[str, float | None]:
    if found is None:
        return {"ms_forward": None, "ms_both": None, "times_ours": None}
    forward, both = (round(float(ms), 2) for ms in found)
    return {"ms_forward": forward, "ms_both": both, "times_ours": round(ratio(found[1], ours[1]), 2)}


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--rounds", type=int, default=9)
    print(json.dumps(measure(CASES, parser.parse_args().rounds)))


if __name__ == "__main__":
    main()
