"""Compiled programs are kept: the same work, begun by another process, compiles nothing."""

import json
import os
import subprocess
import sys

import pytest

from fusion_dfd import config as c

CODE = """
import collections, json, sys
import jax
from fusion_dfd import config as c
from fusion_dfd.runs import experiment

counts = collections.Counter()
jax.monitoring.register_event_listener(lambda event, **_: counts.update([event.rsplit("/")[-1]]))
experiment.run(c.from_json(open(sys.argv[1]).read()))
print(json.dumps(counts))
"""


def start(config: c.Config, folder) -> dict[str, int]:
    """Trains, calibrates, evaluates, in a process; how many programs its cache had and lacked."""
    file = folder / "config.json"
    file.write_text(c.to_json(config))
    environment = os.environ | {"JAX_NUM_CPU_DEVICES": "1"}
    command = [sys.executable, "-c", CODE, str(file)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_a_second_start_compiles_nothing(configured, tmp_path):
    first = start(configured(tmp_path / "first"), tmp_path)
    second = start(configured(tmp_path / "second"), tmp_path)
    assert second.get("cache_misses", 0) == 0
    assert second["cache_hits"] == first.get("cache_hits", 0) + first.get("cache_misses", 0) > 0
