"""The three networks of MTCNN as JAX functions, and their weights out of the installed wheel ``mtcnn`` 1.0.0.

Architectures: Zhang, Zhang, Li and Qiao, "Joint Face Detection and Alignment using Multitask Cascaded Convolutional
Networks", IEEE Signal Processing Letters 23(10), 2016, figure 2. The weights are the authors', under the MIT licence of
the wheel. Its code is never imported (it needs TensorFlow).
"""

from __future__ import annotations

import functools
import hashlib
import importlib.util
import io
import pathlib
from collections.abc import Iterator

import jax
import jax.numpy as jnp
import joblib
import numpy as np

from fusion_dfd.types import DataError

Arrays = tuple[np.ndarray, ...]

SHA256 = {
    "pnet": "ea6b0c3e685ebee3165326ad6484acc95f2ef78f1c94fbf40a55704fa989f7b5",
    "rnet": "cb00e6460f3c98b0bfafaba3c0a0ded4bdf6e62cee7174d969e8670d7e757fee",
    "onet": "94f6ea2f4cf985275ee958cdd762d17b6009348a4fb9d8c6be39ba73ffd22ca3",
}
REMEDY = "reinstall it: pip install --force-reinstall --no-deps mtcnn==1.0.0"


@functools.cache
def load(name: str) -> Arrays:
    """Weights of ``pnet``, ``rnet`` or ``onet``, float32, in layer order: kernel (HWIO), bias, PReLU slope, ...

    Raises :class:`DataError` where the wheel is not installed or its file is not the known one.
    """
    path = _folder() / "assets" / "weights" / f"{name}.lz4"
    if not path.is_file():
        raise DataError(f"{path}: missing from the mtcnn package, {REMEDY}")
    content = path.read_bytes()
    # joblib unpickles, and a pickle can run anything: nothing but the known bytes is ever given to it.
    if hashlib.sha256(content).hexdigest() != SHA256[name]:
        raise DataError(f"{path}: not the weights of mtcnn 1.0.0 (their SHA-256 differs), {REMEDY}")
    return tuple(np.asarray(array, np.float32) for array in joblib.load(io.BytesIO(content)))


def _folder() -> pathlib.Path:
    """Where the package lies, found without importing it."""
    spec = importlib.util.find_spec("mtcnn")
    if spec is None or not spec.submodule_search_locations:
        raise DataError(f"the mtcnn package, which carries the face detector's weights, is not installed; {REMEDY}")
    return pathlib.Path(spec.submodule_search_locations[0])


@jax.jit
def pnet(weights: Arrays, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """uint8 [n, h, w, 3] -> face probability [n, h', w'] and box offsets [n, h', w', 4] of all windows of 12 x 12."""
    w = iter(weights)
    x = _pool(_conv(_normal(images), w), 2)
    x = _conv(_conv(x, w), w)
    offset = _conv(x, w, activate=False)
    return jax.nn.softmax(_conv(x, w, activate=False))[..., 1], offset


@jax.jit
def rnet(weights: Arrays, images: jax.Array) -> tuple[jax.Array, jax.Array]:
    """uint8 [n, 24, 24, 3] -> face probability [n], box offsets [n, 4]."""
    w = iter(weights)
    x = _pool(_conv(_normal(images), w), 3, "SAME")
    x = _pool(_conv(x, w), 3)
    x = _dense(_flat(_conv(x, w)), w)
    offset = _dense(x, w, activate=False)
    return jax.nn.softmax(_dense(x, w, activate=False))[..., 1], offset


@jax.jit
def onet(weights: Arrays, images: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array]:
    """uint8 [n, 48, 48, 3] -> face probability [n], box offsets [n, 4], landmarks [n, 5, 2] in 0..1 of the square."""
    w = iter(weights)
    x = _pool(_conv(_normal(images), w), 3, "SAME")
    x = _pool(_conv(x, w), 3)
    x = _pool(_conv(x, w), 2)
    x = _dense(_flat(_conv(x, w)), w)
    offset = _dense(x, w, activate=False)
    points = _dense(x, w, activate=False)
    return jax.nn.softmax(_dense(x, w, activate=False))[..., 1], offset, points.reshape(-1, 2, 5).swapaxes(1, 2)


def _normal(images: jax.Array) -> jax.Array:
    return (images.astype(jnp.float32) - 127.5) * 0.0078125


def _conv(x: jax.Array, w: Iterator[jax.Array], activate: bool = True) -> jax.Array:
    dims = ("NHWC", "HWIO", "NHWC")
    x = jax.lax.conv_general_dilated(x, next(w), (1, 1), "VALID", dimension_numbers=dims) + next(w)
    return _prelu(x, next(w)) if activate else x


def _dense(x: jax.Array, w: Iterator[jax.Array], activate: bool = True) -> jax.Array:
    x = x @ next(w) + next(w)
    return _prelu(x, next(w)) if activate else x


def _prelu(x: jax.Array, slope: jax.Array) -> jax.Array:
    return jnp.where(x > 0, x, slope * x)


def _pool(x: jax.Array, size: int, padding: str = "VALID") -> jax.Array:
    return jax.lax.reduce_window(x, -jnp.inf, jax.lax.max, (1, size, size, 1), (1, 2, 2, 1), padding)


def _flat(x: jax.Array) -> jax.Array:
    """[n, h, w, c] -> [n, w h c]: the authors' networks read columns first."""
    return x.swapaxes(1, 2).reshape(len(x), -1)
