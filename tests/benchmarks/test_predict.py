"""Latency, throughput and the model alone, each with its figures."""

import json

import numpy as np
import predict
import pytest

from fusion_dfd import config as c
from fusion_dfd.faces import extract
from fusion_dfd.runs.run import Run


def tiny(name: str, variant: str) -> c.Config:
    model = c.Model(
        branches=("spatial",), backbone=c.Backbone("resnet18", width=4, stages=1), head=(4,), token=4, recurrent=(4,)
    )
    if name == "baselines.py":
        model.system, model.backbone = "sequence", c.Backbone("xception", width=4, stages=1)
    faces = c.Faces(size=48, clip_length=6, clips=2)
    return c.Config(faces=faces, data=c.Data(frames=6, size=32), model=model, optim=c.Optim(warmup=1))


@pytest.fixture
def run(tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "_config", tiny)
    return predict.fresh(str(tmp_path / "run"))


@pytest.mark.slow
def test_a_fresh_run_is_one(run):
    assert Run(run).step == 0


def test_frames_that_are_large_enough_stay():
    frames = np.zeros((1, 2, predict.SMALLEST, predict.SMALLEST, 3), np.uint8)
    assert predict.enlarge(frames) is frames
    assert predict.enlarge(frames[:, :, :32, :32]).shape == frames.shape


@pytest.mark.slow
def test_measure(run, here, tmp_path, monkeypatch):
    monkeypatch.setattr(predict, "ROUNDS", 1)
    monkeypatch.setattr(extract.Decoder, "__iter__", extract.Decoder.__iter__)  # put back afterwards
    monkeypatch.setattr(predict, "make_keras", refuse)
    monkeypatch.setattr(predict, "render", render)
    found = predict.measure(run, [predict.render(str(tmp_path))] * 2)
    assert found["many"]["videos"] == sum(found["verdicts"].values()) == 2
    assert found["one"]["seconds_of_video"] == found["many"]["seconds_of_video"] / 2 > 0
    assert set(found["shares"]) == {"decode", "detect", "model", "rest"}
    assert {"this run, JAX", "Xception + LSTM, ours"} <= {row["model"] for row in found["model_alone"]}
    assert found["missing"]["Xception + LSTM, Keras"] == "no keras"
    json.dumps(found)


def refuse(frames):
    raise ImportError("no keras")


def render(folder: str) -> str:
    path = f"{folder}/real.mp4"
    predict.take.shoot(predict.take.RenderTask(c.Synthetic(frames=20, size=128), 0, 1, {predict.ORIGINAL: path}))
    return path
