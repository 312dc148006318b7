import gc
import itertools
import threading
import time

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from fusion_dfd.config import Data
from fusion_dfd.input.loader import Batches, Frames, Memory

FRAMES = Frames((2, 4, 4, 3), np.uint8)


def fill(number, batch, first):
    batch.frames[first] = number % 251
    for values in (batch.landmarks, batch.length, batch.label, batch.weight, batch.row):
        values[first] = number


def make(fill=fill, numbers=range(10**9), count=3, threads=2, frames=FRAMES, **options):
    return Batches(fill, frames, numbers, count, 1, Data(threads=threads), **options)


@pytest.mark.parametrize("threads", [1, 4])
@pytest.mark.parametrize("count", [1, 3, 7])
def test_every_element_once_in_order(count, threads):
    batches = make(numbers=range(5, 47), count=count, threads=threads)
    assert len(batches) == 42 // count
    for _ in range(2):
        rows = [row for batch in batches for row in batch.row.tolist()]
        assert rows == list(range(5, 47))


def test_an_incomplete_batch_is_left_out():
    assert [batch.row.tolist() for batch in make(numbers=range(8))] == [[0, 1, 2], [3, 4, 5]]


def test_a_failure_is_raised_in_the_place_of_its_batch():
    def breaks(number, batch, first):
        if number == 7:
            raise ValueError("seven")
        fill(number, batch, first)

    iterator = iter(make(breaks))
    assert [next(iterator).row[0] for _ in range(2)] == [0, 3]
    with pytest.raises(ValueError, match="seven"):
        next(iterator)


def test_after_closing_nothing_is_filled_any_more():
    begun = []

    def slow(number, batch, first):
        begun.append(number)
        time.sleep(0.01)
        fill(number, batch, first)

    iterator = iter(make(slow))
    next(iterator)
    iterator.close()
    many = len(begun)
    time.sleep(0.1)
    assert len(begun) == many
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("input")]


def test_only_some_batches_are_filled_ahead():
    begun = []
    iterator = iter(make(lambda *given: begun.append(given[0]) or fill(*given), threads=2))
    for taken in range(1, 6):
        next(iterator)
        time.sleep(0.05)
        assert len(begun) <= 3 * (taken + 2)
    iterator.close()


def test_memory_serves_again_when_nobody_looks_at_it_and_not_before():
    memory = Memory((3, 5), np.float32)
    first = memory.take()
    place, part = first.ctypes.data, first[1:, 2]
    first[:] = 1
    del first
    second = memory.take()
    second[:] = 2
    assert second.ctypes.data != place
    assert (part == 1).all()
    del part
    gc.collect()
    assert memory.take().ctypes.data == place


def test_memory_outlives_what_gave_it():
    array = Memory((4,), np.uint8).take()
    array[:] = 9
    gc.collect()
    assert (np.array(array) == 9).all()


def test_batches_that_are_kept_stay_as_they_were():
    kept = list(itertools.islice(make(), 30))
    for number, batch in enumerate(kept):
        np.testing.assert_array_equal(batch.frames[:, 0, 0, 0, 0], np.arange(3 * number, 3 * number + 3) % 251)


def test_what_jax_computes_later_reads_what_was_in_the_batch():
    """JAX may read a batch where it lies, long after the last name of it is gone."""
    mesh = jax.make_mesh((1,), ("data",), axis_types=(jax.sharding.AxisType.Auto,), devices=jax.devices()[:1])
    sharding = jax.NamedSharding(mesh, jax.P("data"))
    frames = Frames((2, 64, 64, 3), np.uint8)

    @jax.jit
    def slow(values):
        matrix = jnp.full((300, 300), values[0, 0, 0, 0, 0].astype(jnp.float32) * 1e-9)
        nothing = jax.lax.fori_loop(0, 5, lambda _, m: m @ m, matrix).sum()
        return values.astype(jnp.float32).mean(axis=(1, 2, 3, 4)) + 0 * nothing

    batches = make(frames=frames, sharding=sharding)
    found = [slow(batch.frames) for batch in itertools.islice(batches, 40)]
    np.testing.assert_array_equal(np.concatenate(found), np.arange(120) % 251)
