"""Keras's files: arrays by layer and place; what is damaged or nameless is one sentence."""

import json
import pathlib
import sys
import zipfile

import numpy as np
import pytest

from fusion_dfd.types import DataError
from fusion_dfd.weights import keras_file

pytestmark = pytest.mark.extras

h5py = pytest.importorskip("h5py")

KERNEL, BIAS, SCALE = np.ones((3, 3, 2, 4)), np.arange(4.0), np.full(4, 2.0)


def legacy(path, layers: dict[str, list[tuple[str, np.ndarray]]], root: str = "model_weights") -> str:
    """A file as ``model.save("a.h5")`` lays it out; ``root`` empty: as ``save_weights`` of Keras 2 does."""
    with h5py.File(path, "w") as file:
        group = file.create_group(root) if root else file
        group.attrs["layer_names"] = [name.encode() for name in layers]
        for layer, arrays in layers.items():
            part = group.create_group(layer)
            part.attrs["weight_names"] = [name.encode() for name, _ in arrays]
            for name, array in arrays:
                part[name] = array
    return str(path)


@pytest.mark.parametrize("root", ["model_weights", ""])
def test_arrays_go_by_layer_and_place(tmp_path, root):
    layers = {"input_1": [], "block1_conv1": [("block1_conv1_W_1:0", KERNEL), ("block1_conv1_b_1:0", BIAS)]}
    read = keras_file.read(legacy(tmp_path / "a.h5", layers, root))
    assert list(read) == ["block1_conv1/0", "block1_conv1/1"]
    np.testing.assert_array_equal(read["block1_conv1/1"], BIAS)


def test_automatic_names_count_from_nought_in_the_order_of_their_numbers(tmp_path):
    names = ["conv2d_11", "conv2d_2", "batch_normalization", "batch_normalization_3", "convolutional"]
    layers = {name: [("w", np.full(1, place))] for place, name in enumerate(names)}
    read = keras_file.read(legacy(tmp_path / "a.h5", layers))
    assert {name: int(array[0]) for name, array in read.items()} == {
        "conv2d#1/0": 0,
        "conv2d#0/0": 1,
        "batch_normalization#0/0": 2,
        "batch_normalization#1/0": 3,
        "convolutional/0": 4,
    }


def test_names_cut_into_parts_are_joined(tmp_path):
    path = legacy(tmp_path / "a.h5", {"a": [("w", BIAS)], "b": [("w", SCALE)]})
    with h5py.File(path, "a") as file:
        group = file["model_weights"]
        del group.attrs["layer_names"]
        group.attrs["layer_names0"], group.attrs["layer_names1"] = [b"a"], [b"b"]
    assert list(keras_file.read(path)) == ["a/0", "b/0"]


def archive(path, layers: list[tuple[str, str, list[np.ndarray]]]) -> str:
    """A ``.keras``: layers are (group, name, arrays), of classes that follow from the group."""
    kinds = {"conv2d": "Conv2D", "batch_normalization": "BatchNormalization", "input_layer": "InputLayer"}
    weights = path.with_suffix(".h5")
    with h5py.File(weights, "w") as file:
        for group, _, arrays in layers:
            for place, array in enumerate(arrays):
                file[f"layers/{group}/vars/{place}"] = array
    listed = [{"class_name": kinds[group.rstrip("_1")], "config": {"name": name}} for group, name, _ in layers]
    with zipfile.ZipFile(path, "w") as file:
        file.writestr("config.json", json.dumps({"config": {"layers": listed}}))
        file.write(weights, "model.weights.h5")
    return str(path)


def test_an_archive_tells_layers_by_its_configuration(tmp_path):
    layers = [
        ("input_layer", "input_layer", []),
        ("conv2d", "stem", [KERNEL]),
        ("batch_normalization", "stem_bn", [SCALE, BIAS]),
        ("conv2d_1", "conv2d_7", [KERNEL, BIAS]),
    ]
    read = keras_file.read(archive(tmp_path / "a.keras", layers))
    assert sorted(read) == ["conv2d#0/0", "conv2d#0/1", "stem/0", "stem_bn/0", "stem_bn/1"]
    np.testing.assert_array_equal(read["stem_bn/0"], SCALE)


def test_a_file_without_names_is_refused(tmp_path):
    with h5py.File(tmp_path / "a.weights.h5", "w") as file:
        file["layers/conv2d/vars/0"] = KERNEL
    with pytest.raises(DataError, match=r"names no layers; save the model as \.keras"):
        keras_file.read(str(tmp_path / "a.weights.h5"))


@pytest.mark.parametrize("content", [b"", b"no HDF5", b"\x89HDF\r\n\x1a\n" + bytes(40), b"PK\x05\x06" + bytes(18)])
def test_a_bad_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "bad.h5"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^{path}: [^\n]+ again$"):
        keras_file.read(str(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.h5: cannot be read \(No such file or directory\)"):
        keras_file.read(str(tmp_path / "none.h5"))


def test_without_the_package_the_extra_is_named(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "h5py", None)
    with pytest.raises(DataError, match=r"pip install 'fusion-dfd\[h5\]'"):
        keras_file.read("a.h5")


def test_a_file_over_which_the_library_crashes_is_one_sentence(tmp_path):
    path = legacy(tmp_path / "a.h5", {"a": [("a/kernel:0", np.ones(3, np.float32))]})
    content = pathlib.Path(path).read_bytes()
    text = b"\x19\x01"  # the type of names: texts of any length; the bytes after it say in which coding
    assert content.count(text + bytes(2)) == 2
    pathlib.Path(path).write_bytes(content.replace(text + bytes(2), text + b"\xff\xff"))
    with pytest.raises(DataError, match=rf"^{path}: [^\n]*(crashed \(SIGSEGV\)|no complete Keras model)[^\n]+ again$"):
        keras_file.read(path)


def test_a_file_over_which_the_library_spins_is_one_sentence(tmp_path, monkeypatch):
    name = "a/kernel:0"
    path = legacy(tmp_path / "a.h5", {"a": [(name, np.ones(3, np.float32))]})
    content, size = pathlib.Path(path).read_bytes(), len(name).to_bytes(8, "little")
    assert content.count(size + name.encode()) == 1
    pathlib.Path(path).write_bytes(content.replace(size + name.encode(), b"\x0a\x04" + size[2:] + name.encode()))
    monkeypatch.setattr(keras_file, "SECONDS", 0.5)
    with pytest.raises(
        DataError, match=rf"^{path}: [^\n]*(takes more than 0.5 seconds|no complete Keras)[^\n]+ again$"
    ):
        keras_file.read(path)


@pytest.mark.parametrize("kind", ["external values", "external link", "soft link"])
def test_a_file_that_names_other_files_is_refused(tmp_path, kind):
    path = legacy(tmp_path / "a.h5", {"a": [("a/kernel:0", np.ones(3, np.float32))]})
    with h5py.File(path, "a") as file:
        root = file["model_weights/a"]
        if kind == "external values":
            root.create_dataset("other", (3,), "f4", external=[(str(tmp_path / "secret"), 0, 12)])
        else:
            root["other"] = h5py.ExternalLink("secret.h5", "/") if "external" in kind else h5py.SoftLink("/nowhere")
    with pytest.raises(DataError, match="no complete Keras model"):
        keras_file.read(path)
