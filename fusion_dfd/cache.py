"""What is kept between runs, in one folder of the user's: compiled programs and published weights."""

from __future__ import annotations

import os

import jax


def folder(name: str) -> str:
    """``name`` in ``$FUSION_DFD_CACHE``, or in ``~/.cache/fusion_dfd`` where that is not set."""
    root = os.environ.get("FUSION_DFD_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "fusion_dfd")
    return os.path.join(root, name)


def keep_programs() -> None:
    """Have JAX keep every program it compiles, small ones too: a second start of the same work compiles nothing."""
    jax.config.update("jax_compilation_cache_dir", folder("jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
