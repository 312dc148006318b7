"""Settings that must stand before JAX is first used: no accelerator, eight CPU devices, one seed, no preallocation."""

import os

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")

import absl.flags
import numpy as np
import pytest

absl.flags.FLAGS.mark_as_parsed()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)
