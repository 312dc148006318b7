"""The type checker of the tests: every annotated call of the package is checked, shapes included.

``--jaxtyping-packages`` in pyproject.toml names it. It is as lenient as Python's callers are: an int may stand for a
float (PEP 484), NumPy's scalars for Python's, a path object for a string, an array of NumPy for one of JAX.
"""

import os

import jax
import numpy as np
from beartype import BeartypeConf, BeartypeHintOverrides, beartype

checked = beartype(
    conf=BeartypeConf(
        hint_overrides=BeartypeHintOverrides(
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
