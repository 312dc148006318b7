"""A run that an earlier version saved, with other parameter paths, is scored and continued as before."""

import json
import pathlib

import jax
import numpy as np

from fusion_dfd.models import old_paths
from fusion_dfd.training import checkpoint, optim, state


def assert_equal(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)), left, right)


def as_version_one(workdir: str) -> None:
    """Take the version of the paths out of the checkpoints, which the first version did not write."""
    for path in pathlib.Path(workdir, "checkpoints").glob("*/*/meta/metadata"):
        meta = json.loads(path.read_text())
        assert meta.pop("paths") == old_paths.VERSION
        path.write_text(json.dumps(meta))


def test_a_run_of_the_first_version_opens(tiny):
    tiny.model.branches = ("micro",)
    tx = optim.build(tiny.optim, tiny.train.steps)
    replicated, _ = state.shardings(state.data_mesh())
    now = state.create(tiny.model, tx, tiny.seed, replicated)
    then = old_paths.former(now, "fusion")
    assert "looking" in then.params["micro"]
    saved = checkpoint.Checkpoints(tiny.workdir, tiny)
    saved.save_last(then, {"best_step": 0})
    saved.save_best(then, {"auc": 0.5})
    saved.close()
    as_version_one(tiny.workdir)

    assert_equal(checkpoint.load_best(tiny.workdir, replicated).weights, now.average)
    again = checkpoint.Checkpoints(tiny.workdir, tiny)
    restored, progress = again.restore_last(now)
    again.close()
    assert_equal(restored, now)
    assert progress == {"best_step": 0}
