"""The type checker of the tests: calls of the modules with shape annotations are checked against them.

``--jaxtyping-packages`` in pyproject.toml names it and those modules. All annotations of the package are checked by
``pytest --jaxtyping-packages=fusion_dfd,typecheck.checked``, which takes a quarter longer.

It is as lenient as Python's callers are: an int may stand for a float (PEP 484), a NumPy scalar for one of Python, a
path object for a string, a NumPy array for one of JAX. A ``SimpleNamespace`` stands for any object: a call that gets
one is not checked.
"""

import functools
import os
import types
from collections.abc import Callable

import jax
import numpy as np
from beartype import BeartypeConf, FrozenDict, beartype

CONTAINERS = ("Batch", "Features", "Outputs", "TrainState", "Split")
"""Classes whose fields are not checked. JAX rebuilds the first four with whatever a tree function returns (None,
shardings, shapes). Of a sequence beartype checks an item, and an item of ``Split.source`` is read from a file."""

_lenient = beartype(
    conf=BeartypeConf(
        hint_overrides=FrozenDict(
            {
                int: int | np.integer,
                float: float | int | np.floating | np.integer,
                bool: bool | np.bool_,
                str: str | os.PathLike,
                jax.Array: jax.Array | np.ndarray,
            }
        )
    )
)


def checked(function: Callable) -> Callable:
    if function.__qualname__.split(".")[0] in CONTAINERS and function.__name__ == "__init__":
        return function
    strict = _lenient(function)

    @functools.wraps(function)
    def call(*args, **kwargs):
        doubles = any(isinstance(value, types.SimpleNamespace) for value in (*args, *kwargs.values()))
        return (function if doubles else strict)(*args, **kwargs)

    return call
