"""Training starts from the weights that the configuration names."""

import jax
import numpy as np
import optax
import pytest

from fusion_dfd import config as c
from fusion_dfd.training import state


def create(model: c.Model, **options) -> state.TrainState:
    return state.create(model, optax.adamw(1e-3), 0, state.shardings(state.data_mesh())[0], **options)


def named(tree: dict, path: str = "") -> dict[str, np.ndarray]:
    """Leaves of nested dictionaries by path."""
    parts = [
        named(value, f"{path}{key}/") if isinstance(value, dict) else {f"{path}{key}": value}
        for key, value in tree.items()
    ]
    return {name: value for part in parts for name, value in part.items()}


@pytest.fixture
def weights(tiny, tmp_path) -> str:
    """The backbone of another seed, by our own names."""
    params, stats = state.variables(tiny.model, 7)
    path = tmp_path / "other.npz"
    drawn = {name: np.asarray(value) + 0.5 for name, value in named(params["backbone"]).items()}
    drawn |= {name: np.asarray(value) + 0.5 for name, value in named(stats["backbone"]).items()}
    np.savez(path, **drawn)
    return str(path)


def test_the_backbone_starts_as_the_file_and_the_rest_as_ever(tiny, weights):
    fresh = create(tiny.model)
    tiny.model.backbone.weights = weights
    got = create(tiny.model)
    with np.load(weights) as file:
        for tree in (got.params, got.stats, got.average["params"], got.average["stats"]):
            for name, array in named(tree["backbone"]).items():
                np.testing.assert_array_equal(array, file[name])
    assert jax.tree.structure(got) == jax.tree.structure(fresh)
    for one, two in ((got.params, fresh.params), (got.stats, fresh.stats)):
        rest = [
            {name: array for name, array in named(tree).items() if not name.startswith("backbone/")}
            for tree in (one, two)
        ]
        jax.tree.map(np.testing.assert_array_equal, *rest)


def test_a_state_to_restore_into_reads_no_file(tiny):
    tiny.model.backbone.weights = "gone.npz"
    assert create(tiny.model, start=False).step == 0


def test_weights_for_a_model_without_backbone_are_refused(tiny, weights):
    tiny.model.backbone.weights = weights
    tiny.model.branches = ("micro",)
    with pytest.raises(c.ConfigError, match=r"model\.backbone\.weights: this model has no backbone"):
        create(tiny.model)
