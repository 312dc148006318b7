"""Networks in .tflite files: what is written is what is read; what is damaged ends in one sentence, soon and small."""

import contextlib
import time
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tflite_writer import Writer

from fusion_dfd.types import DataError
from fusion_dfd.weights import tflite_file
from fusion_dfd.weights.tflite_file import Operator

KERNEL = np.arange(4 * 3 * 3 * 2, dtype=np.float32).reshape(4, 3, 3, 2)


def network() -> Writer:
    """Every operator once: 1 x 8 x 8 x 2 -> two outputs."""
    one = Writer([1, 8, 8, 2])
    conv = one.operator("conv", [0, one.constant(KERNEL), one.constant(np.ones(4))], [1, 4, 4, 4], [0, 2, 2, 3])
    prelu = one.operator("prelu", [conv, one.constant(np.full((1, 1, 4), 0.5))], [1, 4, 4, 4])
    weights = one.constant(np.ones((1, 3, 3, 4))), one.constant(np.zeros(4))
    depthwise = one.operator("depthwise", [prelu, *weights], [1, 4, 4, 4], [0, 1, 1, 1, 1])
    one.operator("add", [prelu, depthwise], [1, 4, 4, 4], [0])
    pool = one.operator("max_pool", [len(one.tensors) - 1], [1, 2, 2, 4], [1, 2, 2, 2, 2, 0])
    one.operator("pad", [pool, one.constant(np.array([[0, 0], [0, 1], [0, 0], [0, 3]]))], [1, 3, 2, 7])
    return one


WHOLE = network().file(len(network().tensors) - 1, 3)


def test_what_is_written_is_read():
    read = tflite_file.read(WHOLE, "here")
    assert read.operators == (
        Operator("conv", (0, 1, 2), 3, "SAME", (2, 2), activation="relu6"),
        Operator("prelu", (3, 4), 5),
        Operator("depthwise", (5, 6, 7), 8, "SAME", (1, 1), activation="relu"),
        Operator("add", (5, 8), 9),
        Operator("max_pool", (9,), 10, "VALID", (2, 2), (2, 2)),
        Operator("pad", (10,), 12, around=((0, 0), (0, 1), (0, 0), (0, 3))),
    )
    assert (read.input, read.outputs) == (0, (12, 3))
    assert read.shapes[12] == (1, 3, 2, 7)
    assert sorted(read.constants) == [1, 2, 4, 6, 7]
    np.testing.assert_array_equal(read.constants[1], KERNEL)


def conv(kernel=(4, 3, 3, 2), bias=(4,), made=(1, 4, 4, 4), options=(0, 2, 2, 3)) -> Writer:
    one = Writer([1, 8, 8, 2])
    one.operator("conv", [0, one.constant(np.zeros(kernel)), one.constant(np.zeros(bias))], made, options)
    return one


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "not a file of TensorFlow Lite"),
        (b"\0\0\0\0TFL3", "want one graph"),
        (WHOLE[:-100], "a vector leaves the file|unpack_from requires"),
        (b"\xff\xff\xff\xff" + WHOLE[4:], "unpack_from requires"),
        (conv(kernel=(4, 3, 3, 5)).file(3), "a kernel for other channels"),
        (conv(bias=(3,)).file(3), "a bias for other channels"),
        (conv(made=(1, 5, 4, 4)).file(3), r"gives \(1, 4, 4, 4\), not \(1, 5, 4, 4\)"),
        (conv(options=(2, 2, 2, 3)).file(3), "options of conv"),
        (conv(options=(0, 0, 2, 3)).file(3), "options of conv"),
        (conv(options=(0, 2, 2, 4)).file(3), "activation 4 of conv"),
        (conv(options=(0, 2, 2, 3, 2, 2)).file(3), "dilation"),
        (conv(kernel=(4, 9, 9, 2), options=(1, 1, 1, 0)).file(3), "conv larger than its map"),
        (conv().file(4), "an output that nothing gives"),
        (conv().file(), "an output that nothing gives"),
    ],
)
def test_what_is_not_understood_is_named(content, why):
    with pytest.raises(DataError, match=rf"^here: no network that is understood \(.*({why}).*\), take the file from"):
        tflite_file.read(content, "here")


def test_operators_that_are_not_known_and_loops_are_refused():
    one = Writer([1, 8, 8, 2])
    one.operator("softmax", [0], [1, 8, 8, 2])
    with pytest.raises(DataError, match="operator 25, want one of add, conv"):
        tflite_file.read(one.file(1), "here")
    loop = Writer([1, 8, 8, 2])
    loop.operator("add", [0, 1], [1, 8, 8, 2], [0])
    with pytest.raises(DataError, match="add reads what nothing gave"):
        tflite_file.read(loop.file(1), "here")


def test_constants_that_share_a_buffer_cannot_be_larger_than_the_file():
    one = Writer([1, 8, 8, 2])
    number = one.constant(np.zeros(1000))
    one.tensors += [one.tensors[number]] * 4000
    with pytest.raises(DataError, match="constants larger than the file"):
        tflite_file.read(one.file(0), "here")


@settings(max_examples=300, deadline=None)
@given(st.data())
def test_damaged_files_end_in_one_sentence_soon_and_small(data):
    content = bytearray(WHOLE)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(content) - 4))
        content[at : at + 4] = data.draw(st.binary(min_size=1, max_size=4))
    content = bytes(content[: data.draw(st.integers(0, len(content)))] if data.draw(st.booleans()) else content)
    tracemalloc.start()
    start = time.process_time()
    with contextlib.suppress(DataError):
        tflite_file.read(content, "here")
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert time.process_time() - start < 1
    assert peak < 1 << 20
