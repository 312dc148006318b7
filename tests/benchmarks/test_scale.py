"""Points, slopes and plot of how the cost grows."""

import json

import numpy as np
import pytest
import scale

from fusion_dfd import config as c

TINY = c.Config(
    data=c.Data(frames=4, size=32),
    model=c.Model(
        branches=("spatial",), backbone=c.Backbone("resnet18", width=4, stages=1), recurrent=(4,), head=(4,), token=4
    ),
    optim=c.Optim(warmup=1),
)


def test_a_power_is_found():
    sizes = [1, 2, 5, 9]
    assert scale.exponent(sizes, [3 * size**1.5 for size in sizes]) == pytest.approx(1.5)
    assert scale.exponent(sizes, [2.0] * 4) == pytest.approx(0, abs=1e-12)


@pytest.mark.parametrize("axis", scale.AXES)
def test_a_point_changes_one_thing(axis):
    config, clips, devices = scale.configure(TINY, axis, 2)
    found = {"clips": clips, "frames": config.data.frames, "pixels": config.data.size, "devices": devices}
    assert found == {"clips": scale.BATCH, "frames": 4, "pixels": 32, "devices": 1} | {axis: 2}


@pytest.mark.slow
def test_devices_that_are_not_there_are_left_out(here, monkeypatch):
    monkeypatch.setattr(scale, "use_devices", lambda count: None)
    found = scale.measure(TINY, {"devices": (1, 999)}, 1)
    assert [point["size"] for point in found["points"]] == [1]
    assert found["growth"] == []
    assert list(found["missing"]) == ["devices, 999"]


@pytest.mark.slow
def test_measure_and_plot(here, monkeypatch, tmp_path):
    monkeypatch.setattr(scale, "use_devices", lambda count: None)
    found = scale.measure(TINY, {"devices": (1, 2)}, 1)
    assert [(point["axis"], point["size"]) for point in found["points"]] == [("devices", 1), ("devices", 2)]
    assert all(point["ms_step"] > 0 and point["ms_forward"] > 0 for point in found["points"])
    assert np.isfinite([row["exponent_step"] for row in found["growth"]]).all()
    scale.plot(found, str(tmp_path / "scale.svg"))
    assert (tmp_path / "scale.svg").read_text().count('id="axes_') == 1
    json.dumps(found)
