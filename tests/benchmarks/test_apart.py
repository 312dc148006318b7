"""Ways take turns in processes of their own; one that cannot be taken says why."""

import os
import time

import apart
import numpy as np
import pytest


def make(number):
    return lambda: (number, os.getpid())


def make_missing():
    import a_library_that_nobody_has

    return a_library_that_nobody_has


def make_refused():
    raise apart.Unavailable("no compiler")


@pytest.mark.slow
def test_turns_and_processes():
    one = {"a": (make, 1), "b": (make, 2), "c": (make_missing,)}
    with apart.Ways({"one": one, "two": {"d": (make_refused,)}}) as ways:
        found = ways.rounds(2)
        assert ways.missing["c"].startswith("No module named")
        assert ways.missing["d"] == "no compiler"
    (a, a_process), (b, b_process) = found["a"][0], found["b"][0]
    assert (a, b) == (1, 2)
    assert a_process == b_process != os.getpid()
    assert len(found["a"]) == 2
    assert set(found) == {"a", "b"}


def test_timed_counts_clock_and_cores():
    clock, cores = apart.timed(lambda: time.sleep(0.02), 2)
    assert clock >= 0.02
    assert 0 <= cores < clock


def test_targets():
    assert apart.target("x", 2.0, 2.0)["met"] is True
    assert apart.target("x", 2.0, 1.999)["met"] is False
    assert apart.target("x", 2.0, apart.ratio(None, 1.0))["met"] is None
    assert np.isclose(apart.ratio(3.0, 2.0), 1.5)


def test_a_peer_on_another_device_is_none():
    apart.same_device("cpu")
    with pytest.raises(apart.Unavailable, match="JAX runs on cpu here, this on cuda"):
        apart.same_device("cuda")
