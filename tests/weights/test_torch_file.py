"""Files of torch.save without torch: both formats, written here byte by byte; what is damaged or hostile is refused."""

import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch_writer import archive, both, counts, number, sequence, state, tensor, text

from fusion_dfd.types import DataError
from fusion_dfd.weights import torch_file

ARRAYS = {
    "a.weight": np.arange(24, dtype=np.float32).reshape(2, 3, 4),
    "b": np.array([1.5, -2], np.float64),
    "half": np.array([[0.5]], np.float16),
    "count": np.array(7, np.int64),
}


@pytest.fixture(params=["archive", "sequence"])
def form(request) -> str:
    return request.param


@pytest.mark.parametrize("wrap", ["", "state_dict"])
def test_arrays_come_back_as_they_were(tmp_path, form, wrap):
    path = tmp_path / "a.pth"
    path.write_bytes(both(ARRAYS, wrap=wrap)[form])
    read = torch_file.read(str(path))
    assert list(read) == list(ARRAYS)
    for name, array in ARRAYS.items():
        assert read[name].dtype == array.dtype
        np.testing.assert_array_equal(read[name], array)


@pytest.mark.extras
def test_torch_itself_is_understood(tmp_path):
    torch = pytest.importorskip("torch")
    values = {name: torch.from_numpy(np.array(array)) for name, array in ARRAYS.items()}
    values["turned"] = torch.arange(12.0).reshape(3, 4).T
    values["part"] = torch.arange(12.0)[3:7]
    for modern in (True, False):
        path = str(tmp_path / f"{modern}.pth")
        torch.save(values, path, _use_new_zipfile_serialization=modern)
        read = torch_file.read(path)
        assert list(read) == list(values)
        for name, array in values.items():
            np.testing.assert_array_equal(read[name], array.numpy())


@pytest.mark.parametrize("word", ["posix\nsystem", "builtins\neval", "torch\nload", "torch.nn\nModule", "numpy\nload"])
def test_a_pickle_that_asks_for_more_is_refused_and_not_run(tmp_path, form, word, monkeypatch):
    monkeypatch.setattr("os.system", lambda *_: pytest.fail("ran"))
    mark = tmp_path / "mark"
    pickled = f"\x80\x02c{word}\n(X".encode("latin1") + struct.pack("<I", len(f"touch {mark}"))
    pickled += f"touch {mark}".encode() + b"tR."
    path = tmp_path / "bad.pth"
    path.write_bytes(archive(pickled, {}) if form == "archive" else sequence(pickled, {}))
    with pytest.raises(DataError, match=rf"^{path}: its pickle asks for {word.replace(chr(10), '.')}, [^\n]*again$"):
        torch_file.read(str(path))
    assert not mark.exists()


def test_a_hostile_head_is_not_run_either(tmp_path):
    path = tmp_path / "bad.pth"
    path.write_bytes(b"\x80\x02cposix\nsystem\n(X\x04\x00\x00\x00truetR.")
    with pytest.raises(DataError, match=r"posix\.system"):
        torch_file.read(str(path))


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(["archive", "sequence"]), st.integers(0, 10**6), st.integers(0, 255), st.booleans())
def test_no_damage_gives_anything_but_a_sentence_or_arrays(tmp_path_factory, form, place, value, cut):
    content = bytearray(both(ARRAYS)[form])
    place %= len(content)
    if cut:
        content = content[:place]
    else:
        content[place] = value
    path = tmp_path_factory.mktemp("damaged") / "a.pth"
    path.write_bytes(content)
    try:
        read, said = torch_file.read(str(path)), ""
    except DataError as error:
        read, said = {}, str(error)
    assert said.startswith(f"{path}: ") != bool(read)
    assert "\n" not in said
    assert said or not cut
    assert all(isinstance(array, np.ndarray) for array in read.values())


def lie(old: bytes, new: bytes) -> dict[str, np.ndarray]:
    """Content whose pickle says another thing of the same values."""
    assert len(old) == len(new)
    pickled = state(ARRAYS)
    assert old in pickled
    return archive(pickled.replace(old, new), ARRAYS)


LIES = {
    "a larger tensor": lie(counts([2, 3, 4]), counts([2, 3, 5])),
    "strides beyond": lie(counts([12, 4, 1]), counts([13, 4, 1])),
    "negative strides": lie(counts([12, 4, 1]), counts([-1, 4, 1])),
    "a view without end": lie(counts([2, 3, 4]) + counts([12, 4, 1]), counts([2, 3, 99999]) + counts([0, 0, 0])),
    "another count": lie(number(24), number(23)),
    "a giant memo": archive(b"\x80\x02}r" + struct.pack("<I", 2**32 - 1) + b".", {}),
    "compression": archive(state(ARRAYS), ARRAYS, zipfile.ZIP_DEFLATED),
    "big endians": archive(state(ARRAYS), ARRAYS, order=b"big"),
    "no dictionary": archive(b"\x80\x02K\x05.", {}),
    "no tensors": archive(b"\x80\x02}.", {}),
    "text": b"404 not found\n" * 20,
    "nothing": b"",
}


@pytest.mark.parametrize("kind", LIES)
def test_what_cannot_be_true_is_one_sentence(tmp_path, kind):
    path = tmp_path / "bad.pth"
    path.write_bytes(LIES[kind])
    with pytest.raises(DataError, match=rf"^{path}: [^\n]+$"):
        torch_file.read(str(path))


@pytest.mark.parametrize("form", [archive, sequence])
def test_a_small_pickle_cannot_take_endless_time(tmp_path, form):
    """A tuple of twice the tuple before it, sixty deep: hashing it as a key would take 2 ** 60 steps."""
    body = b"}" + number(1) + b"\x85q\x00"
    for level in range(60):
        body += b"0" + b"h" + bytes([level]) + b"h" + bytes([level]) + b"\x86q" + bytes([level + 1])
    (tmp_path / "a.pth").write_bytes(form(b"\x80\x02" + body + number(1) + b"s.", {}))
    with pytest.raises(DataError, match="no complete file"):
        torch_file.read(str(tmp_path / "a.pth"))


def test_views_of_one_storage_cannot_fill_the_memory(tmp_path):
    shared = np.zeros(10_000, np.float32)
    pickled = b"\x80\x02}(" + b"".join(text(f"w{k}") + tensor("0", shared) for k in range(100)) + b"u."
    (tmp_path / "a.pth").write_bytes(archive(pickled, {"0": shared}))
    with pytest.raises(DataError, match="no complete file"):
        torch_file.read(str(tmp_path / "a.pth"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.pth: cannot be read"):
        torch_file.read(str(tmp_path / "none.pth"))
