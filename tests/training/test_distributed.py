"""Two processes on one machine train what one does; a checkpoint of two is read by one."""

import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

from fusion_dfd import config as c
from fusion_dfd.config import ConfigError
from fusion_dfd.training import distributed, experiment

ROOT = pathlib.Path(__file__).parents[2]
PROGRAM = """
import sys
from fusion_dfd import config
from fusion_dfd.training import distributed, experiment
if len(sys.argv) > 2:
    distributed.join(sys.argv[2])
experiment.run(config.from_json(open(sys.argv[1]).read()))
"""


def start(config: c.Config, path: pathlib.Path, devices: int, place: str = "") -> subprocess.Popen:
    path.write_text(c.to_json(config))
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": str(devices), "PYTHONPATH": str(ROOT)}
    words = [sys.executable, "-c", PROGRAM, str(path), *([place] if place else [])]
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*running: subprocess.Popen) -> None:
    for one in running:
        said, _ = one.communicate(timeout=500)
        assert one.returncode == 0, said[-3000:]


def losses(config: c.Config) -> list[float]:
    rows = map(json.loads, (pathlib.Path(config.workdir) / "log.jsonl").read_text().splitlines())
    return [row["loss"] for row in rows if "loss" in row]


def auc(config: c.Config) -> float:
    metrics = json.loads((pathlib.Path(config.workdir) / "report" / "metrics.json").read_text())
    return metrics["units"]["video"]["overall"]["metrics"]["auc"]["value"]


@pytest.mark.timeout(900)
def test_two_processes_train_as_one(configured, tmp_path):
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{one.getsockname()[1]}"
    alone, together = configured(tmp_path / "alone"), configured(tmp_path / "together")
    finish(start(alone, tmp_path / "alone.json", 4))
    finish(*(start(together, tmp_path / f"{i}.json", 2, f"{i}/2@{address}") for i in range(2)))
    assert len(losses(alone)) == alone.train.steps
    np.testing.assert_allclose(losses(together), losses(alone), atol=1e-5)
    assert auc(together) == pytest.approx(auc(alone))
    trained = experiment.load(together.workdir)
    assert trained.config.train.steps == together.train.steps


@pytest.mark.parametrize("place", ["2/2@host:1", "0/1", "0/2@host", "somewhere"])
def test_a_place_that_is_none_is_one_sentence(place):
    with pytest.raises(ConfigError, match="I/N@HOST:PORT"):
        distributed.join(place)
