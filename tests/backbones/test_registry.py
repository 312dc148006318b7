"""Every registered backbone keeps the contract; the ResNets have the published sizes."""

import functools
import itertools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from fusion_dfd import config
from fusion_dfd.backbones import conv, convert, registry, vit
from fusion_dfd.backbones.layers import BatchNorm

PAGE = pathlib.Path(__file__).parents[2] / "docs" / "BACKBONES.md"
# torchvision's table of weights, classifier (1000 classes) included.
PUBLISHED = {"resnet18": 11_689_512, "resnet34": 21_797_672, "resnet50": 25_557_032}
# One of each family: what differs between its members is data, which the parity tests cover.
# DINOv3 has what no other ViT has: registers, tokens that are turned, scales of what a block adds.
FAMILIES = [*(family.SPECS[0].name for family in registry.FAMILIES), "vit_base_dinov3"]
SHAPES = {(spec.input_size, spec.width, spec.channels): spec.name for spec in reversed(registry.BACKBONES.values())}


@functools.cache
def abstract(name: str, **options):
    return nnx.eval_shape(lambda: registry.build(config.Backbone(name, **options), rngs=nnx.Rngs(0)))


def tiny(name: str, **options):
    """A thin network of one stage."""
    return registry.build(config.Backbone(name, width=4, stages=1), rngs=nnx.Rngs(0), **options)


@functools.cache
def compiled(name: str, remat: bool):
    graph, params, stats = nnx.split(tiny(name, remat=remat), nnx.Param, ...)

    def loss(params, images, valid):
        net = nnx.merge(graph, params, stats, copy=True)
        maps = net(images, valid)
        weights = jax.random.normal(jax.random.key(1), maps.shape) * valid[:, None, None, None]
        return jnp.sum(maps * weights), (maps, nnx.to_pure_dict(nnx.state(net, nnx.BatchStat)))

    return nnx.to_pure_dict(params), jax.jit(jax.grad(loss, has_aux=True))


def run(name: str, images, valid, *, remat=False):
    """Maps, new statistics, gradient of a fixed random sum of the maps of valid images."""
    params, step = compiled(name, remat)
    grads, (maps, new) = step(params, jnp.asarray(images, jnp.float32), jnp.asarray(valid))
    return maps, new, grads


def close(one, two, **tolerance):
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, **tolerance), one, two)


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in FAMILIES)) for name in SHAPES.values()]
)
def test_full_size_maps_and_taps(name):
    spec, net = registry.get(name), abstract(name)
    images = jax.ShapeDtypeStruct((2, spec.input_size, spec.input_size, 3), jnp.float32)
    features = nnx.eval_shape(lambda n, x: n.features(x), net, images)
    assert net.channels == spec.channels == features.maps.shape[-1]
    assert features.maps.shape[0] == 2
    assert (features.pooled.shape, features.pooled.dtype) == ((2, spec.channels), jnp.float32)
    assert list(features.taps) == [f"stage{number}" for number in range(1, spec.stages + 1)]
    sides = [tap.shape[1] for tap in features.taps.values()]
    assert sides == sorted(sides, reverse=True)
    assert features.maps.shape[1:3] == features.taps[f"stage{spec.stages}"].shape[1:3]


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=[pytest.mark.slow] * (name not in FAMILIES)) for name in registry.BACKBONES]
)
def test_what_is_written_of_it_is_so(name):
    """Tables name every array once, images of no fit are refused, and the page counts its parameters."""
    spec, net = registry.get(name), abstract(name)
    assert net.channels == spec.channels
    assert len(spec.source) > 5
    assert len(spec.licence) > 2
    for layout in spec.name_tables:
        sources = layout.sources(net)
        assert set(sources) == set(convert.leaves(net))
        names = [source.name for source in sources.values() if source]
        assert len(set(names)) == len(names)
    side = 8 if name.startswith("vgg") else 20
    with pytest.raises(config.ConfigError, match=r"data\.size"):
        nnx.eval_shape(lambda n, x: n(x), net, jax.ShapeDtypeStruct((1, side, side, 3), jnp.float32))
    count = sum(leaf.size for leaf in jax.tree.leaves(nnx.state(net, nnx.Param)))
    if name in PUBLISHED:
        assert count == PUBLISHED[name] - 1000 * (net.channels + 1)
    rows = [line.split(" | ") for line in PAGE.read_text().splitlines() if line.startswith(f"| `{name}` |")]
    assert [row[1] for row in rows][:1] == [f"{count:,}"]
    assert len(rows) == 2


@pytest.mark.parametrize("name", FAMILIES)
def test_fewer_stages_are_the_first_ones_and_fit_64_pixels(name):
    stages = 2 if name == "inceptionv3" else 3
    whole, cut = abstract(name), abstract(name, stages=stages)
    shapes = {path: leaf.shape for path, leaf in convert.leaves(whole).items()}
    assert {path: leaf.shape for path, leaf in convert.leaves(cut).items()}.items() < shapes.items()
    images = jax.ShapeDtypeStruct((1, 64, 64, 3), jnp.float32)
    features = nnx.eval_shape(lambda n, x: n.features(x), cut, images)
    assert list(features.taps) == [f"stage{number}" for number in range(1, stages + 1)]
    assert features.maps.shape == (1, *features.taps[f"stage{stages}"].shape[1:3], cut.channels)


@pytest.mark.parametrize("name", FAMILIES)
def test_stages_that_are_not_there_are_refused(name):
    with pytest.raises(config.ConfigError, match=rf"stages=9: {name} has {registry.get(name).stages}"):
        abstract(name, stages=9)


@pytest.mark.parametrize(
    ("name", "width", "message"),
    [("vit_small", 100, "want less than 64 or a multiple"), ("vit_base_dinov3", 6, "want a multiple of 4")],
)
def test_a_token_of_no_whole_heads_is_refused(name, width, message):
    with pytest.raises(config.ConfigError, match=f"width={width}: {message}"):
        abstract(name, width=width)


def test_tokens_are_turned_as_complex_numbers_are(rng):
    """By the definition: channels i and i + 4 of a head of 8 are one complex number; y turns i = 0, 1, x 2, 3."""
    tokens = rng.normal(size=(1, 2 + 6, 3, 8)).astype(np.float32)
    expected = tokens.astype(np.float64)
    for place in range(6):
        y, x = (place // 3 + 0.5) / 2 * 2 - 1, (place % 3 + 0.5) / 3 * 2 - 1
        turn = np.exp(2j * np.pi * np.array([y, y / 10, x, x / 10]))
        seen = (expected[0, 2 + place, :, :4] + 1j * expected[0, 2 + place, :, 4:]) * turn
        expected[0, 2 + place] = np.concatenate([seen.real, seen.imag], -1)
    got = vit.turned(jnp.asarray(tokens), jnp.asarray(vit.rotation(2, 3, 8)))
    np.testing.assert_allclose(got, expected, atol=1e-5)


def test_where_the_class_token_looks_is_its_softmax_over_all_tokens(rng):
    block = vit.Block(4, vit.gelu, 1e-6, True, None, dtype=jnp.float32, rngs=nnx.Rngs(0))
    tokens = rng.normal(size=(1, 5, 4)).astype(np.float32)
    centred = tokens - tokens.mean(-1, keepdims=True)
    qkv = centred / np.sqrt((centred**2).mean(-1, keepdims=True) + 1e-6) @ np.asarray(block.qkv.kernel[...])
    scores = np.exp(qkv[0, 0, :4] @ qkv[0, :, 4:8].T / 2)
    np.testing.assert_allclose(block.looks(jnp.asarray(tokens), None)[0], scores / scores.sum(), rtol=1e-4)


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


@pytest.mark.parametrize("name", FAMILIES)
def test_invalid_images_reach_no_statistic_and_no_gradient(name, rng):
    images = rng.normal(size=(2, 32, 32, 3))
    valid = [True, False]
    maps, stats, grads = run(name, images, valid)
    other = run(name, np.concatenate([images[:1], 50 * images[1:] + 7]), valid)
    close((maps[:1], stats, grads), (other[0][:1], *other[1:]), rtol=1e-4, atol=1e-4)
    assert np.abs(maps[1] - other[0][1]).max() > 0.1
    assert all(np.isfinite(leaf).all() and np.abs(leaf).max() > 0 for leaf in jax.tree.leaves(grads))


@pytest.mark.parametrize("name", ["resnet18", "vgg16", "vit_small"])
def test_remat_keeps_gradients_and_statistics(name, rng):
    images = rng.normal(size=(2, 32, 32, 3))
    plain, saved = (run(name, images, [True, True], remat=remat) for remat in (False, True))
    close(plain, saved, rtol=1e-3, atol=1e-4)
    assert all(np.abs(new - round(float(new[0]))).max() > 1e-3 for new in jax.tree.leaves(saved[1]))


@pytest.mark.parametrize("name", FAMILIES)
def test_bfloat16_stays_close_and_keeps_float32_state(name, rng):
    images = jnp.asarray(rng.normal(size=(2, 32, 32, 3)), jnp.float32)
    graph, state = nnx.split(tiny(name, dtype=jnp.bfloat16))

    def step(state, images):
        net = nnx.merge(graph, state)
        return net.features(images), nnx.state(net)

    features, after = jax.jit(step)(state, images)
    assert features.maps.dtype == jnp.bfloat16
    assert features.pooled.dtype == jnp.float32
    assert {leaf.dtype for leaf in jax.tree.leaves(after)} == {jnp.dtype("float32")}
    maps, stats, grads = run(name, images, [True, True])  # float32, compiled for the test above
    assert {leaf.dtype for leaf in jax.tree.leaves((maps, stats, grads))} == {jnp.dtype("float32")}
    error = np.abs(features.maps.astype(jnp.float32) - maps)
    assert 0 < error.mean() < 0.02 * np.abs(maps).mean()


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


CONVOLUTIONS = [
    ((1, 1), 1, "symmetric"), ((1, 1), 2, "symmetric"), ((3, 3), 1, "symmetric"), ((3, 3), 2, "symmetric"),
    ((7, 7), 2, "symmetric"), ((1, 7), 1, "symmetric"), ((3, 3), 2, "same"), ((5, 5), 2, "same"), ((3, 1), 1, "valid"),
]  # fmt: skip


def correlated(x, kernel, stride, padding, rng):
    """Result and both gradients of a convolution by its definition, and the slope of the result they are for."""
    size = kernel.shape[:2]
    around = ((0, 0), *tensorflow_same(x.shape[1:3], size, stride), (0, 0))
    if padding != "same":
        around = tuple((pad, pad) for pad in (0, *(n // 2 if padding == "symmetric" else 0 for n in size), 0))
    wide = np.pad(x, around)
    windows = np.lib.stride_tricks.sliding_window_view(wide, size, axis=(1, 2))[:, ::stride, ::stride]
    want = np.einsum("nhwist,stio->nhwo", windows, kernel)
    slope = rng.normal(size=want.shape)
    to_kernel = np.einsum("nhwist,nhwo->stio", windows, slope)
    to_x = np.zeros_like(wide)
    for h, w in np.ndindex(want.shape[1:3]):
        top, left = h * stride, w * stride
        to_x[:, top : top + size[0], left : left + size[1]] += np.einsum("no,stio->nsti", slope[:, h, w], kernel)
    inside = tuple(slice(before, before + n) for (before, _), n in zip(around, x.shape, strict=True))
    return want, to_x[inside], to_kernel, slope


def tensorflow_same(shape, size, stride):
    """As the guide of tf.nn writes it, by cases."""
    for length, side in zip(shape, size, strict=True):
        total = max(side - stride, 0) if length % stride == 0 else max(side - length % stride, 0)
        yield total // 2, total - total // 2


@pytest.mark.parametrize(("size", "stride", "padding"), CONVOLUTIONS)
@pytest.mark.parametrize("sides", [(8, 10), (9, 7)])
def test_convolution_and_its_gradients_against_numpy(size, stride, padding, sides, rng):
    x, kernel = rng.normal(size=(4, *sides, 2)), rng.normal(size=(*size, 2, 3))
    want, to_x, to_kernel, slope = correlated(x, kernel, stride, padding, rng)
    x, kernel, slope = (jnp.asarray(value, jnp.float32) for value in (x, kernel, slope))
    got, pull = jax.vjp(lambda x, kernel: conv.convolve(x, kernel, stride, padding), x, kernel)
    for one, two in zip((got, *pull(slope)), (want, to_x, to_kernel), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize(
    ("size", "stride", "padding", "sides"),
    [(3, 1, "symmetric", (9, 7)), (3, 2, "same", (9, 7)), (3, 2, "same", (8, 10)), (5, 2, "symmetric", (8, 7))],
)
def test_channels_by_themselves_are_a_diagonal_kernel(size, stride, padding, sides, rng):
    x, kernel = rng.normal(size=(2, *sides, 3)), rng.normal(size=(size, size, 1, 3))
    want, to_x, to_kernel, slope = correlated(x, kernel * np.eye(3), stride, padding, rng)
    x, kernel, slope = (jnp.asarray(value, jnp.float32) for value in (x, kernel, slope))
    got, pull = jax.vjp(lambda x, kernel: conv.convolve_channels(x, kernel, stride, padding), x, kernel)
    to_kernel = np.einsum("stii->sti", to_kernel)[:, :, None]
    for one, two in zip((got, *pull(slope)), (want, to_x, to_kernel), strict=True):
        np.testing.assert_allclose(one, two, rtol=1e-4, atol=1e-3)


def test_an_unknown_padding_is_refused():
    with pytest.raises(ValueError, match="padding 'SAME': want symmetric, same or valid"):
        conv.margins((8, 8), (3, 3), 1, "SAME")


@pytest.mark.parametrize("padding", ["symmetric", "same"])
def test_mean_pool_counts_padding_as_its_library_does(padding, rng):
    x = rng.normal(size=(2, 5, 6, 3)).astype(np.float32)
    want = np.zeros_like(x)
    for i, j in np.ndindex(5, 6):
        window = x[:, max(0, i - 1) : i + 2, max(0, j - 1) : j + 2]
        want[:, i, j] = window.sum((1, 2)) / 9 if padding == "symmetric" else window.mean((1, 2))
    np.testing.assert_allclose(conv.mean_pool(jnp.asarray(x), 3, padding), want, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("size", "stride"), [((3, 3), 2), ((5, 1), 1)])
def test_kernel_gradient_is_the_same_in_groups_of_any_size_and_alone_or_by_twos(size, stride, rng):
    shape, sides = (*size, 2, 3), [-(-side // stride) for side in (7, 5)]
    x, slope = (jnp.asarray(rng.normal(size=(6, *of)), jnp.float32) for of in ((7, 5, 2), (*sides, 3)))
    whole = conv.kernel_gradient(x, slope, shape, stride)
    for narrow, values in itertools.product((0, 64), (1, 1000, 10**6)):
        grouped = conv.kernel_gradient(x, slope, shape, stride, values=values, narrow=narrow)
        np.testing.assert_allclose(grouped, whole, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize(("size", "stride", "padding"), [(2, 2, "valid"), (3, 2, "symmetric"), (3, 2, "same")])
@pytest.mark.parametrize("side", [6, 7])
def test_max_pool_against_a_plain_loop(size, stride, padding, side, rng):
    x = rng.normal(-2, 1, size=(2, side, side, 3)).astype(np.float32)
    around = {"valid": (0, 0), "symmetric": (1, 1), "same": (1, 1) if side % 2 else (0, 1)}[padding]
    wide = np.pad(x, ((0, 0), around, around, (0, 0)), constant_values=-np.inf)
    out = (side + sum(around) - size) // stride + 1
    want = np.zeros((2, out, out, 3), np.float32)
    for i, j in np.ndindex(out, out):
        want[:, i, j] = wide[:, i * stride : i * stride + size, j * stride : j * stride + size].max((1, 2))
    np.testing.assert_array_equal(conv.max_pool(jnp.asarray(x), size, stride, padding), want)
    total = jax.jit(jax.grad(lambda x: conv.max_pool(x, size, stride, padding).sum()))(jnp.asarray(x)).sum()
    np.testing.assert_allclose(total, want.size, rtol=1e-5)
