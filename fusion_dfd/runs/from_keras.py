"""Converts detectors trained with Keras to runs.

One layout is supported, that of many notebooks: ``TimeDistributed(Xception, pooling="avg")`` on
``[b, frames, size, size, 3]``, an LSTM, dropout, and a Dense of two classes with softmax, or of one with sigmoid.
Pixels are assumed to have been in -1 .. 1, as ``keras.applications.xception.preprocess_input`` makes them.
"""

from __future__ import annotations

import numpy as np
import optax

from fusion_dfd import config as c
from fusion_dfd.backbones import pretrained
from fusion_dfd.training import state
from fusion_dfd.training.checkpoint import Checkpoints
from fusion_dfd.types import DataError
from fusion_dfd.weights import keras_file, recurrent_layers


def xception_lstm(path: str, out: str, frames: int = 30, size: int = 299, fake: int = 1) -> c.Config:
    """Make a run folder from a Keras model; the run gives the same probabilities.

    Args:
      path: a ``.keras`` file, or an ``.h5`` by ``model.save``.
      out: the folder, which must not hold a run.
      frames: of a window, as in training.
      size: side of the frames, pixels, as in training.
      fake: which of the two classes is fake, 0 or 1; for a sigmoid, 1 if its output is the probability of fake, else 0.

    Returns its configuration. Raises :class:`DataError` for a file that cannot be read or is of another layout, which
    lists all that differs.
    """
    arrays = keras_file.read_nested(path)
    own, inner = arrays.pop(""), [part for part in arrays.values() if part]
    if len(inner) != 1:
        raise DataError(f"{path}: has {len(inner)} models within its layers, want one Xception in a TimeDistributed")
    lstm, dense = _by_length(own, 3, path, "LSTM"), _by_length(own, 2, path, "Dense")
    config = c.Config(
        name="xception-lstm",
        faces=c.Faces(size=max(size, 256), clip_length=frames),
        data=c.Data(frames=frames, size=size),
        model=c.Model(
            system="sequence",
            backbone=c.Backbone("xception_keras"),
            recurrent=(lstm[1].shape[0],),
            head=(),
            dropout=0.5,
        ),
    ).validate()
    params, stats = pretrained.from_arrays(inner[0], config.model.backbone, path)
    average = {
        "params": {
            "backbone": params,
            "recurrent": {"layers": {0: recurrent_layers.from_keras("lstm", lstm)}},
            "head": {"logit": _logit(*dense, fake, path)},
        },
        "stats": {"backbone": stats},
    }
    replicated, _ = state.shardings(state.data_mesh())
    fresh = state.create(config.model, optax.identity(), 0, replicated)
    checkpoints = Checkpoints(out, config)
    checkpoints.save_best(fresh.replace(average=_like(fresh.average, average, path)), {"auc": None})
    checkpoints.close()
    return config


def _by_length(own: dict[str, np.ndarray], count: int, path: str, kind: str) -> list[np.ndarray]:
    """The arrays of the one layer that has ``count`` of them: 3 an LSTM, 2 a Dense."""
    layers: dict[str, list[np.ndarray]] = {}
    for name, array in own.items():
        layers.setdefault(name.rpartition("/")[0], []).append(array)
    found = [arrays for arrays in layers.values() if len(arrays) == count]
    if len(found) != 1:
        raise DataError(
            f"{path}: has {len(found)} layers of {count} arrays, want one {kind}; its layers: {', '.join(layers)}"
        )
    return found[0]


def _logit(kernel: np.ndarray, bias: np.ndarray, fake: int, path: str) -> dict[str, np.ndarray]:
    """A softmax over two classes is the sigmoid of the difference of their logits."""
    if kernel.shape[1] == 2:
        return {"kernel": kernel[:, [fake]] - kernel[:, [1 - fake]], "bias": bias[[fake]] - bias[[1 - fake]]}
    if kernel.shape[1] == 1:
        sign = 1 if fake else -1
        return {"kernel": sign * kernel, "bias": sign * bias}
    raise DataError(f"{path}: ends in {kernel.shape[1]} classes, want two with softmax or one with sigmoid")


def _like(wanted: dict, given: dict, path: str, where: str = "") -> dict:
    """``given`` in the form of ``wanted``, every array checked."""
    if sorted(map(str, wanted)) != sorted(map(str, given)):
        raise DataError(f"{path}: has {sorted(map(str, given))} in {where or 'all'}, want {sorted(map(str, wanted))}")
    out = {}
    for (name, old), new in zip(
        sorted(wanted.items(), key=lambda item: str(item[0])),
        (given[name] for name in sorted(given, key=str)),
        strict=True,
    ):
        if isinstance(old, dict):
            out[name] = _like(old, new, path, f"{where}/{name}")
        elif old.shape == np.shape(new):
            out[name] = np.asarray(new, np.float32)
        else:
            raise DataError(f"{path}: {where}/{name} has the shape {np.shape(new)}, want {old.shape}")
    return out
