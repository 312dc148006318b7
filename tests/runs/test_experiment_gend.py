"""A whole run on a thin encoder from a file: what should learn has learnt, and nothing else."""

import dataclasses
import os

import jax
import numpy as np
import pytest
from flax import nnx

from fusion_dfd import config as c
from fusion_dfd.backbones import convert, registry
from fusion_dfd.configs import gend
from fusion_dfd.runs import experiment
from fusion_dfd.runs.run import Run

pytestmark = pytest.mark.slow


@pytest.fixture(params=["dinov3_base", "dinov3_base_probe"])
def recipe(request, tiny, tmp_path) -> c.Config:
    config = gend.get_config(request.param)
    thin = dataclasses.replace(config.model.backbone, width=4, stages=1, weights=str(tmp_path / "thin.npz"))
    net = registry.build(dataclasses.replace(thin, weights=""), rngs=nnx.Rngs(1))
    np.savez(tmp_path / "thin.npz", **{path: np.asarray(leaf[...]) for path, leaf in convert.leaves(net).items()})
    config.model = dataclasses.replace(config.model, backbone=thin, remat=False)
    config.data = dataclasses.replace(config.data, dir=tiny.data.dir, size=32)
    config.workdir, config.train, config.evaluate = tiny.workdir, tiny.train, tiny.evaluate
    return config.validate()


def test_only_what_should_learn_has_learnt(recipe, tmp_path):
    result = experiment.run(recipe)
    assert result.finished
    assert "frame" in result.summary["units"]
    tuned = not recipe.data.cache
    assert os.path.isdir(os.path.join(result.workdir, "features")) != tuned
    before = np.load(tmp_path / "thin.npz")
    after = Run(result.workdir).best().weights["params"]["backbone"]
    found = {
        convert.name(tuple(step.key for step in path)): leaf for path, leaf in jax.tree.flatten_with_path(after)[0]
    }
    assert found.keys() == set(before.files)
    moved = {path for path, leaf in found.items() if np.any(leaf != before[path])}
    norms = {path for path in found if "norm" in path}
    assert moved == (norms if tuned else set())
