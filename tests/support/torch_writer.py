"""Files of torch.save, both formats, written byte by byte."""

import io
import pickle
import struct
import zipfile

import numpy as np

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
