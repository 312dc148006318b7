"""A body on its way to disk."""

import asyncio
import contextlib
import pathlib

import pytest

pytest.importorskip("fastapi", reason="the extra app is not installed")
from fastapi import HTTPException

from fusion_dfd.serve import upload
from fusion_dfd.serve.upload import MEGABYTE, Limits

pytestmark = pytest.mark.extras


def received(chunks, path: pathlib.Path, too_large: bool = False) -> int:
    """How many chunks were asked for."""
    asked = 0

    async def body():
        nonlocal asked
        for chunk in chunks:
            asked += 1
            yield chunk

    async def receive():
        await upload.receive(body(), str(path), Limits(max_mb=1))

    with pytest.raises(HTTPException) if too_large else contextlib.nullcontext() as refused:
        asyncio.run(receive())
    assert refused is None or refused.value.status_code == 413
    return asked


def test_a_body_is_written_piece_by_piece(tmp_path):
    received([b"ab", b"c", b"", b"d"], tmp_path / "video")
    assert (tmp_path / "video").read_bytes() == b"abc", "an empty chunk is the end"


def test_up_to_the_limit_all_is_taken(tmp_path):
    assert received([bytes(MEGABYTE // 2)] * 2, tmp_path / "video") == 2
    assert (tmp_path / "video").stat().st_size == MEGABYTE


def test_nothing_is_read_or_written_beyond_the_limit(tmp_path):
    chunk = bytes(MEGABYTE // 10)
    assert received([chunk] * 100, tmp_path / "video", too_large=True) == 11
    assert (tmp_path / "video").stat().st_size == MEGABYTE


def test_no_file_is_replaced(tmp_path):
    (tmp_path / "video").write_bytes(b"other")
    with pytest.raises(HTTPException) as refused:
        asyncio.run(upload.receive(None, str(tmp_path / "video"), Limits()))
    assert refused.value.status_code == 507
    assert (tmp_path / "video").read_bytes() == b"other"


@pytest.mark.parametrize("length", [None, "", "a lot", "-5", "1000000"])
def test_lengths_that_say_nothing_are_left_to_the_count(length):
    upload.announced(length, Limits(max_mb=1))


def test_an_upload_that_trickles_without_end_is_ended(tmp_path, monkeypatch):
    monkeypatch.setattr(upload, "STALLED", 0.5)

    async def trickle():
        while True:
            yield b"x"
            await asyncio.sleep(0.05)

    with pytest.raises(HTTPException) as refused:
        asyncio.run(upload.receive(trickle(), str(tmp_path / "video"), Limits()))
    assert refused.value.status_code == 408
