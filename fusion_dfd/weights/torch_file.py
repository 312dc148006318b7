"""Reads the arrays of files written by ``torch.save``, without PyTorch and without running code from a pickle.

Two formats: a ZIP archive (PyTorch 1.6 and later) and the older sequence of pickles (torch/serialization.py). In both,
a pickle describes the tensors, and their values lie beside it. Three kinds of calls in a pickle are allowed, and each
makes plain data: an ordered dictionary, the description of a tensor, the name of a dtype. Any other is refused.
"""

from __future__ import annotations

import collections
import io
import math
import pathlib
import pickle
import zipfile
from collections.abc import Callable
from typing import ClassVar, NamedTuple

import numpy as np

from fusion_dfd.types import DataError

_MAGIC, _PROTOCOL = 0x1950A86A20F9469CFC6C, 1001
_VALUES = {
    "DoubleStorage": "<f8", "FloatStorage": "<f4", "HalfStorage": "<f2", "LongStorage": "<i8", "IntStorage": "<i4",
    "ShortStorage": "<i2", "CharStorage": "<i1", "ByteStorage": "<u1", "BoolStorage": "?",
}  # fmt: skip
EXPANSION = 8
"""Most bytes of all tensors, as a multiple of the file's: tensors may share values, but seldom do."""
DEEPEST = 4
"""Most tuples within one another; PyTorch puts shapes into the arguments of a call."""
REMEDY = "take the file from its source again"


class _Storage(NamedTuple):
    """Values that lie beside the pickle."""

    key: str
    dtype: str
    count: int


class _Tensor(NamedTuple):
    """A view of a storage; start and strides count values, not bytes."""

    storage: _Storage
    start: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]


def read(path: str) -> dict[str, np.ndarray]:
    """The arrays of a state dict by name, also if it lies under ``state_dict`` in a checkpoint.

    Raises :class:`DataError` for a file that is missing, damaged, of another kind or without arrays, and for a pickle
    that calls for anything but tensors; no code of it is run.
    """
    try:
        content = pathlib.Path(path).read_bytes()
    except OSError as error:
        raise DataError(f"{path}: cannot be read ({error.strerror}), check the path") from error
    try:
        saved, storages = _archive(content) if content.startswith(b"PK") else _sequence(content)
        saved = saved.get("state_dict", saved)
        _check_size(saved, len(content))
        arrays = {
            name: _values(value, storages[value.storage.key])
            for name, value in saved.items()
            if isinstance(value, _Tensor)
        }
    except _Refused as error:
        raise DataError(f"{path}: its pickle asks for {error}, which no tensor needs; {REMEDY}") from error
    except Exception as error:  # a damaged pickle can fail in any way
        raise DataError(f"{path}: no complete file of torch.save ({type(error).__name__}), {REMEDY}") from error
    if not arrays:
        raise DataError(f"{path}: holds no named arrays, give a state dict")
    return arrays


class _Refused(Exception):
    pass


class _Unpickler(pickle._Unpickler):
    """Makes dictionaries and descriptions of tensors, and nothing else.

    It is the one written in Python: that in C allocates 8 n bytes for a memo up to entry n, even if a damaged file has
    only entry four billion, and it hashes a tuple of tuples of .. of one tuple, which is small, without end.
    """

    dispatch: ClassVar[dict[int, Callable]] = dict(pickle._Unpickler.dispatch)

    def __init__(self, file: io.BytesIO):
        super().__init__(file)
        self._depths: dict[int, int] = {}

    def check_depth(self) -> None:
        """Raises ValueError where the tuple made last has too many within one another."""
        made = self.stack[-1]
        depth = 1 + max((self._depths.get(id(item), 0) for item in made if isinstance(item, tuple)), default=0)
        if depth > DEEPEST:
            raise ValueError(depth)
        self._depths[id(made)] = depth

    def find_class(self, module: str, name: str):
        if (module, name) == ("collections", "OrderedDict"):
            return collections.OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return _describe
        if module == "torch" and name in _VALUES:
            return _VALUES[name]
        raise _Refused(f"{module}.{name}")

    def persistent_load(self, identity):
        kind, dtype, key, _, count = identity[:5]
        if kind != "storage" or (len(identity) > 5 and identity[5] is not None):
            raise ValueError(kind)
        if not isinstance(key, str) or dtype not in _VALUES.values() or type(count) is not int:
            raise ValueError(key)
        return _Storage(key, dtype, count)


def _describe(storage, start, shape, strides, *_) -> _Tensor:
    if not isinstance(storage, _Storage) or any(type(value) is not int for value in (start, *shape, *strides)):
        raise ValueError(storage)
    return _Tensor(storage, start, tuple(shape), tuple(strides))


def _shallow(load: Callable[[_Unpickler], None]) -> Callable[[_Unpickler], None]:
    def checked(unpickler: _Unpickler) -> None:
        load(unpickler)
        unpickler.check_depth()

    return checked


for _code in (pickle.TUPLE, pickle.TUPLE1, pickle.TUPLE2, pickle.TUPLE3):
    _Unpickler.dispatch[_code[0]] = _shallow(_Unpickler.dispatch[_code[0]])
for _code in (pickle.EMPTY_SET, pickle.ADDITEMS, pickle.FROZENSET):
    del _Unpickler.dispatch[_code[0]]


def _unpickle(file: io.BytesIO):
    """The next pickle of a file."""
    return _Unpickler(file).load()


def _archive(content: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """The saved object, and the storages by key, from the ZIP format."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in archive.infolist()):
            raise ValueError("compressed")
        (name,) = [name for name in archive.namelist() if name.endswith("/data.pkl")]
        folder = name.removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("byteorder")
        saved = _unpickle(io.BytesIO(archive.read(name)))
        return saved, {
            storage.key: np.frombuffer(archive.read(f"{folder}data/{storage.key}"), storage.dtype)
            for storage in _storages(saved)
        }


def _sequence(content: bytes) -> tuple[dict, dict[str, np.ndarray]]:
    """The same from the older format: magic number, version, machine, saved object, keys; then each storage."""
    file = io.BytesIO(content)
    if _unpickle(file) != _MAGIC or _unpickle(file) != _PROTOCOL or not _unpickle(file)["little_endian"]:
        raise ValueError("head")
    saved, keys = _unpickle(file), _unpickle(file)
    known = {storage.key: storage for storage in _storages(saved)}
    storages = {}
    for key in keys:
        count = int.from_bytes(file.read(8), "little")
        if count != known[key].count:
            raise ValueError(count)
        storages[key] = np.frombuffer(file.read(count * np.dtype(known[key].dtype).itemsize), known[key].dtype)
    return saved, storages


def _storages(saved: dict) -> set[_Storage]:
    tensors = saved.get("state_dict", saved).values()
    return {value.storage for value in tensors if isinstance(value, _Tensor)}


def _check_size(saved: dict, size: int) -> None:
    """Raises ValueError where the tensors would take EXPANSION times the bytes of their file."""
    tensors = [value for value in saved.values() if isinstance(value, _Tensor)]
    total = sum(math.prod(one.shape) * np.dtype(one.storage.dtype).itemsize for one in tensors)
    if total > EXPANSION * size:
        raise ValueError(total)


def _values(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    """The tensor's values in an array of its own."""
    steps = [(size - 1) * stride for size, stride in zip(tensor.shape, tensor.strides, strict=True)]
    counts = [tensor.start, *tensor.shape, *tensor.strides]
    inside = len(storage) == tensor.storage.count and tensor.start + sum(steps) < len(storage)
    if min(counts) < 0 or not inside or np.prod(tensor.shape, dtype=object) > len(storage):
        raise ValueError(tensor)
    strides = [stride * storage.itemsize for stride in tensor.strides]
    return np.lib.stride_tricks.as_strided(storage[tensor.start :], tensor.shape, strides).copy()
