"""Files written byte by byte after the standard are read; bad ones are one sentence."""

import sys

import numpy as np
import pytest

from fusion_dfd.types import DataError
from fusion_dfd.weights import array_files


def field(number: int, content: bytes | int) -> bytes:
    """One field in protobuf's wire format (https://protobuf.dev/programming-guides/encoding)."""
    if isinstance(content, int):
        return bytes([number << 3, content])
    length = bytes([len(content) & 127 | 128, len(content) >> 7])
    return bytes([number << 3 | 2]) + length + content


def tensor(name: str, *more: bytes) -> bytes:
    return field(5, field(1, 2) + field(1, 1) + field(8, name.encode()) + b"".join(more))


RAW = np.array([1.5, -2], "<f4").tobytes()
NODE = field(
    1,
    field(1, b"x")
    + field(1, b"w")
    + field(2, b"y")
    + field(4, b"Conv")
    + field(5, field(1, b"strides") + field(8, 2) + field(8, 3))
    + field(5, field(1, b"group") + field(3, 4))
    + field(5, field(1, b"alpha") + b"\x15" + np.float32(0.25).tobytes()),
)
GRAPH = NODE + tensor("w", field(2, 1), field(9, RAW)) + tensor("v", field(2, 1), field(4, RAW))
MODEL = (
    field(1, 6) + field(7, GRAPH + tensor("n", field(2, 7), field(9, b"\0" * 16))) + field(14, b"\x0a\x01k\x12\x01v")
)


def test_the_fields_are_where_the_standard_puts_them(tmp_path):
    path = tmp_path / "a.onnx"
    path.write_bytes(MODEL)
    graph = array_files.read_onnx(str(path))
    (node,) = graph.nodes
    assert (node.operation, node.inputs) == ("Conv", ("x", "w"))
    assert node.numbers == {"strides": (2, 3), "group": (4,), "alpha": (0.25,)}
    assert graph.metadata == {"k": "v"}
    assert list(graph.arrays) == ["w", "v"]
    for array in graph.arrays.values():
        np.testing.assert_array_equal(array, np.array([[1.5], [-2]], np.float32))


def test_without_the_package_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "onnx", None)
    with pytest.raises(DataError, match=r"a\.onnx: .* pip install 'fusion-dfd\[onnx\]'"):
        array_files.read_onnx("a.onnx")


BAD = {
    "cut": MODEL[:-3],
    "short values": field(7, NODE + tensor("w", field(2, 1), field(9, RAW[:4]))),
    "values elsewhere": field(7, NODE + tensor("w", field(2, 1), field(14, 1))),
    "no graph": field(1, 6),
    "text": b"404 not found",
    "nothing": b"",
}


@pytest.mark.parametrize("kind", BAD)
def test_a_bad_file_is_one_sentence(tmp_path, kind):
    path = tmp_path / "bad.onnx"
    path.write_bytes(BAD[kind])
    with pytest.raises(DataError, match=rf"^{path}: [^\n]+ again$"):
        array_files.read_onnx(str(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.onnx: cannot be read"):
        array_files.read_onnx(str(tmp_path / "none.onnx"))
