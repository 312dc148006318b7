"""Safetensors: what was written comes back; what is damaged is one sentence."""

import json

import numpy as np
import pytest

from fusion_dfd.types import DataError
from fusion_dfd.weights import array_files

ARRAYS = {"a": np.arange(6, dtype=np.float32).reshape(2, 3), "b": np.array([7], np.int64)}


def content(**changes) -> bytes:
    header = {
        "__metadata__": {"anchors": "1"},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "I64", "shape": [1], "data_offsets": [24, 32]},
    } | changes
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array in ARRAYS.values())


def test_arrays_and_metadata_come_back(tmp_path):
    path = tmp_path / "a.safetensors"
    path.write_bytes(content())
    arrays, metadata = array_files.read_safetensors(str(path))
    assert metadata == {"anchors": "1"}
    assert list(arrays) == ["a", "b"]
    for name, array in ARRAYS.items():
        assert arrays[name].dtype == array.dtype
        np.testing.assert_array_equal(arrays[name], array)


BAD = {
    "cut": content()[:-1],
    "cut header": content()[:40],
    "length": b"\xff" * 8 + content()[8:],
    "kind": content(a={"dtype": "Q4", "shape": [2, 3], "data_offsets": [0, 24]}),
    "shape": content(a={"dtype": "F32", "shape": [2, 4], "data_offsets": [0, 24]}),
    "place": content(a={"dtype": "F32", "shape": [2, 3], "data_offsets": [-24, 0]}),
    "entry": content(a=3),
    "metadata": content(__metadata__=3),
    "list": (2).to_bytes(8, "little") + b"[]",
    "no arrays": (2).to_bytes(8, "little") + b"{}",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_sentence(tmp_path, kind):
    path = tmp_path / "bad.safetensors"
    path.write_bytes(BAD[kind])
    with pytest.raises(DataError, match=rf"^{path}: [^\n]+ again$"):
        array_files.read_safetensors(str(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.safetensors: cannot be read"):
        array_files.read_safetensors(str(tmp_path / "none.safetensors"))


def test_arrays_of_any_memory_layout_come_back(tmp_path, rng):
    whole = rng.random((4, 6), np.float32)
    arrays = {"transposed": whole.T, "sliced": whole[:, ::2], "turned": whole[::-1], "one": np.float32(3)[...]}
    path = array_files.write_safetensors(str(tmp_path / "a.safetensors"), arrays, {})
    got, _ = array_files.read_safetensors(path)
    for name, array in arrays.items():
        np.testing.assert_array_equal(got[name], array)
