"""A run of the tiny shards (``tiny``: of tests/training) whose weights are fresh, and what was exported of it."""

import pathlib
import shutil
import sys

import jax
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "training"))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "models"))

import optax
import tiny

from fusion_dfd.export import folder
from fusion_dfd.training import experiment, state
from fusion_dfd.training.checkpoint import Checkpoints


@pytest.fixture(scope="session")
def shards(tmp_path_factory) -> str:
    return tiny.write(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="session")
def run(tmp_path_factory, shards) -> str:
    """A run folder with a best checkpoint, calibrated."""
    config = tiny.configuration(str(tmp_path_factory.mktemp("run")), shards)
    replicated, _ = state.shardings(state.data_mesh())
    fresh = state.create(config.model, optax.identity(), 0, replicated)
    noisy = jax.tree.map(
        lambda leaf: leaf + 0.05 * jax.random.normal(jax.random.key(leaf.size), leaf.shape), fresh.average
    )
    checkpoints = Checkpoints(config.workdir, config)
    checkpoints.save_best(fresh.replace(average=noisy), {"auc": 0.5})
    checkpoints.close()
    experiment.calibrate_run(config.workdir, shards)
    experiment.domain_run(config.workdir, shards)
    return config.workdir


@pytest.fixture(scope="session")
def written(tmp_path_factory, run) -> str:
    """An exported folder with all there is; not to be changed."""
    pytest.importorskip("onnxruntime")
    out = str(tmp_path_factory.mktemp("exported") / "folder")
    folder.write(run, out)
    return out


@pytest.fixture
def exported(tmp_path, written) -> str:
    """A copy of it."""
    return shutil.copytree(written, str(tmp_path / "copy"))
