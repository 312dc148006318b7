"""Converts recurrent layers of Keras and PyTorch to the parameters of :mod:`fusion_dfd.models.recurrent`.

    nnx.update(layer, from_keras("lstm", keras_layer.get_weights()))
    nnx.update(layer, from_torch("gru", {name: x.numpy() for name, x in module.state_dict().items()}))

Neither framework is needed. For ``d`` directions, ``g`` gates and u units: ``kernel``
[inputs, d, g * u], ``recurrent_kernel`` [d, u, g * u], ``bias`` [d, g * u], and of a GRU ``hidden_bias`` [d, u].

Order of our gates: LSTM input, forget, cell, output, as in Keras and PyTorch; GRU reset, update, new, as in PyTorch,
where Keras has update, reset, new. Both frameworks give a GRU two biases, one of the input and one of the state. They
are added, except for the gate *new*, where the reset gate scales the second.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from fusion_dfd.types import DataError

GATES = {"lstm": 4, "gru": 3}


def from_keras(cell: str, weights: Sequence[np.ndarray]) -> dict[str, np.ndarray]:
    """Parameters from ``layer.get_weights()`` of a Keras ``LSTM`` or ``GRU``, or of a ``Bidirectional`` around one.

    Args:
      cell: ``lstm`` or ``gru``.
      weights: kernel, recurrent kernel and bias of each direction, forward first.

    Raises :class:`DataError` for other arrays, and for a GRU with ``reset_after=False``, which computes something else.
    """
    if len(weights) not in (3, 6):
        raise DataError(f"a Keras {cell} has 3 arrays per direction (with use_bias=True), not {len(weights)} in all")
    directions = []
    for kernel, recurrent, bias in zip(weights[0::3], weights[1::3], weights[2::3], strict=True):
        if cell == "gru" and bias.ndim != 2:
            raise DataError(
                "this Keras GRU has reset_after=False, which applies the reset gate before the product with the state; "
                "only reset_after=True, Keras's default, can be converted"
            )
        biases = bias if cell == "gru" else (bias, np.zeros_like(bias))
        arrays = (kernel, recurrent, *biases)
        directions.append(tuple(map(_swap_first_two, arrays)) if cell == "gru" else arrays)
    return _joined(cell, directions)


def from_torch(cell: str, state: Mapping[str, np.ndarray], layer: int = 0) -> dict[str, np.ndarray]:
    """Parameters of one layer from the ``state_dict`` of a PyTorch ``LSTM`` or ``GRU``, as numpy arrays.

    Args:
      cell: ``lstm`` or ``gru``.
      state: names to arrays, as PyTorch has them: ``weight_ih_l0``, ..., ``bias_hh_l0_reverse``.
      layer: number of the layer, from 0.

    Raises :class:`DataError` where a name is missing.
    """
    directions = []
    for suffix in ("", "_reverse")[: 1 + (f"weight_ih_l{layer}_reverse" in state)]:
        names = [f"{kind}_l{layer}{suffix}" for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")]
        missing = [name for name in names if name not in state]
        if missing:
            raise DataError(f"the state has no {', '.join(missing)}: want layer {layer} of a {cell} with biases")
        kernel, recurrent, inner, outer = (np.asarray(state[name]) for name in names)
        directions.append((kernel.T, recurrent.T, inner, outer))
    return _joined(cell, directions)


def _joined(cell: str, directions: list[tuple[np.ndarray, ...]]) -> dict[str, np.ndarray]:
    """The directions stacked; each is (kernel, recurrent kernel, bias of the input, bias of the state)."""
    kernels, recurrents, inner, outer = (np.stack(arrays) for arrays in zip(*directions, strict=True))
    units = recurrents.shape[1]
    if recurrents.shape[2] != GATES[cell] * units:
        raise DataError(f"the state's kernel is {recurrents.shape[1:]}: want {GATES[cell]} gates per unit for a {cell}")
    out = {"kernel": kernels.swapaxes(0, 1), "recurrent_kernel": recurrents, "bias": inner + outer}
    if cell == "gru":
        out["bias"][:, 2 * units :] = inner[:, 2 * units :]
        out["hidden_bias"] = outer[:, 2 * units :]
    return out


def _swap_first_two(x: np.ndarray) -> np.ndarray:
    """Keras's update, reset, new as reset, update, new, along the last axis."""
    update, reset, new = np.split(x, 3, axis=-1)
    return np.concatenate([reset, update, new], axis=-1)
