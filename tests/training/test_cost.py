"""What is said of a model before it is trained."""

import io

import jax
import numpy as np
import pytest
from rich.console import Console

from fusion_dfd import config as c
from fusion_dfd.training import cost, state, step


def shown(config: c.Config) -> str:
    console = Console(file=io.StringIO(), width=120)
    cost.print_model_table(config, console)
    return console.file.getvalue()


def test_every_part_is_counted_and_what_is_frozen_is_said(tiny):
    tiny.optim.groups = ("backbone=0", "backbone/stages=0.1@500")
    text = shown(tiny)
    params = state.abstract_variables(tiny.model)["params"]
    for part, tree in params.items():
        assert f"{part} " in text
        assert f"{state.count(tree):,}" in text
    frozen = state.count(params["backbone"]) - state.count(params["backbone"]["stages"])
    assert f"{state.count(params) - frozen:,}" in text
    assert "frozen, x 0.1 from step 500" in text
    assert "GFLOPs per window of 4 frames" in text


def test_a_group_that_fits_nothing_is_refused(tiny):
    tiny.optim.groups = ("encoder=0",)
    with pytest.raises(c.ConfigError, match="no parameter below encoder"):
        shown(tiny)


def test_a_step_that_cannot_fit_is_refused_before_anything_is_compiled(tiny, monkeypatch):
    monkeypatch.setattr(cost, "memory", lambda device: 2e8)
    shown(tiny)
    tiny.train.batch_size = 100000
    with pytest.raises(
        c.ConfigError, match=r"train\.batch_size=100000: a training step wants more than [\d.]+ GB, cpu has 0.2"
    ):
        shown(tiny)
    tiny.optim.accumulate = 100
    shown(tiny)


def test_what_is_kept_for_the_backward_pass_is_what_products_give(tiny):
    tiny.model = c.Model(branches=("spatial",), backbone=c.Backbone("resnet18", width=64, stages=1), head=(4,), token=4)
    tiny.data = c.Data(frames=2, size=64)
    maps = 32 * 32 * 64 + 4 * 16 * 16 * 64
    kept = cost._products(cost._traced(tiny).jaxpr.jaxpr)
    assert kept == pytest.approx(tiny.data.frames * maps * 4, rel=0.02)


def test_arithmetic_is_that_of_the_product_where_a_model_is_little_else(tiny):
    tiny.model = c.Model(branches=("spatial",), backbone=c.Backbone("resnet18", width=64, stages=1), head=(4,), token=4)
    tiny.data = c.Data(frames=2, size=64)
    stem, others = taps(64, 7, 2) ** 2 * 3 * 64, 4 * taps(16, 3, 1) ** 2 * 64 * 64
    assert cost.flops(tiny) == pytest.approx(2 * tiny.data.frames * (stem + others), rel=0.03)


def test_a_batch_counts_the_same_arithmetic_a_clip(tiny):
    variables, clips = state.abstract_variables(tiny.model), cost.noise(8, tiny.data)
    batch = step.make_predict(state.graphs(tiny.model)).lower(variables, clips)
    assert batch.cost_analysis()["flops"] / 8 == pytest.approx(cost.flops(tiny), rel=0.01)
    measured = cost.measure(tiny)
    assert measured.flops == cost.flops(tiny)
    assert measured.parameters == state.count(state.abstract_variables(tiny.model)["params"])
    assert measured.windows_per_second > 0


def taps(side: int, kernel: int, stride: int) -> int:
    """How often a kernel's places meet a pixel, and not the padding, along one axis."""
    first = np.arange(-(kernel // 2), side - kernel // 2, stride)
    places = first[:, None] + np.arange(kernel)
    return int(((places >= 0) & (places < side)).sum())


def test_arithmetic_is_counted_on_the_cpu_and_left_out_without_one(tiny, monkeypatch):
    asked = []
    monkeypatch.setattr(jax, "local_devices", lambda backend: asked.append(backend) or refuse())
    assert "GFLOPs" not in shown(tiny)
    assert asked == ["cpu"]


def refuse():
    raise RuntimeError("Unknown backend cpu")
