"""The peer is the same model, and every way gives a row."""

import dataclasses
import importlib.util
import json

import jax
import numpy as np
import pytest
import train_step
from flax import nnx

from fusion_dfd import config as c
from fusion_dfd.training import cost, state, step


def tiny(name: str) -> c.Config:
    return c.Config(
        data=c.Data(frames=4, size=40),
        model=c.Model(
            backbone=c.Backbone(name, width=8, stages=2),
            micro=c.Micro(inputs=("rgb", "difference"), size=16, widths=(4, 6)),
            recurrent=(5, 3),
            dense=(7, 6),
            head=(8, 4),
            token=6,
        ),
    )


def converted(weights: dict, torch) -> dict:
    """Our parameters and statistics as a ``state_dict``."""
    flat = {}
    for place, values in nnx.traversals.flatten_mapping(weights).items():
        *path, name = map(str, place)
        values, prefix = np.array(values), ".".join(path)
        names = {"scale": "weight", "kernel": "weight", "mean": "running_mean", "var": "running_var", "bias": "bias"}
        if name == "kernel":
            values = values.transpose((3, 2, 0, 1) if values.ndim == 4 else (1, 0))
        flat[f"{prefix}.{names[name]}"] = torch.from_numpy(values.copy())
    return flat


def is_lstm(tree) -> bool:
    return isinstance(tree, dict) and "recurrent" in tree and not isinstance(tree["recurrent"], dict)


def load(model, weights: dict, torch, torch_lstm) -> None:
    """Give a PyTorch model ours, whose names it has."""

    def walk(tree: dict, module, rest: dict, path: tuple) -> None:
        for name, inner in tree.items():
            if is_lstm(inner):
                torch_lstm.load(module[int(name)], {part: np.asarray(values) for part, values in inner.items()})
            elif isinstance(inner, dict):
                inside = module[int(name)] if isinstance(name, int) else getattr(module, name)
                walk(inner, inside, rest, (*path, name))
            else:
                rest[*path, name] = inner

    rest: dict = {}
    walk(weights, model, rest, ())
    given = converted(nnx.traversals.unflatten_mapping(rest), torch)
    missing, unexpected = model.load_state_dict(given, strict=False)
    assert not unexpected
    assert all(".layers." in name and "_l0" in name for name in missing if "num_batches" not in name)


def randomised(tree: dict, rng) -> dict:
    """All values away from where they start, variances positive."""
    return jax.tree.map(lambda x: np.abs(rng.normal(0.1, 0.4, x.shape)).astype(np.float32) + 0.05, tree)


def signed(tree: dict, rng) -> dict:
    return jax.tree.map(lambda x: rng.normal(0, 0.3, x.shape).astype(np.float32), tree)


@pytest.mark.parametrize(
    ("name", "part"), [("resnet50", "spatial"), *(("resnet18", part) for part in train_step.PARTS)]
)
def test_the_peer_is_the_same_model(name, part, rng):
    torch = pytest.importorskip("torch")
    from peers import torch_fusion, torch_lstm, torch_training

    config, branches = tiny(name), train_step.PARTS[part]
    config.model = dataclasses.replace(config.model, branches=branches)
    params, stats = state.variables(config.model, 0)
    params, stats = signed(params, rng), randomised(stats, rng)
    batch = cost.noise(2, config.data)
    ours = step.make_predict(state.graphs(config.model))({"params": params, "stats": stats}, batch)
    theirs = torch_fusion.FusionDetector(config.model).eval()
    assert torch_training.parameters(theirs) == state.count(params)
    load(theirs, jax.device_get(merged(params, stats)), torch, torch_lstm)
    with torch.no_grad():
        logit, rest = theirs(torch.from_numpy(batch.frames), torch.from_numpy(batch.landmarks))
    np.testing.assert_allclose(logit.numpy(), ours.logit, rtol=1e-4, atol=1e-4)
    for one, place in zip(rest, branches, strict=True):
        np.testing.assert_allclose(one.numpy(), ours.branch_logits[place], rtol=1e-3, atol=1e-4)


def merged(one: dict, other: dict) -> dict:
    if not (isinstance(one, dict) and isinstance(other, dict)):
        return one if other is None else other
    return {name: merged(one.get(name), other.get(name)) if name in one else other[name] for name in {**one, **other}}


def test_every_way_has_a_row(here, monkeypatch):
    if importlib.util.find_spec("torch"):
        import torch

        monkeypatch.setattr(torch, "compile", lambda model: model)  # It would take a minute.
    found = train_step.measure(tiny("resnet18"), train_step.Size("tiny", (2, 4), 1, 64, ("float32",), True), 1)
    ways = {(row["library"], row["part"], row["batch"], row["dtype"]) for row in found["steps"]}
    assert {("ours", part, 4, "float32") for part in (*train_step.PARTS, "as configured")} <= ways
    assert {("ours", "fusion", 4, "bfloat16"), ("ours", "fusion", 2, "float32")} <= ways
    assert all(row["ms_per_step"] > 0 and row["utilisation"] > 0 for row in found["steps"])
    counts = {(row["part"], row["parameters"]) for row in found["steps"]}
    assert len(counts) == len(train_step.PARTS) + 1
    assert len(found["targets"]) == len(train_step.PARTS) + 1
    json.dumps(found)
