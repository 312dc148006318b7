"""The peer is the same model, and every way gives a row."""

import dataclasses
import json

import apart
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
    return isinstance(tree, dict) and "recurrent_kernel" in tree


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


@pytest.mark.extras
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


@pytest.mark.extras
def test_both_take_steps():
    pytest.importorskip("torch")
    config = train_step.configure(tiny("resnet18"), "spatial", "bfloat16")
    ours, theirs = train_step.make_ours(config, 2, 1), train_step.make_torch(config, 2, 1, False)
    for turn in (ours(), theirs()):
        assert turn["seconds"] > 0
        assert turn["peak_mib"] >= 0
        assert turn["first_s"] > 0
    assert ours.parameters == theirs.parameters


def test_flow_is_left_out_unless_asked_for():
    base = c.Config()
    assert train_step.configure(base, "fusion", "float32").model.micro.inputs == ("difference",)
    assert train_step.configure(base, "as configured", "float32").model == base.model
    assert train_step.configure(base, "micro", "bfloat16").model.branches == ("micro",)
    assert train_step.configure(base, "micro", "bfloat16").model.bfloat16


def test_every_way_has_a_row(here, monkeypatch):
    """What is measured stands for itself here: a step of ours takes 10 ms, one of PyTorch 20 ms."""
    monkeypatch.setattr(train_step, "make_ours", lambda *given: lambda: taken(0.01))
    monkeypatch.setattr(train_step, "make_torch", lambda *given: refuse() if given[-1] else lambda: taken(0.02))
    monkeypatch.setattr(train_step, "make_product", lambda *given: lambda: 1e9)
    monkeypatch.setattr(train_step.cost, "flops", lambda config: 1e6)
    found = train_step.measure(tiny("resnet18"), train_step.Size("tiny", (2, 4), 1, 64, ("float32",), True), 2)
    rows = {(row["library"], row["part"], row["batch"], row["dtype"]): row for row in found["steps"]}
    assert {("ours", part, 4, "float32") for part in (*train_step.PARTS, "as configured")} <= set(rows)
    assert {("ours", "fusion", 4, "bfloat16"), ("PyTorch", "fusion", 2, "float32")} <= set(rows)
    assert rows["ours", "fusion", 4, "float32"]["frames_per_s"] == 4 * 4 / 0.01
    assert rows["PyTorch", "fusion", 4, "float32"]["utilisation"] == 3 * 1e6 * 4 / 0.02 / 1e9
    assert found["missing"] == {f"PyTorch, compiled, fusion, {dtype}": "no compiler" for dtype in train_step.DTYPES}
    assert [row["measured"] for row in found["targets"]] == [2.0] * (len(train_step.PARTS) + 1)
    json.dumps(found)


def taken(seconds: float) -> dict[str, float]:
    return {"seconds": seconds, "peak_mib": 1.0, "first_s": 2.0, "parameters": 3}


def refuse():
    raise apart.Unavailable("no compiler")
