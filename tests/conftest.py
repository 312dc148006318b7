"""Settings that must stand before JAX is first used: no accelerator, two CPU devices, compiled programs kept."""

import os
import pathlib

os.environ.setdefault("JAX_PLATFORMS", "cpu")
os.environ.setdefault("JAX_NUM_CPU_DEVICES", "2")
# Programs here run once or twice on a few numbers: compiling them is most of a test's time.
os.environ.setdefault("JAX_DISABLE_MOST_OPTIMIZATIONS", "1")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
# One folder for the programs of all tests, of the processes they start, and of the next run.
os.environ.setdefault("FUSION_DFD_CACHE", str(pathlib.Path(__file__).resolve().parents[1] / "build" / "cache"))
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", os.path.join(os.environ["FUSION_DFD_CACHE"], "jax"))

import absl.flags
import numpy as np
import pytest

pytest_plugins = ["pytester", "score_rows", "suite_rules", "tiny"]
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
