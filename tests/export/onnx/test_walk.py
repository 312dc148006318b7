"""ONNX programs give the live model's outputs, for every system and many operations, at sizes that were not traced."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import onnx
import onnxruntime as ort
import pytest
import small_systems as systems
from flax import nnx
from jax import lax

from fusion_dfd.backbones import conv
from fusion_dfd.export import runtime
from fusion_dfd.export.onnx import walk
from fusion_dfd.models import recurrent
from fusion_dfd.types import DataError

ALL = {"fusion": {"branches": ("spatial", "temporal", "micro")}}
"""Instead of what tests/models tries, where that is less."""


def session(content: bytes):
    options = ort.SessionOptions()
    options.log_severity_level = 3
    found = ort.InferenceSession(content, options, providers=["CPUExecutionProvider"])
    names = [port.name for port in found.get_outputs()]
    return lambda given: dict(zip(names, found.run(None, given), strict=True))


def batches():
    """One of the clips of small_systems, and all of them twice, with garbage in padded frames."""
    clips = systems.garbage(systems.clips())
    yield *(x[2:] for x in clips), jnp.array([False])
    yield *(jnp.concatenate([x, x[::-1]]) for x in clips), jnp.arange(6) % 2 == 0


@pytest.mark.parametrize(
    "variant",
    [pytest.param(name, marks=[pytest.mark.slow] * (name in systems.HEAVY | ALL.keys())) for name in systems.VARIANTS],
)
def test_a_system_gives_what_it_gives_live(variant):
    options = dataclasses.replace(systems.options(variant), **ALL.get(variant, {}))
    _, _, params, stats = systems.split_model(options)
    weights = {"params": params, "stats": stats}
    live = jax.jit(runtime.function(options))
    shapes = dict(zip(runtime.INPUTS, (*systems.clips(), jnp.ones(3, bool)), strict=True))
    run = session(walk.convert(lambda *clips: live(weights, *clips), shapes, {}, variant))
    for batch in batches():
        expected = live(weights, *batch)
        got = run(dict(zip(runtime.INPUTS, map(np.asarray, batch), strict=True)))
        assert got.keys() == expected.keys()
        for name, value in expected.items():
            assert got[name].shape == value.shape
            # Rounding moves a pixel of flow across a cut-off, which the attention shows.
            np.testing.assert_allclose(got[name], value, atol=1e-4, err_msg=name)


def test_the_file_is_what_onnx_says_a_file_is(rng):
    x = rng.normal(size=(2, 7, 8, 3)).astype(np.float32)
    content = converted(lambda x: conv.max_pool(jax.nn.relu(x), 3, 2, "same")[:, 0] + x.shape[0], x)
    model = onnx.load_from_string(content)
    onnx.checker.check_model(model, full_check=True)
    assert [dim.dim_param or dim.dim_value for dim in model.graph.input[0].type.tensor_type.shape.dim] == [
        "batch",
        7,
        8,
        3,
    ]


def converted(function, *arrays):
    """The ONNX form of a function of arrays (first axis: batch), checked on all rows and on the first."""
    names = [f"x{k}" for k in range(len(arrays))]
    shapes = dict(zip(names, arrays, strict=True))
    content = walk.convert(lambda *x: {"y": function(*x)}, shapes, {}, "one")
    run = session(content)
    for rows in (len(arrays[0]), 1):
        given = {name: array[:rows] for name, array in shapes.items()}
        np.testing.assert_allclose(run(given)["y"], function(*map(jnp.asarray, given.values())), atol=2e-5, rtol=1e-5)
    return content


OPERATIONS = {
    "the last and the one before": lambda x: x[:, -1] - x[:, -2],
    "indices out of bounds are filled": lambda x: x.at[:, jnp.array([0, 9, 2])].get(mode="fill", fill_value=7.0),
    "indices out of bounds are clipped": lambda x: x.at[:, jnp.array([0, 9, 2])].get(mode="clip"),
    "reversed": lambda x: x[:, ::-1] - x,
    "merged, transposed, split": lambda x: jnp.swapaxes(x.reshape(-1, 4, 3), 1, 2).reshape(x.shape[0], 3, 20),
    "repeated, then merged": lambda x: jnp.broadcast_to(x[:, None], (x.shape[0], 2, *x.shape[1:])).reshape(-1, 5, 4, 3),
    "iota along the batch": lambda x: x + jnp.arange(x.shape[0])[:, None, None, None],
    "all and any": lambda x: (jnp.all(x > -1, axis=(2, 3)) | jnp.any(x > 2, axis=(2, 3))).astype(jnp.float32),
    "several axes summed": lambda x: jnp.einsum("btuc,tuk->bkc", x, jnp.ones((5, 4, 2)) / 3),
    "from the left": lambda x: jnp.einsum("ij,btjc->bitc", jnp.arange(12.0).reshape(3, 4), x),
    "batch axes": lambda x: jnp.einsum("btuc,bvuc->buvt", x, x * 2),
    "powers": lambda x: jax.nn.gelu(x, approximate=False) + x**3 + lax.rsqrt(jnp.square(x) + 1.0),
    "curves": lambda x: (
        jnp.sin(x) + jnp.cos(x) + jnp.log(jnp.abs(x) + 1) * jnp.sign(x) + lax.erf(x) + (x * x + 0.1) ** x
    ),
    "steps": lambda x: jnp.ceil(x) - jnp.floor(x) + jnp.where(~(x > 0), jnp.min(x, axis=3, keepdims=True), -x),
    "by the largest": lambda x: x - jnp.max(x, axis=2, keepdims=True),
    "padded below nothing": lambda x: jnp.pad(x, ((0, 0), (1, 2), (0, 0), (0, 0)))[:, :, 1:],
    "carried along": lambda x: lax.scan(lambda c, r: (c * 0.5 + r, c), x[:, 0] * 0, x.swapaxes(0, 1), reverse=True)[1][
        2
    ],
}


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_gives_what_jax_gives(name, rng):
    converted(OPERATIONS[name], rng.normal(size=(3, 5, 4, 3)).astype(np.float32))


@pytest.mark.parametrize("padding", ["symmetric", "same", "valid"])
def test_pooling_is_one_operation(padding, rng):
    x = rng.normal(size=(2, 7, 8, 3)).astype(np.float32) - 5
    content = converted(lambda x: conv.max_pool(x, 3, 2, padding), x)
    assert operations(content).count("MaxPool") == 1


def test_a_convolution_takes_up_what_follows_it(rng):
    kernel = jnp.asarray(rng.normal(size=(3, 3, 3, 6)), jnp.float32)
    gain, bias = jnp.asarray(rng.normal(size=(2, 6)), jnp.float32)
    x = rng.normal(size=(2, 7, 8, 3)).astype(np.float32)
    content = converted(lambda x: jax.nn.relu(conv.convolve(x, kernel, 2) * gain + bias), x)
    assert not {"Mul", "Add"} & set(operations(content))


def test_a_convolution_that_is_read_twice_is_left_alone(rng):
    kernel = jnp.asarray(rng.normal(size=(3, 3, 3, 6)), jnp.float32)

    def function(x):
        y = conv.convolve(x, kernel, 1)
        return y * jnp.arange(6.0) + y

    assert "Mul" in operations(converted(function, rng.normal(size=(2, 7, 8, 3)).astype(np.float32)))


def test_depthwise_convolutions_are_grouped(rng):
    kernel = jnp.asarray(rng.normal(size=(3, 3, 1, 6)), jnp.float32)
    content = converted(
        lambda x: conv.convolve_channels(x, kernel, 2), rng.normal(size=(2, 7, 8, 6)).astype(np.float32)
    )
    assert operations(content).count("Conv") == 1


def test_padding_reaches_no_recurrent_state(rng):
    layer = recurrent.GRU(3, 4, rngs=nnx.Rngs(0))
    x, length = rng.normal(size=(3, 5, 3)).astype(np.float32), np.array([5, 1, 3], np.int32)
    converted(lambda x, length: recurrent.final_state(layer(x, length), length, 2), x, length)


def operations(content: bytes) -> list[str]:
    return [node.op_type for node in onnx.load_model_from_string(content).graph.node]


REFUSED = {
    "'sort'": jnp.sort,
    "'dynamic_slice'": lambda x: lax.dynamic_slice_in_dim(x, x[0, 0].astype(int), 2, axis=1),
    "bfloat16": lambda x: (x.astype(jnp.bfloat16) * 2).astype(jnp.float32),
    "between elements": lambda x: lax.pad(x, 0.0, ((0, 0, 0), (0, 0, 1))),
}


@pytest.mark.parametrize("words", REFUSED)
def test_what_has_no_onnx_form_is_refused_by_name(words):
    with pytest.raises(DataError, match=words):
        walk.convert(lambda x: {"y": REFUSED[words](x)}, {"x": np.zeros((2, 5), np.float32)}, {}, "one")
