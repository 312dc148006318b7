"""The benchmarks are importable by their names, and so are they in the processes that they start."""

import os

os.environ.setdefault("KERAS_BACKEND", "jax")

import apart
import pytest


class Here:
    """Stands for :class:`apart.Apart`: its ways are taken in this process, which saves starting others."""

    def __init__(self):
        self._ways = {}

    def start(self, name, make, *given):
        self._ways[name] = make(*given)

    def go(self, name):
        return self._ways[name]()

    def close(self):
        self._ways.clear()


@pytest.fixture
def here(monkeypatch):
    monkeypatch.setattr(apart, "Apart", Here)
