"""Every registered backbone keeps the contract; the ResNets have the published sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fusion_dfd import config
from fusion_dfd.backbones import registry
from fusion_dfd.backbones.conv import convolve, max_pool
from fusion_dfd.backbones.norm import BatchNorm

# torchvision's table of weights, classifier (1000 classes) included.
PUBLISHED = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032}


def abstract(name: str, **options):
    return nnx.eval_shape(lambda: registry.build(config.Backbone(name, **options), rngs=nnx.Rngs(0)))


def small(name: str, *, dtype=jnp.float32, remat=False, seed=0):
    return registry.build(config.Backbone(name, width=4, stages=2), dtype=dtype, remat=remat, rngs=nnx.Rngs(seed))


@pytest.mark.parametrize("name", registry.BACKBONES)
def test_full_size_maps(name):
    spec, net = registry.get(name), abstract(name)
    images = jax.ShapeDtypeStruct((2, spec.input_size, spec.input_size, 3), jnp.float32)
    maps = nnx.eval_shape(lambda n, x: n(x), net, images)
    assert net.channels == spec.channels
    assert maps.shape[0] == 2
    assert maps.shape[-1] == spec.channels
    assert len(spec.source) > 5
    assert len(spec.licence) > 2


@pytest.mark.parametrize("name", PUBLISHED)
def test_parameter_count_is_the_published_one(name):
    net = abstract(name)
    count = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(net, nnx.Param)))
    assert count == PUBLISHED[name] - 1000 * (net.channels + 1)


@pytest.mark.parametrize(("stages", "channels", "side"), [(1, 256, 56), (2, 512, 28), (3, 1024, 14), (4, 2048, 7)])
def test_stages_of_resnet50(stages, channels, side):
    images = jax.ShapeDtypeStruct((1, 224, 224, 3), jnp.float32)
    maps = nnx.eval_shape(lambda n, x: n(x), abstract("resnet50", stages=stages), images)
    assert maps.shape == (1, side, side, channels)


def test_resnet50_strides_in_the_3x3():
    block = abstract("resnet50").stages[1][0]
    assert (block.conv1.stride, block.conv2.stride, block.conv3.stride) == (1, 2, 1)
    assert block.conv2.kernel.shape == (3, 3, 128, 128)
    assert block.shortcut_conv.kernel.shape == (1, 1, 256, 512)


@pytest.mark.parametrize("name", registry.BACKBONES)
def test_training_statistics_skip_invalid_images(name, rng):
    images = jnp.asarray(rng.normal(size=(3, 48, 48, 3)), jnp.float32)
    valid = jnp.array([True, True, False])
    net, other = small(name), small(name)
    maps, kept = net(images, valid), other(images[:2], None)
    np.testing.assert_allclose(maps[:2], kept, atol=1e-4)
    for one, two in zip(
        jax.tree.leaves(nnx.state(net, nnx.BatchStat)), jax.tree.leaves(nnx.state(other, nnx.BatchStat)), strict=True
    ):
        np.testing.assert_allclose(one, two, atol=1e-5)
        assert np.isfinite(one).all()


@pytest.mark.parametrize("name", registry.BACKBONES)
def test_remat_keeps_gradients_and_statistics(name, rng):
    images = jnp.asarray(rng.normal(size=(2, 48, 48, 3)), jnp.float32)

    def run(remat):
        graph, params, stats = nnx.split(small(name, remat=remat), nnx.Param, ...)

        @jax.jit
        def step(params, stats):
            def loss(params):
                net = nnx.merge(graph, params, stats)
                return jnp.mean(jnp.square(net(images))), nnx.to_pure_dict(nnx.state(net, nnx.BatchStat))

            return jax.grad(loss, has_aux=True)(params)

        return step(nnx.to_pure_dict(params), nnx.to_pure_dict(stats))

    plain, saved = run(False), run(True)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5), plain, saved)
    assert any(np.abs(leaf - np.round(leaf)).max() > 1e-6 for leaf in jax.tree.leaves(saved[1]))


@pytest.mark.parametrize("name", registry.BACKBONES)
def test_bfloat16_stays_close_and_keeps_float32_state(name, rng):
    images = jnp.asarray(rng.normal(size=(2, 48, 48, 3)), jnp.float32)
    full, half = small(name), small(name, dtype=jnp.bfloat16)
    want, got = full(images), half(images)
    assert got.dtype == jnp.bfloat16
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(nnx.state(half)))
    error = np.abs(got.astype(jnp.float32) - want)
    assert error.mean() < 0.03 * np.abs(want).mean()


@pytest.mark.parametrize("name", registry.BACKBONES)
def test_too_small_images_are_refused(name):
    net = abstract(name)
    with pytest.raises(config.ConfigError, match=r"data\.size.*stages"):
        nnx.eval_shape(lambda n, x: n(x), net, jax.ShapeDtypeStruct((1, 16, 16, 3), jnp.float32))


def test_unknown_backbone_names_the_known():
    with pytest.raises(config.ConfigError, match="resnet50"):
        registry.get("resnet51")


def test_normalise_is_the_published_one():
    frames = np.zeros((1, 2, 2, 3), np.uint8)
    frames[..., 0] = 255
    got = registry.get("resnet50").normalise(jnp.asarray(frames))
    np.testing.assert_allclose(got[0, 0, 0], [(1 - 0.485) / 0.229, -0.456 / 0.224, -0.406 / 0.225], rtol=1e-6)


def test_batch_norm_against_numpy(rng):
    x = rng.normal(3, 2, size=(5, 4, 4, 6)).astype(np.float32)
    valid = np.array([True, False, True, True, False])
    layer = BatchNorm(6)
    got = layer(jnp.asarray(x), jnp.asarray(valid))
    mean, var = x[valid].mean((0, 1, 2)), x[valid].var((0, 1, 2))
    np.testing.assert_allclose(got, (x - mean) / np.sqrt(var + 1e-5), atol=1e-4)
    np.testing.assert_allclose(layer.mean[...], 0.1 * mean, rtol=1e-4)
    np.testing.assert_allclose(layer.var[...], 0.9 + 0.1 * var, rtol=1e-4)
    still = nnx.view(layer, use_running_average=True)
    np.testing.assert_allclose(still(jnp.asarray(x)), (x - 0.1 * mean) / np.sqrt(0.9 + 0.1 * var + 1e-5), atol=1e-4)


def test_batch_norm_without_anything_valid_changes_nothing():
    layer = BatchNorm(2)
    got = layer(jnp.ones((3, 2, 2, 2)), jnp.zeros(3, bool))
    assert np.isfinite(got).all()
    np.testing.assert_array_equal(layer.mean[...], 0)
    np.testing.assert_array_equal(layer.var[...], 1)


@pytest.mark.parametrize(("size", "stride"), [(1, 1), (1, 2), (3, 1), (3, 2), (7, 2)])
@pytest.mark.parametrize("images", [3, 8])
def test_convolution_and_its_gradients_against_a_plain_loop(size, stride, images, rng):
    kernel = jnp.asarray(rng.normal(size=(size, size, 2, 3)), jnp.float32)
    x = jnp.asarray(rng.normal(size=(images, 8, 10, 2)), jnp.float32)
    pad = size // 2

    def plain(x, kernel):
        x = jnp.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
        rows, columns = (8 + 2 * pad - size) // stride + 1, (10 + 2 * pad - size) // stride + 1
        out = jnp.zeros((images, rows, columns, 3))
        for i in range(size):
            for j in range(size):
                part = x[:, i : i + stride * (rows - 1) + 1 : stride, j : j + stride * (columns - 1) + 1 : stride]
                out += jnp.einsum("nhwi,io->nhwo", part, kernel[i, j], precision="highest")
        return out

    weight = jnp.asarray(rng.normal(size=plain(x, kernel).shape), jnp.float32)
    want, pull = jax.vjp(plain, x, kernel)
    got, ours_pull = jax.vjp(lambda x, kernel: convolve(x, kernel, stride), x, kernel)
    np.testing.assert_allclose(got, want, rtol=1e-4, atol=1e-3)
    for one, two in zip(ours_pull(weight), pull(weight), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(("size", "stride", "pad"), [(2, 2, 0), (3, 2, 1)])
@pytest.mark.parametrize("side", [6, 7])
def test_max_pool_against_a_plain_loop(size, stride, pad, side, rng):
    x = np.abs(rng.normal(size=(2, side, side, 3))).astype(np.float32)
    wide = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    out = (side + 2 * pad - size) // stride + 1
    want = np.zeros((2, out, out, 3), np.float32)
    for i in range(out):
        for j in range(out):
            want[:, i, j] = wide[:, i * stride : i * stride + size, j * stride : j * stride + size].max((1, 2))
    np.testing.assert_array_equal(max_pool(jnp.asarray(x), size, stride, pad), want)
    total = jax.grad(lambda x: max_pool(x, size, stride, pad).sum())(jnp.asarray(x)).sum()
    np.testing.assert_allclose(total, want.size, rtol=1e-5)
