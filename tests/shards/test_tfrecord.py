import os
import pickle
import resource
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from fusion_dfd.shards import tfrecord
from fusion_dfd.types import DataError

RECORDS = [b"first record", b"", b"the third and longest one"]


@pytest.fixture
def path(tmp_path):
    path = str(tmp_path / "a.tfrecord")
    tfrecord.write(path, RECORDS)
    return path


def put(path: str, data: bytes) -> None:
    with open(path, "wb") as file:
        file.write(data)


def get(path: str) -> bytes:
    with open(path, "rb") as file:
        return file.read()


def test_checksum_of_the_standard_vector():
    crc = 0xE3069283  # CRC-32C of "123456789", RFC 3720 B.4's polynomial
    rotated = int(f"{crc:032b}"[-15:] + f"{crc:032b}"[:-15], 2)
    assert tfrecord.masked_crc(b"123456789") == (rotated + 0xA282EAD8) % 2**32


def test_bytes_are_those_of_tensorflow():
    # tf.io.TFRecordWriter (2.21.0), records b"hello" and b""
    golden = "0500000000000000eab2043e68656c6c6fbb1f1c19000000000000000029039807d8ea82a2"
    assert b"".join(map(tfrecord.frame, [b"hello", b""])).hex() == golden


@settings(max_examples=50, deadline=None)
@given(st.lists(st.binary(max_size=300), max_size=8))
def test_round_trip(tmp_path_factory, records):
    path = str(tmp_path_factory.mktemp("records") / "a")
    written = tfrecord.write(path, records)
    found = tfrecord.scan(path)
    np.testing.assert_array_equal(found.offsets, written.offsets)
    np.testing.assert_array_equal(found.sizes, written.sizes)
    assert (found.dropped, written.bytes) == (0, os.path.getsize(path))
    source = tfrecord.TFRecordSource([path])
    assert len(source) == len(records)
    assert [source[i] for i in range(len(source))] == records


def test_every_flipped_bit_is_detected(path):
    index = tfrecord.TFRecordSource([path]).index
    whole = get(path)
    bounds = [*index[:, 1].tolist(), len(whole)]
    for bit in range(8 * len(whole)):
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        put(path, data)
        source = tfrecord.TFRecordSource([path], index)
        for row in range(len(source)):
            if bounds[row] <= bit // 8 < bounds[row + 1]:
                with pytest.raises(DataError, match=f"a.tfrecord: record {row} is damaged"):
                    source[row]
            else:
                assert source[row] == RECORDS[row]


def test_every_flipped_bit_of_a_header_stops_a_scan(path):
    whole = get(path)
    for offset in tfrecord.scan(path).offsets:
        for bit in range(8 * tfrecord.HEADER.size):
            data = bytearray(whole)
            data[offset + bit // 8] ^= 1 << bit % 8
            put(path, data)
            with pytest.raises(DataError, match="header of record"):
                tfrecord.scan(path)


def test_a_cut_at_any_byte_drops_the_last_record_and_counts_it(path):
    whole, index = get(path), tfrecord.scan(path)
    ends = (index.offsets + index.sizes + tfrecord.OVERHEAD).tolist()
    for size in range(len(whole)):
        put(path, whole[:size])
        found = tfrecord.scan(path)
        kept = sum(end <= size for end in ends)
        assert len(found.offsets) == kept
        assert found.dropped == size - (ends[kept - 1] if kept else 0)
        source = tfrecord.TFRecordSource([path], np.stack([0 * index.offsets, index.offsets, index.sizes], axis=1))
        with pytest.raises(DataError, match=f"record {kept} is damaged, the file ends within it"):
            source[kept]


def test_rows_run_through_the_files_in_order_and_errors_count_within_the_file(path, tmp_path):
    other = str(tmp_path / "b.tfrecord")
    tfrecord.write(other, [b"x", b"y"])
    source = tfrecord.TFRecordSource([other, path])
    assert [source[i] for i in range(5)] == [b"x", b"y", *RECORDS]
    put(path, get(path)[:-1])
    with pytest.raises(DataError, match=r"a.tfrecord: record 2 is"):
        source[4]


def test_source_travels_between_processes_and_threads(path):
    source = tfrecord.TFRecordSource([path])
    assert source[0] == RECORDS[0]
    copy = pickle.loads(pickle.dumps(source))
    assert copy._files == {}
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(copy.__getitem__, [0, 1, 2] * 50)) == RECORDS * 50
    assert len(copy._files) == 1


def test_open_files_are_closed_with_the_source(path):
    source = tfrecord.TFRecordSource([path])
    source[0]
    (fd,) = source._files.values()
    del source
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)


def test_no_record_past_the_end(path):
    with pytest.raises(IndexError):
        tfrecord.TFRecordSource([path])[3]


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read shard .*gone: No such file"):
        tfrecord.TFRecordSource([str(tmp_path / "gone")])


def test_nothing_appears_when_the_records_break_off(tmp_path):
    def records():
        yield b"one"
        raise RuntimeError("broke off")

    with pytest.raises(RuntimeError, match="broke off"):
        tfrecord.write(str(tmp_path / "a"), records())
    assert os.listdir(tmp_path) == []


def test_an_old_file_stays_until_the_new_one_is_whole(path):
    before = get(path)

    def records():
        yield b"one"
        assert get(path) == before
        yield b"two"

    tfrecord.write(path, records())
    assert tfrecord.TFRecordSource([path])[1] == b"two"


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path):
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (4096, hard))
    try:
        with pytest.raises(DataError, match=r"cannot write .*/a: File too large; make room"):
            tfrecord.write(str(tmp_path / "a"), [bytes(10000)])
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert os.listdir(tmp_path) == []


def test_a_folder_that_cannot_be_made_is_one_sentence(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"cannot write .*/file/a: (File exists|Not a directory)"):
        tfrecord.write(str(tmp_path / "file" / "a"), [b""])
