"""What a video costs to prepare, stage by stage."""

import json

import prepare
import pytest
import stages

from fusion_dfd import config as c
from fusion_dfd.synthetic import take


def test_a_video_costs_what_its_stages_cost(tmp_path, monkeypatch):
    path = str(tmp_path / "real.mp4")
    take.shoot(take.RenderTask(c.Synthetic(frames=40, size=160), 0, 1, {prepare.ORIGINAL: path}))
    monkeypatch.setattr(prepare.extract.Decoder, "__iter__", prepare.extract.Decoder.__iter__)  # put back afterwards
    monkeypatch.setattr(prepare.extract.track, "crop_clips", prepare.extract.track.crop_clips)
    (row,) = prepare.costs([path])
    assert (row["size"], row["frames"], row["crops"]) == ("160x160", 40, 32)
    assert all(row[stage] > 0 for stage in ("decode", "detect", "crop", "encode"))
    assert sum(row[stage] for stage in ("decode", "detect", "crop", "encode", "rest")) == pytest.approx(1, abs=0.01)
    assert row["video_s_per_s"] > 0 < row["cpu_s"]
    json.dumps(row)


def test_a_clock_counts_what_fails_too():
    clock = stages.Clock()
    with pytest.raises(ZeroDivisionError):
        clock.wrap("work", lambda: 1 / 0)()
    assert set(clock.shares(1.0)) == {"work", "rest"}
