"""Every registered backbone keeps the contract; the ResNets have the published sizes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fusion_dfd import config
from fusion_dfd.backbones import conv, registry
from fusion_dfd.backbones.norm import BatchNorm

# torchvision's table of weights, classifier (1000 classes) included.
PUBLISHED = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032}


def abstract(name: str, **options):
    return nnx.eval_shape(lambda: registry.build(config.Backbone(name, **options), rngs=nnx.Rngs(0)))


def run(name: str, images, valid=None, *, remat=False, of=slice(None)):
    """Maps, new statistics, gradient of the mean square of the maps ``of``; of a thin and shallow network.

    Not compiled as a whole: operation by operation, the networks share what is compiled.
    """
    net = registry.build(config.Backbone(name, width=4, stages=1), remat=remat, rngs=nnx.Rngs(0))
    graph, params, stats = nnx.split(net, nnx.Param, ...)

    def loss(params):
        net = nnx.merge(graph, params, stats, copy=True)
        maps = net(jnp.asarray(images, jnp.float32), valid)
        return jnp.mean(jnp.square(maps[of])), (maps, nnx.to_pure_dict(nnx.state(net, nnx.BatchStat)))

    grads, (maps, new) = jax.grad(loss, has_aux=True)(nnx.to_pure_dict(params))
    return maps, new, grads


def close(one, two, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), one, two)


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
def test_invalid_images_reach_no_statistic_and_no_gradient(name, rng):
    images = rng.normal(size=(2, 32, 32, 3))
    valid = jnp.array([True, False])
    maps, stats, grads = run(name, images, valid, of=slice(1))
    other = run(name, np.concatenate([images[:1], 50 * images[1:] + 7]), valid, of=slice(1))
    close((maps[:1], stats, grads), (other[0][:1], *other[1:]), rtol=1e-4, atol=1e-4)
    assert np.abs(maps[1] - other[0][1]).max() > 0.1
    assert all(np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize("name", registry.BACKBONES)
def test_remat_keeps_gradients_and_statistics(name, rng):
    images = rng.normal(size=(2, 32, 32, 3))
    plain, saved = run(name, images), run(name, images, remat=True)
    close(plain, saved, rtol=1e-3, atol=1e-5)
    assert all(np.abs(new - round(float(new[0]))).max() > 1e-3 for new in jax.tree.leaves(saved[1]))


@pytest.mark.parametrize("name", registry.BACKBONES)
def test_bfloat16_stays_close_and_keeps_float32_state(name, rng):
    images = jnp.asarray(rng.normal(size=(2, 32, 32, 3)), jnp.float32)
    maps = {}
    for dtype in (jnp.float32, jnp.bfloat16):
        net = registry.build(config.Backbone(name, width=4, stages=1), dtype=dtype, rngs=nnx.Rngs(0))
        maps[dtype] = nnx.view(net, use_running_average=True)(images)
        assert maps[dtype].dtype == dtype
        net(images)
        assert {leaf.dtype for leaf in jax.tree.leaves(nnx.state(net))} == {jnp.dtype("float32")}
    error = np.abs(maps[jnp.bfloat16].astype(jnp.float32) - maps[jnp.float32])
    assert 0 < error.mean() < 0.02 * np.abs(maps[jnp.float32]).mean()


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
def test_convolution_and_its_gradients_against_numpy(size, stride, rng):
    x, kernel, pad = rng.normal(size=(6, 8, 10, 2)), rng.normal(size=(size, size, 2, 3)), size // 2
    wide = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    windows = np.lib.stride_tricks.sliding_window_view(wide, (size, size), axis=(1, 2))[:, ::stride, ::stride]
    want = np.einsum("nhwist,stio->nhwo", windows, kernel)
    slope = rng.normal(size=want.shape)
    to_kernel = np.einsum("nhwist,nhwo->stio", windows, slope)
    to_x = np.zeros_like(wide)
    for h, w in np.ndindex(want.shape[1:3]):
        top, left = h * stride, w * stride
        to_x[:, top : top + size, left : left + size] += np.einsum("no,stio->nsti", slope[:, h, w], kernel)
    to_x = to_x[:, pad : pad + 8, pad : pad + 10]
    x, kernel, slope = (jnp.asarray(value, jnp.float32) for value in (x, kernel, slope))
    got, pull = jax.vjp(lambda x, kernel: conv.convolve(x, kernel, stride), x, kernel)
    for one, two in zip((got, *pull(slope)), (want, to_x, to_kernel), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-3)


def test_kernel_gradient_is_the_same_in_groups_of_any_size(monkeypatch, rng):
    x, slope = (jnp.asarray(rng.normal(size=(6, 5, 5, c)), jnp.float32) for c in (2, 3))
    whole = conv._kernel_gradient(x, slope, (3, 3, 2, 3), 1)
    for group in (1, 4, 6):
        monkeypatch.setattr(conv, "_GROUP", group * 25 * 9 * 2)
        np.testing.assert_allclose(conv._kernel_gradient(x, slope, (3, 3, 2, 3), 1), whole, rtol=1e-4, atol=1e-4)


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
    np.testing.assert_array_equal(conv.max_pool(jnp.asarray(x), size, stride, pad), want)
    total = jax.jit(jax.grad(lambda x: conv.max_pool(x, size, stride, pad).sum()))(jnp.asarray(x)).sum()
    np.testing.assert_allclose(total, want.size, rtol=1e-5)
