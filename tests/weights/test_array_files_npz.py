"""NumPy's archives: plain arrays come back; the rest is one sentence."""

import numpy as np
import pytest

from fusion_dfd.types import DataError
from fusion_dfd.weights import array_files


def test_arrays_come_back(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, **{"a/b": np.arange(3)})
    read = array_files.read_npz(str(path))
    assert list(read) == ["a/b"]
    np.testing.assert_array_equal(read["a/b"], np.arange(3))


def test_objects_are_not_unpickled(tmp_path):
    path = tmp_path / "a.npz"
    np.savez(path, a=np.array([print], dtype=object))
    with pytest.raises(DataError, match=r"a\.npz: no whole \.npz file of plain arrays"):
        array_files.read_npz(str(path))


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x05\x06" + bytes(18)])
def test_a_bad_file_is_one_sentence(tmp_path, content):
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(DataError, match=rf"^{path}: [^\n]+ again$"):
        array_files.read_npz(str(path))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.npz: cannot be read"):
        array_files.read_npz(str(tmp_path / "none.npz"))
