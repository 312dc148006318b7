"""A run of the tiny shards whose weights are fresh, and what was exported of it."""

import shutil

import jax
import optax
import pytest
import tiny

from fusion_dfd.export import bundle
from fusion_dfd.runs import references
from fusion_dfd.runs.run import Run
from fusion_dfd.training import state
from fusion_dfd.training.checkpoint import Checkpoints


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
    references.calibrate_run(Run(config.workdir), shards)
    references.learn_familiarity(Run(config.workdir), shards)
    return config.workdir


@pytest.fixture(scope="session")
def written(tmp_path_factory, run) -> str:
    """An exported folder with all there is; not to be changed."""
    out = str(tmp_path_factory.mktemp("exported") / "folder")
    bundle.write(run, out)
    return out


@pytest.fixture
def exported(tmp_path, written) -> str:
    """A copy of it."""
    return shutil.copytree(written, str(tmp_path / "copy"))
