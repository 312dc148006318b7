"""What is said of a model before it is trained."""

import io

import pytest
from rich.console import Console

from fusion_dfd import config as c
from fusion_dfd.training import cost, overview, state


def shown(config: c.Config) -> str:
    console = Console(file=io.StringIO(), width=120)
    overview.show(config, console)
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
    assert "GFLOPs a clip of 4 frames" in text


def test_a_group_that_fits_nothing_is_refused(tiny):
    tiny.optim.groups = ("encoder=0",)
    with pytest.raises(c.ConfigError, match="no parameter below encoder"):
        shown(tiny)


def test_a_measured_cost_counts_the_same_arithmetic(tiny):
    assert cost.measure(tiny).flops == pytest.approx(cost.flops(tiny), rel=0.01)
