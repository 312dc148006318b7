"""The user's cache folder, which keeps compiled programs and published weights between runs."""

from __future__ import annotations

import os

import jax


def folder(name: str) -> str:
    """``name`` in ``$FUSION_DFD_CACHE``, or in ``~/.cache/fusion_dfd`` where that is not set."""
    root = os.environ.get("FUSION_DFD_CACHE") or os.path.join(os.path.expanduser("~"), ".cache", "fusion_dfd")
    return os.path.join(root, name)


def keep_programs() -> None:
    """Make JAX cache every compiled program, even small ones, so that a second start compiles nothing."""
    jax.config.update("jax_compilation_cache_dir", folder("jax"))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
