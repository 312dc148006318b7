"""Versions of what computes the numbers."""

from __future__ import annotations

import functools
import platform
from importlib import metadata

import jax

from fusion_dfd import __version__

_PACKAGES = ("jax", "flax", "numpy", "scikit-learn", "av", "opencv-python-headless")


@functools.cache
def versions() -> dict[str, str]:
    """Versions of the packages that decode and compute, and the machine, in words."""
    devices = jax.devices()
    return {
        "fusion_dfd": __version__,
        **{name: metadata.version(name) for name in _PACKAGES},
        "Python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "device": f"{len(devices)} x {devices[0].device_kind}",
    }
