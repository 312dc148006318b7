"""A run that an earlier version saved, with other parameter paths, is scored and continued as before."""

import dataclasses
import json
import pathlib
import shutil

import jax
import numpy as np
import pytest

from fusion_dfd.models import old_paths
from fusion_dfd.training import checkpoint, optim, state
from fusion_dfd.types import DataError


def assert_equal(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    jax.tree.map(lambda a, b: np.testing.assert_array_equal(np.asarray(a), np.asarray(b)), left, right)


def as_version_one(workdir: str) -> None:
    """Take the version of the paths out of the checkpoints, which the first version did not write."""
    for path in pathlib.Path(workdir, "checkpoints").glob("*/*/meta/metadata"):
        meta = json.loads(path.read_text())
        assert meta.pop("paths") == old_paths.VERSION
        path.write_text(json.dumps(meta))
    for path in pathlib.Path(workdir, "checkpoints").glob("*.sha256.json"):  # neither did it write these
        path.unlink()


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


@pytest.fixture
def saved(tiny):
    """Two states of a run, of steps 0 and 1, and its best weights, of step 1."""
    tiny.model.branches = ("micro",)
    replicated, _ = state.shardings(state.data_mesh())
    first = state.create(tiny.model, optim.build(tiny.optim, tiny.train.steps), tiny.seed, replicated)
    second = dataclasses.replace(first, step=first.step + 1)
    kept = checkpoint.Checkpoints(tiny.workdir, tiny)
    for number, now in enumerate((first, second)):
        kept.save_last(now, {"number": number})
    kept.save_best(second, {"auc": 0.5})
    kept.close()
    return tiny, first, second


def flip(folder: pathlib.Path, rng) -> pathlib.Path:
    """Flip one bit of a file of a checkpoint, as a bad disk does."""
    path = rng.choice(sorted(path for path in folder.rglob("*") if path.is_file() and path.stat().st_size))
    content = bytearray(path.read_bytes())
    content[rng.integers(len(content))] ^= 1 << rng.integers(8)
    path.write_bytes(content)
    return path


def test_any_flipped_bit_of_the_best_weights_is_told(saved, rng):
    config, *_ = saved
    best = pathlib.Path(config.workdir, "checkpoints", "best", "1")
    for _ in range(10):
        whole = {path: path.read_bytes() for path in best.rglob("*") if path.is_file()}
        path = flip(best, rng)
        with pytest.raises(DataError, match=rf"{path.name} is not as it was written \(SHA-256\); copy the run again"):
            checkpoint.describe_best(config.workdir)
        for one, content in whole.items():
            one.write_bytes(content)
    assert checkpoint.describe_best(config.workdir)[1] == 1


def test_a_damaged_newest_state_is_left_for_the_one_before(saved, rng, caplog):
    config, first, second = saved
    flip(pathlib.Path(config.workdir, "checkpoints", "last", "1"), rng)
    again = checkpoint.Checkpoints(config.workdir, config)
    restored, progress = again.restore_last(second)
    assert_equal(restored, first)
    assert progress == {"number": 0}
    assert "training goes on from step 0" in caplog.text
    again.save_last(second, {"number": 1})
    again.close()
    last = checkpoint.Checkpoints(config.workdir, config)
    assert last.restore_last(first)[1] == {"number": 1}
    last.close()


def test_where_no_state_is_whole_a_sentence_says_so(saved, rng):
    config, first, _ = saved
    for step in "01":
        flip(pathlib.Path(config.workdir, "checkpoints", "last", step), rng)
    again = checkpoint.Checkpoints(config.workdir, config)
    with pytest.raises(DataError, match="no earlier checkpoint is whole, start a new run"):
        again.restore_last(first)
    again.close()


def test_a_run_killed_before_its_first_state_begins_anew(saved):
    config, _, second = saved
    folder = pathlib.Path(config.workdir, "checkpoints")
    shutil.rmtree(folder / "last")
    (folder / "best" / "2.orbax-checkpoint-tmp" / "state").mkdir(parents=True)
    again = checkpoint.Checkpoints(config.workdir, config)
    assert again.last_step is None
    assert [path.name for path in (folder / "best").iterdir()] == ["1"]
    again.save_best(second, {"auc": 0.75})
    again.close()
    assert checkpoint.describe_best(config.workdir)[1:] == (1, {"auc": 0.75})


def test_a_state_killed_before_its_digests_gets_them(saved):
    config, first, second = saved
    digests = pathlib.Path(config.workdir, "checkpoints", "last-1.sha256.json")
    digests.unlink()
    again = checkpoint.Checkpoints(config.workdir, config)
    again.restore_last(first)
    again.save_last(second, {"number": 1})
    again.close()
    assert digests.exists()
