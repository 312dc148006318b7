"""Settings that must stand before JAX is first used: no accelerator, eight CPU devices, compiled programs shared."""

import os
import pathlib
import tempfile

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "8")
# Programs here run once or twice on a few numbers: compiling them is most of a test's time.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
if "JAX_COMPILATION_CACHE_DIR" not in os.environ:  # worker processes of one test run inherit it
    _cache = tempfile.TemporaryDirectory(prefix="fusion_dfd_jax_")
    os.environ["JAX_COMPILATION_CACHE_DIR"] = os.environ["FUSION_DFD_CACHE"] = _cache.name

import absl.flags
import numpy as np
import pytest
from score_rows import make  # noqa: F401  a fixture

absl.flags.FLAGS.mark_as_parsed()


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(0)


@pytest.fixture(scope="session")
def media() -> pathlib.Path:
    """The folder of third-party clips and faces that is no part of the project; tests skip without it."""
    beside = pathlib.Path(__file__).resolve().parents[2] / "shared" / "media"
    folder = pathlib.Path(os.environ.get("FUSION_DFD_MEDIA", beside))
    if not (folder / "faces.csv").is_file():
        pytest.skip("no folder of real faces (FUSION_DFD_MEDIA)")
    return folder
