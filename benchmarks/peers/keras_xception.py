"""Xception and an LSTM over its features, as a user of Keras writes the usual detector; on TensorFlow, else on JAX."""

from __future__ import annotations

import importlib.util
import os
from collections.abc import Callable

os.environ["KERAS_BACKEND"] = "tensorflow" if importlib.util.find_spec("tensorflow") else "jax"
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import numpy as np


def predictor(frames: np.ndarray, units: int) -> Callable[[], np.ndarray]:
    """Probabilities [b, 1] of uint8 frames [b, t, h, w, 3], with fresh weights; h and w at least 71."""
    count, side = frames.shape[1:3]
    backbone = keras.applications.Xception(include_top=False, weights=None, pooling="avg", input_shape=(side, side, 3))
    model = keras.Sequential(
        [
            keras.Input((count, side, side, 3)),
            keras.layers.Rescaling(1 / 127.5, -1),
            keras.layers.TimeDistributed(backbone),
            keras.layers.LSTM(units),
            keras.layers.Dropout(0.5),
            keras.layers.Dense(1, activation="sigmoid"),
        ]
    )
    pixels = frames.astype(np.float32)
    return lambda: model.predict_on_batch(pixels)
