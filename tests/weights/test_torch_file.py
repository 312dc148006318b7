"""Files of torch.save without torch: both formats, written here byte by byte; what is damaged or hostile is refused."""

import io
import pickle
import struct
import zipfile

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_dfd.types import DataError
from fusion_dfd.weights import torch_file

NAMES = {"float32": "FloatStorage", "float64": "DoubleStorage", "float16": "HalfStorage", "int64": "LongStorage"}


def text(value: str) -> bytes:
    return b"X" + struct.pack("<I", len(value)) + value.encode()


def number(value: int) -> bytes:
    return b"J" + struct.pack("<i", value)


def counts(values) -> bytes:
    return b"(" + b"".join(map(number, values)) + b"t"


def tensor(key: str, array: np.ndarray, view: bytes = b"") -> bytes:
    """The opcodes that PyTorch writes for a contiguous tensor."""
    storage = b"(" + text("storage") + f"ctorch\n{NAMES[array.dtype.name]}\n".encode() + text(key) + text("cpu")
    storage += number(array.size) + view + b"tQ"
    strides = [stride // array.itemsize for stride in array.strides]
    places = number(0) + counts(array.shape) + counts(strides) + b"\x89ccollections\nOrderedDict\n)R"
    return b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + places + b"tR"


def state(arrays: dict[str, np.ndarray], view: bytes = b"", wrap: str = "") -> bytes:
    """A pickled OrderedDict of tensors; their storages are named 0, 1, ..."""
    items = b"".join(text(name) + tensor(str(k), array, view) for k, (name, array) in enumerate(arrays.items()))
    body = b"ccollections\nOrderedDict\n)R(" + items + b"u"
    if wrap:
        body = b"}(" + text("epoch") + number(3) + text(wrap) + body + b"u"
    return b"\x80\x02" + body + b"."


def archive(pickled: bytes, arrays, compression=zipfile.ZIP_STORED, order: bytes = b"little") -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        file.writestr("model/data.pkl", pickled)
        file.writestr("model/byteorder", order)
        for k, array in enumerate(arrays.values()):
            file.writestr(f"model/data/{k}", array.tobytes())
    return out.getvalue()


def sequence(pickled: bytes, arrays) -> bytes:
    head = [0x1950A86A20F9469CFC6C, 1001, {"little_endian": True, "protocol_version": 1001}]
    out = b"".join(pickle.dumps(value, 2) for value in head) + pickled
    out += pickle.dumps([str(k) for k in range(len(arrays))], 2)
    return out + b"".join(struct.pack("<q", array.size) + array.tobytes() for array in arrays.values())


def both(arrays, **options) -> dict[str, bytes]:
    return {
        "archive": archive(state(arrays, **options), arrays),
        "sequence": sequence(state(arrays, view=b"N", **options), arrays),
    }


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


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"none\.pth: cannot be read"):
        torch_file.read(str(tmp_path / "none.pth"))
