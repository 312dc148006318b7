"""TFRecord files without TensorFlow: writing, scanning, and random access with every checksum checked.

A file is a sequence of records, each framed as

    uint64 length | uint32 masked CRC32C of the length | data | uint32 masked CRC32C of the data

in little-endian order (tensorflow/core/lib/io/record_writer.h). ``crc = rotr(crc32c(bytes), 15) + 0xa282ead8``.
"""

from __future__ import annotations

import dataclasses
import hashlib
import os
import struct
import threading
from collections.abc import Iterable, Sequence

import google_crc32c
import numpy as np

from fusion_dfd import atomic
from fusion_dfd.types import DataError

HEADER = struct.Struct("<QI")
FOOTER = struct.Struct("<I")
OVERHEAD = HEADER.size + FOOTER.size
"""Bytes of a record in addition to its data."""

_REMEDY = "delete the shard and prepare the folder again"


def masked_crc(data: bytes) -> int:
    """Masked CRC32C of ``data``, as TFRecord stores it (record_writer.h, ``MaskedCrc``)."""
    crc = google_crc32c.value(data)
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame(record: bytes) -> bytes:
    """One record with its header and footer, ready to be appended to a file."""
    length = struct.pack("<Q", len(record))
    return b"".join((length, FOOTER.pack(masked_crc(length)), record, FOOTER.pack(masked_crc(record))))


@dataclasses.dataclass(frozen=True)
class Written:
    """What :func:`write` has written. ``offsets`` and ``sizes`` are int64 [n], see :class:`Scan`."""

    offsets: np.ndarray
    sizes: np.ndarray
    bytes: int
    sha256: str


def write(path: str, records: Iterable[bytes]) -> Written:
    """Write ``records`` to ``path`` through a temporary file, fsync and rename.

    Raises DataError when the disk is full or the folder cannot be written; the temporary file is removed then, and
    also when ``records`` itself raises.
    """
    offsets, sizes, offset, digest = [], [], 0, hashlib.sha256()
    with atomic.binary(path) as file:
        for record in records:
            framed = frame(record)
            file.write(framed)
            digest.update(framed)
            offsets.append(offset)
            sizes.append(len(record))
            offset += len(framed)
    return Written(np.array(offsets, np.int64), np.array(sizes, np.int64), offset, digest.hexdigest())


@dataclasses.dataclass(frozen=True)
class FileScan:
    """Positions of the records of a file."""

    offsets: np.ndarray
    """int64 [n], first byte of each record's header."""
    sizes: np.ndarray
    """int64 [n], bytes of each record's data."""
    dropped: int
    """Bytes of an incomplete record at the end of the file; 0 for a complete file."""


def scan(path: str) -> FileScan:
    """Read all headers of a file, not its data. An incomplete last record is dropped and its bytes are counted.

    Raises DataError when the file cannot be read or a header does not match its checksum.
    """
    offsets, sizes, offset = [], [], 0
    fd = _open(path)
    try:
        end = os.fstat(fd).st_size
        while end - offset >= OVERHEAD:
            header = os.pread(fd, HEADER.size, offset)
            length, crc = HEADER.unpack(header)
            if masked_crc(header[:8]) != crc:
                raise DataError(f"{path}: the header of record {len(offsets)} does not match its checksum; {_REMEDY}")
            if offset + OVERHEAD + length > end:
                break
            offsets.append(offset)
            sizes.append(length)
            offset += OVERHEAD + length
    finally:
        os.close(fd)
    return FileScan(np.array(offsets, np.int64), np.array(sizes, np.int64), end - offset)


def _open(path: str) -> int:
    try:
        return os.open(path, os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except OSError as error:
        raise DataError(f"cannot read shard {path}: {error.strerror}; {_REMEDY}") from error


class TFRecordSource(Sequence[bytes]):
    """Random access to the records of several files, in file order.

    Thread-safe and picklable (open files stay behind). Every read checks both checksums.

    Args:
      paths: the files.
      index: int64 [n, 3], file number, offset and size of each record; None scans the files' headers.
    """

    def __init__(self, paths: Sequence[str], index: np.ndarray | None = None):
        self.paths = list(paths)
        self.index = _scan_all(self.paths) if index is None else np.asarray(index, np.int64).reshape(-1, 3)
        self._files: dict[int, int] = {}
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return len(self.index)

    def __getitem__(self, row: int) -> bytes:
        """The data of record ``row``. Raises DataError naming shard and record when it is damaged."""
        shard, offset, size = (int(value) for value in self.index[row])
        path = self.paths[shard]
        try:
            file = self._file(shard)
            # Three reads, because slicing the data out of a single one would copy them.
            header = os.pread(file, HEADER.size, offset)
            record = os.pread(file, size, offset + HEADER.size)
            footer = os.pread(file, FOOTER.size, offset + HEADER.size + size)
        except OSError as error:
            raise DataError(f"cannot read shard {path}: {error.strerror}; {_REMEDY}") from error
        if len(footer) < FOOTER.size:
            raise self._damage(row, "the file ends within it")
        length, crc = HEADER.unpack(header)
        if masked_crc(header[:8]) != crc or length != size:
            raise self._damage(row, "its header does not match its checksum or the index")
        if FOOTER.unpack(footer)[0] != masked_crc(record):
            raise self._damage(row, "its data do not match their checksum")
        return record

    def _damage(self, row: int, what: str) -> DataError:
        shard, offset, _ = self.index[row]
        number = np.count_nonzero((self.index[:, 0] == shard) & (self.index[:, 1] < offset))
        return DataError(f"{self.paths[shard]}: record {number} is damaged, {what}; {_REMEDY}")

    def __repr__(self) -> str:
        return f"TFRecordSource({len(self.paths)} files, {len(self)} records)"

    def __getstate__(self) -> dict:
        return {"paths": self.paths, "index": self.index}

    def __setstate__(self, state: dict) -> None:
        self.__init__(state["paths"], state["index"])

    def __del__(self):
        try:
            for fd in self._files.values():
                os.close(fd)
        except (AttributeError, OSError, TypeError):  # not fully initialised, or the interpreter is shutting down
            pass

    def _file(self, shard: int) -> int:
        fd = self._files.get(shard)
        if fd is None:
            with self._lock:
                fd = self._files.get(shard)
                if fd is None:
                    fd = self._files[shard] = _open(self.paths[shard])
        return fd


def _scan_all(paths: Sequence[str]) -> np.ndarray:
    indices = []
    for shard, path in enumerate(paths):
        scanned = scan(path)
        indices.append(np.stack([np.full_like(scanned.offsets, shard), scanned.offsets, scanned.sizes], axis=1))
    return np.concatenate(indices) if indices else np.zeros((0, 3), np.int64)
