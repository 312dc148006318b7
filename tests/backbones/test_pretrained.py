"""Published weights: what a file holds is what the backbone gets, or one sentence that lists all that differs."""

import dataclasses
import hashlib

import numpy as np
import pytest
from flax import nnx

from fusion_dfd import config
from fusion_dfd.backbones import convert, pretrained, registry
from fusion_dfd.backbones.spec import WeightsFile
from fusion_dfd.types import DataError
from fusion_dfd.weights.sources import Wheel

OPTIONS = config.Backbone("resnet18", width=4)


def published(rng, options=OPTIONS) -> dict[str, np.ndarray]:
    """Arrays of a thin network by their published names and in their published order of axes."""
    net = nnx.eval_shape(lambda: registry.build(options, rngs=nnx.Rngs(0)))
    layout, shapes = registry.get(options.name).name_tables[0], convert.leaves(net)
    arrays = {}
    for path, source in layout.sources(net).items():
        axes = source.axes or tuple(range(len(shapes[path].shape)))
        array = rng.normal(size=shapes[path].shape).astype(np.float32)
        arrays[source.name] = array.transpose(np.argsort(axes))
    return arrays


def saved(tmp_path, arrays, **changes) -> config.Backbone:
    path = tmp_path / "weights.npz"
    np.savez(path, **arrays)
    return dataclasses.replace(OPTIONS, weights=str(path), **changes)


def test_a_file_is_what_the_backbone_gets(tmp_path, rng):
    arrays = published(rng) | {"fc.weight": np.zeros((2, 2)), "bn1.num_batches_tracked": np.int64(3)}
    params, stats = pretrained.load(saved(tmp_path, arrays))
    np.testing.assert_array_equal(params["conv1"]["kernel"], arrays["conv1.weight"].transpose(2, 3, 1, 0))
    want = arrays["layer2.0.downsample.1.running_var"]
    np.testing.assert_array_equal(stats["stages"][1][0]["shortcut_bn"]["var"], want)
    fresh = nnx.split(registry.build(OPTIONS, rngs=nnx.Rngs(0)), nnx.Param, ...)
    for got, made in zip((params, stats), fresh[1:], strict=True):
        nnx.replace_by_pure_dict(made, got)


def test_our_own_names_are_known_too(tmp_path, rng):
    net = registry.build(OPTIONS, rngs=nnx.Rngs(3))
    arrays = {path: np.asarray(leaf[...]) for path, leaf in convert.leaves(net).items()}
    params, _ = pretrained.load(saved(tmp_path, arrays))
    np.testing.assert_array_equal(params["conv1"]["kernel"], arrays["conv1/kernel"])


def test_a_cut_network_takes_the_first_stages_of_a_whole_file(tmp_path, rng):
    arrays = published(rng)
    params, _ = pretrained.load(saved(tmp_path, arrays, stages=2))
    assert list(params["stages"]) == [0, 1]
    only = {name: array for name, array in arrays.items() if not name.startswith(("layer3", "layer4"))}
    pretrained.load(saved(tmp_path, only, stages=2))


def test_all_that_differs_is_listed_at_once(tmp_path, rng):
    arrays = published(rng)
    del arrays["bn1.bias"]
    arrays["conv1.weight"] = np.zeros((4, 3, 7, 5), np.float32)
    arrays["layer1.0.bn1.running_var"][0] = np.nan
    arrays["layer5.0.conv1.weight"] = np.zeros(3, np.float32)
    with pytest.raises(DataError) as caught:
        pretrained.load(saved(tmp_path, arrays))
    message = str(caught.value)
    assert message.startswith(f"{tmp_path / 'weights.npz'} as resnet18: not this backbone's weights, 4 arrays differ: ")
    for part in (
        "bn1.bias is missing",
        "conv1.weight has the shape (4, 3, 7, 5), want (4, 3, 7, 7)",
        "layer1.0.bn1.running_var holds values that are not finite",
        "layer5.0.conv1.weight is unexpected",
    ):
        assert part in message


def of_transformers(name: str, rng) -> tuple[config.Backbone, dict[str, np.ndarray]]:
    """A thin DINO and its arrays by transformers' names: queries, keys and values are arrays of their own."""
    options = config.Backbone(name, width=4, stages=1)
    net = nnx.eval_shape(lambda: registry.build(options, rngs=nnx.Rngs(0)))
    shapes, arrays = convert.leaves(net), {}
    for path, source in registry.get(options.name).name_tables[1].sources(net).items():
        axes = source.axes or tuple(range(len(shapes[path].shape)))
        whole = rng.normal(size=shapes[path].shape).astype(np.float32).transpose(np.argsort(axes))
        arrays |= dict(zip(source.names, np.split(whole, len(source.names)), strict=True))
    return options, arrays


def dinov3(rng) -> tuple[config.Backbone, dict[str, np.ndarray]]:
    options, arrays = of_transformers("vit_base_dinov3", rng)
    return options, arrays | {f"layer.{at}.attention.q_proj.bias": np.zeros(4, np.float32) for at in range(3)}


def test_the_position_of_a_class_token_is_added_to_it(rng):
    """DINOv2 with registers: transformers keeps it among the positions, ours and timm's have none for that token."""
    options, arrays = of_transformers("vit_base_dinov2_reg4", rng)
    name = "embeddings.position_embeddings"
    first, rest = rng.normal(size=(1, 1, 4)).astype(np.float32), arrays[name]
    params, _ = pretrained.from_arrays(arrays | {name: np.concatenate([first, rest], 1)}, options, "here")
    np.testing.assert_array_equal(params["class_token"], arrays["embeddings.cls_token"] + first)
    np.testing.assert_array_equal(params["positions"], rest)
    del arrays[name]
    with pytest.raises(DataError, match=r"1 arrays differ: embeddings\.position_embeddings is missing"):
        pretrained.from_arrays(arrays, options, "here")


def test_arrays_that_are_apart_in_the_file_are_joined(rng):
    options, arrays = dinov3(rng)
    params, _ = pretrained.from_arrays(arrays, options, "here")
    apart = [arrays[f"layer.1.attention.{one}_proj.weight"].T for one in "qkv"]
    np.testing.assert_array_equal(params["stages"][0][1]["qkv"]["kernel"], np.concatenate(apart, 1))


def test_parts_that_do_not_fit_and_a_bias_that_is_not_zero_are_refused(rng):
    options, arrays = dinov3(rng)
    arrays["layer.0.attention.q_proj.bias"][1] = 1e-3
    arrays["layer.1.attention.k_proj.weight"] = np.zeros((4, 3), np.float32)
    del arrays["layer.2.attention.k_proj.weight"]
    with pytest.raises(DataError) as caught:
        pretrained.from_arrays(arrays, options, "here")
    for part in (
        "3 arrays differ",
        "layer.0.attention.q_proj.bias is not zero",
        "layer.1.attention.{q,k,v}_proj.weight have the shapes (4, 4), (4, 3), (4, 4), want one shape",
        "layer.2.attention.k_proj.weight is missing",
    ):
        assert part in str(caught.value)


def test_blue_first_becomes_red_first(rng):
    options = config.Backbone("vgg16_keras", width=2, stages=1)
    net = nnx.eval_shape(lambda: registry.build(options, rngs=nnx.Rngs(0)))
    layout = registry.get("vgg16_keras").name_tables[0]
    arrays = {
        source.name: rng.normal(size=convert.leaves(net)[path].shape) for path, source in layout.sources(net).items()
    }
    got = convert.convert(arrays, net, net, [layout], "here")
    kernel = arrays["block1_conv1/0"].astype(np.float32)
    np.testing.assert_array_equal(got["stages/0/0/conv/kernel"], kernel[:, :, ::-1])
    np.testing.assert_array_equal(got["stages/0/1/conv/kernel"], arrays["block1_conv2/0"].astype(np.float32))


@pytest.mark.parametrize(
    ("file", "message"), [("a.onnx", "ends in .onnx, want .safetensors"), ("a", "ends in nothing")]
)
def test_a_file_of_another_kind_is_refused(file, message):
    with pytest.raises(DataError, match=message):
        pretrained.load(dataclasses.replace(OPTIONS, weights=file))


@pytest.mark.parametrize("kind", ["md5", "sha256", "start of sha256"])
def test_a_published_file_is_looked_for_and_checked(kind, tmp_path, monkeypatch):
    monkeypatch.setenv("FUSION_DFD_CACHE", str(tmp_path))
    content = b"weights"
    digest = hashlib.new(kind.split()[-1], content).hexdigest()
    one = WeightsFile("https://a.org/b.h5", "b.h5", hash=digest[:9] if kind.startswith("start") else digest)
    path = tmp_path / "weights" / "b.h5"
    with pytest.raises(DataError, match=f"{path}: missing; download https://a.org/b.h5 to {path}, or set"):
        pretrained.find("imagenet", one)
    path.parent.mkdir()
    path.write_bytes(content)
    assert pretrained.find("imagenet", one) == str(path)
    path.write_bytes(b"other")
    with pytest.raises(DataError, match=rf"{path}: its hash is not {one.hash}; download https://a.org/b.h5 again"):
        pretrained.find("imagenet", one)


def test_a_file_of_a_wheel_is_taken_from_it(tmp_path, monkeypatch):
    monkeypatch.setenv("FUSION_DFD_CACHE", str(tmp_path))
    known = Wheel("a-b", "1", {"a_b/b.pth": (7, hashlib.sha256(b"weights").hexdigest())})
    kept = tmp_path / "weights" / "a-b-1" / "b.pth"
    kept.parent.mkdir(parents=True)
    kept.write_bytes(b"weights")
    assert pretrained.find("imagenet", WeightsFile("https://a.org", "b.pth", wheel=known)) == str(kept)


def test_one_line_says_that_no_wheel_has_the_weights(tmp_path, monkeypatch, caplog):
    monkeypatch.setenv("FUSION_DFD_CACHE", str(tmp_path))
    with pytest.raises(DataError):
        pretrained.find("imagenet", WeightsFile("https://a.org/b.h5", "b.h5"))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == "b.h5: no package that pip can fetch carries it, trying https://a.org/b.h5"


@pytest.mark.parametrize("name", registry.BACKBONES)
def test_every_backbone_says_which_file_is_its(name):
    one = registry.get(name).published
    assert one.url.startswith("https://")
    assert one.repository == "" or one.url.startswith(f"https://huggingface.co/{one.repository}/resolve/main/")
    assert one.file.endswith((".safetensors", ".h5", ".pth"))
    if one.wheel:
        ((path, (_, sha256)),) = one.wheel.files.items()
        assert (path.split("/")[-1], sha256) == (one.file, one.hash)
